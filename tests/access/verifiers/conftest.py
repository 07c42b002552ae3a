"""Somebody elsewhere: a real HTTP server that answers as a test tells it to, and notes what reached it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def as_json(value: object, status: int = 200) -> Answer:
    """Answer with *value*."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(value, status=status)

    return answer


def as_text(text: str | bytes, media_type: str, status: int = 200, **headers: str) -> Answer:
    """Answer with *text*, whatever it is."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        body = text.encode() if isinstance(text, str) else text
        return web.Response(status=status, body=body, content_type=media_type, headers=headers)

    return answer


async def as_cut(request: web.BaseRequest) -> web.StreamResponse:
    """Promise more than is sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"AssociateId": 7')
    assert request.transport is not None
    request.transport.abort()
    return response


class Elsewhere:
    """Gives the answers of `answers` in turn, the last one again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [as_json({})]
        self.asked: list[web.BaseRequest] = []
        self.open = 0
        self.most_open = 0
        self._server = RawTestServer(self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(request)
        finally:
            self.open -= 1

    async def start(self) -> None:
        await self._server.start_server()

    async def reached(self, count: int) -> None:
        """Wait until *count* questions have come."""
        async with asyncio.timeout(60):
            while len(self.asked) < count:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """From here on connections are refused."""
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")


@pytest.fixture
async def elsewhere() -> AsyncIterator[Elsewhere]:
    server = Elsewhere()
    await server.start()
    yield server
    await server.stop()


def principal(**changes: Any) -> dict[str, Any]:
    """A SoPrincipalCarrier, as `User/currentPrincipal` gives it, of an employee; None takes a member away."""
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
