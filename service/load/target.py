"""The URL that load goes to, and the rules for hosts that are not this one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass, replace
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Target:
    """A service: where it listens, the value of `Host`, and what its paths begin with.

    *address* is the address of the host that connections go to, once it is known.
    """

    host: str
    port: int
    authority: str
    prefix: str
    tls: bool
    address: str = ""

    @property
    def url(self) -> str:
        """The URL of the service, without a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}"

    @property
    def loopback(self) -> bool:
        """Whether the host is this machine by its address or by the name `localhost`."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def context(self) -> ssl.SSLContext | None:
        """Return what TLS needs, or None without TLS. `SSL_CERT_FILE` names a file of authorities to trust."""
        return ssl.create_default_context() if self.tls else None

    async def resolved(self) -> Target:
        """Return this target with the first address of its host that accepts a connection. Raise OSError.

        The name is looked up once: a later answer of a name server leads no request elsewhere.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if self.loopback and not all(ipaddress.ip_address(each).is_loopback for each in addresses):
            raise OSError(f"{self.host} is not this machine: it has the addresses {', '.join(addresses)}")
        for number, address in enumerate(addresses, 1):
            try:
                transport, _ = await loop.create_connection(asyncio.Protocol, address, self.port)
            except OSError:
                if number == len(addresses):
                    raise
            else:
                transport.abort()
                return replace(self, address=address)
        raise OSError(f"{self.host} has no address")


def parse_target(url: str) -> Target:
    """Return the target at *url*. Raise ValueError for a URL that is none of a service."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("a URL that begins with http:// or https://, without a query and without credentials.")
    if not url.isascii() or any(character <= " " for character in url):
        raise ValueError("a URL in ASCII, without blanks.")
    tls = parts.scheme == "https"
    port = parts.port if parts.port is not None else 443 if tls else 80
    return Target(parts.hostname, port, parts.netloc, parts.path.rstrip("/"), tls)


def refusal(target: Target, owned: str | None, *, rate_given: bool, loopback_only: bool) -> str | None:
    """Return why no load goes to *target*, or None.

    *owned* is the host that the user says is theirs. `loopback_only` is for scenarios that harm a service.
    """
    if target.loopback:
        return None
    if loopback_only:
        return "this scenario goes to a loopback address alone, such as http://127.0.0.1:8080."
    if owned is None or owned.lower() != target.host:
        return f"{target.host} is not this machine. If it is yours, add --i-own-this-host {target.host}"
    if not rate_given:
        return "give --rate for a host that is not this machine."
    return None
