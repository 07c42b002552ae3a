"""The scenarios: which requests are sent at which times. They depend on the seed, and on what the service has.

This module sends nothing.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from service.load.requests import BROWSER, Request, Schedule

WIDTHS = (64, 128, 200, 320, 480, 640, 1024, 1600)
"""Pixels of widths that pages ask for."""
_HIT_WIDTH = 200
"""Pixels of the width of hits."""
_HIT_SHARE = 0.2
"""Share of the requests of an overload that are for a picture in memory."""
_NEW_CONTACTS = 2_000_000_000
"""The contact id that uploads begin at, so that no picture of a contact is replaced."""
_PORTRAITS = 8
"""Different pictures that are uploaded."""
_PORTRAIT_SIDE = 800
"""Pixels of the height of a picture that is uploaded."""
_STAMPEDES = 1.0
"""Seconds between two stampedes."""


class TooFewContacts(Exception):
    """The contacts have fewer different renditions than the run needs."""


@dataclass(slots=True)
class Plan:
    """What a scenario makes its requests from.

    *etags* has the entity tag of each target that was requested before the run.
    """

    prefix: str
    contacts: Sequence[int]
    rate: float
    seconds: float
    random: Random
    etags: Mapping[str, str]

    def picture(self, contact: int, query: str = f"w={_HIT_WIDTH}") -> str:
        """Return the target of a picture."""
        return f"{self.prefix}/api/v1/Contact/{contact}/Image?{query}"

    def times(self) -> list[float]:
        """Return the seconds of arrivals that do not depend on one another: exactly `rate` a second over the run."""
        return sorted(self.random.uniform(0, self.seconds) for _ in range(round(self.rate * self.seconds)))

    def arrivals(self, requests: Iterator[Request]) -> Schedule:
        """Return as many of *requests* as arrive in the time of the run."""
        return list(zip(self.times(), requests, strict=False))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: its *schedule*, and the statuses that it *expects*; others are errors.

    *looks* says whether it needs contacts that have pictures. *warms* says whether their pictures are requested before
    the run. *harms* says whether it is for a service on this machine alone.
    """

    what: str
    schedule: Callable[[Plan], Schedule]
    expects: range | tuple[int, ...] = (200,)
    looks: bool = True
    warms: bool = False
    harms: bool = False


def _hits(plan: Plan) -> Schedule:
    requests = [Request(plan.picture(contact)) for contact in plan.contacts]
    return plan.arrivals(_drawn(plan, requests))


def _drawn(plan: Plan, requests: Sequence[Request]) -> Iterator[Request]:
    while True:
        yield plan.random.choice(requests)


def _unchanged(plan: Plan) -> Schedule:
    requests = [
        Request(target, fields={**BROWSER, "If-None-Match": plan.etags[target]})
        for target in map(plan.picture, plan.contacts)
    ]
    return plan.arrivals(_drawn(plan, requests))


