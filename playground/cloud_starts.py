"""The start that a person asked for, with the sentences for what cannot be one.

A start may come from anybody: means by a hand, a deviation from a link. What lies so far from the cloud that squares of the
ratio overflow is refused here; whatever is nearer, `models` can compute with.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from models import gmm, kmeans, starts
from models.points import checked, frame_of
from playground import wire
from playground.faults import BadCall
from playground.wire import FitQuery

SLICE = 0.008  # seconds of work between two turns of the others
REACH = 1e60  # between deviations: a few such ratios multiplied still are a number


def start(x: Tensor, asked: FitQuery) -> Generator[None, None, gmm.Start]:
    """The start that was asked for, one's own included."""
    check_units(x)
    checked(x, at_least=asked.k, reason=f"a mixture of {asked.k} components")
    put = own_means(asked, x)
    if put is None:
        centres = yield from means(x, asked)
        begin = starts.around(x, centres, asked.covariance, how=asked.how)
    else:
        begin = starts.own(x, put, asked.covariance, _own_shapes(asked, x.shape[1]))
    begin = starts.held(begin, equal=asked.weights == "equal", deviation=asked.sigma)
    _check_reach(x, begin)
    return begin


def means(x: Tensor, asked: FitQuery) -> Generator[None, None, Tensor]:
    """`starts.means`, with K-means in slices."""
    if asked.how != "kmeans":
        return starts.means(x, asked.k, asked.how, noise=asked.seed)
    run: list[kmeans.Step] = []
    yield from collect(run, kmeans.steps(x, starts.means(x, asked.k, "plus", noise=asked.seed)))
    return run[-1].means


def check_units(x: Tensor) -> None:
    """Refuses coordinates of such different units that the squares of their ratio overflow."""
    scale = frame_of(x).scale
    low, high = float(scale.min()), float(scale.max())
    if high > REACH * low:
        said = f"One coordinate spreads by {low:.3g}, another by {high:.3g}"
        raise BadCall(f"{said}, and the limit is a factor of {REACH:g} between them: give them units of similar size.")


def own_means(asked: FitQuery, x: Tensor) -> Tensor | None:
    """`(K, D)` means put by hand, or None."""
    if not asked.means:
        return None
    numbers = wire.numbers(asked.means, "means")
    if len(numbers) != asked.k * x.shape[1]:
        raise BadCall(f"means: {_misfit(len(numbers), asked.k, 'mean', x.shape[1], asked.k * x.shape[1])}")
    return torch.tensor(numbers, dtype=torch.float64).reshape(asked.k, x.shape[1])


def collect(run: list[Any], steps: Any) -> Generator[None, None, None]:
    """All steps into `run`, with a turn for the others every `SLICE` seconds."""
    last = time.perf_counter()
    for step in steps:
        run.append(step)
        if time.perf_counter() - last > SLICE:
            yield
            last = time.perf_counter()


def _check_reach(x: Tensor, begin: gmm.Start) -> None:
    """Refuses a start so far from the cloud, or so unlike it in width, that the squares of that ratio overflow."""
    frame = frame_of(x)
    away = ((begin.means - frame.centre) / frame.scale).abs()
    wide = gmm.full_covariances(begin).diagonal(dim1=1, dim2=2).abs().sqrt() / frame.scale
    small = (wide > 0) & (wide < 1 / REACH)  # 0 is refused for what it is
    if not (away <= REACH).all() or not (wide <= REACH).all() or small.any():
        limit = f"its means and deviations must lie within a factor of {REACH:g} of that"
        raise BadCall(f"The start does not suit points that spread by {float(frame.scale.max()):.3g}: {limit}.")


def _own_shapes(asked: FitQuery, d: int) -> Tensor | None:
    """`(K, D, D)` covariances put by hand (the upper triangles, row by row), or None."""
    if not asked.shapes:
        return None
    numbers = wire.numbers(asked.shapes, "shapes")
    size = d * (d + 1) // 2
    if len(numbers) != asked.k * size:
        raise BadCall(f"shapes: {_misfit(len(numbers), asked.k, 'covariance', d, asked.k * size)}")
    full = torch.zeros(asked.k, d, d, dtype=torch.float64)
    upper = torch.triu_indices(d, d)
    given = torch.tensor(numbers, dtype=torch.float64).reshape(asked.k, size)
    full[:, upper[0], upper[1]] = full[:, upper[1], upper[0]] = given
    return full


def _misfit(given: int, k: int, what: str, d: int, needed: int) -> str:
    """Why so many numbers are not K of these in D coordinates."""
    noun, things = "coordinate" if d == 1 else "coordinates", what if k == 1 else f"{what}s"
    numbers, need = "number" if given == 1 else "numbers", "needs" if k == 1 else "need"
    return f"{given} {numbers} cannot be {k} {things}: with {d} {noun} {'it' if k == 1 else 'they'} {need} {needed}."
