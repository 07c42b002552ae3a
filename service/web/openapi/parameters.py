"""The parameters of paths, queries and header fields."""

from __future__ import annotations

from typing import Any

from service.formats import WRITABLE, Fit, IfBlank
from service.protocol.parameters import LONGEST_NAME
from service.protocol.query import BLANKS, GRAVITIES, MAX_IDS, TYPES

_INT32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}


def query(max_dimension: int, presets: list[str]) -> dict[str, dict[str, Any]]:
    """Return the parameters of a picture's query by name. *presets* are the names of the presets."""
    side = {**_INT32, "maximum": max_dimension}
    return {
        "w": _query("w", side, "Width in pixels. Absent, empty, 0 or negative is not given.", 319),
        "h": _query("h", side, "Height in pixels, likewise.", 467),
        "type": _query(
            "type",
            _choices([each.name for each in WRITABLE], TYPES),
            "The format, by its name in any letter case or by its media type. It wins over `Accept`.",
            "WEBP",
        ),
        "ifBlank": _query(
            "ifBlank",
            _choices([each.spelled for each in IfBlank], BLANKS),
            "The picture for a contact without one, by name in any letter case or by number. `Null` is 404. `Initials` "
            "shows those of `name`, and has no number.",
            "Default",
        ),
        "fit": _query(
            "fit",
            {"type": "string", "enum": [each.value for each in Fit], "default": Fit.CONTAIN.value},
            "How the picture fits into the box of `w` and `h`, in any letter case.",
            "cover",
        ),
        "dpr": _query(
            "dpr",
            {"type": "number", "minimum": 1, "maximum": 4, "multipleOf": 0.01, "default": 1},
            "`w` and `h` are multiplied by it. It is lowered where a side would be too long.",
            2,
        ),
        "enlarge": _query(
            "enlarge",
            {"type": "boolean", "default": True},
            "`false`: the rendition is not larger than the picture.",
            False,
        ),
        "gravity": _query(
            "gravity",
            {"type": "string", "pattern": f"^({'|'.join(GRAVITIES)}|{_SHARE},{_SHARE})$", "default": "center"},
            "The centre of the crop with `fit=cover`: a word in any letter case, or shares of width and height.",
            "top",
        ),
        "bg": _query(
            "bg",
            {"type": "string", "pattern": "^[0-9a-fA-F]{6}$"},
            "The colour of the surround of `fit=pad` and of transparent pixels.",
            "ffffff",
        ),
        "preset": _query(
            "preset",
            {"type": "string", "enum": presets} if presets else {"type": "string", "maxLength": 0},
            "A set of parameters in the service's settings. Parameters beside it win.",
            presets[0] if presets else "",
        ),
        "v": _query(
            "v",
            {"type": "string"},
            "The `BlobId` of the picture. If it is the one of the picture that is sent, caches may keep it for a year.",
            "1234567890",
        ),
        "name": _query(
            "name",
            {"type": "string", "maxLength": LONGEST_NAME},
            "The name whose initials `ifBlank=Initials` shows. Nothing else of it is kept, logged or part of a key.",
            "Ada Lovelace",
        ),
    }


_SHARE = r"(0(\.[0-9]{1,2})?|1(\.0{1,2})?)"
"""A share of the width or the height in `gravity`, as a regular expression."""

CONTACT = {
    "name": "contactId",
    "in": "path",
    "required": True,
    "description": "The contact's id. Zero or a negative number is a contact that does not exist.",
    "schema": _INT32,
    "example": 42,
}
IDS = {
    "name": "ids",
    "in": "query",
    "required": True,
    "description": "The contacts' ids. One that is repeated is answered once.",
    "schema": {"type": "array", "items": _INT32, "minItems": 1, "maxItems": MAX_IDS},
    "style": "form",
    "explode": False,
    "example": [42, 43],
}


def _field(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


FIELDS = {
    each["name"]: each
    for each in (
        _field(
            "If-None-Match",
            "Entity tags of the client's copies (RFC 9110). On writes only `*`.",
            '"4921fbcde3395283ffebd81d"',
        ),
        _field("If-Modified-Since", "Counts if it equals `Last-Modified`.", "Sun, 29 Nov 2026 12:00:00 GMT"),
        _field("If-Match", "The entity tag of the picture as stored, or `*`.", "*"),
        _field("If-Unmodified-Since", "The picture must not have changed since.", "Sun, 29 Nov 2026 12:00:00 GMT"),
        _field("Range", "One range of a picture as stored. Others get the whole.", "bytes=0-1023"),
        _field("If-Range", "The range is sent if the picture is still this one.", '"4921fbcde3395283ffebd81d"'),
        _field("Accept-Language", "The language of words in pictures and errors.", "nb, en;q=0.5"),
        _field("SO-Language", "SuperOffice's field for it, which wins.", "NO"),
        _field("SO-Culture", "How numbers in errors are grouped.", "nb-NO"),
        _field("SO-TimeZone", "The zone of dates: SuperOffice's code or id, or an IANA name.", "Europe/Oslo"),
    )
}
"""The header fields of requests by name. OpenAPI ignores a parameter `Accept`."""


def _query(name: str, schema: dict[str, Any], description: str, example: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema, "example": example}


def _choices(shown: list[str], accepted: Any) -> dict[str, Any]:
    """Return the schema of a text: *shown* as they are usually spelled, and the other keys of *accepted*."""
    lower = {each.lower() for each in shown}
    return {"type": "string", "enum": [*shown, *(text for text in accepted if text not in lower)]}