def _cold(plan: Plan) -> Iterator[Request]:
    """Yield requests for renditions, none of them twice: the height gives a size that no other request has."""
    sizes = [(width, height) for width in WIDTHS for height in range(width // 2, 2 * width)]
    plan.random.shuffle(sizes)
    for width, height in sizes:
        for contact in plan.random.sample(plan.contacts, len(plan.contacts)):
            yield Request(plan.picture(contact, f"w={width}&h={height}&fit=cover"))
    raise TooFewContacts(f"{len(sizes) * len(plan.contacts):,} different renditions are too few: name more contacts.")


def _misses(plan: Plan) -> Schedule:
    return plan.arrivals(_cold(plan))


def _zipf(plan: Plan) -> Schedule:
    weights = list(accumulate(1 / rank for rank in range(1, len(plan.contacts) + 1)))
    order = plan.random.sample(plan.contacts, len(plan.contacts))

    def requests() -> Iterator[Request]:
        while True:
            (contact,) = plan.random.choices(order, cum_weights=weights)
            yield Request(plan.picture(contact, f"w={plan.random.choice(WIDTHS)}"))

    return plan.arrivals(requests())


def _stampede(plan: Plan) -> Schedule:
    crowd = max(1, round(plan.rate * _STAMPEDES))
    moments = [number * _STAMPEDES for number in range(max(1, int(plan.seconds / _STAMPEDES)))]
    return [(at, request) for at, request in zip(moments, _cold(plan), strict=False) for _ in range(crowd)]


def _overload(plan: Plan) -> Schedule:
    hits, misses = [Request(plan.picture(contact)) for contact in plan.contacts], _cold(plan)

    def requests() -> Iterator[Request]:
        while True:
            yield plan.random.choice(hits) if plan.random.random() < _HIT_SHARE else next(misses)

    return plan.arrivals(requests())


def _uploads(plan: Plan) -> Schedule:
    bodies = [_portrait(plan.random) for _ in range(_PORTRAITS)]
    fields = {"Content-Type": "image/jpeg", "If-None-Match": "*"}  # a contact that has a picture keeps it

    def requests() -> Iterator[Request]:
        contact = _NEW_CONTACTS
        while True:
            target = f"{plan.prefix}/api/v1/Contact/{contact}/Image"
            yield Request(target, "PUT", fields, bodies[contact % _PORTRAITS])
            contact += 1

    return plan.arrivals(requests())


def _portrait(random: Random) -> bytes:
    from service.drawings import portrait  # with Pillow, which other scenarios do not need

    file = io.BytesIO()
    portrait(random, _PORTRAIT_SIDE).save(file, "JPEG", quality=90)
    return file.getvalue()


def _hostile(plan: Plan) -> Schedule:
    some = plan.contacts[0]
    requests = [
        *(Request(plan.picture(some, query)) for query in _BAD_QUERIES),
        *(Request(f"{plan.prefix}/api/v1/Contact/{number}/Image") for number in _BAD_IDS),
        *(Request(f"{plan.prefix}{path}") for path in _BAD_PATHS),
        *(Request(plan.picture(some), method) for method in ("POST", "PATCH", "TRACE", "PROPFIND")),
        *(Request(plan.picture(some), fields={**BROWSER, name: text}) for name, text in _BAD_FIELDS),
    ]
    return plan.arrivals(_drawn(plan, requests))


_BAD_IDS = ("0", "-1", "2147483648", "9" * 400, "1e3", "%31", "1;2", "..%2f..%2fetc%2fpasswd", "%00", "1.jpg")
_BAD_QUERIES = (
    "w=0",
    "w=-1",
    "w=99999999",
    "h=1e9",
    "w=%00",
    "fit=none",
    "type=exe",
    "bg=zz",
    "dpr=1000",
    "w=" + "1" * 4000,
)
_BAD_PATHS = (
    "/../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/api/v1/Contact/1",
    "/.env",
    "/wp-login.php",
    "//x//",
    "/" + "a" * 7000,
)
_BAD_FIELDS = (
    ("Accept", "text/html;q=0.1, */*;q=0"),
    ("Authorization", "Basic !!!!"),
    ("Authorization", "Bearer " + "e" * 3000),
    ("X-Long", "x" * 40_000),
    ("Content-Length", "-1"),
    ("Transfer-Encoding", "chunked, gzip"),
    ("Expect", "200-maybe"),
)

SCENARIOS = {
    "hits": Scenario("pictures that the service has in its memory", _hits, warms=True),
    "misses": Scenario("renditions that no cache has, none of them twice", _misses),
    "zipf": Scenario("contacts by Zipf's law in eight widths, from cold caches or not", _zipf),
    "304": Scenario("revalidations of pictures that have not changed", _unchanged, expects=(304,), warms=True),
    "stampede": Scenario("identical requests at once for a rendition that no cache has, each second", _stampede),
    "uploads": Scenario("PUT of new pictures, which are deleted after the run", _uploads, looks=False),
    "hostile": Scenario("requests that a service has to refuse", _hostile, expects=range(200, 500), harms=True),
    "overload": Scenario(
        "misses and hits, of which a service may refuse some with 503",
        _overload,
        expects=(200, 503),
        warms=True,
        harms=True,
    ),
}
