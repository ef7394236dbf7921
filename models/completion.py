"""Completing an image of which a part is known.

If all that is known comes before all that is not, in the order of writing, a PixelCNN completes exactly: what it writes next is
a draw from p(rest | known). For any other mask it is not. Each unknown sub-pixel U is drawn from p(x_t | x_<t), which has not
seen the known ones K that come later, so the images are draws from another distribution,

    q(x) = Π_{t ∈ U} q(x_t | x_<t),    q = p, or p^(1/T) made to sum to 1 at a temperature T

and each must be weighed by how well the known part fits what was written before it:

    p(x | known) ∝ w(x) q(x),    w(x) = Π_{t ∈ K} p(x_t | x_<t) · Π_{t ∈ U} p(x_t | x_<t) / q(x_t | x_<t)

At T = 1 the second product is 1. Factors of the known sub-pixels that lead the order are the same for all images and cancel.
This is likelihood weighting (Fung and Chang 1990, "Weighing and integrating evidence for stochastic simulation in Bayesian
networks"). Drawing again among the images by their weights makes them approximate draws from p(x | known) (Rubin 1988, "Using
the SIR algorithm to simulate posterior distributions"). Both hold as the number of images grows; how many of them carry the
weight, (Σw)² / Σw² (Kong, Liu, Wong 1994, "Sequential imputations and Bayesian missing data problems"), says how far that is.

A class that nobody gave is drawn too. From p(y), it would be wrong even where the rest is exact; so it is drawn from the exact
p(y | known sub-pixels that lead the order), by Bayes' rule. Image and class together are then weighed by the same w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Noise, checked_labels
from models.pixel_writer import COLDEST, draw, is_prefix, orders
from models.pixelcnn import CHUNK, PixelCNN, from_scan_order, in_scan_order, log_prob_of


@dataclass(frozen=True)
class Completions:
    """Images that agree where something is known, and what each counts as an answer to p(x | known).

    The mean of exp(log_weights) estimates p(what is known later | what is known that leads the order).
    """

    images: Tensor  # uint8 (n, C, H, W), as they were written
    labels: Tensor | None  # int64 (n,), those they were written with
    exact: bool  # whether the images are draws from p(x | known) themselves
    log_weights: Tensor  # float64 (n,), nats: log w; 0 where exact
    effective_samples: float  # (Σw)² / Σw², 1 to n; it cannot know of likely images that were never drawn
    resampled: Tensor  # int64 (n,): numbers of images, drawn again by weight; 0 to n - 1 where exact
    mean: Tensor  # float64 (C, H, W), in levels: the weighted mean image, which estimates that of p(x | known)


def complete(
    model: PixelCNN,
    given: Tensor,
    mask: Tensor,
    n: int,
    *,
    noise: Noise | int,
    labels: Tensor | None = None,
    temperature: float = 1.0,
) -> Completions:
    """`n` completions of one image `given`, uint8 `(C, H, W)`, of which `mask`, bool `(H, W)` or `(C, H, W)`, is known.

    With `labels`, int64 `(n,)` and all the same, of p(x | known, y); without, of p(x | known). Exact at temperature 1 where
    `is_prefix(mask)`. Another temperature is only another way to propose: the weights still mean p. One below 1 proposes
    fewer of the images that p allows, and `effective_samples` does not show what is missing. Raises ValueError for tensors
    that do not fit the model, less than one image, labels that differ and a temperature that is not above 0.
    """
    noise = Noise.of(noise)
    _check_temperature(temperature)
    if n < 1:
        raise ValueError(f"{n} completions are too few: at least 1.")
    part, known = _part(model, given, mask)
    labels = checked_labels(labels, n, model.spec)
    if labels is None and model.spec.classes:
        labels = labels_given(model, part, known, n, noise)
    elif labels is not None and bool((labels != labels[0]).any()):
        differing = sorted(set(labels.tolist()))
        raise ValueError(f"Labels {differing} differ: give one label for all images, or none to have them drawn.")
    images = model.sample(n, noise=noise, labels=labels, temperature=temperature, given=part, mask=known)
    return weigh(model, images, known, labels, noise=noise, temperature=temperature)


def weigh(
    model: PixelCNN,
    images: Tensor,
    known: Tensor,
    labels: Tensor | None,
    *,
    noise: Noise | int,
    temperature: float = 1.0,
) -> Completions:
    """What `complete` says of `images`, uint8 `(n, C, H, W)`, that were written at `temperature` and agree where `known`,
    bool `(H, W)` or `(C, H, W)`.

    `labels` are those they were written with, int64 `(n,)`: all the same, or drawn by `labels_given` (labels drawn by the
    writer itself have not seen what is known, and would need other weights). None for a model without classes. The noise is
    needed to draw again. Raises ValueError.
    """
    _check_temperature(temperature)
    n, device = len(images), next(model.parameters()).device
    images = model.check(images).to(device)
    if not n:
        raise ValueError("There are no images to weigh: at least 1.")
    part, known = _part(model, images[0], known)
    if bool((images[:, known] != part[known]).any()):
        raise ValueError("Images that complete the same part must agree where it is known; these do not.")
    labels = checked_labels(labels, n, model.spec)
    if labels is None and model.spec.classes:
        raise ValueError(
            f"This PixelCNN has {model.spec.classes} classes: the labels that images were written with are needed."
        )
    labels = None if labels is None else labels.to(device)
    exact = is_prefix(known) and (temperature == 1 or bool(known.all()))  # all known: nothing was proposed
    if exact:
        log_weights = torch.zeros(n, dtype=torch.float64, device=device)
    else:
        log_weights = _log_weights(model, images, known, labels, temperature)
    weights = torch.softmax(log_weights, dim=0)  # sum to 1
    pairs = zip(weights.split(CHUNK), images.split(CHUNK), strict=True)
    return Completions(
        images=images,
        labels=labels,
        exact=exact,
        log_weights=log_weights,
        effective_samples=float(n) if exact else float(1 / weights.square().sum()),
        resampled=torch.arange(n, device=device) if exact else systematic(weights, Noise.of(noise)),
        mean=torch.stack([torch.einsum("n,nchw->chw", some, few.double()) for some, few in pairs]).sum(0),
    )


def labels_given(model: PixelCNN, given: Tensor, known: Tensor, n: int, noise: Noise | int) -> Tensor:
    """`n` labels drawn from p(y | known sub-pixels that lead the order), int64 `(n,)`; `given` and `known` as in `complete`.

    log p(y | known) = Σ_t log p(x_t | x_<t, y) over those sub-pixels, less a constant: every class is as likely before.
    Each label takes one number of its image from the noise, that with which `sample` draws a label where nothing is known.
    Raises ValueError for a model without classes.
    """
    part, known = _part(model, given, known)
    leading = known_prefix(known)
    with torch.inference_mode():  # whatever stands at later places changes no term that is summed
        log_posterior = model.log_probs_by_class(part[None])[:, 0, leading].sum(1)  # (K,)
    uniform = Noise.of(noise).uniform(n, (), stream="label").to(log_posterior.device)
    return draw(log_posterior.expand(n, -1), uniform, torch.ones_like(uniform))


def known_prefix(known: Tensor) -> Tensor:
    """Of what is known, bool `(C, H, W)`, all that comes before the first unknown sub-pixel in the order of writing."""
    c, h, w = known.shape
    return from_scan_order(in_scan_order(known[None]).cumprod(1), (c, h, w))[0].bool()


def systematic(weights: Tensor, noise: Noise) -> Tensor:
    """As many indexes as weights `(n,)`, int64 `(n,)`, increasing: each as often as its share of n, rounded up or down.

    Indexes at the points (i + u) / n of the cumulative shares, with one u for all. Source: Kitagawa (1996), "Monte Carlo filter
    and smoother for non-Gaussian nonlinear state space models", appendix; named systematic by Carpenter, Clifford and Fearnhead
    (1999), "An improved particle filter for nonlinear problems".
    """
    n = len(weights)
    points = (torch.arange(n, dtype=torch.float64) + noise.uniform(1, (), stream="resample")) / n
    cumulative = weights.cumsum(0)
    return torch.searchsorted(cumulative, points.to(weights.device) * cumulative[-1]).clamp_max(n - 1)


def _log_weights(model: PixelCNN, images: Tensor, known: Tensor, labels: Tensor | None, temperature: float) -> Tensor:
    """log w, nats, float64 `(n,)`: see the top of this file. A few images at a time bound the memory."""
    late, parts = known & ~known_prefix(known), []
    for first in range(0, len(images), CHUNK):
        x = images[first : first + CHUNK]
        y = None if labels is None else labels[first : first + CHUNK]
        with torch.inference_mode():
            logits = model.logits(x, y).double()  # (B, levels, C, H, W)
            log_p = log_prob_of(logits, x)  # (B, C, H, W)
            log_q = log_prob_of(logits / max(temperature, COLDEST), x)
            parts.append(log_p[:, late].sum(1) + (log_p - log_q)[:, ~known].sum(1))
    return torch.cat(parts)


def _part(model: PixelCNN, given: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """What is known, uint8 with zeros elsewhere, and where, bool; `(C, H, W)` each, checked, on the model's device."""
    if given.dim() != 3 or mask.dim() not in (2, 3):
        shapes = f"{tuple(given.shape)} and {tuple(mask.shape)}"
        raise ValueError(f"One image (C, H, W) and one mask (H, W) or (C, H, W) are completed, not {shapes}.")
    one = orders(model, 1, noise=0, given=given, mask=mask)
    return torch.where(one.known, one.given, 0)[0], one.known[0]


def _check_temperature(temperature: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature {temperature:g} is not a finite number above 0: at 0 one image is all that is proposed.")
