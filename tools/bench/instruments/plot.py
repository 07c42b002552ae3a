"""A plot of measured figures as a PNG, by matplotlib: panels with one scale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from service.load.plots import style

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter
except ImportError:
    raise SystemExit("the plot needs matplotlib: pip install -e '.[load]'") from None

_COLOURS = ("#8a8a8a", "#1f5fa8", "#d1670a", "#3f8f4f")
_INK = "#333333"


@dataclass(frozen=True, slots=True)
class Panel:
    """The title of the horizontal axis, its labels, and for each of the *series* all figures at every label."""

    title: str
    labels: list[str]
    series: dict[str, list[list[float]]]


def plot(file: Path, panels: list[Panel], unit: str, columns: int) -> None:
    """Draw medians as lines, minimum and maximum as bars. The scale of all panels begins at zero."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(10.5, 0.4 + 3.2 * rows), dpi=130, layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis, panel in zip(grid.flat, panels, strict=True):
        steps = range(len(panel.labels))
        for (name, figures), colour in zip(panel.series.items(), _COLOURS, strict=False):
            middle = [median(each) for each in figures]
            bars = [[m - min(each) for m, each in zip(middle, figures, strict=True)],
                     [max(each) - m for m, each in zip(middle, figures, strict=True)]]  # fmt: skip
            axis.errorbar(steps, middle, bars, label=name, color=colour, marker="o", markersize=4, capsize=3, lw=1.6)
        axis.set_xticks(steps, panel.labels, fontsize=8)
        axis.set_xlabel(panel.title, color=_INK)
        axis.set_xlim(-0.3, len(panel.labels) - 0.7)
        style(axis)
        axis.tick_params(colors=_INK)
    for axis in grid[:, 0]:
        axis.set_ylabel(unit, color=_INK)
    grid[0, 0].set_ylim(bottom=0)
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False, labelcolor=_INK)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file)
    print(f"drawn: {file}")
