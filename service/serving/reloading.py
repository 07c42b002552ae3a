"""The reload of the settings at SIGHUP: in the application of a single process, or before processes are replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from aiohttp import web

from service.log_level import LOG_LEVEL
from service.pictures.values import PlaceholderFiles
from service.settings import RELOADABLE, BadSettings, Settings, SettingsSources, differences
from service.system.threads import Threads
from service.web.keys import AFTER_RELOAD, PICTURES
from service.wiring.credentials import CREDENTIALS, check_files, files_in_use
from service.wiring.placeholders import load_placeholders
from service.wiring.stores import StoreState

log = structlog.get_logger()

_TIMEOUT = 10.0
"""Seconds for reading the files of the settings. A disk that hangs must keep neither a later reload nor the stop."""


class Reload:
    """The *settings* in force, and their reload from *sources*. A reload that fails changes nothing, and is logged.

    A reload also accepts the folder that is at the path of the pictures: *in_force* is what is known of it.
    *placeholders* are the operator's.
    """

    def __init__(
        self,
        settings: Settings,
        sources: SettingsSources,
        in_force: StoreState,
        placeholders: PlaceholderFiles,
    ) -> None:
        self.settings, self.in_force, self.placeholders = settings, in_force, placeholders
        self._sources = sources
        self._changed: set[str] = set()
        self._threads = Threads(1, name="reload", hangs_after=_TIMEOUT, spare=3)

    async def in_application(self, app: web.Application) -> None:
        """Reload the settings of *app* while it serves."""

        async def reload() -> None:
            async with asyncio.timeout(_TIMEOUT):
                settings = await self._threads.run(self._read)
                replace_credentials = await self._threads.run(partial(app[CREDENTIALS].read, settings.auth))
                placeholders = await load_placeholders(settings, self._threads)
            replace_credentials()
            app[PICTURES].placeholders.files = placeholders
            self._accept(settings, placeholders)
            for function in app[AFTER_RELOAD]:
                function()

        if await _succeeds(reload):
            self.report()

    def for_processes(self) -> bool:
        """Reload the settings, with which processes are started from now on. Return whether that succeeded.

        When these processes have replaced all others, `report` logs that the reload is finished.
        """

        async def reload() -> None:
            settings = self._read()
            await check_files(settings.auth)
            self._accept(settings, await load_placeholders(settings))

        return asyncio.run(_succeeds(reload))

    def report(self) -> None:
        """Log that the settings are in force, with the names of those that have changed, and of files."""
        changed, self._changed = sorted(self._changed), set()
        read = files_in_use(self.settings.auth)
        if self.settings.placeholders.directory:
            read.append("placeholders.directory")
        log.info("server.reloaded", changed=changed, read=read)

    def _read(self) -> Settings:
        """Return the settings to put in force. Log the names of others that have changed. Raise `BadSettings`."""
        settings = self._sources.load()
        others = [name for name in differences(self.settings, settings) if name not in RELOADABLE]
        if others:
            log.warning("server.restart_needed", settings=others)
            settings = self._sources.load_reloadable(self.settings)
        return settings

    def _accept(self, settings: Settings, placeholders: PlaceholderFiles) -> None:
        self._changed.update(differences(self.settings, settings))
        self.settings, self.placeholders = settings, placeholders
        self.in_force.accept_any()
        LOG_LEVEL.configure(settings.log.level)


async def reload_at(ordered: asyncio.Event, reload: Callable[[], Awaitable[None]]) -> None:
    """Call *reload* when *ordered* is set, and again if it is set in the meantime. Cancel this coroutine to end it."""
    while True:
        await ordered.wait()
        ordered.clear()
        await reload()


async def _succeeds(reload: Callable[[], Awaitable[None]]) -> bool:
    """Return whether *reload* succeeds. Log its failure."""
    try:
        await reload()
    except BadSettings as error:
        log.error("server.reload_failed", faults=error.faults)
    except Exception:  # whatever fails, the settings in force stay
        log.exception("server.reload_failed")
    else:
        return True
    return False
