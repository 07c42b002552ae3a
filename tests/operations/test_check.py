"""`contact-image check`: what it finds, in words, and by its exit code."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Valkey
from tests.operations.running import free_port, run


@pytest.fixture
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (8, 8), "red").save(folder / "1.png")
    return folder


def test_says_what_it_found(pictures: Path, own_valkey: Valkey, tmp_path: Path) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=own_valkey.url)
    assert result.returncode == 0, result.stderr
    settings, store, cache = result.stdout.splitlines()
    assert settings == "settings: valid"
    assert store.startswith("store: ")
    assert str(pictures) in store
    assert re.fullmatch(r"cache: Valkey \d\S+, [\d,]+ bytes, \S+", cache)


def test_without_a_url_speaks_of_the_private_server_and_leaves_none(pictures: Path, tmp_path: Path) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path)
    assert result.returncode == 0
    assert "cache: private server: Valkey" in result.stdout
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_a_failure(tmp_path: Path, own_valkey: Valkey) -> None:
    result = run("check", "--images", tmp_path / "gone", cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=own_valkey.url)
    assert result.returncode == 1
    assert re.search(r"(?m)^store: FAILED: .*gone", result.stdout)
    assert re.search(r"(?m)^cache: Valkey", result.stdout)


def test_a_file_in_place_of_the_folder_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = run("check", "--images", file, cwd=tmp_path)
    assert result.returncode == 1
    assert "store: FAILED" in result.stdout


@pytest.mark.parametrize("why", ["nobody listens", "nobody answers", "it is frozen"])
def test_a_cache_out_of_reach_is_a_failure_within_two_seconds(
    pictures: Path, tmp_path: Path, own_valkey: Valkey, why: str
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert own_valkey.process is not None
        url = own_valkey.url
        if why == "nobody listens":
            url = f"redis://127.0.0.1:{free_port()}/0"
        elif why == "nobody answers":
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        else:
            own_valkey.process.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        run("--version", cwd=tmp_path)
        start = time.monotonic() - begun
        result = run("check", "--images", pictures, cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=url)
        assert time.monotonic() - begun - start < 20  # two, on a machine that is not busy
    assert result.returncode == 1
    assert re.search(r"(?m)^cache: FAILED: \S", result.stdout)
    assert "Traceback" not in result.stderr


def test_both_failures_are_told(tmp_path: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    result = run("check", "--images", tmp_path / "gone", cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=url)
    assert result.returncode == 1
    assert result.stdout.count("FAILED") == 2
    assert "hunter2" not in result.stdout + result.stderr
