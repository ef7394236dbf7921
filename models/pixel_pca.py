"""Probabilistic PCA over pixels: a VAE whose decoder is a matrix, and whose posterior is therefore known.

    z ~ N(0, I_q),   x | z: each pixel a Gaussian of mean (W z + μ)_d and deviation σ, rounded and clipped to the integers

W and σ are those of probabilistic PCA, in closed form (Tipping and Bishop 1999, "Probabilistic principal component analysis",
section 3.2; `models.pca`). Were pixels real numbers, p(x) would be a Gaussian, and the posterior of z too:

    q(z|x) = N(M⁻¹ Wᵀ(x − μ), σ² M⁻¹),   M = Wᵀ W + σ² I                                    (their equation 6)

Pixels are integers with open ends, so the mass p(x) = ∫ Π_d P(x_d | z) N(z; 0, I) dz has no closed form; q, all but exact, is
the proposal of an importance-weighted estimate (`models.measures.likelihood`): from below in expectation, with its error.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models import discretised_gaussian, pca
from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Posterior, Spec, checked_labels
from models.measures.likelihood import importance_weighted

CHUNK = 1024  # pictures reconstructed at once: this, and not the number of samples, bounds memory


class PixelPCA(GenerativeModel):
    """`latent` is q, the number of principal axes."""

    def __init__(self, latent: int = 50, shape: tuple[int, int, int] = (1, 28, 28), levels: int = 256) -> None:
        super().__init__()
        c, h, w = shape
        self.spec = Spec("ppca", (c, h, w), levels, Density.ESTIMATE, Family.VARIATIONAL, latent=latent)
        if not 0 < latent < self.spec.dims:
            raise ValueError(f"{latent} axes are not within 1 and {self.spec.dims - 1}.")
        self.mean = nn.Parameter(torch.full((self.spec.dims,), (levels - 1) / 2))
        self.loadings = nn.Parameter(torch.zeros(self.spec.dims, latent))  # W
        self.log_scale = nn.Parameter(torch.tensor(math.log(levels / 4)))

    @property
    def scale(self) -> Tensor:
        """σ, in grey levels: a scalar tensor."""
        return self.log_scale.exp()

    @torch.no_grad()
    def begin(self, pixels: Tensor, labels: Tensor, *, noise: Noise | int) -> None:
        """The most likely W, μ and σ of uint8 images `(N, C, H, W)`, taken as real numbers. Draws nothing."""
        fitted = pca.fit(self.check(pixels).flatten(1), self.spec.latent)
        self.mean.copy_(fitted.mean)
        self.loadings.copy_(fitted.loadings)
        self.log_scale.fill_(0.5 * math.log(max(fitted.noise_variance, 1e-2)))

    def _posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean `(B, q)` of q(z|x), and U `(q, q)`, upper triangular, with covariance U Uᵀ."""
        points = self.check(x).flatten(1).to(self.mean.dtype)
        variance = self.scale.square()
        m = self.loadings.T @ self.loadings + variance * torch.eye(
            self.spec.latent, dtype=variance.dtype, device=variance.device
        )
        lower = torch.linalg.cholesky(m)
        mean = torch.cholesky_solve(self.loadings.T @ (points - self.mean).T, lower).T
        eye = torch.eye(self.spec.latent, dtype=m.dtype, device=m.device)
        return mean, self.scale * torch.linalg.solve_triangular(lower.T, eye, upper=True)

    def encode(self, x: Tensor) -> Posterior:
        """The mean and the marginal deviations of q(z|x), `(B, q)` each."""
        mean, upper = self._posterior(x)
        return Posterior(mean, upper.square().sum(1).sqrt().expand_as(mean))

    def decode_mean(self, z: Tensor) -> Tensor:
        """W z + μ in grey levels, unbounded, `(B, C, H, W)`."""
        return (z @ self.loadings.T + self.mean).reshape(-1, *self.spec.shape)

    def decode(self, z: Tensor) -> Tensor:
        """The mean image E[x|z], rounded: uint8 `(B, C, H, W)`."""
        mean = discretised_gaussian.expectation(self.decode_mean(z), self.scale, self.spec.levels)
        return mean.round().clamp(0, self.spec.levels - 1).to(torch.uint8)

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """An importance-weighted estimate of log p(x), nats, from below; `method` is "importance" or None."""
        if method not in (None, "importance"):
            raise ValueError(f"method {method!r} is not 'importance': probabilistic PCA over integers has no other.")
        checked_labels(labels, len(x), self.spec)
        noise = Noise.of(0 if noise is None else noise)
        parts = [self._estimate(piece, samples, noise.skip(i * CHUNK)) for i, piece in enumerate(x.split(CHUNK))]
        nats, errors = (torch.cat([part[i] for part in parts] or [x.new_zeros(0, dtype=torch.float64)]) for i in (0, 1))
        kind = Density.ESTIMATE
        return LogProb(nats, kind, "importance-weighted", samples, standard_error=errors if samples > 1 else None)

    def _estimate(self, x: Tensor, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        mean, upper = self._posterior(x)  # (B, q), (q, q)
        b, q = mean.shape
        log_volume = upper.diagonal().log().sum()

        def log_weights(first: int, count: int) -> Tensor:
            epsilon = noise.normal(b, (count, q), stream="epsilon", start=first * q, dtype=mean.dtype, device=mean.device)
            epsilon = epsilon.transpose(0, 1)  # (count, B, q)
            z = mean + epsilon @ upper.T
            pictures = self.decode_mean(z.reshape(count * b, q)).unflatten(0, (count, b))
            log_p = discretised_gaussian.log_mass(x, pictures, self.scale, self.spec.levels).flatten(2).sum(2)
            return log_p - 0.5 * z.square().sum(-1) + 0.5 * epsilon.square().sum(-1) + log_volume

        return importance_weighted(log_weights, samples, chunk=max(1, CHUNK // max(1, b)))

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x), uint8 `(n, C, H, W)`; `temperature` scales the spread of z alone."""
        checked_labels(labels, n, self.spec)
        noise, like = Noise.of(noise), self.mean
        z = temperature * noise.normal(n, (self.spec.latent,), stream="z", dtype=like.dtype, device=like.device)
        return discretised_gaussian.draw(self.decode_mean(z), self.scale, self.spec.levels, noise=noise)
