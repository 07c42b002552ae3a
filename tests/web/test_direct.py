"""What a request below the router has found or made is done once, also where the handler must answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.web.ageing import UnreliableStore
from tests.web.conftest import Get
from tests.web.test_coalescing import metric
from tools.pictures.drawing import quarters, saved

NOTHING_KEPT: dict[str, Any] = {"url": "unix:///nowhere/at/all.sock", "cache": {"memory_bytes": 0}}
RENDERS = "contact_image_renders_started_total"


@pytest.mark.parametrize("form", ["?w=40", "?w=40&type=PNG", "?w=40&h=30&fit=cover"])
async def test_miss_is_made_once_and_says_so(serve: Serve, get: Get, images: Path, form: str) -> None:
    (images / "1.jpg").write_bytes(saved(quarters(160, 120), "JPEG"))
    client = await serve()
    made, found = await get(client, 1, form), await get(client, 1, form)
    assert made.status == found.status == 200
    assert await made.read() == await found.read()
    assert made.headers["Cache-Status"] == "contact-image; fwd=miss; stored"
    assert {"store", "queue", "render"} <= {each.partition(";")[0] for each in timings(made)}
    assert "; hit" in found.headers["Cache-Status"]
    own = {"Cache-Status", "Server-Timing", "Date"}
    assert {name: made.headers[name] for name in {*made.headers} - own} == {
        name: found.headers[name] for name in {*found.headers} - own
    }
    assert await metric(client, RENDERS) == 1


async def test_large_rendition_that_is_kept_nowhere_is_made_once(serve: Serve, get: Get, images: Path) -> None:
    (images / "1.png").write_bytes(saved(Image.effect_noise((400, 400), 90), "PNG"))
    client = await serve(**NOTHING_KEPT, server={"unsent_bytes": 65_536})
    response = await get(client, 1, "?w=390&type=PNG")
    assert response.status == 200
    assert len(await response.read()) > 131_072
    assert await metric(client, RENDERS) == 1


@pytest.mark.parametrize("cached", [True, False])
async def test_picture_that_fails_is_rendered_once(serve: Serve, get: Get, images: Path, cached: bool) -> None:
    (images / "1.png").write_bytes(saved(quarters(160, 120), "PNG")[:-40])
    client = await serve(**({} if cached else NOTHING_KEPT))
    response = await get(client, 1, "?w=40")
    assert response.status == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert await metric(client, RENDERS) == 1


@pytest.mark.parametrize("contact", [1, 404])
async def test_store_is_asked_once_though_nothing_is_kept(serve: Serve, get: Get, images: Path, contact: int) -> None:
    (images / "1.png").write_bytes(saved(quarters(160, 120), "PNG"))
    store = UnreliableStore(images)
    client = await serve(adapters={"store": store}, **NOTHING_KEPT)
    await get(client, contact, "?w=40")
    assert store.lookups == 1


def timings(response: Any) -> list[str]:
    return [each.strip() for each in response.headers["Server-Timing"].split(",")]
