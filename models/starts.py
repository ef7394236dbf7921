"""Where K-means and EM begin: good starts, bad ones, and one from which nothing ever moves.

Both algorithms end in the local optimum that the start leads to, so the start is half of the result. k-means++ spreads the
means: each next one is a point drawn with probability proportional to its squared distance from those chosen (Arthur and
Vassilvitskii 2007).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from models import gaussian, gmm, kmeans
from models.gmm import Covariance, Start
from models.noise import Noise
from models.points import BadPoints, checked, checked_weights, chunks, frame_of

How = Literal["random", "plus", "kmeans", "same", "bad"]
HOWS: tuple[str, ...] = get_args(How)


def means(points: Any, k: int, how: How, *, noise: Noise | int, weights: Any = None) -> Tensor:
    """`k` means to begin with, float64 `(k, D)`, for points `(N, D)`.

    random: points drawn without replacement, in proportion to their weights. plus: k-means++. kmeans: where K-means ends from
    k-means++. same: all on the mean of the cloud, a saddle that EM never leaves. bad: all on the points around the outermost
    one.

    Raises `BadPoints` for fewer points than means.
    """
    if how not in HOWS:
        raise BadPoints(f"how = {how!r} is none of {', '.join(HOWS)}.")
    x = checked(points, at_least=k, reason=f"a start with {k} means")
    w = checked_weights(weights, x)
    noise = Noise.of(noise)
    if how == "random":
        return x[_drawn(x, k, w, noise)]
    if how == "same":
        return frame_of(x, w).centre.expand(k, -1).clone()
    if how == "bad":
        return _huddled(x, k, w, noise)
    spread = plus_plus(x, k, noise=noise, weights=w)
    return spread if how == "plus" else kmeans.fit(x, spread, weights=w).means


def start(points: Any, k: int, how: How, *, covariance: Covariance = "full", noise: Noise | int, weights: Any = None) -> Start:
    """A start for `gmm.steps`: equal weights and round components that together cover the cloud; after K-means, its clusters'
    own shares and covariances; at the saddle, the cloud's own covariance.
    """
    x = checked(points, at_least=k, reason=f"a start with {k} components")
    w = checked_weights(weights, x)
    centres = means(x, k, how, noise=noise, weights=w)
    return around(x, centres, covariance, weights=w, how=how)


def around(points: Any, centres: Tensor, covariance: Covariance, *, weights: Any = None, how: How = "plus") -> Start:
    """A start with given means `(k, D)`. `how` decides the weights and covariances, as in `start`."""
    x = checked(points)
    w = checked_weights(weights, x)
    k, d = centres.shape
    equal = x.new_full((k,), 1 / k)
    if how == "same":
        cloud = gaussian.fit(x, weights=w).covariance
        return Start(equal, centres, from_matrices(cloud.repeat(k, 1, 1), covariance), covariance)
    spread = float(frame_of(x, w).scale.square().mean())
    balls = spread / k ** (2 / d) * torch.eye(d, dtype=x.dtype, device=x.device)  # k of them have the cloud's volume
    alike = Start(equal, centres, from_matrices(balls.repeat(k, 1, 1), covariance), covariance)
    if how != "kmeans":
        return alike
    # Among equal balls the likeliest is the nearest: one hard M-step finds the clusters' own shares and covariances. The
    # regulariser keeps those of single points round.
    last = gmm.fit(x, alike, covariance=covariance, max_steps=1, weights=w, assignment="hard", reg=1e-3 * spread)
    shares = last.weights.clamp_min(1e-6)
    return Start(shares / shares.sum(), centres, last.covariances, covariance)


def own(points: Any, centres: Any, covariance: Covariance, shapes: Any = None) -> Start:
    """A start put by hand: means `(K, D)`, and, where they were shaped too, covariances `(K, D, D)`, of which each type takes
    what it can hold. Equal weights; without shapes, round components that together cover the cloud.
    """
    x = checked(points)
    put = torch.as_tensor(centres, dtype=torch.float64, device=x.device)
    if put.ndim != 2 or put.shape[1] != x.shape[1]:
        raise BadPoints(f"Means of shape {tuple(put.shape)} do not fit points of {x.shape[1]} coordinates.")
    if shapes is None:
        return around(x, put, covariance)
    full = torch.as_tensor(shapes, dtype=torch.float64, device=x.device)
    return Start(x.new_full((len(put),), 1 / len(put)), put, from_matrices(full, covariance), covariance)


def held(given: Start, *, equal: bool = False, deviation: float = 0.0) -> Start:
    """The same start with equal weights, or with one spherical deviation for all, in the points' unit: to be held fixed."""
    weights = torch.full_like(given.weights, 1 / len(given.weights)) if equal else given.weights
    if not deviation:
        return Start(weights, given.means, given.covariances, given.covariance)
    return Start(weights, given.means, given.means.new_tensor(deviation**2), "tied_spherical")


