"""Clouds of points: what every model of points asks of them, and the frame in which it computes.

A cloud is a float64 tensor `(N, D)`. Sums of squares of coordinates near 1e6 lose twelve of sixteen digits, so models compute
in the cloud's own frame: centred on its mean, each coordinate divided by its standard deviation. Points are gone through in
chunks; nothing here or in the models grows with N times the number of components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK = 8_192  # points at a time: with ten components their logits still fit a core's cache
WIDEST = 1e100  # deviation of a cloud: sums of squares and products of such numbers are still finite


class BadPoints(ValueError):
    """Points that no model can be fitted to; the message is one sentence that names the value and the limit."""


def checked(points: Any, *, at_least: int = 1, reason: str = "a cloud") -> Tensor:
    """Points as float64 `(N, D)`, on the device they are on; a vector is taken as `(N, 1)`.

    Raises `BadPoints` for another shape, for fewer than `at_least` points (`reason` says what needs them), and for numbers that
    are not finite.
    """
    x = torch.as_tensor(points, dtype=torch.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.shape[1] < 1:
        raise BadPoints(f"Points of shape {tuple(x.shape)} are not a cloud: it has N rows and D ≥ 1 columns.")
    if len(x) < at_least:
        noun = "point is" if len(x) == 1 else "points are"
        raise BadPoints(f"{len(x)} {noun} too few: {reason} needs at least {at_least}.")
    for start in range(0, len(x), CHUNK):
        bad = ~torch.isfinite(x[start : start + CHUNK]).all(1)
        if bad.any():
            row = start + int(bad.nonzero()[0, 0])
            raise BadPoints(f"Point {row + 1} is {x[row].tolist()}: every coordinate must be a finite number.")
    return x


def checked_weights(weights: Any, x: Tensor) -> Tensor | None:
    """Sample weights as float64 `(N,)` beside the points `x`; None stays None (all are 1).

    Raises `BadPoints` for another length, a negative or infinite weight, or a sum of 0.
    """
    if weights is None:
        return None
    w = torch.as_tensor(weights, dtype=torch.float64, device=x.device)
    if w.shape != (len(x),):
        raise BadPoints(f"{tuple(w.shape)} weights do not fit {len(x)} points: give one for each point.")
    if not torch.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise BadPoints("The sample weights must be finite, none below 0, and not all 0.")
    return w


def chunks(x: Tensor, weights: Tensor | None = None, size: int | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Pieces of the points `(n, D)` and of their weights `(n,)`, at most `size` (or CHUNK) of them: views, no copies."""
    step = CHUNK if size is None else size
    for start in range(0, len(x), step):
        yield x[start : start + step], None if weights is None else weights[start : start + step]


@dataclass(frozen=True)
class Frame:
    """Centre and scale of a cloud: `inside = (x − centre) / scale`, coordinate by coordinate."""

    centre: Tensor  # (D,), the weighted mean
    scale: Tensor  # (D,), the standard deviation; where it is 0, the largest of the others, or 1 if all are 0
    total: float  # sum of the weights: N without

    def inside(self, x: Tensor) -> Tensor:
        """Points `(n, D)` in the frame."""
        return (x - self.centre) / self.scale


def frame_of(x: Tensor, weights: Tensor | None = None) -> Frame:
    """The frame of points `(N, D)`: two passes, the second about the first's mean (Chan, Golub, LeVeque 1983, section 1).

    Raises `BadPoints` for a cloud that is too wide for sums of squares.
    """
    total = float(len(x)) if weights is None else float(weights.sum())
    shift = x[0].clone()
    first = torch.zeros_like(shift)
    for piece, w in chunks(x, weights):
        deviations = piece - shift
        first += deviations.sum(0) if w is None else w @ deviations
    centre = shift + first / total
    second = torch.zeros_like(shift)
    for piece, w in chunks(x, weights):
        squares = (piece - centre).square()
        second += squares.sum(0) if w is None else w @ squares
    scale = (second / total).sqrt()
    if not (scale <= WIDEST).all():  # NaN is not either
        raise BadPoints(f"The points lie as far apart as {float(x.abs().max()):g}: deviations must be at most {WIDEST:g}.")
    tiny = 1e-14 * torch.maximum(centre.abs(), x[0].abs())  # what rounding alone makes of equal coordinates
    scale = torch.where(scale > tiny, scale, torch.zeros_like(scale))
    # A flat coordinate takes its unit from the others, so that no model depends on the unit of the points.
    spare = scale.max() if bool((scale > 0).any()) else torch.ones_like(scale[0])
    return Frame(centre, torch.where(scale > 0, scale, spare), total)
