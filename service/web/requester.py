"""The requester of a request: who it is sent by, as far as the answer depends on that."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web
from yarl._url import build_pre_encoded_url

from service.access.identity import Role
from service.protocol.names import without_name


@dataclass(frozen=True, slots=True)
class Requester:
    """The sender of a request, as far as an answer depends on it.

    *private*: no shared cache may store the answer. *until*, in Unix seconds: no cache may keep the answer longer.
    *target* is the request's target without its signature and `name`; None if there is no signature. *name* is the
    user's, for the log.
    """

    roles: frozenset[Role]
    private: bool = False
    until: int | None = None
    target: str | None = None
    name: str = field(default="", repr=False, compare=False)


REFUSED_REQUESTER = Requester(frozenset(), private=True)
"""The requester of a request that is refused: the answer is private."""

REQUESTER = web.RequestKey("requester", Requester)
"""The requester of an authorized request. Requests that need no role, and refused ones, have none."""


def target(request: web.BaseRequest) -> str:
    """Return the target of *request* without its signature and `name`: the target that caches use."""
    requester = request.get(REQUESTER)
    return (requester and requester.target) or kept_target(request.raw_path)


def kept_target(target: str) -> str:
    """Return *target* without `name`. If it has one, the library that parses URLs forgets the last ones, too."""
    rest = without_name(target)
    if rest is not target:
        build_pre_encoded_url.cache_clear()
    return rest
