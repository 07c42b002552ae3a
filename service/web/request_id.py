"""The id of the request at hand, for the log and for what an error's body shows."""

from __future__ import annotations

import itertools
import os
import secrets
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id")
_run = secrets.token_hex(4)
_requests = itertools.count(1)


def new_request_id() -> str:
    """An id that no other request has: the processes of one service are forked, and share `_run`."""
    return f"{_run}-{os.getpid():x}-{next(_requests):x}"
