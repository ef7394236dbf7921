"""The assignment half of Lloyd's algorithm: which mean each point is nearest to, and the sums that the move needs.

`Small` compares every point with every mean in one go. `Lazy` looks again only where something may have changed:

- A point at distance d₁ from its mean and d₂ from the next nearest keeps its mean until the gap d₂ − d₁ is used up: by its own
  mean's moves, and by the largest move of any other (Hamerly 2010). Moves are added up for each cluster, so a point stores one
  number: the sum at which it must be looked at again.
- The same holds for a block of points in a ball (c, r), looked at as one, while the ball is inside one Voronoi cell (Kanungo
  et al. 2002, section 2). With the squared distances s_k = ‖c − μ_k‖², all points x of the ball have at least the gap

      (s_k − s_a − 2r ‖μ_k − μ_a‖) / (√s_k + √s_a + 2r)  ≤  ‖x − μ_k‖ − ‖x − μ_a‖.

  Points lie sorted along Morton's curve; blocks of `BRANCH` neighbours form blocks of blocks. A block that straddles a border
  is replaced by its parts, so only points close to borders are ever looked at one by one.

Counts and sums change only by the points that change their mean, so whether anything changed is known exactly. Gaps are lowered
by more than rounding can do to them: a point that close to a tie is looked at every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALL = 3_000  # points up to which comparing all is quicker than keeping books
BLOCKS = 30_000  # points from which blocks pay; fewer are looked at one by one, and so are points of many dimensions
FLAT = 3  # dimensions up to which neighbours on the curve are neighbours in space
BRANCH = 16  # points in a block, and blocks in a block of blocks
PIECE = 2_048  # blocks or points looked at in one go: their scores fit a core's cache
BITS = 16  # of a place on the curve: numpy sorts such keys by counting
SLACK = 1024 * math.ulp(1.0)  # of the largest squares: far more than rounding does to a score
THINNED = 1e-3  # of its largest weight: the sums of a cluster that lost more are made anew, since differences lose digits

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """What an assignment leaves."""

    counts: Array  # (K,), points or their weights
    first: Array  # (K, D), Σ w x of each cluster
    changed: bool  # whether any point has another mean than at the last call


class Small:
    """A small cloud `(D, N)` with weights `(N,)`, all above 0, or None: every point against every mean."""

    def __init__(self, z: Array, weight: Array | None) -> None:
        self.features = np.concatenate([z.T, np.ones((z.shape[1], 1))], 1)  # (N, D + 1)
        self.weight = weight
        self.columns = z if weight is None else z * weight  # (D, N)
        self.chosen: Index | None = None

    def __call__(self, means: Array, lengths: Array) -> Sums:
        k, d = means.shape
        forms = np.empty((k, d + 1))
        np.multiply(means, -2, out=forms[:, :d])
        forms[:, d] = lengths
        chosen = (self.features @ forms.T).argmin(1)  # (N,), the first of equals
        changed = self.chosen is None or not np.array_equal(chosen, self.chosen)
        self.chosen = chosen
        counts, first = np.bincount(chosen, self.weight, k).astype(np.float64, copy=False), np.empty((k, d))
        for column, values in enumerate(self.columns):
            first[:, column] = np.bincount(chosen, values, k)
        return Sums(counts, first, changed)


class Lazy:
    """A cloud `(D, N)` with weights `(N,)`, all above 0, or None, and two means or more: bounds on points and on blocks."""

    def __init__(self, z: Array, weight: Array | None) -> None:
        self.d, self.n = d, n = z.shape
        blocks = n > BLOCKS and d <= FLAT
        order = along_curve(z) if blocks else np.arange(n)
        # Features of a point: x, 1, ‖x‖². Rows beyond the last point repeat it to fill its block, and are never looked at.
        self.features = np.empty((-(-n // BRANCH) * BRANCH, d + 2))
        for column in range(d):
            self.features[:n, column] = z[column][order]
        self.features[n:, :d] = self.features[n - 1, :d]
        self.features[:, d] = 1
        np.einsum("nd,nd->n", self.features[:, :d], self.features[:, :d], out=self.features[:, d + 1])
        self.weight = None if weight is None else weight[order]
        self.reach = float(self.features[:, d + 1].max())
        self.tree = Blocks(self) if blocks else None
        self.before: Array | None = None  # means of the last call

    def moments(self, ids: Index | slice) -> Array:
        """What points add to their cluster `(n, D + 2)`: w x, w, and 1, which tells an empty cluster exactly."""
        own = self.features[ids].copy()
        own[:, -1] = 1
        if self.weight is not None:
            own[:, :-1] *= self.weight[ids][:, None]
        return own

    def __call__(self, means: Array, lengths: Array) -> Sums:
        if self.before is None:
            self._begin(means, lengths)
            changed = True
        else:
            self._moved(means - self.before)
            changed = self._look(means, lengths)
            counts = self.sums[:, self.d]
            np.maximum(self.peak, counts, out=self.peak)
            if len(self.points) > self.limit or (counts < THINNED * self.peak).any():
                self._begin(means, lengths)
        self.before = means
        return Sums(self.sums[:, self.d].copy(), self.sums[:, : self.d].copy(), changed)

    def _begin(self, means: Array, lengths: Array) -> None:
        """All anew: from the largest blocks down, or all points."""
        k, none = len(means), np.empty(0, np.int64)
        self.used = np.zeros(k)  # (K,), by how much gaps to each cluster's points have shrunk at most
        self.sums = np.zeros((k, self.d + 2))
        # Blocks and points at which one looks apart, the mean that each has, and the sum of moves at which to look again.
        self.blocks, self.block_mean, self.block_until = none, none, np.empty(0)
        self.points, self.point_mean, self.point_until = none, none, np.empty(0)
        self._pairs(means, lengths)
        if self.tree is None:
            self._look_at_points(np.arange(self.n), np.full(self.n, k), k)
        else:
            self._look_at_blocks(self.tree.top, np.full(len(self.tree.top), k), k)
        self.peak = self.sums[:, self.d].copy()
        self.limit = 2 * len(self.points) + PIECE

    def _pairs(self, means: Array, lengths: Array) -> None:
        self.slack = SLACK * (self.reach + float(lengths.max())) + 1e-300  # not 0 even where all is 0
        # With a point's features: the squared distance, made positive.
        self.forms = np.concatenate([-2 * means, lengths[:, None] + self.slack, np.ones((len(means), 1))], 1)  # (K, D + 2)
        if self.tree is not None:
            self.apart = np.sqrt(np.square(means[:, None] - means).sum(2))  # (K, K)

    def _moved(self, way: Array) -> None:
        """Uses up gaps: a cluster's by its own mean's way, and by the longest of the others'."""
        moved = np.sqrt(np.einsum("kd,kd->k", way, way))
        order = moved.argsort()
        others = np.full(len(moved), moved[order[-1]])
        others[order[-1]] = moved[order[-2]]
        self.used += moved + others

    def _look(self, means: Array, lengths: Array) -> bool:
        self._pairs(means, lengths)
        k, changed = len(means), False
        due = np.flatnonzero(self.point_until < self.used[self.point_mean])
        if len(due):
            ids, old = self.points[due], self.point_mean[due]
            new, until, changed = self._nearest_of(ids, old, k)
            self.point_mean[due], self.point_until[due] = new, until
        again = self.block_until < self.used[self.block_mean]
        if again.any():
            ids, old, kept = self.blocks[again], self.block_mean[again], ~again
            self.blocks, self.block_mean = self.blocks[kept], self.block_mean[kept]
            self.block_until = self.block_until[kept]
            changed |= self._look_at_blocks(ids, old, k)
        return changed

    def _look_at_points(self, ids: Index, old: Index, k: int) -> bool:
        """Points that from now on are looked at one by one."""
        new, until, changed = self._nearest_of(ids, old, k)
        self.points = np.concatenate([self.points, ids])
        self.point_mean = np.concatenate([self.point_mean, new])
        self.point_until = np.concatenate([self.point_until, until])
        return changed

    def _nearest_of(self, ids: Index, old: Index, k: int) -> tuple[Index, Array, bool]:
        new, gap = _pieces(self._nearest_points, ids)
        changes = np.flatnonzero(new != old)
        if len(changes):
            self._shift(self.moments(ids[changes]), old[changes], new[changes], k)
        return new, self.used[new] + gap, len(changes) > 0

    def _shift(self, moments: Array, old: Index, new: Index, k: int) -> None:
        """Moves sums from one cluster to another; `k` is none."""
        width = self.d + 2
        columns = np.arange(width)
        flat = moments.ravel()
        there = np.bincount((new[:, None] * width + columns).ravel(), flat, k * width).reshape(k, width)
        here = np.bincount((old[:, None] * width + columns).ravel(), flat, (k + 1) * width).reshape(k + 1, width)
        self.sums += there - here[:k]
        self.sums[self.sums[:, -1] == 0] = 0

    def _nearest_points(self, ids: Index) -> tuple[Index, Array]:
        rows = self.features[ids]  # (n, D + 2)
        new = (rows @ self.forms.T).argmin(1)
        squared = self.forms @ rows.T  # (K, n): the lowest of columns is quick only so, and where it stands only as above
        here = np.arange(len(new))
        own = squared[new, here]
        squared[new, here] = np.inf
        second = squared.min(0)
        return new, (second - own - self.slack) / (np.sqrt(second) + np.sqrt(own))

    def _look_at_blocks(self, ids: Index, old: Index, k: int) -> bool:
        """Blocks, from the largest down: those within one cell are kept, the others replaced by their parts."""
        assert self.tree is not None
        changed, kept = False, [(self.blocks, self.block_mean, self.block_until)]
        points, owners = [], []
        while len(ids):
            new, gap = _pieces(self._nearest_blocks, ids)
            whole = gap > 0
            inside, mean = ids[whole], new[whole]
            kept.append((inside, mean, self.used[mean] + gap[whole]))
            changes = np.flatnonzero(mean != old[whole])
            if len(changes):
                changed = True
                self._shift(self.tree.moments[inside[changes]], old[whole][changes], mean[changes], k)
            split, owner = ids[~whole], old[~whole]
            leaf = split < self.tree.leaves
            parts, owns = _children(split[leaf] * BRANCH, np.minimum(split[leaf] * BRANCH + BRANCH, self.n), owner[leaf])
            points.append(parts)
            owners.append(owns)
            ids, old = _children(self.tree.first[split[~leaf]], self.tree.last[split[~leaf]], owner[~leaf])
        self.blocks, self.block_mean, self.block_until = (np.concatenate(each) for each in zip(*kept, strict=True))
        single = np.concatenate(points)
        if len(single):
            changed |= self._look_at_points(single, np.concatenate(owners), k)
        return changed

    def _nearest_blocks(self, ids: Index) -> tuple[Index, Array]:
        assert self.tree is not None
        rows, diameter = self.tree.features[ids], self.tree.diameter[ids]
        new = (rows @ self.forms.T).argmin(1)
        squared = self.forms @ rows.T  # (K, n)
        here = np.arange(len(new))
        distances = np.sqrt(squared)
        squared -= squared[new, here] + self.slack
        squared -= self.apart[:, new] * diameter
        squared /= distances + (distances[new, here] + diameter)
        squared[new, here] = np.inf
        return new, squared.min(0)


