"""A service with every authentication scheme, and credentials for it."""

from __future__ import annotations

import os
import signal
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.access.identity import EVERYTHING, Role
from service.cli import main
from service.protocol.signatures import sign
from tests.conftest import Serve
from tools.pictures.drawing import quarters, saved

ISSUER, AUDIENCE = "https://login.example", "contact-image"
PASSWORD, KEY, APP_TOKEN = "Pass-" + "word", "signing-secret-" + "of-tests", "app-" + "token"
TICKET, TOKEN = "7T:anna" + "==", "8A:Cust1." + "anna"
COOKIE, XSRF = "session-" + "of-anna", "xsrf-" + "of-anna"
SECRETS = (PASSWORD, KEY, APP_TOKEN, TICKET, TOKEN, COOKIE, XSRF, b64encode(f"anna:{PASSWORD}".encode()).decode())

_PRIVATE = ec.generate_private_key(ec.SECP256R1())

ServeSecured = Callable[..., Awaitable[TestClient[Any, Any]]]
Command = Callable[..., Result]


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def bearer(**claims: Any) -> dict[str, str]:
    now = int(time.time())
    payload = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "iat": now - 7200, "exp": now + 3600} | claims
    return {"Authorization": "Bearer " + jwt.encode(payload, _PRIVATE, "ES256")}


def ticket(text: str = TICKET, app_token: str | None = APP_TOKEN) -> dict[str, str]:
    return {"Authorization": f"SOTICKET {text}"} | ({"SO-AppToken": app_token} if app_token else {})


def session(cookie: str = COOKIE, xsrf: str | None = XSRF) -> dict[str, str]:
    fields = {"Cookie": f"ASP.NET_SessionId={cookie}; XSRF-TOKEN={XSRF}"}
    return fields if xsrf is None else fields | {"X-XSRF-TOKEN": xsrf}


def signed(target: str, seconds: int = 3600, key: str = KEY) -> str:
    return sign(target, "k1", key.encode(), int(time.time()) + seconds)


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A users' file: anna may read, walter read and write, wanda only write, carl only purge, eve everything."""
    roles_of = {"anna": {Role.READ}, "walter": {Role.READ, Role.WRITE}, "wanda": {Role.WRITE}}
    roles_of |= {"carl": {Role.PURGE}, "eve": EVERYTHING}
    file = tmp_path_factory.mktemp("users") / "users"
    cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # the cost is not the subject of these tests
    lines = (f"{name}:{cheap.hash(PASSWORD)}:{','.join(sorted(roles))}\n" for name, roles in roles_of.items())
    file.write_text("".join(lines), "utf-8")
    return file


@pytest.fixture
async def superoffice() -> AsyncIterator[TestServer]:
    """A SuperOffice that knows anna. `server.requests` lists the `Authorization` field of every request."""
    app = web.Application()
    requests: list[str] = []
    known = (f"SOTicket {TICKET}", f"Bearer {TOKEN}", "Basic " + b64encode(f"anna:{PASSWORD}".encode()).decode())

    async def principal(request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        requests.append(authorization)
        by_session = request.cookies.get("ASP.NET_SessionId") == COOKIE and request.headers.get("X-XSRF-TOKEN") == XSRF
        if authorization.lower() in {each.lower() for each in known} or by_session:
            return web.json_response({"UserType": "InternalAssociate", "Associate": "ANNA", "AssociateId": 7})
        return web.json_response({"Error": True}, status=401)

    app.router.add_get("/api/v1/User/currentPrincipal", principal)
    server = TestServer(app)
    await server.start_server()
    server.requests = requests  # type: ignore[attr-defined]
    yield server
    await server.close()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "keys.pem"
    file.write_bytes(_PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


@pytest.fixture
async def serve_secured(serve: Serve, users: Path, keys: Path, superoffice: TestServer) -> ServeSecured:
    """Start the service with every scheme; sections of settings as keywords, as for `serve`."""

    async def start(**sections: Any) -> TestClient[Any, Any]:
        auth = {
            "schemes": ["basic", "bearer", "soticket", "session", "signed"],
            "users_file": str(users),
            "superoffice_url": str(superoffice.make_url("")),
            "app_tokens": [APP_TOKEN],
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_key_file": str(keys),
            "signing_keys": [f"k1:{KEY}"],
        } | sections.pop("auth", {})
        return await serve(auth=auth, **sections)

    return start


def refuse_to_listen(_: object) -> None:
    raise AssertionError("the command listens")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run the command line in this process, in *tmp_path*; environment variables as keywords.

    It saves the start of an interpreter. The command may not listen, nor change the logs of the tests.
    """
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("service.serving.logs.configure_logs", lambda _: None)
    monkeypatch.setattr("service.serving.listening.listen", refuse_to_listen)
    unset = dict.fromkeys(name for name in os.environ if name.startswith("CONTACT_IMAGE_"))

    def run(*arguments: str | Path, **variables: str) -> Result:
        return CliRunner().invoke(main, [str(each) for each in arguments], env=unset | variables)

    yield run
    for each, handler in handlers.items():
        signal.signal(each, handler)


@pytest.fixture
def picture(images: Path) -> Path:
    (images / "1.jpg").write_bytes(saved(quarters(160, 120), "JPEG"))
    return images
