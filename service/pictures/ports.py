"""The ports of the use case: the protocols that its adapters in other packages implement.

They are protocols because `pictures` lies below its adapters and must not import them. The tests run one contract suite
over all adapters of the stores, and one over those of the shared cache.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Literal, NamedTuple, Protocol

from service.errors import N_
from service.formats import Format
from service.imaging.order import Encoding, Limits, Order, Placeholder, Rendered
from service.pictures.trace import Trace
from service.pictures.values import Entry, EntryHead, MezzanineFile, Original, Owner, Pieces
from service.system.open_file import OpenFile

Outcome = Literal["finished", "failed", "refused", "timed_out", "abandoned"]
Layer = Literal["memory", "shared"]
Stage = Literal["queue", "store", "cache", "superoffice"]
"""The parts of a request whose durations are counted."""
MadeFrom = Literal["original", "mezzanine", "placeholder"]
"""What a rendition was made from. A placeholder is drawn."""
Lookup = Literal["hit", "miss", "foreign", "unavailable", "put_failed", "put_dropped", "unknown_news"]
Read = Callable[[], Awaitable[bytes | OpenFile]]
"""Returns the bytes of an original or of an upload, or its open file, which the caller closes."""


FULL = N_("Too many pictures wait to be rendered. Try again soon.")
"""The message of `Overloaded`."""


class Loaded(NamedTuple):
    """An original and its bytes (None: they were not read, or changed meanwhile)."""

    original: Original
    data: bytes | None


class OriginalStore(Protocol):
    """The store of the originals. Every method raises `StoreFailed` or `StoreTimedOut`."""

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        """Return the original of *contact*, or None. An original that cannot be used has a `Fault`.

        *known* is whether a record says that there is a picture: when many of these are missing, the store has failed.
        Raise `OriginalEmpty` when there are only files without bytes.
        """

    async def read(self, original: Original) -> bytes:
        """Return the bytes of *original*. Raise `OriginalChanged` when the stored version is another one."""

    @property
    def near(self) -> bool:
        """Whether reading a picture costs less than a copy in the shared cache, as on a local file system."""

    def load_at_once(self, contact: int, most: int) -> Loaded | None:
        """Return the same as `load`, with the bytes unless they are too many. None: that needs a wait."""

    async def load(self, contact: int, most: int) -> Loaded | None:
        """Return the original of *contact* and its bytes, read together. None: there is none.

        There are no bytes if there are more than *most*, or if they changed during the read. Raise as `find`.
        """

    async def open(self, original: Original) -> bytes | OpenFile:
        """Return the open file of *original*, or its bytes if another process may not read it. Raise as `read`."""

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        """Return the same bytes, or those at *span*, in pieces of *piece* bytes. The last piece may be shorter.

        The file is open and its version is checked when this method returns.
        """

    async def check(self) -> str:
        """Return a short description of the store, or raise."""

    async def identity(self) -> str | None:
        """Return the text that tells this store from others. None: there is none."""

    async def close(self) -> None:
        """Close what is open."""


Check = Callable[[Original | None], None]
"""Raises `PreconditionFailed` when the present original does not meet the conditions of a write."""


class Upload(Protocol):
    """The bytes of an upload. Every method raises `StoreFailed` or `StoreTimedOut`."""

    async def write(self, piece: bytes) -> None:
        """Append *piece*."""

    async def read(self) -> bytes:
        """Return all bytes written so far."""

    async def open(self) -> bytes | OpenFile:
        """Return the open file with all bytes written so far, or these bytes if another process may not read it."""

    async def replace(self, data: bytes) -> None:
        """Replace all bytes by *data*."""


class WritableStore(OriginalStore, Protocol):
    """A store whose originals can be replaced and deleted. Every method raises `StoreFailed` or `StoreTimedOut`."""

    def uploading(self) -> AbstractAsyncContextManager[Upload]:
        """Open an upload. It is removed at the end of the block unless it was put."""

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        """Make *upload* the original of *contact*, durably, if the present one passes *check*.

        No other write happens between the check and the change. The call has no time limit, and the change is completed
        even if the caller is cancelled.
        """

    async def delete(self, contact: int, check: Check) -> None:
        """Delete the original of *contact* in the same way."""

    async def sweep(self) -> None:
        """Delete the uploads that a crash has left behind."""


class CacheUnavailable(Exception):
    """The shared cache did not answer in time, or with an error."""


class CacheFull(CacheUnavailable):
    """The shared cache has no memory left for a put. It still answers lookups."""


class Lease(NamedTuple):
    """A lease that this process holds for *seconds* unless it is renewed. *token* proves that it is the holder."""

    name: str
    token: str
    seconds: float


class HeldLease(NamedTuple):
    """The lease of another process. It lasts *seconds* unless it is renewed.

    *ended* is set when the lease is released, and when the subscription is lost.
    """

    seconds: float
    ended: asyncio.Event


class FenceToken(NamedTuple):
    """The contact's fencing token, which every purge deletes: a put with an old one is refused.

    *lease* is the lease that was obtained with it, and *held* the lease that another process holds instead.
    """

    fence: bytes
    lease: Lease | None = None
    held: HeldLease | None = None


class SharedCache(Protocol):
    """The cache of the fleet, by owner and field. Every method raises `CacheUnavailable` and no other exception.

    A damaged, foreign or too large value is a miss. An entry may be lost at any time.
    """

    def subscribe(self, on_purge: Callable[[int | None], None], on_change: Callable[[bool], None]) -> None:
        """Subscribe to the other processes, in the background.

        *on_purge* is called with each contact that another process purges or announces. It is called with None for all
        contacts, and when calls may have been lost. *on_change* is called with whether the subscription is up. While it
        is down, calls are late or lost.
        """

    async def get(self, owner: Owner, fields: Sequence[str]) -> list[Entry | None]:
        """Return the entries, None for each that is not there."""

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        """Return the head of the entry without transferring its body."""

    async def fence(self, owner: Owner) -> FenceToken:
        """Return the token for later puts. Call it before the store is read."""

    async def acquire(self, owner: Owner, field: str, version: str) -> Entry | FenceToken:
        """Return the entry if it has that *version*. Otherwise return a token, with the lease if it is free.

        If this call is cancelled, the lease becomes free again.
        """

    async def is_led(self, owner: Owner, field: str) -> bool:
        """Return whether a process holds the lease of the entry."""

    async def put(
        self, owner: Owner, field: str, entry: Entry, token: FenceToken, *, life: float, sole: bool = False
    ) -> bool:
        """Put *entry* for *life* seconds, and release the lease of *token*. A record deletes the absence beside it.

        With *sole*, *entry* is the record of a missing picture and replaces all others. But if there is the record of a
        picture, *entry* is put beside it as `ABSENCE`, for as long as the others. Return False when the fence was
        deleted in between.
        """

    async def renew(self, lease: Lease) -> bool:
        """Let *lease* last for its full time from now. Return False when it is lost."""

    async def release(self, lease: Lease) -> None:
        """End *lease*, and wake the processes that wait for it."""

    async def announce(self, contact: int) -> None:
        """Have the other processes drop *contact* from memory."""

    async def purge(self, contact: int | None) -> None:
        """Drop all entries of *contact* (None: of all contacts), and have all processes drop them from memory."""

    async def check(self) -> str:
        """Return a short description of the cache."""

    async def stores(self, own: str | None) -> list[str]:
        """Return the identities of stores that processes have noted in the last minutes, and note *own* if given."""

    async def close(self) -> None:
        """Close the connections."""


class CountedOrder(AbstractContextManager["CountedOrder"], Protocol):
    """An order that counts as unfinished in its `with` block."""

    def pause(self) -> None:
        """Do not count it for now: another process renders it."""

    def resume(self) -> None:
        """Count it again, with a new time by which its render must begin."""


class Admission(Protocol):
    """Accepts the orders whose render can begin in time."""

    def refuses(self, trace: Trace) -> bool:
        """Return whether the order of a new request, of which *trace* is the record, could not begin in time."""

    def require(self, trace: Trace) -> None:
        """Raise `Overloaded` if `refuses` is true."""

    def count(self, trace: Trace, format: Format | None = None, pixels: int = 0) -> CountedOrder:
        """Return a `with` block that counts an order as unfinished, and sets the time by which its render must begin.

        *pixels* are those of the original and of the rendition together. Without it or *format* the cost is unknown.
        """


class MezzanineReceiver(Protocol):
    """The receiver of the mezzanine that the render of a large original can make. *key* identifies the original."""

    key: str

    def is_awaited(self) -> bool:
        """Return whether requests wait for the mezzanine."""

    async def receive(self, mezzanine: MezzanineFile | None, *, impossible: bool) -> None:
        """Receive the mezzanine, once after a successful render.

        It is None if this original never has one (*impossible*), or if it was skipped this time because other renders
        waited for the process.
        """


class Renderer(Protocol):
    """Makes renditions of originals, within bounds of time and memory.

    Its methods raise `Unrenderable`, `Unwritable`, `BadParameter`, `Overloaded`, `RenderTimedOut` and
    `RenderWorkerDied`.
    """

    async def render_original(
        self, read: Read, order: Order, trace: Trace, receiver: MezzanineReceiver | None = None
    ) -> Rendered:
        """Carry out *order* on the bytes that *read* returns. It is called when the render is about to begin."""

    async def render_mezzanine(self, mezzanine: MezzanineFile, order: Order, trace: Trace) -> Rendered:
        """Carry out *order* on a mezzanine."""

    async def admit(self, read: Read, limits: Limits, strip: Encoding | None, trace: Trace) -> bytes | None:
        """Decode an upload once. With *strip*, return the bytes to store in its place, without metadata.

        Raise `UnsupportedUpload` too.
        """

    async def draw(self, placeholder: Placeholder, trace: Trace) -> bytes:
        """Draw a placeholder."""

    async def probe(self) -> None:
        """Return if a render has succeeded in the last seconds or if one pixel can be rendered now."""

    async def close(self) -> None:
        """End all processes."""


class Observer(Protocol):
    """Counts events. Its methods are called from the event loop."""

    def cache(self, layer: Layer, outcome: Lookup) -> None:
        """A lookup in one layer of the cache, a put that failed, or what a stranger has put or published there."""

    def stale_served(self) -> None:
        """A stale record or an older rendition is served."""

    def collapsed(self) -> None:
        """A request is answered from another request's render or read, in this process or in the fleet."""

    def purged(self) -> None:
        """This process purges a contact, or all contacts."""

    def store_read(self) -> None:
        """The store is asked for an original or for its state."""

    def render_started(self) -> None:
        """The render of a request begins."""

    def render_ended(self, outcome: Outcome) -> None:
        """The render of a request ends."""

    def rendered(self, format: Format, made_from: MadeFrom, seconds: float) -> None:
        """A render process has made a rendition or a placeholder."""

    def render_process_died(self) -> None:
        """A render process has died, and another one is started. The service has not ended it itself."""

    def took(self, stage: Stage, seconds: float) -> None:
        """A render has waited in the queue, or the store, the shared cache or SuperOffice was asked, for *seconds*."""

    def mezzanine_used(self) -> None:
        """A rendition is made from a mezzanine."""

    def first_frame(self) -> None:
        """A rendition shows only the first frame of an animation that exceeds the limits."""

    def unwritable(self) -> None:
        """A rendition of a sound original, or a placeholder, could not be written in one format."""

    def sandboxed(self, layers: Mapping[str, int]) -> None:
        """The first render process has started, in a sandbox with these layers (0: the layer is missing)."""

    def queued(self, count: int) -> None:
        """The number of waiting renders has changed to *count*."""
