"""What a PixelCNN need not compute again while it writes.

A pixel's features depend on the pixels before it through every layer; almost all of that was computed for earlier pixels. So
each layer keeps what later places will ask of it:

- gated: the vertical stack goes one row at a time, with all pixels of the row at once, and keeps as many rows as its dilation
  reaches up; the horizontal stack goes one pixel at a time, as products of small matrices, and keeps its row.
- plain: what comes from the rows above is computed for a whole row at once, the rest one pixel at a time.

Rows are kept relative to the one in hand, so images at different rows can share a batch: one that has just come in has zeros
above it, which is its padding. The products with what lies to the left are those of all layers at once, since they are known
before the pixel's turn. tanh(a) σ(b) is computed as ½ (t + t·tanh(b/2)) with t = tanh(a), the halves put into the weights.

The idea of the two speeds: Ramachandran et al. (2017), "Fast generation for convolutional autoregressive models", section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from models.pixelcnn import REACH, GatedStacks, PlainStack, gate


def matrix(convolution: nn.Conv2d) -> Tensor:
    """A convolution's weights as `(taps · inputs, outputs)`: taps row by row, then its channels."""
    return convolution.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()


def affine(x: Tensor, weights: Tensor, offset: Tensor) -> Tensor:
    """`x @ weights + offset` in one go."""
    return linear(x, weights.t(), offset)


def bias(convolution: nn.Conv2d) -> Tensor:
    """A convolution's bias, of one that has it."""
    assert convolution.bias is not None
    return convolution.bias


def row_taps(rows: Sequence[Tensor], width: int, columns: int, dilation: int = 1) -> Tensor:
    """Side by side, what a convolution sees of R `rows` `(B, W + padding, C)` at each place: `(B, W, R · columns · C)`."""
    return torch.cat([row[:, j * dilation : j * dilation + width] for row in rows for j in range(columns)], dim=2)


def push(kept: list[Tensor], row: Tensor, side: int) -> None:
    """The rows `(B, W + 2·side, C)` move up by one; `row` `(B, W, C)` becomes the last."""
    if row.is_cuda:  # a CUDA graph knows tensors by their places in memory
        for upper, lower in pairwise(kept):
            upper.copy_(lower)
    else:
        kept.append(kept.pop(0))
    kept[-1][:, side : side + row.shape[1]] = row


class GatedCache:
    """Of a network with gated stacks. `start_row` once a row, then `pixel` from left to right."""

    def __init__(self, stacks: GatedStacks, size: tuple[int, int]) -> None:
        self.stacks, self.width, self.layers = stacks, size[1], stacks.each
        self.channels = stacks.link.in_channels
        self.dilations = [int(layer.left.dilation[1]) for layer in self.layers]
        self.place = stacks.place().permute(1, 2, 0)  # (H, W, C)
        self.above = matrix(stacks.above), bias(stacks.above)
        self.link = matrix(stacks.link), bias(stacks.link) + bias(stacks.left)
        self.left = matrix(stacks.left)
        # The gates' half of the horizontal stack is halved: see the top of this file.
        like = stacks.link.weight
        halved = torch.ones(2 * self.channels, dtype=like.dtype, device=like.device)
        halved[self.channels :] = 0.5
        self.layer_above = [(matrix(layer.above), bias(layer.above)) for layer in self.layers]
        self.layer_link = [
            (matrix(layer.link) * halved, (bias(layer.link) + bias(layer.left)) * halved) for layer in self.layers
        ]
        far, near = zip(*((matrix(layer.left) * halved).chunk(2) for layer in self.layers), strict=True)
        self.far, self.near = torch.stack(far), [one.contiguous() for one in near]  # (L, C, 2C)
        self.label = [layer.label.weight * halved if layer.label is not None else None for layer in self.layers]
        self.out = [matrix(layer.out) * 0.5 for layer in self.layers]
        self.kept = self._empty(0)

    def admit(self, n: int) -> None:
        """`n` more images, at their first rows."""
        self.kept = [
            [torch.cat(both) for both in zip(old, new, strict=True)] for old, new in zip(self.kept, self._empty(n), strict=True)
        ]

    def keep(self, which: Tensor) -> None:
        """Only these images go on: bool `(B,)`."""
        self.kept = [[row[which] for row in rows] for rows in self.kept]

    def _empty(self, n: int) -> list[list[Tensor]]:
        """For each layer the rows r − d to r of its input, `(n, W + 2d, C)` with padding to the sides."""
        return [list(self.place.new_zeros(d + 1, n, self.width + 2 * d, self.channels).unbind()) for d in self.dilations]

    def preload(self, embedded: Tensor, labels: Tensor | None, first: int) -> None:
        """Whole known rows `(B, inputs, R, W)` of the images from number `first` on, in one parallel pass."""
        rows = embedded.shape[2]
        v = self.stacks.above(embedded) + self.stacks.place()[:, :rows]
        for layer, d, kept in zip(self.layers, self.dilations, self.kept, strict=True):
            last = v[:, :, max(0, rows - d - 1) :].permute(2, 0, 3, 1)  # (up to d + 1, B, W, C)
            for row, known in zip(kept[d + 1 - len(last) :], last, strict=True):
                row[first:, d : d + self.width] = known
            v = v + gate(layer.above(v))

    def start_row(self, above: Sequence[Tensor], place: Tensor, labels: Tensor | None) -> None:
        """What the rows above say to row `place` `(B,)`, from the last REACH embedded rows, `(B, W + 2·REACH, E)` each."""
        weights, offset = self.above
        v = affine(row_taps(above, self.width, 2 * REACH + 1), weights, offset) + self.place[place]  # (B, W, C)
        self.first = affine(v, *self.link).transpose(0, 1).contiguous().unbind()  # W times (B, C)
        links = v.new_empty(self.width, len(self.layers), len(v), 2 * self.channels)  # (W, L, B, 2C)
        for i, d in enumerate(self.dilations):
            push(self.kept[i], v, d)
            weights, offset = self.layer_above[i]
            z = affine(row_taps(self.kept[i][::d], self.width, 3, d), weights, offset)  # (B, W, 2C)
            link = affine(z, *self.layer_link[i])
            label = self.label[i]
            if labels is not None and label is not None:
                link = link + label[labels][:, None]
            links[:, i] = link.transpose(0, 1)
            v = v + gate(z.movedim(2, 1)).movedim(1, 2)
        self.links = links.unbind()
        # What a pixel leaves for the one d places to the right lies where that one will look: at its own column.
        self.features = v.new_zeros(self.width + max(self.dilations), len(self.layers), len(v), self.channels).unbind()
        self.slots = [features.unbind() for features in self.features]  # a view costs as much as a small product

    def pixel(self, column: int, left: Tensor) -> Tensor:
        """Features `(B, C)` of the pixel in hand, from the embedded pixels to its left, `(B, REACH · E)`."""
        z = torch.baddbmm(self.links[column], self.features[column], self.far).unbind()  # L times (B, 2C)
        slots = [self.slots[column + d][i] for i, d in enumerate(self.dilations)]  # each layer's input goes to its own
        h = torch.addmm(self.first[column], left, self.left, out=slots[0])  # (B, C)
        for i, (near, out) in enumerate(zip(self.near, self.out, strict=True)):
            content, gates = torch.addmm(z[i], h, near).tanh_().chunk(2, 1)
            gated = torch.addcmul(content, content, gates)
            h = torch.addmm(h, gated, out, out=slots[i + 1]) if i + 1 < len(slots) else torch.addmm(h, gated, out)
        return h

    def end_row(self) -> None:
        """The row is written: nothing of the horizontal stack is needed again."""


