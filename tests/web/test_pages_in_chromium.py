"""The pages in a browser: every control, without errors, without requests to others, and accessible."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher
from playwright.async_api import Browser, Locator, Page, Response, async_playwright, expect

from tests.conftest import Valkey, served
from tests.web.conftest import populated
from tools.assets import ASSETS
from tools.pictures.drawing import quarters, saved
from tools.screenshots import CHROMIUM, FLAGS

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),
]

NAME = "(each) => each.name || each.id || each.dataset.copies || each.className || each.value"
"""A function in JavaScript: what tells a control from others."""
AXE = next(each.folder for each in ASSETS if each.package == "axe-core") / "axe.min.js"
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


async def test_first_picture_is_explained(opened: Opened) -> None:
    page = opened.page
    for text in ("200", "AVIF", "320 × 240 pixels", " bytes"):
        await opened.facts(text)
    rows = page.locator("#headers > div")
    assert await rows.count() > 10
    for row in await rows.all():
        assert "" not in [await row.locator(each).inner_text() for each in ("dt", ".value", ".hint")]
    await expect(page.locator("#headers")).to_contain_text("browsers keep it 5 minutes; shared caches")
    await opened.after(page.locator("#again").click())
    await expect(page.locator("#way")).to_contain_text("From a cache, fresh for")
    await expect(page.locator("#steps li").first).to_contain_text("cache")
    assert await page.locator("#bar span").count() == await page.locator("#steps li").count() - 1
    assert (await opened.after(page.locator("#revalidate").click())).status == 304
    await opened.facts("304")
    assert await page.locator("#picture").evaluate("each => each.naturalWidth") == 320


async def test_every_control_is_part_of_the_request(opened: Opened) -> None:
    async def given(name: str, text: str, wanted: str) -> None:
        field = opened.field(name)
        kind = await field.evaluate("each => each.tagName")
        act = field.select_option(text) if kind == "SELECT" else field.fill(text)
        answer = await opened.after(act)
        assert wanted in answer.url.partition("/Contact/")[2], (name, answer.url)
        await opened.facts(str(answer.status))

    await given("contact", "2", "2/Image")
    await given("w", "120", "w=120")
    await given("h", "90", "h=90")
    await given("dpr", "2", "dpr=2")
    await opened.facts("240 × 180 pixels")
    for fit in ("cover", "fill", "pad"):
        answer = await opened.after(opened.page.locator(f"#fit label:has-text('{fit}')").click())
        assert f"fit={fit}" in answer.url
    await given("gravity", "0.2,top", "gravity=0.2%2Ctop")
    await opened.facts("400")
    await expect(opened.page.locator("#problem")).to_contain_text("gravity")
    await given("gravity", "0.2,1", "gravity=0.2%2C1")
    await expect(opened.page.locator("#problem")).to_be_hidden()
    await given("bg", "0080FF", "bg=0080FF")
    assert await opened.page.locator("#pick").input_value() == "#0080ff"
    answer = await opened.after(opened.page.locator("#pick").fill("#ff8000"))
    assert "bg=ff8000" in answer.url
    assert "enlarge=false" in (await opened.after(opened.field("enlarge").uncheck())).url
    await given("type", "PNG", "type=PNG")
    await opened.facts("PNG")
    await given("type", "TIFF", "type=TIFF")
    await expect(opened.page.locator("#problem")).to_contain_text("does not show this format")
    await given("type", "", "2/Image")
    await given("preset", "avatar", "preset=avatar")


async def test_header_fields_are_sent(opened: Opened) -> None:
    answer = await opened.after(opened.field("accept").fill("image/jpeg"))
    assert answer.headers["content-type"] == "image/jpeg"
    answer = await opened.after(opened.field("accept").fill("application/json"))
    assert answer.headers["content-type"].startswith("application/json")
    await opened.facts("JSON")
    await opened.facts("320 × 240 pixels")
    await opened.after(opened.field("accept").fill("text/html"))
    await opened.facts("406")
    await opened.after(opened.field("language").select_option("nb"))
    await expect(opened.page.locator("#headers")).to_contain_text("nb")


async def test_placeholders_are_shown_and_explained(opened: Opened) -> None:
    await opened.after(opened.field("contact").fill("404"))
    await opened.facts("404")
    await expect(opened.page.locator("#problem")).to_be_visible()
    values = await opened.field("ifBlank").locator("option").evaluate_all("all => all.map((each) => each.value)")
    assert {"", "Default", "ClearPixel", "SrNoPhoto"} <= set(values)
    for value in filter(None, values):
        answer = await opened.after(opened.field("ifBlank").select_option(value))
        assert (answer.status, f"ifBlank={value}" in answer.url) == (200, True)
        await expect(opened.field("name")).to_be_visible(visible=value == "Initials")
    await expect(opened.page.locator("#way")).to_contain_text("It is a placeholder")


async def test_edges_are_dragged(opened: Opened) -> None:
    for handle, dx, dy, sides in ((".right", 40, 0, "w"), (".bottom", 0, 30, "h"), (".corner", -20, -20, "wh")):
        before = {side: await opened.field(side).input_value() for side in "wh"}
        box = await opened.page.locator(handle).bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = opened.page.mouse

        async def drag(x: float = x, y: float = y, dx: int = dx, dy: int = dy, mouse: Any = mouse) -> None:
            await mouse.move(x, y)
            await mouse.down()
            await mouse.move(x + dx, y + dy, steps=3)
            await mouse.up()

        answer = await opened.after(drag())
        after = {side: await opened.field(side).input_value() for side in "wh"}
        assert {side for side in "wh" if before[side] != after[side]} == set(sides)
        assert f"w={after['w']}" in answer.url or not after["w"]
        await opened.facts("200")


async def test_everything_is_reached_by_keys(opened: Opened) -> None:
    page = opened.page
    await page.locator(".right").focus()
    answer = await opened.after(page.keyboard.press("ArrowRight"))
    assert "w=328" in answer.url
    answer = await opened.after(page.keyboard.press("Shift+ArrowLeft"))
    assert "w=327" in answer.url
    await page.locator(".bottom").focus()
    assert "h=" in (await opened.after(page.keyboard.press("Home"))).url
    await page.evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(80):
        await page.keyboard.press("Tab")
        reached.add(await page.evaluate(f"() => ({NAME})(document.activeElement)"))
    controls = await page.locator("main :is(input, select, button):visible").evaluate_all(f"all => all.map({NAME})")
    assert set(controls) - {""} <= reached
    assert {"handle right", "handle bottom"} <= reached


async def test_contacts_are_listed(opened: Opened) -> None:
    buttons = opened.page.locator("#contacts button")
    assert await buttons.count() == 4
    answer = await opened.after(opened.page.get_by_role("button", name="Contact 5", exact=True).click())
    assert "/Contact/5/Image" in answer.url
    await expect(opened.page.get_by_role("button", name="Contact 5", exact=True)).to_have_attribute(
        "aria-pressed", "true"
    )


async def test_texts_are_copied(opened: Opened, base: str) -> None:
    page = opened.page
    await opened.after(opened.field("h").fill("100"))
    await opened.facts("133 × 100")
    texts = {}
    for name in ("url", "curl", "img", "sign"):
        await page.locator(f"[data-copies={name}]").click()
        await expect(page.locator("#copied")).to_have_text("Copied.")
        texts[name] = await page.evaluate("() => navigator.clipboard.readText()")
        await page.locator("#copied").evaluate("each => each.textContent = ''")
    query = "/api/v1/Contact/1/Image?w=320&h=100"
    assert texts["url"] == base.rstrip("/") + query
    assert re.match(r"curl .*-H 'Accept: image/avif,.*" + re.escape(texts["url"]), texts["curl"], re.DOTALL)
    assert shlex.split(texts["sign"].replace("\\\n", "")) == [
        "contact-image",
        "sign",
        query,
        "--expires",
        "7d",
        "--base",
        base,
    ]
    await page.set_content(texts["img"])
    image = page.locator("img")
    await expect(image).to_have_js_property("complete", True)
    assert await image.evaluate("each => [each.naturalWidth, each.width, each.height]") == [133, 133, 100]
    assert await image.evaluate("each => each.srcset.split(',').length") == 3


async def test_changes_need_credentials_that_stay_in_memory(opened: Opened, base: str, tmp_path: Path) -> None:
    page, changed = opened.page, opened.page.locator("#changed")
    file = tmp_path / "new.png"
    file.write_bytes(saved(quarters(60, 60), "PNG"))
    await page.locator("#upload").click()
    await expect(changed).to_have_text("Choose a file first.")
    await opened.after(opened.field("contact").fill("7"))
    await page.locator("#file").set_input_files(file)
    assert (await opened.after(page.locator("#upload").click(), "PUT")).status == 401
    await expect(changed).to_contain_text("401")

    await page.locator("[name=user]").fill("ann")
    await page.locator("[name=password]").fill("släpp in")
    answer = await opened.after(page.get_by_role("button", name="Use", exact=True).click())
    assert "private" in answer.headers.get("cache-control", "") or answer.status == 404
    assert (await opened.after(page.locator("#upload").click(), "PUT")).status == 200
    await expect(changed).to_contain_text("is stored")
    await opened.facts("320 × 320 pixels")
    kept = "() => [{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state]"
    assert await page.evaluate(kept) == [{}, {}, "", base, None]
    for name in ("url", "curl", "img", "sign"):
        text = await page.locator(f"#{name}").inner_text()
        assert "Authorization" not in text and "ann" not in text

    await page.locator("#remove").click()
    await page.locator("#no").click()
    await expect(page.locator("#sure")).to_be_hidden()
    await page.locator("#remove").click()
    assert (await opened.after(page.locator("#yes").click(), "DELETE")).status == 204
    await expect(changed).to_contain_text("is deleted")
    await opened.facts("404")
    await page.locator("#forget").click()
    await page.locator("#remove").click()
    assert (await opened.after(page.locator("#yes").click(), "DELETE")).status == 401
    await page.reload()
    await opened.facts("200")
    assert await page.locator("[name=password]").input_value() == ""


async def test_texts_of_an_answer_are_no_markup(opened: Opened) -> None:
    await opened.after(opened.field("gravity").fill("<img src=x onerror=alert(1)>"))
    await opened.facts("400")
    assert await opened.page.locator("#problem img").count() == 0
    assert "&lt;" not in await opened.page.locator("#problem").inner_text()


VIEWS = {
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "device_scale_factor": 3},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "wall": {"viewport": {"width": 3840, "height": 2160}, "color_scheme": "light"},
}


@pytest.mark.parametrize("opened", VIEWS.values(), ids=VIEWS, indirect=True)
async def test_page_is_accessible(opened: Opened) -> None:
    page = opened.page
    assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    await page.evaluate(AXE.read_text("utf-8"))
    for contact in ("1", "404"):  # a picture, and a problem
        await opened.after(opened.field("contact").fill(contact))
        await opened.facts(contact if contact == "404" else "200")
        found = await page.evaluate("() => axe.run()")
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
        assert len(found["passes"]) > 20


async def test_policy_is_in_force_on_the_page(browser: Browser, base: str) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(base)
    blocked = await page.evaluate(
        """async () => {
            const blocked = [];
            document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = 1" }));
            document.body.append(Object.assign(new Image(), { src: "http://127.0.0.2:9/" }));
            await fetch("http://127.0.0.2:9/").catch(() => {});
            await new Promise((done) => setTimeout(done, 100));
            return [window.ran ?? 0, ...blocked.sort()];
        }"""
    )
    assert blocked == [0, "connect-src", "img-src", "script-src-elem"]
    await context.close()


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
