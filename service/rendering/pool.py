"""A pool of render processes: bounded waiting, and a time limit that ends a process."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog

from service.errors import BadParameter, Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Blank, Encoding, Limits, Order, Rendered
from service.pictures.ports import FULL, MezzanineReceiver, Observer, Outcome, Read
from service.pictures.trace import Trace
from service.pictures.values import MezzanineFile
from service.rendering import worker
from service.rendering.process import DiedIdle, Job, RenderProcess
from service.rendering.slots import RenderSlots
from service.rendering.supervisor import Supervisor

T = TypeVar("T")
log = structlog.get_logger()

_RECENT = 3.0
"""Seconds for which a render that succeeded proves that renders do."""


class RenderPool:
    """A `Renderer` on *workers* processes; *queue* more renders may wait. Times are seconds, memory bytes.

    *slots* are shared with other services' processes, where there are too many of them.
    """

    def __init__(
        self,
        observer: Observer,
        *,
        workers: int,
        queue: int,
        timeout: float,
        memory_bytes: int,
        slots: RenderSlots | None = None,
    ) -> None:
        self._observer, self._queue, self._timeout = observer, queue, timeout
        self._supervisor = Supervisor(workers, memory_bytes, slots)
        self._waiting = 0
        self._succeeded_at = -math.inf
        self._ahead = asyncio.Semaphore(workers + 1)  # one more than can run: the next original is read meanwhile
        self._afterwards: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Start the processes, in the background."""
        self._supervisor.open()

    async def render_original(
        self, read: Read, order: Order, trace: Trace, receiver: MezzanineReceiver | None = None
    ) -> Rendered:
        async with self._turn(trace):
            data = await read()
            job = Job(worker.render_original, (order, receiver is not None and receiver.is_awaited()), data)
            del data  # the job lets it go
            one, rendered = await self._counted(trace, lambda _: job)
        idle = self._waiting + self._supervisor.waiting == 0
        if receiver is not None and rendered.mezzanine_possible and (receiver.is_awaited() or idle):
            task = asyncio.create_task(self._leave(one, receiver))
            self._afterwards.add(task)
            task.add_done_callback(self._afterwards.discard)
        else:
            self._supervisor.release(one)
            if receiver is not None:
                await receiver.receive(None, impossible=not rendered.mezzanine_possible)
        return rendered

    async def render_mezzanine(self, master: MezzanineFile, order: Order, trace: Trace) -> Rendered:
        key = master.key

        def job(one: RenderProcess) -> Job[Rendered]:
            if key in one.kept:
                one.kept.used(key)
                return Job(worker.render_kept, (order, key))
            return Job(worker.render_mezzanine, (order, key, master.reduction), master.data)

        async with self._turn(trace):
            one, rendered = await self._counted(trace, job, key)
        one.kept.keep(key, None)
        self._supervisor.release(one)
        return rendered

    async def admit(self, read: Read, limits: Limits, strip: Encoding | None) -> bytes | None:
        trace = Trace()
        async with self._turn(trace):
            job = Job(worker.admit_upload, (limits, strip), await read())
            one, instead = await self._on_worker(trace, lambda: None, lambda _: job)
        self._supervisor.release(one)
        return instead

    async def draw(self, blank: Blank, trace: Trace) -> bytes:
        async with self._turn(trace):
            one, drawn = await self._on_worker(trace, lambda: None, lambda _: Job(worker.draw_blank, (blank,)))
        self._supervisor.release(one)
        return drawn

    async def probe(self) -> None:
        if time.monotonic() - self._succeeded_at > _RECENT:
            one, _ = await self._on_worker(Trace(), lambda: None, lambda _: Job(worker.probe, ()))
            self._supervisor.release(one)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are ready or at work."""
        return self._supervisor.pids

    async def close(self) -> None:
        """End every process."""
        await self._supervisor.close()
        await asyncio.gather(*self._afterwards)  # their processes have ended, and so do they

    @asynccontextmanager
    async def _turn(self, trace: Trace) -> AsyncIterator[None]:
        """A turn to read an original and have it rendered; `Overloaded` when too many wait already."""
        if self._waiting >= self._queue:
            raise Overloaded(FULL)
        self._count(+1)
        try:
            with trace.timed("queue"):
                async with asyncio.timeout(self._timeout):
                    await self._ahead.acquire()
        except TimeoutError as error:
            raise Overloaded(FULL) from error
        finally:
            self._count(-1)
        try:
            yield
        finally:
            self._ahead.release()

    def _count(self, change: int) -> None:
        self._waiting += change
        self._observer.queued(self._waiting)

    async def _counted(
        self, trace: Trace, job: Callable[[RenderProcess], Job[T]], key: str = ""
    ) -> tuple[RenderProcess, T]:
        """As `_on_worker`, and have it counted."""
        outcome: Outcome | None = None

        def begun() -> None:
            nonlocal outcome
            if outcome is None:  # not when it is begun again, on another process
                outcome = "failed"  # until it ends otherwise
                self._observer.render_started()

        try:
            done = await self._on_worker(trace, begun, job, key)
            outcome = "finished"
            return done
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
        self, trace: Trace, begun: Callable[[], None], job: Callable[[RenderProcess], Job[T]], key: str = ""
    ) -> tuple[RenderProcess, T]:
        """The result of a job on the next idle process, and that process, which the caller must release.

        When it fails, that process is idle again, or replaced.
        """
        while True:
            with trace.timed("queue"):
                one = await self._idle(key)
            begun()
            try:
                with trace.timed("render"):
                    result = await one.perform(job(one), self._timeout)
                break
            except DiedIdle:
                self._supervisor.replace(one)
            except (RenderTimedOut, RenderWorkerDied, asyncio.CancelledError):
                self._supervisor.replace(one)
                raise
            except BaseException:
                self._supervisor.release(one)
                raise
        one.renders += 1
        self._succeeded_at = time.monotonic()
        return one, result

    async def _idle(self, key: str) -> RenderProcess:
        try:
            return await self._supervisor.take(self._timeout, key)
        except TimeoutError as error:
            raise Overloaded(FULL) from error

    async def _leave(self, one: RenderProcess, receiver: MezzanineReceiver) -> None:
        """Have the mezzanine made of what *one* has just rendered, after the answer; then it is idle again."""
        master, impossible = None, False
        try:
            made = await one.perform(Job(worker.leave_mezzanine, (receiver.key,)), self._timeout)
        except (DiedIdle, RenderTimedOut, RenderWorkerDied, asyncio.CancelledError):
            self._supervisor.replace(one)
        except Exception as error:  # the rendition was made, and this is worth no more than a try
            log.warning("render.no_mezzanine", reason=repr(error))
            self._supervisor.release(one)
        else:
            impossible = made is None
            if made is not None:
                one.kept.keep(receiver.key, None)
                master = MezzanineFile(receiver.key, *made)
            self._supervisor.release(one)
        finally:
            await receiver.receive(master, impossible=impossible)
