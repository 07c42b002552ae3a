"""The log of starts and stops: events of the service, and no error if nothing failed."""

from __future__ import annotations

import inspect
import json
import math
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import gunicorn.arbiter
import pytest
from structlog.testing import capture_logs

from service.cli.early_signals import EarlySignals
from service.serving import arbiter
from service.serving.arbiter import EventLogger, SafeArbiter
from service.serving.stopping import ENDING
from service.web.keys import PICTURES
from tests.conftest import Serve
from tests.operations.running import block_until, running
from tools.pictures.drawing import quarters, saved

IDENTIFIED = {"request.refused": "refused", "audit.change": "purged"}
"""Events of requests, and how the test below begins the ids of these requests."""
EARLY = (signal.SIGTERM, signal.SIGINT)
ONE, TWO = (), ("--workers", "2")
STOPS = {
    "SIGTERM": lambda service: service.send(signal.SIGTERM),
    "SIGINT": lambda service: service.send(signal.SIGINT),
    "SIGTERM to all": lambda service: service.send_group(signal.SIGTERM),
    "SIGINT to all": lambda service: service.send_group(signal.SIGINT),
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "1.png").write_bytes(saved(quarters(80, 60), "PNG"))
    return tmp_path


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("workers", [ONE, TWO], ids=["one process", "two"])
def test_stop_right_after_the_start_logs_no_error(pictures: Path, workers: tuple[str, ...], stop: str) -> None:
    """The render processes are starting then, and so are the processes that serve. Later stops: test_process.py."""
    with running("--images", pictures, *workers, wait=False) as service:
        block_until(lambda: "server.listening" in service.logged, 30, "it listens")
        STOPS[stop](service)
        assert service.end(60) == 0
        assert service.errors == []


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_refusals_beyond_twenty_a_second_are_counted_in_one_line(pictures: Path, level: str) -> None:
    with running("--images", pictures, CONTACT_IMAGE_LOG__LEVEL=level) as service:
        begun = time.monotonic()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: service.get("/api/v1/Contact/1/Image?w=x"), range(400)))
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", service.port)) as client:
                client.sendall(b"no HTTP at all\r\n\r\n")
                assert b" 400 " in client.recv(4096)
        seconds = time.monotonic() - begun
        service.send(signal.SIGTERM)
        assert service.end(60) == 0
        events = [json.loads(line) for line in service.logged.splitlines()]
    assert {answer.status for answer in answers} == {400}
    single = [line for line in events if line["event"] in ("request.refused", "request.malformed")]
    merged = [line for line in events if line["event"] == "request.refusals"]
    assert 20 <= len(single) <= 20 * (math.ceil(seconds) + 1)
    assert len(merged) <= math.ceil(seconds) + 1
    assert len(single) + sum(line["count"] for line in merged) == 500
    for line in merged:
        assert line["statuses"] == {"400": line["count"]}
        assert sum(line["kinds"].values()) == line["count"]
        assert line["level"] == "info" and "request_id" not in line
    others = [line["event"] for line in events if not line["event"].startswith("request")]
    assert others[0] == "server.listening" and others[-1] == "server.stopped"


