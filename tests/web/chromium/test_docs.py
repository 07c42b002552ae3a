"""The page at `/docs` in a browser: Swagger UI on `/openapi.json`, without errors and without requests to others."""

from __future__ import annotations

import json
import re

from playwright.async_api import Browser, expect

from tests.web.chromium.conftest import Opened, in_chromium

pytestmark = in_chromium


async def test_interface_is_shown_and_tried_out(browser: Browser, base: str) -> None:
    context = await browser.new_context()
    opened = Opened(await context.new_page(), base)
    page = opened.page
    await page.goto(f"{base}docs")
    await expect(page.locator(".opblock")).not_to_have_count(0)
    described = json.loads(await (await page.request.get(f"{base}openapi.json")).text())
    operations = sum(len(set(path) - {"parameters", "x-methods"}) for path in described["paths"].values())
    await expect(page.locator(".opblock")).to_have_count(operations)
    assert await page.locator(".topbar").count() == 0
    await page.locator("#operations-pictures-getPicture button").first.click()
    await page.get_by_role("button", name="Try it out").click()
    async with page.expect_response(re.compile("/Contact/42/Image")) as answer:
        await page.get_by_role("button", name="Execute").click()
    assert (await answer.value).status == 200  # the examples of the parameters are sent, a placeholder among them
    await expect(page.locator(".live-responses-table")).to_contain_text("200")
    await context.close()
    assert (opened.faults, opened.foreign) == ([], [])
