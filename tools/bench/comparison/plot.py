"""The picture of `compare` as a PNG, by matplotlib: lines over percentiles and over time, and bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from service.load.figures import Figures
from service.load.plots import answered, by_percentile, milliseconds, over_time, rate, style
from tools.bench.comparison.tables import Row

try:
    from matplotlib.figure import Figure
except ImportError:
    raise SystemExit("the plot needs matplotlib: pip install -e '.[load]'") from None
if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#1f5fa8", "#d1670a", "#8fbf6a", "#3f7f4f", "#7b5ea7")
_INK, _GREY = "#333333", "#8a8a8a"
_PERCENT = 95.0
"""Percentile of the latency over time."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A panel of bars: its title, its *unit*, and the rows whose medians it shows, by their label."""

    title: str
    unit: str
    rows: Mapping[str, Row]


def draw(
    file: Path, programs: Sequence[str], hits: Mapping[str, Figures], cold: Mapping[str, Figures], bars: Sequence[Bars]
) -> None:
    """Draw the loads *hits* and *cold* of each program, and the *bars*. Programs without a load have no line."""
    colours = dict(zip(programs, _COLOURS, strict=False))
    figure = Figure(figsize=(12.5, 7.4), dpi=120, layout="constrained", facecolor="white")
    axes = list(figure.subplots(2, 3).flat)
    for axis in axes:
        style(axis)
        axis.tick_params(colors=_INK, labelsize=8.5)
    for axis, (title, loads) in zip(axes, {"Hits": hits, "From cold caches": cold}.items(), strict=False):
        axis.set_title(f"{title}: latency by percentile", fontsize=10, color=_INK)
        if loads:
            by_percentile(axis, {name: (each.latencies, colours[name]) for name, each in loads.items()})
    _over_time(axes[2], cold, colours)
    _rates(axes[3], cold, colours)
    for axis, panel in zip(axes[4:], bars, strict=False):
        _bars(axis, panel, colours)
    handles, names = axes[4].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False, labelcolor=_INK, fontsize=10
    )
    figure.savefig(file)
    print(f"drawn: {file}")


def _over_time(axis: Axes, loads: Mapping[str, Figures], colours: Mapping[str, str]) -> None:
    axis.set_title(f"From cold caches: {_PERCENT:g}th percentile over time", fontsize=10, color=_INK)
    for name, each in loads.items():
        over_time(axis, each, _PERCENT, color=colours[name])
    if loads:
        milliseconds(axis, sorted(latency for each in loads.values() for latency in each.latencies))


def _rates(axis: Axes, loads: Mapping[str, Figures], colours: Mapping[str, str]) -> None:
    axis.set_title("From cold caches: answers a second", fontsize=10, color=_INK)
    for name, each in loads.items():
        answered(axis, each, color=colours[name])
    if loads:
        intended = next(iter(loads.values()))
        rate(axis, intended, lambda number: intended.outcomes[number].at, color=_GREY, ls=":")
        axis.set_ylim(bottom=0)


def _bars(axis: Axes, panel: Bars, colours: Mapping[str, str]) -> None:
    """Draw a group of bars for each row, on a logarithmic scale."""
    axis.set_title(panel.title, fontsize=10, color=_INK)
    breadth = 0.8 / len(colours)
    for place, (name, colour) in enumerate(colours.items()):
        for group, row in enumerate(panel.rows.values()):
            figures = row.figures[name]
            height = 0.0 if isinstance(figures, str) else median(figures)
            at = group - 0.4 + (place + 0.5) * breadth
            bar = axis.bar(at, height, breadth * 0.92, color=colour, label=name if group == 0 else None)
            text = f"{height:,.0f}" if height >= 100 else f"{height:.2g}" if height else "–"
            axis.bar_label(bar, [text], fontsize=7, color=_INK, rotation=90, padding=3)
    axis.set_yscale("log")
    axis.yaxis.set_minor_formatter("")
    axis.yaxis.set_major_formatter("{x:,g}")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high * 4)  # for the numbers above the bars
    axis.set_xticks(range(len(panel.rows)), list(panel.rows))
    axis.set_ylabel(panel.unit)
