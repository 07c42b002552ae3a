"""Failures of SuperOffice: retries, errors, and the cost of an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from tenacity import wait_none

from service.access.identity import Role
from service.access.schemes import SoTicket
from service.access.verifiers.superoffice import SuperOffice
from service.errors import NotAuthenticated, VerificationUnavailable
from tests.access.verifiers.conftest import Answer, RemoteServer, as_cut, as_json, as_text, principal

UNAVAILABLE = "The credentials cannot be verified at the moment."


@pytest.fixture
async def superoffice(remote: RemoteServer) -> AsyncIterator[SuperOffice]:
    verifier = SuperOffice(remote.url, session_cookie="SoSession")
    yield verifier
    await verifier.close()


async def verify(verifier: SuperOffice, ticket: str = "7T:abc") -> bool:
    """Return whether *ticket* is valid."""
    return Role.READ in (await verifier.verify(SoTicket(ticket), None)).roles


@pytest.fixture
def immediate_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.verifiers.superoffice._RETRY_WAIT", wait_none())


def give_time(superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time limits to 60 seconds, which a busy machine keeps."""
    monkeypatch.setattr(superoffice._queue, "_timeout", 60.0)
    monkeypatch.setattr("service.access.verifiers.superoffice._VERIFY_TIMEOUT", 60.0)


async def unavailable(verifier: SuperOffice) -> None:
    with pytest.raises(VerificationUnavailable) as caught:
        await verify(verifier)
    assert str(caught.value) == UNAVAILABLE


def hanging(until: asyncio.Event) -> Answer:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await until.wait()
        return web.json_response(principal())

    return answer


