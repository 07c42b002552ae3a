"""A pool of render processes, with a bounded queue and a time limit for each job."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from service.bounded_queue import QueueFull
from service.errors import N_, BadParameter, Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Encoding, Limits, Order, Placeholder, Rendered
from service.pictures.demand import Demand
from service.pictures.ports import FULL, MezzanineReceiver, Observer, Outcome, Read
from service.pictures.trace import Trace
from service.pictures.values import MezzanineFile, OriginalChanged
from service.rendering import calls
from service.rendering.costs import Costs
from service.rendering.kills import Kills
from service.rendering.process import DiedAtWork, DiedIdle, Job, RenderProcess
from service.rendering.render_queue import RenderQueue
from service.rendering.sandbox.layers import Mode
from service.rendering.slots import RenderSlots
from service.rendering.supervisor import Supervisor
from service.system.open_file import FileUnread

T = TypeVar("T")
MakeJob = Callable[[RenderProcess], Job[T]]
Done = tuple[RenderProcess, T]
"""The process of a job, which the caller must release, and the result."""
log = structlog.get_logger()

_RECENT = 3.0
"""Seconds during which a job that succeeded answers `probe`."""
_LONG = 2.0
"""Seconds of a long render. If its clients have left and other orders wait, it is ended."""


class _BegunRender:
    """A render that has begun, for the clients of *demand* (None: unknown). *expected* is its duration in seconds."""

    def __init__(self, demand: Demand | None, expected: float) -> None:
        self.demand, self._expected, self._begun = demand, expected, time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since its beginning."""
        return time.monotonic() - self._begun

    @property
    def is_long(self) -> bool:
        """Whether the rest of it is expected to be long. A late render is expected to be late once more as much."""
        return abs(self._expected - self.seconds) > _LONG


