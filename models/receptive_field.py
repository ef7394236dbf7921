"""Which pixels can a pixel see?

The distribution at a place depends on what its features depend on: through each convolution on the taps of the one before, and
so on down to the image. Followed backwards as maps of true and false, from the convolutions' own kernels, dilations and
paddings, without any weight:

    seen(target) = taps of the first convolution of ... of the taps of the last of {target}

Outside the image there are constants, so a path that leaves it ends there. What is found is structure: what *can* matter. How
much it does is another question: Luo, Li, Urtasun, Zemel (2016), "Understanding the effective receptive field in deep
convolutional neural networks".

The two networks of `models.pixelcnn` see differently:

- gated, with n = REACH + Σ dilations of its layers: all of n rows above and n columns to either side, and n pixels to the left,
  cut at the borders. No blind spot, at any depth and any place. That is due to the dilations 1, 2, 1, 4 and not to gates: none
  is larger than the number of rows that the first convolution and the smaller ones cover together. Layers of dilation 4 alone
  would leave gaps between the rows.
- plain, with n = REACH + its blocks: the same but for the right. A block steps one column to the right only where it steps one
  row up, so that what lies r rows above is seen up to r + 2 columns to the right; further on is the blind spot, at any depth.
  Source: van den Oord et al. (2016b), "Conditional image generation with PixelCNN decoders", section 2.2 and figure 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.pixelcnn import GatedLayer, GatedStacks, PixelCNN, PlainBlock, PlainStack


def seen(model: PixelCNN, row: int, column: int) -> Tensor:
    """The pixels, with all their colours, on which the distribution at (`row`, `column`) can depend: bool `(H, W)`.

    Not on the map: that pixel's own colours that are written before (green sees red, blue both), by the head. And it is the
    distribution for a known class: marginalised over classes, p(y | x_<t) sees all that came before. ValueError outside.
    """
    _, h, w = model.spec.shape
    if not (0 <= row < h and 0 <= column < w):
        raise ValueError(f"Pixel ({row}, {column}) is not within (0, 0) and ({h - 1}, {w - 1}).")
    target = torch.zeros(1, h, w, dtype=torch.bool)
    target[0, row, column] = True
    return _followed(model, target)[0]


def all_seen(model: PixelCNN) -> Tensor:
    """`seen` for every place at once, in scan order: bool `(H·W, H, W)`."""
    _, h, w = model.spec.shape
    return _followed(model, torch.eye(h * w, dtype=torch.bool).view(h * w, h, w))


def blind_spot(model: PixelCNN, row: int, column: int) -> Tensor:
    """The pixels that (`row`, `column`) misses though it looks past them: bool `(H, W)`.

    They come before it in scan order, lie no higher than the highest row it sees and between the leftmost and the rightmost
    column it sees, and are not seen. Empty where nothing is seen. ValueError outside.
    """
    view = seen(model, row, column)
    _, h, w = model.spec.shape
    before = (torch.arange(h * w) < row * w + column).view(h, w)
    # From the highest row on down; between the outermost columns: a seen one to the left, and one to the right, or here.
    rows = view.any(1).cumsum(0) > 0  # (H,)
    columns = view.any(0)  # (W,)
    between = (columns.cumsum(0) > 0) & (columns.flip(0).cumsum(0).flip(0) > 0)
    return before & rows[:, None] & between & ~view


def _followed(model: PixelCNN, target: Tensor) -> Tensor:
    """From the places whose features are asked for, `(N, H, W)`, back to the pixels of the image."""
    stacks = model.stacks
    if isinstance(stacks, GatedStacks):
        return _through_gated(stacks, target)
    assert isinstance(stacks, PlainStack)
    return _through_plain(stacks, target)


def _through_gated(stacks: GatedStacks, horizontal: Tensor) -> Tensor:
    """Backwards through `GatedStacks`: the places of either stack that are needed before each layer, last layer first."""
    vertical = torch.zeros_like(horizontal)  # what the vertical stack leaves after the last layer goes nowhere
    for layer in reversed(stacks.layers):
        assert isinstance(layer, GatedLayer)
        vertical = vertical | _taps(layer.above, vertical | horizontal)  # for itself, and for the link
        horizontal = horizontal | _taps(layer.left, horizontal)
    return _taps(stacks.above, vertical | horizontal) | _taps(stacks.left, horizontal)


def _through_plain(stacks: PlainStack, needed: Tensor) -> Tensor:
    """Backwards through `PlainStack`."""
    for layer in reversed(stacks.layers):
        assert isinstance(layer, PlainBlock)
        needed = needed | _taps(layer.above, needed) | _taps(layer.left, needed)
    return _taps(stacks.above, needed) | _taps(stacks.left, needed)


def _taps(convolution: nn.Conv2d, wanted: Tensor) -> Tensor:
    """The places of its input that a convolution reads for the places `wanted` of its output: bool `(N, H, W)` both."""
    assert isinstance(convolution.padding, tuple)
    h, w = wanted.shape[1:]
    read = torch.zeros_like(wanted)
    for i in range(convolution.kernel_size[0]):
        down = i * convolution.dilation[0] - convolution.padding[0]  # from the output's row to the tap's
        to_rows, from_rows = _shift(h, down)
        for j in range(convolution.kernel_size[1]):
            to_columns, from_columns = _shift(w, j * convolution.dilation[1] - convolution.padding[1])
            read[:, to_rows, to_columns] |= wanted[:, from_rows, from_columns]
    return read


def _shift(size: int, by: int) -> tuple[slice, slice]:
    """Where a line of `size` places lands when shifted, and the part of it that does; what leaves is cut."""
    kept = max(0, size - abs(by))
    return slice(max(0, by), max(0, by) + kept), slice(max(0, -by), max(0, -by) + kept)
