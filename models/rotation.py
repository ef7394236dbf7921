"""Turning the latent space: what the model says stays, what its dimensions mean does not.

A rotation R, z' = R z, leaves N(0, I) as it is, since its density depends on z only through |z|². A decoder that first turns
back, x ~ p(x|Rᵀz'), is therefore the same model of images as before, with the same samples and the same log p(x); yet each of
its dimensions is a mixture of the old ones. What keeps the meanings apart is the diagonal posterior, whose axes do not turn
along. Source: Locatello et al. (2019), "Challenging common assumptions in the unsupervised learning of disentangled
representations", theorem 1 and its proof; Rolinek, Zietlow, Martius (2019), "Variational autoencoders pursue PCA directions".
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.contract import Posterior
from models.noise import Noise


def rotation(latent: int, seed: int) -> Tensor:
    """A rotation of `latent` dimensions, float64 `(L, L)`, all being equally likely; seed 0 is the identity.

    The orthogonal factor of a Gaussian matrix, with the signs that make the triangular factor's diagonal positive, is uniform
    over all orthogonal matrices (Mezzadri 2007, "How to generate random matrices from the classical compact groups", section
    5); where it also mirrors, one column is mirrored back.
    """
    if latent < 1:
        raise ValueError(f"{latent} dimensions are too few: at least 1.")
    if seed == 0:
        return torch.eye(latent, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(Noise(seed).normal(latent, (latent,), stream="rotation"))
    turned = orthogonal * triangular.diagonal().sign()
    if torch.linalg.det(turned) < 0:
        turned[:, 0] *= -1
    return turned


def rotated(posterior: Posterior, turn: Tensor) -> Posterior:
    """The marginals of z' = R z under a diagonal Gaussian `(B, L)`, with R = `turn` `(L, L)`.

    Exact coordinate by coordinate: z'_j ~ N((Rμ)_j, Σ_i R²_ji σ²_i). Jointly z' is no longer diagonal where the σ differ, and
    these marginals do not say how its coordinates hang together.
    """
    turn = turn.to(posterior.mean)
    return Posterior(posterior.mean @ turn.T, (posterior.std.square() @ turn.square().T).sqrt())
