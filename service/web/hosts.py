"""Which names of hosts requests may have, against DNS rebinding: the owner of a name lets it resolve to this host.

A page of that name then is of the same origin as this service, and reads what needs no credential.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address

from aiohttp import hdrs, web

from service.web.client_address import Networks, is_in

_HOST = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")
"""`Host` with a name that is not empty (RFC 9110 sections 7.2 and 4.2.1)."""
_AUTHORITY = re.compile(r"https?://(?:[^/?#@]*@)?([^/?#@]*)", re.IGNORECASE)
"""The beginning of an absolute target."""
_PORT = re.compile(r":[0-9]*\Z")


class Hosts:
    """Names of hosts that requests may have: *names* in lower case, or all if it is None. *proxies* may send others.

    An address is no name: a page that a browser got from an address is of this service.
    """

    def __init__(self, names: frozenset[str] | None, proxies: Networks) -> None:
        self._names, self._proxies = names, proxies
        self._serves = lru_cache(1024)(self._is_served)

    def serves(self, request: web.BaseRequest) -> bool:
        """Return whether *request* names a host that is served, in `Host` and in an absolute target, or none.

        The parser refuses HTTP/1.1 without `Host`. An invalid `Host` is not served.
        """
        host = request.headers.get(hdrs.HOST)
        if self.serves_names(host, request.raw_path):
            return True
        return is_in(request.remote, self._proxies) and (host is None or is_host(host))

    def serves_names(self, host: str | None, target: str) -> bool:
        """Return the same for *host* and *target* of any client, also one that is no proxy."""
        return (host is None or self._serves(host)) and (target[0] == "/" or self._serves(_authority(target)))

    def _is_served(self, host: str) -> bool:
        if not is_host(host):
            return False
        if self._names is None:
            return True
        name = _PORT.sub("", host.lower()).removesuffix(".")
        try:
            ip_address(name.strip("[]"))
        except ValueError:
            return name in self._names
        return True


@lru_cache(256)
def is_host(host: str) -> bool:
    """Return whether *host* is a valid value of `Host`."""
    return _HOST.fullmatch(host) is not None


def _authority(target: str) -> str:
    """Return host and port of an absolute *target*; of `*`, which has none, those of any address."""
    match = _AUTHORITY.match(target)
    return match[1] if match else "[::]"
