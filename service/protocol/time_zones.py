"""`SO-TimeZone` as the name of a zone in the IANA database. Knows names, and neither offsets nor dates."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from service.errors import N_, BadParameter
from service.protocol.lists import list_elements

HEADER = "SO-TimeZone"

_FILE = Path(__file__).parent / "locale" / "time_zones.txt"
_LONGEST = 128
"""Characters of the field; the longest name has about a quarter as many."""
_WITH_OFFSET = "includetzoffset"
"""SuperOffice's option to write the offset beside each date, which ours always have."""


def parse_time_zone(raw: str | None) -> str | None:
    """The IANA name of the one zone in the field, a list that may also hold `includeTZOffset`.

    A zone is SuperOffice's code (`NO`, `US-NY`) or id (`261`), or an IANA name; each in any letter case. None for UTC,
    and where the field is absent or names no zone. Raises `BadParameter`.
    """
    listed = list_elements((raw or "")[: _LONGEST + 1].lower())
    wanted = {_NAMES.get(each) for each in listed if each != _WITH_OFFSET} or {"UTC"}
    if len(raw or "") > _LONGEST or len(wanted) > 1 or None in wanted:
        raise BadParameter(
            N_("The header %(name)s must be one of SuperOffice's codes or ids, or an IANA name."), {"name": HEADER}
        )
    name = wanted.pop()
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
