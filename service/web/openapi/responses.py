"""The responses: their statuses, header fields, bodies and examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from service import errors
from service.errors import PictureError
from service.formats import WRITABLE
from service.protocol.blob_entity import NO_PICTURE, blob_entity
from service.web.problems import TABLE

PROBLEM, JSON = "application/problem+json", "application/json"

_ANYWHERE = (
    errors.HeaderTooLarge,
    errors.Misdirected,
    errors.NotAuthenticated,
    errors.Forbidden,
    errors.TooManyAttempts,
    errors.VerificationUnavailable,
)
_STORE = (errors.StoreFailed, errors.StoreTimedOut)
READING: tuple[type[PictureError], ...] = (
    *_ANYWHERE,
    *_STORE,
    errors.BadParameter,
    errors.BeyondFormat,
    errors.NoPicture,
    errors.NotAcceptable,
    errors.RangeNotSatisfiable,
    errors.Unrenderable,
    errors.Unexpected,
    errors.Unwritable,
    errors.Overloaded,
    errors.RenderTimedOut,
    errors.RenderWorkerDied,
)
"""The errors of GET and HEAD of a picture. The tables below are those of the other operations."""
WRITING: tuple[type[PictureError], ...] = (
    *_ANYWHERE,
    *_STORE,
    errors.BadParameter,
    errors.NoPicture,
    errors.UploadTimedOut,
    errors.PreconditionFailed,
    errors.UploadTooLarge,
    errors.UnsupportedUpload,
    errors.Unrenderable,
    errors.Unexpected,
    errors.Overloaded,
    errors.StoreFull,
)
REMOVING: tuple[type[PictureError], ...] = (
    *_ANYWHERE,
    *_STORE,
    errors.BadParameter,
    errors.PreconditionFailed,
    errors.Unexpected,
    errors.Overloaded,
)
PURGING: tuple[type[PictureError], ...] = (*_ANYWHERE, errors.BadParameter, errors.Unexpected, errors.PurgePending)
INFO: tuple[type[PictureError], ...] = (*_ANYWHERE, *_STORE, errors.BadParameter, errors.Unexpected)
AGENT: tuple[type[PictureError], ...] = (
    *(error for error in READING if error not in (errors.NoPicture, errors.NotAcceptable, errors.RangeNotSatisfiable)),
    errors.UploadTimedOut,
)

HEADERS: dict[str, dict[str, Any]] = {
    name: {"description": description, "schema": {"type": "string"}, "example": example}
    for name, description, example in (
        ("ETag", "The strong entity tag.", '"4921fbcde3395283ffebd81d"'),
        ("Last-Modified", "When the stored picture was modified.", "Sun, 29 Nov 2026 12:00:00 GMT"),
        ("Cache-Control", "How long caches may keep the answer.", "public, max-age=300, s-maxage=3600"),
        ("Vary", "The fields of the request on which the answer depends.", "Accept"),
        ("Surrogate-Key", "The key by which a CDN purges the contact.", "contact-42"),
        ("Cache-Tag", "The same for other CDNs.", "contact-42"),
        ("Cache-Status", "How the service's cache answered (RFC 9211).", "contact-image; hit; ttl=42"),
        ("Server-Timing", "Milliseconds in cache, store, queue and render.", "cache;dur=0.412"),
        ("Content-Disposition", "The name of the file.", 'inline; filename="contact-42.jpg"'),
        ("Content-Language", "The language of the words.", "nb"),
        ("Accept-Ranges", "`bytes` on pictures as stored.", "bytes"),
        ("Content-Range", "The range that is sent, or the length.", "bytes 0-1023/12345"),
        ("Retry-After", "Seconds until there may be room.", "1"),
        ("WWW-Authenticate", "The schemes that are configured.", 'Basic realm="contact-image", charset="UTF-8"'),
        ("Allow", "The methods of the resource.", "GET, HEAD, OPTIONS"),
        ("X-Request-ID", "The id of the request: of an error, or given by a trusted proxy.", "1f0c2a9d-1b2-3c"),
    )
}
_PICTURE = (
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Vary",
    "Surrogate-Key",
    "Cache-Tag",
    "Cache-Status",
    "Server-Timing",
    "X-Request-ID",
)
"""The header fields of every picture."""
_REFUSED = ("Cache-Control", "Content-Language", "Vary", "Surrogate-Key", "Cache-Tag", "X-Request-ID")
"""The header fields of errors."""
_HASH = "The ThumbHash of the picture, a blurred copy to show while it loads; null while it is being made."

SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457, with the members that SuperOffice's clients look for.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "requestId": {"type": "string"},
            "Error": {"const": True},
            "ErrorType": {"type": "string", "enum": sorted({row.error_type for row in TABLE.values()})},
            "ErrorMessage": {"type": "string"},
            "Message": {"type": "string"},
            "ErrorSource": {"const": "ContactImage"},
        },
    },
    "BlobEntity": {
        "type": "object",
        "description": "SuperOffice's description of a stored picture. Without a picture its properties are empty.",
        "properties": {name: {} for name in NO_PICTURE}
        | {name: {"type": "integer"} for name in ("BlobId", "BlobSize", "OriginalSize")}
        | {name: {"type": ["string", "null"]} for name in ("MimeType", "ConceptualType", "CreatedDate", "UpdatedDate")}
        | {name: {"type": ["integer", "null"]} for name in ("Width", "Height")}
        | {"ThumbHash": {"type": ["string", "null"], "contentEncoding": "base64", "description": _HASH}}
        | {name: {"const": False} for name in ("IsEncrypted", "IsZipped")},
    },
    "Readiness": {
        "type": "object",
        "properties": {"status": {"type": "string", "enum": ["ready", "degraded", "unready", "draining"]}},
        "required": ["status"],
    },
}
for _schema in ("Problem", "BlobEntity"):
    SCHEMAS[_schema]["required"] = list(SCHEMAS[_schema]["properties"])
EXAMPLE_ENTITY = blob_entity(
    1234567890, 12345, "image/jpeg", 1_796_000_000, dimensions=(319, 467), thumb_hash="WsYCA4BqaVp7hwh4mISPhgg="
)


def picture(description: str, *, body: bool = True, more: Iterable[str] = ()) -> dict[str, Any]:
    """Return a response with a picture."""
    response: dict[str, Any] = {"description": description, "headers": _headers((*_PICTURE, *more))}
    if body:
        response["content"] = {each.media_type: {} for each in WRITABLE}
        response["content"][JSON] = {
            "schema": {"type": "string", "contentEncoding": "base64", "description": "The picture in base64."}
        }
    return response


def json(description: str, schema: Mapping[str, Any], example: object) -> dict[str, Any]:
    """Return a response with a JSON body of that *schema*."""
    return {"description": description, "content": {JSON: {"schema": schema, "example": example}}}


def refusals(raised: Iterable[type[PictureError]]) -> dict[str, dict[str, str]]:
    """Return references to the responses to the errors that an operation has *raised*, by status."""
    statuses = sorted({TABLE[error].status for error in raised})
    return {str(status): {"$ref": f"#/components/responses/{_name(status)}"} for status in statuses}


def no_body(answers: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the same responses for HEAD."""
    return {status: _without_body(each) for status, each in answers.items()}


