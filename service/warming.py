"""Requests that fill the caches of a service, at a steady rate. A file keeps which of them are done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp

_AT_ONCE = 32
"""Requests in flight at most. A service that is slower than the rate gets no more."""
_SECONDS = 60.0
"""Seconds to wait for one answer."""
_IN_A_ROW = 100
"""Failures in a row that end the run, since the service does not work."""
_DETAIL_BYTES = 65_536
"""Bytes of an error's body that are read."""


class Target(NamedTuple):
    """A picture to request: the contact, and the query of the URL."""

    contact: int
    query: str

    def __str__(self) -> str:
        return f"{self.contact} {self.query}"


def targets(contacts: Iterable[range], queries: Sequence[str]) -> Iterator[Target]:
    """Yield the targets contact by contact, so that an original is still in memory for its second rendition."""
    for ids in contacts:
        for contact in ids:
            for query in queries:
                yield Target(contact, query)


class BadState(Exception):
    """The file is no state of this work. The text says why."""


class State:
    """The targets that are done, as lines of the file at *path* (None: no file). Its first line is the text *work*.

    A run that is killed leaves at most one incomplete line, which the next one removes. Raises `BadState` and OSError.
    """

    def __init__(self, path: Path | None, work: str) -> None:
        self._file = path.open("a+b", buffering=0) if path is not None else None
        self._done: set[str] = set()
        if self._file is not None:
            self._file.seek(0)
            content = self._file.read()
            if not content:
                self._file.write(f"{work}\n".encode())
                return
            first, *lines = content.decode("utf-8", "replace").split("\n")
            if first != work:
                self._file.close()
                raise BadState(f"its first line is not {work!r}")
            if not lines:
                self._file.write(b"\n")
                return
            self._file.truncate(content.rindex(b"\n") + 1)
            self._done.update(lines[:-1])

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, target: Target) -> bool:
        return str(target) in self._done

    def add(self, target: Target) -> None:
        """Keep that *target* is done."""
        if self._file is not None:
            self._file.write(f"{target}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


@dataclass
class Counts:
    """How many requests of a run got which answer. *warmed* includes pictures that the service had *cached* already."""

    warmed: int = 0
    cached: int = 0
    missing: int = 0
    failed: int = 0
    failed_in_a_row: int = 0

    @property
    def gave_up(self) -> bool:
        """Whether the run ended early, since the service does not work."""
        return self.failed_in_a_row >= _IN_A_ROW


async def warm(
    url: str,
    accept: str,
    rate: float,
    wanted: Iterable[Target],
    state: State,
    *,
    counted: Callable[[], None],
    failed: Callable[[str], None],
) -> Counts:
    """Request the *wanted* pictures of the service at *url*, *rate* a second at most, and add to *state* what is done.

    *counted* is called after each request, and *failed* with the reason of a failure. Proxies, and names and passwords
    in ~/.netrc, are used as the environment says.
    """
    counts, slots, loop = Counts(), asyncio.Semaphore(_AT_ONCE), asyncio.get_running_loop()

    async def one(target: Target) -> None:
        try:
            reason = await _request(session, f"{url}/api/v1/Contact/{target.contact}/Image?{target.query}", counts)
        finally:
            slots.release()
        if reason:
            counts.failed += 1
            counts.failed_in_a_row += 1
            failed(f"{target}: {reason}")
        else:
            counts.failed_in_a_row = 0
            state.add(target)
        counted()

    session = aiohttp.ClientSession(
        headers={"Accept": accept, "User-Agent": "contact-image-warm"},
        timeout=aiohttp.ClientTimeout(total=_SECONDS),
        connector=aiohttp.TCPConnector(limit=_AT_ONCE),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=True,
    )
    due = loop.time()
    async with session, asyncio.TaskGroup() as tasks:
        for target in wanted:
            await asyncio.sleep(due - loop.time())
            await slots.acquire()
            if counts.gave_up:
                break
            due = max(due, loop.time()) + 1 / rate
            tasks.create_task(one(target))
    return counts


async def _request(session: aiohttp.ClientSession, url: str, counts: Counts) -> str:
    """Request *url*, and count a picture or its absence in *counts*. Return why it failed, or an empty text."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status == 404:
                counts.missing += 1
                return ""
            if response.status != 200:
                return f"{response.status} {response.reason}{_detail(await response.content.read(_DETAIL_BYTES))}"
            async for _ in response.content.iter_any():
                pass
            counts.warmed += 1
            counts.cached += "; hit" in response.headers.get("Cache-Status", "")
            return ""
    except TimeoutError:
        return f"no answer within {_SECONDS:g} s"
    except (aiohttp.ClientError, ValueError) as error:
        return str(error) or repr(error)


def _detail(body: bytes) -> str:
    """Return the detail of a problem (RFC 9457) with a colon before it, or an empty text."""
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    text = problem.get("detail") if isinstance(problem, dict) else None
    return f": {text}" if isinstance(text, str) else ""
