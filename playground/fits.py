"""A cloud and a question to what the page draws: each model's run as JSON, whole, so that the browser can scrub it.

Every function here is a generator of slices for the inference thread (a drag elsewhere never waits for someone's EM), whose
return value is the answer. Parameters travel as float64 in base64, covariances always as matrices `(K, D, D)`; what follows
from them (colours, ellipses, contours) is evaluated where it is drawn.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import gaussian, gmm, kde, kmeans, pca, starts
from models.noise import Noise
from models.points import BadPoints
from playground import cloud_starts, wire
from playground.faults import BadCall
from playground.wire import ChooseQuery, FitQuery

MANY = 20_000  # points: above, kernel densities take a fair sample
ENOUGH = 5_000  # points to choose K by: two people who ask at once still get their answer in time
RESTARTS = 3  # of each K when it is chosen: EM finds local maxima only
HELD_OUT = 0.2  # of the points
FEWEST = 5  # points of which a fifth can be held out
PIECE = 2_500  # points whose bumps are added to a grid in one slice
PAIRS = 500_000  # of points, compared in one slice
BEYOND = "These points and settings lead to numbers that no computer's float64 holds: bring the points to a scale near 1."

Answer = Generator[None, None, dict[str, Any]]


def fit(x: Tensor, asked: FitQuery) -> Answer:
    """The run of one model on points `(N, D)`."""
    began = time.perf_counter()
    models = {"gaussian": _gaussian, "kmeans": _kmeans, "gmm": _gmm, "pca": _pca, "kde": _kde}
    answer = yield from models[asked.model](x, asked)
    _sound(answer)
    return answer | {"model": asked.model, "d": x.shape[1], "n": len(x), "ms": 1000 * (time.perf_counter() - began)}


def finished(answer: Answer) -> dict[str, Any]:
    """All slices at once."""
    while True:
        try:
            next(answer)
        except StopIteration as end:
            return end.value


def _gaussian(x: Tensor, asked: FitQuery) -> Answer:
    found = gaussian.fit(x)
    likelihood = float(gaussian.log_prob(x, found).mean())
    yield
    one = x.new_ones(1)
    return _frames([("fit", one, found.mean[None], found.covariance[None])]) | {
        "log_likelihood": [likelihood],
        "collapsed": [[0] if found.flat else []],
        **_criteria(None if found.flat else gmm.information(likelihood, len(x), found.parameters)),
    }


def _pca(x: Tensor, asked: FitQuery) -> Answer:
    d = x.shape[1]
    axes = d - 1 if asked.axes < 0 else asked.axes
    if axes > d:
        raise BadCall(f"PCA with {axes} axes does not fit points of {d} coordinates: choose at most {d}.")
    found = pca.fit(x, axes)
    yield
    try:
        likelihood: float | None = float(pca.log_prob(x, found).mean())
    except BadPoints:  # a flat cloud: it has axes, and no density
        likelihood = None
    lift = 0.0 if likelihood is not None else 1e-9 * float(found.covariance.trace()) + 1e-300  # so that it can be drawn
    shown = found.covariance + lift * torch.eye(d, dtype=torch.float64)
    return _frames([("fit", x.new_ones(1), found.mean[None], shown[None])]) | {
        "log_likelihood": [likelihood],
        "collapsed": [[] if likelihood is not None else [0]],
        "axes": {
            "mean": found.mean.tolist(),
            "directions": found.directions.tolist(),
            "deviations": found.variances.sqrt().tolist(),
            "noise": math.sqrt(max(0.0, found.noise_variance)),
            "explained": found.explained.tolist(),
        },
    }


def _kmeans(x: Tensor, asked: FitQuery) -> Answer:
    centres = cloud_starts.own_means(asked, x)
    if centres is None:
        centres = yield from cloud_starts.means(x, asked)
    yield
    run: list[kmeans.Step] = []
    yield from cloud_starts.collect(run, kmeans.steps(x, centres, max_steps=asked.steps))
    equal = x.new_full((asked.k,), 1 / asked.k)
    eye = torch.eye(x.shape[1], dtype=torch.float64)

    def ball(inertia: float) -> Tensor:  # the shared variance of the mixture that K-means is
        return (max(inertia, 1e-300) / (len(x) * x.shape[1]) * eye).expand(asked.k, -1, -1)

    rows = [("start", equal, centres, ball(run[0].inertia))]
    rows += [(step.phase, equal, step.means, ball(step.inertia)) for step in run]
    return _frames(rows) | {
        "inertia": [run[0].inertia, *(step.inertia for step in run)],
        "counts": [[], *(step.counts.tolist() for step in run)],
        "empty": [[], *(list(step.empty) for step in run)],
        "collapsed": [[] for _ in rows],
        "converged": run[-1].converged,
    }


def _gmm(x: Tensor, asked: FitQuery) -> Answer:
    spread = _spread(x)
    begin = yield from cloud_starts.start(x, asked)
    fixed = [name for name, held in (("weights", asked.weights == "equal"), ("covariances", asked.sigma > 0)) if held]
    yield
    run: list[gmm.Step] = []
    options: dict[str, Any] = {"covariance": begin.covariance, "tol": asked.tol, "max_steps": asked.steps}
    options |= {"reg": asked.reg * spread, "assignment": asked.assignment, "fixed": fixed}
    yield from cloud_starts.collect(run, gmm.steps(x, begin, **options))
    rows = [("start", begin.weights, begin.means, gmm.full_covariances(begin))]
    rows += [(step.phase, step.weights, step.means, gmm.full_covariances(step)) for step in run]
    try:
        said = _criteria(gmm.criteria(run[-1], fixed=fixed))
    except gmm.Collapsed as refused:
        said = {"criteria": None, "refused": str(refused)}
    return (
        _frames(rows)
        | said
        | {
            "log_likelihood": [run[0].log_likelihood, *(step.log_likelihood for step in run)],
            "free_energy": [_finite(gmm.even_bound(x, begin)), *(step.free_energy for step in run)],
            "counts": [[], *(step.counts.tolist() for step in run)],
            "empty": [[], *(list(step.empty) for step in run)],
            "collapsed": [[], *(list(step.collapsed) for step in run)],
            "converged": run[-1].converged,
            "reg": options["reg"],
        }
    )


def _kde(x: Tensor, asked: FitQuery) -> Answer:
    d = x.shape[1]
    if d > 2:
        raise BadCall("The kernel density is drawn for 1 or 2 coordinates, and these points have 3: choose another model.")
    low, high = asked.window(d)
    tried: Sequence[tuple[float, float]] = ()
    at_edge = False
    sampled = len(x) > MANY
    x = x[Noise(0).permutation(len(x), stream="kernels")[:MANY]] if sampled else x
    if asked.bandwidth:
        h, likelihood, used = asked.bandwidth, None, 0
        if 2 <= len(x) <= 5_000:  # one point has no others to be promised by
            likelihood = yield from _leave_one_out(x, h)
            used = len(x)
    else:
        slices = kde.best_bandwidth_steps(x, noise=0)
        best = yield from _returned(slices)
        h, likelihood, tried, used, at_edge = best.h, best.log_likelihood, best.tried, best.points, best.at_edge
    yield
    cells = 400 if d == 1 else 96
    axes = [torch.linspace(a, b, cells, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    values = yield from _grid(x, h, axes)
    return {
        "phases": ["fit"],
        "bandwidth": h,
        "grid": {"values": wire.text_of(values.numpy().astype("<f8")), "width": cells, "height": 1 if d == 1 else cells}
        | {"low": low, "high": high},
        "log_likelihood": [None if likelihood is None or not math.isfinite(likelihood) else likelihood],
        "left_out": used,
        "tried": [[a, b] for a, b in tried if math.isfinite(b)],
        "at_edge": at_edge,
        "sampled": sampled,
    }


def _grid(x: Tensor, h: float, axes: list[Tensor]) -> Generator[None, None, Tensor]:
    """`kde.grid`, some points at a time."""
    total = torch.zeros(())
    for piece in x.split(PIECE):
        total = total + len(piece) * kde.grid(piece, h, *axes)
        yield
    if not torch.isfinite(total).all():
        raise BadCall(f"A bandwidth of {h:g} makes a density higher than the largest number there is: choose a wider one.")
    return total / len(x)


def _leave_one_out(x: Tensor, h: float) -> Generator[None, None, float]:
    """`kde.leave_one_out`, some points at a time."""
    total = 0.0
    for rows in torch.arange(len(x)).split(max(1, PAIRS // len(x))):
        total += len(rows) * kde.leave_one_out(x, h, sample=rows)
        yield
    return total / len(x)


def choose(x: Tensor, asked: ChooseQuery) -> Answer:
    """For each K: the best of `RESTARTS` fits, its BIC and AIC, and the likelihood of a fifth of the points held out."""
    if len(x) < FEWEST:
        noun = "point is" if len(x) == 1 else "points are"
        raise BadCall(f"{len(x)} {noun} too few to hold a fifth out: put down at least {FEWEST}.")
    cloud_starts.check_units(x)
    drawn = len(x) > ENOUGH
    order = Noise(asked.seed).permutation(len(x), stream="choose")
    x = x[order[:ENOUGH]] if drawn else x
    order = Noise(asked.seed).permutation(len(x), stream="hold out")
    held = max(1, round(HELD_OUT * len(x)))
    test, train = x[order[:held]], x[order[held:]]
    rows = []
    for k in range(1, min(asked.largest, len(train)) + 1):
        best = yield from _best(x, k, asked)
        within = yield from _best(train, k, asked)
        row: dict[str, Any] = {"k": k, "held_out": None, "bic": None, "aic": None, "log_likelihood": best.log_likelihood}
        fixed = ("weights",) if asked.weights == "equal" else ()
        try:
            told = gmm.criteria(best, fixed=fixed)
            row |= {"bic": told.bic, "aic": told.aic, "parameters": told.parameters}
            gmm.criteria(within)
            row["held_out"] = float(gmm.log_prob(test, within).mean())
        except gmm.Collapsed as refused:
            row["refused"] = str(refused)
        rows.append(row)
    answer = {"rows": rows, "points": len(x), "sampled": drawn, "held": held, "restarts": RESTARTS}
    _sound(answer)
    return answer


def _best(x: Tensor, k: int, asked: ChooseQuery) -> Generator[None, None, gmm.Step]:
    """The likeliest of several runs that did not collapse; if all did, the likeliest."""
    found: gmm.Step | None = None
    spread = _spread(x)
    fixed: tuple[Any, ...] = ("weights",) if asked.weights == "equal" else ()
    for again in range(RESTARTS if k > 1 else 1):
        how: starts.How = "kmeans" if again == 0 else "plus"
        begin = starts.start(x, k, how, covariance=asked.covariance, noise=Noise(asked.seed).at(again))
        begin = starts.held(begin, equal=bool(fixed))
        run: list[gmm.Step] = []
        steps = gmm.steps(x, begin, covariance=asked.covariance, tol=1e-5, max_steps=100, reg=asked.reg * spread, fixed=fixed)
        yield from cloud_starts.collect(run, steps)
        last = run[-1]
        if found is None or (bool(last.collapsed), -last.log_likelihood) < (bool(found.collapsed), -found.log_likelihood):
            found = last
    assert found is not None
    return found


def draws(told: wire.DrawsBody) -> dict[str, Any]:
    """Ancestral samples: z from the weights, then x given z, one example of the noise each."""
    mixture = told.mixture()
    points, components = gmm.sample(mixture, told.n, noise=told.seed)
    return {"points": wire.text_of(points.numpy().astype("<f8")), "components": components.tolist()}


def kernel_draws(x: Tensor, bandwidth: float, n: int, seed: int) -> dict[str, Any]:
    """Samples from a kernel density: a point of the cloud, then a step from it."""
    points, components = kde.sample(x, bandwidth, n, noise=seed)
    centres = x[components]
    return {
        "points": wire.text_of(points.numpy().astype("<f8")),
        "components": components.tolist(),
        "centres": wire.text_of(centres.numpy().astype("<f8")),
    }


# --- Inside -----------------------------------------------------------------------------------------------------------


def _spread(x: Tensor) -> float:
    """The cloud's mean variance, of which the regulariser is a part."""
    return float(x.var(0, correction=0).mean())


