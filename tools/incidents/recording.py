"""An incident: what is broken when, in a service under load, and what Prometheus recorded meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

from service.load.clients import Client
from service.load.open_loop import OpenLoop
from service.load.requests import Schedule
from tools.bench.instruments.clients import connected
from tools.bench.instruments.processes import HOST, ROOT, free_port, get, service, valkey
from tools.incidents import load
from tools.incidents.dashboard import panels
from tools.incidents.load import Pictures
from tools.incidents.prometheus import Line, Prometheus, prometheus

BEFORE, DURING, AFTER = 20, 150, 40
"""Seconds that are shown before the fault, of the fault, and after it. Most alerts fire after two minutes."""
_LEAD = 10
"""Seconds of load before these, so that no rate has what was sent to fill the caches."""
_TIMES = 10
"""Times the usual load, in the incident of the load."""
_SCRAPED = 2
"""Seconds between two scrapes. The rates of the panels are over four of them, as Grafana has it."""
_PROBED, _CHANGED = 3.0, 5.0
"""Seconds between two requests to `/readyz`, as a load balancer sends them, and between two changes of a picture."""
_MEMORY = 8_388_608 + 524_288
"""Bytes of `cache.memory_bytes`, of which the index has 8 MiB: memory has room for a part of the pictures."""
_STEP = 1.0
"""Seconds between two points of a line."""


@dataclass(slots=True)
class Scene:
    """What an incident can break: the folder of *pictures*, and the process of the *cache* server."""

    pictures: Pictures
    cache: subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident: what happens, the titles of the panels that show it, and how it begins and ends.

    *times* is how many times the usual load is sent during the incident.
    """

    what: str
    shown: tuple[str, ...]
    begin: Callable[[Scene], None] = lambda scene: None
    end: Callable[[Scene], None] = lambda scene: None
    times: int = 1


def _lose(scene: Scene) -> None:
    folder = scene.pictures.folder
    folder.rename(folder.with_name("volume"))
    folder.mkdir()


def _bring_back(scene: Scene) -> None:
    folder = scene.pictures.folder
    folder.rmdir()
    folder.with_name("volume").rename(folder)


INCIDENTS = {
    "redis": Incident(
        "Redis frozen",
        (
            "Cache down, breakers open",
            "Purges owed",
            "Lookups and puts a second, by layer and outcome",
            "Share of hits, by layer",
            "p99 by stage",
            "Renders a second, by format and source",
            "Duration of requests for pictures",
            "Requests a second, by status",
        ),
        lambda scene: scene.cache.send_signal(signal.SIGSTOP),
        lambda scene: scene.cache.send_signal(signal.SIGCONT),
    ),
    "mount": Incident(
        "The mount of the pictures lost",
        (
            "Requests a second, by status",
            "Share of 5xx",
            "Cache down, breakers open",
            "Refusals a second, by kind",
            "Clients that left, stale answers, lost lines",
            "Renders a second, by format and source",
        ),
        _lose,
        _bring_back,
    ),
    "load": Incident(
        "Ten times the load",
        (
            "Requests a second, by status",
            "Render queue",
            "Duration of requests for pictures",
            "p99 by stage",
            "Renders a second, by format and source",
            "Processors in use, by process",
            "Share of hits, by layer",
            "Share of the time of renders on a processor",
        ),
        times=_TIMES,
    ),
}
"""The incidents by name."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What Prometheus recorded of an incident. Times are in seconds from the beginning of the fault.

    *panels* has for each title the legends and lines. *alerts* has one line for each alert and state, `pending` or
    `firing`, at the times at which it was in that state.
    """

    panels: Mapping[str, list[tuple[str, Line]]]
    alerts: list[Line]


