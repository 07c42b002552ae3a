"""Writers that fail on sound originals (docs/contract.md, section 3).

The next format is sent, and no fault of the original is recorded.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.errors import OutOfMemory, RenderTimedOut, RenderWorkerDied
from service.formats import Format
from service.imaging.order import Order
from tests.conftest import Serve
from tests.failing_writers import PoolWithFailingWriters
from tests.pixels import shown
from tests.web.conftest import IMAGE, Client, Get
from tests.web.test_coalescing import metric
from tests.web.test_mezzanine import FROM_MEZZANINE
from tools.pictures.drawing import animation, large, quarters, saved

pytestmark = pytest.mark.usefixtures("people")

AVIF, WEBP, JPEG, PNG = Format.AVIF, Format.WEBP, Format.JPEG, Format.PNG
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
UNWRITABLE = "contact_image_renders_unwritable_total"
Stumble = Callable[..., Awaitable[tuple[Client, PoolWithFailingWriters]]]


@pytest.fixture
def stumble(serve: Serve) -> Stumble:
    """Start a service whose writers of some formats fail."""

    async def start(*formats: Format, **sections: Any) -> tuple[Client, PoolWithFailingWriters]:
        pool = PoolWithFailingWriters(*formats)
        return await serve(adapters={"renderer": pool}, **sections), pool

    return start


@pytest.mark.parametrize("cache", [{}, {"memory_bytes": 0}, {"url": "redis://127.0.0.1:1"}])
async def test_failed_format_is_replaced_by_the_next_acceptable_one(
    stumble: Stumble, get: Get, cache: dict[str, Any]
) -> None:
    client, pool = await stumble(AVIF, cache=cache)
    first = await get(client, 1, "?w=60", Accept=CHROME)
    assert (first.status, first.content_type) == (200, "image/webp")
    assert shown(await first.read()).size == (60, 45)
    assert first.headers["Vary"] == "Accept"
    webp = await get(client, 1, "?w=60&type=webp")
    assert webp.headers["ETag"] == first.headers["ETag"]
    for _ in range(4):  # the last of them are repeats
        again = await get(client, 1, "?w=60", Accept=CHROME)
        assert (again.status, again.headers["ETag"]) == (200, first.headers["ETag"])
        assert await again.read() == await first.read()
        head = await get(client, 1, "?w=60", method="HEAD", Accept=CHROME)
        assert (head.status, head.headers["ETag"]) == (200, first.headers["ETag"])
        assert head.headers["Content-Length"] == first.headers["Content-Length"]
        unchanged = await get(client, 1, "?w=60", Accept=CHROME, If_None_Match=first.headers["ETag"])
        assert (unchanged.status, unchanged.headers["ETag"]) == (304, first.headers["ETag"])
    if "memory_bytes" not in cache:  # without memory the record arrives later, and there may be one more attempt
        assert pool.tried[AVIF] == 1
    assert await metric(client, UNWRITABLE) == pool.tried[AVIF]


async def test_304_for_any_etag_has_the_etag_of_get(stumble: Stumble, get: Get) -> None:
    client, _ = await stumble(AVIF)
    full = await get(client, 1, "?w=60", Accept=CHROME)
    unchanged = await get(client, 1, "?w=60", Accept=CHROME, If_None_Match="*")
    assert (unchanged.status, unchanged.headers["ETag"]) == (304, full.headers["ETag"])
    assert (await get(client, 1, "?w=60&type=avif", If_None_Match="*")).status == 500


async def test_head_before_get_has_the_headers_of_get(stumble: Stumble, get: Get) -> None:
    client, _ = await stumble(AVIF)
    head = await get(client, 1, "?w=60", method="HEAD", Accept=CHROME)
    full = await get(client, 1, "?w=60", Accept=CHROME)
    assert head.status == full.status == 200
    for name in ("Content-Type", "Content-Length", "ETag", "Content-Disposition"):
        assert head.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    ("query", "accept"), [("&type=avif", "*/*"), ("", "image/avif"), ("", "image/avif, text/html")]
)
async def test_failed_format_without_an_alternative_is_500(stumble: Stumble, get: Get, query: str, accept: str) -> None:
    client, pool = await stumble(AVIF)
    for method in ("GET", "HEAD", "GET"):
        response = await get(client, 1, f"?w=60{query}", method=method, Accept=accept)
        assert (response.status, response.content_type) == (500, "application/problem+json")
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Surrogate-Key"] == "contact-1"
    assert "AVIF" in (await response.json(content_type=None))["detail"]
    assert pool.tried[AVIF] == 1
    assert await metric(client, UNWRITABLE) == 1


async def test_failure_of_every_format_is_500_after_one_attempt_each(stumble: Stumble, get: Get) -> None:
    client, pool = await stumble(AVIF, WEBP, JPEG, PNG)
    accept = "image/avif, image/webp, image/jpeg, image/png"
    for _ in range(3):
        assert (await get(client, 1, "?w=60", Accept=accept)).status == 500
        assert (await get(client, 1, "?w=60&ifBlank=Default", Accept=accept)).status == 500
    assert pool.tried == {AVIF: 1, WEBP: 1, JPEG: 1, PNG: 1}
    assert (await get(client, 1, "?w=60", Accept=f"{accept}, image/gif;q=0.1")).content_type == "image/gif"


@pytest.mark.parametrize("contact", [1, 2, 3])
async def test_failure_of_a_writer_is_not_a_fault_of_the_picture(
    stumble: Stumble, get: Get, images: Path, contact: int
) -> None:
    client, pool = await stumble(WEBP)
    for _ in range(2):
        assert (await get(client, contact, "?w=60&type=webp")).status == 500
        other = await get(client, contact, "?w=50&type=gif")
        assert (other.status, shown(await other.read()).width) == (200, 50)
        if contact == 3:
            assert getattr(Image.open(io.BytesIO(await other.read())), "n_frames", 1) == 3
        assert (await get(client, contact, "?w=60&type=png")).status == 200
        assert (await get(client, contact)).status == 200
    pool.formats.clear()
    assert (await get(client, contact, "?w=61&type=webp")).status == 200  # the failure was of one rendition


async def test_animation_with_too_many_plays_for_webp_rules_out_no_format(serve: Serve, get: Get, images: Path) -> None:
    """Its NETSCAPE2.0 block has 65,535 repetitions, which are 65,536 plays."""
    data = animation(side=100)
    at = data.index(b"NETSCAPE2.0") + 13
    (images / "101.gif").write_bytes(data[:at] + b"\xff\xff" + data[at + 2 :])
    client = await serve()
    webp = await get(client, 101, "?w=60&type=webp")
    assert webp.status in (200, 500)
    for query, kind in (("?w=50&type=gif", "GIF"), ("?w=60&type=gif", "GIF"), ("?w=50&type=png", "PNG")):
        response = await get(client, 101, query)
        assert response.status == 200
        seen = Image.open(io.BytesIO(await response.read()))
        assert (seen.format, seen.n_frames) == (kind, 3)  # type: ignore[attr-defined]
    chosen = await get(client, 101, "?w=60", Accept="image/webp, image/gif;q=0.5")
    assert chosen.status == 200


async def test_json_contains_the_next_format(stumble: Stumble, get: Get) -> None:
    client, _ = await stumble(JPEG)
    response = await get(client, 1, "?w=60", Accept="application/json")
    assert response.status == 200
    assert (await response.json()).startswith("iVBORw0KGgo")


async def test_clean_rendition_that_cannot_be_written_is_in_the_next_format(stumble: Stumble, get: Get) -> None:
    client, _ = await stumble(JPEG, images={"as_stored": "clean"})
    for _ in range(2):
        assert (await get(client, 1, Accept="image/jpeg;q=0.5, image/png;q=0.4")).content_type == "image/png"


async def test_failed_render_from_a_mezzanine_is_replaced_by_the_next_format(
    stumble: Stumble, get: Get, images: Path
) -> None:
    (images / "7.jpg").write_bytes(saved(large(), "JPEG", quality=90))
    client, pool = await stumble(AVIF, cache={"mezzanine_for": 100})
    width = 300
    while not (used := await metric(client, FROM_MEZZANINE)):
        assert (await get(client, 7, f"?w={width}&type=png")).status == 200
        width += 1
        assert width < 400
    for _ in range(2):
        response = await get(client, 7, "?w=200", Accept=CHROME)
        assert (response.status, response.content_type) == (200, "image/webp")
    assert (await get(client, 7, "?w=200&type=avif")).status == 500
    assert await metric(client, FROM_MEZZANINE) == used + 2
    assert pool.tried[AVIF] == 1


async def test_simultaneous_requests_try_a_failing_writer_once(stumble: Stumble, get: Get) -> None:
    client, pool = await stumble(AVIF)
    answers = await asyncio.gather(*(get(client, 1, "?w=60", Accept=CHROME) for _ in range(40)))
    assert {(each.status, each.content_type) for each in answers} == {(200, "image/webp")}
    assert pool.tried[AVIF] == pool.tried[WEBP] == 1


async def test_purge_and_new_picture_end_the_failure(stumble: Stumble, get: Get) -> None:
    client, pool = await stumble(AVIF, writes={"enabled": True})
    for tried in (1, 2):
        for _ in range(2):
            assert (await get(client, 1, "?w=60", Accept=CHROME)).content_type == "image/webp"
            assert pool.tried[AVIF] == tried
        assert (await client.request("PURGE", IMAGE.format(1))).status == 204
    pool.formats.clear()
    assert (await client.put(IMAGE.format(1), data=saved(quarters(70, 50), "PNG"))).status == 200
    assert (await get(client, 1, "?w=60", Accept=CHROME)).content_type == "image/avif"


async def test_failed_format_is_tried_again_after_its_lifetime(stumble: Stumble, get: Get) -> None:
    client, pool = await stumble(AVIF, cache={"unrenderable_for": 1})
    assert (await get(client, 1, "?w=60", Accept=CHROME)).content_type == "image/webp"
    pool.formats.clear()
    begun = time.monotonic()
    while (await get(client, 1, "?w=60", Accept=CHROME)).content_type != "image/avif":
        assert time.monotonic() - begun < 10
        await asyncio.sleep(0.05)
    assert pool.tried[AVIF] == 2


async def test_failures_of_many_sizes_are_recorded(stumble: Stumble, get: Get) -> None:
    client, pool = await stumble(AVIF)
    for width in range(40, 70):
        assert (await get(client, 1, f"?w={width}", Accept=CHROME)).content_type == "image/webp"
    assert pool.tried[AVIF] == 30
    for width in range(40, 70):
        assert (await get(client, 1, f"?w={width}", Accept=CHROME)).content_type == "image/webp"
    assert pool.tried[AVIF] == 30


async def test_failures_do_not_keep_a_record_fresh(stumble: Stumble, get: Get, images: Path) -> None:
    """Otherwise requests for more and more sizes could hide a replaced picture."""
    client, _ = await stumble(AVIF, cache={"fresh_for": 1}, http={"stale_while_revalidate": 0})
    before = await get(client, 1)
    (images / "1.jpg").write_bytes(saved(quarters(90, 60), "JPEG"))
    begun, width = time.monotonic(), 40
    while (await get(client, 1)).headers["ETag"] == before.headers["ETag"]:
        assert time.monotonic() - begun < 10
        assert (await get(client, 1, f"?w={width}", Accept=CHROME)).content_type == "image/webp"
        width += 1


class TestMemoryAndTime:
    """Lack of memory and time are faults of the picture only at a modest size."""

    @staticmethod
    def out_of_memory(order: Order) -> Exception | None:
        return OutOfMemory("The picture takes more memory than is allowed.") if order.format is AVIF else None

    @pytest.mark.parametrize("contact", [1, 3])
    async def test_lack_of_memory_at_a_large_size_rules_out_the_format(
        self, stumble: Stumble, get: Get, contact: int
    ) -> None:
        client, pool = await stumble()
        pool.error_for = self.out_of_memory
        for _ in range(2):
            large = await get(client, contact, "?w=1100", Accept=CHROME)
            assert (large.status, large.content_type) == (200, "image/webp")
            assert (await get(client, contact, "?w=1100&type=avif")).status == 500
            assert (await get(client, contact, "?w=50&type=png")).status == 200
        assert pool.tried[AVIF] == 1

    async def test_lack_of_memory_at_a_modest_size_is_a_fault_of_the_picture(self, stumble: Stumble, get: Get) -> None:
        client, pool = await stumble()
        pool.error_for = self.out_of_memory
        assert (await get(client, 1, "?w=50", Accept=CHROME)).status == 422
        assert (await get(client, 1, "?w=50&type=png")).status == 422
        assert await metric(client, UNWRITABLE) == 0

    @pytest.mark.parametrize(("size", "query"), [((20, 400), "?w=100"), ((400, 20), "?h=100")])
    async def test_side_that_is_computed_from_the_other_counts_too(
        self, stumble: Stumble, get: Get, images: Path, size: tuple[int, int], query: str
    ) -> None:
        (images / "8.png").write_bytes(saved(quarters(*size), "PNG"))
        client, pool = await stumble()
        pool.error_for = self.out_of_memory
        answer = await get(client, 8, query, Accept=CHROME)
        assert (answer.status, answer.content_type) == (200, "image/webp")
        assert max(shown(await answer.read()).size) == 2000
        assert (await get(client, 8, "?w=10&type=png")).status == 200

    @pytest.mark.parametrize(("size", "query"), [((20, 200), "?w=1000"), ((200, 20), "?h=1000"), ((3, 16), "?w=1024")])
    async def test_time_limit_at_a_long_computed_side_rules_out_the_format(
        self, stumble: Stumble, get: Get, images: Path, size: tuple[int, int], query: str
    ) -> None:
        """The picture is narrow, so a modest side gives a rendition of many megapixels."""
        (images / "8.jpg").write_bytes(saved(quarters(*size), "JPEG"))
        client, pool = await stumble()
        pool.error_for = lambda order: RenderTimedOut("late") if order.format is AVIF else None
        for _ in range(2):
            assert (await get(client, 8, query, Accept="image/avif")).status == 503
        assert (await get(client, 8, "?w=50&type=png")).status == 200
        assert (await get(client, 8, query, Accept=CHROME)).content_type == "image/webp"

    @pytest.mark.parametrize("error", [RenderTimedOut("late"), RenderWorkerDied("dead")])
    async def test_second_time_limit_at_a_large_size_rules_out_the_format(
        self, stumble: Stumble, get: Get, error: Exception
    ) -> None:
        client, pool = await stumble()
        pool.error_for = lambda order: error if order.format is AVIF else None
        answers = [await get(client, 1, "?w=1100", Accept=CHROME) for _ in range(4)]
        assert [each.status for each in answers] == [503, 503, 200, 200]
        assert answers[-1].content_type == "image/webp"
        assert (await get(client, 1, "?w=1100&type=avif")).status == 500
        assert pool.tried[AVIF] == 2
        assert (await get(client, 1, "?w=50&type=png")).status == 200


class TestPlaceholders:
    async def test_failed_placeholder_is_in_the_next_format(self, stumble: Stumble, get: Get) -> None:
        client, pool = await stumble(AVIF)
        first = await get(client, 404, "?ifBlank=Default&w=60", Accept=CHROME)
        assert (first.status, first.content_type) == (200, "image/webp")
        assert first.headers["Cache-Status"].endswith("detail=placeholder")
        for _ in range(3):
            for method in ("GET", "HEAD"):
                again = await get(client, 404, "?ifBlank=Default&w=60", method=method, Accept=CHROME)
                assert (again.status, again.headers["ETag"]) == (200, first.headers["ETag"])
            tag = again.headers["ETag"]
            for sent in (tag, "*"):
                unchanged = await get(client, 404, "?ifBlank=Default&w=60", Accept=CHROME, If_None_Match=sent)
                assert (unchanged.status, unchanged.headers["ETag"]) == (304, tag)
        assert pool.tried[AVIF] == 1
        assert await metric(client, UNWRITABLE) == 1

    async def test_placeholder_without_a_format_left_is_500(self, stumble: Stumble, get: Get) -> None:
        client, pool = await stumble(AVIF, WEBP)
        for _ in range(3):
            assert (await get(client, 404, "?ifBlank=SrNoPhoto", Accept="image/webp, image/avif")).status == 500
            assert (await get(client, 404, "?ifBlank=SrNoPhoto&type=webp")).status == 500
        assert pool.tried == {AVIF: 1, WEBP: 1}
        assert (await get(client, 404, "?ifBlank=SrNoPhoto", Accept=CHROME)).content_type == "image/png"
