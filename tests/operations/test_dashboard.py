"""The dashboard under `config/grafana`: Prometheus evaluates each of its panels over a recorded incident."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Serve, Valkey
from tests.operations.running import block_until, free_port
from tests.operations.test_alerts import ALERTS, needs_promtool, promtool, series_names
from tests.web.conftest import Client, populated

GRAFANA = Path(__file__).parents[2] / "config" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "contact-image.json").read_text("utf-8"))
PANELS = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]}
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


class Prometheus:
    """A Prometheus server over *blocks*."""

    def __init__(self, port: int, begun: int) -> None:
        self._url, self._begun = f"http://127.0.0.1:{port}", begun

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def values(self, query: str) -> list[float]:
        """Return the numbers of all series that *query* gives over the recorded time."""
        end = self._begun + SCRAPES * INTERVAL
        asked = urllib.parse.urlencode({"query": query, "start": self._begun, "end": end, "step": INTERVAL})
        with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{asked}", timeout=60) as answer:
            series: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        found = (float(value) for each in series for _, value in each["values"])
        return [each for each in found if math.isfinite(each)]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Any]:
    """Start Prometheus over a file of samples that begin at a time."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(file: Path, begun: int) -> Prometheus:
        blocks, empty, port = tmp_path / "blocks", tmp_path / "empty.yml", free_port()
        promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", file, blocks)
        empty.write_text("{}\n", "utf-8")
        server = shutil.which("prometheus") or ""
        arguments = f"--config.file={empty}", f"--storage.tsdb.path={blocks}", f"--web.listen-address=127.0.0.1:{port}"
        processes.append(subprocess.Popen([server, *arguments], cwd=tmp_path, stderr=subprocess.DEVNULL))
        found = Prometheus(port, begun)
        block_until(found.answers, 60, "Prometheus answers")
        return found

    yield start
    for each in processes:
        each.kill()
        each.wait()


@needs_promtool
async def test_every_panel_shows_a_recorded_incident(
    serve: Serve, own_valkey: Valkey, images: Path, tmp_path: Path, prometheus: Any
) -> None:
    populated(images)
    client = await serve(url=own_valkey.url, writes={"enabled": True}, cache={"fresh_for": 1})
    file = tmp_path / "incident.txt"
    begun = await recorded(client, own_valkey, images, file)
    server = prometheus(file, begun)
    shown = {
        (title, query): server.values(query.replace("$__rate_interval", "1m"))
        for title, queries in PANELS.items()
        for query in queries
    }
    assert [key for key, values in shown.items() if not values] == []

    def panel(title: str, at: int = 0) -> list[float]:
        return shown[title, PANELS[title][at]]

    assert {min(panel("Cache, breakers, purges")), max(panel("Cache, breakers, purges"))} == {0, 1}
    assert max(panel("Cache, breakers, purges", 2)) == 1
    assert min(panel("Share of 5xx")) == 0 < max(panel("Share of 5xx"))
    assert max(panel("Memory cache")) > 0


def test_panels_use_only_series_that_the_service_has() -> None:
    named = {
        name for queries in PANELS.values() for query in queries for name in re.findall(r"contact_image_\w+", query)
    }
    assert named <= series_names()
    assert len(PANELS) == len(DASHBOARD["panels"])


def test_dashboard_names_alerts_that_exist_and_the_provisioned_source() -> None:
    assert set(re.findall(r"\bContactImage[A-Z]\w+", json.dumps(DASHBOARD))) <= set(ALERTS)
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