class PlainCache:
    """Of a network with the plain masked stack: the same calls."""

    def __init__(self, stacks: PlainStack, size: tuple[int, int]) -> None:
        self.stacks, self.width, self.layers = stacks, size[1], stacks.each
        self.narrow = self.layers[0].down.out_channels
        self.place = stacks.place().permute(1, 2, 0)  # (H, W, C)
        self.above = matrix(stacks.above), bias(stacks.above) + bias(stacks.left)
        self.left = matrix(stacks.left)
        self.label = stacks.label.weight if stacks.label is not None else None
        self.down = [(matrix(layer.down), bias(layer.down)) for layer in self.layers]
        self.layer_above = [(matrix(layer.above), bias(layer.above) + bias(layer.left)) for layer in self.layers]
        far, near = zip(*(matrix(layer.left).chunk(2) for layer in self.layers), strict=True)
        self.far, self.near = torch.stack(far), [one.contiguous() for one in near]
        self.up = [matrix(layer.up) for layer in self.layers]
        self.kept = self._empty(0)

    def admit(self, n: int) -> None:
        self.kept = torch.cat([self.kept, self._empty(n)])

    def keep(self, which: Tensor) -> None:
        self.kept = self.kept[which]

    def _empty(self, n: int) -> Tensor:
        """The row above, of each block's narrow features, with padding to the sides."""
        return self.place.new_zeros(n, len(self.layers), self.width + 2, self.narrow)

    def preload(self, embedded: Tensor, labels: Tensor | None, first: int) -> None:
        stacks = self.stacks
        h = stacks.above(embedded) + stacks.left(embedded) + stacks.place()[:, : embedded.shape[2]]
        if labels is not None and stacks.label is not None:
            h = h + stacks.label(labels)[:, :, None, None]
        for i, layer in enumerate(self.layers):
            narrow = layer.down(h.relu()).relu()
            self.kept[first:, i, 1:-1] = narrow[:, :, -1].transpose(1, 2)
            h = h + layer.up((layer.above(narrow) + layer.left(narrow)).relu())

    def start_row(self, above: Sequence[Tensor], place: Tensor, labels: Tensor | None) -> None:
        first = affine(row_taps(above, self.width, 2 * REACH + 1), *self.above) + self.place[place]
        if labels is not None and self.label is not None:
            first = first + self.label[labels][:, None]
        self.first = first.transpose(0, 1).contiguous().unbind()  # W times (B, C)
        links = [
            affine(row_taps([self.kept[:, i]], self.width, 3), weights, offset)
            for i, (weights, offset) in enumerate(self.layer_above)
        ]
        self.links = torch.stack(links).permute(2, 0, 1, 3).contiguous().unbind()  # W times (L, B, narrow)
        self.features = first.new_zeros(self.width + 1, len(links), len(first), self.narrow)

    def pixel(self, column: int, left: Tensor) -> Tensor:
        z = torch.baddbmm(self.links[column], self.features[column], self.far)  # (L, B, narrow)
        h = torch.addmm(self.first[column], left, self.left)  # (B, C)
        for i in range(len(self.layers)):
            narrow = torch.addmm(self.down[i][1], h.relu(), self.down[i][0]).relu_()
            self.features[column + 1, i] = narrow
            h = torch.addmm(h, torch.addmm(z[i], narrow, self.near[i]).relu_(), self.up[i])
        return h

    def end_row(self) -> None:
        """What was written becomes the row above."""
        self.kept[:, :, 1:-1] = self.features[1:].permute(2, 1, 0, 3)
