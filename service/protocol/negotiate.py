"""Which format a request gets, by RFC 9110 §12. Knows no bytes, and nothing of how a picture is made or kept."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import N_, NotAcceptable
from service.formats import WRITABLE, Fit, Format, IfBlank
from service.protocol.accept import NAMED, parse_accept
from service.protocol.memo import remembered
from service.protocol.query import Query

JSON = "application/json"
_AVAILABLE = ", ".join((*(each.media_type for each in WRITABLE), JSON))
_PLACEHOLDER_SIDE = 128


@dataclass(frozen=True, slots=True)
class Choice:
    """The format of the answer; `json` puts it into a JSON string, `as_stored` leaves the original's bytes alone."""

    format: Format
    json: bool = False
    as_stored: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A format that `Accept` allows, with its q-value above 0, and whether a range names it in full."""

    format: Format
    quality: float
    named: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """All that a request says about the picture it wants. Sides in pixels; requests that want the same are equal.

    `offers` stand in the site's order of preference, and are empty where `type` wins over `Accept`.
    """

    width: int | None
    height: int | None
    fit: Fit
    if_blank: IfBlank
    type: Format | None
    offers: tuple[Offer, ...]
    json_quality: float

    def resolve(self, stored: Format, alpha: bool) -> Choice:
        """The answer for an original in *stored*, with or without an alpha channel. Raises `NotAcceptable`."""
        whole = self.width is None and self.height is None and self.type is None and stored.writable
        if whole and any(offer.format is stored for offer in self.offers):
            return Choice(stored, as_stored=True)
        if not stored.writable:
            stored = Format.PNG if alpha else Format.JPEG
        return self._negotiate(stored, alpha, as_stored=whole)

    def resolve_placeholder(self, default: Format) -> Choice:
        """The answer for a placeholder that is drawn in *default* where nothing speaks against it. As `resolve`."""
        return self._negotiate(default, alpha=True, as_stored=False)

    def placeholder_size(self) -> tuple[int, int]:
        """Width and height of a placeholder in pixels: the box asked for, a square where one side is given."""
        side = 1 if self.if_blank is IfBlank.CLEAR_PIXEL else _PLACEHOLDER_SIDE
        return self.width or self.height or side, self.height or self.width or side

    def _negotiate(self, home: Format, alpha: bool, *, as_stored: bool) -> Choice:
        if self.type is not None:
            return Choice(self.type)
        best = max((offer.quality for offer in self.offers), default=0.0)
        if self.json_quality > best:
            return Choice(home, json=True, as_stored=as_stored)
        if not self.offers:
            raise NotAcceptable(N_("The Accept header allows none of %(available)s."), {"available": _AVAILABLE})
        return Choice(_break_tie([offer for offer in self.offers if offer.quality == best], home, alpha))


@remembered
def make_wish(query: Query, accept: str | None, preference: tuple[Format, ...]) -> Wish:
    """Join *query* with the `Accept` field, None where there is none. Formats not in *preference* come last."""
    offers: tuple[Offer, ...] = ()
    json_quality = 0.0
    if query.type is None:
        accepted = parse_accept(accept or "")
        formats = dict.fromkeys((*preference, *WRITABLE))
        weighed = ((each, *accepted.quality(each.media_type, each.aliases)) for each in formats)
        offers = tuple(Offer(each, q, specificity == NAMED) for each, q, specificity in weighed if q and each.writable)
        json_quality, specificity = accepted.quality(JSON)
        if specificity != NAMED:
            json_quality = 0.0
    return Wish(query.width, query.height, query.fit, query.if_blank, query.type, offers, json_quality)


def _break_tie(tie: list[Offer], home: Format, alpha: bool) -> Format:
    """One of the equally wanted offers: named before matched, then *home*, then by preference."""
    if alpha:
        tie = [offer for offer in tie if offer.format.alpha] or tie
    named = [offer.format for offer in tie if offer.named]
    formats = [offer.format for offer in tie]
    if named:
        return named[0]
    return home if home in formats else formats[0]
