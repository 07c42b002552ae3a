"""`contact-image purge`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.options import config_option, settings_of, sources_of

if TYPE_CHECKING:
    from service.settings import Settings


@click.command()
@click.argument("contacts", nargs=-1, type=click.IntRange(1, 2**31 - 1), metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="Drop the cached values of every contact.")
@config_option
def purge(contacts: tuple[int, ...], everything: bool, config: Path | None) -> None:
    """Drop the cached values of contacts in every process that shares the cache."""
    import asyncio

    from service.pictures.ports import CacheUnavailable

    if everything == bool(contacts):
        raise click.UsageError("name the contacts, or --all.")
    settings = settings_of(sources_of(config))
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
    from service.wiring.caches import redis_cache

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