def _without_body(answer: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in answer:
        return {"$ref": f"{answer['$ref']}Head"}
    return {name: value for name, value in answer.items() if name != "content"}


def _name(status: int) -> str:
    return f"Problem{status}"


def _refusal(status: int) -> dict[str, Any]:
    """Return the response to every error with that *status*."""
    classes = [each for each, row in TABLE.items() if row.status == status]
    lines = dict.fromkeys((each.__doc__ or "").strip().splitlines()[0].replace(f" ({status})", "") for each in classes)
    rows = [TABLE[each] for each in classes]
    text = "The words of the error, in the language of the request."
    example = {
        "type": "about:blank",
        "title": rows[0].title,
        "status": status,
        "detail": text,
        "instance": "/api/v1/Contact/42/Image",
        "requestId": "1f0c2a9d-1b2-3c",
        "Error": True,
        "ErrorType": rows[0].error_type,
        "ErrorMessage": text,
        "Message": text,
        "ErrorSource": "ContactImage",
    }
    return {
        "description": " ".join(lines),
        "headers": _headers(dict.fromkeys((*_REFUSED, *(name for row in rows for name in row.headers)))),
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


PROBLEMS = {_name(status): _refusal(status) for status in sorted({row.status for row in TABLE.values()})}
PROBLEMS |= {f"{name}Head": _without_body(answer) for name, answer in PROBLEMS.items()}
"""The responses to all errors by name, and those to HEAD."""
