"""Taking figures in turn, and showing them as a markdown table. Knows nothing of what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median


def interleaved(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """The figures of each measure over *runs*, all measures once in each: what disturbs one disturbs its neighbours."""
    taken = [[measure() for measure in measures] for _ in range(runs)]
    return [list(figures) for figures in zip(*taken, strict=True)]


def ratios(ours: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Ours over the reference, run by run."""
    return [one / other for one, other in zip(ours, reference, strict=True)]


def spread(figures: Sequence[float], digits: int = 2) -> str:
    """The median, and the least and the most: `0.52 [0.50–0.55]`."""
    return f"{median(figures):,.{digits}f} [{min(figures):,.{digits}f}–{max(figures):,.{digits}f}]"


def show(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, its first column to the left."""
    lines = [heads, ["---", *("--:" for _ in heads[1:])], *rows]
    print(f"\n{title}\n")
    for line in lines:
        print(f"| {' | '.join(line)} |")
    print(flush=True)
