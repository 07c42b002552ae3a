"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import get_args

import pytest

from service.web.metrics import Metrics, Route
from service.web.scrapes import Scrapes
from tests.conftest import Serve
from tests.web.conftest import IMAGE, Client, Get
from tests.web.raw_http import CLOSE, answers, request
from tests.web.test_coalescing import frozen_worker, metric

pytestmark = pytest.mark.usefixtures("people")


async def test_healthz_is_alive(serve: Serve) -> None:
    client = await serve()
    response = await client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "alive"})
    assert response.headers["Cache-Control"] == "no-store"


async def test_readyz_is_ready_after_a_test_render(serve: Serve) -> None:
    client = await serve()
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "ready", "render": "ok", "store": "ok", "cache": "ok"}
    assert await metric(client, "contact_image_renders_started_total") == 0  # the probe's render does not count


@pytest.mark.usefixtures("spawned_renderers")
async def test_readyz_is_unready_without_a_renderer(serve: Serve) -> None:
    client = await serve(render={"timeout": 1.0})
    await frozen_worker(client)
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["render"] == "failed"


async def test_readyz_is_unready_without_the_store(serve: Serve, tmp_path: Path) -> None:
    client = await serve(images={"directory": tmp_path / "unmounted"})
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["store"] == "failed"
    assert str(tmp_path) not in await response.text()


