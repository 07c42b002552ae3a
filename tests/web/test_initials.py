"""`ifBlank=Initials` with `name` (docs/contract.md, section 4), and that of the name nothing else is kept."""

from __future__ import annotations

import gc
from functools import _lru_cache_wrapper
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis

from service.imaging.drawing.initials import COLOURS
from service.pictures.caching.picture_cache import PictureCache
from service.protocol.names import initials_of
from service.web.keys import CACHE, REPEATS
from tests.conftest import Serve, Valkey
from tests.operations.running import running
from tests.pixels import shown
from tests.web.conftest import IMAGE, Client, Get, with_shared_client
from tests.web.raw_http import CLOSE, answers, request

NAME = "Zyxwv Qrstuv"
NAMED = f"?ifBlank=Initials&name={quote(NAME)}"


@with_shared_client
async def test_initials_are_drawn_on_the_colour_of_the_name(shared_client: Client, get: Get) -> None:
    response = await get(shared_client, 404, f"{NAMED}&w=96")
    found = initials_of(NAME)
    assert found is not None
    assert response.status == 200
    assert response.content_type == "image/png"
    assert response.headers["Cache-Status"].endswith("detail=placeholder")
    assert response.headers["Vary"] == "Accept"
    assert "Content-Language" not in response.headers
    image = shown(await response.read()).convert("RGB")
    assert image.size == (96, 96)
    assert image.getpixel((0, 0)) == COLOURS[found.colour]
    assert max(sum(each) for each in image.get_flattened_data()) > 750


@with_shared_client
@pytest.mark.parametrize("spelled", ["ZYXWV  qrstuv", " zyxwv Qrstuv "])
async def test_folded_names_have_one_picture(shared_client: Client, get: Get, spelled: str) -> None:
    one = await get(shared_client, 404, NAMED)
    other = await get(shared_client, 404, f"?IFBLANK=INITIALS&NAME={quote(spelled)}")
    assert one.headers["ETag"] == other.headers["ETag"]
    assert await one.read() == await other.read()
    third = await get(shared_client, 404, "?ifBlank=Initials&name=Zyxwv")
    assert third.headers["ETag"] != one.headers["ETag"]


@with_shared_client
@pytest.mark.parametrize("name", ["", "&name=", "&name=42", "&name=%D8%A7%D8%AD", "&name=%E9%B1%BB", "&name=A+%D8%A7"])
async def test_name_without_letters_or_glyphs_gives_the_default(shared_client: Client, get: Get, name: str) -> None:
    for query in ("&w=50", "&w=50&type=webp", "&w=50&type=jpeg&bg=102030"):
        default = await get(shared_client, 404, f"?ifBlank=Default{query}")
        response = await get(shared_client, 404, f"?ifBlank=Initials{name}{query}")
        assert response.status == 200
        assert response.headers["ETag"] == default.headers["ETag"]
        assert await response.read() == await default.read()


@with_shared_client
@pytest.mark.parametrize("contact", [1, 404])
@pytest.mark.parametrize("blank", ["", "&ifBlank=Initials"])
async def test_wrong_name_is_400_and_is_not_repeated_in_the_answer(
    shared_client: Client, get: Get, contact: int, blank: str
) -> None:
    for _ in range(3):
        assert (await get(shared_client, contact, f"?name={'%C3%85' * 64}{blank}")).status == (
            404 if contact == 404 and not blank else 200
        )
        for wrong in (f"name={NAME}{'x' * 60}", "name=%C3", "name=a&name=b"):
            response = await get(shared_client, contact, f"?{wrong}{blank}")
            assert response.status == 400
            problem = await response.json(content_type="application/problem+json")
            assert "name" in problem["detail"]
            assert "Zyx" not in await response.text()
            assert problem["instance"] == IMAGE.format(contact)


@with_shared_client
async def test_initials_have_no_number(shared_client: Client, get: Get) -> None:
    for number in (6, -1):
        response = await get(shared_client, 404, f"?ifBlank={number}&name=Ada")
        assert response.status == 400
        assert "Initials" in await response.text()


@with_shared_client
@pytest.mark.parametrize("query", ["&dpr=2&w=40", "&w=80&bg=ff0000", "&w=80&h=80&gravity=top&fit=cover", "&v=7&w=80"])
async def test_other_parameters_are_accepted(shared_client: Client, get: Get, query: str) -> None:
    plain = await get(shared_client, 404, f"{NAMED}&w=80")
    response = await get(shared_client, 404, f"{NAMED}{query}")
    assert response.headers["ETag"] == plain.headers["ETag"]
    unchanged = await get(shared_client, 404, f"{NAMED}{query}", If_None_Match=plain.headers["ETag"])
    assert unchanged.status == 304


