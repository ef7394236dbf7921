"""The best constant picture: what a model without latents could say.

One picture and one scale for all images, fitted by maximum likelihood under the same discretised Gaussian as the VAE's:

    max over m, s of Σ_n Σ_p log p(x_np; m_p, s)

What a VAE's reconstruction gains over it is what the latent bought for the nats that the KL paid. Only the counts of each
level at each pixel are needed, so a step of the fit costs the same for any number of images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.discretised_gaussian import log_mass


@dataclass(frozen=True)
class ConstantPicture:
    mean: Tensor  # float64 (C, H, W), in grey levels, unbounded
    scale: Tensor  # float64 (), in grey levels
    levels: int

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, float64 `(B,)`, of uint8 images `(B, C, H, W)`: exact."""
        return log_mass(x, self.mean, self.scale, self.levels).flatten(1).sum(1)


def fit(images: Tensor, levels: int, *, steps: int = 400) -> ConstantPicture:
    """Maximum likelihood on uint8 images `(N, C, H, W)` by Adam in float64, from the mean picture."""
    n, *shape = images.shape
    flat = images.reshape(n, -1).long()  # (N, P)
    pixels = flat.shape[1]
    cell = flat + levels * torch.arange(pixels)
    counts = torch.bincount(cell.flatten(), minlength=pixels * levels).reshape(pixels, levels).double() / n
    values = torch.arange(levels)
    mean = (counts @ values.double()).requires_grad_()
    log_scale = (flat.double().std().log()).requires_grad_()
    optimiser = torch.optim.Adam([{"params": [mean], "lr": levels / 100}, {"params": [log_scale], "lr": 0.02}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = -(counts * log_mass(values, mean[:, None], log_scale.exp(), levels)).sum()
        loss.backward()
        optimiser.step()
        schedule.step()
    return ConstantPicture(mean.detach().reshape(shape), log_scale.detach().exp(), levels)
