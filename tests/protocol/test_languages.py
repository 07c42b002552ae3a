"""The choice of language and culture, and the completeness of the catalogues (docs/contract.md, section 5)."""

import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

import service
from service.protocol.cultures import load_cultures
from service.protocol.languages import _LOCALE, NO_PHOTO, Languages, _read_catalogue
from tools.cultures import FILE, SAMPLE, samples, text

SHIPPED = Languages.load()
MANY = Languages({"sv": {}, "nb": {}, "pt-BR": {}, "zh": {}})
_ALIKE = ["en", "sv", "da", "de", "nl", "cs", "fr", "it", "es", "fi", "pl", "ru", "zh", "uk", "ko", "vi", "ja"]
SUPEROFFICE = {code: code for code in _ALIKE} | {"no": "nb", "br": "pt-BR", "ch": "zh"}
"""The `Content-Language` by SuperOffice's code."""
SOURCE = Path(service.__file__).parent
TO_UPDATE = "update the catalogues with the command at the top of service/protocol/locale/sv.po, then translate"
UNUSUAL = r"""
msgid ""
msgstr "Content-Type: text/plain; charset=utf-8\n"

#: file.py:1
#, python-format
msgid "a \"b\"\n"
msgstr "å\t\\"

msgid ""
"long "
"text"
msgstr ""
"lång "
"text"

#, fuzzy, python-format
msgid "fuzzy"
msgstr "luddig"

msgid "empty"
msgstr ""

msgid "one"
msgid_plural "many"
msgstr[0] "en"
msgstr[1] "många"

#~ msgid "obsolete"
#~ msgstr "gammal"

msgid "last"
msgstr "sist"
"""
_PLACE = re.compile(r"%(?:\((\w+)\))?(.)", re.DOTALL)


@cache
def messages() -> list[str]:
    """Return every message in the source."""
    return sorted({str(message) for _, _, message, _, _ in extract_from_dir(SOURCE, keywords={"N_": None})})


@pytest.mark.parametrize(
    ("so_language", "accept_language", "language"),
    [
        (None, None, "en"),
        ("", "", "en"),
        ("sv", None, "sv"),
        (None, "sv", "sv"),
        ("SV", "en", "sv"),
        ("en", "sv", "en"),
        (" sv-SE ", None, "sv"),
        ("sv_SE", None, "sv"),
        # untranslated
        ("*", "sv", "en"),
        ("x", "sv", "en"),
        ("X", "sv", "en"),
        # the fallback of an unknown language: the next in the list, Accept-Language, English
        ("fi", None, "en"),
        ("fi", "sv", "sv"),
        (None, "fi, sv;q=0.5", "sv"),
        (None, "fi", "en"),
        # RFC 9110 §12.5.4 and RFC 4647 §3.4
        (None, "sv-SE,sv;q=0.9,en-US;q=0.8", "sv"),
        (None, "en-GB, sv;q=0.9", "en"),
        (None, "en;q=0.2, sv;q=0.7", "sv"),
        (None, "en;q=.2, sv;q=.75", "sv"),
        (None, "en;q=.0, sv;q=.001", "sv"),
        (None, "sv, en", "sv"),
        (None, "en, sv", "en"),
        (None, "sv;q=0, en;q=0.1", "en"),
        (None, "sv;q=0", "en"),
        (None, "*", "en"),
        (None, "sv;q=0.1, *;q=0.5", "en"),
        (None, "sv;q=high, fi", "en"),
        (None, ";;,\u00e5, sv ; q=0.5", "sv"),
        # SuperOffice's codes
        ("no", None, "nb"),
        (None, "no-NO", "nb"),
        ("nb", None, "nb"),
        ("br", None, "pt-BR"),
        (None, "pt-br", "pt-BR"),
        ("ch", None, "zh"),
        ("BR", "sv", "pt-BR"),
        # the fallback of a region is its language, and of a language a related one
        (None, "nb-NO", "nb"),
        (None, "nn-NO, en;q=0.9", "nb"),
        ("pt", None, "pt-BR"),
        (None, "pt-PT", "pt-BR"),
        (None, "zh-Hant-TW", "zh"),
        (None, "zh-CN", "zh"),
        # a language with q=0 is not chosen for its region, nor by a wildcard
        (None, "sv-SE, sv;q=0, nb;q=0.1", "nb"),
        (None, "sv;q=0, *", "en"),
    ],
)
def test_best_language_is_chosen(so_language: str | None, accept_language: str | None, language: str) -> None:
    assert MANY.choose(so_language, accept_language) == language


