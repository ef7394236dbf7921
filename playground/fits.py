"""A cloud and a question to what the page draws: each model's run as JSON, whole, so that the browser can scrub it.

Every function here is a generator of slices for the inference thread (a drag elsewhere never waits for someone's EM), whose
return value is the answer. Parameters travel as float64 in base64, covariances always as matrices `(K, D, D)`; what follows
from them (colours, ellipses, contours) is evaluated where it is drawn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import gaussian, gmm, kde, kmeans, pca, starts
from models.noise import Noise
from models.points import BadPoints, frame_of
from playground import wire
from playground.faults import BadCall
from playground.wire import ChooseQuery, FitQuery

SLICE = 0.008  # seconds of work between two turns of the others
MANY = 20_000  # points: above, choosing K and drawing densities take a fair sample
RESTARTS = 3  # of each K when it is chosen: EM finds local maxima only
HELD_OUT = 0.2  # of the points

Answer = Generator[None, None, dict[str, Any]]


def fit(x: Tensor, asked: FitQuery) -> Answer:
    """The run of one model on points `(N, D)`."""
    began = time.perf_counter()
    models = {"gaussian": _gaussian, "kmeans": _kmeans, "gmm": _gmm, "pca": _pca, "kde": _kde}
    answer = yield from models[asked.model](x, asked)
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
    centres = _own_means(asked, x)
    if centres is None:
        centres = starts.means(x, asked.k, asked.how, noise=asked.seed)
    yield
    run: list[kmeans.Step] = []
    yield from _collect(run, kmeans.steps(x, centres, max_steps=asked.steps))
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
    spread = float(frame_of(x).scale.square().mean())
    begin = _start(x, asked)
    fixed = [name for name, held in (("weights", asked.weights == "equal"), ("covariances", asked.sigma > 0)) if held]
    yield
    run: list[gmm.Step] = []
    options: dict[str, Any] = {"covariance": begin.covariance, "tol": asked.tol, "max_steps": asked.steps}
    options |= {"reg": asked.reg * spread, "assignment": asked.assignment, "fixed": fixed}
    yield from _collect(run, gmm.steps(x, begin, **options))
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
            "free_energy": [None, *(step.free_energy for step in run)],
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
    if asked.bandwidth:
        h, likelihood, used = asked.bandwidth, None, 0
        if len(x) <= 5_000:
            likelihood, used = kde.leave_one_out(x, h), len(x)
    else:
        slices = kde.best_bandwidth_steps(x, noise=0)
        best = yield from _returned(slices)
        h, likelihood, tried, used, at_edge = best.h, best.log_likelihood, best.tried, best.points, best.at_edge
    yield
    cells = 400 if d == 1 else 96
    axes = [torch.linspace(a, b, cells, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    values = kde.grid(x, h, *axes)
    return {
        "phases": ["fit"],
        "bandwidth": h,
        "grid": {"values": wire.text_of(values.numpy().astype("<f8")), "width": cells, "height": 1 if d == 1 else cells}
        | {"low": low, "high": high},
        "log_likelihood": [None if likelihood is None or not math.isfinite(likelihood) else likelihood],
        "left_out": used,
        "tried": [[a, b] for a, b in tried if math.isfinite(b)],
        "at_edge": at_edge,
    }


def choose(x: Tensor, asked: ChooseQuery) -> Answer:
    """For each K: the best of `RESTARTS` fits, its BIC and AIC, and the likelihood of a fifth of the points held out."""
    drawn = len(x) > MANY
    order = Noise(asked.seed).permutation(len(x), stream="choose")
    x = x[order[:MANY]] if drawn else x
    order = Noise(asked.seed).permutation(len(x), stream="hold out")
    held = max(1, round(HELD_OUT * len(x)))
    test, train = x[order[:held]], x[order[held:]]
    if len(train) < 2:
        raise BadCall(f"{len(x)} points are too few to hold a fifth out: add some, at least 5.")
    rows = []
    for k in range(1, min(asked.largest, len(train)) + 1):
        best = yield from _best(x, k, asked)
        within = yield from _best(train, k, asked)
        row: dict[str, Any] = {"k": k, "held_out": None, "bic": None, "aic": None, "log_likelihood": best.log_likelihood}
        fixed = ("weights",) if asked.weights == "equal" else ()
        try:
            told = gmm.criteria(best, fixed=fixed)
            row |= {"bic": told.bic, "aic": told.aic, "parameters": told.parameters}
            row["held_out"] = float(gmm.log_prob(test, within).mean()) if not within.collapsed else None
        except gmm.Collapsed as refused:
            row["refused"] = str(refused)
        rows.append(row)
    return {"rows": rows, "points": len(x), "sampled": drawn, "held": held, "restarts": RESTARTS}


def _best(x: Tensor, k: int, asked: ChooseQuery) -> Generator[None, None, gmm.Step]:
    """The likeliest of several runs that did not collapse; if all did, the likeliest."""
    found: gmm.Step | None = None
    spread = float(frame_of(x).scale.square().mean())
    fixed: tuple[Any, ...] = ("weights",) if asked.weights == "equal" else ()
    for again in range(RESTARTS if k > 1 else 1):
        how: starts.How = "kmeans" if again == 0 else "plus"
        begin = starts.start(x, k, how, covariance=asked.covariance, noise=Noise(asked.seed).at(again))
        begin = starts.held(begin, equal=bool(fixed))
        run: list[gmm.Step] = []
        steps = gmm.steps(x, begin, covariance=asked.covariance, tol=1e-5, max_steps=100, reg=asked.reg * spread, fixed=fixed)
        yield from _collect(run, steps)
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


def _start(x: Tensor, asked: FitQuery) -> gmm.Start:
    """The start that was asked for, one's own included."""
    put = _own_means(asked, x)
    if put is None:
        begin = starts.start(x, asked.k, asked.how, covariance=asked.covariance, noise=asked.seed)
    else:
        begin = starts.own(x, put, asked.covariance, _own_shapes(asked, x.shape[1]))
    return starts.held(begin, equal=asked.weights == "equal", deviation=asked.sigma)


