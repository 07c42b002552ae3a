"""Files that are part of the service: they need no role, and are the same for every requester."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from aiohttp import hdrs, web

from service.access.identity import READER
from service.protocol.conditionals import not_modified
from service.web.headers import common
from service.web.methods import by_method
from service.web.request_values import Handler, field
from service.web.requester import REQUESTER, Requester

STATIC = Path(__file__).with_name("static")
"""The folder of these files."""
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ts": "text/plain; charset=utf-8",
}
_LIFETIME = "public, max-age=300"
"""The value of `Cache-Control`, unless the caller gives another one."""
_EVERYONE = Requester(READER)


def media_type(name: str) -> str:
    """Return the media type of the file *name*, without parameters."""
    return _MEDIA_TYPES[Path(name).suffix].partition(";")[0]


def file(name: str, fields: Mapping[str, str] | None = None) -> Handler:
    """Return the handler of the file *name* in `STATIC`, whose answers have these *fields* too."""
    return content((STATIC / name).read_bytes(), Path(name).suffix, fields)


def content(body: bytes, suffix: str, fields: Mapping[str, str] | None = None) -> Handler:
    """Return the handler of *body*, whose media type is that of files with *suffix*. *fields* as in `file`."""
    etag = f'"{sha256(body).hexdigest()[:24]}"'
    headers = common(None, None)
    headers.update({"ETag": etag, hdrs.CACHE_CONTROL: _LIFETIME, **(fields or {})})

    async def answer(request: web.Request) -> web.StreamResponse:
        request[REQUESTER] = _EVERYONE
        if not_modified(etag, None, field(request, hdrs.IF_NONE_MATCH), None):
            return web.Response(status=304, headers=headers)
        response = web.Response(headers=headers, body=body)
        response.headers[hdrs.CONTENT_TYPE] = _MEDIA_TYPES[suffix]
        return response

    return by_method(GET=answer, HEAD=answer)
