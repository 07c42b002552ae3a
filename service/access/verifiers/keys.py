"""Public keys of JSON web tokens, and the algorithms that each may be used with. This module does not read tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import AllowedPublicKeys, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from service.access.identity import Basis
from service.access.ports import BadFile
from service.access.verifiers.watched_file import WatchedFile
from service.system.regular_file import open_regular

log = structlog.get_logger()

_MAX_KEYS = 64
"""Keys of a set."""
_MAX_BYTES = 262_144
"""Bytes of a file."""
_MIN_RSA_BITS = 2048
"""Bits of the modulus of an RSA key (RFC 7518 section 3.3)."""

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_EDWARDS = ("EdDSA",)
_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


class BadKeys(BadFile):
    """A file or a JWKS has no key that can be used."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, the *algorithms* that it may be used with, and its name (`kid`), if it has one.

    The algorithms are those of the key's type (RFC 8725 section 3.1): no token can make an RSA key an HMAC secret, or
    choose `none`.
    """

    value: AllowedPublicKeys = field(repr=False)
    algorithms: tuple[str, ...]
    name: str | None = None
    basis: Basis = field(default_factory=Basis, repr=False, compare=False)


class Keys(Protocol):
    """A source of keys."""

    async def current(self) -> tuple[Key, ...]:
        """Return the keys. Raise `VerificationUnavailable` when there are none."""
        ...

    async def newer(self) -> tuple[Key, ...]:
        """Return the keys, fetched again if possible: a token is signed with none of the `current` ones."""
        ...

    async def refresh(self) -> None:
        """Look whether keys have changed, if that is due. Withdraw the basis of keys that are gone."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class KeyFile:
    """The keys in a file: PEM public keys and certificates, or a JWKS. Raise `BadKeys`.

    If the file becomes unusable later, its last keys stay valid.
    """

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile(path, _read, _succeed, lambda fault: log.warning("keys.unusable", reason=fault))
        self._keys = self._file.current()

    async def current(self) -> tuple[Key, ...]:
        """Return the keys, as they were last read."""
        return self._keys

    async def newer(self) -> tuple[Key, ...]:
        """Return the same keys: a changed file is read when the keys are refreshed."""
        return self._keys

    async def refresh(self) -> None:
        """Read a changed file."""
        self._keys = await self._file.refresh()

    async def close(self) -> None:
        """End the thread that reads the file."""
        self._file.close()


def _read(path: Path) -> tuple[Key, ...]:
    try:
        with open_regular(path) as file:
            text = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadKeys(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > _MAX_BYTES:
        raise BadKeys(f"{path}: is larger than {_MAX_BYTES} bytes")
    try:
        return keys_of_jwks(text) if text.lstrip()[:1] == b"{" else keys_of_pem(text)
    except BadKeys as error:
        raise BadKeys(f"{path}: {error}") from None


def _succeed(earlier: tuple[Key, ...], keys: tuple[Key, ...]) -> tuple[Key, ...]:
    log.info("keys.read", keys=len(keys))
    return succeed(earlier, keys)


def succeed(earlier: tuple[Key, ...], keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return *keys*, where those that were there *earlier* keep their basis. Withdraw that of all others."""
    for key in earlier:
        if key not in keys:
            key.basis.withdrawn = True
    return tuple(earlier[earlier.index(key)] if key in earlier else key for key in keys)


def keys_of_jwks(text: bytes) -> tuple[Key, ...]:
    """Return the keys of a JWKS (RFC 7517 section 5) that verify signatures. Raise `BadKeys` when there are none."""
    try:
        jwks = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKeys("is no JSON") from None
    listed = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(listed, list):
        raise BadKeys("is no JWKS")
    read = (_key_of_jwk(each) for each in listed[:_MAX_KEYS] if isinstance(each, dict))
    return _at_least_one([key for key in read if key is not None])


def keys_of_pem(text: bytes) -> tuple[Key, ...]:
    """Return the public keys and the certificates' keys in *text*. Raise `BadKeys` when there are none."""
    keys = []
    for block in list(_PEM.finditer(text))[:_MAX_KEYS]:
        label = block[1].decode()
        if label != "CERTIFICATE" and not label.endswith("PUBLIC KEY"):
            raise BadKeys(f"holds a {label}, which does not belong there")
        try:
            certified = label == "CERTIFICATE"
            value = load_pem_x509_certificate(block[0]).public_key() if certified else load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            raise BadKeys(f"holds a {label} that cannot be read") from None
        if (key := _key(value)) is not None:
            keys.append(key)
    return _at_least_one(keys)


def _key_of_jwk(jwk: Mapping[str, object]) -> Key | None:
    """Return the key in *jwk*; None for one of another use (RFC 7517 sections 4.2 and 4.3), and for a secret one."""
    kind, operations = jwk.get("kty"), jwk.get("key_ops", ["verify"])
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None or jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        value = reader(dict(jwk))
    except (InvalidKeyError, ValueError, TypeError, AttributeError, KeyError):  # members that are missing or not text
        return None
    name, algorithm = jwk.get("kid"), jwk.get("alg")
    key = _key(value, name if isinstance(name, str) else None)
    if key is None or algorithm is None:
        return key
    return Key(key.value, (str(algorithm),), key.name) if algorithm in key.algorithms else None


def _key(value: object, name: str | None = None) -> Key | None:
    if isinstance(value, rsa.RSAPublicKey):
        return Key(value, _RSA, name) if value.key_size >= _MIN_RSA_BITS else None
    if isinstance(value, ec.EllipticCurvePublicKey):
        return Key(value, _CURVES[value.curve.name], name) if value.curve.name in _CURVES else None
    if isinstance(value, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return Key(value, _EDWARDS, name)
    return None


def _at_least_one(keys: list[Key]) -> tuple[Key, ...]:
    if not keys:
        raise BadKeys("holds no public key that can be used")
    return tuple(keys)
