"""The cache never opens the lock: who may not look gets nothing, however warm the picture is, and learns nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.access.conftest import Locked, basic, signed
from tests.access.targets import AS_STORED, BLANK, NOBODY, READERS, STRANGERS, TARGETS, WARM, warm
from tests.conftest import Serve, Valkey
from tests.web.test_coalescing import metric

pytestmark = pytest.mark.usefixtures("picture")


async def refused(client: TestClient[Any, Any], seen: dict[str, Mapping[str, str]], who: dict[str, str]) -> None:
    """Require that *who* gets none of it by any way of asking, and the same words of each target."""
    told = set()
    for target in TARGETS.values():
        tag = seen[target].get("ETag", '"x"')
        ways = [("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": tag}), ("HEAD", {"If-None-Match": f"W/{tag}"})]
        ways += [("GET", {"If-None-Match": "*"}), ("GET", {"Range": "bytes=0-9"})]
        ways += [("GET", {"If-Modified-Since": seen[target].get("Last-Modified", "")})]
        for method, fields in ways:
            async with client.request(method, target, headers=who | fields) as answer:
                body = await answer.read()
                assert answer.status in (401, 403, 429), (target, method, fields)
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.content_type == "application/problem+json"
                assert not {"ETag", "Last-Modified", "Cache-Status", "Server-Timing"} & set(answer.headers)
                if answer.status == 401:
                    assert answer.headers["WWW-Authenticate"]
                if body and answer.status != 429:
                    problem = json.loads(body)
                    told.add((problem["status"], problem["detail"]))
    assert len(told) <= 1


@pytest.mark.parametrize("name", STRANGERS)
async def test_what_one_has_warmed_no_other_gets(locked: Locked, name: str) -> None:
    client = await locked()
    seen = await warm(client)
    await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200  # and who may look still does


async def test_nor_with_redis_down(locked: Locked, own_valkey: Valkey) -> None:
    client = await locked(url=own_valkey.url)
    seen = await warm(client)
    own_valkey.stop()
    for name in ("nobody", "a wrong password", "an expired token", "no role to read"):
        await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200


async def test_nor_when_it_is_served_stale(locked: Locked, images: Path) -> None:
    client = await locked(cache={"fresh_for": 1, "prefix": "stale-lock"})
    seen = await warm(client)
    images.rename(images.with_name("gone"))
    await asyncio.sleep(1.6)
    for name in ("nobody", "a wrong password", "no role to read"):
        await refused(client, seen, STRANGERS[name]())
    async with client.get(WARM, headers=basic("anna")) as answer:
        assert answer.status == 200
        assert "ttl=-" in answer.headers["Cache-Status"]
        assert answer.headers["Cache-Control"].startswith("private")


async def test_who_is_refused_costs_no_look_up(locked: Locked) -> None:
    """So that how long a refusal takes cannot tell whether there is a picture."""
    client = await locked()
    await warm(client)
    names = ("contact_image_cache_total", "contact_image_store_reads_total", "contact_image_renders_started_total")
    before = await counts(client, names)
    for stranger in STRANGERS.values():
        for target in TARGETS.values():
            async with client.get(target, headers=stranger()):
                pass
    assert await counts(client, names) == before


async def counts(client: TestClient[Any, Any], names: tuple[str, ...]) -> list[str]:
    async with client.get("/metrics", headers=basic("anna")) as answer:
        return [line for line in (await answer.text()).splitlines() if line.startswith(names)]


@pytest.mark.parametrize("name", READERS)
async def test_who_may_look_gets_it_for_themselves_alone(locked: Locked, name: str) -> None:
    client = await locked()
    for _ in range(3):
        async with client.get(WARM, headers=READERS[name]()) as answer:
            assert answer.status == 200
            assert answer.headers.getall("Cache-Control") == ["private, max-age=300"]
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-site"
            tag = answer.headers["ETag"]
    async with client.get(WARM, headers=READERS[name]() | {"If-None-Match": tag}) as answer:
        assert answer.status == 304
        assert answer.headers["Cache-Control"] == "private, max-age=300"
    async with client.get(NOBODY, headers=READERS[name]()) as answer:
        assert answer.status == 404
        assert answer.headers["Cache-Control"] == "private, max-age=5"
    async with client.get(BLANK, headers=READERS[name]()) as answer:
        assert answer.headers["Cache-Control"] == "private, max-age=30"


async def test_all_who_may_look_share_one_render(locked: Locked) -> None:
    client = await locked()
    bodies = set()
    for reader in READERS.values():
        async with client.get(WARM, headers=reader()) as answer:
            bodies.add(await answer.read())
    async with client.get(signed(WARM)) as answer:
        bodies.add(await answer.read())
    assert len(bodies) == 1
    async with client.get("/metrics", headers=basic("anna")) as answer:
        assert "contact_image_renders_started_total 1.0" in await answer.text()


async def test_renders_are_counted_as_before(serve: Serve) -> None:
    client = await serve()
    async with client.get(WARM) as answer:
        assert answer.status == 200
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert await metric(client, "contact_image_renders_started_total") == 1


async def test_who_may_write_alone_learns_nothing_by_conditions(locked: Locked) -> None:
    client = await locked()
    for target in (AS_STORED, NOBODY):
        for name, value in (("If-Match", "*"), ("If-None-Match", "*"), ("If-Unmodified-Since", "x")):
            for method in ("PUT", "POST", "DELETE"):
                async with client.request(method, target, headers=basic("wanda") | {name: value}) as answer:
                    assert answer.status == 403
    async with client.delete(NOBODY, headers=basic("wanda")) as answer:
        assert answer.status == 204
