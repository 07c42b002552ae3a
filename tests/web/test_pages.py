"""`/` and `/docs`: pages for people, or a problem that names the path of pictures (docs/contract.md, section 1)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from service.protocol.languages import Languages
from service.web.pages import ASSETS, PATHS, POLICY
from tests.conftest import Serve
from tools.assets import ASSETS as FETCHED
from tools.assets import SUMS, sums

pytestmark = pytest.mark.usefixtures("people")

TEMPLATE = "/api/v1/Contact/{contactId}/Image"
PAGES: dict[str, Any] = {"adapters": {"shown": (1, 2, 404)}, "pages": {"enabled": True}}


@pytest.mark.parametrize(
    "path",
    ["/", "/?w=9", "/docs", "/index.html", "/favicon.ico", "/pages/page.js", "/api", "/api/v1/Contact/1", "//"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_404_names_the_path_of_pictures(serve: Serve, path: str, method: str) -> None:
    client = await serve()
    response = await client.request(method, path)
    assert (response.status, response.content_type) == (404, "application/problem+json")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Accept-Language, SO-Language, SO-Culture"
    assert int(response.headers["Content-Length"]) > 0
    if method != "HEAD":
        problem = json.loads(await response.read())
        assert TEMPLATE in problem["detail"]
        assert TEMPLATE in problem["ErrorMessage"]


async def test_404_is_in_the_requested_language(serve: Serve) -> None:
    client = await serve()
    details = set()
    languages = ("en", *Languages.load().catalogues)
    for language in languages:
        response = await client.get("/", headers={"Accept-Language": language})
        assert response.headers["Content-Language"] == language
        detail = json.loads(await response.read())["detail"]
        assert TEMPLATE in detail
        details.add(detail)
    assert len(details) == len(languages)


@pytest.mark.parametrize("path", PATHS)
async def test_page_has_a_policy_and_loads_only_what_is_there(serve: Serve, path: str) -> None:
    client = await serve(**PAGES)
    response = await client.get(path)
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.headers["Content-Security-Policy"] == POLICY
    assert response.headers["Cache-Control"] == "no-cache"
    assert "Vary" not in response.headers
    text = await response.text()
    assert text.startswith("<!DOCTYPE html>\n")
    assert not re.search(r"<style|<script(?![^>]* src=)|\sstyle=|\son[a-z]+=|https?://|\$", text)
    for url in re.findall(r'(?:src|href)="([^"]*)"', text):
        answer = await client.get(f"/{url.removeprefix('./')}")
        assert answer.status == 200, url


async def test_policy_is_that_of_pages_alone(serve: Serve) -> None:
    client = await serve(**PAGES)
    directives = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert directives.pop("img-src") == "'self' data: blob:"
    own = {"script-src", "style-src", "connect-src"}
    assert directives == {name: "'self'" if name in own else "'none'" for name in directives}
    assert directives.keys() == own | {"default-src", "base-uri", "form-action", "frame-ancestors"}
    for path in ("/healthz", "/nothing", "/api/v1/Contact/404/Image", "/api/v1/Contact/1/Image", *ASSETS):
        assert (await client.get(path)).headers["Content-Security-Policy"] == "default-src 'none'"


async def test_page_names_the_contacts_and_whether_pictures_can_be_changed(serve: Serve) -> None:
    text = await (await (await serve(**PAGES)).get("/")).text()
    assert 'data-contacts="1 2 404" data-writable="false"' in text
    text = await (await (await serve(pages={"enabled": True}, writes={"enabled": True})).get("/")).text()
    assert 'data-contacts="" data-writable="true"' in text


@pytest.mark.parametrize(("scheme", "writable"), [("signed", "false"), ("bearer", "true")])
async def test_signed_urls_alone_change_no_pictures(serve: Serve, scheme: str, writable: str) -> None:
    auth = {"schemes": [scheme], "signing_keys": ["k1:0123456789abcdef"], "superoffice_url": "http://127.0.0.1:9"}
    client = await serve(pages={"enabled": True}, auth=auth)
    assert f'data-writable="{writable}"' in await (await client.get("/")).text()


async def test_head_has_the_headers_of_get(serve: Serve) -> None:
    client = await serve(**PAGES)
    for path in (*PATHS, *ASSETS):
        whole, head = await client.get(path), await client.head(path)
        assert (head.status, await head.read()) == (200, b"")
        fields = {name: value for name, value in whole.headers.items() if name != "Date"}
        assert {name: value for name, value in head.headers.items() if name != "Date"} == fields
        assert int(fields["Content-Length"]) == len(await whole.read())
        again = await client.get(path, headers={"If-None-Match": whole.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PURGE", "PATCH"])
async def test_page_allows_only_reads(serve: Serve, method: str) -> None:
    client = await serve(**PAGES)
    for path in (*PATHS, *ASSETS):
        response = await client.request(method, path)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
        assert response.content_type == "application/problem+json"


async def test_page_needs_no_credentials_and_reads_none(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text(f"ann:{PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash('ann')}\n", "utf-8")
    client = await serve(**PAGES, auth={"schemes": ["basic"], "users_file": str(users)})
    for headers in ({}, {"Authorization": "Basic dGplMDpUamUw"}):
        response = await client.get("/", headers=headers)
        assert (response.status, response.headers["Cross-Origin-Resource-Policy"]) == (200, "cross-origin")
    assert (await client.get("/api/v1/Contact/1/Image")).status == 401


async def test_page_has_a_route_of_its_own_in_metrics(serve: Serve) -> None:
    client = await serve(**PAGES)
    await client.get("/")
    await client.get("/nothing")
    text = await (await client.get("/metrics")).text()
    assert 'contact_image_requests_total{method="GET",route="page",status="200"} 1.0' in text
    assert 'contact_image_requests_total{method="GET",route="other",status="404"} 1.0' in text


@pytest.mark.parametrize("folder", [each.folder for each in FETCHED], ids=lambda path: Path(path).name)
def test_fetched_files_are_those_of_the_package(folder: Path) -> None:
    assert (folder / SUMS).read_text("utf-8") == sums(folder)
    assert (folder / "LICENSE").exists()
