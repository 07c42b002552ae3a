"""Settings: documented defaults, the order of precedence, all faults at once, and no secret in any output."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.settings import BadSettings, Settings, load_settings
from service.settings.secret_files import secret_settings
from tests.operations.running import run

ROOT = Path(__file__).parents[2]
DEFAULTS = (ROOT / "config" / "default.toml").read_text("utf-8")
SECRET = "hunter2"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without variables of the service."""
    for name in [name for name in os.environ if name.upper().startswith("CONTACT_IMAGE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def toml(tmp_path: Path) -> Any:
    """Write a file of settings."""

    def write(text: str) -> Path:
        path = tmp_path / "own.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def faults(config: Path | None = None, **options: dict[str, Any]) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        load_settings(config, **options)
    return caught.value.faults


def check(*arguments: str | Path) -> Result:
    """Run `contact-image check`."""
    return CliRunner().invoke(main, ["check", *map(str, arguments)])


class TestTheDefaults:
    SETTINGS = tuple(
        (section, line)
        for section, body in re.findall(r"(?ms)^\[(\w+)\]\n(.*?)(?=^\[|\Z)", DEFAULTS)
        for line in body.splitlines()
        if line and not line.startswith("#")
    )

    IDS = tuple(f"{section}.{line.split()[0]}" for section, line in SETTINGS)

    @pytest.mark.parametrize("line", [line for _, line in SETTINGS], ids=IDS)
    def test_every_setting_has_a_comment(self, line: str) -> None:
        value, mark, comment = line.partition("#")
        assert tomllib.loads(value)
        assert mark, "it has no comment"
        assert len(comment.split()) >= 2

    @pytest.mark.parametrize("line", [line for _, line in SETTINGS], ids=IDS)
    def test_every_amount_has_its_unit(self, line: str) -> None:
        (value,) = tomllib.loads(line).values()
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        units = "seconds|bytes|pixels|frames|connections|processes|port|renders|renditions|share"
        assert re.search(rf"(?i)\b({units})\b", line.partition("#")[2])

    def test_defaults_are_few(self) -> None:
        assert len(self.SETTINGS) <= 84

    def test_defaults_are_exactly_the_settings_of_the_classes(self) -> None:
        documented = {section: set(values) for section, values in tomllib.loads(DEFAULTS).items()}
        known = {
            section: set(field.annotation.model_fields)  # type: ignore[union-attr]
            for section, field in Settings.model_fields.items()
        }
        assert documented == known

    def test_defaults_apply_without_other_sources(self) -> None:
        settings = load_settings()
        assert settings.server.port == 8080
        assert settings.images.max_bytes == 32 * 1024 * 1024
        assert settings.render.max_pixels == 50_000_000
        assert settings.log.level == "INFO"

    def test_defaults_are_found_from_every_working_directory(
        self, tmp_path: Path, no_variables: pytest.MonkeyPatch
    ) -> None:
        no_variables.chdir(tmp_path)
        assert load_settings().server.port == 8080


class TestPrecedence:
    def test_file_overrides_only_the_settings_in_it(self, toml: Any) -> None:
        settings = load_settings(toml("[server]\nport = 81\n"))
        assert (settings.server.port, settings.server.host) == (81, "127.0.0.1")

    def test_environment_overrides_the_file(self, toml: Any, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_SERVER__PORT", "82")
        settings = load_settings(toml("[server]\nport = 81\nconnections = 50\n"))
        assert (settings.server.port, settings.server.connections) == (82, 50)

    def test_options_override_the_environment(self, toml: Any, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_SERVER__PORT", "82")
        no_variables.setenv("CONTACT_IMAGE_SERVER__HOST", "::1")
        settings = load_settings(toml("[server]\nport = 81\nconnections = 50\n"), server={"port": 83})
        assert (settings.server.port, settings.server.host, settings.server.connections) == (83, "::1", 50)

    def test_one_variable_outweighs_its_section_given_as_json(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_LOG", '{"level": "ERROR", "format": "console"}')
        no_variables.setenv("CONTACT_IMAGE_LOG__LEVEL", "WARNING")
        settings = load_settings()
        assert (settings.log.level, settings.log.format) == ("WARNING", "console")


class TestTheFixedNames:
    def test_variable_sets_cache_url(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_CACHE__URL", "rediss://cache:6380/1")
        assert load_settings().cache.url.get_secret_value() == "rediss://cache:6380/1"

    def test_variable_sets_images_directory(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_IMAGES__DIRECTORY", "/srv/pictures")
        assert load_settings().images.directory == Path("/srv/pictures")

    def test_variable_sets_render_max_pixels(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_RENDER__MAX_PIXELS", "1000000")
        assert load_settings().render.max_pixels == 1_000_000

    @pytest.mark.parametrize("text", ["DEBUG", "debug", "Debug"])
    def test_variable_sets_log_level_in_any_case(self, no_variables: pytest.MonkeyPatch, text: str) -> None:
        no_variables.setenv("CONTACT_IMAGE_LOG__LEVEL", text)
        assert load_settings().log.level == "DEBUG"

    @pytest.mark.parametrize(
        "name",
        [
            "CONTACT_IMAGE_PORT",
            "CONTACT_IMAGE_SERVICE_HOST",
            "CONTACT_IMAGE_PORT_8080_TCP",
            "CONTACT_IMAGE_CACHE_PORT",
            "CONTACT_IMAGE_SERVER_PORT",
        ],
    )
    def test_variables_of_kubernetes_for_a_service_of_this_name_are_ignored(
        self, no_variables: pytest.MonkeyPatch, name: str
    ) -> None:
        no_variables.setenv(name, "tcp://10.0.0.1:8080")
        assert load_settings().server.port == 8080


class TestFaults:
    def test_all_faults_are_listed_at_once(self, toml: Any, no_variables: pytest.MonkeyPatch) -> None:
        own = toml(
            '[server]\nport = "eighty"\nnope = 1\n[nowhere]\nx = 1\n[render]\nenlarge = "maybe"\n'
            'preference = "jpeg, jpeg"\n[cache]\nurl = 5\n'
        )
        no_variables.setenv("CONTACT_IMAGE_CACHE__TIMEOUT", "soon")
        no_variables.setenv("CONTACT_IMAGE_ELSEWHERE__X", "1")
        no_variables.setenv("CONTACT_IMAGE_LOG__LOUDNESS", "11")
        found = "\n".join(faults(own, images={"as_stored": "dirty"}))
        for name in (
            "server.port",
            "server.nope",
            "nowhere",
            "render.enlarge",
            "render.preference",
            "cache.url",
            "cache.timeout",
            "CONTACT_IMAGE_ELSEWHERE__X",
            "log.loudness",
            "images.as_stored",
        ):
            assert name in found
        assert len(found.splitlines()) == 10

    def test_every_fault_names_the_setting_its_variable_and_the_value(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_RENDER__MAX_PIXELS", "many")
        (fault,) = faults()
        assert "render.max_pixels" in fault
        assert "CONTACT_IMAGE_RENDER__MAX_PIXELS" in fault
        assert "'many'" in fault

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SERVER__PORT", "65536"),
            ("SERVER__PORT", "-1"),
            ("SERVER__WRITE_TIMEOUT", "0"),
            ("SERVER__WRITE_TIMEOUT", "inf"),
            ("SERVER__SHUTDOWN_TIMEOUT", "nan"),
            ("IMAGES__MARKER", "a/b"),
            ("IMAGES__MARKER", ".."),
            ("WRITES__FILE_MODE", "0440"),
            ("WRITES__FILE_MODE", "640 "),
            ("WRITES__FILE_MODE", "0755"),
            ("WRITES__FILE_MODE", "02640"),
            ("CACHE__TIMEOUT", "0.06"),
            ("CACHE__PREFIX", "a b"),
            ("CACHE__URL", "http://cache"),
            ("RENDER__WORKERS", "-1"),
            ("RENDER__MAX_DIMENSION", "16384"),
            ("RENDER__MAX_PIXELS", "0"),
            ("RENDER__PREFERENCE", "jpeg"),
            ("HTTP__RETRY_AFTER", "0"),
            ("LOG__LEVEL", "LOUD"),
        ],
    )
    def test_value_out_of_bounds_is_a_fault(self, no_variables: pytest.MonkeyPatch, name: str, value: str) -> None:
        no_variables.setenv(f"CONTACT_IMAGE_{name}", value)
        (fault,) = faults()
        assert f"CONTACT_IMAGE_{name}" in fault

    @pytest.mark.parametrize(
        "url",
        ["redis://cache:port/0", "redis://cache:6379/zero", "redis://cache/0?nonsense=1", "redis://cache:99999/0"],
    )
    def test_cache_url_that_the_library_cannot_use_is_a_fault(self, no_variables: pytest.MonkeyPatch, url: str) -> None:
        no_variables.setenv("CONTACT_IMAGE_CACHE__URL", url)
        (fault,) = faults()
        assert "CONTACT_IMAGE_CACHE__URL" in fault

    def test_missing_file_is_a_fault(self, tmp_path: Path) -> None:
        (fault,) = faults(tmp_path / "gone.toml")
        assert "gone.toml" in fault

    def test_file_that_is_not_toml_is_a_fault_with_its_line_and_hides_no_other(
        self, toml: Any, no_variables: pytest.MonkeyPatch
    ) -> None:
        no_variables.setenv("CONTACT_IMAGE_ELSEWHERE__X", "1")
        found = "\n".join(faults(toml("[server]\nport = \n")))
        assert "own.toml" in found
        assert "line 2" in found
        assert "CONTACT_IMAGE_ELSEWHERE__X" in found

    def test_section_that_is_not_json_is_a_fault_and_hides_no_other(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_SERVER", "{")
        no_variables.setenv("CONTACT_IMAGE_ELSEWHERE__X", "1")
        found = "\n".join(faults())
        assert "server" in found
        assert "CONTACT_IMAGE_ELSEWHERE__X" in found

    def test_command_prints_all_faults_and_stops(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_SERVER__PORT", "eighty")
        no_variables.setenv("CONTACT_IMAGE_RENDER__QUEUE", "none")
        result = check()
        assert result.exit_code == 1
        assert "CONTACT_IMAGE_SERVER__PORT" in result.output
        assert "CONTACT_IMAGE_RENDER__QUEUE" in result.output
        assert "valid\n" not in result.output


class TestSecrets:
    """A cache has a secret, and its URL may have a password. Neither is printed, not even from the wrong place."""

    def test_secrets_are_in_no_text_of_the_settings(self, no_variables: pytest.MonkeyPatch) -> None:
        no_variables.setenv("CONTACT_IMAGE_CACHE__URL", f"redis://:{SECRET}@cache:6379/0")
        no_variables.setenv("CONTACT_IMAGE_CACHE__SECRET", SECRET * 5)
        settings = load_settings()
        assert SECRET in settings.cache.url.get_secret_value()
        assert SECRET in settings.cache.secret.get_secret_value()
        assert SECRET not in f"{settings!r}{settings}{settings.cache!r}{settings.model_dump_json()}"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CACHE__URL", f"http://:{SECRET}@cache"),
            ("CACHE__URL", f"redis://:{SECRET}@cache:port"),
            ("CACHE__URL", f"redis://:{SECRET}@cache/?nonsense=1"),
            ("CACHE__URLL", f"redis://:{SECRET}@cache"),
            ("CACHE__PASSWORD", SECRET),
            ("CACHE__URL__PASSWORD", SECRET),
            ("CACHE", SECRET),
            ("CACHE", json.dumps([SECRET])),
            ("CACHE", json.dumps({"url": [SECRET]})),
            ("CACHE__SECRET", SECRET),
            ("CACHE", json.dumps({"secret": [SECRET]})),
            ("CASH__URL", f"redis://:{SECRET}@cache"),
        ],
    )
    def test_secrets_are_in_no_fault(self, no_variables: pytest.MonkeyPatch, name: str, value: str) -> None:
        no_variables.setenv(f"CONTACT_IMAGE_{name}", value)
        found = faults()
        assert found
        assert SECRET not in "\n".join(found)
        assert SECRET not in check().output

    @pytest.mark.parametrize(
        "text",
        [
            f'[cache]\nurl = ["redis://:{SECRET}@cache"]\n',
            f'[cache]\nurll = "redis://:{SECRET}@cache"\n',
            f'cache = "redis://:{SECRET}@cache"\n',
            f'cash = "redis://:{SECRET}@cache"\n',
            f'[cache]\nurl = "redis://:{SECRET}@cache\n',
        ],
    )
    def test_secrets_are_in_no_fault_of_a_file(self, toml: Any, text: str) -> None:
        found = faults(toml(text))
        assert found
        assert SECRET not in "\n".join(found)

    def test_secrets_are_not_in_the_output_of_a_check_of_an_unreachable_cache(self, tmp_path: Path) -> None:
        url = f"redis://:{SECRET}@127.0.0.1:1/0"
        result = run("check", "--images", tmp_path, cwd=tmp_path, CONTACT_IMAGE_CACHE__URL=url)
        assert result.returncode == 1
        assert "cache: FAILED" in result.stdout
        assert SECRET not in result.stdout + result.stderr


class TestSecretFiles:
    """Variables name files of secrets, so that none is in the environment."""

    @pytest.fixture
    def file(self, tmp_path: Path, no_variables: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
        """Set the variable of a secret's file, and write the file."""

        def write(variable: str, data: bytes) -> Path:
            path = tmp_path / variable.lower()
            path.write_bytes(data)
            no_variables.setenv(f"CONTACT_IMAGE_{variable}_FILE", str(path))
            return path

        return write

    def test_every_secret_may_be_in_a_file(self) -> None:
        assert {("cache", "url"), ("auth", "signing_keys"), ("auth", "app_tokens")} <= {*secret_settings()}
        assert ("images", "directory") not in {*secret_settings()}

    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_file_is_the_value_without_its_last_line_end(self, file: Callable[[str, bytes], Path], end: str) -> None:
        file("CACHE__URL", f"redis://:{SECRET}@cache:6379/0{end}".encode())
        file("AUTH__SIGNING_KEYS", f"k1:{SECRET * 3}, k2:{SECRET * 4}{end}".encode())
        file("AUTH__APP_TOKENS", f'["{SECRET}, with a comma", " and blanks "]{end}'.encode())
        settings = load_settings()
        assert settings.cache.url.get_secret_value() == f"redis://:{SECRET}@cache:6379/0"
        assert [each.get_secret_value() for each in settings.auth.signing_keys] == [
            f"k1:{SECRET * 3}",
            f"k2:{SECRET * 4}",
        ]
        assert [each.get_secret_value() for each in settings.auth.app_tokens] == [
            f"{SECRET}, with a comma",
            " and blanks ",
        ]

    def test_only_one_line_end_is_cut_off(self, file: Callable[[str, bytes], Path]) -> None:
        file("AUTH__APP_TOKENS", b'["a"]\n\n')
        assert [each.get_secret_value() for each in load_settings().auth.app_tokens] == ["a"]
        file("CACHE__URL", b"unix:///a b\n\n")
        assert load_settings().cache.url.get_secret_value() == "unix:///a b\n"

    def test_file_overrides_the_toml_file_as_its_variable_would(
        self, file: Callable[[str, bytes], Path], toml: Any
    ) -> None:
        file("CACHE__URL", b"redis://from-file\n")
        assert load_settings(toml("[cache]\nurl = 'redis://from-toml'\n")).cache.url.get_secret_value() == (
            "redis://from-file"
        )

    @pytest.mark.parametrize("variable", ["CONTACT_IMAGE_CACHE__URL", "contact_image_cache__url"])
    def test_variable_and_file_together_are_a_fault(
        self, file: Callable[[str, bytes], Path], no_variables: pytest.MonkeyPatch, variable: str
    ) -> None:
        file("CACHE__URL", b"redis://cache")
        no_variables.setenv(variable, f"redis://:{SECRET}@other")
        (fault,) = faults()
        assert fault == f"CONTACT_IMAGE_CACHE__URL_FILE: {variable} is set as well"

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda path: path.unlink(), "No such file"),
            (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
            (lambda path: (path.unlink(), os.mkfifo(path)), "Is not a regular file"),
            (lambda path: path.write_bytes(SECRET.encode() + b"\xff"), "not in UTF-8"),
            (lambda path: path.write_bytes(SECRET.encode() * 10_000), "more than 65536 bytes"),
        ],
    )
    def test_file_that_cannot_be_used_is_a_fault_and_hides_no_other(
        self,
        file: Callable[[str, bytes], Path],
        no_variables: pytest.MonkeyPatch,
        spoil: Callable[[Path], object],
        words: str,
    ) -> None:
        spoil(path := file("AUTH__SIGNING_KEYS", b""))
        no_variables.setenv("CONTACT_IMAGE_RENDER__QUEUE", "none")
        found = faults()
        assert len(found) == 2
        assert found[0].startswith(f"CONTACT_IMAGE_AUTH__SIGNING_KEYS_FILE: {path}: cannot be read: ")
        assert words in found[0] and SECRET not in "\n".join(found)

    def test_wrong_value_in_a_file_is_not_quoted(self, file: Callable[[str, bytes], Path]) -> None:
        file("CACHE__URL", f"http://:{SECRET}@cache".encode())
        file("AUTH__SIGNING_KEYS", SECRET.encode())
        found = "\n".join(faults())
        assert "cache.url" in found and "auth.signing_keys" in found and SECRET not in found

    def test_other_settings_have_no_such_file(self, file: Callable[[str, bytes], Path]) -> None:
        file("LOG__LEVEL", b"DEBUG")
        (fault,) = faults()
        assert "log.level_file" in fault

    def test_one_underscore_for_two_is_a_fault(self, file: Callable[[str, bytes], Path]) -> None:
        file("CACHE_URL", b"redis://cache")
        (fault,) = faults()
        assert "CONTACT_IMAGE_CACHE__URL_FILE" in fault


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0?ssl_cert_reqs=none",
        "unix:///nope?ssl_cert_reqs=required",
        "redis://127.0.0.1/?health_check_interval=abc",
        "rediss://127.0.0.1/?ssl_cert_reqs=bogus",
    ],
)
def test_cache_url_with_an_option_that_cannot_be_used_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_CACHE__URL", url)
    with pytest.raises(BadSettings) as refused:
        load_settings()
    (fault,) = refused.value.faults
    assert "cache.url" in fault


def test_one_underscore_for_two_is_a_fault_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_RENDER_MAX_PIXELS", "5")
    with pytest.raises(BadSettings, match="CONTACT_IMAGE_RENDER__MAX_PIXELS"):
        load_settings()


def test_unreadable_file_hides_no_other_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTACT_IMAGE_RENDER__QUEUE", "none")
    for name, text in (("broken.toml", "[cache\n"), ("missing.toml", None)):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(BadSettings) as refused:
            load_settings(path)
        assert len(refused.value.faults) == 2
