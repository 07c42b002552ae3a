"""Plots of a run as SVG, by matplotlib (extra `load`). Colours of text and lines are those of the page.

The functions without an underscore draw a part of a plot. A plot of several runs uses them, too.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from math import inf
from typing import TYPE_CHECKING, Any

from service.load.figures import Figures, cache_outcome, percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _LINE = "#333333", "#e4e4e5"
"""Colours in place of which the page has its own."""
_BLUE, _ORANGE, _GREEN, _RED, _GREY, _VIOLET = "#2f6fb7", "#d9822b", "#3f9457", "#c0392b", "#8d949e", "#7b5ea7"
_OUTCOMES = {": hit": _GREEN, ": fwd=miss": _BLUE, "no answer": _RED, "no Cache-Status": _GREY}
"""Colours of outcomes by a part of their names. Others take turns with those of `_PALETTE`."""
_PALETTE = (_ORANGE, _VIOLET, "#2aa1a1", "#b5651d", "#5b8def", "#a3a847")
_LINEAR = 15
"""Times the shortest latencies that the longest one may be on a linear scale."""
_LINE_OF_NAMES = 75
"""Characters of names that fit into one line of a legend."""
_MOST_OUTCOMES = 8
"""Outcomes that are drawn; the table has all."""
_BINS = 120
"""Points of a line over time, at most."""
_STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "load", "font.family": "sans-serif", "font.size": 9.5, "text.color": _INK,
    "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "text.parse_math": False,
}  # fmt: skip


def plots(result: Figures) -> dict[str, str]:
    """Return SVG elements by title. Raise ImportError without matplotlib."""
    import matplotlib as mpl

    drawn: dict[str, Callable[[Axes, Figures], None]] = {
        "Latency over time": _over_time,
        "Latency by percentile": _by_percentile,
        "Requests and answers a second": _rates,
        "Outcome by cache": _caches,
    }
    if result.stages:
        drawn["Stages, by Server-Timing"] = _stages
    with mpl.rc_context(_STYLE):
        return {title: _svg(draw, result, number) for number, (title, draw) in enumerate(drawn.items())}


def _svg(draw: Callable[[Axes, Figures], None], result: Figures, number: int) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    axis = figure.subplots()
    style(axis)
    draw(axis, result)
    handles, names = axis.get_legend_handles_labels()
    if names:
        columns = 5 if sum(map(len, names)) < _LINE_OF_NAMES else 3
        figure.legend(
            handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9, handlelength=1.2
        )
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor").replace(_LINE, "var(--line)")
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    return re.sub(r'( id="|url\(#|href="#)', rf"\g<1>plot{number}-", text)


def style(axis: Axes) -> None:
    """Give *axis* horizontal lines, and no frame."""
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(_LINE)
    axis.grid(axis="y", color=_LINE, lw=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.tick_params(which="minor", length=0)


def width(result: Figures) -> float:
    """Return the seconds of a point of a line over time."""
    return max(1.0, result.seconds / _BINS)


def bins(result: Figures, seconds: Callable[[int], float]) -> list[list[int]]:
    """Return the numbers of the outcomes by the bin that their *seconds* are in."""
    each = width(result)
    found: list[list[int]] = [[] for _ in range(max(1, round(result.seconds / each)))]
    for number in range(len(result.outcomes)):
        if (at := seconds(number) / each) < len(found):
            found[int(at)].append(number)
    return found


def middles(result: Figures, count: int) -> list[float]:
    """Return the seconds in the middle of the first *count* bins."""
    return [(number + 0.5) * width(result) for number in range(count)]


def _over_time(axis: Axes, result: Figures) -> None:
    lines = {"p50": (50, _GREEN), "p95": (95, _BLUE), "p99": (99, _ORANGE), "longest": (100, _RED)}
    for name, (percent, colour) in lines.items():
        over_time(axis, result, percent, label=name, color=colour)
    milliseconds(axis, result.latencies)


def over_time(axis: Axes, result: Figures, percent: float, **line: Any) -> None:
    """Draw a percentile of the latency over the time of the run, in milliseconds."""
    latencies = [
        sorted(1000 * result.outcomes[number].seconds for number in each)
        for each in bins(result, lambda number: result.outcomes[number].at)
    ]
    values = [percentile(each, percent) if each else float("nan") for each in latencies]
    axis.plot(middles(result, len(values)), values, **{"lw": 1.6, "marker": "o", "markersize": 2.2, **line})
    _seconds(axis, result)


def _by_percentile(axis: Axes, result: Figures) -> None:
    by_percentile(
        axis,
        {"from the intended start": (result.latencies, _BLUE), "from sending": (result.service_times, _GREY)},
    )


def by_percentile(axis: Axes, lines: Mapping[str, tuple[Sequence[float], str]]) -> None:
    """Draw a line of each name in its colour over the percentiles of its sorted seconds, in milliseconds."""
    count = max(len(values) for values, _ in lines.values())
    ticks = [percent for percent in (0, 50, 90, 99, 99.9, 99.99, 99.999) if count * (100 - percent) >= 100]
    for name, (values, colour) in lines.items():
        steps = [100 - 100 / 1.06**step for step in range(300) if 1.06**step <= len(values)]
        axis.plot(
            [100 / (100 - each) for each in steps],
            [1000 * percentile(values, each) for each in steps],
            label=name,
            color=colour,
            lw=1.8,
        )
    axis.set_xscale("log")
    axis.xaxis.set_minor_formatter("")
    axis.set_xticks([100 / (100 - each) for each in ticks], [f"{each:g} %" for each in ticks])
    axis.set_xlabel("percentile of the requests")
    milliseconds(axis, sorted(latency for values, _ in lines.values() for latency in values))


def _rates(axis: Axes, result: Figures) -> None:
    outcomes = result.outcomes
    rate(axis, result, lambda number: outcomes[number].at, label="to be sent", color=_GREY, ls=":")
    rate(axis, result, lambda number: outcomes[number].at + outcomes[number].lag, label="sent", color=_BLUE)
    answered(axis, result, label="answered as expected", color=_GREEN)
    axis.set_ylim(bottom=0)


def rate(axis: Axes, result: Figures, seconds: Callable[[int], float], **line: Any) -> None:
    """Draw how many outcomes a second have their *seconds*, which are given by their number, at each time of the run.

    An infinite number of seconds is never.
    """
    counts = [len(each) / width(result) for each in bins(result, seconds)]
    axis.plot(middles(result, len(counts)), counts, **{"lw": 1.6, **line})
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.set_ylabel("a second")
    _seconds(axis, result)


def answered(axis: Axes, result: Figures, **line: Any) -> None:
    """Draw how many answers a second arrived that have a status that is expected."""

    def arrived(number: int) -> float:
        outcome = result.outcomes[number]
        return outcome.at + outcome.seconds if outcome.status in result.expects else inf

    rate(axis, result, arrived, **line)


def _caches(axis: Axes, result: Figures) -> None:
    counts = [
        Counter(cache_outcome(result.outcomes[number]) for number in each)
        for each in bins(result, lambda number: result.outcomes[number].at)
    ]
    others, bottom = cycle(_PALETTE), [0.0] * len(counts)
    taken: set[str] = set()
    for name, _ in result.caches.most_common(_MOST_OUTCOMES):
        colour = next(
            (colour for part, colour in _OUTCOMES.items() if part in name and colour not in taken), next(others)
        )
        taken.add(colour)
        shares = [100 * each[name] / max(1, each.total()) for each in counts]
        axis.bar(
            middles(result, len(counts)),
            shares,
            width=width(result),
            bottom=bottom,
            label=name,
            color=colour,
            ec=colour,
            lw=0.3,
        )
        bottom = [low + share for low, share in zip(bottom, shares, strict=True)]
    axis.set_ylim(0, 100)
    axis.set_ylabel("% of the requests")
    _seconds(axis, result)


def _stages(axis: Axes, result: Figures) -> None:
    axis.grid(axis="y", visible=False)
    axis.grid(axis="x", color=_LINE, lw=0.8)
    names = sorted(result.stages, key=lambda name: percentile(result.stages[name], 50))
    for row, name in enumerate(names):
        low, middle, high, last = (max(0.001, 1000 * percentile(result.stages[name], each)) for each in (5, 50, 95, 99))
        axis.plot(
            [low, last], [row, row], color=_BLUE, lw=2, alpha=0.45, label="5th to 99th percentile" if not row else None
        )
        axis.plot(
            [low, high],
            [row, row],
            color=_BLUE,
            lw=9,
            alpha=0.45,
            solid_capstyle="butt",
            label="5th to 95th" if not row else None,
        )
        axis.plot([middle], [row], "o", color=_BLUE, label="median" if not row else None)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(-0.6, len(names) - 0.4)
    values = [each for stage in result.stages.values() for each in (percentile(stage, 5), percentile(stage, 99))]
    if max(values) > _LINEAR * min(values):  # fewer decades have one tick, or none
        axis.set_xscale("log")
        axis.xaxis.set_minor_formatter("")
    else:
        axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("milliseconds")


def milliseconds(axis: Axes, latencies: Sequence[float]) -> None:
    """Scale the vertical axis for *latencies*, which are sorted seconds."""
    if latencies[-1] > _LINEAR * percentile(latencies, 5):
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter("")
    else:
        axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylabel("milliseconds")


def _seconds(axis: Axes, result: Figures) -> None:
    axis.set_xlim(0, result.seconds)
    axis.set_xlabel("seconds from the beginning")
