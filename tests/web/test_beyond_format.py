"""Renditions too large for their format: another format, or 400 with a size (docs/contract.md, section 3)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from service.formats import MOST_PIXELS, Format
from service.pictures.values import Original
from tests.conftest import Serve
from tests.failing_writers import PoolWithFailingWriters
from tests.pixels import shown
from tests.stores.memory_store import MemoryStore
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import animation, quarters, saved

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
RENDERS = "contact_image_renders_started_total"
SIZES = {1: (120, 120), 2: (80, 60), 3: (32, 32), 4: (4, 4_000), 5: (300, 200)}


class Measured(MemoryStore):
    """A store whose originals have known or unknown sizes."""

    def __init__(self, *, known: bool = True) -> None:
        super().__init__()
        self.known = known
        for contact, size in SIZES.items():
            self.keep(contact, animation() if contact == 3 else saved(quarters(*size), "PNG"))

    async def find(self, contact: int, *, known: bool = False) -> Original | None:
        original = await super().find(contact, known=known)
        size = SIZES[contact] if self.known and contact in SIZES else None
        return original and replace(original, dimensions=size)


@pytest.fixture
def small_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit AVIF to 10,000 pixels in the service, but not in its render processes."""
    monkeypatch.setitem(MOST_PIXELS, Format.AVIF, 10_000)


def largest(text: str, name: str) -> int:
    found = re.search(rf"largest {name} that fits is (\d+)", text)
    assert found is not None, text
    return int(found[1])


@pytest.mark.usefixtures("small_avif")
async def test_format_is_chosen_before_etag_304_and_head(serve: Serve, get: Get) -> None:
    client = await serve(adapters={"store": Measured()})
    for _ in range(3):
        full = await get(client, 1, "?w=101", Accept=CHROME)
        assert (full.status, full.content_type) == (200, "image/webp")
        head = await get(client, 1, "?w=101", method="HEAD", Accept=CHROME)
        assert (head.status, head.headers["ETag"]) == (200, full.headers["ETag"])
        for tag in (full.headers["ETag"], "*"):
            unchanged = await get(client, 1, "?w=101", Accept=CHROME, If_None_Match=tag)
            assert (unchanged.status, unchanged.headers["ETag"]) == (304, full.headers["ETag"])
    assert await metric(client, RENDERS) == 1
    assert (await get(client, 1, "?w=100", Accept=CHROME)).content_type == "image/avif"


@pytest.mark.usefixtures("small_avif")
@pytest.mark.parametrize(
    ("contact", "query", "name", "most"),
    [
        (1, "?w=101", "w", 100),
        (1, "?h=200", "h", 100),
        (2, "?w=200", "w", 115),  # 115x86
        (2, "?h=200", "h", 87),  # 116x87 does not fit
        (1, "?w=200&h=300", "w", 100),
        (1, "?w=200&h=300&fit=fill", "w", 33),
        (1, "?w=200&h=300&fit=pad", "w", 33),
        (1, "?w=200&h=300&fit=cover", "w", 33),
        (1, "", "w", 100),
    ],
)
@pytest.mark.parametrize("how", ["type", "Accept"])
async def test_400_names_the_largest_side_that_fits(
    serve: Serve, get: Get, contact: int, query: str, name: str, most: int, how: str
) -> None:
    client = await serve(adapters={"store": Measured()})
    typed, accept = (f"{query or '?'}&type=avif", "*/*") if how == "type" else (query, "image/avif, text/html;q=0.5")
    if contact == 2 and name == "h":
        most = next(side for side in range(200, 0, -1) if round_half_up(side * 80 / 60) * side <= 10_000)
    for method in ("HEAD", "GET"):
        response = await get(client, contact, typed, method=method, Accept=accept, If_None_Match="*")
        assert response.status == 400
    text = (await response.json(content_type=None))["detail"]
    assert largest(text, name) == most
    assert await metric(client, RENDERS) == 0
    fits = re.sub(rf"\b{name}=\d+", f"{name}={most}", query) or f"?{name}={most}"
    answer = await get(client, contact, f"{fits}&type=avif")
    assert (answer.status, answer.content_type) == (200, "image/avif")
    beyond = re.sub(rf"\b{name}=\d+", f"{name}={most + 1}", query) or f"?{name}={most + 1}"
    assert (await get(client, contact, f"{beyond}&type=avif")).status == 400


def round_half_up(value: float) -> int:
    return int(value + 0.5)


@pytest.mark.usefixtures("small_avif")
async def test_largest_side_has_no_digit_grouping(serve: Serve, get: Get) -> None:
    client = await serve(adapters={"store": Measured()})
    MOST_PIXELS[Format.AVIF] = 2_000
    response = await get(client, 5, "?w=4000&h=1&fit=fill&type=avif", SO_Language="en", SO_Culture="de-DE")
    text = (await response.json(content_type=None))["detail"]
    assert "4.000x1" in text
    assert largest(text, "w") == 2000


@pytest.mark.usefixtures("small_avif")
async def test_stored_bytes_are_sent_whatever_their_size(serve: Serve, get: Get) -> None:
    store = Measured(known=False)
    store.keep(9, saved(quarters(200, 200), "AVIF"))
    client = await serve(adapters={"store": store})
    assert (await get(client, 9, Accept=CHROME)).content_type == "image/avif"
    assert (await get(client, 9, Accept="application/json")).status == 200


