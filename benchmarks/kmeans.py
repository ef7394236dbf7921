"""One iteration of K-means beside scikit-learn's Lloyd, and the memory that ten million points take.

Both go from the same ten points of the same cloud until nothing changes, or for 101 iterations. An iteration is what the run
takes beyond a run of one. Ours does not look at every point in every iteration: its early ones take longer, its late ones less,
and it makes more ready beforehand. So the whole run stands beside it. The best of several runs, ours and theirs in turn.
"""

from __future__ import annotations

from typing import Any

import torch

from benchmarks import Row
from benchmarks.em import K, clusters, memory, quickest

CASES = ((500, 40, 1.0), (10_000, 30, 3.0), (200_000, 6, 10.0), (1_000_000, 4, 10.0))  # points, runs, asked
STEPS = 101


def run() -> list[Row]:
    from sklearn.cluster import KMeans

    from models import kmeans

    rows, differences = [], []
    for n, runs, asked in CASES:
        x = clusters(n)
        points, start = torch.from_numpy(x), x[:K].copy()

        def ours(m: int, points: Any = points, start: Any = start) -> kmeans.Step:
            return kmeans.fit(points, start, max_steps=m)

        def theirs(m: int, x: Any = x, start: Any = start) -> KMeans:
            return KMeans(K, init=start, n_init=1, max_iter=m, tol=0, algorithm="lloyd").fit(x)

        one, other = ours(STEPS), theirs(STEPS)
        if one.converged and other.n_iter_ < STEPS:
            differences.append(abs(one.inertia / other.inertia_ - 1))
        long, short, their_long, their_short = quickest(
            runs,
            lambda ours=ours: ours(STEPS),
            lambda ours=ours: ours(1),
            lambda theirs=theirs: theirs(STEPS),
            lambda theirs=theirs: theirs(1),
        )
        count = max(1, one.iteration - 1)
        mine, peer = (long - short) / count, (their_long - their_short) / max(1, other.n_iter_ - 1)
        what = (
            f"K-means, {n:,} points, {one.iteration} iterations: {mine * 1e3:.3g} ms each, scikit-learn's {peer * 1e3:.3g} ms; "
        )
        rows.append(
            Row(what + "faster by", (their_long - their_short) / (long - short), "×", target=asked, more_is_better=True)
        )
        rows.append(Row("the whole run", long * 1e3, "ms", their_long * 1e3, "scikit-learn"))
    if differences:
        what = f"relative difference of the inertias of {len(differences)} runs that ended, at most"
        rows.append(Row(what, max(differences), "", target=1e-9))
    rows.append(memory("kmeans"))
    return rows
