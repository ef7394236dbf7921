"""K-means by Lloyd's algorithm, in half steps: assign each point to the nearest mean; move each mean to the mean of its points.

Both halves lower the inertia Σ_i ‖x_i − μ_{a(i)}‖², or leave it: so it ends, at a local minimum (Lloyd 1982; MacQueen 1967).
Every cluster is a ball of the same size to it, which is why it fails on stretched ones. It is the mixture with equal weights,
one shared spherical variance and hard assignment (models.gmm), step for step.

A cluster that no point is nearest to is empty: it is named, and by default keeps its place, as a component without points does;
`empty="farthest"` moves it to the point that is farthest from its mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from models.lloyd import SMALL, Array, Lazy, Small
from models.points import BadPoints, checked, checked_weights, chunks, frame_of

Empty = Literal["keep", "farthest"]
CANCELLED = 1e-6  # of the squares about the cloud's mean: an inertia below has lost digits, and is summed from differences
DRIFTED = 1e-4  # the same for sums that are kept over many steps
COPIED = 2**21  # coordinates up to which a sorted copy and bounds are kept, some five times the points: a million in the plane
TINY = math.ulp(0.0)


@dataclass(frozen=True)
class Step:
    """The state after a half step, in the points' own units."""

    phase: Literal["assign", "move"]
    iteration: int  # from 1; assign and move together
    means: Tensor  # (K, D)
    counts: Tensor  # (K,), points (or their weights) that each cluster holds
    inertia: float  # Σ ‖x − its mean‖², with the assignment of now and the means of now
    empty: tuple[int, ...]  # clusters without points
    converged: bool  # whether another assignment changes nothing, or means moved by less than tol
    total: float  # N, or the sum of the sample weights


def steps(
    points: Any, means: Any, *, tol: float = 0.0, max_steps: int = 100, weights: Any = None, empty: Empty = "keep"
) -> Iterator[Step]:
    """Lloyd's algorithm on points `(N, D)` from means `(K, D)`: two steps an iteration, assign and move. Ends when assigning
    again changes nothing, when no mean moved farther than `tol` (in the points' unit), or after `max_steps` iterations.

    Raises `BadPoints` for fewer points than means, means of another dimension, or numbers that are not finite.
    """
    if empty not in ("keep", "farthest") or not (tol >= 0 and max_steps >= 0):
        raise BadPoints(f"empty = {empty!r} must be keep or farthest; tol = {tol} and max_steps = {max_steps} not below 0.")
    start = torch.as_tensor(means, dtype=torch.float64)
    k = len(start)
    x = checked(points, at_least=max(1, k), reason=f"K-means with {k} clusters")
    if start.ndim != 2 or start.shape[1] != x.shape[1] or not torch.isfinite(start).all():
        raise BadPoints(
            f"Means of shape {tuple(start.shape)} do not fit points of {x.shape[1]} coordinates, or are not finite."
        )
    w = checked_weights(weights, x)
    own = frame_of(x, w)
    scale = float(own.scale.square().mean().sqrt())  # one for all coordinates: distances keep their order
    run = _Pass(x, w, own.centre, scale, k)
    now = run.inside(start.to(x.device)).T.cpu().numpy()
    found, here = run(now), run.own_units(now)
    for iteration in range(1, max_steps + 1):
        counts, none = run.here(found.counts), found.empty
        yield Step("assign", iteration, here, counts, found.inertia * scale**2, none, False, own.total)
        moved = np.where(found.counts[:, None] > 0, found.means, now) if none else found.means
        if none and empty == "farthest":
            moved[list(none)] = run.farthest(now, len(none))
        after, here = run(moved), run.own_units(moved)
        ways = np.square(moved - now).sum(1)  # (K,)
        converged = not after.changed or (tol > 0 and math.sqrt(ways.max()) * scale < tol)
        # With the assignment held, moving a mean lowers the inertia by its points' number times the square of the way.
        settled = max(0.0, found.inertia - float(found.counts @ ways)) if after.changed else after.inertia
        yield Step("move", iteration, here, counts, settled * scale**2, none, converged, own.total)
        if converged:
            return
        now, found = moved, after


def fit(points: Any, means: Any, **options: Any) -> Step:
    """The last step of `steps`."""
    last = None
    for last in steps(points, means, **options):  # noqa: B007
        pass
    if last is None:
        raise BadPoints("max_steps = 0 leaves nothing to return: ask for at least 1.")
    return last


def assign(points: Any, means: Any) -> Tensor:
    """The nearest mean of each point, the first of equals: int64 `(N,)`."""
    x = checked(points, at_least=0)
    centres = torch.as_tensor(means, dtype=torch.float64, device=x.device)
    middle = centres.mean(0)
    nearest = [_scores(((piece - middle).T), centres - middle).min(0).indices for piece, _ in chunks(x)]
    return torch.cat(nearest) if nearest else torch.empty(0, dtype=torch.int64, device=x.device)


