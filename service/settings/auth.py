"""The section `[auth]`: the authentication schemes, and the settings of their verifiers."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from service.access.schemes import SCHEMES, Scheme
from service.protocol.signatures import parse_key
from service.settings.values import Listed, Section, is_loopback

_MIN_KEY_BYTES = 16
"""Bytes of a signing key, at least. A shorter one can be found from one signed URL by trial."""

Risk = Literal["http", "writable_users", "short_keys", "all_proxies"]
"""What is refused at the start unless `auth.accept` names it."""


class AuthSettings(Section):
    """The authentication schemes, and the settings of their verifiers."""

    schemes: Listed[Scheme]
    anonymous_read: bool
    users_file: str
    superoffice_url: str
    app_tokens: Listed[Annotated[SecretStr, Field(min_length=1)]]  # an empty one would match a request without one
    session_cookie: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_url: str
    jwt_key_file: str
    jwt_types: Listed[Annotated[str, Field(min_length=1)]]
    jwt_roles_claim: Annotated[str, Field(min_length=1)]
    jwt_required: Annotated[str, Field(pattern=r"^\S*$")]
    signing_keys: Listed[SecretStr]
    remember_for: Annotated[int, Field(gt=0, le=3600)]
    accept: Listed[Risk]

    @field_validator("signing_keys")
    @classmethod
    def _keys_with_ids(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        ids = [parse_key(key.get_secret_value())[0] for key in keys]
        if len(set(ids)) < len(ids):
            raise ValueError("must have an id of its own for each key")
        return keys

    @field_validator("superoffice_url", "jwt_jwks_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fine = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
        except ValueError:
            fine = False
        if not fine or "@" in parts.netloc or parts.fragment:
            raise ValueError("must be an http:// or https:// URL without a user's name, or empty")
        return url

    @field_validator("superoffice_url")
    @classmethod
    def _without_query(cls, url: str) -> str:
        if "?" in url:
            raise ValueError("must be a URL that a path can be put behind: without a query")
        return url

    @model_validator(mode="after")
    def _settings_that_schemes_need(self) -> AuthSettings:
        faults = []
        for scheme in self.schemes:
            needs = SCHEMES[scheme].needs
            if not any(getattr(self, name) for name in needs):
                faults.append(f"{scheme} in schemes needs {' or '.join(', '.join(needs).rsplit(', ', 1))}")
        jwt = self.jwt_jwks_url or self.jwt_key_file
        if jwt and not (self.jwt_issuer and self.jwt_audience):
            faults.append("JSON web tokens need jwt_issuer and jwt_audience")
        if self.jwt_jwks_url and self.jwt_key_file:
            faults.append("jwt_jwks_url and jwt_key_file are two places for the same keys")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @model_validator(mode="after")
    def _risks_are_accepted(self) -> AuthSettings:
        faults = [
            f"{name} is http:// to another machine, so credentials or keys cross the network in clear: "
            "use https://, or name http in accept"
            for name in ("superoffice_url", "jwt_jwks_url")
            if "http" not in self.accept and _in_clear(getattr(self, name))
        ]
        keys = [parse_key(key.get_secret_value()) for key in self.signing_keys]
        faults += [
            f"the signing key {name} has {len(secret)} bytes, and needs {_MIN_KEY_BYTES}: make one with "
            "`openssl rand -hex 32`, or name short_keys in accept"
            for name, secret in keys
            if "short_keys" not in self.accept and len(secret) < _MIN_KEY_BYTES
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _in_clear(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


_NEEDED = {name for row in SCHEMES.values() if row.field for name in row.needs}
VERIFIER_SETTINGS = tuple(name for name in AuthSettings.model_fields if name in {*_NEEDED, "app_tokens"})
"""Settings that name verifiers, and have no effect without a scheme."""
