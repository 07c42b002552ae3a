"""What a process imports at its start. Each module costs time and memory in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from service.cli import COMMANDS

SERVE = """
import json, signal, sys
from pathlib import Path
from service.serving.run import run
from service.settings import SettingsSources

def ready(_):
    from aiohttp import connector
    authorities = connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"]
    print(json.dumps({"modules": list(sys.modules), "authorities": authorities}))
    signal.raise_signal(signal.SIGTERM)

sources = SettingsSources(options={"images": {"directory": Path(sys.argv[1])}, "server": {"port": 0, "drain": 0}})
run(sources.load(), sources, ready)
"""
HELP = """
import json, sys
from click.testing import CliRunner
from service.cli import main
assert CliRunner().invoke(main, sys.argv[1:]).exit_code == 0
print(json.dumps({"modules": list(sys.modules)}))
"""
RENDER = """
import json, sys
import service.rendering.calls, service.rendering.worker
print(json.dumps({"modules": list(sys.modules)}))
"""


def imports(code: str, *arguments: str) -> dict[str, Any]:
    """Return what *code* prints in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of_packages(modules: list[str], *names: str) -> list[str]:
    """Return which *modules* have these *names*, or are in packages of these names."""
    return [each for each in modules if each in names or each.startswith(tuple(f"{name}." for name in names))]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return imports(SERVE, str(tmp_path_factory.mktemp("pictures")))


@pytest.mark.parametrize(
    "names",
    [
        # The service reads headers, and needs the versions of codecs.
        ("PIL.ImageCms", "PIL.ImageDraw", "PIL.ImageFont", "PIL.JpegImagePlugin", "PIL.PngImagePlugin"),
        ("service.imaging.reading", "service.imaging.writing", "service.imaging.pixels", "service.imaging.drawing"),
        ("service.imaging.render", "service.imaging.source", "service.imaging.mezzanine", "service.rendering.worker"),
        # No scheme is configured.
        ("service.access.verifiers", "jwt", "cryptography.x509", "cryptography.hazmat", "argon2", "tenacity"),
        # One process serves, without the demo.
        ("gunicorn", "service.serving.several", "service.serving.arbiter", "service.demo"),
        # No endpoint for spans is configured.
        ("opentelemetry", "google", "requests", "urllib3", "service.web.spans", "service.web.tracing"),
        # Tools of developers.
        ("babel", "tools", "pytest"),
    ],
    ids=["decoders", "imaging", "renders", "verifiers", "several", "tracing", "tools"],
)
def test_process_that_serves_does_not_import(serving: dict[str, Any], names: tuple[str, ...]) -> None:
    assert of_packages(serving["modules"], *names) == []


def test_start_reads_no_certificates_of_authorities(serving: dict[str, Any]) -> None:
    assert serving["authorities"] == 0


def test_render_process_imports_imaging_and_no_network() -> None:
    modules = imports(RENDER)["modules"]
    assert of_packages(modules, "service.imaging.reading", "service.imaging.writing")
    assert of_packages(modules, "asyncio", "ssl", "aiohttp", "redis", "pydantic", "structlog", "service.pictures") == []


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--help")])
def test_help_imports_nothing_that_a_command_needs_when_it_runs(arguments: tuple[str, ...]) -> None:
    modules = imports(HELP, *arguments)["modules"]
    assert of_packages(modules, "asyncio", "aiohttp", "redis", "pydantic", "structlog", "rich", "PIL") == []
    assert {each for each in modules if each.startswith("service.") and not each.startswith("service.cli")} == set()


def test_command_that_runs_imports_no_other_command() -> None:
    modules = imports(HELP, "serve", "--help")["modules"]
    assert of_packages(modules, *(f"service.cli.{each}" for each in COMMANDS)) == ["service.cli.serve"]
