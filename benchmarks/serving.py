"""Starting a server in a process of its own, and a browser, for the benchmarks that need them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
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


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass(frozen=True)
class Server:
    url: str
    pid: int
    seconds: float  # from the start of the process to the first answer


@contextmanager
def serve(arguments: Sequence[str], path: str = "/vae") -> Iterator[Server]:
    """`python ARGUMENTS` with HOST and PORT set, from its start until it answers `path`; ended afterwards."""
    port = free_port()
    environment = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(url + path, timeout=30) as answer:
                    answer.read()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > 120:
                    raise RuntimeError(f"python {' '.join(arguments)} does not serve {path}.") from None
                time.sleep(0.02)
        yield Server(url, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def browsing() -> Iterator[Page]:
    """A page of a headless Chromium (CHROMIUM names one, else the one on the path)."""
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 900})
        browser.close()
