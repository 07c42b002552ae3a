"""SIGHUP: the reload of settings and files in one process and in several, and the end of a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from PIL import Image

from service.protocol.signatures import sign
from tests.access.verifiers.tokens import AUDIENCE, ISSUER, pair, token
from tests.operations.running import (
    NEEDS_PROC,
    Service,
    assert_stopped,
    block_until,
    family,
    frozen,
    nothing_left,
    run,
    running,
)

pytestmark = NEEDS_PROC

PICTURE = "/api/v1/Contact/1/Image"
OLD, NEW = "old-signing-" + "secret", "new-signing-" + "secret"
PASSWORD = "".join(("Pass-", "word"))
HASH = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.effect_noise((600, 600), 60).convert("RGB").save(folder / "1.jpg", quality=80)
    return folder


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def workers(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


class Files:
    """The TOML file of a service, and the files of users and keys that it names."""

    def __init__(self, folder: Path) -> None:
        self.config, self.users, self.keys = folder / "settings.toml", folder / "users", folder / "keys.pem"
        self.write(key="old:" + OLD, users=["anna", "olaf"], pem="p256")

    def write(self, *, key: str, users: list[str], pem: str, level: str = "INFO", more: str = "") -> None:
        """Replace the three files. *more* is TOML behind the sections `auth` and `log`."""
        self.users.write_text("".join(f"{name}:{HASH}\n" for name in users), "utf-8")
        self.keys.write_bytes(pair(pem).pem)
        self.config.write_text(
            f"""
            [auth]
            schemes = ["basic", "bearer", "signed"]
            signing_keys = ["{key}"]
            users_file = "{self.users}"
            jwt_key_file = "{self.keys}"
            jwt_issuer = "{ISSUER}"
            jwt_audience = "{AUDIENCE}"
            remember_for = 3600
            [log]
            level = "{level}"
            {more}
            """,
            "utf-8",
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@contextmanager
def secured(pictures: Path, files: Files, workers: int, renderers: int = 0, **variables: str) -> Iterator[Service]:
    """Run a service with *workers* processes and *files*, and as many render processes by default."""
    variables = {"CONTACT_IMAGE_RENDER__WORKERS": str(renderers or workers)} | variables
    arguments = ("--images", pictures, "--workers", str(workers), "--config", files.config)
    with running(*arguments, **variables) as service:
        service.with_renderers(renderers or workers)
        yield service


def signed(kid: str, secret: str, target: str = f"{PICTURE}?w=64") -> str:
    return sign(target, kid, secret.encode(), int(time.time()) + 3600)


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{PASSWORD}".encode()).decode()}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(key, 'ES256' if key == 'p256' else 'ES384')}"}


def events(service: Service, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.logged.splitlines() if f'"{name}"' in line]


def reload(service: Service, times: int = 1) -> dict[str, Any]:
    """Send SIGHUP, and return the event of the finished reload, which is number *times* of the service."""
    service.send(signal.SIGHUP)
    block_until(lambda: len(events(service, "server.reloaded")) == times, 120, "the reload is finished")
    return events(service, "server.reloaded")[-1]


def failed_reload(service: Service, times: int = 1) -> dict[str, Any]:
    """Send SIGHUP, and return the event of the failed reload, which is number *times* of the service."""
    service.send(signal.SIGHUP)
    block_until(lambda: len(events(service, "server.reload_failed")) == times, 60, "the reload has failed")
    return events(service, "server.reload_failed")[-1]


def statuses(service: Service, path: str, headers: dict[str, str] | None = None) -> set[int]:
    """Return the statuses of requests to each process: the others are stopped meanwhile."""
    servers, found = service.servers, set[int]()
    for asked in servers or {None}:
        with frozen(each for each in servers if each != asked):
            found |= {service.get(path, headers).status for _ in range(6)}
    return found


def refused(service: Service, headers: dict[str, str]) -> bool:
    """Whether *headers* are refused as wrong. Only a few requests are sent, since wrong attempts are limited."""
    return {service.get(PICTURE, headers).status for _ in range(4)} == {401}


class TestReload:
    def test_keys_users_and_level_of_the_log_are_reloaded(self, pictures: Path, files: Files, workers: int) -> None:
        """Removed credentials were remembered for an hour."""
        with secured(pictures, files, workers) as service:
            before = family(service.process.pid)
            assert statuses(service, signed("old", OLD)) == {200}
            assert statuses(service, signed("new", NEW)) == {403}
            assert statuses(service, PICTURE, basic("olaf")) == {200}
            assert refused(service, basic("nora"))
            assert statuses(service, PICTURE, bearer("p256")) == {200}
            assert refused(service, bearer("p384"))
            assert not events(service, "request.answered")

            files.write(key="new:" + NEW, users=["anna", "nora"], pem="p384", level="DEBUG")
            event = reload(service)

            assert event["changed"] == ["auth.signing_keys", "log.level"]
            assert event["read"] == ["auth.users_file", "auth.jwt_key_file"]
            assert statuses(service, signed("old", OLD)) == {403}
            assert statuses(service, signed("new", NEW)) == {200}
            assert refused(service, basic("olaf"))
            assert statuses(service, PICTURE, basic("nora")) == {200}
            assert statuses(service, PICTURE, basic("anna")) == {200}
            assert refused(service, bearer("p256"))
            assert statuses(service, PICTURE, bearer("p384")) == {200}
            assert events(service, "request.answered")  # repeats too
            if workers == 1:
                assert family(service.process.pid) == before
            assert not events(service, "server.restart_needed")
            assert not events(service, "server.reload_failed")
            assert not re.search(f"{OLD}|{NEW}|{PASSWORD}|argon2", service.logged)

    def test_file_of_a_secret_is_read_again(self, pictures: Path, files: Files, tmp_path: Path, workers: int) -> None:
        secret = tmp_path / "signing-keys"
        secret.write_text(f"old:{OLD}\n", "utf-8")
        with secured(pictures, files, workers, CONTACT_IMAGE_AUTH__SIGNING_KEYS_FILE=str(secret)) as service:
            assert statuses(service, signed("old", OLD)) == {200}
            secret.write_text(f"new:{NEW}\n", "utf-8")
            assert reload(service)["changed"] == ["auth.signing_keys"]
            assert statuses(service, signed("old", OLD)) == {403}
            assert statuses(service, signed("new", NEW)) == {200}

    def test_other_files_may_be_named(self, pictures: Path, files: Files, workers: int, tmp_path: Path) -> None:
        with secured(pictures, files, workers) as service:
            (tmp_path / "other").write_text(f"nora:{HASH}\n", "utf-8")
            text = files.config.read_text("utf-8")
            files.config.write_text(text.replace(str(files.users), str(tmp_path / "other")), "utf-8")
            assert reload(service)["changed"] == ["auth.users_file"]
            assert statuses(service, PICTURE, basic("nora")) == {200}
            assert refused(service, basic("anna"))

    def test_reloads_under_load_fail_no_request(self, pictures: Path, files: Files, workers: int) -> None:
        paths = [signed("old", OLD, f"{PICTURE}?w={60 + number}") for number in range(4)]
        requests = [(path, basic("anna") if number % 2 else {}) for number, path in enumerate(paths)]
        with secured(pictures, files, workers) as service:
            with service.under_load(*requests) as answered:
                for times in (1, 2, 3):
                    before = len(answered)
                    reload(service, times)
                    block_until(lambda before=before: len(answered) > before + 20, 60, "requests are answered")
            assert set(answered) == {200}
            assert service.errors == []

    def test_render_under_way_outlives_the_reload(self, pictures: Path, files: Files, workers: int) -> None:
        with secured(pictures, files, workers) as service, ThreadPoolExecutor(1) as reader:
            with service.frozen_renderers():
                answer = reader.submit(service.get, f"{PICTURE}?w=300&type=avif", basic("anna"))
                time.sleep(1)
                service.send(signal.SIGHUP)
                if workers == 1:
                    block_until(lambda: events(service, "server.reloaded"), 60, "the reload is finished")
                else:
                    block_until(lambda: len(events(service, "server.worker_started")) == 2, 60, "others have started")
                assert not answer.done()
            assert answer.result().status == 200

    def test_other_settings_are_named_and_stay(self, pictures: Path, files: Files, workers: int) -> None:
        with secured(pictures, files, workers) as service:
            files.write(
                key="old:" + OLD,
                users=["anna"],
                pem="p256",
                level="DEBUG",
                more="[http]\nmax_age = 4321\n[render]\nqueue = 7\n[cache]\nurl = 'redis://:hidden@127.0.0.1/'",
            )
            assert reload(service)["changed"] == ["log.level"]
            (event,) = events(service, "server.restart_needed")
            assert event["settings"] == ["cache.url", "render.queue", "http.max_age"]
            answer = service.get(PICTURE, basic("anna"))
            assert "max-age=300" in answer.headers["cache-control"]
            assert "hidden" not in service.logged

    def test_variables_win_as_at_the_start(self, pictures: Path, files: Files) -> None:
        with secured(pictures, files, 1, CONTACT_IMAGE_LOG__LEVEL="INFO") as service:
            files.write(key="old:" + OLD, users=["anna"], pem="p256", level="ERROR")
            assert reload(service)["changed"] == []


BAD = {
    "no TOML": lambda files: files.config.write_text("[log\n", "utf-8"),
    "no file": lambda files: files.config.unlink(),
    "a wrong setting": lambda files: files.config.write_text("[log]\nlevel = 'LOUD'\n[server]\nprot = 1\n", "utf-8"),
    "a wrong users' file": lambda files: files.users.write_text("anna:no hash\n", "utf-8"),
    "no file of keys": lambda files: files.keys.unlink(),
    "a wrong file of keys": lambda files: files.keys.write_text("{}", "utf-8"),
}


class TestBadFiles:
    def test_bad_file_changes_nothing_and_is_logged_as_at_a_start(
        self, pictures: Path, files: Files, workers: int, tmp_path: Path
    ) -> None:
        with secured(pictures, files, workers) as service:
            before = family(service.process.pid)
            assert statuses(service, PICTURE, basic("olaf")) == {200}
            for times, (what, spoil) in enumerate(BAD.items(), 1):
                # Changes of users and keys alone would be in force without a reload.
                files.write(key="new:" + NEW, users=["anna", "olaf"], pem="p256", level="DEBUG")
                spoil(files)
                faults = failed_reload(service, times)["faults"]
                assert faults, what
                printed = run("serve", "--images", pictures, "--config", files.config, cwd=tmp_path).stderr
                assert printed.splitlines()[1:] == [f"  {fault}" for fault in faults], what
                assert statuses(service, signed("old", OLD)) == {200}, what
                assert statuses(service, PICTURE, bearer("p256")) == {200}, what
                assert statuses(service, PICTURE, basic("olaf")) == {200}, what
                assert not events(service, "request.answered"), what
                assert family(service.process.pid) == before, what

            files.write(key="new:" + NEW, users=["anna", "nora"], pem="p384")
            reload(service)
            assert refused(service, basic("olaf"))
            assert statuses(service, signed("new", NEW)) == {200}

    def test_pipe_in_place_of_a_file_fails_the_reload(self, pictures: Path, files: Files, workers: int) -> None:
        """Its opening would wait for a program that writes to it."""
        with secured(pictures, files, workers) as service:
            for times, path in enumerate((files.config, files.users, files.keys), 1):
                contents = path.read_bytes()
                path.unlink()
                os.mkfifo(path)
                (fault,) = failed_reload(service, times)["faults"]
                assert fault == f"{path}: cannot be read: Is not a regular file"
                assert statuses(service, PICTURE, basic("anna")) == {200}
                path.unlink()
                path.write_bytes(contents)
            reload(service)

    def test_setting_that_does_not_fit_those_in_force_changes_nothing(
        self, pictures: Path, files: Files, workers: int
    ) -> None:
        """Without the scheme that needs it, the users' file could be left out. A change of schemes needs a restart."""
        with secured(pictures, files, workers) as service:
            text = files.config.read_text("utf-8").replace('"basic", ', "")
            files.config.write_text(re.sub("users_file.*", "", text), "utf-8")
            (fault,) = failed_reload(service)["faults"]
            assert "basic in schemes needs users_file" in fault
            assert events(service, "server.restart_needed")[0]["settings"] == ["auth.schemes"]
            assert statuses(service, PICTURE, basic("anna")) == {200}


