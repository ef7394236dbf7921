"""The M-step of a mixture: from the sums of a pass to the likeliest parameters, for five shapes of covariance.

    μ_k = Σ r x / Σ r,    Σ_k = Σ r (x − μ_k)(x − μ_k)ᵀ / Σ r,    w_k = Σ r / N        (Bishop 2006, section 9.2.2)

Tied covariances are the count-weighted mean of these; diagonal ones keep the diagonal; a spherical one is the mean of the
diagonal, in the points' own units. All in the cloud's frame (models.points), where a variance of `FLOOR` is as good as none: a
component that thin in some direction has collapsed, and is kept at the floor.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from models.components import Components, Sums
from models.gaussian import FLOOR
from models.points import BadPoints, Frame

Covariance = Literal["full", "tied", "diagonal", "spherical", "tied_spherical"]
COVARIANCES: tuple[str, ...] = get_args(Covariance)
MATRICES = ("full", "tied")  # the others have diagonal precisions
ROUNDING = 1e-8  # of the largest entry: a covariance whose halves differ by more was not meant to be one
EMPTY = 1e-12  # of all points: a component with less has no mean to compute


def shape_of(covariance: Covariance, k: int, d: int) -> tuple[int, ...]:
    """The shape of the covariances of `k` components of `d` coordinates: scikit-learn's, and () for tied_spherical."""
    return {"full": (k, d, d), "tied": (d, d), "diagonal": (k, d), "spherical": (k,), "tied_spherical": ()}[covariance]


def type_of(c: Tensor, k: int, d: int) -> Covariance:
    """The type that covariances of this shape have. A symmetric positive definite square is tied, where K = D leaves a
    choice.
    """
    kinds = [kind for kind in get_args(Covariance) if tuple(c.shape) == shape_of(kind, k, d)]
    if not kinds:
        raise BadPoints(f"Covariances of shape {tuple(c.shape)} fit no type for {k} components of {d} coordinates.")
    if kinds == ["tied", "diagonal"]:
        symmetric = torch.equal(c, c.T) and bool(torch.linalg.eigvalsh(c)[0] > 0)
        return "tied" if symmetric else "diagonal"
    return kinds[0]


@dataclass(frozen=True)
class State:
    """A mixture in a cloud's frame, and what is amiss with it."""

    components: Components
    weights: Tensor  # (K,)
    covariances: Tensor  # in the frame; the spherical ones in the points' own units
    covariance: Covariance
    collapsed: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()

    def own_units(self, frame: Frame) -> tuple[Tensor, Tensor]:
        """Means `(K, D)` and covariances in the points' own units."""
        means = frame.centre + self.components.means * frame.scale
        if self.covariance in MATRICES:
            return means, self.covariances * torch.outer(frame.scale, frame.scale)
        return means, self.covariances * frame.scale.square() if self.covariance == "diagonal" else self.covariances


def begin(weights: Tensor, means: Tensor, covariances: Tensor, covariance: Covariance, frame: Frame) -> State:
    """Parameters given in the points' own units. Raises `BadPoints` for a covariance that is not positive definite."""
    if covariance in MATRICES:
        c = covariances / torch.outer(frame.scale, frame.scale)
        if (c - c.mT).abs().max() > ROUNDING * c.abs().max():
            raise BadPoints("A covariance is not symmetric: the entries (i, j) and (j, i) must be equal.")
        smallest = torch.linalg.eigvalsh(c).amin(-1)  # (K,) or ()
    else:
        c = covariances / frame.scale.square() if covariance == "diagonal" else covariances
        smallest = c.amin(-1) if covariance == "diagonal" else c
    if not (smallest > 0).all():
        whose = f" of component {int((smallest > 0).int().argmin()) + 1}" if smallest.ndim else ""
        raise BadPoints(f"The covariance{whose} is not positive definite: it needs some width in every direction.")
    components, c, _ = _components(weights, (means - frame.centre) / frame.scale, c, covariance, frame, floor=0.0)
    return State(components, weights, c, covariance)


