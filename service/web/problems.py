"""Errors as `application/problem+json` (RFC 9457), with the members that SuperOffice's clients look for."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NamedTuple

from service import errors
from service.errors import N_, PictureError
from service.protocol.languages import Languages


class _Row(NamedTuple):
    status: HTTPStatus
    error_type: str
    title: str


TABLE: dict[type[PictureError], _Row] = {
    errors.BadParameter: _Row(HTTPStatus.BAD_REQUEST, "SoArgumentException", N_("Bad request")),
    errors.BeyondFormat: _Row(HTTPStatus.BAD_REQUEST, "SoArgumentException", N_("Bad request")),
    errors.NotAuthenticated: _Row(HTTPStatus.UNAUTHORIZED, "SoSessionException", N_("Not authenticated")),
    errors.CredentialExpired: _Row(HTTPStatus.UNAUTHORIZED, "SoSessionException", N_("Credentials expired")),
    errors.Forbidden: _Row(HTTPStatus.FORBIDDEN, "SoAccessDeniedException", N_("Forbidden")),
    errors.UnknownPath: _Row(HTTPStatus.NOT_FOUND, "SoNotFoundException", N_("Not found")),
    errors.NoPicture: _Row(HTTPStatus.NOT_FOUND, "SoNotFoundException", N_("No picture")),
    errors.MethodNotAllowed: _Row(HTTPStatus.METHOD_NOT_ALLOWED, "SoNotSupportedException", N_("Method not allowed")),
    errors.NotAcceptable: _Row(HTTPStatus.NOT_ACCEPTABLE, "SoNotSupportedException", N_("Not acceptable")),
    errors.UploadTimedOut: _Row(HTTPStatus.REQUEST_TIMEOUT, "SoTimeoutException", N_("Upload timed out")),
    errors.PreconditionFailed: _Row(
        HTTPStatus.PRECONDITION_FAILED, "SoConcurrencyException", N_("Precondition failed")
    ),
    errors.UploadTooLarge: _Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "SoArgumentException", N_("Upload too large")),
    errors.UnsupportedUpload: _Row(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "SoNotSupportedException", N_("Unsupported upload")
    ),
    errors.RangeNotSatisfiable: _Row(
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "SoArgumentException", N_("Range not satisfiable")
    ),
    errors.Unrenderable: _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "SoImageException", N_("Picture cannot be rendered")),
    errors.Unsupported: _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "SoImageException", N_("Picture cannot be rendered")),
    errors.OutOfMemory: _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "SoImageException", N_("Picture cannot be rendered")),
    errors.Unexpected: _Row(HTTPStatus.INTERNAL_SERVER_ERROR, "SoException", N_("Internal error")),
    errors.Unwritable: _Row(HTTPStatus.INTERNAL_SERVER_ERROR, "SoImageException", N_("Picture cannot be written")),
    errors.StoreFailed: _Row(HTTPStatus.BAD_GATEWAY, "SoStorageException", N_("Store failed")),
    errors.StoreFull: _Row(HTTPStatus.INSUFFICIENT_STORAGE, "SoStorageException", N_("Store full")),
    errors.StoreTimedOut: _Row(HTTPStatus.GATEWAY_TIMEOUT, "SoTimeoutException", N_("Store timed out")),
    errors.Overloaded: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "SoOverloadException", N_("Overloaded")),
    errors.PurgeOwed: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "SoTimeoutException", N_("Purge not acknowledged")),
    errors.TooManyAttempts: _Row(HTTPStatus.TOO_MANY_REQUESTS, "SoSessionException", N_("Too many attempts")),
    errors.VerificationUnavailable: _Row(
        HTTPStatus.SERVICE_UNAVAILABLE, "SoTimeoutException", N_("Credentials cannot be verified")
    ),
    errors.RenderTimedOut: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "SoTimeoutException", N_("Render timed out")),
    errors.RenderWorkerDied: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "SoImageException", N_("Render failed")),
}
"""A row for every class of `service.errors`: the one place where errors become HTTP."""


def status_of(error: PictureError) -> int:
    """The status that *error* is answered with."""
    return TABLE[type(error)].status.value


def problem(
    error: PictureError, languages: Languages, language: str, culture: str | None, path: str, request_id: str
) -> bytes:
    """The body for *error*, in *language*, with numbers as *culture* writes them. *path* is shown without its query,
    which may hold secrets."""
    row = TABLE[type(error)]
    detail = languages.words(error.message, error.values, language, culture)
    return json.dumps(
        {
            "type": "about:blank",
            "title": languages.words(row.title, {}, language),
            "status": row.status.value,
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