def plus_plus(points: Any, k: int, *, noise: Noise | int, weights: Any = None) -> Tensor:
    """k-means++: `(k, D)`. Where all points are already chosen, the rest are drawn as `random` does."""
    x = checked(points, at_least=k, reason=f"a start with {k} means")
    w = checked_weights(weights, x)
    u = Noise.of(noise).uniform(k, (), stream="plus", device=x.device)
    chosen = [_at(torch.ones_like(x[:, 0]) if w is None else w, u[0])]
    squared = _squared(x, x[chosen[0]])  # (N,), to the nearest of the chosen
    for i in range(1, k):
        mass = squared if w is None else squared * w
        index = _at(mass, u[i]) if bool(mass.sum() > 0) else int(_drawn(x, k, w, Noise.of(noise))[i])
        chosen.append(index)
        squared = torch.minimum(squared, _squared(x, x[index]))
    return x[chosen]


def _squared(x: Tensor, centre: Tensor) -> Tensor:
    return torch.cat([(piece - centre).square().sum(1) for piece, _ in chunks(x)])


def _at(mass: Tensor, u: Tensor) -> int:
    """The index that a uniform number picks, in proportion to `mass` `(N,)`."""
    cumulative = mass.cumsum(0)
    found = int(torch.searchsorted(cumulative, u * cumulative[-1], right=True))
    return min(found, int(mass.nonzero()[-1, 0]))


def _drawn(x: Tensor, k: int, w: Tensor | None, noise: Noise) -> Tensor:
    """`k` different points, int64 `(k,)`, one after the other in proportion to their weights (Efraimidis and Spirakis 2006):
    those of weight 0 last.
    """
    u = noise.uniform(len(x), stream="random", device=x.device)
    return torch.argsort(u if w is None else -torch.log1p(-u) / w, stable=True)[:k]


def _huddled(x: Tensor, k: int, w: Tensor | None, noise: Noise) -> Tensor:
    """`k` of the 3k points nearest to the one farthest from the mean. Points of weight 0 count only if k need them."""
    present = x if w is None or int((w > 0).sum()) < k else x[w > 0]
    outermost = present[_squared(present, frame_of(x, w).centre).argmax()]
    near = _squared(present, outermost).topk(min(3 * k, len(present)), largest=False).indices
    return present[near[noise.permutation(len(near), stream="bad").to(x.device)[:k]]]


def from_matrices(full: Tensor, covariance: Covariance) -> Tensor:
    """Covariances `(K, D, D)` brought to a type: what a person has shaped by hand becomes the nearest of its kind."""
    if covariance == "full":
        return full
    if covariance == "tied":
        return full.mean(0)
    diagonal = full.diagonal(dim1=1, dim2=2)  # (K, D)
    if covariance == "diagonal":
        return diagonal.clone()
    return diagonal.mean(1) if covariance == "spherical" else diagonal.mean()
