"""`/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get
from tests.web.test_coalescing import frozen_worker, metric

pytestmark = pytest.mark.usefixtures("people")


async def test_alive(serve: Serve) -> None:
    client = await serve()
    response = await client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "alive"})
    assert response.headers["Cache-Control"] == "no-store"


async def test_ready_once_a_pixel_was_rendered(serve: Serve) -> None:
    client = await serve()
    response = await client.get("/readyz")
    assert response.status == 200
    assert await response.json() == {"status": "ready", "render": "ok", "store": "ok", "cache": "ok"}
    assert await metric(client, "contact_image_renders_started_total") == 0  # the probe's pixel is no request's


async def test_unready_when_nothing_renders(serve: Serve) -> None:
    client = await serve(render={"timeout": 1.0})
    await frozen_worker(client)
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["render"] == "failed"


async def test_unready_when_the_store_is_gone(serve: Serve, tmp_path: Path) -> None:
    client = await serve(images={"directory": tmp_path / "unmounted"})
    response = await client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["store"] == "failed"
    assert str(tmp_path) not in await response.text()


async def test_a_render_of_late_counts_though_the_workers_are_busy(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    pid = await frozen_worker(client)
    response = await client.get("/readyz")
    os.kill(pid, signal.SIGCONT)
    assert response.status == 200


async def test_the_counts_are_there(serve: Serve, get: Get) -> None:
    client = await serve()
    await get(client, 1, "?w=20")
    await get(client, 1, "?w=20")
    await get(client, 404)
    text = await (await client.get("/metrics")).text()
    for line in (
        'contact_image_requests_total{method="GET",status="200"} 2.0',
        'contact_image_requests_total{method="GET",status="404"} 1.0',
        "contact_image_request_duration_seconds_count 3.0",
        'contact_image_cache_total{layer="memory",outcome="hit"} 2.0',
        "contact_image_renders_started_total 1.0",
        "contact_image_renders_finished_total 1.0",
        "contact_image_renders_failed_total 0.0",
        "contact_image_renders_timed_out_total 0.0",
        "contact_image_render_queue_depth 0.0",
        "contact_image_store_reads_total 3.0",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_they_only_answer_reads(serve: Serve, path: str) -> None:
    client = await serve()
    assert (await client.head(path)).status == 200
    response = await client.post(path)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert response.content_type == "application/problem+json"


async def test_a_made_up_method_makes_no_metric_of_its_own(serve: Serve, get: Get) -> None:
    client = await serve()
    for name in ("LOCK", "PROPFIND", "MKCOL"):
        await get(client, 1, method=name)
    text = await (await client.get("/metrics")).text()
    assert 'method="other",status="405"} 3.0' in text
    assert "MKCOL" not in text
