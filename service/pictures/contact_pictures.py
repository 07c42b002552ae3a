"""The use case: which picture a request gets, and its bytes.

It has two steps, so that a validator is known before anything is read or rendered.

1. `select` finds the record of the original (`Originals`). `Candidates` chooses a format that is not ruled out, and
   with it the rendition's field in the cache.
2. `load` looks for that field in memory, then in the shared cache. If it is in neither, one process of the fleet makes
   the rendition (`Entries`, `Renditions`), and the others wait for it.

A failed render is recorded as a fault of the original or as a failure of the rendition, and the next `select` finds it.
After some errors the caller selects again. `Unwritable` and `BeyondFormat` rule out one format for this request. After
`Unrenderable`, the result of `placeholder` can be served instead. After `OriginalChanged` the record is out of date,
and `select` is called with *reload*.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from service.errors import N_, NoPicture
from service.formats import Format, Initials
from service.pictures.caching.picture_cache import PictureCache
from service.pictures.candidates import Candidates
from service.pictures.entries import Entries
from service.pictures.failures import active_fault, refused
from service.pictures.lifetimes import RecordLifetimes
from service.pictures.near import NearPictures, Seen
from service.pictures.originals import Originals, RecordedOriginal
from service.pictures.placeholders import Placeholders
from service.pictures.ports import Layer, Observer
from service.pictures.renditions import Renditions
from service.pictures.selection import Recipe, Selected, Selection, entity_tag
from service.pictures.trace import NewTrace, Trace
from service.pictures.values import RECORD, STORED, Entry, Original, Picture, PlaceholderFiles, StoredEntry
from service.protocol.negotiate import NONE_RULED_OUT, FormatChoice, RequestedPicture, RuledOut

_LARGEST_CACHED = 262_144
"""Bytes of the largest stored picture that is cached like a rendition. Larger ones are streamed from the store."""
_USUAL_FORMAT = Format.JPEG
"""The format of most originals. Where these are not sent as stored, few others are."""


class Look(NamedTuple):
    """What one look for a picture has found: what was *seen* in a near store, or what the caches have *recorded*.

    The rendition that was looked up with the record is in the trace.
    """

    seen: Seen | None = None
    recorded: RecordedOriginal | None = None


class ContactPictures:
    """The pictures of contacts: selected by their *originals*, loaded from the *cache* or from *entries*.

    *renditions* know the failures of placeholders. *placeholder_files* replace drawn placeholders.
    *new_trace* returns the traces of lookups for repeats.
    """

    def __init__(
        self,
        cache: PictureCache,
        originals: Originals,
        renditions: Renditions,
        entries: Entries,
        observer: Observer,
        *,
        recipe: Recipe,
        lifetimes: RecordLifetimes,
        placeholder_files: PlaceholderFiles,
        new_trace: NewTrace = Trace,
    ) -> None:
        self._cache, self._originals, self._renditions, self._observer = cache, originals, renditions, observer
        self._candidates, self._digest, self._lifetimes = Candidates(recipe), recipe.digest, lifetimes
        self.placeholders = Placeholders(self._candidates, recipe, placeholder_files)
        self._most = min(_LARGEST_CACHED, cache.max_body)
        self._near = NearPictures(originals, cache, observer, lifetimes, most=self._most)
        self._entries, self._new_trace = entries, new_trace

    async def select(
        self,
        contact: int,
        requested: RequestedPicture,
        trace: Trace,
        *,
        reload: bool = False,
        ruled_out: RuledOut = NONE_RULED_OUT,
        whole: bool = False,
        look: Look | None = None,
    ) -> Selection:
        """Return the picture that *requested* gets. With *reload*, the store is asked even if the record is fresh.

        With *whole*, `load` will be asked for the body, which is looked up together with the record where possible.
        *look* is what `look` has returned for this request.
        *ruled_out* are the formats with which `load` has failed for this request, each with its error. Raise
        `NoPicture` or `Unrenderable` (then the result of `placeholder` can be served), `NotAcceptable`, `BadParameter`,
        `Unwritable` if every acceptable format has failed, and the errors of the store.
        """
        if reload:
            recorded = await self._originals.look_up(contact, trace)
        else:
            look = look or self.look_at_once(contact, requested, trace)
            seen, recorded = look or await self.look(contact, requested, trace, whole=whole)
            if seen is not None:
                if seen.error is not None:
                    raise seen.error
                if seen.entry is not None:
                    return self._of_stored(seen.entry, seen.until, requested, trace)
                reload = seen.changed
                recorded = await self._originals.look_up(contact, trace)
        found = await self._originals.find(contact, recorded, trace, reload=reload)
        if self._near.contradicts(contact, found.record.version):
            found = await self._originals.find(contact, found, trace, reload=True)
        return self._of_recorded(contact, found, requested, ruled_out)

    def look_at_once(self, contact: int, requested: RequestedPicture, trace: Trace) -> Look | None:
        """Look for the picture in a near store without waiting. None: that is not enough, and `look` is needed."""
        trace.owner = contact
        if (choices := self._near_choices(requested)) is None:
            return None
        seen = self._near.see_at_once(contact, trace, choices)
        return None if seen is None else Look(seen=seen)

    async def look(self, contact: int, requested: RequestedPicture, trace: Trace, *, whole: bool) -> Look:
        """Look for the picture once: in a near store, or in the caches. Call `look_at_once` first.

        *whole* is as in `select`. Raise `OriginalChanged`.
        """
        if (choices := self._near_choices(requested)) is not None:
            return Look(seen=await self._near.see(contact, trace, choices))
        likely = self._candidates.likely_field(requested) if whole else None
        return Look(recorded=await self._originals.look_up(contact, trace, likely))

    def seen(self, look: Look, requested: RequestedPicture, trace: Trace) -> tuple[Selection, Entry] | None:
        """Return the selection of the stored picture and its bytes, if *look* has seen them and they are fresh."""
        if look.seen is None or (entry := look.seen.entry) is None or not entry.body or time.time() >= look.seen.until:
            return None
        return self._of_stored(entry, look.seen.until, requested, trace), entry

    async def cached(
        self, look: Look, requested: RequestedPicture, trace: Trace, *, whole: bool
    ) -> tuple[Selection, Entry] | None:
        """Return the selection and its bytes if both are fresh, and in a cache or seen by *look*. Raise as `select`.

        Without *whole*, bytes that are not in memory are not looked up.
        """
        recorded = look.recorded
        if recorded is None:
            return self.seen(look, requested, trace)
        if recorded.original is None or not self._originals.is_fresh(recorded, trace):
            return None
        contact = recorded.original.contact
        if self._near.contradicts(contact, recorded.record.version):
            return None
        selection = self._of_recorded(contact, recorded, requested, NONE_RULED_OUT)
        if selection.work is None and self._is_streamed(recorded.original):
            return None  # memory may have it without its body
        if (entry := self._cache.local(contact, selection.field)) is not None:
            self._observer.cache("memory", "hit")
        elif whole:
            entry = await self._entries.look_up(selection, trace)
        return (selection, entry) if entry is not None and entry.version == selection.version else None

    def _near_choices(self, requested: RequestedPicture) -> Mapping[Format, FormatChoice] | None:
        """Return the choices by stored format if *requested* gets most pictures as stored, from a near store."""
        choices = self._candidates.stored_choices(requested) if self._near.near else None
        return choices if choices is not None and _USUAL_FORMAT in choices else None

    def _of_recorded(
        self, contact: int, recorded: RecordedOriginal, requested: RequestedPicture, ruled_out: RuledOut
    ) -> Selection:
        """Return the selection of a recorded original. Raise as `select`."""
        original = recorded.original
        if original is None:
            raise NoPicture(N_("Contact %(contact)s has no picture."), {"contact": str(contact)})
        choice, field, work = self._candidates.of_picture(original, requested, ruled_out)
        if fault := active_fault(original.fault, self._digest, as_stored=choice.as_stored):
            raise fault.error()
        if failures := refused(original.failures, time.time()):  # when one expires, its format is a candidate again
            recorded = replace(recorded, until=min(recorded.until, *(each.until for each in failures)))
        etag = entity_tag(contact, original.version, field, choice)
        return Selection(
            contact, field, original.version, etag, choice, original.modified, work, original, recorded=recorded
        )

    def _of_stored(self, entry: StoredEntry, until: float, requested: RequestedPicture, trace: Trace) -> Selection:
        """Return the selection of the stored picture that a near store holds, which is fresh until *until*."""
        original, trace.found = entry.original, (STORED, entry)
        choice = self._candidates.stored_choices(requested)[original.format]
        # What remembers the selection must not hold the picture.
        without_bytes = StoredEntry(entry.version, entry.stored_at, entry.detail, b"", original)
        recorded = RecordedOriginal(original, without_bytes, until)
        return Selection(
            original.contact,
            STORED,
            original.version,
            entity_tag(original.contact, original.version, STORED, choice),
            choice,
            original.modified,
            None,
            original,
            recorded=recorded,
        )

    def validator(self, original: Original, requested: RequestedPicture) -> str:
        """Return the entity tag for *requested* of *original*, even if it has a fault. Raise `NotAcceptable`."""
        choice, field, _ = self._candidates.of_picture(original, requested, NONE_RULED_OUT)
        return entity_tag(original.contact, original.version, field, choice)

    def placeholder(
        self,
        requested: RequestedPicture,
        text: str,
        language: str,
        initials: Initials | None,
        ruled_out: RuledOut = NONE_RULED_OUT,
    ) -> Selection:
        """Return the placeholder of *requested*: with *text* in *language* if it has words, or with *initials*.

        *ruled_out* and the errors are as in `select`.
        """
        failures = self._renditions.placeholder_failures
        return self.placeholders.select(requested, text, language, initials, failures, ruled_out)

    def revalidate_local(self, selected: Selected, most: float = math.inf) -> tuple[Entry, int] | None:
        """Return the entry of an earlier selection and the seconds it stays fresh, if it is valid and in memory.

        Return None, too, if its body has more than *most* bytes.
        The selection is valid while its record is the one in the cache: a newer record, a purge, a fault and an
        eviction end it.
        """
        if isinstance(selected.record, StoredEntry):
            entry = self._cache.local(selected.owner, selected.field)
            if entry is None or entry.stored_at != selected.record.stored_at:
                return None
        else:
            record = self._cache.local(selected.owner, RECORD)
            if record is not selected.record and (record is None or record != selected.record):
                return None
            entry = self._cache.local(selected.owner, selected.field)
        if entry is None or len(entry.body) > most:
            return None
        return self._fresh(selected, entry, "memory")

    async def revalidate_shared(self, selected: Selected, *, body: bool) -> tuple[Entry, int] | None:
        """Return the same as `revalidate_local`, by one lookup in the shared cache.

        Without *body*, the entry is not looked up, and its record is returned in its place.
        """
        if isinstance(selected.record, StoredEntry):
            return None  # it is in memory only
        fields = (RECORD, selected.field) if body else (RECORD,)
        found = await self._cache.shared(selected.owner, fields, self._new_trace())
        if not found or (found[0] is not selected.record and found[0] != selected.record):
            return None
        return self._fresh(selected, found[-1], "shared")

    async def load(self, selection: Selection, trace: Trace, *, body: bool = True) -> Picture:
        """Return the selected picture. Without *body* (HEAD), its length: if it is cached, no body is read.

        Raise `OriginalChanged` when the stored original has changed, `Unwritable` or `BeyondFormat` when another format
        may do (select again with this one ruled out), and the errors of the store and of the renderer.
        """
        original = selection.original
        if original is not None and selection.work is None:
            if not body:
                return self._stored_head(selection, original, trace)
            if self._is_streamed(original):
                return await self._stream(original, range(original.size), trace)
        elif not body and (head := await self._head(selection, trace)):
            return head
        with trace.timed("cache"):
            entry = self._cache.local(selection.owner, selection.field)
        if trace.found is not None and isinstance(trace.found[1], StoredEntry):
            entry = trace.found[1]
        elif entry is not None and entry.version == selection.version:
            self._observer.cache("memory", "hit")
        elif original is not None and selection.work is None and self._near.near:
            entry = await self._near.read(original, trace)
        else:
            entry = await self._entries.find_or_make(selection, trace)
        older = None
        if entry.version != selection.version:
            trace.ttl = -int(time.time() - entry.stored_at) - 1
            self._observer.stale_served()
            older = entity_tag(selection.owner, entry.version, selection.field, selection.choice)
        return Picture(len(entry.body), entry.body if body else None, entry.detail, older)

    async def load_part(self, selection: Selection, span: range, trace: Trace) -> Picture:
        """Return the bytes of a stored picture at *span*; an `older` picture is returned whole. Raise as `load`."""
        original = selection.original
        assert original is not None
        if self._is_streamed(original):
            return await self._stream(original, span, trace)
        whole = await self.load(selection, trace)
        if whole.older is not None:
            return whole
        assert isinstance(whole.body, bytes)
        return Picture(len(span), memoryview(whole.body)[span.start : span.stop])

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._entries.close()
        await self._near.close()

    def _fresh(self, selected: Selected, entry: Entry | None, layer: Layer) -> tuple[Entry, int] | None:
        ttl = selected.until - time.time()
        if entry is None or entry.version != selected.record.version or not 0 < ttl <= self._lifetimes.fresh:
            return None
        if layer == "memory":
            self._observer.cache(layer, "hit")
        return entry, int(ttl)

    async def _head(self, selection: Selection, trace: Trace) -> Picture | None:
        head = await self._cache.head(selection.owner, selection.field, trace)
        if head is None or head.version != selection.version:
            return None
        return Picture(head.length, None, head.detail)

    def _stored_head(self, selection: Selection, original: Original, trace: Trace) -> Picture:
        if self._is_streamed(original) or self._cache.local(selection.owner, selection.field) is None:
            trace.fwd = "miss"
        return Picture(original.size, None)

    async def _stream(self, original: Original, span: range, trace: Trace) -> Picture:
        trace.fwd = "miss"
        return Picture(len(span), await self._originals.stream(original, span, trace))

    def _is_streamed(self, original: Original) -> bool:
        """Return whether the stored bytes are sent from the store: slow readers do not share them in memory."""
        return original.size > self._most
