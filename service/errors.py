"""Every failure a request can meet, one class each. Turned into HTTP in `web.problems` alone."""

from __future__ import annotations

from collections.abc import Mapping

Values = Mapping[str, str | int]


def N_(message: str) -> str:
    """Mark *message* for the catalogues (gettext's no-op); it is translated when it is shown."""
    return message


class PictureError(Exception):
    """A failure with public words.

    *message* is a catalogue id with `%(name)s` places, *values* fill them. Both go to
    `Exception`, so that a render worker's error survives its way through pickle.
    """

    def __init__(self, message: str, values: Values | None = None) -> None:
        super().__init__(message, dict(values or {}))

    @property
    def message(self) -> str:
        """The untranslated text, its places still open."""
        return str(self.args[0])

    @property
    def values(self) -> dict[str, str | int]:
        """What fills the places of `message`."""
        return dict(self.args[1])

    def __str__(self) -> str:
        return self.message % self.values if self.values else self.message


class BadParameter(PictureError):
    """What the request asks for is malformed or out of bounds (400)."""


class BeyondFormat(BadParameter):
    """The rendition is larger than its format can hold (400). Another format may hold it."""


class NotAuthenticated(PictureError):
    """Credentials are missing or wrong (401)."""


class CredentialExpired(NotAuthenticated):
    """A credential that was right once (401): no guess, and not counted as one."""


class Forbidden(PictureError):
    """What is asked is not allowed here, or not to who asks (403)."""


class TooManyAttempts(PictureError):
    """Too many wrong credentials came from one address; *values* hold `seconds` to wait (429)."""


class VerificationUnavailable(PictureError):
    """Whoever knows whether a credential is good cannot be asked at the moment (503)."""


class UnknownPath(PictureError):
    """No resource at this path (404)."""


class NoPicture(PictureError):
    """The contact has no picture, or there is no such contact (404)."""


class MethodNotAllowed(PictureError):
    """A method that the resource does not have (405)."""


class NotAcceptable(PictureError):
    """`Accept` rules out all we can make (406)."""


class UploadTimedOut(PictureError):
    """The client took too long over its upload (408)."""


class PreconditionFailed(PictureError):
    """The picture is not what the request says it must be for the write to be done (412)."""


class UploadTooLarge(PictureError):
    """An upload has more bytes than an original may have (413)."""


class UnsupportedUpload(PictureError):
    """An upload is no picture in a format that is read here, or is encoded (415)."""


class RangeNotSatisfiable(PictureError):
    """The range begins past the picture's end; *values* hold its `length` in bytes (416)."""


class Unrenderable(PictureError):
    """The original is corrupt, too large, or no picture at all (422)."""


class Unsupported(Unrenderable):
    """The original is of a kind that is not read here (422; 415 for an upload). It may be sound."""


class OutOfMemory(Unrenderable):
    """The picture takes more memory than a render process may have (422)."""


class Unexpected(PictureError):
    """A fault of ours (500); the log has the rest."""


class Unwritable(PictureError):
    """A sound picture cannot be written in one format (500).

    *values* hold the `format`, and for the log the `cause`.
    """


class StoreFailed(PictureError):
    """The place where originals live failed (502)."""


class StoreFull(StoreFailed):
    """The place where originals live is full (507)."""


class StoreTimedOut(PictureError):
    """The place where originals live took too long (504)."""


class Overloaded(PictureError):
    """The render queue is full (503)."""


class PurgeOwed(PictureError):
    """Other processes could not be told of a purge yet (503)."""


class RenderTimedOut(PictureError):
    """A render outran its time limit, and its worker was ended (503)."""


class RenderWorkerDied(PictureError):
    """A render worker died over this picture (503)."""
