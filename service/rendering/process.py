"""One render process behind an executor of its own: its death or its end concerns nobody else.

(An executor of several breaks as a whole. `pebble` shares a pipe among its workers, breaks as a whole when an idle one
is killed, and takes up to three seconds to end one that does not listen.)
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import structlog

from service.errors import N_, RenderTimedOut, RenderWorkerDied
from service.rendering import worker

T = TypeVar("T")
log = structlog.get_logger()

_START_TIMEOUT = 30.0
"""Seconds in which a new process must report; a machine under full load takes several."""
_END_TIMEOUT = 5.0
"""Seconds for which the executor of a killed process is waited for."""
_PIPE_BYTES = 1_048_576
"""Of the pipe that originals travel by: 2 MB take 1 ms through it, and 4 ms through an executor's usual 64 KiB."""


class DiedIdle(Exception):
    """The process had died before it was given anything to do."""


class _Spawning(SpawnContext):
    """Spawns processes, and remembers the last, so that one can be killed that has not said its id yet."""

    child: BaseProcess | None = None

    def Process(self, *args: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # a class there
        self.child = child = SpawnProcess(*args, **options)
        return child


class RenderProcess:
    """A spawned process that renders one picture at a time; *pid* is 0 until it is ready."""

    def __init__(self, memory_bytes: int) -> None:
        context = _Spawning()
        self._theirs, self._ours = context.Pipe(duplex=False)
        _widen(self._ours)
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="originals")
        self._context = context
        self._executor = ProcessPoolExecutor(
            1, mp_context=context, initializer=worker.begin, initargs=(memory_bytes, self._theirs)
        )
        self.pid = 0

    @property
    def child(self) -> BaseProcess | None:
        """The process, once it has been spawned."""
        return self._context.child

    async def start(self) -> None:
        """Return when the process is ready. Spawning blocks for milliseconds, so it is done in a thread."""
        future = await asyncio.to_thread(self._executor.submit, worker.identify)
        async with asyncio.timeout(_START_TIMEOUT):
            self.pid = await asyncio.wrap_future(future)
        self._theirs.close()  # so that our end tells when the process is gone

    def begin(self, call: Callable[..., T], *args: Any) -> Future[T]:
        """Set the process to *call*. Raises `DiedIdle`."""
        if self.child is None or wait([self.child.sentinel], 0):
            raise DiedIdle  # the executor may not have noticed yet
        try:
            return self._executor.submit(call, *args)
        except BrokenProcessPool as error:
            raise DiedIdle from error

    async def finish(self, future: Future[T], original: bytes | None, timeout: float) -> T:
        """The result of what was begun, for which *original* is sent, unless it needs none.

        Raises what was called raises, and `RenderTimedOut` or `RenderWorkerDied`: then the process is of no more use.
        """
        try:
            async with asyncio.timeout(timeout):
                if original is not None:
                    await asyncio.get_running_loop().run_in_executor(self._sender, self._send, original)
                    original = None  # the frames of an error would hold it until a full collection
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise RenderTimedOut(
                N_("The picture took longer than %(seconds)s seconds to render."), {"seconds": f"{timeout:g}"}
            ) from error
        except BrokenProcessPool as error:
            raise RenderWorkerDied(N_("The render process ended unexpectedly.")) from error

    def kill(self) -> None:
        """End the process at once, whatever it is doing, and though it may still be starting."""
        if self.child is not None:
            self.child.kill()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._sender.shutdown(wait=False, cancel_futures=True)

    async def gone(self) -> None:
        """Wait until nothing is left of a killed process; its executor must not meet the interpreter's own end."""
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await asyncio.to_thread(self._executor.shutdown)
        except TimeoutError:
            log.warning("render.worker_lingers", pid=self.pid)

    def _send(self, original: bytes) -> None:
        try:
            self._ours.send_bytes(original)
        except OSError:
            pass  # the process has died, as its future tells as well


def _widen(pipe: Connection) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # past what this user may have in pipes; the usual size serves, slower
