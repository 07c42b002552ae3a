"""Parsing of query strings and contact ids (docs/contract.md, section 2)."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BadParameter
from service.formats import CENTER, Fit, Format, Gravity, IfBlank
from service.protocol.parameters import Presets
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
        ("w=100&dpr=2", Query(width=200)),
        ("w=100&h=51&DPR=1.5", Query(width=150, height=77)),  # 76.5 rounds up
        ("w=1&dpr=1.25", Query(width=1)),
        ("w=2&dpr=1.25", Query(width=3)),
        ("w=4000&h=2000&dpr=2", Query(width=4096, height=2048)),  # lowered to fit
        ("w=4096&h=1&dpr=4.00", Query(width=4096, height=1)),
        ("dpr=2", Query()),
        ("w=10&dpr=", Query(width=10)),
        ("w=10&enlarge=false", Query(width=10, enlarge=False)),
        ("w=10&Enlarge=TRUE", Query(width=10)),
        ("enlarge=false", Query()),
        ("w=10&h=20&fit=cover&gravity=top", Query(width=10, height=20, fit=Fit.COVER, gravity=Gravity(50, 0))),
        ("w=10&h=20&fit=cover&gravity=Right", Query(width=10, height=20, fit=Fit.COVER, gravity=Gravity(100, 50))),
        ("w=10&h=20&fit=cover&gravity=0.2,1.00", Query(width=10, height=20, fit=Fit.COVER, gravity=Gravity(20, 100))),
        ("w=10&h=20&gravity=top", Query(width=10, height=20)),
        ("w=10&fit=cover&gravity=top", Query(width=10)),
        ("bg=FFaa00", Query(background="ffaa00")),
        ("bg=", Query()),
        ("v=12&v=12", Query(version="12")),
        ("v=12&V=13", Query(version="12,13")),
        ("v=%E0%80", Query(version="\ufffd\ufffd")),
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


@pytest.mark.parametrize(
    ("raw", "accepted"),
    [
        *[
            (f"w=9&dpr={text}", "1.00 – 4.00")
            for text in ("0", "0.99", "4.01", "5", "1.123", "1.", ".5", "2x", "-1", "1,5", "²")
        ],
        *[(f"enlarge={text}", "true, false") for text in ("0", "no", "1")],
        *[
            (f"gravity={text}", "center, top, bottom, left, right, 0.00,0.00 – 1.00,1.00")
            for text in ("north", "0.5", "1.01,0", "0,2", "-0.1,0", "0.5,.5", "0.123,0", "0.5,0.5,0.5", "auto")
        ],
        *[(f"bg={text}", "000000 – ffffff") for text in ("fff", "%23ffffff", "gggggg", "ff0000ff", "red")],
    ],
)
def test_value_that_is_not_accepted_is_named_with_what_is(raw: str, accepted: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parse_query(raw, LIMIT)
    name = raw.rpartition("&")[2].partition("=")[0]
    assert str(caught.value) == f"The parameter {name} must be one of {accepted}."


PRESETS = {"avatar": {"w": "96", "h": "96", "fit": "cover"}, "card-2": {"w": "200", "type": "webp"}}


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("preset=avatar", Query(width=96, height=96, fit=Fit.COVER)),
        ("Preset=avatar&dpr=2&h=50", Query(width=192, height=100, fit=Fit.COVER)),
        ("preset=avatar&h=&w=0", Query(height=96)),
        ("preset=card-2&type=png", Query(width=200, type=Format.PNG)),
        ("preset=", Query()),
        ("w=5", Query(width=5)),
    ],
)
def test_preset_becomes_its_parameters_and_those_beside_it_win(raw: str, query: Query) -> None:
    assert parse_query(raw, LIMIT, Presets(PRESETS)) == query


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("preset=AVATAR", "The parameter preset must be one of avatar, card-2."),
        ("", "The parameter preset must be one of avatar, card-2."),
        ("w=96&h=96&fit=cover", "The parameter preset must be one of avatar, card-2."),
        ("preset=avatar&w=97", "The parameter w is not accepted here. Use one of the presets."),
        ("preset=avatar&bg=ff0000", "The parameter bg is not accepted here. Use one of the presets."),
        ("preset=avatar&dpr=1.5", "The parameter dpr must be one of 1, 2, 3."),
        ("preset=avatar&dpr=4", "The parameter dpr must be one of 1, 2, 3."),
    ],
)
def test_only_presets_are_accepted(raw: str, error: str) -> None:
    with pytest.raises(BadParameter) as caught:
        parse_query(raw, LIMIT, Presets(PRESETS, only=True))
    assert str(caught.value) == error


def test_preset_of_a_service_without_presets_is_refused() -> None:
    with pytest.raises(BadParameter, match=r"This service has no presets\."):
        parse_query("preset=avatar", 4096)


def test_what_may_be_beside_a_preset_is_accepted() -> None:
    query = parse_query(
        "preset=avatar&dpr=2&ifBlank=Default&v=7&w=&other=1&kid=a&exp=1&sig=b", LIMIT, Presets(PRESETS, only=True)
    )
    assert query == Query(width=192, height=192, fit=Fit.COVER, if_blank=IfBlank.DEFAULT, version="7")
    assert query.gravity == CENTER


@pytest.mark.parametrize("names", [["Avatar"], ["a_b"], [""], ["a" * 33], [f"p{number}" for number in range(65)]])
def test_names_and_number_of_presets_are_limited(names: list[str]) -> None:
    with pytest.raises(ValueError, match="preset"):
        Presets({name: {"w": "1"} for name in names})
