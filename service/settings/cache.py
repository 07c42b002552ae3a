"""`[cache]`: where renditions are kept, and for how long."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, field_validator

from service.settings.values import Bytes, Section, WholeSeconds

_SHORTEST_SECRET = 32
"""Characters of a secret at least. Random ones of hexadecimal digits have 128 bits."""
UNSEALED = "cache.secret is empty, so every writer there can forge pictures"
"""What is to be said of a cache that is not sealed."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_ANY = re.compile(r".+", re.DOTALL)
_URL_OPTIONS = {
    "db": _NUMBER,
    "username": _ANY,
    "password": _ANY,
    "client_name": _ANY,
    "health_check_interval": _NUMBER,
}
_TLS_OPTIONS = {
    "ssl_cert_reqs": re.compile(r"none|optional|required"),
    "ssl_ca_certs": _ANY,
    "ssl_certfile": _ANY,
    "ssl_keyfile": _ANY,
    "ssl_check_hostname": re.compile(r"true|false|0|1", re.IGNORECASE),
}


class CacheSettings(Section):
    """Where renditions are kept, and for how long."""

    url: SecretStr
    secret: SecretStr
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
    timeout: Annotated[float, Field(gt=0, le=0.05)]
    memory_bytes: Annotated[int, Field(ge=0)]
    embedded_bytes: Annotated[int, Field(ge=8_388_608)]
    max_entry_bytes: Bytes
    max_fields: Annotated[int, Field(ge=8)]
    kept_for: Annotated[int, Field(gt=0)]
    mezzanine_for: WholeSeconds
    fresh_for: Annotated[int, Field(gt=0)]
    missing_for: WholeSeconds
    unrenderable_for: WholeSeconds

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret) < _SHORTEST_SECRET:
            raise ValueError(f"must have {_SHORTEST_SECRET} characters or more, or be empty")
        return secret

    @property
    def sealed(self) -> bool:
        """Whether an attacker who writes into the cache cannot seal values: a private server's secret is random."""
        return bool(self.secret) or not self.url

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and not text.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://, or be empty")
        try:
            parts = urlsplit(text)
            _ = parts.port
        except ValueError:  # the text of the error may contain the password
            raise ValueError("is no URL, or has a port that is no number from 0 to 65535") from None
        if parts.scheme != "unix" and parts.path.strip("/") and not _NUMBER.fullmatch(parts.path.strip("/")):
            raise ValueError("has a path that is no database's number")
        known = _URL_OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
        for name, values in parse_qs(parts.query, keep_blank_values=True).items():
            if name not in known:
                raise ValueError(f"has an unknown option; known are {', '.join(known)}")
            if not all(known[name].fullmatch(value) for value in values):
                raise ValueError(f"has a value of {name} that cannot be used")
        return url
