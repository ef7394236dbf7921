"""Do the latent dimensions carry the factors that the pictures were made from, each one of its own?

Everything here rests on the average posterior of N given images, a mixture of N diagonal Gaussians:

    q(z) = (1/N) Σ_n q(z|x_n),    q(z_j|v) = the mean of q(z_j|x_n) over the images whose factor is v

    I(z_j; v) = H(z_j) − H(z_j|v)                              what one dimension tells of one factor
    gap_v = (I(z_j; v) of the best j − I of the second) / H(v)    whether it alone tells it; MIG is the mean over factors
    E KL(q(z|x_n) ‖ p(z)) = I(n; z) + KL(q(z) ‖ Π_j q(z_j)) + Σ_j KL(q(z_j) ‖ p(z_j))     what the KL is made of

Source: Chen, Li, Grosse, Duvenaud (2018), "Isolating sources of disentanglement in variational autoencoders", sections 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.contract import Noise, Posterior
from models.measures.likelihood import chunks
from models.vae import kl_to_prior

CELLS = 1024  # into which the line of one latent dimension is cut: what is lost by it is below 0.01 nats
DRAWS_A_CELL = 16  # from which the cells are made
IMAGES_AT_ONCE = 512  # times the cells: this, and not the number of images, bounds memory


def minibatch_log_q(z: Tensor, posterior: Posterior, total: int) -> tuple[Tensor, Tensor]:
    """(log q(z), Σ_j log q(z_j)), `(B,)` each in nats, of draws z `(B, L)` from `posterior` `(B, L)`, row from row.

    The images are a batch of a data set of `total`. Minibatch weighted sampling (Chen et al. 2018, appendix C.1):

        log q(z_n) ≈ log 1/(total · B) Σ_m q(z_n|x_m),    and for each z_j alone alike.

    Gradients pass through z and the posterior. Each of the L + 1 logarithms is too low by about log(total), since the mean over
    the batch is divided by `total` once more: of log q(z) − Σ_j log q(z_j), about (L − 1) · log(total) nats are no total
    correlation. Training sees only gradients, which a constant does not touch; to read the total correlation, use
    `decomposition`.
    """
    log_each = _log_gaussian(z[:, None], posterior.mean[None], posterior.std[None])  # (B, B, L): draw, component, dimension
    log_weight = -math.log(total * len(z))
    log_qz = torch.logsumexp(log_each.sum(2), 1) + log_weight
    log_prod_qzj = (torch.logsumexp(log_each, 1) + log_weight).sum(1)
    return log_qz, log_prod_qzj


def bins(values: Tensor, within: tuple[float, float], count: int = 16) -> Tensor:
    """The number, 0 to count − 1, of the equally wide bin of the range `within` that each value is in: int64, values' shape.

    The upper end belongs to the last bin. Of a factor uniform over its range, log(count) nats is then the most that can be
    known. Raises ValueError for a value outside.
    """
    low, high = within
    wrong = values[~((values >= low) & (values <= high))]
    if len(wrong):
        raise ValueError(f"{float(wrong[0]):g} is not within {low:g} and {high:g}.")
    return ((values.double() - low) / (high - low) * count).long().clamp_max(count - 1)


def entropy(factor: Tensor) -> float:
    """H of the values of a discrete factor int64 `(N,)` as they occur, in nats."""
    counts = factor.unique(return_counts=True)[1].double()
    return float(torch.special.entr(counts / counts.sum()).sum())


def mutual_information(posterior: Posterior, factor: Tensor, *, noise: Noise | int) -> Tensor:
    """I(z_j; v) in nats, float64 `(L,)`, of each latent dimension of `posterior` `(N, L)` with a factor int64 `(N,)`.

    For z ~ q(z|x_n) and n uniform over the N images (Chen et al. 2018, section 4.1). The estimator: draws of z cut the line
    into 1024 cells of about equal probability; the probability of each under q(z_j) and under each q(z_j|v) is then exact, a
    mean of differences of the Gaussian's distribution function; and I(cell of z_j; v) is a sum. `noise` decides only where the
    cuts are. A cell says no more than the place in it, so the result is never above I(z_j; v) of the N images; the tests find
    it less than 0.01 nats below. Time is O(N · cells) a dimension, not O(N²).

    Its bias is that of N: each mixture holds the component that z was drawn from. Left out, it would make q(z_j|v) vanish where
    posteriors are narrow, and H infinite; held in, a dimension with posteriors so narrow that no neighbour overlaps seems to
    tell of the factor because it tells of the image. For a dimension uniform over 1, independent of a factor of 16 values,
    N = 10,000 gives 0.00 nats at σ = 0.1, 0.02 at 0.01 and 0.22 at 0.001, where 0 is right: see `Disentanglement.chance`.
    """
    return _information(posterior, [factor], Noise.of(noise))[:, 0]


def _information(posterior: Posterior, factors: Sequence[Tensor], noise: Noise) -> Tensor:
    """`mutual_information` with K factors at once, which share the distribution functions: float64 `(L, K)`."""
    mean, std = _float64(posterior)
    n, latent = mean.shape
    for factor in factors:
        if factor.shape != (n,):
            raise ValueError(f"A factor of {n} images is ({n},), not {tuple(factor.shape)}.")
    values = [factor.cpu().unique(return_inverse=True)[1] for factor in factors]  # each 0 to V − 1
    which = _spread(n, max(DRAWS_A_CELL * CELLS, n), noise)
    # One ε for all dimensions, which are looked at one by one: to put them in another order changes no number.
    epsilon = noise.normal(len(which), stream="cells")
    found = torch.empty(latent, len(factors), dtype=torch.float64)
    for j in range(latent):
        edges = _cuts(mean[which, j] + std[which, j] * epsilon)
        below = [torch.zeros(int(v.max()) + 1, len(edges), dtype=torch.float64) for v in values]  # Σ of 2Φ − 1, by value
        for first, count in chunks(n, IMAGES_AT_ONCE):
            some = slice(first, first + count)
            erf = torch.erf((edges - mean[some, j, None]) / (std[some, j, None] * math.sqrt(2)))  # (n, cells − 1)
            for total, v in zip(below, values, strict=True):
                total.index_add_(0, v[some], erf)
        for k, (total, v) in enumerate(zip(below, values, strict=True)):
            counts = v.bincount().double()[:, None]
            cumulative = torch.cat([torch.zeros_like(counts), (counts + total) / 2, counts], 1)
            joint = (cumulative.diff(dim=1) / n).clamp_min(0)  # (V, cells): p(v, cell)
            entropies = [torch.special.entr(p).sum() for p in (joint.sum(0), joint.sum(1), joint)]
            found[j, k] = entropies[0] + entropies[1] - entropies[2]
    return found.clamp_min(0)


def _spread(n: int, count: int, noise: Noise) -> Tensor:
    """Numbers of images int64 `(count,)`, each of the n as often as any other, or once more."""
    return noise.permutation(n, stream="images")[torch.arange(count) * n // count]


def _cuts(draws: Tensor) -> Tensor:
    """Where to cut the line: float64 `(CELLS − 1,)`, rising.

    The draws in order are dealt into stretches of equal number, and each is cut in the middle of its widest gap: so cells are
    fine where q(z_j) is high, whatever its scale, and a cut falls between clusters, not into them.
    """
    places = draws.sort().values
    gaps = places.diff()
    starts = torch.arange(CELLS) * len(gaps) // (CELLS - 1)
    cuts = [
        first + int(gaps[first:last].argmax()) for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    return (places[cuts] + places[1:][cuts]) / 2


@dataclass(frozen=True)
class Gaps:
    """How far each factor's best dimension is ahead of its second: tensors `(K,)`, `best` and `second` in nats."""

    gap: Tensor  # share of the factor's entropy, 0 to 1
    best: Tensor
    second: Tensor
    which: Tensor  # int64: the best dimension

    def mean(self, without: Sequence[int] = ()) -> float:
        """The mutual information gap MIG, over all factors but those numbered in `without`."""
        kept = [k for k in range(len(self.gap)) if k not in without]
        if not kept:
            raise ValueError("No factor is left to take the mean of.")
        return float(self.gap[kept].mean())


