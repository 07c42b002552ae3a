"""`contact-image load`."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from service.cli.options import ranges

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
"""Seconds of each unit of a time."""
_LONGEST = 600.0
"""Seconds that a run may last."""
_MOST = 1_000_000
"""Requests of a run at most."""
_MOST_CONTACTS = 100_000
"""Contacts of a run at most."""
_RATE = 100.0
"""Requests a second by default, on this machine."""
SCENARIO_NAMES = ("hits", "misses", "zipf", "304", "stampede", "uploads", "hostile", "overload")
"""The names of `service.load.scenarios.SCENARIOS`, which is imported only when the command runs."""
EXPORTS = ("k6", "locust", "vegeta", "wrk")
"""The tools that `service.load.exports` knows."""


def _duration(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return a time such as `20ms` in seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m)", text)
    if match is None or not (seconds := float(match[1]) * _UNITS[match[2]]):
        raise click.BadParameter("a number and ms, s or m, such as 20ms.")
    return seconds


def _length(context: click.Context, parameter: click.Parameter, text: str) -> float:
    """Return the seconds of the run."""
    seconds = _duration(context, parameter, text)
    assert seconds is not None
    if not 1 <= seconds <= _LONGEST:
        raise click.BadParameter("from one second to ten minutes.")
    return seconds


def _share(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return a share such as `0.1%`."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%", text)
    if match is None or (share := float(match[1]) / 100) > 1:
        raise click.BadParameter("a percentage such as 0.1%.")
    return share


def _contacts(_: click.Context, __: click.Parameter, text: str) -> list[int]:
    """Return the ids of a list such as `1-20,31`."""
    found = ranges(part.strip() for part in text.split(","))
    if sum(map(len, found)) > _MOST_CONTACTS:
        raise click.BadParameter(f"at most {_MOST_CONTACTS:,} contacts.")
    return sorted({contact for each in found for contact in each})


def _fields(_: click.Context, __: click.Parameter, lines: tuple[str, ...]) -> dict[str, str]:
    """Return header fields from lines such as `Name: text`."""
    fields = {}
    for line in lines:
        match = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): *([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)", line)
        if match is None:
            raise click.BadParameter("a header field such as 'Authorization: Basic …'.")
        fields[match[1]] = match[2]
    return fields


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Have SIGTERM do what Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.command()
@click.argument("url")
@click.option("--scenario", required=True, type=click.Choice(SCENARIO_NAMES), help="What is requested.")
@click.option("--rate", type=click.FloatRange(0.1, 100_000), help=f"Requests a second ({_RATE:g} on this machine).")
@click.option(
    "--for", "seconds", default="10s", callback=_length, metavar="TIME", help="How long: 10s, 1m; 10m at most."
)
@click.option("--seed", default=1, show_default=True, help="What the requests are drawn from.")
@click.option(
    "--contacts", default="1-100", show_default=True, callback=_contacts, metavar="IDS", help="Ids and ranges: 1-20,31."
)
@click.option(
    "--header",
    "fields",
    multiple=True,
    callback=_fields,
    metavar="LINE",
    help="A header field of every request; may be repeated.",
)
@click.option(
    "--p99", callback=_duration, metavar="TIME", help="Fail if the 99th percentile of the latency is more: 20ms."
)
@click.option("--errors", callback=_share, metavar="SHARE", help="Fail if more requests than this are errors: 0.1%.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("load-report"),
    show_default=True,
    help="Folder of the report and its data.",
)
@click.option(
    "--export",
    type=click.Choice(EXPORTS),
    help="Write the requests for this tool into the folder, and do not send them.",
)
@click.option("--i-own-this-host", "owned", metavar="HOST", help="The host of URL, if it is not this machine.")
@_terminated_as_interrupted()
def load(
    url: str, scenario: str, rate: float | None, seconds: float, seed: int, contacts: list[int], fields: dict[str, str],
    p99: float | None, errors: float | None, folder: Path, export: str | None, owned: str | None,
) -> None:  # fmt: skip
    """Send load to the service at URL, and write a report.

    Requests are sent at chosen times, whether or not earlier ones are answered, and a latency begins at that time. The
    exit code is 1 if a threshold (--p99, --errors) is not met. Ctrl-C and SIGTERM end the sending: the report is of
    what was sent.
    """
    import uvloop

    from service.load import exports
    from service.load.figures import thresholds
    from service.load.preparation import Unprepared
    from service.load.report import is_of_runs, summary, troubles, write_report
    from service.load.runner import Run, measured, prepared
    from service.load.scenarios import SCENARIOS, TooFewContacts
    from service.load.target import parse_target, refusal

    try:
        target = parse_target(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="URL") from None
    if reason := refusal(target, owned, rate_given=rate is not None, loopback_only=SCENARIOS[scenario].harms):
        raise click.UsageError(reason)
    run = Run(target, scenario, contacts, rate or _RATE, seconds, seed, fields)
    if not run.rate * run.seconds <= _MOST:  # neither is NaN
        raise click.UsageError(f"a run has at most {_MOST:,} requests: lower --rate or --for.")
    began = datetime.now(UTC)
    try:
        if not is_of_runs(folder):
            raise click.UsageError(f"{folder} has files that are of no run: name another folder by --report.")
        schedule = uvloop.run(prepared(run))
        if export is not None:
            file, command = exports.export(export, folder, run, schedule, p99, errors)
            click.echo(f"{file}: cd {shlex.quote(str(folder))} && {command}")
            return
        result = uvloop.run(measured(run, schedule))
        bounds = thresholds(result, p99, errors)
        for line in summary(result, bounds):  # before the files: the disk may be full
            click.echo(line)
        file = write_report(folder, run, schedule, result, bounds, began)
    except (Unprepared, TooFewContacts, exports.TooLarge) as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"the files cannot be written: {error}") from None
    click.echo(f"report: {file}")
    raise SystemExit(0 if all(each.met for each in bounds) and not troubles(result) else 1)
