"""A bare aiohttp handler, the reference for hits.

`python -m tools.bench.instruments.bare PORT ORIGIN PATH [routerless]` runs it.

It serves on PORT what another server on this machine, on the port ORIGIN, serves at PATH: the 200, and the 304 to its
validator. Both are fetched once. With `routerless` it is a `web.Server` without an application and a router.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web
from multidict import CIMultiDict

from tools.bench.instruments.processes import HOST, get

_OWN = ("Date", "Server", "Content-Length", "Connection")
"""Header fields that aiohttp writes itself."""


def main(port: int, origin: int, path: str, *, routed: bool) -> None:
    """Serve until SIGTERM, as `service.serving.run` does."""
    _, headers, body = get(origin, path, ACCEPT)
    _, unchanged, _ = get(origin, path, {**ACCEPT, "If-None-Match": headers["ETag"]})
    fields, fewer = (CIMultiDict((k, v) for k, v in each.items() if k not in _OWN) for each in (headers, unchanged))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "If-None-Match" in request.headers:
            return web.Response(status=304, headers=fewer.copy())
        return web.Response(body=body, headers=fields.copy())

    async def serve_without_router() -> None:
        """Serve without an application, until SIGTERM ends the process."""
        server = web.Server(answer, access_log=None)
        await (await asyncio.get_running_loop().create_server(server, HOST, port, backlog=4096)).serve_forever()

    if routed:
        app = web.Application()
        app.router.add_get(path.partition("?")[0], answer)
        web.run_app(app, host=HOST, port=port, backlog=4096, access_log=None, print=None, loop=uvloop.new_event_loop())
    else:
        uvloop.run(serve_without_router())


ACCEPT = {"Accept": "image/jpeg,image/*;q=0.8,*/*;q=0.5"}
"""The Accept field of the requests."""

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], routed="routerless" not in sys.argv[4:])
