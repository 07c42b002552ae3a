"""`load --export`: the files for other tools, which the tools run if they are installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.load.conftest import Load
from tests.load.test_command import requests
from tests.operations.running import Service

UPLOAD = "/api/v1/Contact/2000000000/Image"
"""Where the first upload of a run goes."""


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def ran(folder: Path, *command: str) -> str:
    """Run *command* in *folder*, and return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", ["k6", "locust", "vegeta", "wrk"])
def test_export_sends_none_of_the_requests_and_has_no_credential(
    load: Load, service: Service, tmp_path: Path, tool: str
) -> None:
    secret = "Basic c2VjcmV0OnNlY3JldA=="
    done = load("uploads", "--export", tool, "--header", f"Authorization: {secret}")
    assert done.exit_code == 0 and tool in done.output
    files = list((tmp_path / "report").iterdir())
    assert not any(secret in file.read_text("latin-1") for file in files)
    assert not {"report.html", "outcomes.csv"} & {file.name for file in files}
    assert service.get(UPLOAD).status == 404


@needs("locust")
def test_locust_runs_the_file(load: Load, tmp_path: Path) -> None:
    done = load("304", "--rate", "5", "--for", "5s", "--export", "locust")
    command = re.search(r"&& (locust .*)", done.output)
    assert command is not None
    printed = ran(tmp_path / "report", *command[1].split(), "--json", "--only-summary")
    (figures,) = json.loads(printed)
    assert figures["num_requests"] and figures["num_failures"] == 0


@needs("k6")
def test_k6_sends_each_request_of_the_list_once(load: Load, service: Service, tmp_path: Path) -> None:
    done = load("uploads", "--rate", "5", "--export", "k6", "--p99", "1m", "--errors", "0%")
    command = re.search(r"&& (k6 .*)", done.output)
    assert command is not None
    sent = [each["target"] for each in requests(tmp_path / "report")]
    try:
        printed = ran(tmp_path / "report", *command[1].split(), "--no-usage-report", "--no-color")
        assert re.search(rf"http_req_failed\S* +0.00% +0 out of {len(sent)}\n", printed), printed
        assert all(service.get(target).status == 200 for target in sent)
    finally:
        for target in sent:
            service.get(target, method="DELETE")


@needs("wrk")
def test_wrk_runs_the_script(load: Load, tmp_path: Path) -> None:
    done = load("hits", "--export", "wrk")
    command = re.search(r"&& (wrk .*)", done.output)
    assert command is not None
    printed = ran(tmp_path / "report", *command[1].split())
    assert "Non-2xx" not in printed and "Socket errors" not in printed
    assert int(re.search(r"(\d+) requests in", printed)[1]) > 40  # type: ignore[index]


@needs("wrk")
def test_wrk_sends_the_bodies_of_uploads(load: Load, service: Service, tmp_path: Path) -> None:
    load("uploads", "--rate", "5", "--export", "wrk")
    sent = re.findall(r"PUT\t(\S+)", (tmp_path / "report" / "wrk.lua").read_text())
    try:
        ran(tmp_path / "report", "wrk", "-t1", "-c1", "-d2s", "-s", "wrk.lua", f"http://127.0.0.1:{service.port}")
        assert service.get(sent[0]).headers["content-type"] == "image/jpeg"
    finally:
        for target in sent:
            service.get(target, method="DELETE")


def test_each_different_body_is_written_once(load: Load, tmp_path: Path) -> None:
    for options in (("--rate", "20"), ("--export", "k6")):
        assert load("uploads", *options).exit_code == 0
        folder = tmp_path / "report"
        named = {each["body"] for each in requests(folder)}
        assert named == {file.name for file in folder.glob("body-*")} and len(named) == 8
        assert all((folder / name).read_bytes().startswith(b"\xff\xd8") for name in named)
        assert (folder / "requests.jsonl").stat().st_size < 1000 * len(requests(folder))
    assert json.dumps(sorted(named)) in (folder / "k6.js").read_text()


def test_file_for_vegeta_that_would_repeat_too_many_bytes_is_refused(load: Load, tmp_path: Path) -> None:
    done = load("uploads", "--rate", "3000", "--export", "vegeta")
    assert done.exit_code == 1 and "at most 100 MB are written: lower --rate" in done.output
    assert not (tmp_path / "report").exists()


@needs("node")
def test_script_for_k6_is_valid_and_has_the_thresholds(load: Load, tmp_path: Path) -> None:
    load("hits", "--export", "k6", "--p99", "20ms", "--errors", "0.1%")
    script = tmp_path / "report" / "k6.js"
    bounds = {"http_req_duration": ["p(99)<=20"], "http_req_failed": ["rate<=0.001"], "dropped_iterations": ["count<1"]}
    assert f"thresholds: {json.dumps(bounds)}" in script.read_text()
    assert "{{" not in script.read_text() and len(requests(tmp_path / "report")) > 40
    ran(tmp_path, "node", "--check", str(script.rename(script.with_suffix(".mjs"))))


def test_targets_for_vegeta_are_the_requests(load: Load, service: Service, tmp_path: Path) -> None:
    load("hits", "--export", "vegeta")
    targets = [json.loads(line) for line in (tmp_path / "report" / "targets.json").read_text().splitlines()]
    assert len(targets) > 40
    for target in targets:
        assert target.keys() == {"method", "url", "header"}
        assert target["url"].startswith(f"http://127.0.0.1:{service.port}/api/v1/Contact/")
        assert all(isinstance(values, list) for values in target["header"].values())
