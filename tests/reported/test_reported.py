"""Pictures and requests that users of other image services reported.

A row is a file, a request, its header fields, divided by ` | `, and the expected answer: status, media type, width x
height; `frames=`, `plays=`; `x,y=r,g,b~t` for a pixel; `name>a,b` for a field that lists all of these. When the table
of reports is beside the repository, its files are tested, too. Its rows have the same form.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from tests.conftest import Valkey, served
from tests.pixels import near, shown
from tests.reported.pictures import MADE, plays_of

REPORTS = Path(__file__).parents[3] / "shared" / "reports"
QUARTERS = "15,10=220,30,30~8 45,10=30,160,60~8 15,30=40,60,200~8 45,30=240,220,40~8"
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


class Row(NamedTuple):
    file: str
    request: str
    headers: str
    expected: str


def _row(file: str, query: str, expected: str, *, headers: str = "") -> Row:
    return Row(file, f"/api/v1/Contact/{file.partition('.')[0]}/Image{query}", headers, expected)


_PNG = "?w=60&type=PNG"
_ANCILLARY = ("gAMA", "cHRM", "sRGB", "pHYs", "tEXt", "zTXt", "iTXt", "tIME", "iCCP", "eXIf", "bKGD", "sBIT", "cICP")
_CHUNKS = (*_ANCILLARY, "prVt")
_TRACING = "baggage,sentry-trace,traceparent,x-requested-with"

ROWS: dict[str, Row] = {
    "plays-too-many": _row("100.gif", "?w=60&type=WEBP", "200 image/webp 60x60 frames=3 plays=65535|0"),
    "one-format-fails": Row(
        "101.gif",
        "/api/v1/Contact/101/Image?w=60&type=WEBP then /api/v1/Contact/101/Image?w=50&type=GIF",
        "",
        "200 image/gif 50x50 frames=3",
    ),
    "profile-1.5MB": _row("300.png", _PNG, f"200 image/png 60x40 {QUARTERS}"),
    **{
        f"checksum-{kind}": _row(f"{500 + number}.png", _PNG, f"200 image/png 60x40 {QUARTERS}")
        for number, kind in enumerate(_CHUNKS)
    },
    "next-format": _row(
        "700.jpg", "?w=4096", "200 image/webp|image/avif 4096x4096", headers="Accept: image/avif,image/webp,*/*;q=0.8"
    ),
    "grid-shared-tiles": _row("900.avif", _PNG, "200 image/png 60x60 7,7=220,30,30~24 52,52=240,220,40~24"),
    "grid-own-tiles": _row("901.avif", _PNG, "200 image/png 60x60 7,7=220,30,30~24 52,52=240,220,40~24"),
    "avif-display-p3": _row("1100.avif", _PNG, "200 image/png 60x60 30,30=216,69,50~12"),
    "avif-bt2020": _row("1101.avif", _PNG, "200 image/png 60x60 30,30=244,37,50~12"),
    "plays-once-chosen": _row(
        "1300.gif",
        "?w=60",
        "200 image/avif|image/webp|image/png|image/gif 60x60 frames=3 plays=1",
        headers=f"Accept: {CHROME}",
    ),
    "plays-once-avif": _row("1300.gif", "?w=60&type=AVIF", "200 image/avif 60x60 frames=3 plays=1"),
    "jfif-name-alone": _row("1400.jpg", _PNG, f"200 image/png 60x40 {QUARTERS}"),
    "jfif-twice": _row("1401.jpg", _PNG, f"200 image/png 60x40 {QUARTERS}"),
    "palette-8-bit": _row("1600.tif", _PNG, f"200 image/png 60x40 {QUARTERS}"),
    "palette-8-bit-scan": _row(
        "1601.tif", _PNG, "200 image/png 60x40 2,2=255,255,255~8 50,30=255,255,255~8 17,10=0,0,0~8"
    ),
    "q-without-zero": _row(
        "2100.jpg", "?w=60", "200 image/png 60x40", headers="Accept: image/png;q=.5, image/jpeg;q=.2"
    ),
    "preflight-tracing": Row(
        "2300.jpg",
        "OPTIONS /api/v1/Contact/2300/Image?w=50",
        "Origin: https://crm.example | Access-Control-Request-Method: GET"
        f" | Access-Control-Request-Headers: {_TRACING}",
        "200|204 access-control-allow-headers>traceparent,sentry-trace,baggage,x-requested-with",
    ),
}


def _reports() -> dict[str, Row]:
    """Return the rows of the reports beside the repository, or none."""
    try:
        lines = (REPORTS / "cases.tsv").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return {row["id"]: Row(row["file"], row["request"], row["headers"], row["right"]) for row in rows}


Client = TestClient[Any, Any]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients(tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey) -> Any:
    """Services by their pictures: those `made` in code, and those of the `reports`."""
    folder = tmp_path_factory.mktemp("reported")
    for name, make in MADE.items():
        (folder / name).write_bytes(make())
    page = {"cors_origin": ["https://crm.example"]}
    async with (
        TestClient(served(folder, shared_valkey.url, http=page)) as made,
        TestClient(served(REPORTS if REPORTS.is_dir() else folder, shared_valkey.url, http=page)) as reports,
    ):
        yield {"made": made, "reports": reports}


@pytest.mark.parametrize("name", ROWS)
async def test_answer_for_picture_made_in_code_is_as_expected(clients: dict[str, Client], name: str) -> None:
    await _check_row(clients["made"], ROWS[name])


@pytest.mark.parametrize("name", _reports())
async def test_answer_for_file_of_the_reports_is_as_expected(clients: dict[str, Client], name: str) -> None:
    await _check_row(clients["reports"], _reports()[name])


async def test_every_row_of_the_reports_has_a_picture_made_in_code() -> None:
    assert _reports().keys() <= ROWS.keys()


async def _check_row(client: Client, row: Row) -> None:
    fields = dict(field.split(": ", 1) for field in row.headers.split(" | ") if field)
    *earlier, last = row.request.split(" then ")
    for request in earlier:
        await _answer(client, request, {})
    response = await _answer(client, last, fields)
    body = await response.read()
    for word in row.expected.split():
        _check_word(word, response, body)


async def _answer(client: Client, request: str, fields: dict[str, str]) -> ClientResponse:
    method, _, path = request.rpartition(" ")
    response = await client.request(method or "GET", path, headers=fields)
    await response.read()
    return response


def _check_word(word: str, response: ClientResponse, body: bytes) -> None:
    """Check one word of a row's expected answer."""
    if re.fullmatch(r"[\d|]+", word):
        assert str(response.status) in word.split("|"), body[:300]
    elif "/" in word:
        assert response.content_type in word.split("|")
    elif re.fullmatch(r"\d+x\d+", word):
        assert "{}x{}".format(*shown(body).size) == word
    elif word.startswith("frames="):
        assert getattr(shown(body), "n_frames", 1) == int(word[7:])
    elif word.startswith("plays="):
        assert str(plays_of(body)) in word[6:].split("|")
    elif ">" in word:
        name, _, listed = word.partition(">")
        assert set(listed.split(",")) <= {each.strip().lower() for each in response.headers[name].split(",")}
    else:
        place, colour, within = re.fullmatch(r"([\d,]+)=([\d,]+)~(\d+)", word).groups()  # type: ignore[union-attr]
        x, y = map(int, place.split(","))
        found = shown(body).convert("RGB").getpixel((x, y))
        assert near(found, tuple(map(int, colour.split(","))), within=int(within)), f"{found} at {place}"
