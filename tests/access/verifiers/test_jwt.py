"""JSON web tokens: which are accepted, for how long, and with which roles."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from service.access.identity import EVERYTHING, READER, Role
from service.access.schemes import Basic, Bearer, SoTicket
from service.access.verifiers.jwt import JsonWebTokens, TokenRules, is_jwt
from service.access.verifiers.keys import KeyFile
from service.errors import CredentialExpired, NotAuthenticated
from tests.access.verifiers.tokens import AUDIENCE, ISSUER, claims, jwks, pair, raw_token, token

_ALL = ("rsa", "p256", "p384", "p521", "ed25519", "ed448")


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> JsonWebTokens:
    """A verifier with a key of every kind from a PEM file, so without names."""
    file = tmp_path_factory.mktemp("keys") / "keys.pem"
    file.write_bytes(b"".join(pair(name).pem for name in _ALL))
    return JsonWebTokens(KeyFile(file), TokenRules(ISSUER, AUDIENCE))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> JsonWebTokens:
    """A verifier with two named RSA keys."""
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps(jwks(pair("rsa").jwk(kid="one"), pair("rsa-2").jwk(kid="two", alg="RS512"))))
    return JsonWebTokens(KeyFile(file), TokenRules(ISSUER, AUDIENCE))


async def roles(verifier: JsonWebTokens, text: str) -> frozenset[Role]:
    return (await verifier.verify(Bearer(text), None)).roles


async def refused(verifier: JsonWebTokens, text: str) -> None:
    """Assert that the token is refused as wrong, and not as expired."""
    with pytest.raises(NotAuthenticated) as caught:
        await verifier.verify(Bearer(text), None)
    assert type(caught.value) is NotAuthenticated
    assert str(caught.value) == "The credentials are wrong."


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *(("rsa", name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        *(("p256", "ES256"), ("p384", "ES384"), ("p521", "ES512"), ("ed25519", "EdDSA"), ("ed448", "EdDSA")),
    ],
)
async def test_every_asymmetric_algorithm_is_accepted(verifier: JsonWebTokens, key: str, algorithm: str) -> None:
    assert await roles(verifier, token(key, algorithm)) == READER


async def test_identity_expires_with_its_token(verifier: JsonWebTokens) -> None:
    exp = int(time.time()) + 100
    identity = await verifier.verify(Bearer(token(exp=exp)), None)
    assert identity.until == exp + 30


@pytest.mark.parametrize("exp", [10**18, 10**400, 1e300])
async def test_huge_expiry_is_a_finite_time(verifier: JsonWebTokens, exp: float) -> None:
    identity = await verifier.verify(Bearer(token(exp=exp)), None)
    assert identity.until is not None and math.isfinite(identity.until)


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ({}, READER),
        ({"roles": ["read", "write"]}, {Role.READ, Role.WRITE}),
        ({"roles": "read write purge"}, EVERYTHING),
        ({"scope": "openid read write"}, {Role.READ, Role.WRITE}),
        ({"roles": ["read"], "scope": "purge"}, {Role.READ, Role.PURGE}),
        ({"roles": ["purge"]}, {Role.PURGE}),
        ({"roles": ["WRITE", "write:contacts", "admin"]}, set()),
        ({"roles": "write,purge"}, set()),
        ({"roles": {"write": True}}, set()),
        ({"roles": [["write"], 7, None, {"a": 1}]}, set()),
        ({"roles": []}, set()),
        ({"scope": ""}, set()),
        ({"scope": "openid profile"}, set()),
        ({"roles": ["admin"], "scope": "read"}, {Role.READ}),
        ({"scope": 7}, set()),
    ],
)
async def test_roles_are_those_of_the_claims(
    verifier: JsonWebTokens, claimed: dict[str, Any], expected: frozenset[Role]
) -> None:
    assert await roles(verifier, token(**claimed)) == expected


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ({}, set()),
        ({"roles": ["write"]}, set()),
        ({"groups": ["write"]}, set()),
        ({"groups": ["write", "pictures"]}, {Role.WRITE}),
        ({"groups": ["write"], "scope": "openid pictures"}, {Role.WRITE}),
        ({"groups": "pictures"}, set()),
        ({"groups": ["pictures"], "scope": "read"}, {Role.READ}),
        ({"groups": ["write"], "roles": ["pictures"]}, set()),
    ],
)
async def test_claim_of_roles_and_a_required_one_can_be_set(
    tmp_path: Path, claimed: dict[str, Any], expected: frozenset[Role]
) -> None:
    (tmp_path / "keys").write_bytes(pair("rsa").pem)
    rules = TokenRules(ISSUER, AUDIENCE, roles_claim="groups", required="pictures")
    assert await roles(JsonWebTokens(KeyFile(tmp_path / "keys"), rules), token(**claimed)) == expected


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
async def test_type_of_an_access_token_is_accepted(verifier: JsonWebTokens, typ: str | None) -> None:
    assert await roles(verifier, token(headers={"typ": typ})) == READER


@pytest.mark.parametrize("typ", ["", "id+jwt", "logout+jwt", "dpop+jwt", "JWE", "text/at+jwt", " JWT", 7, ["JWT"]])
async def test_token_of_another_type_is_refused(verifier: JsonWebTokens, typ: object) -> None:
    await refused(verifier, signed_with_header({"alg": "RS256", "typ": typ}))


async def test_types_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(pair("rsa").pem)
    verifier = JsonWebTokens(KeyFile(tmp_path / "keys"), TokenRules(ISSUER, AUDIENCE, types=["application/at+JWT"]))
    assert await roles(verifier, token(headers={"typ": "at+jwt"})) == READER
    await refused(verifier, token(headers={"typ": "JWT"}))


def signed_with_header(header: dict[str, Any]) -> str:
    """Return a valid token with *header*, which the library might refuse to write."""
    text = raw_token(header, json.dumps(claims()).encode()).removesuffix(".")
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(text.encode(), pair("rsa").private)
    return f"{text}.{jwt.utils.base64url_encode(signature).decode()}"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"iss": ""},
        {"aud": "another-service"},
        {"aud": AUDIENCE + "2"},
        {"aud": ["another-service", "a-third"]},
        {"aud": []},
        {"aud": None},
        {"aud": {AUDIENCE: True}},
        {"aud": [AUDIENCE, 7]},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [9999999999]},
        {"exp": True},
        {"nbf": "now"},
        {"iat": []},
    ],
    ids=str,
)
async def test_token_with_a_wrong_claim_is_refused(verifier: JsonWebTokens, changes: dict[str, Any]) -> None:
    if changes == {"exp": True}:  # 1, in the year 1970
        with pytest.raises(CredentialExpired):
            await roles(verifier, token(**changes))
    else:
        await refused(verifier, token(**changes))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
async def test_token_from_the_future_is_refused(verifier: JsonWebTokens, claim: str) -> None:
    await refused(verifier, token(**{claim: int(time.time()) + 300}))


async def test_one_of_several_audiences_suffices(verifier: JsonWebTokens) -> None:
    assert await roles(verifier, token(aud=["another-service", AUDIENCE])) == READER


async def test_clocks_may_differ_by_half_a_minute(verifier: JsonWebTokens) -> None:
    now = int(time.time())
    assert await roles(verifier, token(exp=now - 10, iat=now + 20, nbf=now + 20)) == READER


async def test_expired_token_differs_from_a_wrong_one(verifier: JsonWebTokens) -> None:
    with pytest.raises(CredentialExpired, match="The credentials have expired"):
        await verifier.verify(Bearer(token(exp=int(time.time()) - 60)), None)
    for wrong in ({"iss": "https://evil.example"}, {"aud": "another"}, {"sub": 7}):
        await refused(verifier, token(exp=int(time.time()) - 60, **wrong))
    head, payload, _ = token(exp=int(time.time()) - 60).split(".")
    await refused(verifier, f"{head}.{payload}.{token().split('.')[2]}")


async def test_signature_of_another_payload_is_refused(verifier: JsonWebTokens) -> None:
    head, payload, signature = token().split(".")
    _, richer, _ = token(roles=["purge"]).split(".")
    await refused(verifier, f"{head}.{richer}.{signature}")
    await refused(verifier, f"{head}.{payload}.")
    await refused(verifier, f"{head}.{payload}.{signature[:-8]}")
    await refused(verifier, token("rsa-2"))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
async def test_token_without_a_signature_is_refused(verifier: JsonWebTokens, algorithm: str) -> None:
    text = raw_token({"alg": algorithm, "typ": "JWT"}, json.dumps(claims()).encode())
    assert is_jwt(text)
    await refused(verifier, text)


@pytest.mark.parametrize("name", _ALL)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_public_key_is_not_accepted_as_an_hmac_secret(verifier: JsonWebTokens, name: str, algorithm: str) -> None:
    unsigned = raw_token({"alg": algorithm, "typ": "JWT"}, json.dumps(claims()).encode()).rstrip(".")
    for secret in (pair(name).pem, pair(name).pem.strip(), json.dumps(pair(name).jwk()).encode(), b""):
        digest = hmac.digest(secret, unsigned.encode(), getattr(hashlib, "sha" + algorithm[2:]))
        await refused(verifier, f"{unsigned}.{jwt.utils.base64url_encode(digest).decode()}")


@pytest.mark.parametrize(
    ("key", "claimed"), [("p256", "RS256"), ("rsa", "ES256"), ("ed25519", "PS256"), ("p384", "ES256")]
)
async def test_key_is_used_only_with_the_algorithms_of_its_type(
    verifier: JsonWebTokens, key: str, claimed: str
) -> None:
    own = {"p256": "ES256", "rsa": "RS256", "ed25519": "EdDSA", "p384": "ES384"}[key]
    _, payload, signature = token(key, own).split(".")
    head = raw_token({"alg": claimed}, b"").split(".")[0]
    await refused(verifier, f"{head}.{payload}.{signature}")


async def test_unlisted_curve_is_refused(verifier: JsonWebTokens) -> None:
    await refused(verifier, token("k256", "ES256K"))


async def test_named_key_is_the_only_one_that_is_tried(named: JsonWebTokens) -> None:
    assert await roles(named, token("rsa", "RS256", {"kid": "one"})) == READER
    assert await roles(named, token("rsa-2", "RS512", {"kid": "two"})) == READER
    assert await roles(named, token("rsa-2", "RS512")) == READER
    await refused(named, token("rsa", "RS256", {"kid": "two"}))
    await refused(named, token("rsa", "RS256", {"kid": "three"}))
    await refused(named, token("rsa-2", "RS256", {"kid": "two"}))  # its `alg` says RS512


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "one' OR '1'='1",
        "one\x00",
        "https://evil.example/k",
        "\u2028",
        "k" * 8000,
        "",
    ],
)
async def test_name_of_a_key_has_no_other_meaning(named: JsonWebTokens, kid: str) -> None:
    await refused(named, token("rsa", "RS256", {"kid": kid}))


@pytest.mark.parametrize("kid", [7, None, ["one"], {"one": 1}, True])
async def test_name_that_is_not_text_is_refused(named: JsonWebTokens, kid: object) -> None:
    _, payload, _ = token().split(".")
    head = raw_token({"alg": "RS256", "kid": kid}, b"").split(".")[0]
    signature = jwt.get_algorithm_by_name("RS256").sign(f"{head}.{payload}".encode(), pair("rsa").private)
    await refused(named, f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}")


async def test_key_in_a_token_is_ignored(verifier: JsonWebTokens) -> None:
    own = {
        "jwk": pair("rsa-2").jwk(),
        "jku": "http://127.0.0.1:9/jwks.json",
        "x5u": "http://127.0.0.1:9/cert.pem",
        "x5c": ["MIIB"],
    }
    await refused(verifier, token("rsa-2", "RS256", own))
    assert await roles(verifier, token("rsa", "RS256", own)) == READER


@pytest.mark.parametrize("crit", [["exp"], ["x-evil"], [], "exp", [7], {}, ["b64"]], ids=str)
async def test_unknown_critical_extension_is_refused(verifier: JsonWebTokens, crit: object) -> None:
    _, payload, _ = token().split(".")
    head = raw_token({"alg": "RS256", "crit": crit, "x-evil": 1}, b"").split(".")[0]
    signature = jwt.get_algorithm_by_name("RS256").sign(f"{head}.{payload}".encode(), pair("rsa").private)
    await refused(verifier, f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}")


async def test_detached_payload_is_refused(verifier: JsonWebTokens) -> None:
    detached = jwt.api_jws.encode(json.dumps(claims()).encode(), pair("rsa").private, "RS256", is_payload_detached=True)
    await refused(verifier, detached)
    head = raw_token({"alg": "RS256", "b64": False, "crit": ["b64"]}, b"").split(".")[0]
    _, payload, signature = token().split(".")
    await refused(verifier, f"{head}.{payload}.{signature}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "8A:Cust12345.abc",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "é.b.c",
        raw_token({"alg": "RS256"}, b"[" * 9000),
        raw_token({"alg": "RS256"}, b'{"exp": ' + b"9" * 8000 + b"}"),
        raw_token({"alg": {"RS": 256}}, b"{}"),
        raw_token({"alg": ["RS256"]}, b"{}"),
        raw_token({"alg": None}, b"{}"),
        raw_token({}, b"{}"),
        "A" * 17_000 + ".e30.e30",
    ],
    ids=lambda text: text[:20],
)
async def test_malformed_token_is_refused(verifier: JsonWebTokens, text: str) -> None:
    await refused(verifier, text)


async def test_deep_or_long_token_is_refused_without_an_error(verifier: JsonWebTokens) -> None:
    for deep in (b"[" * 11_000, b'{"a":' * 2_200, b"[" * 900 + b"]" * 900):
        head = jwt.utils.base64url_encode(deep).decode()
        await refused(verifier, f"{head}.e30.e30")
        signed = jwt.api_jws.encode(deep[:8_000], pair("rsa").private, "RS256")
        await refused(verifier, signed)
    await refused(verifier, token(padding="x" * 16_384))
    assert await roles(verifier, token(padding="x" * 8_192)) == READER


async def test_other_credentials_are_refused(verifier: JsonWebTokens) -> None:
    for credential in (Basic("tje0", token()), SoTicket(token())):
        with pytest.raises(NotAuthenticated):
            await verifier.verify(credential, None)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_NAMED = ("alg", "kid", "crit", "b64", "typ", "jwk", "iss", "aud", "exp", "nbf", "iat", "sub", "jti", "roles", "scope")
_MEMBERS = st.dictionaries(st.sampled_from(_NAMED), _JSON | st.sampled_from(["RS256", "ES256", "EdDSA", "none"]))


def _run(verifier: JsonWebTokens, text: str) -> None:
    """Run the coroutine without an event loop: with keys from a file it awaits nothing."""
    with pytest.raises(StopIteration):
        verifier.verify(Bearer(text), None).send(None)


@given(
    header=_MEMBERS,
    payload=st.binary(max_size=64) | _JSON.map(lambda value: json.dumps(value).encode()),
    tail=st.binary(),
)
@example(header={"alg": "ES256"}, payload=b"{}", tail=b"\0" * 64)
def test_any_unsigned_token_is_refused(
    verifier: JsonWebTokens, header: dict[str, Any], payload: bytes, tail: bytes
) -> None:
    with pytest.raises(NotAuthenticated):
        _run(verifier, raw_token(header, payload, tail))


@given(text=st.text(alphabet="abcXYZ019_-.=:+/ \x00é\udcff{}", max_size=200))
def test_any_text_is_refused(verifier: JsonWebTokens, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        _run(verifier, text)


@given(header=_MEMBERS, claimed=_MEMBERS)
def test_any_signed_token_is_an_identity_or_a_refusal(
    verifier: JsonWebTokens, header: dict[str, Any], claimed: dict[str, Any]
) -> None:
    """Odd claims of the provider cause no other error."""
    head = raw_token(header | {"alg": "EdDSA"}, b"").split(".")[0]
    payload = raw_token({}, json.dumps(claims() | claimed).encode()).split(".")[1]
    signature = pair("ed25519").private.sign(f"{head}.{payload}".encode())
    try:
        _run(verifier, f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}")
    except NotAuthenticated:
        pass  # the other allowed result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e30.e30.e30", True),
        ("e30..", True),
        ("e30.e30", False),
        ("e30.e30.e30.e30", False),
        ("8A:Cust12345.e30.e30", False),
        ("W10.e30.e30", False),  # a list
        ("bm8.e30.e30", False),  # no JSON
        ("e30=.e30.e30", False),
        ("e30.e30.e30\n", False),
    ],
)
def test_token_is_recognised_by_its_form(text: str, expected: bool) -> None:
    assert is_jwt(text) is expected
