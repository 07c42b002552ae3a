"""Threads for calls that may not return, as those of a disk that hangs.

`concurrent.futures.ThreadPoolExecutor` does not fit: it does not replace a thread whose call hangs, and the interpreter
waits for its threads when it exits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")

_pools: WeakSet[Threads] = WeakSet()

_MOST_OF_A_PLACE = 4
"""Hung calls of one place. Further calls fail at once, so that the calls of other places find threads."""


class Threads(Executor):
    """Runs calls in *count* daemon threads. Its methods are called in the event loop.

    A call hangs when it has run for *hangs_after* seconds. Another thread is then started, up to *spare* of them. While
    the calls of all threads hang, a new call fails at once. *begin* is called at the start of every thread.
    """

    def __init__(
        self, count: int, *, name: str, hangs_after: float, spare: int, begin: Callable[[], None] = lambda: None
    ) -> None:
        self._count, self._name, self._hangs_after, self._spare, self._begin = count, name, hangs_after, spare, begin
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any], Hashable] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._unfinished = 0
        self._running: dict[int, tuple[float, Hashable]] = {}
        self._look: asyncio.TimerHandle | None = None
        self._closed = False
        _pools.add(self)

    @property
    def hung(self) -> int:
        """The number of calls that hang now."""
        return len(self._hung())

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor`. The result is TimeoutError at once if no thread is left."""
        return self._submit(lambda: call(*args, **kwargs), None)

    def run(self, call: Callable[[], T], place: Hashable = None) -> asyncio.Future[T]:
        """Return the result of *call*, which needs *place*.

        It is TimeoutError at once if no thread is left, and without a call if four calls of that place hang.
        """
        return asyncio.wrap_future(self._submit(call, place))

    def shutdown(self, wait: bool = False, *, cancel_futures: bool = True) -> None:
        """End the threads and cancel the calls that have not begun. Other calls are not waited for, in any case."""
        with self._lock, suppress(Empty):
            self._closed = True
            while True:
                if (work := self._queue.get_nowait()) is not None:
                    work[0].cancel()
        for _ in range(self._threads):
            self._queue.put(None)
        if self._look is not None:
            self._look.cancel()

    def _submit(self, call: Callable[[], T], place: Hashable) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads have ended")
            begins = self._unfinished < self._threads or self._start()
            if self._hangs(place) or (not begins and self.hung == self._threads):
                future.set_exception(TimeoutError())
                return future
            self._unfinished += 1
            self._queue.put((future, call, place))
        if not begins and self._look is None:
            self._look = asyncio.get_running_loop().call_later(self._hangs_after, self._replace)
        return future

    def _hangs(self, place: Hashable) -> bool:
        """Return whether so many calls of *place* hang that no further one may begin."""
        few = place is None or len(self._running) < _MOST_OF_A_PLACE
        return not few and self._hung().count(place) >= _MOST_OF_A_PLACE

    def _hung(self) -> list[Hashable]:
        """Return the places of the calls that hang."""
        before = time.monotonic() - self._hangs_after
        return [place for begun, place in list(self._running.values()) if begun <= before]

    def _start(self) -> bool:
        """Start a thread, and return whether there may be a further one."""
        if self._threads >= self._count + min(self.hung, self._spare):
            return False
        threading.Thread(target=self._work, name=self._name, daemon=True).start()
        self._threads += 1
        return True

    def _replace(self) -> None:
        """Start threads in place of those that hang while calls wait."""
        self._look = None
        with self._lock:
            while (waiting := self._unfinished > self._threads) and self._start():
                pass
        if waiting:
            self._look = asyncio.get_running_loop().call_later(self._hangs_after, self._replace)

    def _work(self) -> None:
        """Run calls until a None follows, or until there are more threads than are needed."""
        self._begin()
        while (work := self._queue.get()) is not None:
            future, call, place = work
            finish: Callable[[], None] = _nothing
            if future.set_running_or_notify_cancel():
                try:
                    if self._hangs(place):
                        raise TimeoutError
                    self._running[threading.get_ident()] = time.monotonic(), place
                    finish = partial(future.set_result, call())
                except BaseException as error:  # of any class: the caller gets it
                    finish = partial(future.set_exception, error)
                finally:
                    self._running.pop(threading.get_ident(), None)
            with self._lock:
                self._unfinished -= 1
                surplus = self._threads > self._count + min(self.hung, self._spare)
                self._threads -= surplus
            finish()
            if surplus:
                return
            del work, future, call, finish  # an idle thread keeps no result: files are closed when it is deleted


def hung_calls() -> int:
    """Return the number of calls in this process that hang now."""
    return sum(pool.hung for pool in _pools)


def _nothing() -> None:
    pass
