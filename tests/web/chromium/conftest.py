"""Pages that Debian's Chromium has opened, and what has happened on them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher
from playwright.async_api import Browser, Locator, Page, Response, async_playwright, expect

from tests.conftest import Valkey, served
from tests.web.conftest import populated
from tools.screenshots import CHROMIUM, FLAGS

in_chromium = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]
"""The marks of these tests."""
TIMEOUT = 60_000.0
"""Milliseconds to wait for what always happens, on a busy machine."""
expect.set_options(timeout=TIMEOUT)


class Opened:
    """A page of the service, and what has happened on it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.faults: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(TIMEOUT)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._sent(request.url))

    def _heard(self, kind: str, text: str) -> None:
        # A browser reports each answer of 400 and more, whatever the page makes of it.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource: the server responded"):
            self.faults.append(text)

    def _sent(self, url: str) -> None:
        if not url.startswith((self.base, "data:", f"blob:{self.base}")):
            self.foreign.append(url)

    def field(self, name: str) -> Locator:
        return self.page.locator(f"#request [name={name}]")

    async def after(self, act: Any, method: str = "GET") -> Response:
        """Await *act*, and return the answer to the request for the picture that follows."""
        picture = re.compile(r"/Contact/[^/]+/Image(?!.*w=44&h=44)")
        async with self.page.expect_response(
            lambda answer: bool(picture.search(answer.url)) and answer.request.method == method
        ) as answer:
            await act
        return await answer.value

    async def facts(self, text: str) -> None:
        await expect(self.page.locator("#facts")).to_contain_text(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(tmp_path_factory: pytest.TempPathFactory, shared_valkey: Valkey) -> AsyncIterator[str]:
    """The URL of a service with the pages, where reading needs no credentials and ann may change pictures."""
    users = tmp_path_factory.mktemp("users") / "users"
    hashed = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("släpp in")
    users.write_text(f"ann:{hashed}:read,write\n", "utf-8")
    app = served(
        populated(tmp_path_factory.mktemp("images")),
        shared_valkey.url,
        {"shown": (1, 2, 5, 404)},
        pages={"enabled": True},
        auth={"schemes": ["basic"], "anonymous_read": True, "users_file": str(users)},
        render={"presets": {"avatar": "w=96&h=96&fit=cover"}},
    )
    async with TestClient(app) as client:
        yield str(client.make_url("/"))


@pytest_asyncio.fixture(loop_scope="module")
async def opened(request: pytest.FixtureRequest, browser: Browser, base: str) -> AsyncIterator[Opened]:
    """The page at `/`, when it has shown the first picture. The test fails if something went wrong on it."""
    options = getattr(request, "param", {})
    context = await browser.new_context(**options, permissions=["clipboard-read", "clipboard-write"])
    page = Opened(await context.new_page(), base)
    await page.page.goto(base)
    await page.facts("200")
    yield page
    await context.close()
    assert (page.faults, page.foreign) == ([], [])
