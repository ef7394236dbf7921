"""The plain autoencoder: a picture is squeezed through a short vector z and put together again.

    z = e(x),   x̂ = d(z),   loss = ‖x − x̂‖²

It learns the identity through a bottleneck, and with it features that need no labels. It is no distribution: nothing says
which z are likely, so to sample one must bring a distribution of z from elsewhere; what lies between the codes that it knows
was never trained. Its networks are those of the VAE (`models.networks`), so that the two differ in the objective alone.

Source: Hinton and Salakhutdinov (2006), "Reducing the dimensionality of data with neural networks".
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Posterior, Spec
from models.networks import encoder_decoder


class NoDensity(TypeError):
    """A model was asked for probabilities that it does not have."""


class Autoencoder(GenerativeModel):
    """Settings as those of `models.vae.VAE`."""

    def __init__(
        self,
        latent: int = 16,
        shape: tuple[int, int, int] = (1, 28, 28),
        levels: int = 256,
        network: str = "conv",
        hidden: int = 256,
        channels: int = 32,
        halvings: int = 2,
    ) -> None:
        super().__init__()
        c, h, w = shape
        self.spec = Spec("autoencoder", (c, h, w), levels, Density.NONE, Family.NONE, latent=latent)
        self.encoder, self.decoder = encoder_decoder(
            network,
            self.spec.shape,
            latent=latent,
            outputs=latent,
            hidden=hidden,
            channels=channels,
            halvings=halvings,
        )

    def codes(self, x: Tensor) -> Tensor:
        """z = e(x), `(B, L)`, of uint8 images `(B, C, H, W)`."""
        half = (self.spec.levels - 1) / 2
        like = next(self.parameters())
        return self.encoder(self.check(x).to(like.dtype) / half - 1).to(like.dtype)

    def encode(self, x: Tensor) -> Posterior:
        """The code as a posterior without width: one z for each picture."""
        z = self.codes(x)
        return Posterior(z, torch.zeros_like(z))

    def decode_mean(self, z: Tensor) -> Tensor:
        """x̂ in grey levels, unbounded, `(B, C, H, W)`, of codes `(B, L)`."""
        half = (self.spec.levels - 1) / 2
        return half * (1 + self.decoder(z).to(next(self.parameters()).dtype).reshape(-1, *self.spec.shape))

    def decode(self, z: Tensor) -> Tensor:
        """x̂, rounded and clipped: uint8 `(B, C, H, W)`."""
        return self.decode_mean(z).round().clamp(0, self.spec.levels - 1).to(torch.uint8)

    def squared_error(self, x: Tensor) -> Tensor:
        """‖x − x̂‖² in squared grey levels, summed over pixels, `(B,)`; x̂ neither rounded nor clipped."""
        found = self.decode_mean(self.codes(x))
        return (found - x.to(found.dtype)).square().flatten(1).sum(1, dtype=torch.promote_types(found.dtype, torch.float32))

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Pictures decoded from N(0, temperature² I): what one gets by treating it as if it were a VAE. Nothing trained it for
        these z. uint8 `(n, C, H, W)`.
        """
        if labels is not None:
            raise ValueError("This model has no classes: labels must be None.")
        like = next(self.parameters())
        z = Noise.of(noise).normal(n, (self.spec.latent,), stream="z", dtype=like.dtype, device=like.device)
        return self.decode(temperature * z)

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """An autoencoder has none: raises NoDensity."""
        raise NoDensity("An autoencoder has no p(x): it reconstructs, and says nothing of how likely a picture is.")
