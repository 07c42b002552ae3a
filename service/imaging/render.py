"""The one way from an original's bytes to a rendition's. Knows no HTTP, no store, no time limit: those are around it.

Raises `Unrenderable` or `BadParameter` and nothing else, whatever the bytes are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from PIL import Image, ImageFile, features

from service.errors import N_, BadParameter, Unrenderable
from service.imaging.animation import affordable, first_picture, frames, plays
from service.imaging.colour import needed_alpha, on_white, to_srgb
from service.imaging.decode import bits_per_channel, opened, plain, shrink_on_load
from service.imaging.encode import encode_animation, encode_still
from service.imaging.geometry import Plan, plan
from service.imaging.order import Encoding, Limits, Order, Rendered
from service.imaging.orientation import orientation, stored_box, upright, upright_size
from service.imaging.peek import peek
from service.imaging.resample import resample

_REVISION = 1
"""Of how we render. A higher one makes renditions anew; raise it when the same order gives other pixels than before."""

__all__ = ["Encoding", "Limits", "Order", "Rendered", "encoder_versions", "render"]


def render(data: bytes, order: Order) -> Rendered:
    """Make the rendition that *order* asks for of the original *data*.

    Raises:
        Unrenderable: the bytes are no picture that we read, a corrupt one, or one that would cost too much.
        BadParameter: the size asked for leads to a side or an area above the limits.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _render(data, order)
        except (Unrenderable, BadParameter):
            raise
        except MemoryError:
            raise Unrenderable(N_("The picture takes more memory than is allowed.")) from None
        except Exception:  # Pillow raises nearly every class there is on hostile bytes; its words are not for readers
            raise Unrenderable(N_("The picture is corrupt.")) from None


def _render(data: bytes, order: Order) -> Rendered:
    kind = peek(data).format
    limits = order.limits
    image, source = opened(data, kind, limits)
    turn = orientation(image)
    whole = upright_size(image.size, turn)
    made = plan(whole, order.width, order.height, order.fit, enlarge=limits.enlarge, max_dimension=limits.max_dimension)
    smaller = _pipeline(image, made, turn, order, bits_per_channel(data, kind))
    moves = source.frames > 1 and order.format.animated
    if moves and affordable(source, made.size, limits):
        still = first_picture(image, smaller) if source.still_first else None
        film = list(frames(image, source, smaller))
        written = encode_animation(film, order.format, plays(image, kind), order.encoding, still=still)
        return Rendered(written, *made.size, frames=len(film), first_frame=False)
    box = made.crop or (0, 0, *whole)
    shrink_on_load(image, max(made.scaled[0] / (box[2] - box[0]), made.scaled[1] / (box[3] - box[1])))
    image.load()
    small, palette = smaller(image), image.mode in ("P", "PA")
    del image  # up to 200 MB, which the encoder may need
    written = encode_still(small, order.format, order.encoding, palette=palette)
    return Rendered(written, *made.size, frames=1, first_frame=moves)


def _pipeline(
    image: ImageFile.ImageFile, made: Plan, turn: int, order: Order, depth: int
) -> Callable[[Image.Image], Image.Image]:
    """The work on one frame, from decoded pixels to those that are written. All but the first two steps are small."""
    profile = image.info.get("icc_profile")
    full = image.size
    size = upright_size(made.scaled, turn)
    crop = stored_box(made.crop, full, turn) if made.crop else None

    def smaller(frame: Image.Image) -> Image.Image:
        pixels = plain(frame, depth)
        across, down = pixels.width / full[0], pixels.height / full[1]  # below 1 after shrink-on-load
        box = (crop[0] * across, crop[1] * down, crop[2] * across, crop[3] * down) if crop else None
        small = needed_alpha(upright(to_srgb(resample(pixels, size, box), profile), turn))
        if made.canvas:
            sheet = Image.new("RGB", made.canvas, "white")
            sheet.paste(on_white(small).convert("RGB"), made.offset)
            return sheet
        return small if order.format.alpha else on_white(small)

    return smaller


def encoder_versions() -> str:
    """This package, Pillow and every codec that has a say in a rendition's bytes: part of each ETag."""
    names = ("pil", "jpg", "libjpeg_turbo", "webp", "avif", "zlib", "zlib_ng", "libtiff", "littlecms2")
    return " ".join([f"revision={_REVISION}", *(f"{name}={features.version(name) or 'none'}" for name in names)])
