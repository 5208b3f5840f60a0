"""Makes ``docs/screenshot.png``: the answer to a question, as the page shows it.

Run it with ``python docs/screenshot.py`` where the extra ``dev`` and Chromium are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

PLACE = Path(__file__).with_suffix(".png")
QUESTION = "/?gflops=200"
PORT = 8799
SIZE = {"width": 1360, "height": 900}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-lcd-text",
]


def main() -> None:
    """Starts a service on an empty store, asks, and keeps what is seen."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "SPEECHPLAN_DATABASE_URL": f"sqlite:///{folder}/screenshot.db",
            "SPEECHPLAN_PORT": str(PORT),
        }
        command = [sys.executable, "-m", "api.cli", "serve", "--no-worker"]
        service = subprocess.Popen(command, env=environment)
        try:
            _wait(f"http://127.0.0.1:{PORT}/health")
            _shoot(f"http://127.0.0.1:{PORT}{QUESTION}")
        finally:
            service.terminate()
            service.wait()
    print(f"{PLACE}: {PLACE.stat().st_size / 1000:.0f} kB")


def _wait(address: str) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _shoot(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.locator("figure.chart svg.marks").wait_for()
        page.screenshot(path=PLACE)
        browser.close()


if __name__ == "__main__":
    main()
