"""Which trained checkpoints there are, what is known of them, and loading one.

A checkpoint is a folder: model.safetensors (weights), config.json (settings and spec), scores.json (what was measured, and the
digest of the weights it was measured on), README.md (the card) and, where a model has them, latents.safetensors (its encoded
test images) and constant.safetensors (the best constant picture of its training data).

    from models import zoo
    model = zoo.load("vae-mnist-2d")
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.autoencoder import Autoencoder
from models.classifier import Classifier
from models.contract import PictureModel, Posterior, Spec
from models.measures.constant import ConstantPicture
from models.pixel_gaussian import PixelGaussian
from models.pixel_mixture import PixelMixture
from models.pixel_pca import PixelPCA
from models.pixelcnn import PixelCNN
from models.vae import VAE

KINDS: dict[str, type[PictureModel]] = {
    "vae": VAE,
    "autoencoder": Autoencoder,
    "pixelcnn": PixelCNN,
    "gaussian": PixelGaussian,
    "ppca": PixelPCA,
    "mixture": PixelMixture,
    "classifier": Classifier,
}  # spec.kind to class: never an import path from a file


MANY = 8  # more names than this are not listed in an error


class UnknownCheckpoint(KeyError):
    """No checkpoint has this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class BrokenCheckpoint(RuntimeError):
    """A checkpoint's files do not belong together, or one is missing."""


@dataclass(frozen=True)
class Card:
    """What is known of a checkpoint without loading its weights."""

    name: str
    spec: Spec
    settings: Mapping[str, Any]
    scores: Mapping[str, Any]

    @property
    def data(self) -> str:
        """The name of the data set it was trained on."""
        return str(self.scores["data"])


@dataclass(frozen=True)
class EncodedImages:
    """The posteriors of a data set's test images, with their classes."""

    posterior: Posterior  # mean and std, float32 (N, L)
    labels: Tensor  # uint8 (N,)


def root() -> Path:
    """Where checkpoints lie: PLAYGROUND_CHECKPOINTS, else checkpoints/ beside this package."""
    return Path(os.environ.get("PLAYGROUND_CHECKPOINTS") or Path(__file__).parents[1] / "checkpoints")


def names() -> list[str]:
    """All checkpoints, in alphabetical order."""
    return sorted(config.parent.name for config in root().glob("*/config.json"))


def card(name: str) -> Card:
    """The card of one checkpoint: reads JSON only. Raises UnknownCheckpoint or BrokenCheckpoint."""
    folder = _folder(name)
    config = json.loads((folder / "config.json").read_text())
    if not (folder / "scores.json").is_file():
        raise BrokenCheckpoint(f"{name} has no scores: scores.json is missing. Is the checkout complete?")
    scores = json.loads((folder / "scores.json").read_text())
    settings = {key: value for key, value in config.items() if key != "spec"}
    return Card(name, Spec.from_json(config["spec"]), settings, scores)


def cards() -> list[Card]:
    """The cards of all checkpoints: reads JSON only."""
    return [card(name) for name in names()]


def load(name: str, device: str | torch.device = "cpu") -> PictureModel:
    """The model, evaluating, in its kind's `evaluation_dtype`. Raises UnknownCheckpoint or BrokenCheckpoint."""
    verify(name)
    kind = KINDS[card(name).spec.kind]
    model = kind.from_pretrained(_folder(name))
    return model.to(device=device, dtype=kind.evaluation_dtype).eval()


def verify(name: str) -> None:
    """Raises BrokenCheckpoint unless the kind is known and the scores were measured on these very weights."""
    found = card(name)
    if found.spec.kind not in KINDS:
        raise BrokenCheckpoint(f"{name} is of kind {found.spec.kind!r}: this version knows {', '.join(KINDS)}.")
    weights = _folder(name) / "model.safetensors"
    if not weights.is_file():
        raise BrokenCheckpoint(f"{name} has no weights: {weights.name} is missing. Is the checkout complete?")
    if digest(weights) != found.scores["weights_sha256"]:
        raise BrokenCheckpoint(f"The scores of {name} belong to other weights: train it anew, or restore its folder.")


def encoded(name: str) -> EncodedImages | None:
    """The encoded test images that travel with a checkpoint, or None where it has none."""
    file = _folder(name) / "latents.safetensors"
    if not file.is_file():
        return None
    tensors = load_file(file)
    return EncodedImages(Posterior(tensors["mean"].float(), tensors["std"].float()), tensors["labels"])


def constant_picture(name: str) -> ConstantPicture | None:
    """The best constant picture of the training data, or None where the checkpoint has none."""
    file = _folder(name) / "constant.safetensors"
    if not file.is_file():
        return None
    tensors = load_file(file)
    return ConstantPicture(tensors["mean"].double(), tensors["scale"].double(), card(name).spec.levels)


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _folder(name: str) -> Path:
    if name not in names():
        raise UnknownCheckpoint(f"There is no checkpoint {name!r}: {_known(name)}.")
    return root() / name


def _known(name: str) -> str:
    """Which checkpoints there are; of many, those with the nearest names."""
    known = names()
    if len(known) <= MANY:
        return f"there are {', '.join(known) or 'none'}"
    near = get_close_matches(name, known, n=3, cutoff=0)
    return f"there are {len(known)}, of which {', '.join(near)} have the nearest names"