async def test_presets_and_formats_apply_to_initials(serve: Serve, get: Get) -> None:
    client = await serve(render={"presets": {"avatar": "w=96&h=96&ifBlank=Initials"}, "presets_only": True})
    response = await get(client, 404, "?preset=avatar&dpr=2&name=Ada", Accept="image/webp")
    assert response.content_type == "image/webp"
    assert shown(await response.read()).size == (192, 192)


@pytest.mark.usefixtures("people")
async def test_picture_wins_over_initials(serve: Serve, get: Get) -> None:
    client = await serve()
    plain = await get(client, 1, "?w=40")
    named = await get(client, 1, f"{NAMED}&w=40")
    assert named.headers["ETag"] == plain.headers["ETag"]
    assert await named.read() == await plain.read()


async def test_pairs_of_letters_and_colour_do_not_push_each_other_out(serve: Serve, get: Get) -> None:
    """With one owner for all, eight fields would not hold sixteen placeholders, nor another one beside them."""
    client = await serve(cache={"memory_bytes": 0, "max_fields": 8})
    queries = ["?ifBlank=Default&w=20", *(f"?ifBlank=Initials&name={letter}&w=20" for letter in "ABCDEFGHIJKLMNOP")]
    for query in queries:
        await get(client, 404, query)
    await client.server.app[CACHE].settle()  # type: ignore[attr-defined]
    for query in queries:
        response = await get(client, 404, query)
        assert "hit" in response.headers["Cache-Status"], query


@pytest.mark.usefixtures("people")
async def test_nothing_in_the_shared_cache_has_the_name(serve: Serve, get: Get, shared_valkey: Valkey) -> None:
    client = await serve()
    for contact in (1, 404):
        for _ in range(3):
            await get(client, contact, f"{NAMED}&w=30")
    cache: PictureCache = client.server.app[CACHE]  # type: ignore[attr-defined]
    await cache.settle()
    with Redis(unix_socket_path=str(shared_valkey.socket)) as redis:
        keys = list(redis.scan_iter())
        everything = [*keys, *(redis.dump(key) for key in keys)]
    assert any(b"{initials:5a-51:" in key for key in keys)
    assert not [each for each in everything if each and b"yxwv" in each.lower()]


@pytest.mark.usefixtures("people")
async def test_repeats_with_other_names_are_one_entry_and_hits(serve: Serve, get: Get) -> None:
    client = await serve()
    for number in range(4):
        await get(client, 1, f"?w=40&name=Zyx+{number}&ifBlank=Initials")
    index = client.server.app[REPEATS]  # type: ignore[attr-defined]
    path = IMAGE.format(1)
    assert index.get((f"{path}?w=40&ifBlank=Initials", "*/*")) is not None
    for number in range(4):
        assert index.get((f"{path}?w=40&name=Zyx+{number}&ifBlank=Initials", "*/*")) is None
    response = await get(client, 1, "?w=40&name=Zyx+9&ifBlank=Initials")
    assert response.headers["Cache-Status"].startswith("contact-image; hit; ttl=")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("wrong", ["", "&name=other"])
async def test_no_memo_grows_with_the_names_of_requests(serve: Serve, wrong: str) -> None:
    """Names with the same initials and colour, and pictures of contacts that have one, leave nothing of the name."""
    client = await serve()
    names = [f"Zyx Q{number}" for number in range(400)]
    alike = [name for name in names if initials_of(name) == initials_of(names[0])]

    async def ask(name: str) -> None:
        for contact in (1, 404) * 2:
            target = f"{IMAGE.format(contact)}?ifBlank=Initials&w=40&name={quote(name)}{wrong}"
            await answers(client, request(target.encode(), CLOSE))

    def kept() -> int:
        gc.collect()
        return sum(each.cache_info().currsize for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper))

    for name in alike[:3]:
        await ask(name)
    before = kept()
    for name in alike[3:15]:
        await ask(name)
    assert kept() - before < 6  # dates of answers


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_name_is_not_logged(tmp_path: Path, level: str) -> None:
    with running("--images", tmp_path, CONTACT_IMAGE_LOG__LEVEL=level) as service:
        plain = f"?name={quote(NAME)}"
        for query in (NAMED, f"{NAMED}&w=x", f"{plain}{'x' * 60}", plain, f"{NAMED}&type=avif"):
            service.get(f"/api/v1/Contact/404/Image{query}")
        metrics = service.get("/metrics").body.decode()
        assert "yxwv" not in (service.printed + service.logged + metrics).lower()
