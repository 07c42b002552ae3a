"""The validated settings. Only `wiring`, `serving` and the command line import them; other packages receive values."""

from service.settings.auth import AuthSettings
from service.settings.cache import CacheSettings
from service.settings.loading import BadSettings, load_settings
from service.settings.sections import (
    HttpSettings,
    ImagesSettings,
    LogSettings,
    RenderSettings,
    ServerSettings,
    TracingSettings,
)
from service.settings.sources import RELOADABLE, SettingsSources, differences
from service.settings.whole import Settings

__all__ = [
    "RELOADABLE",
    "AuthSettings",
    "BadSettings",
    "CacheSettings",
    "HttpSettings",
    "ImagesSettings",
    "LogSettings",
    "RenderSettings",
    "ServerSettings",
    "Settings",
    "SettingsSources",
    "TracingSettings",
    "differences",
    "load_settings",
]
