"""A running service with a few small pictures, for the tests of loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.operations.running import Service, invoke, running
from tools.pictures.drawing import quarters, saved

CONTACTS = range(1, 6)
"""The contacts that have pictures."""

Load = Callable[..., Result]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose pictures may be changed without a credential."""
    images = tmp_path_factory.mktemp("images")
    for contact in CONTACTS:
        (images / f"{contact}.jpg").write_bytes(saved(quarters(), "JPEG"))
    with running("--images", images, CONTACT_IMAGE_WRITES__ENABLED="true") as started:
        yield started


@pytest.fixture
def load(service: Service, tmp_path: Path) -> Load:
    """Run `load` for two seconds, unless *arguments* say more, with its report in `tmp_path / "report"`."""

    def command(scenario: str, *arguments: str | Path) -> Result:
        url, folder = f"http://127.0.0.1:{service.port}", tmp_path / "report"
        options = ["--scenario", scenario, "--rate", "40", "--for", "2s", "--report", folder]
        return invoke("load", url, *options, *arguments)

    return command
