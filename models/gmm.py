"""The Gaussian mixture, fitted by expectation and maximisation, in half steps.

A mixture first draws a component z with the probabilities w, then x from that component's Gaussian:

    p(x) = Σ_k w_k N(x; μ_k, Σ_k)

Its likelihood has no closed maximum. With any shares q_i(k) of the components in each point,

    log p(x_i) = F_i(q, θ) + KL(q_i ‖ p(k | x_i, θ)),    F_i = Σ_k q_i(k) log [w_k N(x_i; μ_k, Σ_k) / q_i(k)] ≤ log p(x_i)

The E-step sets q to the responsibilities p(k | x, θ): the gap closes. The M-step raises F in θ with q held: weighted means and
covariances. So the likelihood never falls (Dempster, Laird, Rubin 1977; Neal and Hinton 1998, section 3; Bishop 2006, section
9.4). It ends at a local maximum only; and with free covariances the likelihood is unbounded: a component on a single point
grows without end. Such a collapse is noticed, named and kept finite.

With hard assignment q puts all on the likeliest component (classification EM, Celeux and Govaert 1992), which never lowers F
but may lower the likelihood. Equal fixed weights, one shared spherical variance and hard assignment: that is K-means, step for
step.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from models.components import NARROW, Pass, Sums, twins
from models.maximisation import COVARIANCES, MATRICES, Covariance, State, begin, complete, maximise, shape_of, type_of
from models.noise import Noise
from models.points import BadPoints, Frame, checked, checked_weights, chunks, frame_of

Assignment = Literal["soft", "hard"]
__all__ = ["COVARIANCES", "Assignment", "Collapsed", "Covariance", "Criteria", "Start", "Step"]
__all__ += [
    "criteria",
    "even_bound",
    "fit",
    "full_covariances",
    "information",
    "log_prob",
    "parameters",
    "responsibilities",
    "sample",
    "steps",
]


@dataclass(frozen=True)
class Start:
    """Where EM begins. Covariances are shaped as scikit-learn's: full `(K, D, D)`, tied `(D, D)`, diagonal `(K, D)`, spherical
    `(K,)`, and tied_spherical a scalar. `covariance` names the type; without it the shape decides (a symmetric positive
    definite square is taken as tied).
    """

    weights: Tensor  # (K,)
    means: Tensor  # (K, D)
    covariances: Tensor
    covariance: Covariance | None = None


@dataclass(frozen=True)
class Step:
    """The state after a half step. Tensors are in the points' own units; logarithms in mean nats a point."""

    phase: Literal["E", "M"]
    iteration: int  # from 1; E and M together
    weights: Tensor
    means: Tensor
    covariances: Tensor
    covariance: Covariance
    log_likelihood: float  # mean log p(x) under these parameters
    free_energy: float  # F(q, θ): after E equal to the log-likelihood (soft), after M at most that
    counts: Tensor  # (K,), points that each component holds by the shares q
    collapsed: tuple[int, ...]  # components without width in some direction but for the regulariser or the floor
    empty: tuple[int, ...]  # components without points, which keep their place
    reg: float  # what was added to the diagonal of every covariance
    converged: bool  # whether this iteration raised the objective by less than tol
    total: float  # N, or the sum of the sample weights

    @property
    def regularised(self) -> bool:
        """Whether the M-step was not pure maximum likelihood: EM may then lower the likelihood."""
        return self.reg > 0 or bool(self.collapsed)


class Collapsed(ValueError):
    """A criterion was asked of a fit whose likelihood is that of a collapsed component; the message is one sentence."""


def steps(
    points: Any,
    start: Start,
    *,
    covariance: Covariance = "full",
    tol: float = 1e-6,
    max_steps: int = 100,
    reg: float = 1e-6,
    weights: Any = None,
    assignment: Assignment = "soft",
    fixed: Collection[Literal["weights", "means", "covariances"]] = (),
    narrow: float = NARROW,
) -> Iterator[Step]:
    """EM on points `(N, D)`, two steps an iteration: E, then M. Ends when an iteration changes the objective (mean nats a
    point: the log-likelihood, or F with hard assignment) by less than `tol`, or after `max_steps` iterations.

    `weights` `(N,)` count each point so many times. `reg` is added to the covariances' diagonals. `fixed` names parameters that
    stay as they started. `narrow` overrides when components go by deviations (models.components): for tests.

    Raises `BadPoints` for fewer points than components, a start that does not fit, or numbers that are not finite.
    """
    _check_options(covariance, assignment, tol, max_steps, reg, fixed)
    k = len(start.means)
    x = checked(points, at_least=max(1, k), reason=f"a mixture of {k} components")
    w = checked_weights(weights, x)
    frame = frame_of(x, w)
    hard = assignment == "hard"
    given = _checked_start(start, covariance, frame.centre)
    state = begin(given.weights, given.means, given.covariances, covariance, frame)
    equal = None if hard else twins(state.components)
    run = Pass(x, w, frame, diagonal=covariance not in MATRICES, narrow=narrow, twins=equal)
    sums = run(state.components, hard=hard)
    for iteration in range(1, max_steps + 1):
        objective = sums.classification if hard else sums.log_likelihood
        yield _step("E", iteration, state, sums, objective, reg, frame, converged=False)
        new = maximise(state, sums, reg, frame, fixed)
        entropy = 0.0 if hard else sums.log_likelihood - complete(sums, state.components, frame)
        bound = complete(sums, new.components, frame) + entropy
        after = run(new.components, hard=hard)
        change = (after.classification if hard else after.log_likelihood) - objective
        converged = abs(change) < tol or (hard and after.alike(sums))  # hard shares that stay leave no more to change
        yield _step("M", iteration, new, after, bound, reg, frame, converged=converged, counts=sums.counts)
        if converged:
            return
        state, sums = new, after


