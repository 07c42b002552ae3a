"""Pictures of incidents: panels as the dashboard has them, and the alerts, by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from itertools import cycle
from math import nan
from pathlib import Path

from PIL import Image

from tools.incidents.dashboard import panels
from tools.incidents.prometheus import Line
from tools.incidents.recording import AFTER, BEFORE, DURING, Recording

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError:
    raise SystemExit("the pictures need matplotlib: pip install -e '.[load]'") from None

_INK, _LINE, _FAULT = "#333333", "#e6e6e6", "#fbe3df"
_PALETTE = (
    "#2f6fb7",
    "#d9822b",
    "#3f9457",
    "#8e5ea8",
    "#c0392b",
    "#2aa1a1",
    "#8a6d3b",
    "#e377a2",
    "#7a7f87",
    "#a3a847",
)
"""Colours of lines, in the order of the legend."""
_STATES = {"pending": "#f0c05a", "firing": "#c0392b"}
_STATUSES = {"200": "#3f9457", "304": "#2f6fb7", "404": "#d9822b", "502": "#8e5ea8", "503": "#c0392b"}
_MOST_NAMES = 6
"""Names in a legend. Lines that are zero all the time have none if there are more."""
_WORD = 20.0
"""Seconds that are as wide as a word."""
_GAP = 3.0
"""Seconds between two points of a line that are not connected."""
_COLUMNS = 2
"""Panels in a row."""
_LINE_OF_NAMES = 35
"""Characters of names that fit into one line of a legend. More are in columns."""
_COLOURS = 48
"""Colours of the file, which is three times as large with all of them."""


def draw(file: Path, title: str, recording: Recording) -> None:
    """Draw the panels of *recording*, two in a row, below its alerts."""
    fired = {line.labels["alertname"] for line in recording.alerts if line.labels["alertstate"] == "firing"}
    alerts = [*sorted(fired), *sorted({line.labels["alertname"] for line in recording.alerts} - fired)]
    rows = -(-len(recording.panels) // _COLUMNS)
    heights = 0.8 + 0.24 * max(1, len(alerts)), 2.2 * rows
    figure = Figure(figsize=(10, sum(heights)), dpi=96, layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    top.suptitle(f"{title}: alerts", x=0.01, ha="left", fontsize=14, fontweight="bold", color=_INK)
    _alerts(top.subplots(), alerts, recording.alerts)
    grid = bottom.subplots(rows, _COLUMNS, squeeze=False)
    for axis, (name, lines) in zip(grid.flat, recording.panels.items(), strict=True):
        _panel(axis, name, lines)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    Image.open(drawn).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"drawn: {file} ({file.stat().st_size:,} bytes)")


def _alerts(axis: Axes, names: list[str], lines: list[Line]) -> None:
    """Draw a bar for each time in which an alert was pending or firing, with the seconds until it fired."""
    _frame(axis)
    for line in lines:
        row, state = names.index(line.labels["alertname"]), line.labels["alertstate"]
        spans = _spans(line.times)
        axis.broken_barh([(begin, end - begin) for begin, end in spans], (row - 0.36, 0.72), color=_STATES[state])
        if state == "firing":
            text = f"fires after {_duration(spans[0][0])}"
            axis.text(spans[0][0] - 1, row, text, va="center", ha="right", color=_INK, fontsize=8, fontweight="bold")
        elif spans[0][1] - spans[0][0] > _WORD:
            axis.text(spans[0][0] + 1, row, "pending", va="center", color=_INK, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(max(1, len(names)) - 0.5, -0.5)
    if not names:
        axis.text(0.5, 0.5, "none", transform=axis.transAxes, color=_INK, ha="center", va="center")


def _panel(axis: Axes, name: str, lines: list[tuple[str, Line]]) -> None:
    shown, colours = _named(lines), cycle(_PALETTE)
    _frame(axis)
    axis.set_title(
        name, loc="left", fontsize=10.5, fontweight="bold", color=_INK, pad=6 + 12 * -(-len(shown) // _columns(shown))
    )
    axis.grid(axis="y", color=_LINE, lw=0.8)
    for legend, line in lines:
        colour = _STATUSES.get(legend, _INK) if legend.isdigit() else next(colours)
        axis.plot(*_with_gaps(line), color=colour, lw=1.7, label=legend if legend in shown else None, clip_on=False)
    panel = panels()[name]
    if panel.logarithmic:
        axis.set_yscale("log", nonpositive="mask")
        axis.minorticks_off()
    else:
        axis.set_ylim(bottom=0, top=None if any(max(line.values, default=0) for _, line in lines) else 1)
        axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: FORMATS[panel.unit](value)))
    if shown:
        axis.legend(
            loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=_columns(shown), frameon=False, fontsize=8,
            labelcolor=_INK, handlelength=1.0, columnspacing=1.0, borderpad=0.1, borderaxespad=0, handletextpad=0.4,
        )  # fmt: skip


def _frame(axis: Axes) -> None:
    """Give *axis* the time of the incident, and mark the fault."""
    axis.axvspan(0, DURING, color=_FAULT, lw=0, zorder=0)
    axis.set_xlim(-BEFORE, DURING + AFTER)
    axis.set_xticks([0, 60, 120, DURING], ["begins", "1 min", "2 min", "ends"])
    axis.set_axisbelow(True)
    axis.spines[:].set_visible(False)
    axis.tick_params(colors=_INK, length=0, labelsize=8.5)


def _named(lines: list[tuple[str, Line]]) -> list[str]:
    """Return the names for the legend."""
    if len(lines) <= _MOST_NAMES:
        return [name for name, _ in lines]
    return [name for name, line in lines if any(line.values)]


def _columns(names: list[str]) -> int:
    return max(1, len(names)) if sum(map(len, names)) <= _LINE_OF_NAMES else 3


def _with_gaps(line: Line) -> tuple[list[float], list[float]]:
    """Return times and values of *line*, with a value that is not drawn where samples are missing."""
    times: list[float] = []
    values: list[float] = []
    for at, value in zip(line.times, line.values, strict=True):
        if times and at - times[-1] > _GAP:
            times.append(at)
            values.append(nan)
        times.append(at)
        values.append(value)
    return times, values


def _spans(times: list[float]) -> list[tuple[float, float]]:
    """Return the beginning and the end of each time without a gap."""
    spans: list[tuple[float, float]] = []
    for at in times:
        if spans and at - spans[-1][1] <= _GAP:
            spans[-1] = spans[-1][0], at
        else:
            spans.append((at, at))
    return spans


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 or not value else f"{1000 * value:g} ms"


def _bytes(value: float) -> str:
    return f"{value / 2**20:g} MiB"


FORMATS: Mapping[str, Callable[[float], str]] = {
    "short": lambda value: f"{value:g}",
    "reqps": lambda value: f"{value:g} req/s",
    "ops": lambda value: f"{value:g} ops/s",
    "percentunit": lambda value: f"{100 * value:g} %",
    "s": _seconds,
    "bytes": _bytes,
    "Bps": lambda value: f"{value / 1000:g} kB/s",
}
"""By Grafana's name of a unit: how a value is written."""
