"""Errors that several steps raise, and conversions of other exceptions to them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import N_, BadParameter, OutOfMemory, Unrenderable, Unsupported, Unwritable
from service.formats import Format

_LONGEST_CAUSE = 200
"""Characters of the cause in the log."""


def corrupt() -> Unrenderable:
    """Return the error for broken bytes."""
    return Unrenderable(N_("The picture is corrupt."))


def unsupported(kind: str) -> Unsupported:
    """Return the error for a *kind* of picture that is not read here. It is a technical name and not translated."""
    return Unsupported(N_("%(kind)s pictures are not supported."), {"kind": kind})


def too_much_work() -> Unrenderable:
    """Return the error for a header that would keep a reader busy for longer than the pixels do."""
    return Unrenderable(N_("The picture's header promises more work than a picture is worth."))


def out_of_memory() -> OutOfMemory:
    """Return the error for a picture that takes more memory than a process may have."""
    return OutOfMemory(N_("The picture takes more memory than is allowed."))


def unwritable(kind: Format, cause: str) -> Unwritable:
    """Return the error for a sound picture that cannot be written as *kind*. *cause* is for the log."""
    values = {"format": kind.name, "cause": cause[:_LONGEST_CAUSE]}
    return Unwritable(N_("The picture cannot be written as %(format)s."), values)


@contextmanager
def writing(kind: Format) -> Iterator[None]:
    """Convert every exception to `Unwritable`: the pixels are decoded already, so the picture is sound."""
    try:
        yield
    except Exception as error:  # MemoryError too: other formats and sizes take less memory
        raise unwritable(kind, f"{type(error).__name__}: {error}") from None


@contextmanager
def unwritable_as_unrenderable() -> Iterator[None]:
    """Convert `Unwritable` to `Unrenderable`: an upload is refused if any step fails."""
    try:
        yield
    except Unwritable as error:
        raise Unrenderable(error.message, error.values) from None


@contextmanager
def as_unrenderable() -> Iterator[None]:
    """Convert every exception except `Unrenderable`, `Unwritable` and `BadParameter` to `Unrenderable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Unrenderable, Unwritable, BadParameter):
            raise
        except MemoryError:
            raise out_of_memory() from None
        except Exception:  # Pillow raises exceptions of nearly every class for hostile bytes
            raise corrupt() from None
