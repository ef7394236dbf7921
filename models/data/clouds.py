"""Clouds to fit: each shows one method at its best, or one at its worst.

Points of one preset are drawn independently from a fixed distribution, mostly within [−5, 5] on each axis. A point's cluster
comes from its own number, not from its place in line, so a larger cloud begins with the smaller one. Labels say which cluster a
point was drawn from; where there is one cluster, they are all 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.noise import Noise
from models.points import BadPoints

MOST = 100_000  # points: far more than one can see, and a second of work for the slowest model


@dataclass(frozen=True)
class Cloud:
    """Points with the clusters that they were drawn from."""

    points: Tensor  # float64 (n, D)
    labels: Tensor  # int64 (n,), 0 to clusters − 1
    name: str


@dataclass(frozen=True)
class Preset:
    """A distribution of points. `draw` takes how many and the noise, and gives points `(n, D)` and labels `(n,)`."""

    dimensions: int
    clusters: int
    draw: Callable[[int, Noise], tuple[Tensor, Tensor]]
    fewest: int = 10
    most: int = MOST


def make(name: str, n: int, *, noise: Noise | int) -> Cloud:
    """`n` points of the preset `name`. Raises `BadPoints` for an unknown name, or an n outside the preset's limits."""
    if name not in PRESETS:
        raise BadPoints(f"Cloud {name!r} is not one of {', '.join(NAMES)}.")
    preset = PRESETS[name]
    if not preset.fewest <= n <= preset.most:
        raise BadPoints(f"{n:,} points of {name!r} cannot be drawn: from {preset.fewest} to {preset.most:,} can.")
    points, labels = preset.draw(n, Noise.of(noise))
    return Cloud(points, labels, name)


# What the distributions are made of.


def _normal(n: int, noise: Noise, d: int = 2) -> Tensor:
    return noise.normal(n, (d,), stream="cloud/normal")  # (n, d)


def _uniform(n: int, noise: Noise) -> Tensor:
    return noise.uniform(n, stream="cloud/uniform")  # (n,), in (0, 1)


def _cluster(n: int, noise: Noise, *shares: float) -> Tensor:
    """The cluster of each point, with these probabilities: int64 `(n,)`."""
    edges = torch.tensor(shares, dtype=torch.float64).cumsum(0)[:-1]
    return torch.searchsorted(edges, noise.uniform(n, stream="cloud/cluster"), right=True)


