"""Unusual animations and AVIF files, by requests of users."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Serve
from tests.pixels import frames_of, near, shown
from tests.plays import plays
from tests.web.conftest import Get
from tools.pictures.drawing import BLUE, GREEN, RED, YELLOW, quarters, saved
from tools.pictures.isobmff import grid, nclx, still

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


def gif(repeats: int | None) -> bytes:
    frames = [Image.new("RGB", (60, 60), colour) for colour in (RED, GREEN, BLUE)]
    options = {} if repeats is None else {"loop": repeats}
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, **options)


async def test_webp_rendition_plays_as_often_as_webp_allows(images: Path, serve: Serve, get: Get) -> None:
    (images / "100.gif").write_bytes(gif(65_535))
    client = await serve()
    response = await get(client, 100, "?w=60&type=WEBP")
    assert (response.status, response.content_type) == (200, "image/webp")
    data = await response.read()
    assert len(frames_of(data)) == 3 and plays(data) == 65_535
    assert (await get(client, 100, "?w=50&type=GIF")).status == 200


@pytest.mark.parametrize(
    ("query", "accept"),
    [("?w=60", CHROME), ("?w=60", "image/webp,*/*;q=0.8"), ("?w=60", "image/gif"), ("?w=60", "image/png"),
     ("?w=60&type=AVIF", "*/*")],
)  # fmt: skip
@pytest.mark.parametrize(("repeats", "times"), [(None, 1), (2, 3), (0, 0)])
async def test_number_of_plays_is_the_same_in_every_format(
    images: Path, serve: Serve, get: Get, query: str, accept: str, repeats: int | None, times: int
) -> None:
    (images / "1300.gif").write_bytes(gif(repeats))
    response = await get(await serve(), 1300, query, Accept=accept)
    data = await response.read()
    assert response.status == 200 and response.content_type.startswith("image/")
    assert len(frames_of(data)) == 3 and shown(data).size == (60, 60)
    assert plays(data) == times


@pytest.mark.parametrize("shared", [True, False])
async def test_avif_grid_of_repeated_tiles_is_rendered(images: Path, serve: Serve, get: Get, shared: bool) -> None:
    (images / "900.avif").write_bytes(grid(quarters(64, 64), 2, 2, shared=shared))
    response = await get(await serve(), 900, "?w=60&type=PNG")
    assert response.status == 200
    made = shown(await response.read())
    assert made.size == (60, 60)
    assert near(made.getpixel((7, 7)), RED, 24) and near(made.getpixel((52, 52)), YELLOW, 24)


@pytest.mark.parametrize(("points", "colour"), [((12, 13), (216, 69, 50)), ((9, 13), (244, 37, 50))])
async def test_wide_gamut_without_profile_is_converted(
    images: Path, serve: Serve, get: Get, points: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    (images / "1100.avif").write_bytes(still(Image.new("RGB", (64, 64), (200, 80, 60)), colour=nclx(*points)))
    response = await get(await serve(), 1100, "?w=60&type=PNG")
    assert response.status == 200
    assert near(shown(await response.read()).getpixel((30, 30)), colour)
