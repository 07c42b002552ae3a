"""Admission by time, in one process and in several that share their slots."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.errors import Overloaded
from service.formats import Format
from service.pictures.trace import Trace
from service.rendering.admission import Admission, SharedWork
from service.rendering.costs import Costs
from tests.waiting import until

MEGAPIXELS = 1_000_000
SET_SECONDS = """
import sys
from pathlib import Path
from service.rendering.admission import SharedWork

work = SharedWork(Path(sys.argv[1]))
work.set(float(sys.argv[2]))
print("set", flush=True)
sys.stdin.read()
"""


def admission(renderers: int = 1, **options: Any) -> Admission:
    """Return an admission of orders that are expected to wait for less than three seconds, 0.8 of the limit.

    A render of 20 megapixels is expected to take one second.
    """
    defaults: dict[str, Any] = {"queue_timeout": 3.75, "start_timeout": 12.5, "ready": lambda: True}
    return Admission(Costs(), renderers=renderers, **(defaults | options))


def fill(admitted: Admission, megapixels: int = 20) -> int:
    """Return how many orders are accepted."""
    count = 0
    while not admitted.full:
        admitted.count(Trace(), Format.JPEG, megapixels * MEGAPIXELS).__enter__()
        count += 1
    return count


@contextmanager
def process_with(seconds: float, file: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SET_SECONDS, str(file), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "set\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("renderers", [1, 2])
def test_orders_are_accepted_while_they_can_begin_in_time(renderers: int) -> None:
    admitted = admission(renderers)
    assert fill(admitted) == 3 * renderers
    with pytest.raises(Overloaded) as refused:
        admitted.require()
    assert refused.value.values["seconds"] == 3


def test_finished_order_makes_room() -> None:
    admitted = admission()
    with admitted.count(Trace(), Format.JPEG, 60 * MEGAPIXELS) as order:
        assert admitted.full
        order.pause()
        assert not admitted.full
        order.resume()
        assert admitted.full
    assert not admitted.full


def test_one_long_render_does_not_shut_out_the_other_renderer() -> None:
    admitted = admission(2)
    admitted.count(Trace(), Format.AVIF, 1_000 * MEGAPIXELS).__enter__()
    assert fill(admitted) == 3


def test_more_orders_may_wait_until_a_renderer_is_ready() -> None:
    assert fill(admission(ready=lambda: False)) == 10


def test_measured_renders_replace_the_assumed_cost() -> None:
    admitted = admission()
    for _ in range(10):
        trace = Trace()
        with admitted.count(trace, Format.JPEG, 20 * MEGAPIXELS):
            trace.seconds["render"] = 0.1
    assert fill(admitted) in (30, 31)


async def test_processes_share_the_count_and_that_of_a_dead_one_goes_away(tmp_path: Path) -> None:
    admitted = admission(shared=SharedWork(tmp_path / "work"), slots=2)
    with process_with(4.0, tmp_path / "work") as other, process_with(1.0, tmp_path / "work"):
        await until(lambda: fill(admitted) == 1)
        other.kill()
        await until(lambda: not admitted.full)
        assert fill(admitted) == 2  # more could not begin in time in this process, which has one renderer
    admitted.close()


async def test_process_gets_the_cell_of_a_dead_one(tmp_path: Path) -> None:
    own = SharedWork(tmp_path / "work")
    for seconds in (1.0, 2.0):
        with process_with(seconds, tmp_path / "work"):
            await until(lambda: own.total() == seconds)  # noqa: B023
    await until(lambda: own.total() == 0.0)
    own.close()
