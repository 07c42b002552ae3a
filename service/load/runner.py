"""One run: prepare, send in an open loop, clean up. This module prints nothing but the progress."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from service.load import clients
from service.load.clients import Client
from service.load.figures import Effort, Figures, figures, kept
from service.load.open_loop import NOT_SENT, OpenLoop
from service.load.preparation import Unprepared, delete, pictured, warmed
from service.load.requests import Schedule
from service.load.scenarios import SCENARIOS, Plan
from service.load.target import Target
from service.progress import Report, reported

_SHOWN = 0.5
"""Seconds between two looks at the progress."""
_CONNECTED_WITHIN = 10.0
"""Seconds that a connection may take."""
_UNDECIDED = 0, 500, 502, 504
"""Statuses of an upload that may have been stored, or may still be. 0: no answer."""


@dataclass
class Run:
    """What is to be sent: the *scenario* by name, *rate* requests a second for *seconds*, from a *seed*.

    *fields* are header fields that every request has.
    """

    target: Target
    scenario: str
    contacts: Sequence[int]
    rate: float
    seconds: float
    seed: int
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def origin(self) -> str:
        """The URL of the service without its path: targets begin with it."""
        return self.target.url.removesuffix(self.target.prefix)

    @property
    def common(self) -> dict[str, str]:
        """The header fields of every request."""
        return {"Host": self.target.authority, "User-Agent": "contact-image-load", **self.fields}

    async def connect(self, count: int) -> list[Client]:
        """Return *count* connected clients. Raise OSError or TimeoutError."""
        target, tls = self.target, self._tls
        name = target.host if tls else None
        return await clients.connected(target.address, target.port, count, tls, name, _CONNECTED_WITHIN)

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        return self.target.context()


async def prepared(run: Run) -> Schedule:
    """Return the requests of *run*, once the service has what they need. Raise `Unprepared` or `TooFewContacts`."""
    scenario, contacts = SCENARIOS[run.scenario], run.contacts
    plan = Plan(run.target.prefix, contacts, run.rate, run.seconds, Random(run.seed), {})
    try:
        async with asyncio.timeout(_CONNECTED_WITHIN):
            run.target = await run.target.resolved()
        if scenario.looks:
            plan.contacts = await pictured(run.connect, plan.prefix, contacts, run.common)
        if scenario.warms:
            plan.etags = await warmed(run.connect, [plan.picture(contact) for contact in plan.contacts], run.common)
    except (OSError, TimeoutError) as error:
        raise _unreachable(run.target, error) from None
    if not (schedule := scenario.schedule(plan)):
        raise Unprepared("no request arrives in so short a time at this rate.")
    return schedule


def _unreachable(target: Target, error: Exception) -> Unprepared:
    why = str(error) or "not in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"{error.verify_message}. SSL_CERT_FILE may name a file of certificates that are trusted."
    elif isinstance(error, ssl.SSLError):
        why += ". Is it a service without TLS, http://?"
    return Unprepared(f"{target.url} does not answer: {why}")


async def measured(run: Run, schedule: Schedule) -> Figures:
    """Send the requests of *schedule*, and return the figures. Raise `Unprepared`.

    A cancellation ends the sending, and the figures are of what was sent. Uploaded pictures are deleted again.
    """
    loop, expects = OpenLoop(run.connect, kept), SCENARIOS[run.scenario].expects
    with reported(run.scenario, run.seconds) as report:
        watch = asyncio.create_task(_watch(loop, report, expects))
        effort, begun = time.process_time(), time.perf_counter()
        try:
            complete = await loop.run((at, request.encoded(run.common)) for at, request in schedule)
        except (OSError, TimeoutError) as error:
            raise _unreachable(run.target, error) from None
        finally:
            client = Effort(time.process_time() - effort, time.perf_counter() - begun)
            watch.cancel()
        report(run.seconds, f"{len(loop.outcomes):,} answers or failures")
    remain = await _clean_up(run, schedule, loop)
    if not loop.outcomes:
        raise Unprepared("the run was interrupted before the first request.")
    outcomes = sorted(loop.outcomes, key=lambda each: each.number)
    seconds = run.seconds if complete else max(each.at + each.lag for each in outcomes)
    return figures(
        outcomes, SCENARIOS[run.scenario], run.rate, seconds, client, interrupted=not complete, remain=remain
    )


async def _clean_up(run: Run, schedule: Schedule, loop: OpenLoop) -> list[str]:
    """Delete the pictures that the service has stored. Return the targets of uploads that may remain.

    One of which nothing is known is not deleted: the contact may have had a picture before.
    """
    sent = [each for each in loop.outcomes if not each.fault.startswith(NOT_SENT)]
    uploads = [(schedule[each.number][1], each.status) for each in sent]
    uploads = [(request, status) for request, status in uploads if request.method == "PUT"]
    stored = [request.target for request, status in uploads if status == 200]
    remain = [request.target for request, status in uploads if status in _UNDECIDED]
    try:
        remain += await delete(run.connect, stored, run.common) if stored else ()
    except (OSError, TimeoutError, asyncio.CancelledError):
        remain += stored
    return sorted(remain)


async def _watch(loop: OpenLoop, report: Report, expected: Sequence[int]) -> None:
    seen = errors = 0
    begun = time.perf_counter()
    while True:
        await asyncio.sleep(_SHOWN)
        recent = loop.outcomes[seen:]
        seen += len(recent)
        errors += sum(each.status not in expected for each in recent)
        waiting = f", {len(loop.pending):,} not answered yet" if loop.pending else ""
        text = f"{len(recent) / _SHOWN:,.0f} answers a second{waiting}, {errors:,} errors so far"
        report(time.perf_counter() - begun, text)
