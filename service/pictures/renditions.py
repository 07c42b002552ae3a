"""Makes the entries of selections: renders, draws or reads them, and has failed attempts recorded."""

from __future__ import annotations

import math
import time
from contextlib import suppress

from service.errors import BadParameter
from service.imaging.order import Order, Placeholder
from service.pictures.caching.picture_cache import PutToken
from service.pictures.failures import active_fault, refusal
from service.pictures.faults import RECORDED_ERRORS, FaultRecorder
from service.pictures.mezzanine_renderer import MezzanineRenderer
from service.pictures.originals import Originals
from service.pictures.ports import Observer, Renderer
from service.pictures.selection import FileRendition, Selection
from service.pictures.trace import Trace
from service.pictures.values import THUMB_HASH_FIELD, Entry, Failure, Original
from service.system.open_file import OpenFile

FIRST_FRAME = "first-frame"
"""The detail of a rendition that shows only the first frame of an animation that exceeds the limits."""


class Renditions:
    """Renditions of *originals*, placeholders, and stored bytes."""

    def __init__(
        self,
        originals: Originals,
        renderer: Renderer,
        mezzanines: MezzanineRenderer,
        faults: FaultRecorder,
        observer: Observer,
    ) -> None:
        self._originals, self._renderer, self._mezzanines = originals, renderer, mezzanines
        self._faults, self._observer = faults, observer

    @property
    def placeholder_failures(self) -> tuple[Failure, ...]:
        """The failures of placeholders."""
        return self._faults.placeholder_failures

    async def make(self, selection: Selection, token: PutToken, trace: Trace) -> Entry:
        """Return the entry of *selection*. Raise the errors of the store and of the renderer, and `OriginalChanged`."""
        if isinstance(selection.work, Placeholder | FileRendition):
            return await self._make_placeholder(selection, selection.work, trace)
        assert selection.original is not None
        if selection.work is None:
            data = await self._originals.read(await self._sound(selection.original, trace, as_stored=True), trace)
            return Entry(selection.version, time.time(), "", data)
        return await self._make_rendition(selection, selection.original, selection.work, token, trace)

    async def _make_placeholder(
        self, selection: Selection, placeholder: Placeholder | FileRendition, trace: Trace
    ) -> Entry:
        try:
            data = await self._placeholder(placeholder, trace)
        except RECORDED_ERRORS as error:
            raise self._faults.record_placeholder(selection.field, placeholder.format, error) from None
        return Entry(selection.version, time.time(), "", data)

    async def _placeholder(self, placeholder: Placeholder | FileRendition, trace: Trace) -> bytes:
        if isinstance(placeholder, Placeholder):
            return await self._renderer.draw(placeholder, trace)

        async def read() -> bytes:
            return placeholder.file.data

        return (await self._renderer.render_original(read, placeholder.order, trace)).data

    async def _make_rendition(
        self, selection: Selection, original: Original, order: Order, token: PutToken, trace: Trace
    ) -> Entry:
        if token.waited:
            failures = (await self._originals.current(original, trace)).failures
            if failure := refusal(failures, selection.field, order.format, time.time()):
                raise failure  # it failed in the process that this one waited for
        further = token.without_lease()

        async def read() -> bytes | OpenFile:
            nonlocal original
            original = await self._sound(original, trace)
            return await self._originals.open(original, trace)

        try:
            rendered = await self._mezzanines.rendition(original, read, order, further, trace)
        except RECORDED_ERRORS as error:
            raise await self._faults.record(original, selection.field, order, error, further, trace) from None
        await self._faults.record_success(original, selection.field, order, rendered, further, trace)
        if selection.field == THUMB_HASH_FIELD:
            return Entry(selection.version, time.time(), "", rendered.thumb_hash.encode())
        if rendered.first_frame:
            self._observer.first_frame()
        detail = FIRST_FRAME if rendered.first_frame else ""
        return Entry(selection.version, time.time(), detail, rendered.data)

    async def _sound(self, original: Original, trace: Trace, *, as_stored: bool = False) -> Original:
        """Return the current state of *original*. Raise the error of its fault, if another request has recorded one."""
        current = await self._originals.current(original, trace)
        if fault := active_fault(current.fault, self._faults.digest, as_stored=as_stored):
            raise fault.error()
        return current


def pixels_of(original: Original, order: Order) -> int:
    """Return the pixels of *original* and of the rendition together, as far as they are known."""
    if original.dimensions is None:
        return 0
    pixels = math.prod(original.dimensions)
    with suppress(BadParameter):  # no format can hold this size
        pixels += math.prod(order.plan(original.dimensions).size)
    return pixels
