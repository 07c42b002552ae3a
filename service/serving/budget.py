"""Division of the render processes among several serving processes."""

from __future__ import annotations

from pathlib import Path

from service.rendering.slots import RenderSlots
from service.settings import Settings
from service.system.processes import cores


def share(settings: Settings, part: int, directory: Path) -> tuple[Settings, RenderSlots | None]:
    """Return the settings of the process that does *part*, from 0, of `render.workers`, and its slots.

    If there are more processes than `render.workers`, every process has one render process, and needs one of the slots
    for a render. The slots are files in *directory*.
    """
    workers, total = settings.server.workers, settings.render.workers or cores()
    renderers = max(1, total // workers + (part < total % workers))
    render = settings.render.model_copy(update={"workers": renderers})
    slots = RenderSlots(directory, total) if workers > total else None
    return settings.model_copy(update={"render": render}), slots
