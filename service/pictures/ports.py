"""What the use case needs of the world. Adapters implement these; tests run one suite over all of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol

from service.errors import N_
from service.imaging.order import Blank, Encoding, Limits, Order, Rendered
from service.pictures.trace import Trace
from service.pictures.values import Entry, EntryHead, MezzanineFile, Original, Owner, Pieces

Outcome = Literal["finished", "failed", "refused", "timed_out"]
Layer = Literal["memory", "shared"]
Lookup = Literal["hit", "miss", "unavailable", "put_failed", "put_dropped"]
Read = Callable[[], Awaitable[bytes]]


FULL = N_("Too many pictures wait to be rendered. Try again soon.")
"""What `Overloaded` says."""


class OriginalStore(Protocol):
    """Where originals live. Every method raises `StoreFailed` or `StoreTimedOut`."""

    async def look(self, contact: int) -> Original | None:
        """What is stored for *contact*; None when nothing is. An unusable one carries a `Fault`.

        Raises `OriginalEmpty` where there are only files without bytes.
        """

    async def read(self, original: Original) -> bytes:
        """The whole of *original*. Raises `OriginalChanged` when it is another version by now."""

    async def stream(self, original: Original, piece: int, span: range | None = None) -> Pieces:
        """The same, or its bytes at *span*, in pieces of *piece* bytes, the last one shorter. It is open, and its
        version checked, on return."""

    async def check(self) -> str:
        """Say in a few words what is there, or raise."""

    async def close(self) -> None:
        """Let go of what is open."""


Check = Callable[[Original | None], None]
"""Raises `PreconditionFailed` where the present picture is not what a write expects."""


class Upload(Protocol):
    """Bytes on their way in. Every method raises `StoreFailed` or `StoreTimedOut`."""

    async def write(self, piece: bytes) -> None:
        """Add *piece*."""

    async def read(self) -> bytes:
        """All that was written."""

    async def replace(self, data: bytes) -> None:
        """Put *data* in the place of what was written."""


class WritableStore(OriginalStore, Protocol):
    """Where originals live and may be changed. Every method raises `StoreFailed` or `StoreTimedOut`."""

    def uploading(self) -> AbstractAsyncContextManager[Upload]:
        """An upload, which is gone afterwards unless it was put."""

    async def put(self, contact: int, upload: Upload, check: Check) -> Original:
        """Make *upload* the picture of *contact*, durably, if the present one passes *check*; no other write comes
        between. It is not bounded in time: once begun it goes on, whoever waits."""

    async def delete(self, contact: int, check: Check) -> None:
        """Remove the picture of *contact* in the same way."""

    async def sweep(self) -> None:
        """Remove what uploads left behind that a crash ended."""


class CacheUnavailable(Exception):
    """The cache did not answer, in time or at all."""


class CacheFull(CacheUnavailable):
    """The cache answers, and gives what it holds, but can take nothing."""


class Grant(NamedTuple):
    """What a put needs: *fence* is the contact's token, which every purge takes away.

    *lock* is the lead, its name and token; without it, *others* is for how many seconds somebody else has the lead.
    """

    fence: bytes
    lock: tuple[str, str] | None = None
    others: float = 0.0


class Listener(Protocol):
    """Whoever is told what other processes do. Called from the event loop."""

    def purged(self, contact: int | None) -> None:
        """What is known of *contact* is old; None: of all."""

    def arrived(self, name: str) -> None:
        """The lead of that name has ended."""

    def listening(self, up: bool) -> None:
        """Whether what happens elsewhere is heard of. While it is not, it is lost."""


class SharedCache(Protocol):
    """Where renditions live for all processes, by owner and field. Methods raise `CacheUnavailable` and nothing else.

    What is damaged or foreign is a miss. What is put may be gone at any time.
    """

    def listen(self, listener: Listener) -> None:
        """Tell *listener* what other processes do, from now on."""

    async def get(self, owner: Owner, fields: Sequence[str]) -> list[Entry | None]:
        """The entries, whole and undamaged, or None for each that is not there."""

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        """What is known of the entry without reading its body."""

    async def lead(self, owner: Owner, field: str, version: str) -> Entry | Grant:
        """The entry, if it is of that *version*; else the right to make it, or who has it."""

    async def fence(self, owner: Owner) -> Grant:
        """What a later put needs; taken before the store is read, so that nothing old is put after a purge."""

    async def put(
        self, owner: Owner, field: str, entry: Entry, grant: Grant, *, life: float, alone: bool = False
    ) -> bool:
        """Keep *entry* for *life* seconds, *alone*: in place of all the owner's; and give back the lead that *grant*
        holds. False where the fence has fallen."""

    async def renew(self, grant: Grant) -> bool:
        """Hold on to the lead; False where it is lost."""

    async def release(self, grant: Grant) -> None:
        """Give the lead back, and tell everyone."""

    def arrival(self, owner: Owner, field: str) -> str:
        """The name of that lead, as `Listener.arrived` is told it."""

    async def tell(self, contact: int) -> None:
        """Tell everyone that what they know of *contact* is old."""

    async def purge(self, contact: int) -> None:
        """Drop all of *contact*, and tell everyone."""

    async def purge_all(self) -> None:
        """Drop everything, and tell everyone."""

    async def check(self) -> str:
        """Say in a few words what is there, or raise `CacheUnavailable`."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryTier(Protocol):
    """A cache in this process. What is put under an epoch that has passed is never found."""

    def get(self, owner: Owner, field: str) -> Entry | None:
        """The entry; the very object that was put, until another takes its place."""

    def put(self, owner: Owner, field: str, entry: Entry, epoch: int) -> None:
        """Keep *entry*, known since *epoch* began."""

    def epoch(self, owner: Owner) -> int:
        """The epoch of the owner's contact: another one after each `forget`."""

    def forget(self, contact: int | None) -> None:
        """Drop all of *contact*; None: everything."""


