"""Where on the latent plane the model was trained, and where it only promises.

Sampling draws z from the prior p(z) = N(0, I), but the decoder has seen only z from the average posterior

    q̄(z) = (1/N) Σ_n q(z|x_n)

Where p(z) is high and q̄(z) low there is a hole: samples from there are nobody's picture. Source: Hoffman and Johnson (2016),
"ELBO surgery", section 2; the name is that of Rosca, Lakshminarayanan, Mohamed (2018), "Distribution matching in variational
inference", section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Posterior


@dataclass(frozen=True)
class LatentMap:
    """Log densities (natural logarithm) at the centres of a square grid over [−extent, extent]²; row 0 is the lowest z₂."""

    extent: float
    log_prior: Tensor  # float64 (G, G)
    log_average_posterior: Tensor  # float64 (G, G)

    def holes(self, ratio: float = 0.1, mass: float = 0.9) -> Tensor:
        """bool `(G, G)`: inside the disc that holds `mass` of the prior, q̄(z) is below `ratio` · p(z)."""
        inside = self.log_prior >= -math.log(2 * math.pi) + math.log(1 - mass)  # the disc: |z|² ≤ −2 log(1 − mass)
        return inside & (self.log_average_posterior < self.log_prior + math.log(ratio))


def latent_map(posterior: Posterior, *, extent: float = 4.0, grid: int = 96) -> LatentMap:
    """The map of 2-D posteriors `(N, 2)`.

    A diagonal Gaussian is a product over its two axes, so the average over N images at all G² places is one matrix product
    (G, N) · (N, G), however many images there are.
    """
    if posterior.mean.shape[1] != 2:
        raise ValueError(f"A map has 2 latent dimensions, not {posterior.mean.shape[1]}.")
    mean, std = posterior.mean.double(), posterior.std.double()
    cell = 2 * extent / grid
    places = torch.linspace(-extent + cell / 2, extent - cell / 2, grid, dtype=torch.float64)
    axes = [
        torch.exp(-0.5 * ((places[:, None] - mean[:, d]) / std[:, d]).square()) / (std[:, d] * math.sqrt(2 * math.pi))
        for d in (0, 1)
    ]  # two of (G, N)
    average = axes[1] @ axes[0].T / len(mean)  # (G, G): row z₂, column z₁
    radius = places.square()
    log_prior = -0.5 * (radius[:, None] + radius[None, :]) - math.log(2 * math.pi)
    return LatentMap(extent, log_prior, average.clamp_min(torch.finfo(torch.float64).tiny).log())


def deepest_hole(found: LatentMap) -> tuple[float, float] | None:
    """The place inside the holes where p(z) − q̄(z) is greatest: where the prior promises most that nothing backs."""
    holes = found.holes()
    if not bool(holes.any()):
        return None
    missing = torch.where(holes, found.log_prior.exp() - found.log_average_posterior.exp(), -torch.inf)
    row, column = divmod(int(missing.argmax()), missing.shape[1])
    cell = 2 * found.extent / missing.shape[1]
    return (-found.extent + (column + 0.5) * cell, -found.extent + (row + 0.5) * cell)


def quantile_grid(side: int) -> Tensor:
    """Places at equal steps of prior probability, float64 `(side², 2)`: each stands for the same share of the prior's mass.

    Rows from the top (high z₂) to the bottom, as a picture is read. Kingma and Welling (2014), appendix A.
    """
    if side < 2:
        raise ValueError(f"A manifold of side {side} is too small: at least 2.")
    quantiles = torch.special.ndtri((torch.arange(side, dtype=torch.float64) + 0.5) / side)
    z2, z1 = torch.meshgrid(quantiles.flip(0), quantiles, indexing="ij")
    return torch.stack([z1.flatten(), z2.flatten()], 1)
