"""What training lowers, apart from the networks: each objective is a function of a model, a batch and noise.

The negative ELBO of a latent-variable model, in nats an image, pixels summed (not averaged: averaging over pixels would
weigh the reconstruction down against the KL by their number):

    −ELBO = −E_q(z|x)[log p(x|z)] + KL(q(z|x) ‖ p(z))

with one draw z = μ + σ⊙ε, so that gradients pass through the draw. Source: Kingma and Welling (2014), sections 2.3 and 2.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.contract import Batch, Loss, Noise
from models.pixelcnn import PixelCNN
from models.vae import VAE, kl_to_prior

Objective = Callable[[Any, Batch, Noise], Loss]  # of a model that offers what the objective asks for


def negative_elbo(model: VAE, batch: Batch, noise: Noise) -> Loss:
    """Parts: "reconstruction" (−log p(x|z)) and "kl", nats, `(B,)` each; they add up to the image's loss."""
    posterior = model.encode(batch.x)
    like = posterior.mean
    epsilon = noise.normal(batch.index, like.shape[1:], stream="epsilon", dtype=like.dtype, device=like.device)
    reconstruction = -model.log_likelihood(batch.x, posterior.mean + posterior.std * epsilon)
    kl = kl_to_prior(posterior).sum(1)
    return Loss((reconstruction + kl).mean(), {"reconstruction": reconstruction, "kl": kl})


def negative_log_likelihood(model: PixelCNN, batch: Batch, noise: Noise) -> Loss:
    """−log p(x|y) in nats, or −log p(x) of a model without classes. Exact: `noise` has no part in it."""
    nats = model.loss(batch.x, batch.labels)
    return Loss(nats.mean(), {"likelihood": nats})


OBJECTIVES: dict[str, Objective] = {"elbo": negative_elbo, "likelihood": negative_log_likelihood}
