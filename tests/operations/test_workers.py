"""Several processes on one port: together they are one service, and each of them may be killed."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from redis import Redis

from service.caches.entry_format import EntryFormat
from service.pictures.values import Entry
from tests.conftest import Valkey
from tests.operations.running import (
    NEEDS_PROC,
    RENDERER,
    SAMPLE_CREDENTIAL,
    Service,
    assert_port_is_free,
    assert_stopped,
    block_until,
    family,
    nothing_left,
    running,
)

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((1200, 1200), 60).convert("RGB").save(folder / "1.jpg", quality=80)
    return folder


@pytest.fixture
def pair(pictures: Path) -> Iterator[Service]:
    with running("--images", pictures, "--workers", "2") as service:
        service.with_renderers(2)
        yield service


@pytest.fixture(scope="module")
def shared_pair(pictures: Path) -> Iterator[Service]:
    """Two processes for all tests that only send requests."""
    with running("--images", pictures, "--workers", "2") as service:
        service.with_renderers(2)
        yield service


def total(service: Service, name: str, label: str = "") -> float:
    """Return the sum of the samples with *name* and *label*, as one of the processes reports it."""
    lines = service.get("/metrics").body.decode().splitlines()
    named = (line for line in lines if line.partition("{")[0].partition(" ")[0] == name and label in line)
    return sum(float(line.split()[1]) for line in named)


def _reached(service: Service, name: str, count: float) -> bool:
    return total(service, name, 'route="image"') == count


def test_two_processes_share_one_private_server(shared_pair: Service) -> None:
    assert len(shared_pair.servers) == 2
    assert len([each for each in family(shared_pair.process.pid) if "_watchdog.py" in each.command]) == 1
    assert json.loads(shared_pair.get("/readyz").body)["cache"] == "ok"


def test_secret_of_the_private_server_is_in_no_environment_and_no_command(shared_pair: Service) -> None:
    """Its processes share it, and render processes cannot see it. It is 64 hexadecimal digits."""
    processes = {shared_pair.process.pid, *(each.pid for each in family(shared_pair.process.pid))}
    assert len(processes) >= 6
    secret = re.compile(rb"[0-9a-f]{64}")
    for pid in processes:
        for name in ("environ", "cmdline"):
            assert not secret.search(Path(f"/proc/{pid}/{name}").read_bytes())
    assert not [
        each for each in shared_pair.temporary.rglob("*") if each.is_file() and secret.search(each.read_bytes())
    ]


def test_stranger_at_the_socket_of_the_private_server_forges_nothing(shared_pair: Service) -> None:
    (socket,) = shared_pair.temporary.rglob("valkey.sock")
    key, query = "contact-image:{1}", "?w=77"
    true = [shared_pair.get(f"{PICTURE}{query}") for _ in range(4)]
    assert {answer.status for answer in true} == {200}
    with Redis(unix_socket_path=str(socket)) as redis:
        (field,) = (name.decode() for name in redis.hkeys(key) if name.startswith(b"77:"))
        value = redis.hget(key, field)
        stranger, place = EntryFormat(""), f" {key} {field}"
        assert stranger.unpack(value, place) is None
        redis.hset(key, field, stranger.pack(Entry("v", time.time(), "", b"another face"), place))
    assert shared_pair.get(f"{PICTURE}{query}").body == true[0].body


@pytest.mark.parametrize("secret", ["", "0123456789abcdef0123456789abcdef"], ids=["no secret", "a secret"])
def test_one_warning_of_all_processes_says_that_there_is_no_secret(
    pictures: Path, shared_valkey: Valkey, secret: str
) -> None:
    variables = {"CONTACT_IMAGE_CACHE__URL": shared_valkey.url, "CONTACT_IMAGE_CACHE__SECRET": secret}
    with running("--images", pictures, "--workers", "2", **variables) as service:
        assert service.get(PICTURE).status == 200
        assert [line["event"] for line in service.events].count("cache.unsealed") == (not secret)
        assert secret not in service.logged or not secret


def test_start_of_two_processes_is_logged_once(shared_pair: Service) -> None:
    events = [json.loads(line)["event"] for line in shared_pair.logged.splitlines()]
    # On a busy machine the private server may be late.
    assert [event for event in events if not event.startswith("cache.")] == ["server.listening"]


def test_request_ids_of_all_processes_are_unique(shared_pair: Service) -> None:
    def ask(_: int) -> str:
        return str(json.loads(shared_pair.get("/nothing").body)["requestId"])

    with ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(ask, range(400)))
    assert len({each.rpartition("-")[0] for each in ids}) == 2  # the ids have one prefix for each process
    assert len(set(ids)) == 400


def test_metrics_of_each_process_are_those_of_all(shared_pair: Service) -> None:
    counts = ("contact_image_requests_total", "contact_image_request_duration_seconds_count")
    before = [total(shared_pair, name, 'route="image"') for name in counts]
    for _ in range(20):
        assert shared_pair.get(PICTURE).status == 200
    for name, count in zip(counts, before, strict=True):
        block_until(partial(_reached, shared_pair, name, count + 20), 60, f"all requests are in one {name}")
    assert "_created" not in shared_pair.get("/metrics").body.decode()
    assert total(shared_pair, "contact_image_render_queue_depth") == 0


def test_one_render_serves_all_processes(shared_pair: Service) -> None:
    before = total(shared_pair, "contact_image_renders_started_total")
    with ThreadPoolExecutor(16) as readers:
        answers = list(readers.map(lambda _: shared_pair.get(f"{PICTURE}?w=77&type=png"), range(32)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    block_until(lambda: total(shared_pair, "contact_image_renders_started_total") > before, 60, "the render is counted")
    time.sleep(1.2)  # the other processes see a count within a second
    assert total(shared_pair, "contact_image_renders_started_total") == before + 1


def test_killed_process_is_logged_takes_its_renderers_with_it_and_is_replaced(pair: Service) -> None:
    victim = min(pair.servers, key=lambda server: server.pid)
    descendants = family(victim.pid)
    assert any(RENDERER in each.command for each in descendants)
    counted = total(pair, "contact_image_requests_total")
    os.kill(victim.pid, signal.SIGKILL)
    block_until(lambda: not [each for each in descendants if each.alive], 60, "its descendants end")
    block_until(lambda: len(pair.servers - {victim}) == 2, 60, "a successor runs")
    for _ in range(10):
        assert pair.get(PICTURE).status == 200
    assert total(pair, "contact_image_requests_total") >= counted
    pair.with_renderers(2)
    block_until(lambda: "server.worker_started" in pair.logged, 60, "the successor's start is logged")
    processes = partial(total, pair, "contact_image_processes", 'process="serve"')
    block_until(lambda: processes() == 2, 60, "the metrics have the successor in place of the dead process")
    assert total(pair, "contact_image_process_restarts_total", 'process="serve"') == 1
    pair.send(signal.SIGTERM)
    assert pair.end() == 0
    (killed,) = pair.errors
    assert (killed["event"], killed["pid"], killed["signal"]) == ("server.worker_killed", victim.pid, "SIGKILL")
    (started,) = (line for line in pair.events if line["event"] == "server.worker_started")
    assert started["pid"] not in (victim.pid, pair.process.pid)


@pytest.mark.parametrize("whole_group", [False, True], ids=["to the arbiter", "to the group, as from a terminal"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_waits_for_a_render_under_way_and_leaves_nothing(
    pair: Service, number: signal.Signals, whole_group: bool
) -> None:
    before = family(pair.process.pid)
    with ThreadPoolExecutor(1) as reader:
        with pair.frozen_renderers():
            answer = reader.submit(pair.get, f"{PICTURE}?w=300&type=avif")
            block_until(lambda: total(pair, "contact_image_renders_started_total") == 1, 60, "the render has begun")
            (pair.send_group if whole_group else pair.send)(number)
        assert answer.result().status == 200
    assert_stopped(pair, before)


def test_death_of_the_arbiter_ends_every_process_and_frees_the_port(pair: Service) -> None:
    """A frozen renderer stands for one whose decoder does not end."""
    before = family(pair.process.pid)
    with ThreadPoolExecutor(1) as reader, pair.frozen_renderers():
        answer = reader.submit(pair.get, f"{PICTURE}?w=300&type=avif")
        block_until(lambda: total(pair, "contact_image_renders_started_total") == 1, 60, "the render has begun")
        pair.send(signal.SIGKILL)
        assert pair.end() == -signal.SIGKILL
        nothing_left(pair, before, 20)
        assert_port_is_free(pair)
        with pytest.raises(OSError):
            answer.result()


def test_processes_that_are_ended_one_after_the_other_under_load_fail_no_request(pair: Service) -> None:
    requests: list[tuple[str, dict[str, str]]] = [(f"{PICTURE}?w={width}", {}) for width in range(60, 64)]
    with pair.under_load(*requests) as answered:
        for ended in (1, 2, 3):
            victim = min(pair.servers, key=lambda server: server.pid)
            os.kill(victim.pid, signal.SIGTERM)
            block_until(lambda victim=victim: not victim.alive, 60, "it has ended")
            block_until(
                lambda ended=ended: pair.logged.count('"server.worker_started"') == ended, 60, "a successor serves"
            )
    assert len(answered) > 20
    assert set(answered) == {200}
    assert pair.errors == []


def test_successor_that_cannot_serve_does_not_end_the_service(pictures: Path, tmp_path: Path) -> None:
    """The file of users is spoiled when a process dies."""
    users = tmp_path / "users"
    users.touch()
    variables = {"CONTACT_IMAGE_AUTH__SCHEMES": "basic", "CONTACT_IMAGE_AUTH__USERS_FILE": str(users)}
    with running("--images", pictures, "--workers", "2", **variables) as service:
        service.with_renderers(2)  # both processes have read the file
        users.write_text("no user", "utf-8")
        victim = min(service.servers, key=lambda server: server.pid)
        os.kill(victim.pid, signal.SIGKILL)
        block_until(lambda: service.logged.count('"server.worker_failed"') == 2, 60, "two successors have failed")
        assert service.get("/healthz").status == 200
        assert service.process.poll() is None
        users.write_text("", "utf-8")
        block_until(lambda: '"server.worker_started"' in service.logged, 60, "a successor serves")
        before = family(service.process.pid)
        service.send(signal.SIGTERM)
        assert service.end() == 0
        nothing_left(service, before)


def test_failure_to_start_a_process_does_not_end_the_service(pair: Service) -> None:
    """No descriptor is free when a process dies."""
    arbiter, victim = pair.process.pid, min(pair.servers, key=lambda server: server.pid)
    limits = resource.prlimit(arbiter, resource.RLIMIT_NOFILE)
    resource.prlimit(arbiter, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(victim.pid, signal.SIGKILL)
    block_until(lambda: pair.logged.count('"server.worker_not_started"') == 2, 60, "two attempts have failed")
    assert pair.get(PICTURE).status == 200
    resource.prlimit(arbiter, resource.RLIMIT_NOFILE, limits)
    block_until(lambda: '"server.worker_started"' in pair.logged, 60, "a successor serves")
    before = family(arbiter)
    pair.send(signal.SIGTERM)
    assert pair.end() == 0
    nothing_left(pair, before)


def test_demo_on_a_public_address_is_read_only_and_its_folder_outlives_one_process() -> None:
    with running("--demo", "--host", "0.0.0.0", "--workers", "2") as service:
        before = service.with_renderers(2)
        assert {path.name.rpartition("-")[0] for path in service.temporary.iterdir()} >= {"contact-image-demo"}
        os.kill(next(iter(service.servers)).pid, signal.SIGTERM)
        block_until(lambda: len({each for each in service.servers if each not in before}) == 1, 60, "a successor runs")
        assert service.get(f"{PICTURE}?w=33").status == 200
        assert service.get(PICTURE, SAMPLE_CREDENTIAL).status == 200
        assert service.get("/api/v1/Contact/36/Image", SAMPLE_CREDENTIAL, method="PURGE").status == 403
        service.send(signal.SIGTERM)
        assert service.end() == 0
        nothing_left(service, before, 60)


def test_more_processes_than_renders_take_turns(pictures: Path) -> None:
    """Three processes share one slot, so that one of them renders at a time."""
    patient = {"CONTACT_IMAGE_RENDER__TIMEOUT": "60", "CONTACT_IMAGE_RENDER__QUEUE_TIMEOUT": "60"}
    with running("--images", pictures, "--workers", "3", **patient) as service:
        service.with_renderers(3)
        renderers = [each.pid for each in service.renderers]
        spent, begun = sum(map(_processor_seconds, renderers)), time.monotonic()
        with ThreadPoolExecutor(12) as readers:
            widths = range(900, 912)
            answers = list(readers.map(lambda width: service.get(f"{PICTURE}?w={width}&type=avif"), widths))
        took, spent = time.monotonic() - begun, sum(map(_processor_seconds, renderers)) - spent
    assert {answer.status for answer in answers} == {200}
    assert spent > 0.3, "the renders were not heavy enough to show anything"
    assert spent <= took * 1.1, "more than one rendered at once"


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_processes_that_share_one_renderer_answer_what_they_accept_and_refuse_the_rest(tmp_path: Path) -> None:
    contacts = range(1, 101)
    Image.effect_noise((3000, 2000), 60).convert("RGB").save(tmp_path / "large", "JPEG", quality=80)
    for contact in contacts:
        os.link(tmp_path / "large", tmp_path / f"{contact}.jpg")
    variables = {"CONTACT_IMAGE_RENDER__WORKERS": "1", "CONTACT_IMAGE_RENDER__QUEUE_TIMEOUT": "1"}
    with running("--images", tmp_path, "--workers", "2", **variables) as service:
        service.with_renderers(2)
        with ThreadPoolExecutor(len(contacts)) as clients:
            answers = list(clients.map(lambda contact: service.get(f"/api/v1/Contact/{contact}/Image?w=900"), contacts))
        statuses = [answer.status for answer in answers]
        assert set(statuses) == {200, 503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status == 503)
        refused = contacts[statuses.index(503)]
        assert service.get(f"/api/v1/Contact/{refused}/Image?w=900").status == 200
