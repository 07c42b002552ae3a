"""One render process behind a thread of its own: its death or its end concerns nobody else.

The thread writes a call and the original into one pipe and reads the result from another. (A `ProcessPoolExecutor` does
the same by way of three threads, which keeps a process idle for longer between two renders, and breaks as a whole;
`pebble` shares a pipe among its workers, and takes up to three seconds to end one that does not listen.)
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

import structlog

from service.errors import N_, RenderTimedOut, RenderWorkerDied
from service.rendering import worker
from service.rendering.decoded_mezzanines import DecodedMezzanines

T = TypeVar("T")
log = structlog.get_logger()

_START_TIMEOUT = 30.0
"""Seconds in which a new process must report; a machine under full load takes several."""
_END_TIMEOUT = 5.0
"""Seconds for which what is left of a killed process is waited for."""
_PIPE_BYTES = 1_048_576
"""Of the pipes that originals and renditions travel by: 2 MB take 1 ms, and 4 ms through the usual 64 KiB."""


class Job(Generic[T]):
    """A call in a render process, and the bytes that are sent for it, if it takes any.

    They are let go once they are sent: the frames of an error would hold them until a full collection.
    """

    def __init__(self, call: Callable[..., T], args: tuple[object, ...], data: bytes | None = None) -> None:
        self.call, self.args, self.data = call, args, data


class DiedIdle(Exception):
    """The process had died before it was given the job, which is as it was."""


class RenderProcess:
    """A spawned process that renders one picture at a time; *pid* is 0 until it is ready.

    *renders* counts them, *kept* tells which mezzanines it keeps decoded, *worn* that it is about to be replaced.
    """

    def __init__(self, memory_bytes: int) -> None:
        context = get_context("spawn")
        theirs, self._calls = context.Pipe(duplex=False)
        self._results, answers = context.Pipe(duplex=False)
        for pipe in (self._calls, answers):
            _widen(pipe)
        self._theirs = theirs, answers
        self.child = context.Process(target=worker.serve, args=(memory_bytes, theirs, answers), daemon=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self.pid = 0
        self.renders = 0
        self.worn = False
        self.kept: DecodedMezzanines[None] = DecodedMezzanines()

    @property
    def resident(self) -> int:
        """Bytes of memory that it has; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # no disk behind it
                return int(file.read().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0

    async def start(self) -> None:
        """Return when the process is ready. Spawning blocks for milliseconds, so it is done in the thread."""
        async with asyncio.timeout(_START_TIMEOUT):
            await self._in_thread(self._spawn)
            self.pid = await self._in_thread(self._exchange, Job(worker.identify, ()))

    async def perform(self, job: Job[T], timeout: float) -> T:
        """What the process makes of *job*.

        Raises what was called raises, and `DiedIdle`, `RenderTimedOut` or `RenderWorkerDied`: then the process is of no
        more use.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._in_thread(self._exchange, job)
        except TimeoutError as error:
            raise RenderTimedOut(
                N_("The picture took longer than %(seconds)s seconds to render."), {"seconds": f"{timeout:g}"}
            ) from error
        except (EOFError, OSError) as error:
            raise RenderWorkerDied(N_("The render process ended unexpectedly.")) from error

    def kill(self) -> None:
        """End the process at once, whatever it is doing, and though it may still be starting."""
        if self.child.pid is not None:
            self.child.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def gone(self) -> None:
        """Wait until nothing is left of a killed process."""
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await asyncio.to_thread(self._thread.shutdown)
                if self.child.pid is not None:
                    await asyncio.to_thread(self.child.join)
            for pipe in (self._calls, self._results):
                pipe.close()
        except TimeoutError:
            log.warning("render.worker_lingers", pid=self.pid)

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _spawn(self) -> None:
        resource_tracker.ensure_running()  # `start` does it otherwise, and unblocks these signals
        signal.pthread_sigmask(signal.SIG_BLOCK, worker.IGNORED)  # the new process inherits the mask
        self.child.start()
        weakref.finalize(self, self.child.kill)  # the interpreter's own end would wait for it
        for each in self._theirs:
            each.close()  # so that our ends tell when the process is gone

    def _exchange(self, job: Job[T]) -> T:
        if wait([self.child.sentinel], 0):
            raise DiedIdle
        data, job.data = job.data, None
        self._calls.send((job.call, job.args, None if data is None else len(data)))
        if data is not None:
            left = memoryview(data)
            while left:
                left = left[os.write(self._calls.fileno(), left) :]
            del data, left
        succeeded, result = self._results.recv()
        if not succeeded:
            raise result
        return result  # type: ignore[no-any-return]  # what `job.call` gives


def _widen(pipe: Connection) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # past what this user may have in pipes; the usual size serves, slower
