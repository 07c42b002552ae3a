"""The dashboard under `config/grafana`: Prometheus evaluates each of its panels over a recorded incident."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import yaml

from tests.conftest import Serve, Valkey
from tests.operations.test_alerts import ALERTS, needs_promtool, promtool, series_names
from tests.web.conftest import Client, populated
from tools.incidents.dashboard import panels
from tools.incidents.prometheus import prometheus

GRAFANA = Path(__file__).parents[2] / "config" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "contact-image.json").read_text("utf-8"))
PANELS = panels()
SCRAPES, INTERVAL = 40, 15


async def recorded(client: Client, valkey: Valkey, images: Path, file: Path) -> int:
    """Write an incident to *file* as samples every 15 s, and return the time of the first one.

    Redis stops after a third of the time, and the folder of pictures is lost after two thirds.
    """
    begun = int(time.time()) - 14_400  # no samples of now are in the blocks
    lines = []
    for at in range(SCRAPES):
        if at == SCRAPES // 3:
            valkey.stop()
            await (await client.request("PURGE", "/api/v1/Contact/2/Image")).read()
        if at == 2 * SCRAPES // 3:
            images.rename(images.with_name("lost"))
        for query in ("", "", f"?w={20 + at}&type=webp", f"?w={20 + at}&type=avif"):
            await (await client.get(f"/api/v1/Contact/{1 + at % 5}/Image{query}", headers={"Accept": "*/*"})).read()
        await (await client.get("/api/v1/Contact/404/Image")).read()
        text = await (await client.get("/metrics")).text()
        labels = 'job="contact-image",instance="a"'
        lines.append(f"up{{{labels}}} 1 {begun + at * INTERVAL}")
        for line in text.splitlines():
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name, _, rest = series.partition("{")
                lines.append(f"{name}{{{labels}{',' + rest if rest else '}'} {value} {begun + at * INTERVAL}")
    file.write_text("\n".join([*lines, "# EOF", ""]), "utf-8")
    return begun


@needs_promtool
async def test_every_panel_shows_a_recorded_incident(
    serve: Serve, own_valkey: Valkey, images: Path, tmp_path: Path
) -> None:
    populated(images)
    client = await serve(url=own_valkey.url, writes={"enabled": True}, cache={"fresh_for": 1})
    file = tmp_path / "incident.txt"
    begun = await recorded(client, own_valkey, images, file)
    blocks = tmp_path / "blocks"
    promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", file, blocks)
    with prometheus(blocks) as server:
        end = begun + SCRAPES * INTERVAL
        shown = {
            (title, query.legend): [
                value for line in query.lines(server, begun, end, INTERVAL, "1m") for value in line.values
            ]
            for title, panel in PANELS.items()
            for query in panel.queries
        }
    assert [key for key, values in shown.items() if not values] == []
    cache_down = shown["Cache down, breakers open", "cache down"]
    assert {min(cache_down), max(cache_down)} == {0, 1}
    assert max(shown["Purges owed", "purges owed"]) == 1
    assert min(shown["Share of 5xx", "5xx"]) == 0 < max(shown["Share of 5xx", "5xx"])
    assert max(shown["Memory cache", "used"]) > 0


def test_panels_use_only_series_that_the_service_has() -> None:
    queries = [query for panel in PANELS.values() for query in panel.queries]
    assert {name for query in queries for name in re.findall(r"contact_image_\w+", query.expression)} <= series_names()
    assert len(PANELS) == len(DASHBOARD["panels"])
    assert len({(panel.title, query.legend) for panel in PANELS.values() for query in panel.queries}) == len(queries)


def test_dashboard_names_alerts_that_exist_and_the_provisioned_source() -> None:
    assert set(re.findall(r"\bContactImage[A-Z]\w+", json.dumps(DASHBOARD))) <= set(ALERTS)
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
