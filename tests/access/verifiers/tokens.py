"""Keys and signed tokens of an identity provider."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example", "contact-image"

_MAKERS: dict[str, Any] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-2": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-short": lambda: rsa.generate_private_key(65537, 1024),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "k256": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
}


@dataclass(frozen=True)
class Pair:
    """A private key and its public key."""

    private: Any

    @property
    def public(self) -> Any:
        return self.private.public_key()

    @property
    def pem(self) -> bytes:
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def jwk(self, **members: Any) -> dict[str, Any]:
        """Return the public key as a JWK with changed *members*. None removes a member."""
        kinds = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
        algorithm = next((each for kind, each in kinds.items() if isinstance(self.public, kind)), OKPAlgorithm)
        jwk = algorithm.to_jwk(self.public, as_dict=True) | members
        return {name: value for name, value in jwk.items() if value is not None}


@cache
def pair(name: str) -> Pair:
    """Return the key pair with that name, the same for the whole run."""
    return Pair(_MAKERS[name]())


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a valid token with *changes*. None removes a claim."""
    now = int(time.time())
    valid = {"iss": ISSUER, "aud": AUDIENCE, "sub": "tje0", "iat": now, "nbf": now, "exp": now + 3600} | changes
    return {name: value for name, value in valid.items() if value is not None}


def token(key: str = "rsa", algorithm: str = "RS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token of `claims`, signed with the pair named *key*."""
    return jwt.encode(claims(**changes), pair(key).private, algorithm, headers)


def raw_token(header: dict[str, Any], payload: bytes, signature: bytes = b"") -> str:
    """Return a token of *header*, *payload* and *signature*, which need not be valid."""
    parts = (json.dumps(header).encode(), payload, signature)
    return ".".join(jwt.utils.base64url_encode(part).decode() for part in parts)


def jwks(*keys: dict[str, Any]) -> dict[str, Any]:
    return {"keys": list(keys)}
