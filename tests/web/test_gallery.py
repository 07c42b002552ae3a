"""`/`: the demo's page, or a problem that names the path of pictures (docs/contract.md, section 1)."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from argon2 import PasswordHasher

from service.protocol.languages import Languages
from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Client

pytestmark = pytest.mark.usefixtures("people")

TEMPLATE = "/api/v1/Contact/{contactId}/Image"
PICTURED = {"shown": (1, 2, 3, 4, 5)}
VOID = ("meta", "link", "img")


class Page(HTMLParser):
    """The tags and texts of a page. It fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text.setdefault(self._open[-1], []).append(data)

    def each(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


async def page(client: Client) -> Page:
    return Page(await (await client.get("/")).text())


@pytest.mark.parametrize("path", ["/", "/?w=160", "/index.html", "/favicon.ico", "/api", "/api/v1/Contact/1", "//"])
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


async def test_page_shows_pictures_and_their_urls(serve: Serve) -> None:
    client = await serve(adapters=PICTURED)
    response = await client.get("/")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = await response.text()
    assert text.startswith("<!DOCTYPE html>\n")
    found = Page(text)
    assert found.each("html") == [{"lang": response.headers["Content-Language"]}]
    assert "".join(found.text["title"]).strip()
    urls = [f"/api/v1/Contact/{contact}/Image?w=160" for contact in PICTURED["shown"]]
    assert [each["src"] for each in found.each("img")] == urls
    assert [each["href"] for each in found.each("a")] == urls
    assert found.text["a"] == urls
    assert len({each["alt"] for each in found.each("img")}) == len(urls)
    for each in found.each("img"):
        picture = await client.get(str(each["src"]))
        assert picture.status == 200
        assert str(shown(await picture.read()).width) == each["width"] == "160"


async def test_content_security_policy_allows_only_the_style_and_pictures_of_the_service(serve: Serve) -> None:
    client = await serve(adapters=PICTURED)
    response = await client.get("/")
    found = Page(await response.text())
    digest = b64encode(sha256("".join(found.text["style"]).encode()).digest()).decode()
    policy = response.headers["Content-Security-Policy"]
    assert policy == f"default-src 'none'; img-src 'self'; style-src 'sha256-{digest}'"
    assert not found.each("script")
    assert not [name for _, attributes in found.tags for name in attributes if name == "style" or name[:2] == "on"]
    for url in re.findall(r'(?:src|href)="([^"]*)"', await response.text()):
        assert url.startswith("/api/v1/Contact/")
        answer = await client.get(url)
        assert (answer.status, answer.headers["Content-Security-Policy"]) == (200, "default-src 'none'")
    for path in ("/healthz", "/nothing", "/api/v1/Contact/404/Image"):
        assert (await client.get(path)).headers["Content-Security-Policy"] == "default-src 'none'"


async def test_head_has_the_headers_of_get(serve: Serve) -> None:
    client = await serve(adapters=PICTURED)
    whole, head = await client.get("/"), await client.head("/")
    assert (head.status, await head.read()) == (200, b"")
    fields = {name: value for name, value in whole.headers.items() if name != "Date"}
    assert {name: value for name, value in head.headers.items() if name != "Date"} == fields
    assert int(fields["Content-Length"]) == len(await whole.read())
    assert fields["Cache-Control"] == "no-store"
    assert "Vary" not in fields


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PURGE", "PATCH"])
async def test_page_allows_only_reads(serve: Serve, method: str) -> None:
    client = await serve(adapters=PICTURED)
    response = await client.request(method, "/")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert response.content_type == "application/problem+json"


async def test_page_needs_the_credentials_of_a_picture(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> None:
    users = tmp_path_factory.mktemp("users") / "users"
    users.write_text(f"ann:{PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash('ann')}\n", "utf-8")
    auth = {"schemes": ["basic"], "users_file": str(users)}
    wrong = {"Authorization": "Basic dGplMDpUamUw"}
    closed = await serve(adapters=PICTURED, auth=auth)
    assert (await closed.get("/")).status == 401
    assert "Basic" in (await closed.get("/", headers=wrong)).headers["WWW-Authenticate"]
    for path in ("/healthz", "/nothing"):
        assert (await closed.get(path, headers=wrong)).status != 401
    half_open = await serve(adapters=PICTURED, auth=auth | {"anonymous_read": True})
    assert (await half_open.get("/")).status == 200
    assert (await half_open.get("/", headers=wrong)).status == 401


async def test_page_varies_on_origin_with_listed_origins(serve: Serve) -> None:
    client = await serve(adapters=PICTURED, http={"cors_origin": ["https://crm.example"]})
    response = await client.get("/", headers={"Origin": "https://crm.example"})
    assert response.headers["Vary"] == "Origin"
    assert response.headers["Access-Control-Allow-Origin"] == "https://crm.example"


async def test_page_has_a_route_of_its_own_in_metrics(serve: Serve) -> None:
    client = await serve(adapters=PICTURED)
    await client.get("/")
    await client.get("/nothing")
    text = await (await client.get("/metrics")).text()
    assert 'contact_image_requests_total{method="GET",route="page",status="200"} 1.0' in text
    assert 'contact_image_requests_total{method="GET",route="other",status="404"} 1.0' in text
