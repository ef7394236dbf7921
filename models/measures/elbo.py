"""What a VAE's bound says of one picture, taken apart.

    log p(x) ≥ E_q[log p(x|z)] − KL(q(z|x) ‖ N(0, I))

The KL is a price in nats, paid for telling the decoder about this picture rather than any; the reconstruction is what it
bought, measured against the best constant picture, which pays nothing and knows nothing. One roll of ε gives one
z = μ + σ⊙ε and one reconstruction; the expectation is over many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.contract import Noise, Posterior
from models.measures.constant import ConstantPicture
from models.measures.likelihood import bits_per_dim
from models.vae import VAE, kl_to_prior, posterior_noise


@dataclass(frozen=True)
class ElboOfOne:
    """All in nats unless the name says otherwise."""

    posterior: Posterior  # (1, L) each
    epsilon: Tensor  # (L,) of this roll
    z: Tensor  # (L,)
    image: Tensor  # uint8 (C, H, W): the decoder's mean at z
    reconstruction_of_roll: float  # log p(x|z) at this z
    reconstruction: float  # E_q[log p(x|z)], an estimate
    reconstruction_error: float  # its standard error
    samples: int
    kl: float  # exact
    kl_by_dimension: Tensor  # (L,), exact
    elbo: float
    elbo_bits_per_dim: float
    constant: float | None  # log p(x) of the best constant picture, exact

    @property
    def bought(self) -> float | None:
        """What the reconstruction gains over the best constant picture."""
        return None if self.constant is None else self.reconstruction - self.constant


@torch.inference_mode()
def explain(
    model: VAE, x: Tensor, *, noise: Noise | int, roll: int = 0, samples: int = 64, constant: ConstantPicture | None = None
) -> ElboOfOne:
    """The bound of one picture uint8 `(1, C, H, W)`; `roll` chooses which of the seed's ε is shown."""
    noise = Noise.of(noise)
    posterior = model.encode(x)
    epsilon = posterior_noise(noise.at(roll), posterior)[0, 0]  # (L,)
    z = posterior.mean[0] + posterior.std[0] * epsilon
    by_dimension = kl_to_prior(posterior)[0]
    bound = model.log_prob(x, method="elbo", samples=samples, noise=noise)
    kl, elbo = float(by_dimension.sum()), float(bound.nats[0])
    return ElboOfOne(
        posterior=posterior,
        epsilon=epsilon,
        z=z,
        image=model.decode(z[None])[0],
        reconstruction_of_roll=float(model.log_likelihood(x, z[None])[0]),
        reconstruction=elbo + kl,
        reconstruction_error=float(bound.standard_error[0]) if bound.standard_error is not None else math.nan,
        samples=samples,
        kl=kl,
        kl_by_dimension=by_dimension,
        elbo=elbo,
        elbo_bits_per_dim=float(bits_per_dim(bound.nats[0], model.spec.dims)),
        constant=float(constant.log_prob(x)[0]) if constant is not None else None,
    )
