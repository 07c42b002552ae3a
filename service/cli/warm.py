"""`contact-image warm`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from service.cli.options import ranges

if TYPE_CHECKING:
    from service.warming import Counts, State

_BROWSER = "image/avif,image/webp,*/*;q=0.8"
"""What browsers accept."""
_SHOWN = 10
"""Failures that are printed."""


def _named(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[range]:
    """Return the ids that the arguments name."""
    return ranges(texts)


def _listed(_: click.Context, __: click.Parameter, file: TextIO | None) -> list[range]:
    """Return the ids that *file* names."""
    try:
        return ranges(file.read().split()) if file is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"the file cannot be read: {error}") from None


def _base(_: click.Context, __: click.Parameter, url: str) -> str:
    """Return the URL of a service without a slash at its end."""
    if not re.fullmatch(r"https?://[^\s?#/@]+[^\s?#@]*", url):
        raise click.BadParameter("a URL that begins with http:// or https://, without credentials and query.")
    return url.rstrip("/")


def _printable(_: click.Context, __: click.Parameter, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return what is *given*. A control character would be a further line of the state or of the request."""
    if not "".join(given).isprintable():
        raise click.BadParameter("no control characters, and text in the encoding of the terminal.")
    return given


@click.command()
@click.argument("contacts", nargs=-1, callback=_named, metavar="[ID|FIRST-LAST]...")
@click.option(
    "--file",
    "listed",
    type=click.File(encoding="utf-8"),
    callback=_listed,
    help="A file of more ids and ranges; - is standard input.",
)
@click.option(
    "--query",
    "queries",
    multiple=True,
    callback=_printable,
    help="The query of a picture, such as 'w=64&h=64'; may be repeated.",
)
@click.option(
    "--preset", "presets", multiple=True, callback=_printable, help="A preset of the service; may be repeated."
)
@click.option(
    "--accept",
    default=_BROWSER,
    callback=_printable,
    show_default=True,
    help="The field Accept, which chooses the format.",
)
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    callback=_base,
    show_default=True,
    help="URL of the service.",
)
@click.option(
    "--rate", type=click.FloatRange(0.01, 10_000), default=20, show_default=True, help="Requests a second at most."
)
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file of what is done. Another run with it requests the rest, and what failed.",
)
def warm(
    contacts: list[range],
    listed: list[range],
    queries: tuple[str, ...],
    presets: tuple[str, ...],
    accept: str,
    url: str,
    rate: float,
    state: Path | None,
) -> None:
    """Request pictures of contacts, so that the service has them in its caches.

    Every contact is requested with every query and preset. 404 is a contact without a picture, and no failure unless
    no contact has one. Name and password for the service come from ~/.netrc, or the file that NETRC names.
    """
    from service.warming import BadState, State

    wanted = (*queries, *(f"preset={name}" for name in presets))
    if not (contacts or listed):
        raise click.UsageError("name contacts, or a --file of them.")
    if not wanted:
        raise click.UsageError("give a --query or a --preset; --query '' is the picture as stored.")
    try:
        with State(state, f"{url} {accept}") as done:
            _warm(url, accept, rate, [*contacts, *listed], wanted, done)
    except BadState as error:
        raise click.ClickException(f"{state} is no state of this work: {error}.") from None
    except OSError as error:
        raise click.ClickException(f"{state} cannot be used: {error.strerror or error}") from None


def _warm(url: str, accept: str, rate: float, contacts: list[range], queries: tuple[str, ...], state: State) -> None:
    import asyncio

    from service.progress import progress
    from service.warming import targets, warm

    failures = 0

    def failed(reason: str) -> None:
        nonlocal failures
        failures += 1
        if failures <= _SHOWN:
            click.echo(reason if reason.isprintable() else ascii(reason), err=True)

    total = sum(map(len, contacts)) * len(queries)
    left = sum(target not in state for target in targets(contacts, queries)) if len(state) else total
    pending = (target for target in targets(contacts, queries) if target not in state)
    with progress("Warming", left) as counted:
        counts = asyncio.run(warm(url, accept, rate, pending, state, counted=counted, failed=failed))
    click.echo(_summary(counts, total - left))
    if counts.gave_up:
        raise click.ClickException(f"the last {counts.failed_in_a_row} requests failed: the service does not work.")
    if left and counts.missing == left == total:
        raise click.ClickException("no contact has a picture: is --url right?")
    if counts.failed:
        raise SystemExit(1)


def _summary(counts: Counts, before: int) -> str:
    words = f"warmed {counts.warmed:,} ({counts.cached:,} were cached), {counts.missing:,} without a picture"
    return f"{words}, {counts.failed:,} failed" + (f"; {before:,} were done before" if before else "")
