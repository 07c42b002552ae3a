"""One render process, and the socket and the pipe to it. The death of one process affects no other.

Calls, open files and results pass through the socket, by the event loop. Bytes pass through the pipe, by a thread.
`ProcessPoolExecutor` uses three threads, keeps a process idle for longer between two renders, and breaks as a whole
when one process dies. `pebble` shares one pipe among its workers, and takes up to three seconds to end a worker that
does not respond.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

import structlog

from service.errors import N_, PictureError, RenderTimedOut
from service.protocol.languages import places
from service.rendering import calls, replies
from service.rendering.channel import Channel
from service.rendering.decoded_mezzanines import DecodedMezzanines
from service.rendering.launch import launch
from service.rendering.sandbox.layers import REQUIRED, Layers, Mode, missing
from service.system.open_file import FileIdentity, OpenFile
from service.system.processes import resident

T = TypeVar("T")
log = structlog.get_logger()

_START_TIMEOUT = 30.0
"""Seconds in which a new process must answer. A machine under full load takes several."""
_END_TIMEOUT = 5.0
"""Seconds to wait for the end of a killed process."""
_IDENTIFYING = 64
"""Bytes at the end of a picture that distinguish it from others of the same length."""
_PIPE_BYTES = 1_048_576
"""Bytes of the pipe's buffer. 2 MB take 1 ms to send, and 4 ms with the usual 64 KiB."""


class Job(Generic[T]):
    """A call in a render process, and its first argument: bytes that are sent, a file whose bytes are read, or none.

    *data* is dropped once it is sent. Otherwise the traceback of an error would hold it until a garbage collection.
    *file* is closed once it is sent. *subject* identifies the picture: the length of the data and its end, the picture
    of the file, or the arguments if there is neither.
    """

    def __init__(self, call: calls.Call[T], args: tuple[object, ...], source: bytes | OpenFile | None = None) -> None:
        self.call, self.args = call, args
        self.file = source if isinstance(source, OpenFile) else None
        self.data = None if isinstance(source, OpenFile) else source
        self.subject: object = args
        if self.file is not None:
            self.subject = self.file.picture
        elif self.data is not None:
            self.subject = len(self.data), self.data[-_IDENTIFYING:]

    async def read_file(self) -> None:
        """Read the file by the store, so that its bytes are sent. Raise the errors of the store."""
        assert self.file is not None
        file, self.file = self.file, None
        self.data = await file.read()

    def __enter__(self) -> Job[T]:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()


class DiedIdle(Exception):
    """The process died before it got the job. The job can be given to another process."""


class DiedAtWork(Exception):
    """The process died *seconds* after it got the job with that *subject*, of which the data is dropped.

    *killed* says that it was ended by SIGKILL.
    """

    def __init__(self, subject: object, seconds: float, *, killed: bool) -> None:
        super().__init__(subject, seconds, killed)
        self.subject, self.seconds, self.killed = subject, seconds, killed


class NoSandbox(Exception):
    """A required layer of the sandbox is missing."""


