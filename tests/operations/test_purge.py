"""`contact-image purge`: what is cached is dropped in every process, and it says whether it was."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Valkey
from tests.operations.running import COMMAND, Service, running
from tests.pictures_in_code import quarters, saved

SMALL = "/api/v1/Contact/{}/Image?w=20"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for contact in (1, 2):
        (tmp_path / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    return tmp_path


def purge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(
        [*COMMAND, "purge", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def hit(service: Service, contact: int) -> bool:
    return "; hit" in service.get(SMALL.format(contact)).headers["cache-status"]


def warm(*services: Service) -> None:
    for service in services:
        for contact in (1, 2):
            service.get(SMALL.format(contact))
            assert hit(service, contact)


def late(*services: Service) -> bool:
    """Whether a look-up took too long, as on a busy machine: then a hit is a miss."""
    missed = re.compile(rb'layer="shared",outcome="unavailable"} (?!0\.0\n)')
    return any(missed.search(each.get("/metrics").body) for each in services)


def test_a_contact_is_dropped_everywhere_and_others_are_not(folder: Path, shared_valkey: Valkey) -> None:
    for left in reversed(range(6)):
        ours = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__PREFIX": f"purge-some-{left}"}
        with running("--images", folder, **ours) as one, running("--images", folder, **ours) as other:
            try:
                purged_everywhere(one, other, ours)
                break
            except AssertionError:
                if not left or not late(one, other):
                    raise


def purged_everywhere(one: Service, other: Service, ours: dict[str, str]) -> None:
    warm(one, other)
    done = purge("1", **ours)
    assert (done.returncode, done.stdout) == (0, "purged: 1\n"), done.stderr
    assert not hit(one, 1)
    assert one.renders_begun + other.renders_begun == 3
    assert hit(one, 2)
    assert hit(other, 2)
    assert hit(other, 1)  # rendered anew by the one, for all
    assert one.renders_begun + other.renders_begun == 3


def test_everything_is_dropped(folder: Path, shared_valkey: Valkey) -> None:
    for left in reversed(range(6)):
        ours = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__PREFIX": f"purge-all-{left}"}
        with running("--images", folder, **ours) as service:
            try:
                warm(service)
                assert purge("--all", **ours).returncode == 0
                assert not hit(service, 1)
                assert not hit(service, 2)
                break
            except AssertionError:
                if not left or not late(service):
                    raise


def test_a_cache_that_cannot_be_reached_is_no_success(tmp_path: Path) -> None:
    done = purge("1", CONTACT_IMAGE_CACHE__URL=f"unix://{tmp_path}/nobody.sock")
    assert done.returncode != 0
    assert "did not acknowledge" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_private_server_is_out_of_reach_and_it_says_so() -> None:
    done = purge("1")
    assert done.returncode != 0
    assert "cache.url is empty" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("zero",), ("0",), ("2147483648",)])
def test_a_wrong_use_is_told(arguments: tuple[str, ...]) -> None:
    done = purge(*arguments, CONTACT_IMAGE_CACHE__URL="redis://127.0.0.1:1")
    assert done.returncode == 2
    assert "Usage" in done.stderr
