"""URLs of contacts' pictures, for programs that use the service. This module uses the standard library alone.

`client.js` has the same functions for pages, but for `signed`: a secret does not belong there.
"""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import TypedDict, Unpack
from urllib.parse import parse_qsl, quote

RATIOS = (1, 2, 3)
"""The values of `dpr` in `srcset` by default."""


class Parameters(TypedDict, total=False):
    """The parameters of a picture's URL (docs/contract.md, section 2). None is the same as no value.

    `name` is for `ifBlank="Initials"`.
    """

    preset: str | None
    w: int | None
    h: int | None
    fit: str | None
    gravity: str | None
    dpr: float | None
    enlarge: bool | None
    bg: str | None
    type: str | None
    ifBlank: str | int | None
    name: str | None
    v: str | int | None


NAMES = tuple(Parameters.__annotations__)
"""The parameters, in the order in which a URL has them."""


def picture_url(contact: int, base: str = "", **parameters: Unpack[Parameters]) -> str:
    """Return the URL of the picture of *contact*, at the service's URL *base*. Raise TypeError for other parameters."""
    if unknown := parameters.keys() - set(NAMES):
        raise TypeError(f"no parameters of a picture: {', '.join(sorted(unknown))}")
    given = ((name, parameters.get(name)) for name in NAMES)
    query = "&".join(f"{name}={quote(_text(value), safe='')}" for name, value in given if value is not None)
    path = f"{base.rstrip('/')}/api/v1/Contact/{contact}/Image"
    return f"{path}?{query}" if query else path


def srcset(
    contact: int,
    base: str = "",
    *,
    ratios: Iterable[float] = RATIOS,
    widths: Iterable[int] | None = None,
    **parameters: Unpack[Parameters],
) -> str:
    """Return the value of `srcset` for screens with these *ratios* of pixels (`dpr`), or for these *widths* (`w`)."""
    sizes: list[tuple[Parameters, str]]
    if widths is not None:
        sizes = [({**parameters, "w": width}, f"{width}w") for width in widths]
    else:
        sizes = [({**parameters, "dpr": ratio}, f"{_text(ratio)}x") for ratio in ratios]
    return ", ".join(f"{picture_url(contact, base, **size)} {descriptor}" for size, descriptor in sizes)


def signed(url: str, kid: str, secret: str | bytes, *, seconds: int = 0, exp: int | None = None) -> str:
    """Return *url*, a result of `picture_url`, with a signature (docs/contract.md, section 7).

    It expires in *seconds*, or at *exp* in Unix seconds. *kid* and *secret* are one of `auth.signing_keys`.
    """
    base, found, rest = url.partition("/api/v1/Contact/")
    path, _, query = f"{found}{rest}".partition("?")
    expiry = {"kid": kid, "exp": str(int(time.time()) + seconds if exp is None else exp)}
    pairs = {**dict(parse_qsl(query, keep_blank_values=True)), **expiry}
    parameters = "&".join(sorted(f"{name.lower()}={quote(value, safe='')}" for name, value in pairs.items()))
    key = secret.encode() if isinstance(secret, str) else secret
    digest = hmac.digest(key, f"GET\n{path.lower().removesuffix('/')}\n{parameters}".encode(), "sha256")
    separator = "&" if query else "?"
    own = f"kid={quote(kid, safe='')}&exp={expiry['exp']}&sig={urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    return f"{base}{path}{'?' if query else ''}{query}{separator}{own}"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
