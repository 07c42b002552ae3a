"""Which language a reader gets, and that every message of ours exists in it."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from hypothesis import given
from hypothesis import strategies as st

import service
from service.protocol.languages import NO_PHOTO, Languages

SHIPPED = Languages.load()
MANY = Languages({"sv": {}, "nb": {}, "pt-BR": {}, "zh": {}})
SOURCE = Path(service.__file__).parent
MESSAGES = sorted({str(message) for _, _, message, _, _ in extract_from_dir(SOURCE, keywords={"N_": None})})
TO_UPDATE = "update the catalogues with the command at the top of service/protocol/locale/sv.po, then translate"
_PLACE = re.compile(r"%(?:\((\w+)\))?(.)", re.DOTALL)


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
        # an unknown language falls back: to the next wish, to Accept-Language, to English
        ("fi", None, "en"),
        ("fi", "sv", "sv"),
        (None, "fi, sv;q=0.5", "sv"),
        (None, "fi", "en"),
        # RFC 9110 §12.5.4 and RFC 4647 §3.4
        (None, "sv-SE,sv;q=0.9,en-US;q=0.8", "sv"),
        (None, "en-GB, sv;q=0.9", "en"),
        (None, "en;q=0.2, sv;q=0.7", "sv"),
        (None, "sv, en", "sv"),
        (None, "en, sv", "en"),
        (None, "sv;q=0, en;q=0.1", "en"),
        (None, "sv;q=0", "en"),
        (None, "*", "en"),
        (None, "sv;q=0.1, *;q=0.5", "en"),
        (None, "sv;q=high, fi", "en"),
        (None, ";;,\u00e5, sv ; q=0.5", "sv"),
        # SuperOffice's own codes
        ("no", None, "nb"),
        (None, "no-NO", "nb"),
        ("nb", None, "nb"),
        ("br", None, "pt-BR"),
        (None, "pt-br", "pt-BR"),
        ("pt", None, "en"),
        (None, "zh-Hant-TW", "zh"),
    ],
)
def test_the_readers_language_is_chosen(so_language: str | None, accept_language: str | None, language: str) -> None:
    assert MANY.choose(so_language, accept_language) == language


@given(st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text(), st.text(alphabet="svenx*-_;q=0.15, ")))
def test_any_header_gives_a_language_we_have(so_language: str | None, accept_language: str | None) -> None:
    assert MANY.choose(so_language, accept_language) in {"en", *MANY.catalogues}


def test_only_languages_with_a_catalogue_are_chosen() -> None:
    assert SHIPPED.choose("no", "sv") == "sv"
    assert SHIPPED.choose("no", None) == "en"


def test_the_placeholder_speaks_the_readers_language() -> None:
    assert SHIPPED.words(NO_PHOTO, {}, "sv") == "INGET FOTO"
    assert SHIPPED.words(NO_PHOTO, {}, "en") == "NO PHOTO"
    assert SHIPPED.words(NO_PHOTO, {}, "fi") == "NO PHOTO"


@pytest.mark.parametrize("broken", ["%(nmae)s", "%(name)d", "%(name)", "100 % %(name)s", "%s %s", "%(name)y"])
def test_a_broken_translation_falls_back_to_the_message(broken: str) -> None:
    languages = Languages({"sv": {"Hello %(name)s": broken}})
    assert languages.words("Hello %(name)s", {"name": "Eva"}, "sv") == "Hello Eva"


def test_words_never_raise_and_percent_signs_without_values_stand_as_they_are() -> None:
    assert SHIPPED.words("Hello %(name)s", {"nmae": "Eva"}, "sv") == "Hello %(name)s"
    assert SHIPPED.words("100 % sure", {}, "sv") == "100 % sure"
    assert SHIPPED.words("", {}, "sv") == ""


def test_values_are_never_taken_for_places() -> None:
    languages = Languages({"sv": {"Hello %(name)s": "Hej %(name)s"}})
    assert languages.words("Hello %(name)s", {"name": "%(name)s"}, "sv") == "Hej %(name)s"


@pytest.mark.parametrize("language", sorted(SHIPPED.catalogues))
def test_every_message_is_translated_with_its_own_places(language: str) -> None:
    catalogue = SHIPPED.catalogues[language]
    assert NO_PHOTO in MESSAGES
    assert [message for message in MESSAGES if message not in catalogue] == [], TO_UPDATE
    assert [message for message in catalogue if message not in MESSAGES] == [], TO_UPDATE
    for message in MESSAGES:
        assert sorted(_PLACE.findall(catalogue[message])) == sorted(_PLACE.findall(message))
