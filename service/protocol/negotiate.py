"""Which format a request gets, by RFC 9110 §12. Knows no bytes, and nothing of how a picture is made or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.errors import N_, NotAcceptable, PictureError, Unwritable
from service.formats import WRITABLE, Fit, Format, IfBlank
from service.protocol.accept import NAMED, parse_accept
from service.protocol.memo import memoized
from service.protocol.query import Query

JSON = "application/json"
_AVAILABLE = ", ".join((*(each.media_type for each in WRITABLE), JSON))
_PLACEHOLDER_SIDE = 128
_INSIDE_JSON = (Format.JPEG, Format.PNG, Format.GIF, Format.TIFF, Format.WEBP, Format.AVIF)
"""Formats in place of one that cannot be had, the most widely read first: JSON does not say what its string holds."""

RuledOut = Mapping[Format, PictureError]
"""Formats that are no candidates while another one is acceptable, each with the error that is raised when none is."""
NONE_RULED_OUT: RuledOut = {}


@dataclass(frozen=True, slots=True)
class FormatChoice:
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
class RequestedPicture:
    """All that a request says about the picture it wants. Sides in pixels; requests that want the same are equal.

    `offers` stand in the site's order of preference, and are empty where `type` wins over `Accept`. `shows_tiff` is
    False where `Accept` names formats of pictures and TIFF is not among them, as those of browsers do.
    """

    width: int | None
    height: int | None
    fit: Fit
    if_blank: IfBlank
    type: Format | None
    offers: tuple[Offer, ...]
    json_quality: float
    shows_tiff: bool = True

    def resolve(
        self, stored: Format, alpha: bool, ruled_out: RuledOut = NONE_RULED_OUT, *, verbatim: bool = True
    ) -> FormatChoice:
        """The answer for an original in *stored*, with or without an alpha channel.

        *verbatim* says that an original goes out as stored without being written anew, so that no format is ruled out
        for it. Raises `NotAcceptable`, or the reason why what is acceptable is ruled out.
        """
        whole = self.width is None and self.height is None and self.type is None and stored.writable
        whole = whole and (verbatim or stored not in ruled_out)
        if not stored.writable or (stored is Format.TIFF and not self.shows_tiff):
            whole, stored = False, Format.PNG if alpha else Format.JPEG
        if whole and any(offer.format is stored for offer in self.offers):
            return FormatChoice(stored, as_stored=True)
        return self._negotiate(stored, alpha, ruled_out, as_stored=whole)

    def resolve_placeholder(self, default: Format, ruled_out: RuledOut = NONE_RULED_OUT) -> FormatChoice:
        """The answer for a placeholder that is drawn in *default* where nothing speaks against it. As `resolve`."""
        return self._negotiate(default, alpha=True, ruled_out=ruled_out, as_stored=False)

    def placeholder_size(self) -> tuple[int, int]:
        """Width and height of a placeholder in pixels: the box asked for, a square where one side is given."""
        side = 1 if self.if_blank is IfBlank.CLEAR_PIXEL else _PLACEHOLDER_SIDE
        return self.width or self.height or side, self.height or self.width or side

    def _negotiate(self, home: Format, alpha: bool, ruled_out: RuledOut, *, as_stored: bool) -> FormatChoice:
        if self.type is not None:
            if self.type in ruled_out:
                raise ruled_out[self.type]
            return FormatChoice(self.type)
        offers = [offer for offer in self.offers if offer.format not in ruled_out]
        best = max((offer.quality for offer in offers), default=0.0)
        if self.json_quality > best:
            inside = home if as_stored or home not in ruled_out else _instead(alpha, ruled_out)
            if inside is not None:
                return FormatChoice(inside, json=True, as_stored=as_stored)
        if offers:
            return FormatChoice(_break_tie([offer for offer in offers if offer.quality == best], home, alpha))
        wanted = WRITABLE if self.json_quality else [offer.format for offer in self.offers]
        reasons = [ruled_out[each] for each in wanted if each in ruled_out]
        if not reasons:
            raise NotAcceptable(N_("The Accept header allows none of %(available)s."), {"available": _AVAILABLE})
        raise next((each for each in reasons if isinstance(each, Unwritable)), reasons[0])


@memoized
def requested_picture(query: Query, accept: str | None, preference: tuple[Format, ...]) -> RequestedPicture:
    """Join *query* with the `Accept` field, None where there is none. Formats not in *preference* come last."""
    offers: tuple[Offer, ...] = ()
    json_quality, shows_tiff = 0.0, True
    if query.type is None:
        accepted = parse_accept(accept or "")
        formats = dict.fromkeys((*preference, *WRITABLE))
        weighed = ((each, *accepted.quality(each.media_type, each.aliases)) for each in formats)
        offers = tuple(Offer(each, q, specificity == NAMED) for each, q, specificity in weighed if q and each.writable)
        json_quality, specificity = accepted.quality(JSON)
        if specificity != NAMED:
            json_quality = 0.0
        names_tiff = any(offer.named and offer.format is Format.TIFF for offer in offers)
        shows_tiff = names_tiff or not accepted.names_pictures
    return RequestedPicture(
        query.width, query.height, query.fit, query.if_blank, query.type, offers, json_quality, shows_tiff
    )


def _instead(alpha: bool, ruled_out: RuledOut) -> Format | None:
    """The format in JSON in place of one that is ruled out, with transparency where the picture has *alpha*."""
    left = [each for each in _INSIDE_JSON if each not in ruled_out]
    return next((each for each in left if each.alpha or not alpha), left[0] if left else None)


def _break_tie(tie: list[Offer], home: Format, alpha: bool) -> Format:
    """One of the equally wanted offers: named before matched, then *home*, then by preference."""
    if alpha:
        tie = [offer for offer in tie if offer.format.alpha] or tie
    named = [offer.format for offer in tie if offer.named]
    formats = [offer.format for offer in tie]
    if named:
        return named[0]
    return home if home in formats else formats[0]
