"""Content negotiation, RFC 9110 §12: the format of the answer. This module does not know how pictures are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.errors import N_, NotAcceptable, PictureError, Unwritable
from service.formats import CENTER, WRITABLE, Fit, Format, Gravity, IfBlank
from service.protocol.accept import NAMED, parse_accept
from service.protocol.memo import memoized
from service.protocol.query import Query

JSON = "application/json"
_AVAILABLE = ", ".join((*(each.media_type for each in WRITABLE), JSON))
_PLACEHOLDER_SIDE = 128
"""Pixels of a placeholder's side by default."""
_INSIDE_JSON = (Format.JPEG, Format.PNG, Format.GIF, Format.TIFF, Format.WEBP, Format.AVIF)
"""Formats that replace a ruled-out one in JSON. The most common come first, since JSON does not name the format."""

RuledOut = Mapping[Format, PictureError]
"""Formats that are no candidates while another is acceptable, and the errors that are raised when none is."""
NONE_RULED_OUT: RuledOut = {}
"""No format is ruled out."""


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """The format of the answer. With `json` it is in a JSON string. With `as_stored` it is the original unchanged."""

    format: Format
    json: bool = False
    as_stored: bool = False


@dataclass(frozen=True, slots=True)
class AcceptableFormat:
    """A format that `Accept` allows: its q-value, above 0, and whether a range is its full media type."""

    format: Format
    quality: float
    named: bool


@dataclass(frozen=True, slots=True)
class RequestedPicture:
    """What a request says about the picture. Sides are in pixels. Requests for the same picture are equal.

    `acceptable` has the formats that `Accept` allows, in the site's order of preference. It is empty when `type` is
    given, which wins over `Accept`. `shows_tiff` is False when `Accept` names picture formats but not TIFF, as the
    header of a browser does. `gravity`, `background` and `enlarge` are those of `Query`.
    """

    width: int | None
    height: int | None
    fit: Fit
    if_blank: IfBlank
    type: Format | None
    acceptable: tuple[AcceptableFormat, ...]
    json_quality: float
    shows_tiff: bool = True
    gravity: Gravity = CENTER
    background: str | None = None
    enlarge: bool = True
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # It is the key of several memos, and to hash it takes as long as the rest of a lookup there. All that a client
        # chooses counts: a memo of requests with equal hashes compares each request with all of them.
        chosen = (self.width, self.height, self.fit, self.gravity, self.background, self.enlarge, self.if_blank)
        accepted = (self.type, self.acceptable, self.json_quality, self.shows_tiff)
        object.__setattr__(self, "_hash", hash((chosen, accepted)))

    def __hash__(self) -> int:
        return self._hash

    def resolve(
        self, stored: Format, alpha: bool, ruled_out: RuledOut = NONE_RULED_OUT, *, verbatim: bool = True
    ) -> FormatChoice:
        """Return the choice for an original in the format *stored*, with or without an alpha channel.

        *verbatim* says that an original is sent as stored without a writer, so that no format is ruled out for it.
        Raise `NotAcceptable`, or the error of a ruled-out format when no other is acceptable.
        """
        unchanged = self.width is None and self.height is None and self.type is None and stored.writable
        unchanged = unchanged and (verbatim or stored not in ruled_out)
        if self.background is not None and alpha:
            unchanged = alpha = False
        if not stored.writable or (stored is Format.TIFF and not self.shows_tiff):
            unchanged, stored = False, Format.PNG if alpha else Format.JPEG
        if unchanged and any(each.format is stored for each in self.acceptable):
            return FormatChoice(stored, as_stored=True)
        return self._negotiate(stored, alpha, ruled_out, as_stored=unchanged)

    def resolve_placeholder(self, default: Format, ruled_out: RuledOut = NONE_RULED_OUT) -> FormatChoice:
        """Return the choice for a placeholder, which is in the format *default* by default. Raise as `resolve` does."""
        return self._negotiate(default, alpha=self.background is None, ruled_out=ruled_out, as_stored=False)

    def placeholder_size(self) -> tuple[int, int]:
        """Return width and height of a placeholder in pixels: the requested box, or a square when one side is given."""
        side = 1 if self.if_blank is IfBlank.CLEAR_PIXEL else _PLACEHOLDER_SIDE
        return self.width or self.height or side, self.height or self.width or side

    def _negotiate(self, default: Format, alpha: bool, ruled_out: RuledOut, *, as_stored: bool) -> FormatChoice:
        if self.type is not None:
            if self.type in ruled_out:
                raise ruled_out[self.type]
            return FormatChoice(self.type)
        candidates = [each for each in self.acceptable if each.format not in ruled_out]
        best = max((candidate.quality for candidate in candidates), default=0.0)
        if self.json_quality > best:
            inside = default if as_stored or default not in ruled_out else _replacement(alpha, ruled_out)
            if inside is not None:
                return FormatChoice(inside, json=True, as_stored=as_stored)
        if candidates:
            tied = [candidate for candidate in candidates if candidate.quality == best]
            return FormatChoice(_break_tie(tied, default, alpha))
        formats = WRITABLE if self.json_quality else [each.format for each in self.acceptable]
        reasons = [ruled_out[kind] for kind in formats if kind in ruled_out]
        if not reasons:
            raise NotAcceptable(N_("The Accept header allows none of %(available)s."), {"available": _AVAILABLE})
        raise next((each for each in reasons if isinstance(each, Unwritable)), reasons[0])


@memoized
def requested_picture(query: Query, accept: str | None, preference: tuple[Format, ...]) -> RequestedPicture:
    """Combine *query* with the `Accept` field, which may be None. Formats that are not in *preference* come last."""
    acceptable: tuple[AcceptableFormat, ...] = ()
    json_quality, shows_tiff = 0.0, True
    if query.type is None:
        accepted = parse_accept(accept or "")
        formats = dict.fromkeys((*preference, *WRITABLE))
        weighed = ((kind, *accepted.quality(kind.media_type, kind.aliases)) for kind in formats)
        acceptable = tuple(
            AcceptableFormat(kind, q, match == NAMED) for kind, q, match in weighed if q and kind.writable
        )
        json_quality, specificity = accepted.quality(JSON)
        if specificity != NAMED:
            json_quality = 0.0
        names_tiff = any(each.named and each.format is Format.TIFF for each in acceptable)
        shows_tiff = names_tiff or not accepted.names_pictures
    return RequestedPicture(
        query.width,
        query.height,
        query.fit,
        query.if_blank,
        query.type,
        acceptable,
        json_quality,
        shows_tiff,
        query.gravity,
        query.background,
        query.enlarge,
    )


def _replacement(alpha: bool, ruled_out: RuledOut) -> Format | None:
    """Return the format in JSON that replaces a ruled-out one. With *alpha* it is one that has transparency, if any."""
    possible = [kind for kind in _INSIDE_JSON if kind not in ruled_out]
    return next((kind for kind in possible if kind.alpha or not alpha), possible[0] if possible else None)


def _break_tie(tied: list[AcceptableFormat], default: Format, alpha: bool) -> Format:
    """Return one of the candidates with equal q-values: a named one, else *default*, else the first by preference."""
    if alpha:
        tied = [candidate for candidate in tied if candidate.format.alpha] or tied
    named = [candidate.format for candidate in tied if candidate.named]
    formats = [candidate.format for candidate in tied]
    if named:
        return named[0]
    return default if default in formats else formats[0]
