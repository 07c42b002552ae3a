"""Admission by time, in one process and in several that share their slots."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service.errors import Overloaded
from service.formats import Format
from service.pictures.demand import Demand
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
    defaults: dict[str, Any] = {"queue": 1000, "queue_timeout": 3.75, "start_timeout": 12.5, "ready": lambda: True}
    return Admission(options.pop("costs", Costs()), renderers=renderers, **(defaults | options))


def fill(admitted: Admission, megapixels: int = 20) -> int:
    """Return how many orders are accepted."""
    count = 0
    while not admitted.refuses(Trace()):
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
        admitted.require(Trace())
    assert refused.value.values["seconds"] == 3


def test_finished_order_makes_room() -> None:
    admitted = admission()
    with admitted.count(Trace(), Format.JPEG, 60 * MEGAPIXELS) as order:
        assert admitted.refuses(Trace())
        order.pause()
        assert not admitted.refuses(Trace())
        order.resume()
        assert admitted.refuses(Trace())
    assert not admitted.refuses(Trace())


def test_number_of_waiting_orders_is_bounded() -> None:
    assert fill(admission(2, queue=10), megapixels=0) == 2 + 1 + 10  # two are rendered, and one is read


def test_one_long_render_does_not_shut_out_the_other_renderer() -> None:
    admitted = admission(2)
    admitted.count(Trace(), Format.AVIF, 1_000 * MEGAPIXELS).__enter__()
    assert fill(admitted) == 3


def test_more_orders_may_wait_until_a_renderer_is_ready() -> None:
    assert fill(admission(ready=lambda: False)) == 10


def test_measured_renders_replace_the_assumed_cost() -> None:
    costs = Costs()
    admitted = admission(costs=costs)
    for _ in range(10):
        costs.add(Format.JPEG, 20 * MEGAPIXELS, 0.1)
    assert fill(admitted) in (30, 31)


class ClientAt(NamedTuple):
    """The client at one address."""

    addresses: frozenset[str | None]
    half_closed: bool = False


def trace_of(address: str) -> Trace:
    return Trace(ClientAt(frozenset((address,))))


def test_orders_of_one_address_do_not_shut_out_another() -> None:
    admitted = admission()
    while not admitted.refuses(trace_of("1.1.1.1")):
        admitted.count(trace_of("1.1.1.1"), Format.JPEG, 20 * MEGAPIXELS).__enter__()
    accepted = 0
    while not admitted.refuses(trace_of("2.2.2.2")):
        admitted.count(trace_of("2.2.2.2"), Format.JPEG, 20 * MEGAPIXELS).__enter__()
        accepted += 1
    assert accepted == 2  # the next one would come after these and two of the other address


@pytest.mark.parametrize(("half_closed", "accepted"), [((True,), True), ((True, False), False), ((), True)])
def test_orders_whose_clients_have_or_may_have_left_do_not_count(half_closed: tuple[bool, ...], accepted: bool) -> None:
    admitted, trace = admission(), trace_of("1.1.1.1")
    trace.demand = Demand(lambda: None)
    with ExitStack() as stack:
        for each in half_closed:
            stack.enter_context(trace.demand.joined(ClientAt(frozenset(), each)))
        stack.enter_context(admitted.count(trace, Format.JPEG, 60 * MEGAPIXELS))
        assert admitted.refuses(trace_of("1.1.1.1")) is not accepted


def test_orders_of_many_addresses_come_before_that_of_another() -> None:
    admitted = admission()
    for at in range(3):
        assert not admitted.refuses(trace_of(f"1.1.1.{at}"))
        admitted.count(trace_of(f"1.1.1.{at}"), Format.JPEG, 20 * MEGAPIXELS).__enter__()
    assert not admitted.refuses(trace_of("2.2.2.2"))
    for at in range(1000):
        admitted.count(trace_of(f"1.1.2.{at}"), Format.JPEG, 20 * MEGAPIXELS).__enter__()
    assert admitted.refuses(trace_of("2.2.2.2"))


async def test_processes_share_the_count_and_that_of_a_dead_one_goes_away(tmp_path: Path) -> None:
    admitted = admission(shared=SharedWork(tmp_path / "work"), slots=1)
    with process_with(4.0, tmp_path / "work") as other, process_with(1.0, tmp_path / "work"):
        assert fill(admitted) == 1  # the next one would come after one more of each
        other.kill()
        await until(lambda: not admitted.refuses(Trace()))
        assert fill(admitted) == 1
    admitted.close()


async def test_process_gets_the_cell_of_a_dead_one(tmp_path: Path) -> None:
    own = SharedWork(tmp_path / "work")
    for seconds in (1.0, 2.0):
        with process_with(seconds, tmp_path / "work"):
            await until(lambda: sum(own.others()) == seconds)  # noqa: B023
    await until(lambda: sum(own.others()) == 0.0)
    own.close()
