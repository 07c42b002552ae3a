"""The pages for people: `/` shows what the URL of a picture gives, and `/docs` the description of the interface.

They are files without secrets, so they need no credentials. Their scripts send those of the reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import Template

from aiohttp import hdrs

from service.web.files import STATIC, content, file
from service.web.request_values import Handler

PATHS = {"/": "pages/index.html", "/docs": "pages/docs.html"}
"""The files of the pages by path."""
ASSETS = {
    f"/pages/{name.rpartition('/')[2]}": name
    for name in (
        "pages/icon.svg",
        "pages/page.css",
        "pages/page.js",
        "pages/access.js",
        "pages/answer.js",
        "pages/snippets.js",
        "pages/stage.js",
        "pages/docs.css",
        "pages/docs.js",
        "swagger/swagger-ui.css",
        "swagger/swagger-ui-bundle.js",
    )
}
"""The files that the pages load, by path."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The `Content-Security-Policy` of the pages."""
_REVALIDATED: dict[str, str] = {hdrs.CACHE_CONTROL: "no-cache"}
"""A page and its scripts are of one release, so no cache uses them without asking."""


def pages(contacts: Iterable[int], *, writable: bool) -> dict[str, Handler]:
    """Return the handlers of the pages and of their files, by path.

    *contacts* are those that `/` lists. *writable*: some requesters may change pictures.
    """
    values = {"contacts": " ".join(map(str, contacts)), "writable": str(writable).lower()}
    fields = _REVALIDATED | {"Content-Security-Policy": POLICY}
    shown = {
        path: content(Template((STATIC / name).read_text("utf-8")).substitute(values).encode(), ".html", fields)
        for path, name in PATHS.items()
    }
    return shown | {path: file(name, _REVALIDATED) for path, name in ASSETS.items()}
