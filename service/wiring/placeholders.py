"""The operator's placeholders, read and judged as uploads are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from service.errors import PictureError, RenderTimedOut
from service.imaging.order import Limits
from service.pictures.values import PlaceholderFiles
from service.rendering import calls
from service.rendering.process import DiedAtWork, Job, RenderProcess
from service.settings import BadSettings, Settings
from service.stores.placeholder_files import BadPlaceholders, read_placeholders
from service.system.threads import Threads
from service.wiring.recipe import recipe


async def load_placeholders(settings: Settings, threads: Threads | None = None) -> PlaceholderFiles:
    """Return the placeholders in the folder of *settings*, each decoded once by a render process.

    With *threads*, files are read in one of them, so that a disk that hangs does not block the event loop. Raise
    `BadSettings` if one of them could not be uploaded, with one line for each.
    """
    if not settings.placeholders.directory:
        return {}
    folder = Path(settings.placeholders.directory)
    try:
        read = partial(read_placeholders, folder, settings.images.max_bytes)
        files = read() if threads is None else await threads.run(read)
        await _judge(files, settings, recipe(settings).limits)
    except BadPlaceholders as error:
        raise BadSettings([f"placeholders.directory: {fault}" for fault in error.faults]) from None
    return files


async def _judge(files: PlaceholderFiles, settings: Settings, limits: Limits) -> None:
    if not files:
        return
    faults: list[str] = []
    process = RenderProcess(settings.render.memory_bytes, settings.render.sandbox)
    try:
        await process.start()
        for kind, file in files.items():
            try:
                with Job(calls.ADMIT_UPLOAD, (limits, None), file.data) as job:
                    await process.perform(job, settings.render.timeout)
            except (DiedAtWork, RenderTimedOut) as error:
                faults.append(f"{kind.spelled}: it ends a render process: {error!r}")
                break
            except PictureError as error:
                faults.append(f"{kind.spelled}: {error}")
    finally:
        process.kill()
        await process.wait_ended()
    if faults:
        raise BadPlaceholders(faults)
