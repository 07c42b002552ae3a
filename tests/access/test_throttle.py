"""The limits on failed attempts by address and user, and the wait after them."""

import time
import tracemalloc

import pytest

from service.access.throttle import Limit, Throttle

ADDRESS = "192.0.2.1"


def exhaust(limit: Limit, key: str, times: int = 20) -> None:
    for _ in range(times):
        limit.failed(key)


def guess(throttle: Throttle, address: str, user: str | None, times: int) -> None:
    for _ in range(times):
        throttle.failed(address, user)


def test_address_waits_three_seconds_for_a_user_after_twenty_failures() -> None:
    throttle = Throttle()
    guess(throttle, ADDRESS, "anna", 19)
    assert throttle.wait(ADDRESS, "anna") == 0
    throttle.failed(ADDRESS, "anna")
    assert 1 < throttle.wait(ADDRESS, "anna") <= 3
    assert throttle.wait(ADDRESS, "olaf") == throttle.wait(ADDRESS, None) == throttle.wait("192.0.2.2", "anna") == 0


def test_letter_case_of_a_name_gives_no_further_attempts() -> None:
    throttle = Throttle()
    for name in ("anna", "ANNA", "Anna", "aNNa") * 5:
        throttle.failed(ADDRESS, name)
    assert throttle.wait(ADDRESS, "anNA") > 0


def test_address_waits_a_second_after_two_hundred_failures_for_any_users() -> None:
    throttle = Throttle()
    for number in range(199):
        throttle.failed(ADDRESS, f"user {number}")
    assert throttle.wait(ADDRESS, "anna") == throttle.wait(ADDRESS, None) == 0
    throttle.failed(ADDRESS, None)
    assert 0 < throttle.wait(ADDRESS, None) <= 1
    assert 0 < throttle.wait(ADDRESS, "anna") <= 1
    assert throttle.wait("192.0.2.2", "anna") == 0


def test_network_of_48_bits_has_four_times_the_attempts_of_an_address() -> None:
    throttle = Throttle()
    for number in range(799):
        throttle.failed(f"2001:db8:0:{number:x}::1", None)
    assert throttle.wait("2001:db8:0:ffff::1", None) == 0
    throttle.failed("2001:db8:0:1234::1", None)
    assert 0 < throttle.wait("2001:db8:0:ffff::1", None) <= 0.25
    assert throttle.wait("2001:db8:1::1", None) == 0


def test_one_more_attempt_is_allowed_after_the_wait() -> None:
    limit = Limit(burst=2, per_second=4)
    exhaust(limit, ADDRESS, 2)
    time.sleep(limit.wait(ADDRESS) + 0.001)
    assert limit.wait(ADDRESS) == 0
    limit.failed(ADDRESS)
    assert limit.wait(ADDRESS) > 0


def test_further_failures_do_not_prolong_the_wait() -> None:
    limit = Limit(burst=20, per_second=1 / 3)
    exhaust(limit, ADDRESS, 1000)
    assert 1 < limit.wait(ADDRESS) <= 3


def test_all_attempts_are_allowed_again_in_time() -> None:
    limit = Limit(burst=20, per_second=200)
    exhaust(limit, ADDRESS)
    time.sleep(0.12)
    exhaust(limit, ADDRESS, 19)
    assert limit.wait(ADDRESS) <= 0.005


def test_other_addresses_do_not_wait() -> None:
    throttle = Throttle()
    guess(throttle, ADDRESS, None, 200)
    assert throttle.wait("192.0.2.2", None) == 0
    assert throttle.wait("2001:db8::1", None) == 0
    assert throttle.wait("", None) == 0


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
    guess(throttle, one, "anna", 20)
    assert throttle.wait(other, "anna") > 0


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
    guess(throttle, one, "anna", 20)
    assert throttle.wait(other, "anna") == 0


def test_no_key_is_removed_below_the_capacity() -> None:
    limit = Limit(20, 1 / 3, capacity=100)
    exhaust(limit, ADDRESS)
    for other in range(99):
        limit.failed(f"198.51.100.{other}")
    assert limit.wait(ADDRESS) > 0


def test_key_that_keeps_failing_is_not_removed() -> None:
    limit = Limit(20, 1 / 3, capacity=100)
    exhaust(limit, ADDRESS)
    for other in range(2000):
        limit.failed(f"2001:db8:0:{other:x}::")
        if other % 50 == 0:
            limit.failed(ADDRESS)
    assert limit.wait(ADDRESS) > 0


def test_wait_adds_no_key() -> None:
    limit = Limit(20, 1 / 3, capacity=1)
    exhaust(limit, ADDRESS)
    for other in range(100):
        assert limit.wait(f"198.51.100.{other}") == 0
    assert limit.wait(ADDRESS) > 0


def test_many_keys_take_bounded_memory() -> None:
    limit = Limit(20, 1 / 3, capacity=300)
    tracemalloc.start()
    try:
        for number in range(300):
            limit.failed(f"2001:db8:0:{number:x}::")
        full = tracemalloc.get_traced_memory()[0]
        for number in range(300, 3000):
            limit.failed(f"2001:db8:0:{number:x}::")
        assert tracemalloc.get_traced_memory()[0] < 1.5 * full
    finally:
        tracemalloc.stop()
