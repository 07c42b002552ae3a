"""The running service answers as `/openapi.json` says, to requests that schemathesis makes of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.operations.running import NEEDS_PROC, running
from tests.web.conftest import populated

pytestmark = NEEDS_PROC

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).parents[2] / "schemathesis.toml"
EXAMPLES = 25


def test_answers_are_the_described_ones(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    enabled = {"CONTACT_IMAGE_WRITES__ENABLED": "true", "CONTACT_IMAGE_PAGES__ENABLED": "true"}
    with running("--images", populated(images), **enabled, CONTACT_IMAGE_LOG__LEVEL="WARNING") as service:
        url = f"http://127.0.0.1:{service.port}/openapi.json"
        command = [SCHEMATHESIS, "--config-file", CONFIG, "run", url, "--max-examples", str(EXAMPLES), "--seed", "1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-6000:]
        assert service.errors == []