class Purges(Protocol):
    """What makes a changed picture new everywhere."""

    async def purge(self, contact: int) -> bool:
        """Drop all of *contact* in every process. False where that can only be done later, and will be."""

    async def purge_all(self) -> None:
        """The same for everything."""


class MezzanineReceiver(Protocol):
    """Whoever wants the mezzanine that the render of a large original can leave, under that *key*."""

    key: str

    def is_awaited(self) -> bool:
        """Whether other requests wait for it already."""

    async def receive(self, mezzanine: MezzanineFile | None, *, impossible: bool) -> None:
        """Called once after a render that succeeded. Without a *mezzanine*, *impossible* says whether the picture is
        one that has none; else it was left out this time, since others wait for the process."""


class Renderer(Protocol):
    """What turns an original into a rendition, within bounds of time and memory.

    Methods raise `Unrenderable`, `Unwritable`, `BadParameter`, `Overloaded`, `RenderTimedOut` and `RenderWorkerDied`.
    """

    async def render_original(
        self, read: Read, order: Order, trace: Trace, receiver: MezzanineReceiver | None = None
    ) -> Rendered:
        """Carry out *order* on the bytes that *read* gives; it is called only when a render is about to begin."""

    async def render_mezzanine(self, mezzanine: MezzanineFile, order: Order, trace: Trace) -> Rendered:
        """Carry out *order* on a mezzanine instead of its original."""

    async def admit(self, read: Read, limits: Limits, strip: Encoding | None) -> bytes | None:
        """Decode an upload once. With *strip*, gives what is to be stored in its place, without metadata.

        Raises `UnsupportedUpload` besides."""

    async def draw(self, blank: Blank, trace: Trace) -> bytes:
        """Draw a placeholder."""

    async def probe(self) -> None:
        """Return if a render succeeded in the last seconds, or else if one pixel can be rendered, past the queue."""

    async def close(self) -> None:
        """End every process."""


class Observer(Protocol):
    """Who counts. Called from the event loop."""

    def cache(self, layer: Layer, outcome: Lookup) -> None:
        """A look-up in one layer of the cache, or a put that failed."""

    def stale_served(self) -> None:
        """What is known may be old, and is served all the same."""

    def collapsed(self) -> None:
        """A request is answered by what another one has had made, here or elsewhere in the fleet."""

    def purged(self) -> None:
        """A contact, or all, is dropped in every process: asked for here."""

    def store_read(self) -> None:
        """The store was asked for a picture or for its state."""

    def render_started(self) -> None:
        """A render began, for a request."""

    def render_ended(self, outcome: Outcome) -> None:
        """It ended."""

    def mezzanine_used(self) -> None:
        """A rendition is made from a mezzanine."""

    def first_frame(self) -> None:
        """An animation gave its first frame, since it was past the budget."""

    def unwritable(self) -> None:
        """A sound picture, or a placeholder, could not be written in one format."""

    def queued(self, count: int) -> None:
        """So many renders wait."""
