"""Changes in the folder that the kernel does not report one by one: its queue is full, or a volume is unmounted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import Service, block_until, running

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


def replace_picture(images: Path) -> None:
    Image.new("RGB", (40, 40), "blue").save(images / ".upload-1", "PNG")
    os.replace(images / ".upload-1", images / "1.png")


def fill_queue(images: Path) -> None:
    """Cause more events than the kernel keeps. Two files in turn, since it merges equal events."""
    limit = int(QUEUE.read_text())
    if limit > 1_000_000:
        pytest.skip(f"the kernel keeps {limit} events")
    for number in range(limit + 1_000):
        os.utime(images / ("2.png", "3.png")[number % 2])


def tag(service: Service) -> str:
    answer = service.get(PICTURE)
    assert answer.status == 200
    return answer.headers["etag"]


def test_overflow_of_the_queue_of_changes_purges_everything_and_is_logged(images: Path) -> None:
    with running("--images", images, CONTACT_IMAGE_CACHE__FRESH_FOR="3600") as service:
        old = tag(service)
        service.send(signal.SIGSTOP)
        fill_queue(images)
        replace_picture(images)
        service.send(signal.SIGCONT)
        block_until(lambda: tag(service) != old, NOTICED_WITHIN, "the new picture is served")
        (line,) = [line for line in service.events if line["event"] == "images.changes_lost"]
        assert line["level"] == "warning"
        old = tag(service)
        os.utime(images / "1.png", (1_000_000_000, 1_000_000_000))
        block_until(lambda: tag(service) != old, NOTICED_WITHIN, "further changes are noticed")
