"""One picture made as the service makes it, without a server, a store and a cache."""

from __future__ import annotations

from service.errors import N_, RenderWorkerDied, Unrenderable
from service.formats import IfBlank, Initials
from service.imaging.order import Order, Placeholder, Rendered
from service.pictures.candidates import Candidates
from service.pictures.placeholders import Placeholders
from service.pictures.selection import FileRendition
from service.pictures.values import Original
from service.protocol.languages import ENGLISH, NO_PHOTO
from service.protocol.negotiate import NONE_RULED_OUT, RequestedPicture, requested_picture
from service.protocol.query import Query
from service.rendering import calls
from service.rendering.process import DiedAtWork, DiedIdle, Job, NoSandbox, RenderProcess
from service.settings import BadSettings, Settings
from service.stores.describe import describe
from service.wiring.placeholders import load_placeholders
from service.wiring.recipe import recipe


async def render_once(settings: Settings, data: bytes, query: Query, initials: Initials | None) -> Rendered:
    """Return the rendition of the original *data* that *query* describes, made in a render process.

    *query* names the format. *initials* are for the placeholder of that name. Raise `PictureError` as the service does,
    and `BadSettings` if the sandbox lacks a required layer, or a file in `placeholders.directory` is unusable.
    """
    made, requested = recipe(settings), requested_picture(query, None, settings.render.preferred)
    candidates = Candidates(made)
    original = describe(1, data, version="", modified=None, max_bytes=settings.images.max_bytes)
    process = RenderProcess(settings.render.memory_bytes, settings.render.sandbox)
    try:
        await process.start()
        try:
            order = _order(candidates, original, requested)
            return await process.perform(Job(calls.RENDER_ORIGINAL, (order, False), data), settings.render.timeout)
        except Unrenderable:
            if query.if_blank is IfBlank.NULL:
                raise
            placeholders = Placeholders(candidates, made, await load_placeholders(settings))
            work = placeholders.select(requested, NO_PHOTO, ENGLISH, initials, (), NONE_RULED_OUT).work
            if isinstance(work, FileRendition):
                job = Job(calls.RENDER_ORIGINAL, (work.order, False), work.file.data)
                return await process.perform(job, settings.render.timeout)
            assert isinstance(work, Placeholder)
            drawn = await process.perform(Job(calls.DRAW_PLACEHOLDER, (work,)), settings.render.timeout)
            return Rendered(drawn, work.width, work.height, frames=1, first_frame=False)
    except NoSandbox as error:
        raise BadSettings([f"render.sandbox: {error}"]) from None
    except (DiedIdle, DiedAtWork):
        raise RenderWorkerDied(N_("The render process ended unexpectedly.")) from None
    finally:
        process.kill()
        await process.wait_ended()


def _order(candidates: Candidates, original: Original, requested: RequestedPicture) -> Order:
    if original.fault is not None:
        raise original.fault.error()
    work = candidates.of_picture(original, requested, NONE_RULED_OUT).work
    assert isinstance(work, Order)  # a format that is named is never answered with the stored bytes
    return work
