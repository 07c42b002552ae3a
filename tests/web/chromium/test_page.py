"""The page at `/` in a browser: every control, without errors, without requests to others, and accessible."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from playwright.async_api import Browser, expect

from tests.conftest import Valkey, served
from tests.web.chromium.conftest import Opened, in_chromium
from tools.assets import ASSETS
from tools.pictures.drawing import quarters, saved

pytestmark = in_chromium

NAME = "(each) => each.name || each.id || each.dataset.copies || each.className || each.value"
"""A function in JavaScript: what tells a control from others."""
AXE = next(each.folder for each in ASSETS if each.package == "axe-core") / "axe.min.js"


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


@pytest.mark.parametrize("writable", [True, False])
async def test_changes_are_offered_where_they_are_allowed(
    browser: Browser, tmp_path: Path, shared_valkey: Valkey, writable: bool
) -> None:
    app = served(tmp_path, shared_valkey.url, pages={"enabled": True}, writes={"enabled": writable})
    async with TestClient(app) as client:
        opened = Opened(await browser.new_page(), str(client.make_url("/")))
        page = opened.page
        await page.goto(opened.base)
        await opened.facts("404")
        await expect(page.locator("#credentials")).to_be_hidden()
        await expect(page.locator("#contacts")).to_be_hidden()
        await expect(page.locator("#access")).to_be_visible(visible=writable)
        if writable:
            (tmp_path / "new").write_bytes(saved(quarters(60, 60), "PNG"))
            await page.locator("#file").set_input_files(tmp_path / "new")
            assert (await opened.after(page.locator("#upload").click(), "PUT")).status == 200
            await opened.facts("320 × 320 pixels")
        await page.close()
    assert (opened.faults, opened.foreign) == ([], [])


async def test_text_is_selected_where_a_browser_has_no_clipboard(opened: Opened) -> None:
    page = opened.page
    await page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await page.locator("[data-copies=url]").click()
    await expect(page.locator("#copied")).to_contain_text("Selected")
    assert await page.evaluate("() => String(getSelection())") == await page.locator("#url").inner_text()


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
