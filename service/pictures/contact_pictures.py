"""The use case: which picture a request gets, and its bytes. On ports alone.

Two steps, so that a validator is answered before anything is paid for: `select` says what it would be, `load` gets it.

1. `select` finds the record of the original (`Originals`). `Candidates` chooses one of the formats that are not ruled
   out, and with it the rendition's field in the cache.
2. `load` takes that field from memory or from the shared cache. If it is in neither, one process of the fleet makes the
   rendition, and the others wait for it.
3. `Faults` holds a failed render against the picture or against the field, in the record of the original. The next
   request finds that in step 1.
4. After some errors the caller goes back to step 1. `Unwritable` and `BeyondFormat` rule out one format for this
   request. After `Unrenderable`, a placeholder (`blank`) may stand in. `OriginalChanged` says that the record is out of
   date, so `select` looks at the store *anew*.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from service.errors import N_, NoPicture, Overloaded, RenderTimedOut, RenderWorkerDied
from service.imaging.order import Blank
from service.pictures.caching.fleet import FleetFlights
from service.pictures.caching.tiers import Ticket, TieredCache
from service.pictures.candidates import Candidates
from service.pictures.failures import failed_before, standing
from service.pictures.faults import BLAMED, Faults
from service.pictures.flights import Flights
from service.pictures.mezzanine_renderer import MezzanineRenderer
from service.pictures.originals import STORE_ERRORS, KnownOriginal, Originals, RecordLifetimes, jitter
from service.pictures.ports import Layer, Observer, OriginalStore, Renderer
from service.pictures.selection import Recipe, Selection, entity_tag
from service.pictures.trace import Trace
from service.pictures.values import BLANK, RECORD, Entry, Original, Picture
from service.protocol.negotiate import NONE_RULED_OUT, RequestedPicture, RuledOut

FIRST_FRAME = "first-frame"
"""The detail of a rendition that shows one frame of an animation past the budget."""

PIECE = 18_432
"""Bytes of a streamed picture at a time; in base64 they are 24 KiB. A slow reader holds one of these."""

_SHARED_STORED = 262_144
"""Bytes; stored pictures up to this are cached like renditions, larger ones are streamed."""
_PASSING = (*STORE_ERRORS, Overloaded, RenderTimedOut, RenderWorkerDied)
"""What may be over soon, so that an older rendition is better than none."""


@dataclass(frozen=True, slots=True)
class _Got:
    """An entry, and whether it was *made* for this request: *stored* here, or made *elsewhere* in the fleet."""

    entry: Entry
    made: bool = False
    stored: bool = False
    elsewhere: bool = False


class ContactPictures:
    """Contacts' pictures out of a store, by way of a cache and a renderer."""

    def __init__(
        self,
        store: OriginalStore,
        cache: TieredCache,
        renderer: Renderer,
        observer: Observer,
        *,
        recipe: Recipe,
        lifetimes: RecordLifetimes,
        originals: Originals,
        mezzanines: MezzanineRenderer,
        fleet: FleetFlights,
    ) -> None:
        self._store, self._cache, self._renderer, self._observer = store, cache, renderer, observer
        self._candidates, self._lifetimes = Candidates(recipe), lifetimes
        self._originals, self._mezzanines, self._fleet = originals, mezzanines, fleet
        self._faults = Faults(originals, observer, lifetime=lifetimes.unrenderable, digest=recipe.digest)
        self._flights = Flights()

    async def select(
        self,
        contact: int,
        requested: RequestedPicture,
        trace: Trace,
        *,
        anew: bool = False,
        ruled_out: RuledOut = NONE_RULED_OUT,
    ) -> Selection:
        """Settle which picture *requested* gets. With *anew*, what the cache says of the original is not believed.

        *ruled_out* are the formats with which `load` has failed for this request, each with its error. Raises
        `NoPicture` or `Unrenderable` (then `blank` may stand in), `NotAcceptable`, `BadParameter`, `Unwritable` where
        every acceptable format has failed, and the store's errors.
        """
        known = await self._originals.find(contact, trace, anew=anew)
        original = known.original
        if original is None:
            raise NoPicture(N_("Contact %(contact)s has no picture."), {"contact": str(contact)})
        refused = self._faults.refusal(original.fault) is not None
        choice, field, work = self._candidates.of_picture(original, requested, ruled_out, refused=refused)
        if fault := self._faults.refusal(original.fault, as_stored=choice.as_stored):
            raise fault.error()
        if failures := standing(original.failures, time.time()):  # once one is over, its format is a candidate again
            known = replace(known, until=min(known.until, *(each.until for each in failures)))
        etag = entity_tag(contact, original.version, field, choice)
        return Selection(contact, field, original.version, etag, choice, original.modified, work, original, known=known)

    def validator(self, original: Original, requested: RequestedPicture) -> str:
        """The ETag of what *requested* gets of *original*, though that may be of no use. Raises `NotAcceptable`."""
        refused = self._faults.refusal(original.fault) is not None
        choice, field, _ = self._candidates.of_picture(original, requested, NONE_RULED_OUT, refused=refused)
        return entity_tag(original.contact, original.version, field, choice)

    def blank(
        self, requested: RequestedPicture, text: str, language: str, ruled_out: RuledOut = NONE_RULED_OUT
    ) -> Selection:
        """The placeholder that *requested* asks for; *text* in *language* for those with words.

        *ruled_out* and what is raised are as with `select`.
        """
        failures = self._faults.of_placeholders
        choice, field, work = self._candidates.of_placeholder(requested, text, language, failures, ruled_out)
        etag = entity_tag(BLANK, "", field, choice)
        return Selection(BLANK, field, "", etag, choice, None, work, blank=requested.if_blank)

    def revalidate_local(self, selection: Selection) -> tuple[Entry, int] | None:
        """What was selected before, if it would be selected again and is in memory, and the seconds it stays fresh.

        It stands on its record: a newer one, a purge, a fault and an eviction each leave another in its place, or none.
        """
        known = selection.known
        if known is None:
            return None
        record = self._cache.local(selection.owner, RECORD)
        if record is not known.record and record != known.record:
            return None
        entry = self._cache.local(selection.owner, selection.field)
        return self._fresh(selection, known, entry, "memory")

    async def revalidate_shared(self, selection: Selection) -> tuple[Entry, int] | None:
        """The same by one look-up in the shared cache, for what is in memory no more."""
        known = selection.known
        if known is None:
            return None
        found = await self._cache.shared(selection.owner, (RECORD, selection.field), Trace())
        if not found or (found[0] is not known.record and found[0] != known.record):
            return None
        return self._fresh(selection, known, found[1], "shared")

    async def load(self, selection: Selection, trace: Trace, *, body: bool = True) -> Picture:
        """The selected picture; without *body* (for HEAD) its length, which costs no read where it is cached.

        Raises `OriginalChanged` when the original is not what was selected any more, `Unwritable` or `BeyondFormat`
        when another format may be had (select again with this one ruled out), and what store and renderer raise.
        """
        original = selection.original
        if selection.work is None and original is not None:
            if not body:
                if self._streams(original) or self._cache.local(selection.owner, selection.field) is None:
                    trace.fwd = "miss"
                return Picture(original.size, None)
            if self._streams(original):
                return await self._streamed(original, range(original.size), trace)
        if not body:
            head = await self._cache.head(selection.owner, selection.field, trace)
            if head is not None and head.version == selection.version:
                return Picture(head.length, None, head.detail)
        with trace.timed("cache"):
            entry = self._cache.local(selection.owner, selection.field)
        if entry is not None and entry.version == selection.version:
            self._observer.cache("memory", "hit")
        else:
            key = selection.owner, selection.field, selection.version
            got, joined = await self._flights.join(key, lambda: self._get(selection, trace))
            entry = got.entry
            if entry.version != selection.version:
                trace.ttl = -int(time.time() - entry.stored_at) - 1
                self._observer.stale_served()
                older = entity_tag(selection.owner, entry.version, selection.field, selection.choice)
                return Picture(len(entry.body), entry.body if body else None, entry.detail, older)
            if got.made:
                trace.fwd, trace.stored, trace.collapsed = "miss", got.stored, got.elsewhere or joined
                if trace.collapsed:
                    self._observer.collapsed()
        return Picture(len(entry.body), entry.body if body else None, entry.detail)

    async def load_part(self, selection: Selection, span: range, trace: Trace) -> Picture:
        """The bytes of a stored picture at *span*; an `older` one comes whole. Else as `load`."""
        original = selection.original
        assert original is not None
        if self._streams(original):
            return await self._streamed(original, span, trace)
        whole = await self.load(selection, trace)
        if whole.older is not None:
            return whole
        assert isinstance(whole.body, bytes)
        return Picture(len(span), memoryview(whole.body)[span.start : span.stop])

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._flights.close()

    def _fresh(
        self, selection: Selection, known: KnownOriginal, entry: Entry | None, layer: Layer
    ) -> tuple[Entry, int] | None:
        ttl = known.until - time.time()
        if entry is None or entry.version != selection.version or not 0 < ttl <= self._lifetimes.fresh:
            return None
        if layer == "memory":
            self._observer.cache(layer, "hit")
        return entry, int(ttl)

    async def _get(self, selection: Selection, trace: Trace) -> _Got:
        """What was selected, out of the cache, or made by whoever in the fleet is first to be asked for it.

        Where it cannot be had just now it is an older rendition, if there is one that is not too old.
        """
        found = await self._cache.get(selection.owner, selection.field, trace)
        if found is not None and found.version == selection.version:
            return _Got(found)

        async def make(ticket: Ticket) -> tuple[Entry, bool]:
            entry = await self._make(selection, ticket, trace)
            life = self._lifetimes.kept * jitter(entry)
            return entry, await self._cache.put(selection.owner, selection.field, entry, ticket, life=life)

        try:
            made = await self._fleet.join(selection.owner, selection.field, selection.version, make, trace)
        except _PASSING:
            if found is None or time.time() - found.stored_at > self._lifetimes.stale_if_error:
                raise
            return _Got(found)
        entry, stored, elsewhere = made
        return _Got(entry, made=True, stored=stored, elsewhere=elsewhere)

    async def _make(self, selection: Selection, ticket: Ticket, trace: Trace) -> Entry:
        """Render, draw or read what was selected."""
        detail = ""
        if isinstance(selection.work, Blank):
            try:
                data = await self._renderer.draw(selection.work, trace)
            except BLAMED as error:
                raise self._faults.blame_placeholder(selection.field, selection.work, error) from None
        elif selection.work is None:
            data, _ = await self._read(selection, trace)
        else:
            original = selection.original
            assert original is not None
            if ticket.waited:
                now = await self._originals.recorded(original, trace)
                if failure := failed_before(now.failures, selection.field, selection.work.format, time.time()):
                    raise failure  # in the other process
            strikes, aside = original.strikes, ticket.aside()

            async def read() -> bytes:
                nonlocal strikes
                data, strikes = await self._read(selection, trace)
                return data

            try:
                rendered = await self._mezzanines.render(original, read, selection.work, aside, trace)
            except BLAMED as error:
                blame = self._faults.blame(original, selection.field, selection.work, error, strikes, aside, trace)
                raise await blame from None
            data = rendered.data
            if rendered.first_frame:
                detail = FIRST_FRAME
                self._observer.first_frame()
        return Entry(selection.version, time.time(), detail, data)

    async def _read(self, selection: Selection, trace: Trace) -> tuple[bytes, int]:
        """The original's bytes, and the strikes against it before they are rendered."""
        original = selection.original
        assert original is not None
        now = await self._originals.recorded(original, trace)
        if fault := self._faults.refusal(now.fault, as_stored=selection.work is None):
            raise fault.error()  # it failed while this request waited for its turn
        self._observer.store_read()
        with trace.timed("store"):
            return await self._store.read(original), now.strikes

    async def _streamed(self, original: Original, span: range, trace: Trace) -> Picture:
        """The stored bytes at *span*, in pieces from the store."""
        trace.fwd = "miss"
        with trace.timed("store"):
            self._observer.store_read()
            return Picture(len(span), await self._store.stream(original, PIECE, span))

    def _streams(self, original: Original) -> bool:
        """Whether its stored bytes go out from the store, not the cache: slow readers of many would share none."""
        return original.size > min(_SHARED_STORED, self._cache.max_body)
