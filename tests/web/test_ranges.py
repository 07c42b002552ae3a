"""Range requests: which bytes are sent, and when the whole picture is (docs/contract.md, section 6)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.web.conftest import Get
from tools.pictures.drawing import quarters, saved, see_through

HUGE = 10**30
AGO = 1_700_000_000
"""A Unix time in the past."""


@cache
def picture(more: int) -> bytes:
    """Return a JPEG with *more* bytes after its end."""
    return saved(quarters(160, 120), "JPEG") + b"".join(at.to_bytes(3, "big") for at in range(more // 3))


@pytest.fixture(params=[0, 3_000_000], ids=["from the cache", "streamed"])
def stored(request: pytest.FixtureRequest, images: Path) -> bytes:
    """The stored bytes of contact 1."""
    data = picture(request.param)
    (images / "1.jpg").write_bytes(data)
    os.utime(images / "1.jpg", (AGO, AGO))
    return data


@pytest.mark.parametrize(
    "spec",
    ["0-0", "0-", "0-999", "1000-1299", "1400-", "-1", "-1000", f"-{HUGE}", f"500-{HUGE}", "00000000000000000000007-9"],
)
async def test_range_returns_its_bytes(serve: Serve, get: Get, stored: bytes, spec: str) -> None:
    first, _, last = spec.partition("-")
    start = int(first) if first else max(len(stored) - int(last), 0)
    end = min(int(last) + 1, len(stored)) if first and last else len(stored)
    client = await serve()
    for _ in range(2):  # with an empty cache, and with a full one
        response = await get(client, 1, Range=f"bytes={spec}")
        assert response.status == 206
        assert await response.read() == stored[start:end]
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(stored)}"
        assert int(response.headers["Content-Length"]) == end - start
        assert response.headers["Content-Type"] == "image/jpeg"


async def test_range_of_one_byte_returns_it(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    size = len(stored)
    for at in (0, size - 1):
        response = await get(client, 1, Range=f"bytes={at}-{at}")
        assert await response.read() == stored[at : at + 1]
    assert (await get(client, 1, Range=f"bytes={size}-{size}")).status == 416


@pytest.mark.parametrize("spec", [f"{HUGE}-", f"{HUGE}-{HUGE}", "-0", "100000000-"])
async def test_range_past_the_end_is_416(serve: Serve, get: Get, stored: bytes, spec: str) -> None:
    response = await get(await serve(), 1, Range=f"bytes={spec}")
    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{len(stored)}"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert (await response.json())["status"] == 416


@pytest.mark.parametrize(
    "field", ["bytes=0-1,4-5", "bytes=9-8", "bytes=", "bytes", "bytes=-", "bytes=a-b", "bytes=0 - 1", "rows=0-1", ""]
)
async def test_multiple_and_malformed_ranges_return_the_whole(
    serve: Serve, get: Get, stored: bytes, field: str
) -> None:
    response = await get(await serve(), 1, Range=field)
    assert response.status == 200
    assert "Content-Range" not in response.headers
    assert await response.read() == stored


async def test_206_has_the_headers_of_200(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    await get(client, 1)
    full, part = await get(client, 1), await get(client, 1, Range="bytes=0-9")
    whole = {name: value for name, value in full.headers.items() if name not in VARYING}
    assert {name: value for name, value in part.headers.items() if name not in VARYING} == whole
    assert whole["Accept-Ranges"] == "bytes"


VARYING = {"Content-Length", "Content-Range", "Date", "Server-Timing", "Cache-Status"}


async def test_head_ignores_range(serve: Serve, get: Get, stored: bytes) -> None:
    response = await get(await serve(), 1, method="HEAD", Range="bytes=0-9")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len(stored)
    assert response.headers["Accept-Ranges"] == "bytes"


async def test_if_range_with_a_current_validator_is_206(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    full = await get(client, 1)
    for sent in (full.headers["ETag"], full.headers["Last-Modified"], "Tue Nov 14 22:13:20 2023"):
        response = await get(client, 1, Range="bytes=5-9", If_Range=sent)
        assert (response.status, await response.read()) == (206, stored[5:10])
    for sent in (f"W/{full.headers['ETag']}", '"other"', "*", "Tue, 14 Nov 2023 22:13:21 GMT"):
        response = await get(client, 1, Range="bytes=5-9", If_Range=sent)
        assert (response.status, await response.read()) == (200, stored)
    past = await get(client, 1, Range=f"bytes={HUGE}-", If_Range='"other"')
    assert past.status == 200


async def test_conditions_are_evaluated_before_the_range(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    full = await get(client, 1)
    for spec in ("0-9", f"{HUGE}-"):
        assert (await get(client, 1, Range=f"bytes={spec}", If_None_Match=full.headers["ETag"])).status == 304
    assert (await get(client, 1, Range="bytes=0-9", If_None_Match='"other"')).status == 206


async def test_range_is_never_served_to_a_later_request_for_the_whole(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    for _ in range(3):
        assert (await get(client, 1, Range="bytes=0-9")).status == 206
        assert await (await get(client, 1)).read() == stored


async def test_if_range_with_a_replaced_picture_returns_the_whole(
    serve: Serve, get: Get, stored: bytes, images: Path
) -> None:
    client = await serve(cache={"fresh_for": 1})
    tag = (await get(client, 1)).headers["ETag"]
    new = saved(see_through(), "PNG") + bytes(len(stored))
    (images / "1.jpg").write_bytes(new)
    response = await get(await serve(), 1, Range="bytes=10-19", If_Range=tag)
    assert (response.status, await response.read()) == (200, new)


@pytest.mark.parametrize("query", ["?w=40", "?type=png", "?w=40&type=jpeg"])
async def test_renditions_ignore_range(serve: Serve, get: Get, stored: bytes, query: str) -> None:
    client = await serve()
    for _ in range(2):
        response = await get(client, 1, query, Range="bytes=0-9")
        assert response.status == 200
        assert "Accept-Ranges" not in response.headers


async def test_json_and_placeholders_ignore_range(serve: Serve, get: Get, stored: bytes) -> None:
    client = await serve()
    answers = [
        await get(client, 1, Accept="application/json", Range="bytes=0-9"),
        await get(client, 404, "?ifBlank=Default", Range="bytes=0-9"),
    ]
    for response in answers:
        assert response.status == 200
        assert "Accept-Ranges" not in response.headers
    assert (await get(client, 404, Range="bytes=0-9")).status == 404


async def test_range_of_a_large_picture_reads_only_the_range(serve: Serve, get: Get, images: Path) -> None:
    """The sparse file is too large to be read within the time limit of the store."""
    with (images / "1.jpg").open("wb") as file:
        file.write(saved(quarters(160, 120), "JPEG"))
        file.truncate(200_000_000_000)
        file.seek(-3, os.SEEK_END)
        file.write(b"end")
    client = await serve(images={"max_bytes": 10**12, "timeout": 2.0})
    response = await get(client, 1, Range="bytes=-3")
    assert (response.status, await response.read()) == (206, b"end")
