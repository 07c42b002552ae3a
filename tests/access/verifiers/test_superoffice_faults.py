"""SuperOffice fails: what is asked again, what is told, and what an outage costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from service.access.identity import Role
from service.access.schemes import SoTicket
from service.access.verifiers.superoffice import SuperOffice
from service.errors import NotAuthenticated, VerificationUnavailable
from tests.access.verifiers.conftest import Answer, Elsewhere, as_cut, as_json, as_text, principal

UNAVAILABLE = "The credentials cannot be verified at the moment."


@pytest.fixture
async def superoffice(elsewhere: Elsewhere) -> AsyncIterator[SuperOffice]:
    asker = SuperOffice(elsewhere.url, session_cookie="SoSession")
    yield asker
    await asker.close()


async def ask(asker: SuperOffice, ticket: str = "7T:abc") -> bool:
    """Whether the ticket is good; it may not be told."""
    return Role.READ in (await asker.verify(SoTicket(ticket), None)).roles


def give_time(superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time limits to 60 seconds, which a busy machine keeps."""
    monkeypatch.setattr(superoffice._queue, "_timeout", 60.0)
    monkeypatch.setattr("service.access.verifiers.superoffice._VERIFY_TIMEOUT", 60.0)


async def unavailable(asker: SuperOffice) -> None:
    with pytest.raises(VerificationUnavailable) as caught:
        await ask(asker)
    assert str(caught.value) == UNAVAILABLE


def hanging(until: asyncio.Event) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await until.wait()
        return web.json_response(principal())

    return answer


async def vanishing(request: web.BaseRequest) -> web.StreamResponse:
    """Hang up without a word."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stretching(request: web.BaseRequest) -> web.StreamResponse:
    """Send without end, each piece in time."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65_536)
    except (ConnectionError, RuntimeError):  # the other side had enough
        return response


def about_somebody(elsewhere: Elsewhere) -> list[web.BaseRequest]:
    """Questions with a credential: the others are whether it is there at all."""
    return [request for request in elsewhere.asked if "Authorization" in request.headers]


