"""The private Valkey server of a service without `cache.url`.

It needs some time to start. So the service starts it first, imports the rest of itself, and then waits for it. This
module does not import aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from pydantic import SecretStr

from service.caches.embedded import CannotEmbed, EmbeddedValkey
from service.settings import CacheSettings, Settings

log = structlog.get_logger()


@contextmanager
def starting_private_server(cache: CacheSettings) -> Iterator[EmbeddedValkey | None]:
    """Start the server, and stop it at the end of the block unless it is stopped already. Yield it.

    Yield None if `cache.url` is set, or if there is no server to start. `private_server` then logs the reason, since
    the log need not be configured here.
    """
    embedded = None
    if not cache.url.get_secret_value():
        with suppress(CannotEmbed):
            embedded = EmbeddedValkey.start(cache.embedded_bytes)
    try:
        yield embedded
    finally:
        if embedded is not None:
            asyncio.run(embedded.stop())


def with_private_server(settings: Settings, embedded: EmbeddedValkey) -> Settings:
    """Return *settings* with *embedded* as the cache, and with its secret."""
    changes = {"url": SecretStr(embedded.url), "secret": SecretStr(embedded.secret)}
    return settings.model_copy(update={"cache": settings.cache.model_copy(update=changes)})


async def private_server(cache: CacheSettings, started: EmbeddedValkey | None = None) -> EmbeddedValkey | None:
    """Wait until the server listens that was *started*, or one that is started here, and return it.

    Return None if `cache.url` is set, or if none can start, which is logged.
    """
    if cache.url.get_secret_value():
        return None
    try:
        embedded = started or EmbeddedValkey.start(cache.embedded_bytes)
        await embedded.ready()
    except CannotEmbed as error:
        log.warning("cache.memory_only", reason=str(error))
        return None
    return embedded
