"""A pool of render processes: bounded waiting, a time limit that ends the process, a new one for each that dies."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from service.errors import N_, BadParameter, Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Blank, Order, Rendered
from service.pictures.ports import Observer, Outcome, Read
from service.pictures.trace import Trace
from service.rendering import worker
from service.rendering.process import DiedIdle, RenderProcess

T = TypeVar("T")
log = structlog.get_logger()

_FULL = N_("Too many pictures wait to be rendered. Try again soon.")
_RETRY = 1.0
"""Seconds before another try to start a process."""
_RECENT = 3.0
"""Seconds for which a render that succeeded proves that renders do."""


class RenderPool:
    """A `Renderer` on *workers* processes; *queue* more renders may wait. Times are seconds, memory bytes."""

    def __init__(self, observer: Observer, *, workers: int, queue: int, timeout: float, memory_bytes: int) -> None:
        self._observer = observer
        self._workers, self._queue, self._timeout, self._memory_bytes = workers, queue, timeout, memory_bytes
        self._idle: asyncio.Queue[RenderProcess] = asyncio.Queue()
        self._all: set[RenderProcess] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._succeeded_at = -math.inf
        self._ahead = asyncio.Semaphore(workers + 1)  # one more than can run: the next original is read meanwhile
        self._closing = False

    def open(self) -> None:
        """Start the processes, in the background."""
        for _ in range(self._workers):
            self._replace(None)

    async def render(self, read: Read, order: Order, trace: Trace) -> Rendered:
        async with self._turn(trace):
            return await self._run(trace, await read(), order)

    async def draw(self, blank: Blank, trace: Trace) -> bytes:
        async with self._turn(trace):
            return await self._on_worker(trace, lambda: None, None, worker.draw_blank, blank)

    async def probe(self) -> None:
        if time.monotonic() - self._succeeded_at > _RECENT:
            await self._on_worker(Trace(), lambda: None, None, worker.probe)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are ready or at work."""
        return [each.pid for each in self._all]

    async def close(self) -> None:
        """End every process."""
        self._closing = True
        await asyncio.gather(*self._starting)  # one that has not reported yet cannot be killed; it takes a moment
        for each in self._all:
            each.kill()
        await asyncio.gather(*(each.gone() for each in self._all))

    @asynccontextmanager
    async def _turn(self, trace: Trace) -> AsyncIterator[None]:
        """A turn to read an original and have it rendered; `Overloaded` when too many wait already."""
        if self._waiting >= self._queue:
            raise Overloaded(_FULL)
        self._count(+1)
        try:
            with trace.timed("queue"):
                async with asyncio.timeout(self._timeout):
                    await self._ahead.acquire()
        except TimeoutError as error:
            raise Overloaded(_FULL) from error
        finally:
            self._count(-1)
        try:
            yield
        finally:
            self._ahead.release()

    def _count(self, change: int) -> None:
        self._waiting += change
        self._observer.queued(self._waiting)

    async def _run(self, trace: Trace, original: bytes, order: Order) -> Rendered:
        """Render on the next idle process, and have it counted."""
        outcome: Outcome | None = None

        def begun() -> None:
            nonlocal outcome
            outcome = "failed"  # until it ends otherwise
            self._observer.render_started()

        try:
            rendering = self._on_worker(trace, begun, original, worker.render_next, order)
            del original  # as in `RenderProcess.finish`
            rendered = await rendering
            outcome = "finished"
            return rendered
        except RenderTimedOut:
            outcome = "timed_out"
            raise
        except BadParameter:
            outcome = "refused"  # the request's fault, and nothing was decoded
            raise
        finally:
            if outcome is not None:
                self._observer.render_ended(outcome)

    async def _on_worker(
        self, trace: Trace, begun: Callable[[], None], original: bytes | None, call: Callable[..., T], *args: object
    ) -> T:
        """The result of *call* on the next idle process. Afterwards that process, or a new one, is idle."""
        with trace.timed("queue"):
            one, future = await self._begin_on_idle(call, *args)
        begun()
        try:
            with trace.timed("render"):
                finishing, original = one.finish(future, original, self._timeout), None  # see finish
                result = await finishing
        except (RenderTimedOut, RenderWorkerDied, asyncio.CancelledError):
            self._replace(one)
            raise
        except BaseException:
            self._idle.put_nowait(one)
            raise
        self._idle.put_nowait(one)
        self._succeeded_at = time.monotonic()
        return result

    async def _begin_on_idle(self, call: Callable[..., T], *args: object) -> tuple[RenderProcess, Future[T]]:
        while True:
            one = await self._next_idle()
            try:
                return one, one.begin(call, *args)
            except DiedIdle:
                self._replace(one)

    async def _next_idle(self) -> RenderProcess:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._idle.get()
        except TimeoutError as error:
            raise Overloaded(_FULL) from error

    def _replace(self, dead: RenderProcess | None) -> None:
        if dead is not None:
            self._all.discard(dead)
            dead.kill()
            log.warning("render.worker_replaced", pid=dead.pid)
        if not self._closing:
            task = asyncio.create_task(self._start())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        while not self._closing:
            one: RenderProcess | None = None
            try:
                one = RenderProcess(self._memory_bytes)
                await one.start()
            except Exception as error:  # no descriptors, no threads, no memory: whatever it is, it may pass
                log.error("render.worker_not_started", reason=repr(error))
                if one is not None:
                    one.kill()
                await asyncio.sleep(_RETRY)
            else:
                self._all.add(one)
                self._idle.put_nowait(one)
                return
