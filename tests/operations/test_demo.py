"""`serve --demo`: what it prints is true, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.running import COMMAND, PATIENCE, Service, nothing_left, run, running, until
from tests.pictures_in_code import shown

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see what was left behind")

PICTURE = "/api/v1/Contact/1/Image"


@pytest.fixture(scope="module")
def demo() -> Iterator[Service]:
    with running("--demo") as service:
        until(lambda: "/readyz" in service.printed, 60, "it has printed what to try")
        yield service


def curl_lines(printed: str) -> Iterator[tuple[str, str]]:
    """The `curl` lines, each with the words printed above it."""
    what = ""
    for line in filter(None, map(str.strip, printed.splitlines())):
        if line.startswith("curl "):
            yield what, line
        elif not line.startswith("http://"):
            what = line.lstrip("# ").rstrip(":")


def path_of(url: str, service: Service) -> str:
    """The path and query of a URL of *service*."""
    base = f"http://127.0.0.1:{service.port}"
    assert url.startswith(f"{base}/")
    return url.removeprefix(base)


def test_serves_contact_1(demo: Service) -> None:
    answer = demo.get(PICTURE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert shown(answer.body).format == "JPEG"


def test_every_curl_line_answers_as_it_says(demo: Service) -> None:
    tries = list(curl_lines(demo.printed))
    assert len(tries) >= 8
    for what, line in tries:
        words = shlex.split(line)
        headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
        answer = demo.get(path_of(words[-1], demo), headers)
        assert answer.status == (404 if "404" in what else 200), what
        kind = answer.headers["content-type"]
        for word in ("JPEG", "AVIF", "WebP", "JSON"):
            if word in what:
                assert word.lower() in kind, what
        if "pixels wide" in what:
            assert shown(answer.body).width == int(what.split()[0])
        if "EXIF orientation" in what:
            width, height = shown(answer.body).size
            assert width < height == 467, "upright"
        if "animation" in what:
            assert getattr(shown(answer.body), "n_frames", 1) > 1


def test_every_printed_url_answers(demo: Service) -> None:
    urls = re.findall(r"http://[^\s']+", demo.printed)
    assert any(url.endswith(PICTURE) for url in urls)
    assert {demo.get(path_of(url, demo)).status for url in urls} == {200, 404}


def test_prints_whole_lines(demo: Service) -> None:
    assert "None" not in demo.printed
    assert not re.search(r"[{}%]\w*[{}]", demo.printed)


def test_logs_one_json_object_a_line(demo: Service) -> None:
    assert {json.loads(line)["event"] for line in demo.logged.splitlines()} >= {"server.listening"}


def test_has_dozens_of_pictures_and_contacts_without_one(demo: Service) -> None:
    statuses = [demo.get(f"/api/v1/Contact/{contact}/Image", method="HEAD").status for contact in range(1, 37)]
    assert statuses.count(200) >= 24
    assert statuses.count(404) >= 3
    assert len(statuses) == statuses.count(200) + statuses.count(404)


def test_its_front_page_shows_every_picture_there_is(demo: Service) -> None:
    page = demo.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"http://127.0.0.1:{demo.port}/\n" in demo.printed
    urls = re.findall(r'<img src="([^"]*)"', page.body.decode())
    contacts = [contact for contact in range(1, 37) if demo.get(f"/api/v1/Contact/{contact}/Image").status == 200]
    assert urls == [f"/api/v1/Contact/{contact}/Image?w=160" for contact in contacts]
    for url in urls:
        answer = demo.get(url, {"Accept": "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"})
        assert shown(answer.body).width == 160


def test_tells_how_far_it_is_while_it_draws(demo: Service) -> None:
    lines = [json.loads(line) for line in demo.logged.splitlines()]
    drawing = [line for line in lines if line["event"] == "demo.drawing"]
    assert lines[: len(drawing)] == drawing
    assert drawing[0]["drawn"] == 0
    assert drawing[0]["of"] == 33
    assert [line["event"] for line in lines[len(drawing) :]][:2] == ["demo.drawn", "server.listening"]


def test_shows_it_in_a_line_on_a_terminal() -> None:
    reader, terminal = os.openpty()
    seen = b""
    with subprocess.Popen(
        [*COMMAND, "serve", "--demo", "--port", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        try:
            while b" 2/33" not in seen:
                seen += os.read(reader, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
            os.close(reader)
    assert b"Drawing" in seen
    assert b"{" not in seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_draws_is_no_error(number: signal.Signals) -> None:
    with running("--demo", wait=False) as service:
        until(lambda: "demo.drawing" in service.logged, 30, "it draws")
        service.send_group(number)
        assert service.end() == 0
        assert {json.loads(line)["event"] for line in service.logged.splitlines()} == {"demo.drawing"}
        nothing_left(service, set())


def test_takes_no_folder_of_the_caller_s(tmp_path: Path) -> None:
    result = run("serve", "--demo", "--images", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "--images" in result.stderr


def test_lets_it_look_alone_where_others_can_reach_it_and_leaves_nothing_behind() -> None:
    with running("--demo", "--host", "0.0.0.0") as service:
        assert service.get(PICTURE, SAMPLE).status == 200
        assert service.get("/api/v1/Contact/36/Image", SAMPLE, method="PURGE").status == 403
        before = service.with_workers(len(os.sched_getaffinity(0)))
        assert {path.name.rpartition("-")[0] for path in service.temporary.iterdir()} >= {"contact-image-demo"}
        service.send(signal.SIGTERM)
        assert service.end() == 0
        nothing_left(service, before)


SAMPLE = {"Authorization": "Basic dGplMDpUamUw"}


def test_knows_the_sample_credential_and_lets_it_change_pictures(demo: Service) -> None:
    assert demo.get(PICTURE, SAMPLE).headers["cache-control"].startswith("private")
    assert demo.get("/api/v1/Contact/36/Image", SAMPLE, method="PURGE").status == 204
    assert demo.get("/api/v1/Contact/36/Image", method="PURGE").status == 401
