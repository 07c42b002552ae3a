"""No credential or signature leaves the whole service, with all of its log events enabled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from aiohttp.test_utils import TestServer
from redis import Redis
from structlog.testing import capture_logs

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
from tests.conftest import Serve, Valkey
from tests.operations.running import running
from tools.pictures.drawing import quarters, saved

IMAGE = "/api/v1/Contact/1/Image?w=40"
PREFIX = "secrets"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the service is observed in /proc")
async def test_no_secret_is_logged_counted_cached_or_sent(
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
    requests: list[tuple[str, Mapping[str, str]]] = [
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
        for path, fields in requests * 2:
            answer = await asyncio.to_thread(service.get, path, dict(fields))
            statuses.append(answer.status)
            seen.append(repr(answer.headers) + answer.body.decode("latin-1"))
        await superoffice.close()
        answer = await asyncio.to_thread(service.get, IMAGE, ticket(wrong[1] + "2"))
        statuses.append(answer.status)
        metrics = await asyncio.to_thread(service.get, "/metrics", basic("anna"))
        logged, printed = service.logged, service.printed
    output = "\n".join([*seen, metrics.body.decode(), logged, printed])
    with Redis(unix_socket_path=str(shared_valkey.socket)) as redis:
        for key in redis.scan_iter(f"{PREFIX}*"):
            output += repr(key) + (repr(redis.hgetall(key)) if redis.type(key) == b"hash" else repr(redis.get(key)))
    assert {200, 401, 403, 503} <= set(statuses)
    assert PREFIX in output
    for secret in secrets:
        assert secret not in output, "a secret is in the output"


async def test_refusal_is_logged_with_client_status_and_reason(serve: Serve) -> None:
    client = await serve(
        auth={"schemes": ["signed"], "signing_keys": [f"k1:{KEY}"]}, server={"trusted_proxies": ["127.0.0.0/8"]}
    )
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        with capture_logs() as events:
            async with client.get(signed(IMAGE) + "x", headers={"X-Forwarded-For": "192.0.2.7"}) as answer:
                assert answer.status == 403
    finally:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    (event,) = (each for each in events if each["event"] == "request.refused")
    assert (event["method"], event["path"], event["client"]) == ("GET", "/api/v1/Contact/1/Image", "192.0.2.7")
    assert (event["status"], event["reason"]) == (403, "The signature of the URL is missing or wrong.")
