"""The requests of a run: when, what, and as bytes. This module sends nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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

    def described(self) -> dict[str, Any]:
        """Return the request as a value for JSON; a body is in base64."""
        body = {"body": base64.b64encode(self.body).decode()} if self.body else {}
        return {"method": self.method, "target": self.target, "fields": dict(self.fields), **body}


Schedule = list[tuple[float, Request]]
"""Requests, each with the seconds from the beginning of the run."""


def lines(schedule: Schedule) -> Iterable[str]:
    """Yield each request as a line of JSON. `at` is in seconds."""
    for at, request in schedule:
        yield json.dumps({"at": round(at, 6), **request.described()}, separators=(",", ":")) + "\n"
