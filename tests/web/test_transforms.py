"""`dpr`, `enlarge`, `gravity` and `bg`: their pixels, and one cache entry for equal renditions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.pixels import near, shown
from tests.web.conftest import Client, Get, with_shared_client
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, animation, saved

pytestmark = pytest.mark.usefixtures("people")

ORANGE = (255, 128, 0)
FORMATS = ("jpeg", "png", "gif", "tiff", "webp", "avif")


@with_shared_client
async def test_dpr_is_the_same_rendition_as_its_sides(shared_client: Client, get: Get) -> None:
    one, other = await get(shared_client, 1, "?w=40&dpr=2"), await get(shared_client, 1, "?w=80")
    assert shown(await one.read()).size == (80, 60)
    assert one.headers["ETag"] == other.headers["ETag"]
    assert await one.read() == await other.read()
    assert other.headers["Cache-Status"].startswith("contact-image; hit")


@with_shared_client
async def test_srcset_is_never_too_large(shared_client: Client, get: Get) -> None:
    for ratio in ("1", "2", "3", "4"):
        answer = await get(shared_client, 1, f"?w=2000&h=1500&type=webp&dpr={ratio}")
        assert answer.status == 200
        assert max(shown(await answer.read()).size) <= 4096


@with_shared_client
@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("?w=320&enlarge=false", (160, 120)),
        ("?w=320&enlarge=true", (320, 240)),
        ("?w=320&h=320&fit=pad&enlarge=false", (320, 320)),
        ("?w=320&h=320&fit=cover&enlarge=false", (120, 120)),
        ("?w=80&enlarge=false", (80, 60)),
    ],
)
async def test_picture_is_not_enlarged(shared_client: Client, get: Get, query: str, size: tuple[int, int]) -> None:
    assert shown(await (await get(shared_client, 1, query)).read()).size == size


async def test_operator_who_never_enlarges_is_not_overridden(serve: Serve, get: Get) -> None:
    client = await serve(render={"enlarge": False})
    assert shown(await (await get(client, 1, "?w=320&enlarge=true")).read()).size == (160, 120)


@with_shared_client
@pytest.mark.parametrize("contact", [1, 5])  # the second lies on its side in the file
@pytest.mark.parametrize(
    ("box", "gravity", "colours"),
    [
        ("w=60&h=120", "left", (RED, BLUE)),
        ("w=60&h=120", "right", (GREEN, YELLOW)),
        ("w=60&h=120", "1,0.5", (GREEN, YELLOW)),
        ("w=160&h=60", "top", (RED, GREEN)),
        ("w=160&h=60", "bottom", (BLUE, YELLOW)),
        ("w=160&h=60", "0.3,0.00", (RED, GREEN)),
    ],
)
async def test_crop_shows_the_part_at_the_gravity(
    shared_client: Client, get: Get, contact: int, box: str, gravity: str, colours: tuple[tuple[int, ...], ...]
) -> None:
    answer = await get(shared_client, contact, f"?{box}&fit=cover&type=png&gravity={gravity}")
    image = shown(await answer.read()).convert("RGB")
    across, down = image.size
    row = [(across // 4, down // 2), (across * 3 // 4, down // 2)]
    column = [(across // 2, down // 4), (across // 2, down * 3 // 4)]
    seen = [image.getpixel(place) for place in (row if across > down else column)]
    assert all(near(one, other, 40) for one, other in zip(seen, colours, strict=True)), seen


async def test_large_picture_is_cropped_at_the_gravity_from_its_mezzanine_too(
    serve: Serve, get: Get, images: Path
) -> None:
    large = Image.new("RGB", (3000, 1000), BLUE)
    large.paste(RED, (0, 0, 1000, 1000))
    large.paste(GREEN, (2000, 0, 3000, 1000))
    (images / "6.jpg").write_bytes(saved(large, "JPEG", quality=95))
    client = await serve()
    for gravity, colour in (("left", RED), ("right", GREEN), ("center", BLUE), ("0.2,0.5", RED)):
        for side in (100, 90, 80):  # the first makes the mezzanine of which the others are made
            answer = await get(client, 6, f"?w={side}&h={side}&fit=cover&type=png&gravity={gravity}")
            image = shown(await answer.read()).convert("RGB")
            assert near(image.getpixel((side // 2, side // 2)), colour, 12)
            await asyncio.sleep(0.05)


@with_shared_client
@pytest.mark.parametrize("kind", FORMATS)
async def test_background_fills_transparent_pixels_in_every_format(shared_client: Client, get: Get, kind: str) -> None:
    answer = await get(shared_client, 2, f"?w=80&bg=FF8000&type={kind}")
    image = shown(await answer.read())
    assert "A" not in image.getbands()
    assert "transparency" not in image.info
    image = image.convert("RGB")
    assert near(image.getpixel((60, 30)), ORANGE, 20)
    assert near(image.getpixel((20, 30)), RED, 20)


@with_shared_client
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("contact", [1, 2])
async def test_background_fills_the_surround(shared_client: Client, get: Get, kind: str, contact: int) -> None:
    answer = await get(shared_client, contact, f"?w=100&h=150&fit=pad&bg=ff8000&type={kind}")
    image = shown(await answer.read()).convert("RGB")
    assert image.size == (100, 150)
    assert near(image.getpixel((50, 10)), ORANGE, 20)
    assert near(image.getpixel((50, 140)), ORANGE, 20)


@with_shared_client
async def test_background_lets_a_transparent_picture_be_a_jpeg(shared_client: Client, get: Get) -> None:
    fields = {"Accept": "image/jpeg,image/png,*/*;q=0.1"}
    assert (await get(shared_client, 2, "?w=80", **fields)).content_type == "image/png"
    assert (await get(shared_client, 2, "?w=80&bg=ffffff", **fields)).content_type == "image/jpeg"
    assert (await get(shared_client, 2, "?bg=ffffff", **fields)).content_type == "image/jpeg"


async def test_background_is_behind_every_frame(serve: Serve, get: Get, images: Path) -> None:
    (images / "7.gif").write_bytes(animation())
    client = await serve()
    for kind in ("gif", "png", "webp", "avif"):
        answer = await get(client, 7, f"?w=100&h=150&fit=pad&bg=ff8000&type={kind}")
        image = shown(await answer.read())
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            assert near(image.convert("RGB").getpixel((50, 4)), ORANGE, 20), (kind, frame)


@with_shared_client
async def test_placeholder_has_the_background(shared_client: Client, get: Get) -> None:
    for blank in ("Default", "ClearPixel", "GenericFileIcon"):
        answer = await get(shared_client, 404, f"?ifBlank={blank}&w=64&h=64&bg=ff8000", Accept="image/png")
        assert near(shown(await answer.read()).convert("RGBA").getpixel((1, 1)), (*ORANGE, 255), 2)
        other = await get(shared_client, 404, f"?ifBlank={blank}&w=64&h=64", Accept="image/png")
        assert answer.headers["ETag"] != other.headers["ETag"]


@with_shared_client
@pytest.mark.parametrize("query", ["?w=9&dpr=0.5", "?gravity=north", "?bg=red", "?enlarge=maybe"])
async def test_other_value_is_400_naming_what_is_accepted(shared_client: Client, get: Get, query: str) -> None:
    answer = await get(shared_client, 1, query)
    assert answer.status == 400
    assert "must be one of" in (await answer.json())["detail"]
