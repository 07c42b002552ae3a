"""The targets of `python -m tools.fuzz`: their corpora, mutants of them, and render processes that get mutants."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import BadParameter, Unrenderable, UnsupportedUpload
from service.formats import Format
from service.imaging.admission import admit
from service.imaging.order import Encoding, Limits, Order
from service.imaging.render import render
from service.pictures.trace import Trace
from service.rendering.pool import RenderPool
from service.web.metrics import Metrics
from tools.fuzz.mutants import mutant
from tools.fuzz.pictures import order, outcome
from tools.fuzz.seeds import seeds
from tools.fuzz.table import TARGETS

SEEDS = seeds()
MUTANTS = 1_000
LIMIT = 10.0


@pytest.mark.parametrize("name", SEEDS)
def test_every_seed_is_rendered(name: str) -> None:
    assert outcome(SEEDS[name], 4) == "rendered"


@pytest.mark.parametrize("name", TARGETS)
def test_target_accepts_its_corpus_and_mutants_of_it(name: str) -> None:
    target = TARGETS[name]
    corpus = list(target.corpus())
    assert len(set(corpus)) == len(corpus) > 1
    for data in corpus:
        for number in range(20):
            target.run(data if not number else mutant(data, number))


def test_mutants_are_repeatable_and_most_are_broken() -> None:
    data = SEEDS["png"]
    assert mutant(data, 7) == mutant(data, 7)
    assert sum(mutant(data, number) != data for number in range(100)) > 90


def test_stripped_mutant_shows_the_same_or_is_refused() -> None:
    admitted = 0
    for name in (each for each in SEEDS if each.startswith(("jpeg", "png", "apng", "gif", "webp"))):
        for number in range(40):
            data = mutant(SEEDS[name], number)
            try:
                clean = admit(data, Limits(), Encoding())
            except (Unrenderable, UnsupportedUpload):
                continue
            admitted += 1
            assert clean is not None
            before, after = (render(each, Order(Format.PNG, 24, 24)).data for each in (data, clean))
            assert before == after
    assert admitted > 50


async def test_thousand_mutants_end_no_render_process_and_exceed_no_time_limit() -> None:
    """`RenderWorkerDied`, `RenderTimedOut` and unexpected exceptions, which would be a 5xx, fail this test."""
    pool = RenderPool(Metrics(), workers=2, queue=MUTANTS, timeout=LIMIT, memory_bytes=1_073_741_824)
    pool.open()
    every = list(SEEDS.values())

    async def rendered(number: int) -> bool:
        async def read() -> bytes:
            return mutant(every[number % len(every)], number)

        try:
            return bool((await pool.render_original(read, order(number), Trace())).data)
        except (Unrenderable, BadParameter):
            return False

    try:
        while not pool.pids:
            await asyncio.sleep(0.01)
        outcomes = []
        for first in range(0, MUTANTS, 8):
            outcomes += await asyncio.gather(*(rendered(number) for number in range(first, first + 8)))
    finally:
        await pool.close()
    assert len(outcomes) == MUTANTS
    assert 100 < sum(outcomes) < 900  # some mutants are refused, and some are sound
