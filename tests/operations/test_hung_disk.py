"""A disk that hangs: only the requests that need it wait, and the service stays ready and stops at once."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.operations.running import NEEDS_PROC, Service, block_until, running
from tools.pictures.drawing import quarters, saved

pytestmark = NEEDS_PROC

TIMEOUT = 2.0
"""Seconds of `images.timeout`."""


@contextmanager
def hung_disk(folder: Path) -> Iterator[None]:
    """Mount a file system at *folder* whose server never answers (FUSE). Skip the test where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pytest.skip("there is no FUSE here")
    options = f"fd={server},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()},allow_other"
    if libc.mount(b"hung", os.fsencode(folder), b"fuse", 0, options.encode()):
        os.close(server)
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        os.close(server)  # ends the calls that hang
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """A service with a picture in its folder, and a shard on a disk that hangs."""
    folder = tmp_path / "images"
    (folder / "007").mkdir(parents=True)
    (folder / "1.jpg").write_bytes(saved(quarters(64, 48), "JPEG"))
    variables = {"CONTACT_IMAGE_IMAGES__TIMEOUT": str(TIMEOUT)}
    with (
        hung_disk(folder / "007"),
        running("--images", folder, "--workers", str(request.param), **variables) as started,
    ):
        yield started


def get(service: Service, contact: int) -> int:
    return service.get(f"/api/v1/Contact/{contact}/Image").status


def test_requests_that_need_no_hung_disk_are_answered(service: Service) -> None:
    block_until(lambda: service.get("/readyz").status == 200, 60, "it is ready before any picture is known")
    with ThreadPoolExecutor(40) as clients:
        hung = [clients.submit(get, service, 1000 * number + 7) for number in range(1, 41)]
        block_until(lambda: _hung_threads(service) > 0, 60, "threads hang")
        assert get(service, 1) == 200
        assert [get(service, contact) for contact in range(20, 40)] == 20 * [404]
        assert service.get("/readyz").status == 200
        assert {each.result() for each in hung} == {504}
    assert [get(service, contact) for contact in range(50, 70)] == 20 * [404]
    assert service.get("/readyz").status == 200


def test_service_stops_while_threads_hang(service: Service) -> None:
    with ThreadPoolExecutor(40) as clients:
        assert set(clients.map(lambda number: get(service, 1000 * number + 7), range(1, 41))) == {504}
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(timeout=60)
    assert "server.stop_cut" not in [line["event"] for line in service.events]


def _hung_threads(service: Service) -> float:
    lines = service.get("/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("contact_image_threads_hung"))
