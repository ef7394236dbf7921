"""Labels by Bayes' rule: a generative classifier can say no.

    p(y|x) = p(x|y) p(y) / p(x),    p(x) = Σ_y p(x|y) p(y)

A model of pictures given their class, and a prior of the classes, give the label and, in the same stroke, how probable the
picture is at all. A softmax has to choose, however strange the picture: it knows only the quotient. Here the denominator is
known too, and a picture that is improbable under every class can be turned away.
Source: Bishop (2006), "Pattern recognition and machine learning", section 1.5.4 (b generative, a reject option in 1.5.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Density, GenerativeModel, LogProb, Noise
from models.measures.likelihood import chunks
from models.measures.outliers import checked_scores, one_sided_rank

CHUNK = 250  # images in one pass, at most: the terms of a PixelCNN are (K, images, C, H, W)


@dataclass(frozen=True)
class ByClass:
    """log p(x|y) of each picture under each class."""

    nats: Tensor  # float64 (K, B)
    kind: Density
    method: str
    samples: int = 1
    standard_error: Tensor | None = None  # float64 (K, B) of the estimates, in nats


@torch.no_grad()
def by_class(
    model: GenerativeModel,
    x: Tensor,
    *,
    method: str | None = None,
    samples: int = 1,
    noise: Noise | int | None = None,
) -> ByClass:
    """log p(x|y) in nats of `x` uint8 `(B, C, H, W)` under each of the model's classes, on the CPU.

    A model that has `log_probs_by_class(x) -> (K, B, C, H, W)` (exact, by sub-pixel) or `log_prob_by_class(x) -> (K, B)` is
    asked once; any other is asked for `log_prob` with each label in turn. All classes see the same noise, so that chance does
    not choose between them. Raises ValueError for a model without classes or without probabilities.
    """
    if not model.spec.classes:
        raise ValueError(f"This {model.spec.kind} has no classes: it says p(x), but not p(x|y).")
    if model.spec.density == Density.NONE:
        raise ValueError(f"This {model.spec.kind} says no probabilities, and so no p(x|y).")
    start = Noise.of(0 if noise is None else noise)
    device = next(model.parameters(), x).device
    pieces = list(chunks(len(x), CHUNK)) or [(0, 0)]
    parts = [
        _by_class(model, x[first : first + count].to(device), method, samples, start.skip(first)) for first, count in pieces
    ]
    errors = [part.standard_error for part in parts if part.standard_error is not None]
    nats = torch.cat([part.nats for part in parts], dim=1)
    error = torch.cat(errors, dim=1) if errors else None
    return ByClass(nats, parts[0].kind, parts[0].method, parts[0].samples, error)


def _by_class(model: GenerativeModel, x: Tensor, method: str | None, samples: int, noise: Noise) -> ByClass:
    """`by_class` of at most CHUNK images."""
    terms, whole = getattr(model, "log_probs_by_class", None), getattr(model, "log_prob_by_class", None)
    if terms is not None and method in (None, "exact"):
        return ByClass(terms(x).double().flatten(2).sum(2).cpu(), Density.EXACT, "exact")
    if whole is not None and method is None:
        return ByClass(whole(x).double().cpu(), model.spec.density, model.spec.density.value)
    each: list[LogProb] = []
    for y in range(model.spec.classes):
        told = torch.full((len(x),), y, dtype=torch.int64, device=x.device)
        each.append(model.log_prob(x, labels=told, method=method, samples=samples, noise=noise))
    errors = [one.standard_error for one in each if one.standard_error is not None]
    return ByClass(
        torch.stack([one.nats for one in each]).double().cpu(),
        each[0].kind,
        each[0].method,
        each[0].samples,
        torch.stack(errors).double().cpu() if len(errors) == len(each) else None,
    )


@dataclass(frozen=True)
class Labels:
    """What Bayes' rule makes of `ByClass`: nats both."""

    log_posterior: Tensor  # float64 (K, B): log p(y|x)
    log_prob: Tensor  # float64 (B,): log p(x), the evidence
    kind: Density  # of log_prob

    @property
    def posterior_kind(self) -> Density:
        """A quotient of bounds bounds nothing: unless all is exact, the posterior is an estimate."""
        return Density.EXACT if self.kind == Density.EXACT else Density.ESTIMATE


