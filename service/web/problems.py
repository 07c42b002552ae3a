"""Errors as `application/problem+json` (RFC 9457), with the members that SuperOffice's clients look for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from service import errors
from service.errors import N_, PictureError
from service.protocol.languages import Languages


class _Row(NamedTuple):
    status: int
    error_type: str
    title: str
    headers: Mapping[str, str] = MappingProxyType({})
    """Fields that are added to `_HEADERS` or replace them; `%(name)s` is one of the values in `headers_of`."""


_HEADERS = {"Cache-Control": "no-store"}
"""The fields of every error's answer, unless its row replaces them."""
_MISSING = {"Cache-Control": "%(missing)s"}
_CHALLENGE = {"WWW-Authenticate": "%(challenge)s"}
_ALLOW = {"Allow": "%(allowed)s"}
_LENGTH = {"Content-Range": "bytes */%(length)s"}
_RETRY_SOON = {"Retry-After": "1"}  # seconds: a queue that is full now has room soon
_RETRY_LATER = {"Retry-After": "%(seconds)s"}

TABLE: dict[type[PictureError], _Row] = {
    errors.BadParameter: _Row(400, "SoArgumentException", N_("Bad request")),
    errors.BeyondFormat: _Row(400, "SoArgumentException", N_("Bad request")),
    errors.NotAuthenticated: _Row(401, "SoSessionException", N_("Not authenticated"), _CHALLENGE),
    errors.CredentialExpired: _Row(401, "SoSessionException", N_("Credentials expired"), _CHALLENGE),
    errors.Forbidden: _Row(403, "SoAccessDeniedException", N_("Forbidden")),
    errors.UnknownPath: _Row(404, "SoNotFoundException", N_("Not found")),
    errors.NoPicture: _Row(404, "SoNotFoundException", N_("No picture"), _MISSING),
    errors.MethodNotAllowed: _Row(405, "SoNotSupportedException", N_("Method not allowed"), _ALLOW),
    errors.NotAcceptable: _Row(406, "SoNotSupportedException", N_("Not acceptable")),
    errors.UploadTimedOut: _Row(408, "SoTimeoutException", N_("Upload timed out")),
    errors.PreconditionFailed: _Row(412, "SoConcurrencyException", N_("Precondition failed")),
    errors.UploadTooLarge: _Row(413, "SoArgumentException", N_("Upload too large")),
    errors.UnsupportedUpload: _Row(415, "SoNotSupportedException", N_("Unsupported upload")),
    errors.RangeNotSatisfiable: _Row(416, "SoArgumentException", N_("Range not satisfiable"), _LENGTH),
    errors.Misdirected: _Row(421, "SoArgumentException", N_("Misdirected request")),
    errors.Unrenderable: _Row(422, "SoImageException", N_("Picture cannot be rendered")),
    errors.Unsupported: _Row(422, "SoImageException", N_("Picture cannot be rendered")),
    errors.OutOfMemory: _Row(422, "SoImageException", N_("Picture cannot be rendered")),
    errors.TooManyAttempts: _Row(429, "SoSessionException", N_("Too many attempts"), _RETRY_LATER),
    errors.HeaderTooLarge: _Row(431, "SoArgumentException", N_("Header too large")),
    errors.Unexpected: _Row(500, "SoException", N_("Internal error")),
    errors.Unwritable: _Row(500, "SoImageException", N_("Picture cannot be written")),
    errors.StoreFailed: _Row(502, "SoStorageException", N_("Store failed")),
    errors.Overloaded: _Row(503, "SoOverloadException", N_("Overloaded"), _RETRY_LATER),
    errors.PurgePending: _Row(503, "SoTimeoutException", N_("Purge not acknowledged"), _RETRY_SOON),
    errors.VerificationUnavailable: _Row(503, "SoTimeoutException", N_("Credentials cannot be verified"), _RETRY_SOON),
    errors.RenderTimedOut: _Row(503, "SoTimeoutException", N_("Render timed out"), _RETRY_SOON),
    errors.RenderWorkerDied: _Row(503, "SoImageException", N_("Render failed"), _RETRY_SOON),
    errors.StoreTimedOut: _Row(504, "SoTimeoutException", N_("Store timed out")),
    errors.StoreFull: _Row(507, "SoStorageException", N_("Store full")),
}
"""The answer to every class of `service.errors`."""


def status_of(error: PictureError) -> int:
    """Return the status of the answer to *error*."""
    return TABLE[type(error)].status


def headers_of(error: PictureError, values: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of the answer to *error*, made from its row, its own values and *values*.

    *values* are `challenge`, the value of `WWW-Authenticate`, and `missing`, the value of `Cache-Control` that lets
    caches keep "no picture".
    """
    fields = {**_HEADERS, **TABLE[type(error)].headers}
    return {name: value % {**error.values, **values} for name, value in fields.items()}


def problem(
    error: PictureError, languages: Languages, language: str, culture: str | None, path: str, request_id: str
) -> bytes:
    """Return the body of the answer to *error*, in *language*, with numbers grouped as in *culture*.

    *path* is without a query, which may contain secrets.
    """
    row = TABLE[type(error)]
    detail = languages.words(error.message, error.values, language, culture)
    return json.dumps(
        {
            "type": "about:blank",
            "title": languages.words(row.title, {}, language),
            "status": row.status,
            "detail": detail,
            "instance": path[:256],
            "requestId": request_id,
            "Error": True,
            "ErrorType": row.error_type,
            "ErrorMessage": detail,
            "Message": detail,
            "ErrorSource": "ContactImage",
        },
        ensure_ascii=False,
    ).encode()
