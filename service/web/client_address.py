"""Whose address a request comes from, behind proxies that are trusted to say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NODE = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?|([0-9.]{7,15})(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})")
"""An address in `X-Forwarded-For`, as proxies write it: with a port or without, in brackets or without."""
_NAMELESS = "local"
"""Where there is no address: a unix socket's clients are one."""


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address of who asks. *peer* is the connection's other end, *forwarded_for* the lines of `X-Forwarded-For`.

    Each proxy appends whom it was asked by. So of what stands there, the last address that is no proxy of ours counts:
    all before it is whatever the client likes to say. What is malformed ends the walk at whoever passed it on.
    """
    address = _address(peer or "")
    if address is None:
        return _NAMELESS
    entries = [entry for line in forwarded_for for entry in line.split(",")]
    while entries and any(address in network for network in trusted):
        match = _NODE.fullmatch(entries.pop().strip(" \t"))
        before = _address(match[1] or match[2] or match[3]) if match else None
        if before is None:
            break
        address = before
    return str(address)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """*text* as an address; an IPv4 one even where a socket for both shows it as IPv6."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
