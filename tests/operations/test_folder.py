"""A folder of pictures that comes after the service, or never."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import COMMAND, STARTED_WITHIN, run, running, until
from tests.pictures_in_code import shown

PICTURE = "/api/v1/Contact/1/Image?w=20&type=png"


@pytest.mark.parametrize("workers", [1, 2])
def test_without_its_folder_the_service_starts_unready_and_recovers_when_it_comes(tmp_path: Path, workers: int) -> None:
    folder = tmp_path / "images"
    with running("--images", folder, "--workers", str(workers)) as service:
        ready = service.get("/readyz")
        assert (ready.status, json.loads(ready.body)["store"]) == (503, "failed")
        assert service.get(PICTURE).status == 502
        assert str(tmp_path) not in service.get(PICTURE).body.decode() + ready.body.decode()
        assert service.logged.count("images.unreadable") == 1
        assert "ENOENT" in service.logged
        folder.mkdir()
        Image.new("RGB", (40, 40), "red").save(folder / "1.jpg")
        until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
        answer = service.get(PICTURE)
        assert (answer.status, shown(answer.body).size) == (200, (20, 20))


@pytest.mark.parametrize("parent", ["no", "file", "file/no"])
def test_without_the_parent_folder_it_does_not_start(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    result = run("serve", "--images", tmp_path / parent / "images", "--port", "0", cwd=tmp_path)
    assert result.returncode == 1
    assert "images.directory" in result.stderr and str(tmp_path / parent / "images") in result.stderr
    assert "Traceback" not in result.stderr


def _without_privileges() -> tuple[str, ...]:
    """The command, without root's privilege to read everything; skips the test where it cannot be had so."""
    if os.geteuid() != 0:
        return COMMAND
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    if shutil.which("setpriv") is None or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("privileges cannot be dropped")
    return *drop, *COMMAND


@pytest.mark.parametrize("option", [True, False], ids=["option", "variable"])
def test_a_folder_that_cannot_be_read_is_like_one_that_is_missing(tmp_path: Path, option: bool) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (40, 40), "red").save(folder / "1.jpg")
    folder.chmod(0)
    arguments = ("--images", folder) if option else ()
    variables = {} if option else {"CONTACT_IMAGE_IMAGES__DIRECTORY": str(folder)}
    try:
        with running(*arguments, command=_without_privileges(), **variables) as service:
            assert service.get("/readyz").status == 503
            assert "images.unreadable" in service.logged and "EACCES" in service.logged
            folder.chmod(0o755)
            until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
            assert service.get(PICTURE).status == 200
    finally:
        folder.chmod(0o755)


def test_a_relative_folder_in_the_working_directory_may_come_later() -> None:
    with running("--images", "later") as service:
        assert service.get("/readyz").status == 503


@pytest.mark.parametrize("enabled", ["1", "0"])
def test_where_writes_are_enabled_the_start_makes_the_folder_of_uploads(tmp_path: Path, enabled: str) -> None:
    with running("--images", tmp_path, CONTACT_IMAGE_WRITES__ENABLED=enabled) as service:
        assert (tmp_path / ".uploads").is_dir() is (enabled == "1")
        assert "images.unwritable" not in service.logged


def test_a_file_in_place_of_the_folder_of_uploads_is_named(tmp_path: Path) -> None:
    (tmp_path / ".uploads").touch()
    with running("--images", tmp_path, CONTACT_IMAGE_WRITES__ENABLED="1") as service:
        assert "images.unwritable" in service.logged
        assert str(tmp_path / ".uploads") in service.logged
        assert service.get("/readyz").status in (200, 503)  # it starts; whether it renders yet is another matter
