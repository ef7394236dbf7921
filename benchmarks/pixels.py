"""From the click on "New seed" to the first painted pixels of a 28 × 28 image, and to the whole; and twenty people at once.

The page plays "at once", so that nothing but the writing is waited for. The twenty are HTTP clients that ask in the same moment
for the four images that the page shows; beside it, the same requests one after the other.
"""

from __future__ import annotations

import asyncio
import statistics
import time

import httpx

from benchmarks import Row
from benchmarks.serving import browsing, serve

CLICKS, PEOPLE = 9, 20
QUERY = {"model": "pixelcnn-mnist", "n": 4}

CLICK = """async () => {
  const host = document.querySelector("#px-view-write");
  const before = Number(host.dataset.requests);
  const size = 784;
  const frame = () => new Promise(requestAnimationFrame);
  const began = performance.now();
  document.querySelector("#new-seed").click();
  while (Number(host.dataset.requests) === before || Number(host.dataset.frame) < 1) await frame();
  await frame();
  const first = performance.now() - began;
  while (Number(host.dataset.frame) < size) await frame();
  await frame();
  return [first, performance.now() - began];
}"""


async def person(client: httpx.AsyncClient, number: int) -> tuple[float, float]:
    """Seconds to the first row and to the end."""
    began = time.perf_counter()
    first = 0.0
    headers = {"X-Playground-Token": f"person-{number:012d}"}
    async with client.stream("GET", "/play/pixels/write", params={**QUERY, "seed": number}, headers=headers) as answer:
        answer.raise_for_status()
        async for piece in answer.aiter_bytes():
            if len(piece) > 200 and not first:
                first = time.perf_counter() - began
    return first, time.perf_counter() - began


async def crowd(url: str, *, together: bool) -> list[tuple[float, float]]:
    limits = httpx.Limits(max_connections=PEOPLE)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        await person(client, 99)
        if together:
            return list(await asyncio.gather(*(person(client, number) for number in range(PEOPLE))))
        return [await person(client, number) for number in range(PEOPLE)]


def run() -> list[Row]:
    with serve(["app.py"], path="/pixels") as server:
        with browsing() as page:
            page.goto(f"{server.url}/pixels?v=1&speed=0")
            page.locator("[data-ready=true]").first.wait_for(timeout=60_000)
            page.wait_for_timeout(6_000)  # the models are loaded
            times = []
            for _ in range(CLICKS + 2):  # the first two warm up
                page.wait_for_timeout(400)
                times.append(page.evaluate(CLICK))
            first, whole = zip(*times[2:], strict=True)
        at_once = asyncio.run(crowd(server.url, together=True))
        one_by_one = asyncio.run(crowd(server.url, together=False))
    alone = sum(end for _, end in one_by_one)
    return [
        Row("click to first painted pixels, four images", statistics.median(first), "ms", target=150),
        Row("click to the whole image, four images", statistics.median(whole), "ms", target=1_500),
        Row(f"{PEOPLE} people at once: the slowest first row", max(first for first, _ in at_once), "s"),
        Row(
            f"{PEOPLE} people at once, four images each: the slowest whole",
            max(end for _, end in at_once),
            "s",
            alone,
            "one after the other",
            3,
        ),
    ]
