"""The query string and the contact id as values. This module does not know headers or pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_plus

from service.errors import N_, BadParameter
from service.formats import CENTER, WRITABLE, Fit, Format, Gravity, IfBlank
from service.protocol.memo import memoized
from service.protocol.parameters import NO_PRESETS, Presets, not_one_of, texts_of

_T = TypeVar("_T")

_INTEGER = re.compile(r"-?[0-9]{1,10}")
_INT32 = range(-(2**31), 2**31)
_RATIO = re.compile(r"([1-4])(?:\.([0-9]{1,2}))?")
_SHARES = re.compile(r"([01])(?:\.([0-9]{1,2}))?,([01])(?:\.([0-9]{1,2}))?")
_COLOUR = re.compile(r"[0-9a-fA-F]{6}")

# What is accepted, in lower case, and what it means.
TYPES = {
    **{each.name.lower(): each for each in WRITABLE},
    **{media_type: each for each in WRITABLE for media_type in (each.media_type, *each.aliases)},
    "jpg": Format.JPEG,
    "tif": Format.TIFF,
}
BLANKS = {
    **{each.spelled.lower(): each for each in IfBlank},
    **{str(each.value): each for each in IfBlank if each is not IfBlank.INITIALS},
}
_FITS = {each.value: each for each in Fit}
_ENLARGE = {"true": True, "false": False}
GRAVITIES = {
    "center": CENTER,
    "top": Gravity(down=0),
    "bottom": Gravity(down=100),
    "left": Gravity(across=0),
    "right": Gravity(across=100),
}

_TYPES_SHOWN = ", ".join(each.name for each in WRITABLE)
_BLANKS_SHOWN = ", ".join(each.spelled for each in IfBlank)
_FITS_SHOWN = ", ".join(_FITS)
_ENLARGE_SHOWN = ", ".join(_ENLARGE)
_GRAVITIES_SHOWN = f"{', '.join(GRAVITIES)}, 0.00,0.00 – 1.00,1.00"
MAX_IDS = 100
"""Contacts of one request at most."""
_MOST_HUNDREDTHS = 400
"""The largest `dpr`, in hundredths."""
_RATIOS_SHOWN, _WHOLE_RATIOS_SHOWN, _COLOURS_SHOWN = "1.00 – 4.00", "1, 2, 3", "000000 – ffffff"


@dataclass(frozen=True, slots=True)
class Query:
    """The query of a picture's URL. Sides are in pixels, at least 1. `fit` is `CONTAIN` unless both sides are given.

    `gravity` is `CENTER` unless `fit` is `COVER`. `background` has six hexadecimal digits in lower case. `version` is
    the text of `v`.
    """

    width: int | None = None
    height: int | None = None
    type: Format | None = None
    if_blank: IfBlank = IfBlank.NULL
    fit: Fit = Fit.CONTAIN
    gravity: Gravity = CENTER
    background: str | None = None
    enlarge: bool = True
    version: str = ""


@memoized
def parse_query(raw: str, max_dimension: int, presets: Presets = NO_PRESETS) -> Query:
    """Parse the raw, percent-encoded query string; *max_dimension* is in pixels. Raise `BadParameter`.

    Names match in any letter case. Unknown names are ignored. An empty value counts as no value. A preset and `dpr`
    become the sides that they mean.
    """
    given = texts_of(raw)
    texts = presets.resolve(given)
    width, height = _side("w", texts, max_dimension), _side("h", texts, max_dimension)
    width, height = _multiplied(width, height, _ratio(texts, whole=presets.only), max_dimension)
    fit = _choice("fit", texts, _FITS, _FITS_SHOWN)
    fit = fit if fit and width and height else Fit.CONTAIN
    gravity = _gravity(texts)
    enlarge = _choice("enlarge", texts, _ENLARGE, _ENLARGE_SHOWN)
    return Query(
        width,
        height,
        _choice("type", texts, TYPES, _TYPES_SHOWN),
        _choice("ifblank", texts, BLANKS, _BLANKS_SHOWN) or IfBlank.NULL,
        fit,
        gravity if fit is Fit.COVER else CENTER,
        _background(texts),
        enlarge is not False or not (width or height),
        given.get("v", ""),
    )


def parse_contact_id(text: str) -> int:
    """Parse the path segment of a contact id, an int32 that may be zero or negative. Raise `BadParameter`."""
    number = _int32(text)
    if number is None:
        raise BadParameter(N_("The contact id must be a 32-bit integer."))
    return number


def parse_contact_ids(raw: str) -> list[int]:
    """Return the ids in the parameter `ids` of a raw query string, each once. Raise `BadParameter`."""
    pairs = (pair.partition("=") for pair in raw.split("&"))
    lists = {unquote_plus(text) for name, _, text in pairs if unquote_plus(name).lower() == "ids"}
    ids = [_int32(text) for text in lists.pop().split(",")] if len(lists) == 1 else []
    contacts = list(dict.fromkeys(each for each in ids if each is not None))
    if not ids or None in ids or len(ids) > MAX_IDS:
        raise BadParameter(
            N_("The parameter %(name)s must be a list of 1 to %(limit)s contact ids with commas between them."),
            {"name": "ids", "limit": MAX_IDS},
        )
    return contacts


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
            {"name": name, "limit": limit},
        )
    return number if number > 0 else None


def _multiplied(width: int | None, height: int | None, hundredths: int, limit: int) -> tuple[int | None, int | None]:
    """Return the sides times a ratio, rounded half up. The ratio is lowered where a side would be above *limit*."""
    longer = max(width or 0, height or 0)
    part, whole = (hundredths, 100) if longer * hundredths <= limit * 100 else (limit, longer)
    multiplied = [side and max(1, (2 * side * part + whole) // (2 * whole)) for side in (width, height)]
    return multiplied[0], multiplied[1]


def _ratio(texts: Mapping[str, str], *, whole: bool) -> int:
    """Return `dpr` in hundredths. It must be 1, 2 or 3 if it is to be *whole*."""
    text = texts.get("dpr")
    if not text:
        return 100
    match = _RATIO.fullmatch(text)
    hundredths = _hundredths(match[1], match[2]) if match else 0
    if not 100 <= hundredths <= _MOST_HUNDREDTHS or (whole and hundredths not in (100, 200, 300)):
        raise not_one_of("dpr", _WHOLE_RATIOS_SHOWN if whole else _RATIOS_SHOWN)
    return hundredths


def _gravity(texts: Mapping[str, str]) -> Gravity:
    text = texts.get("gravity")
    if not text:
        return CENTER
    if (named := GRAVITIES.get(text.lower())) is not None:
        return named
    match = _SHARES.fullmatch(text)
    shares = (_hundredths(match[1], match[2]), _hundredths(match[3], match[4])) if match else (101, 101)
    if max(shares) > 100:
        raise not_one_of("gravity", _GRAVITIES_SHOWN)
    return Gravity(*shares)


def _background(texts: Mapping[str, str]) -> str | None:
    text = texts.get("bg")
    if not text:
        return None
    if not _COLOUR.fullmatch(text):
        raise not_one_of("bg", _COLOURS_SHOWN)
    return text.lower()


def _hundredths(whole: str, decimals: str | None) -> int:
    return int(whole) * 100 + int((decimals or "").ljust(2, "0"))


def _choice(name: str, texts: Mapping[str, str], table: Mapping[str, _T], shown: str) -> _T | None:
    text = texts.get(name)
    if not text:
        return None
    chosen = table.get(text.lower())
    if chosen is None:
        raise not_one_of(name, shown)
    return chosen
