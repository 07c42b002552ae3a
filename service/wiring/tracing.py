"""The composition of tracing: what sends the spans of this process. Without an endpoint nothing is imported for it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from service.pictures.trace import Trace
from service.settings import BadSettings, Settings, TracingSettings
from service.system.threads import Threads
from service.web.keys import METRICS, NEW_TRACE
from service.web.runner import FAST_PATH

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger()

_NEEDED = "opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http"
"""What the extra `otel` installs."""
_QUEUE, _BATCH, _PAUSE = 2_048, 64, 1_000
"""Spans that wait to be sent at most, spans of one request at most, and milliseconds between two requests. A request is
encoded in one go, and the event loop waits meanwhile."""
_FLUSH_TIMEOUT = 0.5
"""Seconds at the stop in which the last spans are sent."""
_CHECK_TIMEOUT = 2.0
"""Seconds in which the endpoint must take a request without spans at `contact-image check`."""


def check_installed(settings: TracingSettings) -> None:
    """Raise `BadSettings` if spans are to be sent and the libraries for that are not installed."""
    if settings.endpoint and not all(map(_is_installed, _NEEDED)):
        raise BadSettings(["tracing.endpoint needs the extra otel: pip install 'contact-image[otel]'"])


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


async def inspect(settings: TracingSettings) -> tuple[bool, str]:
    """Return whether the endpoint takes a request without spans, and a description or the reason."""
    try:
        check_installed(settings)
    except BadSettings as error:
        return False, "; ".join(error.faults)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    _silence()
    exporter = OTLPSpanExporter(settings.endpoint, timeout=_CHECK_TIMEOUT)
    taken = await asyncio.to_thread(exporter.export, ()) is SpanExportResult.SUCCESS
    mended = "start a collector there, or correct tracing.endpoint"
    return taken, settings.endpoint if taken else f"{settings.endpoint} takes no spans: {mended}"


def _silence() -> None:
    """Turn the log of OpenTelemetry off: it has a line for each attempt, and for each span that is dropped."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)


async def tracing(app: web.Application, settings: Settings) -> AsyncIterator[None]:
    """A cleanup context of *app*: make spans of its requests and send them, if that is configured.

    It starts a thread, which a fork would not copy.
    """
    app[NEW_TRACE] = Trace
    if not settings.tracing.endpoint:
        yield
        return
    from service.access.verifiers import client
    from service.web.spans import new_trace, outgoing
    from service.web.tracing import TracedFastPath, Tracing

    provider, dropped = _provider(settings.tracing)
    app[METRICS].gauges.count(app[METRICS].spans_dropped, dropped)
    made = Tracing(provider.get_tracer("contact_image"), settings.tracing.ratio, settings.server.trusted_proxies)
    app[NEW_TRACE] = new_trace
    app[FAST_PATH] = lambda app, handler: TracedFastPath(made, app, handler)
    client.TRACE_CONFIGS[:] = [outgoing()]
    yield
    client.TRACE_CONFIGS.clear()
    ending = Threads(1, name="tracing", hangs_after=_FLUSH_TIMEOUT, spare=0)
    with suppress(TimeoutError):
        async with asyncio.timeout(_FLUSH_TIMEOUT):
            await ending.run(provider.shutdown)
    ending.shutdown()


def _provider(settings: TracingSettings) -> tuple[TracerProvider, Callable[[], int]]:
    """Return what makes spans, and sends them by a thread of its own, and a function that counts the dropped ones."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    class ReportedExporter(SpanExporter):
        """Sends spans, and logs the first failure of several, and the end of them. *refused* spans were not taken."""

        def __init__(self) -> None:
            self._inner, self._fails = OTLPSpanExporter(settings.endpoint), False
            self.begun = self.refused = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            self.begun += len(spans)
            result = self._inner.export(spans)
            if fails := result is not SpanExportResult.SUCCESS:
                self.refused += len(spans)
            if fails and not self._fails:
                log.warning("tracing.exports_fail", endpoint=settings.endpoint)
            elif self._fails and not fails:
                log.info("tracing.back", endpoint=settings.endpoint)
            self._fails = fails
            return result

        def shutdown(self) -> None:
            self._inner.shutdown()  # type: ignore[no-untyped-call]

    class CountedProcessor(BatchSpanProcessor):
        """Queues spans for *exporter*. *crowded_out* ones were dropped for later ones."""

        def __init__(self, exporter: ReportedExporter) -> None:
            super().__init__(
                exporter, max_queue_size=_QUEUE, max_export_batch_size=_BATCH, schedule_delay_millis=_PAUSE
            )
            self._exporter = exporter
            self._ended = self.crowded_out = 0  # of the event loop's thread; the exporter's are of its own

        def on_end(self, span: ReadableSpan) -> None:
            if self._ended - self.crowded_out - self._exporter.begun >= _QUEUE:
                self.crowded_out += 1
            self._ended += 1
            super().on_end(span)

    _silence()
    named: dict[str, str | int] = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME", "contact-image"),
        "service.version": version("contact-image"),
        "process.pid": os.getpid(),
    }
    # Requests are sampled before a span is made: see `Tracing.begin`.
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=Resource.create(named), shutdown_on_exit=False)
    processor = CountedProcessor(exporter := ReportedExporter())
    provider.add_span_processor(processor)
    return provider, lambda: processor.crowded_out + exporter.refused
