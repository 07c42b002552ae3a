"""A wait for a condition that another task or process brings about."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

import pytest


async def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "the condition holds") -> None:
    """Return when *condition* returns a true value, or an awaitable of one.

    Fail after *seconds*; *what* describes the condition.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                if await value if inspect.isawaitable(value) else value:
                    return
                await asyncio.sleep(0.005)  # another process decides when: there is nothing to await
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s: {what}")
