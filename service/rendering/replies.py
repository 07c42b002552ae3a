"""What comes back from a render process: data in a frame of bounded length. Nothing in it is unpickled.

A frame is two lengths, the facts as JSON, and the bytes of a picture. A decoder with a bug may let a picture take over
its process, so the service takes a frame for its call only if everything in it is as that call's reply can be.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import Struct
from typing import Any, TypeVar

from service.errors import (
    BadParameter,
    BeyondFormat,
    OutOfMemory,
    PictureError,
    Unrenderable,
    Unsupported,
    UnsupportedUpload,
    Unwritable,
)
from service.imaging.geometry import MAX_SIDE
from service.imaging.order import THUMB_HASH, Reduction, Rendered
from service.system.open_file import FileUnread

T = TypeVar("T")

HEAD = Struct("!II")
"""Bytes of the facts, and bytes of the picture."""
_MOST_FACTS = 16_384
"""Bytes of the facts at most. Those of an error are some hundred."""
_MOST_DATA = 268_435_456
"""Bytes of a picture at most. The largest rendition of the default limits has less."""
_MOST_TEXT = 1_000
"""Bytes of a message, and of a value in it, at most."""
_MOST_SECONDS = 3_600.0
"""Seconds of a part of a render. No time limit is longer in practice."""
_MOST_NUMBER = 2**63
"""The absolute value of a number is less."""

_ERRORS: dict[str, type[PictureError]] = {
    kind.__name__: kind
    for kind in (BadParameter, BeyondFormat, OutOfMemory, Unrenderable, Unsupported, UnsupportedUpload, Unwritable)
}
"""The errors of orders and pictures, by name."""

Facts = Any
"""What JSON can express."""
Reader = Callable[[Facts, bytes], T]
"""Returns the result that facts and a picture express. Raises ValueError, TypeError or AttributeError if none does."""


class BadReply(Exception):
    """The frame is not the reply to the call. Its process is not used any more."""


class RenderFailed(Exception):
    """A bug in the code of the render process. The text is its exception."""


def frame(result: object) -> list[bytes]:
    """Return the parts of the frame for the result of a call. Raise MemoryError for a picture that is too long."""
    facts: Facts = {}
    data = b""
    match result:
        case Rendered(data=data):
            facts = {name: value for name, value in vars(result).items() if name != "data"}
        case (bytes(data), Reduction(original=original, reduced=reduced)):
            facts = {"original": original, "reduced": reduced}
        case bytes(data):
            pass
        case None | dict():
            facts = result
        case _:
            raise TypeError(f"no frame for {type(result).__name__}")
    if len(data) > _MOST_DATA:
        raise MemoryError
    return _framed(facts, data)


def error_frame(error: Exception) -> list[bytes]:
    """Return the parts of the frame for an exception."""
    name = type(error).__name__
    if isinstance(error, PictureError) and name in _ERRORS:
        return _framed({"error": name, "message": error.message, "values": error.values})
    return _framed({"error": name if isinstance(error, FileUnread) else repr(error)[:_MOST_TEXT]})


def _framed(facts: Facts, data: bytes = b"") -> list[bytes]:
    packed = json.dumps(facts).encode()
    return [HEAD.pack(len(packed), len(data)), packed, data]


def missing(received: bytearray) -> int:
    """Return how many bytes of the frame in *received* are missing. Raise `BadReply` for a length beyond the bounds.

    It is negative for bytes beyond the end.
    """
    if len(received) < HEAD.size:
        return HEAD.size - len(received)
    facts, data = HEAD.unpack_from(received)
    if facts > _MOST_FACTS or data > _MOST_DATA:
        raise BadReply(f"{facts} bytes of facts and {data} of a picture")
    return int(HEAD.size + facts + data - len(received))


def result(frame: bytearray, read: Reader[T]) -> T:
    """Return the result in a whole *frame*. Raise the exception that it expresses, or `BadReply`.

    Whether the service has the message of an error is for the caller to find out: a render process has no catalogue.
    """
    length, _ = HEAD.unpack_from(frame)
    view = memoryview(frame)[HEAD.size :]
    try:
        facts, data = json.loads(bytes(view[:length])), bytes(view[length:])
        if isinstance(facts, dict) and "error" in facts:
            error = _error(**facts)
        else:
            return read(facts, data)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as fault:
        raise BadReply(repr(fault)[:_MOST_TEXT]) from None
    raise error


def _error(error: str, message: str | None = None, values: Facts = None) -> Exception:
    if message is None:
        _require(_is_text(error) and error.isprintable())  # it goes into the log
        return FileUnread() if error == FileUnread.__name__ else RenderFailed(error)
    _require(_is_text(message) and type(values) is dict and all(_is_text(v) or _is_number(v) for v in values.values()))
    return _ERRORS[error](message, values)


def layers(facts: Facts, data: bytes) -> dict[str, int]:
    """Read the layers of a sandbox."""
    _require(type(facts) is dict and all(map(_is_number, facts.values())) and not data)
    return {str(name): int(value) for name, value in facts.items()}


def nothing(facts: Facts, data: bytes) -> None:
    """Read None."""
    _require(facts is None and not data)


def picture(facts: Facts, data: bytes) -> bytes:
    """Read the bytes of a picture."""
    _require(facts == {} and len(data) > 0)
    return data


def optional_picture(facts: Facts, data: bytes) -> bytes | None:
    """Read the bytes of a picture, or None."""
    if facts is None:
        nothing(facts, data)
        return None
    return picture(facts, data)


def rendered(facts: Facts, data: bytes) -> Rendered:
    """Read a rendition."""
    made = Rendered(data, **facts)
    _require(len(data) > 0 and {type(made.first_frame), type(made.mezzanine_possible)} == {bool})
    _require(all(_is_number(each) and each > 0 for each in (made.width, made.height, made.frames)))
    _require(max(made.width, made.height) <= MAX_SIDE)
    _require(all(type(each) is float and 0 <= each < _MOST_SECONDS for each in (made.decoding, made.encoding)))
    _require(made.thumb_hash == "" or THUMB_HASH.fullmatch(made.thumb_hash) is not None)
    return made


def optional_mezzanine(facts: Facts, data: bytes) -> tuple[bytes, Reduction] | None:
    """Read the bytes of a mezzanine and its reduction, or None."""
    if facts is None:
        nothing(facts, data)
        return None
    _require(facts.keys() == {"original", "reduced"} and len(data) > 0)
    (width, height), (reduced_width, reduced_height) = facts["original"], facts["reduced"]
    _require(all(map(_is_number, (width, height, reduced_width, reduced_height))))
    return data, Reduction((width, height), (reduced_width, reduced_height))


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) < _MOST_NUMBER


def _is_text(value: object) -> bool:
    """Return whether *value* is a text of bounded length. Raise ValueError for one that cannot be sent to a client."""
    return isinstance(value, str) and len(value.encode()) <= _MOST_TEXT


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("no such reply")
