"""OSErrors of files as the errors of the port `OriginalStore`, and as fields of the log."""

from __future__ import annotations

import asyncio
import errno
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from service.errors import N_, StoreFailed, StoreFull, StoreTimedOut

T = TypeVar("T")
log = structlog.get_logger()

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers: no room on the file system, in the user's quota, or for a file of this size."""
_logged_at: deque[float] = deque(maxlen=20)
"""`time.monotonic()` of the last lines. There are no more than these in a second, however many requests fail."""


async def as_store_errors(call: Callable[[], Awaitable[T]], timeout: float | None, file: str | None = None) -> T:
    """Return the result of *call*. Raise `StoreTimedOut` after *timeout* seconds (None: no limit).

    Raise `StoreTimedOut`, `StoreFull` or `StoreFailed` for an OSError. The log gets the error number and the file
    (*file* when the error names none); answers to requests get neither.
    """
    try:
        async with asyncio.timeout(timeout):
            return await call()
    except OSError as error:
        if error.errno is not None and _has_line():
            log.warning("store.failed", **error_fields(error, file))
        if isinstance(error, TimeoutError):
            raise StoreTimedOut(N_("The place where pictures are stored took too long.")) from error
        if error.errno in _FULL:
            raise StoreFull(N_("The place where pictures are stored is full.")) from error
        raise StoreFailed(N_("The place where pictures are stored failed.")) from error


def _has_line() -> bool:
    """Return whether an error may be logged now. If it may, it counts."""
    now = time.monotonic()
    if len(_logged_at) == _logged_at.maxlen and now - _logged_at[0] < 1:
        return False
    _logged_at.append(now)
    return True


def error_fields(error: OSError, file: str | None = None) -> dict[str, str | None]:
    """Return the fields of a log event for *error*. *file* is used when the error names no file."""
    number = error.errno
    code = None if number is None else errno.errorcode.get(number, str(number))
    return {
        "file": error.filename or file,
        "errno": code,
        "reason": error.strerror or str(error) or "no answer in time",
    }
