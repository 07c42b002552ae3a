"""Division of the render processes among several serving processes."""

from __future__ import annotations

from pathlib import Path

from service.rendering.slots import RenderSlots
from service.settings import Settings
from service.wiring.app import cores


def share(settings: Settings, number: int, directory: Path) -> tuple[Settings, RenderSlots | None]:
    """Return the settings of process *number*, from 0, with its part of `render.workers`, and its slots.

    If there are more processes than `render.workers`, every process has one render process, and needs one of the slots
    for a render. The slots are files in *directory*.
    """
    workers, total = settings.server.workers, settings.render.workers or cores()
    part = max(1, total // workers + (number < total % workers))
    render = settings.render.model_copy(update={"workers": part})
    slots = RenderSlots(directory, total) if workers > total else None
    return settings.model_copy(update={"render": render}), slots
