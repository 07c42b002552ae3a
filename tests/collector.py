"""A collector of spans: OTLP over HTTP, as OpenTelemetry's own takes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.operations.running import block_until

ERROR = Status.STATUS_CODE_ERROR


@dataclass(frozen=True)
class Span:
    """A span as it was received. Ids are in hexadecimal digits, times in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    begun: int
    ended: int
    error: bool
    attributes: dict[str, Any]
    process: dict[str, Any]

    @property
    def status(self) -> object:
        return self.attributes.get("http.response.status_code")


class Collector:
    """What was received: *bodies* as bytes, and their *fields*. While it is *hung*, it answers nothing."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/traces"
        self.bodies: list[bytes] = []
        self.fields: list[dict[str, str]] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()

    @property
    def spans(self) -> list[Span]:
        return [span for body in list(self.bodies) for span in _spans(body)]

    @property
    def roots(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Sent.SPAN_KIND_SERVER]

    def of(self, trace: str) -> dict[str, list[Span]]:
        """Return the spans of *trace* by their names."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            if span.trace == trace:
                found.setdefault(span.name.removeprefix("contact_image."), []).append(span)
        return found

    def wait_for(self, count: int) -> list[Span]:
        """Wait until there are *count* root spans. Return the root spans."""
        block_until(lambda: len(self.roots) >= count, 30, f"{count} requests are traced")
        return self.roots


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.answering.wait()
            if collector.status == 200:
                collector.fields.append({name.lower(): value for name, value in self.headers.items()})
                collector.bodies.append(body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        collector.answering.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _spans(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        process = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for each in scope.spans:
                yield Span(
                    each.name,
                    each.trace_id.hex(),
                    each.span_id.hex(),
                    each.parent_span_id.hex(),
                    each.kind,
                    each.start_time_unix_nano,
                    each.end_time_unix_nano,
                    each.status.code == ERROR,
                    _values(each.attributes),
                    process,
                )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
