"""The command line.

Commands import the rest of the service when they run: a command that needs little starts quickly, and render processes
import this module too.
"""

from __future__ import annotations

import gc
import re
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.load.command import load

if TYPE_CHECKING:
    from service.settings import BadSettings, Settings, SettingsSources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="contact-image")
def main() -> None:
    """Contact pictures over HTTP: scaled, converted, cached."""


main.add_command(load)


_images = click.option(  # whether the folder can be read is for `serve` and `check` to report, not for click
    "--images", type=click.Path(path_type=Path, readable=False), help="Folder of the pictures, {id}.{suffix}."
)
_config = click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings, over the built-in defaults."
)


@main.command()
@_images
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
@click.option("--workers", type=int, help="Processes that share the port.")
@click.option("--demo", is_flag=True, help="Make a few dozen contact pictures in a temporary folder, and serve them.")
@_config
def serve(
    images: Path | None, host: str | None, port: int | None, workers: int | None, demo: bool, config: Path | None
) -> None:
    """Serve pictures until SIGTERM or Ctrl-C."""
    from tempfile import TemporaryDirectory

    early = _EarlySignals()
    with ExitStack() as stack:
        gc.disable()  # until the service listens: collections take a seventh of the start, and find nothing
        stack.callback(gc.enable)
        sources = _sources(config, images, host=host, port=port, workers=workers)
        settings = _load(sources)
        if demo:
            if images is not None:
                raise click.UsageError("--demo makes a folder of its own; leave --images out.")
            from service.demo import CONTACTS, make_demo, welcome
            from service.serving.logs import configure_logs

            configure_logs(settings.log)
            # A signal between the making of the folder and its registration would leave the folder behind.
            signal.pthread_sigmask(signal.SIG_BLOCK, early.ending)
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="contact-image-demo-")))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, early.ending)
            images, defaults = make_demo(folder, writable=settings.is_local)
            sources = _sources(config, images, defaults, host=host, port=port, workers=workers)
            settings = _load(sources)
        from service.line_queue import STANDARD_OUTPUT
        from service.serving.run import run
        from service.settings import BadSettings

        def ready(base: str) -> None:
            if demo:
                STANDARD_OUTPUT.write(welcome(base) + "\n")
            early.raise_pending()

        try:
            run(settings, sources, ready, CONTACTS if demo else ())
        except BadSettings as error:
            raise _unusable(error) from None
        except OSError as error:
            raise click.ClickException(f"cannot serve: {error}") from None


@main.command()
@_images
@_config
def check(images: Path | None, config: Path | None) -> None:
    """Check the settings, the store, the cache and the verifiers of credentials, and print the result."""
    import asyncio

    from service.serving.check import inspect
    from service.serving.logs import configure_logs

    settings = _load(_sources(config, images))
    configure_logs(settings.log)  # findings go to standard output, everything else to standard error
    click.echo("settings: valid")
    findings = asyncio.run(inspect(settings))
    for part, (fine, words) in findings.items():
        click.echo(f"{part}: {words}" if fine else f"{part}: FAILED: {words}")
    if not all(fine for fine, _ in findings.values()):
        raise SystemExit(1)


@main.command()
@click.argument("contacts", nargs=-1, type=click.IntRange(1, 2**31 - 1), metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Drop the cached values of every contact.")
@_config
def purge(contacts: tuple[int, ...], everything: bool, config: Path | None) -> None:
    """Drop the cached values of contacts in every process that shares the cache."""
    import asyncio

    from service.pictures.ports import CacheUnavailable

    if everything == bool(contacts):
        raise click.UsageError("name the contacts, or --all.")
    settings = _load(_sources(config))
    if not settings.cache.url:
        raise click.ClickException(
            "cache.url is empty: a service's private cache server cannot be reached from here. "
            "Restart the service, or purge over HTTP: PURGE /api/v1/Contact/{id}/Image, with the role purge, or "
            "writes.enabled."
        )
    try:
        asyncio.run(_drop(settings, contacts))
    except CacheUnavailable as error:
        raise click.ClickException(f"the cache did not acknowledge it: {error}") from None
    click.echo("purged: everything" if everything else f"purged: {', '.join(map(str, contacts))}")


async def _drop(settings: Settings, contacts: tuple[int, ...]) -> None:
    """Purge *contacts*, or every contact if there are none. Raise `CacheUnavailable` with the reason."""
    from service.pictures.ports import CacheUnavailable
    from service.wiring.app import redis_cache

    cache = redis_cache(settings)
    try:
        if not contacts:
            await cache.purge(None)
        for contact in contacts:
            await cache.purge(contact)
    except CacheUnavailable:
        await cache.check()  # raises with a more exact reason if it can
        raise
    finally:
        await cache.close()


@main.group()
def user() -> None:
    """Change the users' file."""


@user.command()
@click.argument("name")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The file, instead of auth.users_file.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["read", "write", "purge"]),
    help="A role of NAME; may be repeated. The default is read.",
)
@_config
def add(name: str, file: Path | None, roles: tuple[str, ...], config: Path | None) -> None:
    """Add NAME to the users' file, or replace the entry of NAME.

    The command prompts for the password at a terminal; otherwise it reads one line from standard input.
    """
    from service.access.identity import Role
    from service.access.verifiers.users_storage import add_user

    if file is None and not (named := _load(_sources(config)).auth.users_file):
        raise click.UsageError("auth.users_file is empty: give --file.")
    path = file or Path(named)
    try:
        replaced = add_user(path, name, _password(), [Role(role) for role in roles])
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be changed: {error.strerror or error}") from None
    click.echo(f"{'replaced' if replaced else 'added'} {name} in {path} ({', '.join(roles) or 'read'})")


