"""The requests of a run: when, what, and as bytes. This module sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.load import clients

BROWSER = {"Accept": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"}
"""The Accept field of browsers, which get AVIF."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request without `Host` and without the fields that all requests of a run have."""

    target: str
    method: str = "GET"
    fields: Mapping[str, str] = field(default_factory=lambda: BROWSER)
    body: bytes = b""

    def encoded(self, common: Mapping[str, str]) -> bytes:
        """Return the request as bytes, with the *common* fields of the run."""
        return clients.request(self.method, self.target, {**common, **self.fields}, self.body)


Schedule = list[tuple[float, Request]]
"""Requests, each with the seconds from the beginning of the run."""


def bodies_of(schedule: Schedule) -> dict[str, bytes]:
    """Return the different bodies of the requests by the names of their files."""
    different = dict.fromkeys(request.body for _, request in schedule if request.body)
    return {f"body-{number}": body for number, body in enumerate(different, 1)}


def lines(schedule: Schedule) -> Iterable[str]:
    """Yield each request as a line of JSON. `at` is in seconds, and `body` is the name of a file."""
    names = {body: name for name, body in bodies_of(schedule).items()}
    for at, request in schedule:
        body = {"body": names[request.body]} if request.body else {}
        described = {"at": round(at, 6), "method": request.method, "target": request.target}
        yield json.dumps({**described, "fields": dict(request.fields), **body}, separators=(",", ":")) + "\n"
