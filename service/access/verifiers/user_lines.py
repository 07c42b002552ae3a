"""The text of a users' file: a line for each, `user:argon2id-hash[:role,role]`; no roles are those of a reader.

Blank lines and lines that begin with `#` are left out. A fault tells where it is, and nothing of what stands there.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from os import urandom

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.access.identity import READER, Identity, Role

MAX_PASSWORD = 1024
"""Bytes, in UTF-8."""

_HASHER = PasswordHasher()
"""The library's default, which is the second choice of RFC 9106 section 4: 64 MiB, 3 passes, 4 lanes. The first choice
would fill 2 GiB for whoever cares to guess."""
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=(?P<memory>[1-9][0-9]{0,8}),t=(?P<time>[1-9][0-9]{0,8}),p=(?P<lanes>[1-9][0-9]{0,8})"
    r"\$(?P<salt>[A-Za-z0-9+/]{11,86})\$(?P<digest>[A-Za-z0-9+/]{22,86})"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_MEMORY, _MAX_TIME, _MAX_LANES = 262_144, 10, 8
"""KiB, passes and lanes: they are spent on whoever asks, before it is known who that is."""


class BadUsers(ValueError):
    """A users' file that cannot be used, and where its fault is."""


@dataclass(frozen=True, slots=True)
class User:
    """One who is in the file."""

    hash: str = field(repr=False)
    identity: Identity


def line(user: str, password: str, roles: Collection[Role] = ()) -> str:
    """The line for *user*, without its end. Takes as long as a verification.

    Raises ValueError for a name or a password that cannot be used, and shows neither.
    """
    if not _nameable(user):
        raise ValueError("a user's name has no colon, no control character, no space at its ends and no # before it")
    try:
        data = password.encode()
    except UnicodeEncodeError:  # it shows the password
        raise ValueError("a password must be text in UTF-8") from None
    if len(data) > MAX_PASSWORD or _CONTROL.search(password):
        raise ValueError(f"a password has at most {MAX_PASSWORD} bytes, and no control character (RFC 7617)")
    listed = ",".join(role for role in Role if role in roles)
    return f"{user}:{_HASHER.hash(data)}{listed and ':'}{listed}"


def parse(text: str) -> dict[str, User]:
    """The users of a file's *text*, by their names. Raises `BadUsers`."""
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
    """A file's *text* with the line *added* in place of the one of *user*, or after all others."""
    lines = text.removesuffix("\n").split("\n") if text else []
    at = next((at for at, each in enumerate(lines) if each.partition(":")[0] == user), len(lines))
    lines[at : at + 1] = [added]
    return "\n".join(lines) + "\n"


def decoy(users: Mapping[str, User]) -> str:
    """A hash of no password, which costs what most of those of *users* do."""
    costs = Counter(each.hash.split("$")[3] for each in users.values())
    usual = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    cost = costs.most_common(1)[0][0] if costs else usual
    return f"$argon2id$v=19${cost}${_encoded(urandom(_HASHER.salt_len))}${_encoded(urandom(_HASHER.hash_len))}"


def matches(hash: str, password: bytes) -> bool:
    """Whether *hash* is of *password*. Raises argon2's VerificationError where there is no memory for it."""
    try:
        return _HASHER.verify(hash, password)
    except VerifyMismatchError:
        return False


def _parse_line(text: str) -> tuple[str, User]:
    name, *rest = text.split(":")
    if not 1 <= len(rest) <= 2:
        raise ValueError("must be user:hash or user:hash:roles")
    if not _nameable(name):
        raise ValueError("the user's name cannot be used")
    match = _HASH.fullmatch(rest[0])
    if match is None or not all(map(_decodable, match.group("salt", "digest"))):
        raise ValueError("the hash is none of argon2id as `contact-image user add` makes it")
    memory, time, lanes = (int(match[each]) for each in ("memory", "time", "lanes"))
    if not 8 * lanes <= memory <= _MAX_MEMORY or time > _MAX_TIME or lanes > _MAX_LANES:
        raise ValueError("the hash may take from 8 KiB a lane to 256 MiB, 10 passes and 8 lanes")
    try:
        roles = frozenset(Role(each.strip()) for each in rest[1].split(",")) if rest[1:] else READER
    except ValueError:
        raise ValueError(f"the roles must be of {', '.join(Role)}, with commas between them") from None
    return name, User(rest[0], Identity(roles))


def _nameable(name: str) -> bool:
    return bool(name) and name.isprintable() and name == name.strip() and ":" not in name and name[0] != "#"


def _encoded(data: bytes) -> str:
    """base64 as argon2 writes it."""
    return b64encode(data).decode().rstrip("=")


def _decodable(text: str) -> bool:
    """Whether *text* is what argon2 writes: its decoder refuses bits that stand for nothing."""
    return len(text) % 4 != 1 and _encoded(b64decode(text + "==")) == text