class TestProcesses:
    def test_processes_divide_the_renders_as_before(self, pictures: Path, files: Files) -> None:
        """Three render processes for two processes: the first has two of them."""
        with secured(pictures, files, 2, renderers=3) as service:
            for times in (1, 2, 3):
                before = {each.pid for each in service.servers}
                reload(service, times)
                assert len(service.servers) == 2
                assert not before & {each.pid for each in service.servers}
                service.with_renderers(3)

    def test_counters_survive_the_reload(self, pictures: Path, files: Files) -> None:
        def counted() -> int:
            lines = service.get("/metrics", basic("anna")).body.decode().splitlines()
            named = (line for line in lines if line.startswith("contact_image_requests_total{") and '"image"' in line)
            return sum(int(float(line.split()[1])) for line in named)

        with secured(pictures, files, 2) as service:
            assert statuses(service, PICTURE, basic("anna")) == {200}
            for times in (1, 2):
                reload(service, times)
                block_until(lambda: counted() == 12, 60, "all requests are counted")

    def test_stop_during_a_reload_ends_all_processes(self, pictures: Path, files: Files) -> None:
        with secured(pictures, files, 2) as service:
            service.send(signal.SIGHUP)
            block_until(lambda: len(service.servers) == 3, 60, "another process starts")
            before = family(service.process.pid)
            service.send(signal.SIGTERM)
            assert_stopped(service, before)

    def test_many_reloads_at_once_leave_the_right_number_of_processes(self, pictures: Path, files: Files) -> None:
        with secured(pictures, files, 2) as service:
            for _ in range(5):
                service.send(signal.SIGHUP)
                service.send_group(signal.SIGHUP)
                time.sleep(0.2)
            block_until(lambda: events(service, "server.reloaded"), 120, "a reload is finished")
            block_until(lambda: len(service.servers) == 2, 120, "two processes are left")
            service.with_renderers(2)
            assert service.errors == []


