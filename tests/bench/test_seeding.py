"""What the benchmarks put into Redis, and the contacts that they draw."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from service.settings import load_settings
from service.web.keys import CACHE
from tests.conftest import Serve, Valkey
from tools.bench.instruments.pictures import photograph
from tools.bench.instruments.seeding import copy, in_turn, uniform, zipf

_PATH = "/api/v1/Contact/{}/Image?w=40"


async def test_service_answers_seeded_rendition_as_hit(serve: Serve, own_valkey: Valkey, images: Path) -> None:
    (images / "1.jpg").write_bytes(photograph(64, 48))
    os.link(images / "1.jpg", images / "2.jpg")
    client = await serve(cache={"url": own_valkey.url, "prefix": load_settings().cache.prefix})
    made = await client.get(_PATH.format(1))
    rendition = await made.read()
    await client.app[CACHE].settle()

    await copy(own_valkey.url, 1, range(2, 100))

    for contact in (2, 50, 99):  # two of them have no picture in the folder
        answer = await client.get(_PATH.format(contact))
        assert (answer.status, await answer.read()) == (200, rendition)
        assert "hit" in answer.headers["Cache-Status"]
        assert answer.headers["ETag"] != made.headers["ETag"]
    metrics = await (await client.get("/metrics")).text()
    assert "contact_image_renders_started_total 1.0" in metrics


async def test_nothing_is_copied_from_contact_without_rendition(own_valkey: Valkey) -> None:
    with pytest.raises(SystemExit):
        await copy(own_valkey.url, 1, [2])


def test_zipf_draws_first_item_n_times_as_often_as_the_nth() -> None:
    counts = Counter(zipf(range(100), 200_000, Random(1)))
    assert set(counts) == set(range(100))
    for rank in (2, 5, 20):
        assert counts[0] / counts[rank - 1] == pytest.approx(rank, rel=0.1)


def test_uniform_draws_items_equally_often() -> None:
    counts = Counter(uniform(range(10), 100_000, Random(1)))
    assert all(count == pytest.approx(10_000, rel=0.1) for count in counts.values())


def test_draw_in_turn_gives_each_item_once() -> None:
    draw, random = in_turn(range(7)), Random(1)
    first, second = draw([], 3, random), draw([], 4, random)
    assert sorted([*first, *second]) == list(range(7))
    with pytest.raises(SystemExit):
        draw([], 1, random)