async def vanishing(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def stretching(request: web.BaseRequest) -> web.StreamResponse:
    """Send an endless body without a pause."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 65_536)
    except (ConnectionError, RuntimeError):  # the client has closed the connection
        return response


def with_credential(remote: RemoteServer) -> list[web.BaseRequest]:
    """Return the requests with a credential. The others are probes."""
    return [request for request in remote.requests if "Authorization" in request.headers]


_TRANSIENT = {
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


@pytest.mark.parametrize("fault", _TRANSIENT.values(), ids=_TRANSIENT)
async def test_transient_fault_is_retried(remote: RemoteServer, superoffice: SuperOffice, fault: Answer) -> None:
    remote.answers = [fault, as_json(principal())]
    assert await verify(superoffice)
    assert len(remote.requests) == 2


@pytest.mark.usefixtures("immediate_retries")
@pytest.mark.parametrize("fault", _TRANSIENT.values(), ids=_TRANSIENT)
async def test_lasting_fault_is_unavailable_after_three_tries(
    remote: RemoteServer, superoffice: SuperOffice, fault: Answer
) -> None:
    remote.answers = [fault]
    await unavailable(superoffice)
    # The HTTP client repeats a request when the connection ends without an answer: it may have been idle too long.
    assert len(with_credential(remote)) == (6 if fault is vanishing else 3)


async def test_refusal_after_a_fault_is_a_refusal(remote: RemoteServer, superoffice: SuperOffice) -> None:
    remote.answers = [as_json({}, 503), as_json({}, 401)]
    with pytest.raises(NotAuthenticated):
        await verify(superoffice)
    assert len(remote.requests) == 2


async def test_slow_answer_is_awaited(remote: RemoteServer, superoffice: SuperOffice) -> None:
    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.7)
        return web.json_response(principal())

    remote.answers = [slow]
    assert await verify(superoffice)
    assert len(remote.requests) == 1


async def test_hanging_request_times_out(remote: RemoteServer, superoffice: SuperOffice) -> None:
    over = asyncio.Event()
    remote.answers = [hanging(over)]
    start = time.monotonic()
    await unavailable(superoffice)
    assert time.monotonic() - start < 60
    assert len(with_credential(remote)) == 2
    over.set()


@pytest.mark.usefixtures("immediate_retries")
async def test_outage_costs_few_requests_and_its_end_is_noticed(remote: RemoteServer, superoffice: SuperOffice) -> None:
    remote.answers = [as_json({}, 503)]
    for _ in range(3):
        await unavailable(superoffice)
    before = len(remote.requests)
    assert len(with_credential(remote)) == 9
    start = time.monotonic()
    for _ in range(100):
        await unavailable(superoffice)
    trials = 1 + int((time.monotonic() - start) / 2.0)  # one is due every two seconds
    assert len(remote.requests) <= before + 3 * trials
    remote.answers = [as_json(principal())]
    await asyncio.sleep(2.1)
    assert await verify(superoffice)
    assert await verify(superoffice)


@pytest.mark.usefixtures("immediate_retries")
async def test_stopped_server_is_unavailable(remote: RemoteServer, superoffice: SuperOffice) -> None:
    remote.answers = [as_json(principal())]
    assert await verify(superoffice)
    await remote.stop()
    for _ in range(4):
        await unavailable(superoffice)


@pytest.mark.usefixtures("immediate_retries")
@pytest.mark.parametrize("fault", ["vanishing", "500", "503"])
async def test_credential_on_which_superoffice_fails_does_not_affect_others(
    remote: RemoteServer, superoffice: SuperOffice, fault: str
) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "poison" in request.headers.get("Authorization", ""):
            return await vanishing(request) if fault == "vanishing" else web.Response(status=int(fault))
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        return web.json_response(principal())

    remote.answers = [answer]
    for each in range(6):
        with pytest.raises(VerificationUnavailable):
            await verify(superoffice, f"7T:poison{each}")
    assert await verify(superoffice, "7T:abc")


async def test_thirty_two_requests_run_at_once_and_a_bounded_number_waits(
    remote: RemoteServer, superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_time(superoffice, monkeypatch)
    monkeypatch.setattr("service.access.verifiers.client._TIMEOUT", aiohttp.ClientTimeout(total=60))
    over = asyncio.Event()
    remote.answers = [hanging(over)]
    tasks = [asyncio.create_task(verify(superoffice, f"7T:{number}")) for number in range(32 + 256)]
    await remote.reached(32)
    with pytest.raises(VerificationUnavailable, match="Too many credentials wait to be verified"):
        await verify(superoffice)
    over.set()
    # All of them end here: a request after the close of the client would open it again.
    assert await asyncio.gather(*tasks, return_exceptions=True) == [True] * (32 + 256)
    assert remote.max_active == 32
    assert len(remote.requests) == 32 + 256


async def test_timed_out_wait_leaves_no_slot_taken(
    remote: RemoteServer, superoffice: SuperOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()
    remote.answers = [hanging(over)]
    tasks = [asyncio.create_task(verify(superoffice, f"7T:{number}")) for number in range(40)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(each, VerificationUnavailable) for each in results)
    assert remote.max_active == 32
    over.set()
    remote.answers = [as_json(principal())]
    await asyncio.sleep(2.1)
    give_time(superoffice, monkeypatch)
    assert await verify(superoffice)
    tasks = [asyncio.create_task(verify(superoffice, f"7T:{number}")) for number in range(40)]
    assert await asyncio.gather(*tasks, return_exceptions=True) == [True] * 40


async def test_cancelled_verification_frees_its_slot(remote: RemoteServer, superoffice: SuperOffice) -> None:
    over = asyncio.Event()
    remote.answers = [hanging(over)]
    tasks = [asyncio.create_task(verify(superoffice, f"7T:{number}")) for number in range(40)]
    await remote.reached(32)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    remote.answers = [as_json(principal())]
    tasks = [asyncio.create_task(verify(superoffice, f"7T:{number}")) for number in range(40)]
    assert await asyncio.gather(*tasks, return_exceptions=True) == [True] * 40
    over.set()


async def test_verifier_may_be_closed_twice_and_unused(remote: RemoteServer) -> None:
    verifier = SuperOffice(remote.url, session_cookie="SoSession")
    await verifier.close()
    remote.answers = [as_json(principal())]
    assert await verify(verifier)
    await verifier.close()
    await verifier.close()
