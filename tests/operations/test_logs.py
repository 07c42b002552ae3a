"""What the log says when the service starts and stops: events of ours, and no error where nothing is wrong."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gunicorn.arbiter
import pytest
from structlog.testing import capture_logs

from service.cli import _EarlyStop
from service.serving import arbiter
from service.serving.arbiter import ENDING, EventLogger, SafeArbiter
from tests.operations.running import Service, running, until
from tests.pictures_in_code import quarters, saved

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see its processes")
PICTURE = "/api/v1/Contact/1/Image"
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


def logged(service: Service) -> list[dict[str, Any]]:
    """All lines, each a JSON object of ours: an event's name is no sentence."""
    lines = [json.loads(line) for line in service.logged.splitlines()]
    assert [line["event"] for line in lines if not re.fullmatch(r"[a-z_]+\.[a-z_]+", line["event"])] == []
    return lines


def errors(service: Service) -> list[dict[str, Any]]:
    return [line for line in logged(service) if line["level"] in ("error", "critical")]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("workers", [ONE, TWO], ids=["one process", "two"])
class TestANormalStop:
    def test_logs_no_error_when_it_is_idle(self, pictures: Path, workers: tuple[str, ...], stop: str) -> None:
        with running("--images", pictures, *workers, CONTACT_IMAGE_RENDER__WORKERS="2") as service:
            until(lambda: service.get("/readyz").status == 200, 30, "it renders")
            assert service.get(f"{PICTURE}?w=20").status == 200
            STOPS[stop](service)
            assert service.end() == 0
            assert errors(service) == []
            assert logged(service)[-1]["event"] == "server.stopped"

    def test_logs_no_error_when_it_has_just_started(self, pictures: Path, workers: tuple[str, ...], stop: str) -> None:
        """Its render processes are starting, and with two, these themselves."""
        with running("--images", pictures, *workers, wait=False, CONTACT_IMAGE_RENDER__WORKERS="2") as service:
            until(lambda: "server.listening" in service.logged, 30, "it listens")
            STOPS[stop](service)
            assert service.end(60) == 0
            assert errors(service) == []


@needs_proc
def test_a_process_that_is_killed_is_an_error_of_ours_and_another_starts(pictures: Path) -> None:
    with running("--images", pictures, *TWO, CONTACT_IMAGE_RENDER__WORKERS="2") as service:
        service.with_workers(2)
        assert len(service.servers) == 2
        victim = min(each.pid for each in service.servers)
        os.kill(victim, signal.SIGKILL)
        until(lambda: "server.worker_started" in service.logged, 30, "another one runs")
        service.send(signal.SIGTERM)
        assert service.end() == 0
        (killed,) = errors(service)
        assert (killed["event"], killed["pid"], killed["signal"]) == ("server.worker_killed", victim, "SIGKILL")
        (started,) = (line for line in logged(service) if line["event"] == "server.worker_started")
        assert started["pid"] not in (victim, service.process.pid)


@pytest.mark.parametrize("message", arbiter._EVENTS)
def test_gunicorn_still_says_what_we_know_it_by(message: str) -> None:
    source = inspect.getsource(gunicorn.arbiter)
    for sentence in re.findall(r"[^!]+!?", message):
        assert sentence in source


@pytest.mark.parametrize("level", ["critical", "error", "warning"])
def test_what_is_not_known_is_one_event_with_the_message_beside_it(level: str) -> None:
    with capture_logs() as lines:
        getattr(EventLogger(None), level)("Worker %s is %s", 7, "odd")
        getattr(EventLogger(None), level)("100 % odd")
        getattr(EventLogger(None), level)("Reason: %s")
    assert [line["event"] for line in lines] == ["server.arbiter"] * 3
    assert [line["message"] for line in lines] == ["Worker %s is %s", "100 % odd", "Reason: %s"]
    assert [line["values"] for line in lines] == [["7", "odd"], [], []]
    assert {line["log_level"] for line in lines} == {"warning" if level == "warning" else "error"}


def test_what_is_known_is_an_event_and_its_fields() -> None:
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


def test_a_signal_that_comes_while_a_process_is_forked_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = []

    def fork(_: object) -> int:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return 1

    monkeypatch.setattr(gunicorn.arbiter.Arbiter, "spawn_worker", fork)
    assert SafeArbiter.spawn_worker(object.__new__(SafeArbiter)) == 1
    assert blocked[0] >= ENDING
    assert not ENDING & signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.fixture
def own_handlers() -> Iterator[None]:
    before = {each: signal.getsignal(each) for each in _EarlyStop.SIGNALS}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("own_handlers")
@pytest.mark.parametrize("number", _EarlyStop.SIGNALS)
def test_a_stop_that_an_import_has_swallowed_comes_again(number: signal.Signals) -> None:
    stop, heard = _EarlyStop(), []
    with pytest.raises(SystemExit) as end:  # as `except BaseException: pass` in some module would
        signal.raise_signal(number)
    assert end.value.code == 0
    signal.signal(signal.SIGTERM, lambda *_: heard.append("stop"))  # the server's own
    stop.raise_pending()
    assert heard == ["stop"]


@pytest.mark.usefixtures("own_handlers")
def test_no_stop_comes_where_there_was_none() -> None:
    heard: list[str] = []
    stop = _EarlyStop()
    signal.signal(signal.SIGTERM, lambda *_: heard.append("stop"))
    stop.raise_pending()
    assert heard == []
