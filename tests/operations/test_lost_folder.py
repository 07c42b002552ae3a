"""A folder of pictures that another folder replaces: a lost mount, a new mount, a switched link."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Valkey
from tests.operations.running import STARTED_WITHIN, Service, block_until, running
from tools.pictures.drawing import quarters, saved

CONTACTS = range(1, 21)
PATH = "/api/v1/Contact/{}/Image?w=20&type=png"
_prefixes = itertools.count()


def fill(folder: Path) -> Path:
    """Store the same pictures, with the same times, in every folder."""
    folder.mkdir(exist_ok=True)
    for contact in CONTACTS:
        path = folder / f"{contact}.png"
        path.write_bytes(saved(quarters(40 + contact, 40), "PNG"))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def host(shared_valkey: Valkey) -> Iterator[Callable[..., Service]]:
    """Start a service that shares one Valkey with the other services of the test."""
    prefix = f"lost-{os.getpid()}-{next(_prefixes)}"
    with ExitStack() as services:

        def start(folder: Path, workers: int = 1, fresh_for: int = 1, **variables: str) -> Service:
            return services.enter_context(
                running(
                    "--images",
                    folder,
                    "--workers",
                    str(workers),
                    CONTACT_IMAGE_CACHE__URL=shared_valkey.url,
                    CONTACT_IMAGE_CACHE__PREFIX=prefix,
                    CONTACT_IMAGE_CACHE__FRESH_FOR=str(fresh_for),
                    CONTACT_IMAGE_CACHE__MISSING_FOR="1",
                    CONTACT_IMAGE_WRITES__ENABLED="1",
                    **variables,
                )
            )

        yield start


def status(service: Service, contact: int) -> int:
    """Return the status of the picture. After a 502 ask again: a busy Redis may have answered too late."""
    answers = (service.get(PATH.format(contact)).status for _ in range(10))
    return next((each for each in answers if each != 502), 502)


def statuses(service: Service) -> set[int]:
    return {status(service, contact) for contact in CONTACTS}


def ready(service: Service) -> bool:
    return service.get("/readyz").status == 200


def put(service: Service, contact: int) -> int:
    return service.get(f"/api/v1/Contact/{contact}/Image", method="PUT", body=saved(quarters(9, 9), "PNG")).status


def event_names(service: Service) -> list[str]:
    return [each["event"] for each in service.events]


@contextmanager
def hidden_by_rename(folder: Path) -> Iterator[None]:
    """Put an empty folder in the place of *folder*."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    folder.mkdir()
    yield
    folder.rmdir()
    elsewhere.rename(folder)


@contextmanager
def hidden_by_mount(folder: Path) -> Iterator[None]:
    """Mount an empty folder over *folder*."""
    empty = folder.with_name("empty")
    empty.mkdir()
    if subprocess.run(["mount", "--bind", empty, folder], capture_output=True, check=False).returncode:
        pytest.skip("mounts are not allowed here")
    try:
        yield
        assert list(empty.iterdir()) == []
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("hidden", [hidden_by_rename, hidden_by_mount], ids=["rename", "mount"])
def test_lost_folder_is_an_outage_of_one_host(
    tmp_path: Path, host: Callable[..., Service], hidden: Callable[[Path], Any], workers: int
) -> None:
    one = host(fill(tmp_path / "one"), workers)
    other = host(fill(tmp_path / "other"))
    assert statuses(one) == statuses(other) == {200}
    block_until(lambda: ready(one) and ready(other), STARTED_WITHIN, "both are ready")
    renders = other.renders_started
    with hidden(tmp_path / "one"):
        block_until(lambda: not ready(one), 20, "the host without its folder is unready")
        if workers == 2:
            for each in one.servers:
                os.kill(each.pid, signal.SIGKILL)
            block_until(lambda: one.answers, STARTED_WITHIN, "other processes take their place")
        for _ in range(20):  # rounds, some of them after the records are stale
            assert statuses(one) == statuses(other) == {200}
        assert not ready(one)
        assert ready(other)
        assert put(one, 77) == 502
        assert list((tmp_path / "one").iterdir()) == []
    assert other.renders_started == renders
    block_until(lambda: ready(one), 20, "the folder is back")
    assert put(one, 77) == 200
    assert {"images.lost", "images.back"} <= {*event_names(one)}


