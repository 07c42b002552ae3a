"""What broken bytes make of Pillow, told as one of our own errors. Knows nothing of pictures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import N_, BadParameter, Unrenderable


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
            raise Unrenderable(N_("The picture takes more memory than is allowed.")) from None
        except Exception:  # Pillow raises nearly every class there is on hostile bytes; its words are not for readers
            raise Unrenderable(N_("The picture is corrupt.")) from None
