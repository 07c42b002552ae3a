"""The command line. Commands import what they need themselves: a render process re-runs this module's importer."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="contact-image")
def main() -> None:
    """Contact pictures over HTTP: scaled, converted, cached."""


_config = click.option(
    "--config", type=click.Path(path_type=Path), help="A TOML file of settings, over the built-in defaults."
)


@main.command()
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures, {id}.{suffix}.")
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

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server takes over
    with ExitStack() as stack:
        if demo:
            if images is not None:
                raise click.UsageError("--demo makes a folder of its own; leave --images out.")
            from service.demo import make_store

            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # wait until the folder is sure to be removed
            images = Path(stack.enter_context(TemporaryDirectory(prefix="contact-image-demo-")))
            make_store(images)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        settings = _settings(config, images, host=host, port=port, workers=workers)
        from service.server import run

        try:
            run(settings, welcome=_demo_welcome if demo else None)
        except OSError as error:
            raise click.ClickException(f"cannot serve: {error}") from None


@main.command()
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures, {id}.{suffix}.")
@_config
def check(images: Path | None, config: Path | None) -> None:
    """Check the settings, the store and the cache, and say what was found."""
    import asyncio

    from service.serving.inspection import inspect

    settings = _settings(config, images)
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

    from service.app import redis_cache
    from service.pictures.ports import CacheUnavailable

    if everything == bool(contacts):
        raise click.UsageError("name the contacts, or --all.")
    settings = _settings(config, None)
    url = settings.cache.url.get_secret_value()
    if not url:
        raise click.ClickException(
            "cache.url is empty: a service's private cache server cannot be reached from here. "
            "Restart the service, or purge over HTTP (PURGE /api/v1/Contact/{id}/Image, with writes.enabled)."
        )

    async def drop() -> None:
        cache = redis_cache(settings, url)
        try:
            if everything:
                await cache.purge_all()
            for contact in contacts:
                await cache.purge(contact)
        finally:
            await cache.close()

    try:
        asyncio.run(drop())
    except CacheUnavailable as error:
        raise click.ClickException(f"the cache did not acknowledge it: {error}") from None
    click.echo("purged: everything" if everything else f"purged: {', '.join(map(str, contacts))}")


def _settings(config: Path | None, images: Path | None, **server: str | int | None) -> Any:
    from service.settings import BadSettings, load_settings

    given = {name: value for name, value in server.items() if value is not None}
    options: dict[str, dict[str, Any]] = {"server": given} if given else {}
    if images is not None:
        options["images"] = {"directory": images}
    try:
        return load_settings(config, **options)
    except BadSettings as error:
        lines = "\n".join(f"  {fault}" for fault in error.faults)
        raise click.ClickException(f"the settings cannot be used:\n{lines}") from None


def _demo_welcome(base: str) -> None:
    from service.demo import welcome

    click.echo(welcome(base))
