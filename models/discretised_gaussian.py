"""A Gaussian on the integers 0 to levels - 1: probability mass, not density.

A Gaussian N(μ, σ²) is rounded to the nearest integer, and what falls outside is clipped to the ends. Level k therefore gets
the mass of its unit cell, and the two ends are open:

    p(k) = Φ((k + ½ − μ)/σ) − Φ((k − ½ − μ)/σ),   p(0) = Φ((½ − μ)/σ),   p(levels−1) = 1 − Φ((levels − 3/2 − μ)/σ)

The mean is unbounded: with μ far below 0 the open end takes all the mass, so that black can be certain. In the interior, for
a fixed σ that is large against a cell, log p(k) is −(k − μ)²/2σ² and a constant: the squared distance.

Source: the construction is that of Salimans et al. (2017), "PixelCNN++", section 2.1, there for a logistic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.noise import Noise


def log_mass(x: Tensor, mean: Tensor, std: Tensor, levels: int) -> Tensor:
    """log p(x) in nats, elementwise; `x` integers 0 to levels - 1, `mean` and `std` in levels; shapes broadcast.

    Computed on the lower tail of the folded distance |x − μ|, where the difference of two Φ keeps its digits:
    log(Φ(a) − Φ(b)) = log Φ(a) + log(1 − exp(log Φ(b) − log Φ(a))).
    """
    distance = (x.to(mean.dtype) - mean) / std
    half_cell = 0.5 / std
    folded = distance.abs()
    lowest, highest = x == 0, x == levels - 1
    near = torch.where(lowest, half_cell + distance, torch.where(highest, half_cell - distance, half_cell - folded))
    log_near = torch.special.log_ndtr(near)
    log_far = torch.special.log_ndtr(-half_cell - folded)
    # An end has no far side; -1 stands in there, so that no gradient of the unused branch is infinite.
    difference = torch.where(lowest | highest, -torch.ones_like(log_near), log_far - log_near)
    tiny = torch.finfo(mean.dtype).tiny
    interior = log_near + torch.log((-torch.expm1(difference)).clamp_min(tiny))
    return torch.where(lowest | highest, log_near, interior)


def expectation(mean: Tensor, std: Tensor, levels: int) -> Tensor:
    """E[x] in levels, elementwise: what many draws average to. Not the Gaussian's own mean, since the ends are clipped.

    E[x] = Σ_k P(x ≥ k) = Σ_{k=1}^{levels−1} Φ((μ − k + ½)/σ), by the midpoint rule ∫₀^{levels−1} Φ((μ − t)/σ) dt
    = σ·[G(μ/σ) − G((μ − levels + 1)/σ)] with G(u) = u·Φ(u) + φ(u): within 0.02 of a level for σ ≥ 1, 0.5 for any σ.
    """
    return std * (_ramp(mean / std) - _ramp((mean - (levels - 1)) / std))


def _ramp(u: Tensor) -> Tensor:
    """u·Φ(u) + φ(u), the integral of Φ from −∞ to u."""
    return u * torch.special.ndtr(u) + torch.exp(-0.5 * u.square()) / (2 * torch.pi) ** 0.5


def draw(mean: Tensor, std: Tensor, levels: int, *, noise: Noise, stream: str = "x") -> Tensor:
    """One draw for each mean: uint8 of `mean`'s shape `(B, ...)`. Rounding and clipping a Gaussian is exactly `log_mass`."""
    epsilon = noise.normal(len(mean), tuple(mean.shape[1:]), stream=stream, dtype=mean.dtype, device=mean.device)
    return (mean + std * epsilon).round().clamp(0, levels - 1).to(torch.uint8)
