"""The operators' own address: metrics and the parts of readiness are there alone, and all processes share it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from pathlib import Path

import pytest

from service.settings import BadSettings, load_settings
from tests.operations.running import NEEDS_PROC, TIMEOUT, Service, block_until, free_port, running

pytestmark = NEEDS_PROC

READY = {"status": "ready", "render": "ok", "store": "ok", "cache": "ok"}
SIGNED = {"CONTACT_IMAGE_AUTH__SCHEMES": "signed", "CONTACT_IMAGE_AUTH__SIGNING_KEYS": "k1:0123456789abcdef"}


def get(admin: str, path: str, host: str = "localhost") -> tuple[int, str]:
    """Return the status and the body of a GET with that `Host` at the operators' address."""
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
    if admin.startswith("unix:"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(TIMEOUT)
    else:
        connection.sock = socket.create_connection(("127.0.0.1", int(admin.rpartition(":")[2])), TIMEOUT)
    try:
        if admin.startswith("unix:"):
            connection.sock.connect(admin.removeprefix("unix:"))
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture(params=["port", "path"])
def admin(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"127.0.0.1:{free_port()}" if request.param == "port" else f"unix:{tmp_path}/admin.sock"


def is_ready(admin: str) -> bool:
    status, body = get(admin, "/readyz")
    return (status, json.loads(body)) == (200, READY)


def requests_counted(admin: str) -> float:
    text = get(admin, "/metrics")[1]
    return sum(map(float, re.findall(r'(?m)^contact_image_requests_total\{.*route="image".*\} (.*)$', text)))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_and_parts_of_readiness_are_at_the_address_alone(tmp_path: Path, admin: str, workers: str) -> None:
    variables = {"CONTACT_IMAGE_SERVER__ADMIN": admin, **SIGNED}
    with running("--images", tmp_path, "--workers", workers, **variables) as service:
        block_until(lambda: is_ready(admin), 60, "the service is ready")
        assert json.loads(service.get("/readyz").body) == {"status": "ready"}
        assert json.loads(service.get("/healthz").body) == json.loads(get(admin, "/healthz")[1]) == {"status": "alive"}
        assert service.get("/metrics").status == 404
        for _ in range(20):
            assert service.get("/api/v1/Contact/1/Image").status == 403
        block_until(lambda: requests_counted(admin) == 20, 60, "the counts of all processes are there")
        assert get(admin, "/api/v1/Contact/1/Image")[0] == 404
        assert [event["admin"] for event in service.events if event["event"] == "server.listening"] == [admin]
        if workers == "2":
            reload(service)
            assert is_ready(admin)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(TIMEOUT) == 0
        with pytest.raises(OSError):
            get(admin, "/healthz")
    assert not (tmp_path / "admin.sock").exists()


def reload(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)
    block_until(lambda: '"server.reloaded"' in service.logged, 60, "the processes are replaced")


def test_page_of_a_rebound_name_reads_nothing_at_a_loopback_address(tmp_path: Path) -> None:
    variables = {"CONTACT_IMAGE_SERVER__ADMIN": f"127.0.0.1:{free_port()}"}
    with running("--images", tmp_path, CONTACT_IMAGE_SERVER__ALLOWED_HOSTS="pictures.example", **variables):
        (admin,) = variables.values()
        hosts = ("attacker.example", "localhost:9090", "127.0.0.1", "pictures.example")
        for path in ("/metrics", "/readyz", "/healthz"):
            assert [get(admin, path, host)[0] for host in hosts] == [421, 200, 200, 200]


@pytest.mark.parametrize("admin", ["unix:/run/admin", "0.0.0.0:9090", "operators.example:9090", ""])
def test_names_are_free_where_no_browser_of_this_machine_is_led(admin: str) -> None:
    assert load_settings(server={"admin": admin}).server.operators_names is None


def test_path_that_a_killed_service_left_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    variables = {"CONTACT_IMAGE_SERVER__ADMIN": f"unix:{path}"}
    with running("--images", tmp_path, **variables) as service:
        service.process.kill()
        service.process.wait()
    assert path.is_socket()
    with running("--images", tmp_path, **variables):
        assert get(f"unix:{path}", "/healthz")[0] == 200
        assert path.stat().st_mode & 0o777 == 0o660
        with running("--images", tmp_path, wait=False, **variables) as second:
            assert second.process.wait(TIMEOUT) == 1
            assert "cannot serve" in second.logged
        assert get(f"unix:{path}", "/healthz")[0] == 200


@pytest.mark.parametrize(
    "address", ["9090", ":9090", "a b:1", "localhost:", "localhost:65536", "unix:admin.sock", "unix:"]
)
def test_address_is_a_port_with_a_host_or_a_whole_path(address: str) -> None:
    with pytest.raises(BadSettings, match=r"server\.admin"):
        load_settings(server={"admin": address})
