"""No credential, ticket, token, cookie or signature comes out anywhere: the whole service, at its most talkative."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp.test_utils import TestServer
from redis import Redis

from tests.access.conftest import (
    APP_TOKEN,
    AUDIENCE,
    COOKIE,
    ISSUER,
    KEY,
    SECRETS,
    basic,
    bearer,
    session,
    signed,
    ticket,
)
from tests.conftest import Valkey
from tests.operations.running import running
from tests.pictures_in_code import quarters, saved

IMAGE = "/api/v1/Contact/1/Image?w=40"
PREFIX = "secrets"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the service is watched by way of /proc")
async def test_nothing_of_them_is_logged_counted_kept_or_sent(
    tmp_path: Path, users: Path, keys: Path, superoffice: TestServer, shared_valkey: Valkey
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "1.jpg").write_bytes(saved(quarters(160, 120), "JPEG"))
    auth = {
        "SCHEMES": "basic,bearer,soticket,session,signed",
        "USERS_FILE": str(users),
        "SUPEROFFICE_URL": str(superoffice.make_url("")),
        "APP_TOKENS": APP_TOKEN,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWT_KEY_FILE": str(keys),
        "SIGNING_KEYS": f"k1:{KEY}",
    }
    token, url = bearer(), signed(IMAGE)
    parameters = parse_qs(urlsplit(url).query)
    wrong = ["wrong-" + "word", "7T:wrong-ticket", "8A:wrong-token", "wrong-session", "wrong-signature", "wrong-app"]
    asked: list[tuple[str, Mapping[str, str]]] = [
        *((IMAGE, fields) for fields in (basic("anna"), token, ticket(), session(), bearer(exp=1))),
        (IMAGE, basic("anna", wrong[0])),
        (IMAGE, ticket(wrong[1])),
        (IMAGE, {"Authorization": f"Bearer {wrong[2]}", "SO-AppToken": APP_TOKEN}),
        (IMAGE, session(wrong[3])),
        (IMAGE, ticket(app_token=wrong[5])),
        (url, {}),
        (url.replace(parameters["sig"][0], wrong[4]), {}),
        (url + "&" + wrong[4], {}),
        (url.replace("w=40", "w=wide"), {}),
        (url, basic("anna")),
        ("/api/v1/Contact/404/Image?" + urlsplit(url).query, basic("anna")),
        ("/nowhere?" + urlsplit(url).query, {"Cookie": COOKIE}),
    ]
    secrets = [
        *SECRETS,
        *wrong,
        token["Authorization"].split()[1],
        parameters["sig"][0],
        basic("anna")["Authorization"],
    ]
    secrets += [part for part in token["Authorization"].split()[1].split(".") if len(part) > 20]
    statuses, seen = [], []
    environment = {f"CONTACT_IMAGE_AUTH__{name}": value for name, value in auth.items()} | {
        "CONTACT_IMAGE_LOG__LEVEL": "DEBUG",
        "CONTACT_IMAGE_CACHE__URL": shared_valkey.url,
        "CONTACT_IMAGE_CACHE__PREFIX": PREFIX,
    }
    with running("--images", images, **environment) as service:
        for path, fields in asked * 2:
            answer = await asyncio.to_thread(service.get, path, dict(fields))
            statuses.append(answer.status)
            seen.append(repr(answer.headers) + answer.body.decode("latin-1"))
        await superoffice.close()
        answer = await asyncio.to_thread(service.get, IMAGE, ticket(wrong[1] + "2"))
        statuses.append(answer.status)
        metrics = await asyncio.to_thread(service.get, "/metrics", basic("anna"))
        logged, printed = service.logged, service.printed
    told = "\n".join([*seen, metrics.body.decode(), logged, printed])
    with Redis(unix_socket_path=str(shared_valkey.socket)) as redis:
        for key in redis.scan_iter(f"{PREFIX}*"):
            told += repr(key) + (repr(redis.hgetall(key)) if redis.type(key) == b"hash" else repr(redis.get(key)))
    assert {200, 401, 403, 503} <= set(statuses)
    assert PREFIX in told
    for secret in secrets:
        assert secret not in told, "a secret came out"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the service is watched by way of /proc")
def test_the_log_tells_who_was_refused_what_and_why(tmp_path: Path) -> None:
    environment = {
        "CONTACT_IMAGE_AUTH__SCHEMES": "signed",
        "CONTACT_IMAGE_AUTH__SIGNING_KEYS": f"k1:{KEY}",
        "CONTACT_IMAGE_SERVER__TRUSTED_PROXIES": "127.0.0.0/8",
    }
    with running("--images", tmp_path, **environment) as service:
        assert service.get(signed(IMAGE) + "x", {"X-Forwarded-For": "192.0.2.7"}).status == 403
        logged = [json.loads(line) for line in service.logged.splitlines()]
    (line,) = (each for each in logged if each["event"] == "request.refused")
    assert (line["method"], line["path"], line["client"]) == ("GET", "/api/v1/Contact/1/Image", "192.0.2.7")
    assert (line["status"], line["reason"]) == (403, "The signature of the URL is missing or wrong.")
