"""Fixtures of the HTTP tests: a service with pictures, and requests in one line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from PIL import Image

from tests.conftest import Valkey, served
from tools.pictures.drawing import animation, quarters, saved, see_through

Client = TestClient[Any, Any]
IMAGE = "/api/v1/Contact/{}/Image"
with_shared_client = pytest.mark.asyncio(loop_scope="module")
"""The mark of tests that use `shared_client`: they run in its event loop."""


class Get(Protocol):
    """Requests a contact's picture and reads the body."""

    async def __call__(
        self, client: Client, contact: object, query: str = "", /, method: str = "GET", **headers: str
    ) -> ClientResponse: ...


@pytest.fixture
def get() -> Get:
    async def ask(
        client: Client, contact: object, query: str = "", /, method: str = "GET", **headers: str
    ) -> ClientResponse:
        named = {"Accept": "*/*"} | {name.replace("_", "-"): value for name, value in headers.items()}
        response = await client.request(method, f"/api/v1/Contact/{contact}/Image{query}", headers=named)
        await response.read()
        return response

    return ask


@pytest.fixture
def people(images: Path) -> Path:
    """1: a JPEG; 2: a PNG with alpha; 3: an animated GIF; 4: a BMP; 5: a JPEG with an EXIF orientation. 404: none."""
    return populated(images)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_client(tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey) -> AsyncIterator[Client]:
    """A service with the same pictures for all tests of a module that change nothing and need no empty cache."""
    async with TestClient(served(populated(tmp_path_factory.mktemp("images")), shared_valkey.url)) as client:
        yield client


def populated(images: Path) -> Path:
    turned = Image.Exif()
    turned[0x0112] = 6
    (images / "1.jpg").write_bytes(saved(quarters(160, 120), "JPEG", quality=95))
    (images / "2.png").write_bytes(saved(see_through(160, 120), "PNG"))
    (images / "3.gif").write_bytes(animation())
    (images / "4.bmp").write_bytes(saved(quarters(160, 120), "BMP"))
    lying = quarters(160, 120).rotate(90, expand=True)
    (images / "5.jpg").write_bytes(saved(lying, "JPEG", quality=95, exif=turned))
    return images
