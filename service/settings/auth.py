"""`[auth]`: the authentication schemes, and what verifies credentials."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from service.protocol.credentials import Scheme
from service.protocol.signatures import parse_key
from service.settings.values import Listed, Section

VERIFIER_SETTINGS = ("users_file", "superoffice_url", "app_tokens", "jwt_jwks_url", "jwt_key_file")
"""Settings of verifiers. They have no effect without a scheme."""


class AuthSettings(Section):
    """The authentication schemes, and what verifies credentials."""

    schemes: Listed[Scheme]
    anonymous_read: bool
    users_file: str
    superoffice_url: str
    app_tokens: Listed[Annotated[SecretStr, Field(min_length=1)]]  # an empty token would match a request without one
    session_cookie: Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")]
    jwt_issuer: str
    jwt_audience: str
    jwt_jwks_url: str
    jwt_key_file: str
    signing_keys: Listed[SecretStr]
    remember_for: Annotated[int, Field(gt=0, le=3600)]

    @field_validator("signing_keys")
    @classmethod
    def _ids_are_unique(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
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
    def _base_url(cls, url: str) -> str:
        if "?" in url:
            raise ValueError("must be a URL that a path can be put behind: without a query")
        return url

    @model_validator(mode="after")
    def _every_scheme_has_its_verifier(self) -> AuthSettings:
        jwt = bool(self.jwt_jwks_url or self.jwt_key_file)
        missing = {
            Scheme.BASIC: not (self.users_file or self.superoffice_url) and "users_file or superoffice_url",
            Scheme.BEARER: not (jwt or self.superoffice_url) and "jwt_jwks_url, jwt_key_file or superoffice_url",
            Scheme.SOTICKET: not self.superoffice_url and "superoffice_url",
            Scheme.SESSION: not self.superoffice_url and "superoffice_url",
            Scheme.SIGNED: not self.signing_keys and "signing_keys",
        }
        faults = [f"{scheme} in schemes needs {missing[scheme]}" for scheme in self.schemes if missing[scheme]]
        if jwt and not (self.jwt_issuer and self.jwt_audience):
            faults.append("JSON web tokens need jwt_issuer and jwt_audience")
        if self.jwt_jwks_url and self.jwt_key_file:
            faults.append("jwt_jwks_url and jwt_key_file are two places for the same keys")
        if faults:
            raise ValueError("; ".join(faults))
        return self