def maximise(state: State, sums: Sums, reg: float, frame: Frame, fixed: Collection[str]) -> State:
    """The parameters that the sums call for; those named in `fixed` stay. `reg` is added to the diagonals."""
    kind, counts = state.covariance, sums.counts
    held = counts <= EMPTY * frame.total
    empty = tuple(held.nonzero()[:, 0].tolist())
    weights = state.weights if "weights" in fixed else counts / counts.sum()
    means = state.components.means if "means" in fixed else torch.where(held[:, None], state.components.means, sums.means)
    if "covariances" in fixed:
        components = replace(state.components, log_weights=weights.log(), means=means)
        return State(components, weights, state.covariances, kind, (), empty)
    c = _covariances(sums, means if "means" in fixed else None, kind, reg, frame)
    own = kind not in ("tied", "tied_spherical")
    if empty and own:
        c = torch.where(held.reshape(-1, *[1] * (c.ndim - 1)), state.covariances, c)
    components, c, narrow = _components(weights, means, c, kind, frame, floor=FLOOR, reg=reg)
    collapsed = tuple((narrow & ~held if own else narrow).nonzero()[:, 0].tolist())
    return State(components, weights, c, kind, collapsed, empty)


def complete(sums: Sums, components: Components, frame: Frame) -> float:
    """Σ_i Σ_k q_i(k) log [w_k N(x_i; μ_k, Σ_k)] / N, in the frame, with the shares q that made `sums`: from the sums alone."""
    shift = sums.means - components.means
    if components.diagonal:
        squared = (components.precisions * (sums.scatters + shift.square())).sum(1)
    else:
        squared = (components.precisions * (sums.scatters + shift[:, :, None] * shift[:, None, :])).sum((1, 2))
    each = sums.counts * (components.constants() - 0.5 * squared)
    return float(torch.where(sums.counts > 0, each, torch.zeros_like(each)).sum()) / frame.total


def _covariances(sums: Sums, means: Tensor | None, kind: Covariance, reg: float, frame: Frame) -> Tensor:
    """The weighted scatters by type, about `means` where those are not the points' own."""
    scatters, counts = sums.scatters, sums.counts
    if means is not None:
        shift = sums.means - means
        scatters = scatters + (shift.square() if scatters.ndim == 2 else shift[:, :, None] * shift[:, None, :])
    ridge = reg / frame.scale.square()  # (D,)
    if kind == "full":
        return scatters + torch.diag(ridge)
    if kind == "tied":
        return torch.einsum("k,kij->ij", counts, scatters) / counts.sum() + torch.diag(ridge)
    if kind == "diagonal":
        return scatters + ridge
    variances = (scatters * frame.scale.square()).mean(1)  # (K,), own units
    return (variances if kind == "spherical" else counts @ variances / counts.sum()) + reg


def _components(
    weights: Tensor, means: Tensor, c: Tensor, kind: Covariance, frame: Frame, *, floor: float, reg: float = 0.0
) -> tuple[Components, Tensor, Tensor]:
    """Precisions of covariances that are kept at the floor; the covariances so kept; and which components are collapsed `(K,)`.

    `reg` was added to them, in the points' own units: what is not twice as wide in every direction has collapsed onto it.
    """
    k, d = means.shape
    spread = frame.scale.square()
    bare = 2 * reg / spread  # (D,), twice what the regulariser alone would give, in the frame
    if kind in MATRICES:
        values, vectors = torch.linalg.eigh(c if kind == "full" else c[None])  # (K or 1, D) ascending, (.., D, D)
        narrow = values[:, 0] <= floor
        if reg > 0 and bool((values[:, 0] <= bare.max()).any()):  # else no direction can be as narrow as that
            narrow = narrow | (torch.linalg.eigvalsh(c - torch.diag(bare)).reshape(len(values), d)[:, 0] <= 0)
        if bool((values[:, 0] < floor).any()):
            values = values.clamp_min(floor)
            kept = (vectors * values[:, None, :]) @ vectors.mT
            c = kept if kind == "full" else kept[0]
        inverse = values.reciprocal()
        precisions = ((vectors * inverse[:, None, :]) @ vectors.mT).expand(k, d, d)
        log_dets, sharpest = -values.log().sum(1), inverse[:, 0]
    else:
        units = c if kind == "diagonal" else c.reshape(-1, 1) / spread  # (K or 1, D) in the frame
        narrow = (units <= bare.clamp_min(floor)).any(1)
        if kind == "diagonal":
            c = units = c.clamp_min(floor)
        else:  # one variance in own units: the widest coordinate's unit sees it narrowest
            c = c.clamp_min(floor * float(spread.max()))
            units = c.reshape(-1, 1) / spread
        precisions = units.reciprocal().expand(k, d)
        log_dets, sharpest = -units.log().sum(1), units.amin(1).reciprocal()
    components = Components(weights.log(), means, precisions, log_dets.expand(k), sharpest.expand(k))
    return components, c, narrow.expand(k)