def _sound(answer: dict[str, Any]) -> None:
    """Refuses an answer with a number for which JSON has no word."""
    try:
        json.dumps(answer, allow_nan=False)
    except ValueError as error:
        raise BadCall(BEYOND, 422) from error


def _returned(slices: Generator[Any, None, Any]) -> Generator[None, None, Any]:
    """Passes a generator's turns on, and its return value."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value
        yield


def _frames(rows: list[tuple[str, Tensor, Tensor, Tensor]]) -> dict[str, Any]:
    """Phases, weights `(F, K)`, means `(F, K, D)` and covariances `(F, K, D, D)`."""

    def packed(parts: list[Tensor]) -> str:
        values = torch.stack(parts)
        if not torch.isfinite(values).all():
            raise BadCall(BEYOND, 422)
        return wire.text_of(values.numpy().astype("<f8"))

    return {
        "phases": [row[0] for row in rows],
        "k": rows[0][2].shape[0],
        "weights": packed([row[1] for row in rows]),
        "means": packed([row[2] for row in rows]),
        "covariances": packed([row[3].contiguous() for row in rows]),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _criteria(told: gmm.Criteria | None) -> dict[str, Any]:
    if told is None:
        return {"criteria": None}
    return {"criteria": {"bic": told.bic, "aic": told.aic, "parameters": told.parameters}}


def points_of(body: bytes, d: int) -> Tensor:
    """Points float64 `(N, d)` from a request's body. Raises `BadCall` for a body that is not one, or beyond the limits."""
    n, rest = divmod(len(body), 8 * d)
    if not body:
        raise BadCall("There are no points: put some down first.")
    if rest:
        numbers = "one float64 number" if d == 1 else f"{d} float64 numbers"
        raise BadCall(f"{len(body):,} bytes are not whole points of {numbers}, {8 * d} bytes each: send all of every point.")
    if n > wire.MAX_POINTS:
        raise BadCall(f"{n:,} points are more than the limit of {wire.MAX_POINTS:,}: send a sample of them.", 413)
    array = np.frombuffer(bytearray(body), dtype="<f8").reshape(n, d)
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise BadCall(f"Point {row + 1} has a coordinate that is not a finite number: leave it out.")
    if np.abs(array).max() > wire.MAX_VALUE:
        largest = f"{np.abs(array).max():.3g}"
        raise BadCall(f"A coordinate has the size {largest}, and the limit is {wire.MAX_VALUE:g}: scale the points down.")
    return torch.from_numpy(array)
