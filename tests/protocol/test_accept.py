"""Parsing of `Accept`, RFC 9110 §12.5.1 (docs/contract.md, section 3)."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocol.accept import ANY, NAMED, NONE, TYPE, parse_accept

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize(
    ("accept", "media_type", "quality"),
    [
        ("image/png", "image/png", (1.0, NAMED)),
        ("image/png", "image/jpeg", (0.0, NONE)),
        ("IMAGE/Png", "image/pnG", (1.0, NAMED)),
        ("image/*", "image/jpeg", (1.0, TYPE)),
        ("image/*", "application/json", (0.0, NONE)),
        ("*/*", "application/json", (1.0, ANY)),
        (CHROME, "image/avif", (1.0, NAMED)),
        (CHROME, "image/png", (1.0, TYPE)),
        (CHROME, "text/html", (0.8, ANY)),
        ("image/png;q=0.1, image/*;q=0.5, */*", "image/png", (0.1, NAMED)),
        ("*/*, image/*;q=0", "image/gif", (0.0, TYPE)),
        ("image/png ; q=0.123", "image/png", (0.123, NAMED)),
        ("image/png;q=1.000", "image/png", (1.0, NAMED)),
        ("image/png;Q=0.", "image/png", (0.0, NAMED)),
        ("image/png;q=1.", "image/png", (1.0, NAMED)),
        ("image/png;q=.2", "image/png", (0.2, NAMED)),
        ("image/png;q=.25, image/*;q=.125", "image/png", (0.25, NAMED)),
        ("image/png;q=.25, image/*;q=.125", "image/gif", (0.125, TYPE)),
        ("image/png;Q=.000", "image/png", (0.0, NAMED)),
        (JAVA, "image/gif", (1.0, NAMED)),
        (JAVA, "image/png", (0.2, ANY)),
        ("*", "image/png", (1.0, ANY)),
        ("image/gif, *; q=.3", "image/png", (0.3, ANY)),
        ("image/png;q=0.2;level=1", "image/png", (0.2, NAMED)),
        ("image/png;level=1;q=0.2", "image/png", (0.2, NAMED)),
        ("image/png;q=0.2;q=0.9", "image/png", (0.2, NAMED)),
        ("image/png;;q=0.2;", "image/png", (0.2, NAMED)),
        ('image/png;a="b,c;q=0.9\\"";q=0.3, image/gif', "image/png", (0.3, NAMED)),
        ('image/png;a=",image/gif;q=0.5,"', "image/gif", (0.0, NONE)),
        ("image/png;q=0.2, image/png;q=0.7, image/png;q=0.1", "image/png", (0.7, NAMED)),
        ("image/png;q=0, image/png;level=9;q=0.4", "image/png", (0.4, NAMED)),
        (",, image/png ,\t,", "image/png", (1.0, NAMED)),
        ("application/json; charset=utf-8", "application/json", (1.0, NAMED)),
    ],
)
def test_most_specific_range_decides(accept: str, media_type: str, quality: tuple[float, int]) -> None:
    assert parse_accept(accept).quality(media_type) == quality


@pytest.mark.parametrize(
    ("accept", "quality"),
    [
        ("image/jpg", (1.0, NAMED)),
        ("IMAGE/PJpeg;q=0.4", (0.4, NAMED)),
        ("image/jpg;q=0.4, image/jpeg;q=0.6", (0.6, NAMED)),
        ("image/jpg;q=0.6, image/jpeg;q=0.4, image/pjpeg;q=0.5", (0.6, NAMED)),
        ("image/jpeg;q=0, image/jpg;q=0.5", (0.5, NAMED)),
        ("image/jpg;q=0, image/*", (0.0, NAMED)),
        ("image/jpg;q=0.1, image/*, */*", (0.1, NAMED)),
        ("image/x-png, image/*;q=0.3", (0.3, TYPE)),
    ],
)
def test_alias_counts_as_the_full_media_type(accept: str, quality: tuple[float, int]) -> None:
    assert parse_accept(accept).quality("image/jpeg", ("image/jpg", "image/pjpeg")) == quality


@pytest.mark.parametrize(
    "malformed",
    [
        "png",
        "image/",
        "/png",
        "*/png",
        "image / png",
        "image/gif/png",
        "image/gif q=1",
        "image/gif;q=2",
        "image/gif;q=1.001",
        "image/gif;q=0.1234",
        "image/gif;q=-1",
        "image/gif;q=.",
        "image/gif;q=.1234",
        "image/gif;q=1.0000",
        "image/gif;q=00.5",
        "*gif;q=0.5",
        "* gif",
        "**",
        'image/gif;q="0.5"',
        "image/gif;q=",
        "image/gif;level",
        "image/gif;level=",
        "image/gif;a = b",
        'image/gif;a="b"c',
        "\xe9/gif",
    ],
)
def test_malformed_element_is_ignored(malformed: str) -> None:
    accept = parse_accept(f"image/png;q=0.5, {malformed}, image/webp;q=0.7")
    assert accept.qualities == {"image/png": 0.5, "image/webp": 0.7}


@pytest.mark.parametrize("raw", ["", " ", ",", "png", "image/png;q=high", '"', '"\\', 'image/png;a="b,image/gif'])
def test_header_without_a_valid_element_accepts_anything(raw: str) -> None:
    assert parse_accept(raw).quality("image/png") == (1.0, ANY)


def test_element_with_q_0_is_not_malformed() -> None:
    assert parse_accept("image/png;q=0").quality("image/png") == (0.0, NAMED)
    assert parse_accept("image/png;q=0").quality("image/gif") == (0.0, NONE)


FRAGMENTS = st.sampled_from(
    [
        "image/png",
        "image/*",
        "*/*",
        "application/json",
        ",",
        ";",
        "q=",
        "0.5",
        "0",
        "1",
        '"',
        "\\",
        " ",
        "a=b",
        "é",
        "\udc80",
    ]
)


@given(st.one_of(st.text(), st.lists(FRAGMENTS, max_size=30).map("".join)))
def test_any_header_gives_qualities_between_0_and_1(raw: str) -> None:
    accept = parse_accept(raw)
    assert accept.qualities
    for media_type in ("image/png", "image/tiff", "application/json"):
        quality, specificity = accept.quality(media_type)
        assert 0 <= quality <= 1
        assert specificity in (NAMED, TYPE, ANY, NONE)
        assert quality == 0 or specificity != NONE


@pytest.mark.parametrize("unit", ['"', '\\"', ",", ";", "a/b;", "a/b,", 'a/b;c="', " \t", "a", "a/b;q=0.5;", '"\\'])
def test_huge_header_is_parsed_in_linear_time(unit: str) -> None:
    started = process_time()
    for raw in (unit * 50_000, "a/b" + unit * 50_000, "a/b;" + unit * 50_000 + "\\"):
        parse_accept(raw)
    assert process_time() - started < 3
