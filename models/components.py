"""One pass of a mixture over its points: what the E-step finds, as sums that the M-step needs, and nothing the size of N.

A Gaussian's exponent is linear in the features φ(x) = (x₁², x₁x₂, x₂², …, x₁, x₂, …, 1). So the logits of all components are
one matrix product per chunk, and the sums Σ r, Σ r x, Σ r x xᵀ are another, with the responsibilities r between them.

The expanded square loses digits where a component is far narrower than the cloud: `(x − μ)²/σ²` becomes the difference of two
huge numbers. Components narrower than `NARROW`, and clouds of many dimensions, go the other way: deviations from the mean, one
component at a time. Both ways give the same numbers where both can, and tests hold them to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.gaussian import LOG_2PI
from models.points import CHUNK, Frame, chunks

NARROW = 1e4  # largest precision, in the cloud's frame, for the expanded square: it costs 4 to 5 of 16 digits
FAR = 10.0  # squared distance from the centre from which less precision than that suffices: what is lost grows with it
ROUNDING = 1e-11  # of sums, in the frame
WIDE = 16  # dimensions from which the matrix of all products of coordinates no longer pays


@dataclass(frozen=True)
class Components:
    """Weighted Gaussians in a cloud's frame. `precisions` are matrices `(K, D, D)`, or diagonals `(K, D)`."""

    log_weights: Tensor  # (K,)
    means: Tensor  # (K, D)
    precisions: Tensor
    log_dets: Tensor  # (K,), of the precisions
    sharpest: Tensor  # (K,), the largest eigenvalue of each precision

    @property
    def diagonal(self) -> bool:
        return self.precisions.ndim == 2

    def constants(self) -> Tensor:
        """log w + the logarithm of the density at the mean `(K,)`, in the frame."""
        return self.log_weights + 0.5 * (self.log_dets - self.means.shape[1] * LOG_2PI)

    def quadratic(self, k: int, deviations: Tensor) -> Tensor:
        """(x − μ)ᵀ Λ (x − μ) of deviations `(D, n)` from component k's mean: `(n,)`."""
        if self.diagonal:
            return self.precisions[k] @ deviations.square()
        return (deviations * (self.precisions[k] @ deviations)).sum(0)

    def coefficients(self) -> Tensor:
        """`(K, F)`: the exponents as linear functions of the features."""
        if self.diagonal:
            squares, linear = -0.5 * self.precisions, self.precisions * self.means
        else:
            upper = torch.triu_indices(self.means.shape[1], self.means.shape[1], device=self.means.device)
            squares = -self.precisions[:, upper[0], upper[1]]
            squares[:, upper[0] == upper[1]] *= 0.5
            linear = torch.einsum("kij,kj->ki", self.precisions, self.means)
        constant = self.constants() - 0.5 * (linear * self.means).sum(1)
        return torch.cat([squares, linear, constant[:, None]], 1)


def twins(components: Components) -> Tensor | None:
    """The first component `(K,)` that each one equals in every number, or None if no two are equal.

    EM with soft shares never parts equal components. A matrix product that rounds its rows differently would, in the end.
    """
    rows = torch.cat([components.log_weights[:, None], components.means, components.precisions.flatten(1)], 1)
    equal = (rows[:, None] == rows).all(2)  # (K, K)
    order = torch.arange(len(rows), device=rows.device)
    first = torch.where(equal, order, len(rows)).amin(1)
    return None if torch.equal(first, order) else first


@dataclass(frozen=True)
class Sums:
    """What one pass leaves. All in the frame; means per point are weighted by the sample weights."""

    counts: Tensor  # (K,): Σ r
    means: Tensor  # (K, D): Σ r x / Σ r
    scatters: Tensor  # (K, D, D) or (K, D): Σ r (x − mean)(x − mean)ᵀ / Σ r, or its diagonal
    log_likelihood: float  # mean of log Σ_k w_k N_k, nats, in the frame's units
    classification: float  # mean of max_k log w_k N_k

    def alike(self, other: Sums) -> bool:
        """Whether the same hard shares made both: deviations from other means round their sums differently."""
        pairs = ((self.means, other.means), (self.scatters, other.scatters))
        return torch.equal(self.counts, other.counts) and all(torch.allclose(*p, rtol=0, atol=ROUNDING) for p in pairs)


