"""Spans of requests, as a collector receives them from a running service."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.collector import Collector, Span, collecting
from tests.conftest import Valkey
from tests.operations.running import NEEDS_PROC, Service, block_until, free_port, run, running
from tests.operations.test_workers import total
from tests.web.conftest import populated

TRACE = "0af7" * 8
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
IMAGE = "/api/v1/contact/{contact}/image"
TRUSTED = {"CONTACT_IMAGE_SERVER__TRUSTED_PROXIES": "127.0.0.1"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as started:
        yield started


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("images"))


def traced(collector: Collector, ratio: str = "1") -> dict[str, str]:
    """Return the variables of a service that sends spans to *collector*."""
    return {"CONTACT_IMAGE_TRACING__ENDPOINT": collector.url, "CONTACT_IMAGE_TRACING__RATIO": ratio}


def repeated(service: Service, path: str, times: int, headers: dict[str, str] | None = None) -> list[int]:
    """Send a request several times over one connection, and return the statuses."""
    connection, statuses = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60), []
    for _ in range(times):
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    return statuses


def of_images(collector: Collector, count: int) -> list[Span]:
    """Wait for *count* root spans of pictures, and return them in the order of their beginnings."""

    def found() -> list[Span]:
        return sorted((root for root in collector.roots if "/Image" in str(root.attributes["url.path"])), key=begun)

    block_until(lambda: len(found()) >= count, 30, f"{count} requests for pictures are traced")
    return found()


def begun(span: Span) -> int:
    return span.begun


def test_miss_has_a_span_for_each_step_and_the_parts_of_its_render(
    collector: Collector, pictures: Path, own_valkey: Valkey
) -> None:
    with running("--images", pictures, CONTACT_IMAGE_CACHE__URL=own_valkey.url, **traced(collector)) as service:
        assert service.get("/api/v1/Contact/1/Image?w=64&h=64").status == 200
        (root,) = of_images(collector, 1)
        block_until(lambda: "put" in collector.of(root.trace), 30, "the entry has been put into Redis")
        service.send(signal.SIGTERM)
        service.end()
    steps = collector.of(root.trace)
    assert root.name == f"GET {IMAGE}"
    assert root.attributes == {
        "http.request.method": "GET",
        "url.path": "/api/v1/Contact/1/Image",
        "http.route": IMAGE,
        "http.response.status_code": 200,
        "http.response.body.size": root.attributes["http.response.body.size"],
    }
    assert not root.error
    assert root.process["service.name"] == "contact-image"
    assert {"cache", "store", "queue", "render", "put", "decode", "encode"} <= steps.keys()
    assert {span.attributes["contact_image.layer"] for span in steps["cache"]} == {"memory", "shared"}
    (render,), (decode,), (encode,) = steps["render"], steps["decode"], steps["encode"]
    assert {decode.parent, encode.parent} == {render.id}
    assert render.begun <= decode.begun <= decode.ended == encode.begun <= encode.ended == render.ended
    for name in ("cache", "store", "queue", "render", "put"):
        assert {span.parent for span in steps[name]} == {root.id}
    for name in ("cache", "store", "queue", "render"):
        assert all(root.begun <= span.begun <= span.ended <= root.ended for span in steps[name])
    assert steps["store"][0].begun < render.begun


def test_hits_say_which_layer_has_answered(collector: Collector, pictures: Path, own_valkey: Valkey) -> None:
    """The first one of a connection is answered by a task, later ones without."""
    variables = {"CONTACT_IMAGE_CACHE__URL": own_valkey.url, "CONTACT_IMAGE_IMAGES__NEAR": "false"} | traced(collector)
    path = "/api/v1/Contact/1/Image?w=64&h=64"
    with running("--images", pictures, **variables) as service:
        assert repeated(service, path, 4) == [200] * 4
        roots = of_images(collector, 4)
        assert [[s.attributes["contact_image.layer"] for s in collector.of(r.trace)["cache"]] for r in roots[2:]] == [
            ["memory"],
            ["memory"],
        ]
        tag = service.get(path).headers["etag"]
        assert repeated(service, path, 2, {"If-None-Match": tag}) == [304, 304]
        roots = of_images(collector, 7)
        assert [root.status for root in roots] == [200] * 5 + [304, 304]
        assert [root.attributes["http.response.body.size"] for root in roots[5:]] == [0, 0]
        assert {root.name for root in roots} == {f"GET {IMAGE}"}
    collector.bodies.clear()
    with running("--images", pictures, CONTACT_IMAGE_CACHE__MEMORY_BYTES="0", **variables) as service:
        assert repeated(service, path, 4) == [200] * 4
        roots = of_images(collector, 4)
        for root in roots[1:]:
            layers = {span.attributes["contact_image.layer"] for span in collector.of(root.trace)["cache"]}
            assert "shared" in layers
            assert "render" not in collector.of(root.trace)


def test_only_a_failure_of_the_service_is_an_error(collector: Collector, pictures: Path, tmp_path: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        for path in ("/api/v1/Contact/999999/Image", "/api/v1/Contact/1/Image?w=no", "/nowhere", "/healthz"):
            service.get(path)
        service.get("/healthz", method="PROPFIND")
        paths = {"/api/v1/Contact/999999/Image", "/nowhere"}
        block_until(lambda: paths <= {root.attributes["url.path"] for root in collector.roots}, 30, "they are traced")
        block_until(
            lambda: "_OTHER" in {r.attributes["http.request.method"] for r in collector.roots}, 30, "so is PROPFIND"
        )
        assert not any(root.error for root in collector.roots)
        assert {root.name for root in collector.roots} >= {f"GET {IMAGE}", "GET", "GET /healthz"}
        assert not any("contact_image.render" in span.name for span in collector.spans)
    gone = tmp_path / "pictures"
    gone.mkdir()
    (gone / "1.jpg").write_bytes((pictures / "1.jpg").read_bytes() if (pictures / "1.jpg").exists() else b"")
    collector.bodies.clear()
    variables = {"CONTACT_IMAGE_IMAGES__MARKER": ".store"} | traced(collector)
    (gone / ".store").touch()
    with running("--images", gone, **variables) as service:
        (gone / ".store").unlink()
        block_until(lambda: service.get("/api/v1/Contact/1/Image").status >= 500, 30, "the store is lost")
        block_until(lambda: any(root.error for root in collector.roots), 30, "the failure is traced")
        assert {root.error for root in collector.roots if int(str(root.status)) >= 500} == {True}
        (error,) = {root.attributes["error.type"] for root in collector.roots if root.error}
        assert error == "502"


def test_request_for_the_server_and_a_malformed_one_have_no_route(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        for line, status in ((b"OPTIONS * HTTP/1.1", b"204"), (b"GET /#part HTTP/1.1", b"400")):
            with socket.create_connection(("127.0.0.1", service.port), 60) as client:
                client.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 " + status
        block_until(lambda: {"OPTIONS", "GET"} <= {root.name for root in collector.roots}, 30, "both are traced")
        assert service.errors == []


def test_writes_and_purges_have_spans(collector: Collector, pictures: Path, tmp_path: Path) -> None:
    upload = next(iter(pictures.glob("*.jpg"))).read_bytes()
    variables = {"CONTACT_IMAGE_WRITES__ENABLED": "true"} | traced(collector)
    with running("--images", tmp_path, **variables) as service:
        path = "/api/v1/Contact/7/Image"
        assert service.get(path, method="PUT", body=upload, headers={"Content-Type": "image/jpeg"}).status == 200
        assert service.get(path, method="PURGE").status == 204
        assert service.get(path, method="DELETE").status == 204
        put, purge, delete = of_images(collector, 3)
        assert {"queue", "render", "store", "purge"} <= collector.of(put.trace).keys()
        assert {"purge"} == collector.of(purge.trace).keys() - {purge.name}
        assert {"store", "purge"} == collector.of(delete.trace).keys() - {delete.name}


def test_context_of_a_trusted_proxy_decides(collector: Collector, pictures: Path) -> None:
    with running(
        "--images", pictures, CONTACT_IMAGE_LOG__LEVEL="DEBUG", **TRUSTED, **traced(collector, "0")
    ) as service:
        path = "/api/v1/Contact/1/Image?w=64&h=64"
        state = {"tracestate": "vendor=1"}
        assert repeated(service, path, 3, {"traceparent": SAMPLED} | state) == [200] * 3
        assert repeated(service, path, 3, {"traceparent": SAMPLED[:-1] + "0"}) == [200] * 3
        assert repeated(service, path, 3) == [200] * 3
        roots = of_images(collector, 3)
        assert {(root.trace, root.parent) for root in roots} == {(TRACE, "00f067aa0ba902b7")}
        lines = [line for line in map(json.loads, service.logged.splitlines()) if line["event"] == "request.answered"]
        assert [line.get("trace_id") for line in lines if "/Image" in line["path"]] == [TRACE] * 6 + [None] * 3
        time.sleep(1.5)  # the next request of the exporter
        assert len(collector.roots) == 3


MALFORMED = [
    SAMPLED.upper(),
    SAMPLED[:-1],
    SAMPLED + "0",
    SAMPLED.replace(TRACE, "0" * 32),
    "ff" + SAMPLED[2:],
    "01" + SAMPLED[2:] + "-" + "a" * 200,
    "\xff" * 55,
    "",
]


def test_malformed_context_and_that_of_strangers_are_ignored(collector: Collector, pictures: Path) -> None:
    path = "/api/v1/Contact/1/Image?w=64&h=64"
    with running("--images", pictures, **TRUSTED, **traced(collector, "0")) as service:
        for text in MALFORMED:
            assert repeated(service, path, 2, {"traceparent": text}) == [200, 200]
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        connection.putrequest("GET", path)
        for _ in range(2):
            connection.putheader("traceparent", SAMPLED)
        connection.endheaders()
        assert connection.getresponse().status == 200
        connection.close()
        for state in ("x" * 5_000, ",".join(f"a{n}=1" for n in range(60)), "=,=;"):
            assert repeated(service, path, 1, {"traceparent": SAMPLED, "tracestate": state}) == [200]
        assert {root.trace for root in of_images(collector, 3)} == {TRACE}
        assert len(collector.roots) == 3
        assert service.errors == []
    collector.bodies.clear()
    with running("--images", pictures, **traced(collector, "1")) as service:
        assert repeated(service, path, 2, {"traceparent": SAMPLED}) == [200, 200]
        roots = of_images(collector, 2)
        assert TRACE not in {root.trace for root in roots}
        assert {root.parent for root in roots} == {""}


def test_query_and_headers_are_nowhere_in_what_is_exported(collector: Collector, pictures: Path) -> None:
    hidden = "s3cr3t"
    headers = {"Authorization": f"Bearer {hidden}", "Cookie": hidden, "User-Agent": hidden, "X-Forwarded-For": hidden}
    with running("--images", pictures, **traced(collector)) as service:
        for path in ("/api/v1/Contact/1/Image", "/api/v1/Contact/1/ImageInfo", "/nowhere", "/docs"):
            for query in (f"?sig={hidden}", f"?w=64&name={hidden}", f"?{hidden}"):
                repeated(service, path + query, 3, headers)
        repeated(service, f"http://127.0.0.1:{service.port}/api/v1/Contact/1/Image?w=64&name={hidden}", 3, headers)
        collector.wait_for(39)
    assert hidden.encode() not in b"".join(collector.bodies)


def test_path_that_is_no_text_does_not_lose_the_spans_of_others(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        for path in (b"/\xed\xa0\x80", b"/%ED%A0%80", b"/\xff", b"/" + b"x" * 2_000):
            with socket.create_connection(("127.0.0.1", service.port), 60) as sock:
                sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert sock.recv(65_536)
        assert repeated(service, "/api/v1/Contact/1/Image", 1) == [200]
        of_images(collector, 1)
        assert max(len(str(root.attributes["url.path"])) for root in collector.roots) <= 256
        assert "tracing.exports_fail" not in service.logged


@pytest.mark.parametrize("trouble", ["refuses", "hangs", "fails"])
def test_collector_in_trouble_delays_no_request_and_no_stop(collector: Collector, pictures: Path, trouble: str) -> None:
    variables = traced(collector)
    if trouble == "refuses":
        variables["CONTACT_IMAGE_TRACING__ENDPOINT"] = f"http://127.0.0.1:{free_port()}/v1/traces"
    elif trouble == "hangs":
        collector.answering.clear()
    else:
        collector.status = 400
    with running("--images", pictures, **variables, OTEL_EXPORTER_OTLP_TIMEOUT="1") as service:
        path = "/api/v1/Contact/1/Image?w=64&h=64"
        assert repeated(service, path, 1_500) == [200] * 1_500
        if trouble != "hangs":
            block_until(lambda: "tracing.exports_fail" in service.logged, 30, "the failure is logged")
        assert repeated(service, path, 300) == [200] * 300
        block_until(lambda: total(service, "contact_image_trace_spans_dropped_total") > 0, 30, "lost spans are counted")
        service.send(signal.SIGTERM)
        assert service.end() == 0
        assert service.logged.count("tracing.exports_fail") <= 1
        assert "server.stop_cut" not in service.logged
        assert service.errors == []
        assert {line["event"].partition(".")[0] for line in service.events} <= {"server", "tracing"}


def test_collector_that_is_back_gets_spans_again(collector: Collector, pictures: Path) -> None:
    collector.status = 400
    with running("--images", pictures, **traced(collector)) as service:
        service.get("/healthz")
        block_until(lambda: "tracing.exports_fail" in service.logged, 30, "the failure is logged")
        collector.status = 200
        service.get("/healthz")
        collector.wait_for(1)
        block_until(lambda: "tracing.back" in service.logged, 30, "that is logged")


def test_last_spans_are_sent_at_the_stop(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        service.get("/api/v1/Contact/1/Image?w=77")
        service.send(signal.SIGTERM)
        assert service.end() == 0
    assert [root for root in collector.roots if root.attributes["url.path"] == "/api/v1/Contact/1/Image"]


@NEEDS_PROC
def test_each_process_sends_its_spans(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, "--workers", "2", **traced(collector)) as service:
        servers = {each.pid for each in service.servers}

        def pids() -> set[object]:
            service.get("/healthz")
            return {root.process["process.pid"] for root in collector.roots}

        block_until(lambda: pids() == servers, 60, "both processes have sent spans")


@NEEDS_PROC
def test_credentials_of_the_exporter_stay_in_the_service(collector: Collector, pictures: Path) -> None:
    hidden = "t0k3n"
    with running(
        "--images", pictures, **traced(collector), OTEL_EXPORTER_OTLP_HEADERS=f"Authorization=Bearer {hidden}"
    ) as service:
        collector.wait_for(1)
        assert collector.fields[0]["authorization"] == f"Bearer {hidden}"
        environments = [Path(f"/proc/{each.pid}/environ") for each in service.relatives]
        for each in environments:
            try:
                assert hidden.encode() not in each.read_bytes()
            except PermissionError:
                pass  # it hides its files
        assert hidden not in service.logged


def test_endpoint_without_the_libraries_refuses_the_start_and_fails_the_check(
    collector: Collector, pictures: Path, tmp_path: Path
) -> None:
    # A module of that name that cannot be imported stands for an installation without the extra.
    (tmp_path / "hidden" / "opentelemetry").mkdir(parents=True)
    (tmp_path / "hidden" / "opentelemetry" / "__init__.py").write_text("")
    variables = traced(collector) | {"PYTHONPATH": str(tmp_path / "hidden")}
    for command in ("check", "serve"):
        result = run(command, "--images", pictures, cwd=tmp_path, **variables)
        assert result.returncode == 1
        assert "tracing.endpoint needs the extra otel: pip install 'contact-image[otel]'" in (
            result.stdout + result.stderr
        )


def test_check_tells_whether_the_endpoint_takes_spans(collector: Collector, pictures: Path, tmp_path: Path) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path, **traced(collector))
    assert result.returncode == 0
    assert f"tracing: {collector.url}\n" in result.stdout
    collector.status = 404
    result = run("check", "--images", pictures, cwd=tmp_path, **traced(collector))
    assert result.returncode == 1
    assert (
        f"tracing: FAILED: {collector.url} takes no spans: start a collector there, or correct tracing.endpoint\n"
        in result.stdout
    )


@pytest.mark.parametrize(
    "endpoint",
    ["collector:4318", "http://collector:4318", "ftp://c/v1", "http://user@collector/v1", "http://c/v1?key=word"],
)
def test_endpoint_that_is_no_url_or_has_a_credential_is_refused(pictures: Path, tmp_path: Path, endpoint: str) -> None:
    result = run("check", "--images", pictures, cwd=tmp_path, CONTACT_IMAGE_TRACING__ENDPOINT=endpoint)
    assert result.returncode == 1
    assert "tracing.endpoint" in result.stdout + result.stderr


def test_requests_that_share_a_render_have_one_span_of_it(collector: Collector, pictures: Path) -> None:
    request = b"GET /api/v1/Contact/1/Image?w=91 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running("--images", pictures, CONTACT_IMAGE_IMAGES__NEAR="false", **traced(collector)) as service,
        ExitStack() as clients,
    ):
        service.with_renderers(1)
        with service.frozen_renderers():
            sockets = [clients.enter_context(socket.create_connection(("127.0.0.1", service.port), 60)) for _ in "1234"]
            for each in sockets:
                each.sendall(request)
            for _ in "12":
                service.get("/healthz")  # then the others have been read
        assert [each.recv(12) for each in sockets] == [b"HTTP/1.1 200"] * 4
        steps = [collector.of(root.trace).keys() for root in of_images(collector, 4)]
        assert sum("render" in each for each in steps) == 1
        assert sum("follow" in each for each in steps) == 3


def test_request_whose_client_leaves_has_no_status_and_is_no_error(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        service.with_renderers(1)
        with service.frozen_renderers(), socket.create_connection(("127.0.0.1", service.port), 60) as client:
            client.sendall(b"GET /api/v1/Contact/1/Image?w=92 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            service.get("/healthz")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that it resets
        (root,) = of_images(collector, 1)
        assert root.name == f"GET {IMAGE}"
        assert root.status is None
        assert root.attributes["error.type"] == "ClientLeft"
        assert not root.error


def test_imageinfo_has_a_span_of_each_look_into_the_store(collector: Collector, pictures: Path) -> None:
    with running("--images", pictures, **traced(collector)) as service:
        assert service.get("/api/v1/Contact/Imageinfo?ids=1,2,3").status == 200
        (root,) = of_images(collector, 1)
        assert root.name == "GET /api/v1/contact/imageinfo"
        assert len(collector.of(root.trace)["store"]) == 3


def test_tracing_that_a_variable_of_opentelemetry_disables_sends_and_logs_nothing(
    collector: Collector, pictures: Path
) -> None:
    variables = {"OTEL_SDK_DISABLED": "true", "CONTACT_IMAGE_LOG__LEVEL": "DEBUG"} | traced(collector)
    with running("--images", pictures, **variables) as service:
        assert repeated(service, "/api/v1/Contact/1/Image?w=64", 3) == [200] * 3
        service.send(signal.SIGTERM)
        assert service.end() == 0
        assert "trace_id" not in service.logged
        assert service.errors == []
    assert collector.bodies == []