class RenderPool:
    """A `Renderer` with *workers* processes. At most *queue* jobs wait, and each job takes at most *timeout* seconds.

    A job whose process dies is tried once more in another process, if *timeout* seconds from its beginning suffice.

    Each process has at most *memory_bytes* of address space (0: no limit), and is in a *sandbox*. *slots* bound the
    processes that are at work at the same time, in all pools that share them.
    """

    def __init__(
        self,
        observer: Observer,
        *,
        workers: int,
        queue: int,
        timeout: float,
        memory_bytes: int,
        sandbox: Mode = "auto",
        slots: RenderSlots | None = None,
    ) -> None:
        self._observer, self._timeout = observer, timeout
        self._supervisor = Supervisor(observer, workers, memory_bytes, sandbox, slots)
        # One more place than processes, so that the next original is read.
        self._queue = RenderQueue(workers + 1, queue, observer.queued)
        self._mezzanine_tasks: set[asyncio.Task[None]] = set()
        self._succeeded_at = -math.inf
        self._kills = Kills()
        self.costs = Costs()
        self._begun: set[_BegunRender] = set()

    def open(self) -> None:
        """Start the processes in the background."""
        self._supervisor.open()

    async def render_original(
        self, read: Read, order: Order, trace: Trace, receiver: MezzanineReceiver | None = None
    ) -> Rendered:
        async def attempt() -> Done[Rendered]:
            source = await read()
            job = Job(calls.RENDER_ORIGINAL, (order, receiver is not None and receiver.is_awaited()), source)
            del source  # so that the job holds the only reference
            with job:
                return await self._run_counted(trace, order, lambda _: job)

        seconds = self.costs.expected(order.format, trace.pixels)
        process, rendered = await self._in_turn(trace, attempt, seconds)
        idle = self._queue.waiting + self._supervisor.waiting == 0
        if receiver is not None and rendered.mezzanine_possible and (receiver.is_awaited() or idle):
            task = asyncio.create_task(self._make_mezzanine(process, receiver))
            self._mezzanine_tasks.add(task)
            task.add_done_callback(self._mezzanine_tasks.discard)
        else:
            self._supervisor.release(process)
            if receiver is not None:
                await receiver.receive(None, impossible=not rendered.mezzanine_possible)
        return rendered

    async def render_mezzanine(self, mezzanine: MezzanineFile, order: Order, trace: Trace) -> Rendered:
        key = mezzanine.key

        def make_job(process: RenderProcess) -> Job[Rendered]:
            if key in process.mezzanines:
                process.mezzanines.use(key)
                return Job(calls.RENDER_DECODED_MEZZANINE, (order, key))
            return Job(calls.RENDER_MEZZANINE, (order, key, mezzanine.reduction), mezzanine.data)

        seconds = self.costs.expected(order.format, trace.pixels)
        process, rendered = await self._in_turn(trace, lambda: self._run_counted(trace, order, make_job, key), seconds)
        process.mezzanines.keep(key, None)
        self._supervisor.release(process)
        return rendered

    async def admit(self, read: Read, limits: Limits, strip: Encoding | None, trace: Trace) -> bytes | None:
        async def attempt() -> Done[bytes | None]:
            with Job(calls.ADMIT_UPLOAD, (limits, strip), await read()) as job:
                return await self._run(trace, lambda _: job)

        process, stripped = await self._in_turn(trace, attempt)
        self._supervisor.release(process)
        return stripped

    async def draw(self, placeholder: Placeholder, trace: Trace) -> bytes:
        job = Job(calls.DRAW_PLACEHOLDER, (placeholder,))
        before = trace.seconds.get("render", 0.0)
        process, drawn = await self._in_turn(trace, lambda: self._run(trace, lambda _: job))
        self._supervisor.release(process)
        self._observer.rendered(placeholder.format, "placeholder", trace.seconds["render"] - before)
        return drawn

    async def probe(self) -> None:
        if time.monotonic() - self._succeeded_at > _RECENT:
            process, _ = await self._try_twice(lambda: self._run(Trace(), lambda _: Job(calls.PROBE, ())))
            self._supervisor.release(process)

    def is_ready(self) -> bool:
        """Return whether a process has started."""
        return self._supervisor.ready

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that are idle or at work."""
        return self._supervisor.pids

    async def close(self) -> None:
        """End every process."""
        await self._supervisor.close()
        await asyncio.gather(*self._mezzanine_tasks)  # they end, since their processes have ended

    async def _in_turn(self, trace: Trace, attempt: Callable[[], Awaitable[T]], seconds: float = 0.0) -> T:
        """Wait in the queue until an original may be read and rendered, which takes *seconds*. Then do `_try_twice`.

        Raise `Overloaded` when the turn does not come in time.
        """
        with trace.timed("queue"):
            try:
                await self._queue.enter(trace.wait_limit(self._timeout), trace.demand, trace.owner, seconds)
            except QueueFull as error:
                raise Overloaded(FULL) from error
        try:
            return await self._try_twice(attempt)
        finally:
            self._queue.leave()

    async def _try_twice(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of *attempt*, which is called once more if its process dies.

        Raise `RenderWorkerDied` if the second process dies too, or if the time limit of the first render passes. A
        process that was killed counts against the picture only if no process of another picture was.
        """
        try:
            return await attempt()
        except DiedAtWork as death:
            deaths = [death]
        try:
            async with asyncio.timeout(self._timeout - deaths[0].seconds):
                return await attempt()
        except DiedAtWork as death:
            deaths.append(death)
        except (TimeoutError, Overloaded, RenderTimedOut):
            pass  # the first death has used up the time
        strikes = sum(not (each.killed and self._kills.concern_others(each.subject)) for each in deaths)
        raise RenderWorkerDied(N_("The render process ended unexpectedly."), strikes=strikes)

    async def _run_counted(self, trace: Trace, order: Order, make_job: MakeJob[T], key: str = "") -> Done[T]:
        """Do the same as `_run`, and report the start and the outcome of the render to the observer.

        A render that has begun continues when its clients leave, unless it is long and others wait.
        """
        process = await self._idle_process(trace, key)
        self._observer.render_started()
        self._observer.took("queue", trace.seconds["queue"])
        outcome: Outcome = "failed"
        begun = _BegunRender(trace.demand, self.costs.expected(order.format, trace.pixels))
        self._begun.add(begun)
        try:
            result = await self._run_on(process, trace, make_job, key)
            outcome = "finished"
            self.costs.add(order.format, trace.pixels, seconds := begun.seconds)
            self._observer.rendered(order.format, "mezzanine" if key else "original", seconds)
            return result
        except asyncio.CancelledError:
            if trace.demand is not None and trace.demand.abandoned:
                outcome = "abandoned"
            raise
        except RenderTimedOut:
            outcome = "timed_out"
            raise
        except (BadParameter, OriginalChanged):
            outcome = "refused"  # before anything was decoded
            raise
        finally:
            self._begun.discard(begun)
            self._observer.render_ended(outcome)

    def _end_abandoned(self) -> None:
        """If orders wait for a process, end the long renders whose clients have left. Their processes are replaced."""
        if self._supervisor.waiting:
            for render in list(self._begun):
                if render.demand is not None and render.demand.abandoned and render.is_long:
                    render.demand.abandon()

    async def _run(self, trace: Trace, make_job: MakeJob[T], key: str = "") -> Done[T]:
        """Run a job on the next idle process, and return the process, which the caller must release, and the result.

        A process that keeps the mezzanine *key* decoded is preferred. When the job fails, its process is released or
        replaced here. Raise `DiedAtWork` when the process dies.
        """
        return await self._run_on(await self._idle_process(trace, key), trace, make_job, key)

    async def _idle_process(self, trace: Trace, key: str) -> RenderProcess:
        with trace.timed("queue"):
            if not self._supervisor.idle:
                asyncio.get_running_loop().call_soon(self._end_abandoned)  # when this order waits
            try:
                process = await self._supervisor.take(trace.wait_limit(self._timeout), key)
            except TimeoutError as error:
                raise Overloaded(FULL) from error
        trace.begin()
        if trace.demand is not None:
            trace.demand.hold(self._end_abandoned)
        return process

    async def _run_on(self, process: RenderProcess, trace: Trace, make_job: MakeJob[T], key: str) -> Done[T]:
        while True:
            job = make_job(process)
            try:
                try:
                    with trace.timed("render"):
                        result = await process.perform(job, self._timeout)
                        if isinstance(result, Rendered):
                            trace.rendered(result.decoding, result.encoding)
                except FileUnread:
                    with trace.timed("store"):
                        await job.read_file()
                    continue
                break
            except DiedIdle:
                self._supervisor.replace(process, died=True)
                process = await self._idle_process(trace, key)
            except DiedAtWork as death:
                self._replace_dead(process, death)
                raise
            except (RenderTimedOut, asyncio.CancelledError):
                self._supervisor.replace(process, died=False)
                raise
            except BaseException:
                self._supervisor.release(process)
                raise
        process.renders += 1
        self._succeeded_at = time.monotonic()
        return process, result

    def _replace_dead(self, process: RenderProcess, death: DiedAtWork) -> None:
        if death.killed:
            self._kills.add(death.subject)
        self._supervisor.replace(process, died=True)

    async def _make_mezzanine(self, process: RenderProcess, receiver: MezzanineReceiver) -> None:
        """Make the mezzanine of the original that *process* has just rendered, then release the process."""
        mezzanine, impossible = None, False
        try:
            made = await process.perform(Job(calls.MAKE_MEZZANINE, (receiver.key,)), self._timeout)
        except DiedAtWork as death:
            self._replace_dead(process, death)
        except DiedIdle:
            self._supervisor.replace(process, died=True)
        except (RenderTimedOut, asyncio.CancelledError):
            self._supervisor.replace(process, died=False)
        except Exception as error:  # the rendition was made, so the request has not failed
            log.warning("render.no_mezzanine", reason=repr(error))
            self._supervisor.release(process)
        else:
            impossible = made is None
            if made is not None:
                process.mezzanines.keep(receiver.key, None)
                mezzanine = MezzanineFile(receiver.key, *made)
            self._supervisor.release(process)
        finally:
            await receiver.receive(mezzanine, impossible=impossible)
