"""The stop of one process and of several: its time is bounded, a second signal ends at once, a drain comes first."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import (
    COMMAND,
    NEEDS_PROC,
    Service,
    assert_stopped,
    block_until,
    family,
    nothing_left,
    running,
)

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"
BIG = "/api/v1/Contact/2/Image"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture of contact 2 has 24 MB, which do not fit into the buffers of the kernel."""
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((600, 600), 60).convert("RGB").save(folder / "1.jpg", quality=80)
    (folder / "2.jpg").write_bytes((folder / "1.jpg").read_bytes() + bytes(24_000_000))
    return folder


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def workers(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@contextmanager
def ready_service(
    pictures: Path, workers: int, *, command: tuple[str, ...] = COMMAND, **server: float
) -> Iterator[Service]:
    """Run a service with *workers* processes and the settings *server*. It has a render process for each."""
    variables = {f"CONTACT_IMAGE_SERVER__{name.upper()}": str(value) for name, value in server.items()}
    variables["CONTACT_IMAGE_RENDER__WORKERS"] = str(workers)
    with running("--images", pictures, "--workers", str(workers), command=command, **variables) as service:
        service.with_renderers(workers)
        yield service


class KeptConnection:
    """A connection that is used for several requests."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)

    def __enter__(self) -> KeptConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str) -> tuple[int, str | None]:
        """Return the status and the field `Connection` of the answer."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = http.client.HTTPResponse(self._socket, method="GET")
        answer.begin()
        answer.read()
        return answer.status, answer.headers["Connection"]

    def closed(self) -> bool:
        """Wait until the service closes the connection. Return whether it sends nothing before."""
        return self._socket.recv(1) == b""


@contextmanager
def stuck_reader(service: Service) -> Iterator[None]:
    """Request a large picture and read only the first bytes."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(20)
        line.connect(("127.0.0.1", service.port))
        line.sendall(f"GET {BIG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert line.recv(1024)
        yield


def refuses(service: Service) -> bool:
    """Whether no process listens."""
    try:
        with socket.create_connection(("127.0.0.1", service.port), timeout=20):
            return False
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # closed between the handshake and this call
        return False


def readiness(service: Service) -> tuple[int, str]:
    answer = service.get("/readyz")
    return answer.status, json.loads(answer.body)["status"]


class TestBound:
    def test_stop_waits_one_shutdown_timeout_for_a_stuck_reader(self, pictures: Path, workers: int) -> None:
        """The promise is 12 seconds. aiohttp alone would wait for 20."""
        with ready_service(pictures, workers, shutdown_timeout=10) as service:
            before = family(service.process.pid)
            with stuck_reader(service):
                begun = time.monotonic()
                service.send(signal.SIGTERM)
                assert service.end(60) == 0
                assert 9.9 < time.monotonic() - begun < 19
            nothing_left(service, before)
            assert service.errors == []
            assert "Traceback" not in service.logged

    def test_frozen_process_does_not_keep_the_others_from_ending(self, pictures: Path) -> None:
        """The promise is 3 seconds."""
        with ready_service(pictures, 2, shutdown_timeout=1) as service:
            before = family(service.process.pid)
            os.kill(min(each.pid for each in service.servers), signal.SIGSTOP)
            begun = time.monotonic()
            service.send(signal.SIGTERM)
            assert service.end(60) == 0
            assert time.monotonic() - begun < 20
            nothing_left(service, before)

    def test_second_signal_ends_the_service_at_once(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers, shutdown_timeout=600) as service:
            before = family(service.process.pid)
            with stuck_reader(service):
                service.send(signal.SIGTERM)
                block_until(lambda: refuses(service), 60, "no process listens")
                assert service.process.poll() is None
                time.sleep(0.6)  # earlier ones count as the same signal
                service.send(signal.SIGINT)
                assert service.end(60) == 0
            nothing_left(service, before)
            assert service.errors == []
            assert "Traceback" not in service.logged

    def test_signals_of_one_moment_count_as_one(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers) as service, ThreadPoolExecutor(1) as reader:
            before = family(service.process.pid)
            with service.frozen_renderers():
                answer = reader.submit(service.get, f"{PICTURE}?w=300&type=avif")
                block_until(lambda: service.renders_started == 1, 60, "the render has begun")
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                    service.send_group(number)
                block_until(lambda: refuses(service), 60, "no process listens")
                time.sleep(1.2)
                assert not answer.done()
            assert answer.result().status == 200
            assert_stopped(service, before)


class TestListener:
    def test_no_process_listens_while_a_request_in_flight_finishes(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers) as service, ThreadPoolExecutor(1) as reader:
            before = family(service.process.pid)
            with service.frozen_renderers():
                answer = reader.submit(service.get, f"{PICTURE}?w=300&type=avif")
                block_until(lambda: service.renders_started == 1, 60, "the render has begun")
                service.send(signal.SIGTERM)
                block_until(lambda: refuses(service), 8, "no process listens")
                assert not answer.done()
            assert answer.result().status == 200
            assert_stopped(service, before)


class TestDrain:
    @pytest.mark.parametrize("whole_group", [False, True], ids=["to the service", "to the group"])
    def test_requests_are_taken_and_readyz_is_503_until_the_drain_is_over(
        self, pictures: Path, workers: int, whole_group: bool
    ) -> None:
        with ready_service(pictures, workers, drain=600) as service:
            before = family(service.process.pid)
            (service.send_group if whole_group else service.send)(signal.SIGTERM)
            block_until(lambda: readiness(service) == (503, "draining"), 60, "the drain has begun")
            time.sleep(1.5)
            for _ in range(10):
                assert readiness(service) == (503, "draining")
                assert service.get("/healthz").status == 200
                assert service.get(f"{PICTURE}?w=60").status == 200
            service.send(signal.SIGTERM)
            assert service.end(60) == 0
            nothing_left(service, before)
            assert service.errors == []

    def test_kept_connections_are_closed_after_the_next_answer(self, pictures: Path, workers: int) -> None:
        """A picture that is repeated, one that is not, an error, and a request without an answer of the application."""
        paths = (f"{PICTURE}?w=60", f"{PICTURE}?w=63", "/nothing", "/readyz")
        with ready_service(pictures, workers, drain=600) as service, ExitStack() as stack:
            assert {service.get(paths[0]).status for _ in range(12)} == {200}
            kept = [stack.enter_context(KeptConnection(service.port)) for _ in paths]
            for each in kept:
                assert each.get("/healthz")[1] is None
            service.send(signal.SIGTERM)
            block_until(lambda: all(readiness(service)[0] == 503 for _ in range(8)), 60, "the drain has begun")
            assert [each.get(path) for each, path in zip(kept, paths, strict=True)] == [
                (200, "close"),
                (200, "close"),
                (404, "close"),
                (503, "close"),
            ]
            for each in kept:
                assert each.closed()
            time.sleep(0.6)  # earlier ones count as the same signal
            service.send(signal.SIGTERM)
            assert service.end(60) == 0

    def test_drain_ends_by_itself(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers, drain=1) as service:
            before = family(service.process.pid)
            service.send(signal.SIGTERM)
            block_until(lambda: refuses(service), 60, "no process listens")
            assert_stopped(service, before)


class TestOtherSignals:
    def test_sigusr1_and_sigusr2_do_not_end_a_process(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers) as service:
            before = family(service.process.pid)
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                service.send(number)
                service.send_group(number)
            time.sleep(1.2)
            assert service.get(f"{PICTURE}?w=61").status == 200
            assert family(service.process.pid) == before
            service.send(signal.SIGTERM)
            assert_stopped(service, before)

    def test_sighup_neither_ends_nor_reloads_a_service_that_nohup_started(self, pictures: Path, workers: int) -> None:
        with ready_service(pictures, workers, command=("nohup", *COMMAND)) as service:
            before = family(service.process.pid)
            service.send(signal.SIGHUP)
            service.send_group(signal.SIGHUP)
            time.sleep(1.2)
            assert service.get(f"{PICTURE}?w=62").status == 200
            assert family(service.process.pid) == before
            assert "server.reload" not in service.logged
            service.send(signal.SIGTERM)
            assert service.end() == 0
            nothing_left(service, before)