async def test_recent_render_is_ready_while_workers_are_busy(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    pid = await frozen_worker(client)
    response = await client.get("/readyz")
    os.kill(pid, signal.SIGCONT)
    assert response.status == 200


async def test_metrics_count_requests(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    await get(client, 1, "?w=20")
    await get(client, 404)
    text = await (await client.get("/metrics")).text()
    for line in (
        'contact_image_requests_total{method="GET",route="image",status="200"} 2.0',
        'contact_image_requests_total{method="GET",route="image",status="404"} 1.0',
        'contact_image_request_duration_seconds_count{route="image"} 3.0',
        'contact_image_cache_total{layer="memory",outcome="hit"} 3.0',
        "contact_image_renders_started_total 1.0",
        "contact_image_renders_finished_total 1.0",
        "contact_image_renders_failed_total 0.0",
        "contact_image_renders_timed_out_total 0.0",
        "contact_image_render_queue_depth 0.0",
        "contact_image_store_reads_total 4.0",  # on a local file system a missing picture is looked for twice at first
    ):
        assert line in text.splitlines()


def test_durations_are_in_the_buckets_of_the_histogram() -> None:
    metrics = Metrics()
    for seconds in (0.0001, 0.0005, 0.00051, 10.0, 11.0):
        metrics.request("image", "GET", 200, seconds, 0)
    for _ in range(2):  # what was added is not added again
        metrics.flush()
        lines = metrics.text().decode().splitlines()
        for bound, count in (("0.0005", 2), ("0.001", 3), ("5.0", 3), ("10.0", 4), ("+Inf", 5)):
            assert f'contact_image_request_duration_seconds_bucket{{le="{bound}",route="image"}} {count}.0' in lines
        (total,) = (
            line for line in lines if line.startswith('contact_image_request_duration_seconds_sum{route="image"}')
        )
        assert float(total.partition(" ")[2]) == pytest.approx(21.00111)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_operators_resources_allow_only_reads(serve: Serve, path: str) -> None:
    client = await serve()
    assert (await client.head(path)).status == 200
    response = await client.post(path)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert response.content_type == "application/problem+json"


async def test_unknown_method_is_counted_as_other(serve: Serve, get: Get) -> None:
    client = await serve()
    for name in ("LOCK", "PROPFIND", "MKCOL"):
        await get(client, 1, method=name)
    text = await (await client.get("/metrics")).text()
    assert '{method="other",route="image",status="405"} 3.0' in text
    assert "MKCOL" not in text


ROUTES = {
    IMAGE.format(1): "image",
    IMAGE.format(404): "image",
    IMAGE.format("x"): "image",
    "/api/v1/contact/1/imageinfo": "imageinfo",
    "/healthz": "healthz",
    "/readyz": "readyz",
    "/metrics": "metrics",
    "/": "other",
    "/favicon.ico": "other",
    "/healthz/x": "other",
}


async def counted(client: Client, route: str) -> tuple[float, float]:
    """Return the number of requests of *route*, by the counter and by the histogram."""
    lines = (await (await client.get("/metrics")).text()).splitlines()
    totals = [line for line in lines if line.startswith("contact_image_requests_total{") and f'route="{route}"' in line]
    (timed,) = (
        line for line in lines if line.startswith(f'contact_image_request_duration_seconds_count{{route="{route}"}}')
    )
    return sum(float(line.rpartition(" ")[2]) for line in totals), float(timed.rpartition(" ")[2])


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
async def test_requests_are_counted_by_route(serve: Serve, path: str, method: str) -> None:
    client = await serve()
    before = await counted(client, ROUTES[path])
    for _ in range(3):
        await (await client.request(method, path)).read()
    more = 1 if ROUTES[path] == "metrics" else 0  # the request for the metrics
    assert await counted(client, ROUTES[path]) == (before[0] + 3 + more, before[1] + 3 + more)


@pytest.mark.parametrize("accept", ["*/*", "image/webp"])
async def test_repeats_are_counted_as_image(serve: Serve, get: Get, accept: str) -> None:
    client = await serve()
    etag = (await get(client, 1, "?w=20", Accept=accept)).headers["ETag"]
    for condition in ({}, {"If-None-Match": etag}, {"If-None-Match": '"other"'}):
        await get(client, 1, "?w=20", Accept=accept, **condition)
        await get(client, 1, "?w=20", "HEAD", Accept=accept, **condition)
    assert await counted(client, "image") == (7, 7)
    assert await counted(client, "other") == (0, 0)


async def test_requests_without_a_resource_are_counted_as_other(serve: Serve) -> None:
    client = await serve()
    sent = (
        request(b"*", CLOSE, method=b"OPTIONS"),
        request(b"/healthz", CLOSE, host=b"Host: a b\r\n"),
        b"nothing like HTTP\r\n\r\n",
    )
    found = [await answers(client, each) for each in sent]
    assert [answer.status for (answer,) in found] == [204, 400, 400]
    assert await counted(client, "other") == (3, 3)
    assert await counted(client, "healthz") == (0, 0)


async def test_label_route_has_a_closed_set_of_values(serve: Serve) -> None:
    client = await serve()
    for path in ("/a", "/b", "/api/v1/Person/1/Image", "/api/v1/Contact/1/Images", "/metrics/1"):
        await client.get(path)
    text = await (await client.get("/metrics")).text()
    assert set(re.findall(r'route="([^"]*)"', text)) == set(get_args(Route))


async def test_metrics_have_no_created_series(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    assert "_created" not in await (await client.get("/metrics")).text()


async def test_scrapes_of_a_moment_share_a_text_that_has_all_requests_before_them(
    serve: Serve, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, text = list[bytes](), Metrics.text

    def counted(metrics: Metrics) -> bytes:
        made.append(text(metrics))
        return made[-1]

    monkeypatch.setattr(Metrics, "text", counted)
    client = await serve()
    for number in range(1, 4):
        await get(client, 1, f"?w={number}")
        metrics = await asyncio.gather(*(client.get("/metrics") for _ in range(50)))
        for response in metrics:
            assert f'route="image",status="200"}} {number}.0' in await response.text()
    assert 3 <= len(made) <= 20


async def test_scrape_whose_client_leaves_does_not_end_that_of_another() -> None:
    async with asyncio.TaskGroup() as tasks:
        scrapes = Scrapes(lambda: None, lambda: b"text")
        first = tasks.create_task(scrapes.next_text())
        second = tasks.create_task(scrapes.next_text())
        await asyncio.sleep(0)
        first.cancel()
    assert second.result() == b"text"


async def test_failure_of_a_scrape_ends_with_it() -> None:
    outcomes = iter([OSError("a file of counts is gone"), b"text"])

    def text() -> bytes:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    scrapes = Scrapes(lambda: None, text)
    with pytest.raises(OSError, match="gone"):
        await scrapes.next_text()
    assert await scrapes.next_text() == b"text"
