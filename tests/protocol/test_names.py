"""The parameter `name`: its initials, its colour, and targets without it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats import INITIALS_COLOURS
from service.imaging.initials import can_draw
from service.protocol.names import initials_of, name_of, without_name


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Ada Lovelace", "AL"),
        ("  ada   maria\tlovelace ", "AL"),
        ("Ada", "A"),
        ("a\u030ase berg", "ÅB"),
        ("Mc-Coy O'Neill", "MO"),
        ("(Anna) 'Berg'", "AB"),
        ("Ada \N{ROCKET} 42", "A"),
        ("3M", "M"),
        ("\N{MODIFIER LETTER TURNED COMMA}Iolani", "I"),
        ("ßeta ﬁn", "SF"),
        ("ǆon", "ǅ"),
        ("άννα ωμέγα", "ΆΩ"),
        ("ирина щукина", "ИЩ"),
        ("արամ բաբայան", "ԱԲ"),
        ("აბ გიორგი", "აგ"),
        ("דוד לוי", "דל"),
        ("王小明", "王"),
        ("山田 太郎", "山"),
        ("葛\U000e0100城", "葛"),
        ("か\u3099る", "が"),
        ("アオイ", "ア"),
        ("김 철수", "김"),
        ("John 王", "J"),
        ("o\u0323\u0301la j\u030ca", "Ọ\u0301J\u030c"),
    ],
)
def test_initials_are_the_first_graphemes_of_the_first_and_the_last_word(name: str, letters: str) -> None:
    found = initials_of(name)
    assert found is not None
    assert found.letters == letters
    assert can_draw(letters)


@pytest.mark.parametrize("name", ["", "  ", "42", "!", "\N{ROCKET}", "\u0301"])
def test_name_without_a_letter_has_no_initials(name: str) -> None:
    assert initials_of(name) is None


@pytest.mark.parametrize("letters", ["ا", "आ", "ก", "鱻", "뷁", "A\u0301\u0302\u0303", "あ\u0488"])
def test_letters_without_a_glyph_cannot_be_drawn(letters: str) -> None:
    assert not can_draw(letters)


def test_colour_is_that_of_the_folded_name() -> None:
    folded = {initials_of(each) for each in ("Åse Berg", "ÅSE  BERG", "a\u030ase berg", " åse berg ")}
    assert len(folded) == 1
    names = [f"Anna B{number}" for number in range(600)]
    colours = [found.colour for found in map(initials_of, names) if found]
    assert {*colours} == {*range(INITIALS_COLOURS)}
    assert max(map(colours.count, range(INITIALS_COLOURS))) < 90  # 50 each on average


@given(st.text(max_size=64))
def test_any_name_gives_few_letters_in_normal_form(name: str) -> None:
    found = initials_of(name)
    if found is not None:
        assert unicodedata.is_normalized("NFC", found.letters)
        assert found == initials_of(unicodedata.normalize("NFD", name))
        assert str(found).isascii()


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        ("/a", "/a"),
        ("/a?w=1&names=1&rename=2", "/a?w=1&names=1&rename=2"),
        ("/a?name=x", "/a"),
        ("/a?w=1&NAME=x+y&h=2", "/a?w=1&h=2"),
        ("/a?n%61m%45=%C3%85&w=1", "/a?w=1"),
        ("/a?name&w=1", "/a?w=1"),
        ("/a?name=x&Name=x", "/a"),
        ("/a&name=x?w=1", "/a&name=x?w=1"),
        ("/a?name=" + "%C3%85" * 64, "/a"),
        ("/a?name=" + "x" * 65, "/a?name=%FF"),
        ("/a?name=x&w=1&name=y", "/a?w=1&name=%FF"),
        ("/a?name=%C3", "/a?name=%FF"),
    ],
)
def test_target_is_kept_without_the_name(target: str, rest: str) -> None:
    assert without_name(target) == rest
    query = target.partition("?")[2]
    if rest.endswith("%FF"):
        with pytest.raises(BadParameter):
            name_of(query)
    else:
        name_of(query)


@given(st.lists(st.sampled_from(["name=Zyx", "n%61me=Zyx", "NAME=Zyx", "w=1", "name", "%6e%61%6d%65=Zyx", ""])))
def test_no_spelling_of_the_name_is_kept(pairs: list[str]) -> None:
    assert "Zyx" not in without_name(f"/a?{'&'.join(pairs)}")
