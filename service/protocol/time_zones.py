"""`SO-TimeZone` as the name of a zone in the IANA database. Knows names, and neither offsets nor dates."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from service.errors import N_, BadParameter

HEADER = "SO-TimeZone"

_FILE = Path(__file__).parent / "locale" / "time_zones.txt"
_LONGEST = 64
"""Characters; the longest name has about half as many."""


def parse_time_zone(raw: str | None) -> str | None:
    """The IANA name of what SuperOffice's code (`NO`, `US-NY`) or id (`261`) stands for, or an IANA name itself; all
    of them in any letter case. None for UTC, and where the field is absent or empty. Raises `BadParameter`."""
    wanted = (raw or "").strip(" \t")
    name = _NAMES.get(wanted.lower() or "utc") if len(wanted) <= _LONGEST else None
    if name is None:
        raise BadParameter(
            N_("The header %(name)s must be one of SuperOffice's codes or ids, or an IANA name."), {"name": HEADER}
        )
    return None if name == "UTC" else name


def _read() -> Mapping[str, str]:
    """The IANA name for whatever is accepted, in lower case. Where a code and a name are alike, they mean the same."""
    names = {name.lower(): name for name in files("tzdata").joinpath("zones").read_text(encoding="ascii").split()}
    for line in _FILE.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            code, id, name = line.split()
            names[code.lower()] = name
            if id != "-":
                names[id] = name
    return names


_NAMES = _read()  # when the service starts: no file is read for a request
