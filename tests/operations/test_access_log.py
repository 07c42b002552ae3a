"""`log.access`: a line for each answer that needed the store or a render, and for one hit in a hundred."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.operations.running import NEEDS_PROC, TIMEOUT, Answer, Service, running
from tools.pictures.drawing import quarters, saved

pytestmark = NEEDS_PROC

IMAGE = "/api/v1/Contact/1/Image"
HIT = f"{IMAGE}?w=40&name=Jane-Surname&unused=Sensitive"
PROXIED = {"X-Forwarded-For": "192.0.2.7", "X-Request-ID": "from-the-proxy"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "1.png").write_bytes(saved(quarters(80, 60), "PNG"))
    return tmp_path


@contextmanager
def serving(pictures: Path, access: str, **variables: str) -> Iterator[Service]:
    variables |= {"CONTACT_IMAGE_LOG__ACCESS": access, "CONTACT_IMAGE_SERVER__TRUSTED_PROXIES": "127.0.0.1"}
    with running("--images", pictures, CONTACT_IMAGE_WRITES__ENABLED="true", **variables) as service:
        service.with_renderers(1)
        yield service


def ask(service: Service, paths: list[str], method: str = "GET", **fields: str) -> list[Answer]:
    """Return the answers to requests over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=TIMEOUT)
    found = []
    for path in paths:
        connection.request(method, path, headers={"Accept": "*/*"} | {**fields})
        response = connection.getresponse()
        found.append(Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()))
    connection.close()
    return found


def lines_of(service: Service) -> list[dict[str, Any]]:
    """Stop *service*, so that all lines are written, and return those of answers about pictures."""
    service.send(signal.SIGTERM)
    assert service.end(60) == 0
    logged = [line for line in service.events if line["event"] == "request.answered"]
    assert not any(word in service.logged for word in ("Jane", "Surname", "Sensitive", "w=40"))
    return [line for line in logged if not line["path"].startswith(("/healthz", "/readyz", "/metrics"))]


def test_no_answer_has_a_line_by_default(pictures: Path) -> None:
    with serving(pictures, "off") as service:
        ask(service, [HIT] * 120)
        assert lines_of(service) == []


def test_each_miss_has_one_line_and_a_hit_has_none(pictures: Path) -> None:
    with serving(pictures, "misses") as service:
        answers = ask(service, [HIT] * 120, **PROXIED)
        ask(service, ["/healthz", "/openapi.json", "/api/v1/Contact/1/Imageinfo"], **PROXIED)
        assert service.get(f"{IMAGE}?w=x").status == 400
        assert service.get("/api/v1/Contact/404/Image").status == 404
        assert service.get(IMAGE, method="PURGE").status == 204
        rendered, info = lines_of(service)
        refused = [line["status"] for line in service.events if line["event"] == "request.refused"]
    assert refused == [400]
    assert rendered["level"] == "info" and rendered["method"] == "GET" and rendered["status"] == 200
    assert (
        rendered["path"] == IMAGE and rendered["client"] == "192.0.2.7" and rendered["request_id"] == "from-the-proxy"
    )
    assert (rendered["owner"], rendered["source"], rendered["outcome"]) == (1, "render", "fwd=miss; stored")
    assert rendered["field"] and rendered["bytes"] == len(answers[0].body)
    assert 0 < rendered["stages"]["render"] <= rendered["milliseconds"]
    assert (info["owner"], info["source"], info["path"]) == (1, "store", "/api/v1/Contact/1/Imageinfo")


@pytest.mark.parametrize(("memory", "source"), [("67108864", "memory"), ("0", "shared")])
def test_one_hit_in_a_hundred_has_a_line(pictures: Path, memory: str, source: str) -> None:
    with serving(pictures, "all", CONTACT_IMAGE_CACHE__MEMORY_BYTES=memory) as service:
        answers = ask(service, [HIT] * 450)
        hits = sum("hit" in answer.headers["cache-status"] for answer in answers)
        lines = lines_of(service)
    sampled = [line for line in lines if "sampled" in line]
    assert len(sampled) == hits // 100 and {line["sampled"] for line in sampled} == {100}
    assert {(line["owner"], line["source"], line["bytes"]) for line in sampled} == {(1, source, len(answers[0].body))}
    assert all(line["outcome"].startswith("hit; ttl=") for line in sampled)
    assert len(lines) - len(sampled) == 450 - hits
    assert {line["level"] for line in lines} == {"info"}


@pytest.mark.parametrize("access", ["off", "all"])
def test_every_request_has_one_line_at_debug(pictures: Path, access: str) -> None:
    with serving(pictures, access, CONTACT_IMAGE_LOG__LEVEL="DEBUG") as service:
        ask(service, [HIT] * 20)
        ask(service, [IMAGE] * 20, method="HEAD")
        etag = service.get(IMAGE).headers["etag"]
        assert {each.status for each in ask(service, [IMAGE] * 20, **{"If-None-Match": etag})} == {304}
        ask(service, ["/api/v1/Contact/404/Image", f"{IMAGE}?w=x", "/elsewhere"] * 4)
        lines = lines_of(service)
        refused = [line for line in service.events if line["event"] == "request.refused"]
    assert len(lines) == 61 and len(refused) == 12
    assert len({line["request_id"] for line in lines + refused}) == 73
    assert [line["bytes"] for line in lines if line["method"] == "HEAD" or line["status"] == 304] == [0] * 40
    assert all(line["owner"] == 1 and line["field"] and line["source"] for line in lines)
    assert {line["level"] for line in lines if line["outcome"].startswith("hit")} == {"debug"}


def test_requests_that_share_a_render_have_a_line_each(pictures: Path) -> None:
    with serving(pictures, "misses") as service:
        with ThreadPoolExecutor(5) as clients:
            with service.frozen_renderers():
                named = ({"X-Request-ID": f"id-{each}", "Accept": "*/*"} for each in range(5))
                asked = [clients.submit(service.get, HIT, fields) for fields in named]
                time.sleep(1)  # until they wait
            assert {each.result().status for each in asked} == {200}
        lines = lines_of(service)
    assert {line["request_id"] for line in lines} == {f"id-{each}" for each in range(5)}
    assert sorted(line["source"] for line in lines) == ["collapsed"] * 4 + ["render"]
