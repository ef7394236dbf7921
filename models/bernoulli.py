"""Two levels: a pixel is 1 with a probability p, which a network gives as a logit l = log p/(1 − p).

log P(x) = x·l − log(1 + eˡ)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from models.noise import Noise


def log_mass(x: Tensor, logits: Tensor) -> Tensor:
    """log P(x) in nats, elementwise; `x` integers 0 and 1, shapes broadcast."""
    return x.to(logits.dtype) * logits - softplus(logits)


def draw(probability: Tensor, *, noise: Noise, stream: str = "x") -> Tensor:
    """One draw for each probability of a 1: uint8 of its shape `(B, ...)`."""
    shape = tuple(probability.shape[1:])
    u = noise.uniform(len(probability), shape, stream=stream, dtype=probability.dtype, device=probability.device)
    return (u < probability).to(torch.uint8)
