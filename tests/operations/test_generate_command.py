"""`contact-image generate`: pictures that depend on the seed only, and folders that it leaves alone."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.operations.running import COMMAND, TIMEOUT, block_until, family, run, running
from tests.pixels import shown


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_seed_gives_the_same_pictures_and_another_gives_others(tmp_path: Path) -> None:
    for folder, count, seed in (("a", "20", "7"), ("b/below", "12", "7"), ("c", "12", "8")):
        result = run("generate", count, folder, "--seed", seed, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (0, f"drawn: {count} pictures in {folder}\n"), result.stderr
        assert result.stderr.splitlines()[0] == f"Drawing: 0/{count}"
    first, second, other = (contents(tmp_path / each) for each in ("a", "b/below", "c"))
    assert {name.split(".")[0] for name in first} == {str(contact) for contact in range(1, 21)}
    assert second.items() <= first.items()
    assert not set(first.values()) & set(other.values())
    assert {name.split(".")[1] for name in first} >= {"jpg", "png"}
    assert len(set(first.values())) == 20


def test_drawn_pictures_are_served(tmp_path: Path) -> None:
    assert run("generate", "4", "images", cwd=tmp_path).returncode == 0
    with running("--images", tmp_path / "images") as service:
        for contact in range(1, 5):
            answer = service.get(f"/api/v1/Contact/{contact}/Image?w=100")
            assert shown(answer.body).width == 100


def test_folder_with_files_and_a_file_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"a photograph")
    result = run("generate", "2", "images", cwd=tmp_path)
    assert result.returncode == 1
    assert "images is not empty" in result.stderr
    assert contents(tmp_path / "images") == {"1.jpg": b"a photograph"}
    result = run("generate", "2", "images/1.jpg", cwd=tmp_path)
    assert result.returncode == 2
    result = run("generate", "2", "/proc/images", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "/proc/images cannot be written" in result.stderr


def test_interrupt_ends_all_processes_without_a_traceback(tmp_path: Path) -> None:
    command = [*COMMAND, "generate", "100000", str(tmp_path / "images")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as drawing:
        block_until(lambda: list(tmp_path.glob("images/*.jpg")), TIMEOUT, "it draws")
        relatives = family(drawing.pid)
        drawing.send_signal(signal.SIGINT)
        _, errors = drawing.communicate(timeout=TIMEOUT)
    assert drawing.returncode == 1
    assert "Traceback" not in errors
    block_until(lambda: not any(each.alive for each in relatives), TIMEOUT, "no process is left")