class Blocks:
    """Neighbours on the curve, `BRANCH` by `BRANCH`: balls around them, and their sums. The largest come last."""

    def __init__(self, cloud: Lazy) -> None:
        d, count = cloud.d, len(cloud.features)
        rows = BRANCH * PIECE  # points at a time: their moments are as large as the points
        pieces = [_joined(cloud.moments(slice(i, min(i + rows, cloud.n))), np.add) for i in range(0, cloud.n, rows)]
        parts: list[tuple[Array, Array, Array]] = []
        low = high = cloud.features[:, :d]
        while not parts or count > 2 * BRANCH:
            low, high = _joined(low, np.minimum), _joined(high, np.maximum)
            moments = _joined(parts[-1][2], np.add) if parts else np.concatenate(pieces)
            parts.append((low, high, moments))
            count = len(low)
        sizes = [len(part[0]) for part in parts]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        low, high, self.moments = (np.concatenate(each) for each in zip(*parts, strict=True))
        centre = (low + high) / 2
        self.features = np.concatenate([centre, np.ones((len(centre), 1)), np.square(centre).sum(1, keepdims=True)], 1)
        self.diameter = np.sqrt(np.square(high - low).sum(1)) * (1 + SLACK)
        self.leaves = sizes[0]
        self.first, self.last = np.zeros(len(centre), np.int64), np.zeros(len(centre), np.int64)
        for level in range(1, len(sizes)):
            own = slice(starts[level], starts[level + 1])
            self.first[own] = starts[level - 1] + np.arange(sizes[level]) * BRANCH
            self.last[own] = np.minimum(self.first[own] + BRANCH, starts[level])
        self.top = np.arange(starts[-2], starts[-1])


