"""The number of plays of an animation, read from its file."""

from __future__ import annotations

import io
import struct

from PIL import Image

from service.imaging.containers.isobmff.boxes import Steps, boxes


def plays(data: bytes) -> int:
    """Return how many times an animation plays. 0 means without end."""
    image = Image.open(io.BytesIO(data))
    if image.format == "AVIF":
        return edit_list_plays(data)
    loop = image.info.get("loop")
    if image.format == "GIF":
        return 1 if loop is None else loop and loop + 1
    return loop


def edit_list_plays(data: bytes) -> int:
    """Return how many times an AVIF plays. All tracks must agree."""
    found = {}

    def walk(at: int, end: int) -> None:
        for box in boxes(data, at, end, Steps()):
            if box.kind in (b"moov", b"trak", b"edts"):
                walk(box.start, box.end)
            found.setdefault(box.kind, []).append(data[box.start : box.end])

    walk(0, len(data))
    whole = {struct.unpack_from(">Q", each, 28)[0] for each in found[b"tkhd"]}
    whole |= {struct.unpack_from(">Q", each, 24)[0] for each in found[b"mvhd"]}
    edits = {(each[3] & 1, *struct.unpack_from(">Q", each, 8)) for each in found[b"elst"]}
    assert len(edits) == 1 and len(whole) == 1 and len(found[b"tkhd"]) == len(found[b"elst"])
    (duration,), ((repeats, once),) = whole, edits
    if not repeats:
        assert duration == once
        return 1
    return 0 if duration == 2**64 - 1 else duration // once
