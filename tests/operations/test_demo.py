"""`serve --demo`: its pictures, the examples that it prints, its progress, and its end."""

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

from tests.operations.running import (
    COMMAND,
    NEEDS_PROC,
    SAMPLE_CREDENTIAL,
    TIMEOUT,
    Service,
    assert_stopped,
    block_until,
    nothing_left,
    run,
    running,
)
from tests.pixels import shown

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"


@pytest.fixture(scope="module")
def demo() -> Iterator[Service]:
    """One demo for all tests of this module. Its end leaves nothing."""
    with running("--demo", CONTACT_IMAGE_RENDER__WORKERS="0") as service:  # one render process for each core
        block_until(lambda: "/readyz" in service.printed, 60, "the examples are printed")
        yield service
        before = service.with_renderers(len(os.sched_getaffinity(0)))
        service.send(signal.SIGTERM)
        assert_stopped(service, before)


def curl_lines(printed: str) -> Iterator[tuple[str, str]]:
    """Yield each `curl` line of *printed* with the description above it."""
    description = ""
    for line in filter(None, map(str.strip, printed.splitlines())):
        if line.startswith("curl "):
            yield description, line
        elif not line.startswith("http://"):
            description = line.lstrip("# ").rstrip(":")


def path_of(url: str, service: Service) -> str:
    """Return the path and query of *url*, which is one of *service*."""
    base = f"http://127.0.0.1:{service.port}"
    assert url.startswith(f"{base}/")
    return url.removeprefix(base)


def test_contact_1_has_a_picture(demo: Service) -> None:
    answer = demo.get(PICTURE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert shown(answer.body).format == "JPEG"


def test_every_printed_curl_line_gets_what_is_described(demo: Service) -> None:
    examples = list(curl_lines(demo.printed))
    assert len(examples) >= 8
    for what, line in examples:
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


def test_no_placeholder_of_a_template_is_printed(demo: Service) -> None:
    assert "None" not in demo.printed
    assert not re.search(r"[{}%]\w*[{}]", demo.printed)


def test_every_line_of_the_log_is_a_json_object(demo: Service) -> None:
    assert {json.loads(line)["event"] for line in demo.logged.splitlines()} >= {"server.listening"}


def test_dozens_of_contacts_have_a_picture_and_some_have_none(demo: Service) -> None:
    statuses = [demo.get(f"/api/v1/Contact/{contact}/Image", method="HEAD").status for contact in range(1, 37)]
    assert statuses.count(200) >= 24
    assert statuses.count(404) >= 3
    assert len(statuses) == statuses.count(200) + statuses.count(404)


def test_page_at_the_root_lists_every_contact(demo: Service) -> None:
    page = demo.get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for path in ("/", "/docs"):
        assert f"http://127.0.0.1:{demo.port}{path}\n" in demo.printed
    assert f'data-contacts="{" ".join(map(str, range(1, 37)))}" data-writable="true"' in page.body.decode()


def test_progress_of_the_drawing_is_logged(demo: Service) -> None:
    lines = [json.loads(line) for line in demo.logged.splitlines()]
    drawing = [line for line in lines if line["event"] == "demo.drawing"]
    assert lines[: len(drawing)] == drawing
    assert drawing[0]["drawn"] == 0
    assert drawing[0]["of"] == 33
    assert [line["event"] for line in lines[len(drawing) :]][:2] == ["demo.drawn", "server.listening"]


def test_progress_is_one_line_on_a_terminal() -> None:
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
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()
            os.close(reader)
    assert b"Drawing" in seen
    assert b"{" not in seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_during_the_drawing_is_no_error(number: signal.Signals) -> None:
    with running("--demo", wait=False) as service:
        block_until(lambda: "demo.drawing" in service.logged, 30, "the drawing begins")
        service.send_group(number)
        assert service.end() == 0
        assert {json.loads(line)["event"] for line in service.logged.splitlines()} == {"demo.drawing"}
        nothing_left(service, set())


def test_demo_refuses_the_option_images(tmp_path: Path) -> None:
    result = run("serve", "--demo", "--images", tmp_path, cwd=tmp_path)
    assert result.returncode == 2
    assert "--images" in result.stderr


def test_sample_credential_may_change_pictures(demo: Service) -> None:
    assert demo.get(PICTURE, SAMPLE_CREDENTIAL).headers["cache-control"].startswith("private")
    assert demo.get("/api/v1/Contact/36/Image", SAMPLE_CREDENTIAL, method="PURGE").status == 204
    assert demo.get("/api/v1/Contact/36/Image", method="PURGE").status == 401
