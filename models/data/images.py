"""MNIST and its kin, as integers.

A data set is two tensors: pixels uint8 `(N, 1, 28, 28)` and labels int64 `(N,)`. Nothing is scaled or cropped on the way:
the models give mass to exactly these integers. Validation is the last 5,000 of the training images; the test images are
touched by final scores alone. scikit-learn's `digits` and our own `sprites` need no file and are always there.

`mnist-binary` is MNIST with two levels, binarised dynamically: a pixel is 1 with the probability of its grey value, drawn anew
each time that a training image is used, once and for all for the others (Salakhutdinov and Murray 2008). Numbers on it are not
comparable with those on 256 levels, nor with those on the fixed ("static") binarisation of Larochelle and Murray (2011).

    python -m models.data.images mnist fashion        # fetch them into PLAYGROUND_DATA (default: data/)
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from models.data import sprites
from models.data.prepare import BOX, bounding_box, centre_by_mass, scale_longer_side, to_bytes
from models.noise import Noise

VALIDATION = 5_000  # the last of the training images
SPLITS = ("train", "validation", "test")
_TORCHVISION = {"mnist": "MNIST", "fashion": "FashionMNIST"}
NAMES = (*_TORCHVISION, "mnist-binary", "digits", "sprites", "sprites-256")
TITLES = {
    "mnist": "MNIST",
    "fashion": "Fashion-MNIST",
    "mnist-binary": "binarised MNIST",
    "digits": "digits (scikit-learn)",
    "sprites": "sprites",
    "sprites-256": "sprites of 256 levels",
}
SPRITES = {"train": 60_000, "validation": 5_000, "test": 10_000}
SPRITE_LEVELS = 16
_DIGITS = tuple("0123456789")
CLASSES = {
    "mnist": _DIGITS,
    "fashion": (
        "T-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    "mnist-binary": _DIGITS,
    "digits": _DIGITS,
    "sprites": sprites.SHAPES,
    "sprites-256": sprites.SHAPES,
}


class DataMissing(FileNotFoundError):
    """A data set is not where it was looked for. The message says what to do."""


@dataclass(frozen=True)
class Images:
    """Integer images of one split."""

    name: str
    split: str
    pixels: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)
    classes: tuple[str, ...]
    dynamic: bool = False  # pixels are grey values, and 0s and 1s are to be drawn from them at each use

    def __len__(self) -> int:
        return len(self.pixels)

    def used(self, pixels: Tensor, index: Tensor, noise: Noise) -> Tensor:
        """What a step of training sees of these `pixels`, which are those of the images number `index`."""
        return binarise(pixels, index, noise) if self.dynamic else pixels


def folder(root: str | Path | None = None) -> Path:
    """Where data sets lie: `root`, else PLAYGROUND_DATA, else data/ beside this package."""
    return Path(root or os.environ.get("PLAYGROUND_DATA") or Path(__file__).parents[2] / "data")


def load(name: str, split: str, root: str | Path | None = None, *, download: bool = False) -> Images:
    """The images of `split` ("train", "validation" or "test"). Raises DataMissing, or ValueError for an unknown name."""
    if name not in NAMES:
        raise ValueError(f"Data set {name!r} is not one of {', '.join(NAMES)}.")
    if split not in SPLITS:
        raise ValueError(f"Split {split!r} is not one of {', '.join(SPLITS)}.")
    if name == "digits":
        return _digits(split)
    if name in ("sprites", "sprites-256"):
        return _sprites(name, split)
    if name == "mnist-binary":
        grey = load("mnist", split, root, download=download)
        if split == "train":
            return replace(grey, name=name, dynamic=True)
        return replace(grey, name=name, pixels=binarise(grey.pixels, torch.arange(len(grey)), Noise(SPLITS.index(split))))
    pixels, labels = _read(name, split != "test", folder(root), download)
    if split == "train":
        pixels, labels = pixels[:-VALIDATION], labels[:-VALIDATION]
    elif split == "validation":
        pixels, labels = pixels[-VALIDATION:], labels[-VALIDATION:]
    return Images(name, split, pixels.clone(), labels.clone(), CLASSES[name])


def binarise(grey: Tensor, index: Tensor, noise: Noise | int) -> Tensor:
    """uint8 0 and 1: each pixel of `grey` uint8 `(N, C, H, W)` is 1 with probability grey/255, by the noise of its example."""
    u = Noise.of(noise).uniform(index, grey.shape[1:], stream="binarise", device=grey.device)
    return (u < grey.double() / 255).to(torch.uint8)


def mutate(pixels: Tensor, levels: int, rate: float, index: Tensor, noise: Noise | int) -> Tensor:
    """`pixels` uint8 `(N, C, H, W)`, each value replaced, with probability `rate`, by one of the `levels` at random (the same
    included), by its example's noise: Ren et al. (2019), "Likelihood ratios for out-of-distribution detection", section 3.
    """
    noise = Noise.of(noise)
    shape, device = pixels.shape[1:], pixels.device
    hit = noise.uniform(index, shape, stream="mutation", device=device) < rate
    level = noise.uniform(index, shape, stream="mutated level", device=device) * levels
    return torch.where(hit, level.to(torch.uint8), pixels)


def to_levels(pixels: Tensor, levels: int) -> Tensor:
    """256 grey values to `levels` of equal width: uint8 0 to levels − 1."""
    return (pixels.to(torch.int64) * levels // 256).to(torch.uint8)


def _sprites(name: str, split: str) -> Images:
    """Coloured sprites, in 16 levels or in all 256, by their own seeds; the class is the shape."""
    factors = sprites.draw(SPRITES[split], noise=SPLITS.index(split))
    pixels = sprites.render(factors)
    return Images(
        name, split, pixels if name == "sprites-256" else to_levels(pixels, SPRITE_LEVELS), factors.shape, CLASSES[name]
    )


def _read(name: str, train: bool, root: Path, download: bool) -> tuple[Tensor, Tensor]:
    from torchvision import datasets  # takes over a second to import: only where it is used

    kind = getattr(datasets, _TORCHVISION[name])
    try:
        data = kind(root, train=train, download=download)
    except (RuntimeError, OSError, HTTPException) as error:  # the last two: a dropped connection, a read-only folder
        if download:
            raise DataMissing(
                f"{TITLES[name]} could not be fetched into {root} ({error}). "
                f"Put its files into {root / _TORCHVISION[name] / 'raw'}, or set PLAYGROUND_DATA to the folder that has them."
            ) from error
        raise DataMissing(
            f"{TITLES[name]} is not in {root}. Fetch it with `python -m models.data.images {name}`, "
            "or set PLAYGROUND_DATA to the folder that has it."
        ) from error
    return data.data[:, None], data.targets.long()


def _digits(split: str) -> Images:
    """scikit-learn's 8 × 8 digits (1,797, 17 levels), brought into MNIST's form. The last 297 are the test images."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    place = {"train": slice(0, 1_200), "validation": slice(1_200, 1_500), "test": slice(1_500, None)}[split]
    small = torch.from_numpy(bunch.images[place]) / 16
    pixels = torch.stack([to_bytes(_enlarged(image)) for image in small])
    return Images("digits", split, pixels[:, None], torch.from_numpy(bunch.target[place]).long(), CLASSES["digits"])


def _enlarged(small: Tensor) -> Tensor:
    """8 × 8 ink as MNIST would have it. Enlarging makes strokes soft and wide: the contrast is raised until there is about as
    much ink as in MNIST (a mean grey of 33 to 34 there).
    """
    ink = ((scale_longer_side(bounding_box(small), 22) - 0.4) / 0.4).clamp(0, 1)
    return centre_by_mass(scale_longer_side(bounding_box(ink), BOX))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch data sets, with progress.")
    parser.add_argument("names", nargs="+", choices=tuple(_TORCHVISION))
    parser.add_argument("--data", default=None, help="the folder (default: PLAYGROUND_DATA, else data/)")
    options = parser.parse_args()
    for name in options.names:
        try:
            print(
                f"{TITLES[name]}: {len(load(name, 'test', options.data, download=True))} test images in {folder(options.data)}"
            )
        except DataMissing as missing:
            raise SystemExit(str(missing)) from missing


if __name__ == "__main__":
    main()
