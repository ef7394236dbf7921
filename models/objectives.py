"""What training lowers, apart from the networks: each objective is a function of a model, a batch and noise.

The negative ELBO of a latent-variable model, in nats an image, pixels summed (not averaged: averaging over pixels would
weigh the reconstruction down against the KL by their number):

    −ELBO = −E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z))

with one draw z = μ + σ⊙ε, so that gradients pass through the draw. Source: Kingma and Welling (2014), sections 2.3 and 2.4.

Two relatives ask for more independence of the latents. Both are the ELBO at β = 1; above, the first is a bound still, and a
loose one; below, it is none. Likelihood scores are therefore always those of β = 1, whatever a model was trained by.

    β-VAE      −E_q[log p(x|z)] + β KL                            Higgins et al. (2017), equation 4
    β-TCVAE    −E_q[log p(x|z)] + KL + (β − 1) TC(z)              Chen, Li, Grosse, Duvenaud (2018), equation 4

The KL, averaged over the data, is I(x; z) + TC(z) + Σ_j KL(q(z_j) ‖ p(z_j)): the β-TCVAE weighs the middle one alone, the total
correlation KL(q(z) ‖ Π_j q(z_j)), estimated within the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.autoencoder import Autoencoder
from models.classifier import Classifier
from models.contract import Batch, Loss, Noise, Posterior
from models.measures.disentanglement import minibatch_log_q
from models.vae import VAE, kl_to_prior

Objective = Callable[[Any, Batch, Noise], Loss]  # of a model that offers what the objective asks for


def negative_elbo(model: VAE, batch: Batch, noise: Noise, *, beta: float = 1.0) -> Loss:
    """Parts: "reconstruction" (−log p(x|z)) and "kl", nats, `(B,)` each, unweighted; `beta` weighs the KL in the total."""
    _, _, reconstruction, kl = _terms(model, batch, noise)
    parts = {"reconstruction": reconstruction, "kl": kl}
    return Loss((reconstruction + beta * kl).mean(), parts, (reconstruction + kl).mean())


def negative_tc_elbo(model: VAE, batch: Batch, noise: Noise, *, beta: float = 1.0) -> Loss:
    """As `negative_elbo`, with "total_correlation" `(B,)` besides: of it, β − 1 times more is paid.
    The estimate is off by a constant (see `minibatch_log_q`), which no gradient feels.

    `batch.total` is the number of images in the whole data set, of which the estimator of q(z) makes use.
    """
    posterior, z, reconstruction, kl = _terms(model, batch, noise)
    log_q, log_product = minibatch_log_q(z, posterior, batch.total or len(batch.x))
    parts = {"reconstruction": reconstruction, "kl": kl, "total_correlation": log_q - log_product}
    bound = (reconstruction + kl).mean()
    return Loss(bound + (beta - 1) * parts["total_correlation"].mean(), parts, bound)


def _terms(model: VAE, batch: Batch, noise: Noise) -> tuple[Posterior, Tensor, Tensor, Tensor]:
    """q(z|x), a draw of z `(B, L)`, −log p(x|z) and the KL `(B,)`."""
    labels = batch.labels if model.spec.classes else None
    posterior = model.encode(batch.x, labels)
    like = posterior.mean
    epsilon = noise.normal(batch.index, like.shape[1:], stream="epsilon", dtype=like.dtype, device=like.device)
    z = posterior.mean + posterior.std * epsilon
    return posterior, z, -model.log_likelihood(batch.x, z, labels), kl_to_prior(posterior).sum(1)


def squared_error(model: Autoencoder, batch: Batch, noise: Noise) -> Loss:
    """‖x − x̂‖² of pixels scaled to 0 … 1, summed over an image: no nats. `noise` has no part in it."""
    error = model.squared_error(batch.x) / (model.spec.levels - 1) ** 2
    return Loss(error.mean(), {"squared_error": error})


class Likely(Protocol):
    def loss(self, x: Tensor, labels: Tensor | None = None) -> Tensor: ...


def negative_log_likelihood(model: Likely, batch: Batch, noise: Noise) -> Loss:
    """−log p(x|y) in nats, or −log p(x) of a model without classes. Exact: `noise` has no part in it."""
    nats = model.loss(batch.x, batch.labels)
    return Loss(nats.mean(), {"likelihood": nats}, nats.mean())


def importance_weighted(model: VAE, batch: Batch, noise: Noise, *, draws: int = 8) -> Loss:
    """−log (1/k) Σ_k p(x, z_k)/q(z_k|x), k = `draws` reparameterised draws of q(z|x): with more than one, a tighter bound than
    the ELBO, which is that of one (Burda, Grosse, Salakhutdinov 2016, section 3). Parts: "bound" and "kl" (of q and the prior),
    `(B,)`.
    """
    labels = batch.labels if model.spec.classes else None
    posterior = model.encode(batch.x, labels)
    b, latent = posterior.mean.shape
    like = posterior.mean
    flat = noise.normal(batch.index, (draws, latent), stream="epsilon", dtype=like.dtype, device=like.device)
    epsilon = flat.transpose(0, 1)  # (k, B, L)
    z = posterior.mean + posterior.std * epsilon
    tiled = batch.x.expand(draws, *batch.x.shape).flatten(0, 1)
    log_p = model.log_likelihood(tiled, z.flatten(0, 1), None if labels is None else labels.repeat(draws)).reshape(draws, b)
    log_ratio = 0.5 * (epsilon.square() - z.square()).sum(-1) + posterior.std.log().sum(-1)  # log p(z) − log q(z|x)
    bound = math.log(draws) - torch.logsumexp(log_p + log_ratio, 0)  # (B,)
    return Loss(bound.mean(), {"bound": bound, "kl": kl_to_prior(posterior).sum(1)}, bound.mean())


def label_cross_entropy(model: Classifier, batch: Batch, noise: Noise) -> Loss:
    """−log p(y|x) in nats, a discriminative loss: it says nothing of p(x). `noise` has no part in it."""
    found = cross_entropy(model.logits(batch.x).float(), batch.labels, reduction="none")
    return Loss(found.mean(), {"cross_entropy": found})


OBJECTIVES: dict[str, Callable[..., Loss]] = {
    "elbo": negative_elbo,
    "tc-elbo": negative_tc_elbo,
    "squared-error": squared_error,
    "likelihood": negative_log_likelihood,
    "importance-weighted": importance_weighted,
    "cross-entropy": label_cross_entropy,
}
WEIGHTED = {"elbo", "tc-elbo"}  # those that know a β


def objective(name: str, beta: float = 1.0, draws: int = 1) -> Objective:
    """One of `OBJECTIVES`, with its β, or its number of draws. Raises ValueError for one that it cannot have."""
    if beta != 1.0 and name not in WEIGHTED:
        raise ValueError(f"The objective {name!r} has no β: {beta:g} cannot be its weight.")
    if not beta >= 0:
        raise ValueError(f"β = {beta:g} is not a number of at least 0.")
    if draws < 1 or (draws > 1 and name != "importance-weighted"):
        raise ValueError(f"{draws} draws do not fit the objective {name!r}: 'importance-weighted' has 1 or more, all others 1.")
    if name == "importance-weighted":
        return partial(importance_weighted, draws=draws)
    return partial(OBJECTIVES[name], beta=beta) if name in WEIGHTED else OBJECTIVES[name]
