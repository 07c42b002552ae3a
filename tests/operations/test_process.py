"""The command as a process: what it prints, how it ends, and that no process outlives it."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from redis import ConnectionError, Redis

from tests.operations.running import (
    NEEDS_PROC,
    Answer,
    Process,
    Service,
    assert_port_is_free,
    assert_stopped,
    block_until,
    family,
    nothing_left,
    run,
    running,
)
from tests.pixels import shown

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"
BIG = "/api/v1/Contact/2/Image"
SCALED = f"{PICTURE}?w=300&type=avif"
HEAVIER = f"{PICTURE}?w=4000&type=avif"

HOW_TO_STOP = {
    "SIGTERM": lambda service: service.send(signal.SIGTERM),
    "SIGINT": lambda service: service.send(signal.SIGINT),
    "SIGTERM to the group": lambda service: service.send_group(signal.SIGTERM),
    "SIGINT to the group, as from a terminal": lambda service: service.send_group(signal.SIGINT),
}


@pytest.fixture(scope="module")
def pictures() -> Iterator[Path]:
    """The picture of contact 1 takes about a second to render large; that of contact 2 has 24 MB."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as name:
        folder = Path(name)
        Image.effect_noise((2400, 2400), 60).convert("RGB").save(folder / "1.jpg", quality=80)
        (folder / "2.jpg").write_bytes((folder / "1.jpg").read_bytes() + bytes(24_000_000))
        yield folder


class SlowReader:
    """A connection that has requested a picture and read the first piece of the answer."""

    def __init__(self, service: Service, path: str) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # bytes in the kernel count as sent
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", service.port))
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self._got = self._socket.recv(1024)

    def __enter__(self) -> SlowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def rest(self) -> Answer:
        """Read until the service closes the connection. Return the whole answer."""
        received = bytearray(self._got)
        while piece := self._socket.recv(1 << 20):
            received += piece
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Answer(int(first.split()[1]), headers, body)


class TestStop:
    @pytest.mark.parametrize("stop", HOW_TO_STOP.values(), ids=HOW_TO_STOP)
    def test_stop_waits_for_a_render_under_way(self, pictures: Path, stop: Callable[[Service], None]) -> None:
        with (
            running("--images", pictures) as service,
            ThreadPoolExecutor(1) as reader,
        ):
            before = service.with_renderers(1)
            with service.frozen_renderers():
                answer = reader.submit(service.get, SCALED)
                block_until(lambda: service.renders_started == 1, 60, "the render has begun")
                stop(service)
                block_until(lambda: not service.answers, 60, "no new connection is taken")
                assert not answer.done()
            assert answer.result().status == 200
            assert shown(answer.result().body).size == (300, 300)
            assert_stopped(service, before)

    @pytest.mark.parametrize("whole_group", [False, True], ids=["to the service", "to the group"])
    def test_stop_waits_until_a_slow_reader_has_every_byte(self, pictures: Path, whole_group: bool) -> None:
        with running("--images", pictures) as service:
            before = service.with_renderers(1)
            with SlowReader(service, BIG) as reader:
                (service.send_group if whole_group else service.send)(signal.SIGTERM)
                block_until(lambda: not service.answers, 60, "no new connection is taken")
                assert service.process.poll() is None
                answer = reader.rest()
            assert int(answer.headers["content-length"]) == len(answer.body)
            assert answer.body == (pictures / "2.jpg").read_bytes()
            assert_stopped(service, before)

    def test_stop_does_not_wait_for_an_idle_connection(self, pictures: Path) -> None:
        with running("--images", pictures) as service, socket.create_connection(("127.0.0.1", service.port)) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert idle.recv(4096).startswith(b"HTTP/1.1 200 ")
            begun = time.monotonic()
            service.send(signal.SIGTERM)
            assert_stopped(service, set())
            assert time.monotonic() - begun < 15

    def test_stop_before_the_service_listens_leaves_nothing(self) -> None:
        """The demo is drawing its pictures then."""
        with running("--demo", wait=False) as service:
            block_until(lambda: list(service.temporary.iterdir()), 60, "the folder is made")
            before = family(service.process.pid)
            service.send(signal.SIGTERM)
            service.end()
            nothing_left(service, before)
            assert "Traceback" not in service.logged


def _all_dead(processes: set[Process]) -> bool:
    return not any(each.alive for each in processes)


