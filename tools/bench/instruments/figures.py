"""Interleaved measurements, and their figures as a Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median


def interleaved(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Return the figures of each measure over *runs*. Every run has all measures, so that noise affects all of them."""
    taken = [[measure() for measure in measures] for _ in range(runs)]
    return [list(figures) for figures in zip(*taken, strict=True)]


def ratios(ours: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return the ratios of *ours* to the *reference*, run by run."""
    return [one / other for one, other in zip(ours, reference, strict=True)]


def spread(figures: Sequence[float], digits: int = 2) -> str:
    """Return the median, the minimum and the maximum as text: `0.52 [0.50–0.55]`."""
    return f"{median(figures):,.{digits}f} [{min(figures):,.{digits}f}–{max(figures):,.{digits}f}]"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with its first column aligned to the left."""
    lines = [heads, ["---", *("--:" for _ in heads[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with its title."""
    print(f"\n{title}\n\n{markdown(heads, rows)}\n", flush=True)
