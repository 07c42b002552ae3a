"""Targets: the bytes of pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from random import Random
from zlib import crc32

from service.errors import BadParameter, Unrenderable
from service.formats import Fit, Format
from service.imaging.containers.peek import Facts, peek
from service.imaging.containers.table import CONTAINERS
from service.imaging.containers.window import Beginning, Bytes, Window
from service.imaging.order import Limits, Order
from service.imaging.render import render
from tools.fuzz.seeds import seeds

_HEADS = (16, 512)
"""Bytes of the beginning that are given to a window."""


def container(data: bytes) -> None:
    """Read the header, whole and through windows, which find the same, and bound the work of a decoder."""
    facts = _facts(data)
    for head in _HEADS:
        assert _facts(Window(data[:head], len(data), lambda at, size: data[at : at + size])) == facts
        try:
            assert _facts(Beginning(data[:head], len(data))) == facts
        except BlockingIOError:
            pass
    if facts is not None:
        limits = Limits()
        try:
            CONTAINERS[facts.format].check(data, limits.max_pixels)
            CONTAINERS[facts.format].outline(data, limits.max_frames)
        except Unrenderable:
            pass


def pictures() -> Iterable[bytes]:
    """Return a small sound picture for every path through every reader."""
    return seeds().values()


def picture(data: bytes) -> None:
    """Render a picture."""
    outcome(data, crc32(data))


def order(number: int) -> Order:
    """Return the order with that *number*."""
    dice = Random(-number)
    kind = dice.choice([each for each in Format if each.writable])
    return Order(kind, dice.choice((1, 16, 48, None)), dice.choice((1, 16, None)), dice.choice(list(Fit)))


def outcome(data: bytes, number: int) -> str:
    """Return `rendered`, or `refused` for a picture that is not rendered."""
    try:
        with warnings.catch_warnings():
            made = render(data, order(number))
    except (Unrenderable, BadParameter):
        return "refused"
    assert made.data
    return "rendered"


def _facts(data: Bytes) -> Facts | None:
    try:
        return peek(data)
    except Unrenderable:
        return None