def record(incident: Incident) -> Recording:
    """Start a service, a cache server and Prometheus, send the load, and let *incident* happen."""
    with tempfile.TemporaryDirectory(prefix="incident-") as text, valkey() as (url, cache):
        pictures, admin = Pictures(Path(text)), f"{HOST}:{free_port()}"
        settings = {"server__workers": "2", "server__admin": admin, "cache__memory_bytes": str(_MEMORY)}
        with (
            open(f"{text}/log", "wb") as log,
            service(pictures.folder, log, cache__url=url, **settings) as server,
            _scraping(Path(text, "samples"), admin) as collected,
        ):
            load.fill_caches(server.port)
            rate = load.usual_rate(server.port)
            schedule = load.schedule(rate, _LEAD + BEFORE + DURING + AFTER, seed=1)
            if incident.times > 1:
                schedule += load.schedule((incident.times - 1) * rate, DURING, seed=3, begin=_LEAD + BEFORE)
            print(f"{incident.what}: {rate:.0f} requests a second, {DURING} s")
            begun = uvloop.run(_happen(incident, Scene(pictures, cache), server.port, admin, schedule))
            return _recorded(incident, collected, begun)


@contextmanager
def _scraping(folder: Path, admin: str) -> Iterator[Prometheus]:
    """Start Prometheus, which scrapes *admin* and evaluates the project's alerts."""
    folder.mkdir()
    rules = ROOT / "config" / "prometheus" / "alerts.yml"
    with prometheus(
        folder,
        f"global: {{scrape_interval: {_SCRAPED}s, evaluation_interval: {_SCRAPED}s}}\n"
        f"rule_files: [{rules}]\n"
        "scrape_configs:\n"
        "  - job_name: contact-image\n"
        f"    static_configs: [{{targets: ['{admin}'], labels: {{instance: contact-image}}}}]\n",
    ) as server:
        yield server


async def _happen(incident: Incident, scene: Scene, port: int, admin: str, schedule: Schedule) -> float:
    """Send *schedule*, and let *incident* happen. Return when the fault began, in seconds of the epoch."""
    loop = OpenLoop(partial(_connected, port), keep=lambda header: b"")
    fields = {"Host": HOST}
    async with _repeated(_PROBED, lambda: _probe(admin)), _repeated(_CHANGED, scene.pictures.change):
        sending = asyncio.create_task(
            loop.run((at, each.encoded(fields)) for at, each in sorted(schedule, key=lambda pair: pair[0]))
        )
        await asyncio.sleep(_LEAD + BEFORE)
        begun = time.time()
        incident.begin(scene)
        try:
            await asyncio.sleep(DURING)
        finally:
            incident.end(scene)
        await sending
    return begun


async def _connected(port: int, count: int) -> list[Client]:
    """Return *count* clients, connected one after the other, so that both processes get some of the connections."""
    return [client for _ in range(count) for client in await connected(port, 1)]


@asynccontextmanager
async def _repeated(seconds: float, action: Callable[[], object]) -> AsyncIterator[None]:
    """Call *action* in a thread every *seconds* until the block ends. It may raise OSError."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(seconds)
            with suppress(OSError):
                await asyncio.to_thread(action)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _probe(admin: str) -> None:
    get(int(admin.rpartition(":")[2]), "/readyz")


def _recorded(incident: Incident, server: Prometheus, begun: float) -> Recording:
    """Ask for the lines of the panels and of the alerts."""
    begin, end = begun - BEFORE, begun + DURING + AFTER
    known = panels()

    def lines(title: str) -> list[tuple[str, Line]]:
        return [
            (query.name(line), _from(begun, line))
            for query in known[title].queries
            for line in query.lines(server, begin, end, _STEP, f"{4 * _SCRAPED}s")
        ]

    alerts = server.lines("max by (alertname, alertstate) (ALERTS)", begin, end, _STEP)
    return Recording({title: lines(title) for title in incident.shown}, [_from(begun, line) for line in alerts])


def _from(begun: float, line: Line) -> Line:
    return Line(line.labels, [at - begun for at in line.times], line.values)
