"""A render pool whose writers can be made to fail, in real render processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from service.formats import Format
from service.imaging.order import Encoding, Order, Placeholder, Rendered
from service.pictures.ports import MezzanineReceiver, Read
from service.pictures.trace import Trace
from service.pictures.values import MezzanineFile
from service.rendering.pool import RenderPool
from service.web.metrics import Metrics

_FAILING_SETTINGS = {
    Format.AVIF: {"avif_quality": 999},
    Format.WEBP: {"webp_method": 99},
    Format.JPEG: {"jpeg_quality": "none"},
    Format.PNG: {"png_level": 99},
}
"""Settings for which these writers raise an exception, after the picture is decoded."""


class PoolWithFailingWriters(RenderPool):
    """A pool in which the writers of *formats* fail. *tried* counts renders and drawings by format."""

    def __init__(self, *formats: Format) -> None:
        super().__init__(Metrics(), workers=1, queue=64, timeout=20.0, memory_bytes=0)
        self.formats = set(formats)
        self.tried: Counter[Format] = Counter()
        self.error_for: Callable[[Order], Exception | None] = lambda _: None
        """Returns the error that a render raises instead of its result, if any."""
        self.open()

    async def render_original(
        self, read: Read, order: Order, trace: Trace, receiver: MezzanineReceiver | None = None
    ) -> Rendered:
        order = self._with_failing_writer(order)
        if error := self.error_for(order):
            await read()
            raise error
        return await super().render_original(read, order, trace, receiver)

    async def render_mezzanine(self, mezzanine: MezzanineFile, order: Order, trace: Trace) -> Rendered:
        return await super().render_mezzanine(mezzanine, self._with_failing_writer(order), trace)

    async def draw(self, placeholder: Placeholder, trace: Trace) -> bytes:
        self.tried[placeholder.format] += 1
        return await super().draw(
            replace(placeholder, encoding=self._encoding(placeholder.format, placeholder.encoding)), trace
        )

    def _with_failing_writer(self, order: Order) -> Order:
        self.tried[order.format] += 1
        return replace(order, encoding=self._encoding(order.format, order.encoding))

    def _encoding(self, kind: Format, encoding: Encoding) -> Encoding:
        return Encoding(**_FAILING_SETTINGS[kind]) if kind in self.formats else encoding  # type: ignore[arg-type]
