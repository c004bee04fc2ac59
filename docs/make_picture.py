"""Take the pictures of the docs in a real browser: docs/page.png of ``honed serve``, docs/label_page.png of labelling,
docs/explain_page.png of explanations, docs/review_page.png and docs/review_phone.png of the review of a table.

python docs/make_picture.py search BUNDLE [QUERY]
python docs/make_picture.py label PROJECT
python docs/make_picture.py explain PROJECT [TEXT TEXT]
python docs/make_picture.py review TABLE CATALOGUE [EVIDENCE]
"""

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

PORT = 8787
HERE = Path(__file__).parent


def take(target: str, command: list[str], ready: str, size: tuple[int, int], act: Callable[[Any], None]) -> None:
    """Serve with a command of honed, wait until a path answers, do something on the page, take the picture."""
    server = subprocess.Popen([sys.executable, "-m", "honed", *command, "--port", str(PORT)])
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}{ready}")
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1)
            page.goto(f"http://127.0.0.1:{PORT}/")
            act(page)
            page.screenshot(path=HERE / target)
            browser.close()
    finally:
        server.terminate()
        server.wait()


def search(bundle: str, query: str = "guadalajara univercity") -> None:
    """Look a name up and open its first hit."""

    def act(page: Any) -> None:
        page.keyboard.type(query)
        page.wait_for_selector("#hits li")
        page.wait_for_timeout(500)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_selector("#entity:not([hidden])")

    take("page.png", ["serve", bundle], "/readyz", (1000, 640), act)


def label(project: str) -> None:
    """Show the record most worth a label, and the suggested terms."""

    def act(page: Any) -> None:
        page.wait_for_selector("#record-text:not(:empty)")
        page.click("#suggest")
        page.wait_for_selector("#suggestions li")

    take("label_page.png", ["label", "--serve", "--project", project], "/v1/state", (1200, 860), act)


def explain(
    project: str, first: str = "Cancel the ferry to Gotland", second: str = "Reserve the ferry to Gotland"
) -> None:
    """Explain two texts by both models of a project."""

    def act(page: Any) -> None:
        page.fill("#first", first)
        page.fill("#second", second)
        page.click("#go")
        page.wait_for_selector("#shifts .shift", timeout=120_000)

    take("explain_page.png", ["explain", "--serve", "--project", project], "/", (1200, 1000), act)


def review(table: str, catalogue: str, evidence: str = "city,country") -> None:
    """Review some rows of a table whose names are in the column name, at a desk and on a phone."""
    command = [
        "match",
        table,
        "--column",
        "name",
        "--with",
        evidence,
        "--to",
        catalogue,
        "--max-error",
        "0.05",
        "--serve",
    ]

    def act(page: Any, rows: int) -> None:
        page.fill("#who-name", "Anna")
        page.keyboard.press("Enter")
        page.wait_for_selector("#candidates .card")
        for _ in range(rows):
            page.keyboard.press("1")
            page.wait_for_timeout(400)
        page.wait_for_timeout(1500)

    take("review_page.png", command, "/v1/state", (1040, 620), lambda page: act(page, 12))
    take("review_phone.png", command, "/v1/state", (390, 800), lambda page: act(page, 0))


if __name__ == "__main__":
    {"search": search, "label": label, "explain": explain, "review": review}[sys.argv[1]](*sys.argv[2:])
