"""The client's address, which only trusted proxies may forward."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import given
from hypothesis import strategies as st

from service.web.client_address import address_in_turn, client_address
from tests.conftest import Serve

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "::1/128")))


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),  # not a trusted proxy
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the first entry is the client's own
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2", "192.0.2.1"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::1", ["[2001:DB8::7]"], "2001:db8::7"),
        ("::1", ["2001:db8:0:0::7"], "2001:db8::7"),
        (
            "::ffff:10.0.0.1",
            ["::ffff:198.51.100.7"],
            "198.51.100.7",
        ),  # IPv4 on a socket for IPv6
        ("10.0.0.1", ["198.51.100.7, junk"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.7,"], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["\t198.51.100.7 "], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.256"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7:"], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%eth0"], "10.0.0.1"),
        ("10.0.0.1", ["１.1.1.1"], "10.0.0.1"),
        ("", ["198.51.100.7"], "local"),
        (None, ["198.51.100.7"], "local"),
    ],
)
def test_last_address_that_is_not_a_trusted_proxy_is_the_client(
    peer: str | None, lines: list[str], address: str
) -> None:
    assert client_address(peer, lines, PROXIES) == address


@pytest.mark.parametrize(
    ("peer", "lines", "address"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
        ("10.0.0.1", [], None),
        ("::ffff:10.0.0.1", [], None),
        (None, ["198.51.100.7"], None),
        ("", [], None),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("::1", ["2001:db8:1:2:ffff::1"], "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
    ],
)
def test_clients_take_turns_by_address_or_by_network_of_64_bits(
    peer: str | None, lines: list[str], address: str | None
) -> None:
    assert address_in_turn(peer, lines, PROXIES) == address


def test_field_is_ignored_without_trusted_proxies() -> None:
    assert client_address("10.0.0.1", ["198.51.100.7"], ()) == "10.0.0.1"


@given(st.lists(st.text(max_size=60), max_size=5))
def test_client_cannot_forge_its_address(lines: list[str]) -> None:
    """A proxy appends the address of its client to any earlier text."""
    assert client_address("10.0.0.1", [*lines, "198.51.100.7"], PROXIES) == "198.51.100.7"
    assert client_address("198.51.100.7", lines, PROXIES) == "198.51.100.7"


async def guess(client: TestClient[Any, Any], forwarded: Iterable[str]) -> list[int]:
    """Return the statuses of failed attempts, forwarded for the given addresses."""
    statuses = []
    for number, address in enumerate(forwarded):
        wrong = {"Authorization": "SOTicket 7T:x", "SO-AppToken": f"guess-{number}", "X-Forwarded-For": address}
        async with client.get("/api/v1/Contact/1/Image", headers=wrong) as answer:
            statuses.append(answer.status)
    return statuses


def secured(*proxies: str) -> dict[str, Any]:
    auth = {"schemes": ["soticket"], "superoffice_url": "http://127.0.0.1:9", "app_tokens": ["the-one"]}
    return {"auth": auth, "server": {"trusted_proxies": list(proxies)}}


async def test_forged_addresses_do_not_evade_the_limit_on_guesses(serve: Serve) -> None:
    client = await serve(**secured())
    statuses = await guess(client, [f"198.51.100.{number}" for number in range(220)])
    assert statuses[0] == 403
    assert statuses[-1] == 429


async def test_clients_behind_a_trusted_proxy_have_separate_limits(serve: Serve) -> None:
    client = await serve(**secured("127.0.0.1"))
    assert set(await guess(client, [f"198.51.100.{number}" for number in range(220)])) == {403}
    forged = [f"203.0.113.{number}, 198.51.100.230" for number in range(220)]
    assert (await guess(client, forged))[-1] == 429
    assert await guess(client, ["198.51.100.231"]) == [403]
