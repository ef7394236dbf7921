"""One q for each picture against one network for all: what the gap between log p(x) and the ELBO is made of.

    log p(x) − ELBO(encoder's q)  =  [log p(x) − ELBO(q*)]  +  [ELBO(q*) − ELBO(encoder's q)]
                                        approximation               amortisation

q* is the best diagonal Gaussian for this picture, found by climbing the ELBO over (μ, log σ) from the encoder's answer. What it
gains, the network gave away by answering all pictures with the same weights; what is left, no diagonal Gaussian can reach.
Source: Cremer, Li, Duvenaud (2018), "Inference suboptimality in variational autoencoders", section 3.

The climb needs a function that stays the same, so ε is drawn once: z = μ + σ⊙ε with common random numbers. A few draws would
be overfitted; so they come in pairs ±ε, and are turned and stretched until their second moments are those of N(0, I) exactly.
Any log p(x|z) that is quadratic in z is then averaged without error, and so is log p(z): the KL has its closed form. The units
of the climb are the encoder's σ, in which no direction is much steeper than another; its steps are those of `models.refine`.

Every number that is reported is from draws that were not climbed on, and is a mean of log p(x, z) − log q(z), whose spread
shrinks to nothing as q becomes the posterior (Roeder, Wu, Duvenaud 2017, "Sticking the landing").
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Noise, Posterior
from models.measures.likelihood import chunks, importance_weighted
from models.refine import ascend
from models.vae import VAE

CHUNK = 64  # draws decoded at once


@dataclass(frozen=True, eq=False)
class Refined:
    """q after a step of the climb."""

    step: int  # 0: the encoder's own
    posterior: Posterior  # (1, L) each
    elbo: float  # nats, on draws not climbed on, the same ones at every step
    elbo_error: float  # its standard error
    objective: float  # the ELBO on the draws that are climbed on: no step lowers it


@dataclass(frozen=True)
class Gap:
    """The gap of one picture in two parts, in nats; each with its standard error.

    All come from the same ε, so that differences are surer than what they are differences of. `approximation` is never below 0,
    as the log of a mean is at least the mean of the logs on any draws; and it is from below, as `log_prob` is. Where its error
    is large, a few draws outweigh the rest: then more is missing than the error says.
    """

    samples: int
    log_prob: float  # an estimate, from below in expectation
    log_prob_error: float
    elbo_amortised: float
    elbo_amortised_error: float
    elbo_refined: float
    elbo_refined_error: float
    amortisation: float  # elbo_refined − elbo_amortised
    amortisation_error: float
    approximation: float  # log_prob − elbo_refined
    approximation_error: float


def refine(
    model: VAE, x: Tensor, *, noise: Noise | int, steps: int = 60, draws: int | None = None, fresh: int = 128
) -> Iterator[Refined]:
    """q from the encoder's upwards, that one included, for one picture uint8 `(1, C, H, W)`.

    `draws`: climbed on; None: twice the latents, at least 16. `fresh`: those of the reported ELBO. The last is the one to keep:
    each is the best so far on the draws climbed on, and the fresh ones choose nothing, which is why their mean is not
    flattered. It ends early where ½|gradient|² is below a thousandth of a nat.

    Raises ValueError for more or fewer pictures than one, for a conditional model, for fewer draws than twice the latents, and
    for odd numbers of draws.
    """
    noise, start = Noise.of(noise), _encoded(model, x)
    latent = start.mean.shape[1]
    if draws is None:
        draws = max(16, 2 * latent)
    if draws % 2 or draws < 2 * latent:
        raise ValueError(f"{draws} draws to climb on: they must be even, and at least twice the {latent} latents.")
    climbed = _standardised(_pairs(noise, draws, start, "refine: climbed"))
    measured = _pairs(noise, fresh, start, "refine: fresh")

    def posterior(place: Tensor) -> Posterior:
        shift, stretch = place.to(start.mean)[None].chunk(2, dim=1)
        return Posterior(start.mean + start.std * shift, start.std * stretch.exp())

    def objective(place: Tensor) -> Tensor:
        return log_weights(model, x, posterior(place), climbed).double().mean()

    for step, place in enumerate(ascend(objective, torch.zeros(2 * latent, dtype=torch.float64), steps=steps)):
        here = posterior(place.z)
        mean, error = _mean(_in_pairs(_chunked(model, x, here, measured)).mean(0))
        yield Refined(step, here, mean, error, place.value)


def split(model: VAE, x: Tensor, posterior: Posterior, *, noise: Noise | int, samples: int) -> Gap:
    """The gap of one picture uint8 `(1, C, H, W)` whose refined q is `posterior`, by `samples` draws of ε.

    log p(x) by importance weighting with the refined q as proposal. Errors count each pair ±ε as one draw. Raises ValueError
    as `refine` does, and for fewer samples than 4.
    """
    start = _encoded(model, x)
    if samples < 4:
        raise ValueError(f"{samples} samples are too few: at least 4.")
    epsilon = _pairs(Noise.of(noise), samples, start, "split")
    amortised, refined = (_in_pairs(_chunked(model, x, q, epsilon)) for q in (start, posterior))  # (2, S/2) each
    pairs = refined.logsumexp(0) - math.log(2)  # log of the mean weight of a pair
    log_prob, log_prob_error = importance_weighted(
        lambda first, n: pairs[first : first + n, None], len(pairs), chunk=len(pairs)
    )
    elbo_amortised, elbo_amortised_error = _mean(amortised.mean(0))
    elbo_refined, elbo_refined_error = _mean(refined.mean(0))
    # To first order, log of the mean weight changes with each pair by (w/w̄ − 1)/n: the delta method, for the difference.
    influence = (pairs - log_prob).exp() - refined.mean(0)
    return Gap(
        samples=samples,
        log_prob=float(log_prob),
        log_prob_error=float(log_prob_error),
        elbo_amortised=elbo_amortised,
        elbo_amortised_error=elbo_amortised_error,
        elbo_refined=elbo_refined,
        elbo_refined_error=elbo_refined_error,
        amortisation=elbo_refined - elbo_amortised,
        amortisation_error=_mean(refined.mean(0) - amortised.mean(0))[1],
        approximation=float(log_prob) - elbo_refined,
        approximation_error=_mean(influence)[1],
    )


def log_weights(model: VAE, x: Tensor, posterior: Posterior, epsilon: Tensor) -> Tensor:
    """log p(x|z) + log N(z; 0, I) − log q(z), `(S,)`, at z = μ + σ⊙ε, ε `(S, L)`: their mean is the ELBO of q, in nats."""
    z = posterior.mean + posterior.std * epsilon
    log_p = model.log_likelihood(x.expand(len(z), *x.shape[1:]), z)
    # The constants (2π) of prior and q cancel.
    return log_p + 0.5 * (epsilon.square() - z.square()).sum(1) + posterior.std.log().sum()


def _encoded(model: VAE, x: Tensor) -> Posterior:
    """The encoder's q of the one picture."""
    if len(x) != 1:
        raise ValueError(f"{len(x)} pictures have no one q: give one.")
    with torch.no_grad():
        return model.encode(x)


