"""The requests of a run for the tools that teams have. Header fields of the command line are in no file."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from service.load.report import write_requests
from service.load.requests import Request, Schedule, bodies_of
from service.load.runner import Run
from service.load.scenarios import SCENARIOS

_TEXT = frozenset(b" !#$%&'()*+,-./:;<=>?@[]^_`{|}~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""Bytes that a string in Lua has as they are."""
_MOST_REPEATED = 100_000_000
"""Bytes of bodies in a file for vegeta, which repeats them, at most."""


class TooLarge(Exception):
    """The file for a tool would be very large."""


def export(
    tool: str, folder: Path, run: Run, schedule: Schedule, p99: float | None, errors: float | None
) -> tuple[Path, str]:
    """Write the file for *tool* into *folder*, and return it and the command that uses it.

    Raise OSError, or `TooLarge` before anything is written.
    """
    name, text, command = _EXPORTS[tool](run, schedule, p99, errors)
    folder.mkdir(parents=True, exist_ok=True)
    write_requests(folder, schedule)
    (folder / name).write_text(text, "utf-8")
    return folder / name, command


def _k6(run: Run, schedule: Schedule, p99: float | None, errors: float | None) -> tuple[str, str, str]:
    expects = SCENARIOS[run.scenario].expects
    statuses = f"{{ min: {expects[0]}, max: {expects[-1]} }}" if isinstance(expects, range) else _listed(expects)
    thresholds = {
        **({} if p99 is None else {"http_req_duration": [f"p(99)<={1000 * p99:g}"]}),
        # k6 drops a request when no virtual user is left, and does not count it as failed.
        **({} if errors is None else {"http_req_failed": [f"rate<={errors:g}"], "dropped_iterations": ["count<1"]}),
    }
    text = _filled(
        "k6.js",
        origin=json.dumps(run.origin),
        bodies=json.dumps(list(bodies_of(schedule))),
        statuses=statuses,
        requests=str(max(1, round(run.rate * run.seconds))),
        milliseconds=f"{1000 * run.seconds:.0f}",
        thresholds=json.dumps(thresholds),
    )
    return "k6.js", text, "k6 run k6.js"


def _locust(run: Run, schedule: Schedule, p99: float | None, errors: float | None) -> tuple[str, str, str]:
    users, seconds = str(max(1, round(run.rate))), f"{max(1, round(run.seconds))}"
    statuses = repr(SCENARIOS[run.scenario].expects)
    text = _filled("locustfile.txt", origin=repr(run.origin), statuses=statuses, users=users, seconds=seconds)
    return "locustfile.py", text, f"locust -f locustfile.py --headless -u {users} -r {users} -t {seconds}s"


def _vegeta(run: Run, schedule: Schedule, p99: float | None, errors: float | None) -> tuple[str, str, str]:
    if (size := sum(len(request.body) for _, request in schedule)) > _MOST_REPEATED:
        raise TooLarge(
            f"vegeta's file repeats the body of each request, {size / 1e6:,.0f} MB here, and at most "
            f"{_MOST_REPEATED / 1e6:.0f} MB are written: lower --rate or --for, or export for k6, locust or wrk."
        )
    targets = (
        {
            "method": request.method,
            "url": run.origin + request.target,
            "header": {name: [text] for name, text in request.fields.items()},
            **({"body": base64.b64encode(request.body).decode()} if request.body else {}),
        }
        for _, request in schedule
    )
    text = "".join(json.dumps(target, separators=(",", ":")) + "\n" for target in targets)
    options = f"-rate={max(1, round(run.rate * 60))}/m -duration={run.seconds:g}s -redirects=-1"
    return "targets.json", text, f"vegeta attack -format=json -targets=targets.json {options} | vegeta report"


def _wrk(run: Run, schedule: Schedule, p99: float | None, errors: float | None) -> tuple[str, str, str]:
    bodies = list(bodies_of(schedule).values())
    numbers = {body: number for number, body in enumerate(bodies, 1)}
    lines = "".join(_line(request, numbers.get(request.body, 0)) for _, request in schedule)
    level = ""
    while f"]{level}]" in lines:
        level += "="
    seconds = f"{max(1, round(run.seconds))}"
    strings = ", ".join(
        '"' + "".join(chr(byte) if byte in _TEXT else f"\\{byte:03}" for byte in body) + '"' for body in bodies
    )
    text = _filled("wrk.lua", url=run.target.url, seconds=seconds, level=level, bodies=strings, lines=lines)
    return "wrk.lua", text, f"wrk -t1 -c32 -d{seconds}s --latency -s wrk.lua {shlex.quote(run.target.url)}"


def _line(request: Request, body: int) -> str:
    fields = "\t".join(f"{name}: {text}" for name, text in request.fields.items())
    return f"{request.method}\t{request.target}\t{body}\t{fields}\n"


def _listed(statuses: tuple[int, ...]) -> str:
    return ", ".join(map(str, statuses))


def _filled(script: str, **values: str) -> str:
    """Return the text of *script* with the *values* in place of their names."""
    text = files("service.load").joinpath("scripts", script).read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


_EXPORTS: dict[str, Callable[[Run, Schedule, float | None, float | None], tuple[str, str, str]]] = {
    "k6": _k6,
    "locust": _locust,
    "vegeta": _vegeta,
    "wrk": _wrk,
}
