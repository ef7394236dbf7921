"""log p(x) of one picture under a VAE, three ways, as they converge.

1. Draws from the prior, the definition itself:       log (1/K) Σ_k p(x|z_k),                      z_k ~ N(0, I)
2. The bound, its KL in closed form:                  (1/K) Σ_k log p(x|z_k) − KL(q ‖ N(0, I)),     z_k ~ q(z|x)
3. Importance weighting, the encoder as the proposal: log (1/K) Σ_k p(x|z_k) N(z_k; 0, I) / q(z_k|x), z_k ~ q(z|x)

The first and the third go to the same value. In one or two dimensions so does the first before long; in sixteen hardly any draw
lands where the picture is probable, one draw outweighs all others, and the estimate climbs in jumps from far below: what its
effective sample size (near 1) and the share of its heaviest draw (near 1) say, and its standard error does not. The second
stops below by its gap, KL(q(z|x) ‖ p(z|x)).

Source: Burda, Grosse, Salakhutdinov (2016), "Importance weighted autoencoders", section 3; Kingma and Welling (2014),
"Auto-encoding variational Bayes", section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Noise
from models.measures.likelihood import Running, importance_weighted_steps
from models.vae import VAE, kl_to_prior, posterior_noise


@dataclass(frozen=True, eq=False)
class Ways:
    """The three after `samples` draws each, in nats but for the shares."""

    samples: int
    prior: Running
    elbo: float
    elbo_error: float  # the standard error; not a number after one draw
    importance: Running
    largest_share_prior: float  # of the sum of all weights: the heaviest draw's
    largest_share_importance: float


@torch.inference_mode()
def steps(model: VAE, x: Tensor, *, noise: Noise | int, samples: int, chunk: int = 32) -> Iterator[Ways]:
    """The three ways after each `chunk` of draws, up to `samples`, for one picture uint8 `(1, C, H, W)`.

    It is encoded once. The bound and the importance weights come from the same draws of q(z|x), decoded once, which are those
    of `model.log_prob` with the same noise. Nothing is kept of a draw: memory does not grow with `samples`. Raises ValueError
    for more or fewer pictures than one, for a conditional model, and where `samples` or `chunk` is below 1.
    """
    if len(x) != 1:
        raise ValueError(f"{len(x)} pictures at once: give one.")
    if chunk < 1:
        raise ValueError(f"A chunk of {chunk} draws is too small: at least 1.")
    noise, posterior = Noise.of(noise), model.encode(x)
    like, latent = posterior.mean, posterior.mean.shape[1]
    kl = float(kl_to_prior(posterior).sum())
    reconstruction, from_prior, from_q = _Mean(), _Heaviest(), _Heaviest()

    def prior_weights(first: int, count: int) -> Tensor:
        start, size = first * latent, (count, latent)
        z = noise.normal(1, size, stream="from the prior", start=start, dtype=like.dtype, device=like.device)[0]  # (count, L)
        return model.log_likelihood(x.expand(count, *x.shape[1:]), z)[:, None]  # (count, 1)

    def importance_weights(first: int, count: int) -> Tensor:
        epsilon = posterior_noise(noise, posterior, first, count)[:, 0]  # (count, L)
        z = posterior.mean + posterior.std * epsilon
        log_p = model.log_likelihood(x.expand(count, *x.shape[1:]), z)
        reconstruction.add(log_p.double())
        # log N(z; 0, I) − log q(z|x); the constants (2π) cancel.
        log_ratio = 0.5 * (epsilon.square() - z.square()).sum(1) + posterior.std.log().sum()
        return (log_p + log_ratio)[:, None]

    prior_steps = importance_weighted_steps(from_prior.watching(prior_weights), samples, chunk=chunk)
    importance_steps = importance_weighted_steps(from_q.watching(importance_weights), samples, chunk=chunk)
    for prior, importance in zip(prior_steps, importance_steps, strict=True):
        yield Ways(
            samples=importance.samples,
            prior=prior,
            elbo=reconstruction.mean - kl,
            elbo_error=reconstruction.standard_error,
            importance=importance,
            largest_share_prior=from_prior.share(prior),
            largest_share_importance=from_q.share(importance),
        )


class _Mean:
    """Mean and standard error of numbers that come in pieces and are forgotten.

    Chan, Golub, LeVeque (1983), "Algorithms for computing the sample variance": sums of squares about means do
    not cancel as sums of squares do.
    """

    def __init__(self) -> None:
        self.count, self.mean, self.squares = 0, 0.0, 0.0  # squares: Σ(v − mean)²

    def add(self, values: Tensor) -> None:
        n, mean = len(values), float(values.mean())
        total, apart = self.count + n, mean - self.mean
        self.squares += float((values - mean).square().sum()) + apart**2 * self.count * n / total
        self.mean += apart * n / total
        self.count = total

    @property
    def standard_error(self) -> float:
        return math.sqrt(self.squares / (self.count - 1) / self.count) if self.count > 1 else math.nan


class _Heaviest:
    """The largest log weight of all that have passed."""

    def __init__(self) -> None:
        self.log_weight = -math.inf

    def watching(self, log_weights: Callable[[int, int], Tensor]) -> Callable[[int, int], Tensor]:
        """The same function, each of whose answers is looked at on its way."""

        def watched(first: int, count: int) -> Tensor:
            weights = log_weights(first, count)
            self.log_weight = max(self.log_weight, float(weights.max()))
            return weights

        return watched

    def share(self, so_far: Running) -> float:
        """Of the sum of the weights that `so_far` is made of."""
        return min(1.0, math.exp(self.log_weight - float(so_far.nats[0]) - math.log(so_far.samples)))