def fit(points: Any, start: Start, **options: Any) -> Step:
    """The last step of `steps`."""
    last = None
    for last in steps(points, start, **options):  # noqa: B007
        pass
    if last is None:
        raise BadPoints("max_steps = 0 leaves nothing to return: ask for at least 1.")
    return last


def log_prob(points: Any, params: Start | Step) -> Tensor:
    """log p(x) of points `(N, D)` under a mixture: float64 `(N,)`, nats."""
    parts = [joint.logsumexp(0) for joint in _joints(points, params)]
    return torch.cat(parts) if parts else params.means.new_empty(0)


def even_bound(points: Any, params: Start | Step) -> float:
    """F(q, θ) where every component has the same share in every point, q = 1/K: mean nats a point. What an E-step starts from
    when nothing is known yet; its gap to the log-likelihood is what the first E-step closes.
    """
    total, count = 0.0, 0
    for joint in _joints(points, params):
        total += float(joint.mean(0).sum())
        count += joint.shape[1]
    return total / max(1, count) + math.log(len(params.means))


def responsibilities(points: Any, params: Start | Step, *, assignment: Assignment = "soft") -> Tensor:
    """p(k | x) of points `(N, D)`: float64 `(N, K)`; `hard`: all on the likeliest (the first of equals).

    The only result here that grows with N times K: for drawing, and for small clouds.
    """
    parts = []
    for joint in _joints(points, params):
        soft = assignment == "soft"
        shares = joint.softmax(0) if soft else torch.zeros_like(joint).scatter_(0, joint.max(0).indices[None], 1.0)
        parts.append(shares.T)
    return torch.cat(parts) if parts else params.means.new_empty(0, len(params.means))


def sample(params: Start | Step, n: int, *, noise: Noise | int) -> tuple[Tensor, Tensor]:
    """Ancestral sampling: z from the weights, then x given z. Points `(n, D)` and components int64 `(n,)`; the first of many
    are those of few.
    """
    noise = Noise.of(noise)
    k, d = params.means.shape
    device = params.means.device
    u = noise.uniform(n, (), stream="z", device=device)
    z = torch.searchsorted(params.weights.cumsum(0), u * params.weights.sum()).clamp_max(k - 1)
    epsilon = noise.normal(n, (d,), stream="x", device=device)
    factors = torch.linalg.cholesky(full_covariances(params))  # (K, D, D)
    return params.means[z] + torch.einsum("nij,nj->ni", factors[z], epsilon), z


def full_covariances(params: Start | Step) -> Tensor:
    """The covariances of any type as matrices `(K, D, D)`, and NaN nowhere."""
    k, d = params.means.shape
    c = params.covariances
    kind = params.covariance or type_of(c, k, d)
    if kind == "full":
        return c
    if kind == "tied":
        return c.expand(k, d, d)
    if kind == "diagonal":
        return torch.diag_embed(c)
    eye = torch.eye(d, dtype=c.dtype, device=c.device)
    return c.reshape(-1, 1, 1).expand(k, 1, 1) * eye


def parameters(k: int, d: int, covariance: Covariance, *, fixed: Collection[str] = ()) -> int:
    """How many numbers are fitted."""
    symmetric = d * (d + 1) // 2
    shapes = {"full": k * symmetric, "tied": symmetric, "diagonal": k * d, "spherical": k, "tied_spherical": 1}
    counts = {"weights": k - 1, "means": k * d, "covariances": shapes[covariance]}
    return sum(count for name, count in counts.items() if name not in fixed)


@dataclass(frozen=True)
class Criteria:
    """Lower is better. Both in nats times 2, of the whole cloud."""

    bic: float  # −2 N L + P log N (Schwarz 1978)
    aic: float  # −2 N L + 2 P (Akaike 1974)
    parameters: int


