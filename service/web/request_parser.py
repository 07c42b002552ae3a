"""aiohttp's parser of requests, with a limit on whole headers, and without `Upgrade`."""

from __future__ import annotations

from typing import Any

from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD

MAX_HEADER = 32_768
"""Bytes of all header fields of a request, with their colons and line ends."""
MAX_FIELDS = 100
"""Header fields of a request."""
MAX_FIELD = 8_192
"""Bytes of the value of one header field."""
MAX_TARGET = 8_190
"""Bytes of a target. The limit in aiohttp's error tells a long target from a long value."""
_MAX_UNFINISHED = MAX_HEADER + 2 * MAX_TARGET
"""Bytes that are received of a request before its header ends."""
_TOO_MANY = "Too many headers received"
"""The message of aiohttp's error for more header fields than allowed."""
_LINE_END = b"\r\n"
_HEADER_END = b"\r\n\r\n"

_Fed = tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]


class HeaderTooLarge(BadHttpMessage):
    """The header fields of a request are too many or too large."""

    def __init__(self) -> None:
        super().__init__("the header fields are too many or too large")


class RequestParser:
    """*parser* with these limits: what `aiohttp.web.RequestHandler` calls of it."""

    __slots__ = ("_body", "_feed", "_unfinished", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, parser: Any) -> None:
        self._feed = parser.feed_data
        self._body: StreamReader = EMPTY_PAYLOAD  # of the newest request, until it is whole
        self._unfinished = 0  # bytes of a header that has not ended
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> _Fed:
        """Parse *data*. Return the requests whose header ends in it, and what `parser` returns beside them.

        Raise `HeaderTooLarge`, or another `HttpProcessingError` for a malformed request.
        """
        try:
            fed: _Fed = self._feed(data)
        except BadHttpMessage as error:
            if str(error.message) == _TOO_MANY or (isinstance(error, LineTooLong) and error.args[1] == MAX_FIELD):
                raise HeaderTooLarge from None
            raise
        messages = fed[0]
        if messages:
            newest, body = messages[-1]
            if (
                body is not EMPTY_PAYLOAD
                or self._body is not EMPTY_PAYLOAD
                or self._unfinished
                or len(data) > MAX_HEADER
            ):
                self._begin(data, messages)
            if newest.upgrade:
                messages[-1] = _without_upgrade(newest, body, data), body
        elif self._body is EMPTY_PAYLOAD:
            self._unfinished += len(data)
            if self._unfinished > _MAX_UNFINISHED:
                raise HeaderTooLarge
        elif self._body.is_eof():
            self._body = EMPTY_PAYLOAD
        return fed

    def _begin(self, data: bytes, messages: list[tuple[RawRequestMessage, StreamReader]]) -> None:
        """Note the body of the last of *messages*. Raise `HeaderTooLarge` if the header of one of them is.

        Most requests have no body and arrive in one piece, and need none of this.
        """
        body = messages[-1][1]
        self._body = EMPTY_PAYLOAD if body.is_eof() else body
        size, self._unfinished = self._unfinished + len(data), 0
        if size <= MAX_HEADER:
            return
        if body is EMPTY_PAYLOAD:  # what follows the last header in *data* is the beginning of another one
            self._unfinished = len(data) - (data.rfind(_HEADER_END) + len(_HEADER_END))
        sizes = (sum(len(name) + len(value) + 4 for name, value in each.raw_headers) for each, _ in messages)
        if self._unfinished > _MAX_UNFINISHED or any(size > MAX_HEADER for size in sizes):
            raise HeaderTooLarge


def _without_upgrade(message: RawRequestMessage, body: StreamReader, data: bytes) -> RawRequestMessage:
    """Return *message*, whose header ends in *data*, as one whose `Upgrade` is ignored (RFC 9110 section 7.8).

    The parser drops bytes behind a message with `Upgrade`. If there are any, or may be any behind a *body* that is
    still to come, the connection is closed after the answer. Otherwise it stays open.
    """
    last = message.should_close or not body.is_eof() or _may_continue(data)
    return message._replace(upgrade=False, should_close=last)


def _may_continue(data: bytes) -> bool:
    """Return whether bytes may follow the end of a header in *data*, the last bytes that were received.

    If *data* begins with a line end, the end of the header may be before its first empty line.
    """
    if not data.strip(_LINE_END):
        return False
    return data[0] in _LINE_END or data.find(_HEADER_END) != len(data) - len(_HEADER_END)
