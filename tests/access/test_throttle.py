"""The limit on failed attempts of an address, and the wait after it."""

import time
import tracemalloc

import pytest

from service.access.throttle import Throttle

ADDRESS = "192.0.2.1"


def exhaust(throttle: Throttle, address: str, times: int = 20) -> None:
    for _ in range(times):
        throttle.failed(address)


def test_address_waits_three_seconds_after_twenty_failures() -> None:
    throttle = Throttle()
    exhaust(throttle, ADDRESS, 19)
    assert throttle.wait(ADDRESS) == 0
    throttle.failed(ADDRESS)
    assert 1 < throttle.wait(ADDRESS) <= 3


def test_one_more_attempt_is_allowed_after_the_wait() -> None:
    throttle = Throttle(burst=2, per_second=4)
    exhaust(throttle, ADDRESS, 2)
    time.sleep(throttle.wait(ADDRESS) + 0.001)
    assert throttle.wait(ADDRESS) == 0
    throttle.failed(ADDRESS)
    assert throttle.wait(ADDRESS) > 0


def test_further_failures_do_not_prolong_the_wait() -> None:
    throttle = Throttle()
    exhaust(throttle, ADDRESS, 1000)
    assert 1 < throttle.wait(ADDRESS) <= 3


def test_all_attempts_are_allowed_again_in_time() -> None:
    throttle = Throttle(burst=20, per_second=200)
    exhaust(throttle, ADDRESS)
    time.sleep(0.12)
    exhaust(throttle, ADDRESS, 19)
    assert throttle.wait(ADDRESS) <= 0.005


def test_other_addresses_do_not_wait() -> None:
    throttle = Throttle()
    exhaust(throttle, ADDRESS)
    assert throttle.wait("192.0.2.2") == 0
    assert throttle.wait("2001:db8::1") == 0
    assert throttle.wait("") == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"),
        ("2001:DB8::1", "2001:0db8:0000:0000::2"),
        ("fe80::1%eth0", "fe80::2"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_equivalent_addresses_share_a_limit(one: str, other: str) -> None:
    throttle = Throttle()
    exhaust(throttle, one)
    assert throttle.wait(other) > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:2::1"),
        ("192.0.2.1", "::192.0.2.1"),
        ("192.0.2.1", "192.0.2.11"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("", "unix"),
    ],
)
def test_different_addresses_have_different_limits(one: str, other: str) -> None:
    throttle = Throttle()
    exhaust(throttle, one)
    assert throttle.wait(other) == 0


def test_no_address_is_removed_below_the_capacity() -> None:
    throttle = Throttle(capacity=100)
    exhaust(throttle, ADDRESS)
    for other in range(99):
        throttle.failed(f"198.51.100.{other}")
    assert throttle.wait(ADDRESS) > 0


def test_address_that_keeps_failing_is_not_removed() -> None:
    throttle = Throttle(capacity=100)
    exhaust(throttle, ADDRESS)
    for other in range(2000):
        throttle.failed(f"2001:db8:0:{other:x}::")
        if other % 50 == 0:
            throttle.failed(ADDRESS)
    assert throttle.wait(ADDRESS) > 0


def test_wait_adds_no_address() -> None:
    throttle = Throttle(capacity=1)
    exhaust(throttle, ADDRESS)
    for other in range(100):
        assert throttle.wait(f"198.51.100.{other}") == 0
    assert throttle.wait(ADDRESS) > 0


def test_many_addresses_take_bounded_memory() -> None:
    throttle = Throttle(capacity=300)
    tracemalloc.start()
    try:
        for number in range(300):
            throttle.failed(f"2001:db8:0:{number:x}::")
        full = tracemalloc.get_traced_memory()[0]
        for number in range(300, 3000):
            throttle.failed(f"2001:db8:0:{number:x}::")
        assert tracemalloc.get_traced_memory()[0] < 1.5 * full
    finally:
        tracemalloc.stop()
