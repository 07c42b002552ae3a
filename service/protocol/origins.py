"""Parsing of web origins (RFC 6454 section 6.2)."""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]{0,31})://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origin(text: str) -> str | None:
    """Return the origin in *text* as browsers write it: in lower case, without the scheme's default port.

    None: it is `null`, has a path, names several origins, or is malformed.
    """
    match = _ORIGIN.fullmatch(text.lower()) if text.isascii() and len(text) <= 512 else None
    if match is None:
        return None
    scheme, host, port = match[1], match[2], int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 65_536:
        return None
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"
