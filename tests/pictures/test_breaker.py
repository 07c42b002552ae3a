"""The breaker: when calls are let through."""

from __future__ import annotations

import pytest

from service.pictures import tiers
from service.pictures.tiers import Breaker


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(tiers.time, "monotonic", made)
    return made


def test_it_opens_after_failures_in_a_row_and_not_before(clock: Clock) -> None:
    breaker = Breaker(threshold=3, pause=1.0)
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()


def test_while_open_one_call_in_each_pause_tries(clock: Clock) -> None:
    breaker = Breaker(threshold=1, pause=1.0)
    breaker.failed()
    for _ in range(3):
        assert not breaker.admits()
        clock.now += 1.0
        assert [breaker.admits() for _ in range(5)] == [True, False, False, False, False]


def test_a_success_closes_it(clock: Clock) -> None:
    breaker = Breaker(threshold=1, pause=1.0)
    breaker.failed()
    clock.now += 1.0
    assert breaker.admits()
    breaker.succeeded()
    assert all(breaker.admits() for _ in range(5))
