"""Which rendition of a picture, or which placeholder, a request gets: its format, its field in the cache, the work.

A format is ruled out where it cannot hold the rendition, or where this very rendition has failed before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from service.errors import BeyondFormat, PictureError
from service.formats import WRITABLE, Format, IfBlank
from service.imaging.capacity import MOST_PIXELS
from service.imaging.order import LARGEST_SIDE, Blank, Order
from service.pictures.failures import failed_before
from service.pictures.selection import Recipe
from service.pictures.values import Failure, Original
from service.protocol.negotiate import NOTHING, Choice, RuledOut, Wish


class Candidates:
    """Candidates for renditions made by *recipe*."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def of_picture(
        self, original: Original, wish: Wish, ruled_out: RuledOut, *, refused: bool
    ) -> tuple[Choice, str, Order | None]:
        """The format of the answer, its field, and the work, which is None for the stored bytes.

        *ruled_out* are formats that have failed for this request; formats that cannot succeed are added, unless the
        picture is *refused* and none can. Raises `NotAcceptable`, `BadParameter` for a size that no format can have,
        and the error of a format that is ruled out where no other is acceptable.
        """
        recipe = self._recipe
        beyond: RuledOut = NOTHING
        if not refused:
            beyond = NOTHING if original.dimensions is None else self._beyond(original.dimensions, wish)
            failed = _failed(original.failures, lambda each: self._field(wish, each))
            ruled_out = {**beyond, **failed, **ruled_out}
        choice = wish.resolve(original.format, original.alpha, ruled_out, verbatim=recipe.as_stored)
        if choice.as_stored and recipe.as_stored:
            return choice, "stored", None
        order = self._order(wish, choice.format)
        if beyond and original.dimensions is not None:
            order.plan(original.dimensions)  # more than one format holds may be more than any does
        return replace(choice, as_stored=False), self._field(wish, choice.format), order

    def of_placeholder(
        self, wish: Wish, text: str, language: str, failures: tuple[Failure, ...], ruled_out: RuledOut
    ) -> tuple[Choice, str, Blank]:
        """The same for the placeholder of *wish*, with *text* in *language* where it has words."""
        kind, (width, height), digest = wish.if_blank, wish.placeholder_size(), self._recipe.digest
        if not kind.worded:
            text = language = ""
        words = blake2b(text.encode(), digest_size=4).hexdigest() if text else ""

        def field_of(each: Format) -> str:
            return f"{kind.value}:{language}:{words}:{width}:{height}:{each.name}:{digest}"

        def work(each: Format) -> Blank:
            return Blank(kind, width, height, each, text, self._recipe.encoding)

        beyond = _refused(lambda each: work(each).check(wish.width, wish.height))
        ruled_out = {**beyond, **_failed(failures, field_of), **ruled_out}
        default = Format.GIF if kind is IfBlank.CLEAR_PIXEL else Format.PNG
        choice = wish.resolve_placeholder(default, ruled_out)
        return choice, field_of(choice.format), work(choice.format)

    def _beyond(self, size: tuple[int, int], wish: Wish) -> dict[Format, PictureError]:
        if max(size) > LARGEST_SIDE or size[0] * size[1] > self._recipe.limits.max_pixels:
            return {}  # no reader takes it, and a render says so
        return _refused(lambda each: self._order(wish, each).plan(size))

    def _order(self, wish: Wish, format: Format) -> Order:
        return Order(format, wish.width, wish.height, wish.fit, self._recipe.limits, self._recipe.encoding)

    def _field(self, wish: Wish, format: Format) -> str:
        size = f"{wish.width or 0}:{wish.height or 0}:{wish.fit.value}"
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
        return NOTHING
    now = time.time()
    found = {each: failed_before(failures, field_of(each), each, now) for each in WRITABLE}
    return {each: error for each, error in found.items() if error is not None}
