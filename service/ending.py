"""The end of tasks that may swallow a cancellation."""

from __future__ import annotations

import asyncio
from typing import Any

_AGAIN = 0.25
"""Seconds until a task that has not ended is cancelled again."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel *tasks* until each has ended. Their results and exceptions are dropped.

    Before Python 3.12 `asyncio.wait_for` swallows a cancellation that comes together with the result. The Redis library
    uses it for each command.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)  # otherwise the log has exceptions that were never retrieved
