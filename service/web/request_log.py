"""What is logged of a request that is refused: a line, or a part of one; and of one whose client has left."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from typing import Any

import structlog
from aiohttp import web

from service.errors import PictureError

log = structlog.get_logger()

_REFUSALS = 20
"""Lines a second for refused requests. Further ones are counted in one line."""


def log_abandoned(request: web.BaseRequest, seconds: float) -> None:
    """Log that the client of *request* left *seconds* after it was read. There is no answer, and so no status."""
    log.debug("request.abandoned", method=request.method, path=request.path[:256], seconds=seconds)


class RefusalLog:
    """Logs refused requests: the first `_REFUSALS` of a second have a line each, and the others one line together.

    A 404 is logged for debugging only, and then has its own line, as each request does.
    """

    def __init__(self) -> None:
        self._second_ends = -math.inf
        self._lines = 0
        self._merged: Counter[tuple[int, str]] = Counter()

    def refused(self, request: web.BaseRequest, error: PictureError, status: int, client: str) -> None:
        """Log that *request* from the address *client* failed with *error*.

        The query is left out, because it may be signed.
        """
        cause = {"cause": repr(error.__cause__)} if error.__cause__ else {}
        kind = type(error).__name__
        if status == 404:
            write: Callable[..., Any] = log.debug
        elif self._has_line(status, kind):
            write = _level(status)
        else:
            return
        write(
            "request.refused",
            method=request.method,
            path=request.path[:256],
            client=client,
            reason=str(error),
            kind=kind,
            status=status,
            **cause,
        )

    def malformed(self, error: BaseException, status: int) -> None:
        """Log that the parser refused a request with *error*, and that the answer has *status*.

        Only the class of the error is logged, because its text quotes the request.
        """
        kind = type(error).__name__
        if self._has_line(status, kind):
            log.info("request.malformed", kind=kind, status=status)

    def report(self) -> None:
        """Log how many refusals had no line of their own since the last report."""
        merged, self._merged = self._merged, Counter()
        if not merged:
            return
        statuses: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for (status, kind), count in merged.items():
            statuses[str(status)] += count
            kinds[kind] += count
        write = _level(max(status for status, _ in merged))
        write("request.refusals", count=merged.total(), statuses=dict(statuses), kinds=dict(kinds))

    def _has_line(self, status: int, kind: str) -> bool:
        """Return whether a refusal gets its own line. Otherwise it is counted, and reported when the second ends."""
        now = time.monotonic()
        if now >= self._second_ends:
            self._second_ends, self._lines = now + 1.0, 0
        self._lines += 1
        if self._lines <= _REFUSALS:
            return True
        if not self._merged:  # in a new context: the report belongs to no request
            asyncio.get_running_loop().call_later(self._second_ends - now, self.report, context=Context())
        self._merged[status, kind] += 1
        return False


def _level(status: int) -> Callable[..., Any]:
    """Return the method that logs a refusal: a failure of the service is a warning."""
    return log.warning if status >= 500 else log.info  # type: ignore[no-any-return]  # the logger has no types