@pytest.mark.usefixtures("small_avif")
@pytest.mark.parametrize("kind", ["Default", "SrNoPhoto"])
async def test_placeholder_format_is_chosen_by_the_requested_size(serve: Serve, get: Get, kind: str) -> None:
    client = await serve(adapters={"store": Measured()})
    for _ in range(2):
        full = await get(client, 404, f"?ifBlank={kind}&w=101", Accept=CHROME)
        assert (full.status, full.content_type) == (200, "image/webp")
        assert shown(await full.read()).size == (101, 101)
        for tag in (full.headers["ETag"], "*"):
            unchanged = await get(client, 404, f"?ifBlank={kind}&w=101", Accept=CHROME, If_None_Match=tag)
            assert (unchanged.status, unchanged.headers["ETag"]) == (304, full.headers["ETag"])
    assert (await get(client, 404, f"?ifBlank={kind}&w=100", Accept=CHROME)).content_type == "image/avif"
    for query, name, most in (("w=101", "w", 100), ("h=300", "h", 100), ("w=300&h=50", "w", 200), ("", "w", 100)):
        response = await get(client, 404, f"?ifBlank={kind}&{query}&type=avif")
        assert response.status == 400
        assert largest((await response.json(content_type=None))["detail"], name) == most


@pytest.mark.parametrize("known", [True, False])
async def test_size_made_impossible_by_proportions_is_400_in_every_format(serve: Serve, get: Get, known: bool) -> None:
    client = await serve(adapters={"store": Measured(known=known)})
    for query in ("?w=4000", "?w=4000&type=png", "?w=4000&ifBlank=Default"):
        response = await get(client, 4, query, Accept=CHROME)
        assert response.status == 400
        assert "4000x4000000" in await response.text()
    assert (await metric(client, RENDERS) == 0) is known


@pytest.mark.parametrize(
    ("size", "query", "name", "most"),
    [
        ((300, 400), "?w=4096", "w", 3463),  # 4096x5461 is more than any format has; AVIF holds 3463x4617
        ((400, 300), "?h=4096", "h", 3463),
        ((10, 200), "?w=4096", "w", 819),  # 819x16380: beyond that a side is too long
        ((100, 75), "?h=4000", "h", 3463),
    ],
)
async def test_400_for_a_size_beyond_every_format_names_the_largest_side(
    serve: Serve, get: Get, images: Any, size: tuple[int, int], query: str, name: str, most: int
) -> None:
    (images / "8.png").write_bytes(saved(quarters(*size), "PNG"))
    client = await serve()
    for typed, accept in ((f"{query}&type=avif", CHROME), (query, "image/avif")):
        response = await get(client, 8, typed, Accept=accept)
        assert response.status == 400
        assert largest((await response.json(content_type=None))["detail"], name) == most
    for accept in (CHROME, "image/webp", "application/json"):
        response = await get(client, 8, query, Accept=accept)
        assert response.status == 400
        assert "largest" not in (await response.json(content_type=None))["detail"]
    for side, status in ((most, 304), (most + 1, 400)):
        assert (await get(client, 8, f"?{name}={side}&type=avif", If_None_Match="*")).status == status
    assert await metric(client, RENDERS) == 0


async def test_400_names_no_side_when_all_formats_hold_less_than_avif(serve: Serve, get: Get, images: Any) -> None:
    (images / "8.png").write_bytes(saved(quarters(10, 50), "PNG"))
    client = await serve(render={"max_dimension": 2048})
    text = await (await get(client, 8, "?w=2048&type=avif")).text()
    assert "together no more than 4194304 are made" in text.replace(",", "")
    assert "largest" not in text


class SizeFindingPool(PoolWithFailingWriters):
    """Raises what a render process raises for a size beyond AVIF, but for a smaller size."""

    async def render_original(self, read: Any, order: Any, trace: Any, receiver: Any = None) -> Any:
        if order.format is Format.AVIF:
            self.tried[order.format] += 1
            await read()
            order.plan((120, 120))
        return await super().render_original(read, order, trace, receiver)


@pytest.mark.usefixtures("small_avif")
async def test_render_finds_out_an_unknown_size(serve: Serve, get: Get) -> None:
    """No fault of the picture and no failure of the rendition is recorded."""
    pool = SizeFindingPool()
    client = await serve(adapters={"store": Measured(known=False), "renderer": pool})
    full = await get(client, 1, "?w=101", Accept=CHROME)
    for _ in range(3):
        answer = await get(client, 1, "?w=101", Accept=CHROME)
        assert (answer.status, answer.content_type) == (200, "image/webp")
        head = await get(client, 1, "?w=101", method="HEAD", Accept=CHROME)
        assert (head.status, head.headers["ETag"]) == (200, full.headers["ETag"])
        unchanged = await get(client, 1, "?w=101", Accept=CHROME, If_None_Match=full.headers["ETag"])
        assert (unchanged.status, unchanged.headers["ETag"]) == (304, full.headers["ETag"])
    refused = await get(client, 1, "?w=101&type=avif")
    assert refused.status == 400
    assert largest((await refused.json(content_type=None))["detail"], "w") == 100
    assert await metric(client, "contact_image_renders_unwritable_total") == 0


async def test_rendition_too_large_for_avif_is_in_the_next_format(serve: Serve, get: Get, images: Any) -> None:
    (images / "700.jpg").write_bytes(saved(quarters(64, 64), "JPEG"))
    client = await serve(render={"timeout": 120})
    response = await get(client, 700, "?w=4096", Accept="image/avif,image/webp,*/*;q=0.8")
    assert (response.status, response.content_type) == (200, "image/webp")
    assert shown(await response.read()).size == (4096, 4096)
    refused = await get(client, 700, "?w=4096&type=avif")
    assert refused.status == 400
    assert largest((await refused.json(content_type=None))["detail"], "w") == 4000
