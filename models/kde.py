"""A density without a formula: counts in boxes, and a bump on every point.

    histogram   p(x) = count of x's box / (N × volume of a box)
    kernels     p(x) = 1/N Σᵢ N(x; xᵢ, h² I)

Both let the points speak for themselves, and both have one knob: the width of a box, or the bandwidth h (Silverman 1986,
"Density estimation for statistics and data analysis", sections 2.2, 2.4 and 4.2). The likelihood of the points themselves
cannot set h: a bump that shrinks onto its own point grows without bound. Left out of its own density, a point scores what the
*others* promise of it:

    L(h) = 1/N Σᵢ log 1/(N − 1) Σ_{j≠i} N(xᵢ; xⱼ, h² I)          (section 3.4.4)

which falls for an h too small as for one too large. Where every point has a twin at the same place, even that is unbounded as
h → 0: the search has a smallest h, and `at_edge` says that it ended there.

Kernels compare differences of points, so a cloud far away loses nothing. Sums run in logarithms: far out the density is 10⁻⁹⁹⁹,
but its logarithm is an ordinary number. Pairs are gone through in tiles; no more than a tile of them is ever held.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.noise import Noise
from models.points import BadPoints, checked, checked_weights, frame_of

LOG_2PI = math.log(2 * math.pi)
TILE = {"cpu": (256, 2**17), "cuda": (4_096, 2**24)}  # points, and pairs, held at a time: a core's cache; work for a GPU
CELLS = 2**24  # boxes of a histogram: 128 MB of counts
FARTHEST = 1e150  # bandwidths that a cloud may be wide: beyond, squares overflow
SMALLEST, LARGEST = 1e-3, 2.0  # the search for h, in deviations: of the narrowest and of the widest coordinate
STEP, FINE = (
    0.55,
    10,
)  # steps of log h on the grid (15 of them, if all coordinates spread alike); then evaluations: h within 1 %
FEWEST = 500  # points evaluated for one h, where there are so many: the optimum is flat, and their mean is enough
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Histogram:
    """Counts of points in equal boxes. In 2-D, row r and column c are the box from `edges[1][r]` and `edges[0][c]` on."""

    edges: tuple[Tensor, ...]  # per coordinate, (bins + 1,)
    counts: Tensor  # (X,), or (Y, X): as a picture lies; sums of weights where there are any
    density: Tensor  # as counts; integrates to the share of points inside
    outside: float  # how many points (or how much weight) lie outside all boxes


def histogram(
    points: Any,
    bins: int | Sequence[int],
    low: float | Sequence[float],
    high: float | Sequence[float],
    *,
    weights: Any = None,
) -> Histogram:
    """Counts of points `(N, D)`, D = 1 or 2, in `bins` boxes from `low` to `high` (one number, or one per coordinate).

    A box has its lower edge; the last one has both. Density is per unit of the points (squared in 2-D).
    Raises `BadPoints` for other D, `low` not below `high`, and no boxes or more than `CELLS`.
    """
    x = checked(points)
    w = checked_weights(weights, x)
    d = x.shape[1]
    if d > 2:
        raise BadPoints(f"The points have {d} coordinates: a histogram takes 1 or 2.")
    sides = [int(b) for b in _per_coordinate(bins, d, "bins")]
    lows, highs = _per_coordinate(low, d, "lower limits"), _per_coordinate(high, d, "upper limits")
    if min(sides) < 1 or math.prod(sides) > CELLS:
        raise BadPoints(
            f"{' × '.join(map(str, sides))} boxes cannot be counted: each side needs 1 or more, together {CELLS:,}."
        )
    for a, b in zip(lows, highs, strict=True):
        if not (math.isfinite(a) and math.isfinite(b) and a < b):
            raise BadPoints(f"The limits {a:g} and {b:g} enclose nothing: the lower must be below the upper.")
    edges = tuple(
        torch.linspace(a, b, s + 1, dtype=torch.float64, device=x.device) for a, b, s in zip(lows, highs, sides, strict=True)
    )
    cell = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    inside = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for k in reversed(range(d)):
        column = x[:, k].contiguous()
        index = torch.searchsorted(edges[k], column, right=True) - 1  # (N,); by the edges themselves: no rounding at them
        index -= (column == edges[k][-1]).to(torch.int64)
        inside &= (index >= 0) & (index < sides[k])
        cell = cell * sides[k] + index
    counts = torch.bincount(cell[inside], None if w is None else w[inside], minlength=math.prod(sides)).to(torch.float64)
    total = float(len(x)) if w is None else float(w.sum())
    volume = math.prod((b - a) / s for a, b, s in zip(lows, highs, sides, strict=True))
    counts = counts.reshape(sides[::-1])
    missed = ~inside
    outside = float(missed.sum()) if w is None else float(w[missed].sum())
    return Histogram(edges, counts, counts / (total * volume), outside)


def log_prob(points: Any, centres: Any, bandwidth: float, *, weights: Any = None) -> Tensor:
    """log p(x) of points `(N, D)` under Gaussian bumps on `centres` `(M, D)`: float64 `(N,)`, nats.

    `bandwidth` is h, the deviation of a bump in every coordinate, in the points' unit. `weights` `(M,)` are the bumps' heights,
    scaled to a sum of 1. Raises `BadPoints` if the dimensions differ or h is not above 0.
    """
    c = checked(centres)
    w = checked_weights(weights, c)
    x = checked(points, at_least=0)
    if x.shape[1] != c.shape[1]:
        raise BadPoints(f"The points have {x.shape[1]} coordinates, and the centres {c.shape[1]}.")
    h = _usable(bandwidth, c)
    heights = None if w is None else w.log() - w.sum().log() + math.log(len(c))  # (M,), against the 1/M of each below
    return _log_sums(x, c, h, heights=heights) - math.log(len(c)) + _log_peak(h, c.shape[1])


def grid(centres: Any, bandwidth: float, *axes: Any) -> Tensor:
    """p(x) at all crossings of `axes`, one vector per coordinate: `(X,)`, or `(Y, X)` with row r at `axes[1][r]`.

    A bump is a product of one-dimensional ones, so all sums at once are one matrix product, A Bᵀ, with the values of all bumps
    along either axis: the same numbers as point by point, for far less work. Raises `BadPoints` for D other than 1 or 2.
    """
    c = checked(centres)
    d = c.shape[1]
    if d > 2 or len(axes) != d:
        raise BadPoints(f"{len(axes)} axes do not span a grid for points of {d} coordinates: 1 or 2, one for each, do.")
    h = _usable(bandwidth, c)
    lines = [torch.as_tensor(axis, dtype=torch.float64, device=c.device) for axis in axes]
    sums = c.new_zeros([len(line) for line in reversed(lines)])
    size = max(1, TILE[c.device.type][1] // max(1, *sums.shape))
    for start in range(0, len(c), size):
        piece = c[start : start + size]
        bumps = [((line[:, None] - piece[:, k]) / h).square_().mul_(-0.5).exp_() for k, line in enumerate(lines)]  # (G, n) each
        sums += bumps[0].sum(1) if d == 1 else bumps[1] @ bumps[0].T
    return (sums.log_() + (_log_peak(h, d) - math.log(len(c)))).exp_()  # in logarithms, lest a tiny h overflow


def held_out(train: Any, test: Any, bandwidth: float) -> float:
    """Mean log p of the points `test` under bumps on the points `train`: nats a point."""
    return float(log_prob(checked(test), train, bandwidth).mean())


def leave_one_out(centres: Any, bandwidth: float, *, sample: Tensor | None = None) -> float:
    """L(h): mean log density of each point `(N, D)` under the bumps of the N − 1 others, nats a point (Silverman 1986, 3.4.4).

    `sample`: numbers `(m,)` of the points that are scored; all by default. Each is scored by all others in any case.
    Raises `BadPoints` for fewer than 2 points or an h that is not above 0.
    """
    x = checked(centres, at_least=2, reason="leaving one out")
    rows = torch.arange(len(x), device=x.device) if sample is None else sample.to(x.device)
    h = _usable(bandwidth, x)
    return float(_log_sums(x[rows], x, h, own=rows).mean()) - math.log(len(x) - 1) + _log_peak(h, x.shape[1])


@dataclass(frozen=True)
class Bandwidth:
    """The h found by leaving one out, and the search that found it."""

    h: float  # in the points' unit
    log_likelihood: float  # L(h), nats a point
    tried: tuple[tuple[float, float], ...]  # (h, L(h)), by rising h
    points: int  # how many points were scored for each h
    at_edge: bool  # h is the smallest or the largest that was allowed: there may be no best one


def best_bandwidth_steps(points: Any, *, noise: Noise | int, pairs: int = 8_000_000) -> Generator[float, None, Bandwidth]:
    """The h with the largest leave-one-out likelihood of points `(N, D)`, in slices: yields the share of the work done.

    A grid of log h from 1/1000 of the narrowest coordinate's deviation to twice the widest's, then a golden-section search
    (Kiefer 1953) around its best: exact to 1 % where L has one top there. If N² is more than `pairs`, only m points, drawn by
    `noise`, are scored, by all others: m N ≤ `pairs`, but never fewer than 500. No slice goes through more than `pairs` pairs,
    or N.
    Raises `BadPoints` for fewer than 2 points, or if all are equal.
    """
    x = checked(points, at_least=2, reason="leaving one out")
    varies = (x != x[0]).any(0)  # (D,)
    if not varies.any():
        raise BadPoints(f"All {len(x)} points are equal: the narrower the kernel, the likelier, so there is no best bandwidth.")
    rows = torch.arange(len(x))
    if len(x) > max(FEWEST, pairs // len(x)):
        rows = Noise.of(noise).permutation(len(x), stream="bandwidth")[: max(FEWEST, pairs // len(x))]
    slices = rows.to(x.device).split(max(1, pairs // len(x)))
    spreads = frame_of(x).scale[varies]
    low, high = math.log(SMALLEST * float(spreads.min())), math.log(LARGEST * float(spreads.max()))
    coarse = 1 + math.ceil((high - low) / STEP)
    work, done = (coarse + FINE) * len(slices), 0
    tried: dict[float, float] = {}

    def evaluate(log_h: float) -> Generator[float, None, float]:
        nonlocal done
        total = 0.0
        for part in slices:
            total += leave_one_out(x, math.exp(log_h), sample=part) * len(part)
            done += 1
            yield done / work
        tried[log_h] = total / len(rows)
        return tried[log_h]

    steps = [low + (high - low) * k / (coarse - 1) for k in range(coarse)]
    for log_h in steps:
        yield from evaluate(log_h)
    best = max(range(coarse), key=lambda k: tried[steps[k]])
    left, right = steps[max(best - 1, 0)], steps[min(best + 1, coarse - 1)]
    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_inner, at_outer = (yield from evaluate(inner)), (yield from evaluate(outer))
    for _ in range(FINE - 2):
        if at_inner >= at_outer:
            right, outer, at_outer = outer, inner, at_inner
            inner = right - GOLDEN * (right - left)
            at_inner = yield from evaluate(inner)
        else:
            left, inner, at_inner = inner, outer, at_outer
            outer = left + GOLDEN * (right - left)
            at_outer = yield from evaluate(outer)
    top = max(tried, key=lambda log_h: tried[log_h])
    curve = tuple((math.exp(log_h), tried[log_h]) for log_h in sorted(tried))
    return Bandwidth(math.exp(top), tried[top], curve, len(rows), top in (steps[0], steps[-1]))


def best_bandwidth(points: Any, *, noise: Noise | int, pairs: int = 8_000_000) -> Bandwidth:
    """`best_bandwidth_steps` to its end, for callers with nothing else to do."""
    search = best_bandwidth_steps(points, noise=noise, pairs=pairs)
    while True:
        try:
            next(search)
        except StopIteration as end:
            return end.value


def sample(centres: Any, bandwidth: float, n: int, *, noise: Noise | int) -> tuple[Tensor, Tensor]:
    """`n` draws: a point of `centres` `(M, D)`, picked evenly, then h times normal noise. `(n, D)`, and which point `(n,)`.

    h = 0 gives the points themselves back (the bootstrap). The first of many draws are those of few.
    """
    c, source = checked(centres), Noise.of(noise)
    h = 0.0 if bandwidth == 0 else _usable(bandwidth, c)
    which = (source.uniform(n, stream="which", device=c.device) * len(c)).long().clamp_max_(len(c) - 1)  # (n,)
    return c[which] + h * source.normal(n, (c.shape[1],), stream="x", device=c.device), which


def _log_sums(x: Tensor, c: Tensor, h: float, *, heights: Tensor | None = None, own: Tensor | None = None) -> Tensor:
    """log Σ_j height_j exp(−|x − c_j|² / 2h²) for points `(N, D)`: `(N,)`. `own` `(N,)`: the centre that each point leaves out.

    A streaming log-sum-exp: by the least exponent so far, and the sum relative to it. Differences are taken coordinate by
    coordinate; the expanded square |x|² − 2xc + |c|² would lose the digits of points that are close.
    """
    shift, unit = c.mean(0), h * math.sqrt(2)
    height, tile = TILE[x.device.type]
    out = x.new_empty(len(x))
    for top in range(0, len(x), height):
        a = (x[top : top + height] - shift) / unit  # (n, D)
        least = a.new_full((len(a),), torch.finfo(torch.float64).max)  # finite: infinity less itself is not a number
        total = a.new_zeros(len(a))
        width = tile // len(a)
        for start in range(0, len(c), width):
            b = (c[start : start + width] - shift) / unit  # (m, D)
            exponent = (a[:, 0, None] - b[:, 0]).square_()  # (n, m), with its sign turned
            for k in range(1, a.shape[1]):
                difference = a[:, k, None] - b[:, k]
                exponent.addcmul_(difference, difference)
            if heights is not None:
                exponent -= heights[start : start + width]
            if own is not None:
                column = own[top : top + height] - start
                mine = ((column >= 0) & (column < len(b))).nonzero()[:, 0]
                exponent[mine, column[mine]] = math.inf
            new = torch.minimum(least, exponent.amin(1))
            total = total * (new - least).exp() + torch.sub(new[:, None], exponent, out=exponent).exp_().sum(1)
            least = new
        out[top : top + height] = total.log() - least
    return out


def _log_peak(h: float, d: int) -> float:
    """The logarithm of a bump's height, (2π h²)^(−D/2)."""
    return -d * (math.log(h) + 0.5 * LOG_2PI)


def _usable(bandwidth: float, c: Tensor) -> float:
    h = float(bandwidth)
    if not (math.isfinite(h) and h > 0):
        raise BadPoints(f"A bandwidth of {h:g} makes no kernel: it must be above 0, in the unit of the points.")
    width = float((c.amax(0) - c.amin(0)).max())
    if width > FARTHEST * h:
        raise BadPoints(f"A bandwidth of {h:g} is too small for a cloud {width:g} wide: at least {width / FARTHEST:g} does.")
    return h


def _per_coordinate(value: Any, d: int, what: str) -> list[Any]:
    values = list(value) if hasattr(value, "__len__") else [value] * d
    if len(values) != d:
        raise BadPoints(f"{len(values)} {what} do not fit points of {d} coordinates: give one number, or {d}.")
    return values
