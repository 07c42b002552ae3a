"""Cached pictures are refused like all others: a refused requester gets no answer and learns nothing from it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.access.conftest import ServeSecured, basic, signed
from tests.access.targets import AS_STORED, BLANK, MISSING, READERS, REFUSED, TARGETS, WARM, warm
from tests.conftest import Serve, Valkey
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("picture")


async def assert_refused(
    client: TestClient[Any, Any], seen: dict[str, Mapping[str, str]], credentials: dict[str, str]
) -> None:
    """Assert that every kind of request with *credentials* is refused, and with the same text for every target."""
    texts = set()
    for target in TARGETS.values():
        tag = seen[target].get("ETag", '"x"')
        variants = [("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": tag}), ("HEAD", {"If-None-Match": f"W/{tag}"})]
        variants += [("GET", {"If-None-Match": "*"}), ("GET", {"Range": "bytes=0-9"})]
        variants += [("GET", {"If-Modified-Since": seen[target].get("Last-Modified", "")})]
        for method, fields in variants:
            async with client.request(method, target, headers=credentials | fields) as answer:
                body = await answer.read()
                assert answer.status in (401, 403, 429), (target, method, fields)
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.content_type == "application/problem+json"
                assert not {"ETag", "Last-Modified", "Cache-Status", "Server-Timing"} & set(answer.headers)
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"]
                if body and answer.status != 429:
                    problem = json.loads(body)
                    texts.add((problem["status"], problem["detail"]))
    assert len(texts) <= 1


async def test_cached_picture_is_refused_to_other_requesters(serve_secured: ServeSecured) -> None:
    client = await serve_secured(server={"trusted_proxies": ["127.0.0.0/8"]})
    seen = await warm(client)
    for number, credentials in enumerate(REFUSED.values()):
        # An address of its own for every credential, since failures are counted by address.
        await assert_refused(client, seen, credentials() | {"X-Forwarded-For": f"192.0.2.{number}"})
        async with client.get(WARM, headers=basic("anna")) as answer:
            assert answer.status == 200


async def test_cached_picture_is_refused_to_other_requesters_while_redis_is_down(
    serve_secured: ServeSecured, own_valkey: Valkey
) -> None:
    client = await serve_secured(url=own_valkey.url)
    seen = await warm(client)
    own_valkey.stop()
    for name in ("no credentials", "a wrong password", "an expired token", "no role to read"):
        await assert_refused(client, seen, REFUSED[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200


async def test_stale_picture_is_refused_to_other_requesters(serve_secured: ServeSecured, images: Path) -> None:
    client = await serve_secured(cache={"fresh_for": 1, "prefix": "stale-lock"})
    seen = await warm(client)
    images.rename(images.with_name("gone"))
    await asyncio.sleep(1.6)
    for name in ("no credentials", "a wrong password", "no role to read"):
        await assert_refused(client, seen, REFUSED[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200
        assert "ttl=-" in answer.headers["Cache-Status"]
        assert answer.headers["Cache-Control"].startswith("private")


async def test_refusal_costs_no_lookup(serve_secured: ServeSecured) -> None:
    """So the time of a refusal does not show whether there is a picture."""
    client = await serve_secured()
    await warm(client)
    names = ("contact_image_cache_total", "contact_image_store_reads_total", "contact_image_renders_started_total")
    before = await counts(client, names)
    for credentials in REFUSED.values():
        for target in TARGETS.values():
            async with client.get(target, headers=credentials()):
                pass
    assert await counts(client, names) == before


async def counts(client: TestClient[Any, Any], names: tuple[str, ...]) -> list[str]:
    async with client.get("/metrics", headers=basic("anna")) as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(names)]


async def test_answer_to_an_authorized_requester_is_private(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    for number, credentials in enumerate(READERS.values()):
        await assert_private(client, f"{AS_STORED}?w={50 + number}", credentials)  # not cached yet


async def assert_private(client: TestClient[Any, Any], target: str, credentials: Callable[[], dict[str, str]]) -> None:
    for _ in range(3):
        async with client.get(target, headers=credentials()) as answer:
            assert answer.status == 200
            assert answer.headers.getall("Cache-Control") == ["private, max-age=300"]
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-site"
            tag = answer.headers["ETag"]
    async with client.get(target, headers=credentials() | {"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["Cache-Control"] == "private, max-age=300"
    async with client.get(MISSING, headers=credentials()) as answer:
        assert answer.status == 404
        assert answer.headers["Cache-Control"] == "private, max-age=5"
    async with client.get(BLANK, headers=credentials()) as answer:
        assert answer.headers["Cache-Control"] == "private, max-age=30"


async def test_authorized_requesters_share_one_render(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    bodies = set()
    for credentials in READERS.values():
        async with client.get(WARM, headers=credentials()) as answer:
            bodies.add(await answer.read())
    async with client.get(signed(WARM)) as answer:
        bodies.add(await answer.read())
    assert len(bodies) == 1
    async with client.get("/metrics", headers=basic("anna")) as answer:
        assert "contact_image_renders_started_total 1.0" in await answer.text()


async def test_answer_without_schemes_is_public_and_rendered_once(serve: Serve) -> None:
    client = await serve()
    async with client.get(WARM) as answer:
        assert answer.status == 200
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert await metric(client, "contact_image_renders_started_total") == 1


async def test_conditions_are_refused_to_a_requester_without_the_role_read(serve_secured: ServeSecured) -> None:
    client = await serve_secured()
    for target in (AS_STORED, MISSING):
        for name, value in (("If-Match", "*"), ("If-None-Match", "*"), ("If-Unmodified-Since", "x")):
            for method in ("PUT", "POST", "DELETE"):
                async with client.request(method, target, headers=basic("wanda") | {name: value}) as answer:
                    assert answer.status == 403
    async with client.delete(MISSING, headers=basic("wanda")) as answer:
        assert answer.status == 204
