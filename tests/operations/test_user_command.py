"""`contact-image user add`: the users' file that it writes, and the passwords that it accepts."""

from __future__ import annotations

import fcntl
import os
import pty
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from service.access.identity import READER, Role
from service.access.verifiers.users_storage import add_user, read
from service.access.verifiers.users_text import line, matches
from service.cli import main
from tests.operations.running import COMMAND

Add = Callable[..., Result]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CONTACT_IMAGE_")}


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.verifiers.users_text._HASHER", PasswordHasher(1, 64, 1))


@pytest.fixture
def add(cheap_hashes: None) -> Add:
    """Run `user add` in this process, with *password* as standard input."""

    def run(*arguments: str | Path, password: bytes = b"Tje0\n", **variables: str) -> Result:
        unset = dict.fromkeys(name for name in os.environ if name.startswith("CONTACT_IMAGE_"))
        return CliRunner().invoke(
            main, ["user", "add", *map(str, arguments)], input=password, env=unset | dict(variables)
        )

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_first_user_creates_a_file_for_its_owner_only(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "user", "add", "tje0", "--file", path],
        cwd=tmp_path,
        env=environment(),
        input=b"Tje0\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"added tje0 in {path} (read)\n".encode(), b"")
    (user,) = read(path).values()
    assert matches(user.hash, b"Tje0") and user.identity.roles == READER
    assert mode(path) == 0o600
    assert path.read_bytes().startswith(b"tje0:$argon2id$v=19$m=65536,t=3,p=4$")
    assert [*path.parent.iterdir()] == [path]


def test_existing_user_is_replaced_and_other_lines_stay(add: Add, path: Path) -> None:
    add_user(path, "ann", "Ann's", [Role.PURGE])
    add_user(path, "tje0", "old")
    path.write_text("# a comment\n\n" + path.read_text())
    path.chmod(0o640)
    before = path.read_text().splitlines()
    done = add("tje0", "--file", path, "--role", "write", "--role", "read")
    assert done.stdout == f"replaced tje0 in {path} (write, read)\n"
    after = path.read_text().splitlines()
    assert after[:3] == before[:3] and len(after) == 4 and after[3] != before[3]
    user = read(path)["tje0"]
    assert matches(user.hash, b"Tje0") and not matches(user.hash, b"old")
    assert user.identity.roles == {Role.READ, Role.WRITE}
    assert mode(path) == 0o640


@pytest.mark.usefixtures("cheap_hashes")
def test_owner_of_the_file_is_kept(path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root can give files away")
    add_user(path, "ann", "Ann's")
    os.chown(path, 12345, 12346)
    assert not add_user(path, "tje0", "Tje0")
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (12345, 12346, 0o600)


def test_pipe_in_place_of_the_file_is_an_error(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match="Is not a regular file"):
        add_user(path, "tje0", "Tje0")


@pytest.mark.usefixtures("cheap_hashes")
def test_symbolic_link_is_kept(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not add_user(link, "tje0", "Tje0")
    assert link.is_symlink() and [*read(path)] == ["tje0"]


@pytest.mark.usefixtures("cheap_hashes")
def test_concurrent_reader_reads_the_whole_old_file(path: Path) -> None:
    add_user(path, "ann", "Ann's")
    with path.open() as file:
        assert add_user(path, "ann", "another")
        assert file.read() != path.read_text()
        assert os.fstat(file.fileno()).st_ino != path.stat().st_ino


@pytest.mark.usefixtures("cheap_hashes")
def test_concurrent_changes_of_the_file_are_all_kept(path: Path) -> None:
    add_user(path, "ann", "Ann's")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        adding = Thread(target=add_user, args=(path, "bob", "Bob's"))
        adding.start()
        adding.join(0.5)
        assert adding.is_alive() and [*read(path)] == ["ann"]
        new = path.with_name("new")
        new.write_text(path.read_text() + line("carol", "Carol's"))
        new.replace(path)
    adding.join(60)
    assert [*read(path)] == ["ann", "carol", "bob"]
    assert [*path.parent.iterdir()] == [path]


def test_file_is_that_of_the_settings_unless_an_option_names_one(add: Add, path: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f"[auth]\nusers_file = '{path}'\n")
    assert add("ann", "--config", config).exit_code == 0
    assert add("bob", CONTACT_IMAGE_AUTH__USERS_FILE=str(path)).exit_code == 0
    assert [*read(path)] == ["ann", "bob"]
    done = add("carol")
    assert done.exit_code == 2 and "auth.users_file is empty: give --file." in done.stderr


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("an:n", b"hush", b"name has no colon"),
        ("#ann", b"hush", b"name has no colon"),
        ("", b"hush", b"name has no colon"),
        ("an\nn", b"hush", b"name has no colon"),
        ("ann", b"", b"no password came by standard input"),
        ("ann", b"\n", b"no password came by standard input"),
        ("ann", b"hu\x07sh", b"no control character"),
        ("ann", b"\xffhush", b"UTF-8"),
        ("ann", b"hush" * 2000, b"at most 1024 bytes"),
    ],
)
def test_unusable_name_or_password_is_reported_and_changes_nothing(
    add: Add, path: Path, name: str, password: bytes, message: bytes
) -> None:
    done = add("--file", path, "--", name, password=password)
    assert isinstance(done.exception, SystemExit) and done.exit_code and not done.stdout
    assert message in done.stderr_bytes and b"hush" not in done.stderr_bytes
    assert not path.exists()


