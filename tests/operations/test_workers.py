"""Several processes on one port: together they are one service, and none of them matters."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import Process, Service, family, running, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see what was left behind")

PICTURE = "/api/v1/Contact/1/Image"
FEW = {"CONTACT_IMAGE_RENDER__WORKERS": "2"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((1200, 1200), 60).convert("RGB").save(folder / "1.jpg", quality=80)
    return folder


@pytest.fixture
def pair(pictures: Path) -> Iterator[Service]:
    with running("--images", pictures, "--workers", "2", **FEW) as service:
        service.with_workers(2)
        yield service


@pytest.fixture(scope="module")
def lasting(pictures: Path) -> Iterator[Service]:
    """A pair for tests that do it no harm."""
    with running("--images", pictures, "--workers", "2", **FEW) as service:
        service.with_workers(2)
        yield service


def total(service: Service, name: str, label: str = "") -> float:
    """The sum of all samples that are called *name* and have *label*, as any of the processes tells it."""
    lines = service.get("/metrics").body.decode().splitlines()
    named = (line for line in lines if line.partition("{")[0].partition(" ")[0] == name and label in line)
    return sum(float(line.split()[1]) for line in named)


def _reached(service: Service, name: str, count: float) -> bool:
    return total(service, name, 'route="image"') == count


def everything_gone(service: Service, before: set[Process]) -> None:
    until(lambda: not [each for each in before if each.alive], 60, f"none is left of {before}")
    until(lambda: not service.relatives, 60, "none is left that it started")
    until(lambda: not list(service.temporary.iterdir()), 60, f"{service.temporary} is empty")


def test_there_are_so_many_and_one_private_cache_server(lasting: Service) -> None:
    assert len(lasting.servers) == 2
    assert len([each for each in family(lasting.process.pid) if "_watchdog.py" in each.command]) == 1
    assert json.loads(lasting.get("/readyz").body)["cache"] == "ok"


def test_logs_are_json_lines_of_our_own(lasting: Service) -> None:
    events = [json.loads(line)["event"] for line in lasting.logged.splitlines()]
    # On a busy machine the cache's server may be late.
    assert [event for event in events if not event.startswith("cache.")] == ["server.listening"]


def test_each_request_has_an_id_of_its_own_whichever_of_them_answers(lasting: Service) -> None:
    def ask(_: int) -> str:
        return str(json.loads(lasting.get("/nothing").body)["requestId"])

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(ask, range(400)))
    assert len({each.rpartition("-")[0] for each in ids}) == 2  # both have answered
    assert len(set(ids)) == 400


def test_what_is_counted_is_told_by_any_of_them(lasting: Service) -> None:
    counts = ("contact_image_requests_total", "contact_image_request_duration_seconds_count")
    before = [total(lasting, name, 'route="image"') for name in counts]
    for _ in range(20):
        assert lasting.get(PICTURE).status == 200
    for name, count in zip(counts, before, strict=True):
        until(partial(_reached, lasting, name, count + 20), 60, f"all requests are in one {name}")
    assert "_created" not in lasting.get("/metrics").body.decode()
    assert total(lasting, "contact_image_render_queue_depth") == 0


def test_one_render_serves_them_all(lasting: Service) -> None:
    before = total(lasting, "contact_image_renders_started_total")
    with ThreadPoolExecutor(16) as readers:
        answers = list(readers.map(lambda _: lasting.get(f"{PICTURE}?w=77&type=png"), range(32)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    until(lambda: total(lasting, "contact_image_renders_started_total") > before, 60, "the render is counted")
    time.sleep(1.2)  # a count reaches the others within a second
    assert total(lasting, "contact_image_renders_started_total") == before + 1


def test_a_killed_one_takes_its_renderers_with_it_and_is_replaced(pair: Service) -> None:
    victim = min(pair.servers, key=lambda each: each.pid)
    its_own = family(victim.pid)
    assert any("spawn_main" in each.command for each in its_own)
    counted = total(pair, "contact_image_requests_total")
    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: not [each for each in its_own if each.alive], 60, "its own processes end")
    until(lambda: len(pair.servers - {victim}) == 2, 60, "another one runs")
    for _ in range(10):
        assert pair.get(PICTURE).status == 200
    assert total(pair, "contact_image_requests_total") >= counted
    pair.with_workers(2)
    pair.send(signal.SIGTERM)
    assert pair.end() == 0


@pytest.mark.parametrize("whole_group", [False, True], ids=["the first alone", "all, as a terminal does"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_render_under_way_is_answered_and_nothing_is_left(
    pair: Service, number: signal.Signals, whole_group: bool
) -> None:
    before = family(pair.process.pid)
    with ThreadPoolExecutor(1) as reader:
        answer = reader.submit(pair.get, f"{PICTURE}?w=2000&type=avif")
        until(lambda: total(pair, "contact_image_renders_started_total") == 1, 60, "the render has begun")
        (pair.send_group if whole_group else pair.send)(number)
        assert answer.result().status == 200
    assert pair.end() == 0
    everything_gone(pair, before)
    assert "Traceback" not in pair.logged


def test_the_first_one_s_death_ends_them_all(pair: Service) -> None:
    before = family(pair.process.pid)
    pair.send(signal.SIGKILL)
    assert pair.end() == -signal.SIGKILL
    everything_gone(pair, before)


def test_the_demo_s_folder_outlives_one_of_them_and_not_all(tmp_path: Path) -> None:
    with running("--demo", "--workers", "2", **FEW) as service:
        service.with_workers(2)
        before = family(service.process.pid)
        os.kill(next(iter(service.servers)).pid, signal.SIGTERM)
        until(lambda: len({each for each in service.servers if each not in before}) == 1, 60, "another one runs")
        assert service.get(f"{PICTURE}?w=33").status == 200
        service.send(signal.SIGTERM)
        assert service.end() == 0
        everything_gone(service, before)


def test_more_of_them_than_may_render_take_turns(pictures: Path) -> None:
    """Three share one turn: a turn is a lock, so at most one is ever held, and all get theirs."""
    budget = {"CONTACT_IMAGE_RENDER__WORKERS": "1", "CONTACT_IMAGE_RENDER__TIMEOUT": "60"}
    with running("--images", pictures, "--workers", "3", **budget) as service:
        service.with_workers(3)
        renderers = [each.pid for each in service.renderers]
        spent, begun = sum(map(_processor_seconds, renderers)), time.monotonic()
        with ThreadPoolExecutor(12) as readers:
            widths = range(900, 912)
            answers = list(readers.map(lambda width: service.get(f"{PICTURE}?w={width}&type=avif"), widths))
        took, spent = time.monotonic() - begun, sum(map(_processor_seconds, renderers)) - spent
    assert {answer.status for answer in answers} == {200}
    assert spent > 0.3, "the renders were not heavy enough to show anything"
    assert spent <= took * 1.1, "more than one rendered at once"


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
