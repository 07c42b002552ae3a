"""`contact-image purge`: cached values are dropped in every process, and the exit code says whether they were."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Valkey
from tests.operations.running import Service, invoke, run, running
from tools.pictures.drawing import quarters, saved

SMALL = "/api/v1/Contact/{}/Image?w=20"
Pair = tuple[Service, Service]


@pytest.fixture(scope="module")
def cache(shared_valkey: Valkey) -> dict[str, str]:
    return {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__PREFIX": "purge"}


@pytest.fixture(scope="module")
def pair(cache: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two services with one cache."""
    folder = tmp_path_factory.mktemp("pictures")
    for contact in (1, 2):
        (folder / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    with running("--images", folder, **cache) as one, running("--images", folder, **cache) as other:
        yield one, other


def hit(service: Service, contact: int) -> bool:
    return "; hit" in service.get(SMALL.format(contact)).headers["cache-status"]


def until_miss(service: Service, contact: int) -> None:
    """Request the picture until it is not in memory: the message of a purge arrives after the command has ended."""
    deadline = time.monotonic() + 60
    while hit(service, contact):
        assert time.monotonic() < deadline


def fill(*services: Service) -> None:
    """Put the renditions of both contacts into the memory of each service."""
    for service in services:
        for contact in (1, 2):
            service.get(SMALL.format(contact))
            assert hit(service, contact)


def renders(pair: Pair) -> int:
    return sum(service.renders_started for service in pair)


def late(pair: Pair) -> bool:
    """Whether a lookup took too long, as on a busy machine: then a hit is a miss."""
    missed = re.compile(rb'layer="shared",outcome="unavailable"} (?!0\.0\n)')
    return any(missed.search(service.get("/metrics").body) for service in pair)


def repeated(attempt: Callable[[], None], pair: Pair) -> None:
    """Run *attempt*, at most six times, until no late lookup makes it fail."""
    for left in reversed(range(6)):
        try:
            attempt()
            break
        except AssertionError:
            if not left or not late(pair):
                raise


def test_one_contact_is_dropped_in_every_process_and_others_are_not(
    pair: Pair, cache: dict[str, str], tmp_path: Path
) -> None:
    one, other = pair

    def attempt() -> None:
        assert invoke("purge", "--all", **cache).exit_code == 0
        before = renders(pair)
        fill(one, other)
        done = run("purge", "1", cwd=tmp_path, **cache)
        assert (done.returncode, done.stdout) == (0, "purged: 1\n"), done.stderr
        until_miss(one, 1)
        assert renders(pair) - before == 3
        assert hit(one, 2)
        assert hit(other, 2)
        assert hit(other, 1)  # from the shared cache, rendered by the other process
        assert renders(pair) - before == 3

    repeated(attempt, pair)


def test_every_contact_is_dropped(pair: Pair, cache: dict[str, str]) -> None:
    service, _ = pair

    def attempt() -> None:
        fill(service)
        assert invoke("purge", "--all", **cache).exit_code == 0
        until_miss(service, 1)
        assert not hit(service, 2)

    repeated(attempt, pair)


def test_unreachable_cache_is_a_failure(tmp_path: Path) -> None:
    done = invoke("purge", "1", CONTACT_IMAGE_CACHE__URL=f"unix://{tmp_path}/missing.sock")
    assert done.exit_code == 1
    assert "did not acknowledge" in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_without_a_cache_url_the_purge_is_refused_with_the_reason() -> None:
    done = invoke("purge", "1")
    assert done.exit_code == 1
    assert "cache.url is empty" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("1", "--all"), ("zero",), ("0",), ("2147483648",)])
def test_wrong_arguments_print_the_usage(arguments: tuple[str, ...]) -> None:
    done = invoke("purge", *arguments, CONTACT_IMAGE_CACHE__URL="redis://127.0.0.1:1")
    assert done.exit_code == 2
    assert "Usage" in done.stderr
