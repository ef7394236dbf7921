"""How probable is an image? Units, the importance-weighted estimate, and the scores of a data set.

    log p(x) = log E_q(z|x)[ p(x|z) p(z) / q(z|x) ]  ≈  log (1/K) Σ_k w_k

With K = 1 the expectation of the estimate is the ELBO; it does not fall as K grows, and stays below log p(x): a lower bound in
expectation, whose tightness depends on K. Source: Burda, Grosse, Salakhutdinov (2016), "Importance weighted autoencoders",
section 3 and theorem 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.contract import GenerativeModel, LogProb, Noise


def bits_per_dim(nats: Tensor, dims: int) -> Tensor:
    """Surprise: −nats / (log 2 · dims), where nats is log p(x). Lower is better."""
    return -nats / (math.log(2.0) * dims)


def share_at_least(bits: float, quantiles: Sequence[float]) -> float:
    """The share of held-out images at least as surprising as `bits`, from the quantiles of their scores at equal steps.

    A rank among held-out images, 0 to 1: not the probability that the picture is an outlier.
    """
    return 1.0 - float(np.interp(bits, quantiles, np.linspace(0, 1, len(quantiles))))


def chunks(total: int, size: int) -> Iterator[tuple[int, int]]:
    """(first, count) pairs that cover 0 to total - 1 in pieces of at most `size`."""
    for first in range(0, total, size):
        yield first, min(size, total - first)


@dataclass(frozen=True)
class Running:
    """The importance-weighted estimate after `samples` draws: float64 `(B,)` each, in nats but for the sample size."""

    samples: int
    nats: Tensor
    standard_error: Tensor
    effective_samples: Tensor  # (Σw)²/Σw²


def importance_weighted_steps(log_weights: Callable[[int, int], Tensor], samples: int, *, chunk: int) -> Iterator[Running]:
    """The estimate of log p(x) as it grows, chunk by chunk, from `log_weights(first, count) -> (count, B)`.

    The weights are forgotten chunk by chunk, so memory does not grow with `samples`. The standard error is that of log of a
    mean, by the delta method: √(1/ESS − 1/K) with the effective sample size ESS. It is itself an estimate, and too small where
    the weights that matter were not drawn.
    """
    if samples < 1:
        raise ValueError(f"{samples} samples are too few: at least 1.")
    first_moment = second_moment = torch.tensor(-torch.inf, dtype=torch.float64)
    for first, count in chunks(samples, chunk):
        log_w = log_weights(first, count).double()
        first_moment = torch.logaddexp(first_moment.to(log_w.device), torch.logsumexp(log_w, 0))
        second_moment = torch.logaddexp(second_moment.to(log_w.device), torch.logsumexp(2 * log_w, 0))
        so_far = first + count
        inverse_ess = torch.exp(second_moment - 2 * first_moment)
        error = (inverse_ess - 1.0 / so_far).clamp_min(0.0).sqrt()
        yield Running(so_far, first_moment - math.log(so_far), error, 1 / inverse_ess)


def importance_weighted(log_weights: Callable[[int, int], Tensor], samples: int, *, chunk: int) -> tuple[Tensor, Tensor]:
    """(estimate of log p(x), its standard error), both float64 `(B,)`: the end of `importance_weighted_steps`."""
    *_, last = importance_weighted_steps(log_weights, samples, chunk=chunk)
    return last.nats, last.standard_error


@dataclass(frozen=True)
class Score:
    """The mean of log p over a data set, in nats an image and bits per dimension, with what is needed to read it."""

    method: str
    kind: str
    samples: int
    images: int
    nats: float
    nats_standard_error: float  # of the mean over images: their spread / √images
    sampling_standard_error: float  # of the mean, from the randomness of the method alone
    bits_per_dim: float


def score(
    model: GenerativeModel, images: Tensor, *, method: str | None, samples: int, noise: Noise | int, chunk: int = 250
) -> tuple[Score, Tensor]:
    """The score of `model` on `images` uint8 `(N, C, H, W)`, and its nats, float64 `(N,)`, image by image."""
    noise = Noise.of(noise)
    device = next(model.parameters()).device
    results: list[LogProb] = []
    with torch.inference_mode():
        for first, count in chunks(len(images), chunk):
            x = images[first : first + count].to(device)
            results.append(model.log_prob(x, method=method, samples=samples, noise=noise.skip(first)))
    nats = torch.cat([r.nats.double().cpu() for r in results])
    errors = [r.standard_error.double().cpu() for r in results if r.standard_error is not None]
    return summarise(results[0], nats, torch.cat(errors) if errors else torch.zeros_like(nats), model.spec.dims), nats


def summarise(how: LogProb, nats: Tensor, errors: Tensor, dims: int) -> Score:
    """The mean of `nats` `(N,)` over images whose methods' standard errors are `errors` `(N,)`."""
    return Score(
        method=how.method,
        kind=how.kind.value,
        samples=how.samples,
        images=len(nats),
        nats=float(nats.mean()),
        nats_standard_error=float(nats.std() / math.sqrt(len(nats))),
        sampling_standard_error=float(errors.square().sum().sqrt() / len(nats)),
        bits_per_dim=float(bits_per_dim(nats.mean(), dims)),
    )
