"""A better code for one picture than the encoder's, found by gradient ascent on the code itself.

The encoder answers every picture by one network, and so answers none as well as could be (the amortisation gap of Cremer, Li,
Duvenaud 2018, "Inference suboptimality in variational autoencoders", section 3). From its mean one can climb on:

    z* = argmax_z  log p(x|z) + log p(z)

Since p(x) does not depend on z, this is the highest place of the true posterior p(z|x). Kim et al. (2018), "Semi-amortized
variational autoencoders", section 3, climb the ELBO over (μ, log σ) instead, which is what training needs. Here one place is
wanted, as a slider has no width; and log p(x, z) has no draws in it, so that every step is exact and can be held to a rise. It
is a density in z: neither log p(x) nor a bound on it.

The step: along the gradient, first as far as Barzilai and Borwein (1988), "Two-point step size gradient methods", equation 5,
have it from the last two gradients, then halved until Armijo's (1966) condition holds. No step lowers the objective.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.vae import VAE

FIRST = 0.1  # length of the first trial step, in units of z
SUFFICIENT = 1e-4  # of the rise that the gradient promises, at least so much must come (Armijo)
HALVINGS = 30  # after which no step is taken for better: rounding decides from there on


@dataclass(frozen=True)
class Place:
    """A code on the way up."""

    z: Tensor  # float64 (L,)
    value: float  # of the objective there, nats
    slope: float  # |gradient| there, nats a unit of z


def log_joint(model: VAE, x: Tensor) -> Callable[[Tensor], Tensor]:
    """log p(x|z) + log p(z) of one picture uint8 `(1, C, H, W)` as a function of z `(L,)`: a scalar in nats.

    Raises ValueError for more or fewer pictures than one.
    """
    if len(x) != 1:
        raise ValueError(f"{len(x)} pictures have no one code: give one.")

    def value(z: Tensor) -> Tensor:
        like = model.log_scale
        reconstruction = model.log_likelihood(x, z[None].to(like))[0]
        return reconstruction.double() - 0.5 * z.square().sum() - 0.5 * len(z) * math.log(2 * math.pi)

    return value


def ascend(
    objective: Callable[[Tensor], Tensor], start: Tensor, *, steps: int = 60, tolerance: float = 1e-3
) -> Iterator[Place]:
    """The places from `start` `(L,)` upwards, that one included, at most `steps` more; none is lower than the one before.

    `objective`: z float64 `(L,)` to a scalar in nats. Ends early where ½|gradient|² is below `tolerance`: were log p(x|z)
    concave, no more than that many nats would be left to gain, as log p(z) alone curves by 1 in every direction. Raises
    ValueError where the objective at `start` is not finite.
    """
    z = start.detach().double().clone()
    value, gradient = _evaluated(objective, z)
    if not math.isfinite(value):
        raise ValueError(f"The objective is {value} at the start: begin where it is finite.")
    yield Place(z, value, float(gradient.norm()))
    length = FIRST / max(float(gradient.norm()), 1e-12)
    for _ in range(steps):
        square = float(gradient.square().sum())
        if 0.5 * square < tolerance:
            return
        for _ in range(HALVINGS):
            there = z + length * gradient
            with torch.no_grad():
                reached = float(objective(there))
            if reached >= value + SUFFICIENT * length * square:
                break
            length /= 2
        else:
            return
        reached, next_gradient = _evaluated(objective, there)
        moved, turned = there - z, gradient - next_gradient
        z, value, gradient = there, reached, next_gradient
        yield Place(z, value, float(gradient.norm()))
        curvature = float(moved @ turned)  # above 0 where the objective is concave along the step
        length = float(moved @ moved) / curvature if curvature > 0 else 2 * length


def _evaluated(objective: Callable[[Tensor], Tensor], z: Tensor) -> tuple[float, Tensor]:
    """The objective and its gradient `(L,)` at z; nothing else gets a gradient."""
    with torch.enable_grad():
        free = z.detach().clone().requires_grad_(True)
        value = objective(free)
        (gradient,) = torch.autograd.grad(value, free)
    return float(value.detach()), gradient