def mig(information: Tensor, entropies: Tensor) -> Gaps:
    """The gaps of information `(L, K)` in factors of entropies `(K,)`, in nats. Chen et al. (2018), equation 6.

    Of a single dimension the second is 0. Raises ValueError for a factor that is always the same.
    """
    if not bool((entropies > 0).all()):
        raise ValueError(f"Factor {int((entropies <= 0).nonzero()[0])} is always the same: nothing can be known of it.")
    padded = torch.cat([information, torch.zeros_like(information[:1])])
    top = padded.topk(2, dim=0)
    best, second = top.values
    return Gaps((best - second) / entropies, best, second, information.argmax(0))


@dataclass(frozen=True)
class Disentanglement:
    """What L dimensions tell of K factors; in nats, tensors float64."""

    names: tuple[str, ...]  # of the K factors
    information: Tensor  # (L, K)
    chance: Tensor  # (L, K): the same with the factor's values shuffled among the images, where 0 is right: the bias
    entropies: Tensor  # (K,)
    gaps: Gaps
    mig: float
    left_out: tuple[str, ...]  # of the mean in `mig_without`
    mig_without: float
    kl: Tensor  # (L,): mean over images of KL(q(z_j|x) ‖ N(0, 1))
    images: int

    def to_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "information": self.information.tolist(),
            "chance": self.chance.tolist(),
            "entropies": self.entropies.tolist(),
            "gaps": {name: getattr(self.gaps, name).tolist() for name in ("gap", "best", "second", "which")},
            "mig": self.mig,
            "left_out": list(self.left_out),
            "mig_without": self.mig_without,
            "kl": self.kl.tolist(),
            "images": self.images,
        }


