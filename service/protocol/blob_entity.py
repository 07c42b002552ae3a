"""SuperOffice's `BlobEntity` of a stored picture, and its id. This module does not use pictures or the clock."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from hashlib import blake2b

_INT32 = 0x7FFF_FFFF


def blob_id(contact: int, version: str) -> int:
    """Return a positive int32 for this *version* of the picture of *contact*."""
    digest = blake2b(f"{contact}\n{version}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") & _INT32 or 1


def blob_entity(
    id: int,
    size: int,
    media_type: str | None,
    modified: int | None,
    zone: tzinfo = UTC,
    dimensions: tuple[int, int] | None = None,
    thumb_hash: str | None = None,
) -> dict[str, object]:
    """Return the entity of a picture of *size* bytes that was modified at *modified*, in Unix seconds.

    *media_type*, *modified*, the *dimensions* (width and height in pixels) and *thumb_hash* (in base64) are None when
    they are unknown. Dates are written in *zone*.
    """
    date = None if modified is None else _date(modified, zone)
    return NO_PICTURE | {
        "BlobId": id,
        "BlobSize": size,
        "OriginalSize": size,
        "MimeType": media_type,
        "ConceptualType": "PHOTO",
        "CreatedDate": date,
        "UpdatedDate": date,
        "Width": dimensions and dimensions[0],
        "Height": dimensions and dimensions[1],
        "ThumbHash": thumb_hash,
    }


def _date(seconds: int, zone: tzinfo) -> str:
    """Return a date as in RFC 3339, with the offset of *zone* at that time. UTC is `Z`, as SuperOffice writes it."""
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
    "Width": None,
    "Height": None,
    "ThumbHash": None,
}
"""The entity of a contact without a picture."""
