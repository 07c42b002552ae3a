"""Faults in the settings of authentication, which are reported before the service starts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher

from service.settings import BadSettings, load_settings
from tests.access.conftest import Command
from tests.operations.running import run

SECRET = "hunter" + "2"
LONG_SECRET = SECRET * 3
SUPEROFFICE = {"superoffice_url": "https://crm.example/SuperOffice"}


def faults(**sections: dict[str, Any]) -> str:
    with pytest.raises(BadSettings) as refused:
        load_settings(**sections)
    return "\n".join(refused.value.faults)


@pytest.mark.parametrize(
    ("scheme", "needed", "given"),
    [
        ("basic", "users_file or superoffice_url", {"users_file": "users"}),
        ("basic", "users_file or superoffice_url", SUPEROFFICE),
        ("bearer", "jwt_jwks_url, jwt_key_file or superoffice_url", SUPEROFFICE),
        (
            "bearer",
            "jwt_jwks_url, jwt_key_file or superoffice_url",
            {"jwt_key_file": "keys.pem", "jwt_issuer": "x", "jwt_audience": "y"},
        ),
        ("soticket", "superoffice_url", SUPEROFFICE),
        ("session", "superoffice_url", SUPEROFFICE),
        ("signed", "signing_keys", {"signing_keys": [f"k1:{LONG_SECRET}"]}),
    ],
)
def test_scheme_without_verifier_is_refused(scheme: str, needed: str, given: dict[str, Any]) -> None:
    assert f"{scheme} in schemes needs {needed}" in faults(auth={"schemes": [scheme]})
    assert load_settings(auth={"schemes": [scheme], **given}).auth.schemes == (scheme,)


def test_every_scheme_without_verifier_is_named() -> None:
    text = faults(auth={"schemes": ["basic", "soticket", "signed"]})
    assert all(name in text for name in ("basic", "soticket", "signed"))


@pytest.mark.parametrize(
    "auth",
    [
        {"schemes": ["digest"]},
        {"signing_keys": [f"k1:{SECRET}"]},
        {"superoffice_url": f"http://crm.example/{SECRET}"},
        {"signing_keys": [SECRET]},
        {"signing_keys": [f"a b:{SECRET}"]},
        {"signing_keys": [f"k1:{SECRET}", f"k1:other{SECRET}"]},
        {"jwt_key_file": "keys.pem"},
        {"jwt_key_file": "k", "jwt_jwks_url": "https://x.example", "jwt_issuer": "i", "jwt_audience": "a"},
        {"superoffice_url": f"https://user:{SECRET}@crm.example"},
        {"superoffice_url": f"https://crm.example/?{SECRET}"},
        {"superoffice_url": f"https://:{SECRET}@crm.example"},
        {"superoffice_url": f"crm.example/{SECRET}"},
        {"jwt_jwks_url": f"ftp://x.example/{SECRET}"},
        {"session_cookie": "a;b"},
        {"remember_for": 0},
        {"app_tokens": {SECRET: 1}},
    ],
)
def test_error_about_a_value_does_not_quote_a_secret(auth: dict[str, Any]) -> None:
    assert SECRET not in faults(auth=auth)


def test_list_in_a_variable_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_AUTH__SCHEMES", "signed, basic")
    monkeypatch.setenv("CONTACT_IMAGE_AUTH__USERS_FILE", "users")
    monkeypatch.setenv("CONTACT_IMAGE_AUTH__SIGNING_KEYS", f'["k1:{LONG_SECRET}"]')
    monkeypatch.setenv("CONTACT_IMAGE_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1")
    settings = load_settings()
    assert settings.auth.schemes == ("signed", "basic")
    assert settings.auth.signing_keys[0].get_secret_value() == f"k1:{LONG_SECRET}"
    assert [str(each) for each in settings.server.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pictures.example", ""])
def test_writes_without_schemes_are_refused_beyond_loopback(host: str) -> None:
    assert "auth.schemes" in faults(writes={"enabled": True}, server={"host": host})
    assert load_settings(writes={"enabled": False}, server={"host": host})
    assert load_settings(writes={"enabled": True}, server={"host": host}, auth={"schemes": ["basic"], **SUPEROFFICE})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_writes_without_schemes_are_allowed_on_loopback(host: str) -> None:
    assert load_settings(writes={"enabled": True}, server={"host": host}).writes.enabled


def test_unusable_file_is_reported_before_the_service_starts(tmp_path: Path, command: Command) -> None:
    (tmp_path / "users").write_text(f"anna:{SECRET}\n", "utf-8")
    (tmp_path / "keys").write_text(SECRET, "utf-8")
    for scheme, given, place in (
        ("basic", {"USERS_FILE": "users"}, "users: line 1"),
        ("basic", {"USERS_FILE": "nowhere"}, "nowhere"),
        ("bearer", {"JWT_KEY_FILE": "keys", "JWT_ISSUER": "x", "JWT_AUDIENCE": "y"}, "keys"),
    ):
        variables = {f"CONTACT_IMAGE_AUTH__{name}": value for name, value in given.items()}
        for name in ("serve", "check"):
            result = command(name, "--images", tmp_path, CONTACT_IMAGE_AUTH__SCHEMES=scheme, **variables)
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit)  # no traceback
            assert place in result.stdout + result.stderr
            assert SECRET not in result.stdout + result.stderr


def test_usable_file_passes_the_check(tmp_path: Path, users: Path, command: Command) -> None:
    variables = {"CONTACT_IMAGE_AUTH__SCHEMES": "basic", "CONTACT_IMAGE_AUTH__USERS_FILE": str(users)}
    result = command("check", "--images", tmp_path, **variables)
    assert result.exit_code == 0
    assert "credentials: basic" in result.stdout


def test_check_tells_of_hashes_that_differ_in_cost(tmp_path: Path, command: Command) -> None:
    costs = [PasswordHasher(time_cost=each, memory_cost=64, parallelism=1) for each in (1, 2, 2)]
    lines = (f"user{number}:{each.hash('x')}\n" for number, each in enumerate(costs))
    (tmp_path / "users").write_text("".join(lines), "utf-8")
    variables = {"CONTACT_IMAGE_AUTH__SCHEMES": "basic", "CONTACT_IMAGE_AUTH__USERS_FILE": "users"}
    result = command("check", "--images", tmp_path, **variables)
    assert result.exit_code == 0
    assert "credentials: basic; users has hashes of 2 costs" in result.stdout


@pytest.mark.parametrize(
    ("scheme", "given"),
    [
        ("basic", {"SUPEROFFICE_URL": "http://127.0.0.1:9"}),
        ("soticket", {"SUPEROFFICE_URL": "http://127.0.0.1:9", "APP_TOKENS": SECRET}),
        ("session", {"SUPEROFFICE_URL": "http://127.0.0.1:9"}),
        ("bearer", {"JWT_JWKS_URL": "http://127.0.0.1:9", "JWT_ISSUER": "x", "JWT_AUDIENCE": "y"}),
    ],
)
def test_check_fails_when_a_verifier_does_not_answer(
    tmp_path: Path, command: Command, scheme: str, given: dict[str, str]
) -> None:
    variables = {f"CONTACT_IMAGE_AUTH__{name}": value for name, value in given.items()}
    result = command("check", "--images", tmp_path, CONTACT_IMAGE_AUTH__SCHEMES=scheme, **variables)
    assert result.exit_code == 1
    (line,) = re.findall(rf"(?m)^credentials: FAILED: {scheme}: .*127\.0\.0\.1:9\b.*", result.stdout)
    setting = next(iter(given)).lower()
    assert line.endswith(f": make it reachable from this host, or correct auth.{setting}")
    assert SECRET not in result.stdout + result.stderr


async def test_check_passes_when_every_verifier_answers(tmp_path: Path, superoffice: TestServer) -> None:
    url, token = str(superoffice.make_url("")), "app-" + "token"
    given = {"SCHEMES": "basic,bearer,soticket,session", "SUPEROFFICE_URL": url, "APP_TOKENS": token}
    variables = {f"CONTACT_IMAGE_AUTH__{name}": value for name, value in given.items()}
    result = await asyncio.to_thread(run, "check", "--images", tmp_path, cwd=tmp_path, **variables)
    assert (result.returncode, "credentials: basic, bearer, soticket, session" in result.stdout) == (0, True)
    assert len(superoffice.requests) == 4  # type: ignore[attr-defined]


def test_empty_application_token_is_refused() -> None:
    assert "app_tokens" in faults(auth={"schemes": ["soticket"], **SUPEROFFICE, "app_tokens": [""]})


@pytest.mark.parametrize("name", ["users_file", "superoffice_url", "jwt_key_file"])
def test_verifier_without_scheme_is_refused_beyond_loopback(name: str) -> None:
    given = {"jwt_issuer": "i", "jwt_audience": "a", name: "https://crm.example"}
    text = faults(auth=given, server={"host": "0.0.0.0"})
    assert f"{name} without auth.schemes would let everybody look" in text
    assert not load_settings(auth=given).auth.schemes  # allowed on loopback, for `user add`


PLAIN = {"superoffice_url": "http://crm.example/SuperOffice"}
KEYS_IN_CLEAR = {"jwt_jwks_url": "http://id.example/keys", "jwt_issuer": "i", "jwt_audience": "a"}


@pytest.mark.parametrize(
    ("risk", "given", "words"),
    [
        ("http", PLAIN, "superoffice_url is http://"),
        ("http", KEYS_IN_CLEAR, "jwt_jwks_url is http://"),
        ("http", {"superoffice_url": "http://192.0.2.1"}, "superoffice_url is http://"),
        ("http", {"superoffice_url": "http://localhost.example"}, "superoffice_url is http://"),
        ("short_keys", {"signing_keys": ["k1:" + "x" * 15]}, "the signing key k1 has 15 bytes"),
    ],
)
def test_risk_is_refused_unless_it_is_accepted(risk: str, given: dict[str, Any], words: str) -> None:
    assert words in (text := faults(auth=given)) and risk in text
    others = sorted({"http", "writable_users", "short_keys", "all_proxies"} - {risk})
    assert words in faults(auth=given | {"accept": others})
    assert load_settings(auth=given | {"accept": [risk]}).auth.accept == (risk,)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost", "[::1]:80", "127.8.8.8"])
def test_http_on_loopback_is_no_risk(host: str) -> None:
    assert load_settings(auth={"superoffice_url": f"http://{host}/"}).auth.accept == ()


def test_key_of_sixteen_bytes_is_no_risk() -> None:
    assert load_settings(auth={"signing_keys": [f"k1:{'x' * 16}"]})


@pytest.mark.parametrize(
    "proxies", [["0.0.0.0/0"], ["::/0"], ["10.0.0.1", "0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.1", "::/1", "8000::/1"]]
)
def test_every_address_as_proxy_is_refused_unless_it_is_accepted(proxies: list[str]) -> None:
    assert "all_proxies" in faults(server={"trusted_proxies": proxies})
    assert load_settings(server={"trusted_proxies": proxies}, auth={"accept": ["all_proxies"]})
    assert load_settings(server={"trusted_proxies": [proxies[0].replace("/0", "/8")]})


def test_unknown_risk_is_refused() -> None:
    assert "accept" in faults(auth={"accept": ["everything"]})


@pytest.mark.parametrize("mode", [0o666, 0o646, 0o622, 0o664])
@pytest.mark.parametrize(
    ("scheme", "setting", "more"),
    [("basic", "USERS_FILE", {}), ("bearer", "JWT_KEY_FILE", {"JWT_ISSUER": "x", "JWT_AUDIENCE": "y"})],
)
def test_file_that_others_may_write_is_refused_unless_it_is_accepted(
    tmp_path: Path,
    users: Path,
    keys: Path,
    command: Command,
    scheme: str,
    setting: str,
    more: dict[str, str],
    mode: int,
) -> None:
    file = tmp_path / "file"
    file.write_bytes((users if scheme == "basic" else keys).read_bytes())
    file.chmod(mode)
    given = {"SCHEMES": scheme, setting: "file", **more}
    variables = {f"CONTACT_IMAGE_AUTH__{name}": value for name, value in given.items()}
    for name in ("serve", "check"):
        result = command(name, "--images", tmp_path, **variables)
        assert result.exit_code == 1
        assert "file: others than its owner may write it" in result.stdout + result.stderr
    accepted = {"CONTACT_IMAGE_AUTH__ACCEPT": "writable_users"}
    assert command("check", "--images", tmp_path, **variables, **accepted).exit_code == 0
    file.chmod(0o644)
    assert command("check", "--images", tmp_path, **variables).exit_code == 0
