"""The parameter `name`. It is taken out of a target before that is kept; its initials and a colour are all that stays.

Nothing here is memoised: the key would be the name.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

from service.errors import BadParameter
from service.formats import INITIALS_COLOURS, Initials
from service.protocol.parameters import any_spelling, texts_of

_PAIR = re.compile(f"{any_spelling('name')}(?:=.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
_PARAMETER = re.compile(f"[?&]{any_spelling('name')}(?![^=&])", re.ASCII | re.IGNORECASE)
_INVALID = "name=%FF"
"""A parameter that is refused, in place of each `name` that is: all of these are one target."""
_LETTERS = ("Lu", "Ll", "Lt", "Lo")
"""The general categories of letters that a word can begin with. Modifier letters (Lm) are no capitals of any."""
_MARKS = ("Mn", "Mc", "Me")
_VARIATION = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Selectors of a variant of the ideograph before them."""
_ALONE = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "HENTAIGANA", "HANGUL")
"""Beginnings of the Unicode names of Han, kana and Hangul."""


def without_name(target: str) -> str:
    """Return *target*, a raw path and query, without `name`, or with the same invalid one for each invalid one."""
    if "name" not in target.lower() and "%" not in target:  # takes a tenth of the search
        return target
    if _PARAMETER.search(target) is None:
        return target
    path, _, query = target.partition("?")
    rest = [pair for pair in query.split("&") if not _PAIR.fullmatch(pair)] if query else []
    try:
        name_of(query)
    except BadParameter:
        rest.append(_INVALID)
    return f"{path}?{'&'.join(rest)}" if rest else path


def name_of(query: str) -> str:
    """Return the value of `name` in the raw *query*, or an empty text. Raise `BadParameter`."""
    return texts_of("&".join(filter(_PAIR.fullmatch, query.split("&")))).get("name", "")


def initials_of(name: str) -> Initials | None:
    """Return the initials of *name* and the number of its colour, or None if it has no letter.

    They are the first graphemes of the first and of the last word that have a letter, in NFC and upper case. Of Han,
    kana and Hangul there is the first alone.
    """
    words = unicodedata.normalize("NFC", _VARIATION.sub("", name)).split()
    found = [initial for word in words if (initial := _capital(_grapheme(word)))]
    if not found:
        return None
    letters = found[0]
    if len(found) > 1 and not (_stands_alone(letters) or _stands_alone(found[-1])):
        letters += found[-1]
    folded = unicodedata.normalize("NFC", " ".join(words).casefold())
    digest = blake2b(folded.encode(), digest_size=8).digest()
    return Initials(letters, int.from_bytes(digest) % INITIALS_COLOURS)


def _grapheme(word: str) -> str:
    """Return the first letter of *word* with its marks, or an empty text."""
    for start, each in enumerate(word):
        if unicodedata.category(each) in _LETTERS:
            end = start + 1
            while end < len(word) and unicodedata.category(word[end]) in _MARKS:
                end += 1
            return word[start:end]
    return ""


def _capital(letter: str) -> str:
    """Return *letter* in upper case: in title case where that is another, as of digraphs, and of Georgian, where it is
    the letter itself."""
    return _grapheme(unicodedata.normalize("NFC", letter.title()))


def _stands_alone(letter: str) -> bool:
    return unicodedata.name(letter[0], "").startswith(_ALONE)
