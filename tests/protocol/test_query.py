"""Parsing of query strings and contact ids (docs/contract.md, section 2)."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats import Fit, Format, IfBlank
from service.protocol.query import Query, parse_contact_id, parse_query

LIMIT = 4096


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("", Query()),
        ("&&=&=1&w", Query()),
        ("w=319", Query(width=319)),
        ("h=467", Query(height=467)),
        ("W=319&H=467", Query(width=319, height=467)),
        ("w=4096", Query(width=4096)),
        ("w=007", Query(width=7)),
        ("w=&h=0", Query()),
        ("w=-1&h=-2147483648", Query()),
        ("%77=3%31", Query(width=31)),
        ("type=JPEG", Query(type=Format.JPEG)),
        ("type=jpg", Query(type=Format.JPEG)),
        ("TYPE=Tif", Query(type=Format.TIFF)),
        ("type=tiff", Query(type=Format.TIFF)),
        ("type=WebP", Query(type=Format.WEBP)),
        ("type=avif", Query(type=Format.AVIF)),
        ("type=gif", Query(type=Format.GIF)),
        ("type=image/png", Query(type=Format.PNG)),
        ("type=IMAGE%2Fpng", Query(type=Format.PNG)),
        ("type=image/jpg", Query(type=Format.JPEG)),
        ("type=image/pjpeg", Query(type=Format.JPEG)),
        ("type=image%2Fx-png", Query(type=Format.PNG)),
        ("type=IMAGE/APNG", Query(type=Format.PNG)),
        ("type=image/Tif", Query(type=Format.TIFF)),
        ("type=", Query()),
        ("ifBlank=ClearPixel", Query(if_blank=IfBlank.CLEAR_PIXEL)),
        ("IFBLANK=srnophotowithborder", Query(if_blank=IfBlank.SR_NO_PHOTO_WITH_BORDER)),
        ("ifblank=0", Query(if_blank=IfBlank.DEFAULT)),
        ("ifBlank=2", Query(if_blank=IfBlank.SR_NO_PHOTO)),
        ("ifBlank=5", Query(if_blank=IfBlank.GENERIC_FILE_ICON)),
        ("ifBlank=", Query(if_blank=IfBlank.NULL)),
        ("w=10&h=20&fit=cover", Query(width=10, height=20, fit=Fit.COVER)),
        ("w=10&h=20&Fit=PAD", Query(width=10, height=20, fit=Fit.PAD)),
        ("w=10&h=20&fit=", Query(width=10, height=20)),
        ("w=10&fit=cover", Query(width=10)),
        ("w=10&h=0&fit=cover", Query(width=10)),
        ("w=5&w=5&W=5", Query(width=5)),
        ("width=5&x=1&x=2&%FF=%FF&%zz", Query()),
        ("kid=a&exp=1&sig=%E0%80", Query()),
    ],
)
def test_query_is_parsed(raw: str, query: Query) -> None:
    assert parse_query(raw, LIMIT) == query


@pytest.mark.parametrize(
    "name", ["Default", "ClearPixel", "SrNoPhoto", "SrNoPhotoWithBorder", "Null", "GenericFileIcon"]
)
def test_every_documented_if_blank_is_known_by_name_and_by_number(name: str) -> None:
    by_name = parse_query(f"ifBlank={name}", LIMIT).if_blank
    assert by_name.name.replace("_", "").lower() == name.lower()
    assert parse_query(f"ifBlank={by_name.value}", LIMIT).if_blank is by_name


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("w=abc", "w must be an integer of at most 4096"),
        ("h=4097", "h must be an integer of at most 4096"),
        ("W=2147483648", "w must be"),
        ("w=-2147483649", "w must be"),
        ("w=12345678901", "w must be"),
        ("w=1.5", "w must be"),
        ("w=1e3", "w must be"),
        ("w=%2B5", "w must be"),
        ("w=+5", "w must be"),
        ("w=5%0A", "w must be"),
        ("w=%zz", "w must be"),
        ("w=%D9%A3", "w must be"),  # ARABIC-INDIC DIGIT THREE
        ("w=1&w=2", "w is given more than once"),
        ("w=1&W=01", "w is given more than once"),
        ("w=&w=5", "w is given more than once"),
        ("ifBlank=1&ifblank=2", "ifBlank is given more than once"),
        ("w=%FF", "w is not valid UTF-8"),
        ("type=aut", "type must be one of AVIF, WEBP, JPEG, PNG, GIF, TIFF"),
        ("type=bmp", "type must be one of"),
        ("type=image/heic", "type must be one of"),
        ("type=image/x-ms-bmp", "type must be one of"),
        ("type=image/tif;q=1", "type must be one of"),
        ("ifBlank=6", "ifBlank must be one of Default, ClearPixel, SrNoPhoto"),
        ("ifBlank=-1", "ifBlank must be one of"),
        ("ifBlank=Sr_No_Photo", "ifBlank must be one of"),
        ("fit=crop", "fit must be one of contain, cover, fill, pad"),
        ("w=1&h=1&fit=crop", "fit must be one of"),
    ],
)
def test_error_of_a_bad_query_names_the_parameter(raw: str, message: str) -> None:
    with pytest.raises(BadParameter) as refused:
        parse_query(raw, LIMIT)
    assert message in str(refused.value)


def test_limit_is_configurable() -> None:
    assert parse_query("w=100", 100).width == 100
    with pytest.raises(BadParameter, match="at most 99"):
        parse_query("w=100", 99)


@pytest.mark.parametrize(
    ("text", "contact"), [("42", 42), ("0", 0), ("-7", -7), ("2147483647", 2**31 - 1), ("-2147483648", -(2**31))]
)
def test_contact_id_is_an_int32(text: str, contact: int) -> None:
    assert parse_contact_id(text) == contact


@pytest.mark.parametrize("text", ["", "abc", "1.0", "+1", " 1", "1\n", "2147483648", "-2147483649", "٣", "1" * 5000])
def test_other_text_is_no_contact_id(text: str) -> None:
    with pytest.raises(BadParameter):
        parse_contact_id(text)


NAMES = st.sampled_from(["w", "h", "type", "ifBlank", "fit", "W", "%77", "x"])
VALUES = st.one_of(st.text(), st.integers().map(str), st.sampled_from(["png", "2", "pad", "%", "%C3", "+"]))
PAIRS = st.lists(st.tuples(NAMES, VALUES)).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@given(st.one_of(st.text(), PAIRS))
def test_any_query_is_parsed_or_refused(raw: str) -> None:
    try:
        query = parse_query(raw, LIMIT)
    except BadParameter:
        return
    assert all(side is None or 1 <= side <= LIMIT for side in (query.width, query.height))
    assert query.fit is Fit.CONTAIN or (query.width and query.height)
    assert query.type is None or query.type.writable


@pytest.mark.parametrize("raw", ["w=5&" * 100_000, "x=%FF&" * 100_000, "&" * 500_000, "%" * 500_000, "w" * 500_000])
def test_huge_query_is_parsed_in_linear_time(raw: str) -> None:
    started = process_time()
    assert parse_query(raw, LIMIT).height is None
    assert process_time() - started < 2
