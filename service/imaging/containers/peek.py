"""The format, the upright size and the declared transparency of a picture, from its header.

This module does not import Pillow and does not decode pixels: a store calls it for every original.
"""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import N_, Unrenderable
from service.formats import Format
from service.imaging.containers.table import CONTAINERS
from service.imaging.containers.window import HEAD_BYTES, Bytes
from service.imaging.geometry import Size


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture's format, whether its header declares transparency, and its upright size.

    *size* is the width and height in pixels after the picture is turned upright, or None where the header does not give
    it.
    """

    format: Format
    alpha: bool
    size: Size | None = None


def peek(data: Bytes) -> Facts:
    """Return the facts that the header of *data* gives.

    Raises:
        Unrenderable: the first bytes are those of no format that is read here.
    """
    kind = format_of(data[:HEAD_BYTES])
    container = CONTAINERS[kind]
    alpha, size = container.alpha(data), container.upright_size(data)
    return Facts(kind, alpha, size if size is not None and min(size) > 0 else None)


def format_of(head: bytes) -> Format:
    """Return the format of the picture that begins with *head*.

    Raises:
        Unrenderable: the first bytes are those of no format that is read here.
    """
    for kind, container in CONTAINERS.items():
        if container.matches(head):
            return kind
    raise Unrenderable(N_("The stored bytes are no picture in a format that is read here."))
