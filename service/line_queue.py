"""Lines for standard error and standard output, which a thread writes.

A write to a full disk fails, and a write to a pipe that is not read does not return. Neither may cost an answer.
`logging.handlers.QueueListener` does not fit: its thread does not survive a fork, and its end waits without a limit.
"""

from __future__ import annotations

import atexit
import os
import select
import sys
import threading
from collections import deque
from typing import TextIO

import structlog

log = structlog.get_logger()

_CAPACITY = 1_048_576
"""Bytes of lines that may wait to be written. Further lines are dropped."""
_RESUMED = _CAPACITY // 2
"""Bytes of waiting lines below which the number of dropped lines is logged."""
_DRAIN = 1.0
"""Seconds that the end of the process waits for the lines that are not written yet."""


class LineQueue:
    """Writes lines to the descriptor of *stream* in a thread. A queue lasts as long as the process.

    A line is dropped if it does not fit into the queue, or if it cannot be written. A *reported* queue logs the number
    of dropped lines when lines are written again. A forked process begins with an empty queue and starts its own
    thread with its first line.
    """

    def __init__(self, stream: TextIO | None, *, reported: bool) -> None:
        self._descriptor = stream.fileno() if stream is not None else -1  # None: it was closed before the start
        self._reported = reported
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self.drain)

    def _reset(self) -> None:
        self._changed = threading.Condition()  # reentrant: a signal handler may write too
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._cut = False
        self._unreported = 0
        self.dropped = 0

    def write(self, text: str) -> None:
        """Put *text*, whole lines, into the queue. It neither blocks nor raises."""
        line = text.encode("utf-8", "backslashreplace")
        size = len(line)  # a call within the sum below could be interrupted by a signal handler that writes
        with self._changed:
            if self._bytes + size > _CAPACITY or not self._has_thread():
                self._drop()
                return
            self._lines.append(line)
            self._bytes += size
            self._changed.notify_all()

    def flush(self) -> None:
        """Do nothing: the thread writes without a buffer."""

    def drain(self, seconds: float = _DRAIN) -> None:
        """Wait until every line is written, for *seconds* at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._lines, seconds)

    def _drop(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _has_thread(self) -> bool:
        """Return whether there is a thread, after the attempt to start one."""
        if self._thread is None:
            # It is set before the start: a signal handler may write in between.
            self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
            try:
                self._thread.start()
            except (RuntimeError, MemoryError):  # no threads at the moment: the next line tries again
                self._thread = None
                return False
        return True

    def _run(self) -> None:
        try:
            self._write_lines()
        finally:  # for example without memory: the next line starts another thread
            self._thread = None

    def _write_lines(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines)
                line = self._lines[0]
            written = self._write_whole(line)
            size = len(line)
            with self._changed:
                self._lines.popleft()
                self._bytes -= size
                if not written:
                    self._drop()
                lost = self._unreported if self._reported and written and self._bytes < _RESUMED else 0
                self._unreported -= lost
                self._changed.notify_all()
            if lost:
                log.warning("log.dropped", lines=lost)

    def _write_whole(self, line: bytes) -> bool:
        """Return whether *line* was written. After a line that was cut short, begin with the end of that line."""
        data = b"\n" + line if self._cut else line
        unwritten = memoryview(data)
        try:
            while unwritten:
                try:
                    unwritten = unwritten[os.write(self._descriptor, unwritten) :]
                except BlockingIOError:  # another process has made it non-blocking
                    select.select((), (self._descriptor,), ())
        except OSError:
            self._cut = self._cut or len(unwritten) < len(data)
            return False
        self._cut = False
        return True


STANDARD_ERROR = LineQueue(sys.__stderr__, reported=True)
"""The queue of the log."""
STANDARD_OUTPUT = LineQueue(sys.__stdout__, reported=False)
"""The queue of what `serve` prints."""
