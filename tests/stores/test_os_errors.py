"""Errors of files: how many lines of the log a store that fails has."""

from __future__ import annotations

import asyncio
import errno
import math
import time
from contextlib import suppress

from structlog.testing import capture_logs

from service.errors import StoreFailed
from service.stores.os_errors import as_store_errors


async def failing() -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_store_that_fails_has_twenty_lines_a_second() -> None:
    begun = time.monotonic()
    with capture_logs() as lines:
        for _ in range(200):
            with suppress(StoreFailed):
                await as_store_errors(failing, None, "1.png")
    assert 0 < len(lines) <= 20 * math.ceil(time.monotonic() - begun)
    await asyncio.sleep(1.01)
    with capture_logs() as lines, suppress(StoreFailed):
        await as_store_errors(failing, None, "2.png")
    assert [line["file"] for line in lines] == ["2.png"]
