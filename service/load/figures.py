"""The figures of a run: from outcomes to what the report has. This module sends nothing and writes nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from service.load.open_loop import NO_CONNECTION, Outcome
from service.load.scenarios import Scenario

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0)
"""Percentiles of the report. One that has less than a request above it is left out."""
_STAGE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64})\s*;\s*dur=([0-9]{1,9}(?:\.[0-9]{1,9})?)(?=[\s,;]|$)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_MOST_STAGES = 20
"""Stages that are counted: those that come first."""
_MOST_NAMES = 20
"""Rows of a table of names."""
_LONGEST_NAME = 120
"""Characters of a name at most."""
_LATE = 0.002
"""Seconds: a client that sends one in a hundred requests later than this may be the bottleneck."""
_LATE_SHARE = 0.1
"""Share of the latency's 99th percentile: a client that is later than this, too, was the bottleneck."""
_BUSY = 0.9
"""Share of one processor: a client that takes more was the bottleneck."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What the client took: seconds of its processor time, and seconds from the beginning to the last answer."""

    processor: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run. Latencies are in seconds and sorted; those of requests without an answer are included.

    *remain* has the targets of uploads that may remain.
    """

    outcomes: Sequence[Outcome]
    rate: float
    seconds: float
    latencies: Sequence[float]
    service_times: Sequence[float]
    lags: Sequence[float]
    errors: int
    statuses: Counter[int]
    faults: Counter[str]
    caches: Counter[str]
    stages: dict[str, list[float]]
    client: Effort
    expects: range | tuple[int, ...]
    interrupted: bool
    remain: Sequence[str]

    @property
    def error_share(self) -> float:
        """The share of requests that got another status than the scenario expects, or no answer."""
        return self.errors / len(self.outcomes)

    @property
    def answered(self) -> int:
        """The number of requests that got an answer."""
        return len(self.outcomes) - self.statuses[0]

    @property
    def sent_rate(self) -> float:
        """Requests a second from the beginning to the sending of the last one."""
        last = max(each.at + each.lag for each in self.outcomes)
        return len(self.outcomes) / max(last, self.seconds)

    @property
    def expected_rate(self) -> float:
        """Answers with a status that the scenario expects, a second."""
        last = max(each.at + each.seconds for each in self.outcomes)
        return (len(self.outcomes) - self.errors) / max(last, self.seconds)

    @property
    def size(self) -> int:
        """The bytes of all bodies."""
        return sum(each.size for each in self.outcomes)

    def of_status(self, status: int) -> list[float]:
        """Return the sorted latencies of the requests with this *status*."""
        return sorted(each.seconds for each in self.outcomes if each.status == status)

    def bottleneck(self) -> list[str]:
        """Return why the client was itself the bottleneck, or nothing."""
        late, busy = percentile(self.lags, 99), self.client.processor / self.client.elapsed
        found = []
        if late > max(_LATE, _LATE_SHARE * percentile(self.latencies, 99)):
            found.append(f"one in a hundred requests was sent {1000 * late:.1f} ms late or more")
        if busy > _BUSY:
            found.append(f"it took {busy:.0%} of one processor")
        if refused := self.faults[NO_CONNECTION]:
            found.append(f"it had no connection left for {refused:,} requests")
        return found


def figures(
    outcomes: Sequence[Outcome], scenario: Scenario, rate: float, seconds: float, client: Effort,
    *, interrupted: bool = False, remain: Sequence[str] = (),
) -> Figures:  # fmt: skip
    """Return the figures of at least one outcome."""
    stages: dict[str, list[float]] = {}
    for each in outcomes:
        for name, milliseconds in stages_of(each):
            if name in stages or len(stages) < _MOST_STAGES:
                stages.setdefault(name, []).append(milliseconds / 1000)
    return Figures(
        outcomes, rate, seconds,
        latencies=sorted(each.seconds for each in outcomes),
        service_times=sorted(each.seconds - each.lag for each in outcomes),
        lags=sorted(each.lag for each in outcomes),
        errors=sum(each.status not in scenario.expects for each in outcomes),
        statuses=Counter(each.status for each in outcomes),
        faults=Counter(each.fault for each in outcomes if each.fault),
        caches=Counter(cache_outcome(each) for each in outcomes),
        stages={name: sorted(each) for name, each in stages.items()},
        client=client,
        expects=scenario.expects,
        interrupted=interrupted,
        remain=remain,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound that the user gave, in words with its value, and whether it is met."""

    text: str
    met: bool


def thresholds(result: Figures, p99: float | None, errors: float | None) -> list[Threshold]:
    """Return the thresholds of those that are not None: seconds of latency, and the share of errors."""
    found = []
    if p99 is not None:
        took = percentile(result.latencies, 99)
        found.append(Threshold(f"p99 is {1000 * took:.2f} ms; at most {1000 * p99:g} ms are allowed.", took <= p99))
    if errors is not None:
        share = result.error_share
        text = f"{100 * share:.4g} % of the requests are errors; at most {100 * errors:g} % are allowed."
        found.append(Threshold(text, share <= errors))
    return found


def percentiles(count: int) -> list[float]:
    """Return those of `PERCENTILES` that differ from the longest of *count* latencies, and 100."""
    return [each for each in PERCENTILES if each == 100 or count * (100 - each) >= 100]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least of the sorted *values* that *percent* of them do not exceed."""
    return values[max(0, ceil(len(values) * percent / 100) - 1)]


def cache_outcome(outcome: Outcome) -> str:
    """Return what `Cache-Status` (RFC 9211) of the cache that is nearest to the client says, without its numbers."""
    members = field(outcome.header, b"cache-status")
    if not members:
        return f"no Cache-Status ({outcome.status})" if outcome.status else "no answer"
    nearest = _QUOTED.sub('""', members).rsplit(",", 1)[-1]
    parts = [part.strip() for part in nearest.split(";")]
    stale = any(re.fullmatch(r"ttl=-\d+", part) for part in parts)
    kept = [part for part in parts[1:] if not part.startswith(("ttl=", "key=", "detail=", "fwd-status="))]
    return f"{parts[0]}: {', '.join([*kept, *(['stale'] if stale else [])]) or 'no detail'}"[:_LONGEST_NAME]


def most_common(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the most common names and their counts, and the count of all others together."""
    names = counts.most_common(_MOST_NAMES)
    others = counts.total() - sum(count for _, count in names)
    return [*names, *([("others", others)] if others else [])]


def stages_of(outcome: Outcome) -> list[tuple[str, float]]:
    """Return the stages of `Server-Timing` with their milliseconds."""
    text = field(outcome.header, b"server-timing")
    return [(name, float(duration)) for name, duration in _STAGE.findall(text)] if text else []


_KEPT = re.compile(rb"\r\n(cache-status|server-timing|etag): *([^\r\n]{0,1000})", re.IGNORECASE)


def kept(header: bytes) -> bytes:
    """Return the beginnings of the fields of a response's *header* that figures need, as lines."""
    return b"".join(b"\r\n" + name.lower() + b": " + value for name, value in _KEPT.findall(header))


def field(kept: bytes, name: bytes) -> str:
    """Return the value of the field *name*, in lower case, among the *kept* ones, or an empty text."""
    return kept.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0].decode("latin-1")
