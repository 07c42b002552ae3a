"""Fields and entity tags: equal renditions have one, and those of earlier releases stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.formats import WRITABLE, Format
from service.imaging.order import Encoding, Limits, Order
from service.pictures.candidates import Candidate, Candidates
from service.pictures.selection import Recipe, entity_tag
from service.pictures.values import Original
from service.protocol.negotiate import NONE_RULED_OUT, requested_picture
from service.protocol.query import parse_query

RECIPE = Recipe(Limits(), Encoding(), "0123abcd", as_stored=True)
SIZE = 800, 600


def candidate(
    query: str,
    accept: str | None = None,
    stored: str = "JPEG",
    alpha: bool = False,
    size: tuple[int, int] | None = SIZE,
    recipe: Recipe = RECIPE,
) -> Candidate:
    original = Original(42, "3039-17f-aa", 12345, 1700000000, Format[stored], alpha, dimensions=size)
    requested = requested_picture(parse_query(query, 4096), accept, WRITABLE)
    return Candidates(recipe).of_picture(original, requested, NONE_RULED_OUT)


@pytest.mark.parametrize(
    ("query", "accept", "stored", "alpha", "field", "etag"),
    [
        ("w=319&h=467", "*/*", "JPEG", False, "319:467:contain:JPEG:0123abcd", '"4921fbcde3395283ffebd81d"'),
        (
            "w=96&h=96&fit=cover",
            "image/avif,image/webp,*/*;q=0.8",
            "JPEG",
            False,
            "96:96:cover:AVIF:0123abcd",
            '"111cfd5141ae99afa55c7bc6"',
        ),
        ("w=100", "image/webp,*/*", "PNG", True, "100:0:contain:WEBP:0123abcd", '"239506c4bd00fa169a3b1336"'),
        ("h=100&type=png", None, "JPEG", False, "0:100:contain:PNG:0123abcd", '"1a381a466de56e53fb4adfed"'),
        ("w=200&h=200&fit=pad&type=jpeg", None, "PNG", True, "200:200:pad:JPEG:0123abcd", '"bb57df5e8e44a81e03e894fe"'),
        ("w=50&h=70&fit=fill", "image/png", "GIF", True, "50:70:fill:PNG:0123abcd", '"6558f55ce9f4c8570f609583"'),
        ("", "image/webp", "JPEG", False, "0:0:contain:WEBP:0123abcd", '"f64323b6e2e0d123d7af0527"'),
        ("", None, "JPEG", False, "stored", '"7fd103ff866e07833b5350a2"'),
        ("w=64", "application/json", "TIFF", False, "64:0:contain:TIFF:0123abcd", '"d7db6252cfce507a16be3ba4"'),
        ("w=4000&h=3000&type=gif", None, "WEBP", True, "4000:3000:contain:GIF:0123abcd", '"88bed30fce696f9ffe1240d6"'),
    ],
)
def test_fields_and_entity_tags_of_earlier_releases_stay(
    query: str, accept: str | None, stored: str, alpha: bool, field: str, etag: str
) -> None:
    chosen = candidate(query, accept, stored, alpha)
    assert chosen.field == field
    assert entity_tag(42, "3039-17f-aa", field, chosen.choice) == etag


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("dpr=2&w=100", "w=200"),
        ("w=100&h=51&dpr=1.5", "w=150&h=77"),
        ("w=100&dpr=1", "w=100"),
        ("dpr=3", ""),
        ("v=17&w=100", "w=100"),
        ("w=100&h=100&gravity=top", "w=100&h=100"),
        ("w=100&h=100&fit=cover&gravity=center", "w=100&h=100&fit=cover"),
        ("w=100&h=100&fit=cover&gravity=0.5,0.50", "w=100&h=100&fit=cover"),
        ("w=100&h=100&fit=cover&gravity=top", "w=100&h=100&fit=cover"),  # nothing is cut at top and bottom
        ("w=400&h=300&fit=cover&gravity=left", "w=400&h=300&fit=cover"),
        ("w=100&h=100&fit=cover&gravity=LEFT", "w=100&h=100&fit=cover&gravity=0,0.5"),
        ("w=100&bg=ff0000", "w=100"),  # the picture is opaque
        ("w=100&h=100&fit=pad&bg=FFFFFF", "w=100&h=100&fit=pad"),
        ("w=400&h=300&fit=pad&bg=ff0000", "w=400&h=300&fit=pad"),  # no surround
        ("w=100&h=100&fit=pad&bg=AbCdEf", "w=100&h=100&fit=pad&bg=abcdef"),
        ("w=800&enlarge=false", "w=800"),
        ("enlarge=false", ""),
        ("w=100&enlarge=true", "w=100"),
    ],
)
def test_parameter_that_changes_no_pixel_is_no_part_of_the_field(query: str, same: str) -> None:
    assert candidate(query) == candidate(same)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("w=100&h=100&fit=cover&gravity=left", "100:100:cover:g0,50:JPEG:0123abcd"),
        ("w=100&h=100&fit=cover&gravity=0.25,1", "100:100:cover:g25,100:JPEG:0123abcd"),
        ("w=100&h=100&fit=pad&bg=FF8000", "100:100:pad:bff8000:JPEG:0123abcd"),
        ("w=1600&enlarge=false", "1600:0:contain:e0:JPEG:0123abcd"),
        ("enlarge=false&gravity=right&h=700&w=700&fit=cover", "700:700:cover:g100,50:e0:JPEG:0123abcd"),
    ],
)
def test_parts_of_the_field_are_in_a_fixed_order(query: str, field: str) -> None:
    assert candidate(query).field == field


def test_background_makes_a_transparent_picture_opaque() -> None:
    accept = "image/jpeg,image/png"
    assert candidate("w=100", accept, "PNG", alpha=True).choice.format is Format.PNG
    red = candidate("w=100&bg=ff0000", accept, "PNG", alpha=True)
    assert red.choice.format is Format.JPEG
    assert isinstance(red.work, Order)
    assert red.work.background == "ff0000"
    white = candidate("w=100&bg=ffffff", accept, "PNG", alpha=True)
    assert white.field == candidate("w=100&type=jpeg", None, "PNG", alpha=True).field
    assert candidate("bg=ff0000", "*/*", "PNG", alpha=True).work is not None  # not as stored
    assert candidate("bg=ff0000", "*/*", "JPEG").field == "stored"


def test_request_does_not_override_the_operator_who_never_enlarges() -> None:
    never = replace(RECIPE, limits=Limits(enlarge=False))
    assert candidate("w=1600&enlarge=true", recipe=never) == candidate("w=1600", recipe=never)
    assert candidate("w=1600&enlarge=false", recipe=never) == candidate("w=1600", recipe=never)


def test_picture_of_unknown_size_keeps_the_parts_that_may_change_it() -> None:
    field = candidate("w=100&h=100&fit=cover&gravity=top&enlarge=false", size=None).field
    assert field == "100:100:cover:g50,0:e0:JPEG:0123abcd"
