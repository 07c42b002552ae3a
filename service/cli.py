"""The command line. Commands import what they need themselves: a render process re-runs this module's importer."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="contact-image")
def main() -> None:
    """Contact pictures over HTTP: scaled, converted, cached."""


_images = click.option(  # as from other settings, a folder that cannot be read is a matter of `serve` and `check`
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
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    stop = _EarlyStop()
    with ExitStack() as stack:
        settings = _settings(config, images, host=host, port=port, workers=workers)
        if demo:
            if images is not None:
                raise click.UsageError("--demo makes a folder of its own; leave --images out.")
            from service.demo import PICTURED, make_demo
            from service.serving.logs import configure_logs

            configure_logs(settings.log)
            signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)  # wait until the folder is sure to be removed
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="contact-image-demo-")))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
            images, defaults = make_demo(folder, writable=settings.is_local)
            settings = _settings(config, images, defaults, host=host, port=port, workers=workers)
        from service.serving.run import run
        from service.settings import BadSettings

        def ready(base: str) -> None:
            if demo:
                _demo_welcome(base)
            stop.raise_pending()

        try:
            run(settings, ready, PICTURED if demo else ())
        except BadSettings as error:
            raise _unusable(error) from None
        except OSError as error:
            raise click.ClickException(f"cannot serve: {error}") from None


@main.command()
@_images
@_config
def check(images: Path | None, config: Path | None) -> None:
    """Check the settings, the store and the cache, and say what was found."""
    import asyncio

    from service.serving.check import inspect
    from service.serving.logs import configure_logs

    settings = _settings(config, images)
    configure_logs(settings.log)  # what is found is printed, and all else goes to standard error
    click.echo("settings: valid")
    findings = asyncio.run(inspect(settings))
    for part, (fine, words) in findings.items():
        click.echo(f"{part}: {words}" if fine else f"{part}: FAILED: {words}")
    if not all(fine for fine, _ in findings.values()):
        raise SystemExit(1)


@main.command()
@click.argument("contacts", nargs=-1, type=click.IntRange(1, 2**31 - 1), metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Of every contact.")
@_config
def purge(contacts: tuple[int, ...], everything: bool, config: Path | None) -> None:
    """Drop what is cached of contacts, in every process that shares the cache."""
    import asyncio

    from service.pictures.ports import CacheUnavailable
    from service.wiring.app import redis_cache

    if everything == bool(contacts):
        raise click.UsageError("name the contacts, or --all.")
    settings = _settings(config, None)
    url = settings.cache.url.get_secret_value()
    if not url:
        raise click.ClickException(
            "cache.url is empty: a service's private cache server cannot be reached from here. "
            "Restart the service, or purge over HTTP: PURGE /api/v1/Contact/{id}/Image, with the role purge, or "
            "writes.enabled."
        )

    async def drop() -> None:
        cache = redis_cache(settings, url)
        try:
            if everything:
                await cache.purge(None)
            for contact in contacts:
                await cache.purge(contact)
        except CacheUnavailable:
            await cache.check()  # raises where it can say more
            raise
        finally:
            await cache.close()

    try:
        asyncio.run(drop())
    except CacheUnavailable as error:
        raise click.ClickException(f"the cache did not acknowledge it: {error}") from None
    click.echo("purged: everything" if everything else f"purged: {', '.join(map(str, contacts))}")


@main.group()
def user() -> None:
    """Change who is in the users' file."""


@user.command()
@click.argument("name")
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Instead of the settings' auth.users_file."
)
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(["read", "write", "purge"]),
    help="What NAME may do, once for each; read where there is none.",
)
@_config
def add(name: str, file: Path | None, roles: tuple[str, ...], config: Path | None) -> None:
    """Add NAME to the users' file, or replace them there.

    The password is asked for, or is the line that comes by standard input.
    """
    from service.access.identity import Role
    from service.access.verifiers.users_storage import add_user

    if file is None and not (named := _settings(config, None).auth.users_file):
        raise click.UsageError("auth.users_file is empty: give --file.")
    path = file or Path(named)
    try:
        replaced = add_user(path, name, _password(), [Role(each) for each in roles])
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be changed: {error.strerror or error}") from None
    click.echo(f"{'replaced' if replaced else 'added'} {name} in {path} ({', '.join(roles) or 'read'})")


def _password() -> str:
    """The password that is typed twice, or comes by standard input; never an argument, which all processes can see."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    text = sys.stdin.buffer.read(4096).decode("utf-8", "surrogateescape")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(set(lines)) > 1:  # twice is as good as once
        raise click.UsageError("the lines on standard input are not the same password.")
    if not lines[0]:  # as where a job has no standard input
        raise click.UsageError("no password came by standard input.")
    return lines[0]


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = 10 * 365 * _UNITS["d"]


def _seconds(_: click.Context, __: click.Parameter, text: str) -> int:
    """A time such as `7d`, in seconds."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", text)
    if match is None or (seconds := int(match[1]) * _UNITS[match[2]]) > _LONGEST:
        raise click.BadParameter("a number and s, m, h, d or w, such as 7d; ten years at most.")
    return seconds


@main.command()
@click.argument("target")
@click.option(
    "--expires", required=True, callback=_seconds, metavar="TIME", help="How long it is good: 90s, 15m, 12h, 7d, 4w."
)
@click.option("--base", default="", metavar="URL", help="Where the service is seen, to be put before it.")
@_config
def sign(target: str, expires: int, base: str, config: Path | None) -> None:
    """Sign TARGET, a picture's path and query, with the first of auth.signing_keys, and print it."""
    import time

    from service.errors import PictureError
    from service.protocol.query import parse_contact_id, parse_query
    from service.protocol.signatures import parse_key
    from service.protocol.signatures import sign as signed

    settings = _settings(config, None)
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
        parse_query(query, settings.render.max_dimension)
        click.echo(base.rstrip("/") + signed(target, kid, secret, int(time.time()) + expires))
    except PictureError as error:
        raise click.ClickException(str(error)) from None


def _settings(
    config: Path | None, images: Path | None, defaults: Path | None = None, **server: str | int | None
) -> Any:
    from service.settings import BadSettings, load_settings

    given = {name: value for name, value in server.items() if value is not None}
    options: dict[str, dict[str, Any]] = {"server": given} if given else {}
    if images is not None:
        options["images"] = {"directory": images}
    try:
        return load_settings(config, defaults, **options)
    except BadSettings as error:
        raise _unusable(error) from None


def _unusable(error: Any) -> click.ClickException:
    lines = "\n".join(f"  {fault}" for fault in error.faults)
    return click.ClickException(f"the settings cannot be used:\n{lines}")


class _EarlyStop:
    """SIGTERM and Ctrl-C before the server has its own handlers: they end the process, with exit code 0."""

    SIGNALS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._came = False
        for each in self.SIGNALS:
            signal.signal(each, self._end)

    def _end(self, *_: object) -> None:
        self._came = True
        sys.exit(0)

    def raise_pending(self) -> None:
        """Stop the server that has just started, if a signal had no effect: some modules swallow an exception that is
        raised while they are imported."""
        if self._came:
            signal.raise_signal(signal.SIGTERM)


def _demo_welcome(base: str) -> None:
    from service.demo import welcome

    click.echo(welcome(base))
