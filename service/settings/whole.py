"""All settings together, and the rules between sections."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.settings.auth import VERIFIER_SETTINGS, AuthSettings
from service.settings.cache import CacheSettings
from service.settings.sections import (
    EncodingSettings,
    HttpSettings,
    ImagesSettings,
    LogSettings,
    PagesSettings,
    PlaceholdersSettings,
    RenderSettings,
    ServerSettings,
    TracingSettings,
    WritesSettings,
)
from service.settings.values import is_loopback


class Settings(BaseSettings):
    """Every setting of `config/default.toml`, overridden and validated. `load_settings` makes an instance."""

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
    placeholders: PlaceholdersSettings
    http: HttpSettings
    pages: PagesSettings
    log: LogSettings
    tracing: TracingSettings

    @property
    def is_local(self) -> bool:
        """Whether the service listens on a loopback address, which only this machine reaches."""
        return is_loopback(self.server.host)

    @property
    def served_names(self) -> frozenset[str] | None:
        """The names of hosts that requests may have; None: every name.

        Where each read needs a credential, every name may be: browsers have no credential for a foreign one.
        """
        if self.auth.schemes and not self.auth.anonymous_read:
            return None
        names = self.server.allowed_hosts or (("localhost",) if self.is_local else ())
        return frozenset(names) or None

    @property
    def exposed(self) -> str:
        """What every client that reaches this host may do without a credential, and by which settings; or nothing."""
        found = []
        if not self.is_local and not self.auth.schemes:
            found.append("auth.schemes is empty: every client that reaches server.host may read")
        if not self.is_local and self.served_names is None and (not self.auth.schemes or self.auth.anonymous_read):
            found.append("server.allowed_hosts is empty: so may the page of any name that resolves to this host")
        return "; ".join(found)

    @model_validator(mode="after")
    def _verifiers_have_a_scheme(self) -> Settings:
        unused = [name for name in VERIFIER_SETTINGS if getattr(self.auth, name)]
        if unused and not self.auth.schemes and not self.is_local:
            raise ValueError(f"auth.{', auth.'.join(unused)} without auth.schemes would let everybody look")
        return self

    @model_validator(mode="after")
    def _writes_need_credentials(self) -> Settings:
        if self.writes.enabled and not self.auth.schemes and not self.is_local:
            raise ValueError(
                "writes.enabled without auth.schemes would let everybody who reaches server.host change pictures: "
                "set auth.schemes, or listen on loopback"
            )
        return self

    @model_validator(mode="after")
    def _proxies_are_some(self) -> Settings:
        proxies = self.server.trusted_proxies
        four = list(collapse_addresses(each for each in proxies if isinstance(each, IPv4Network)))
        six = list(collapse_addresses(each for each in proxies if isinstance(each, IPv6Network)))
        everywhere = four == [IPv4Network("0.0.0.0/0")] or six == [IPv6Network("::/0")]
        if everywhere and "all_proxies" not in self.auth.accept:
            raise ValueError(
                "server.trusted_proxies has all addresses, so each client may choose the address that its wrong "
                "credentials count for: name the proxies, or all_proxies in auth.accept"
            )
        return self
