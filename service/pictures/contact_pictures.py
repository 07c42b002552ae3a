"""The use case: which picture a request gets, and its bytes. On ports alone.

Two steps, so that a validator is answered before anything is paid for: `select` says what it would be, `load` gets it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from hashlib import blake2b

from service.errors import N_, NoPicture, RenderTimedOut, RenderWorkerDied, Unrenderable
from service.formats import Format, IfBlank
from service.imaging.order import Blank, Encoding, Limits, Order
from service.pictures import records
from service.pictures.flights import Flights
from service.pictures.mezzanines import Mezzanines
from service.pictures.ports import Observer, OriginalStore, Renderer
from service.pictures.tiers import Tiers
from service.pictures.trace import Trace
from service.pictures.values import BLANK, Entry, Fault, Original, Owner, Picture
from service.protocol.negotiate import Choice, Wish

_Blamed = Unrenderable | RenderTimedOut | RenderWorkerDied
_BLAMED = Unrenderable, RenderTimedOut, RenderWorkerDied

FIRST_FRAME = "first-frame"
"""The detail of a rendition that shows one frame of an animation past the budget."""

PIECE = 9_216
"""Bytes of a streamed picture at a time; in base64 they are 12 KiB. A slow reader holds a few of these."""

_RECORD = "original"
_SKEW = 5.0
"""Seconds by which another host's clock may be ahead of ours and its record still count as fresh."""
_SHARED_STORED = 262_144
"""Bytes; stored pictures up to this are cached like renditions, larger ones are streamed."""
_MODEST_STILL, _MODEST_ANIMATION = 1024, 256
"""Pixels of a side; whoever asks for more can make any picture slow, and must not get it refused to others."""
_STRIKES = 2
"""Workers that a picture may end before it is refused."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds for which what we know is trusted: an original's state, its absence, its fault."""

    fresh: float
    missing: float
    unrenderable: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """How renditions are made, and *digest* of all that shapes their bytes."""

    limits: Limits
    encoding: Encoding
    digest: str
    as_stored: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The picture that a request gets, known by its validators before its bytes are.

    *blank* tells that it is a placeholder; *record* is what it was selected on, for `ContactPictures.again`.
    """

    owner: Owner
    field: str
    version: str
    etag: str
    choice: Choice
    last_modified: int | None
    work: Order | Blank | None
    original: Original | None = None
    blank: IfBlank | None = None
    record: Entry | None = None


class ContactPictures:
    """Contacts' pictures out of a store, by way of a cache and a renderer."""

    def __init__(
        self,
        store: OriginalStore,
        cache: Tiers,
        renderer: Renderer,
        observer: Observer,
        *,
        recipe: Recipe,
        lifetimes: Lifetimes,
        mezzanines: Mezzanines,
    ) -> None:
        self._store, self._cache, self._renderer, self._observer = store, cache, renderer, observer
        self._recipe, self._lifetimes = recipe, lifetimes
        self._mezzanines = mezzanines
        self._flights = Flights()

    async def select(self, contact: int, wish: Wish, trace: Trace, *, anew: bool = False) -> Selection:
        """Settle which picture *wish* gets. With *anew*, what the cache says of the original is not believed.

        Raises `NoPicture` (then `blank` may stand in), `NotAcceptable`, `Unrenderable` and the store's errors.
        """
        original, record = await self._find(contact, trace, anew=anew)
        if original is None:
            raise NoPicture(N_("Contact %(contact)s has no picture."), {"contact": contact})
        choice = wish.resolve(original.format, original.alpha)
        if choice.as_stored and not self._recipe.as_stored:
            choice = replace(choice, as_stored=False)
        if fault := self._refusal(original.fault, as_stored=choice.as_stored):
            raise fault.error()
        recipe = self._recipe
        work = None
        if choice.as_stored:
            field = "stored"
        else:
            work = Order(choice.format, wish.width, wish.height, wish.fit, recipe.limits, recipe.encoding)
            field = f"{wish.width or 0}:{wish.height or 0}:{wish.fit.value}:{choice.format.name}:{recipe.digest}"
        etag = _etag(contact, original.version, field, choice)
        return Selection(
            contact, field, original.version, etag, choice, original.modified, work, original, record=record
        )

    def blank(self, wish: Wish, text: str, language: str) -> Selection:
        """The placeholder that *wish* asks for; *text* in *language* for those with words. Raises `NotAcceptable`."""
        default = Format.GIF if wish.if_blank is IfBlank.CLEAR_PIXEL else Format.PNG
        choice = wish.resolve_placeholder(default)
        width, height = wish.placeholder_size()
        kind = wish.if_blank
        if not kind.worded:
            text = language = ""
        field = f"{kind.value}:{language}:{width}:{height}:{choice.format.name}:{self._recipe.digest}"
        work = Blank(kind, width, height, choice.format, text, self._recipe.encoding)
        etag = _etag(BLANK, "", field, choice)
        return Selection(BLANK, field, "", etag, choice, None, work, blank=kind)

    def again(self, selection: Selection) -> tuple[Entry, int] | None:
        """What was selected before, if it would be selected again and is in memory, and the seconds it stays fresh.

        It stands on its record: a newer one, a fault and an eviction each leave another in its place, or none.
        """
        record = selection.record
        if record is None or self._cache.near(selection.owner, _RECORD) is not record:
            return None
        ttl = record.stored_at + self._lifetimes.fresh - time.time()
        entry = self._cache.near(selection.owner, selection.field)
        if entry is None or entry.version != selection.version or not 0 < ttl <= self._lifetimes.fresh + _SKEW:
            return None
        self._observer.cache("memory", "hit")
        return entry, int(ttl)

    async def load(self, selection: Selection, trace: Trace, *, body: bool = True) -> Picture:
        """The selected picture; without *body* (for HEAD) its length, which costs no read where it is cached.

        Raises `OriginalChanged` when the original is not what was selected any more, and what store and renderer raise.
        """
        original = selection.original
        if selection.work is None and original is not None:
            if not body:
                if self._streams(original) or self._cache.near(selection.owner, selection.field) is None:
                    trace.fwd = "miss"
                return Picture(original.size, None)
            if self._streams(original):
                trace.fwd = "miss"
                with trace.timed("store"):
                    self._observer.store_read()
                    return Picture(original.size, await self._store.stream(original, PIECE))
        if not body:
            head = await self._cache.head(selection.owner, selection.field, trace)
            if head is not None and head.version == selection.version:
                return Picture(head.length, None, head.detail)
        entry = await self._cache.get(selection.owner, selection.field, trace)
        if entry is None or entry.version != selection.version:
            trace.fwd = "miss"
            key = selection.owner, selection.field, selection.version
            made, trace.collapsed = await self._flights.join(key, lambda: self._make(selection, trace))
            entry, trace.stored = made
        return Picture(len(entry.body), entry.body if body else None, entry.detail)

    async def close(self) -> None:
        """Cancel the work under way."""
        await self._flights.close()

    async def _find(self, contact: int, trace: Trace, *, anew: bool) -> tuple[Original | None, Entry]:
        """What the store holds for *contact*, as fresh as `Lifetimes` demand, and the record of it."""
        known: Original | None = None
        if not anew:
            entry = await self._cache.get(contact, _RECORD, trace)
            trace.unknown = entry is None
            if entry is not None:
                try:
                    known = records.decode(entry.body)
                except ValueError:
                    entry = None  # another version's or a foreign record: look, and put our own
            if entry is not None:
                ttl = (self._lifetimes.fresh if known else self._lifetimes.missing) - (time.time() - entry.stored_at)
                if 0 < ttl <= self._lifetimes.fresh + _SKEW:
                    trace.ttl = int(ttl)
                    return known, entry
        trace.fwd = "stale" if known else "miss"
        found, _ = await self._flights.join((contact, _RECORD, anew), lambda: self._look(contact, known, trace))
        return found

    async def _look(self, contact: int, known: Original | None, trace: Trace) -> tuple[Original | None, Entry]:
        self._observer.store_read()
        with trace.timed("store"):
            found = await self._store.look(contact)
        if found and known and found.version == known.version:
            kept = None if known.fault and known.fault.permanent else known.fault  # that one was just judged anew
            found = replace(found, fault=found.fault or kept, strikes=known.strikes)
        return found, await self._remember(contact, found)

    async def _remember(self, contact: int, original: Original | None) -> Entry:
        record = Entry(original.version if original else "", time.time(), "", records.encode(original))
        await self._cache.put(contact, _RECORD, record)
        return record

    async def _make(self, selection: Selection, trace: Trace) -> tuple[Entry, bool]:
        """Render, draw or read what was selected, and keep it. Says whether it is kept."""
        detail = ""
        if isinstance(selection.work, Blank):
            data = await self._renderer.draw(selection.work, trace)
        elif selection.work is None:
            data, _ = await self._read(selection, trace)
        else:
            original = selection.original
            assert original is not None
            strikes = original.strikes

            async def read() -> bytes:
                nonlocal strikes
                data, strikes = await self._read(selection, trace)
                return data

            try:
                rendered = await self._mezzanines.render(original, read, selection.work, trace)
            except _BLAMED as error:
                raise await self._blame(selection, error, strikes, trace) from None
            data = rendered.data
            if rendered.first_frame:
                detail = FIRST_FRAME
                self._observer.first_frame()
        entry = Entry(selection.version, time.time(), detail, data)
        return entry, await self._cache.put(selection.owner, selection.field, entry)

    async def _read(self, selection: Selection, trace: Trace) -> tuple[bytes, int]:
        """The original's bytes, and the strikes against it before they are rendered."""
        original = selection.original
        assert original is not None
        now = await self._recorded(original, trace)
        if fault := self._refusal(now.fault, as_stored=selection.work is None):
            raise fault.error()  # it failed while this request waited for its turn
        self._observer.store_read()
        with trace.timed("store"):
            return await self._store.read(original), now.strikes

    async def _blame(self, selection: Selection, error: _Blamed, strikes: int, trace: Trace) -> _Blamed:
        """Hold a failed render against the picture: a corrupt one at once, a deadly one the second time.

        Gives the error that the request ends with; *strikes* is how many there were when the render began.
        """
        original = selection.original
        assert original is not None
        now = await self._recorded(original, trace)
        if self._refusal(now.fault):
            return error
        if not isinstance(error, Unrenderable):
            if not _modest(selection) or now.strikes > strikes:
                return error  # what was asked for is to blame, or another request's strike already tells of this
            now = replace(now, strikes=now.strikes + 1)
            if now.strikes < _STRIKES:
                await self._remember(original.contact, now)
                return error
            error = Unrenderable(N_("The picture cannot be rendered: it has ended several render processes."))
        until = time.time() + self._lifetimes.unrenderable
        fault = Fault(error.message, tuple(error.values.items()), until, self._recipe.digest)
        await self._remember(original.contact, replace(now, fault=fault))
        return error

    def _streams(self, original: Original) -> bool:
        """Whether its stored bytes go out from the store, not the cache: slow readers of many would share none."""
        return original.size > min(_SHARED_STORED, self._cache.max_body)

    def _refusal(self, fault: Fault | None, *, as_stored: bool = False) -> Fault | None:
        """*fault*, if it stands in the way. Stored bytes go out unless they themselves are at fault."""
        if fault is None or (as_stored and not fault.permanent) or time.time() >= fault.until:
            return None
        return fault if fault.recipe in ("", self._recipe.digest) else None

    async def _recorded(self, original: Original, trace: Trace) -> Original:
        """*original* with what has been recorded against it since."""
        entry = await self._cache.get(original.contact, _RECORD, trace)
        if entry is not None and entry.version == original.version:
            try:
                return records.decode(entry.body) or original
            except ValueError:
                pass  # not ours: as if nothing were recorded
        return original


def _modest(selection: Selection) -> bool:
    """Whether so little is asked that a render which dies or outruns its time is the picture's fault."""
    order, original = selection.work, selection.original
    if not isinstance(order, Order) or original is None or not (order.width or order.height):
        return False
    moves = order.format.animated and original.format.animated
    return max(order.width or 0, order.height or 0) <= (_MODEST_ANIMATION if moves else _MODEST_STILL)


def _etag(owner: Owner, version: str, field: str, choice: Choice) -> str:
    """A strong validator that is known before any render. JSON is another representation of the same bytes."""
    parts = f"{owner}\n{version}\n{field}\n{'json' if choice.json else 'picture'}"
    return f'"{blake2b(parts.encode(), digest_size=12).hexdigest()}"'
