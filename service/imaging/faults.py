"""The errors that many steps can end with, and what broken bytes make of Pillow told as one of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import N_, BadParameter, Unrenderable, Unsupported


def corrupt() -> Unrenderable:
    """For bytes that are not what they ought to be."""
    return Unrenderable(N_("The picture is corrupt."))


def unsupported(kind: str) -> Unsupported:
    """For bytes of a *kind* that is not read here. The kind is a technical name, the same in every language."""
    return Unsupported(N_("%(kind)s pictures are not supported."), {"kind": kind})


def too_much_work() -> Unrenderable:
    """For a header that would keep a reader busy for longer than its pixels would."""
    return Unrenderable(N_("The picture's header promises more work than a picture is worth."))


def out_of_memory() -> Unrenderable:
    """For what a process may not have the memory to make."""
    return Unrenderable(N_("The picture takes more memory than is allowed."))


@contextmanager
def told() -> Iterator[None]:
    """Let `Unrenderable` and `BadParameter` through, and turn every other exception into `Unrenderable`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (Unrenderable, BadParameter):
            raise
        except MemoryError:
            raise out_of_memory() from None
        except Exception:  # Pillow raises nearly every class there is on hostile bytes; its words are not for readers
            raise corrupt() from None
