"""The panels of the dashboard for Grafana, and what they show."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tools.bench.instruments.processes import ROOT
from tools.incidents.prometheus import Line, Prometheus

_FILE = ROOT / "config" / "grafana" / "dashboards" / "contact-image.json"


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel: its expression, and the legend, in which `{{label}}` is the value of that label."""

    expression: str
    legend: str

    def lines(self, server: Prometheus, begin: float, end: float, step: float, rate_interval: str) -> list[Line]:
        """Return what Grafana draws. *rate_interval* is the value of its variable, such as `1m`."""
        return server.lines(self.expression.replace("$__rate_interval", rate_interval), begin, end, step)

    def name(self, line: Line) -> str:
        """Return the name that *line* has in the legend."""
        return re.sub(r"{{(\w+)}}", lambda match: line.labels.get(match[1], ""), self.legend)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its title, its unit by Grafana's name, whether its scale is logarithmic, and its queries."""

    title: str
    unit: str
    logarithmic: bool
    queries: tuple[Query, ...]


def panels() -> dict[str, Panel]:
    """Return the panels by title."""
    found = {}
    for each in json.loads(_FILE.read_text("utf-8"))["panels"]:
        defaults = each["fieldConfig"]["defaults"]
        scale = defaults.get("custom", {}).get("scaleDistribution", {})
        queries = tuple(Query(target["expr"], target["legendFormat"]) for target in each["targets"])
        found[each["title"]] = Panel(each["title"], defaults["unit"], scale.get("type") == "log", queries)
    return found
