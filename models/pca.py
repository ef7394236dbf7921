"""Principal axes, and the Gaussian that they make: probabilistic PCA.

    z ~ N(0, I_q),   x | z ~ N(W z + μ, σ² I)   so that   x ~ N(μ, C),   C = W Wᵀ + σ² I

The most likely W and σ² are closed forms in the eigenvalues λ₁ ≥ … ≥ λ_D and the eigenvectors U of the covariance (dividing by
N): σ² is the mean of the D − q eigenvalues that are left out, and W = U_q (Λ_q − σ² I)^½ (Tipping and Bishop 1999,
"Probabilistic principal component analysis", section 3.2, equations 7 and 8). So C keeps the variances along the q axes as they
are, and gives every direction across them the same one.

With q = 0 it is the round Gaussian. With q = D − 1 a single eigenvalue is left out, its mean is itself, and C is the covariance
of the points: on the plane, one axis *is* the full Gaussian.

The covariance is never formed. A triangle R with RᵀR = (X − μ)ᵀ(X − μ) is carried through the chunks by QR factorisations, and
its singular values are √(N λ): squared at the very end, a thin direction keeps the digits that the covariance would have lost.
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
ROUNDING = 32 * torch.finfo(torch.float64).eps  # a deviation this small beside the cloud's coordinates is not one


class NoDensity(BadPoints):
    """The covariance is singular: the model is a distribution on a flat, with no density in the D dimensions around it."""


@dataclass(frozen=True)
class PCA:
    """q principal axes of D-dimensional points, in the points' own units."""

    mean: Tensor  # (D,)
    directions: Tensor  # (q, D), orthonormal rows; the entry largest in magnitude is positive in each
    variances: Tensor  # (q,), along the directions, falling
    noise_variance: float  # σ², across them: the mean of the left-out eigenvalues; 0 if q = D
    explained: Tensor  # (D,), each eigenvalue's share of the variance; all 0 if the points are all equal

    @property
    def axes(self) -> int:
        """q."""
        return len(self.directions)

    @property
    def loadings(self) -> Tensor:
        """W `(D, q)`, up to a rotation of z (Tipping and Bishop 1999, equation 7)."""
        return self.directions.T * (self.variances - self.noise_variance).clamp_min(0).sqrt()

    @property
    def covariance(self) -> Tensor:
        """C = W Wᵀ + σ² I `(D, D)`: with `mean`, the Gaussian that this model is."""
        w = self.loadings
        return w @ w.T + self.noise_variance * torch.eye(len(self.mean), dtype=w.dtype, device=w.device)

    @property
    def parameters(self) -> int:
        """How many numbers were fitted: the mean, W less the rotations of z, and σ² where there is one (section 3.2)."""
        d, q = len(self.mean), self.axes
        return d + d * q - q * (q - 1) // 2 + (q < d)


def fit(points: Any, axes: int, *, weights: Any = None) -> PCA:
    """The most likely probabilistic PCA of points `(N, D)`, each counted `weights` `(N,)` times.

    `axes` is q, from 0 (a round Gaussian) over D − 1 (the full Gaussian: on the plane one axis already is it) to D (the same,
    with nothing left out). Points without spread across the axes are fitted too; only `log_prob` refuses them.
    Raises `BadPoints` for an empty cloud, numbers that are not finite, or another q.
    """
    x = checked(points)
    w = checked_weights(weights, x)
    d = x.shape[1]
    if not 0 <= axes <= d:
        raise BadPoints(f"{axes} axes do not fit points of {d} {'coordinate' if d == 1 else 'coordinates'}: 0 to {d} do.")
    frame = frame_of(x, w)
    triangle = x.new_zeros(d, d)
    for piece, weight in chunks(x, w):
        deviations = piece - frame.centre  # (n, D); not divided by each coordinate's scale: that would turn the axes
        rows = deviations if weight is None else deviations * weight.sqrt()[:, None]
        triangle = torch.linalg.qr(torch.cat([triangle, rows]), mode="r").R  # (D, D)
    singular, turned = torch.linalg.svd(triangle)[1:]  # (D,), falling, and (D, D): directions in rows
    deviation = singular / math.sqrt(frame.total)
    deviation = torch.where(deviation > ROUNDING * math.sqrt(d) * _largest(frame.centre, deviation), deviation, 0.0)
    eigenvalues = deviation.square()
    total = eigenvalues.sum()
    return PCA(
        mean=frame.centre,
        directions=_signed(turned[:axes]),
        variances=eigenvalues[:axes],
        noise_variance=float(eigenvalues[axes:].mean()) if axes < d else 0.0,
        explained=eigenvalues / total if total > 0 else torch.zeros_like(eigenvalues),
    )


