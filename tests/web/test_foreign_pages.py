"""Refusal of writes that a browser sends for a page of another origin."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from service.errors import Forbidden
from service.web.cors import Cors
from service.web.cross_origin import refuse_foreign
from tests.conftest import Serve
from tools.pictures.drawing import quarters, saved

LISTED, OTHER = "https://crm.example", "https://evil.example"
HOST = "pictures.example"

PASS = [
    {},  # not a browser
    {"Sec-Fetch-Site": "same-origin", "Origin": f"https://{HOST}"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": LISTED},
    {"Sec-Fetch-Site": "same-site", "Origin": LISTED},
    {"Origin": f"https://{HOST}"},
    {"Origin": f"https://{HOST.upper()}"},
    {"Origin": LISTED},
]
REFUSED = [
    {"Sec-Fetch-Site": "cross-site", "Origin": OTHER},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://other.pictures.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": f"https://{HOST}"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "SAME-ORIGIN", "Origin": OTHER},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Origin": OTHER},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": f"https://{HOST}:8443"},
    {"Origin": f"https://{HOST}@evil.example"},
    {"Origin": f"https://evil.example/{HOST}"},
]


@pytest.mark.parametrize("headers", PASS)
def test_own_pages_listed_pages_and_programs_may_write(headers: dict[str, str]) -> None:
    refuse_foreign(CIMultiDict({"Host": HOST} | headers), Cors((LISTED,)), unauthenticated=False)


@pytest.mark.parametrize("headers", REFUSED)
def test_page_of_another_origin_may_not_write(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        refuse_foreign(CIMultiDict({"Host": HOST} | headers), Cors((LISTED,)), unauthenticated=False)


@pytest.mark.parametrize(
    "lines",
    [
        [("Origin", LISTED), ("Origin", OTHER)],
        [("Origin", f"https://{HOST}"), ("Origin", OTHER)],
        [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "none"), ("sec-fetch-site", "none"), ("Origin", f"https://{HOST}")],
    ],
)
def test_repeated_field_is_refused(lines: list[tuple[str, str]]) -> None:
    with pytest.raises(Forbidden):
        refuse_foreign(CIMultiDict([("Host", HOST), *lines]), Cors((LISTED,)), unauthenticated=False)


@pytest.mark.parametrize("origin", ["null", OTHER])
def test_page_may_not_write_without_a_host(origin: str) -> None:
    with pytest.raises(Forbidden):
        refuse_foreign(CIMultiDict({"Origin": origin}), Cors(()), unauthenticated=False)


def test_any_origin_may_read_but_not_write() -> None:
    with pytest.raises(Forbidden):
        refuse_foreign(CIMultiDict({"Host": HOST, "Origin": OTHER}), Cors(("*",)), unauthenticated=False)


@pytest.mark.parametrize("site", [{"Sec-Fetch-Site": "same-origin"}, {}])
@pytest.mark.parametrize("host", ["evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", ""])
def test_unauthenticated_write_by_a_rebound_name_is_refused(site: dict[str, str], host: str) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"} | site
    with pytest.raises(Forbidden):
        refuse_foreign(CIMultiDict(headers), Cors(()), unauthenticated=True)
    refuse_foreign(CIMultiDict({"Host": host}), Cors(()), unauthenticated=True)  # no browser


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080"])
def test_unauthenticated_write_by_a_loopback_name_is_allowed(host: str) -> None:
    refuse_foreign(CIMultiDict({"Host": host, "Origin": f"http://{host}"}), Cors(()), unauthenticated=True)


async def test_foreign_page_changes_nothing_over_http(serve: Serve, people: object) -> None:
    client = await serve(writes={"enabled": True}, http={"cors_origin": [LISTED]})
    path, body = "/api/v1/Contact/1/Image", saved(quarters(8, 8), "PNG")
    by_other, by_listed = ({"Origin": origin, "Sec-Fetch-Site": "cross-site"} for origin in (OTHER, LISTED))
    for method in ("PUT", "POST", "PURGE", "DELETE"):
        before = (await client.get(path, headers={"Accept": "*/*"})).headers["ETag"]
        foreign = await client.request(method, path, data=body, headers=by_other)
        assert foreign.status == 403, method
        assert "origin" in (await foreign.json(content_type=None))["detail"]
        assert (await client.get(path, headers={"Accept": "*/*"})).headers["ETag"] == before
        listed = await client.request(method, path, data=body, headers=by_listed)
        assert listed.status in (200, 204), method


async def test_foreign_page_may_show_pictures(serve: Serve, people: object) -> None:
    client = await serve()
    response = await client.get("/api/v1/Contact/1/Image", headers={"Origin": OTHER, "Sec-Fetch-Site": "cross-site"})
    assert response.status == 200
