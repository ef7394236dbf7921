"""The variational autoencoder.

Every image is explained by a short vector z that was drawn from a unit Gaussian and decoded:

    p(x) = ∫ p(x|z) N(z; 0, I) dz

The integral cannot be had, and neither can the posterior p(z|x). So a second network, the encoder, guesses it by a diagonal
Gaussian q(z|x) = N(μ(x), σ²(x)), and a bound takes the place of log p(x) (the ELBO, in `models.objectives`):

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I))

A conditional VAE (Sohn, Lee, Yan 2015, "Learning structured output representation using deep conditional generative models")
tells both networks the class y and is the same in all else: p(x|y) = ∫ p(x|z, y) N(z; 0, I) dz.

Sources: Kingma and Welling (2014), "Auto-encoding variational Bayes", sections 2 and 3; Rezende, Mohamed, Wierstra (2014).
Where this differs from them: pixels are integers, and p(x|z) is a discretised Gaussian with one scale for all pixels
(`models.discretised_gaussian`), so that log p(x|z) is the logarithm of a probability. Two levels may have a Bernoulli instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from models import bernoulli, discretised_gaussian
from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Posterior, Spec, checked_labels
from models.measures.likelihood import importance_weighted
from models.networks import encoder_decoder, with_class

CHUNK = 1024  # images decoded at once, at most: this, and not the number of samples, bounds memory


class VAE(GenerativeModel):
    """`network` is "conv" (the picture is halved `halvings` times) or "mlp"; `scale` fixes the standard deviation of a pixel in
    grey levels, None learns it; `classes` above 0 makes it conditional: `labels`, int64 `(B,)`, go with every picture and z.
    `pixels` is "gaussian", or, for two levels, "bernoulli": the decoder then gives logits, and there is no scale.
    """

    def __init__(
        self,
        latent: int = 16,
        shape: tuple[int, int, int] = (1, 28, 28),
        levels: int = 256,
        network: str = "conv",
        hidden: int = 256,
        channels: int = 32,
        scale: float | None = None,
        classes: int = 0,
        halvings: int = 2,
        pixels: str = "gaussian",
    ) -> None:
        super().__init__()
        if pixels not in ("gaussian", "bernoulli") or (pixels == "bernoulli" and levels != 2):
            raise ValueError(f"pixels {pixels!r} of {levels} levels: 'gaussian' has any number of levels, 'bernoulli' has 2.")
        self.bernoulli = pixels == "bernoulli"
        c, h, w = shape
        self.spec = Spec("vae", (c, h, w), levels, Density.LOWER_BOUND, Family.VARIATIONAL, classes=classes, latent=latent)
        self.encoder, self.decoder = encoder_decoder(
            network,
            self.spec.shape,
            latent=latent,
            outputs=2 * latent,
            hidden=hidden,
            channels=channels,
            halvings=halvings,
            classes=classes,
        )
        if scale is not None and not scale > 0:
            raise ValueError(f"scale {scale} is not a positive number of grey levels.")
        log_scale = torch.tensor(math.log(scale if scale is not None else levels / 4.0))
        self.log_scale: Tensor
        if scale is None and not self.bernoulli:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Tensor:
        """The standard deviation of every pixel given z, in grey levels: a scalar tensor."""
        return self.log_scale.exp()

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Posterior:
        """q(z|x), or q(z|x, y), of uint8 images `(B, C, H, W)`: mean and std `(B, L)`."""
        half = (self.spec.levels - 1) / 2
        pictures = self.check(x).to(self.log_scale.dtype) / half - 1
        features = self.encoder(with_class(pictures, self._told(labels, len(x)), self.spec.classes))  # (B, 2L)
        mean, log_std = features.to(self.log_scale.dtype).chunk(2, dim=1)
        return Posterior(mean, log_std.exp())

    def decode_mean(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """μ(z), or μ(z, y): the unbounded mean of each pixel's Gaussian, before rounding and clipping: grey levels,
        `(B, C, H, W)`; of a Bernoulli, the probability of a 1.
        """
        out = self._decoded(z, labels)
        return out.sigmoid() if self.bernoulli else (self.spec.levels - 1) / 2 * (1 + out)

    def _decoded(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """What the decoder says, `(B, C, H, W)`: a mean in −1 … 1, or logits."""
        out = self.decoder(with_class(z, self._told(labels, len(z)), self.spec.classes))
        return out.to(self.log_scale.dtype).reshape(-1, *self.spec.shape)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean image E[x|z], rounded: uint8 `(B, C, H, W)` of latents `(B, L)`. What many `draw`s average to."""
        mean = self.decode_mean(z, labels)
        if not self.bernoulli:
            mean = discretised_gaussian.expectation(mean, self.scale, self.spec.levels)
        return mean.round().clamp(0, self.spec.levels - 1).to(torch.uint8)

    def log_likelihood(self, x: Tensor, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """log p(x|z) in nats, summed over pixels, `(B,)`; `x`, `z` and labels pair up by row."""
        if self.bernoulli:
            mass = bernoulli.log_mass(x, self._decoded(z, labels))
        else:
            mass = discretised_gaussian.log_mass(x, self.decode_mean(z, labels), self.scale, self.spec.levels)
        return mass.flatten(1).sum(1, dtype=torch.promote_types(mass.dtype, torch.float32))

    def prior(self, n: int, *, noise: Noise | int, temperature: float = 1.0) -> Tensor:
        """Latents `(n, L)` from N(0, temperature² I)."""
        like = self.log_scale
        z = Noise.of(noise).normal(n, (self.spec.latent,), stream="z", dtype=like.dtype, device=like.device)
        return temperature * z

    def draw(self, z: Tensor, labels: Tensor | None = None, *, noise: Noise | int) -> Tensor:
        """One true draw from p(x|z) for each row of `z`: uint8 `(B, C, H, W)`. Pixels are independent given z: grain."""
        mean, noise = self.decode_mean(z, labels), Noise.of(noise)
        if self.bernoulli:
            return bernoulli.draw(mean, noise=noise)
        return discretised_gaussian.draw(mean, self.scale, self.spec.levels, noise=noise)

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x): first z, then x given z; uint8 `(n, C, H, W)`. `temperature` scales the spread of z alone.

        For the pictures usually shown, the means without their noise, decode `prior(...)`. Without labels a conditional model
        draws them: every class is as likely.
        """
        labels = checked_labels(labels, n, self.spec)
        if labels is None and self.spec.classes:
            labels = (Noise.of(noise).uniform(n, (), stream="label") * self.spec.classes).long()
        return self.draw(self.prior(n, noise=noise, temperature=temperature), labels, noise=noise)

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

        Each image is encoded once. Images and their draws of z pass in chunks, so memory does not grow with either. With labels
        a conditional model gives log p(x|y); without, log (1/K) Σ_y p(x|y), which of bounds is a bound again.
        """
        labels = checked_labels(labels, len(x), self.spec)
        self.check(x)
        noise = Noise.of(0 if noise is None else noise)
        if labels is None and self.spec.classes:
            each = [torch.full((len(x),), y) for y in range(self.spec.classes)]
            return _marginal([self.log_prob(x, labels=y, method=method, samples=samples, noise=noise) for y in each])
        parts = [
            self._log_prob(
                x[first : first + CHUNK],
                None if labels is None else labels[first : first + CHUNK],
                method,
                samples,
                noise.skip(first),
            )
            for first in range(0, max(1, len(x)), CHUNK)
        ]
        errors = [part.standard_error for part in parts if part.standard_error is not None]
        nats = torch.cat([part.nats for part in parts])
        return replace(parts[0], nats=nats, standard_error=torch.cat(errors) if errors else None)

    def _log_prob(self, x: Tensor, labels: Tensor | None, method: str | None, samples: int, noise: Noise) -> LogProb:
        """`log_prob` of at most CHUNK images."""
        at_once = max(1, CHUNK // max(1, len(x)))
        if method in (None, "elbo"):
            return self._elbo(x, labels, samples, noise, at_once)
        if method == "importance":
            nats, error = importance_weighted(self.log_weights(x, labels, noise=noise), samples, chunk=at_once)
            return LogProb(
                nats, Density.ESTIMATE, "importance-weighted", samples, standard_error=error if samples > 1 else None
            )
        raise ValueError(f"method {method!r} is neither 'elbo' nor 'importance'.")

    def log_weights(self, x: Tensor, labels: Tensor | None = None, *, noise: Noise | int) -> Callable[[int, int], Tensor]:
        """Encodes `x` once; then `(first, count)` gives log p(x|z)p(z)/q(z|x), `(count, B)`, of those draws from q(z|x)."""
        posterior, noise = self.encode(x, labels), Noise.of(noise)

        def log_weights(first: int, count: int) -> Tensor:
            log_p, log_prior, log_q = self._terms(x, labels, posterior, first, count, noise)
            return log_p + log_prior - log_q

        return log_weights

    def _elbo(self, x: Tensor, labels: Tensor | None, samples: int, noise: Noise, at_once: int) -> LogProb:
        """The KL in closed form, the reconstruction by `samples` draws; error: that of their mean, None for one draw."""
        posterior = self.encode(x, labels)
        if samples < 1:
            raise ValueError(f"{samples} samples are too few: at least 1.")
        parts = [
            self._terms(x, labels, posterior, first, min(at_once, samples - first), noise)[0].double()
            for first in range(0, samples, at_once)
        ]
        reconstruction = torch.cat(parts)  # (S, B)
        error = reconstruction.std(0) / math.sqrt(samples) if samples > 1 else None
        nats = reconstruction.mean(0) - kl_to_prior(posterior).sum(1).double()
        return LogProb(nats, Density.LOWER_BOUND, "ELBO", samples, standard_error=error)

    def _terms(
        self, x: Tensor, labels: Tensor | None, posterior: Posterior, first: int, count: int, noise: Noise
    ) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x|z), log p(z), log q(z|x), each `(count, B)`, at draws number `first` to `first + count - 1` of q."""
        b, latent = posterior.mean.shape
        epsilon = posterior_noise(noise, posterior, first, count)  # (count, B, L)
        z = posterior.mean + posterior.std * epsilon
        tiled = x.expand(count, *x.shape).reshape(count * b, *x.shape[1:])
        told = None if labels is None else labels.repeat(count)
        log_p = self.log_likelihood(tiled, z.reshape(count * b, latent), told).reshape(count, b)
        constant = 0.5 * latent * math.log(2 * math.pi)
        log_prior = -0.5 * z.square().sum(-1) - constant
        log_q = -0.5 * epsilon.square().sum(-1) - posterior.std.log().sum(-1) - constant
        return log_p, log_prior, log_q

    def _told(self, labels: Tensor | None, n: int) -> Tensor | None:
        """The labels that a conditional model has to be told; None for one without classes."""
        labels = checked_labels(labels, n, self.spec)
        if labels is None and self.spec.classes:
            raise ValueError(f"This VAE is conditional: it has to be told the class, 0 to {self.spec.classes - 1}.")
        return labels


def _marginal(by_class: list[LogProb]) -> LogProb:
    """log (1/K) Σ_y exp of log p(x|y), one `LogProb` a class. The error of the sum by the delta method: at most Σ_y p(y|x)
    times that of each, since all classes share their draws of ε and err together.
    """
    nats = torch.stack([one.nats for one in by_class])  # (K, B)
    whole = nats.logsumexp(0) - math.log(len(nats))
    errors = [one.standard_error for one in by_class]
    error = None
    if all(one is not None for one in errors):
        error = (nats.softmax(0) * torch.stack(errors)).sum(0)  # type: ignore[arg-type]
    return replace(by_class[0], nats=whole, standard_error=error)


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
