"""Take docs/page.png: the page of ``honed serve`` over a bundle, in a real browser.

python docs/make_picture.py BUNDLE [QUERY]
"""

import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

PORT = 8787
TARGET = Path(__file__).with_name("page.png")


def main(bundle: str, query: str = "guadalajara univercity") -> None:
    """Serve a bundle, look a name up, open its first hit, take the picture."""
    server = subprocess.Popen([sys.executable, "-m", "honed", "serve", bundle, "--port", str(PORT)])
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz")
                break
            except OSError:
                time.sleep(0.1)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 640}, device_scale_factor=1)
            page.goto(f"http://127.0.0.1:{PORT}/")
            page.keyboard.type(query)
            page.wait_for_selector("#hits li")
            page.wait_for_timeout(500)
            page.keyboard.press("ArrowDown")
            page.keyboard.press("Enter")
            page.wait_for_selector("#entity:not([hidden])")
            page.screenshot(path=TARGET)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
