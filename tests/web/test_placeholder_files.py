"""Placeholders from the operator's folder (`placeholders.directory`; docs/contract.md, section 4)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.settings import BadSettings, load_settings
from service.web.keys import CACHE
from service.wiring.placeholders import load_placeholders
from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Client, Get
from tools.pictures.drawing import animation, quarters, saved, see_through

KINDS = ["Default", "ClearPixel", "SrNoPhoto", "SrNoPhotoWithBorder", "GenericFileIcon"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Default: an opaque JPEG of 160 × 120; the icon: a PNG with alpha; words: a GIF that moves."""
    made = tmp_path / "placeholders"
    made.mkdir()
    (made / "Default.jpg").write_bytes(saved(quarters(160, 120), "JPEG", quality=95))
    (made / "genericFILEicon.PNG").write_bytes(saved(see_through(160, 120), "PNG"))
    (made / "SrNoPhoto.gif").write_bytes(animation())
    (made / ".hidden").write_text("left out")
    (made / "lost+found").mkdir()
    return made


async def loaded(folder: Path, **sections: dict[str, Any]) -> Any:
    return await load_placeholders(load_settings(placeholders={"directory": str(folder)}, **sections))


@pytest.fixture
async def client(serve: Serve, folder: Path) -> Client:
    return await serve(adapters={"placeholders": await loaded(folder)})


def corner(body: bytes) -> tuple[int, ...]:
    pixel = shown(body).convert("RGB").getpixel((1, 1))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("", (160, 120)),
        ("&w=80", (80, 60)),
        ("&h=30", (40, 30)),
        ("&w=50&h=50", (50, 50)),
        ("&w=50&h=50&fit=contain", (50, 50)),
        ("&w=90&h=20&dpr=2", (180, 40)),
        ("&w=320", (320, 240)),
        ("&w=320&enlarge=false", (160, 120)),
    ],
)
async def test_file_is_rendered_like_an_original_and_covers_a_box(
    client: Client, get: Get, query: str, size: tuple[int, int]
) -> None:
    response = await get(client, 404, f"?ifBlank=Default{query}")
    assert response.status == 200
    assert response.content_type == "image/jpeg"  # the file's own format, where nothing else is asked for
    assert shown(await response.read()).size == size
    assert response.headers["Cache-Status"].endswith("detail=placeholder")
    assert response.headers["Cache-Control"] == "public, max-age=30"
    assert "Last-Modified" not in response.headers
    again = await get(client, 404, f"?ifBlank=Default{query}", If_None_Match=response.headers["ETag"])
    assert again.status == 304


@pytest.mark.parametrize("format", ["jpeg", "png", "gif", "tiff", "webp", "avif"])
async def test_type_and_accept_choose_the_format(client: Client, get: Get, format: str) -> None:
    by_type = await get(client, 404, f"?ifBlank=0&w=40&type={format}")
    by_accept = await get(client, 404, "?ifBlank=0&w=40", Accept=f"image/{format}")
    assert by_type.content_type == by_accept.content_type == f"image/{format}"
    assert by_type.headers["ETag"] == by_accept.headers["ETag"]
    assert shown(await by_type.read()).size == (40, 30)
    as_json = await get(client, 404, "?ifBlank=0&w=40", Accept="application/json")
    assert as_json.content_type == "application/json"


async def test_gravity_background_and_presets_apply(serve: Serve, get: Get, folder: Path) -> None:
    presets = {"avatar": "w=40&h=40&fit=cover&gravity=left&ifBlank=Default"}
    client = await serve(adapters={"placeholders": await loaded(folder)}, render={"presets": presets})
    left = await get(client, 404, "?preset=avatar")
    right = await get(client, 404, "?preset=avatar&gravity=right")
    assert left.headers["ETag"] != right.headers["ETag"]
    assert corner(await left.read()) != corner(await right.read())
    filled = await get(client, 404, "?ifBlank=GenericFileIcon&bg=00ff00&type=png")
    plain = await get(client, 404, "?ifBlank=GenericFileIcon&type=png")
    assert "A" in shown(await plain.read()).mode
    assert shown(await filled.read()).mode == "RGB"
    assert filled.headers["ETag"] != plain.headers["ETag"]
    opaque = await get(client, 404, "?ifBlank=Default&bg=00ff00")
    assert opaque.headers["ETag"] == (await get(client, 404, "?ifBlank=Default")).headers["ETag"]


async def test_file_in_place_of_words_depends_on_no_language(client: Client, get: Get) -> None:
    answers = [await get(client, 404, "?ifBlank=SrNoPhoto", Accept_Language=language) for language in ("en", "sv")]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
    for each in answers:
        assert each.headers["Vary"] == "Accept"
        assert "Content-Language" not in each.headers
    moving = Image.open(BytesIO(await answers[0].read()))
    assert getattr(moving, "n_frames", 1) > 1
    drawn = await get(client, 404, "?ifBlank=SrNoPhotoWithBorder", Accept_Language="sv")
    assert drawn.headers["Content-Language"] == "sv"


