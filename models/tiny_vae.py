"""A VAE so small that it is trained while one looks: scikit-learn's digits, two latents, a second or two on one core.

What is lowered is the weighted sum that the two terms of the ELBO fight in (Higgins et al. 2017, "β-VAE", equation 4):

    −E_q[log p(x|z)] + β KL(q(z|x) ‖ N(0, I))        nats an image, pixels summed

At β = 1 it is the negative ELBO. Above, its negative is still a lower bound of log p(x), a looser one; below, it is no bound:
likelihoods are always those of β = 1. A pixel's σ is fixed and the same for all β, since a learned one would undo β.

Everything is a function of β, the seed and the number of steps: one machine repeats a run to the bit. float64 keeps two
machines together too (their last digits differ, and a thousand steps of float32 would carry that into what is shown).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from models import discretised_gaussian
from models.contract import Batch, Noise, Posterior
from models.objectives import negative_elbo
from models.vae import VAE, kl_to_prior

SHAPE = (1, 8, 8)
LEVELS = 17
SCALE = 4.0  # σ of a pixel, in grey levels: near what maximum likelihood chooses on two latents (the residual is 3.5 to 4)
LATENT = 2
HIDDEN = 64
HELD_OUT = 300  # digits that no step sees: all numbers of a snapshot are theirs
SAMPLES = 20
BATCH = 100
RATE = 3e-3  # Adam's, at the first step; half a cosine down to a twentieth of it
STEPS = 800
EVERY = 20  # steps between two snapshots
ACTIVE = 0.01  # variance of μ(x) over images above which a dimension says anything: Burda et al. (2016), section 5.2


@dataclass(frozen=True)
class Digits:
    """The same for every run: which digits are learned from and which held out is no matter of the run's seed."""

    learned: Tensor  # uint8 (1497, 1, 8, 8)
    learned_labels: Tensor  # int64 (1497,)
    held_out: Tensor  # uint8 (300, 1, 8, 8)
    labels: Tensor  # int64 (300,) of the held out
    shown: Tensor  # int64 (10,): places among the held out, one digit of each class


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The model after `step` steps, on the held-out digits. Nats an image, unweighted by β."""

    step: int
    reconstruction: float  # −E_q[log p(x|z)]: an estimate, by one draw of z for each digit, the same at every step
    kl: float  # exact
    kl_by_dimension: tuple[float, ...]
    active: tuple[bool, ...]  # dimensions whose code depends on the digit
    mean: np.ndarray  # float32 (300, 2), of q(z|x)
    std: np.ndarray  # float32 (300, 2)
    reconstructions: np.ndarray  # uint8 (10, 8, 8): what the decoder makes of μ(x) of the shown digits
    samples: np.ndarray  # uint8 (20, 8, 8): its mean image at the same z ~ N(0, I) at every step


@cache
def digits() -> Digits:
    """scikit-learn's 1,797 digits as they are, 0 to 16: needs no file."""
    from sklearn.datasets import load_digits  # takes half a second to import: only where it is used

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).to(torch.uint8)[:, None]
    labels = torch.from_numpy(bunch.target).long()
    order = Noise(0).permutation(len(pixels), stream="held out")  # mixed: the last ones come from other writers than the first
    kept, rest = order[:HELD_OUT], order[HELD_OUT:]
    shown = torch.stack([(labels[kept] == digit).nonzero()[0, 0] for digit in range(10)])
    return Digits(pixels[rest], labels[rest], pixels[kept], labels[kept], shown)


def new_model(seed: int) -> VAE:
    """The untrained model. The global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for the initial weights alone
        model = VAE(network="mlp", shape=SHAPE, levels=LEVELS, hidden=HIDDEN, latent=LATENT, scale=SCALE)
    return model.double()


def train(*, beta: float = 1.0, seed: int = 0, steps: int = STEPS, every: int = EVERY) -> Iterator[Snapshot]:
    """Snapshots before the first step, after each `every` steps, and at the end. Raises ValueError for what cannot be a run."""
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"β = {beta:g} is not a number of at least 0.")
    if steps < 1 or every < 1:
        raise ValueError(f"{steps} steps with a snapshot each {every}: both must be at least 1.")
    data, model, noise = digits(), new_model(seed), Noise(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=RATE / 20)
    yield snapshot(model, 0)
    for step in range(1, steps + 1):
        index = (noise.at(step).uniform(BATCH, (), stream="batch") * len(data.learned)).long()
        batch = Batch(data.learned[index], data.learned_labels[index], index)
        parts = negative_elbo(model, batch, noise.at(step)).parts
        loss = (parts["reconstruction"] + beta * parts["kl"]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % every == 0 or step == steps:
            yield snapshot(model, step)


@torch.inference_mode()
def snapshot(model: VAE, step: int) -> Snapshot:
    """What is seen of the model: a function of its weights alone."""
    data = digits()
    posterior = model.encode(data.held_out)
    n, latent = posterior.mean.shape
    fixed = Noise(0)  # not the run's seed: runs are compared on the same draws
    z = posterior.mean + posterior.std * fixed.normal(n, (latent,), stream="epsilon", dtype=posterior.mean.dtype)
    kl = kl_to_prior(posterior).mean(0)
    few = data.shown
    return Snapshot(
        step=step,
        reconstruction=-float(model.log_likelihood(data.held_out, z).mean()),
        kl=float(kl.sum()),
        kl_by_dimension=tuple(kl.tolist()),
        active=active(posterior),
        mean=posterior.mean.float().numpy(),
        std=posterior.std.float().numpy(),
        reconstructions=model.decode(posterior.mean[few])[:, 0].numpy(),
        samples=model.decode(model.prior(SAMPLES, noise=fixed))[:, 0].numpy(),
    )


def active(posterior: Posterior) -> tuple[bool, ...]:
    """For each dimension, whether its mean varies over images by more than `ACTIVE`."""
    return tuple((posterior.mean.var(0) > ACTIVE).tolist())


@cache
def without_code() -> float:
    """What the held-out digits cost, nats an image, if z says nothing: the learned digits' best picture at this σ. Exact.

    A decoder that cannot tell digits apart comes to no less than this, but for what the two sets differ by.
    """
    data = digits()
    levels, scale = torch.arange(LEVELS), torch.tensor(SCALE, dtype=torch.float64)
    shares = [(x.flatten(1).T[..., None] == levels).double().mean(1) for x in (data.learned, data.held_out)]  # (64, 17) each
    mean = (shares[0] @ levels.double()).requires_grad_()  # a start: the ends are open, so the best is beyond
    optimiser = torch.optim.LBFGS([mean], max_iter=100, line_search_fn="strong_wolfe")

    def cost(share: Tensor) -> Tensor:
        return -(share * discretised_gaussian.log_mass(levels, mean[:, None], scale, LEVELS)).sum()

    def closure() -> float:
        optimiser.zero_grad()
        nats = cost(shares[0])
        nats.backward()  # type: ignore[no-untyped-call]
        return float(nats.detach())

    optimiser.step(closure)
    return float(cost(shares[1]).detach())