_PASSING = {
    "500": as_text("oops", "text/html", 500),
    "502": as_text("", "text/html", 502),
    "503": as_json({}, 503),
    "504": as_json({}, 504),
    "429": as_json({}, 429),
    "a body that is cut": as_cut,
    "a connection that ends": vanishing,
    "a body without end": stretching,
    "no JSON": as_text("{'AssociateId': 7}", "application/json"),
    "JSON that is cut": as_text('{"AssociateId": 7,', "application/json"),
    "no UTF-8": as_text(b'{"Associate": "\xff\xfe"}', "application/json"),
    "JSON without end": as_text("[" * 100_000, "application/json"),
    "an endless number": as_text('{"AssociateId": ' + "9" * 10_000 + "}", "application/json"),
    "packed": as_text(b"\x1f\x8b\x08\x00", "application/json", **{"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("fault", _PASSING.values(), ids=_PASSING)
async def test_what_passes_is_asked_again(elsewhere: Elsewhere, superoffice: SuperOffice, fault: Answer) -> None:
    elsewhere.answers = [fault, as_json(principal())]
    assert await ask(superoffice)
    assert len(elsewhere.asked) == 2


@pytest.mark.parametrize("fault", _PASSING.values(), ids=_PASSING)
async def test_what_does_not_pass_is_unavailable_after_three_tries(
    elsewhere: Elsewhere, superoffice: SuperOffice, fault: Answer
) -> None:
    elsewhere.answers = [fault]
    await unavailable(superoffice)
    # The client makes a try anew where the connection ended without a word: it may have been kept for too long.
    assert len(about_somebody(elsewhere)) == (6 if fault is vanishing else 3)


async def test_a_refusal_after_a_fault_is_a_refusal(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    elsewhere.answers = [as_json({}, 503), as_json({}, 401)]
    with pytest.raises(NotAuthenticated):
        await ask(superoffice)
    assert len(elsewhere.asked) == 2


async def test_a_slow_answer_is_waited_for(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.7)
        return web.json_response(principal())

    elsewhere.answers = [slow]
    assert await ask(superoffice)
    assert len(elsewhere.asked) == 1


async def test_one_that_hangs_is_left_in_time(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    over = asyncio.Event()
    elsewhere.answers = [hanging(over)]
    start = time.monotonic()
    await unavailable(superoffice)
    assert time.monotonic() - start < 60
    assert len(about_somebody(elsewhere)) == 2
    over.set()


async def test_an_outage_costs_nothing_and_its_end_is_noticed(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    elsewhere.answers = [as_json({}, 503)]
    for _ in range(3):
        await unavailable(superoffice)
    asked = len(elsewhere.asked)
    assert len(about_somebody(elsewhere)) == 9
    start = time.monotonic()
    for _ in range(100):
        await unavailable(superoffice)
    trials = 1 + int((time.monotonic() - start) / 2.0)  # one is due every two seconds
    assert len(elsewhere.asked) <= asked + 3 * trials
    elsewhere.answers = [as_json(principal())]
    await asyncio.sleep(2.1)
    assert await ask(superoffice)
    assert await ask(superoffice)


async def test_a_server_that_is_gone_is_unavailable(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    elsewhere.answers = [as_json(principal())]
    assert await ask(superoffice)
    await elsewhere.stop()
    for _ in range(4):
        await unavailable(superoffice)


@pytest.mark.parametrize("fault", ["vanishing", "500", "503"])
async def test_a_credential_that_superoffice_stumbles_over_closes_the_door_to_nobody_else(
    elsewhere: Elsewhere, superoffice: SuperOffice, fault: str
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "poison" in request.headers.get("Authorization", ""):
            return await vanishing(request) if fault == "vanishing" else web.Response(status=int(fault))
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        return web.json_response(principal())

    elsewhere.answers = [answer]
    for each in range(6):
        with pytest.raises(VerificationUnavailable):
            await ask(superoffice, f"7T:poison{each}")
    assert await ask(superoffice, "7T:abc")


async def test_thirty_two_ask_at_once_and_a_bounded_number_waits(
    elsewhere: Elsewhere, superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_time(superoffice, monkeypatch)
    monkeypatch.setattr("service.access.verifiers.client._TIMEOUT", aiohttp.ClientTimeout(total=60))
    over = asyncio.Event()
    elsewhere.answers = [hanging(over)]
    asking = [asyncio.create_task(ask(superoffice, f"7T:{number}")) for number in range(32 + 256)]
    await elsewhere.reached(32)
    with pytest.raises(VerificationUnavailable, match="Too many credentials wait to be verified"):
        await ask(superoffice)
    over.set()
    # All of them, whatever comes of each: one that still asks when the client is closed would open it again.
    assert await asyncio.gather(*asking, return_exceptions=True) == [True] * (32 + 256)
    assert elsewhere.most_open == 32
    assert len(elsewhere.asked) == 32 + 256


async def test_who_waits_in_vain_is_told_so_and_leaves_no_place_taken(
    elsewhere: Elsewhere, superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    elsewhere.answers = [hanging(over)]
    asking = [asyncio.create_task(ask(superoffice, f"7T:{number}")) for number in range(40)]
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(each, VerificationUnavailable) for each in ended)
    assert elsewhere.most_open == 32
    over.set()
    elsewhere.answers = [as_json(principal())]
    await asyncio.sleep(2.1)
    give_time(superoffice, monkeypatch)
    assert await ask(superoffice)
    asking = [asyncio.create_task(ask(superoffice, f"7T:{number}")) for number in range(40)]
    assert await asyncio.gather(*asking, return_exceptions=True) == [True] * 40


async def test_who_leaves_frees_the_place(elsewhere: Elsewhere, superoffice: SuperOffice) -> None:
    over = asyncio.Event()
    elsewhere.answers = [hanging(over)]
    asking = [asyncio.create_task(ask(superoffice, f"7T:{number}")) for number in range(40)]
    await elsewhere.reached(32)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    elsewhere.answers = [as_json(principal())]
    asking = [asyncio.create_task(ask(superoffice, f"7T:{number}")) for number in range(40)]
    assert await asyncio.gather(*asking, return_exceptions=True) == [True] * 40
    over.set()


async def test_it_may_be_closed_twice_and_unused(elsewhere: Elsewhere) -> None:
    asker = SuperOffice(elsewhere.url, session_cookie="SoSession")
    await asker.close()
    elsewhere.answers = [as_json(principal())]
    assert await ask(asker)
    await asker.close()
    await asker.close()