async def test_other_kinds_are_drawn_as_without_a_folder(serve: Serve, get: Get, folder: Path) -> None:
    with_folder = await serve(adapters={"placeholders": await loaded(folder)})
    without = await serve()
    for kind in ("ClearPixel", "SrNoPhotoWithBorder", "Initials&name=Ada"):
        one, other = [await get(each, 404, f"?ifBlank={kind}&w=40") for each in (with_folder, without)]
        assert one.headers["ETag"] == other.headers["ETag"]
        assert await one.read() == await other.read()
    assert (await get(with_folder, 404, "?ifBlank=Null")).status == 404


async def test_initials_without_letters_get_the_file_for_default(client: Client, get: Get) -> None:
    default = await get(client, 404, "?ifBlank=Default&w=40")
    for name in ("", "&name=42"):
        response = await get(client, 404, f"?ifBlank=Initials{name}&w=40")
        assert response.headers["ETag"] == default.headers["ETag"]
        assert await response.read() == await default.read()


async def test_digest_of_the_file_is_in_field_and_etag(serve: Serve, get: Get, folder: Path) -> None:
    """Processes that share a cache and have other files do not get each other's."""
    first = await serve(adapters={"placeholders": await loaded(folder)}, cache={"prefix": "files"})
    old = await get(first, 404, "?ifBlank=Default&w=40")
    await first.server.app[CACHE].settle()  # type: ignore[attr-defined]
    (folder / "Default.jpg").write_bytes(saved(quarters(160, 120).transpose(Image.Transpose.ROTATE_180), "JPEG"))
    second = await serve(adapters={"placeholders": await loaded(folder)}, cache={"prefix": "files"})
    new = await get(second, 404, "?ifBlank=Default&w=40", If_None_Match=old.headers["ETag"])
    assert new.status == 200
    assert new.headers["ETag"] != old.headers["ETag"]
    assert corner(await new.read()) != corner(await old.read())
    third = await serve(adapters={"placeholders": await loaded(folder)}, cache={"prefix": "files"})
    await second.server.app[CACHE].settle()  # type: ignore[attr-defined]
    shared = await get(third, 404, "?ifBlank=Default&w=40")
    assert "hit" in shared.headers["Cache-Status"]
    assert await shared.read() == await new.read()


@pytest.mark.usefixtures("people")
async def test_file_replaces_a_picture_that_cannot_be_rendered(client: Client, get: Get, images: Path) -> None:
    (images / "9.jpg").write_bytes(b"no picture")
    response = await get(client, 9, "?ifBlank=Default&w=40")
    assert response.headers["Cache-Status"].endswith("detail=unrenderable")
    assert shown(await response.read()).size == (40, 30)


async def test_too_large_a_size_is_refused(client: Client, get: Get) -> None:
    assert (await get(client, 404, "?ifBlank=Default&w=5000")).status == 400
    assert (await get(client, 404, "?ifBlank=Default&w=4096&h=4096&type=avif")).status == 400


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("Default.png", b"no picture", "Default.png: The stored bytes are no picture"),
        ("Default.png", b"", "Default.png"),
        ("Default.png", saved(quarters(40, 40), "PNG")[:-40], "Default: "),
        ("Null.png", saved(quarters(4, 4), "PNG"), "Null has no picture"),
        ("Initials.png", saved(quarters(4, 4), "PNG"), "Initials are drawn from the name"),
        ("Defualt.png", saved(quarters(4, 4), "PNG"), "must be named after a value of ifBlank"),
        ("Default.svg", b"<svg/>", "must be named after a value of ifBlank"),
        ("Default.png.bak", b"", "must be named after a value of ifBlank"),
        ("0.png", saved(quarters(4, 4), "PNG"), "must be named after a value of ifBlank"),
        ("default.PNG", saved(quarters(4, 4), "PNG"), "a second file"),
    ],
)
async def test_file_that_is_no_placeholder_is_refused(folder: Path, name: str, data: bytes, words: str) -> None:
    if "second" not in words:
        (folder / "Default.jpg").unlink()
    (folder / name).write_bytes(data)
    with pytest.raises(BadSettings) as refused:
        await loaded(folder)
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].startswith("placeholders.directory: ")
    assert words in refused.value.faults[0]


async def test_limits_are_those_of_uploads(folder: Path) -> None:
    with pytest.raises(BadSettings, match="at most 1000 are accepted"):
        await loaded(folder, images={"max_bytes": 1000})
    with pytest.raises(BadSettings, match="Default: "):
        await loaded(folder, render={"max_pixels": 1000})
    with pytest.raises(BadSettings, match="cannot be read"):
        await loaded(folder / "gone")
    for each in folder.glob("*.*"):
        each.unlink()
    assert await loaded(folder) == {}
