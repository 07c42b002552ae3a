"""An open loop: requests are sent at times that are chosen before, whether or not earlier ones have been answered.

A latency begins at the chosen time, so a service that stalls is charged for every request that should have been sent.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from service.load.clients import Answer, Client

Connect = Callable[[int], Awaitable[list[Client]]]
"""Returns this number of connected clients. Raises OSError or TimeoutError."""

_CONNECTIONS = 128
"""Connections at the beginning. Another one is opened for a request that finds none idle."""
_MAX_CONNECTIONS = 3000
"""Connections at most. A request that finds none idle then is an error of the client."""
_LAST_ANSWERS = 20.0
"""Seconds to wait for the last answers."""
NOT_SENT = "no connection"
"""The beginning of the fault of a request that was not sent."""
NO_CONNECTION = f"{NOT_SENT} left in the client"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request.

    *at* is when it was to be sent, in seconds from the beginning; *lag* is how many seconds later it was sent, and
    *seconds* the time from *at* to its answer. Without an answer *status* is 0, and *fault* says why.
    """

    number: int
    at: float
    lag: float
    seconds: float
    status: int
    header: bytes = b""
    size: int = 0
    fault: str = ""


class OpenLoop:
    """The connections, and the outcomes so far. *keep* makes the header that an outcome has.

    *pending* has when each request without an outcome was to be sent, and how late it was sent, by number.
    """

    def __init__(self, connect: Connect, keep: Callable[[bytes], bytes] = bytes) -> None:
        self._connect, self._keep = connect, keep
        self._idle: deque[Client] = deque()  # in turn, so that all processes of a service get requests
        self._busy: set[Client] = set()
        self._count = 0
        self.pending: dict[int, tuple[float, float]] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._all_answered = asyncio.Event()
        self.outcomes: list[Outcome] = []

    async def run(self, schedule: Iterable[tuple[float, bytes]], sent: Callable[[], None] | None = None) -> bool:
        """Send each request of *schedule* at its seconds from now, call *sent*, and wait for the last answers.

        A cancellation ends the sending alone. Return whether all requests were sent.
        """
        self._idle.extend(await self._connect(_CONNECTIONS))
        self._count = len(self._idle)
        gc.freeze()
        try:
            await self._send_all(schedule)
            complete = True
        except asyncio.CancelledError:
            complete = False
        if sent is not None:
            sent()
        self._all_answered.clear()
        if self.pending:
            try:
                await asyncio.wait_for(self._all_answered.wait(), _LAST_ANSWERS)
            except TimeoutError:
                for number in list(self.pending):
                    self._finish(number, 0, fault=f"no answer {_LAST_ANSWERS:g} s after the last request")
        for task in self._opening:
            task.cancel()
        for client in (*self._idle, *self._busy):
            client.close()
        gc.unfreeze()
        return complete

    async def _send_all(self, schedule: Iterable[tuple[float, bytes]]) -> None:
        self._begun = time.perf_counter()
        for number, (at, request) in enumerate(schedule):
            due = self._begun + at
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif not number % 16:
                await asyncio.sleep(0)  # answers are read although the next request is late already
            self._send(number, at, request)

    def _send(self, number: int, at: float, request: bytes) -> None:
        now = time.perf_counter() - self._begun
        at = min(at, now)  # a timer may end up to a millisecond early
        self.pending[number] = at, now - at
        while self._idle and self._idle[0].closed:
            self._idle.popleft()
            self._count -= 1
        if self._idle:
            self._converse(self._idle.popleft(), number, request)
        elif self._count < _MAX_CONNECTIONS:
            self._count += 1
            task = asyncio.create_task(self._open(number, request))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._finish(number, 0, fault=NO_CONNECTION)

    async def _open(self, number: int, request: bytes) -> None:
        try:
            (client,) = await self._connect(1)
        except (OSError, TimeoutError) as error:
            self._count -= 1
            self._finish(number, 0, fault=f"{NOT_SENT}: {error or 'no answer in time'}")
        else:
            self._converse(client, number, request)

    def _converse(self, client: Client, number: int, request: bytes) -> None:
        def receive(answer: Answer) -> None:
            self._finish(number, answer.status, self._keep(answer.header), answer.size)

        def finished(done: asyncio.Future[None]) -> None:
            self._busy.discard(client)
            if (error := done.exception()) is None:
                self._idle.append(client)
            else:
                self._count -= 1
                client.close()
                self._finish(number, 0, fault=str(error))

        self._busy.add(client)
        client.converse(iter((request,)), receive, longest_body=0).add_done_callback(finished)

    def _finish(self, number: int, status: int, header: bytes = b"", size: int = 0, fault: str = "") -> None:
        """Add the outcome of the request, unless it has one already."""
        if (sent := self.pending.pop(number, None)) is None:
            return
        at, lag = sent
        taken = time.perf_counter() - self._begun - at
        self.outcomes.append(Outcome(number, at, lag, taken, status, header, size, fault))
        if not self.pending:
            self._all_answered.set()
