"""The candidates for a request: its format, the rendition's field in the cache, and the work that makes it.

A format is ruled out if it cannot hold the rendition, or if this rendition has failed in it before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from service.errors import BeyondFormat, PictureError
from service.formats import CENTER, MOST_PIXELS, WRITABLE, Fit, Format, Gravity
from service.imaging.geometry import Plan
from service.imaging.order import LARGEST_SIDE, Order
from service.pictures.failures import active_fault, refusal
from service.pictures.selection import Recipe
from service.pictures.values import STORED, Failure, Original
from service.protocol.negotiate import NONE_RULED_OUT, FormatChoice, RequestedPicture, RuledOut

_USUAL = Original(0, "", 0, None, Format.JPEG, alpha=False)
"""An original as most are: an opaque JPEG of a moderate size."""
_WHITE = "ffffff"


class Candidate(NamedTuple):
    """A chosen format, the field of its rendition, and the work that makes it. Without *work*: the stored bytes."""

    choice: FormatChoice
    field: str
    work: Order | None


class Candidates:
    """Candidates for renditions made by *recipe*."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.likely_field = lru_cache(1024)(self._likely_field)
        self.stored_choices = lru_cache(1024)(self._stored_choices)

    def of_picture(self, original: Original, requested: RequestedPicture, ruled_out: RuledOut) -> Candidate:
        """Return the best candidate for *requested*.

        *ruled_out* are the formats that have failed for this request. Formats that cannot succeed are added, unless the
        original has a fault: then none can. Raise `NotAcceptable`, `BadParameter` for a size that no format can have,
        and the error of a ruled-out format if no other one is acceptable.
        """
        recipe, requested = self._recipe, self._effective(requested, original)
        too_large: RuledOut = NONE_RULED_OUT
        if active_fault(original.fault, recipe.digest) is None:
            too_large = (
                NONE_RULED_OUT if original.dimensions is None else self._too_large(original.dimensions, requested)
            )
            failed = failed_formats(original.failures, lambda each: self._field(requested, each))
            ruled_out = {**too_large, **failed, **ruled_out}
        choice = requested.resolve(original.format, original.alpha, ruled_out, verbatim=recipe.as_stored)
        if choice.as_stored and recipe.as_stored:
            return Candidate(choice, STORED, None)
        order = self._order(requested, choice.format)
        if too_large and original.dimensions is not None:
            order.plan(original.dimensions)  # a size that is too large for one format may be too large for all
        if choice.as_stored:
            choice = replace(choice, as_stored=False)
        return Candidate(choice, self._field(requested, choice.format), order)

    def _stored_choices(self, requested: RequestedPicture) -> dict[Format, FormatChoice]:
        """Return the choice for each format of originals of which the stored bytes are sent, whatever has failed."""
        choices = {}
        if self._recipe.as_stored and not (
            requested.width or requested.height or requested.type or requested.background
        ):
            for each in Format:
                with suppress(PictureError):
                    choice = requested.resolve(each, alpha=False)
                    if choice.as_stored and not (choice.json and requested.acceptable):  # JSON may be ruled out
                        choices[each] = choice
        return choices

    def _likely_field(self, requested: RequestedPicture) -> str | None:
        """Return the field of the best candidate for *requested* of a usual original, or None if there is none."""
        try:
            return self.of_picture(_USUAL, replace(requested, enlarge=True), NONE_RULED_OUT).field
        except PictureError:
            return None

    def of_file(
        self,
        original: Original,
        requested: RequestedPicture,
        kind: str,
        failures: tuple[Failure, ...],
        ruled_out: RuledOut,
    ) -> tuple[FormatChoice, str, Order]:
        """Return the best candidate for a rendition of *original*, a file that is a placeholder of that *kind*.

        *failures* are those of placeholders. Raise as `of_picture`.
        """
        requested = self._effective(requested, original)
        size = original.dimensions
        too_large = NONE_RULED_OUT if size is None else self._too_large(size, requested)

        def field_of(each: Format) -> str:
            return f"{kind}:{original.version}:{self._field(requested, each)}"

        ruled_out = {**too_large, **failed_formats(failures, field_of), **ruled_out}
        choice = requested.resolve(original.format, original.alpha, ruled_out, verbatim=False)
        order = self._order(requested, choice.format)
        if too_large and size is not None:
            order.plan(size)  # it may be too large for all
        return replace(choice, as_stored=False), field_of(choice.format), order

    def _too_large(self, size: tuple[int, int], requested: RequestedPicture) -> dict[Format, PictureError]:
        if max(size) > LARGEST_SIDE or size[0] * size[1] > self._recipe.limits.max_pixels:
            return {}  # the original itself exceeds the limits, which the render reports
        return formats_raising(lambda each: self._order(requested, each).plan(size))

    def _effective(self, requested: RequestedPicture, original: Original) -> RequestedPicture:
        """Return *requested* without what changes no pixel of *original*, so that equal renditions have one field."""
        gravity, background, enlarge = requested.gravity, requested.background, requested.enlarge
        if gravity == CENTER and background is None and enlarge:
            return requested
        enlarge = enlarge or not self._recipe.limits.enlarge
        padded = requested.fit is Fit.PAD
        if (size := original.dimensions) is not None:

            def planned(gravity: Gravity, enlarge: bool) -> Plan:
                as_if = replace(requested, gravity=gravity, enlarge=enlarge)
                return self._order(as_if, Format.JPEG).draft(size)

            enlarge = enlarge or planned(gravity, True) == planned(gravity, False)
            plan = planned(gravity, enlarge)
            gravity = CENTER if plan == planned(CENTER, enlarge) else gravity
            padded = padded and plan.canvas != plan.scaled
        if not (padded or original.alpha):
            background = None
        return replace(requested, gravity=gravity, background=background, enlarge=enlarge)

    def _order(self, requested: RequestedPicture, format: Format) -> Order:
        limits = self._recipe.limits
        return Order(
            format,
            requested.width,
            requested.height,
            requested.fit,
            limits if requested.enlarge else replace(limits, enlarge=False),
            self._recipe.encoding,
            requested.gravity,
            visible_background(requested.background, format, padded=requested.fit is Fit.PAD),
        )

    def _field(self, requested: RequestedPicture, format: Format) -> str:
        size = f"{requested.width or 0}:{requested.height or 0}:{requested.fit.value}"
        gravity = None if requested.gravity == CENTER else "{},{}".format(*requested.gravity)
        background = visible_background(requested.background, format, padded=requested.fit is Fit.PAD)
        named = (("g", gravity), ("b", background), ("e", None if requested.enlarge else "0"))
        parts = "".join([part_of_field(name, value) for name, value in named])
        return f"{size}{parts}:{format.name}:{self._recipe.digest}"


def part_of_field(name: str, value: str | None) -> str:
    """Return the part of a field that has *value*, if there is one."""
    return "" if value is None else f":{name}{value}"


def visible_background(background: str | None, format: Format, *, padded: bool) -> str | None:
    """Return *background* unless it is the white that the rendition has without one."""
    return None if background == _WHITE and (padded or not format.alpha) else background


def formats_raising(check: Callable[[Format], object]) -> dict[Format, PictureError]:
    """Return the formats for which *check* raises `BeyondFormat`, each with that error."""
    errors: dict[Format, PictureError] = {}
    for each in MOST_PIXELS:
        try:
            check(each)
        except BeyondFormat as error:
            errors[each] = error
    return errors


def failed_formats(failures: tuple[Failure, ...], field_of: Callable[[Format], str]) -> RuledOut:
    """Return the formats whose rendition, in the field that *field_of* returns, has failed before."""
    if not failures:
        return NONE_RULED_OUT
    now = time.time()
    errors = {each: refusal(failures, field_of(each), each, now) for each in WRITABLE}
    return {each: error for each, error in errors.items() if error is not None}
