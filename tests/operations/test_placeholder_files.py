"""The operator's placeholders at the start, on reload and in `contact-image check`."""

from __future__ import annotations

import signal
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import NEEDS_PROC, Service, block_until, run, running
from tools.pictures.drawing import quarters, saved

pytestmark = NEEDS_PROC

DEFAULT = "/api/v1/Contact/404/Image?ifBlank=Default&w=20&type=png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "placeholders"
    made.mkdir()
    (made / "Default.png").write_bytes(saved(Image.new("RGB", (30, 60), "red"), "PNG"))
    return made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    made.mkdir()
    return made


def colour(service: Service) -> object:
    return Image.open(BytesIO(service.get(DEFAULT).body)).convert("RGB").getpixel((5, 5))


@pytest.mark.parametrize("workers", [1, 2])
def test_reload_reads_the_files_and_a_bad_one_changes_nothing(images: Path, folder: Path, workers: int) -> None:
    variables = {"CONTACT_IMAGE_PLACEHOLDERS__DIRECTORY": str(folder)}
    with running("--images", images, "--workers", str(workers), **variables) as service:
        assert colour(service) == (255, 0, 0)
        (folder / "Default.png").write_bytes(saved(Image.new("RGB", (30, 60), "blue"), "PNG"))
        assert colour(service) == (255, 0, 0)
        service.send(signal.SIGHUP)
        block_until(lambda: "server.reloaded" in service.logged, 60, "it reloads")
        block_until(lambda: colour(service) == (0, 0, 255), 60, "the new file is shown")
        assert "placeholders.directory" in service.logged
        (folder / "Default.png").write_bytes(b"no picture")
        service.send(signal.SIGHUP)
        block_until(lambda: "server.reload_failed" in service.logged, 60, "the reload fails")
        assert "Default.png" in service.logged
        assert colour(service) == (0, 0, 255)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_bad_file_refuses_the_start(images: Path, folder: Path, tmp_path: Path, workers: str) -> None:
    (folder / "SrNoPhoto.png").write_bytes(saved(quarters(40, 40), "PNG")[:-40])
    variables = {"CONTACT_IMAGE_PLACEHOLDERS__DIRECTORY": str(folder)}
    result = run("serve", "--images", images, "--port", "0", "--workers", workers, cwd=tmp_path, **variables)
    assert result.returncode == 1
    assert "the settings cannot be used" in result.stderr
    assert "placeholders.directory: SrNoPhoto: " in result.stderr
    assert "server.listening" not in result.stderr


def test_check_reports_the_files(images: Path, folder: Path, tmp_path: Path) -> None:
    variables = {"CONTACT_IMAGE_PLACEHOLDERS__DIRECTORY": str(folder)}
    result = run("check", "--images", images, cwd=tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    assert f"placeholders: {folder}: Default" in result.stdout
    (folder / "Null.png").write_bytes(saved(quarters(4, 4), "PNG"))
    result = run("check", "--images", images, cwd=tmp_path, **variables)
    assert result.returncode == 1
    assert "placeholders: FAILED: " in result.stdout
    assert "Null has no picture" in result.stdout
