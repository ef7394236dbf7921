"""From the start of the process to the served page; how much a first view weighs; how much memory the loaded app holds."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request

import numpy as np
import psutil

from benchmarks import Row
from benchmarks.serving import browsing, serve

RUNS = 5


def bare_import() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, gradio"], check=True)
    return time.perf_counter() - began


def first_view(url: str) -> float:
    """Megabytes that a fresh browser receives for the page, as they come over the wire."""
    with browsing() as page:
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        received: list[float] = []
        session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
        page.goto(url)
        page.locator("[data-ready=true]").wait_for()
        page.wait_for_timeout(4000)
        return sum(received) / 1e6


def run() -> list[Row]:
    served, imported = [], []
    megabytes = memory = 0.0
    for number in range(RUNS):
        imported.append(bare_import())
        with serve(["app.py"]) as server:
            served.append(server.seconds)
            if number < RUNS - 1:
                continue
            megabytes = first_view(f"{server.url}/vae")
            for name in ("vae-mnist-2d", "vae-mnist-16d", "vae-fashion-2d", "vae-fashion-16d"):
                for path in (f"sample?model={name}&n=64", f"map?model={name}", f"manifold?model={name}&side=24"):
                    urllib.request.urlopen(f"{server.url}/play/{path}").read()
            urllib.request.urlopen(f"{server.url}/play/reference?data=mnist").read()
            memory = psutil.Process(server.pid).memory_info().rss / 1e9
    ours, peer = float(np.median(served)), float(np.median(imported))
    ratio = ours / peer
    return [
        Row("page served after the start", ours, "s", peer, "import torch, gradio"),
        Row("as a multiple of the bare import", ratio, "×", target=1.5),
        Row("first view of /vae", megabytes, "MB", target=1.5),
        Row("resident memory, all checkpoints loaded and used", memory, "GB", target=1.2),
    ]