def _table(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _turned(points: Tensor, angle: Tensor | float) -> Tensor:
    """Points `(n, 2)` turned about the origin, to the left, by one angle or by one for each (radians)."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    x, y = points.unbind(1)
    return torch.stack([x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()], 1)


def _one(points: Tensor) -> tuple[Tensor, Tensor]:
    return points, torch.zeros(len(points), dtype=torch.int64)


# Clouds on the plane.


def _blob(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    return _one(_table((0.6, -0.4)) + 1.1 * _normal(n, noise))


def _tilted(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    return _one(_table((0.3, 0.2)) + _turned(_normal(n, noise) * _table((1.6, 0.45)), math.radians(35)))


def _three(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    label = _cluster(n, noise, 1 / 3, 1 / 3, 1 / 3)
    centres = _table((-2.6, -1.4), (2.5, -1.8), (0.2, 2.7))
    return centres[label] + 0.55 * _normal(n, noise), label


def _stretched(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """Long, thin and side by side: the squared distance cuts across them, a covariance runs along them."""
    label = _cluster(n, noise, 1 / 3, 1 / 3, 1 / 3)
    centres = _table((-1.55, 0.8), (0.0, 0.0), (1.55, -0.8))
    angle = _table((0.68, 0.56, 0.44))[0][label]  # radians: nearly parallel
    return centres[label] + _turned(_normal(n, noise) * _table((1.2, 0.2)), angle), label


def _unequal(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """A wide cluster and two tight ones: K-means draws its borders half-way between the means, deep inside the wide one."""
    label = _cluster(n, noise, 0.7, 0.15, 0.15)
    centres, spread = _table((0.0, -0.8), (-2.6, 2.1), (2.6, 2.1)), _table((1.3, 0.22, 0.22))[0]
    return centres[label] + spread[label][:, None] * _normal(n, noise), label


def _moons(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    label = _cluster(n, noise, 0.5, 0.5)
    angle = math.pi * _uniform(n, noise)
    arc = 2.4 * torch.stack([angle.cos(), angle.sin()], 1) + _table((-1.2, -0.6))
    return torch.where(label[:, None] == 0, arc, -arc) + 0.22 * _normal(n, noise), label


def _circles(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    label = _cluster(n, noise, 0.4, 0.6)
    angle = 2 * math.pi * _uniform(n, noise)
    radius = _table((1.5, 3.7))[0][label]
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1) + 0.2 * _normal(n, noise), label


def _spiral(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    label = _cluster(n, noise, 0.5, 0.5)
    turn = (0.015 + 0.985 * _uniform(n, noise)).sqrt()  # a root: as dense outside as inside
    arm = torch.stack([4.4 * turn, torch.zeros_like(turn)], 1)
    return _turned(arm, 3 * math.pi * turn + math.pi * label) + 0.13 * _normal(n, noise), label


def _pinwheel(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """Five arms that bend as they leave the centre; after Johnson et al. (2016), "Composing graphical models"."""
    label = _cluster(n, noise, *[0.2] * 5)
    arm = _table((2.3, 0.0)) + _normal(n, noise) * _table((0.75, 0.2))
    return _turned(arm, 0.33 * arm[:, 0] + 2 * math.pi / 5 * label), label


def _heavy(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """Student's t with 2 degrees of freedom (−2 log u is χ² with 2). It has no variance, though of any sample one is found."""
    return _one(_table((0.3, 0.3)) + 0.5 * _normal(n, noise) / (-_uniform(n, noise).log()).sqrt()[:, None])


# Clouds in space.


def _sheet(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    axes = _table((2, 1, 2), (-2, 2, 1), (-1, -2, 2)) / 3  # orthonormal rows: long, middle, thin
    return _one((_normal(n, noise, 3) * _table((1.7, 0.9, 0.12))) @ axes)


def _helix(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    u = _uniform(n, noise)
    angle = 5 * math.pi * u
    curve = torch.stack([2.8 * angle.cos(), 2.8 * angle.sin(), 8 * u - 4], 1)
    return _one(curve + 0.15 * _normal(n, noise, 3))


# Clouds on the line.


def _bell(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    return _one(0.5 + 1.2 * _normal(n, noise, 1))


def _two(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    label = _cluster(n, noise, 0.35, 0.65)
    centres, spread = _table((-2.4, 1.2))[0], _table((0.4, 1.0))[0]
    return (centres[label] + spread[label] * _normal(n, noise, 1)[:, 0])[:, None], label


def _skewed(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """Log-normal: no value below −3.5, and a tail to the right."""
    return _one(-3.5 + 1.3 * (0.6 * _normal(n, noise, 1)).exp())


def _ten(n: int, noise: Noise) -> tuple[Tensor, Tensor]:
    return _one(-0.5 + 1.5 * _normal(n, noise, 1))


PRESETS: dict[str, Preset] = {
    "blob": Preset(2, 1, _blob),
    "tilted": Preset(2, 1, _tilted),
    "three": Preset(2, 3, _three),
    "stretched": Preset(2, 3, _stretched),  # K-means fails, full covariances succeed
    "unequal": Preset(2, 3, _unequal),  # K-means fails
    "moons": Preset(2, 2, _moons),
    "circles": Preset(2, 2, _circles),
    "spiral": Preset(2, 2, _spiral),
    "pinwheel": Preset(2, 5, _pinwheel),
    "heavy": Preset(2, 1, _heavy),  # one Gaussian is far too wide
    "sheet": Preset(3, 1, _sheet),  # two principal axes suffice
    "helix": Preset(3, 1, _helix),  # and here they do not
    "bell": Preset(1, 1, _bell),
    "two": Preset(1, 2, _two),
    "skewed": Preset(1, 1, _skewed),
    "ten": Preset(1, 1, _ten, fewest=2, most=10),  # few enough to see what each does to the likelihood
}
NAMES = tuple(PRESETS)
