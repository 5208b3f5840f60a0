"""A real service with its worker, and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


# Playwright keeps an event loop in its thread for as long as it runs: no longer than these tests.
@pytest.fixture(scope="package")
def chromium():
    """Debian's Chromium, driven by Playwright; skips where one of them is missing."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install '.[dev]'"
    )
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs chromium: 'make browser' installs it")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def service(tmp_path_factory):
    """Address of a service on a fresh store, started by the command line with a worker."""
    folder = tmp_path_factory.mktemp("browser")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "SPEECHPLAN_DATABASE_URL": f"sqlite:///{folder / 'web.db'}",
        "SPEECHPLAN_PORT": str(port),
        "SPEECHPLAN_TIMING_BUDGET_S": "1",
    }
    log = (folder / "service.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli", "serve"], env=environment, stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=30).close()
                break
            except (urllib.error.URLError, OSError):
                log.seek(0)
                assert process.poll() is None, log.read()
                assert time.monotonic() < end, "the service does not answer"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=60)
        log.close()


class Visit:
    """A tab and everything that it did.

    Attributes:
        page: The tab.
        requests: Addresses asked for.
        complaints: Errors and warnings of the console, and exceptions of scripts.
    """

    def __init__(self, browser, address, **how):
        self.address = address
        self.context = browser.new_context(base_url=address, **how)
        self.context.add_init_script(WATCH)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.requests, self.complaints, self.violations = [], [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message):
        # Chromium says the status of a page that is not 200 as an error of its own.
        if message.type in ("error", "warning") and "the server responded with" not in message.text:
            self.complaints.append(message.text)

    def go(self, path):
        """Opens a page."""
        self.look()
        # Behind a new measurement the first page with curves fits them anew.
        return self.page.goto(path, timeout=600_000)

    def look(self):
        """Notes what the page's policy has blocked."""
        self.violations += self.page.evaluate("window.violations ?? []")

    def check(self):
        """Nothing from elsewhere, nothing blocked, nothing complained about."""
        self.look()
        own = (self.address, "data:", "blob:", "about:")
        assert [url for url in self.requests if not url.startswith(own)] == []
        assert self.violations == []
        assert self.complaints == []


@pytest.fixture
def visit(chromium, service):
    """Opens a tab at the service; at the end, what it did is checked."""
    opened = []

    def open_tab(**how):
        opened.append(Visit(chromium, service, **how))
        return opened[-1]

    yield open_tab
    for one in opened:
        one.check()
        one.context.close()
