"""The variational autoencoder.

Every image is explained by a short vector z that was drawn from a unit Gaussian and decoded:

    p(x) = ∫ p(x|z) N(z; 0, I) dz

The integral cannot be had, and neither can the posterior p(z|x). So a second network, the encoder, guesses it by a diagonal
Gaussian q(z|x) = N(μ(x), σ²(x)), and a bound takes the place of log p(x) (the ELBO, in `models.objectives`):

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I))

Sources: Kingma and Welling (2014), "Auto-encoding variational Bayes", sections 2 and 3; Rezende, Mohamed, Wierstra (2014).
Where this differs from them: pixels are integers, and p(x|z) is a discretised Gaussian with one scale for all pixels
(`models.discretised_gaussian`), so that log p(x|z) is the logarithm of a probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from models import discretised_gaussian
from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Posterior, Spec
from models.measures.likelihood import importance_weighted

CHUNK = 1024  # images decoded at once, at most: this, and not the number of samples, bounds memory


class VAE(GenerativeModel):
    """`network` is "conv" or "mlp"; `scale` fixes the standard deviation of a pixel in grey levels, None learns it."""

    def __init__(
        self,
        latent: int = 16,
        shape: tuple[int, int, int] = (1, 28, 28),
        levels: int = 256,
        network: str = "conv",
        hidden: int = 256,
        channels: int = 32,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        c, h, w = shape
        self.spec = Spec("vae", (c, h, w), levels, Density.LOWER_BOUND, Family.VARIATIONAL, latent=latent)
        if network == "conv":
            self.encoder, self.decoder = _convolutional(self.spec, hidden, channels)
        elif network == "mlp":
            self.encoder, self.decoder = _perceptrons(self.spec, hidden)
        else:
            raise ValueError(f"network {network!r} is neither 'conv' nor 'mlp'.")
        if scale is not None and not scale > 0:
            raise ValueError(f"scale {scale} is not a positive number of grey levels.")
        log_scale = torch.tensor(math.log(scale if scale is not None else levels / 4.0))
        self.log_scale: Tensor
        if scale is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """The standard deviation of every pixel given z, in grey levels: a scalar tensor."""
        return self.log_scale.exp()

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) of uint8 images `(B, C, H, W)`: mean and std `(B, L)`."""
        half = (self.spec.levels - 1) / 2
        features = self.encoder(self.check(x).to(self.log_scale.dtype) / half - 1)  # (B, 2L)
        mean, log_std = features.to(self.log_scale.dtype).chunk(2, dim=1)
        return Posterior(mean, log_std.exp())

    def decode_mean(self, z: Tensor) -> Tensor:
        """μ(z): the unbounded mean of each pixel's Gaussian before rounding and clipping, in grey levels, `(B, C, H, W)`."""
        half = (self.spec.levels - 1) / 2
        out = self.decoder(z).to(self.log_scale.dtype)
        return half * (1 + out.reshape(-1, *self.spec.shape))

    def decode(self, z: Tensor) -> Tensor:
        """The mean image E[x|z], rounded: uint8 `(B, C, H, W)` of latents `(B, L)`. What many `draw`s average to."""
        mean = discretised_gaussian.expectation(self.decode_mean(z), self.scale, self.spec.levels)
        return mean.round().clamp(0, self.spec.levels - 1).to(torch.uint8)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, summed over pixels, `(B,)`; `x` and `z` pair up by row."""
        mass = discretised_gaussian.log_mass(x, self.decode_mean(z), self.scale, self.spec.levels)
        return mass.flatten(1).sum(1, dtype=torch.promote_types(mass.dtype, torch.float32))

    def prior(self, n: int, *, noise: Noise | int, temperature: float = 1.0) -> Tensor:
        """Latents `(n, L)` from N(0, temperature² I)."""
        like = self.log_scale
        z = Noise.of(noise).normal(n, (self.spec.latent,), stream="z", dtype=like.dtype, device=like.device)
        return temperature * z

    def draw(self, z: Tensor, *, noise: Noise | int) -> Tensor:
        """One true draw from p(x|z) for each row of `z`: uint8 `(B, C, H, W)`. Pixels are independent given z: grain."""
        return discretised_gaussian.draw(self.decode_mean(z), self.scale, self.spec.levels, noise=Noise.of(noise))

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x): first z, then x given z; uint8 `(n, C, H, W)`. `temperature` scales the spread of z alone.

        For the pictures usually shown, the means without their noise, decode `prior(...)`.
        """
        _refuse(labels)
        return self.draw(self.prior(n, noise=noise, temperature=temperature), noise=noise)

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """log p(x) in nats by `method` "elbo" (default: a lower bound) or "importance" (an estimate, from below).

        Each image is encoded once. Images and their draws of z pass in chunks, so memory does not grow with either.
        """
        _refuse(labels)
        self.check(x)
        noise = Noise.of(0 if noise is None else noise)
        parts = [
            self._log_prob(x[first : first + CHUNK], method, samples, noise.skip(first))
            for first in range(0, max(1, len(x)), CHUNK)
        ]
        errors = [part.standard_error for part in parts if part.standard_error is not None]
        nats = torch.cat([part.nats for part in parts])
        return replace(parts[0], nats=nats, standard_error=torch.cat(errors) if errors else None)

    def _log_prob(self, x: Tensor, method: str | None, samples: int, noise: Noise) -> LogProb:
        """`log_prob` of at most CHUNK images."""
        at_once = max(1, CHUNK // max(1, len(x)))
        if method in (None, "elbo"):
            return self._elbo(x, samples, noise, at_once)
        if method == "importance":
            nats, error = importance_weighted(self.log_weights(x, noise=noise), samples, chunk=at_once)
            return LogProb(
                nats, Density.ESTIMATE, "importance-weighted", samples, standard_error=error if samples > 1 else None
            )
        raise ValueError(f"method {method!r} is neither 'elbo' nor 'importance'.")

    def log_weights(self, x: Tensor, *, noise: Noise | int) -> Callable[[int, int], Tensor]:
        """Encodes `x` once; then `(first, count)` gives log p(x|z)p(z)/q(z|x), `(count, B)`, of those draws from q(z|x)."""
        posterior, noise = self.encode(x), Noise.of(noise)

        def log_weights(first: int, count: int) -> Tensor:
            log_p, log_prior, log_q = self._terms(x, posterior, first, count, noise)
            return log_p + log_prior - log_q

        return log_weights

    def _elbo(self, x: Tensor, samples: int, noise: Noise, at_once: int) -> LogProb:
        """The KL in closed form, the reconstruction by `samples` draws; error: that of their mean, None for one draw."""
        posterior = self.encode(x)
        if samples < 1:
            raise ValueError(f"{samples} samples are too few: at least 1.")
        parts = [
            self._terms(x, posterior, first, min(at_once, samples - first), noise)[0].double()
            for first in range(0, samples, at_once)
        ]
        reconstruction = torch.cat(parts)  # (S, B)
        error = reconstruction.std(0) / math.sqrt(samples) if samples > 1 else None
        nats = reconstruction.mean(0) - kl_to_prior(posterior).sum(1).double()
        return LogProb(nats, Density.LOWER_BOUND, "ELBO", samples, standard_error=error)

    def _terms(self, x: Tensor, posterior: Posterior, first: int, count: int, noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x|z), log p(z), log q(z|x), each `(count, B)`, at draws number `first` to `first + count - 1` of q."""
        b, latent = posterior.mean.shape
        epsilon = posterior_noise(noise, posterior, first, count)  # (count, B, L)
        z = posterior.mean + posterior.std * epsilon
        tiled = x.expand(count, *x.shape).reshape(count * b, *x.shape[1:])
        log_p = self.log_likelihood(tiled, z.reshape(count * b, latent)).reshape(count, b)
        constant = 0.5 * latent * math.log(2 * math.pi)
        log_prior = -0.5 * z.square().sum(-1) - constant
        log_q = -0.5 * epsilon.square().sum(-1) - posterior.std.log().sum(-1) - constant
        return log_p, log_prior, log_q


def posterior_noise(noise: Noise, posterior: Posterior, first: int = 0, count: int = 1) -> Tensor:
    """The ε of z = μ + σ⊙ε, `(count, B, L)`: draws number `first` onwards of each image."""
    b, latent = posterior.mean.shape
    like = posterior.mean
    flat = noise.normal(b, (count, latent), stream="epsilon", start=first * latent, dtype=like.dtype, device=like.device)
    return flat.transpose(0, 1)


def kl_to_prior(posterior: Posterior) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, dimension by dimension, `(B, L)`. Kingma and Welling (2014), appendix B."""
    variance = posterior.std.square()
    return 0.5 * (posterior.mean.square() + variance - 1 - variance.log())


def _refuse(labels: Tensor | None) -> None:
    if labels is not None:
        raise ValueError("This VAE has no classes: labels must be None.")


class ToFewChannels(nn.Conv2d):
    """A 3×3 convolution with as few outputs as a picture has colours.

    In float64, PyTorch's convolution on the CPU copies nine shifted inputs and then multiplies: here 16 channels for one that
    is wanted. Its transpose with the flipped kernel is the same sum, multiplied first and shifted afterwards.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.float64 or input.device.type != "cpu":
            return super().forward(input)
        return nn.functional.conv_transpose2d(input, self.weight.flip(2, 3).transpose(0, 1), self.bias, padding=1)


def _convolutional(spec: Spec, hidden: int, channels: int) -> tuple[nn.Module, nn.Module]:
    """Two halvings of the picture to `(channels, H/4, W/4)`, and back."""
    c, h, w = spec.shape
    if h % 4 or w % 4:
        raise ValueError(f"The convolutional network halves the picture twice: {h}×{w} does not divide by 4.")
    small, half = (channels, h // 4, w // 4), channels // 2
    encoder = nn.Sequential(
        nn.Conv2d(c, half, 4, stride=2, padding=1),  # (B, half, H/2, W/2)
        nn.SiLU(),
        nn.Conv2d(half, channels, 4, stride=2, padding=1),  # (B, channels, H/4, W/4)
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(math.prod(small), hidden),
        nn.SiLU(),
        nn.Linear(hidden, 2 * spec.latent),
    )
    decoder = nn.Sequential(
        nn.Linear(spec.latent, hidden),
        nn.SiLU(),
        nn.Linear(hidden, math.prod(small)),
        nn.SiLU(),
        nn.Unflatten(1, small),
        nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1),  # (B, channels, H/2, W/2)
        nn.SiLU(),
        nn.ConvTranspose2d(channels, half, 4, stride=2, padding=1),  # (B, half, H, W)
        nn.SiLU(),
        ToFewChannels(half, c, 3, padding=1),
    )
    return encoder, decoder


def _perceptrons(spec: Spec, hidden: int) -> tuple[nn.Module, nn.Module]:
    """Two hidden layers each way."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(spec.dims, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, 2 * spec.latent),
    )
    decoder = nn.Sequential(
        nn.Linear(spec.latent, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, spec.dims),
    )
    return encoder, decoder
