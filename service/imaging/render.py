"""Renders: `rendition` makes every rendition, from an original or from a mezzanine.

Only the first steps differ between the two, those that make the pixels small. This module does not know
HTTP, stores or time limits. Placeholders are drawn in `service.imaging.drawing`.
"""

from __future__ import annotations

import time
from functools import partial

from PIL import Image

from service.formats import Fit
from service.imaging import geometry
from service.imaging.errors import as_unrenderable, writing
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Order, Rendered
from service.imaging.pixels import Step
from service.imaging.pixels.canvas import padded
from service.imaging.pixels.colour import on_background
from service.imaging.pixels.resample import sampled
from service.imaging.source import Source, Still
from service.imaging.thumb_hash import SIDE, thumb_hash
from service.imaging.writing.encode import encode_animation, encode_still

_SAMPLED = 4 * SIDE
"""Pixels of the longer side of the samples that the picture of a ThumbHash is made from."""


def render(data: bytes, order: Order) -> Rendered:
    """Return the rendition of the original *data* that *order* describes. Raise as `rendition` does."""
    return rendition(Source(data, order.limits), order)


def rendition(picture: Source | Mezzanine, order: Order, *, with_mezzanine: bool = False) -> Rendered:
    """Return the rendition of *picture* that *order* describes. A source gives one rendition, a mezzanine many.

    *with_mezzanine* decodes a source large enough for its mezzanine, too.

    Raises:
        Unrenderable: the bytes are no picture that is read here, are corrupt, or would cost too much.
        Unwritable: the picture was decoded, and the writer of the format failed.
        BadParameter: a side or the area of the rendition is above the limits.
    """
    begun = time.perf_counter()
    with as_unrenderable():
        plan, kind = order.plan(picture.size), order.format
        opaque = order.background is not None or not kind.alpha
        steps: list[Step] = [
            *picture.steps(plan),
            partial(padded, plan=plan, background=order.background),
            *([partial(on_background, background=order.background)] if opaque else []),
        ]

        hashes: list[str] = []

        def work(frame: Image.Image) -> Image.Image:
            if order.thumb_hash and not hashes:  # of the first frame
                hashes.append(_thumb_hash(picture, frame))
            for step in steps:
                frame = step(frame)
            return frame

        if isinstance(picture, Mezzanine):
            still = Still(work(picture.image))
        elif kind.animated and (moving := picture.moving(work, plan.size, order)):
            decoded = time.perf_counter()
            with writing(kind):
                data = encode_animation(moving.frames, kind, moving.plays, order.encoding, still=moving.still)
            return Rendered(
                data,
                *plan.size,
                frames=len(moving.frames),
                first_frame=False,
                thumb_hash="".join(hashes),
                decoding=decoded - begun,
                encoding=time.perf_counter() - decoded,
            )
        else:
            still = picture.still(work, plan.ratio(picture.size), with_mezzanine=with_mezzanine)
        decoded = time.perf_counter()
        with writing(kind):
            data = encode_still(still.image, kind, order.encoding, palette=still.palette)
        return Rendered(
            data,
            *plan.size,
            frames=1,
            first_frame=kind.animated and still.more_frames,
            mezzanine_possible=still.mezzanine_possible,
            thumb_hash="".join(hashes),
            decoding=decoded - begun,
            encoding=time.perf_counter() - decoded,
        )


def _thumb_hash(picture: Source | Mezzanine, frame: Image.Image) -> str:
    """Return the ThumbHash of *frame*, the decoded pixels of *picture*."""
    plan = geometry.draft(picture.size, SIDE, SIDE, Fit.CONTAIN, enlarge=False, max_dimension=SIDE)
    if frame.format not in ("GIF", "TIFF"):  # `Source` asks their readers, and a copy has none
        frame = sampled(frame, _SAMPLED)
    for step in picture.steps(plan):
        frame = step(frame)
    return thumb_hash(frame)
