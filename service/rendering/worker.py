"""What runs inside a render process. Imports Pillow and `imaging`, nothing else: every worker carries it."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

from service.errors import N_, Unrenderable
from service.formats import Fit, Format
from service.imaging.order import Blank, Encoding, Limits, Order, Rendered
from service.imaging.placeholders import draw
from service.imaging.render import render

T = TypeVar("T")
_originals: Connection

_NICENESS = 5
"""Below the event loop, so that hits stay quick while misses are worked off."""


def begin(memory_bytes: int, originals: Connection) -> None:
    """Make this process a render worker, with at most *memory_bytes* of address space (0: no limit).

    The bytes to render come through *originals*.
    """
    global _originals
    _originals = originals
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; our end is the parent's to decide
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.nice(_NICENESS)
    if memory_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libtiff and others write to standard error as they please
    os.close(null)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def identify() -> int:
    """This process's id; a worker that answers is ready."""
    return os.getpid()


def render_next(order: Order) -> Rendered:
    """Render the original that comes next as *order* says."""
    try:
        original = _originals.recv_bytes()
    except MemoryError:
        os._exit(1)  # what is left of it in the pipe would be taken for the next one
    return _within_memory(lambda: render(original, order))


def draw_blank(blank: Blank) -> bytes:
    """Draw a placeholder."""
    return _within_memory(lambda: draw(blank))


def _within_memory(work: Callable[[], T]) -> T:
    try:
        return work()
    except MemoryError:
        raise Unrenderable(N_("The picture needs more memory than a render may use.")) from None


def probe() -> None:
    """Render one pixel. Raises whatever keeps it from being rendered."""
    limits = Limits(max_pixels=1, max_frames=1, max_animation_pixels=1, max_dimension=1, enlarge=True)
    render(_PIXEL, Order(Format.PNG, 1, 1, Fit.CONTAIN, limits, Encoding()))


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f00010101001bb6ee560000000049454e44ae426082"
)