def criteria(step: Step, *, fixed: Collection[str] = ()) -> Criteria:
    """BIC and AIC from N × mean log-likelihood. Raises `Collapsed` where that likelihood is a collapsed component's."""
    if step.collapsed:
        noun = "Component" if len(step.collapsed) == 1 else "Components"
        names = ", ".join(str(k + 1) for k in step.collapsed)
        raise Collapsed(f"{noun} {names} collapsed: such a likelihood has no bound, so BIC and AIC say nothing.")
    k, d = step.means.shape
    return information(step.log_likelihood, step.total, parameters(k, d, step.covariance, fixed=fixed))


def information(log_likelihood: float, total: float, count: int) -> Criteria:
    """BIC and AIC of `count` parameters at a mean log-likelihood over `total` points."""
    deviance = -2 * total * log_likelihood
    return Criteria(deviance + count * math.log(total), deviance + 2 * count, count)


def _check_options(covariance: str, assignment: str, tol: float, max_steps: int, reg: float, fixed: Collection[str]) -> None:
    if covariance not in COVARIANCES:
        raise BadPoints(f"covariance = {covariance!r} is none of {', '.join(COVARIANCES)}.")
    if assignment not in ("soft", "hard"):
        raise BadPoints(f"assignment = {assignment!r} is neither soft nor hard.")
    if not (tol >= 0 and reg >= 0 and math.isfinite(reg) and max_steps >= 0):
        raise BadPoints(f"tol = {tol}, reg = {reg} and max_steps = {max_steps} must be finite and not below 0.")
    if unknown := set(fixed) - {"weights", "means", "covariances"}:
        raise BadPoints(f"fixed names {sorted(unknown)}: it may name weights, means and covariances.")


def _checked_start(start: Start | Step, covariance: Covariance, like: Tensor) -> Start:
    """The start as float64 on the points' device, its shapes checked against the type. `like`: one point `(D,)`."""
    given = (start.weights, start.means, start.covariances)
    weights, means, c = (torch.as_tensor(part, dtype=torch.float64, device=like.device) for part in given)
    if means.ndim != 2 or means.shape[1] != len(like) or len(means) < 1:
        raise BadPoints(f"Means of shape {tuple(means.shape)} do not fit points of {len(like)} coordinates.")
    k, d = means.shape
    if tuple(c.shape) != shape_of(covariance, k, d):
        raise BadPoints(f"Covariances of shape {tuple(c.shape)} are not {covariance}, which has {shape_of(covariance, k, d)}.")
    if weights.shape != (k,) or not (weights >= 0).all() or not weights.sum() > 0:
        raise BadPoints(f"The weights must be {k} numbers, none below 0, and not all 0.")
    for name, part in (("weights", weights), ("means", means), ("covariances", c)):
        if not torch.isfinite(part).all():
            raise BadPoints(f"The start's {name} hold a number that is not finite.")
    return Start(weights / weights.sum(), means, c, covariance)


def _joints(points: Any, params: Start | Step) -> Iterator[Tensor]:
    """log w_k + log N_k(x) of each chunk, `(K, n)`, in the points' own units."""
    means = torch.as_tensor(params.means, dtype=torch.float64)
    x = checked(points, at_least=0)
    if means.ndim != 2 or x.shape[1] != means.shape[1]:
        raise BadPoints(f"The points have {x.shape[1]} coordinates, and the mixture's means the shape {tuple(means.shape)}.")
    c = torch.as_tensor(params.covariances, dtype=torch.float64)
    kind = params.covariance or type_of(c, *means.shape)
    given = _checked_start(params, kind, x.new_empty(x.shape[1]))
    # The mixture's own frame: its mean, and its variance within and between components.
    centre = given.weights @ given.means
    within = torch.einsum("k,kd->d", given.weights, full_covariances(given).diagonal(dim1=1, dim2=2))
    frame = Frame(centre, (within + given.weights @ (given.means - centre).square()).sqrt(), float(len(x)))
    components = begin(given.weights, given.means, given.covariances, kind, frame).components
    run = Pass(x, None, frame, diagonal=kind not in MATRICES)
    direct, equal = run.direct(components), twins(components)
    coefficients = components.coefficients() if run.expanded else None
    offset = frame.scale.log().sum()
    for piece, _ in chunks(x):
        z = run.inside(piece)
        if run.expanded:
            run.phi(z)
        joint = run.joint(components, coefficients, direct, z) - offset
        yield joint if equal is None else joint[equal]


def _step(
    phase: Literal["E", "M"],
    iteration: int,
    state: State,
    sums: Sums,
    free_energy: float,
    reg: float,
    frame: Frame,
    *,
    converged: bool,
    counts: Tensor | None = None,
) -> Step:
    """A state in the points' own units."""
    means, covariances = state.own_units(frame)
    offset = float(frame.scale.log().sum())
    return Step(
        phase=phase,
        iteration=iteration,
        weights=state.weights,
        means=means,
        covariances=covariances,
        covariance=state.covariance,
        log_likelihood=sums.log_likelihood - offset,
        free_energy=free_energy - offset,
        counts=sums.counts if counts is None else counts,
        collapsed=state.collapsed,
        empty=state.empty,
        reg=reg,
        converged=converged,
        total=frame.total,
    )
