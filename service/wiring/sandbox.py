"""The sandbox of render processes, as a first one finds it."""

from __future__ import annotations

from service.rendering.process import NoSandbox, RenderProcess
from service.settings import BadSettings, RenderSettings


async def sandbox_layers(settings: RenderSettings) -> dict[str, int]:
    """Return the layers that a render process enters here. Raise `BadSettings` if a required one is missing."""
    process = RenderProcess(settings.memory_bytes, settings.sandbox)
    try:
        await process.start()
    except NoSandbox as error:
        raise BadSettings([f"render.sandbox: {error}"]) from None
    finally:
        process.kill()
        await process.wait_ended()
    return process.layers
