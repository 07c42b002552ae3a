"""What a run does before its first request and after its last: look for pictures, request them, delete uploads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from service.load.clients import Answer, Client
from service.load.figures import field, kept
from service.load.open_loop import Connect
from service.load.requests import Request
from service.progress import progress

_CONNECTIONS = 4
"""Connections over which the requests before and after a run are sent."""
_LISTED = 100
"""Contacts of one request to `Imageinfo` at most."""
_LONGEST_LIST = 1 << 18
"""Bytes of the answer to such a request at most."""
_ANSWERED_WITHIN = 60.0
"""Seconds to wait for each of these answers."""
_SHOWN = 1000
"""Requests from which on their progress is shown."""


class Unprepared(Exception):
    """The service does not answer as the scenario needs it."""


async def ask(
    connect: Connect, requests: Sequence[Request], common: Mapping[str, str], what: str, *, longest_body: int = 0
) -> list[Answer]:
    """Return the answers to *requests*, over a few connections. Raise OSError or TimeoutError.

    *what* is done is shown, with its progress. Answers have bodies of *longest_body* bytes at most, and with 0 none.
    """
    answers: list[Answer | None] = [None] * len(requests)
    left = iter(enumerate(requests))

    async def ask_next_ones(client: Client) -> None:
        try:
            for number, request in left:
                if client.closed:
                    (client,) = await connect(1)
                received: list[Answer] = []
                async with asyncio.timeout(_ANSWERED_WITHIN):
                    await client.converse(iter((request.encoded(common),)), received.append, longest_body=longest_body)
                answers[number] = received[0]
                counted()
        finally:
            client.close()  # uvloop's loop ends when no connection is left

    with progress(what, len(requests)) if len(requests) >= _SHOWN else nullcontext(lambda: None) as counted:
        clients = await connect(min(_CONNECTIONS, len(requests)))
        tasks = [asyncio.create_task(ask_next_ones(client)) for client in clients]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
    return [answer for answer in answers if answer is not None]


async def pictured(connect: Connect, prefix: str, contacts: Sequence[int], common: Mapping[str, str]) -> list[int]:
    """Return those of *contacts* that have pictures, by `Imageinfo`, which renders nothing. Raise `Unprepared`."""
    lists = [contacts[at : at + _LISTED] for at in range(0, len(contacts), _LISTED)]
    path = f"{prefix}/api/v1/Contact/Imageinfo?ids="
    found: list[int] = []
    requests = [Request(path + ",".join(map(str, some)), fields={"Accept": "application/json"}) for some in lists]
    answers = await ask(connect, requests, common, "Looking for pictures", longest_body=_LONGEST_LIST)
    for asked, answer in zip(lists, answers, strict=True):
        if answer.status != 200:
            raise Unprepared(f"{path}… is answered with {answer.status}, not with 200. {_advice(answer.status)}")
        try:
            about = json.loads(answer.body)
            found += [contact for contact in asked if about[str(contact)]["BlobSize"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Unprepared(f"{path}… is not answered as this service answers: is the URL right?") from None
    if not found:
        raise Unprepared("none of the contacts has a picture: name others by --contacts.")
    return sorted(found)


async def warmed(connect: Connect, targets: Sequence[str], common: Mapping[str, str]) -> dict[str, str]:
    """Request the pictures at *targets*, so that they are cached, and return their entity tags. Raise `Unprepared`."""
    answers = await ask(connect, [Request(target) for target in targets], common, "Filling caches")
    for target, answer in zip(targets, answers, strict=True):
        if answer.status != 200:
            raise Unprepared(f"{target} is answered with {answer.status}, not with 200. {_advice(answer.status)}")
    return {target: field(kept(answer.header), b"etag") for target, answer in zip(targets, answers, strict=True)}


async def delete(connect: Connect, targets: Sequence[str], common: Mapping[str, str]) -> list[str]:
    """Delete the pictures at *targets*, and return those of them that remain."""
    answers = await ask(connect, [Request(target, "DELETE", {}) for target in targets], common, "Deleting uploads")
    return [target for target, answer in zip(targets, answers, strict=True) if answer.status not in (204, 404)]


def _advice(status: int) -> str:
    if status in (401, 403):
        return "Give a credential by --header 'Authorization: …'."
    if 300 <= status < 400:
        return "It redirects: give the URL that it redirects to."
    return "Is the URL that of this service?" if status in (400, 404, 405) else ""
