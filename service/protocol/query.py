"""The query string and the contact id as values. This module does not know headers or pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_plus

from service.errors import N_, BadParameter
from service.formats import WRITABLE, Fit, Format, IfBlank
from service.protocol.memo import memoized

_T = TypeVar("_T")

_INTEGER = re.compile(r"-?[0-9]{1,10}")
_INT32 = range(-(2**31), 2**31)

_SPELLINGS = {name.lower(): name for name in ("w", "h", "type", "ifBlank", "fit")}
_TYPES = {
    **{each.name.lower(): each for each in WRITABLE},
    **{media_type: each for each in WRITABLE for media_type in (each.media_type, *each.aliases)},
    "jpg": Format.JPEG,
    "tif": Format.TIFF,
}
_BLANKS = {
    **{each.name.replace("_", "").lower(): each for each in IfBlank},
    **{str(each.value): each for each in IfBlank},
}
_FITS = {each.value: each for each in Fit}

_TYPES_SHOWN = ", ".join(each.name for each in WRITABLE)
_BLANKS_SHOWN = ", ".join(each.name.replace("_", " ").title().replace(" ", "") for each in IfBlank)
_FITS_SHOWN = ", ".join(_FITS)


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a picture's URL. Sides are in pixels, at least 1. `fit` is `CONTAIN` unless both sides are given."""

    width: int | None = None
    height: int | None = None
    type: Format | None = None
    if_blank: IfBlank = IfBlank.NULL
    fit: Fit = Fit.CONTAIN


@memoized
def parse_query(raw: str, max_dimension: int) -> Query:
    """Parse the raw, percent-encoded query string; *max_dimension* is in pixels. Raise `BadParameter`.

    Names match in any letter case. Unknown names are ignored. An empty value counts as no value.
    """
    texts = _texts(raw)
    width = _side("w", texts, max_dimension)
    height = _side("h", texts, max_dimension)
    fit = _choice("fit", texts, _FITS, _FITS_SHOWN)
    return Query(
        width,
        height,
        _choice("type", texts, _TYPES, _TYPES_SHOWN),
        _choice("ifblank", texts, _BLANKS, _BLANKS_SHOWN) or IfBlank.NULL,
        fit if fit and width and height else Fit.CONTAIN,
    )


def parse_contact_id(text: str) -> int:
    """Parse the path segment of a contact id, an int32 that may be zero or negative. Raise `BadParameter`."""
    number = _int32(text)
    if number is None:
        raise BadParameter(N_("The contact id must be a 32-bit integer."))
    return number


def _texts(raw: str) -> dict[str, str]:
    """Return the decoded values of known names, by name in lower case. Values of other names are not decoded."""
    texts: dict[str, str] = {}
    for pair in raw.split("&"):
        encoded_name, _, encoded = pair.partition("=")
        name = unquote_plus(encoded_name).lower()
        if name not in _SPELLINGS:
            continue
        try:
            text = unquote_plus(encoded, errors="strict")
        except UnicodeDecodeError:
            raise BadParameter(N_("The parameter %(name)s is not valid UTF-8."), {"name": _SPELLINGS[name]}) from None
        if texts.setdefault(name, text) != text:
            raise BadParameter(
                N_("The parameter %(name)s is given more than once, with different values."),
                {"name": _SPELLINGS[name]},
            )
    return texts


def _int32(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) and int(text) in _INT32 else None


def _side(name: str, texts: Mapping[str, str], limit: int) -> int | None:
    text = texts.get(name)
    if not text:
        return None
    number = _int32(text)
    if number is None or number > limit:
        raise BadParameter(
            N_("The parameter %(name)s must be an integer of at most %(limit)s."),
            {"name": _SPELLINGS[name], "limit": limit},
        )
    return number if number > 0 else None


def _choice(name: str, texts: Mapping[str, str], table: Mapping[str, _T], shown: str) -> _T | None:
    text = texts.get(name)
    if not text:
        return None
    chosen = table.get(text.lower())
    if chosen is None:
        raise BadParameter(
            N_("The parameter %(name)s must be one of %(accepted)s."),
            {"name": _SPELLINGS[name], "accepted": shown},
        )
    return chosen
