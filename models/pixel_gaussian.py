"""One full-covariance Gaussian over all pixels: the plainest model of pictures there is, in closed form from data to bound.

A picture of integers gets the mass of its unit cell, the integral of N(u; μ, Σ) over all u with |u_d − x_d| ≤ ½ (and beyond,
at the ends 0 and levels − 1, which are open). With correlated pixels that integral cannot be had. But a logarithm is concave,
so Jensen's inequality over the cell, with u uniform in it (mean x, covariance I/12), gives a bound:

    log p(x) ≥ E_u[log N(u; μ, Σ)] = log N(x; μ, Σ) − tr(Σ⁻¹)/24

The open ends only add mass. Averaged over data of covariance S, the bound is highest at Σ = S + I/12: so are the parameters
set, and no step of training is needed. What is kept is the lower triangle R of Σ⁻¹ = R Rᵀ, since all that the bound asks of Σ
follows from it without an inverse: the distance ‖Rᵀ(x − μ)‖², log |Σ| = −2 Σ log R_dd, and tr(Σ⁻¹) = ‖R‖².
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models import gaussian
from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Spec, checked_labels

CELL = 1 / 12  # the variance of a uniform number in a unit cell


class PixelGaussian(GenerativeModel):
    """N(μ, Σ) over the C·H·W pixels of a picture, in grey levels."""

    def __init__(self, shape: tuple[int, int, int] = (1, 28, 28), levels: int = 256) -> None:
        super().__init__()
        c, h, w = shape
        self.spec = Spec("gaussian", (c, h, w), levels, Density.LOWER_BOUND, Family.TRACTABLE)
        d = self.spec.dims
        self.mean = nn.Parameter(torch.full((d,), (levels - 1) / 2))
        self.triangle = nn.Parameter(
            torch.eye(d)[tuple(torch.tril_indices(d, d))] * 4 / levels
        )  # R's lower triangle, row by row

    @property
    def root(self) -> Tensor:
        """R `(D, D)`, lower triangular, with Σ⁻¹ = R Rᵀ."""
        d = self.spec.dims
        whole = self.triangle.new_zeros(d, d)
        whole[tuple(torch.tril_indices(d, d, device=whole.device))] = self.triangle
        return whole

    @torch.no_grad()
    def begin(self, pixels: Tensor, labels: Tensor, *, noise: Noise | int) -> None:
        """The best parameters for the bound, from uint8 images `(N, C, H, W)`: the mean, and S + I/12. Draws nothing."""
        fitted = gaussian.fit(self.check(pixels).flatten(1), reg=CELL)
        # Σ⁻¹ = R Rᵀ with R lower triangular: Σ = (R⁻ᵀ)(R⁻¹), an upper times a lower triangle: Cholesky's of the order reversed.
        reverse = torch.linalg.cholesky(fitted.covariance.flip(0, 1)).flip(0, 1)  # upper, Σ = U Uᵀ
        eye = torch.eye(self.spec.dims, dtype=torch.float64, device=reverse.device)
        root = torch.linalg.solve_triangular(reverse, eye, upper=True).T  # (U⁻¹)ᵀ
        self.mean.copy_(fitted.mean)
        self.triangle.copy_(root[tuple(torch.tril_indices(self.spec.dims, self.spec.dims, device=root.device))])

    def log_density(self, x: Tensor) -> Tensor:
        """log N(x; μ, Σ) at real points `(B, D)`: `(B,)`, nats."""
        root = self.root
        constant = root.diagonal().log().sum() - 0.5 * self.spec.dims * gaussian.LOG_2PI
        return constant - 0.5 * ((x - self.mean) @ root).square().sum(1)

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """A closed lower bound on log p(x), nats; `method` is "bound" or None. Nothing is drawn."""
        if method not in (None, "bound"):
            raise ValueError(f"method {method!r} is not 'bound': a Gaussian over pixels has no other.")
        checked_labels(labels, len(x), self.spec)
        points = self.check(x).flatten(1).to(self.mean.dtype)
        nats = self.log_density(points) - self.triangle.square().sum() / 24
        return LogProb(nats.double(), Density.LOWER_BOUND, "closed bound")

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x), uint8 `(n, C, H, W)`: a Gaussian draw, rounded and clipped. `temperature` scales its deviations."""
        checked_labels(labels, n, self.spec)
        like = self.mean
        epsilon = Noise.of(noise).normal(n, (self.spec.dims,), stream="x", dtype=like.dtype, device=like.device)
        deviations = torch.linalg.solve_triangular(self.root.T, epsilon.T, upper=True).T  # R⁻ᵀ ε
        drawn = self.mean + temperature * deviations
        return drawn.round().clamp(0, self.spec.levels - 1).to(torch.uint8).reshape(n, *self.spec.shape)
