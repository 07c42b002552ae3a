"""What runs inside a render process. Imports Pillow and `imaging`, nothing else: every worker carries it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import threading
from multiprocessing.connection import Connection

from service.formats import Fit, Format
from service.imaging.admission import admit
from service.imaging.drawing.placeholders import draw
from service.imaging.failures import as_unrenderable
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Blank, Encoding, Limits, Order, Reduction, Rendered
from service.imaging.render import render
from service.imaging.source import Source
from service.rendering.decoded_mezzanines import DecodedMezzanines

_source: Source | None = None
"""The last original, while a mezzanine may be made of it."""
_kept: DecodedMezzanines[Mezzanine] = DecodedMezzanines()

IGNORED = (signal.SIGINT, signal.SIGTERM)
"""Signals that are sent to the whole group: the end of a render process is its parent's to decide."""
_NICENESS = 10
"""Below the event loop, so that hits stay quick while misses are worked off."""
_MALLOC = {-8: 1, -1: 33_554_432, -3: 8_388_608}
"""What mallopt(3) is told: one arena, for one thread does the work (M_ARENA_MAX); how many freed bytes stay for the
next render (M_TRIM_THRESHOLD); what is large enough, as decoded pictures are, to go back at once (M_MMAP_THRESHOLD).
Left to itself, glibc gives the pages of each original back and takes them anew: 2 ms a render."""


def serve(memory_bytes: int, calls: Connection, results: Connection) -> None:
    """Be a render worker, with at most *memory_bytes* of address space (0: no limit), until the parent ends.

    Calls come through *calls*, each with the bytes to render after it, where it takes any. What comes of them goes out
    through *results*: whether it succeeded, and the result or the exception.
    """
    _begin(memory_bytes)
    while True:
        call, args, size = calls.recv()
        if size is not None:
            args = _received(calls.fileno(), size), *args
        try:
            outcome = True, call(*args)
        except Exception as error:  # whatever it is, it is for whoever asked
            outcome = False, error.with_traceback(None)
        results.send(outcome)
        del args, outcome  # up to many megabytes, which the next render may need


def _received(pipe: int, size: int) -> bytes:
    """So many bytes, read in place: `Connection.recv_bytes` makes two more copies, which are 1.6 ms of 2 MB."""
    try:
        data = bytearray(size)
        left = memoryview(data)
        while left:
            count = os.readv(pipe, [left])
            if not count:
                os._exit(1)  # the parent has ended
            left = left[count:]
        return bytes(data)
    except MemoryError:
        os._exit(1)  # what is left of it in the pipe would be taken for the next call


def _begin(memory_bytes: int) -> None:
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    os.nice(_NICENESS)
    if memory_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))
    _tune_allocator()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libtiff and others write to standard error as they please
    os.close(null)


def _tune_allocator() -> None:
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):  # glibc
        for parameter, value in _MALLOC.items():
            allocator.mallopt(parameter, value)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def identify() -> int:
    """This process's id; a worker that answers is ready."""
    return os.getpid()


def render_original(original: bytes, order: Order, with_mezzanine: bool) -> Rendered:
    """Render *original* as *order* says. `leave_mezzanine` may follow, and will if it says *with_mezzanine*."""
    global _source
    _let_go()
    with as_unrenderable():
        source = Source(original, order.limits)
        rendered = source.render(order, with_mezzanine=with_mezzanine)
    if rendered.mezzanine_possible:
        _source = source
    return rendered


def admit_upload(upload: bytes, limits: Limits, strip: Encoding | None) -> bytes | None:
    """Raise unless *upload* is a picture that can be stored; with *strip*, gives what is to be stored in its place."""
    _let_go()
    return admit(upload, limits, strip)


def leave_mezzanine(key: str) -> tuple[bytes, Reduction] | None:
    """The mezzanine of the original that was rendered just now, which is kept decoded too. None where it has none."""
    source = _source
    _let_go()
    if source is None:
        return None
    with as_unrenderable():
        mezzanine = source.mezzanine()
        if mezzanine is None:
            return None
        data = mezzanine.encoded()
    _kept.keep(key, mezzanine)
    return data, mezzanine.reduction


def render_mezzanine(data: bytes, order: Order, key: str, reduction: Reduction) -> Rendered:
    """Render from the mezzanine in *data*, of that *reduction*; it is kept decoded."""
    _let_go()
    mezzanine = Mezzanine.decoded(data, reduction)
    rendered = mezzanine.render(order)
    _kept.keep(key, mezzanine)
    return rendered


def render_kept(order: Order, key: str) -> Rendered:
    """Render from a mezzanine that is kept."""
    _let_go()
    return _kept.used(key).render(order)


def draw_blank(blank: Blank) -> bytes:
    """Draw a placeholder."""
    _let_go()
    return draw(blank)


def _let_go() -> None:
    """Of the last original, for which nobody will ask any more."""
    global _source
    _source = None


def probe() -> None:
    """Render one pixel. Raises whatever keeps it from being rendered."""
    limits = Limits(max_pixels=1, max_frames=1, max_animation_pixels=1, max_dimension=1, enlarge=True)
    render(_PIXEL, Order(Format.PNG, 1, 1, Fit.CONTAIN, limits, Encoding()))


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f00010101001bb6ee560000000049454e44ae426082"
)
