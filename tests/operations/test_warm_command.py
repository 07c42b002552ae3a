"""`contact-image warm` against a real service: what is in its caches afterwards, failures, and the state file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from service.access.identity import READER
from service.access.verifiers.users_text import line as user_line
from tests.operations.running import COMMAND, TIMEOUT, Service, block_until, free_port, run, running

BROWSER = {"Accept": "image/avif,image/webp,*/*;q=0.8"}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of contacts 1 to 40."""
    folder = tmp_path_factory.mktemp("images")
    for contact in range(1, 41):
        Image.new("RGB", (60, 40), (contact * 6, 90, 90)).save(folder / f"{contact}.png")
    return folder


@pytest.fixture(scope="module")
def service(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    config = tmp_path_factory.mktemp("config") / "config.toml"
    config.write_text("[render.presets]\navatar = 'w=20&h=20&fit=cover'\n")
    with running("--images", images, "--config", config) as service:
        yield service


def base(service: Service) -> tuple[str, str]:
    return "--url", f"http://127.0.0.1:{service.port}"


def is_hit(service: Service, target: str) -> bool:
    return "; hit" in service.get(f"/api/v1/Contact/{target}", BROWSER).headers["cache-status"]


def test_pictures_of_ids_ranges_and_a_file_are_hits_afterwards(service: Service, tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("5 7-8\n9\n")
    arguments = ("1-3", "50", "--file", "ids", "--query", "w=16", "--preset", "avatar", "--rate", "500")
    result = run("warm", *arguments, *base(service), cwd=tmp_path)
    assert (result.returncode, result.stdout) == (
        0,
        "warmed 14 (0 were cached), 2 without a picture, 0 failed\n",
    ), result.stderr
    started = service.renders_started
    for contact in (1, 2, 3, 5, 7, 8, 9):
        assert is_hit(service, f"{contact}/Image?w=16")
        assert is_hit(service, f"{contact}/Image?preset=avatar")
    assert service.renders_started == started
    result = run("warm", *arguments, *base(service), cwd=tmp_path)
    assert result.stdout == "warmed 14 (14 were cached), 2 without a picture, 0 failed\n"


def test_accept_chooses_the_format(service: Service, tmp_path: Path) -> None:
    result = run("warm", "1", "--query", "w=17", "--accept", "image/webp", *base(service), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answer = service.get("/api/v1/Contact/1/Image?w=17", {"Accept": "image/webp"})
    assert answer.headers["content-type"] == "image/webp"
    assert "; hit" in answer.headers["cache-status"]
    assert not is_hit(service, "1/Image?w=17")


def test_failure_ends_with_1_and_is_requested_again_with_the_state(
    service: Service, images: Path, tmp_path: Path
) -> None:
    picture = (images / "4.png").read_bytes()
    (images / "4.png").write_bytes(picture[:50])
    arguments = ("warm", "4-6", "--query", "w=18", "--state", "state", *base(service))
    try:
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 1
        assert "warmed 2 (0 were cached), 0 without a picture, 1 failed\n" in result.stdout
        assert re.search(r"(?m)^4 w=18: 422 .*corrupt", result.stderr)
    finally:
        (images / "4.png").write_bytes(picture)
    block_until(lambda: service.get("/api/v1/Contact/4/Image?w=10").status == 200, TIMEOUT, "the picture is seen")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "warmed 1 (0 were cached), 0 without a picture, 0 failed; 2 were done before\n"
    result = run(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "Warming: 0/0\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_next_run_requests_what_a_stopped_one_left(service: Service, tmp_path: Path, number: signal.Signals) -> None:
    state = tmp_path / "state"
    arguments = ("warm", "1-40", "--query", f"w={20 + number}", "--state", str(state), *base(service))
    with subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stopped:
        block_until(lambda: state.exists() and state.read_bytes().count(b"\n") > 5, TIMEOUT, "some are done")
        stopped.send_signal(number)
        _, errors = stopped.communicate(timeout=TIMEOUT)
    assert stopped.returncode == (1 if number == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in errors
    done = state.read_text().count("\n") - 1
    assert 5 <= done < 40
    with state.open("a") as torn:
        torn.write("4")  # as a crash may leave it
    result = run(*arguments, "--rate", "1000", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"0 failed; {done} were done before\n")
    assert sorted(state.read_text().splitlines()[1:]) == sorted(f"{each} w={20 + number}" for each in range(1, 41))


def test_state_of_other_work_and_other_files_are_refused_and_stay(service: Service, tmp_path: Path) -> None:
    arguments = ("warm", "1", "--query", "w=19", *base(service))
    assert run(*arguments, "--state", "state", cwd=tmp_path).returncode == 0
    (tmp_path / "ids").write_bytes(b"1 2 3")
    for name, more in (("state", ("--accept", "image/webp")), ("ids", ())):
        before = (tmp_path / name).read_bytes()
        result = run(*arguments, "--state", name, *more, cwd=tmp_path)
        assert result.returncode == 1
        assert f"Error: {name} is no state of this work" in result.stderr
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes().partition(b"\n")[0])  # its writer was killed
    assert "warmed 1 (1 were cached)" in run(*arguments, "--state", "state", cwd=tmp_path).stdout
    assert "1 were done before" in run(*arguments, "--state", "state", cwd=tmp_path).stdout
    result = run(*arguments, "--state", "missing/state", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (1, "Error: missing/state cannot be used: No such file or directory\n")


def test_no_more_than_the_rate_is_requested(service: Service, tmp_path: Path) -> None:
    begun = time.monotonic()
    assert run("warm", "1-11", "--query", "w=12", *base(service), cwd=tmp_path).returncode == 0
    assert time.monotonic() - begun >= 10 / 20


def test_service_that_does_not_answer_ends_the_run(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = run("warm", "1-100000", "--query", "w=1", "--rate", "10000", "--url", url, cwd=tmp_path)
    assert result.returncode == 1
    assert "requests failed: the service does not work" in result.stderr
    assert result.stderr.count("Cannot connect") == 10
    assert "Traceback" not in result.stderr


def test_url_below_which_nothing_is_found_is_a_failure(service: Service, tmp_path: Path) -> None:
    _, url = base(service)
    result = run("warm", "1-3", "--query", "w=1", "--url", f"{url}/pictures", cwd=tmp_path)
    assert result.returncode == 1
    assert "is --url right?" in result.stderr


def test_reason_of_a_refused_query_is_printed(service: Service, tmp_path: Path) -> None:
    result = run("warm", "1", "--query", "w=1&fit=round", *base(service), cwd=tmp_path)
    assert result.returncode == 1
    assert re.search(r"1 w=1&fit=round: 400 Bad Request: .*fit must be one of contain", result.stderr)


def test_redirect_is_not_followed_and_no_escape_sequence_is_printed(tmp_path: Path) -> None:
    """Another server may answer at the URL."""
    paths = []

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b'{"detail": "\\u001b[2J go there"}')

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = run("warm", "1", "--query", "w=1", "--url", url, cwd=tmp_path)
        server.shutdown()
    assert result.returncode == 1
    assert paths == ["/api/v1/Contact/1/Image?w=1"]
    assert "\\x1b[2J go there" in result.stderr
    assert "\x1b" not in result.stderr


def test_detail_that_cannot_be_read_is_one_failure(tmp_path: Path) -> None:
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(500)
            self.end_headers()
            self.wfile.write(b"[" * 60_000)

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = run("warm", "1-3", "--query", "w=1", "--url", f"http://127.0.0.1:{server.server_port}", cwd=tmp_path)
        server.shutdown()
    assert (result.returncode, result.stdout) == (1, "warmed 0 (0 were cached), 0 without a picture, 3 failed\n")
    assert "1 w=1: 500 Internal Server Error\n" in result.stderr


def test_name_and_password_come_from_netrc(images: Path, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(user_line("ann", "secret-of-ann", READER) + "\n")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password secret-of-ann\n")
    (tmp_path / "netrc").chmod(0o600)
    variables = {"CONTACT_IMAGE_AUTH__SCHEMES": "basic", "CONTACT_IMAGE_AUTH__USERS_FILE": str(tmp_path / "users")}
    with running("--images", images, **variables) as service:
        arguments = ("warm", "1", "--query", "w=16", *base(service))
        result = run(*arguments, cwd=tmp_path, NETRC=str(tmp_path / "none"))
        assert result.returncode == 1
        assert "401 Unauthorized" in result.stderr
        result = run(*arguments, cwd=tmp_path, NETRC=str(tmp_path / "netrc"))
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name contacts"),
        (("1",), "give a --query or a --preset"),
        (("0", "--query", "w=1"), "'0' is no id"),
        (("7-3", "--query", "w=1"), "'7-3' is no id"),
        (("1-4294967296", "--query", "w=1"), "no range of ids"),
        (("1", "--query", "w=1", "--rate", "0"), "--rate"),
        (("1", "--query", "w=1", "--url", "ftp://there"), "--url"),
        (("1", "--query", "w=1", "--url", "http://ann:secret@there"), "without credentials"),
        (("--file", "missing", "--query", "w=1"), "missing"),
        (("1", "--query", "w=1\n2 w=1"), "no control characters"),
        (("1", "--query", "w=1", "--accept", "*/*\r\nX: y"), "no control characters"),
        (("1", "--query", "w=1", "--accept", os.fsdecode(b"\xff"), "--state", "state"), "in the encoding"),
    ],
)
def test_bad_arguments_are_named(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    result = run("warm", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert words in result.stderr


def test_progress_is_a_bar_with_rate_and_time_left_in_a_terminal(service: Service) -> None:
    reader, terminal = os.openpty()
    seen = b""
    command = [*COMMAND, "warm", "1-30", "--query", "w=11", *base(service)]
    environment = os.environ | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as warm:
        os.close(terminal)
        try:
            while not re.search(rb"30/30\D*[\d.]+/s\D*0:00:00", re.sub(rb"\x1b\[[\d;?]*[A-Za-z]", b"", seen)):
                seen += os.read(reader, 4096)
        finally:
            os.close(reader)
    assert warm.returncode == 0
    assert b"Warming" in seen


def test_progress_is_lines_without_a_terminal(service: Service, tmp_path: Path) -> None:
    result = run("warm", "1-3", "--query", "w=13", *base(service), cwd=tmp_path)
    first, last = result.stderr.splitlines()
    assert first == "Warming: 0/3"
    assert re.fullmatch(r"Warming: 3/3 [\d.]+/s 0:00:00 left", last)