@dataclass(frozen=True)
class _Found:
    """What an assignment leaves, in the frame."""

    counts: Array  # (K,)
    means: Array  # (K, D) of the points of each cluster; 0 where there are none
    inertia: float
    changed: bool  # whether any point has another mean than at the last call

    @property
    def empty(self) -> tuple[int, ...]:
        return () if self.counts.all() else tuple(np.flatnonzero(self.counts == 0).tolist())


def _scores(z: Tensor, means: Tensor) -> Tensor:
    """‖μ‖² − 2 μᵀx for points `(D, n)` in columns: `(K, n)`, the squared distances less ‖x‖²."""
    return torch.addmm(means.square().sum(1)[:, None], means, z, alpha=-2.0)


class _Pass:
    """One assignment of all points, with the sums that the move needs. Means are numpy's here: its small calls cost less."""

    def __init__(self, x: Tensor, w: Tensor | None, centre: Tensor, scale: float, k: int) -> None:
        self.x, self.w, self.centre, self.scale, self.factor = x, w, centre, scale, 1 / scale
        self.offset = centre.cpu().numpy()
        squares = x.new_zeros(())
        for piece, weight in chunks(x, w):
            each = self.inside(piece).square().sum(0)
            squares += each.sum() if weight is None else weight @ each
        self.squares = float(squares)  # Σ ‖x‖² in the frame
        self.quick = self.made_quick() if x.device.type == "cpu" and k > 1 and x.numel() <= COPIED else None
        self.last: _Found | None = None

    def made_quick(self) -> Small | Lazy:
        x, w = self.x, self.w
        if w is not None and not w.all():
            x, w = x[w > 0], w[w > 0]  # points without weight change nothing
        z = (x.detach().T - self.centre[:, None]).mul_(self.factor).contiguous().numpy()  # (D, N)
        weight = None if w is None else w.detach().numpy()
        return Small(z, weight) if len(x) <= SMALL else Lazy(z, weight)

    def inside(self, piece: Tensor) -> Tensor:
        return ((piece - self.centre) * self.factor).T.contiguous()  # (D, n)

    def own_units(self, means: Array) -> Tensor:
        return self.here(self.offset + means * self.scale)

    def here(self, values: Array) -> Tensor:
        """On the points' device."""
        own = torch.from_numpy(values)
        return own if self.x.is_cpu else own.to(self.x.device)

    def __call__(self, means: Array) -> _Found:
        if self.quick is None:
            return self.plain(means)
        lengths = np.einsum("kd,kd->k", means, means)
        sums = self.quick(means, lengths)
        inertia = self.squares + float(sums.counts @ lengths) - 2 * float(np.vdot(means, sums.first))
        if inertia < DRIFTED * self.squares:
            inertia = self.inertia(means)
        return _Found(sums.counts, sums.first / np.maximum(sums.counts, TINY)[:, None], inertia, sums.changed)

    def plain(self, means: Array) -> _Found:
        """Every point against every mean, chunk by chunk: nothing the size of N, on any device."""
        k, d = means.shape
        now = self.here(means)
        counts, sums, lowest = self.x.new_zeros(k), self.x.new_zeros(k, d), self.x.new_zeros(())
        for piece, w in chunks(self.x, self.w):
            z = self.inside(piece)
            best = _scores(z, now).min(0)
            lowest += best.values.sum() if w is None else w @ best.values
            chosen = z.new_zeros(k, z.shape[1]).scatter_(0, best.indices[None], 1.0 if w is None else w[None])
            counts += chosen.sum(1)
            sums += chosen @ z.T
        inertia = self.squares + float(lowest)
        if inertia < CANCELLED * self.squares:
            inertia = self.inertia(means)
        held, centres = counts.cpu().numpy(), (sums / counts.clamp_min(TINY)[:, None]).cpu().numpy()
        last = self.last  # the same assignment makes the same sums, to the bit
        changed = last is None or not (np.array_equal(held, last.counts) and np.array_equal(centres, last.means))
        self.last = _Found(held, centres, inertia, changed)
        return self.last

    def inertia(self, means: Array) -> float:
        """Σ ‖x − nearest mean‖² from the differences themselves."""
        total, now = self.x.new_zeros(()), self.here(means)
        for piece, w in chunks(self.x, self.w):
            z = self.inside(piece)
            each = (z - now[_scores(z, now).min(0).indices].T).square().sum(0)
            total += each.sum() if w is None else w @ each
        return float(total)

    def farthest(self, means: Array, n: int) -> Array:
        """The `n` points farthest from their means, `(n, D)` in the frame: candidates of each chunk, then the best of them."""
        distances, places, now = [], [], self.here(means)
        for piece, w in chunks(self.x, self.w):
            z = self.inside(piece)
            each = z.square().sum(0) + _scores(z, now).min(0).values
            if w is not None:
                each = torch.where(w > 0, each, torch.full_like(each, -1.0))
            top = each.topk(min(n, len(each)))
            distances.append(top.values)
            places.append(z[:, top.indices].T)
        return torch.cat(places)[torch.cat(distances).topk(n).indices].cpu().numpy()
