"""What a store records about an original: its format, alpha and size from the header, or why it cannot be used."""

from __future__ import annotations

import math

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.peek import peek
from service.imaging.containers.window import Bytes
from service.pictures.values import Fault, Original


def describe(contact: int, data: Bytes, *, version: str, modified: int | None, max_bytes: int) -> Original:
    """Return the original with the bytes *data*, with a fault when it cannot be used. *modified* is in Unix seconds."""
    size = len(data)
    try:
        if size > max_bytes:
            raise Unrenderable(
                N_("The stored picture has %(size)s bytes; at most %(limit)s are accepted."),
                {"size": size, "limit": max_bytes},
            )
        header = peek(data)
    except Unrenderable as error:
        # The fault lasts as long as this version of the original.
        fault = Fault(error.message, tuple(error.values.items()), until=math.inf)
        return Original(contact, version, size, modified, Format.JPEG, alpha=False, fault=fault)
    return Original(contact, version, size, modified, header.format, header.alpha, dimensions=header.size)
