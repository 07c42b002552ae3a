"""The figures of `compare` as tables, and as the parts of documents between two marks. This module measures nothing."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from tools.bench.instruments.figures import markdown, ratios, spread

LINE = 138
"""Characters of a line of text."""
_NOISE = 1.05
"""Times that a figure is better than another one before it is called so."""


@dataclass(frozen=True, slots=True)
class Row:
    """A job, with its figures by program: those of every run, or a text in their place.

    *better* says which figures are better, or nothing where they are not compared.
    """

    job: str
    figures: Mapping[str, Sequence[float] | str]
    better: Literal["more", "less", ""] = "more"
    digits: int = 0

    def advantage(self, one: str, other: str) -> list[float]:
        """Return how many times the figures of *one* are better than those of *other*, run by run, or nothing."""
        first, second = self.figures[one], self.figures[other]
        if not self.better or isinstance(first, str) or isinstance(second, str):
            return []
        if min(*first, *second) <= 0:  # no processor time was seen
            return []
        return ratios(first, second) if self.better == "more" else ratios(second, first)


def medians(rows: Sequence[Row], programs: Sequence[str]) -> str:
    """Return the table of the medians. The best one of a row is bold, with those that are as good but for noise."""
    lines = []
    for row in rows:
        middles = {name: median(each) for name in programs if not isinstance(each := row.figures[name], str)}
        best = (max if row.better == "more" else min)(middles.values(), default=0.0)
        cells = []
        for name in programs:
            figures = row.figures[name]
            if isinstance(figures, str):
                cells.append(figures)
                continue
            text = f"{middles[name]:,.{row.digits}f}"
            low, high = sorted((middles[name], best))
            cells.append(f"**{text}**" if row.better and high <= low * _NOISE else text)
        lines.append([row.job, *cells])
    return markdown(["", *programs], lines)


def spreads(rows: Sequence[Row], programs: Sequence[str]) -> str:
    """Return the table of the medians, minima and maxima."""
    texts = [
        [each if isinstance(each := row.figures[name], str) else spread(each, row.digits) for name in programs]
        for row in rows
    ]
    return markdown(["", *programs], [[row.job, *cells] for row, cells in zip(rows, texts, strict=True)])


def advantages(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> str:
    """Return the table of how many times *ours* is better than each of the *peers*. Less than 1 is worse."""
    found = {row.job: [row.advantage(ours, peer) for peer in peers] for row in rows if row.better}
    lines = [[job, *(spread(each) if each else "" for each in times)] for job, times in found.items() if any(times)]
    return markdown(["", *(f"{ours} / {peer}" for peer in peers)], lines)


def weaknesses(rows: Sequence[Row], ours: str, peers: Sequence[str]) -> str:
    """Return in words the jobs at which one of the *peers* is better than *ours*, with the best one."""
    jobs = []
    for row in rows:
        times = {peer: median(each) for peer in peers if (each := row.advantage(peer, ours))}
        best = max(times, key=lambda peer: times[peer], default="")
        if best and times[best] > _NOISE:
            jobs.append(f"{row.job}: {best}, {times[best]:,.1f}")
    if not jobs:
        return "**Where a peer is better:** nowhere in this run."
    text = f"**Where a peer is better**, and how many times the best one is: {'; '.join(jobs)}."
    return textwrap.fill(text, LINE, break_long_words=False, break_on_hyphens=False)


def replaced(document: str, part: str) -> str:
    """Return the text of *document* with *part* between its two marks. Raise ValueError if it has no marks."""
    whole, count = re.subn(
        r"(?s)(<!-- compare -->\n).*?(<!-- /compare -->)", lambda match: f"{match[1]}\n{part}\n\n{match[2]}", document
    )
    if count != 1:
        raise ValueError(f"{count} parts are between <!-- compare --> and <!-- /compare -->, and not one")
    return whole
