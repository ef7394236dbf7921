"""Forty people who each move over the map ten times a second: how many pictures come within 250 ms, and how late is the latest?

The whole app serves, guard included; the people are HTTP clients in another process on the same machine. The peer is the same
app that decodes every request by itself.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

import httpx
import numpy as np

from benchmarks import Row
from benchmarks.serving import serve

PEOPLE, RATE, SECONDS = 40, 10, 10
LATE = 0.25  # seconds
MODEL = "vae-mnist-2d"


async def person(client: httpx.AsyncClient, number: int, waits: list[float]) -> None:
    """Asks on time, whether or not the former answer has come: what is slow piles up."""
    rng = random.Random(number)
    await asyncio.sleep(rng.random() / RATE)
    began = time.perf_counter()
    asked = []

    async def ask() -> None:
        z = np.array([[rng.gauss(0, 1), rng.gauss(0, 1)]])
        sent = time.perf_counter()
        try:
            answer = await client.post(
                "/play/decode",
                params={"model": MODEL},
                content=z.tobytes(),
                headers={"X-Playground-Token": f"person-{number:012d}"},
            )
            waits.append(time.perf_counter() - sent if answer.status_code == 200 else float("inf"))
        except httpx.HTTPError:
            waits.append(float("inf"))

    for k in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, began + k / RATE - time.perf_counter()))
        asked.append(asyncio.create_task(ask()))
    await asyncio.gather(*asked)


async def crowd(url: str) -> np.ndarray:
    """Seconds waited for each of the answers; infinite for those that were refused or lost."""
    waits: list[float] = []
    limits = httpx.Limits(max_connections=PEOPLE * 4, max_keepalive_connections=PEOPLE * 4)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=30) as client:
        await asyncio.gather(*(person(client, number, waits) for number in range(PEOPLE)))
    return np.array(waits)


def measure(how: str) -> np.ndarray:
    with serve(["-m", "benchmarks.crowd", how]) as server:
        with httpx.Client(base_url=server.url) as client:
            for _ in range(20):  # the model is loaded, the code warm
                client.post("/play/decode", params={"model": MODEL}, content=np.zeros((1, 2)).tobytes())
        time.sleep(3)
        return asyncio.run(crowd(server.url))


def run() -> list[Row]:
    ours, peer = measure("joined"), measure("single")
    name = "decoded one by one"
    return [
        Row(
            "answered within 250 ms",
            100 * float((ours <= LATE).mean()),
            "%",
            100 * float((peer <= LATE).mean()),
            name,
            95,
            True,
        ),
        Row("median wait", 1e3 * float(np.median(ours)), "ms", 1e3 * float(np.median(peer)), name),
        Row(
            "95th percentile of the wait",
            1e3 * float(np.percentile(ours, 95)),
            "ms",
            1e3 * float(np.percentile(peer, 95)),
            name,
        ),
    ]


if __name__ == "__main__":
    from playground import inference, shell

    if sys.argv[1] == "single":
        inference.MAX_ROWS = 1
    shell.launch()
