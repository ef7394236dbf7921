"""A real Chromium against the real app, on a free port of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from benchmarks.serving import FLAGS, free_port
from playground.components import head

ROOT = Path(__file__).parents[2]
STYLES = "".join(line for line in head().splitlines() if 'rel="stylesheet"' in line)
EMPTY = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    f'<link rel="icon" href="data:,">{STYLES}'
    "<style>*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif}</style></head>"
    '<body><div class="gmp-page"><h1>Components</h1></div></body></html>'
)
PATIENCE = 30_000  # ms: machines are noisy


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The running app's, without any data sets: as a fresh clone has it."""
    port = free_port()
    log = tmp_path_factory.mktemp("app") / "log.txt"
    environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "PLAYGROUND_DATA": str(log.parent)}
    with log.open("w") as out:
        app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=out, stderr=out)
        url = f"http://127.0.0.1:{port}"
        try:
            deadline = time.monotonic() + 90
            while True:
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    if app.poll() is not None or time.monotonic() > deadline:
                        pytest.fail(f"The app did not start:\n{log.read_text()}")
                    time.sleep(0.2)
            yield url
        finally:
            app.send_signal(signal.SIGINT)
            try:
                app.wait(10)
            except subprocess.TimeoutExpired:
                app.kill()
    wrong = [line for line in log.read_text().splitlines() if "Traceback" in line]
    assert not wrong, f"The app's log has errors:\n{log.read_text()}"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM")
    if not path:
        pytest.fail("CHROMIUM names no browser: run `make browser`, which finds or installs one.")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield one
        one.close()


class Watched:
    """A page whose errors, failed requests and foreign hosts are collected."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors: list[str] = []
        self.hosts: set[str | None] = set()
        self.received = 0
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.hosts.add(urllib.parse.urlsplit(r.url).hostname))

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def empty(self) -> Page:
        """A page of the app's own origin with its styles and nothing else: for components that are mounted alone."""
        self.page.route(f"{self.url}/empty", lambda route: route.fulfill(content_type="text/html", body=EMPTY))
        return self.open("/empty")

    def assert_clean(self) -> None:
        assert self.errors == []
        assert self.hosts <= {"127.0.0.1", None}

    def overflow(self) -> int:
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


DESKTOP: ViewportSize = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def desktop(browser: Browser) -> Iterator[BrowserContext]:
    """One browser profile, so that what never changes (Gradio's own files) is fetched and compiled once, not in every test."""
    context = browser.new_context(viewport=DESKTOP)
    yield context
    context.close()


@pytest.fixture
def watched(browser: Browser, desktop: BrowserContext, address: str, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A fresh visitor; `@pytest.mark.parametrize("watched", [{...}], indirect=True)` sets the browser's options."""
    options = getattr(request, "param", {})
    context = browser.new_context(**{"viewport": DESKTOP, **options}) if options else desktop
    visitor = Watched(context, address)
    yield visitor
    if options:
        context.close()
        return
    for page in context.pages:  # nothing of this visitor is left to the next
        page.close()
    context.set_offline(False)
    context.unroute_all()
    context.clear_cookies()
    context.clear_permissions()
    forget = context.new_page()
    forget.route("**/*", lambda route: route.fulfill(body="", content_type="text/html"))
    forget.goto(f"{address}/empty")
    forget.evaluate("localStorage.clear(), sessionStorage.clear()")
    forget.close()
