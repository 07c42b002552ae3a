"""The circuit breaker: when it admits calls."""

from __future__ import annotations

import pytest

from service import breaker
from service.breaker import CircuitBreaker


class Clock:
    """A clock that advances only when a test sets it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(breaker.time, "monotonic", made)
    return made


def test_breaker_opens_after_failures_in_a_row_and_not_before(clock: Clock) -> None:
    circuit = CircuitBreaker(threshold=3, pause=1.0)
    for _ in range(2):
        circuit.failed()
    circuit.succeeded()
    for _ in range(2):
        circuit.failed()
    assert circuit.admits()
    circuit.failed()
    assert not circuit.admits()


def test_open_breaker_admits_one_call_in_each_pause(clock: Clock) -> None:
    circuit = CircuitBreaker(threshold=1, pause=1.0)
    circuit.failed()
    for _ in range(3):
        assert not circuit.admits()
        clock.now += 1.0
        assert [circuit.admits() for _ in range(5)] == [True, False, False, False, False]


def test_success_closes_the_breaker(clock: Clock) -> None:
    circuit = CircuitBreaker(threshold=1, pause=1.0)
    circuit.failed()
    clock.now += 1.0
    assert circuit.admits()
    circuit.succeeded()
    assert all(circuit.admits() for _ in range(5))