def _own_means(asked: FitQuery, x: Tensor) -> Tensor | None:
    """`(K, D)` means put by hand, or None."""
    if not asked.means:
        return None
    numbers = wire.numbers(asked.means, "means")
    if len(numbers) != asked.k * x.shape[1]:
        wanted = asked.k * x.shape[1]
        raise BadCall(f"means has {len(numbers)} numbers, and {asked.k} means of {x.shape[1]} coordinates need {wanted}.")
    return torch.tensor(numbers, dtype=torch.float64).reshape(asked.k, x.shape[1])


def _own_shapes(asked: FitQuery, d: int) -> Tensor | None:
    """`(K, D, D)` covariances put by hand (the upper triangles, row by row), or None."""
    if not asked.shapes:
        return None
    numbers = wire.numbers(asked.shapes, "shapes")
    size = d * (d + 1) // 2
    if len(numbers) != asked.k * size:
        raise BadCall(f"shapes has {len(numbers)} numbers, and {asked.k} covariances of {d} coordinates need {asked.k * size}.")
    full = torch.zeros(asked.k, d, d, dtype=torch.float64)
    upper = torch.triu_indices(d, d)
    given = torch.tensor(numbers, dtype=torch.float64).reshape(asked.k, size)
    full[:, upper[0], upper[1]] = full[:, upper[1], upper[0]] = given
    return full


def _collect(run: list[Any], steps: Any) -> Generator[None, None, None]:
    """All steps into `run`, with a turn for the others every `SLICE` seconds."""
    last = time.perf_counter()
    for step in steps:
        run.append(step)
        if time.perf_counter() - last > SLICE:
            yield
            last = time.perf_counter()


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
        return wire.text_of(torch.stack(parts).numpy().astype("<f8"))

    return {
        "phases": [row[0] for row in rows],
        "k": rows[0][2].shape[0],
        "weights": packed([row[1] for row in rows]),
        "means": packed([row[2] for row in rows]),
        "covariances": packed([row[3].contiguous() for row in rows]),
    }


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
        raise BadCall(f"{len(body)} bytes are not points of {d} float64 numbers.")
    if n > wire.MAX_POINTS:
        raise BadCall(f"{n:,} points are more than the limit of {wire.MAX_POINTS:,}: send a sample of them.", 413)
    array = np.frombuffer(bytearray(body), dtype="<f8").reshape(n, d)
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        raise BadCall(f"Point {row + 1} has a coordinate that is not a finite number: leave it out.")
    if np.abs(array).max() > wire.MAX_VALUE:
        raise BadCall(f"A coordinate is {np.abs(array).max():.3g}, and the limit is {wire.MAX_VALUE:g}: scale the points down.")
    return torch.from_numpy(array)
