"""All of the settings together, and what they must be to each other."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.settings.auth import VERIFIER_SETTINGS, AuthSettings
from service.settings.cache import CacheSettings
from service.settings.sections import (
    EncodingSettings,
    HttpSettings,
    ImagesSettings,
    LogSettings,
    RenderSettings,
    ServerSettings,
    WritesSettings,
)


class Settings(BaseSettings):
    """All of `config/default.toml`, overridden and checked. Made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="CONTACT_IMAGE_", env_nested_delimiter="__", extra="forbid", frozen=True, validate_default=True
    )

    server: ServerSettings
    auth: AuthSettings
    images: ImagesSettings
    writes: WritesSettings
    cache: CacheSettings
    render: RenderSettings
    encoding: EncodingSettings
    http: HttpSettings
    log: LogSettings

    @property
    def is_local(self) -> bool:
        """Whether this machine alone is listened to."""
        return _loopback(self.server.host)

    @model_validator(mode="after")
    def _nobody_is_let_in_by_mistake(self) -> Settings:
        unused = [name for name in VERIFIER_SETTINGS if getattr(self.auth, name)]
        if unused and not self.auth.schemes and not self.is_local:
            raise ValueError(f"auth.{', auth.'.join(unused)} without auth.schemes would let everybody look")
        return self

    @model_validator(mode="after")
    def _strangers_change_nothing(self) -> Settings:
        if self.writes.enabled and not self.auth.schemes and not self.is_local:
            raise ValueError(
                "writes.enabled without auth.schemes would let everybody who reaches server.host change pictures: "
                "set auth.schemes, or listen on loopback"
            )
        return self


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
