"""The queue of lines and the log that uses it, each in a process of its own: they belong to a whole process."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SET_UP = """
    import gc, logging, os, signal, sys, threading, time, warnings
    import structlog
    from service.line_queue import STANDARD_ERROR
    from service.serving import stopping
    from service.serving.logs import configure_logs
    from service.settings import load_settings

    configure_logs(load_settings().log)
    log = structlog.get_logger()

    class Unprintable:
        def __repr__(self):
            raise ValueError("no text")

    class Unfinalizable:
        def __del__(self):
            raise ValueError("no end")
"""


def start(code: str, err: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a process whose log is configured, and that then runs *code*."""
    program = textwrap.dedent(SET_UP) + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=err)


def lines(code: str) -> list[dict[str, object]]:
    """Return what *code* logs. Fail if it does not end with 0."""
    process = start(code)
    _, logged = process.communicate(timeout=60)
    assert process.returncode == 0, logged.decode()
    return [json.loads(line) for line in logged.splitlines()]


def test_every_line_is_written_before_the_process_ends() -> None:
    assert [line["event"] for line in lines('for n in range(1000): log.info(f"test.{n}")')] == [
        f"test.{n}" for n in range(1000)
    ]


def test_line_before_a_stop_that_is_cut_is_written() -> None:
    assert [line["event"] for line in lines("stopping._end()")] == ["server.stop_cut"]


def test_value_that_cannot_be_printed_does_not_make_a_log_call_fail() -> None:
    (first, second) = lines("""
        log.warning("test.odd", value=Unprintable())
        logging.getLogger("library").warning("%d", "no number")
        log.info("test.even")
    """)
    assert first == {"event": "test.odd", "level": "warning", "unprintable": "ValueError"}
    assert second["event"] == "test.even"


def test_forked_process_writes_its_own_lines_and_not_those_of_its_parent() -> None:
    written = lines("""
        for n in range(2000):
            log.info("test.parent")
        if not (child := os.fork()):
            log.info("test.child")
            STANDARD_ERROR.drain(60)
            os._exit(0)
        os.waitpid(child, 0)
        STANDARD_ERROR.drain(60)
    """)
    events = [line["event"] for line in written]
    assert (events.count("test.parent"), events.count("test.child"), len(events)) == (2000, 1, 2001)


def test_signal_handler_may_log_while_a_line_is_being_queued() -> None:
    written = lines("""
        signal.signal(signal.SIGALRM, lambda *_: log.info("test.signal"))
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for n in range(5000):
            log.info("test.line")
        signal.setitimer(signal.ITIMER_REAL, 0)
        STANDARD_ERROR.drain(60)
    """)
    events = [line["event"] for line in written]
    assert events.count("test.line") == 5000
    assert "test.signal" in events


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="needs a pipe of a known size")
def test_warnings_and_ignored_exceptions_do_not_wait_for_a_pipe_that_is_not_read() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, 4096 * b"x")
    os.set_blocking(write, True)
    process = start(
        """
        warnings.warn("odd")
        Unfinalizable()
        print("done", flush=True)
        STANDARD_ERROR.drain(60)
        """,
        write,
    )
    os.close(write)
    assert process.stdout is not None
    assert process.stdout.readline() == b"done\n"  # it is still not read
    with os.fdopen(read, "rb") as pipe:
        warning, ignored = (json.loads(line) for line in pipe.read().lstrip(b"x").splitlines())
    process.communicate(timeout=60)
    assert "odd" in warning["event"] and warning["level"] == "warning"
    assert (ignored["event"], ignored["level"]) == ("server.exception_ignored", "error")
    assert "no end" in ignored["exception"]
