"""The reader's language and culture, and our words in them. Knows nothing of what the words are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.pofile import read_po

from service.errors import N_
from service.protocol.cultures import Grouping, load_cultures
from service.protocol.lists import QUALITY, list_elements
from service.protocol.memo import memoized

ENGLISH = "en"
"""The language of the message ids, and the last to fall back to."""

NO_PHOTO = N_("NO PHOTO")
"""What the worded placeholders say."""

_LOCALE = Path(__file__).parent / "locale"

# SuperOffice's codes where they are not BCP 47's: `no` stands for Bokmål, `br` for Brazilian Portuguese, `ch` for
# Chinese.
_SPELLINGS = {"no": "nb", "br": "pt-br", "ch": "zh"}
# Who reads the one reads the other, where we lack the one.
_KIN = {"nn": "nb", "pt": "pt-br"}
# RFC 4647 §2.1, of at most eight subtags; in SuperOffice's `SO-Language`, `*` and `x` ask for the message ids.
_UNTRANSLATED = ("*", "x")
_RANGE = r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}"
_WEIGHTED = re.compile(rf"({_RANGE})(?:[ \t]*;[ \t]*[Qq]=({QUALITY.pattern}))?")
_CULTURE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Languages:
    """The *catalogues*, by language tag as in `Content-Language`; each maps message ids to translations. *cultures*
    tell how numbers are written, by tag in lower case."""

    catalogues: Mapping[str, Mapping[str, str]]
    cultures: Mapping[str, Grouping] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Languages:
        """Read every `locale/{language}.po`, e.g. `sv.po` or `pt_BR.po`. A further language is one more file."""
        files = sorted(_LOCALE.glob("*.po"))
        return cls({file.stem.replace("_", "-"): _read(file) for file in files}, load_cultures())

    def choose(self, so_language: str | None, accept_language: str | None) -> str:
        """The best language that we have for the two field values, None where absent. Never raises.

        `SO-Language` overrides `Accept-Language`, and `*` or `x` there means untranslated, which is English. One that
        we do not have falls back: a region to its language, `SO-Language` to `Accept-Language`, that to English.
        """
        return _choose((ENGLISH, *self.catalogues), so_language, accept_language)

    def culture(self, so_culture: str | None, so_language: str | None, accept_language: str | None) -> str | None:
        """The culture that `SO-Culture` names, e.g. `de-CH`; a region that we do not know falls back to its language.

        None where the field is absent, unknown or malformed, or no language is set beside it (CONTRACT, section 5).
        Never raises.
        """
        match = _CULTURE.fullmatch((so_culture or "").strip(" \t"))
        if match is None or not (_sets_language(so_language) or _sets_language(accept_language)):
            return None
        return next((tag for tag in _lookup(match[0].replace("_", "-").lower()) if tag in self.cultures), None)

    def words(self, message: str, values: Mapping[str, str | int], language: str, culture: str | None = None) -> str:
        """*message* in *language*, its `%(name)s` places filled; untranslated where its translation is wanting.

        In a *culture*, integers are written its way. What is no quantity, such as an id, is given as text.
        """
        grouping = self.cultures.get(culture or "")
        if grouping is not None:
            values = {name: grouping.write(each) if isinstance(each, int) else each for name, each in values.items()}
        for text in (self.catalogues.get(language, {}).get(message, message), message):
            try:
                return text % values if values else text
            except (KeyError, TypeError, ValueError):
                continue
        return message


def _read(file: Path) -> dict[str, str]:
    """The finished translations of a catalogue: without its header, fuzzy and empty ones, and plurals."""
    with file.open("rb") as opened:
        catalogue = read_po(opened)
    return {
        entry.id: entry.string
        for entry in catalogue
        if isinstance(entry.id, str) and isinstance(entry.string, str) and entry.id and entry.string and not entry.fuzzy
    }


@memoized
def _choose(available: tuple[str, ...], so_language: str | None, accept_language: str | None) -> str:
    by_tag = {language.lower(): language for language in available}
    for header in ((so_language or "").replace("_", "-"), accept_language or ""):
        ranked = _ranked(header)
        refused = {tag for tag, q in ranked if not q}
        for tag, q in ranked:
            for candidate in _lookup(ENGLISH if tag in _UNTRANSLATED else tag) if q else ():
                if candidate in by_tag and candidate not in refused:
                    return by_tag[candidate]
    return ENGLISH


def _lookup(tag: str) -> Iterator[str]:
    """*tag* and ever shorter forms of it, RFC 4647 §3.4, in BCP 47's spelling, each followed by its kin."""
    while tag:
        yield _SPELLINGS.get(tag, tag)
        if tag in _KIN:
            yield _KIN[tag]
        tag = tag.rpartition("-")[0]


def _sets_language(header: str | None) -> bool:
    return any(q and tag not in _UNTRANSLATED for tag, q in _ranked((header or "").replace("_", "-")))


@memoized
def _ranked(header: str) -> tuple[tuple[str, float], ...]:
    """The language ranges of RFC 9110 §12.5.4 in lower case with their q, the most wanted first; malformed ones are
    left out."""
    weighted = [
        (match[1].lower(), float(match[2] or 1))
        for element in list_elements(header)
        if (match := _WEIGHTED.fullmatch(element))
    ]
    return tuple(sorted(weighted, key=lambda each: -each[1]))
