"""The attempts of a handler whose picture changes while it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.errors import N_, StoreFailed
from service.pictures.values import OriginalChanged

_ATTEMPTS = 8
"""Attempts to answer a request while the original changes."""
_PAUSE = 0.02
"""Seconds by which the pause grows after every such attempt."""

_Result = TypeVar("_Result")


async def retry_while_changing(attempt: Callable[[bool], Awaitable[_Result]]) -> _Result:
    """Return the result of *attempt*, which is called again after `OriginalChanged`. Raise `StoreFailed` in the end.

    The argument of *attempt* is whether the record must be read from the store.
    """
    for number in range(_ATTEMPTS):
        try:
            return await attempt(number > 0)
        except OriginalChanged:
            await asyncio.sleep(number * _PAUSE)
    raise StoreFailed(N_("The stored picture changes faster than it can be read."))
