"""System calls for which Python has no function. Nothing is called when this module is imported: macOS has none."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call prctl(2). Raise OSError."""
    if _LIBC.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))):
        raise _error()


def system_call(number: int, *arguments: object) -> int:
    """Return the result of syscall(2). Raise OSError. Integers are passed as long."""
    values = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result = int(_LIBC.syscall(ctypes.c_long(number), *values))
    if result < 0:
        raise _error()
    return result


def _error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
