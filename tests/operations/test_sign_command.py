"""`contact-image sign`: the URLs that it prints verify, and it refuses targets that the service refuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.protocol.signatures import verify
from tests.operations.running import run

TARGET = "/api/v1/Contact/42/Image?w=64&type=image/png"
KEYS = {"k2": b"hush-hush-hush-hush", "k1": b"older-older-older"}

Sign = Callable[..., Result]


@pytest.fixture
def sign(tmp_path: Path) -> Sign:
    config = tmp_path / "config.toml"
    config.write_text(
        '[auth]\nsigning_keys = ["k2:hush-hush-hush-hush", "k1:older-older-older"]\n[render]\nmax_dimension = 500\n'
    )

    def command(*arguments: str, expires: str = "7d") -> Result:
        return CliRunner().invoke(main, ["sign", "--config", str(config), "--expires", expires, *arguments])

    return command


@pytest.mark.parametrize(
    ("expires", "seconds"),
    [("1s", 1), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("4w", 2_419_200), ("3650d", 315_360_000)],
)
def test_first_key_signs_for_the_given_time(sign: Sign, expires: str, seconds: int) -> None:
    begun = int(time.time())
    done = sign(TARGET, expires=expires)
    assert (done.exit_code, done.stderr) == (0, "")
    signed = verify(done.stdout.removesuffix("\n"), KEYS, begun)
    assert signed.target == TARGET and "&kid=k2&" in done.stdout
    assert begun + seconds <= signed.exp <= time.time() + seconds


@pytest.mark.parametrize("base", ["https://pictures.example", "http://127.0.0.1:8080/", "https://[::1]/behind/a/proxy"])
def test_base_precedes_the_signed_target(sign: Sign, base: str) -> None:
    url = sign(TARGET, "--base", base).stdout.strip()
    assert url.startswith(base.rstrip("/") + "/api/v1/")
    assert verify(url.removeprefix(base.rstrip("/")), KEYS, 0).target == TARGET


@pytest.mark.parametrize(
    "target",
    [
        "/api/v1/Contact/42/Image",
        "/API/V1/contact/42/image?",
        "/api/v1/contact/-1/image?W=",
        "/api/v1/Contact/42/Image/?w=5",
    ],
)
def test_every_spelling_of_a_path_can_be_signed(sign: Sign, target: str) -> None:
    assert verify(sign(target).stdout.strip(), KEYS, 0).target == target.rstrip("?")


def test_signed_target_is_signed_again(sign: Sign) -> None:
    once = sign(TARGET, expires="1h").stdout.strip()
    again = verify(sign(once).stdout.strip(), KEYS, 0)
    assert again.target == TARGET and again.exp > time.time() + 86_400


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/api/v1/Contact/42", "no picture's path"),
        ("/api/v1/Contact/42/Imageinfo", "no picture's path"),
        ("/api/v1/Contact/42/Image//", "no picture's path"),
        ("/api/v1/Contact/../Image", "32-bit integer"),
        ("/api/v1/Contact/%34%32/Image", "32-bit integer"),
        ("/api/v1/Contact/x/Image", "32-bit integer"),
        ("/api/v1/Contact//Image", "32-bit integer"),
        ("https://pictures.example/api/v1/Contact/42/Image", "no picture's path"),
        ("/api/v1/Contact/42/Image?w=x", "The parameter w must be an integer of at most 500."),
        ("/api/v1/Contact/42/Image?w=501", "The parameter w must be an integer of at most 500."),
        ("/api/v1/Contact/42/Image?type=bmp", "The parameter type must be one of"),
        ("/api/v1/Contact/42/Image?w=1&w=2", "more than once"),
        ("/api/v1/Contact/42/Image?width=64", "no other parameters than w, h, type, ifBlank, fit"),
        ("/api/v1/Contact/42/Image?w=64#top", "The parameter w must be"),
        ("/api/v1/Contact/42/Image?w=64&", "no other parameters than"),
    ],
)
def test_target_that_the_service_refuses_is_not_signed(sign: Sign, target: str, message: str) -> None:
    done = sign(target)
    assert done.exit_code == 1 and not done.stdout
    assert message in done.stderr and "hush" not in done.stderr and isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("expires", ["", "7", "d", "0d", "-1d", "1.5h", "1y", "7D", "3651d", "999999999w", "\u0667d"])
def test_time_without_number_or_unit_or_beyond_ten_years_is_refused(sign: Sign, expires: str) -> None:
    done = sign(TARGET, expires=expires)
    assert done.exit_code == 2 and not done.stdout and "ten years at most" in done.stderr


@pytest.mark.parametrize(
    "base", ["pictures.example", "ftp://pictures.example", "https://x/?y", "https://x/#y", "https://"]
)
def test_base_that_is_not_a_url_without_query_is_refused(sign: Sign, base: str) -> None:
    done = sign(TARGET, "--base", base)
    assert done.exit_code == 2 and not done.stdout and "--base" in done.stderr


def test_command_prints_only_the_url(tmp_path: Path) -> None:
    done = run(
        "sign",
        TARGET,
        "--expires",
        "7d",
        cwd=tmp_path,
        CONTACT_IMAGE_AUTH__SIGNING_KEYS="k2:hush-hush-hush-hush,k1:older-older-older",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert verify(done.stdout.removesuffix("\n"), KEYS, 0).target == TARGET


def test_missing_key_is_reported_with_a_way_to_make_one() -> None:
    done = CliRunner().invoke(main, ["sign", TARGET, "--expires", "7d"])
    assert done.exit_code == 1 and "openssl rand -hex 32" in done.stderr and "auth.signing_keys" in done.stderr


def test_malformed_key_is_not_quoted() -> None:
    done = CliRunner().invoke(
        main, ["sign", TARGET, "--expires", "7d"], env={"CONTACT_IMAGE_AUTH__SIGNING_KEYS": "hush"}
    )
    assert done.exit_code == 1 and "hush" not in done.stderr and isinstance(done.exception, SystemExit)
