"""The level of the log, put at the operators' address: in all processes, for those who may, until the service ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.operations.running import NEEDS_PROC, TIMEOUT, Service, block_until, free_port, frozen, running

pytestmark = NEEDS_PROC

PATH = "/-/log-level"
ACCEPTED = "The body is one of DEBUG, INFO, WARNING, ERROR\n"


class Admin:
    """The operators' address of a service: a port of this machine, or a unix socket at a path."""

    def __init__(self, address: str) -> None:
        self.address = address

    def connect(self) -> socket.socket:
        kind, _, where = self.address.partition(":")
        line = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        line.settimeout(TIMEOUT)
        line.connect(where if kind == "unix" else (kind, int(where)))
        return line

    def ask(self, method: str = "GET", body: str | None = None, path: str = PATH, **fields: str) -> tuple[int, str]:
        """Return the status and the body of the answer."""
        connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        connection.sock = self.connect()
        try:
            headers = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def send(self, sent: bytes) -> bytes:
        """Return everything that is received after *sent* is sent."""
        with self.connect() as line:
            line.sendall(sent)
            received = b""
            while piece := line.recv(1 << 16):
                received += piece
            return received


@contextmanager
def serving(
    folder: Path, *arguments: str, address: str = "", workers: int = 1, **variables: str
) -> Iterator[tuple[Service, Admin]]:
    address = address or f"127.0.0.1:{free_port()}"
    variables |= {"CONTACT_IMAGE_SERVER__ADMIN": address, "CONTACT_IMAGE_RENDER__WORKERS": str(workers)}
    with running("--images", folder, "--workers", str(workers), *arguments, **variables) as service:
        service.with_renderers(workers)
        yield service, Admin(address)


def status(received: bytes) -> int:
    return int(received.split(b" ")[1])


def requests_logged(service: Service) -> int:
    return len(re.findall(r'"event": "request[."]', service.logged))


def processes_that_log(service: Service) -> int:
    """Return the number of processes that log a request for a health check now."""
    found = 0
    for asked in service.servers or {None}:
        with frozen(each for each in service.servers if each != asked):
            before = requests_logged(service)
            assert service.get("/healthz").status == 200
            time.sleep(0.05)  # a thread writes the line
            found += requests_logged(service) > before
    return found


def changes(service: Service) -> list[tuple[Any, Any, Any]]:
    lines = [line for line in service.events if line["event"] == "audit.log_level"]
    return [(line["who"], line["before"], line["after"]) for line in lines]


@pytest.mark.parametrize("workers", [1, 3])
def test_level_is_put_in_all_processes_also_in_later_ones(tmp_path: Path, workers: int) -> None:
    with serving(tmp_path, workers=workers) as (service, admin):
        assert admin.ask() == (200, "INFO\n")
        assert processes_that_log(service) == 0
        assert admin.ask("PUT", "DEBUG") == (200, "DEBUG\n")
        assert admin.ask() == (200, "DEBUG\n")
        block_until(lambda: processes_that_log(service) == workers, 60, "all processes log requests")
        if workers > 1:
            before = service.servers
            os.kill(next(iter(before)).pid, signal.SIGKILL)
            block_until(lambda: len(service.servers) == workers and service.servers != before, 60, "another serves")
            service.with_renderers(workers)
            block_until(lambda: processes_that_log(service) == workers, 60, "the new process logs requests")
        service.send(signal.SIGHUP)
        block_until(lambda: '"server.reloaded"' in service.logged, 120, "the settings are reloaded")
        service.with_renderers(workers)
        assert admin.ask() == (200, "DEBUG\n")
        block_until(lambda: processes_that_log(service) == workers, 60, "all processes log requests after a reload")
        assert admin.ask("PUT", " error\n") == (200, "ERROR\n")
        block_until(lambda: processes_that_log(service) == 0, 60, "no process logs requests")
        block_until(lambda: admin.ask("PUT", "WARNING") == (200, "WARNING\n"), 30, "the pause after a change ends")
        put = [("127.0.0.1", *each) for each in (("INFO", "DEBUG"), ("DEBUG", "ERROR"), ("ERROR", "WARNING"))]
        block_until(lambda: changes(service) == put, 30, "each change has a line")


def test_level_lasts_until_the_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with serving(tmp_path, CONTACT_IMAGE_LOG__LEVEL="WARNING") as (_, admin):
            assert admin.ask() == (200, "WARNING\n")
            assert admin.ask("PUT", "INFO") == (200, "INFO\n")


def test_any_process_answers_for_all_whichever_dies(tmp_path: Path) -> None:
    with serving(tmp_path, workers=3) as (service, admin):
        for asked in service.servers:
            with frozen(each for each in service.servers if each != asked):
                assert admin.ask() == (200, "INFO\n")
                os.kill(asked.pid, signal.SIGKILL)
            for path in (PATH, "/healthz", "/metrics"):
                assert admin.ask(path=path)[0] == 200
        block_until(lambda: len(service.servers) == 3, 60, "all processes are replaced")


def test_unix_socket_tells_the_user(tmp_path: Path) -> None:
    with serving(tmp_path, address=f"unix:{tmp_path}/admin.sock") as (service, admin):
        assert admin.ask("PUT", "DEBUG") == (200, "DEBUG\n")
        block_until(lambda: changes(service) == [(f"uid {os.getuid()}", "INFO", "DEBUG")], 30, "the line is written")


