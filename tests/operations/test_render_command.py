"""`contact-image render`: the bytes that the service sends, and errors that name the fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from service.cli.render import PARAMETERS
from service.protocol.parameters import NAMES
from tests.operations.running import invoke, run, running
from tests.pixels import shown
from tools.pictures.drawing import quarters, saved


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A JPEG of 400 by 300 pixels, called as the picture of contact 1 is."""
    path = tmp_path / "1.jpg"
    path.write_bytes(saved(quarters(400, 300), "JPEG"))
    return path


def test_rendition_is_the_one_that_the_service_sends(photo: Path) -> None:
    with running("--images", photo.parent) as service:
        for name, accept, query in (
            ("a.avif", "image/avif", "w=319"),
            ("a.webp", "image/webp", "w=50&h=50&fit=cover&gravity=top&dpr=2"),
            ("a.png", "image/png", "w=50&h=90&fit=pad&bg=ff0000"),
            ("a.jpeg", "image/jpeg", "w=900&enlarge=false"),
            ("a.bin", "*/*", "type=TIFF&h=20"),
        ):
            pairs = [pair.split("=") for pair in query.split("&")]
            options = [part for key, text in pairs for part in (f"{'-' if len(key) == 1 else '--'}{key}", text)]
            result = run("render", photo, photo.with_name(name), *options, cwd=photo.parent)
            assert result.returncode == 0, result.stderr
            answer = service.get(f"/api/v1/Contact/1/Image?{query}", {"Accept": accept})
            assert photo.with_name(name).read_bytes() == answer.body, name


def test_every_parameter_of_a_picture_is_an_option() -> None:
    assert set(PARAMETERS) == set(NAMES) - {"v"}  # which changes no pixel
    words = invoke("render", "--help").stdout
    assert all(f"{'-' if len(name) == 1 else '--'}{name} TEXT" in words for name in PARAMETERS)


def test_what_was_written_is_printed(photo: Path) -> None:
    target = photo.with_name("out.gif")
    result = invoke("render", photo, target, "-w", "40")
    assert result.stdout == f"{target}: 40 × 30 pixels, {target.stat().st_size} bytes\n"


def test_presets_and_limits_are_those_of_the_settings(photo: Path) -> None:
    config, target = photo.with_name("config.toml"), photo.with_name("out.png")
    config.write_text(
        "[render]\npresets_only = true\nmax_dimension = 200\n[render.presets]\navatar = 'w=20&h=20&fit=cover'\n"
    )
    assert invoke("render", photo, target, "--preset", "avatar", "--config", config).exit_code == 0
    assert shown(target.read_bytes()).size == (20, 20)
    result = invoke("render", photo, target, "-w", "20", "--config", config)
    assert result.exit_code == 2
    assert "must be one of avatar" in result.output


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no picture in a format that is read here"),
        (b"hello", "no picture in a format that is read here"),
        (saved(quarters(400, 300), "JPEG")[:700], "The picture is corrupt"),
        (b"\xff\xd8\xff\xe0" + bytes(90), "The picture is corrupt"),
        (bytes(5000), "it has more than 4000 bytes"),
    ],
    ids=["empty", "text", "cut", "zeros", "large"],
)
def test_bad_picture_is_an_error_in_one_line_and_no_file(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(data)
    result = run("render", "in.jpg", "out.png", cwd=tmp_path, CONTACT_IMAGE_IMAGES__MAX_BYTES="4000")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: in.jpg: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_placeholder_replaces_a_bad_picture(tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(b"hello")
    result = invoke("render", tmp_path / "in.jpg", tmp_path / "out.png", "--ifBlank", "SrNoPhoto", "-w", "90")
    assert result.exit_code == 0, result.output
    assert shown((tmp_path / "out.png").read_bytes()).size == (90, 90)


def test_placeholder_is_the_operators_file_of_its_kind(tmp_path: Path) -> None:
    folder, source, target = tmp_path / "placeholders", tmp_path / "in.jpg", tmp_path / "out.png"
    folder.mkdir()
    source.write_bytes(b"hello")
    (folder / "Default.png").write_bytes(saved(Image.new("RGB", (30, 60), "red"), "PNG"))
    variables = {"CONTACT_IMAGE_PLACEHOLDERS__DIRECTORY": str(folder)}
    arguments = ("render", source, target, "--ifBlank", "Default", "-w", "20")
    assert invoke(*arguments, **variables).exit_code == 0
    assert shown(target.read_bytes()).size == (20, 40)
    assert shown(target.read_bytes()).getpixel((5, 5))[:3] == (255, 0, 0)
    (folder / "Default.png").write_bytes(b"no picture")
    result = invoke(*arguments, **variables)
    assert result.exit_code == 1 and f"placeholders.directory: {folder / 'Default.png'}" in result.output


def test_picture_is_decoded_in_the_sandbox_or_not_at_all(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.rendering.process.REQUIRED", {"landlock": 1000})
    target = photo.with_name("out.png")
    result = invoke("render", photo, target, CONTACT_IMAGE_RENDER__SANDBOX="require")
    assert result.exit_code == 1
    assert "render.sandbox: the kernel has no landlock" in result.output
    assert not target.exists()


def test_render_that_takes_too_long_is_ended(photo: Path) -> None:
    variables = {"CONTACT_IMAGE_RENDER__TIMEOUT": "0.000001"}
    result = invoke("render", photo, photo.with_name("out.png"), **variables)
    assert result.exit_code == 1
    assert "took longer than 1e-06 seconds" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("1.jpg", "out.xyz"), 2, "out.xyz has the suffix of no format that is written"),
        (("1.jpg", "out.heic"), 2, "no format that is written"),
        (("1.jpg", "out.png", "-w", "99999"), 2, "The parameter w must be an integer of at most 4096."),
        (("1.jpg", "out.png", "--fit", "round"), 2, "fit must be one of contain"),
        (("2.jpg", "out.png"), 1, "2.jpg cannot be read: No such file or directory"),
        (("/dev/zero", "out.png"), 1, "/dev/zero cannot be read: Is not a regular file"),
        (("1.jpg", "missing/out.png"), 1, "missing/out.png cannot be written: No such file or directory"),
    ],
)
def test_bad_arguments_are_named(photo: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = run("render", *arguments, cwd=photo.parent)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