class RenderProcess:
    """A process that renders one picture at a time, with at most *memory_bytes* of address space (0: no limit).

    *sandbox* is whether it may or must enter a sandbox, and *layers* are those that it has entered. *on_end* is called
    once if the process ends by itself, or must not be used any more. *pid* is 0 until the process is ready. *renders*
    counts its renders. *mezzanines* has the keys of the mezzanines that it keeps decoded. *worn* means that a successor
    is being started.
    """

    def __init__(
        self, memory_bytes: int, sandbox: Mode = "auto", on_end: Callable[[RenderProcess], None] = lambda _: None
    ) -> None:
        self._memory_bytes, self._sandbox, self._on_end = memory_bytes, sandbox, on_end
        own_end, self._child_end = socket.socketpair()
        self._channel = Channel(own_end, self._ended)
        child_data, data = os.pipe()
        _enlarge(data)
        self._child_data, self._data = os.fdopen(child_data, "rb", 0), os.fdopen(data, "wb", 0)
        self.child: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        self.pid = 0
        self.layers: Layers = {}
        self.renders = 0
        self.worn = False
        self._unusable = False
        self.mezzanines: DecodedMezzanines[None] = DecodedMezzanines()

    @property
    def resident(self) -> int:
        """Bytes of resident memory; 0 where the system does not provide the number."""
        return resident(self.pid)

    async def start(self) -> None:
        """Start the process, and return when it is ready. Spawning blocks for milliseconds, so the thread does it.

        Raise `NoSandbox` if its sandbox lacks a layer that is required.
        """
        self._channel.open()
        async with asyncio.timeout(_START_TIMEOUT):
            await self._in_thread(self._spawn)
            self.layers = await self._exchange(Job(calls.SANDBOX_LAYERS, ()))
        if self._sandbox == "require" and (lacks := missing(self.layers, REQUIRED)):
            raise NoSandbox(f"the kernel has no {', '.join(lacks)} for the sandbox of a render process")
        assert self.child is not None
        self.pid = self.child.pid

    async def perform(self, job: Job[T], timeout: float) -> T:
        """Return the result of *job*, or raise its exception.

        Raise `DiedIdle`, `DiedAtWork` or `RenderTimedOut` when the process cannot be used any more.
        """
        begun, on_processor = time.monotonic(), _processor_seconds(self.pid)
        try:
            async with asyncio.timeout(timeout):
                return await self._exchange(job)
        except TimeoutError as error:
            idle = _processor_seconds(self.pid) - on_processor < timeout / 2
            raise RenderTimedOut(
                N_("The picture took longer than %(seconds)s seconds to render."),
                {"seconds": f"{timeout:g}"},
                strikes=0 if idle else 1,
            ) from error
        except (EOFError, OSError) as error:
            seconds = time.monotonic() - begun
            killed = not self._unusable and await self._in_thread(self._was_killed)
            raise DiedAtWork(job.subject, seconds, killed=killed) from error

    def kill(self) -> None:
        """Kill the process at once. It may be at work, or may still be starting."""
        if self.child is not None:
            self.child.kill()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def wait_ended(self) -> None:
        """Wait until a killed process and its thread have ended, then close the socket and the pipe."""
        try:
            async with asyncio.timeout(_END_TIMEOUT):
                await asyncio.to_thread(self._thread.shutdown)
                if self.child is not None:
                    self.child.kill()  # it may have been spawned since
                    await asyncio.to_thread(self.child.wait)
            self._channel.close()
            self._data.close()
            self._close_child_ends()  # the process may never have been spawned
        except TimeoutError:
            log.warning("render.worker_lingers", pid=self.pid)

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _spawn(self) -> None:
        ends = self._child_end.fileno(), self._child_data.fileno()
        self.child = launch(self._memory_bytes, self._sandbox != "off", *ends)
        self._close_child_ends()  # so that the other ends report the end of the process

    def _close_child_ends(self) -> None:
        self._child_end.close()
        self._child_data.close()

    def _was_killed(self) -> bool:
        """Wait for the end of a process that has closed its socket. Return whether SIGKILL ended it."""
        assert self.child is not None
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(_END_TIMEOUT)
        return self.child.returncode == -signal.SIGKILL

    async def _exchange(self, job: Job[T]) -> T:
        source: FileIdentity | int | None = None if job.data is None else len(job.data)
        descriptor = None
        if job.file is not None:
            source, descriptor = job.file.identity, job.file.descriptor
        try:
            answer = await self._channel.send(job.call, job.args, source, descriptor)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise DiedIdle from error
        if job.file is not None:
            job.file.close()
        if job.data is not None:
            sending = self._in_thread(self._write, job.data)
            job.data = None
            await sending
        if (frame := await answer) is None:
            raise EOFError
        try:
            return result_of(frame, job.call)
        except replies.BadReply as fault:
            self._channel.end_receiving()
            self._ended(fault)
            raise EOFError from fault

    def _ended(self, fault: replies.BadReply | None) -> None:
        """Tell that the process cannot be used any more. With *fault*, a picture may have taken it over: kill it."""
        if fault is not None and self.child is not None:
            self._unusable = True
            self.child.kill()
            log.error("render.bad_reply", pid=self.pid, reason=str(fault))
        self._on_end(self)

    def _write(self, data: bytes) -> None:
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[os.write(self._data.fileno(), unsent) :]


def result_of(frame: bytearray, call: calls.Call[T]) -> T:
    """Return the result in *frame* of *call*, or raise its exception. Raise `BadReply` for an unknown message too.

    A message that a picture has chosen may have a place with a width of a thousand million characters.
    """
    try:
        return replies.result(frame, call.read)
    except PictureError as error:
        named = places(error.message)
        if named is None or not named <= error.values.keys():
            raise replies.BadReply("an error with an unknown message") from None
        raise


def _processor_seconds(pid: int) -> float:
    """Return the seconds that the process has been on a processor; infinity where the system does not provide it."""
    if sys.platform != "linux":
        return math.inf  # the difference of two is not a number, and no comparison with it holds
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) computes the clock
    except OSError:
        return math.inf  # the process has ended


def _enlarge(pipe: int) -> None:
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            pass  # beyond this user's limit for pipes: the usual size works, only slower
