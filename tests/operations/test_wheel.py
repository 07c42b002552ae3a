"""The wheel, built, installed and started without the source tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.operations.running import block_until, running
from tests.pixels import shown

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel that is built from a copy of the tree, so that the build leaves no files in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("service", "config", "tests", "tools"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    built = pip("wheel", str(source), "--no-deps", "--no-build-isolation", "-w", str(folder / "dist"))
    assert built.returncode == 0, built.stderr
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    result = pip("install", "--no-deps", "--target", str(target), str(wheel))
    assert result.returncode == 0, result.stderr
    return target


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_wheel_is_for_every_platform(wheel: Path) -> None:
    assert wheel.name.startswith("contact_image-")
    assert wheel.name.endswith("-py3-none-any.whl")


def test_wheel_has_one_package(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"service"}


def test_wheel_has_every_module(names: set[str]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "service").rglob("*.py")}
    assert modules <= names


def test_wheel_has_the_defaults(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("service/default.toml") == (ROOT / "config" / "default.toml").read_bytes()


def test_wheel_has_every_catalogue(names: set[str]) -> None:
    catalogues = {path.relative_to(ROOT).as_posix() for path in (ROOT / "service").rglob("*.po")}
    assert catalogues
    assert catalogues <= names


def test_wheel_has_the_fonts_with_their_licences(names: set[str]) -> None:
    fonts = [name for name in names if name.endswith((".ttf", ".otf"))]
    assert {name.endswith(".otf") for name in fonts} == {True, False}
    for licence in ("LICENSE.txt", "LICENSE-NotoSansCJK.txt"):
        assert {f"{font.rpartition('/')[0]}/{licence}" for font in fonts} <= names
        assert any(".dist-info/licenses/" in name and name.endswith(f"fonts/{licence}") for name in names)


def test_wheel_has_the_cultures_and_time_zones(names: set[str]) -> None:
    assert {"service/protocol/locale/cultures.txt", "service/protocol/locale/time_zones.txt"} <= names


def test_wheel_has_the_command_and_its_requirements(wheel: Path, names: set[str]) -> None:
    (information,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    with zipfile.ZipFile(wheel) as archive:
        assert b"contact-image = service.cli:main" in archive.read(f"{information}/entry_points.txt")
        metadata = message_from_bytes(archive.read(f"{information}/METADATA"))
    assert metadata["Name"] == "contact-image"
    assert any(need.startswith("aiohttp") for need in metadata.get_all("Requires-Dist", []))


def test_installed_wheel_serves_pictures_from_an_empty_directory(installed: Path, tmp_path: Path) -> None:
    # PYTHONPATH comes before the source tree, which an editable installation puts at the end.
    where = subprocess.run(
        [sys.executable, "-P", "-c", "import service; print(service.__file__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)
    module = (sys.executable, "-P", "-m", "service")
    with running("--demo", command=module, PYTHONPATH=str(installed)) as service:
        stored = service.get("/api/v1/Contact/1/Image")
        assert (stored.status, shown(stored.body).format) == (200, "JPEG")
        rendered = service.get("/api/v1/Contact/1/Image?w=319&type=png")
        assert shown(rendered.body).width == 319
        swedish = service.get("/api/v1/Contact/13/Image", {"SO-Language": "sv"})
        assert (swedish.status, swedish.headers["content-language"]) == (404, "sv")
        worded = service.get("/api/v1/Contact/13/Image?ifBlank=SrNoPhoto", {"SO-Language": "sv"})
        assert shown(worded.body).size == (128, 128)
        service.process.terminate()
        assert service.end() == 0
        block_until(lambda: not service.relatives, 60, "no relative is left")
