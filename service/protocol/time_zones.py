"""`SO-TimeZone` as the name of a zone in the IANA database. This module does not know offsets or dates."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from service.errors import N_, BadParameter
from service.protocol.lists import list_elements

HEADER = "SO-TimeZone"
"""The name of the header field."""

_FILE = Path(__file__).parent / "locale" / "time_zones.txt"
_LONGEST = 128
"""Characters of the field. The longest name has about a quarter of that."""
_WITH_OFFSET = "includetzoffset"
"""SuperOffice's option to write the offset with every date. This service always writes it."""


def parse_time_zone(raw: str | None) -> str | None:
    """Return the IANA name of the zone in the field, a list that may also have `includeTZOffset`.

    A zone is SuperOffice's code (`NO`, `US-NY`) or id (`261`), or an IANA name, in any letter case. Return None for
    UTC, and when the field is absent or names no zone. Raise `BadParameter` for an unknown zone, and for several zones.
    """
    elements = list_elements((raw or "")[: _LONGEST + 1].lower())
    zones = {_NAMES.get(element) for element in elements if element != _WITH_OFFSET} or {"UTC"}
    if len(raw or "") > _LONGEST or len(zones) > 1 or None in zones:
        raise BadParameter(
            N_("The header %(name)s must be one of SuperOffice's codes or ids, or an IANA name."), {"name": HEADER}
        )
    name = zones.pop()
    return None if name == "UTC" else name


def _read_names() -> Mapping[str, str]:
    """Read the IANA names by code, id and name in lower case. A code that equals a name has the same meaning."""
    names = {name.lower(): name for name in files("tzdata").joinpath("zones").read_text(encoding="ascii").split()}
    for line in _FILE.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            code, id, name = line.split()
            names[code.lower()] = name
            if id != "-":
                names[id] = name
    return names


_NAMES = _read_names()  # at the start, so that no request reads a file
