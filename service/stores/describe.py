"""What a store may say of an original from its header: format, alpha and size, or why it cannot be used."""

from __future__ import annotations

import math
from collections.abc import Callable

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.peek import HEAD, peek
from service.imaging.containers.window import Window
from service.pictures.values import Fault, Original

HEAD_BYTES = HEAD
"""How much of an original `describe` is given at first."""


def describe(
    contact: int,
    *,
    version: str,
    size: int,
    modified: int | None,
    max_bytes: int,
    head: bytes,
    read: Callable[[int, int], bytes],
) -> Original:
    """The original of *size* bytes that begins with *head*.

    Where the header does not end there, *read* is called with a position and a number of bytes, and returns these.
    """
    try:
        if size > max_bytes:
            raise Unrenderable(
                N_("The stored picture has %(size)s bytes; at most %(limit)s are accepted."),
                {"size": size, "limit": max_bytes},
            )
        facts = peek(head if size <= len(head) else Window(head, size, read))
    except Unrenderable as error:
        # The fault lasts as long as this version: a new file is a new judgement.
        fault = Fault(error.message, tuple(error.values.items()), until=math.inf)
        return Original(contact, version, size, modified, Format.JPEG, alpha=False, fault=fault)
    return Original(contact, version, size, modified, facts.format, facts.alpha, dimensions=facts.size)
