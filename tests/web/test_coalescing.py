"""Single flight: identical requests share one render, and no request fails because of another."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from service.pictures import records
from service.pictures.values import RECORD, Original
from service.stores.directory import DirectoryStore
from service.system.open_file import OpenFile
from service.web.keys import CACHE, RENDERER
from tests.conftest import Serve
from tests.deadly import Deadly, deadly
from tests.pixels import shown
from tests.web.conftest import Get
from tools.pictures.drawing import quarters, saved

__all__ = ["deadly"]

pytestmark = pytest.mark.usefixtures("people", "spawned_renderers")


async def metric(client: TestClient[Any, Any], name: str) -> float:
    """Return the value of a metric, or the sum over its labels."""
    text = await (await client.get("/metrics")).text()
    lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def recorded(client: TestClient[Any, Any], contact: int) -> Original:
    """Return what the record of *contact* in memory says."""
    entry = client.server.app[CACHE].local(contact, RECORD)  # type: ignore[attr-defined]
    original = records.decode(entry.body)
    assert original is not None
    return original


async def frozen_worker(client: TestClient[Any, Any]) -> int:
    """Stop the only render process, so that its renders stay unfinished; return its id."""
    pool = client.server.app[RENDERER]  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while not pool.pids:
            await asyncio.sleep(0.005)  # until the process has started
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    return int(pid)


async def test_identical_requests_share_one_render(serve: Serve, get: Get) -> None:
    client = await serve()
    responses = await asyncio.gather(*(get(client, 1, "?w=77") for _ in range(200)))
    assert {response.status for response in responses} == {200}
    assert len({await response.read() for response in responses}) == 1
    assert await metric(client, "contact_image_renders_started_total") == 1
    statuses = [response.headers["Cache-Status"] for response in responses]
    assert statuses.count("contact-image; fwd=miss; stored") == 1
    assert any("collapsed" in each for each in statuses)


async def test_disconnect_does_not_cancel_the_shared_render(serve: Serve, get: Get) -> None:
    client = await serve()
    pid = await frozen_worker(client)
    first = asyncio.create_task(get(client, 1, "?w=78"))
    others = [asyncio.create_task(get(client, 1, "?w=78")) for _ in range(5)]
    await until_metric(client, "contact_image_renders_started_total", 1)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    os.kill(pid, signal.SIGCONT)
    assert [(await other).status for other in others] == [200] * 5
    assert await metric(client, "contact_image_renders_started_total") == 1


@pytest.mark.parametrize("in_place", [True, False])
async def test_picture_that_changes_before_its_render_is_answered_with_the_new_one(
    serve: Serve, get: Get, images: Path, in_place: bool
) -> None:
    client = await serve()
    pid = await frozen_worker(client)
    request = asyncio.create_task(get(client, 1, "?w=76&type=PNG"))
    await until_metric(client, "contact_image_renders_started_total", 1)
    (path,) = images.glob("1.*")
    new = saved(quarters(76, 38), "PNG")
    if in_place:
        path.write_bytes(new)
    else:
        (images / "new").write_bytes(new)
        (images / "new").replace(path)
    os.kill(pid, signal.SIGCONT)
    response = await request
    assert response.status == 200
    assert shown(await response.read()).size == (76, 38)


async def test_render_for_a_disconnected_client_is_cached(serve: Serve, get: Get) -> None:
    client = await serve()
    pid = await frozen_worker(client)
    request = asyncio.create_task(get(client, 1, "?w=79"))
    await until_metric(client, "contact_image_renders_started_total", 1)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    os.kill(pid, signal.SIGCONT)
    await until_metric(client, "contact_image_renders_finished_total", 1)
    assert "; hit" in (await get(client, 1, "?w=79")).headers["Cache-Status"]


async def test_followers_do_not_count_in_the_queue(serve: Serve, get: Get) -> None:
    client = await serve(render={"queue": 1})
    pid = await frozen_worker(client)
    same = [asyncio.create_task(get(client, 1, "?w=80")) for _ in range(50)]
    await until_metric(client, "contact_image_renders_started_total", 1)
    another = asyncio.create_task(get(client, 2, "?w=80"))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGCONT)
    assert {(await each).status for each in same} == {200}
    assert (await another).status == 200


async def test_full_queue_is_503_and_hits_are_served(serve: Serve, get: Get) -> None:
    client = await serve(render={"queue": 2})
    await get(client, 1, "?w=81")
    pid = await frozen_worker(client)
    misses = [asyncio.create_task(get(client, 1, f"?w={width}")) for width in range(100, 120)]
    async with asyncio.timeout(60):
        while sum(each.done() for each in misses) < 20 - 2 - 2:
            await asyncio.sleep(0.01)
    done, waiting = await asyncio.wait(misses, timeout=0.1)
    assert len(waiting) == 2 + 2  # one renders, one is read ahead, two wait
    for refused in done:
        response = refused.result()
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
        assert response.headers["Cache-Control"] == "no-store"
    assert "; hit" in (await get(client, 1, "?w=81")).headers["Cache-Status"]
    os.kill(pid, signal.SIGCONT)
    assert {(await each).status for each in waiting} == {200}


async def test_one_death_of_a_worker_fails_no_request(serve: Serve, get: Get, images: Path, deadly: Deadly) -> None:
    (images / "20.png").write_bytes(deadly(saved(quarters(80, 60), "PNG"), signal.SIGSEGV))
    client = await serve()
    answers = await asyncio.gather(*(get(client, 20, f"?w={82 + at % 2}") for at in range(200)))
    assert {answer.status for answer in answers} == {200}
    assert await metric(client, "contact_image_renders_started_total") == 3
    assert recorded(client, 20).strikes == 0


async def test_two_deaths_in_one_render_are_422(serve: Serve, get: Get, images: Path, deadly: Deadly) -> None:
    (images / "20.png").write_bytes(deadly(saved(quarters(80, 60), "PNG"), *[signal.SIGSEGV] * 2))
    client = await serve()
    for _ in range(3):
        assert (await get(client, 20, "?w=82")).status == 422
    assert await metric(client, "contact_image_renders_started_total") == 2
    assert (await get(client, 20)).status == 200  # as stored, without a render
    assert (await get(client, 5, "?w=82")).status == 200


async def test_picture_whose_processes_the_host_kills_is_not_refused(
    serve: Serve, get: Get, images: Path, deadly: Deadly
) -> None:
    """The OOM killer ends processes of several pictures. The first one cannot be known to be sound."""
    client = await serve()
    for contact in (20, 21, 22):
        (images / f"{contact}.png").write_bytes(deadly(saved(quarters(80, 60), "PNG"), *[signal.SIGKILL] * 2))
    assert (await get(client, 20, "?w=82")).status == 422
    for contact in (21, 22):
        assert (await get(client, contact, "?w=82")).status == 503
        assert (await get(client, contact, "?w=82")).status == 200


@pytest.mark.usefixtures("always_on_processor")
async def test_finished_render_removes_the_strike_of_an_earlier_one(serve: Serve, get: Get) -> None:
    """Otherwise two unrelated events, with good renders between them, would have a sound picture refused."""
    client = await serve(render={"timeout": 6})
    await frozen_worker(client)
    assert (await get(client, 1, "?w=90")).status == 503
    for width, strikes in ((80, 1), (90, 0)):
        assert (await get(client, 1, f"?w={width}")).status == 200
        assert recorded(client, 1).strikes == strikes


async def test_render_over_its_time_limit_is_503(serve: Serve, get: Get) -> None:
    client = await serve(render={"timeout": 6})  # the start of the next process takes that long on a busy machine
    pid = await frozen_worker(client)
    response = await get(client, 1, "?w=83")
    assert response.status == 503
    assert "Retry-After" in response.headers
    assert await metric(client, "contact_image_renders_timed_out_total") == 1
    with pytest.raises(ProcessLookupError):
        for _ in range(1_000):
            os.kill(pid, 0)
            await asyncio.sleep(0.005)
    assert (await get(client, 5, "?w=83")).status == 200


async def test_picture_that_changes_before_it_is_read_is_selected_again(serve: Serve, get: Get, images: Path) -> None:
    client = await serve()
    first = await get(client, 1)
    new = saved(quarters(40, 40), "PNG")
    (images / "coming").write_bytes(new)
    os.replace(images / "coming", images / "1.jpg")
    response = await get(client, 1, "?w=20")  # its record is still fresh, but wrong
    assert response.status == 200
    assert (response.content_type, shown(await response.read()).size) == ("image/png", (20, 20))
    assert (await get(client, 1)).headers["ETag"] != first.headers["ETag"]


async def test_expensive_rendition_does_not_make_the_picture_unrenderable(
    serve: Serve, get: Get, images: Path, deadly: Deadly
) -> None:
    (images / "20.png").write_bytes(deadly(saved(quarters(80, 60), "PNG"), *[signal.SIGSEGV] * 6))
    client = await serve()
    for width in (4000, 4001, 4002):
        assert (await get(client, 20, f"?w={width}&type=avif")).status == 503
        assert (await get(client, 20, f"?w={width}&type=avif")).status == 500
    assert await metric(client, "contact_image_renders_started_total") == 6
    assert (await get(client, 20, "?w=50")).status == 200


@pytest.mark.usefixtures("always_on_processor")
async def test_simultaneous_failures_count_as_one_strike(serve: Serve, get: Get) -> None:
    client = await serve(render={"workers": 2, "timeout": 6})
    pool = client.server.app[RENDERER]  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while len(pool.pids) < 2:
            await asyncio.sleep(0.005)
    assert (await get(client, 1, "?w=29")).status == 200  # the first render of a picture runs before all others
    pids = pool.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    asked = [asyncio.create_task(get(client, 1, f"?w={width}")) for width in (30, 31)]
    assert [(await each).status for each in asked] == [503, 503]
    assert (await get(client, 1, "?w=32")).status == 200


async def test_time_outs_of_frozen_processes_do_not_make_the_picture_unrenderable(serve: Serve, get: Get) -> None:
    client = await serve(render={"timeout": 6})
    for _ in range(2):
        await frozen_worker(client)
        assert (await get(client, 1, "?w=83")).status == 503
    assert (await get(client, 1, "?w=83")).status == 200


async def test_followers_of_a_render_over_its_time_limit_are_answered(serve: Serve, get: Get) -> None:
    client = await serve(render={"timeout": 8})
    await frozen_worker(client)
    asked = await asyncio.gather(*(get(client, 1, f"?w={width}") for width in range(30, 36)))
    assert sorted(response.status for response in asked) == [200] * 5 + [503]


class KillingStore(DirectoryStore):
    """A directory whose pictures kill the processes that render them."""

    pool: Any = None
    workers = 0
    reads = 0

    async def open(self, original: Original) -> bytes | OpenFile:
        self.reads += 1
        await self.full()
        pids = self.pool.pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)  # until the original has been sent to it
        asyncio.get_running_loop().call_later(0.2, lambda: [os.kill(pid, signal.SIGKILL) for pid in pids])
        return await super().open(original)

    async def full(self) -> None:
        """Wait until every process has started."""
        async with asyncio.timeout(60):
            while len(self.pool.pids) < self.workers:
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("workers", [1, 3])
async def test_picture_that_kills_workers_is_tried_twice_for_all_sizes(
    serve: Serve, get: Get, images: Path, workers: int
) -> None:
    store = KillingStore(images, max_bytes=1_000_000, timeout=5.0)
    client = await serve(render={"workers": workers}, adapters={"store": store})
    store.pool = client.server.app[RENDERER]  # type: ignore[attr-defined]
    store.workers = workers
    await store.full()
    asked = await asyncio.gather(*(get(client, 1, f"?w={width}") for width in range(30, 42)))
    assert {response.status for response in asked} == {422}
    assert store.reads == 2
    assert (await get(client, 1, "?w=42")).status == 422
    assert store.reads == 2


async def until_metric(client: TestClient[Any, Any], name: str, value: float) -> None:
    async with asyncio.timeout(60):
        while await metric(client, name) < value:
            await asyncio.sleep(0.005)  # another process changes the metric
    if "renders_started" in name:
        await asyncio.sleep(0.3)  # a render is counted just before it is sent to its process
