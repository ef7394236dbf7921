"""Sprites: pictures made from known factors, so that what a model has learned can be measured against what there is.

One shape on a black ground, 32 × 32, drawn anti-aliased from seven numbers:

    shape   0 square, 1 ellipse, 2 heart
    size    0.5 to 1, of the largest
    angle   0 to 1 of the shape's own symmetry (90°, 180°, 360°), the end left out: no two angles look alike
    across  −1 to 1, from the left to the right
    down    −1 to 1, from the top to the bottom
    hue     0 to 1, red over green and blue to magenta: it ends before it would come back to red

After Matthey, Higgins, Hassabis, Lerchner (2017), "dSprites", whose factors these are but for the hue; the pictures are our
own, a function of the factors, in any number, and need no file. `render` draws, `draw` takes factors at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from models.noise import Noise

SIDE = 32
SHAPES = ("square", "ellipse", "heart")
SYMMETRY = (90.0, 180.0, 360.0)  # degrees after which a shape looks the same
LARGEST = 8.0  # pixels: the half side of the largest square
TRAVEL = 6.0  # pixels to either side of the middle
HUE_RANGE = 300.0  # degrees of the colour circle
SAMPLES = 2  # points a pixel and direction whose coverage is averaged
CHUNK = 512  # images drawn at once
HEART = 0.55  # half side of the heart's square, and the radius of its half discs
# The heart's centre of area lies so far above its square's. A half disc's own is 4r/3π beyond its straight side.
HEART_LIFT = (math.pi * HEART**2) * (HEART + 4 * HEART / (3 * math.pi)) / math.sqrt(2) / (4 * HEART**2 + math.pi * HEART**2)


@dataclass(frozen=True)
class Factors:
    """What each picture is drawn from: tensors `(N,)`, `shape` int64, all others float64."""

    shape: Tensor
    size: Tensor
    angle: Tensor
    across: Tensor
    down: Tensor
    hue: Tensor

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Tensor | slice) -> Factors:
        return Factors(*(getattr(self, field.name)[index] for field in fields(self)))


RANGES = {"size": (0.5, 1.0), "angle": (0.0, 1.0), "across": (-1.0, 1.0), "down": (-1.0, 1.0), "hue": (0.0, 1.0)}


def draw(n: int, *, noise: Noise | int) -> Factors:
    """Independent factors, uniform over their ranges, of pictures number 0 to n − 1."""
    u = Noise.of(noise).uniform(n, (1 + len(RANGES),), stream="factors")  # (n, 6)
    shape = (u[:, 0] * len(SHAPES)).long()
    rest = {name: low + (high - low) * u[:, i] for i, (name, (low, high)) in enumerate(RANGES.items(), start=1)}
    return Factors(shape=shape, **rest)


def render(factors: Factors, *, colour: bool = True) -> Tensor:
    """uint8 `(N, 3, 32, 32)`, or `(N, 1, 32, 32)` in grey, where the hue becomes a brightness (100 to 255).

    Raises ValueError for a factor outside its range.
    """
    _check(factors)
    parts = [torch.empty(0, 3 if colour else 1, SIDE, SIDE, dtype=torch.uint8)]
    for first in range(0, len(factors), CHUNK):
        some = factors[first : first + CHUNK]
        ink = rgb(some.hue) if colour else (100 + 155 * some.hue)[:, None] / 255  # (n, 3 or 1)
        pixels = coverage(some)[:, None] * ink[:, :, None, None]
        parts.append((255 * pixels).round().to(torch.uint8))
    return torch.cat(parts)


def coverage(factors: Factors) -> Tensor:
    """The share of each pixel that the shape covers, float64 `(N, 32, 32)`.

    Averaged over `SAMPLES`² points a pixel; at each, the signed distance to the edge becomes a ramp as wide as the points are
    apart, so that the share is smooth in all factors.
    """
    step = 1 / SAMPLES
    axis = (torch.arange(SIDE * SAMPLES, dtype=torch.float64) + 0.5) * step - SIDE / 2  # pixels from the middle
    x = axis[None, None, :] - TRAVEL * factors.across[:, None, None]  # (N, 1, S)
    y = axis[None, :, None] - TRAVEL * factors.down[:, None, None]  # (N, S, 1)
    turn = factors.angle * torch.tensor(SYMMETRY, dtype=torch.float64)[factors.shape] * math.pi / 180
    cos, sin = turn.cos()[:, None, None], turn.sin()[:, None, None]
    scale = (LARGEST * factors.size)[:, None, None]
    u, v = (cos * x + sin * y) / scale, (cos * y - sin * x) / scale  # (N, S, S) in units of the half side
    distance = torch.empty_like(u)
    for shape, outline in enumerate((_square, _ellipse, _heart)):
        which = factors.shape == shape
        if which.any():
            distance[which] = outline(u[which], v[which]) * scale[which]  # pixels, negative inside
    covered = (0.5 - distance / step).clamp(0, 1)
    return covered.unflatten(1, (SIDE, SAMPLES)).unflatten(3, (SIDE, SAMPLES)).mean((2, 4))


def rgb(hue: Tensor) -> Tensor:
    """Full colours `(N, 3)`, 0 to 1, of hues 0 to 1: HSV of full saturation and value over `HUE_RANGE` degrees."""
    sixth = hue[:, None] * HUE_RANGE / 60 + torch.tensor([0.0, 4.0, 2.0], dtype=hue.dtype)
    return ((sixth % 6 - 3).abs() - 1).clamp(0, 1)


def _square(u: Tensor, v: Tensor) -> Tensor:
    """Signed distance to the square of half side 0.85."""
    du, dv = u.abs() - 0.85, v.abs() - 0.85
    return torch.hypot(du.clamp_min(0), dv.clamp_min(0)) + torch.maximum(du, dv).clamp_max(0)


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Distance to the ellipse of half axes 1.1 and 0.6, to first order: exact at the edge, where alone it counts."""
    a, b = 1.1, 0.6
    k = torch.hypot(u / a, v / b)
    gradient = torch.hypot(u / a**2, v / b**2)
    return k * (k - 1) / gradient.clamp_min(1e-9)


def _heart(u: Tensor, v: Tensor) -> Tensor:
    """Signed distance to a heart: a square on its corner, with a half disc on each of its upper sides.

    It turns about its centre of area, as the others do: else its angle would move it, too.
    """
    half = HEART
    r = 1 / math.sqrt(2)
    across, up = u.abs(), HEART_LIFT - v  # up from the square's centre
    # In the square's own axes the right disc sits on the middle of one side.
    p, q = r * (across + up), r * (across - up)
    disc = torch.hypot(p - half, q) - half
    dp, dq = p.abs() - half, q.abs() - half
    box = torch.hypot(dp.clamp_min(0), dq.clamp_min(0)) + torch.maximum(dp, dq).clamp_max(0)
    return torch.minimum(disc, box)


def _check(factors: Factors) -> None:
    if len(factors) and not 0 <= int(factors.shape.min()) <= int(factors.shape.max()) < len(SHAPES):
        raise ValueError(f"Shapes are 0 to {len(SHAPES) - 1} ({', '.join(SHAPES)}).")
    for name, (low, high) in RANGES.items():
        values = getattr(factors, name)
        ends = name == "angle"  # there the upper end is left out
        wrong = values[~((values >= low) & (values < high if ends else values <= high))]
        if len(wrong):
            limits = f"at least {low:g} and below {high:g}" if ends else f"within {low:g} and {high:g}"
            raise ValueError(f"{name} {float(wrong[0]):g} is not {limits}.")
