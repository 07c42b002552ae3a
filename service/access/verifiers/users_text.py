"""The text of a users' file: lines of `user:argon2id-hash[:role,role]`. A user without roles has the role `read`.

Blank lines and lines that begin with `#` are skipped. Errors name the line and quote nothing of it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from os import urandom

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.access.identity import MAX_NAME, READER, Basis, Identity, Role
from service.access.ports import BadFile

MAX_PASSWORD = 1024
"""Bytes of a password in UTF-8."""

_HASHER = PasswordHasher()
"""The library's default, which is the second option of RFC 9106 section 4: 64 MiB, 3 passes, 4 lanes.

The first option takes 2 GiB, which every guess would cost.
"""
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9][0-9]{0,8}),t=(?P<time>[1-9][0-9]{0,8}),p=(?P<lanes>[1-9][0-9]{0,8})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{22,86})"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Unauthenticated clients cause the cost of a hash.
_MAX_MEMORY = 262_144
"""KiB of memory of a hash in the file."""
_MAX_TIME = 10
"""Passes over the memory of a hash in the file."""
_MAX_LANES = 8
"""Lanes of a hash in the file."""


class BadUsers(BadFile):
    """A users' file cannot be used."""


@dataclass(frozen=True, slots=True)
class User:
    """A user of the file."""

    hash: str = field(repr=False)
    identity: Identity


def line(user: str, password: str, roles: Collection[Role] = ()) -> str:
    """Return the line of *user*, without a line end. It takes as long as a verification.

    Raises ValueError for a name or a password that cannot be used; its text quotes neither.
    """
    if not _is_valid_name(user):
        raise ValueError("a user's name has no colon, no control character, no space at its ends and no # before it")
    try:
        data = password.encode()
    except UnicodeEncodeError:  # its text quotes the password
        raise ValueError("a password must be text in UTF-8") from None
    if len(data) > MAX_PASSWORD or _CONTROL.search(password):
        raise ValueError(f"a password has at most {MAX_PASSWORD} bytes, and no control character (RFC 7617)")
    listed = ",".join(role for role in Role if role in roles)
    return f"{user}:{_HASHER.hash(data)}{listed and ':'}{listed}"


def parse(text: str) -> dict[str, User]:
    """Return the users in *text* by their names. Raise `BadUsers`."""
    users: dict[str, User] = {}
    for number, each in enumerate(text.split("\n"), 1):
        if not each.strip() or each.startswith("#"):
            continue
        try:
            name, user = _parse_line(each.removesuffix("\r"))
        except ValueError as error:
            raise BadUsers(f"line {number}: {error}") from None
        if users.setdefault(name, user) is not user:
            raise BadUsers(f"line {number}: the user is in the file already")
    return users


def put(text: str, user: str, added: str) -> str:
    """Return *text* with the line *added* in place of the line of *user*, or at the end."""
    lines = text.removesuffix("\n").split("\n") if text else []
    at = next((at for at, each in enumerate(lines) if each.partition(":")[0] == user), len(lines))
    lines[at : at + 1] = [added]
    return "\n".join(lines) + "\n"


def succeed(earlier: Mapping[str, User], users: Mapping[str, User]) -> dict[str, User]:
    """Return *users*, where those that are as they were *earlier* keep their identity. Withdraw that of all others."""
    for name, user in earlier.items():
        if users.get(name) != user:
            user.identity.basis.withdrawn = True
    return {name: earlier[name] if earlier.get(name) == user else user for name, user in users.items()}


def cost_of(hash: str) -> str:
    """Return the part of *hash* that decides how much time a comparison takes."""
    return hash.split("$")[3]


def decoys(users: Mapping[str, User]) -> dict[str, str]:
    """Return a hash that matches no password for every cost of the hashes of *users*, by that cost."""
    usual = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    costs = dict.fromkeys(cost_of(each.hash) for each in users.values()) or (usual,)
    return {cost: f"$argon2id$v=19${cost}${_random(_HASHER.salt_len)}${_random(_HASHER.hash_len)}" for cost in costs}


def matches(hash: str, password: bytes) -> bool:
    """Return whether *hash* is of *password*. Raises argon2's VerificationError when memory is short."""
    try:
        return _HASHER.verify(hash, password)
    except VerifyMismatchError:
        return False


def _parse_line(text: str) -> tuple[str, User]:
    name, *rest = text.split(":")
    if not 1 <= len(rest) <= 2:
        raise ValueError("must be user:hash or user:hash:roles")
    if not _is_valid_name(name):
        raise ValueError("the user's name cannot be used")
    match = _HASH.fullmatch(rest[0])
    if match is None or not all(map(_is_decodable, match.group("salt", "digest"))):
        raise ValueError("the hash is none of argon2id as `contact-image user add` makes it")
    memory, time, lanes = (int(match[each]) for each in ("memory", "time", "lanes"))
    if not 8 * lanes <= memory <= _MAX_MEMORY or time > _MAX_TIME or lanes > _MAX_LANES:
        raise ValueError("the hash may take from 8 KiB a lane to 256 MiB, 10 passes and 8 lanes")
    try:
        roles = frozenset(Role(each.strip()) for each in rest[1].split(",")) if rest[1:] else READER
    except ValueError:
        raise ValueError(f"the roles must be of {', '.join(Role)}, with commas between them") from None
    return name, User(rest[0], Identity(roles, basis=Basis(), name=name[:MAX_NAME]))


def _is_valid_name(name: str) -> bool:
    return bool(name) and name.isprintable() and name == name.strip() and ":" not in name and name[0] != "#"


def _random(length: int) -> str:
    return _encoded(urandom(length))


def _encoded(data: bytes) -> str:
    """Return *data* in base64 without padding, as argon2 writes it."""
    return b64encode(data).decode().rstrip("=")


def _is_decodable(text: str) -> bool:
    """Return whether *text* is base64 that argon2 decodes: it refuses surplus bits that are not zero."""
    return len(text) % 4 != 1 and _encoded(b64decode(text + "==")) == text
