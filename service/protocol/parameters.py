"""The parameters of a picture's URL as texts, and presets, which are named sets of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from service.errors import N_, BadParameter

NAMES = ("w", "h", "type", "ifBlank", "fit", "dpr", "enlarge", "gravity", "bg", "preset", "v", "name")
"""The names of all parameters but those of a signature."""
BESIDE_PRESETS = ("dpr", "ifBlank", "preset", "v", "name")
"""The parameters that may be given with a preset where only presets are accepted."""
LONGEST_NAME = 64
"""Characters of `name` at most."""
_SPELLINGS = {name.lower(): name for name in NAMES}
_PRESET_NAME = re.compile(r"[a-z0-9-]{1,32}")
_MAX_PRESETS = 64


@dataclass(frozen=True, eq=False)
class Presets:
    """The texts of each preset, by name. *only*: a request must name one of them."""

    texts: Mapping[str, Mapping[str, str]]
    only: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a name or a number of presets that is not accepted."""
        if len(self.texts) > _MAX_PRESETS:
            raise ValueError(f"there may be {_MAX_PRESETS} presets at most")
        for name in self.texts:
            if not _PRESET_NAME.fullmatch(name):
                raise ValueError(f"the name of the preset {name!r} must have 1 to 32 of a-z, 0-9 and hyphens")

    def resolve(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the texts of *given*, and those of its preset for other names. Raise `BadParameter`."""
        if not (self.only or given.get("preset")):
            return given
        if not self.texts:
            raise BadParameter(N_("This service has no presets."))
        preset = self.texts.get(given.get("preset", ""))
        if preset is None:
            raise not_one_of("preset", ", ".join(sorted(self.texts)))
        if self.only:
            for name, text in given.items():
                if text and _SPELLINGS[name] not in BESIDE_PRESETS:
                    raise BadParameter(
                        N_("The parameter %(name)s is not accepted here. Use one of the presets."),
                        {"name": _SPELLINGS[name]},
                    )
        return {**preset, **{name: text for name, text in given.items() if text}}


NO_PRESETS = Presets({})
"""The presets of a service that has none."""


def texts_of(raw: str) -> dict[str, str]:
    """Return the decoded values of known names in the query *raw*, by name in lower case. Raise `BadParameter`.

    Values of other names are not decoded. Any value of `v` is accepted.
    """
    texts: dict[str, str] = {}
    for pair in raw.split("&"):
        encoded_name, _, encoded = pair.partition("=")
        name = unquote_plus(encoded_name).lower()
        if name not in _SPELLINGS:
            continue
        try:
            text = unquote_plus(encoded, errors="replace" if name == "v" else "strict")
        except UnicodeDecodeError:
            raise BadParameter(N_("The parameter %(name)s is not valid UTF-8."), {"name": _SPELLINGS[name]}) from None
        if texts.setdefault(name, text) == text:
            continue
        if name != "v":
            raise BadParameter(
                N_("The parameter %(name)s is given more than once, with different values."),
                {"name": _SPELLINGS[name]},
            )
        texts[name] = f"{texts[name]},{text}"  # several versions are none
    if len(texts.get("name", "")) > LONGEST_NAME:
        raise BadParameter(
            N_("The parameter %(name)s may have %(limit)s characters at most."),
            {"name": "name", "limit": LONGEST_NAME},
        )
    return texts


def any_spelling(name: str) -> str:
    """Return a regular expression for the percent-encoded spellings of *name*, without regard to case."""
    return "".join(f"(?:{letter}|%{ord(letter):x}|%{ord(letter.upper()):x})" for letter in name)


def not_one_of(name: str, accepted: str) -> BadParameter:
    """Return the error of a parameter whose value is not *accepted*."""
    return BadParameter(
        N_("The parameter %(name)s must be one of %(accepted)s."),
        {"name": _SPELLINGS[name.lower()], "accepted": accepted},
    )