@given(st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text(), st.text(alphabet="svenx*-_;q=0.15, ")))
def test_any_header_gives_an_available_language(so_language: str | None, accept_language: str | None) -> None:
    assert MANY.choose(so_language, accept_language) in {"en", *MANY.catalogues}


def test_only_languages_with_a_catalogue_are_chosen() -> None:
    assert Languages({"sv": {}}).choose("no", "sv") == "sv"
    assert Languages({"sv": {}}).choose("no", None) == "en"


@pytest.mark.parametrize("code", SUPEROFFICE)
def test_every_language_of_superoffice_has_a_catalogue(code: str) -> None:
    assert SHIPPED.choose(code, None) == SHIPPED.choose(None, code) == SUPEROFFICE[code]
    assert SHIPPED.choose(f"{code.upper()}-XX", None) == SUPEROFFICE[code]
    if code != "en":
        assert SHIPPED.words(NO_PHOTO, {}, SUPEROFFICE[code]) != NO_PHOTO


def test_words_of_placeholders_are_translated() -> None:
    assert SHIPPED.words(NO_PHOTO, {}, "sv") == "INGET FOTO"
    assert SHIPPED.words(NO_PHOTO, {}, "en") == "NO PHOTO"
    assert SHIPPED.words(NO_PHOTO, {}, "tlh") == "NO PHOTO"


@pytest.mark.parametrize("broken", ["%(nmae)s", "%(name)d", "%(name)", "100 % %(name)s", "%s %s", "%(name)y"])
def test_broken_translation_is_replaced_by_the_message(broken: str) -> None:
    languages = Languages({"sv": {"Hello %(name)s": broken}})
    assert languages.words("Hello %(name)s", {"name": "Eva"}, "sv") == "Hello Eva"


def test_words_never_raise_and_keep_percent_signs_without_values() -> None:
    assert SHIPPED.words("Hello %(name)s", {"nmae": "Eva"}, "sv") == "Hello %(name)s"
    assert SHIPPED.words("100 % sure", {}, "sv") == "100 % sure"
    assert SHIPPED.words("", {}, "sv") == ""


def test_values_are_never_read_as_places() -> None:
    languages = Languages({"sv": {"Hello %(name)s": "Hej %(name)s"}})
    assert languages.words("Hello %(name)s", {"name": "%(name)s"}, "sv") == "Hej %(name)s"


@pytest.mark.parametrize(
    ("so_culture", "so_language", "accept_language", "number"),
    [
        ("nb-NO", "no", None, "4\u00a0096"),
        ("no", "en", None, "4\u00a0096"),
        ("en-US", "no", None, "4,096"),
        ("EN_us", "no", None, "4,096"),
        (" de-CH ", None, "de", "4\u2019096"),
        ("br", None, "en", "4.096"),
        ("fr", None, "tlh", "4\u202f096"),  # a language without a catalogue counts as a language
        # the fallback of an unknown region or script is the language
        ("de-XX", "en", None, "4.096"),
        ("zh-CN", "zh", None, "4,096"),
        # no language is set: ignored
        ("de", None, None, "4096"),
        ("de", "", " ", "4096"),
        ("de", "*", None, "4096"),
        ("de", "x", "*", "4096"),
        ("de", None, "de;q=0", "4096"),
        ("de", "\u00e5", None, "4096"),
        # absent, unknown and malformed values are ignored
        (None, "de", None, "4096"),
        ("", "de", None, "4096"),
        ("qq", "de", None, "4096"),
        ("*", "de", None, "4096"),
        ("x", "de", None, "4096"),
        ("de, fr", "de", None, "4096"),
        ("../../de", "de", None, "4096"),
        ("de\0", "de", None, "4096"),
        ("de" * 5000, "de", None, "4096"),
        ("d\u00e9", "de", None, "4096"),
    ],
)
def test_numbers_are_written_as_in_the_culture(
    so_culture: str | None, so_language: str | None, accept_language: str | None, number: str
) -> None:
    culture = SHIPPED.culture(so_culture, so_language, accept_language)
    assert SHIPPED.words("%(limit)s bytes", {"limit": 4096}, "en", culture) == f"{number} bytes"


