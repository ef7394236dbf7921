"""Bringing a picture into a data set's form: what a model trained on that set would have been shown.

A model of MNIST knows white ink on black, 20 pixels tall, its centre of mass in the middle of 28 × 28; anything else is an
outlier before a word about its content is said. So pictures pass through the steps that made the data set:

- MNIST: ink on black, cut to its bounding box, scaled so that the longer side is 20, centred by mass in 28 × 28.
  Source: LeCun, Bottou, Bengio, Haffner (1998), "Gradient-based learning applied to document recognition", section III.A.
- Fashion-MNIST: ink on black, cut to its bounding box, the longer side to 28, centred by extent.
  Source: Xiao, Rasul, Vollgraf (2017), "Fashion-MNIST", section 2 (its sharpening is left out: ours come sharp).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 28  # pixels of the finished picture
BOX = 20  # pixels of the longer side of a digit
INK = 0.12  # of full white: below, a pixel is paper and not part of the bounding box


class NothingThere(ValueError):
    """The picture has no ink to prepare."""


@dataclass(frozen=True)
class Step:
    """One picture on the way: uint8 `(H, W)`, and the name of what was done."""

    name: str  # "grey", "ink", "cropped", "scaled", "centred"
    image: Tensor


def ink_on_black(grey: Tensor) -> Tensor:
    """White ink on a black ground, in 0 to 1, from grey values 0 to 255 `(H, W)`.

    Ink is what differs from the ground (`_ground`), in whichever direction differs more, by more than the ground differs from
    itself; the strongest difference becomes full white. So pencil on unevenly lit paper and a white digit on black look alike.
    """
    values = grey.double()
    ground, noise = _ground(values)
    difference = values - ground
    if -difference.min() > difference.max():
        difference = -difference
    difference = difference - 3 * noise
    strongest = float(difference.max())
    if strongest < 8:  # grey levels: less is a photograph's noise
        raise NothingThere(f"The picture is one even grey (contrast {strongest:.0f} of 255): there is nothing to see in it.")
    return difference.clamp_min(0) / strongest


def _ground(values: Tensor) -> tuple[Tensor, float]:
    """What lies behind the ink, `(H, W)`, and the median distance of the border from it, both in grey levels.

    A quadratic surface through the picture's border: light that falls off to one side, or to all. It is fitted by least squares
    three times, each time without what lies far from the fit before: ink may reach the border.
    """
    h, w = values.shape
    row, column = torch.meshgrid(
        torch.linspace(-1, 1, h, dtype=values.dtype), torch.linspace(-1, 1, w, dtype=values.dtype), indexing="ij"
    )
    surface = torch.stack([torch.ones_like(row), row, column, row * column, row**2, column**2], -1)  # (H, W, 6)
    edge = torch.ones(h, w, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    terms, border = surface[edge], values[edge]
    kept = (border - border.median()).abs() <= max(40.0, 3 * float((border - border.median()).abs().median()))
    weights = torch.zeros(terms.shape[1], dtype=values.dtype)
    weights[0] = border.median()
    for _ in range(3):
        if int(kept.sum()) < 4 * terms.shape[1]:
            break
        weights = torch.linalg.lstsq(terms[kept], border[kept, None]).solution[:, 0]
        distance = (border - terms @ weights).abs()
        kept = distance <= max(2.0, 3 * float(distance[kept].median()))
    noise = float((border - terms @ weights)[kept].abs().median()) if kept.any() else 0.0
    return surface @ weights, noise if noise > 0.5 else 0.0


def bounding_box(ink: Tensor) -> Tensor:
    """`ink` cut to the smallest rectangle that holds everything above `INK`."""
    rows, columns = (ink > INK).any(1).nonzero().flatten(), (ink > INK).any(0).nonzero().flatten()
    return ink[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]


def scale_longer_side(ink: Tensor, side: int) -> Tensor:
    """`ink` with its longer side `side`, its proportions kept, anti-aliased (bicubic), at least one pixel wide."""
    h, w = ink.shape
    factor = side / max(h, w)
    size = (max(1, round(h * factor)), max(1, round(w * factor)))
    return F.interpolate(ink[None, None], size=size, mode="bicubic", antialias=True)[0, 0].clamp(0, 1)


def paste(ink: Tensor, row: int, column: int) -> Tensor:
    """`ink` on a black `SIDE` × `SIDE` picture with its upper left corner there, pushed inside where it would stick out."""
    canvas = ink.new_zeros(SIDE, SIDE)
    h, w = ink.shape
    row, column = min(max(row, 0), SIDE - h), min(max(column, 0), SIDE - w)
    canvas[row : row + h, column : column + w] = ink
    return canvas


def centre_by_mass(ink: Tensor) -> Tensor:
    """`ink` on `SIDE` × `SIDE` so that its centre of mass lies in the middle, to the pixel."""
    h, w = ink.shape
    mass = ink.sum()
    row = float((ink.sum(1) * torch.arange(h, dtype=ink.dtype)).sum() / mass)
    column = float((ink.sum(0) * torch.arange(w, dtype=ink.dtype)).sum() / mass)
    middle = (SIDE - 1) / 2
    return paste(ink, round(middle - row), round(middle - column))


def centre_by_extent(ink: Tensor) -> Tensor:
    """`ink` on `SIDE` × `SIDE` with equal margins."""
    h, w = ink.shape
    return paste(ink, (SIDE - h) // 2, (SIDE - w) // 2)


def like_mnist(grey: Tensor) -> list[Step]:
    """The steps from grey values `(H, W)` to a digit as MNIST has it; the last is uint8 `(28, 28)`."""
    return _steps(grey, BOX, centre_by_mass)


def like_fashion(grey: Tensor) -> list[Step]:
    """The steps from grey values `(H, W)` to an article as Fashion-MNIST has it; the last is uint8 `(28, 28)`."""
    return _steps(grey, SIDE, centre_by_extent)


def _steps(grey: Tensor, side: int, centre: Callable[[Tensor], Tensor]) -> list[Step]:
    ink = ink_on_black(grey)
    cropped = bounding_box(ink)
    scaled = scale_longer_side(cropped, side)
    scaled = scaled / scaled.max()  # a thin stroke is averaged with its ground when it shrinks: white again
    stages = {"ink": ink, "cropped": cropped, "scaled": scaled, "centred": centre(scaled)}
    return [Step("grey", grey.to(torch.uint8)), *(Step(name, to_bytes(image)) for name, image in stages.items())]


def to_bytes(ink: Tensor) -> Tensor:
    """0 to 1 as uint8 0 to 255."""
    return (ink * 255).round().clamp(0, 255).to(torch.uint8)


PREPARATIONS: dict[str, Callable[[Tensor], list[Step]]] = {
    "mnist": like_mnist,
    "fashion": like_fashion,
    "digits": like_mnist,
}
