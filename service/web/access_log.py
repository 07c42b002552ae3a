"""The lines of the log for answers: which picture, where it came from, how long that took, and for which client.

An answer to an error has no such line: `web.request_log` writes it.
"""

from __future__ import annotations

import logging
import re
from typing import Literal, NamedTuple

import structlog
from aiohttp import web

from service.pictures.trace import Source
from service.pictures.values import Owner
from service.web.client_address import Networks, client_address
from service.web.prebuilt import PrebuiltResponse
from service.web.request_ids import identify

log = structlog.get_logger()

_HITS = 100
"""Hits of which one has a line."""
_STAGE = re.compile(r"(\w+);dur=([0-9.]+)")
"""A stage in `Server-Timing`, and its milliseconds."""

Access = Literal["off", "misses", "all"]


class Answer(NamedTuple):
    """What a request was answered with: the entry in *field* of *owner*, from *source*.

    *hit*: neither the store nor the renderer was used for it. *owner* is None if the answer is about several contacts.
    """

    owner: Owner | None
    field: str
    source: Source
    hit: bool


ANSWER = web.RequestKey("answer", Answer)


class AccessLog:
    """Logs answers about pictures: with *access* `misses` those that are no hits, with `all` one hit in a hundred too.

    All other answers have a line at DEBUG. *proxies* are the trusted ones.
    """

    def __init__(self, access: Access, proxies: Networks) -> None:
        self._misses, self._sample, self._proxies = access != "off", access == "all", proxies
        self._since_line = 0  # hits
        self.read_level()

    def read_level(self) -> None:
        """Find out whether all answers are logged. That costs too much time to do for every hit."""
        self._every = bool(log.bind().is_enabled_for(logging.DEBUG))
        self.on = self._every or self._misses
        """Whether some answers have a line."""
        self.of_hits = self._every or self._sample
        """Whether some hits have a line."""

    def wants_next_hit(self) -> bool:
        """Return whether the next hit has a line."""
        return self._every or self._since_line >= _HITS - 1

    def skip_hit(self) -> None:
        """Count a hit that has no line."""
        self._since_line += 1

    def _samples_hit(self) -> bool:
        """Count a hit, and return whether it is the one in a hundred that has a line."""
        if self._sample and self._since_line >= _HITS - 1:
            self._since_line = 0
            return True
        self._since_line += 1
        return False

    def answered(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float, size: int) -> None:
        """Log, if it is to be logged, that *request* got *response*, *seconds* after it was read, with *size* bytes.

        The query is left out, because it may be signed or have a name.
        """
        if not self.on:
            return
        answer = request.get(ANSWER)
        sampled = answer is not None and answer.hit and self._samples_hit()
        missed = answer is not None and not answer.hit
        is_access = sampled or (missed and self._misses)
        if not (is_access or self._every):
            return
        identify(request)
        write = log.info if is_access else log.debug
        write(
            "request.answered",
            method=request.method,
            path=request.path[:256],
            status=response.status,
            **_described(answer, response),
            bytes=size,
            milliseconds=round(seconds * 1000, 3),
            client=client_address(request.remote, request.headers.getall("X-Forwarded-For", ()), self._proxies),
            **({"sampled": _HITS} if sampled else {}),
        )


def _described(answer: Answer | None, response: web.StreamResponse) -> dict[str, object]:
    """Return what is logged of *answer*, with the outcome and the stages that *response* has in its header."""
    if answer is None:
        return {}
    fields = response.lines if isinstance(response, PrebuiltResponse) else response.headers
    outcome, timing = fields.get("Cache-Status", ""), fields.get("Server-Timing", "")
    subject = {} if answer.owner is None else {"owner": answer.owner, "field": answer.field}
    return {
        **subject,
        "source": answer.source,
        "outcome": outcome.partition("; ")[2] or ("hit" if answer.hit else "fwd=miss"),
        "stages": {name: float(duration) for name, duration in _STAGE.findall(timing)},
    }
