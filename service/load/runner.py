"""One run: prepare, send in an open loop, clean up. This module prints nothing but the progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from service.load import clients
from service.load.clients import Client
from service.load.figures import Effort, Figures, figures, kept
from service.load.open_loop import OpenLoop
from service.load.preparation import Unprepared, delete, pictured, warmed
from service.load.requests import Schedule
from service.load.scenarios import SCENARIOS, Plan
from service.load.target import Target
from service.progress import Report, reported

_SHOWN = 0.5
"""Seconds between two looks at the progress."""
_CONNECTED_WITHIN = 10.0
"""Seconds that a connection may take."""


@dataclass(frozen=True, slots=True)
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
    def common(self) -> dict[str, str]:
        """The header fields of every request."""
        return {"Host": self.target.authority, "User-Agent": "contact-image-load", **self.fields}

    async def connect(self, count: int) -> list[Client]:
        """Return *count* connected clients. Raise OSError or TimeoutError."""
        target = self.target
        return await clients.connected(target.host, target.port, count, target.context(), _CONNECTED_WITHIN)


async def prepared(run: Run) -> Schedule:
    """Return the requests of *run*, once the service has what they need. Raise `Unprepared` or `TooFewContacts`."""
    scenario, contacts = SCENARIOS[run.scenario], run.contacts
    plan = Plan(run.target.prefix, contacts, run.rate, run.seconds, Random(run.seed), {})
    try:
        if scenario.looks:
            plan.contacts = await pictured(run.connect, plan.prefix, contacts, run.common)
        if scenario.warms:
            plan.etags = await warmed(run.connect, [plan.picture(contact) for contact in plan.contacts], run.common)
    except (OSError, TimeoutError) as error:
        raise Unprepared(f"{run.target.url} does not answer: {error or 'not in time'}") from None
    if not (schedule := scenario.schedule(plan)):
        raise Unprepared("no request arrives in so short a time at this rate.")
    return schedule


async def measured(run: Run, schedule: Schedule) -> Figures:
    """Send the requests of *schedule*, and return the figures. Raise `Unprepared`.

    Pictures that were uploaded are deleted again, also if the run is cancelled.
    """
    loop, expects = OpenLoop(run.connect, kept), SCENARIOS[run.scenario].expects
    with reported(run.scenario, run.seconds) as report:
        watch = asyncio.create_task(_watch(loop, report, expects))
        effort, begun = time.process_time(), time.perf_counter()
        try:
            await loop.run((at, request.encoded(run.common)) for at, request in schedule)
        except (OSError, TimeoutError) as error:
            raise Unprepared(f"{run.target.url} does not answer: {error or 'not in time'}") from None
        finally:
            client = Effort(time.process_time() - effort, time.perf_counter() - begun)
            watch.cancel()
            await _clean_up(run, schedule, loop)
        report(run.seconds, f"{len(loop.outcomes):,} answers or failures")
    outcomes = sorted(loop.outcomes, key=lambda each: each.number)
    return figures(outcomes, SCENARIOS[run.scenario], run.rate, run.seconds, client)


async def _clean_up(run: Run, schedule: Schedule, loop: OpenLoop) -> None:
    """Delete the pictures that the service has stored. Raise `Unprepared` if some remain."""
    stored = (schedule[each.number][1] for each in loop.outcomes if each.status == 200)
    targets = [request.target for request in stored if request.method == "PUT"]
    try:
        remain = len(targets) - (await delete(run.connect, targets, run.common) if targets else 0)
    except (OSError, TimeoutError):
        remain = len(targets)
    if remain:
        raise Unprepared(f"{remain:,} pictures that were uploaded could not be deleted, from {targets[0]} on.")


async def _watch(loop: OpenLoop, report: Report, expected: Sequence[int]) -> None:
    seen = errors = 0
    begun = time.perf_counter()
    while True:
        await asyncio.sleep(_SHOWN)
        recent = loop.outcomes[seen:]
        seen += len(recent)
        errors += sum(each.status not in expected for each in recent)
        report(time.perf_counter() - begun, f"{len(recent) / _SHOWN:,.0f} answers a second, {errors:,} errors so far")