def test_lines_have_the_id_that_a_trusted_proxy_has_given(pictures: Path) -> None:
    path, variables = "/api/v1/Contact/1/Image", {"CONTACT_IMAGE_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    with running("--images", pictures, CONTACT_IMAGE_WRITES__ENABLED="true", **variables) as service:
        for number in range(3):
            assert service.get(path, {"X-Request-ID": f"hit-{number}"}).status == 200
            assert service.get(f"{path}?w=x", {"X-Request-ID": f"refused-{number}"}).status == 400
            assert service.get(path, {"X-Request-ID": f"purged-{number}"}, "PURGE").status == 204
        assert service.get(f"{path}?w=x", {"X-Request-ID": "two words"}).status == 400
        block_until(lambda: service.logged.count('"request.refused"') == 4, 30, "the lines are written")
        logged = [(line["event"], line["request_id"]) for line in service.events if line["event"] in IDENTIFIED]
    *given, (event, made) = logged
    assert given == [(event, f"{kind}-{number}") for number in range(3) for event, kind in IDENTIFIED.items()]
    assert event == "request.refused" and made and "two words" not in made


async def test_errors_are_never_merged_with_refusals(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serve()

    async def fail(*_: object) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(client.server.app[PICTURES], "select", fail)  # type: ignore[attr-defined]
    with capture_logs() as lines:
        for _ in range(50):
            async with client.get("/api/v1/Contact/1/Image") as answer:
                assert answer.status == 500
    assert [line["log_level"] for line in lines if line["event"] == "request.failed"] == ["error"] * 50


@pytest.mark.parametrize("message", arbiter._EVENTS)
def test_gunicorn_still_has_each_message_that_is_translated(message: str) -> None:
    source = inspect.getsource(gunicorn.arbiter)
    for sentence in re.findall(r"[^!]+!?", message):
        assert sentence in source


@pytest.mark.parametrize("level", ["critical", "error", "warning"])
def test_unknown_message_of_gunicorn_becomes_a_field_of_one_event(level: str) -> None:
    with capture_logs() as lines:
        getattr(EventLogger(None), level)("Worker %s is %s", 7, "odd")
        getattr(EventLogger(None), level)("100 % odd")
        getattr(EventLogger(None), level)("Reason: %s")
    assert [line["event"] for line in lines] == ["server.arbiter"] * 3
    assert [line["message"] for line in lines] == ["Worker %s is %s", "100 % odd", "Reason: %s"]
    assert [line["values"] for line in lines] == [["7", "odd"], [], []]
    assert {line["log_level"] for line in lines} == {"warning" if level == "warning" else "error"}


def test_known_message_of_gunicorn_becomes_an_event_with_fields() -> None:
    with capture_logs() as lines:
        logger = EventLogger(None)
        logger.critical("WORKER TIMEOUT (pid:%s)", 7)
        logger.error("Worker (pid:%s) exited with code %s.", 7, 3)
        logger.error("Shutting down: %s", "MezzanineFile")
        logger.error("Reason: %s", "Worker failed to boot.")
        logger.info("Handling signal: %s", "term")
    assert lines == [
        {"event": "server.worker_frozen", "pid": 7, "log_level": "error"},
        {"event": "server.worker_ended", "pid": 7, "code": 3, "log_level": "error"},
        {"event": "server.gave_up", "reason": "Worker failed to boot.", "log_level": "error"},
    ]


def test_ending_signals_are_blocked_while_a_process_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = []

    def fork(_: object) -> int:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return 1

    monkeypatch.setattr(gunicorn.arbiter.Arbiter, "spawn_worker", fork)
    assert SafeArbiter.spawn_worker(object.__new__(SafeArbiter)) == 1
    assert blocked[0] >= ENDING
    assert not ENDING & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture
def restored_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*EARLY, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("restored_handlers")
@pytest.mark.parametrize("number", EARLY)
def test_signal_that_an_import_swallowed_is_raised_again(number: signal.Signals) -> None:
    early, received = EarlySignals(), []
    with pytest.raises(SystemExit) as end:  # a module with `except BaseException: pass` swallows this
        signal.raise_signal(number)
    assert end.value.code == 0
    signal.signal(signal.SIGTERM, lambda *_: received.append("stop"))  # the handler of the server
    early.raise_pending()
    assert received == ["stop"]


@pytest.mark.usefixtures("restored_handlers")
def test_no_signal_is_raised_if_none_arrived() -> None:
    received: list[str] = []
    early = EarlySignals()
    signal.signal(signal.SIGTERM, lambda *_: received.append("stop"))
    early.raise_pending()
    assert received == []
