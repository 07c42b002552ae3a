"""Presets: named sets of parameters in the settings."""

from __future__ import annotations

import pytest

from service.settings import RenderSettings, load_settings
from tests.conftest import Serve
from tests.pixels import shown
from tests.web.conftest import Get

pytestmark = pytest.mark.usefixtures("people")

PRESETS = {"avatar": "w=40&h=40&fit=cover", "card": "w=80&type=webp"}


async def test_preset_is_the_same_rendition_as_its_parameters(serve: Serve, get: Get) -> None:
    client = await serve(render={"presets": PRESETS})
    one, other = await get(client, 1, "?preset=avatar"), await get(client, 1, "?w=40&h=40&fit=cover")
    assert shown(await one.read()).size == (40, 40)
    assert one.headers["ETag"] == other.headers["ETag"]
    assert shown(await (await get(client, 1, "?preset=card&w=20&dpr=2")).read()).size == (40, 30)
    unknown = await get(client, 1, "?preset=logo")
    assert unknown.status == 400
    assert (await unknown.json())["detail"] == "The parameter preset must be one of avatar, card."


async def test_without_a_preset_is_400_where_only_presets_are_accepted(serve: Serve, get: Get) -> None:
    client = await serve(render={"presets": PRESETS, "presets_only": True})
    assert (await get(client, 1, "?preset=avatar&dpr=2&v=1&ifBlank=Default")).status == 200
    for query in (
        "",
        "?w=40&h=40&fit=cover",
        "?preset=avatar&w=41",
        "?preset=avatar&dpr=1.5",
        "?preset=avatar&type=png",
    ):
        for _ in range(3):
            assert (await get(client, 1, query)).status == 400, query


@pytest.mark.parametrize(
    ("presets", "only", "error"),
    [
        ({"a": "w=x"}, False, "the preset 'a': The parameter w must be an integer"),
        ({"a": "w=5000"}, False, "the preset 'a': The parameter w must be an integer of at most 4096"),
        ({"A": "w=5"}, False, "the name of the preset 'A'"),
        ({"a": "preset=b", "b": "w=5"}, False, "the preset 'a' may not have preset"),
        ({"a": "name=Ada"}, False, "the preset 'a' may not have name"),
        ({}, True, "presets_only without presets"),
    ],
)
def test_wrong_preset_refuses_the_start(presets: dict[str, str], only: bool, error: str) -> None:
    values = load_settings().render.model_dump() | {"presets": presets, "presets_only": only}
    with pytest.raises(ValueError, match=error):
        RenderSettings(**values)
