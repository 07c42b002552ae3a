"""How requesters are verified, by the schemes that are configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.access.schemes import Scheme

_APP_TOKEN = "`SO-AppToken` accompanies SuperOffice's where the installation demands it."
SCHEMES: Mapping[Scheme, dict[str, Any]] = {
    Scheme.BASIC: {"type": "http", "scheme": "basic"},
    Scheme.BEARER: {"type": "http", "scheme": "bearer", "description": f"A token. {_APP_TOKEN}"},
    Scheme.SOTICKET: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": f"`SoTicket` and the ticket. {_APP_TOKEN}",
    },
    Scheme.SESSION: {
        "type": "apiKey",
        "in": "header",
        "name": "X-XSRF-TOKEN",
        "description": "The value of the cookie `XSRF-TOKEN`, beside SuperOffice's session cookie.",
    },
    Scheme.SIGNED: {
        "type": "apiKey",
        "in": "query",
        "name": "sig",
        "description": "The signature of the URL, beside `kid` and `exp`. For GET and HEAD of pictures.",
    },
}
"""The description of each scheme."""


def alternatives(schemes: Sequence[Scheme], *, anonymous: bool = False) -> list[dict[str, list[str]]]:
    """Return the alternatives: one scheme of *schemes*, or none if *anonymous* requesters are admitted."""
    found: list[dict[str, list[str]]] = [{}] if anonymous and schemes else []
    for scheme in schemes:
        found.append({scheme.value: []})
    return found
