"""Public keys that sign JSON web tokens, and what each may be used for. Knows no token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import AllowedPublicKeys, ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

_MOST_KEYS = 64
_MOST_BYTES = 262_144
_LEAST_RSA_BITS = 2048  # RFC 7518 §3.3

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}
_EDWARDS = ("EdDSA",)
_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?-----END \1-----", re.DOTALL)


class BadKeys(ValueError):
    """There is no key that can be used; the text says where, and shows none."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, the *algorithms* it may be used with, and its name, if it has one.

    The algorithms are those of the key's own type (RFC 8725 section 3.1): a token cannot have an RSA key taken for an
    HMAC secret, nor choose `none`.
    """

    value: AllowedPublicKeys = field(repr=False)
    algorithms: tuple[str, ...]
    name: str | None = None


class Keys(Protocol):
    """Where the keys are."""

    async def current(self) -> tuple[Key, ...]:
        """The keys. Raises `VerificationUnavailable` where there are none to be had."""
        ...

    async def newer(self) -> tuple[Key, ...]:
        """The keys, looked for anew unless that was done a moment ago: a token is signed with none of `current`."""
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...


class KeyFile:
    """The keys in a file, read once: PEM public keys and certificates, or a JWKS. Raises `BadKeys`."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise BadKeys(f"{path}: cannot be read: {error.strerror}") from None
        if len(text) > _MOST_BYTES:
            raise BadKeys(f"{path}: is larger than {_MOST_BYTES} bytes")
        try:
            self._keys = keys_of_jwks(text) if text.lstrip()[:1] == b"{" else keys_of_pem(text)
        except BadKeys as error:
            raise BadKeys(f"{path}: {error}") from None

    async def current(self) -> tuple[Key, ...]:
        """The keys."""
        return self._keys

    async def newer(self) -> tuple[Key, ...]:
        """The same: a file is changed with the settings."""
        return self._keys

    async def close(self) -> None:
        """Nothing is held."""


def keys_of_jwks(text: bytes) -> tuple[Key, ...]:
    """The keys of a JWKS (RFC 7517 section 5) that verify signatures; the others are passed over. Raises `BadKeys`."""
    try:
        jwks = json.loads(text)
    except (ValueError, RecursionError):
        raise BadKeys("is no JSON") from None
    listed = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(listed, list):
        raise BadKeys("is no JWKS")
    read = (_key_of_jwk(each) for each in listed[:_MOST_KEYS] if isinstance(each, dict))
    return _some([key for key in read if key is not None])


def keys_of_pem(text: bytes) -> tuple[Key, ...]:
    """The public keys and the certificates' keys in *text*, however many. Raises `BadKeys`."""
    keys = []
    for block in list(_PEM.finditer(text))[:_MOST_KEYS]:
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
    return _some(keys)


def _key_of_jwk(jwk: Mapping[str, object]) -> Key | None:
    """None for a key of another use (RFC 7517 section 4.2 and 4.3), and for one that is not public."""
    kind, operations = jwk.get("kty"), jwk.get("key_ops", ["verify"])
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None or jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        value = reader(dict(jwk))
    except (InvalidKeyError, ValueError, TypeError, AttributeError, KeyError):  # members that are missing, or no text
        return None
    name, algorithm = jwk.get("kid"), jwk.get("alg")
    key = _key(value, name if isinstance(name, str) else None)
    if key is None or algorithm is None:
        return key
    return Key(key.value, (str(algorithm),), key.name) if algorithm in key.algorithms else None


def _key(value: object, name: str | None = None) -> Key | None:
    if isinstance(value, rsa.RSAPublicKey):
        return Key(value, _RSA, name) if value.key_size >= _LEAST_RSA_BITS else None
    if isinstance(value, ec.EllipticCurvePublicKey):
        return Key(value, _CURVES[value.curve.name], name) if value.curve.name in _CURVES else None
    if isinstance(value, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return Key(value, _EDWARDS, name)
    return None


def _some(keys: list[Key]) -> tuple[Key, ...]:
    if not keys:
        raise BadKeys("holds no public key that can be used")
    return tuple(keys)
