"""Prints the path of a Chromium for the tests: one that is there, else Debian's package, else Playwright's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def found() -> str | None:
    named = os.environ.get("CHROMIUM")
    if named and Path(named).is_file():
        return named
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def run(*command: str) -> bool:
    """Runs a step of an installation; what it prints goes where errors go, since standard output carries the path."""
    print(f"$ {' '.join(command)}", file=sys.stderr, flush=True)
    try:
        return subprocess.run(command, stdout=sys.stderr, stderr=sys.stderr, check=False).returncode == 0
    except FileNotFoundError:
        return False


def from_debian() -> str | None:
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return None
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update", "-qq")
    return (
        found() if run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-dejavu-core") else None
    )


def from_playwright() -> str | None:
    if not run(sys.executable, "-m", "playwright", "install", "chromium"):
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).is_file() else None


if __name__ == "__main__":
    browser = found() or from_debian() or from_playwright()
    if browser is None:
        raise SystemExit("No Chromium was found and none could be installed. Name one: CHROMIUM=/path/to/chromium make test")
    print(browser)
