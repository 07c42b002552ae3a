"""Changes in the folder that the kernel does not report one by one: its queue is full, or a volume is unmounted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import COMMAND, Service, block_until, running
from tests.privileges import mount_namespace

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
PICTURE = "/api/v1/Contact/1/Image?w=20&type=png"
NOTICED_WITHIN = 10.0
"""Seconds. The service promises one."""

pytestmark = pytest.mark.skipif(not QUEUE.exists(), reason="the folder is watched on Linux only")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for contact in (1, 2, 3):
        Image.new("RGB", (40, 40), "red").save(folder / f"{contact}.png")
    return folder


def put_picture(images: Path, colour: str) -> None:
    """Put a picture of contact 1 into place, whole from the beginning."""
    Image.new("RGB", (40, 40), colour).save(images / ".upload-1", "PNG")
    os.replace(images / ".upload-1", images / "1.png")


def fill_queue(images: Path) -> None:
    """Cause more events than the kernel keeps. Two files in turn, since it merges equal events."""
    limit = int(QUEUE.read_text())
    if limit > 1_000_000:
        pytest.skip(f"the kernel keeps {limit} events")
    for number in range(limit + 1_000):
        os.utime(images / ("2.png", "3.png")[number % 2])


def in_mount_namespace(service: Service, *command: str | Path) -> None:
    """Run a command that sees the mounts of *service*."""
    enter = ("nsenter", "--target", str(service.process.pid), "--mount")
    subprocess.run([*enter, *(("--user", "--preserve-credentials") if os.geteuid() else ()), *command], check=True)


def tag(service: Service) -> str:
    answer = service.get(PICTURE)
    assert answer.status == 200
    return answer.headers["etag"]


def test_overflow_of_the_queue_of_changes_purges_everything_and_is_logged(images: Path) -> None:
    with running("--images", images, CONTACT_IMAGE_CACHE__FRESH_FOR="3600") as service:
        old = tag(service)
        service.send(signal.SIGSTOP)
        fill_queue(images)
        put_picture(images, "blue")
        service.send(signal.SIGCONT)
        block_until(lambda: tag(service) != old, NOTICED_WITHIN, "the new picture is served")
        (line,) = [line for line in service.events if line["event"] == "images.changes_lost"]
        assert line["level"] == "warning"
        old = tag(service)
        os.utime(images / "1.png", (1_000_000_000, 1_000_000_000))
        block_until(lambda: tag(service) != old, NOTICED_WITHIN, "further changes are noticed")


def test_unmounted_folder_purges_nothing_and_is_watched_again_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    settings = {"CONTACT_IMAGE_CACHE__FRESH_FOR": "3600", "CONTACT_IMAGE_CACHE__MISSING_FOR": "3600"}
    with running("--images", folder, command=(*mount_namespace(), *COMMAND), **settings) as service:
        mounted = Path(f"/proc/{service.process.pid}/root{folder}")
        assert service.get(PICTURE).status == 404
        in_mount_namespace(service, "mount", "-t", "tmpfs", "none", folder)
        put_picture(mounted, "red")
        block_until(lambda: service.get(PICTURE).status == 200, NOTICED_WITHIN, "the mounted picture is served")

        old = tag(service)
        in_mount_namespace(service, "umount", folder)
        block_until(lambda: "store.unmounted" in service.logged, NOTICED_WITHIN, "the log says so")
        end = time.monotonic() + 1.5  # longer than it takes to purge
        while time.monotonic() < end:
            assert tag(service) == old

        in_mount_namespace(service, "mount", "-t", "tmpfs", "none", folder)
        put_picture(mounted, "blue")
        block_until(lambda: tag(service) != old, NOTICED_WITHIN, "the new picture is served")
        assert [line["event"] for line in service.events if line["event"] in ("images.watched", "store.unmounted")] == [
            "store.unmounted",
            "images.watched",
        ]