def report(
    posterior: Posterior, factors: Mapping[str, Tensor], *, noise: Noise | int, without: Sequence[str] = ("shape",)
) -> Disentanglement:
    """All measures of `posterior` `(N, L)` against discrete factors int64 `(N,)` each. See `mutual_information` and `mig`.

    `without`: the factors left out of the second mean, `mig_without`; by default the shape, which has no order that a line
    could follow.
    """
    noise = Noise.of(noise)
    names = tuple(factors)
    values = [factors[name] for name in names]
    shuffled = noise.permutation(len(posterior.mean), stream="chance")
    both = _information(posterior, [*values, *(v.cpu()[shuffled] for v in values)], noise)  # (L, 2K)
    information, chance = both[:, : len(names)], both[:, len(names) :]
    entropies = torch.tensor([entropy(v) for v in values], dtype=torch.float64)
    gaps = mig(information, entropies)
    return Disentanglement(
        names=names,
        information=information,
        chance=chance,
        entropies=entropies,
        gaps=gaps,
        mig=gaps.mean(),
        left_out=tuple(name for name in names if name in without),
        mig_without=gaps.mean([k for k, name in enumerate(names) if name in without]),
        kl=kl_to_prior(Posterior(*_float64(posterior))).mean(0),
        images=len(posterior.mean),
    )


@dataclass(frozen=True)
class Decomposition:
    """The mean KL of N posteriors to N(0, I) in three parts that add up to it, in nats. Chen et al. (2018), equation 2."""

    kl: float  # exact
    index_code_information: float  # I(n; z): what z tells of which image it is
    total_correlation: float  # KL(q(z) ‖ Π_j q(z_j)): what the dimensions tell of each other
    dimensionwise_kl: float  # Σ_j KL(q(z_j) ‖ N(0, 1))
    standard_errors: tuple[float, float, float]  # of the three parts, in their order
    samples: int