def test_number_as_text_is_the_same_in_every_culture() -> None:
    culture = SHIPPED.culture("de", "de", None)
    assert culture is not None
    assert SHIPPED.words("%(contact)s", {"contact": "123456"}, "de", culture) == "123456"


def test_every_culture_groups_digits_as_babel_does(tmp_path: Path) -> None:
    """The file that is written from the installed Babel gives the same groupings."""
    expected = samples()
    (tmp_path / "cultures.txt").write_text(text(expected), "utf-8")
    loaded = load_cultures(tmp_path / "cultures.txt")
    assert {culture: loaded[culture.lower()].write(SAMPLE) for culture in expected} == expected


def test_every_culture_that_is_shipped_writes_its_own_sample() -> None:
    """The file is from one CLDR release. `python -m tools.cultures` writes it for another one."""
    lines = [line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
    shipped = [(tag, sample) for sample, tags in (line.split("\t") for line in lines) for tag in tags.split()]
    assert len({tag for tag, _ in shipped}) == len(shipped) > 1_000
    for culture, sample in shipped:
        assert SHIPPED.culture(culture, "en", None) is not None
        assert SHIPPED.cultures[culture.lower()].write(SAMPLE) == sample


@given(st.integers(-(10**30), 10**30), st.sampled_from(["en", "de", "hi-in", "en-us-posix"]))
def test_grouping_keeps_all_digits(number: int, culture: str) -> None:
    text = SHIPPED.words("%(n)s", {"n": number}, "en", culture)
    mark = SHIPPED.cultures[culture].mark
    assert int(text.replace(mark, "") if mark else text) == number
    assert not mark or all(1 <= len(group) <= 3 for group in text.lstrip("-").split(mark))


@given(st.text(), st.text())
def test_any_culture_is_known_or_ignored(so_culture: str, accept_language: str) -> None:
    culture = SHIPPED.culture(so_culture, "en", accept_language)
    assert culture is None or culture in SHIPPED.cultures


def read_by_babel(file: Path) -> dict[str, str]:
    """Return the finished translations of a catalogue without plurals."""
    with file.open("rb") as opened:
        catalogue = read_po(opened)
    return {
        entry.id: entry.string
        for entry in catalogue
        if isinstance(entry.id, str) and isinstance(entry.string, str) and entry.id and entry.string and not entry.fuzzy
    }


@pytest.mark.parametrize("file", sorted(_LOCALE.glob("*.po")), ids=lambda file: file.stem)
def test_catalogue_is_read_as_babel_reads_it(file: Path) -> None:
    assert _read_catalogue(file) == read_by_babel(file) != {}


def test_unusual_entries_of_a_catalogue_are_read_as_babel_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "xx.po"
    file.write_text(UNUSUAL, "utf-8")
    assert (
        _read_catalogue(file) == read_by_babel(file) == {'a "b"\n': "å\t\\", "long text": "lång text", "last": "sist"}
    )


@pytest.mark.parametrize("language", sorted(SHIPPED.catalogues))
def test_every_message_is_translated_with_its_places(language: str) -> None:
    catalogue = SHIPPED.catalogues[language]
    assert NO_PHOTO in messages()
    assert [message for message in messages() if message not in catalogue] == [], TO_UPDATE
    assert [message for message in catalogue if message not in messages()] == [], TO_UPDATE
    for message in messages():
        assert sorted(_PLACE.findall(catalogue[message])) == sorted(_PLACE.findall(message))