def labels(by_class: ByClass, prior: Tensor | None = None) -> Labels:
    """p(y|x) and p(x) from p(x|y) and `prior` `(K,)`, positive numbers that sum to 1 (by default all alike).

    Raises ValueError for another prior, and for a picture that no class gives any probability: it has no posterior.
    """
    nats = by_class.nats.double()
    k = len(nats)
    impossible = ~nats.amax(0).isfinite()  # −∞ under all classes, or not a number
    if impossible.any():
        first = int(impossible.nonzero()[0])
        raise ValueError(
            f"log p(x|y) of picture {first} is {nats[:, first].tolist()}: they must be numbers, and one of them above −∞."
        )
    joint = nats + _checked_prior(prior, k).log()[:, None]  # (K, B)
    log_prob = joint.logsumexp(0)  # (B,)
    return Labels(joint - log_prob, log_prob, by_class.kind)


def _checked_prior(prior: Tensor | None, k: int) -> Tensor:
    if prior is None:
        return torch.full((k,), 1 / k, dtype=torch.float64)
    if prior.shape != (k,):
        raise ValueError(f"A prior of {k} classes is ({k},), not {tuple(prior.shape)}.")
    prior = checked_scores("prior probabilities", prior)
    if not prior.min() > 0:
        raise ValueError(f"Prior probability {float(prior.min()):g} of class {int(prior.argmin())} is not above 0.")
    if not math.isclose(float(prior.sum()), 1, abs_tol=1e-6):  # loose enough for probabilities made in float32
        raise ValueError(f"Prior probabilities sum to {float(prior.sum()):g}, not to 1.")
    return prior / prior.sum()


def reject(surprise: Tensor, calibration: Tensor, *, alpha: float, noise: Noise | int) -> Tensor:
    """Whether each picture is turned away: bool `(B,)`, true where fewer than the share `alpha` of held-out pictures are as
    surprising.

    `surprise` `(B,)` and that of held-out pictures `calibration` `(N,)` are −log p(x) in one unit, nats or bits per dimension:
    high is outlying. A picture like the held-out ones is turned away with probability `alpha` exactly (`one_sided_rank`); one
    that is less surprising than they are never is, whatever it shows.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1.")
    return one_sided_rank(surprise, calibration, noise=noise) < alpha


@dataclass(frozen=True)
class Coverage:
    """Pictures are accepted from the most confident on: how many are, and how often the label given to them is wrong."""

    coverage: Tensor  # float64 (P,): the share accepted, rising to 1
    error: Tensor  # float64 (P,): the share of the accepted that are wrong
    threshold: Tensor  # float64 (P,): accepted are those at least this confident, falling
    area: float  # the mean error over coverages 0 to 1; lower is better


def coverage_curve(confidence: Tensor, correct: Tensor) -> Coverage:
    """The error among the accepted as the demand on `confidence` `(B,)` falls, one point for each distinct confidence.

    `correct` bool `(B,)`: whether the label given is right. For an outlier no label is, so that it is wrong whenever it is
    accepted. Pictures of one confidence enter together, and coverages between two points have the error of the upper one: that
    is what accepting so many costs. Sources: El-Yaniv and Wiener (2010), "On the foundations of noise-free selective
    classification", section 2 (the trade-off); Geifman and El-Yaniv (2017), "Selective classification for deep neural
    networks", section 2 (thresholds of a confidence).
    """
    confidence = checked_scores("confidences", confidence, least=1)
    if correct.dtype != torch.bool or correct.shape != confidence.shape:
        raise ValueError(f"correct is bool {tuple(confidence.shape)}, not {correct.dtype} {tuple(correct.shape)}.")
    ordered, order = confidence.sort(descending=True)
    wrong = (~correct.cpu())[order].cumsum(0)  # (B,) among the first so many
    last = torch.cat([ordered[1:] != ordered[:-1], torch.tensor([True])])  # of its ties
    accepted = torch.arange(1, len(ordered) + 1)[last]
    coverage = accepted.double() / len(ordered)
    error = wrong[last].double() / accepted
    widths = torch.diff(coverage, prepend=torch.zeros(1, dtype=torch.float64))
    return Coverage(coverage, error, ordered[last], float(widths @ error))


@dataclass(frozen=True)
class Accepted:
    """One point of a coverage curve."""

    threshold: float
    coverage: float
    error: float


def accepted_at(curve: Coverage, share: float) -> Accepted:
    """The strictest demand on confidence under which at least `share` (above 0, at most 1) of the pictures are accepted."""
    if not 0 < share <= 1:
        raise ValueError(f"The share {share} is not above 0 and at most 1.")
    place = int(torch.searchsorted(curve.coverage, share - 1e-12))  # a share that is a count over B, but for rounding
    return Accepted(float(curve.threshold[place]), float(curve.coverage[place]), float(curve.error[place]))
