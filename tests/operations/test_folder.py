"""A folder of pictures that appears after the start of the service, that never appears, or that cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from structlog.testing import capture_logs

from service.settings import Settings, load_settings
from service.wiring.stores import store_type
from tests.operations.running import COMMAND, STARTED_WITHIN, block_until, run, running
from tests.pixels import shown

PICTURE = "/api/v1/Contact/1/Image?w=20&type=png"


def prepare(settings: Settings) -> None:
    store_type(settings).prepare(settings)


@pytest.mark.parametrize("workers", [1, 2])
def test_service_without_its_folder_is_unready_until_the_folder_appears(tmp_path: Path, workers: int) -> None:
    """A volume may be mounted later. Until then no picture is reported as missing."""
    # With one process the folder is relative, in the working directory.
    given = Path("images") if workers == 1 else tmp_path / "images"
    with running("--images", given, "--workers", str(workers)) as service:
        folder = service.directory / given
        ready = service.get("/readyz")
        assert (ready.status, json.loads(ready.body)["store"]) == (503, "failed")
        assert service.get("/healthz").status == 200
        assert service.get(PICTURE).status == 502
        assert service.get(f"{PICTURE}&ifBlank=Default").status == 502
        assert str(folder.parent) not in service.get(PICTURE).body.decode() + ready.body.decode()
        assert service.logged.count("images.unreadable") == 1
        assert "ENOENT" in service.logged
        folder.mkdir()
        Image.new("RGB", (40, 40), "red").save(folder / "1.jpg")
        block_until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
        answer = service.get(PICTURE)
        assert (answer.status, shown(answer.body).size) == (200, (20, 20))


@pytest.mark.parametrize("given", ["images", "no/images"], ids=["marker", "folder"])
def test_service_without_its_marker_is_unready_until_the_marker_appears(tmp_path: Path, given: str) -> None:
    folder = tmp_path / given
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "images" / "1.jpg")
    variables = {"CONTACT_IMAGE_IMAGES__MARKER": ".store", "CONTACT_IMAGE_WRITES__ENABLED": "1"}
    with running("--images", folder, **variables) as service:
        assert service.get("/readyz").status == 503
        assert service.get(PICTURE).status == 502
        (start,) = (each for each in service.events if each["event"] == "images.unreadable")
        wrong = (None, ".store is missing") if folder.parent == tmp_path else ("ENOENT", "No such file or directory")
        assert (start["errno"], start["reason"]) == wrong
        assert not (folder / ".uploads").exists()
        (tmp_path / "images" / ".store").touch()
        if folder.parent != tmp_path:
            folder.parent.mkdir()
            (tmp_path / "images").rename(folder)
        block_until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
        assert service.get(PICTURE).status == 200
        (folder / ".store").unlink()
        block_until(lambda: service.get("/readyz").status == 503, 20, "it is unready")


def test_service_without_the_parent_of_its_folder_is_unready_until_both_appear(tmp_path: Path) -> None:
    folder = tmp_path / "no" / "images"
    with running("--images", folder) as service:
        assert service.get("/readyz").status == 503
        assert service.get(PICTURE).status == 502
        assert service.logged.count("images.unreadable") == 1
        folder.mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(folder / "1.jpg")
        block_until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
        assert service.get(PICTURE).status == 200


@pytest.mark.parametrize("parent", ["no", "file", "file/no"])
def test_start_and_check_differ_in_what_a_missing_parent_folder_means(tmp_path: Path, parent: str) -> None:
    """A volume may be mounted later, so the start tolerates it; `check` reports what is there now."""
    (tmp_path / "file").touch()
    folder = tmp_path / parent / "images"
    prepare(load_settings(images={"directory": folder}))
    result = run("check", "--images", folder, cwd=tmp_path)
    assert result.returncode == 1
    assert str(folder) in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def _without_privileges() -> tuple[str, ...]:
    """Return the command without root's privilege to read every file. Skip the test if that cannot be dropped."""
    if os.geteuid() != 0:
        return COMMAND
    drop = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    if shutil.which("setpriv") is None or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode:
        pytest.skip("privileges cannot be dropped")
    return *drop, *COMMAND


@pytest.mark.parametrize("option", [True, False], ids=["option", "variable"])
def test_unreadable_folder_leaves_the_service_unready_as_a_missing_one_does(tmp_path: Path, option: bool) -> None:
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
            block_until(lambda: service.get("/readyz").status == 200, STARTED_WITHIN, "it is ready")
            assert service.get(PICTURE).status == 200
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("enabled", [True, False])
def test_folder_of_uploads_is_made_at_the_start_if_writes_are_enabled(tmp_path: Path, enabled: bool) -> None:
    with capture_logs() as lines:
        prepare(load_settings(images={"directory": tmp_path}, writes={"enabled": enabled}))
    assert (tmp_path / ".uploads").is_dir() is enabled
    assert lines == []


def test_file_in_place_of_the_folder_of_uploads_is_logged_by_name(tmp_path: Path) -> None:
    (tmp_path / ".uploads").touch()
    with running("--images", tmp_path, CONTACT_IMAGE_WRITES__ENABLED="1") as service:
        assert "images.unwritable" in service.logged
        assert str(tmp_path / ".uploads") in service.logged
        assert service.get("/readyz").status in (200, 503)  # the service starts; rendering may not be ready yet
