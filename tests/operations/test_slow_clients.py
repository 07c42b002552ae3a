"""Slow clients and too many connections: neither keeps other clients out."""

from __future__ import annotations

import json
import resource
import socket
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from PIL import Image

from tests.operations.running import COMMAND, NEEDS_PROC, Service, block_until, running

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"
REQUEST = f"GET {PICTURE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHORT_LIMITS = {
    "CONTACT_IMAGE_SERVER__HEADER_TIMEOUT": "1",
    "CONTACT_IMAGE_SERVER__KEEPALIVE_TIMEOUT": "3",
    "CONTACT_IMAGE_SERVER__WRITE_TIMEOUT": "1",
    "CONTACT_IMAGE_SERVER__CONNECTIONS": "24",
    "CONTACT_IMAGE_RENDER__WORKERS": "1",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((120, 120), 60).convert("RGB").save(folder / "1.jpg", quality=90)
    with running("--images", folder, **SHORT_LIMITS) as running_service:
        running_service.with_renderers(1)
        yield running_service


def connect(service: Service) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def ended_after(line: socket.socket) -> float:
    """Return the seconds until the service closes the connection; bytes before that are ignored."""
    begun = time.monotonic()
    try:
        while line.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


def whole_answer(line: socket.socket) -> bytes:
    """Read one whole answer, and return its header."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = line.recv(1 << 16)
        assert piece, f"closed after {received!r}"
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (int(each.split(b":")[1]) for each in head.lower().split(b"\r\n") if each.startswith(b"content-length"))
    while len(body) < length:
        piece = line.recv(1 << 16)
        assert piece
        body += piece
    return head


@pytest.fixture(scope="module", autouse=True)
def unread(service: Service) -> Iterator[Future[float]]:
    """Seconds until a connection with an unread body is closed. The wait is the longest, so it begins first."""
    with connect(service) as line, ThreadPoolExecutor(1) as reader:
        line.sendall(f"GET {PICTURE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".encode())
        assert whole_answer(line).startswith(b"HTTP/1.1 200")
        yield reader.submit(ended_after, line)


def trickle(line: socket.socket) -> float:
    """Send a header a byte at a time, and return the seconds until the service closes the connection."""
    begun = time.monotonic()
    line.settimeout(0.2)
    line.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    while time.monotonic() - begun < 30:
        try:
            line.sendall(b"a")
            if line.recv(1 << 16) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - begun


def test_silent_connection_is_closed(service: Service) -> None:
    with connect(service) as line:
        assert 0.8 < ended_after(line) < 20


def test_trickled_header_is_closed(service: Service) -> None:
    with connect(service) as line:
        assert 0.8 < trickle(line) < 20


def test_trickled_header_of_a_later_request_is_closed(service: Service) -> None:
    with connect(service) as line:
        for _ in range(2):
            line.sendall(REQUEST)
            assert whole_answer(line).startswith(b"HTTP/1.1 200")
        assert 0.8 < trickle(line) < 20


def test_idle_connection_is_kept_for_the_keepalive_timeout(service: Service) -> None:
    """This time is longer than that of a header."""
    with connect(service) as line:
        line.sendall(HEALTH)
        whole_answer(line)
        time.sleep(1.9)
        line.sendall(HEALTH)
        whole_answer(line)
        assert 2.5 < ended_after(line) < 20


def test_client_that_reads_no_answers_is_closed(service: Service) -> None:
    before = _resident(service)
    with connect(service) as line:
        line.settimeout(5)
        begun = time.monotonic()
        try:
            while time.monotonic() - begun < 30:
                line.sendall(REQUEST * 100)
        except OSError:
            pass  # the service reads no more, or has closed the connection
        block_until(lambda: line.getsockname()[1] not in _clients(service), 30, "the connection is closed")
    assert _resident(service) - before < 64 * 2**20


def test_compressed_body_is_not_inflated(service: Service) -> None:
    bomb = zlib.compress(bytes(200_000_000), 9)
    before = _resident(service)
    with connect(service) as line:
        fields = f"Host: localhost\r\nContent-Encoding: deflate\r\nContent-Length: {len(bomb)}"
        line.sendall(f"GET {PICTURE} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + bomb)
        assert whole_answer(line).startswith(b"HTTP/1.1 200")
    assert _resident(service) - before < 64 * 2**20


def test_idle_connections_are_replaced(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(24):
            line = stack.enter_context(connect(service))
            line.sendall(HEALTH)
            whole_answer(line)
        assert service.get("/healthz").status == 200
        assert service.get(PICTURE).status == 200
        assert len(_clients(service)) <= 25


def test_silent_connections_are_replaced(service: Service) -> None:
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connect(service))
        for _ in range(5):
            assert service.get("/healthz").status == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: two\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nNo colon here\r\n\r\n",
    ],
    ids=["another protocol", "an unknown version", "a length in words", "a long line", "no colon"],
)
def test_malformed_request_is_400_as_a_problem(service: Service, request_: bytes) -> None:
    with connect(service) as line:
        line.sendall(request_)
        received = b""
        while piece := line.recv(1 << 16):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    fields = head.decode().lower().split("\r\n")
    assert fields[0].split()[1] == "400"
    assert "server: contact-image" in fields
    assert "content-type: application/problem+json" in fields
    assert "cache-control: no-store" in fields
    problem = json.loads(body)
    assert problem["status"] == 400
    assert problem["Error"] is True
    assert "Traceback" not in service.logged


def test_descriptors_suffice_for_the_connections(tmp_path: Path) -> None:
    with running("--images", tmp_path) as service:
        limits = Path(f"/proc/{service.process.pid}/limits").read_text().splitlines()
        (soft, hard) = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    enough = 4096 + 256
    assert int(soft) >= enough or soft == hard
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == int(hard)


def test_half_open_connections_leave_descriptors_for_other_requests(tmp_path: Path) -> None:
    Image.effect_noise((120, 120), 60).convert("RGB").save(tmp_path / "1.jpg")
    few = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND)
    with running("--images", tmp_path, command=few) as service, ExitStack() as stack:
        service.with_renderers(1)
        for _ in range(100):
            stack.enter_context(connect(service)).sendall(b"GET /healthz HTTP/1.1\r\n")
        for width in range(1, 21):
            assert service.get("/healthz").status == 200
            answer = service.get(f"{PICTURE}?w={width}")
            assert answer.status == 200
            assert "fwd=miss" in answer.headers["cache-status"]
        assert service.get("/readyz").status == 200
        assert service.errors == []


def test_connections_beyond_the_limit_are_closed_while_all_are_busy(tmp_path: Path) -> None:
    Image.effect_noise((120, 120), 60).convert("RGB").save(tmp_path / "1.jpg")
    limits = {"CONTACT_IMAGE_SERVER__CONNECTIONS": "16", "CONTACT_IMAGE_RENDER__WORKERS": "1"}
    with running("--images", tmp_path, **limits) as service, ExitStack() as stack:
        service.with_renderers(1)
        with service.frozen_renderers():
            busy = [stack.enter_context(connect(service)) for _ in range(16)]
            for width, line in enumerate(busy, 1):
                line.sendall(f"GET {PICTURE}?w={width} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(0.5)  # all of them are being answered
            for _ in range(10):
                line = stack.enter_context(connect(service))
                with suppress(ConnectionError):
                    line.sendall(HEALTH)
                    assert line.recv(1) == b""
        for line in busy:
            assert whole_answer(line).startswith(b"HTTP/1.1 200")
        assert service.get("/healthz").status == 200
        assert service.errors == []
        assert "Traceback" not in service.logged


def test_unread_body_does_not_hold_a_connection(unread: Future[float]) -> None:
    assert unread.result() < 18


def _resident(service: Service) -> int:
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _clients(service: Service) -> set[int]:
    """Return the ports of the clients whose connections are open."""
    port = f":{service.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(each[2].rpartition(":")[2], 16) for each in lines if each[1].endswith(port) and each[3] == "01"}
