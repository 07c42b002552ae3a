"""Plots of a run as SVG, by matplotlib (extra `load`). Colours of text and lines are those of the page."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from service.load.figures import Figures, cache, percentile

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
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(_LINE)
    axis.grid(axis="y", color=_LINE, lw=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(length=0)
    axis.tick_params(which="minor", length=0)
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


def _width(result: Figures) -> float:
    """Return the seconds of a point of a line over time."""
    return max(1.0, result.seconds / _BINS)


def _bins(result: Figures, seconds: Callable[[int], float]) -> list[list[int]]:
    """Return the numbers of the outcomes by the bin that their *seconds* are in."""
    width = _width(result)
    count = max(1, round(result.seconds / width))
    bins: list[list[int]] = [[] for _ in range(count)]
    for number in range(len(result.outcomes)):
        if (at := int(seconds(number) / width)) < count:
            bins[at].append(number)
    return bins


def _middles(result: Figures, bins: Sequence[object]) -> list[float]:
    return [(number + 0.5) * _width(result) for number in range(len(bins))]


def _over_time(axis: Axes, result: Figures) -> None:
    bins = _bins(result, lambda number: result.outcomes[number].at)
    latencies = [sorted(1000 * result.outcomes[number].seconds for number in each) for each in bins]
    lines = {"p50": (50, _GREEN), "p95": (95, _BLUE), "p99": (99, _ORANGE), "longest": (100, _RED)}
    for name, (percent, colour) in lines.items():
        values = [percentile(each, percent) if each else float("nan") for each in latencies]
        axis.plot(_middles(result, bins), values, label=name, color=colour, lw=1.6, marker="o", markersize=2.2)
    _milliseconds(axis, result)
    _seconds(axis, result)


def _by_percentile(axis: Axes, result: Figures) -> None:
    count = len(result.latencies)
    ticks = [percent for percent in (0, 50, 90, 99, 99.9, 99.99, 99.999) if count * (100 - percent) >= 100]
    steps = [100 - 100 / 1.06**step for step in range(300) if 1.06**step <= count]
    for name, values, colour in (
        ("from the intended start", result.latencies, _BLUE),
        ("from sending", result.service_times, _GREY),
    ):
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
    _milliseconds(axis, result)


def _rates(axis: Axes, result: Figures) -> None:
    width = _width(result)
    outcomes = result.outcomes
    expected = {number for number, each in enumerate(outcomes) if each.status in result.expects}
    for name, seconds, colour, style, numbers in (
        ("to be sent", lambda number: outcomes[number].at, _GREY, ":", range(len(outcomes))),
        ("sent", lambda number: outcomes[number].at + outcomes[number].lag, _BLUE, "-", range(len(outcomes))),
        ("answered as expected", lambda number: outcomes[number].at + outcomes[number].seconds, _GREEN, "-", expected),
    ):
        bins = _bins(result, seconds)
        axis.plot(
            _middles(result, bins),
            [sum(number in numbers for number in each) / width for each in bins],
            style,
            label=name,
            color=colour,
            lw=1.6,
        )
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.set_ylabel("a second")
    _seconds(axis, result)


def _caches(axis: Axes, result: Figures) -> None:
    bins = _bins(result, lambda number: result.outcomes[number].at)
    counts = [Counter(cache(result.outcomes[number]) for number in each) for each in bins]
    others, bottom = cycle(_PALETTE), [0.0] * len(bins)
    taken: set[str] = set()
    for name, _ in result.caches.most_common(_MOST_OUTCOMES):
        colour = next(
            (colour for part, colour in _OUTCOMES.items() if part in name and colour not in taken), next(others)
        )
        taken.add(colour)
        shares = [100 * each[name] / max(1, each.total()) for each in counts]
        axis.bar(
            _middles(result, bins),
            shares,
            width=_width(result),
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
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.set_xlabel("milliseconds")


def _milliseconds(axis: Axes, result: Figures) -> None:
    if result.latencies[-1] > _LINEAR * percentile(result.latencies, 5):
        axis.set_yscale("log")
        axis.yaxis.set_minor_formatter("")
    else:
        axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylabel("milliseconds")


def _seconds(axis: Axes, result: Figures) -> None:
    axis.set_xlim(0, result.seconds)
    axis.set_xlabel("seconds from the beginning")