def log_prob(points: Any, pca: PCA) -> Tensor:
    """log N(x; μ, C) of points `(N, D)`: float64 `(N,)`, nats (Tipping and Bishop 1999, section 3.1, equation 3).

    By the distances along and across the axes: neither C nor its inverse is made. Raises `NoDensity` if C is singular, and
    `BadPoints` if the dimensions differ.
    """
    d, q = len(pca.mean), pca.axes
    x = _matching(points, pca, at_least=0)
    if (q < d and not pca.noise_variance > 0) or not (pca.variances > 0).all():
        raise NoDensity(
            f"The points lie flat: in some of their {d} directions they have no spread, so there is no density; "
            "take fewer axes, or points that fill every direction."
        )
    deviation = pca.variances.sqrt()  # (q,)
    sigma = math.sqrt(pca.noise_variance)
    constant = -0.5 * d * LOG_2PI - float(deviation.log().sum())
    constant -= (d - q) * math.log(sigma) if q < d else 0.0
    out = x.new_empty(len(x))
    place = 0
    for piece, _ in chunks(x):
        centred = piece - pca.mean  # (n, D)
        along = centred @ pca.directions.T  # (n, q)
        distance = (along / deviation).square().sum(1)
        if q < d:
            distance += ((centred - along @ pca.directions) / sigma).square().sum(1)
        out[place : place + len(piece)] = constant - 0.5 * distance
        place += len(piece)
    return out


def project(points: Any, pca: PCA) -> Tensor:
    """Coordinates of points `(N, D)` along the axes, in the points' unit: `(N, q)`. Raises `BadPoints` if D differs."""
    x = _matching(points, pca, at_least=0)
    out = x.new_empty(len(x), pca.axes)
    place = 0
    for piece, _ in chunks(x):
        out[place : place + len(piece)] = (piece - pca.mean) @ pca.directions.T
        place += len(piece)
    return out


def reconstruct(z: Any, pca: PCA) -> Tensor:
    """The points `(N, D)` on the flat through the axes whose coordinates, as `project` gives them, are `z` `(N, q)`."""
    coordinates = torch.as_tensor(z, dtype=torch.float64, device=pca.mean.device)
    if coordinates.ndim != 2 or coordinates.shape[1] != pca.axes:
        raise BadPoints(f"Coordinates of shape {tuple(coordinates.shape)} do not fit {pca.axes} axes: give (N, {pca.axes}).")
    return pca.mean + coordinates @ pca.directions


def sample(pca: PCA, n: int, *, noise: Noise | int) -> tuple[Tensor, Tensor]:
    """`n` draws in two steps: z ~ N(0, I), then x | z ~ N(W z + μ, σ² I). Points `(n, D)` and their z `(n, q)`.

    z is in standard deviations: W z + μ is the point that z decodes to, before σ's noise. The first of many draws are those of
    few.
    """
    source, d = Noise.of(noise), len(pca.mean)
    z = source.normal(n, (pca.axes,), stream="z", device=pca.mean.device)  # (n, q)
    x = pca.mean + z @ pca.loadings.T  # (n, D)
    if pca.noise_variance > 0:
        x = x + math.sqrt(pca.noise_variance) * source.normal(n, (d,), stream="x", device=pca.mean.device)
    return x, z


def _matching(points: Any, pca: PCA, at_least: int) -> Tensor:
    x = checked(points, at_least=at_least)
    if x.shape[1] != len(pca.mean):
        raise BadPoints(f"The points have {x.shape[1]} coordinates, and the axes {len(pca.mean)}.")
    return x


def _largest(centre: Tensor, deviation: Tensor) -> Tensor:
    """How large the numbers are whose rounding could be mistaken for spread."""
    return torch.maximum(centre.abs().max(), deviation.max())


def _signed(directions: Tensor) -> Tensor:
    """An axis has no sense of direction: each row `(q, D)` is given the one in which its largest entry is positive.

    Where entries tie in size, as along the diagonal, the first within rounding of the largest decides.
    """
    if not len(directions):
        return directions
    size = directions.abs()
    near = size >= size.max(1, keepdim=True).values * (1 - 1e-9)  # (q, D)
    first = near.to(torch.int8).argmax(1, keepdim=True)  # argmax gives the first of equals
    return directions * directions.gather(1, first).sign()
