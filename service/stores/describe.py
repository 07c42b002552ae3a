"""What a store records about an original: its format, alpha and size from the header, or why it cannot be used."""

from __future__ import annotations

import math
from collections.abc import Callable

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.peek import peek
from service.imaging.containers.window import Window
from service.pictures.values import Fault, Original


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
    """Return the original of *size* bytes that begins with *head*, with a fault when it cannot be used.

    *head* has the first `HEAD_BYTES` bytes, or all if there are fewer. *modified* is in Unix seconds. *read* takes a
    position and a number of bytes and returns these bytes. It is called when the header is longer than *head*.
    """
    try:
        if size > max_bytes:
            raise Unrenderable(
                N_("The stored picture has %(size)s bytes; at most %(limit)s are accepted."),
                {"size": size, "limit": max_bytes},
            )
        header = peek(head if size <= len(head) else Window(head, size, read))
    except Unrenderable as error:
        # The fault lasts as long as this version of the original.
        fault = Fault(error.message, tuple(error.values.items()), until=math.inf)
        return Original(contact, version, size, modified, Format.JPEG, alpha=False, fault=fault)
    return Original(contact, version, size, modified, header.format, header.alpha, dimensions=header.size)
