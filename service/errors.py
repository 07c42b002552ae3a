"""The errors of requests: one class for every kind. Only `service.web.problems` turns them into HTTP."""

from __future__ import annotations

from collections.abc import Mapping

Values = Mapping[str, str | int]


def N_(message: str) -> str:
    """Return *message*. It marks the text for the catalogues, as in gettext; it is translated when it is shown."""
    return message


class PictureError(Exception):
    """An error with a text for users.

    *message* is the id of a text in the catalogues, and *values* replace its `%(name)s`. Both are arguments of
    `Exception`, so that an error of a render process can be pickled.
    """

    def __init__(self, message: str, values: Values | None = None) -> None:
        super().__init__(message, dict(values or {}))

    @property
    def message(self) -> str:
        """The untranslated text, before *values* replace its `%(name)s`."""
        return str(self.args[0])

    @property
    def values(self) -> dict[str, str | int]:
        """The values for the `%(name)s` of `message`."""
        return dict(self.args[1])

    def __str__(self) -> str:
        return self.message % self.values if self.values else self.message


class BadParameter(PictureError):
    """A parameter, or the whole request, is malformed or out of bounds (400)."""


class BeyondFormat(BadParameter):
    """The rendition is larger than its format allows (400). Another format may allow it."""


class NotAuthenticated(PictureError):
    """Credentials are missing or wrong (401)."""


class CredentialExpired(NotAuthenticated):
    """A credential was valid and has expired (401). It does not count as a wrong attempt."""


class Forbidden(PictureError):
    """The request is not allowed here, or not to this requester (403)."""


class HeaderTooLarge(PictureError):
    """The header fields of the request are too many or too large (431)."""


class Misdirected(PictureError):
    """The request names a host that is not served here (421)."""


class TooManyAttempts(PictureError):
    """Too many wrong credentials came from one address (429). *values* has the `seconds` to wait."""


class VerificationUnavailable(PictureError):
    """The verifier of a credential is unavailable (503)."""


class UnknownPath(PictureError):
    """There is no resource at this path (404)."""


class NoPicture(PictureError):
    """The contact has no picture, or there is no such contact (404)."""


class MethodNotAllowed(PictureError):
    """The resource does not have this method (405). *values* has the `allowed` ones, separated by commas."""


class NotAcceptable(PictureError):
    """`Accept` rules out every format (406)."""


class UploadTimedOut(PictureError):
    """The client sent its upload too slowly (408)."""


class PreconditionFailed(PictureError):
    """The stored picture does not meet the conditions of a write (412)."""


class UploadTooLarge(PictureError):
    """An upload is larger than an original may be (413)."""


class UnsupportedUpload(PictureError):
    """An upload is not a picture in a supported format, or has a content coding (415)."""


class RangeNotSatisfiable(PictureError):
    """The range begins after the picture's end (416). *values* has its `length` in bytes."""


class Unrenderable(PictureError):
    """The original is corrupt, too large, or not a picture (422)."""


class Unsupported(Unrenderable):
    """The original is of an unsupported kind (422; an upload of it 415). It may be sound."""


class OutOfMemory(Unrenderable):
    """The render needs more memory than a render process may use (422)."""


class Unexpected(PictureError):
    """A bug in the service (500). The log has the traceback."""


class Unwritable(PictureError):
    """A rendition of a sound original cannot be written in one format (500).

    *values* has the `format`, and the `cause` for the log.
    """


class StoreFailed(PictureError):
    """The store of originals failed (502)."""


class StoreFull(StoreFailed):
    """The store of originals is full (507)."""


class StoreTimedOut(PictureError):
    """The store of originals exceeded its time limit (504)."""


class Overloaded(PictureError):
    """The service has too much to do (503). In *seconds* there may be room for the request."""

    def __init__(self, message: str, values: Values | None = None, *, seconds: int = 1) -> None:
        super().__init__(message, {"seconds": max(1, seconds), **(values or {})})


class PurgePending(PictureError):
    """A purge is pending: Redis has not acknowledged it yet (503)."""


class RenderTimedOut(PictureError):
    """A render exceeded its time limit, and its process was killed (503).

    *strikes* is 0 if the process was not on a processor for half of that time, and otherwise 1.
    """

    def __init__(self, message: str, values: Values | None = None, *, strikes: int = 1) -> None:
        super().__init__(message, values)
        self.strikes = strikes


class RenderWorkerDied(PictureError):
    """A render process died while it rendered this picture, and the second try failed too, or had no time (503).

    *strikes* is the number of deaths that count against the picture.
    """

    def __init__(self, message: str, values: Values | None = None, *, strikes: int = 1) -> None:
        super().__init__(message, values)
        self.strikes = strikes
