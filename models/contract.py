"""What a generative model must offer, and what its numbers are.

Every image model here gives probability *mass* over the same finite space: `x` is an integer image, uint8 `(B, C, H, W)`
with values 0 to levels - 1. That is what makes the numbers of different families comparable. A number never travels alone:
`LogProb` says whether it is exact, a bound or an estimate, and how it was had.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from safetensors.torch import save_file
from torch import Tensor, nn

from models.noise import Noise

__all__ = [
    "Batch",
    "BeginsFromData",
    "Density",
    "Family",
    "GenerativeModel",
    "HasLatents",
    "LogProb",
    "Loss",
    "Noise",
    "PictureModel",
    "Posterior",
    "Spec",
    "checked_labels",
]


class Density(StrEnum):
    """What a model can say of p(x), and what a number is."""

    EXACT = "exact"
    LOWER_BOUND = "lower bound"
    ESTIMATE = "estimate"
    NONE = "none"


class Family(StrEnum):
    """The leaves of the family tree of generative models (Goodfellow 2016, "NIPS tutorial", figure 9)."""

    TRACTABLE = "explicit density, tractable"
    VARIATIONAL = "explicit density, approximate: variational"
    MARKOV_CHAIN = "explicit density, approximate: Markov chain"
    DIRECT = "implicit density, direct"
    ITERATIVE = "implicit density, iterative"
    NONE = "no distribution"


@dataclass(frozen=True)
class Spec:
    """A model in words and numbers. It stands in config.json, so that it can be read without loading weights."""

    kind: str  # the zoo's registry resolves it, never an import path from a file
    shape: tuple[int, int, int]  # (C, H, W)
    levels: int  # pixel values are 0..levels-1
    density: Density
    family: Family
    classes: int = 0  # 0: unconditional
    latent: int = 0  # 0: no latent vector

    @property
    def dims(self) -> int:
        """Numbers in one image: C·H·W."""
        c, h, w = self.shape
        return c * h * w

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Spec:
        c, h, w = fields["shape"]
        typed = {"shape": (c, h, w), "density": Density(fields["density"]), "family": Family(fields["family"])}
        return cls(**{**fields, **typed})


@dataclass(frozen=True)
class LogProb:
    """Natural logarithms of probabilities, one an image, and what they are."""

    nats: Tensor  # (B,)
    kind: Density  # a bound is never shown as a value
    method: str
    samples: int = 1
    measure: str = "mass"  # "mass" (integer images) or "density" (points; unit-dependent)
    standard_error: Tensor | None = None  # (B,) of the estimate, in nats


@dataclass(frozen=True)
class Batch:
    """Images with their labels and their places in the data set (the address of their noise)."""

    x: Tensor  # uint8 (B, C, H, W)
    labels: Tensor  # int64 (B,)
    index: Tensor  # int64 (B,)
    total: int = 0  # images in the whole data set; 0: not said


@dataclass(frozen=True)
class Loss:
    """`total` is what the optimiser lowers; `parts` are what it is made of, unweighted, per image `(B,)`."""

    total: Tensor  # ()
    parts: Mapping[str, Tensor]
    nats: Tensor | None = (
        None  # (): −log p(x), or what bounds it from above, in nats an image; None: the loss says nothing of it
    )


@dataclass(frozen=True)
class Posterior:
    """A diagonal Gaussian q(z|x)."""

    mean: Tensor  # (B, L)
    std: Tensor  # (B, L)


class PictureModel(nn.Module, PyTorchModelHubMixin):
    """A network over integer images that can be saved and loaded. Device and dtype are those of the parameters.

    `evaluation_dtype`: the precision in which the zoo loads it. float64 makes a picture independent of the batch it was
    computed in (rounding errors of 1e-13 do not move a grey level); models too heavy for that say float32.
    """

    spec: Spec
    evaluation_dtype: ClassVar[torch.dtype] = torch.float64

    def check(self, x: Tensor) -> Tensor:
        """`x` itself, or a ValueError that says what is wrong with it."""
        if x.dtype != torch.uint8 or x.dim() != 4 or tuple(x.shape[1:]) != self.spec.shape:
            raise ValueError(f"Images are uint8 (B, {', '.join(map(str, self.spec.shape))}), not {x.dtype} {tuple(x.shape)}.")
        if x.numel() and int(x.max()) >= self.spec.levels:
            raise ValueError(f"Pixel value {int(x.max())} is not within 0 and {self.spec.levels - 1}.")
        return x

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls, *, model_id: str, map_location: str = "cpu", strict: bool = True, **kwargs: Any
    ) -> Self:
        """Safetensors only, every tensor accounted for; the mixin's own fallback to pickle is left out on purpose."""
        hub = {key: kwargs.pop(key) for key in ("revision", "cache_dir", "force_download", "local_files_only", "token")}
        if Path(model_id).is_dir():
            file = str(Path(model_id) / "model.safetensors")
        else:
            file = hf_hub_download(model_id, "model.safetensors", **hub)
        return cls._load_as_safetensor(cls(**kwargs), file, map_location, strict)

    def save_pretrained(  # type: ignore[override]
        self,
        save_directory: str | Path,
        *,
        storage: torch.dtype = torch.float32,
        config: object = None,
        model_card_kwargs: object = None,
    ) -> None:
        """Weights as safetensors in `storage` precision; the constructor's settings and the spec as config.json.

        The mixin's `push_to_hub` passes a `config` and `model_card_kwargs` of its own: ours stand instead.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().cpu().to(storage).contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        made_with: Any = self._hub_mixin_config or {}
        settings = {**made_with, "spec": self.spec.to_json()}
        (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


class GenerativeModel(PictureModel):
    """A distribution over integer images."""

    @abstractmethod
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x): uint8 `(n, C, H, W)`."""

    @abstractmethod
    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """log p(x) in nats of uint8 images `(B, C, H, W)`; without labels, a conditional model marginalises over them."""


def checked_labels(labels: Tensor | None, n: int, spec: Spec) -> Tensor | None:
    """The labels themselves, or a ValueError that says what is wrong with them."""
    if labels is None:
        return None
    if not spec.classes:
        raise ValueError("This model has no classes: labels must be None.")
    if labels.shape != (n,) or labels.dtype != torch.int64:
        raise ValueError(f"Labels are int64 ({n},), not {labels.dtype} {tuple(labels.shape)}.")
    if n and not 0 <= int(labels.min()) <= int(labels.max()) < spec.classes:
        raise ValueError(f"Labels {int(labels.min())} to {int(labels.max())} are not within 0 and {spec.classes - 1}.")
    return labels


@runtime_checkable
class BeginsFromData(Protocol):
    """A model that does not start at random: training hands it the training images first. A closed form is then done."""

    def begin(self, pixels: Tensor, labels: Tensor, *, noise: Noise | int) -> None: ...


@runtime_checkable
class HasLatents(Protocol):
    """A model with a latent vector: pages that show a latent map ask for this."""

    def encode(self, x: Tensor) -> Posterior: ...

    def decode(self, z: Tensor) -> Tensor:
        """Mean images: uint8 `(B, C, H, W)` of latents `(B, L)`."""
        ...
