"""A log that cannot be written costs no answer: standard error on a full disk, or a pipe that is not read."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.operations.running import STARTED_WITHIN, Service, block_until, nothing_left, running
from tests.operations.test_workers import total
from tools.pictures.drawing import quarters, saved

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")

PICTURE = "/api/v1/Contact/1/Image"
DROPPED = "contact_image_log_dropped_total"
LONG = "/" + 4_000 * "x"
"""A path without a resource. Its line in the log at DEBUG is as long."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "1.png").write_bytes(saved(quarters(80, 60), "PNG"))
    return tmp_path


@pytest.fixture
def descriptors() -> Iterator[ExitStack]:
    """Closes what the test registers, after the service has ended."""
    with ExitStack() as stack:
        yield stack


def full_disk(descriptors: ExitStack) -> int:
    return descriptors.enter_context(open("/dev/full", "wb", buffering=0)).fileno()


def small_pipe(descriptors: ExitStack) -> tuple[int, int]:
    """Return the two ends of a pipe with room for one page."""
    ends = os.pipe()
    for end in ends:
        descriptors.callback(os.close, end)
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
    return ends


def full_pipe(descriptors: ExitStack) -> int:
    """Return the end of a pipe that has no room left."""
    _, end = small_pipe(descriptors)
    os.set_blocking(end, False)
    while True:
        try:
            os.write(end, b"x")
        except BlockingIOError:
            break
    os.set_blocking(end, True)
    return end


def assert_served(service: Service, renderers: int) -> None:
    """Assert that refusals and pictures are answered, and that a killed render process is replaced."""
    before = service.with_renderers(renderers)
    assert [service.get(f"{PICTURE}?w=x").status for _ in range(40)] == [400] * 40
    assert service.get("/healthz").status == 200
    (victim, *_) = service.renderers
    os.kill(victim.pid, signal.SIGKILL)
    block_until(lambda: len(service.renderers - {victim}) == renderers, STARTED_WITHIN, "a successor runs")
    before |= service.with_renderers(renderers)
    assert service.get(f"{PICTURE}?w=20").status == 200
    block_until(lambda: total(service, DROPPED) > 0, 60, "the dropped lines are counted")
    service.send(signal.SIGTERM)
    assert service.end(60) == 0
    nothing_left(service, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_service_whose_log_disk_is_full_starts_answers_and_stops(
    pictures: Path, descriptors: ExitStack, workers: int
) -> None:
    err = full_disk(descriptors)
    with running("--images", pictures, "--workers", str(workers), err=err) as service:
        assert_served(service, workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_service_whose_log_pipe_is_not_read_starts_answers_and_stops(
    pictures: Path, descriptors: ExitStack, workers: int
) -> None:
    err = full_pipe(descriptors)
    with running("--images", pictures, "--workers", str(workers), err=err, CONTACT_IMAGE_LOG__LEVEL="DEBUG") as service:
        assert {service.get(LONG).status for _ in range(workers * 3_000)} == {404}  # more than the queue holds
        assert_served(service, workers)


def test_service_whose_log_has_no_reader_answers(pictures: Path, descriptors: ExitStack) -> None:
    read, write = os.pipe()
    descriptors.callback(os.close, write)
    os.close(read)
    with running("--images", pictures, err=write) as service:
        assert_served(service, 1)


def test_dropped_lines_are_reported_when_the_pipe_is_read_again(pictures: Path, descriptors: ExitStack) -> None:
    read, write = small_pipe(descriptors)
    received = bytearray()
    with running("--images", pictures, err=write, CONTACT_IMAGE_LOG__LEVEL="DEBUG") as service:
        assert {service.get(LONG).status for _ in range(3_000)} == {404}
        block_until(lambda: total(service, DROPPED) > 0, 60, "the dropped lines are counted")

        def collect() -> None:
            while b"server.stopped" not in received:
                received.extend(os.read(read, 65_536))

        reader = threading.Thread(target=collect, daemon=True)
        reader.start()
        block_until(lambda: b"log.dropped" in received, 60, "the lines flow again")
        dropped = total(service, DROPPED)
        service.send(signal.SIGTERM)
        assert service.end(60) == 0
        reader.join(60)
    lines = [json.loads(line) for line in received.splitlines()]
    reported = [line["lines"] for line in lines if line["event"] == "log.dropped"]
    assert sum(reported) == dropped > 0
    assert lines[-1]["event"] == "server.stopped"


def test_log_continues_with_a_new_line_after_the_disk_was_full(pictures: Path) -> None:
    """A limit on the size of files takes the place of the full disk: a line is cut short, and the next ones fail."""
    with running("--images", pictures) as service:
        service.with_renderers(1)
        block_until(lambda: "server.listening" in service.logged, 60, "it listens")
        size, pid = len(service.logged.encode()), service.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
        assert [service.get(f"{PICTURE}?w=x").status for _ in range(10)] == [400] * 10
        block_until(lambda: total(service, DROPPED) == 10, 60, "the lines are counted as dropped")
        assert len(service.logged.encode()) == size + 10
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        assert service.get(f"{PICTURE}?w=x").status == 400
        block_until(lambda: "log.dropped" in service.logged, 60, "the lines flow again")
        cut, refused, dropped = service.logged.encode()[size:].decode().splitlines()[:3]
        assert len(cut) == 10
        assert json.loads(refused)["event"] == "request.refused"
        assert json.loads(dropped)["lines"] == 10


@pytest.mark.parametrize("full", [full_disk, full_pipe])
def test_demo_whose_standard_output_is_full_starts_and_answers(
    full: Callable[[ExitStack], int], descriptors: ExitStack
) -> None:
    with running("--demo", out=full(descriptors)) as service:
        assert service.get(f"{PICTURE}?w=20").status == 200
        service.send(signal.SIGTERM)
        assert service.end(60) == 0
