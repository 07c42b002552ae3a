"""The breaker: when calls are let through."""

from __future__ import annotations

import pytest

from service import breaker
from service.breaker import CircuitBreaker


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(breaker.time, "monotonic", made)
    return made


def test_it_opens_after_failures_in_a_row_and_not_before(clock: Clock) -> None:
    one = CircuitBreaker(threshold=3, pause=1.0)
    for _ in range(2):
        one.failed()
    one.succeeded()
    for _ in range(2):
        one.failed()
    assert one.admits()
    one.failed()
    assert not one.admits()


def test_while_open_one_call_in_each_pause_tries(clock: Clock) -> None:
    one = CircuitBreaker(threshold=1, pause=1.0)
    one.failed()
    for _ in range(3):
        assert not one.admits()
        clock.now += 1.0
        assert [one.admits() for _ in range(5)] == [True, False, False, False, False]


def test_a_success_closes_it(clock: Clock) -> None:
    one = CircuitBreaker(threshold=1, pause=1.0)
    one.failed()
    clock.now += 1.0
    assert one.admits()
    one.succeeded()
    assert all(one.admits() for _ in range(5))