def along_curve(z: Array) -> Index:
    """The order of points `(D, N)` along Morton's curve (1966), over the range that holds all but the outermost of them."""
    d, n = z.shape
    bits = BITS // d
    cells = np.arange(1 << bits)
    # What each coordinate's cell adds to the place on the curve: its bits, with room for the others' between them.
    spread = sum(((cells >> bit) & 1) << (bit * d) for bit in range(bits)).astype(np.uint16)
    place = np.zeros(n, np.uint16)
    for column, values in enumerate(z):
        some = np.sort(values[:: max(1, n // 1024)])
        low, high = some[len(some) // 100], some[-1 - len(some) // 100]
        cell = values - low
        cell *= (1 << bits) / (high - low) if high > low else 0.0
        place |= spread[np.clip(cell, 0, (1 << bits) - 1, out=cell).astype(np.uint16)] << np.uint16(column)
    return place.argsort(kind="stable")


def _joined(values: Array, how: np.ufunc) -> Array:
    """Rows `(n, …)` taken together, `BRANCH` by `BRANCH`; the last of them may be fewer."""
    return how.reduceat(values, np.arange(0, len(values), BRANCH), axis=0)


def _children(first: Index, last: Index, owner: Index) -> tuple[Index, Index]:
    """All parts of blocks that have at most `BRANCH`, from `first` to before `last`, each with its block's owner."""
    parts = first[:, None] + np.arange(BRANCH)
    real = parts < last[:, None]
    return parts[real], np.broadcast_to(owner[:, None], parts.shape)[real]


def _pieces(look: Callable[[Index], tuple[Index, Array]], ids: Index) -> tuple[Index, Array]:
    """`look` at `PIECE` at a time."""
    if len(ids) <= PIECE:
        return look(ids)
    found = [look(ids[start : start + PIECE]) for start in range(0, len(ids), PIECE)]
    return np.concatenate([means for means, _ in found]), np.concatenate([gaps for _, gaps in found])
