"""From the click on "New start" to the first painted frame of the run: 10,000 points, 100 iterations of EM, on loopback.

The points travel to the server, EM runs there to its end, and all 201 frames come back before the first is painted. Beside it,
the time that scikit-learn's GaussianMixture takes for its 100 iterations alone, in this process, with nothing sent or painted.
"""

from __future__ import annotations

import statistics
import time
import warnings

import numpy as np
import torch

from benchmarks import Row
from benchmarks.serving import browsing, serve
from models import starts
from models.data import clouds

POINTS, ITERATIONS, CLICKS = 10_000, 100, 9

CLICK = """async () => {
  const host = document.querySelector("#clouds-view-fit");
  const canvas = document.querySelector("[data-model=gmm] canvas");
  const button = [...document.querySelectorAll("button")].find((one) => one.textContent === "New start");
  const runs = host.dataset.runs;
  const began = performance.now();
  button.click();
  while (host.dataset.runs === runs) await new Promise((r) => setTimeout(r, 0));
  const shown = performance.now();
  while (Number(canvas.dataset.drawn) < shown) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  const time = performance.now() - began;
  document.querySelector("[data-step=play]").click();  // stops the playing
  return time;
}"""


def peer(k: int) -> float:
    """Seconds of scikit-learn's fit, from the same kind of start."""
    from sklearn.mixture import GaussianMixture

    x = clouds.make("pinwheel", POINTS, noise=1).points
    begin = starts.start(x, k, "random", noise=1)
    precisions = torch.linalg.inv(begin.covariances).numpy()
    times = []
    for _ in range(3):
        model = GaussianMixture(
            k, tol=0, max_iter=ITERATIONS, weights_init=begin.weights.numpy(), means_init=begin.means.numpy(),
            precisions_init=precisions, init_params="random_from_data", random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged is meant
            began = time.perf_counter()
            model.fit(np.asarray(x))
        times.append(time.perf_counter() - began)
    return min(times)


def run() -> list[Row]:
    rows = []
    with serve(["app.py"], path="/clouds") as server, browsing() as page:
        for k in (3, 10):
            query = f"v=1&data=pinwheel&n={POINTS}&models=gmm&k={k}&tol=0&steps={ITERATIONS}&density=none"
            page.goto(f"{server.url}/clouds?{query}")
            page.locator("[data-ready=true]").first.wait_for(timeout=60_000)
            times = []
            for _ in range(CLICKS + 2):  # the first two warm up
                page.wait_for_timeout(400)
                times.append(page.evaluate(CLICK))
            label = page.locator(".timeline").inner_text()
            if f"of {ITERATIONS}" not in label:
                raise RuntimeError(f"The run is not of {ITERATIONS} iterations: {label!r}")
            what = f"click to first painted frame, {POINTS:,} points, {ITERATIONS} iterations, K = {k}"
            rows.append(Row(what, statistics.median(times[2:]), "ms", 1000 * peer(k), "scikit-learn's fit alone", 500))
    return rows
