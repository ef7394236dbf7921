"""PixelCNN: an image is written one sub-pixel at a time.

The chain rule holds for any distribution and any order. Here the order is row by row, from left to right, red before green
before blue, and each factor is a softmax over the levels of that one sub-pixel, computed by a network that cannot see itself
or anything later:

    log p(x) = Σ_t log p(x_t | x_<t)

So log p(x) is exact, and all its terms come from one parallel pass over a finished image; drawing one is sequential
(`models.pixel_writer` does that without repeating what is known).

What hides the future is the shape of the convolutions. Two networks:

- gated (van den Oord et al. 2016b): a vertical stack sees all rows above, a horizontal stack the pixels to the left and, by a
  link in every layer, the vertical stack; each layer is y = tanh(W₁∗x) ⊙ σ(W₂∗x). No pixel that came before is missed.
- plain (van den Oord et al. 2016a, section 3.4 and figure 2): one stack of masked convolutions in residual blocks. Its masks
  leave a blind spot: pixels above and to the right that no path reaches, at any depth.

Where this differs from the papers: levels enter by a learned embedding that starts as a cosine basis; the place of a pixel
enters by a bias for its row and one for its column; the vertical stack has residual connections; kernels are dilated in a
cycle; colours meet in the head alone (logits of green see red's value of the same pixel, blue's both); the label enters the
horizontal stack alone, so that the vertical stack's work, most of the whole, is done once for all classes when they are
marginalised: p(x) = (1/K) Σ_y p(x|y).

Sources: van den Oord, Kalchbrenner, Kavukcuoglu (2016a), "Pixel recurrent neural networks"; van den Oord, Kalchbrenner,
Vinyals, Espeholt, Graves, Kavukcuoglu (2016b), "Conditional image generation with PixelCNN decoders", section 2. Dilation:
Yu and Koltun (2016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, silu

from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Spec, checked_labels

if TYPE_CHECKING:
    from models.pixel_writer import Written

DILATIONS = (1, 2, 1, 4)  # of the gated layers, in a cycle
REACH = 3  # of the first convolution: rows above, columns to either side
CHUNK = 64  # images in one pass, at most: this, and not their number, bounds memory


class PixelCNN(GenerativeModel):
    """`channels` of each stack, `layers` after the first convolution, `classes` 0 for an unconditional model.

    `gated=False` is the plain network with its blind spot. `embedding` is the length of a level's vector, `hidden` the width
    of each colour's head.
    """

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        levels: int = 256,
        channels: int = 64,
        layers: int = 6,
        classes: int = 0,
        gated: bool = True,
        embedding: int = 16,
        hidden: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not 2 <= levels <= 256:
            raise ValueError(f"{levels} levels are not within 2 and 256.")
        if layers < 1:
            raise ValueError(f"{layers} layers are too few: at least 1.")
        c, h, w = shape
        self.spec = Spec("pixelcnn", (c, h, w), levels, Density.EXACT, Family.TRACTABLE, classes=classes)
        self.embed = Embedding(c, levels, embedding)
        stack = GatedStacks if gated else PlainStack
        self.stacks = stack(c * embedding, (h, w), channels, layers, classes, dropout)
        self.head = Head(channels, c, levels, c * embedding, hidden)

    def logits(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Unnormalised log p(x_t = v | x_<t), `(B, levels, C, H, W)`, of uint8 images; without labels, those of the marginal
        over classes (van den Oord et al. 2016b give them for a known class; here p(y|x_<t) weighs the classes).
        """
        self.check(x)
        if labels is not None or not self.spec.classes:
            return self.conditional_logits(x, checked_labels(labels, len(x), self.spec))
        # log p(v|x_<t) = logsumexp_y [log p(y|x_<t) + log p(v|x_<t, y)]
        per_class, before = [], []
        for logits in self._by_class(x):
            log_p = log_softmax(logits.double(), dim=1)
            per_class.append(log_p)
            each = in_scan_order(chosen(log_p, x))  # (B, T)
            before.append(from_scan_order(each.cumsum(1) - each, self.spec.shape))  # log p(x_<t|y)
        posterior = log_softmax(torch.stack(before), dim=0)  # (K, B, C, H, W)
        return torch.logsumexp(posterior[:, :, None] + torch.stack(per_class), dim=0)

    def loss(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """−log p(x|y) in nats, `(B,)`: for training, where the whole batch passes at once. Labels of a model without classes
        are left aside; a conditional one needs them (ValueError).
        """
        if self.spec.classes and labels is None:
            raise ValueError(f"This PixelCNN has {self.spec.classes} classes: its loss needs labels.")
        logits = self.conditional_logits(x, labels if self.spec.classes else None)
        return cross_entropy(logits.float(), x.long(), reduction="none").flatten(1).sum(1)

    def log_probs(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """log p(x_t | x_<t) of each sub-pixel of uint8 images, nats, float64 `(B, C, H, W)`: exact.

        Without labels, a conditional model gives the terms of the marginal log p(x), which add up to it.
        """
        if labels is None and self.spec.classes:
            by_class = self.log_probs_by_class(x)  # (K, B, C, H, W)
            total = torch.stack([in_scan_order(one) for one in by_class]).cumsum(2).logsumexp(0) - math.log(self.spec.classes)
            return from_scan_order(torch.diff(total, dim=1, prepend=torch.zeros_like(total[:, :1])), self.spec.shape)
        self.check(x)
        labels = checked_labels(labels, len(x), self.spec)
        parts = [x.new_zeros(x.shape, dtype=torch.float64)[:0]]
        for first in range(0, len(x), CHUNK):
            some, few = x[first : first + CHUNK], None if labels is None else labels[first : first + CHUNK]
            parts.append(log_prob_of(self.conditional_logits(some, few), some))
        return torch.cat(parts)

    def log_probs_by_class(self, x: Tensor) -> Tensor:
        """log p(x_t | x_<t, y) under each class y, nats, float64 `(K, B, C, H, W)`. Their sums give p(y|x) by Bayes' rule."""
        if not self.spec.classes:
            raise ValueError("This PixelCNN has no classes.")
        self.check(x)
        parts = [x.new_zeros((self.spec.classes, *x.shape), dtype=torch.float64)[:, :0]]
        for first in range(0, len(x), CHUNK):
            some = x[first : first + CHUNK]
            parts.append(torch.stack([log_prob_of(logits, some) for logits in self._by_class(some)]))
        return torch.cat(parts, dim=1)

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """log p(x) in nats, or log p(x|y) where labels are given: exact. `method` is "exact" or None; nothing is drawn."""
        if method not in (None, "exact"):
            raise ValueError(f"method {method!r} is not 'exact': a PixelCNN needs no other.")
        return LogProb(self.log_probs(x, labels).flatten(1).sum(1), Density.EXACT, "exact")

    def sample(
        self,
        n: int,
        *,
        noise: Noise | int,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        given: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Draws uint8 `(n, C, H, W)`, by `models.pixel_writer`. Where `mask` `(H, W)` or `(C, H, W)` is true, the sub-pixels
        of `given` `(C, H, W)` or `(n, C, H, W)` stand. Only where these are a prefix of the order is that a draw from
        p(x | given); otherwise see `models.completion`. Without labels, a conditional model draws those too.
        """
        from models.pixel_writer import sample

        return sample(self, n, noise=noise, labels=labels, temperature=temperature, given=given, mask=mask)

    def steps(
        self,
        n: int = 1,
        *,
        noise: Noise | int,
        labels: Tensor | None = None,
        temperature: float = 1.0,
        given: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Iterator[Written]:
        """The same draws, sub-pixel by sub-pixel, with the logits that each was drawn from."""
        from models.pixel_writer import steps

        return steps(self, n, noise=noise, labels=labels, temperature=temperature, given=given, mask=mask)

    def conditional_logits(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """One pass, `(B, levels, C, H, W)`, unchecked: given the labels, which a model without classes does not have."""
        embedded = self.embed(x)
        return self.head(self.stacks(embedded, self.stacks.shared(embedded), labels), embedded)

    def _by_class(self, x: Tensor) -> Iterator[Tensor]:
        """The logits under each class in turn; what no label changes is computed once."""
        embedded = self.embed(x)
        shared = self.stacks.shared(embedded)
        for y in range(self.spec.classes):
            labels = torch.full((len(x),), y, device=x.device)
            yield self.head(self.stacks(embedded, shared, labels), embedded)


def log_prob_of(logits: Tensor, x: Tensor) -> Tensor:
    """Of `(B, levels, C, H, W)`, log p of the levels of `x` in nats: float64 `(B, C, H, W)`. At least float32 all the way."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return chosen(logits, x).double() - torch.logsumexp(logits, dim=1).double()


def chosen(log_p: Tensor, x: Tensor) -> Tensor:
    """Of `(B, levels, C, H, W)`, the entries at the levels of `x`: `(B, C, H, W)`."""
    return log_p.gather(1, x.long()[:, None])[:, 0]


def in_scan_order(x: Tensor) -> Tensor:
    """`(B, C, H, W)` to `(B, T)`: row by row, pixel by pixel, colour by colour."""
    return x.permute(0, 2, 3, 1).flatten(1)


def from_scan_order(x: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """`(B, T)` back to `(B, C, H, W)`."""
    c, h, w = shape
    return x.reshape(-1, h, w, c).permute(0, 3, 1, 2)


class Embedding(nn.Module):
    """A vector for each level of each colour. It begins as cosines over the levels, so that near levels are alike."""

    def __init__(self, colours: int, levels: int, size: int) -> None:
        super().__init__()
        angle = math.pi * (torch.arange(levels)[:, None] + 0.5) / levels * torch.arange(1, size + 1)  # (levels, size)
        self.table = nn.Parameter(angle.cos().expand(colours, -1, -1).clone())  # (C, levels, size)

    def forward(self, x: Tensor) -> Tensor:
        """uint8 `(B, C, H, W)` to `(B, C·size, H, W)`, stored with its channels last."""
        vectors = [nn.functional.embedding(x[:, c].long(), self.table[c]) for c in range(len(self.table))]
        return torch.cat(vectors, dim=-1).permute(0, 3, 1, 2)


class Above(nn.Conv2d):
    """A convolution over `rows` × `columns` taps: `rows` rows that end at the row in hand, columns to both sides.

    `strict` leaves the row in hand out: the taps end one above it. Outside the image there are zeros.
    """

    def __init__(self, inputs: int, outputs: int, rows: int, columns: int, *, dilation: int = 1, strict: bool = False) -> None:
        padding = ((rows - 1) * dilation + strict, columns // 2 * dilation)
        super().__init__(inputs, outputs, (rows, columns), padding=padding, dilation=dilation)

    def forward(self, input: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H, W)`. Padded at both ends: the surplus below is cut off."""
        return super().forward(input)[:, :, : input.shape[2]]


class Left(nn.Conv2d):
    """A convolution over `columns` taps of one row that end at the column in hand, or, if `strict`, one before it."""

    def __init__(self, inputs: int, outputs: int, columns: int, *, dilation: int = 1, strict: bool = False) -> None:
        padding = (0, (columns - 1) * dilation + strict)
        super().__init__(inputs, outputs, (1, columns), padding=padding, dilation=dilation)

    def forward(self, input: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H, W)`. Padded at both ends: the surplus to the right is cut off."""
        return super().forward(input)[:, :, :, : input.shape[3]]


def gate(z: Tensor) -> Tensor:
    """tanh(z₁) ⊙ σ(z₂) of the two halves of the channels: van den Oord et al. (2016b), equation 2."""
    content, gates = z.chunk(2, dim=1)
    return content.tanh() * gates.sigmoid()


class Place(nn.Module):
    """A bias for each row and one for each column, `(channels, H, W)` in all."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(channels, size[0], 1))
        self.columns = nn.Parameter(torch.zeros(channels, 1, size[1]))

    def forward(self) -> Tensor:
        return self.rows + self.columns


class GatedLayer(nn.Module):
    def __init__(self, channels: int, classes: int, dilation: int) -> None:
        super().__init__()
        self.above = Above(channels, 2 * channels, 2, 3, dilation=dilation)
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.left = Left(channels, 2 * channels, 2, dilation=dilation)
        self.label = nn.Embedding(classes, 2 * channels) if classes else None
        self.out = nn.Conv2d(channels, channels, 1, bias=False)


class GatedStacks(nn.Module):
    """Van den Oord et al. (2016b), figure 2."""

    def __init__(self, inputs: int, size: tuple[int, int], channels: int, layers: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.above = Above(inputs, channels, REACH, 2 * REACH + 1, strict=True)
        self.left = Left(inputs, channels, REACH, strict=True)
        self.link = nn.Conv2d(channels, channels, 1)
        self.place = Place(channels, size)
        self.layers = nn.ModuleList(GatedLayer(channels, classes, DILATIONS[i % len(DILATIONS)]) for i in range(layers))
        self.dropout = nn.Dropout(dropout)

    @property
    def each(self) -> list[GatedLayer]:
        """The layers, by their type."""
        return cast(list[GatedLayer], list(self.layers))

    def shared(self, embedded: Tensor) -> list[Tensor]:
        """What the vertical stack tells the horizontal one before each layer: the same for every label."""
        v = self.above(embedded)  # (B, channels, H, W)
        v = v + self.place().to(v.dtype)
        links = [self.link(v)]
        for layer in self.each:
            z = layer.above(v)  # (B, 2·channels, H, W)
            links.append(layer.link(z))
            v = v + self.dropout(gate(z))
        return links

    def forward(self, embedded: Tensor, shared: list[Tensor], labels: Tensor | None) -> Tensor:
        """Features `(B, channels, H, W)` of each pixel, of what came before it."""
        first, *links = shared
        h = self.left(embedded) + first
        for layer, link in zip(self.each, links, strict=True):
            z = layer.left(h) + link
            if labels is not None and layer.label is not None:
                z = z + layer.label(labels)[:, :, None, None].to(z.dtype)
            h = h + layer.out(self.dropout(gate(z)))
        return h


class PlainBlock(nn.Module):
    """ReLU, 1×1, ReLU, masked 3×3, ReLU, 1×1, with a shortcut: van den Oord et al. (2016a), figure 5. The mask is written as
    what it leaves: three pixels above, one to the left, and the pixel in hand ("mask B": its features, not its value).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.down = nn.Conv2d(channels, half, 1)
        self.above = Above(half, half, 1, 3, strict=True)
        self.left = Left(half, half, 2)
        self.up = nn.Conv2d(half, channels, 1, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        narrow = self.down(h.relu()).relu()
        return h + self.up((self.above(narrow) + self.left(narrow)).relu())


class PlainStack(nn.Module):
    """Van den Oord et al. (2016a), table 1: a masked 7×7 convolution ("mask A"), then residual blocks."""

    def __init__(self, inputs: int, size: tuple[int, int], channels: int, layers: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.above = Above(inputs, channels, REACH, 2 * REACH + 1, strict=True)
        self.left = Left(inputs, channels, REACH, strict=True)
        self.place = Place(channels, size)
        self.label = nn.Embedding(classes, channels) if classes else None
        self.layers = nn.ModuleList(PlainBlock(channels) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    @property
    def each(self) -> list[PlainBlock]:
        """The blocks, by their type."""
        return cast(list[PlainBlock], list(self.layers))

    def shared(self, embedded: Tensor) -> list[Tensor]:
        """The first convolution: what follows has seen the label."""
        h = self.above(embedded) + self.left(embedded)
        return [h + self.place().to(h.dtype)]

    def forward(self, embedded: Tensor, shared: list[Tensor], labels: Tensor | None) -> Tensor:
        """Features `(B, channels, H, W)` of each pixel, of what came before it (but for the blind spot)."""
        h = shared[0]
        if labels is not None and self.label is not None:
            h = h + self.label(labels)[:, :, None, None].to(h.dtype)
        for layer in self.layers:
            h = self.dropout(layer(h))
        return h


class Head(nn.Module):
    """From a pixel's features, and the colours of that pixel written before, to the logits of each colour."""

    def __init__(self, channels: int, colours: int, levels: int, inputs: int, hidden: int) -> None:
        super().__init__()
        self.colours = colours
        self.features = nn.Conv2d(channels, colours * hidden, 1)
        self.out = nn.Conv2d(colours * hidden, colours * levels, 1, groups=colours)
        self.mask: Tensor
        if colours > 1:
            self.earlier = nn.Parameter(torch.zeros(colours * hidden, inputs))
            blocks = torch.ones(colours, colours).tril(-1)  # red sees none, green red, blue both
            mask = blocks.repeat_interleave(hidden, 0).repeat_interleave(inputs // colours, 1)
            self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        """`(B, channels, H, W)` and `(B, inputs, H, W)` to `(B, levels, C, H, W)`."""
        a = self.features(h)  # (B, C·hidden, H, W)
        if self.colours > 1:
            a = a + nn.functional.conv2d(embedded, (self.earlier * self.mask)[:, :, None, None])
        out = self.out(silu(a))  # (B, C·levels, H, W)
        return out.unflatten(1, (self.colours, -1)).transpose(1, 2)