def _password() -> str:
    """Return the password from two prompts or from standard input. An argument would be visible to all processes."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    text = sys.stdin.buffer.read(4096).decode("utf-8", "surrogateescape")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(set(lines)) > 1:  # a confirmation may be piped as well
        raise click.UsageError("the lines on standard input are not the same password.")
    if not lines[0]:  # for example in a job without standard input
        raise click.UsageError("no password came by standard input.")
    return lines[0]


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds of each unit of a time."""
_LONGEST = 10 * 365 * _UNITS["d"]
"""Seconds that a signed URL may be valid."""


def _seconds(_: click.Context, __: click.Parameter, text: str) -> int:
    """Return a time such as `7d` in seconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if match is None or (seconds := int(match[1]) * _UNITS[match[2]]) > _LONGEST:
        raise click.BadParameter("a number and s, m, h, d or w, such as 7d; ten years at most.")
    return seconds


@main.command()
@click.argument("target")
@click.option(
    "--expires", required=True, callback=_seconds, metavar="TIME", help="How long it is valid: 90s, 15m, 12h, 7d, 4w."
)
@click.option("--base", default="", metavar="URL", help="URL of the service, to print before the path.")
@_config
def sign(target: str, expires: int, base: str, config: Path | None) -> None:
    """Sign TARGET, a picture's path and query, with the first of auth.signing_keys, and print it."""
    import time

    from service.errors import PictureError
    from service.protocol.query import parse_contact_id, parse_query
    from service.protocol.signatures import parse_key
    from service.protocol.signatures import sign as signed

    settings = _load(_sources(config))
    if not settings.auth.signing_keys:
        raise click.ClickException(
            "auth.signing_keys is empty: make a secret with `openssl rand -hex 32`, "
            'and set CONTACT_IMAGE_AUTH__SIGNING_KEYS=k1:SECRET (or signing_keys = ["k1:SECRET"]).'
        )
    path, _, query = target.partition("?")
    match = re.fullmatch(r"(?i:/api/v1/contact)/([^/]*)/(?i:image)/?", path)
    if match is None:
        raise click.ClickException("this is no picture's path: /api/v1/Contact/{id}/Image.")
    if base and not re.fullmatch(r"https?://[^\s?#]+", base):
        raise click.UsageError("--base is a URL that begins with http:// or https://, without query.")
    kid, secret = parse_key(settings.auth.signing_keys[0].get_secret_value())
    try:
        parse_contact_id(match[1])
        parse_query(query, settings.render.max_dimension, settings.render.presets_in_force)
        click.echo(base.rstrip("/") + signed(target, kid, secret, int(time.time()) + expires))
    except PictureError as error:
        raise click.ClickException(str(error)) from None


def _sources(
    config: Path | None, images: Path | None = None, defaults: Path | None = None, **server: str | int | None
) -> SettingsSources:
    """Return the sources of the settings, with *server*'s values that are not None."""
    from service.settings import SettingsSources

    given = {name: value for name, value in server.items() if value is not None}
    options: dict[str, dict[str, Any]] = {"server": given} if given else {}
    if images is not None:
        options["images"] = {"directory": images}
    return SettingsSources(config, defaults, options)


def _load(sources: SettingsSources) -> Settings:
    """Return the settings of *sources*. Raise `click.ClickException`."""
    from service.settings import BadSettings

    try:
        return sources.load()
    except BadSettings as error:
        raise _unusable(error) from None


def _unusable(error: BadSettings) -> click.ClickException:
    """Return the error that prints every fault of the settings on a line of its own."""
    lines = "\n".join(f"  {fault}" for fault in error.faults)
    return click.ClickException(f"the settings cannot be used:\n{lines}")


class _EarlySignals:
    """Handlers of signals until the server has its own. Those that end the service end it with exit code 0."""

    def __init__(self) -> None:
        from service.serving.hangup import Hangup, meaning

        self._stop = self._hangup = False
        self.ending = {signal.SIGTERM, signal.SIGINT}
        if (of_hangup := meaning()) is Hangup.STOPS:
            self.ending.add(signal.SIGHUP)
        elif of_hangup is Hangup.RELOADS:
            signal.signal(signal.SIGHUP, self._remember)
        for number in self.ending:
            signal.signal(number, self._end)
        for number in (signal.SIGUSR1, signal.SIGUSR2):  # their default is to end a process
            signal.signal(number, signal.SIG_IGN)

    def _end(self, *_: object) -> None:
        self._stop = True
        sys.exit(0)

    def _remember(self, *_: object) -> None:
        self._hangup = True

    def raise_pending(self) -> None:
        """Raise signals again that had no effect: SIGHUP if it reloads, and one that ends the service.

        Some modules swallow an exception that is raised while they are imported.
        """
        if self._hangup:
            signal.raise_signal(signal.SIGHUP)
        if self._stop:
            signal.raise_signal(signal.SIGTERM)
