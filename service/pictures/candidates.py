"""Which rendition of a picture, or which placeholder, a request gets: its format, its field in the cache, the work.

A format is ruled out where it cannot hold the rendition, or where this very rendition has failed before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from service.errors import BeyondFormat, PictureError
from service.formats import MOST_PIXELS, WRITABLE, Format, IfBlank
from service.imaging.order import LARGEST_SIDE, Blank, Order
from service.pictures.failures import failed_before
from service.pictures.selection import Recipe
from service.pictures.values import Failure, Original
from service.protocol.negotiate import NONE_RULED_OUT, FormatChoice, RequestedPicture, RuledOut


class Candidates:
    """Candidates for renditions made by *recipe*."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def of_picture(
        self, original: Original, requested: RequestedPicture, ruled_out: RuledOut, *, refused: bool
    ) -> tuple[FormatChoice, str, Order | None]:
        """The format of the answer, its field, and the work, which is None for the stored bytes.

        *ruled_out* are formats that have failed for this request; formats that cannot succeed are added, unless the
        picture is *refused* and none can. Raises `NotAcceptable`, `BadParameter` for a size that no format can have,
        and the error of a format that is ruled out where no other is acceptable.
        """
        recipe = self._recipe
        beyond: RuledOut = NONE_RULED_OUT
        if not refused:
            beyond = NONE_RULED_OUT if original.dimensions is None else self._beyond(original.dimensions, requested)
            failed = _failed(original.failures, lambda each: self._field(requested, each))
            ruled_out = {**beyond, **failed, **ruled_out}
        choice = requested.resolve(original.format, original.alpha, ruled_out, verbatim=recipe.as_stored)
        if choice.as_stored and recipe.as_stored:
            return choice, "stored", None
        order = self._order(requested, choice.format)
        if beyond and original.dimensions is not None:
            order.plan(original.dimensions)  # more than one format holds may be more than any does
        return replace(choice, as_stored=False), self._field(requested, choice.format), order

    def of_placeholder(
        self, requested: RequestedPicture, text: str, language: str, failures: tuple[Failure, ...], ruled_out: RuledOut
    ) -> tuple[FormatChoice, str, Blank]:
        """The same for the placeholder of *requested*, with *text* in *language* where it has words."""
        kind, (width, height), digest = requested.if_blank, requested.placeholder_size(), self._recipe.digest
        if not kind.worded:
            text = language = ""
        words = blake2b(text.encode(), digest_size=4).hexdigest() if text else ""

        def field_of(each: Format) -> str:
            return f"{kind.value}:{language}:{words}:{width}:{height}:{each.name}:{digest}"

        def work(each: Format) -> Blank:
            return Blank(kind, width, height, each, text, self._recipe.encoding)

        beyond = _refused(lambda each: work(each).check(requested.width, requested.height))
        ruled_out = {**beyond, **_failed(failures, field_of), **ruled_out}
        default = Format.GIF if kind is IfBlank.CLEAR_PIXEL else Format.PNG
        choice = requested.resolve_placeholder(default, ruled_out)
        return choice, field_of(choice.format), work(choice.format)

    def _beyond(self, size: tuple[int, int], requested: RequestedPicture) -> dict[Format, PictureError]:
        if max(size) > LARGEST_SIDE or size[0] * size[1] > self._recipe.limits.max_pixels:
            return {}  # no reader takes it, and a render says so
        return _refused(lambda each: self._order(requested, each).plan(size))

    def _order(self, requested: RequestedPicture, format: Format) -> Order:
        return Order(
            format, requested.width, requested.height, requested.fit, self._recipe.limits, self._recipe.encoding
        )

    def _field(self, requested: RequestedPicture, format: Format) -> str:
        size = f"{requested.width or 0}:{requested.height or 0}:{requested.fit.value}"
        return f"{size}:{format.name}:{self._recipe.digest}"


def _refused(check: Callable[[Format], object]) -> dict[Format, PictureError]:
    """The formats for which *check* raises `BeyondFormat`, each with that error."""
    refused: dict[Format, PictureError] = {}
    for each in MOST_PIXELS:
        try:
            check(each)
        except BeyondFormat as error:
            refused[each] = error
    return refused


def _failed(failures: tuple[Failure, ...], field_of: Callable[[Format], str]) -> RuledOut:
    """The formats whose rendition, in the field that *field_of* gives, has failed before."""
    if not failures:
        return NONE_RULED_OUT
    now = time.time()
    found = {each: failed_before(failures, field_of(each), each, now) for each in WRITABLE}
    return {each: error for each, error in found.items() if error is not None}