def test_log_is_not_flooded_by_changes(tmp_path: Path) -> None:
    with serving(tmp_path) as (service, admin):
        begun = time.monotonic()
        statuses = [admin.ask("PUT", ("DEBUG", "WARNING", "WARNING")[number % 3])[0] for number in range(300)]
        seconds = time.monotonic() - begun
        assert set(statuses) == {200, 429}
        block_until(lambda: admin.ask("PUT", "ERROR") == (200, "ERROR\n"), 30, "a later change is put")
        assert 2 <= len(changes(service)) <= 10 * seconds + 2


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    limits = {"CONTACT_IMAGE_SERVER__HEADER_TIMEOUT": "1", "CONTACT_IMAGE_SERVER__WRITE_TIMEOUT": "1"}
    with serving(tmp_path_factory.mktemp("images"), CONTACT_IMAGE_LOG__LEVEL="ERROR", **limits) as (_, address):
        yield address


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Host": "attacker.example", "Origin": "http://attacker.example"}, 421),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://localhost:1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"}, 403),
    ],
)
def test_level_is_not_put_for_a_foreign_host_or_page(admin: Admin, fields: dict[str, str], expected: int) -> None:
    assert admin.ask("PUT", "DEBUG", **fields)[0] == expected
    assert admin.ask() == (200, "ERROR\n")


def test_page_of_a_name_that_leads_here_puts_no_level_where_every_name_is_served(tmp_path: Path) -> None:
    with serving(tmp_path, address=f"0.0.0.0:{free_port()}") as (_, admin):
        foreign = {"Host": "attacker.example", "Origin": "http://attacker.example"}
        assert admin.ask("PUT", "DEBUG", **foreign)[0] == 403
        assert admin.ask("PUT", "DEBUG", Host="operators.example") == (200, "DEBUG\n")


@pytest.mark.parametrize("body", ["", "LOUD", "debug info", '{"level": "DEBUG"}', "5", "D\x00EBUG", "DEBUGé"])
def test_another_level_is_400_and_the_levels_are_named(admin: Admin, body: str) -> None:
    assert admin.ask("PUT", body) == (400, ACCEPTED)
    assert admin.ask() == (200, "ERROR\n")


def test_methods_are_get_and_put(admin: Admin) -> None:
    statuses = {
        method: admin.ask(method, "ERROR")[0] for method in ("HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")
    }
    assert statuses == {"HEAD": 200, "PUT": 200, "POST": 405, "DELETE": 405, "OPTIONS": 405, "PATCH": 405}


def test_refusals_have_the_fields_of_all_answers_and_name_no_library(admin: Admin) -> None:
    end = b"HTTP/1.1\r\nConnection: close\r\nHost: "
    for line, host, expected in (
        (b"GET /-/other ", b"localhost", 404),
        (b"DELETE /-/log-level ", b"localhost", 405),
        (b"GET /metrics ", b"attacker.example", 421),
        (b"PUT /-/log-level ", b"localhost\r\nContent-Length: 4096", 413),
        (b"PUT /-/log-level ", b"localhost\r\nOrigin: http://attacker.example", 403),
        (b"no HTTP ", b"localhost", 400),
    ):
        received = admin.send(line + end + host + b"\r\n\r\n" + b" " * 4096 * (expected == 413))
        head = received.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert status(received) == expected
        assert [field for field in head if field.startswith(b"Server:")] == [b"Server: contact-image"], head
        assert {b"Cache-Control: no-store", b"X-Content-Type-Options: nosniff"} <= set(head)
        assert (b"Allow: GET,HEAD,PUT" in head) == (expected == 405)


def test_large_bodies_are_refused_unread(admin: Admin) -> None:
    assert admin.ask("PUT", "DEBUG" + " " * 4096)[0] == 413
    head = b"PUT /-/log-level HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status(admin.send(head + b"1000\r\n" + b" " * 4096 + b"\r\n0\r\n\r\n")) == 413
    assert admin.ask() == (200, "ERROR\n")


def test_hostile_requests_meet_the_limits_of_the_public_port(admin: Admin) -> None:
    get = b"GET /-/log-level HTTP/1.1\r\nHost: localhost\r\n"
    assert status(admin.send(b"no HTTP at all\r\n\r\n")) == 400
    assert status(admin.send(b"GET /#x HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 400
    assert status(admin.send(get + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n")) == 400
    assert status(admin.send(get + b"A: b\r\n" * 200 + b"\r\n")) == 431
    large = b"".join(b"A%d: %b\r\n" % (number, b"x" * 4000) for number in range(20))
    assert status(admin.send(get + large + b"\r\n")) == 431
    begun = time.monotonic()
    assert admin.send(get) == b""  # a header that does not end
    assert time.monotonic() - begun < TIMEOUT
    lines = [admin.connect() for _ in range(100)]  # they replace each other, and keep no client out
    assert admin.ask() == (200, "ERROR\n")
    for line in lines:
        line.close()


def test_late_bodies_keep_no_other_client_out_and_end(admin: Admin) -> None:
    lines = [admin.connect() for _ in range(200)]
    for line in lines:
        line.sendall(b"PUT /-/log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nD")
    assert admin.ask(path="/metrics")[0] == 200
    for line in lines:
        with suppress(ConnectionResetError):
            assert line.recv(1) == b""
        line.close()
    assert admin.ask() == (200, "ERROR\n")


@pytest.mark.parametrize("apart", [True, False])
def test_level_is_not_at_the_public_port(tmp_path: Path, apart: bool) -> None:
    variables = {"CONTACT_IMAGE_SERVER__ADMIN": f"127.0.0.1:{free_port()}"} if apart else {}
    with running("--images", tmp_path, **variables) as service:
        for method in ("GET", "PUT"):
            assert service.get(PATH, method=method, body=b"DEBUG").status == 404
        assert "audit.log_level" not in service.logged
