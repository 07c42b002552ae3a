"""SuperOffice's words for a stored picture: `BlobEntity`, and the id it goes by. Knows no picture and no clock."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from hashlib import blake2b

_INT32 = 0x7FFF_FFFF


def blob_id(contact: int, version: str) -> int:
    """A positive int32, the same for as long as *contact* has this *version* of its picture."""
    digest = blake2b(f"{contact}\n{version}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & _INT32 or 1


def blob_entity(
    id: int, size: int, media_type: str | None, modified: int | None, zone: tzinfo = UTC
) -> dict[str, object]:
    """The entity for a picture of *size* bytes, changed at *modified* (Unix seconds); None is what is not known. Its
    dates are those of *zone*."""
    date = None if modified is None else _date(modified, zone)
    return NO_PICTURE | {
        "BlobId": id,
        "BlobSize": size,
        "OriginalSize": size,
        "MimeType": media_type,
        "ConceptualType": "PHOTO",
        "CreatedDate": date,
        "UpdatedDate": date,
    }


def _date(seconds: int, zone: tzinfo) -> str:
    """RFC 3339's form, with the offset that *zone* had then; `Z` for UTC itself, as SuperOffice writes it."""
    text = datetime.fromtimestamp(seconds, zone).isoformat(timespec="seconds")
    return text.removesuffix("+00:00") + "Z" if zone is UTC else text


NO_PICTURE: dict[str, object] = {
    "BlobId": 0,
    "BlobSize": 0,
    "OriginalSize": 0,
    "MimeType": None,
    "Description": None,
    "ExtraInfo": None,
    "IsEncrypted": False,
    "IsZipped": False,
    "ConceptualType": None,
    "CreatedDate": None,
    "CreatedBy": None,
    "UpdatedDate": None,
    "UpdatedBy": None,
    "TableRight": None,
    "FieldProperties": None,
}
"""The entity of a contact without a picture."""
