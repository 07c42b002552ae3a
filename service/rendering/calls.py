"""What the service calls in a render process, by name.

The functions are those of `service.rendering.worker`, which this module imports in a render process only: they take
Pillow and the whole of `imaging`, a tenth of the start of the service.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.imaging.order import Reduction, Rendered
from service.rendering import replies

T = TypeVar("T")

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
"""Signals that a render process ignores: they reach the whole process group, and only the parent ends a process."""
_NICENESS = 10
"""Steps of niceness. The event loop comes first, so that hits stay quick during renders."""


def serve(memory_bytes: int, sandboxed: bool, service: socket.socket, data: int) -> None:
    """Be a render process. Do the same as `worker.serve`."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    os.nice(_NICENESS)
    from service.rendering import worker

    worker.serve(memory_bytes, sandboxed, service, data)


@dataclass(frozen=True)
class Call(Generic[T]):
    """The function of `service.rendering.worker` with that *name*, whose reply *read* reads in the service."""

    name: str
    read: replies.Reader[T]

    def __call__(self, *args: object) -> T:
        from service.rendering import worker

        return getattr(worker, self.name)(*args)  # type: ignore[no-any-return]  # the type that *read* returns


SANDBOX_LAYERS: Call[dict[str, int]] = Call("sandbox_layers", replies.layers)
PROBE: Call[None] = Call("probe", replies.nothing)
RENDER_ORIGINAL: Call[Rendered] = Call("render_original", replies.rendered)
MAKE_MEZZANINE: Call[tuple[bytes, Reduction] | None] = Call("make_mezzanine", replies.optional_mezzanine)
RENDER_MEZZANINE: Call[Rendered] = Call("render_mezzanine", replies.rendered)
RENDER_DECODED_MEZZANINE: Call[Rendered] = Call("render_decoded_mezzanine", replies.rendered)
ADMIT_UPLOAD: Call[bytes | None] = Call("admit_upload", replies.optional_picture)
DRAW_PLACEHOLDER: Call[bytes] = Call("draw_placeholder", replies.picture)