class Pass:
    """A cloud made ready for many passes: its frame, and buffers for one chunk."""

    def __init__(
        self,
        x: Tensor,
        weights: Tensor | None,
        frame: Frame,
        *,
        diagonal: bool,
        narrow: float = NARROW,
        twins: Tensor | None = None,
    ) -> None:
        self.x, self.weights, self.frame, self.diagonal, self.narrow = x, weights, frame, diagonal, narrow
        self.twins = twins  # (K,): components that take the sums of an equal one
        d = x.shape[1]
        self.expanded = diagonal or d <= WIDE
        self.pairs = [(i, i) for i in range(d)] if diagonal else [(i, j) for i in range(d) for j in range(i, d)]
        rows = len(self.pairs) + d + 1 if self.expanded else 0
        self.features = x.new_ones(rows, min(CHUNK, len(x)))
        self.inverse = 1 / frame.scale

    def inside(self, piece: Tensor) -> Tensor:
        """A chunk `(n, D)` in the frame, one coordinate a row: `(D, n)`."""
        return ((piece - self.frame.centre) * self.inverse).T.contiguous()

    def phi(self, z: Tensor) -> Tensor:
        """The features `(F, n)` of points `(D, n)`; the next chunk overwrites them."""
        out = self.features[:, : z.shape[1]]
        for row, (i, j) in enumerate(self.pairs):
            torch.mul(z[i], z[j], out=out[row])
        out[len(self.pairs) : -1] = z
        return out

    def direct(self, components: Components) -> list[int]:
        """The components that go by deviations."""
        if not self.expanded:
            return list(range(len(components.means)))
        away = (components.means.square().sum(1) / FAR).clamp_min(1.0)  # (K,)
        return (components.sharpest * away > self.narrow).nonzero()[:, 0].tolist()

    def joint(self, components: Components, coefficients: Tensor | None, direct: list[int], z: Tensor) -> Tensor:
        """log w_k + log N_k(x), in the frame: `(K, n)`. `phi` of the same chunk must stand ready."""
        if coefficients is None:
            joint = z.new_empty(len(components.means), z.shape[1])
        else:
            joint = coefficients @ self.features[:, : z.shape[1]]
        constants = components.constants() if direct else None
        for k in direct:
            assert constants is not None
            joint[k] = constants[k] - 0.5 * components.quadratic(k, z - components.means[k][:, None])
        return joint

    def __call__(self, components: Components, *, hard: bool = False) -> Sums:
        """One E-step over all points."""
        k, d = components.means.shape
        direct = self.direct(components)
        equal = twins(components) if hard else None  # of equal ones the first takes all, and rounding none
        coefficients = components.coefficients() if self.expanded else None
        moments = self.x.new_zeros(k, max(1, len(self.features)))
        first = self.x.new_zeros(k, d) if direct else None
        second = torch.zeros_like(components.precisions) if direct else None
        counts = self.x.new_zeros(k) if coefficients is None else None
        likelihood, classification = self.x.new_zeros(()), self.x.new_zeros(())
        for piece, w in chunks(self.x, self.weights):
            z = self.inside(piece)
            phi = self.phi(z) if self.expanded else None
            joint = self.joint(components, coefficients, direct, z)
            joint = joint if equal is None else joint[equal]
            best = joint.amax(0)
            chosen = joint.max(0).indices if hard else None  # the first of equals
            shares = joint.sub_(best).exp_()  # (K, n)
            total = shares.sum(0)
            likelihood += _total(total.log() + best, w)
            if chosen is None:
                shares *= total.reciprocal_() if w is None else w / total
            else:
                classification += _total(best, w)
                shares.zero_().scatter_(0, chosen[None], 1.0) if w is None else shares.zero_().scatter_(
                    0, chosen[None], w[None]
                )
            if phi is not None:
                moments.addmm_(shares, phi.T)
            else:
                assert counts is not None
                counts += shares.sum(1)
            for one in direct:
                assert first is not None and second is not None
                deviations = z - components.means[one][:, None]
                weighted = deviations * shares[one]
                first[one] += weighted.sum(1)
                second[one] += (weighted * deviations).sum(1) if self.diagonal else weighted @ deviations.T
        total_weight = self.frame.total
        found = self._collect(components, moments, counts, direct, first, second)
        return Sums(*found, float(likelihood) / total_weight, float(classification) / total_weight)

    def _collect(
        self,
        components: Components,
        moments: Tensor,
        counts: Tensor | None,
        direct: list[int],
        first: Tensor | None,
        second: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Counts, means and scatters about them; a component without points keeps its mean, and a scatter of 0."""
        k, d = components.means.shape
        counts = moments[:, -1] if counts is None else counts
        if self.twins is not None:
            moments, counts = moments[self.twins], counts[self.twins]
            first, second = (None if each is None else each[self.twins] for each in (first, second))
        safe = torch.where(counts > 0, counts, torch.ones_like(counts))[:, None]
        if self.expanded:
            means = moments[:, len(self.pairs) : -1] / safe
            squares = moments[:, : len(self.pairs)] / safe
            if self.diagonal:
                scatters = (squares - means.square()).clamp_min_(0)
            else:
                scatters = means.new_empty(k, d, d)
                upper = torch.triu_indices(d, d, device=means.device)
                scatters[:, upper[0], upper[1]] = scatters[:, upper[1], upper[0]] = squares
                scatters -= means[:, :, None] * means[:, None, :]
            means = torch.where(counts[:, None] > 0, means, components.means)
        else:
            means, scatters = torch.empty_like(components.means), torch.empty_like(components.precisions)
        if direct:
            assert first is not None and second is not None
            shift = first[direct] / safe[direct]
            means[direct] = components.means[direct] + shift
            spread = second[direct] / (safe[direct] if self.diagonal else safe[direct][:, :, None])
            scatters[direct] = spread - (shift.square() if self.diagonal else shift[:, :, None] * shift[:, None, :])
        return counts, means, scatters


def _total(values: Tensor, w: Tensor | None) -> Tensor:
    """The sum of values `(n,)`, each counted `w` times."""
    return values.sum() if w is None else w @ values
