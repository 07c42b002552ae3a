"""Signed URLs: the holder of a key permits everyone to read one rendition until a time. This module reads no clock.

The signature covers `GET`, the path in lower case, and the parameters in a canonical form: names in lower case, values
decoded and encoded again (RFC 3986 section 2.3), sorted. So an equivalent spelling of the target has the same
signature. A slash at the path's end has no meaning: `sign` omits it, and `verify` accepts a signature of the path with
or without it, for either path.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from service.errors import N_, Forbidden
from service.protocol.parameters import NAMES, any_spelling

_OWN = ("kid", "exp", "sig")
_ACCEPTED = (*NAMES, *_OWN)
_KNOWN = frozenset(name.lower() for name in _ACCEPTED)
_TARGET = re.compile(r'[!"$-~]{1,8192}')
"""A target: visible ASCII without `#` (RFC 9112 section 3.2)."""
_UNIX_TIME = re.compile(r"[0-9]{1,12}")
_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):(.+)", re.DOTALL)
_DECOY_SECRET = bytes(32)
"""The secret for an unknown key id, so that it costs the same time. Its signatures are never accepted."""


_OWN_PARAMETER = re.compile(f"(?:^|&)(?:{'|'.join(map(any_spelling, _OWN))})(?:=|&|\\Z)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signed:
    """A valid signature, which expires at *exp*, in Unix seconds.

    *target* is the request's target without `kid`, `exp` and `sig`: the target that caches use.
    """

    exp: int
    target: str


def has_signature(target: str) -> bool:
    """Return whether one of `kid`, `exp` and `sig`, in any spelling, is a parameter of *target*."""
    at = target.find("?")
    return at >= 0 and _OWN_PARAMETER.search(target[at + 1 :]) is not None


def verify(target: str, keys: Mapping[str, bytes], now: float) -> Signed:
    """Verify the signature of *target*, a request's raw path and query. *now* is in Unix seconds.

    Raises `Forbidden` for a signature that is missing, repeated, wrong or expired, and for a parameter that a
    picture's URL does not have.
    """
    path, pieces = _split(target)
    own = {name: value for name, value, _ in pieces if name in _OWN}
    if len(own) < len(_OWN) or sum(name in _OWN for name, _, _ in pieces) > len(_OWN):
        raise _wrong()
    secret = keys.get(own["kid"])
    bare = path.removesuffix("/")
    expected = [_signature(each, pieces, secret or _DECOY_SECRET) for each in (bare, f"{bare}/")]
    valid = any(hmac.compare_digest(each, own["sig"]) for each in expected)
    if not valid or secret is None or not _UNIX_TIME.fullmatch(own["exp"]):
        raise _wrong()
    if (exp := int(own["exp"])) <= now:
        raise Forbidden(N_("The signed URL has expired."))
    return Signed(exp, _join(path, [raw for name, _, raw in pieces if name not in _OWN]))


def sign(target: str, kid: str, secret: bytes, exp: int) -> str:
    """Return *target* with a signature that expires at *exp*, in Unix seconds. It replaces a signature of *target*.

    Raises `Forbidden` for a parameter that a picture's URL does not have, and for a target that is too long or has too
    many parameters.
    """
    path, pieces = _split(target)
    bare = [raw for name, _, raw in pieces if name not in _OWN]
    unsigned = _join(path, [*bare, f"kid={kid}", f"exp={exp}"])
    signed = f"{unsigned}&sig={_signature(path.removesuffix('/'), _split(unsigned)[1], secret)}"
    _split(signed)
    return signed


def parse_key(text: str) -> tuple[str, bytes]:
    """Parse `id:secret`. Raises ValueError, whose text quotes nothing: the secret may be in the id's place."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError('must be "id:secret", the id of 1 to 64 letters, digits, dots, underscores and hyphens')
    return match[1], match[2].encode()


_Piece = tuple[str, str, str]
"""A parameter: its name in lower case, its value in canonical encoding, and its original text."""


def _split(target: str) -> tuple[str, list[_Piece]]:
    """Return the path and the parameters of *target*."""
    if not _TARGET.fullmatch(target) or target.count("&") >= len(_ACCEPTED):
        raise _wrong()
    path, _, query = target.partition("?")
    return path, [_piece(raw) for raw in query.split("&")] if query else []


def _piece(raw: str) -> _Piece:
    name, _, value = (unquote_to_bytes(part.replace("+", " ")) for part in raw.partition("="))
    known = name.lower().decode("latin-1")  # bytes, since str.lower maps letters outside of ASCII to ASCII
    if known not in _KNOWN:
        raise Forbidden(
            N_("A signed URL may have no other parameters than %(accepted)s."), {"accepted": ", ".join(_ACCEPTED)}
        )
    return known, quote(value, safe=""), raw


def _signature(path: str, pieces: list[_Piece], secret: bytes) -> str:
    """Return the base64url of the HMAC over the canonical form of *path* and *pieces* without `sig`."""
    parameters = "&".join(sorted(f"{name}={value}" for name, value, _ in pieces if name != "sig"))
    digest = hmac.digest(secret, f"GET\n{path.lower()}\n{parameters}".encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _join(path: str, pieces: list[str]) -> str:
    return f"{path}?{'&'.join(pieces)}" if pieces else path


def _wrong() -> Forbidden:
    return Forbidden(N_("The signature of the URL is missing or wrong."))
