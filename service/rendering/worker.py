"""The code that runs inside a render process. It imports Pillow and `imaging` only, since every process loads it."""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import sys
import threading

from service.formats import Fit, Format
from service.imaging.admission import admit
from service.imaging.drawing.placeholders import draw
from service.imaging.errors import as_unrenderable, out_of_memory
from service.imaging.files import folders
from service.imaging.mezzanine import Mezzanine
from service.imaging.order import Encoding, Limits, Order, Placeholder, Reduction, Rendered
from service.imaging.render import render, rendition
from service.imaging.source import Source
from service.rendering import replies
from service.rendering.decoded_mezzanines import DecodedMezzanines
from service.rendering.messages import receive
from service.rendering.sandbox.layers import ALL, Layers, enter, limit
from service.system.open_file import FileIdentity, read_whole

_PR_SET_PDEATHSIG = 1
_MALLOC = {
    -8: 1,  # M_ARENA_MAX: number of arenas, since one thread does the work
    -1: 33_554_432,  # M_TRIM_THRESHOLD: bytes of freed memory that are kept for the next render
    -3: 15_728_640,  # M_MMAP_THRESHOLD: bytes of a block that is returned at once: less than Pillow's blocks of 16 MiB
}
"""Parameters of mallopt(3). With its defaults, glibc returns the pages of an original and of its decoded pixels, and
requests them again. Larger pictures have several blocks: kept, some of their pages would never be returned."""

_source: Source | None = None
"""The original of the last job, while a mezzanine may be made of it."""
_layers: Layers = dict.fromkeys(ALL, 0)
"""The layers of the sandbox that this process is in."""
_mezzanines: DecodedMezzanines[Mezzanine] = DecodedMezzanines()


def serve(memory_bytes: int, sandboxed: bool, service: socket.socket, data: int) -> None:
    """Run jobs until the parent process ends, with at most *memory_bytes* of address space (0: no limit).

    If *sandboxed*, enter the sandbox before the first job.

    *service* gives a function, its arguments, and what its first argument is: bytes from the pipe *data*, of which
    there is the number; those of a file, of which there are the descriptor and the identity; or None. It takes the
    frame of the result or of the exception.
    """
    _end_with_parent(service)
    _set_up_process(memory_bytes)
    if sandboxed:
        _layers.update(enter(folders()))
    while True:
        function, args, source, descriptor = receive(service)
        if isinstance(source, int):
            args = _read_exactly(data, source), *args
        try:
            if descriptor is not None:
                args = _read_file(descriptor, source), *args
            reply = replies.frame(function(*args))
        except MemoryError:
            reply = replies.error_frame(out_of_memory())
        except Exception as error:  # the service raises it
            reply = replies.error_frame(error)
        for part in reply:
            service.sendall(part)
        del args, reply  # several megabytes, which the next render may need


def _set_up_process(memory_bytes: int) -> None:
    if memory_bytes:
        limit(resource.RLIMIT_AS, memory_bytes)
    _tune_allocator()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # libtiff and others write to standard error
    os.close(null)


def _end_with_parent(service: socket.socket) -> None:
    """Have this process end when the parent ends, also during a render."""
    if sys.platform == "linux":  # the thread that started this process lives for as long as the parent uses it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_end_with, args=(service,), name="parent", daemon=True).start()


def _end_with(service: socket.socket) -> None:
    """End this process when the other end of *service* is closed. A decoder may keep this thread waiting."""
    poll = select.poll()
    poll.register(service, 0)  # only the end of the connection
    poll.poll()
    os._exit(1)


def _tune_allocator() -> None:
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):  # glibc
        for parameter, value in _MALLOC.items():
            allocator.mallopt(parameter, value)


def _read_file(descriptor: int, identity: FileIdentity) -> bytes:
    try:
        return read_whole(descriptor, identity)
    except MemoryError:
        raise out_of_memory() from None
    finally:
        os.close(descriptor)


def _read_exactly(pipe: int, size: int) -> bytes:
    """Read *size* bytes in place. `Connection.recv_bytes` makes two more copies, which take 1.6 ms for 2 MB."""
    try:
        data = bytearray(size)
        missing = memoryview(data)
        while missing:
            count = os.readv(pipe, [missing])
            if not count:
                os._exit(1)  # the parent has ended
            missing = missing[count:]
        return bytes(data)
    except MemoryError:
        os._exit(1)  # the rest of the bytes in the pipe would be read as the next call


def sandbox_layers() -> dict[str, int]:
    """Return the layers of the sandbox that this process is in. A process that answers is ready."""
    return _layers


def render_original(original: bytes, order: Order, with_mezzanine: bool) -> Rendered:
    """Render *original* as *order* says. With *with_mezzanine*, `make_mezzanine` follows; otherwise it may follow."""
    global _source
    _drop_source()
    source = Source(original, order.limits)
    rendered = rendition(source, order, with_mezzanine=with_mezzanine)
    if rendered.mezzanine_possible:
        _source = source
    return rendered


def make_mezzanine(key: str) -> tuple[bytes, Reduction] | None:
    """Return the mezzanine of the original that was rendered by the last job, and keep it decoded.

    Return None for an original that can have no mezzanine.
    """
    source = _source
    _drop_source()
    if source is None:
        return None
    with as_unrenderable():
        mezzanine = source.mezzanine()
        if mezzanine is None:
            return None
        data = mezzanine.encoded()
    _mezzanines.keep(key, mezzanine)
    return data, mezzanine.reduction


def render_mezzanine(data: bytes, order: Order, key: str, reduction: Reduction) -> Rendered:
    """Render from the mezzanine in *data*, which has this *reduction*, and keep it decoded."""
    _drop_source()
    mezzanine = Mezzanine.decoded(data, reduction)
    rendered = rendition(mezzanine, order)
    _mezzanines.keep(key, mezzanine)
    return rendered


def render_decoded_mezzanine(order: Order, key: str) -> Rendered:
    """Render from a mezzanine that is kept decoded."""
    _drop_source()
    return rendition(_mezzanines.use(key), order)


def admit_upload(upload: bytes, limits: Limits, strip: Encoding | None) -> bytes | None:
    """Raise unless *upload* is a picture that can be stored. With *strip*, return it without its metadata."""
    _drop_source()
    return admit(upload, limits, strip)


def draw_placeholder(placeholder: Placeholder) -> bytes:
    """Draw a placeholder."""
    _drop_source()
    return draw(placeholder)


def probe() -> None:
    """Render one pixel. Raise the exception of a renderer that does not work."""
    limits = Limits(max_pixels=1, max_frames=1, max_animation_pixels=1, max_dimension=1, enlarge=True)
    render(_PIXEL, Order(Format.PNG, 1, 1, Fit.CONTAIN, limits, Encoding()))


def _drop_source() -> None:
    """Free the original of the last job. No mezzanine of it will be requested any more."""
    global _source
    _source = None


_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f00010101001bb6ee560000000049454e44ae426082"
)
