"""Pages of other origins: what their scripts may read, on every kind of answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from service.settings import BadSettings, load_settings
from service.web.cors import Cors
from tests.conftest import Serve

pytestmark = pytest.mark.usefixtures("people")

OURS, OTHER = "https://crm.example", "https://evil.example"
PICTURE = "/api/v1/Contact/1/Image"
STRANGERS = [
    OTHER, "null", "http://crm.example", "https://crm.example:8443", "https://crm.example.evil.example", "*", "",
    "https://sub.crm.example", "https://crm.example/", "https://xcrm.example", f"{OURS}, {OURS}", f"{OURS}, {OTHER}",
    "https://crm.example@evil.example", "https://crm.example%00.evil.example",
]  # fmt: skip

ANSWERS: list[tuple[int, str, str, dict[str, str]]] = [
    (200, "GET", PICTURE, {}),
    (200, "GET", f"{PICTURE}?w=20", {}),  # rendered,
    (200, "GET", f"{PICTURE}?w=20", {}),  # and answered below the router
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
    """The headers of every kind of answer to a page of *origin*."""
    found: list[Mapping[str, str]] = []
    for status, method, path, headers in ANSWERS:
        asked = {"Accept": "*/*"} | ({} if origin is None else {"Origin": origin}) | headers
        async with client.request(method, path, headers=asked) as response:
            assert response.status == status, (method, path)
            assert len(response.headers.getall("Vary", [])) <= 1
            found.append(response.headers.copy())
    return found


def allowances(headers: Mapping[str, str]) -> set[str]:
    allowing = ("access-control-", "timing-allow-")
    return {name.title() for name in headers if name.lower().startswith(allowing)}


def listed(headers: Mapping[str, str], name: str) -> set[str]:
    """The names in a field that is a list, in lower case; none where it is wanting."""
    return {each.strip().lower() for each in headers.get(name, "").split(",")} - {""}


def varies(headers: Mapping[str, str]) -> list[str]:
    return [name.strip() for name in headers.get("Vary", "").split(",")]


async def test_without_the_setting_no_answer_speaks_of_origins(serve: Serve) -> None:
    client = await serve()
    for origin in (None, OURS, "null"):
        for headers in await answers(client, origin):
            assert not allowances(headers)
            assert "Origin" not in varies(headers)


async def test_a_listed_origin_is_named_on_every_answer(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["https://one.example", OURS]})
    for headers in await answers(client, OURS):
        assert headers["Access-Control-Allow-Origin"] == OURS
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert headers["Timing-Allow-Origin"] == OURS
        assert varies(headers).count("Origin") == 1


async def test_others_get_nothing_but_the_hint_that_it_depends(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS]})
    for origin in (None, OTHER, "null"):
        for headers in await answers(client, origin):
            assert not allowances(headers)
            assert varies(headers).count("Origin") == 1


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_is_like_a_listed_origin_is_another(stranger: str) -> None:
    cors = Cors((OURS,))
    assert not cors.trusts(stranger)
    assert not cors.fields(stranger)
    assert not cors.preflight({"Origin": stranger, "Access-Control-Request-Method": "PUT"}, "GET, PUT")


def test_no_text_of_the_request_is_echoed() -> None:
    assert Cors((OURS,)).fields("HTTPS://CRM.EXAMPLE:443")["Access-Control-Allow-Origin"] == OURS


async def test_everybody_may_read_but_without_credentials(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["*"]})
    for origin in (None, OURS, "null"):
        for headers in await answers(client, origin):
            assert headers["Access-Control-Allow-Origin"] == headers["Timing-Allow-Origin"] == "*"
            assert "Access-Control-Allow-Credentials" not in headers
            assert "Origin" not in varies(headers)


async def test_what_is_no_picture_s_own_can_be_read_by_scripts_too(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS]})
    response = await client.get(f"{PICTURE}?w=20", headers={"Origin": OURS})
    exposed = {name.strip() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert {"ETag", "Cache-Status", "Content-Disposition", "Retry-After", "Server-Timing"} <= exposed


async def test_a_hit_below_the_router_tells_each_page_its_own(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS, "https://two.example"]})
    seen = []
    for origin in (OURS, "https://two.example", OTHER, None, OURS):
        headers = {"Accept": "image/png"} | ({"Origin": origin} if origin else {})
        response = await client.get(f"{PICTURE}?w=20", headers=headers)
        seen.append((response.headers.get("Access-Control-Allow-Origin"), response.headers["ETag"]))
    assert [origin for origin, _ in seen] == [OURS, "https://two.example", None, None, OURS]
    assert len({tag for _, tag in seen}) == 1


async def test_where_everybody_may_read_no_page_may_send_credentials(serve: Serve) -> None:
    client = await serve(http={"cors_origin": ["*"]})
    asked = {"Origin": OTHER, "Access-Control-Request-Method": "GET"}
    response = await client.options(PICTURE, headers=asked)
    allowed = response.headers["Access-Control-Allow-Headers"].lower()
    assert "if-none-match" in allowed
    assert not any(name in allowed for name in ("authorization", "token"))
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_a_browser_may_ask_first_without_credentials(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS]})
    asked = {"Origin": OURS, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    response = await client.options(PICTURE, headers=asked)
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


async def test_who_may_not_read_is_told_nothing_when_it_asks_first(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS]})
    response = await client.options(PICTURE, headers={"Origin": OTHER, "Access-Control-Request-Method": "PUT"})
    assert response.status == 204
    assert not allowances(response.headers)
    assert varies(response.headers) == ["Origin"]


async def test_options_without_a_page_is_no_preflight(serve: Serve) -> None:
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
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "baggage,sentry-trace,traceparent,x-requested-with",
    }
    async with client.options(f"{PICTURE}?w=50", headers=asked) as response:
        assert response.status == 204
        return response.headers.copy()


@pytest.mark.parametrize("allowed", [OURS, "*"])
async def test_pages_may_trace_their_requests(serve: Serve, allowed: str) -> None:
    client = await serve(http={"cors_origin": [allowed]})
    headers = await preflight(client, OURS)
    assert headers["Access-Control-Allow-Origin"] == allowed
    assert listed(headers, "Access-Control-Allow-Headers") >= TRACING


async def test_a_page_that_is_not_listed_may_not(serve: Serve) -> None:
    client = await serve(http={"cors_origin": [OURS]})
    assert not allowances(await preflight(client, OTHER))


@pytest.mark.parametrize("allowed", [OURS, "*"])
@pytest.mark.parametrize("names", [[], ["X-Of-Ours"], ["x-of-ours", "X-OTHER"]])
async def test_the_setting_takes_the_place_of_those_fields(serve: Serve, allowed: str, names: list[str]) -> None:
    client = await serve(http={"cors_origin": [allowed], "cors_headers": names})
    accepted = listed(await preflight(client, OURS), "Access-Control-Allow-Headers")
    assert not accepted & TRACING
    assert {"content-type", "if-none-match", "range", "so-language", *(name.lower() for name in names)} <= accepted
    assert ("authorization" in accepted) == (allowed == OURS)


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
def test_a_setting_that_is_no_list_of_field_names_is_refused(names: list[str]) -> None:
    with pytest.raises(BadSettings, match=r"http\.cors_headers"):
        load_settings(http={"cors_headers": names})


def test_field_names_may_come_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_HTTP__CORS_HEADERS", "b3, X-Request-ID")
    assert load_settings().http.cors_headers == ("b3", "X-Request-ID")
    monkeypatch.setenv("CONTACT_IMAGE_HTTP__CORS_HEADERS", "")
    assert load_settings().http.cors_headers == ()


@pytest.mark.parametrize(
    "origins", [["*", OURS], [f"{OURS}/"], ["null"], ["crm.example"], ["https://*.example"], [f"{OURS},"], [""]]
)
def test_a_setting_that_is_no_list_of_origins_is_refused(origins: list[str]) -> None:
    with pytest.raises(BadSettings, match=r"http\.cors_origin"):
        load_settings(http={"cors_origin": origins})


def test_a_listed_origin_is_found_however_the_setting_spells_it() -> None:
    assert Cors(("HTTPS://CRM.example:443",)).fields(OURS)["Access-Control-Allow-Origin"] == OURS
