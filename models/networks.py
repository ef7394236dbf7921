"""The encoders and decoders that autoencoders and VAEs share: two small networks, convolutional or not.

The encoder takes pictures scaled to −1 … 1, the decoder vectors; a conditional model's class comes in as extra constant planes
beside the picture, and as extra coordinates beside the vector, one a class (one of them 1, the others 0).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def encoder_decoder(
    network: str,
    shape: tuple[int, int, int],
    *,
    latent: int,
    outputs: int,
    hidden: int,
    channels: int,
    halvings: int = 2,
    classes: int = 0,
) -> tuple[nn.Module, nn.Module]:
    """`network` is "conv" or "mlp". The encoder gives `(B, outputs)`, the decoder as many numbers as `shape` has.

    Raises ValueError for an unknown network, and for sides that cannot be halved so often.
    """
    if network == "conv":
        return _convolutional(shape, latent, outputs, hidden, channels, halvings, classes)
    if network == "mlp":
        return _perceptrons(shape, latent, outputs, hidden, classes)
    raise ValueError(f"network {network!r} is neither 'conv' nor 'mlp'.")


def with_class(x: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """A vector `(B, D)` with the class beside it, `(B, D + classes)`; a picture `(B, C, H, W)` with as many planes more."""
    if not classes:
        return x
    assert labels is not None
    told = nn.functional.one_hot(labels.to(x.device), classes).to(x.dtype)  # (B, K)
    if x.dim() == 4:
        told = told[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, told], dim=1)


class ToFewChannels(nn.Conv2d):
    """A 3×3 convolution with as few outputs as a picture has colours.

    In float64, PyTorch's convolution on the CPU copies nine shifted inputs and then multiplies: here 16 channels for one that
    is wanted. Its transpose with the flipped kernel is the same sum, multiplied first and shifted afterwards.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype != torch.float64 or input.device.type != "cpu":
            return super().forward(input)
        return nn.functional.conv_transpose2d(input, self.weight.flip(2, 3).transpose(0, 1), self.bias, padding=1)


def _convolutional(
    shape: tuple[int, int, int], latent: int, outputs: int, hidden: int, channels: int, halvings: int, classes: int
) -> tuple[nn.Module, nn.Module]:
    """Halvings of the picture to `(channels, H/2ⁿ, W/2ⁿ)`, and back. The largest pictures have half the channels."""
    c, h, w = shape
    if h % 2**halvings or w % 2**halvings:
        times = {2: "twice", 3: "three times"}.get(halvings, f"{halvings} times")
        raise ValueError(f"The convolutional network halves the picture {times}: {h}×{w} does not divide by {2**halvings}.")
    small, half = (channels, h // 2**halvings, w // 2**halvings), channels // 2
    widths = [half] + [channels] * (halvings - 1)  # of the encoder's layers
    down: list[nn.Module] = []
    for before, after in zip([c + classes, *widths], widths, strict=False):
        down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.SiLU()]
    encoder = nn.Sequential(
        *down,  # (B, channels, H/2ⁿ, W/2ⁿ)
        nn.Flatten(),
        nn.Linear(math.prod(small), hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )
    up: list[nn.Module] = []
    for before, after in zip([channels] * halvings, [channels] * (halvings - 1) + [half], strict=True):
        up += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.SiLU()]
    decoder = nn.Sequential(
        nn.Linear(latent + classes, hidden),
        nn.SiLU(),
        nn.Linear(hidden, math.prod(small)),
        nn.SiLU(),
        nn.Unflatten(1, small),
        *up,  # (B, half, H, W)
        ToFewChannels(half, c, 3, padding=1),
    )
    return encoder, decoder


def _perceptrons(
    shape: tuple[int, int, int], latent: int, outputs: int, hidden: int, classes: int
) -> tuple[nn.Module, nn.Module]:
    """Two hidden layers each way."""
    c, h, w = shape
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear((c + classes) * h * w, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )
    decoder = nn.Sequential(
        nn.Linear(latent + classes, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, math.prod(shape)),
    )
    return encoder, decoder
