"""Credentials are verified once, remembered for a limited time, and counted when they are wrong."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.access.identity import EVERYTHING, READER, Basis, Identity
from service.access.places import Places
from service.access.schemes import Basic, Bearer, Credential, Scheme, SoTicket
from service.access.throttle import Throttle
from service.access.verification import CredentialVerification
from service.errors import (
    CredentialExpired,
    Forbidden,
    NotAuthenticated,
    PictureError,
    TooManyAttempts,
    VerificationUnavailable,
)
from tests.waiting import until

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
EXPIRED = CredentialExpired("The credentials have expired.")


class StubVerifier:
    """Returns or raises *answers* in turn, after `pause` seconds, and counts the calls."""

    def __init__(self, *answers: Identity | PictureError) -> None:
        self.answers, self.calls, self.closed = list(answers), 0, False
        self.pause, self.refreshed = 0.0, 0

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        self.calls += 1
        await asyncio.sleep(self.pause)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Identity):
            return answer
        raise type(answer)(answer.message, answer.values)

    async def refresh(self) -> None:
        self.refreshed += 1
        if self.refreshed == 1:
            raise OSError

    async def close(self) -> None:
        self.closed = True


Make = Callable[..., CredentialVerification]


@pytest.fixture
async def make() -> Make:
    def verification(verifier: StubVerifier, remember_for: float = 60.0, hold: float = 5.0) -> CredentialVerification:
        verifiers = {Scheme.BEARER: verifier, Scheme.BASIC: verifier}
        return CredentialVerification(verifiers, Throttle(), Places(hold), remember_for=remember_for)

    return verification


async def identify(verification: CredentialVerification, text: str = "8A:x", address: str = HERE) -> Identity:
    return await verification.identify(verification.digest("Bearer " + text), Bearer(text), None, address)


async def log_in(verification: CredentialVerification, user: str, password: str, address: str = HERE) -> Identity:
    return await verification.identify(
        verification.digest(f"Basic {user}:{password}"), Basic(user, password), None, address
    )


async def statuses_of(attempts: list[Coroutine[Any, Any, Identity]]) -> Counter[type]:
    """Return how often each kind of result comes of *attempts*, one after the other."""
    counts: Counter[type] = Counter()
    for attempt in attempts:
        try:
            counts[type(await attempt)] += 1
        except PictureError as error:
            counts[type(error)] += 1
    return counts


async def test_valid_credential_is_verified_once(make: Make) -> None:
    verifier = StubVerifier(Identity(EVERYTHING))
    verification = make(verifier)
    assert verification.remembered(verification.digest("Bearer 8A:x")) is None
    for _ in range(3):
        assert (await identify(verification)).roles == EVERYTHING
    assert verifier.calls == 1
    assert verification.remembered(verification.digest("Bearer 8A:x")) == Identity(EVERYTHING)
    assert verification.remembered(verification.digest("Bearer 8A:y")) is None


async def test_valid_credential_is_remembered_for_the_set_time(make: Make) -> None:
    verifier = StubVerifier(Identity(EVERYTHING), NotAuthenticated("The credentials are wrong."))
    verification = make(verifier, 0.05)
    await identify(verification)
    await asyncio.sleep(0.06)
    assert verification.remembered(verification.digest("Bearer 8A:x")) is None
    with pytest.raises(NotAuthenticated):
        await identify(verification)


async def test_credential_is_not_remembered_beyond_its_expiry(make: Make) -> None:
    verifier = StubVerifier(Identity(READER, until=time.time() + 0.05))
    verification = make(verifier)
    await identify(verification)
    await asyncio.sleep(0.06)
    assert verification.remembered(verification.digest("Bearer 8A:x")) is None


async def test_concurrent_requests_with_one_credential_share_a_verification(make: Make) -> None:
    verifier = StubVerifier(Identity(READER))
    verifier.pause = 0.05
    verification = make(verifier)
    one, other = asyncio.create_task(identify(verification)), asyncio.create_task(identify(verification))
    rest = [asyncio.create_task(identify(verification)) for _ in range(20)]
    await asyncio.sleep(0.01)
    one.cancel()  # the others still get the result
    await asyncio.gather(other, *rest)
    assert verifier.calls == 1


async def test_refusal_is_remembered_for_a_short_time(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            await identify(verification)
    assert verifier.calls == 1


async def test_outage_is_not_remembered(make: Make) -> None:
    verifier = StubVerifier(VerificationUnavailable("…"), Identity(READER))
    verification = make(verifier)
    with pytest.raises(VerificationUnavailable):
        await identify(verification)
    assert (await identify(verification)).roles == READER


async def test_too_many_wrong_credentials_block_only_their_address(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    statuses = []
    for number in range(210):
        with pytest.raises(PictureError) as refused:
            await identify(verification, f"8A:{number}")
        statuses.append(type(refused.value))
    assert statuses[:200] == [NotAuthenticated] * 200
    assert statuses[-1] is TooManyAttempts
    calls = verifier.calls
    with pytest.raises(TooManyAttempts) as error:
        await identify(verification, "8A:another")
    assert int(error.value.values["seconds"]) >= 1
    assert verifier.calls == calls  # the verifier is not called
    verifier.answers = [Identity(READER)]
    assert (await identify(verification, "8A:good", ELSEWHERE)).roles == READER


async def test_blocked_address_may_use_a_remembered_credential(make: Make) -> None:
    verifier = StubVerifier(Identity(READER), NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    await identify(verification, "8A:good")
    for number in range(210):
        with pytest.raises(PictureError):
            await identify(verification, f"8A:{number}")
    assert (await identify(verification, "8A:good")).roles == READER


@pytest.mark.parametrize("error", [CredentialExpired("…"), VerificationUnavailable("…")])
async def test_failure_that_is_not_a_guess_is_not_counted(make: Make, error: PictureError) -> None:
    verification = make(StubVerifier(error), hold=0.0)
    for number in range(210):
        with pytest.raises(type(error)):
            await identify(verification, f"8A:{number}")


async def test_wrong_application_token_is_counted(make: Make) -> None:
    verification = make(StubVerifier(Forbidden("The SO-AppToken is missing or wrong.")))
    for number in range(210):
        with pytest.raises((Forbidden, TooManyAttempts)):
            await identify(verification, f"8A:{number}")
    with pytest.raises(TooManyAttempts):
        await identify(verification)


async def test_credential_of_an_unconfigured_scheme_is_refused(make: Make) -> None:
    verifier = StubVerifier(Identity(READER))
    verification = make(verifier)
    with pytest.raises(NotAuthenticated):
        await verification.identify(verification.digest("SoTicket 7T:x"), SoTicket("7T:x"), None, HERE)
    assert verifier.calls == 0


async def test_no_credential_is_kept_in_memory(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    secret = "8A:very-" + "secret"
    with pytest.raises(NotAuthenticated):
        await identify(verification, secret)
    del verifier
    gc.collect()
    for each in gc.get_objects():
        if isinstance(each, Bearer):
            assert each.token != secret


async def test_close_cancels_verifications_and_closes_verifiers(make: Make) -> None:
    verifier = StubVerifier(Identity(READER))
    verifier.pause = 30.0
    verification = make(verifier)
    waiting = asyncio.create_task(identify(verification))
    await asyncio.sleep(0.01)
    await verification.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert verifier.closed


async def test_concurrent_guesses_are_limited_like_sequential_ones(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verifier.pause = 0.05
    verification = make(verifier)
    answers = await asyncio.gather(
        *(identify(verification, f"8A:{each}") for each in range(400)), return_exceptions=True
    )
    assert 200 <= verifier.calls < 240
    assert sum(isinstance(each, TooManyAttempts) for each in answers) == 400 - verifier.calls


async def test_many_valid_credentials_from_one_address_are_accepted(make: Make) -> None:
    verifier = StubVerifier(Identity(READER))
    verifier.pause = 0.01
    verification = make(verifier)
    identities = await asyncio.gather(*(identify(verification, f"8A:{each}") for each in range(200)))
    assert {each.roles for each in identities} == {READER}
    assert verifier.calls == 200


async def test_concurrent_requests_share_a_verification_while_all_places_are_taken(make: Make) -> None:
    verifier = StubVerifier(Identity(READER))
    verifier.pause = 0.05
    verification = make(verifier)
    others = [asyncio.create_task(identify(verification, f"8A:{each}")) for each in range(4)]
    await asyncio.sleep(0.01)
    await asyncio.gather(*(identify(verification) for _ in range(100)), *others)
    assert verifier.calls == 5


async def test_replaced_verifier_has_no_remembered_results_and_the_others_keep_theirs() -> None:
    replaced, kept, new = StubVerifier(Identity(READER)), StubVerifier(Identity(READER)), StubVerifier(EXPIRED)
    verification = CredentialVerification(
        {Scheme.BEARER: replaced, Scheme.SOTICKET: kept}, Throttle(), Places(), remember_for=60.0
    )
    ticket = verification.digest("SoTicket 7T:x")
    await identify(verification)
    await verification.identify(ticket, SoTicket("7T:x"), None, HERE)
    verification.replace({Scheme.BEARER: new, Scheme.SOTICKET: kept})
    assert verification.remembered(ticket) == Identity(READER)
    assert verification.remembered(verification.digest("Bearer 8A:x")) is None
    with pytest.raises(CredentialExpired):
        await identify(verification)


async def test_verification_that_began_before_the_replacement_ends_and_is_not_remembered() -> None:
    replaced, new = StubVerifier(Identity(READER)), StubVerifier(EXPIRED)
    replaced.pause = 0.1
    verification = CredentialVerification({Scheme.BEARER: replaced}, Throttle(), Places(), remember_for=60.0)
    earlier = asyncio.create_task(identify(verification))
    await asyncio.sleep(0.01)
    verification.replace({Scheme.BEARER: new})
    with pytest.raises(CredentialExpired):
        await identify(verification)
    assert await earlier == Identity(READER)
    with pytest.raises(CredentialExpired):
        await identify(verification)


async def test_close_ends_verifications_of_replaced_verifiers() -> None:
    replaced, new = StubVerifier(Identity(READER)), StubVerifier(Identity(READER))
    replaced.pause = 60.0
    verification = CredentialVerification({Scheme.BEARER: replaced}, Throttle(), Places(), remember_for=60.0)
    earlier = asyncio.create_task(identify(verification))
    await asyncio.sleep(0.01)
    verification.replace({Scheme.BEARER: new})
    await verification.close()
    with pytest.raises(asyncio.CancelledError):
        await earlier
    assert new.closed


async def test_guesses_for_one_user_leave_the_other_users_of_the_address(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    counts = await statuses_of([log_in(verification, "anna", str(number)) for number in range(30)])
    assert 20 <= counts[NotAuthenticated] <= 21 and counts.total() == 30
    assert counts[TooManyAttempts] == 30 - counts[NotAuthenticated] == 30 - verifier.calls
    verifier.answers = [Identity(READER)]
    assert await log_in(verification, "olaf", "right") == Identity(READER)
    with pytest.raises(TooManyAttempts):
        await log_in(verification, "anna", "right")
    assert await log_in(verification, "anna", "right", ELSEWHERE) == Identity(READER)


async def test_guesses_for_many_users_are_limited_by_address(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    counts = await statuses_of([log_in(verification, f"user {number}", "x") for number in range(250)])
    assert 200 <= counts[NotAuthenticated] < 220 and counts.total() == 250


async def test_credential_that_was_valid_earlier_is_verified_again_while_its_address_is_blocked(make: Make) -> None:
    verifier = StubVerifier(Identity(READER), NotAuthenticated("The credentials are wrong."))
    verification = make(verifier, remember_for=0.05)
    await log_in(verification, "anna", "right")
    await statuses_of([log_in(verification, "anna", str(number)) for number in range(30)])
    await asyncio.sleep(0.06)
    verifier.answers = [Identity(EVERYTHING)]
    assert await log_in(verification, "anna", "right") == Identity(EVERYTHING)  # verified, and not remembered
    await asyncio.sleep(0.06)
    verifier.answers = [NotAuthenticated("The credentials are wrong.")]
    with pytest.raises(NotAuthenticated):
        await log_in(verification, "anna", "right")
    with pytest.raises(TooManyAttempts):  # a password that has been refused since is a guess like others
        await log_in(verification, "anna", "right")


async def test_wrong_credentials_do_not_remove_valid_ones_from_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.access.verification._CAPACITY", 50)
    verifier = StubVerifier(Identity(READER), NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    await identify(verification, "8A:good")
    for number in range(1000):
        with pytest.raises(PictureError):
            await identify(verification, f"8A:{number}", f"198.51.{number % 256}.{number // 256}")
    assert verification.remembered(verification.digest("Bearer 8A:good")) == Identity(READER)


async def test_failed_verification_keeps_its_place_for_a_while(make: Make) -> None:
    verifier = StubVerifier(VerificationUnavailable("…"))
    verification = make(verifier, hold=0.2)
    counts = await statuses_of([identify(verification, f"8A:{number}") for number in range(25)])
    assert counts == {VerificationUnavailable: 25}
    assert verifier.calls == 4  # of the other requests none waits
    verifier.answers = [Identity(READER)]
    assert await identify(verification, "8A:good", ELSEWHERE) == Identity(READER)
    await asyncio.sleep(0.3)
    assert await identify(verification, "8A:good too") == Identity(READER)


async def test_request_waits_for_a_place_that_no_failed_verification_holds(make: Make) -> None:
    verifier = StubVerifier(*[VerificationUnavailable("…")] * 3, Identity(READER))
    verification = make(verifier)
    await statuses_of([identify(verification, f"8A:{number}") for number in range(3)])
    verifier.pause = 0.05
    identities = await asyncio.gather(*(identify(verification, f"8A:good {number}") for number in range(10)))
    assert identities == [Identity(READER)] * 10


async def test_guess_whose_client_leaves_is_counted_and_keeps_its_place(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verifier.pause = 0.02
    verification = make(verifier)
    for number in range(30):
        guess = asyncio.create_task(log_in(verification, "anna", str(number)))
        await asyncio.sleep(0)
        guess.cancel()
        await asyncio.gather(guess, return_exceptions=True)
        await asyncio.sleep(0.001)
        assert len(verification._running) <= 30
    while verification._running:
        await asyncio.sleep(0.01)
    assert 20 <= verifier.calls <= 24
    with pytest.raises(TooManyAttempts):
        await log_in(verification, "anna", "x")


async def test_same_credential_from_a_blocked_address_does_not_affect_another_address(make: Make) -> None:
    verifier = StubVerifier(NotAuthenticated("The credentials are wrong."))
    verification = make(verifier)
    await statuses_of([log_in(verification, "anna", str(number)) for number in range(30)])
    verifier.answers, verifier.pause = [Identity(READER)], 0.02
    here, elsewhere = await asyncio.gather(
        log_in(verification, "anna", "right"), log_in(verification, "anna", "right", ELSEWHERE), return_exceptions=True
    )
    assert isinstance(here, TooManyAttempts)
    assert elsewhere == Identity(READER)


async def test_identity_whose_basis_is_withdrawn_is_verified_again(make: Make) -> None:
    basis = Basis()
    verifier = StubVerifier(Identity(EVERYTHING, basis=basis))
    verification = make(verifier)
    await identify(verification)
    basis.withdrawn = True
    assert verification.remembered(verification.digest("Bearer 8A:x")) is None
    verifier.answers = [NotAuthenticated("The credentials are wrong.")]
    with pytest.raises(NotAuthenticated):
        await identify(verification)


async def test_verifiers_are_refreshed_again_and_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.verification._REFRESH_PAUSE", 0.001)
    verifier = StubVerifier(Identity(READER))
    keeping = asyncio.create_task(make(verifier).keep_current())
    with capture_logs() as events:
        await until(lambda: verifier.refreshed > 3)
    keeping.cancel()
    assert [each["event"] for each in events] == ["credentials.not_refreshed"]