@pytest.mark.parametrize("password", [b"Tje0", b"Tje0\n", b"Tje0\r\n", b"Tje0\nTje0\n"])
def test_password_may_be_piped_once_or_twice(add: Add, path: Path, password: bytes) -> None:
    assert add("tje0", "--file", path, password=password).exit_code == 0
    assert matches(read(path)["tje0"].hash, b"Tje0")


def test_two_different_passwords_are_refused(add: Add, path: Path) -> None:
    done = add("tje0", "--file", path, password=b"Tje0\nTje1\n")
    assert done.exit_code != 0
    assert "not the same" in done.stderr
    assert not path.exists()


def test_unknown_role_is_refused(add: Add, path: Path) -> None:
    done = add("ann", "--file", path, "--role", "admin")
    assert done.exit_code == 2 and all(role.value in done.stderr for role in Role)


def test_every_role_can_be_assigned(add: Add, path: Path) -> None:
    assert add("ann", "--file", path, *(part for role in Role for part in ("--role", role.value))).exit_code == 0
    assert read(path)["ann"].identity.roles == set(Role)


def test_file_with_a_fault_is_not_changed(add: Add, path: Path) -> None:
    path.write_text("hush:hush\n")
    done = add("ann", "--file", path)
    assert done.exit_code == 1 and f"{path}: line 1: " in done.stderr and "hush" not in done.stderr
    assert path.read_text() == "hush:hush\n"
    assert [*path.parent.iterdir()] == [path]


def test_missing_folder_is_reported(add: Add, tmp_path: Path) -> None:
    done = add("ann", "--file", tmp_path / "none" / "users")
    assert done.exit_code == 1 and "cannot be changed: No such file" in done.stderr


def test_terminal_prompts_twice_and_never_shows_the_password(path: Path, tmp_path: Path) -> None:
    terminal, child_end = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "user", "add", "tje0", "--file", path],
        cwd=tmp_path,
        env=environment(),
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
        start_new_session=True,
    )
    os.close(child_end)
    shown = b""

    def answer(prompt: bytes, text: bytes) -> None:
        nonlocal shown
        deadline, before = time.monotonic() + 60, len(shown)
        while prompt not in shown[before:]:
            assert time.monotonic() < deadline, shown
            shown += os.read(terminal, 4096)
        os.write(terminal, text)

    answer(b"Password: ", b"hush\n")
    answer(b"confirmation: ", b"hash\n")
    answer(b"Password: ", b"hush\n")
    answer(b"confirmation: ", b"hush\n")
    answer(b"added tje0", b"")
    assert process.wait(60) == 0
    os.close(terminal)
    assert b"hush" not in shown and b"hash" not in shown
    assert matches(read(path)["tje0"].hash, b"hush")