class TestKill:
    def test_service_that_is_killed_takes_a_frozen_renderer_with_it_and_frees_the_port(self, pictures: Path) -> None:
        """A frozen renderer stands for one whose decoder does not end."""
        with running("--images", pictures) as service, ThreadPoolExecutor(1) as reader:
            before = service.with_renderers(1)
            with service.frozen_renderers():
                answer = reader.submit(service.get, SCALED)
                block_until(lambda: service.renders_started == 1, 60, "it renders")
                service.send(signal.SIGKILL)
                assert service.end() == -signal.SIGKILL
                nothing_left(service, before, 20)
                assert_port_is_free(service)
                with pytest.raises(OSError):
                    answer.result()

    def test_idle_service_that_is_killed_leaves_nothing_after_five_seconds(self, pictures: Path) -> None:
        with running("--images", pictures, CONTACT_IMAGE_RENDER__WORKERS="2") as service:
            before = service.with_renderers(2)
            commands = " ".join(each.command for each in before)
            assert "valkey-server" in commands
            assert "_watchdog.py" in commands
            service.send(signal.SIGKILL)
            assert service.end() == -signal.SIGKILL
            nothing_left(service, before)

    def test_rendering_service_that_is_killed_leaves_nothing_after_five_seconds(self, pictures: Path) -> None:
        with (
            running("--images", pictures, CONTACT_IMAGE_RENDER__WORKERS="2") as service,
            ThreadPoolExecutor(2) as reader,
        ):
            before = service.with_renderers(2)
            answers = [reader.submit(service.get, f"{HEAVIER}&h={h}&fit=fill") for h in (3900, 4000)]
            block_until(lambda: service.renders_started == 2, 60, "both workers render")
            service.send(signal.SIGKILL)
            assert service.end() == -signal.SIGKILL
            nothing_left(service, before)
            for answer in answers:
                with pytest.raises(OSError):
                    answer.result()

    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize("watchdog", [False, True], ids=["server", "watchdog"])
    def test_private_server_that_dies_is_started_again_and_its_end_is_logged(
        self, pictures: Path, watchdog: bool, workers: int
    ) -> None:
        def in_use() -> bool:
            """Whether the service has put entries into the server, which is empty when it starts."""
            service.get(f"{PICTURE}?w={next(widths)}")
            (path,) = service.temporary.glob("contact-image-*/valkey.sock")
            with Redis.from_url(f"unix://{path}") as server, suppress(ConnectionError):
                return int(server.dbsize()) > 0
            return False

        def victims() -> set[Process]:
            both = (each for each in family(service.process.pid) if "valkey-server" in each.command and each.alive)
            return {each for each in both if ("_watchdog.py" in each.command) == watchdog}

        def endings() -> list[str]:
            return [line["ending"] for line in service.events if line["event"] == "cache.server_died"]

        widths = itertools.count(50)
        with running("--images", pictures, "--workers", str(workers)) as service:
            block_until(in_use, 60, "the server is in use")
            for deaths in (1, 2):
                before = victims()
                for each in before:
                    os.kill(each.pid, signal.SIGKILL)
                block_until(partial(_all_dead, before), 60, "it is dead")
                assert service.get(PICTURE).status == 200
                block_until(victims, 60, "another one runs")
                block_until(in_use, 60, "the new server is in use")
                block_until(lambda deaths=deaths: len(endings()) == deaths, 60, "its end is in the log")
            assert set(endings()) == {"the end of its watchdog" if watchdog else "signal SIGKILL"}
            before = family(service.process.pid)
            service.send(signal.SIGTERM)
            assert_stopped(service, before)


class TestRefusedStart:
    def test_port_in_use_prints_one_line(self, pictures: Path) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with running("--images", pictures, port=port, wait=False) as service:
                block_until(lambda: service.process.poll() is not None, 30, "it gives up")
                assert service.process.returncode == 1
                assert "Traceback" not in service.logged
                (line,) = [line for line in service.logged.splitlines() if str(port) in line]
                assert "127.0.0.1" in line
                assert "in use" in line
                nothing_left(service, set())

    def test_every_bad_setting_is_printed(self, tmp_path: Path) -> None:
        result = run(
            "serve",
            "--port",
            "70000",
            cwd=tmp_path,
            CONTACT_IMAGE_RENDER__QUEUE="none",
            CONTACT_IMAGE_CACHE__URL="http://:hunter2@cache",
            CONTACT_IMAGE_NOWHERE__X="1",
        )
        assert result.returncode == 1
        for name in ("SERVER__PORT", "RENDER__QUEUE", "CACHE__URL", "NOWHERE__X"):
            assert f"CONTACT_IMAGE_{name}" in result.stderr
        assert "Traceback" not in result.stderr
        assert "hunter2" not in result.stderr
        assert result.stdout == ""


def test_python_m_service_is_the_command(tmp_path: Path) -> None:
    module = subprocess.run(
        [sys.executable, "-P", "-m", "service", "--version"], capture_output=True, text=True, check=True
    )
    assert module.stdout.split()[-1] == run("--version", cwd=tmp_path).stdout.split()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_exposed_service_warns_once(tmp_path: Path, workers: str) -> None:
    for host, warnings in (("127.0.0.1", 0), ("0.0.0.0", 1)):
        with running("--images", tmp_path, "--host", host, "--workers", workers) as service:
            logged = service.logged
        assert logged.count('"server.exposed"') == warnings, host
