"""The page at `/` of the demo: the pictures of some contacts, each with its URL. It is the service's only HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from aiohttp import web

from service.web.headers import uncached
from service.web.request_values import Handler

_WIDTH = 160
"""Pixels of every picture's width."""
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
ul { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); padding: 0; }
img { display: block; height: auto; margin-bottom: 0.25rem; min-height: 120px; }
li { display: block; font-size: 0.8rem; overflow-wrap: anywhere; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>contact-image: the demo's pictures</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
<h1>The demo's pictures</h1>
<p>Each is a contact's picture, {width} pixels wide, in the format that your browser prefers.</p>
<ul>
{items}
</ul>
</body>
</html>
"""
_ITEM = (
    '<li><img src="{url}" alt="Portrait of contact {contact}" width="{width}" loading="lazy">'
    '<a href="{url}">{url}</a></li>'
)


def gallery(contacts: Iterable[int]) -> Handler:
    """Return the handler of a page that shows the pictures of *contacts*, all of which must have one."""
    urls = {contact: f"/api/v1/Contact/{contact}/Image?w=" for contact in contacts}
    items = "\n".join(
        _ITEM.format(url=f"{url}{_WIDTH}", contact=contact, width=_WIDTH) for contact, url in urls.items()
    )
    icon = f"{next(iter(urls.values()))}32"  # without a link browsers request /favicon.ico
    page = _PAGE.format(icon=icon, style=_STYLE, width=_WIDTH, items=items).encode()
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    headers = uncached()
    headers["Content-Security-Policy"] += f"; img-src 'self'; style-src 'sha256-{digest}'"
    headers["Content-Type"] = "text/html; charset=utf-8"
    headers["Content-Language"] = "en"

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(headers=headers, body=page)

    return answer
