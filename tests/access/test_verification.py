"""Credentials are asked about once, believed for a while and no longer, and counted when they are wrong."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import pytest

from service.access.identity import EVERYTHING, READER, Identity
from service.access.schemes import Bearer, Credential, Scheme, SoTicket
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

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Oracle:
    """Answers as it is told to, after a while if it is told so, and counts what it is asked."""

    def __init__(self, *answers: Identity | PictureError) -> None:
        self.answers, self.asked, self.closed = list(answers), 0, False
        self.pause = 0.0

    async def verify(self, credential: Credential, app_token: str | None) -> Identity:
        self.asked += 1
        await asyncio.sleep(self.pause)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Identity):
            return answer
        raise type(answer)(answer.message, answer.values)

    async def close(self) -> None:
        self.closed = True


Make = Callable[..., CredentialVerification]


@pytest.fixture
async def make() -> Make:
    def guard(oracle: Oracle, remember_for: float = 60.0) -> CredentialVerification:
        return CredentialVerification({Scheme.BEARER: oracle}, Throttle(), remember_for=remember_for)

    return guard


async def ask(guard: CredentialVerification, text: str = "8A:x", address: str = HERE) -> Identity:
    return await guard.identify(guard.digest("Bearer " + text), Bearer(text), None, address)


async def test_a_good_credential_is_asked_about_once(make: Make) -> None:
    oracle = Oracle(Identity(EVERYTHING))
    guard = make(oracle)
    assert guard.remembered(guard.digest("Bearer 8A:x")) is None
    for _ in range(3):
        assert (await ask(guard)).roles == EVERYTHING
    assert oracle.asked == 1
    assert guard.remembered(guard.digest("Bearer 8A:x")) == Identity(EVERYTHING)
    assert guard.remembered(guard.digest("Bearer 8A:y")) is None


async def test_it_is_believed_no_longer_than_told(make: Make) -> None:
    oracle = Oracle(Identity(EVERYTHING), NotAuthenticated("The credentials are wrong."))
    guard = make(oracle, 0.05)
    await ask(guard)
    await asyncio.sleep(0.06)
    assert guard.remembered(guard.digest("Bearer 8A:x")) is None
    with pytest.raises(NotAuthenticated):
        await ask(guard)


async def test_it_is_believed_no_longer_than_it_lasts(make: Make) -> None:
    oracle = Oracle(Identity(READER, until=time.time() + 0.05))
    guard = make(oracle)
    await ask(guard)
    await asyncio.sleep(0.06)
    assert guard.remembered(guard.digest("Bearer 8A:x")) is None


async def test_who_asks_for_the_same_at_once_shares_one_question(make: Make) -> None:
    oracle = Oracle(Identity(READER))
    oracle.pause = 0.05
    guard = make(oracle)
    one, other = asyncio.create_task(ask(guard)), asyncio.create_task(ask(guard))
    rest = [asyncio.create_task(ask(guard)) for _ in range(20)]
    await asyncio.sleep(0.01)
    one.cancel()  # who leaves does not take the answer along
    await asyncio.gather(other, *rest)
    assert oracle.asked == 1


async def test_a_refusal_is_given_again_for_a_short_while(make: Make) -> None:
    oracle = Oracle(NotAuthenticated("The credentials are wrong."))
    guard = make(oracle)
    for _ in range(3):
        with pytest.raises(NotAuthenticated):
            await ask(guard)
    assert oracle.asked == 1


async def test_an_outage_is_not_remembered(make: Make) -> None:
    oracle = Oracle(VerificationUnavailable("…"), Identity(READER))
    guard = make(oracle)
    with pytest.raises(VerificationUnavailable):
        await ask(guard)
    assert (await ask(guard)).roles == READER


async def test_too_many_wrong_ones_close_an_address_and_no_other(make: Make) -> None:
    oracle = Oracle(NotAuthenticated("The credentials are wrong."))
    guard = make(oracle)
    statuses = []
    for number in range(60):
        with pytest.raises(PictureError) as refused:
            await ask(guard, f"8A:{number}")
        statuses.append(type(refused.value))
    assert statuses[:5] == [NotAuthenticated] * 5
    assert statuses[-1] is TooManyAttempts
    asked = oracle.asked
    with pytest.raises(TooManyAttempts) as told:
        await ask(guard, "8A:another")
    assert int(told.value.values["seconds"]) >= 1
    assert oracle.asked == asked  # it costs nobody anything
    oracle.answers = [Identity(READER)]
    assert (await ask(guard, "8A:good", ELSEWHERE)).roles == READER


async def test_a_closed_address_still_serves_those_who_are_known(make: Make) -> None:
    oracle = Oracle(Identity(READER), NotAuthenticated("The credentials are wrong."))
    guard = make(oracle)
    await ask(guard, "8A:good")
    for number in range(60):
        with pytest.raises(PictureError):
            await ask(guard, f"8A:{number}")
    assert (await ask(guard, "8A:good")).roles == READER


@pytest.mark.parametrize("error", [CredentialExpired("…"), VerificationUnavailable("…")])
async def test_what_is_no_guess_is_not_counted(make: Make, error: PictureError) -> None:
    guard = make(Oracle(error))
    for number in range(60):
        with pytest.raises(type(error)):
            await ask(guard, f"8A:{number}")


async def test_a_wrong_application_token_is_a_guess(make: Make) -> None:
    guard = make(Oracle(Forbidden("The SO-AppToken is missing or wrong.")))
    for number in range(60):
        with pytest.raises((Forbidden, TooManyAttempts)):
            await ask(guard, f"8A:{number}")
    with pytest.raises(TooManyAttempts):
        await ask(guard)


async def test_a_scheme_that_is_off_is_refused(make: Make) -> None:
    oracle = Oracle(Identity(READER))
    guard = make(oracle)
    with pytest.raises(NotAuthenticated):
        await guard.identify(guard.digest("SoTicket 7T:x"), SoTicket("7T:x"), None, HERE)
    assert oracle.asked == 0


async def test_nothing_of_a_credential_is_kept(make: Make) -> None:
    oracle = Oracle(NotAuthenticated("The credentials are wrong."))
    guard = make(oracle)
    secret = "8A:very-" + "secret"
    with pytest.raises(NotAuthenticated):
        await ask(guard, secret)
    del oracle
    gc.collect()
    for each in gc.get_objects():
        if isinstance(each, Bearer):
            assert each.token != secret


async def test_closing_ends_questions_and_closes_those_who_answer(make: Make) -> None:
    oracle = Oracle(Identity(READER))
    oracle.pause = 30.0
    guard = make(oracle)
    waiting = asyncio.create_task(ask(guard))
    await asyncio.sleep(0.01)
    await guard.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert oracle.closed


async def test_guesses_sent_together_are_hardly_more_than_those_sent_one_by_one(make: Make) -> None:
    oracle = Oracle(NotAuthenticated("The credentials are wrong."))
    oracle.pause = 0.05
    guard = make(oracle)
    answers = await asyncio.gather(*(ask(guard, f"8A:{each}") for each in range(400)), return_exceptions=True)
    assert 20 <= oracle.asked < 40
    assert sum(isinstance(each, TooManyAttempts) for each in answers) == 400 - oracle.asked


async def test_many_good_ones_from_one_address_are_all_let_in(make: Make) -> None:
    oracle = Oracle(Identity(READER))
    oracle.pause = 0.01
    guard = make(oracle)
    who = await asyncio.gather(*(ask(guard, f"8A:{each}") for each in range(200)))
    assert {each.roles for each in who} == {READER}
    assert oracle.asked == 200


async def test_those_of_one_page_wait_for_one_question_where_all_turns_are_taken(make: Make) -> None:
    oracle = Oracle(Identity(READER))
    oracle.pause = 0.05
    guard = make(oracle)
    others = [asyncio.create_task(ask(guard, f"8A:{each}")) for each in range(20)]
    await asyncio.sleep(0.01)
    await asyncio.gather(*(ask(guard) for _ in range(100)), *others)
    assert oracle.asked == 21
