"""One iteration of EM beside scikit-learn's, and the memory that ten million points take.

Both start from the same weights, means and covariances (ten full components in the plane, the same regulariser) and go on for
the same number of iterations, since nothing stops them early. An iteration is what a long run takes beyond a run of one, so
what comes before and after the iterations does not count. The best of several runs, ours and theirs in turn.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import Row

K = 10
REG = 1e-6
CASES = (
    (500, 101, 5, 1.0),
    (10_000, 101, 3, 3.0),
    (200_000, 6, 3, 10.0),
    (1_000_000, 6, 2, 10.0),
)  # points, steps, runs, asked
MANY = 10_000_000
REST = 0.3  # seconds before each run: the other library's threads still spin for a while after theirs

# Resident memory at its highest, less what the process took before there were points, as a share of the points.
MEMORY = """
import torch
from models import gmm, kmeans, starts
from models.noise import Noise

def resident(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))

def two_iterations(x):
    if "{model}" == "em":
        gmm.fit(x, starts.around(x[:1000], x[:10].clone(), "full"), tol=0, max_steps=2)
    else:
        kmeans.fit(x, x[:10].clone(), max_steps=2)

def cloud(n, size=100_000):
    x = torch.empty(n, 2, dtype=torch.float64)
    for i, start in enumerate(range(0, n, size)):
        part = x[start : start + size]
        part.copy_(Noise(i).normal(len(part), (2,), stream="x")).add_(4.0 * (torch.arange(len(part)) % 10)[:, None])
    return x

two_iterations(cloud(200_000))
before = resident("VmRSS")
x = cloud({points})
two_iterations(x)
print((resident("VmHWM") - before) / (x.numel() * x.element_size()))
"""


def clusters(n: int, seed: int = 0) -> np.ndarray:
    """Points `(n, 2)` in ten round clusters, some of which overlap."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(K, 2))[rng.integers(0, K, n)] * 4 + rng.normal(size=(n, 2))


def memory(model: str) -> Row:
    """What two iterations over ten million points take, measured in a process of its own."""
    code = MEMORY.format(model=model, points=MANY)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return Row(f"memory at {MANY:,} points, at its highest, as a share of the points' own", float(done.stdout), "×", target=1.5)


def quickest(runs: int, *tasks: Callable[[], Any]) -> list[float]:
    """The shortest time of each task in seconds, over runs in turn."""
    best = [float("inf")] * len(tasks)
    for _ in range(runs):
        for i, task in enumerate(tasks):
            time.sleep(REST)
            began = time.perf_counter()
            task()
            best[i] = min(best[i], time.perf_counter() - began)
    return best


def run() -> list[Row]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    from models import gmm, starts

    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    rows, differences = [], []
    for n, steps, runs, asked in CASES:
        x = clusters(n)
        points = torch.from_numpy(x)
        start = starts.start(points, K, "plus", covariance="full", noise=1)
        given = {
            "weights_init": start.weights.numpy(),
            "means_init": start.means.numpy(),
            "precisions_init": np.linalg.inv(start.covariances.numpy()),
        }

        def ours(m: int, points: Any = points, start: Any = start) -> gmm.Step:
            return gmm.fit(points, start, tol=0, reg=REG, max_steps=m)

        def theirs(m: int, x: Any = x, given: Any = given) -> GaussianMixture:
            return GaussianMixture(K, tol=0, reg_covar=REG, max_iter=m, init_params="random", random_state=0, **given).fit(x)

        differences.append(abs(ours(steps).log_likelihood - theirs(steps).score(x)))
        long, short, their_long, their_short = quickest(
            runs,
            lambda ours=ours, m=steps: ours(m),
            lambda ours=ours: ours(1),
            lambda theirs=theirs, m=steps: theirs(m),
            lambda theirs=theirs: theirs(1),
        )
        mine, peer = (long - short) / (steps - 1), (their_long - their_short) / (steps - 1)
        times = f"{mine * 1e3:.3g} ms each, scikit-learn's {peer * 1e3:.3g} ms"
        what = f"EM, {n:,} points, over {steps - 1} iterations: {times}; faster by"
        rows.append(Row(what, peer / mine, "×", target=asked, more_is_better=True))
    what = "difference of the mean log-likelihoods after the same iterations, at most"
    rows.append(Row(what, max(differences), "nats", target=1e-10))
    rows.append(memory("em"))
    return rows
