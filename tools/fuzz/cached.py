"""Targets: what comes from Redis. A value there is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from service.caches.entry_format import LONGEST_HEAD, EntryFormat
from service.caches.replies import Incomplete, ReplyBuffer, TooLong
from service.formats import Format
from service.pictures.records import decode, encode
from service.pictures.values import Entry, EntryHead, Failure, Fault, Original

_FORMAT, _PLACE = EntryFormat("a secret of 32 characters, or so"), "contact-image:1:r"
_ENTRY = Entry("1-2-3", 1_780_000_000.0, "image/webp", b"a body")
_ENTRIES = (_ENTRY, replace(_ENTRY, detail="", body=bytes(2_000)))
_HEADS = tuple(EntryHead(each.version, each.detail, len(each.body)) for each in _ENTRIES)
_MAX_REPLY = 8_192
"""Bytes of a reply at most."""


def record(data: bytes) -> None:
    """Decode a record."""
    try:
        original = decode(data)
    except ValueError:
        return
    assert decode(encode(original)) == original


def record_corpus() -> Iterator[bytes]:
    """Yield records with and without faults and failures."""
    original = Original(1, "10-20-ab", 10, 20, Format.JPEG, alpha=False, dimensions=(3, 2))
    fault = Fault("The picture is corrupt.", (("kind", "TIFF"), ("limit", 3)), 9.5, "recipe")
    yield encode(None)
    yield encode(original)
    yield encode(replace(original, fault=fault, strikes=2, strike_extent=6, modified=None, dimensions=None))
    yield encode(replace(original, failures=(Failure("webp-3", 9.0, 1),), format=Format.HEIC, alpha=True))


def entry(data: bytes) -> None:
    """Unpack an entry. None is believed that was not sealed for its place."""
    assert _FORMAT.unpack(data, _PLACE) in (None, *_ENTRIES, *_HEADS)
    assert _FORMAT.unpack_head(data[:LONGEST_HEAD], len(data), _PLACE) in (None, *_HEADS)


def entry_corpus() -> Iterator[bytes]:
    """Yield entries, a reference, and an entry of another place."""
    for each in _ENTRIES:
        yield _FORMAT.pack(each, _PLACE)
        yield _FORMAT.pack_reference(each, _PLACE)
    yield _FORMAT.pack(replace(_ENTRY, body=b"another"), "contact-image:2:r")
    yield EntryFormat("").pack(replace(_ENTRY, body=b"another"), _PLACE)


def replies(data: bytes) -> None:
    """Parse the replies of a Redis server. They are the same in pieces of any size. The first byte is that size."""
    size, rest = max(1, data[0] if data else 1), data[1:]
    assert repr(_parsed(rest, size)) == repr(_parsed(rest, len(rest) or 1))


def replies_corpus() -> Iterator[bytes]:
    """Yield replies of every kind."""
    yield b"\x01+OK\r\n:-12\r\n$6\r\na body\r\n$-1\r\n$0\r\n\r\n"
    yield b"\x05*3\r\n$1\r\na\r\n*2\r\n:1\r\n*0\r\n-ERR words\r\n*-1\r\n"
    yield b"\x10*1025\r\n" + b":1\r\n" * 9
    yield b"\x40$9000\r\n"


def _parsed(data: bytes, size: int) -> list[Any]:
    """Return the replies in *data*, which arrives in pieces of *size* bytes, and `refused` for an error after them."""
    buffer, made = ReplyBuffer(_MAX_REPLY), list[Any]()
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        while piece:
            space = buffer.space()[: len(piece)]
            space[:] = piece[: len(space)]
            buffer.received(len(space))
            piece = piece[len(space) :]
        try:
            while True:
                made.append(buffer.take(bytes))
        except Incomplete:
            continue
        except (TooLong, ValueError):
            return [*made, "refused"]
    return made
