"""The errors that many steps can end with, and what broken bytes make of Pillow told as one of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import N_, BadParameter, OutOfMemory, Unrenderable, Unsupported, Unwritable
from service.formats import Format

_LONGEST_CAUSE = 200
"""Characters of the cause in the log."""


def corrupt() -> Unrenderable:
    """For bytes that are not what they ought to be."""
    return Unrenderable(N_("The picture is corrupt."))


def unsupported(kind: str) -> Unsupported:
    """For bytes of a *kind* that is not read here. The kind is a technical name, the same in every language."""
    return Unsupported(N_("%(kind)s pictures are not supported."), {"kind": kind})


def too_much_work() -> Unrenderable:
    """For a header that would keep a reader busy for longer than its pixels would."""
    return Unrenderable(N_("The picture's header promises more work than a picture is worth."))


def out_of_memory() -> OutOfMemory:
    """For what a process may not have the memory to make."""
    return OutOfMemory(N_("The picture takes more memory than is allowed."))


def unwritable(kind: Format, cause: str) -> Unwritable:
    """For a sound picture that cannot be written in that format. *cause* is for the log."""
    values = {"format": kind.name, "cause": cause[:_LONGEST_CAUSE]}
    return Unwritable(N_("The picture cannot be written as %(format)s."), values)


@contextmanager
def writing(kind: Format) -> Iterator[None]:
    """Turn every exception into `Unwritable`. The pixels are decoded already, so the picture is not at fault."""
    try:
        yield
    except Exception as error:  # MemoryError too: other formats, and other sizes, take less
        raise unwritable(kind, f"{type(error).__name__}: {error}") from None


@contextmanager
def writes_or_refuses() -> Iterator[None]:
    """Turn `Unwritable` into `Unrenderable`, for uploads: they are refused, whichever part of the work fails."""
    try:
        yield
    except Unwritable as error:
        raise Unrenderable(error.message, error.values) from None


@contextmanager
def as_unrenderable() -> Iterator[None]:
    """Let `Unrenderable`, `Unwritable` and `BadParameter` through; every other exception becomes `Unrenderable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Unrenderable, Unwritable, BadParameter):
            raise
        except MemoryError:
            raise out_of_memory() from None
        except Exception:  # Pillow raises nearly every class there is on hostile bytes; its words are not for readers
            raise corrupt() from None
