"""One render process and the thread that talks to it. The death of one process affects no other.

The thread writes a call and the original into one pipe, and reads the result from another. `ProcessPoolExecutor` uses
three threads for this, keeps a process idle for longer between two renders, and breaks as a whole when one process
dies. `pebble` shares one pipe among its workers, and takes up to three seconds to end a worker that does not respond.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import signal
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

import structlog

from service.errors import N_, RenderTimedOut
from service.rendering import worker
from service.rendering.decoded_mezzanines import DecodedMezzanines

T = TypeVar("T")
log = structlog.get_logger()

_START_TIMEOUT = 30.0
"""Seconds in which a new process must answer. A machine under full load takes several."""
_END_TIMEOUT = 5.0
"""Seconds to wait for the end of a killed process."""
_IDENTIFYING = 64
"""Bytes at the end of a picture that distinguish it from others of the same length."""
_PIPE_BYTES = 1_048_576
"""Bytes of each pipe's buffer. 2 MB take 1 ms to send, and 4 ms with the usual 64 KiB."""


class Job(Generic[T]):
    """A call in a render process, and the bytes that are sent for it, if any.

    *data* is dropped once it is sent. Otherwise the traceback of an error would hold it until a garbage collection.
    *subject* identifies the picture: the length of the data and its end, or the arguments if there is no data.
    """

    def __init__(self, call: Callable[..., T], args: tuple[object, ...], data: bytes | None = None) -> None:
        self.call, self.args, self.data = call, args, data
        self.subject: object = args if data is None else (len(data), data[-_IDENTIFYING:])


class DiedIdle(Exception):
    """The process died before it got the job. The job can be given to another process."""


class DiedAtWork(Exception):
    """The process died *seconds* after it got the job with that *subject*, of which the data is dropped.

    *killed* says that it was ended by SIGKILL.
    """

    def __init__(self, subject: object, seconds: float, *, killed: bool) -> None:
        super().__init__(subject, seconds, killed)
        self.subject, self.seconds, self.killed = subject, seconds, killed


class RenderProcess:
    """A spawned process that renders one picture at a time, with at most *memory_bytes* of address space (0: no limit).

    *pid* is 0 until the process is ready. *renders* counts its renders. *mezzanines* has the keys of the mezzanines
    that it keeps decoded. *worn* means that a successor is being started.
    """

    def __init__(self, memory_bytes: int) -> None:
        context = get_context("spawn")
        child_calls, self._calls = context.Pipe(duplex=False)
        self._results, child_results = context.Pipe(duplex=False)
        for pipe in (self._calls, child_results):
            _enlarge(pipe)
        self._child_ends = child_calls, child_results
        self.child = context.Process(target=worker.serve, args=(memory_bytes, *self._child_ends), daemon=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self.pid = 0
        self.renders = 0
        self.worn = False
        self.mezzanines: DecodedMezzanines[None] = DecodedMezzanines()

    @property
    def resident(self) -> int:
        """Bytes of resident memory; 0 where the system does not provide the number."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:  # reads no disk
                return int(file.read().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):
            return 0

    async def start(self) -> None:
        """Start the process, and return when it is ready. Spawning blocks for milliseconds, so the thread does it."""
        async with asyncio.timeout(_START_TIMEOUT):
            await self._in_thread(self._spawn)
            self.pid = await self._in_thread(self._exchange, Job(worker.identify, ()))

    async def perform(self, job: Job[T], timeout: float) -> T:
        """Return the result of *job*, or raise its exception.

        Raise `DiedIdle`, `DiedAtWork` or `RenderTimedOut` when the process cannot be used any more.
        """
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                return await self._in_thread(self._exchange, job)
        except TimeoutError as error:
            raise RenderTimedOut(
                N_("The picture took longer than %(seconds)s seconds to render."), {"seconds": f"{timeout:g}"}
            ) from error
        except (EOFError, OSError) as error:
            seconds = time.monotonic() - begun
            raise DiedAtWork(job.subject, seconds, killed=await self._in_thread(self._was_killed)) from error

    def kill(self) -> None:
        """Kill the process at once. It may be at work, or may still be starting."""
        if self.child.pid is not None:
            self.child.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def wait_ended(self) -> None:
        """Wait until a killed process and its thread have ended, then close the pipes."""
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
        resource_tracker.ensure_running()  # `start` would do it, and unblock these signals
        signal.pthread_sigmask(signal.SIG_BLOCK, worker.IGNORED)  # the new process inherits the mask
        self.child.start()
        weakref.finalize(self, self.child.kill)  # the interpreter would wait for the process when it exits
        for pipe in self._child_ends:
            pipe.close()  # so that the other ends report the end of the process

    def _was_killed(self) -> bool:
        """Wait for the end of a process that has closed its pipes. Return whether SIGKILL ended it."""
        self.child.join(_END_TIMEOUT)
        return self.child.exitcode == -signal.SIGKILL

    def _exchange(self, job: Job[T]) -> T:
        if wait([self.child.sentinel], 0):
            raise DiedIdle
        try:
            self._calls.send((job.call, job.args, None if job.data is None else len(job.data)))
        except BrokenPipeError as error:
            raise DiedIdle from error
        data, job.data = job.data, None
        if data is not None:
            unsent = memoryview(data)
            while unsent:
                unsent = unsent[os.write(self._calls.fileno(), unsent) :]
            del data, unsent
        succeeded, result = self._results.recv()
        if not succeeded:
            raise result
        return result  # type: ignore[no-any-return]  # the return type of `job.call`


def _enlarge(pipe: Connection) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # beyond this user's limit for pipes: the usual size works, only slower
