"""The Gaussian, fitted in closed form: the mean and the covariance of the data.

    log N(x; μ, Σ) = −½ (D log 2π + log |Σ| + (x − μ)ᵀ Σ⁻¹ (x − μ))

Of all Gaussians, the one with μ = mean(x) and Σ = mean((x − μ)(x − μ)ᵀ), divided by N and not by N − 1, makes the points most
likely (Bishop 2006, section 2.3.4). A flat cloud (all points on a line of the plane, or all equal) has no likeliest Gaussian:
the thinner, the likelier, without bound. Its covariance is then kept at a floor, and `flat` says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.noise import Noise
from models.points import BadPoints, checked, checked_weights, chunks, frame_of

LOG_2PI = math.log(2 * math.pi)
FLOOR = 1e-9  # of the cloud's own variance: below, a variance is rounding or nothing at all


@dataclass(frozen=True)
class Gaussian:
    """N(mean, covariance), in the points' own units."""

    mean: Tensor  # (D,)
    covariance: Tensor  # (D, D)
    flat: bool = False  # whether a direction without any spread is held up by the floor

    @property
    def parameters(self) -> int:
        """How many numbers were fitted: D for the mean, D (D + 1) / 2 for the covariance."""
        d = len(self.mean)
        return d + d * (d + 1) // 2


def fit(points: Any, *, weights: Any = None, reg: float = 0.0) -> Gaussian:
    """The maximum-likelihood Gaussian of points `(N, D)`, each counted `weights` `(N,)` times; `reg` is added to the diagonal.

    Raises `BadPoints` for an empty cloud or numbers that are not finite.
    """
    x = checked(points)
    w = checked_weights(weights, x)
    frame = frame_of(x, w)
    second = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for piece, weight in chunks(x, w):
        z = frame.inside(piece)  # (n, D)
        second += z.T @ (z if weight is None else z * weight[:, None])
    scatter = second / frame.total + torch.diag(reg / frame.scale.square())
    values, vectors = torch.linalg.eigh(scatter)  # in the frame: coordinates of very different units keep their digits
    flat = bool(values[0] < FLOOR)
    if flat:
        scatter = (vectors * values.clamp_min(FLOOR)) @ vectors.T
    return Gaussian(frame.centre, scatter * torch.outer(frame.scale, frame.scale), flat)


def log_prob(points: Any, gaussian: Gaussian) -> Tensor:
    """log N(x; μ, Σ) of points `(N, D)`: float64 `(N,)`, nats.

    Raises `BadPoints` if the dimensions differ or the covariance is not positive definite.
    """
    x = checked(points, at_least=0)
    if x.shape[1] != len(gaussian.mean):
        raise BadPoints(f"The points have {x.shape[1]} coordinates, and the Gaussian {len(gaussian.mean)}.")
    scale = gaussian.covariance.diagonal().sqrt()  # (D,)
    factor, failed = torch.linalg.cholesky_ex(gaussian.covariance / torch.outer(scale, scale))
    if failed.any() or not torch.isfinite(factor).all():
        raise BadPoints("The covariance is not positive definite: there is no such density.")
    constant = -0.5 * len(scale) * LOG_2PI - factor.diagonal().log().sum() - scale.log().sum()
    parts = [x.new_empty(0)]
    for piece, _ in chunks(x):
        deviations = ((piece - gaussian.mean) / scale).T  # (D, n)
        white = torch.linalg.solve_triangular(factor, deviations, upper=False)
        parts.append(constant - 0.5 * white.square().sum(0))
    return torch.cat(parts)


def sample(gaussian: Gaussian, n: int, *, noise: Noise | int) -> Tensor:
    """`n` draws, float64 `(n, D)`: x = μ + L ε with Σ = L Lᵀ. The first of many are those of few."""
    d = len(gaussian.mean)
    epsilon = Noise.of(noise).normal(n, (d,), stream="x", device=gaussian.mean.device)
    return gaussian.mean + epsilon @ torch.linalg.cholesky(gaussian.covariance).T


def likelihood_surface(points: Any, means: Tensor, deviations: Tensor, *, weights: Any = None) -> Tensor:
    """log Π N(x_i; μ, σ²) of 1-D points as a function of (μ, σ): `(len(means), len(deviations))`, nats.

    From the sufficient statistics N, mean m and mean square v about it: −N (½ log 2π + log σ + (v + (m − μ)²) / 2σ²)
    (Bishop 2006, equation 1.54). Raises `BadPoints` for points of more than one coordinate or a deviation that is not above 0.
    """
    x = checked(points)
    if x.shape[1] != 1:
        raise BadPoints(f"The points have {x.shape[1]} coordinates: the surface over (μ, σ) is that of 1.")
    sigma = torch.as_tensor(deviations, dtype=torch.float64, device=x.device)
    if not (sigma > 0).all():
        raise BadPoints(f"The smallest deviation is {float(sigma.min()):g}: σ must be above 0.")
    w = checked_weights(weights, x)
    frame = frame_of(x, w)
    square = torch.zeros((), dtype=torch.float64, device=x.device)
    for piece, weight in chunks(x, w):
        squares = (piece[:, 0] - frame.centre[0]).square()
        square += squares.sum() if weight is None else weight @ squares
    offset = torch.as_tensor(means, dtype=torch.float64, device=x.device) - frame.centre[0]  # (M,)
    spread = square / frame.total + offset.square()[:, None]  # (M, 1): mean of (x − μ)²
    return -frame.total * (0.5 * LOG_2PI + sigma.log() + spread / (2 * sigma.square()))
