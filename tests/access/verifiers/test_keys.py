"""Keys of tokens, from a file or from a provider, which rotates them and may be down."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm
from structlog.testing import capture_logs

from service.access.ports import BadFile
from service.access.schemes import Bearer
from service.access.verifiers.jwt import JsonWebTokens, TokenRules
from service.access.verifiers.keys import BadKeys, Key, KeyFile
from service.access.verifiers.published import PublishedKeys
from service.errors import NotAuthenticated, VerificationUnavailable
from tests.access.verifiers.conftest import Answer, RemoteServer, as_cut, as_json, as_text
from tests.access.verifiers.tokens import AUDIENCE, ISSUER, Pair, jwks, pair, token

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


def certificate(name: str) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "id.example")])
    private = pair(name).private
    signed = None if name.startswith("ed") else hashes.SHA256()
    builder = x509.CertificateBuilder(subject, subject, pair(name).public, 1, now, now + datetime.timedelta(days=1))
    return builder.sign(private, signed).public_bytes(Encoding.PEM)


def private_pem(key: Pair) -> bytes:
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], tuple[Key, ...]]:
    def read(text: bytes) -> tuple[Key, ...]:
        (tmp_path / "keys").write_bytes(text)
        return asyncio.run(KeyFile(tmp_path / "keys").current())

    return read


def test_file_may_have_several_keys_and_certificates(read: Callable[[bytes], tuple[Key, ...]]) -> None:
    pkcs1 = pair("rsa-2").public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    keys = read(
        pair("rsa").pem + b"# and\r\n" + certificate("p256") + certificate("ed25519") + pkcs1 + pair("p521").pem
    )
    assert [key.algorithms for key in keys] == [_RSA, ("ES256",), ("EdDSA",), _RSA, ("ES512",)]
    assert all(key.name is None for key in keys)


def test_file_may_be_a_jwks(read: Callable[[bytes], tuple[Key, ...]]) -> None:
    keys = read(b" \n" + json.dumps(jwks(pair("rsa").jwk(kid="a", alg="PS256"), pair("p384").jwk(kid="b"))).encode())
    assert [(key.name, key.algorithms) for key in keys] == [("a", ("PS256",)), ("b", ("ES384",))]


@pytest.mark.parametrize(
    "unfit",
    [
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "RSA", "n": "AQAB"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": ["RSA"]},
        {},
        7,
        None,
        "rsa:use=enc",
        "rsa:alg=HS256",
        "rsa:alg=none",
        "rsa:alg=RSA-OAEP",
        "p256:alg=ES384",
        "rsa:key_ops=sign",
        "rsa:private",
        "rsa-short:alg=RS256",
        "k256:alg=ES256K",
    ],
    ids=str,
)
def test_key_that_cannot_verify_is_ignored(read: Callable[[bytes], tuple[Key, ...]], unfit: Any) -> None:
    if isinstance(unfit, str):
        name, _, member = unfit.partition(":")
        label, _, value = member.partition("=")
        if label == "private":
            unfit = RSAAlgorithm.to_jwk(pair(name).private, as_dict=True) | {"key_ops": ["verify"]}
        else:
            unfit = pair(name).jwk(**{label: [value] if label == "key_ops" else value})
    [key] = read(json.dumps(jwks(unfit, pair("ed25519").jwk(kid="good"))).encode())
    assert key.name == "good"
    with pytest.raises(BadKeys, match="holds no public key that can be used"):
        read(json.dumps(jwks(unfit)).encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no public key"),
        (b"hello", "no public key"),
        (b"{", "is no JSON"),
        (b'{"a":' * 5000, "is no JSON"),
        (b"{}", "is no JWKS"),
        (b'{"keys": {}}', "is no JWKS"),
        (b'{"keys": []}', "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (b" " * 300_000, "larger than"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_file_without_a_key_is_refused_with_its_name(
    read: Callable[[bytes], tuple[Key, ...]], tmp_path: Path, text: bytes, reason: str
) -> None:
    with pytest.raises(BadKeys, match=reason) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path / 'keys'}: ")


def test_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="cannot be read: No such file"):
        KeyFile(tmp_path / "none")


def test_private_key_is_refused_and_not_quoted(read: Callable[[bytes], tuple[Key, ...]]) -> None:
    secret = private_pem(pair("p256"))
    with pytest.raises(BadKeys, match="holds a PRIVATE KEY, which does not belong there") as caught:
        read(pair("rsa").pem + secret)
    assert secret.split(b"\n")[1].decode() not in str(caught.value)


class Published:
    """Makes verifiers with the keys that `remote` publishes, and with time limits that a test sets."""

    def __init__(self, remote: RemoteServer) -> None:
        self.remote = remote
        self._made: list[JsonWebTokens] = []

    def verifier(self, **times: float) -> JsonWebTokens:
        keys = PublishedKeys(f"{self.remote.url}/jwks.json", **times)
        self._made.append(JsonWebTokens(keys, TokenRules(ISSUER, AUDIENCE)))
        return self._made[-1]

    def publish(self, *names: str) -> None:
        self.remote.answers = [as_json(jwks(*(pair(name).jwk(kid=name) for name in names)))]

    async def close(self) -> None:
        for each in self._made:
            await each.close()


@pytest.fixture
async def published(remote: RemoteServer) -> AsyncIterator[Published]:
    provider = Published(remote)
    provider.publish("rsa")
    yield provider
    await provider.close()


async def is_accepted(verifier: JsonWebTokens, key: str = "rsa", kid: str | None = "") -> bool:
    """Return whether a token that *key* has signed is accepted."""
    named = {"kid": key if kid == "" else kid} if kid is not None else {}
    algorithm = {"rsa": "RS256", "rsa-2": "RS256", "p256": "ES256", "ed25519": "EdDSA"}[key]
    try:
        await verifier.verify(Bearer(token(key, algorithm, named)), None)
    except NotAuthenticated:
        return False
    return True


async def test_keys_are_fetched_once_when_first_needed(published: Published) -> None:
    verifier = published.verifier()
    assert not published.remote.requests
    assert all(await asyncio.gather(*(is_accepted(verifier) for _ in range(50))))
    assert await is_accepted(verifier, kid=None)
    [request] = published.remote.requests
    assert request.path == "/jwks.json"
    assert not {"Authorization", "Cookie", "SO-AppToken"} & set(request.headers)


async def test_rotated_key_is_fetched_when_a_token_names_it(published: Published) -> None:
    verifier = published.verifier(pause=0.0)
    assert await is_accepted(verifier)
    published.publish("p256", "rsa")
    assert await is_accepted(verifier, "p256")
    assert await is_accepted(verifier)
    assert len(published.remote.requests) == 2
    published.publish("ed25519")
    assert await is_accepted(verifier, "ed25519")
    assert not await is_accepted(verifier)  # the old key is no longer published


async def test_rotated_key_is_fetched_for_a_token_without_a_name(published: Published) -> None:
    verifier = published.verifier(pause=0.0)
    assert await is_accepted(verifier, kid=None)
    published.publish("p256")
    assert await is_accepted(verifier, "p256", kid=None)


async def test_unknown_names_cause_few_requests(published: Published) -> None:
    verifier = published.verifier()
    assert await is_accepted(verifier)
    accepted = await asyncio.gather(*(is_accepted(verifier, "rsa-2", kid=f"made-up-{number}") for number in range(100)))
    assert not any(accepted)
    assert len(published.remote.requests) == 1
    eager = published.verifier(pause=2.0)
    published.remote.requests.clear()
    await asyncio.gather(*(is_accepted(eager, "rsa-2", kid=f"made-up-{number}") for number in range(100)))
    await asyncio.sleep(2.1)
    await asyncio.gather(*(is_accepted(eager, "rsa-2", kid=f"made-up-{number}") for number in range(100)))
    assert len(published.remote.requests) <= 3


async def test_wrong_signature_under_a_known_name_causes_no_request(published: Published) -> None:
    verifier = published.verifier(pause=0.0)
    assert await is_accepted(verifier)
    assert not await is_accepted(verifier, "rsa-2", kid="rsa")
    assert len(published.remote.requests) == 1


async def test_stale_keys_are_fetched_again(published: Published) -> None:
    verifier = published.verifier(fresh_for=0.3, pause=0.0)
    assert await is_accepted(verifier)
    published.publish("p256")
    await asyncio.sleep(0.4)
    assert not await is_accepted(verifier)
    assert await is_accepted(verifier, "p256")


_FAULTS: dict[str, Answer] = {
    "500": as_text("", "text/html", 500),
    "404": as_text("", "text/html", 404),
    "a redirect": as_text("", "text/html", 302, Location="/other"),
    "a body that is cut": as_cut,
    "HTML": as_text("<html>", "text/html"),
    "nothing": as_text("", "application/json"),
    "no object": as_json([]),
    "no keys": as_json({"keys": []}),
    "keys of other kinds": as_json({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}),
    "deep": as_text("[" * 100_000, "application/json"),
    "huge": as_text(b" " * 300_000 + json.dumps(jwks(pair("rsa-2").jwk(kid="new"))).encode(), "application/json"),
}


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
async def test_provider_without_keys_is_unavailable_and_gets_one_request(published: Published, fault: Answer) -> None:
    published.remote.answers = [fault]
    verifier = published.verifier(pause=30.0)
    for _ in range(5):
        with pytest.raises(VerificationUnavailable, match="cannot be verified at the moment"):
            await is_accepted(verifier)
    assert len(published.remote.requests) == 1


@pytest.mark.parametrize("fault", _FAULTS.values(), ids=_FAULTS)
async def test_known_keys_are_used_through_an_outage(published: Published, fault: Answer) -> None:
    verifier = published.verifier(fresh_for=0.0, pause=0.0)
    assert await is_accepted(verifier)
    published.remote.answers = [fault]
    assert await is_accepted(verifier)
    assert not await is_accepted(verifier, "rsa-2", kid="new")
    assert len(published.remote.requests) > 1
    published.publish("p256")
    assert await is_accepted(verifier, "p256")


async def test_old_keys_are_not_used_for_ever(published: Published) -> None:
    verifier = published.verifier(fresh_for=0.0, kept_for=0.5, pause=0.0)
    assert await is_accepted(verifier)
    await published.remote.stop()
    await asyncio.sleep(0.6)
    with pytest.raises(VerificationUnavailable):
        await is_accepted(verifier)


async def test_request_to_a_hanging_provider_times_out_for_all_callers(published: Published) -> None:
    over = asyncio.Event()

    async def hang(_: web.BaseRequest) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    published.remote.answers = [hang]
    verifier = published.verifier()
    async with asyncio.timeout(60):
        results = await asyncio.gather(*(is_accepted(verifier) for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, VerificationUnavailable) for each in results)
    assert len(published.remote.requests) == 1
    over.set()


async def test_changed_file_of_keys_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(pair("rsa").pem + pair("p256").pem)
    verifier = JsonWebTokens(KeyFile(path), TokenRules(ISSUER, AUDIENCE))
    gone = await verifier.verify(Bearer(token("p256", "ES256")), None)
    stays = await verifier.verify(Bearer(token("rsa")), None)
    path.write_bytes(pair("rsa").pem + pair("ed25519").pem)
    await verifier.refresh()
    assert await is_accepted(verifier, "ed25519", kid=None)
    assert not await is_accepted(verifier, "p256", kid=None)
    assert gone.basis.withdrawn and not stays.basis.withdrawn
    path.write_bytes(pair("p256").pem)
    await verifier.refresh()
    assert stays.basis.withdrawn
    assert gone.basis.withdrawn
    assert not (await verifier.verify(Bearer(token("p256", "ES256")), None)).basis.withdrawn


async def test_unusable_file_of_keys_leaves_the_keys_and_is_logged_once(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(pair("rsa").pem)
    verifier = JsonWebTokens(KeyFile(path), TokenRules(ISSUER, AUDIENCE))
    identity = await verifier.verify(Bearer(token("rsa")), None)
    path.write_bytes(b"no keys")
    with capture_logs() as events:
        for _ in range(3):
            await verifier.refresh()
    assert [each["event"] for each in events] == ["keys.unusable"]
    assert await is_accepted(verifier, kid=None) and not identity.basis.withdrawn


async def test_key_that_is_no_longer_published_vouches_for_nothing_after_the_next_fetch(published: Published) -> None:
    verifier = published.verifier(fresh_for=0.05, pause=0.0)
    published.publish("rsa", "p256")
    gone = await verifier.verify(Bearer(token("p256", "ES256", {"kid": "p256"})), None)
    stays = await verifier.verify(Bearer(token("rsa", headers={"kid": "rsa"})), None)
    published.publish("rsa")
    await asyncio.sleep(0.06)
    assert not gone.basis.withdrawn
    await verifier.refresh()  # although no token is verified
    assert gone.basis.withdrawn and not stays.basis.withdrawn


async def test_keys_are_not_fetched_before_they_are_needed(published: Published) -> None:
    verifier = published.verifier(fresh_for=0.0, pause=0.0)
    await verifier.refresh()
    assert not published.remote.requests
    assert await is_accepted(verifier)


async def test_failed_fetch_withdraws_nothing(published: Published) -> None:
    verifier = published.verifier(fresh_for=0.0, pause=0.0)
    identity = await verifier.verify(Bearer(token("rsa", headers={"kid": "rsa"})), None)
    published.remote.answers = [as_json({}, 503)]
    await verifier.refresh()
    assert not identity.basis.withdrawn
