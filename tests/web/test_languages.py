"""Language and culture choose the words of answers, and nothing else (docs/contract.md, section 5)."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get

pytestmark = pytest.mark.usefixtures("people")

CODES = [
    "en",
    "no",
    "sv",
    "da",
    "de",
    "nl",
    "cs",
    "fr",
    "it",
    "es",
    "fi",
    "pl",
    "ru",
    "zh",
    "uk",
    "ko",
    "br",
    "vi",
    "ja",
]
TAGS = {code: code for code in CODES} | {"no": "nb", "br": "pt-BR"}
WORDED = "Accept, Accept-Language, SO-Language, SO-Culture"


async def test_every_language_has_its_own_words(serve: Serve, get: Get) -> None:
    client = await serve()
    pictures, details = set(), set()
    for code, tag in TAGS.items():
        placeholder = await get(client, 404, "?ifBlank=SrNoPhoto", SO_Language=code)
        problem = await get(client, 404, Accept_Language=f"{tag}, *;q=0.1")
        for answer in (placeholder, problem):
            assert (answer.headers["Content-Language"], answer.headers["Vary"]) == (tag, WORDED)
        pictures.add((placeholder.headers["ETag"], await placeholder.read()))
        body = json.loads(await problem.text())
        assert body["Message"] == body["ErrorMessage"] == body["detail"]
        details.add((body["title"], body["detail"]))
    assert len(pictures) == len({etag for etag, _ in pictures}) == len({data for _, data in pictures}) == len(TAGS)
    assert len(details) == len({detail for _, detail in details}) == len(TAGS)


async def test_languages_do_not_multiply_pictures(serve: Serve, get: Get) -> None:
    client = await serve()
    first = await get(client, 1, "?w=50", SO_Language="sv", SO_Culture="sv-SE", SO_TimeZone="NO")
    second = await get(client, 1, "?w=50", Accept_Language="ja", SO_Culture="en-US")
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.headers["Vary"] == second.headers["Vary"] == "Accept"
    assert "Content-Language" not in second.headers
    assert second.headers["Cache-Status"].startswith("contact-image; hit")


@pytest.mark.parametrize(
    ("headers", "written"),
    [
        ({"SO_Language": "no", "SO_Culture": "nb-NO"}, "4\u00a0096"),
        ({"Accept_Language": "de", "SO_Culture": "de"}, "4.096"),
        ({"Accept_Language": "de", "SO_Culture": "de-CH"}, "4\u2019096"),
        ({"SO_Language": "sv", "SO_Culture": "en-US"}, "4,096"),
        ({"SO_Language": "sv"}, "4096"),
        ({"SO_Culture": "de"}, "4096"),
        ({"SO_Culture": "de", "SO_Language": "*"}, "4096"),
        ({"SO_Culture": "Klingon", "SO_Language": "de"}, "4096"),
        ({"SO_Culture": "../de" * 900, "SO_Language": "de"}, "4096"),
    ],
)
async def test_culture_groups_the_digits(serve: Serve, get: Get, headers: dict[str, str], written: str) -> None:
    client = await serve()
    response = await get(client, 1, "?w=5000", **headers)
    assert response.status == 400
    assert written in json.loads(await response.text())["detail"]


async def test_contact_ids_have_no_digit_grouping(serve: Serve, get: Get) -> None:
    client = await serve()
    for method in ("GET", "HEAD"):
        response = await get(client, 1234567, method=method, SO_Language="de", SO_Culture="de")
        assert response.status == 404
    response = await get(client, 1234567, SO_Language="de", SO_Culture="de")
    assert "1234567" in json.loads(await response.text())["detail"]


@pytest.mark.parametrize("header", ["SO_Language", "Accept_Language", "SO_Culture"])
@pytest.mark.parametrize("value", ["de;" * 2000, "-" * 8000, "../../sv", "%00", "sv\t", "\u00e5"])
async def test_invalid_languages_are_ignored(serve: Serve, get: Get, header: str, value: str) -> None:
    client = await serve()
    response = await get(client, 404, "?ifBlank=SrNoPhoto", **{header: value})
    assert response.status == 200
    assert response.headers["Content-Language"] in TAGS.values()
