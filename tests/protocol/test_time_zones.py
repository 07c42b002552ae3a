"""Parsing of `SO-TimeZone`, and the data of its codes (docs/contract.md, section 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.protocol
from service.errors import BadParameter
from service.protocol.time_zones import parse_time_zone

DATA = Path(service.protocol.__file__).parent / "locale" / "time_zones.txt"
ROWS = [tuple(line.split()) for line in DATA.read_text().splitlines() if not line.startswith("#")]
IANA = files("tzdata").joinpath("zones").read_text().split()
WINTER, SUMMER = datetime(2018, 12, 24, 12, tzinfo=UTC), datetime(2018, 6, 24, 12, tzinfo=UTC)

# https://docs.superoffice.com/en/api/netserver/web-services/so-timezone.html: id, code, hours in winter and in summer
DOCUMENTED = [
    (1, "UTC", 0, 0),
    (36, "AU-ACT", 11, 10),
    (50, "BD", 6, 6),
    (114, "CA-QC", -5, -4),
    (140, "DK", 1, 2),
    (156, "FR", 1, 2),
    (261, "NO", 1, 2),
    (425, "US-CA", -8, -7),
    (433, "US-HI", -10, -10),
    (460, "US-NY", -5, -4),
]


@pytest.mark.parametrize(("id", "code", "winter", "summer"), DOCUMENTED)
def test_documented_zones_have_their_ids_and_offsets(id: int, code: str, winter: int, summer: int) -> None:
    name = parse_time_zone(code)
    assert parse_time_zone(str(id)) == parse_time_zone(code.lower()) == parse_time_zone(f" {code}\t") == name
    zone = ZoneInfo(name or "UTC")
    assert [at.astimezone(zone).utcoffset() for at in (WINTER, SUMMER)] == [
        timedelta(hours=winter),
        timedelta(hours=summer),
    ]


def test_only_documented_ids_are_known() -> None:
    assert {(int(id), code) for code, id, _ in ROWS if id != "-"} == {(id, code) for id, code, _, _ in DOCUMENTED}


@pytest.mark.parametrize(("code", "_", "name"), ROWS, ids=[row[0] for row in ROWS])
def test_every_code_is_one_existing_zone(code: str, _: str, name: str) -> None:
    assert [row[0] for row in ROWS].count(code) == 1
    assert (parse_time_zone(code) or "UTC") == name == ZoneInfo(name).key
    if code in IANA:  # the code is a name too, e.g. GB
        assert SUMMER.astimezone(ZoneInfo(code)).utcoffset() == SUMMER.astimezone(ZoneInfo(name)).utcoffset()


@pytest.mark.parametrize("name", ["Europe/Oslo", "europe/oslo", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "CET"])
def test_iana_name_is_a_zone(name: str) -> None:
    parsed = parse_time_zone(name)
    assert parsed in IANA and parsed.lower() == name.lower()


@pytest.mark.parametrize("raw", [None, "", "  ", "UTC", "utc", "1"])
def test_absent_empty_and_utc_are_utc(raw: str | None) -> None:
    assert parse_time_zone(raw) is None


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("NO, includeTZOffset", "Europe/Oslo"),
        ("includeTZOffset, NO", "Europe/Oslo"),
        ("no,INCLUDETZOFFSET", "Europe/Oslo"),
        ("261 ,\tincludetzoffset", "Europe/Oslo"),
        ("US-NY,includeTZOffset,", "America/New_York"),
        ("America/Argentina/Buenos_Aires, includeTZOffset", "America/Argentina/Buenos_Aires"),
        ("UTC, includeTZOffset", None),
        ("includeTZOffset", None),
        (" includeTZoffset ", None),
        ("includeTZOffset, includeTZOffset", None),
        ("NO, includeTZOffset, NO, includeTZOffset", "Europe/Oslo"),
        (",", None),
    ],
)
def test_field_is_a_list_that_may_request_the_offset(raw: str, name: str | None) -> None:
    assert parse_time_zone(raw) == name


MIXED = [
    "NO, DK, includeTZOffset",
    "XX, includeTZOffset",
    "includeTZOffset, NO, XX",
    "NO includeTZOffset",
    "NO; includeTZOffset",
    "includeTZ",
    "includeTZOffset=1",
    "'NO', includeTZOffset",
    '"NO, includeTZOffset"',
    "NO," * 100,
    "includeTZOffset," * 100,
]
UNKNOWN = ["XX", "NO, DK", "N\u00d8", "*", "0261", "26 1", "-1", "+01:00", "99999999999", "\u0662\u0666\u0661"]
PATHS = [
    "../../etc/passwd",
    "/etc/localtime",
    "Europe/../Europe/Oslo",
    "Europe",
    "zone.tab",
    "NO\0",
    "Europe/Oslo" * 1000,
]


@pytest.mark.parametrize("raw", [*UNKNOWN, *MIXED, *PATHS])
def test_error_of_any_other_text_names_the_field(raw: str) -> None:
    with pytest.raises(BadParameter) as refused:
        parse_time_zone(raw)
    assert refused.value.values == {"name": "SO-TimeZone"}


@given(st.text())
def test_any_text_is_a_zone_or_refused(raw: str) -> None:
    try:
        name = parse_time_zone(raw)
    except BadParameter:
        return
    assert name is None or name in IANA
