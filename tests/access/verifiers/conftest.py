"""A real HTTP server whose answers a test sets, and which records its requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def as_json(value: object, status: int = 200) -> Answer:
    """Answer with *value* as JSON."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return answer


def as_text(text: str | bytes, media_type: str, status: int = 200, **headers: str) -> Answer:
    """Answer with *text* as *media_type*."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        body = text.encode() if isinstance(text, str) else text
        return web.Response(status=status, body=body, content_type=media_type, headers=headers)

    return answer


async def as_cut(request: web.BaseRequest) -> web.StreamResponse:
    """Answer with less than `Content-Length` bytes."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"AssociateId": 7')
    assert request.transport is not None
    request.transport.abort()
    return response


class RemoteServer:
    """Gives `answers` in turn, and repeats the last one."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [as_json({})]
        self.requests: list[web.BaseRequest] = []
        self._active = 0
        self.max_active = 0
        self._server = RawTestServer(self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self._active += 1
        self.max_active = max(self.max_active, self._active)
        try:
            return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)
        finally:
            self._active -= 1

    async def start(self) -> None:
        await self._server.start_server()

    async def reached(self, count: int) -> None:
        """Wait until *count* requests have arrived."""
        async with asyncio.timeout(60):
            while len(self.requests) < count:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Refuse connections from now on."""
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")


@pytest.fixture
async def remote() -> AsyncIterator[RemoteServer]:
    server = RemoteServer()
    await server.start()
    yield server
    await server.stop()


def principal(**changes: Any) -> dict[str, Any]:
    """Return the SoPrincipalCarrier of an employee, as `User/currentPrincipal` returns it. None removes a member."""
    members = {
        "UserType": "InternalAssociate",
        "Associate": "tje0",
        "AssociateId": 7,
        "IsPerson": True,
        "RoleType": "Employee",
        "RoleName": "User level 1",
        "FunctionRights": ["allow-bulk-export", "hide-inbox"],
        "UserName": "tje0",
    }
    return {name: value for name, value in (members | changes).items() if value is not None}
