"""The container files, checked without a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
UNITS = {"m": 2**20, "mb": 2**20, "g": 2**30, "s": 1}

Instruction = tuple[str, str]


@pytest.fixture
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return content


@pytest.fixture
def dockerfile() -> list[Instruction]:
    """The instructions, with continued lines joined and without comments."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    words = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(name.upper(), " ".join(text.split())) for name, text in words]


@pytest.fixture
def final(dockerfile: list[Instruction]) -> list[Instruction]:
    """The instructions of the last stage."""
    at = max(at for at, (name, _) in enumerate(dockerfile) if name == "FROM")
    return dockerfile[at:]


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without variables of the service."""
    for name in [name for name in os.environ if name.upper().startswith("CONTACT_IMAGE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def of_image(final: list[Instruction]) -> dict[str, str]:
    """The variables that the image sets."""
    pairs = (pair.partition("=") for name, text in final if name == "ENV" for pair in shlex.split(text))
    return {name: value for name, _, value in pairs}


def of_service(compose: dict[str, Any]) -> dict[str, str]:
    """The variables that the compose file sets for the service."""
    variables: dict[str, str] = compose["services"]["contact-image"]["environment"]
    return variables


def service_variables(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith("CONTACT_IMAGE_")}


def amount(text: str) -> int:
    """Return `30s` in seconds, or `4g` in bytes."""
    number, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


class TestVariables:
    def test_every_variable_names_a_setting(self, compose: dict[str, Any], final: list[Instruction]) -> None:
        names = [*service_variables(of_image(final)), *service_variables(of_service(compose))]
        assert names
        for name in names:
            section, _, setting = name.removeprefix("CONTACT_IMAGE_").lower().partition("__")
            fields = Settings.model_fields[section].annotation.model_fields  # type: ignore[union-attr]
            assert setting in fields, f"{name} is no setting"

    def test_compose_file_sets_only_variables_of_the_service(self, compose: dict[str, Any]) -> None:
        assert service_variables(of_service(compose)) == of_service(compose)

    def test_every_value_is_text(self, compose: dict[str, Any]) -> None:
        assert {type(value) for value in of_service(compose).values()} == {str}

    def test_variables_of_the_image_make_valid_settings(
        self, final: list[Instruction], no_variables: pytest.MonkeyPatch
    ) -> None:
        for name, value in service_variables(of_image(final)).items():
            no_variables.setenv(name, value)
        settings = load_settings()
        assert settings.server.host == "0.0.0.0"
        assert settings.images.directory == Path("/images")

    def test_variables_of_image_and_compose_file_make_valid_settings(
        self, compose: dict[str, Any], final: list[Instruction], no_variables: pytest.MonkeyPatch
    ) -> None:
        for name, value in (service_variables(of_image(final)) | of_service(compose)).items():
            no_variables.setenv(name, value)
        settings = load_settings()
        assert settings.cache.url.get_secret_value() == "redis://valkey:6379/0"
        assert settings.server.port == 8080
        assert settings.render.workers == 2


class TestTheComposeFile:
    @pytest.mark.parametrize("name", ["valkey", "contact-image", "prometheus", "grafana"])
    def test_compose_file_hardens_every_service(self, compose: dict[str, Any], name: str) -> None:
        service = compose["services"][name]
        user, _, group = service["user"].partition(":")
        assert int(user) > 0
        assert int(group) > 0
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert "privileged" not in service
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["tmpfs"]

    def test_only_the_profile_observability_has_further_services(self, compose: dict[str, Any]) -> None:
        profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
        of_profile = {"prometheus": ["observability"], "grafana": ["observability"]}
        assert profiles == {"valkey": None, "contact-image": None} | of_profile

    @pytest.mark.parametrize(
        ("name", "repository"),
        [("valkey", "valkey/valkey"), ("prometheus", "prom/prometheus"), ("grafana", "grafana/grafana")],
    )
    def test_images_are_pinned(self, compose: dict[str, Any], name: str, repository: str) -> None:
        found, _, tag = compose["services"][name]["image"].partition(":")
        assert found == repository
        assert re.match(r"v?\d", tag)

    @pytest.mark.parametrize("name", ["prometheus", "grafana"])
    def test_observability_is_read_on_this_host_only_and_its_configuration_is_mounted_read_only(
        self, compose: dict[str, Any], name: str
    ) -> None:
        service = compose["services"][name]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        folders = [volume.split(":") for volume in service["volumes"] if volume.startswith("./")]
        assert folders
        assert [mode for _, _, mode in folders] == ["ro"] * len(folders)
        assert all((ROOT / source).is_dir() for source, _, _ in folders)

    def test_prometheus_scrapes_the_service_and_grafana_reads_prometheus(self, compose: dict[str, Any]) -> None:
        config = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text("utf-8"))
        (job,) = config["scrape_configs"]
        port = of_service(compose)["CONTACT_IMAGE_SERVER__PORT"]
        assert [target["targets"] for target in job["static_configs"]] == [[f"contact-image:{port}"]]
        provisioning = ROOT / "config/grafana/provisioning"
        (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text("utf-8"))["datasources"]
        assert source["url"] == "http://prometheus:9090"
        (provider,) = yaml.safe_load((provisioning / "dashboards/contact-image.yml").read_text("utf-8"))["providers"]
        mounts = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
        assert provider["options"]["path"] in [target for _, target, *_ in mounts]
        networks = [set(compose["services"][name]["networks"]) for name in ("contact-image", "prometheus", "grafana")]
        assert set.intersection(*networks) == {"public"}

    def test_valkey_stores_nothing_on_disk(self, compose: dict[str, Any]) -> None:
        program, *options = compose["services"]["valkey"]["command"]
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert program == "valkey-server"
        assert given["--maxmemory-policy"] == "allkeys-lru"
        assert given["--save"] == ""
        assert given["--appendonly"] == "no"
        assert amount(given["--maxmemory"]) < amount(compose["services"]["valkey"]["mem_limit"])

    def test_only_the_service_reaches_valkey(self, compose: dict[str, Any]) -> None:
        assert "ports" not in compose["services"]["valkey"]
        assert [compose["networks"][name] for name in compose["services"]["valkey"]["networks"]] == [{"internal": True}]

    def test_service_waits_for_a_healthy_valkey(self, compose: dict[str, Any]) -> None:
        assert compose["services"]["contact-image"]["depends_on"]["valkey"]["condition"] == "service_healthy"

    def test_pictures_are_mounted_read_only_at_images_directory(self, compose: dict[str, Any]) -> None:
        (volume,) = compose["services"]["contact-image"]["volumes"]
        assert volume.split(":")[1:] == [of_service(compose)["CONTACT_IMAGE_IMAGES__DIRECTORY"], "ro"]

    def test_published_port_is_server_port(self, compose: dict[str, Any]) -> None:
        (port,) = compose["services"]["contact-image"]["ports"]
        assert port.split(":")[-1] == of_service(compose)["CONTACT_IMAGE_SERVER__PORT"]

    def test_grace_period_is_longer_than_the_longest_stop(
        self, compose: dict[str, Any], no_variables: pytest.MonkeyPatch
    ) -> None:
        for name, value in of_service(compose).items():
            no_variables.setenv(name, value)
        server = load_settings().server
        grace = amount(compose["services"]["contact-image"]["stop_grace_period"])
        assert grace > server.drain + server.shutdown_timeout + 2

    def test_memory_limit_covers_the_render_processes(
        self, compose: dict[str, Any], no_variables: pytest.MonkeyPatch
    ) -> None:
        for name, value in of_service(compose).items():
            no_variables.setenv(name, value)
        settings = load_settings()
        most = settings.render.workers * settings.render.memory_bytes + settings.cache.memory_bytes
        assert most < amount(compose["services"]["contact-image"]["mem_limit"])

    def test_both_files_have_the_same_health_check(self, compose: dict[str, Any], final: list[Instruction]) -> None:
        (text,) = [text for name, text in final if name == "HEALTHCHECK"]
        command = json.loads(text.partition("CMD ")[2])
        assert ["CMD", *command] == compose["services"]["contact-image"]["healthcheck"]["test"]
        compile(command[2], "the health check", "exec")


class TestTheDockerfile:
    def test_dockerfile_has_stages_and_takes_only_the_result_of_the_first(
        self, dockerfile: list[Instruction], final: list[Instruction]
    ) -> None:
        assert [text for name, text in dockerfile if name == "FROM"] == ["${PYTHON} AS builder", "${PYTHON}"]
        assert [text for name, text in final if name == "COPY"] == ["--from=builder /venv /venv"]

    def test_dockerfile_installs_nothing_in_the_last_stage(self, final: list[Instruction]) -> None:
        assert not [text for name, text in final if name == "RUN" and re.search(r"\b(pip|apt|apt-get|apk|gcc)\b", text)]

    def test_image_does_not_run_as_root(self, final: list[Instruction]) -> None:
        names = [name for name, _ in final]
        (user,) = [text for name, text in final if name == "USER"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, so that an orchestrator sees that it is not root"
        assert names.index("USER") < names.index("ENTRYPOINT")
        assert "RUN" not in names[names.index("USER") :]

    def test_dockerfile_copies_named_paths_only(self, dockerfile: list[Instruction]) -> None:
        assert "ADD" not in {name for name, _ in dockerfile}
        assert not [text for name, text in dockerfile if name == "COPY" and text.split()[0] == "."]

    def test_base_images_are_pinned(self, dockerfile: list[Instruction]) -> None:
        name, _, image = dockerfile[0][1].partition("=")
        assert name == "PYTHON"
        assert re.fullmatch(r"python:3\.\d+-slim(@sha256:[0-9a-f]{64})?", image)

    def test_image_has_no_extras_unless_they_are_asked_for(
        self, dockerfile: list[Instruction], compose: dict[str, Any]
    ) -> None:
        assert ("ARG", "EXTRAS=") in dockerfile
        assert compose["services"]["contact-image"]["build"]["args"] == {"EXTRAS": ""}

    def test_image_starts_the_service_without_a_shell(self, final: list[Instruction]) -> None:
        content = dict(final)
        assert json.loads(content["ENTRYPOINT"]) == ["contact-image"]
        assert json.loads(content["CMD"]) == ["serve"]
        assert content["STOPSIGNAL"] == "SIGTERM"

    def test_image_exposes_the_port_that_it_sets(self, final: list[Instruction]) -> None:
        assert dict(final)["EXPOSE"] == of_image(final)["CONTACT_IMAGE_SERVER__PORT"]

    def test_image_limits_the_arenas_of_glibc(self, final: list[Instruction]) -> None:
        assert of_image(final)["MALLOC_ARENA_MAX"] == "2"

    def test_every_copied_path_exists_and_is_not_ignored(self, dockerfile: list[Instruction]) -> None:
        allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
        copied = {
            source
            for name, text in dockerfile
            if name == "COPY" and not text.startswith("--from")
            for source in text.split()[:-1]
        }
        assert copied == allowed
        assert all((ROOT / source).exists() for source in copied)

    def test_image_contains_no_secret(self, dockerfile: list[Instruction]) -> None:
        assert not [
            text for name, text in dockerfile if name in ("ENV", "ARG") and re.search(r"(?i)secret|token|passw", text)
        ]
