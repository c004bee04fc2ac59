"""A real browser for the tests of pages: Debian's chromium, or the one that HONED_CHROMIUM names."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = os.environ.get("HONED_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: apt-get install chromium, or set HONED_CHROMIUM"
)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


class Page:
    """A page whose errors and foreign requests are noticed."""

    def __init__(self, browser: Any, port: int, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda line: self.wrong.append(line.text) if line.type == "error" else None)
        self.page.on("request", lambda request: self._seen(request.url, port))
        self.base = f"http://127.0.0.1:{port}/"

    def _seen(self, url: str, port: int) -> None:
        if not url.startswith((f"http://127.0.0.1:{port}/", "data:")):
            self.wrong.append(f"asks {url}")

    def open(self, path: str = "") -> Any:
        self.page.goto(self.base + path)
        return self.page


def enter_key(page: Any, key: str) -> None:
    """Answer the question for the server's key: wrongly, which is told, then with the key."""
    page.fill("#key", "wrong")
    page.click("#key-form button")
    page.locator("#key-state", has_text="not the key").wait_for()
    page.fill("#key", key)
    page.click("#key-form button")
