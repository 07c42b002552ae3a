"""Languages and cultures (docs/contract.md, section 5), and the service's messages in them.

This module does not know what the messages are about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from service.errors import N_
from service.protocol.cultures import Grouping, load_cultures
from service.protocol.lists import QUALITY, list_elements
from service.protocol.memo import memoized

ENGLISH = "en"
"""The language of the message ids, and the last fallback."""

NO_PHOTO = N_("NO PHOTO")
"""The words on placeholders that have any."""

_LOCALE = Path(__file__).parent / "locale"
_ENTRY = re.compile(r'^((?:#.*\n)*)msgid ((?:".*"\n)+)msgstr ((?:".*"\n)+)', re.MULTILINE)
"""An entry of a catalogue: comments, message id and translation. One with plural forms does not match."""
_PLACE = re.compile(r"%\((\w+)\)s")
"""A place in a message that a value fills."""
_FUZZY = re.compile(r"^#,.*\bfuzzy\b", re.MULTILINE)

# SuperOffice's codes that differ from BCP 47: Bokmål, Brazilian Portuguese and Chinese.
_SPELLINGS = {"no": "nb", "br": "pt-br", "ch": "zh"}
# Languages without a catalogue, and related languages that their readers understand.
_RELATED = {"nn": "nb", "pt": "pt-br"}
# In `SO-Language`, `*` and `x` request the untranslated message ids.
_UNTRANSLATED = ("*", "x")
# RFC 4647 §2.1, with at most eight subtags.
_RANGE = r"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,7}"
_WEIGHTED = re.compile(rf"({_RANGE})(?:[ \t]*;[ \t]*[Qq]=({QUALITY.pattern}))?")
_CULTURE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,3}")


@dataclass(frozen=True, slots=True)
class Languages:
    """*catalogues* map message ids to translations, by language tag as in `Content-Language`.

    *cultures* have the groupings of digits, by tag in lower case.
    """

    catalogues: Mapping[str, Mapping[str, str]]
    cultures: Mapping[str, Grouping] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Languages:
        """Read every `locale/{language}.po`, e.g. `sv.po` or `pt_BR.po`. A new language is one more file."""
        files = sorted(_LOCALE.glob("*.po"))
        return cls({file.stem.replace("_", "-"): _read_catalogue(file) for file in files}, load_cultures())

    def choose(self, so_language: str | None, accept_language: str | None) -> str:
        """Return the best available language for the two field values (None: absent). Raise nothing.

        `SO-Language` overrides `Accept-Language`; `*` or `x` there means untranslated, which is English. The fallback
        of a region is its language, that of `SO-Language` is `Accept-Language`, and the last is English.
        """
        return _choose((ENGLISH, *self.catalogues), so_language, accept_language)

    def culture(self, so_culture: str | None, so_language: str | None, accept_language: str | None) -> str | None:
        """Return the culture that `SO-Culture` names, e.g. `de-CH`. The fallback of a region is its language.

        Return None when the field is absent, unknown or malformed, and when no language is set. Raise nothing.
        """
        match = _CULTURE.fullmatch((so_culture or "").strip(" \t"))
        if match is None or not (_sets_language(so_language) or _sets_language(accept_language)):
            return None
        return next((tag for tag in _lookup(match[0].replace("_", "-").lower()) if tag in self.cultures), None)

    def words(self, message: str, values: Mapping[str, str | int], language: str, culture: str | None = None) -> str:
        """Return *message* in *language* with its `%(name)s` places filled, untranslated when there is no translation.

        Integers are written as in *culture*. A number that is no quantity, such as an id, must be given as text.
        """
        grouping = self.cultures.get(culture or "")
        if grouping is not None:
            values = {name: grouping.write(item) if isinstance(item, int) else item for name, item in values.items()}
        for text in (self.catalogues.get(language, {}).get(message, message), message):
            try:
                return text % values if values else text
            except (KeyError, TypeError, ValueError):
                continue
        return message


def places(message: str) -> frozenset[str] | None:
    """Return the names of the places in *message*, or None if it is not one of the service's messages."""
    return _places().get(message)


@cache
def _places() -> dict[str, frozenset[str]]:
    """Return the places of each message. Every catalogue has all of them, translated or not."""
    text = min(_LOCALE.glob("*.po")).read_text(encoding="utf-8") + "\n"
    return {id: frozenset(_PLACE.findall(id)) for id in (_text(id) for _, id, _ in _ENTRY.findall(text)) if id}


def _read_catalogue(file: Path) -> dict[str, str]:
    """Read the finished translations of a catalogue: not the header, fuzzy or empty translations, or plurals.

    Babel's reader takes six times as long, and a start reads every catalogue.
    """
    entries = _ENTRY.findall(file.read_text(encoding="utf-8") + "\n")
    read = ((_text(id), _text(translation)) for comments, id, translation in entries if not _FUZZY.search(comments))
    return {id: translation for id, translation in read if id and translation}


def _text(lines: str) -> str:
    """Return the text of the strings in *lines*. Their escape sequences are also JSON's."""
    return "".join(json.loads(line) if "\\" in line else line[1:-1] for line in lines.splitlines())


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
    """Yield *tag* and its shorter forms, RFC 4647 §3.4, in the spelling of BCP 47, each before its related language."""
    while tag:
        yield _SPELLINGS.get(tag, tag)
        if tag in _RELATED:
            yield _RELATED[tag]
        tag = tag.rpartition("-")[0]


def _sets_language(header: str | None) -> bool:
    return any(q and tag not in _UNTRANSLATED for tag, q in _ranked((header or "").replace("_", "-")))


@memoized
def _ranked(header: str) -> tuple[tuple[str, float], ...]:
    """Return the language ranges, RFC 9110 §12.5.4, in lower case with their q-values, by falling q-value.

    Malformed ranges are left out.
    """
    weighted = [
        (match[1].lower(), float(match[2] or 1))
        for element in list_elements(header)
        if (match := _WEIGHTED.fullmatch(element))
    ]
    return tuple(sorted(weighted, key=lambda item: -item[1]))
