"""What each of several processes may render, so that all together render no more than one would."""

from __future__ import annotations

from pathlib import Path

from service.rendering.slots import RenderSlots
from service.settings import Settings
from service.wiring.app import cores


def share(settings: Settings, number: int, directory: Path) -> tuple[Settings, RenderSlots | None]:
    """The settings of process *number*, from 0, with its part of `render.workers`.

    Where there are more processes than renders at once, each has one render process and waits for its turn, by way of
    files in *directory*.
    """
    workers, budget = settings.server.workers, settings.render.workers or cores()
    mine = max(1, budget // workers + (number < budget % workers))
    render = settings.render.model_copy(update={"workers": mine})
    slots = RenderSlots(directory, budget) if workers > budget else None
    return settings.model_copy(update={"render": render}), slots
