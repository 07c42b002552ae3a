"""Write the screenshots of the page at `/` in `docs/`, of a demo in Debian's Chromium. Needs the extra `test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
"""Flags of Chromium in a container, where it is root and has little shared memory."""
_PORT = 18_080
_VIEWS = {
    "page.png": ("light", 1440, 1000),
    "page-dark.png": ("dark", 1440, 1000),
    "page-phone.png": ("light", 390, 844),
}
"""By file: the colours of the browser, and the size of its window in pixels of the page."""


def shoot(browser: Browser, base: str) -> None:
    """Write a screenshot for each view of the page at *base*."""
    for name, (colours, width, height) in _VIEWS.items():
        page = browser.new_page(
            color_scheme="dark" if colours == "dark" else "light", viewport={"width": width, "height": height}
        )
        page.goto(base)
        page.locator("#facts .chip").wait_for()
        for field, value in (("contact", "9"), ("w", "360"), ("h", "360")):
            page.locator(f"#request [name={field}]").fill(value)
        page.locator("#fit label", has_text="cover").click()
        page.locator("#facts", has_text="360 × 360").wait_for()
        page.wait_for_load_state("networkidle")
        page.screenshot(path=DOCS / name)
        page.close()


def main() -> None:
    """Start a demo, and shoot its page."""
    command = [Path(sys.executable).with_name("contact-image"), "serve", "--demo", "--port", str(_PORT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            next(line for line in demo.stdout if "/readyz" in line)
            with sync_playwright() as playwright:
                shoot(playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS), f"http://127.0.0.1:{_PORT}/")
        finally:
            demo.terminate()


if __name__ == "__main__":
    main()