def test_new_mount_of_the_same_pictures_is_taken_at_once(tmp_path: Path, host: Callable[..., Service]) -> None:
    one = host(fill(tmp_path / "one"))
    block_until(lambda: ready(one), STARTED_WITHIN, "it is ready")
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    (tmp_path / "copy" / "30.png").write_bytes(saved(quarters(40, 40), "PNG"))
    (tmp_path / "one").rename(tmp_path / "old")
    (tmp_path / "copy").rename(tmp_path / "one")
    assert one.get(PATH.format(30)).status == 200
    assert put(one, 77) == 200
    assert "images.lost" not in event_names(one)


def test_new_target_of_a_link_is_taken_at_once(tmp_path: Path, host: Callable[..., Service]) -> None:
    """Although it has none of the pictures that were there before."""
    fill(tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "30.png").write_bytes(saved(quarters(40, 40), "PNG"))
    (tmp_path / "images").symlink_to("one")
    service = host(tmp_path / "images", fresh_for=3_600)
    assert statuses(service) == {200}
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(tmp_path / "images")
    block_until(lambda: service.get(PATH.format(1)).status == 404, 20, "the pictures of the old target are gone")
    assert service.get(PATH.format(30)).status == 200
    assert ready(service)
    assert "images.lost" not in event_names(service)


def test_folder_that_held_no_picture_may_be_replaced(tmp_path: Path, host: Callable[..., Service]) -> None:
    (tmp_path / "images").mkdir()
    service = host(tmp_path / "images")
    block_until(lambda: ready(service), STARTED_WITHIN, "it is ready")
    (tmp_path / "images").rename(tmp_path / "old")
    fill(tmp_path / "images")
    assert statuses(service) == {200}
    assert put(service, 77) == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_host_that_starts_over_an_empty_folder_takes_no_picture_from_the_others(
    tmp_path: Path, host: Callable[..., Service], workers: int
) -> None:
    """It has seen no folder with pictures, so only the records of the others say that there are pictures."""
    other = host(fill(tmp_path / "other"))
    assert statuses(other) == {200}
    renders = other.renders_started
    (tmp_path / "one").mkdir()
    one = host(tmp_path / "one", workers)
    block_until(lambda: ready(one), STARTED_WITHIN, "it is ready")
    missing = set()

    def lost() -> bool:
        for contact in CONTACTS:
            if status(one, contact) == 404:
                missing.add(contact)
            assert status(other, contact) == 200
        return not ready(one)

    block_until(lost, 60, "the host without pictures is unready")
    assert len(missing) < 12  # of 20; some may be asked for at the same time
    for _ in range(20):
        assert statuses(other) == {200}
    assert statuses(one) <= {200, 404}
    assert put(one, 77) == 502
    assert list((tmp_path / "one").glob("[0-9]*")) == []
    assert other.renders_started == renders
    fill(tmp_path / "one")
    block_until(lambda: ready(one), 20, "the pictures are there")
    block_until(lambda: statuses(one) == {200}, 20, "the pictures are served")
    assert put(one, 77) == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_accepts_the_folder_that_is_at_the_path(
    tmp_path: Path, host: Callable[..., Service], workers: int
) -> None:
    service = host(fill(tmp_path / "images"), workers)
    block_until(lambda: ready(service), STARTED_WITHIN, "it is ready")
    (tmp_path / "images").rename(tmp_path / "old")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "30.png").write_bytes(saved(quarters(40, 40), "PNG"))
    block_until(lambda: not ready(service), 20, "it is unready")
    assert status(service, 30) == 502
    service.send(signal.SIGHUP)
    block_until(lambda: status(service, 30) == 200, STARTED_WITHIN, "the picture of the other folder is served")
    block_until(lambda: ready(service), 20, "it is ready")
    assert put(service, 77) == 200
