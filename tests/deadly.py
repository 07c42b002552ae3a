"""Pictures that end the render processes that get them, a given number of times."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from service.imaging.order import Rendered
from service.rendering import replies
from service.rendering.calls import Call
from service.rendering.process import RenderProcess
from service.rendering.sandbox.layers import Mode

_MARK = b"deaths in "
"""What separates a picture from the path of a file with the signals that are left."""

Deadly = Callable[..., bytes]


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deadly:
    """Return a picture whose renders end their processes by *signals*, one after the other, and are then finished."""
    monkeypatch.setattr("service.rendering.supervisor.RenderProcess", _outside)
    monkeypatch.setattr("service.rendering.calls.RENDER_ORIGINAL", RenderOrDie("render_original", replies.rendered))
    made = 0

    def make(picture: bytes, *signals: signal.Signals) -> bytes:
        nonlocal made
        made += 1
        left = tmp_path / f"deaths-{made}"
        left.write_text(" ".join(str(int(each)) for each in signals))
        return picture + _MARK + bytes(left)

    return make


def _outside(memory_bytes: int, _: Mode, on_end: Callable[[RenderProcess], None]) -> RenderProcess:
    """Return a process without a sandbox: it writes a file, and sends itself signals."""
    return RenderProcess(memory_bytes, "off", on_end)


class RenderOrDie(Call[Rendered]):
    """Does the same as `render_original` in a render process, unless a signal is left."""

    def __call__(self, *args: object) -> Rendered:
        original, *others = args
        assert isinstance(original, bytes)
        picture, _, path = original.partition(_MARK)
        if path:
            left = Path(os.fsdecode(path))
            numbers = left.read_text().split()
            left.write_text(" ".join(numbers[1:]))
            if numbers:
                os.kill(os.getpid(), int(numbers[0]))
        return super().__call__(picture, *others)
