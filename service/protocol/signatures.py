"""Signed URLs: who holds a key lets others look at one picture, in one form, for a while. Knows no clock.

What is signed is `GET`, the path in lower case, and the parameters as they are meant rather than as they are written:
names in lower case, values decoded and encoded anew (RFC 3986 section 2.3), sorted. So a target may be written in
another way and its signature still holds, but only as long as it asks for the same. A slash at the path's end means
nothing: `sign` leaves it out, and `verify` takes a signature of the path with or without it, for either path.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from service.errors import N_, Forbidden

_OWN = ("kid", "exp", "sig")
_ACCEPTED = ("w", "h", "type", "ifBlank", "fit", *_OWN)
_KNOWN = frozenset(name.lower() for name in _ACCEPTED)
_TARGET = re.compile(r'[!"$-~]{1,8192}')
"""What is looked at: visible ASCII without `#`, which is all that RFC 9112 section 3.2 lets a target have."""
_MOMENT = re.compile(r"[0-9]{1,12}")
_KEY = re.compile(r"([A-Za-z0-9._-]{1,64}):(.+)", re.DOTALL)
_NOBODYS_SECRET = bytes(32)
"""Signs for an unknown key id: it costs what a known one does, and is never believed."""


def _in_any_spelling(name: str) -> str:
    return "".join(f"(?:{letter}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in name)


_OWN_AMONG = re.compile(f"(?:^|&)(?:{'|'.join(map(_in_any_spelling, _OWN))})(?:=|&|\\Z)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a good signature stands for: *target*, as it came but without `kid`, `exp` and `sig`, until *exp*, in Unix
    seconds. It is *target* that is looked up and kept."""

    exp: int
    target: str


def has_signature(target: str) -> bool:
    """Whether any of `kid`, `exp` and `sig` is among the parameters of *target*, however it is written."""
    at = target.find("?")
    return at >= 0 and _OWN_AMONG.search(target[at + 1 :]) is not None


def verify(target: str, keys: Mapping[str, bytes], now: float) -> Signed:
    """Judge the signature of *target*, a request's raw path and query; *now* is in Unix seconds.

    Raises `Forbidden`: a signature that is missing, doubled or wrong; one that was right until its `exp`; and any
    parameter that a picture's URL does not have.
    """
    path, pieces = _taken_apart(target)
    own = {name: value for name, value, _ in pieces if name in _OWN}
    if len(own) < len(_OWN) or sum(name in _OWN for name, _, _ in pieces) > len(_OWN):
        raise _wrong()
    secret = keys.get(own["kid"])
    bare = path.removesuffix("/")
    rights = [_signature(each, pieces, secret or _NOBODYS_SECRET) for each in (bare, f"{bare}/")]
    right = any(hmac.compare_digest(each, own["sig"]) for each in rights)
    if not right or secret is None or not _MOMENT.fullmatch(own["exp"]):
        raise _wrong()
    if (exp := int(own["exp"])) <= now:
        raise Forbidden(N_("The signed URL has expired."))
    return Signed(exp, _put_together(path, [raw for name, _, raw in pieces if name not in _OWN]))


def sign(target: str, kid: str, secret: bytes, exp: int) -> str:
    """*target* with a signature that is good until *exp*, in Unix seconds. One that it has already is replaced.

    Raises `Forbidden` for a parameter that a picture's URL does not have.
    """
    path, pieces = _taken_apart(target)
    bare = [raw for name, _, raw in pieces if name not in _OWN]
    unsigned = _put_together(path, [*bare, f"kid={kid}", f"exp={exp}"])
    return f"{unsigned}&sig={_signature(path.removesuffix('/'), _taken_apart(unsigned)[1], secret)}"


def parse_key(text: str) -> tuple[str, bytes]:
    """Read `id:secret`. Raises ValueError, which shows nothing of it: the secret may stand in the id's place."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise ValueError('must be "id:secret", the id of 1 to 64 letters, digits, dots, underscores and hyphens')
    return match[1], match[2].encode()


_Piece = tuple[str, str, str]
"""A parameter: its name in lower case, its value encoded anew, and both as they came."""


def _taken_apart(target: str) -> tuple[str, list[_Piece]]:
    """The path and the parameters of *target*."""
    if not _TARGET.fullmatch(target) or target.count("&") >= len(_ACCEPTED):
        raise _wrong()
    path, _, query = target.partition("?")
    return path, [_piece(raw) for raw in query.split("&")] if query else []


def _piece(raw: str) -> _Piece:
    name, _, value = (unquote_to_bytes(part.replace("+", " ")) for part in raw.partition("="))
    known = name.lower().decode("latin-1")  # of bytes, so that no letter outside ASCII becomes one of ours
    if known not in _KNOWN:
        raise Forbidden(
            N_("A signed URL may have no other parameters than %(accepted)s."), {"accepted": ", ".join(_ACCEPTED)}
        )
    return known, quote(value, safe=""), raw


def _signature(path: str, pieces: list[_Piece], secret: bytes) -> str:
    """The base64url of the HMAC over what *path* and *pieces* mean, `sig` excepted."""
    parameters = "&".join(sorted(f"{name}={value}" for name, value, _ in pieces if name != "sig"))
    digest = hmac.digest(secret, f"GET\n{path.lower()}\n{parameters}".encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _put_together(path: str, pieces: list[str]) -> str:
    return f"{path}?{'&'.join(pieces)}" if pieces else path


def _wrong() -> Forbidden:
    return Forbidden(N_("The signature of the URL is missing or wrong."))
