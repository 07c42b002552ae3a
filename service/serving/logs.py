"""Structured log lines on standard error, for the service and its libraries. No log call blocks or raises."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import structlog

from service.line_queue import STANDARD_ERROR
from service.log_level import LOG_LEVEL, LevelLogger
from service.settings import LogSettings
from service.web.request_ids import REQUEST_ID, TRACE_ID

log = structlog.get_logger()


def configure_logs(settings: LogSettings) -> None:
    """Configure structlog and logging: structured lines on standard error, with the ids of the request.

    Lines of libraries have the level WARNING at least.
    """
    shared: list[structlog.typing.Processor] = [
        _with_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    final: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)  # no local variables
    )
    structlog.configure(
        processors=[_Rendered(*shared, final)],
        wrapper_class=LevelLogger,
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    logging.raiseExceptions = False  # a handler that fails would print a traceback, which can block
    handler = logging.StreamHandler(STANDARD_ERROR)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=final, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], force=True)
    LOG_LEVEL.configure(settings.level)
    logging.captureWarnings(True)  # otherwise Python writes warnings and such exceptions to standard error itself
    sys.unraisablehook = _log_unraisable


def _log_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """Log an exception that Python can raise nowhere, for example in a finalizer."""
    error = ignored.exc_value or ignored.exc_type()
    log.error("server.exception_ignored", where=type(ignored.object).__name__, exc_info=error)


def _with_ids(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id := REQUEST_ID.get(None):
        event["request_id"] = request_id
    if trace_id := TRACE_ID.get(None):
        event["trace_id"] = trace_id
    return event


class _Rendered:
    """A processor that runs *processors*. If one of them fails, the line names the event and the failure."""

    def __init__(self, *processors: structlog.typing.Processor) -> None:
        self._processors = processors

    def __call__(self, logger: Any, method: str, event: structlog.typing.EventDict) -> Any:
        name, rendered = str(event.get("event")), event
        try:
            for processor in self._processors:
                rendered = processor(logger, method, rendered)  # type: ignore[assignment]  # the last one returns text
            return rendered
        except Exception as error:  # for example a value whose `repr` fails
            return json.dumps({"event": name, "level": method, "unprintable": type(error).__name__})


class _Lines:
    """A logger that puts every line into the queue of standard error.

    The loggers of structlog hold a lock while they write. A fork at that moment would leave it locked.
    """

    def __init__(self, *_: Any) -> None:
        pass

    def _put(self, line: str) -> None:
        STANDARD_ERROR.write(line + "\n")

    debug = info = warning = error = exception = critical = _put
