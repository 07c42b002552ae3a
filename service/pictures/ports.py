"""What the use case needs of the world. Adapters implement these; tests run one suite over all of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from service.errors import N_
from service.imaging.order import Blank, Order, Rendered
from service.pictures.trace import Trace
from service.pictures.values import Entry, EntryHead, Master, Original, Owner, Pieces

Outcome = Literal["finished", "failed", "refused", "timed_out"]
Layer = Literal["memory", "shared"]
Lookup = Literal["hit", "miss", "unavailable", "put_failed"]
Read = Callable[[], Awaitable[bytes]]


FULL = N_("Too many pictures wait to be rendered. Try again soon.")
"""What `Overloaded` says."""


class OriginalStore(Protocol):
    """Where originals live. Every method raises `StoreFailed` or `StoreTimedOut`."""

    async def look(self, contact: int) -> Original | None:
        """What is stored for *contact*; None when nothing is. An unusable one carries a `Fault`."""

    async def read(self, original: Original) -> bytes:
        """The whole of *original*. Raises `OriginalChanged` when it is another version by now."""

    async def stream(self, original: Original, piece: int) -> Pieces:
        """The same in pieces of *piece* bytes, the last one shorter. It is open, and its version checked, on return."""

    async def check(self) -> str:
        """Say in a few words what is there, or raise."""

    async def close(self) -> None:
        """Let go of what is open."""


class CacheUnavailable(Exception):
    """The cache did not answer, in time or at all."""


class RenditionCache(Protocol):
    """Where renditions live, by owner and field. Methods raise `CacheUnavailable` and nothing else.

    What is damaged or foreign is a miss. What is put may be gone at any time.
    """

    async def get(self, owner: Owner, field: str) -> Entry | None:
        """The entry, whole and undamaged, or None."""

    async def head(self, owner: Owner, field: str) -> EntryHead | None:
        """What is known of the entry without reading its body."""

    async def put(self, owner: Owner, field: str, entry: Entry) -> None:
        """Keep *entry*, in place of what was there."""

    async def check(self) -> str:
        """Say in a few words what is there, or raise `CacheUnavailable`."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryTier(RenditionCache, Protocol):
    """A cache in this process, which answers at once."""

    def near(self, owner: Owner, field: str) -> Entry | None:
        """As `get`; the very object that was put, until another takes its place."""


class Leave(Protocol):
    """Whoever wants the mezzanine that the render of a large original can leave, under that *key*."""

    key: str

    def wanted(self) -> bool:
        """Whether other requests wait for it already."""

    async def left(self, master: Master | None, *, none_to_come: bool) -> None:
        """Called once after a render that succeeded. Without a *master*, *none_to_come* says whether the picture is
        one that has none; else it was left out this time, since others wait for the process."""


class Renderer(Protocol):
    """What turns an original into a rendition, within bounds of time and memory.

    Methods raise `Unrenderable`, `BadParameter`, `Overloaded`, `RenderTimedOut` and `RenderWorkerDied`.
    """

    async def render(self, read: Read, order: Order, trace: Trace, leave: Leave | None = None) -> Rendered:
        """Carry out *order* on the bytes that *read* gives; it is called only when a render is about to begin."""

    async def render_from(self, master: Master, order: Order, trace: Trace) -> Rendered:
        """Carry out *order* on a mezzanine instead of its original."""

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

    def queued(self, count: int) -> None:
        """So many renders wait."""
