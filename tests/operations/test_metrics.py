"""The metrics of several processes: one answer has those of all, in few series."""

from __future__ import annotations

import http.client
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.operations.running import NEEDS_PROC, Service, block_until, family, running
from tests.operations.test_workers import total
from tests.web.conftest import populated
from tests.web.test_metrics import HOSTILE_FIELDS, HOSTILE_METHODS, HOSTILE_PATHS, MOST_SERIES

pytestmark = NEEDS_PROC


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    images = populated(tmp_path_factory.mktemp("images"))
    with running("--images", images, "--workers", "2", CONTACT_IMAGE_WRITES__ENABLED="true") as service:
        service.with_renderers(2)
        yield service


@pytest.mark.parametrize(("kind", "count"), [("serve", 2), ("render", 2), ("arbiter", 1), ("cache", 1)])
def test_processes_are_counted_together(pair: Service, kind: str, count: int) -> None:
    label = f'process="{kind}"'
    block_until(lambda: total(pair, "contact_image_processes", label) == count, 60, "all processes have reported")
    assert total(pair, "contact_image_process_restarts_total", label) == 0
    assert total(pair, "contact_image_process_resident_bytes", label) > count * 1_000_000
    block_until(lambda: total(pair, "contact_image_process_cpu_seconds", label) > 0, 60, "a tick of processor time")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_process_of_the_private_server_is_known_after_its_death(tmp_path: Path, workers: str) -> None:
    with running("--images", tmp_path, "--workers", workers) as service:
        block_until(lambda: total(service, "contact_image_processes", 'process="cache"') == 1, 60, "it is known")
        (server,) = (each for each in family(service.process.pid) if "valkey-server" in each.command.split()[0])
        os.kill(server.pid, signal.SIGKILL)
        block_until(lambda: not server.alive, 60, "it is dead")
        resident = "contact_image_process_resident_bytes"
        block_until(lambda: total(service, resident, 'process="cache"') > 0, 60, "its successor is known")


def test_gauges_of_all_processes_are_in_one_answer(pair: Service) -> None:
    """The shared cache is up if it is for all, and memory and processor time have the number of their process."""
    assert total(pair, "contact_image_build_info") == 1
    block_until(lambda: total(pair, "contact_image_cache_up") == 1, 60, "the private server answers both")
    lines = pair.get("/metrics").body.decode().splitlines()
    for name in ("contact_image_process_resident_bytes", "contact_image_process_cpu_seconds"):
        found = [line for line in lines if line.startswith(name) and 'process="serve"' in line]
        assert sorted("".join(re.findall(r'pid="(\d+)"', line)) for line in found) == ["0", "1"]
        assert all(float(line.rpartition(" ")[2]) > 0 for line in found)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_time_of_the_start_is_that_of_the_service(tmp_path: Path, workers: str) -> None:
    """A process that replaces another one does not change it."""
    name = "contact_image_start_time_seconds"
    before = time.time()
    with running("--images", tmp_path, "--workers", workers) as service:
        block_until(lambda: total(service, name) > 0, 60, "the processes have reported")
        first = total(service, name)
        assert before <= first <= time.time()
        if workers == "2":
            os.kill(next(iter(service.servers)).pid, signal.SIGKILL)
            restarts = "contact_image_process_restarts_total"
            block_until(lambda: total(service, restarts, 'process="serve"') == 1, 60, "another one serves")
            assert total(service, name) == first


def test_hostile_requests_make_few_series(pair: Service) -> None:
    for path in HOSTILE_PATHS:
        for method in HOSTILE_METHODS:
            for fields in HOSTILE_FIELDS[:3]:
                with suppress(OSError, http.client.HTTPException):  # some answers close the connection at once
                    pair.get(path, fields, method, b"no picture" if method in ("PUT", "POST") else None)
    time.sleep(1.2)  # each process adds its counts once a second
    lines = pair.get("/metrics").body.decode().splitlines()
    series = [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]
    assert len(set(series)) == len(series)
    assert len([each for each in series if each.startswith("contact_image_requests_total")]) > 40
    assert len(series) <= MOST_SERIES


@pytest.mark.parametrize("workers", ["1", "2"])
def test_folder_of_counts_in_the_environment_is_neither_read_nor_written(tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "counts"
    folder.mkdir()
    (folder / "counter_1.db").write_bytes(b"of another program")
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(folder), "prometheus_multiproc_dir": str(tmp_path / "missing")}
    with running("--images", tmp_path, "--workers", workers, **variables) as service:
        assert service.get("/metrics").status == 200
        assert [each.name for each in folder.iterdir()] == ["counter_1.db"]
