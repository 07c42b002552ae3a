"""What `/metrics` reports of one process: answers, renders, stages, memory, the shared cache, processes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
from aiohttp import ClientError

from service.web.gauges import Gauges
from service.web.keys import RENDERER
from service.web.metrics import Metrics
from tests.conftest import Serve, Valkey
from tests.web.conftest import IMAGE, Client, Get
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.usefixtures("people")

MOST_SERIES = 600


async def samples(client: Client) -> dict[str, float]:
    """Return the value of each series, by its name and labels as they are written."""
    return parsed(await (await client.get("/metrics")).text())


def parsed(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


async def eventually(client: Client, series: str, value: float) -> None:
    async with asyncio.timeout(60):
        while (await samples(client)).get(series) != value:
            await asyncio.sleep(0.05)


async def test_outcomes_of_the_shared_cache_are_there_before_they_happen(serve: Serve) -> None:
    """The first value of a stranger, or the first failed put, is an increase."""
    found = await samples(await serve())
    for outcome in ("foreign", "unavailable", "put_failed", "put_dropped", "unknown_news"):
        assert found[f'contact_image_cache_total{{layer="shared",outcome="{outcome}"}}'] == 0


async def test_bytes_sent_are_those_of_the_bodies(serve: Serve, get: Get) -> None:
    client = await serve()
    sent = 0
    first = await get(client, 1, "?w=20")
    asked: tuple[tuple[object, str, str, dict[str, str]], ...] = (
        (1, "?w=20", "GET", {}),
        (1, "?w=20", "GET", {}),
        (1, "?w=20", "HEAD", {}),
        (1, "?w=20", "GET", {"If-None-Match": first.headers["ETag"]}),
        (1, "", "GET", {"Range": "bytes=0-9"}),
        (404, "", "GET", {}),
        ("x", "", "HEAD", {}),
    )
    sent += len(await first.read())
    for contact, query, method, fields in asked:
        sent += len(await (await get(client, contact, query, method, **fields)).read())
    assert (await samples(client))['contact_image_sent_bytes_total{route="image"}'] == sent


async def test_renders_are_counted_by_format_and_by_what_they_were_made_from(
    serve: Serve, get: Get, images: Path
) -> None:
    (images / "6.jpg").write_bytes(saved(quarters(2400, 2400), "JPEG"))  # so large that it gets a mezzanine
    client = await serve()
    await get(client, 1, "?w=20&type=webp")
    await get(client, 404, "?w=20&type=png&ifBlank=Default")
    await get(client, 6, "?w=30&type=png")
    await eventually(client, "contact_image_render_queue_depth", 0)
    for size in range(31, 40):  # the mezzanine is made after the first answer
        await get(client, 6, f"?w={size}&type=png")
    found = await samples(client)

    def count(format: str, source: str) -> float:
        return found.get(f'contact_image_render_duration_seconds_count{{format="{format}",source="{source}"}}', 0)

    assert (count("webp", "original"), count("png", "placeholder")) == (1, 1)
    assert count("png", "original") + count("png", "mezzanine") == 10
    assert count("png", "mezzanine") >= 1
    assert found["contact_image_renders_finished_total"] == 11
    assert found['contact_image_stage_duration_seconds_count{stage="queue"}'] == 11
    assert found['contact_image_render_duration_seconds_sum{format="webp",source="original"}'] > 0


async def test_calls_of_store_and_shared_cache_have_durations(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    found = await samples(client)
    reads = found["contact_image_store_reads_total"]
    assert found['contact_image_stage_duration_seconds_count{stage="store"}'] == reads > 0
    assert found['contact_image_stage_duration_seconds_count{stage="cache"}'] > 0
    assert found['contact_image_stage_duration_seconds_count{stage="superoffice"}'] == 0


async def test_refusals_are_counted_by_the_kind_that_the_log_has(serve: Serve, get: Get) -> None:
    client = await serve()
    for contact, query in ((404, ""), (404, ""), (1, "?w=wide"), (1, "?type=bmp")):
        assert (await get(client, contact, query)).status >= 400
    found = await samples(client)
    kinds = {series: value for series, value in found.items() if series.startswith("contact_image_refusals_total")}
    assert kinds['contact_image_refusals_total{kind="NoPicture"}'] == 2
    assert sum(kinds.values()) == 4


async def test_memory_has_entries_bytes_a_limit_and_evictions(serve: Serve, get: Get) -> None:
    client = await serve(cache={"memory_bytes": 8_388_608 + 60_000})
    for size in range(20, 160):
        await get(client, 1, f"?w={size}&type=png")
    found = await samples(client)
    assert found["contact_image_memory_cache_entries"] > 0
    assert found["contact_image_memory_cache_bytes"] > 0
    assert found["contact_image_memory_cache_limit_bytes"] == 60_000
    assert found["contact_image_memory_cache_evictions_total"] > 0


async def test_shared_cache_that_stops_is_down_and_owes_purges(serve: Serve, get: Get, own_valkey: Valkey) -> None:
    client = await serve(url=own_valkey.url, writes={"enabled": True})
    await get(client, 1, "?w=20")
    await eventually(client, "contact_image_cache_up", 1)
    assert (await samples(client))["contact_image_purges_owed"] == 0
    own_valkey.stop()
    assert (await get(client, 1, method="PURGE")).status == 503
    for size in range(21, 25):
        await get(client, 2, f"?w={size}")
    await eventually(client, "contact_image_cache_up", 0)
    found = await samples(client)
    assert found["contact_image_purges_owed"] == 1
    assert found['contact_image_breaker_open{breaker="cache"}'] == 1
    assert found['contact_image_breaker_open{breaker="store"}'] == 0
    own_valkey.start()
    await eventually(client, "contact_image_purges_owed", 0)
    await eventually(client, "contact_image_cache_up", 1)


async def test_store_that_fails_opens_its_breaker(serve: Serve, get: Get, tmp_path: Path) -> None:
    client = await serve(images={"directory": tmp_path / "unmounted"})
    for contact in range(1, 5):
        assert (await get(client, contact, "?w=20")).status == 502
    assert (await samples(client))['contact_image_breaker_open{breaker="store"}'] == 1


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system has no /proc")
@pytest.mark.usefixtures("spawned_renderers")
async def test_processes_have_memory_and_processor_time_and_a_killed_one_is_a_restart(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    found = await samples(client)
    for kind in ("serve", "render"):
        assert found[f'contact_image_processes{{process="{kind}"}}'] == 1
        assert found[f'contact_image_process_restarts_total{{process="{kind}"}}'] == 0
        assert found[f'contact_image_process_resident_bytes{{process="{kind}"}}'] > 1_000_000
        assert found[f'contact_image_process_cpu_seconds{{process="{kind}"}}'] > 0
    (pid,) = client.server.app[RENDERER].pids  # type: ignore[attr-defined]
    os.kill(pid, signal.SIGKILL)
    await eventually(client, 'contact_image_process_restarts_total{process="render"}', 1)
    await eventually(client, 'contact_image_processes{process="render"}', 1)


def test_processor_time_of_processes_that_come_and_go_only_rises() -> None:
    metrics = Metrics()
    pids: list[int] = [os.getpid()]
    Gauges.watch_processes(metrics.gauges, "render", lambda: pids)
    name = "contact_image_process_cpu_seconds"

    def seconds() -> float:
        metrics.flush()
        return metrics.registry.get_sample_value(name, {"process": "render"}) or 0.0

    first = seconds()
    pids.clear()
    assert seconds() == first
    pids.append(os.getpid())
    assert seconds() >= first


async def test_build_info_is_one_with_the_versions(serve: Serve) -> None:
    found = await samples(await serve())
    (info,) = (series for series in found if series.startswith("contact_image_build_info"))
    assert found[info] == 1
    assert f'version="{version("contact-image")}"' in info
    assert f'pillow="{version("pillow")}"' in info


HOSTILE_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "PURGE", "OPTIONS", "PATCH", "MKCOL", "X" * 40)
FORMATS = ("avif", "webp", "jpeg", "png", "gif", "tiff", "bmp")
HOSTILE_PATHS = (
    *(IMAGE.format(each) + query for each in (1, 2, 3, 404, "x", -1) for query in ("", "?w=9", "?w=0", "?type=x")),
    *(IMAGE.format(1) + f"?w=9&type={name}" for name in FORMATS),
    *(IMAGE.format(404) + f"?w=9&ifBlank=Default&type={name}" for name in FORMATS),
    "/api/v1/Contact/1/Imageinfo",
    "/api/v1/Contact/Imageinfo?ids=1",
    "/api/v1/Agents/BLOB/GetContactImage",
    "/api/v1/Agents/BLOB/GetContactImageWithSize",
    *("/healthz", "/readyz", "/metrics", "/client.js", "/client.d.ts", "/openapi.json", "/", "/favicon.ico", "/a/b"),
)  # fmt: skip
HOSTILE_FIELDS: tuple[dict[str, str], ...] = (
    {},
    {"If-None-Match": "*"},
    {"If-Match": '"other"'},
    {"Range": "bytes=999999999-"},
    {"Range": "bytes=0-1"},
    {"Accept": "text/html"},
    {"Content-Encoding": "gzip"},
    {"Content-Type": "text/plain"},
    {"Authorization": "Basic YTpi"},
    {"Origin": "https://evil.example"},
    {"Expect": "nothing"},
)


async def test_hostile_requests_make_few_series(serve: Serve) -> None:
    client = await serve(
        writes={"enabled": True},
        auth={"schemes": ["signed"], "signing_keys": ["k1:secret-of-the-tests"], "anonymous_read": True},
    )
    for path in HOSTILE_PATHS:
        for method in HOSTILE_METHODS:
            fields = HOSTILE_FIELDS if path.startswith("/api") else HOSTILE_FIELDS[:2]
            for each in fields:
                await ask(client, method, path, each)
    open_client = await serve(writes={"enabled": True})
    for path in HOSTILE_PATHS:
        for method in HOSTILE_METHODS:
            for each in HOSTILE_FIELDS if IMAGE.format(1) in path else HOSTILE_FIELDS[:2]:
                await ask(open_client, method, path, each)
    series = {*await samples(client), *await samples(open_client)}
    assert len([each for each in series if each.startswith("contact_image_requests_total")]) > 60
    assert len(series) <= MOST_SERIES


async def ask(client: Client, method: str, path: str, fields: dict[str, str]) -> None:
    body = b"no picture" if method in ("PUT", "POST") else None
    try:
        async with client.request(method, path, headers=fields, data=body) as answer:
            await answer.read()
    except ClientError:
        pass  # the service closes the connection of some


async def test_every_metric_has_base_units_and_a_name_that_says_what_it_is(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    text = await (await client.get("/metrics")).text()
    kinds = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", text))
    for name, kind in kinds.items():
        assert name.startswith("contact_image_")
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|kilobytes|megabytes|percent)\b", name)
        assert kind != "histogram" or name.endswith("_seconds")
