"""The reader's language, and our words in it. Knows nothing of what the words are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from babel.messages.pofile import read_po

from service.errors import N_
from service.protocol.lists import QUALITY, elements
from service.protocol.memo import remembered

ENGLISH = "en"
"""The language of the message ids, and the last to fall back to."""

NO_PHOTO = N_("NO PHOTO")
"""What the worded placeholders say."""

_LOCALE = Path(__file__).parent / "locale"

# SuperOffice's codes where they are not BCP 47's: `no` stands for Bokmål, `br` for Brazilian Portuguese.
_ALIASES = {"no": "nb", "br": "pt-br"}
# RFC 4647 §2.1, of at most eight subtags; in SuperOffice's `SO-Language`, `*` and `x` ask for the message ids.
_UNTRANSLATED = ("*", "x")
_RANGE = r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}"
_WEIGHTED = re.compile(rf"({_RANGE})(?:[ \t]*;[ \t]*[Qq]=({QUALITY.pattern}))?")


@dataclass(frozen=True, slots=True)
class Languages:
    """The catalogues, by language tag as in `Content-Language`; each maps message ids to translations."""

    catalogues: Mapping[str, Mapping[str, str]]

    @classmethod
    def load(cls) -> Languages:
        """Read every `locale/{language}.po`, e.g. `sv.po` or `pt_BR.po`. A further language is one more file."""
        files = sorted(_LOCALE.glob("*.po"))
        return cls({file.stem.replace("_", "-"): _read(file) for file in files})

    def choose(self, so_language: str | None, accept_language: str | None) -> str:
        """The best language that we have for the two field values, None where absent. Never raises.

        `SO-Language` overrides `Accept-Language`, and `*` or `x` there means untranslated, which is English. One that
        we do not have falls back: a region to its language, `SO-Language` to `Accept-Language`, that to English.
        """
        return _choose((ENGLISH, *self.catalogues), so_language, accept_language)

    def words(self, message: str, values: Mapping[str, str | int], language: str) -> str:
        """*message* in *language*, its `%(name)s` places filled; untranslated where its translation is wanting."""
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


@remembered
def _choose(available: tuple[str, ...], so_language: str | None, accept_language: str | None) -> str:
    by_tag = {language.lower(): language for language in available}
    for tag in (*_ranked((so_language or "").replace("_", "-")), *_ranked(accept_language or "")):
        for candidate in _lookup(tag):
            if candidate in by_tag:
                return by_tag[candidate]
    return ENGLISH


def _lookup(tag: str) -> Iterator[str]:
    """*tag* and ever shorter forms of it, RFC 4647 §3.4, each followed by its alias."""
    while tag:
        yield tag
        if tag in _ALIASES:
            yield _ALIASES[tag]
        tag = tag.rpartition("-")[0]


def _ranked(accept_language: str) -> list[str]:
    """The language ranges of RFC 9110 §12.5.4 in lower case, the most wanted first; q=0 and malformed ones left out."""
    weighted = []
    for element in elements(accept_language):
        if match := _WEIGHTED.fullmatch(element):
            weighted.append((float(match[2] or 1), match[1].lower()))
    return [ENGLISH if tag in _UNTRANSLATED else tag for q, tag in sorted(weighted, key=lambda each: -each[0]) if q]
