"""CORS: which answers scripts of other origins may read, for every kind of answer (docs/contract.md, section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from service.settings import BadSettings, load_settings
from service.web.cors import Cors
from tests.conftest import Serve

pytestmark = pytest.mark.usefixtures("people")

LISTED, OTHER = "https://crm.example", "https://evil.example"
PICTURE = "/api/v1/Contact/1/Image"
UNLISTED = [
    OTHER, "null", "http://crm.example", "https://crm.example:8443", "https://crm.example.evil.example", "*", "",
    "https://sub.crm.example", "https://crm.example/", "https://xcrm.example",
    f"{LISTED}, {LISTED}", f"{LISTED}, {OTHER}", "https://crm.example@evil.example", "https://crm.example%00.evil.example",
]  # fmt: skip

ANSWERS: list[tuple[int, str, str, dict[str, str]]] = [
    (200, "GET", PICTURE, {}),
    (200, "GET", f"{PICTURE}?w=20", {}),  # rendered
    (200, "GET", f"{PICTURE}?w=20", {}),  # answered by the fast path
    (200, "HEAD", f"{PICTURE}?w=20", {}),
    (304, "GET", f"{PICTURE}?w=20", {"If-None-Match": "*"}),
    (304, "GET", PICTURE, {"If-None-Match": "*"}),
    (206, "GET", PICTURE, {"Range": "bytes=0-9"}),
    (416, "GET", PICTURE, {"Range": "bytes=9999999-"}),
    (200, "GET", "/api/v1/Contact/404/Image?ifBlank=SrNoPhoto", {}),
    (200, "GET", "/api/v1/Contact/1/Imageinfo", {}),
    (404, "GET", "/api/v1/Contact/404/Image", {}),
    (404, "HEAD", "/api/v1/Contact/404/Image", {}),
    (400, "GET", f"{PICTURE}?w=wide", {}),
    (406, "GET", PICTURE, {"Accept": "text/html"}),
    (405, "PATCH", PICTURE, {}),
    (403, "DELETE", PICTURE, {}),
    (204, "OPTIONS", PICTURE, {}),
    (404, "GET", "/elsewhere", {}),
    (200, "GET", "/healthz", {}),
]


async def answers(client: TestClient[Any, Any], origin: str | None) -> list[Mapping[str, str]]:
    """Return the headers of every kind of answer to a page of *origin*."""
    found: list[Mapping[str, str]] = []
    for status, method, path, headers in ANSWERS:
        fields = {"Accept": "*/*"} | ({} if origin is None else {"Origin": origin}) | headers
        async with client.request(method, path, headers=fields) as response:
            assert response.status == status, (method, path)
            assert len(response.headers.getall("Vary", [])) <= 1
            found.append(response.headers.copy())
    return found


def allowances(headers: Mapping[str, str]) -> set[str]:
    allowing = ("access-control-", "timing-allow-")
    return {name.title() for name in headers if name.lower().startswith(allowing)}


def listed(headers: Mapping[str, str], name: str) -> set[str]:
    """Return the names in a field that is a list, in lower case; none if it is missing."""
    return {each.strip().lower() for each in headers.get(name, "").split(",")} - {""}


def varies(headers: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in headers.get("Vary", "").split(",")]


async def test_no_answer_has_cors_fields_without_the_setting(serve: Serve) -> None:
    client = await serve()
    for origin in (None, LISTED, "null"):
        for headers in await answers(client, origin):
            assert not allowances(headers)
            assert "Origin" not in varies(headers)


async def test_listed_origin_is_named_in_every_answer(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["https://one.example", LISTED]})
    for headers in await answers(client, LISTED):
        assert headers["Access-Control-Allow-Origin"] == LISTED
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert headers["Timing-Allow-Origin"] == LISTED
        assert varies(headers).count("Origin") == 1


async def test_unlisted_origin_gets_only_vary(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED]})
    for origin in (None, OTHER, "null"):
        for headers in await answers(client, origin):
            assert not allowances(headers)
            assert varies(headers).count("Origin") == 1


@pytest.mark.parametrize("origin", UNLISTED)
def test_origin_that_resembles_a_listed_one_is_not_listed(origin: str) -> None:
    cors = Cors((LISTED,))
    assert not cors.trusts(origin)
    assert not cors.fields(origin)
    assert not cors.preflight({"Origin": origin, "Access-Control-Request-Method": "PUT"}, "GET, PUT")


def test_origin_is_answered_as_the_setting_spells_it() -> None:
    assert Cors((LISTED,)).fields("HTTPS://CRM.EXAMPLE:443")["Access-Control-Allow-Origin"] == LISTED


async def test_any_origin_may_read_without_credentials(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["*"]})
    for origin in (None, LISTED, "null"):
        for headers in await answers(client, origin):
            assert headers["Access-Control-Allow-Origin"] == headers["Timing-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in headers
            assert "Origin" not in varies(headers)


async def test_scripts_may_read_the_exposed_fields(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED]})
    response = await client.get(f"{PICTURE}?w=20", headers={"Origin": LISTED})
    exposed = {name.strip() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Cache-Status", "Content-Disposition", "Retry-After", "Server-Timing"} <= exposed


async def test_fast_path_answers_each_origin_with_its_own_fields(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED, "https://two.example"]})
    seen = []
    for origin in (LISTED, "https://two.example", OTHER, None, LISTED):
        headers = {"Accept": "image/png"} | ({"Origin": origin} if origin else {})
        response = await client.get(f"{PICTURE}?w=20", headers=headers)
        seen.append((response.headers.get("Access-Control-Allow-Origin"), response.headers["ETag"]))
    assert [origin for origin, _ in seen] == [LISTED, "https://two.example", None, None, LISTED]
    assert len({tag for _, tag in seen}) == 1


async def test_no_page_may_send_credentials_when_any_origin_may_read(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["*"]})
    fields = {"Origin": OTHER, "Access-Control-Request-Method": "GET"}
    response = await client.options(PICTURE, headers=fields)
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert "if-none-match" in allowed
    assert not any(name in allowed for name in ("authorization", "token"))
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_preflight_needs_no_credentials(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED]})
    fields = {
        "Origin": LISTED,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    response = await client.options(PICTURE, headers=fields)
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Methods"] == response.headers["Allow"]
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {
        "authorization",
        "content-type",
        "if-match",
        "range",
        "so-apptoken",
        "so-language",
        "x-xsrf-token",
    } <= allowed
    assert 0 < int(response.headers["Access-Control-Max-Age"]) <= 86_400


async def test_preflight_of_an_unlisted_origin_gets_only_vary(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED]})
    response = await client.options(PICTURE, headers={"Origin": OTHER, "Access-Control-Request-Method": "PUT"})
    assert response.status == 204
    assert not allowances(response.headers)
    assert varies(response.headers) == ["Origin"]


async def test_options_without_an_origin_is_not_a_preflight(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["*"]})
    response = await client.options(PICTURE)
    assert "Access-Control-Allow-Methods" not in response.headers


TRACING = {
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    "x-requested-with",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-request-id",
    "x-correlation-id",
}


async def preflight(client: TestClient[Any, Any], origin: str) -> Mapping[str, str]:
    fields = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "baggage,sentry-trace,traceparent,x-requested-with",
    }
    async with client.options(f"{PICTURE}?w=50", headers=fields) as response:
        assert response.status == 204
        return response.headers.copy()


@pytest.mark.parametrize("allowed", [LISTED, "*"])
async def test_pages_may_send_tracing_fields(serve: Serve, allowed: str) -> None:
    client = await serve(http={"cors_origin": [allowed]})
    headers = await preflight(client, LISTED)
    assert headers["Access-Control-Allow-Origin"] == allowed
    assert listed(headers, "Access-Control-Allow-Headers") >= TRACING


async def test_unlisted_page_may_not_send_tracing_fields(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [LISTED]})
    assert not allowances(await preflight(client, OTHER))


@pytest.mark.parametrize("allowed", [LISTED, "*"])
@pytest.mark.parametrize("names", [[], ["X-Own"], ["x-own", "X-OTHER"]])
async def test_setting_replaces_the_tracing_fields(serve: Serve, allowed: str, names: list[str]) -> None:
    client = await serve(http={"cors_origin": [allowed], "cors_headers": names})
    accepted = listed(await preflight(client, LISTED), "Access-Control-Allow-Headers")
    assert not accepted & TRACING
    assert {"content-type", "if-none-match", "range", "so-language", *(name.lower() for name in names)} <= accepted
    assert ("authorization" in accepted) == (allowed == LISTED)


@pytest.mark.parametrize(
    "names",
    [
        ["*"],
        [""],
        ["X Y"],
        ["X-Y:"],
        ["X-Y\r\nSet-Cookie"],
        ["X-\u00d8"],
        ["X-Y", "authorization"],
        ["Cookie"],
        ["so-apptoken"],
        ["X-XSRF-Token"],
        ["x" * 129],
        [f"x-{number}" for number in range(65)],
    ],
)
def test_setting_that_is_not_a_list_of_field_names_is_refused(names: list[str]) -> None:
    with pytest.raises(BadSettings, match=r"http\.cors_headers"):
        load_settings(http={"cors_headers": names})


def test_field_names_may_be_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_HTTP__CORS_HEADERS", "b3, X-Request-ID")
    assert load_settings().http.cors_headers == ("b3", "X-Request-ID")
    monkeypatch.setenv("CONTACT_IMAGE_HTTP__CORS_HEADERS", "")
    assert load_settings().http.cors_headers == ()


@pytest.mark.parametrize(
    "origins", [["*", LISTED], [f"{LISTED}/"], ["null"], ["crm.example"], ["https://*.example"], [f"{LISTED},"], [""]]
)
def test_setting_that_is_not_a_list_of_origins_is_refused(origins: list[str]) -> None:
    with pytest.raises(BadSettings, match=r"http\.cors_origin"):
        load_settings(http={"cors_origin": origins})


def test_listed_origin_matches_any_spelling_of_the_setting() -> None:
    assert Cors(("HTTPS://CRM.example:443",)).fields(LISTED)["Access-Control-Allow-Origin"] == LISTED
