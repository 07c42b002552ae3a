"""The clients of `service/load`, on the port of a process of the benchmarks.

Unlike `wrk` they can send an exact number of requests, each of them once, or a thousand at once, and check each answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping

from service.load import clients as shared
from service.load.clients import Answer, Client
from tools.bench.instruments.processes import HOST


def request(path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> bytes:
    """Return a request as bytes."""
    return shared.request(method, path, {"Host": HOST, **(headers or {})})


async def connected(port: int, count: int) -> list[Client]:
    """Return *count* connected clients of *port*."""
    return await shared.connected(HOST, port, count)


async def converse(clients: list[Client], requests: Iterator[bytes], receive: Callable[[Answer], None]) -> None:
    """Let *clients* send *requests*, each the next one when it has its answer, and call *receive* with each answer."""
    await asyncio.gather(*(client.converse(requests, receive) for client in clients))


def succeeded(answer: Answer) -> None:
    """Raise RuntimeError, which ends the benchmark, when an answer is not a success."""
    if answer.status not in (200, 304):
        raise RuntimeError(f"a request failed: {answer.header.decode('latin-1')}")


async def request_all(port: int, paths: Iterable[str], headers: Mapping[str, str], count: int) -> None:
    """Request every path once over *count* connections, so that all are cached."""
    clients = await connected(port, count)
    await converse(clients, (request(path, headers) for path in paths), succeeded)
    for client in clients:
        client.close()