class TestTerminal:
    @pytest.mark.parametrize("how", ["signal", "terminal closes"])
    def test_sighup_ends_a_service_at_a_terminal_after_its_drain(
        self, pictures: Path, workers: int, how: str, tmp_path: Path
    ) -> None:
        master, slave = pty.openpty()
        arguments = ("--images", pictures, "--workers", str(workers))
        with running(*arguments, terminal=slave, CONTACT_IMAGE_SERVER__DRAIN="600") as service:
            os.close(slave)
            before = service.with_renderers(workers)
            if how == "signal":
                service.send(signal.SIGHUP)
            else:
                os.close(master)
            block_until(lambda: service.get("/readyz").status == 503, 60, "the drain has begun")
            assert service.get(f"{PICTURE}?w=62").status == 200
            time.sleep(0.6)  # earlier ones count as the same signal
            service.send(signal.SIGTERM)
            assert_stopped(service, before)
            if how == "signal":
                os.close(master)

    def test_sighup_before_the_service_listens_reloads_when_it_does(self) -> None:
        """The demo is drawing its pictures then."""
        with running("--demo", wait=False) as service:
            block_until(lambda: list(service.temporary.iterdir()), 60, "the folder is made")
            service.send(signal.SIGHUP)
            service.wait_until_it_answers()
            block_until(lambda: events(service, "server.reloaded"), 60, "the reload is finished")
            before = family(service.process.pid)
            service.send(signal.SIGTERM)
            assert service.end() == 0
            nothing_left(service, before)

    def test_sighup_at_a_terminal_before_the_service_listens_leaves_nothing(self) -> None:
        master, slave = pty.openpty()
        with running("--demo", wait=False, terminal=slave) as service:
            os.close(slave)
            block_until(lambda: list(service.temporary.iterdir()), 60, "the folder is made")
            before = family(service.process.pid)
            service.send(signal.SIGHUP)
            assert service.end(60) == 0
            nothing_left(service, before)
            assert "Traceback" not in service.logged
        os.close(master)