def _pairs(noise: Noise, draws: int, like: Posterior, stream: str) -> Tensor:
    """ε, `(draws, L)`: a first half, and the same with the sign turned."""
    if draws < 2 or draws % 2:
        raise ValueError(f"{draws} draws do not come in pairs: an even number is needed.")
    half = noise.normal(1, (draws // 2, like.mean.shape[1]), stream=stream, dtype=like.mean.dtype, device=like.mean.device)[0]
    return torch.cat([half, -half])


def _standardised(epsilon: Tensor) -> Tensor:
    """`epsilon` `(S, L)`, S ≥ L, in other coordinates: those in which (1/S) Σ εεᵀ = I."""
    factor = torch.linalg.cholesky(epsilon.T @ epsilon / len(epsilon))
    return torch.linalg.solve_triangular(factor, epsilon.T, upper=False).T


@torch.no_grad()
def _chunked(model: VAE, x: Tensor, posterior: Posterior, epsilon: Tensor) -> Tensor:
    """`log_weights` in float64 without gradients, a bounded number at once."""
    parts = [log_weights(model, x, posterior, epsilon[first : first + n]).double() for first, n in chunks(len(epsilon), CHUNK)]
    return torch.cat(parts)


def _in_pairs(values: Tensor) -> Tensor:
    """`(2, S/2)` of `(S,)`: what belongs to ε above what belongs to −ε."""
    return values.reshape(2, -1)


def _mean(values: Tensor) -> tuple[float, float]:
    """(mean, its standard error) of independent numbers."""
    return float(values.mean()), float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
