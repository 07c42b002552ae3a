"""The client's address, as the connection or trusted proxies tell it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]
_NODE = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})")
"""An address in `X-Forwarded-For`, with or without a port, with or without brackets."""
_NO_ADDRESS = "local"
"""The address of all clients of a unix socket."""


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Networks) -> str:
    """Return the client's address. *peer* is the connection's, *forwarded_for* the lines of `X-Forwarded-For`.

    A proxy appends the address of its client. So the last address that is not in a *trusted* network is the client's;
    the client itself may have written all addresses before it. A malformed entry yields the proxy that appended it.
    """
    address = _address(peer or "")
    if address is None:
        return _NO_ADDRESS
    entries = [entry for line in forwarded_for for entry in line.split(",")]
    while entries and any(address in network for network in trusted):
        match = _NODE.fullmatch(entries.pop().strip(" \t"))
        previous = _address(match[1] or match[2] or match[3]) if match else None
        if previous is None:
            break
        address = previous
    return str(address)


def address_in_turn(peer: str | None, forwarded_for: Sequence[str], trusted: Networks) -> str | None:
    """Return the address whose clients take turns together: the client's, or its network of 64 bits for IPv6.

    Return None if the connection tells nothing of the client: it is one of a unix socket, or one of a *trusted* proxy
    that forwards no address. The parameters are those of `client_address`.
    """
    connection = _address(peer or "")
    if connection is None or (not forwarded_for and any(connection in network for network in trusted)):
        return None
    address = _address(client_address(peer, forwarded_for, trusted)) or connection
    return str(address) if address.version == 4 else str(IPv6Network((int(address) >> 64 << 64, 64)))


def peer_address(transport: asyncio.BaseTransport) -> str | None:
    """Return the address of the other end of a TCP connection; None for another connection."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, (tuple, list)) else None


def is_in(peer: str | None, networks: Networks) -> bool:
    """Return whether the address *peer* of a connection is in one of *networks*."""
    address = _address(peer or "")
    return address is not None and any(address in network for network in networks)


@lru_cache(1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return *text* as an address, an IPv4-mapped IPv6 address as IPv4; None if it is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