def decomposition(posterior: Posterior, *, noise: Noise | int, samples: int) -> Decomposition:
    """The three parts for `posterior` `(N, L)`, with q(z) the mixture of these N, from `samples` draws of q(z) in all.

    With the means over q(z) of A = log q(z), B = Σ_j log q(z_j), C = log q(z|x_n) and D = log p(z), the parts are C − A, A − B
    and B − D. The means of C and D are known exactly, and their deviations in the draws correct those of A and B (control
    variates, by least squares), so that the parts add up to the exact KL. All N components are seen by each draw: time is
    O(samples · N · L), about a second for 2,000 · 10,000 · 10. The draws are spread over the images evenly; the standard errors
    take them for independent, and so are rather too large.
    """
    if samples < 4:
        raise ValueError(f"{samples} samples are too few: at least 4.")
    noise = Noise.of(noise)
    mean, std = _float64(posterior)
    n, latent = mean.shape
    which = _spread(n, samples, noise)
    epsilon = noise.normal(samples, (latent,), stream="decomposition")
    z = mean[which] + std[which] * epsilon  # (S, L)
    precision = 1 / std
    log_scale = -precision.log().sum(1) + latent * 0.5 * math.log(2 * math.pi)  # (N,): −log of each joint density's peak
    joint, product = [], []
    for first, count in chunks(samples, max(1, IMAGES_AT_ONCE * CELLS // n)):
        log_each = -log_scale.repeat(count, 1)  # (s, N), to become Σ_j log q(z_j|x_m)
        log_marginals = torch.zeros(count, dtype=torch.float64)
        for j in range(latent):
            away = torch.addcmul(-mean[:, j] * precision[:, j], z[first : first + count, j, None], precision[:, j]).square_()
            log_each.sub_(away, alpha=0.5)
            # No underflow to 0: the component that z was drawn from is among them.
            density = away.mul_(-0.5).exp_() @ precision[:, j] / (n * math.sqrt(2 * math.pi))
            log_marginals += density.log()
        joint.append(torch.logsumexp(log_each, 1) - math.log(n))
        product.append(log_marginals)
    estimated = torch.stack([torch.cat(joint), torch.cat(product)], 1)  # (S, 2): A, B

    log_posterior = _log_gaussian(z, mean[which], std[which]).sum(1)
    log_prior = _log_gaussian(z, torch.zeros(()), torch.ones(())).sum(1)
    c = float(-(std.log() + 0.5 * math.log(2 * math.pi) + 0.5).sum(1).mean())
    d = float(-0.5 * (mean.square() + std.square() + math.log(2 * math.pi)).sum(1).mean())
    controls = torch.stack([log_posterior - c, log_prior - d], 1)  # (S, 2), of expectation 0
    # gelsd, because one control may be a multiple of the other, or 0: then any of the equal solutions does.
    centred = controls - controls.mean(0)
    weights = torch.linalg.lstsq(centred, estimated - estimated.mean(0), driver="gelsd").solution
    corrected = estimated - controls @ weights  # (S, 2)
    a, b = corrected.mean(0).tolist()
    spread = torch.stack([corrected[:, 0], corrected[:, 0] - corrected[:, 1], corrected[:, 1]]).std(1) / math.sqrt(samples)
    errors = spread.tolist()
    return Decomposition(c - d, c - a, a - b, b - d, (errors[0], errors[1], errors[2]), samples)


def _float64(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """(mean, std) `(N, L)` in float64 on the CPU; ValueError where they are no Gaussians."""
    mean, std = posterior.mean.detach().double().cpu(), posterior.std.detach().double().cpu()
    if not (bool(mean.isfinite().all()) and bool(std.isfinite().all()) and bool((std > 0).all())):
        raise ValueError("A posterior has finite means, and standard deviations above 0.")
    return mean, std


def _log_gaussian(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """log N(z; mean, std²) in nats; the shapes broadcast."""
    return -0.5 * ((z - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
