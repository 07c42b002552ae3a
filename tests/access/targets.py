"""Targets and credentials of requests, and a cache that holds the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp.test_utils import TestClient

from tests.access.conftest import PASSWORD, basic, bearer, session, ticket

IMAGE = "/api/v1/Contact/{}/Image"
WARM, AS_STORED, INFO = IMAGE.format(1) + "?w=40", IMAGE.format(1), IMAGE.format(1) + "info"
MISSING, BLANK = IMAGE.format(404) + "?w=40", IMAGE.format(404) + "?ifBlank=SrNoPhoto"
TARGETS = {
    "a picture": WARM,
    "as stored": AS_STORED,
    "its info": INFO,
    "no picture": MISSING,
    "a placeholder": BLANK,
}

REFUSED: dict[str, Callable[[], dict[str, str]]] = {
    "no credentials": dict,
    "a wrong password": lambda: basic("anna", PASSWORD + "x"),
    "no such user": lambda: basic("nemo"),
    "an expired token": lambda: bearer(exp=1_700_000_000),
    "a token for others": lambda: bearer(aud="another-service"),
    "a token of others": lambda: bearer(iss="https://login.elsewhere.example"),
    "another tenant's ticket": lambda: ticket("7T:bert=="),
    "another tenant's token": lambda: {"Authorization": "Bearer 8A:Cust2.bert"},
    "no application token": lambda: ticket(app_token=None),
    "another's session": lambda: session("session-of-bert"),
    "a session without its header": lambda: session(xsrf=None),
    "no role to read": lambda: basic("carl"),
    "two credentials": lambda: {"Authorization": basic("anna")["Authorization"] + ", Bearer x"},
    "an unknown scheme": lambda: {"Authorization": "Negotiate abc"},
    "nothing after the scheme": lambda: {"Authorization": "Basic"},
}
READERS: dict[str, Callable[[], dict[str, str]]] = {
    "basic": lambda: basic("anna"),
    "a JSON web token": bearer,
    "a ticket": ticket,
    "a token": lambda: {"Authorization": "bearer 8A:Cust1.anna", "SO-AppToken": "app-token"},
    "a session": session,
}


async def warm(client: TestClient[Any, Any]) -> dict[str, Mapping[str, str]]:
    """Request all targets as anna until they are cached. Return the headers of her answers by target."""
    headers = {}
    for target in TARGETS.values():
        for _ in range(3):
            async with client.get(target, headers=basic("anna")) as answer:
                await answer.read()
                headers[target] = answer.headers
    assert "hit" in headers[WARM]["Cache-Status"]
    return headers
