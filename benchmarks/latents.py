"""The page "Latents": from a moved slider to the painted picture; sixty people who drag at once, two of them in browsers; and
how far the best sprites model keeps the factors apart (from the checkpoints' scores: the median of three seeds).
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import struct
import threading
import time

import numpy as np
from playwright.sync_api import Page

from benchmarks import Row
from benchmarks.crowd import LATE, RATE, SECONDS
from benchmarks.serving import browsing, serve
from models import zoo

MODEL = "vae-sprites-beta4"
MOVES, WARM_UP = 120, 10
CLIENTS, BROWSERS = 58, 2
SEEDS = ("", "-seed1", "-seed2")

DRAG = """async ([moves, pause]) => {
  const range = document.querySelector("#lt-view-sliders input[type=range]");
  const out = document.querySelector("#lt-view-sliders canvas[data-wanted]");
  const times = [];
  for (let i = 0; i < moves; i++) {
    const began = performance.now();
    range.value = 2.5 * Math.sin((i * 2 * Math.PI) / 47);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    const wanted = out.dataset.wanted;
    while (out.dataset.painted !== wanted) await new Promise((r) => setTimeout(r, 0));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - began);
    await new Promise((r) => setTimeout(r, Math.max(0, pause + (i % 7) * 5 - (performance.now() - began) * (pause > 50))));
  }
  return times;
}"""


def _open(page: Page, url: str) -> None:
    page.goto(f"{url}/latents")
    page.locator("[data-ready=true]").first.wait_for(timeout=60_000)
    page.wait_for_function("() => document.querySelector('#lt-view-sliders canvas[data-painted]')")


async def _person(host: str, port: int, number: int, latent: int, waits: list[float]) -> None:
    """Drags at `RATE` a second as the page does: one request in flight, on a connection of one's own.

    Written by hand over a socket: sixty clients of an HTTP library would need a core for themselves. A wait counts from the
    moment at which the slider was moved, whether or not the former answer had come by then.
    """
    rng = random.Random(number)
    reader, writer = await asyncio.open_connection(host, port)
    await asyncio.sleep(rng.random() / RATE)
    began = time.perf_counter()
    for k in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, began + k / RATE - time.perf_counter()))
        z = struct.pack(f"<{latent}d", *(rng.gauss(0, 1) for _ in range(latent)))
        writer.write(
            f"POST /play/decode?model={MODEL} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(z)}\r\n"
            f"X-Playground-Token: person-{number:012d}\r\n\r\n".encode()
            + z
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length"))
        await reader.readexactly(length)
        waits.append(time.perf_counter() - (began + k / RATE) if " 200 " in head.splitlines()[0] else math.inf)
    writer.close()


async def _crowd(url: str) -> np.ndarray:
    """Seconds waited by `CLIENTS` people without a browser; infinite where the answer was a refusal."""
    latent, waits = zoo.card(MODEL).spec.latent, []  # type: ignore[var-annotated]
    host, port = url.removeprefix("http://").split(":")
    await asyncio.gather(*(_person(host, int(port), number, latent, waits) for number in range(CLIENTS)))
    return np.array(waits)


def run() -> list[Row]:
    with serve(["app.py"], path="/latents") as server, browsing() as page:
        _open(page, server.url)
        page.wait_for_timeout(6_000)  # the models are loaded
        page.evaluate(DRAG, [WARM_UP, 20])
        alone = page.evaluate(DRAG, [MOVES, 20])
        other = page.context.browser.new_context().new_page()  # type: ignore[union-attr]
        _open(other, server.url)
        waits: list[np.ndarray] = []
        people = threading.Thread(target=lambda: waits.append(asyncio.run(_crowd(server.url))))
        people.start()
        dragged = []
        for _ in range(SECONDS // 2):  # the two browsers take turns: Playwright's pages share a thread
            for one in (page, other):
                dragged += one.evaluate(DRAG, [RATE, 1_000 // RATE])
        people.join()
    every = np.concatenate([waits[0], np.array(dragged) / 1_000])
    rows = [
        Row("slider to painted, one person: median", statistics.median(alone), "ms", target=35),
        Row("slider to painted, one person: 95th percentile", float(np.quantile(alone, 0.95)), "ms", target=60),
        Row(
            f"{CLIENTS} clients and {BROWSERS} browsers at {RATE} a second: answered within 250 ms",
            100 * float((every <= LATE).mean()),
            "%",
            target=95,
            more_is_better=True,
        ),
        Row("of these updates: 95th percentile", 1_000 * float(np.quantile(every, 0.95)), "ms", target=100),
        Row("the browsers among them, to painted: 95th percentile", float(np.quantile(dragged, 0.95)), "ms"),
    ]
    for name in ("vae-sprites-tc", "vae-sprites-beta4"):
        for key, what in (("mig_without", "MIG without shape"), ("mig", "MIG with shape")):
            found = [zoo.card(name + seed).scores["disentanglement"][key] for seed in SEEDS]
            rows.append(Row(f"{name}: {what}, median of three seeds", statistics.median(found), "", more_is_better=True))
    best = max(row.ours for row in rows if "MIG without" in row.what)
    return [*rows, Row("the best of them: MIG without shape", best, "", target=0.4, more_is_better=True)]
