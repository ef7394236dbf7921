"""Writing images with a PixelCNN: one sub-pixel after the other, without computing anything twice.

Every value is drawn by inverting its distribution at a number of the image's own noise, addressed by its place:

    x_t = min { v : Σ_{w ≤ v} p(w | x_<t) ≥ u_t },    p ∝ exp(logits / temperature)

So an image depends on nothing but the model, the seed, its number, its label, the temperature and what was given: not on the
batch, and a changed pixel leaves the u of all others as they are. `Writer` writes many images at once, each at a row of its
own: one may come in while others are half done. `naive` is its slow and obvious twin, a whole pass of the network a value.

Where some values are known they are put in their places instead of drawn. If all that is known comes before all that is not,
what follows is a draw from p(rest | known). Otherwise it is not: what was drawn had not seen what was known later
(`models.completion` weighs such images).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, silu

from models.contract import Noise, Spec, checked_labels
from models.pixel_caches import GatedCache, PlainCache, bias, push
from models.pixelcnn import REACH, GatedStacks, PixelCNN, from_scan_order

COLDEST = 1e-6  # the temperature that stands for 0: the likeliest value of each place
AT_ONCE = 64  # images written together, at most: this bounds memory


@dataclass(frozen=True)
class Orders:
    """What is to be written, an image a row."""

    uniform: Tensor  # float64 (n, C, H, W)
    temperature: Tensor  # float64 (n,)
    labels: Tensor | None  # int64 (n,)
    given: Tensor  # uint8 (n, C, H, W)
    known: Tensor  # bool (n, C, H, W): there, `given` stands

    def __len__(self) -> int:
        return len(self.uniform)

    def __getitem__(self, which: Tensor | slice) -> Orders:
        labels = None if self.labels is None else self.labels[which]
        return Orders(self.uniform[which], self.temperature[which], labels, self.given[which], self.known[which])

    def __add__(self, other: Orders) -> Orders:
        """One batch of both, which are of one model."""
        labels = None if self.labels is None or other.labels is None else torch.cat([self.labels, other.labels])
        return Orders(
            torch.cat([self.uniform, other.uniform]),
            torch.cat([self.temperature, other.temperature]),
            labels,
            torch.cat([self.given, other.given]),
            torch.cat([self.known, other.known]),
        )


@dataclass(frozen=True)
class Row:
    """One row of each image under way."""

    row: Tensor  # int64 (B,): its number, an image
    values: Tensor  # uint8 (B, C, W)
    logits: Tensor  # (B, levels, C, W), at temperature 1


@dataclass(frozen=True)
class Written:
    """One sub-pixel of each image."""

    colour: int
    row: int
    column: int
    value: Tensor  # uint8 (n,)
    logits: Tensor  # (n, levels) at temperature 1, whatever the temperature
    log_prob: Tensor  # float64 (n,): log p(x_t | x_<t) in nats, at temperature 1


def orders(
    model: PixelCNN,
    n: int,
    *,
    noise: Noise | int,
    labels: Tensor | None = None,
    temperature: float | Tensor = 1.0,
    given: Tensor | None = None,
    mask: Tensor | None = None,
) -> Orders:
    """Checked and in full. Without labels, a conditional model's are drawn: every class is as likely. Raises ValueError."""
    spec, noise = model.spec, Noise.of(noise)
    device = next(model.parameters()).device
    if n < 0:
        raise ValueError(f"{n} images are fewer than none.")
    temperatures = torch.as_tensor(temperature, dtype=torch.float64)
    if temperatures.shape not in ((), (n,)):
        raise ValueError(f"There is one temperature, or one for each of {n} images, not {tuple(temperatures.shape)}.")
    temperatures = temperatures.expand(n).clone()
    wrong = temperatures[~((temperatures >= 0) & (temperatures < torch.inf))]
    if len(wrong):
        raise ValueError(f"temperature {float(wrong[0]):g} is not a finite number of at least 0.")
    labels = checked_labels(labels, n, spec)
    if labels is None and spec.classes:
        labels = (noise.uniform(n, (), stream="label") * spec.classes).long()
    whole, known = _known(spec, n, given, mask)
    return Orders(
        uniform=noise.uniform(n, (spec.dims,), stream="x").reshape(n, *spec.shape[1:], spec.shape[0]).movedim(3, 1).to(device),
        temperature=temperatures.to(device),
        labels=None if labels is None else labels.to(device),
        given=whole.to(device),
        known=known.to(device),
    )


def _known(spec: Spec, n: int, given: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """`given` and `mask` as `(n, C, H, W)`."""
    if (given is None) != (mask is None):
        raise ValueError("A mask says what of `given` is known: both are needed, or neither.")
    if given is None or mask is None:
        nothing = torch.zeros(n, *spec.shape, dtype=torch.uint8)
        return nothing, nothing.bool()
    if given.dtype != torch.uint8 or given.shape[-3:] != spec.shape or given.dim() not in (3, 4):
        raise ValueError(f"What is given is uint8 {spec.shape} or {(n, *spec.shape)}, not {given.dtype} {tuple(given.shape)}.")
    if mask.dtype != torch.bool or mask.shape[-2:] != spec.shape[1:] or mask.dim() not in (2, 3, 4):
        raise ValueError(f"A mask is bool {spec.shape[1:]} or {spec.shape}, not {mask.dtype} {tuple(mask.shape)}.")
    images = (spec.shape, (1, *spec.shape), (n, *spec.shape))
    if mask.shape not in (spec.shape[1:], (1, *spec.shape[1:]), *images) or given.shape not in images:
        shapes = f"{tuple(given.shape)} and {tuple(mask.shape)}"
        raise ValueError(f"{shapes} are not one image and mask of shape {spec.shape}, nor {n} of them.")
    known = mask.expand(n, *spec.shape)
    given = given.expand(n, *spec.shape)
    highest = int(given[known].max()) if known.any() else 0
    if highest >= spec.levels:
        raise ValueError(f"Pixel value {highest} is not within 0 and {spec.levels - 1}.")
    return given.contiguous(), known.contiguous()


def is_prefix(known: Tensor) -> bool:
    """Whether all that is known, bool `(C, H, W)`, comes before all that is not, in the order of writing."""
    order = known.permute(1, 2, 0).flatten()
    return bool((order[:-1] >= order[1:]).all())


def draw(logits: Tensor, uniform: Tensor, temperature: Tensor) -> Tensor:
    """Levels int64 `(B,)` from logits `(B, levels)`, by inversion in float64."""
    return _invert(logits, uniform[:, None], temperature.clamp_min(COLDEST)[:, None])


def _invert(logits: Tensor, uniform: Tensor, temperature: Tensor) -> Tensor:
    """The same of a warm temperature; both it and `uniform` `(B, 1)`. No u below 1 lies beyond the last level."""
    cumulative = torch.softmax(logits.double() / temperature, dim=1).cumsum(1)
    return torch.searchsorted(cumulative, uniform * cumulative[:, -1:])[:, 0]


class Writer:
    """Images of one model on their way, each at its own row. `admit` some, then `row` by row until none is left."""

    @torch.inference_mode()
    def __init__(self, model: PixelCNN) -> None:
        self.model, self.spec = model, model.spec
        head, c = model.head, model.spec.shape[0]
        stacks, size = model.stacks, model.spec.shape[1:]
        self.cache = GatedCache(stacks, size) if isinstance(stacks, GatedStacks) else PlainCache(stacks, size)
        self.table = model.embed.table  # (C, levels, E)
        self.features = head.features.weight.flatten(1).t().contiguous(), bias(head.features)
        self.out = [one.flatten(1).t().contiguous() for one in head.out.weight.chunk(c)]
        self.out_bias = bias(head.out).chunk(c)
        if c > 1:
            self.earlier = [one.t().contiguous() for one in (head.earlier * head.mask).chunk(c)]  # (C·E, hidden) each
        self.orders: Orders | None = None
        self.place = torch.zeros(0, dtype=torch.int64, device=self.table.device)
        self.above = self._empty(0)
        self._graph: torch.cuda.CUDAGraph | None = None  # a row of the present batch, on a GPU
        self._recorded: Row | None = None  # what the graph writes
        self._warm = False

    def __len__(self) -> int:
        """Images under way."""
        return len(self.place)

    @torch.inference_mode()
    def admit(self, orders: Orders) -> None:
        """More images, from their first row on which anything is unknown; what is known above is read in one pass."""
        h = self.spec.shape[1]
        whole = orders.known.flatten(3).all(3).all(1)  # (n, H)
        start = int((whole.cumprod(1).sum(1)).min()) if len(orders) else 0
        start = min(start, h)
        self._forget_graph()
        first, n = len(self.place), len(orders)
        self.orders = orders if self.orders is None else self.orders + orders
        self.place = torch.cat([self.place, torch.full((n,), start, device=self.place.device)])
        self.above = [torch.cat(both) for both in zip(self.above, self._empty(n), strict=True)]
        self.cache.admit(n)
        if 0 < start < h:
            embedded = self.model.embed(orders.given[:, :, :start])
            self.cache.preload(embedded, orders.labels, first)
            last = embedded[:, :, -REACH:].permute(2, 0, 3, 1)  # (up to REACH, B, W, C·E)
            for row, known in zip(self.above[REACH - len(last) :], last, strict=True):
                row[first:, REACH : REACH + known.shape[1]] = known
        self._drop_finished()

    @torch.inference_mode()
    def row(self) -> Row:
        """Writes the next row of each image. Those that are done leave."""
        row = self._replay() if self.place.is_cuda else self._write()
        self._drop_finished()
        return row

    def _replay(self) -> Row:
        """On a GPU, where starting thousands of small kernels takes longer than they do: the row as one CUDA graph.

        The batch's first row runs as it is, and warms up; the second is recorded; from then on it is replayed.
        """
        if not self._warm:
            self._warm = True
            return self._write()
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._recorded = self._write()
        self._graph.replay()
        assert self._recorded is not None
        return Row(self._recorded.row.clone(), self._recorded.values.clone(), self._recorded.logits.clone())

    def _forget_graph(self) -> None:
        """Another batch has other tensors."""
        self._graph, self._recorded, self._warm = None, None, False

    def keep(self, which: Tensor) -> None:
        """Only these images go on: bool `(B,)`."""
        assert self.orders is not None
        self._forget_graph()
        self.orders, self.place = self.orders[which], self.place[which]
        self.above = [row[which] for row in self.above]
        self.cache.keep(which)

    def _empty(self, n: int) -> list[Tensor]:
        """The last REACH embedded rows, `(n, W + 2·REACH, C·E)` with padding to the sides."""
        c, _, size = self.table.shape
        return list(self.table.new_zeros(REACH, n, self.spec.shape[2] + 2 * REACH, c * size).unbind())

    def _drop_finished(self) -> None:
        unfinished = self.place < self.spec.shape[1]
        if not bool(unfinished.all()):
            self.keep(unfinished)

    def _write(self) -> Row:
        """One row, without a word to the host: a CUDA graph can hold it."""
        orders, (c, _, w) = self.orders, self.spec.shape
        assert orders is not None
        n, size = len(self.place), self.table.shape[2]
        images = torch.arange(n, device=self.place.device)
        uniform, given, known = (
            part[images, :, self.place].permute(2, 1, 0).contiguous()  # (W, C, B)
            for part in (orders.uniform, orders.given.long(), orders.known)
        )
        self.cache.start_row(self.above, self.place, orders.labels)
        row = self.table.new_zeros(n, REACH + w, c * size)  # embedded, with padding to the left
        logits = self.table.new_empty(w, c, n, self.spec.levels)
        values = torch.empty(w, c, n, dtype=torch.int64, device=self.place.device)
        temperature = orders.temperature.clamp_min(COLDEST)[:, None]
        parts = [part.flatten(0, 1).unbind() for part in (logits, values, uniform[..., None], given, known)]
        for column in range(w):
            h = self.cache.pixel(column, row[:, column : column + REACH].flatten(1))
            features = torch.addmm(self.features[1], h, self.features[0]).chunk(c, 1)  # each (B, hidden)
            pixel = row[:, column + REACH]  # (B, C·E)
            for k, a in enumerate(features):
                if k:
                    a = torch.addmm(a, pixel, self.earlier[k])  # colours not yet written are zeros, and masked
                logit, value, u, told, knows = (part[column * c + k] for part in parts)
                torch.addmm(self.out_bias[k], silu(a), self.out[k], out=logit)
                torch.where(knows, told, _invert(logit, u, temperature), out=value)
                pixel[:, k * size : (k + 1) * size] = self.table[k][value]
        self.cache.end_row()
        push(self.above, row[:, REACH:], REACH)
        place = self.place.clone()
        self.place += 1
        return Row(place, values.permute(2, 1, 0).to(torch.uint8), logits.permute(2, 3, 1, 0))


def sample(
    model: PixelCNN,
    n: int,
    *,
    noise: Noise | int,
    labels: Tensor | None = None,
    temperature: float = 1.0,
    given: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """What `PixelCNN.sample` says."""
    wanted = orders(model, n, noise=noise, labels=labels, temperature=temperature, given=given, mask=mask)
    images = wanted.given.clone()
    for first in range(0, n, AT_ONCE):
        writer, part = Writer(model), images[first : first + AT_ONCE]
        writer.admit(wanted[slice(first, first + AT_ONCE)])
        for row in _rows(writer):
            part[torch.arange(len(part), device=row.row.device), :, row.row] = row.values
    return images


def _rows(writer: Writer) -> Iterator[Row]:
    """All rows that are still to be written, of images that are at the same row."""
    while len(writer):
        yield writer.row()


def steps(
    model: PixelCNN,
    n: int,
    *,
    noise: Noise | int,
    labels: Tensor | None = None,
    temperature: float = 1.0,
    given: Tensor | None = None,
    mask: Tensor | None = None,
) -> Iterator[Written]:
    """What `PixelCNN.steps` says: every sub-pixel after the whole rows that are known in all images."""
    writer = Writer(model)
    writer.admit(orders(model, n, noise=noise, labels=labels, temperature=temperature, given=given, mask=mask))
    c, _, w = model.spec.shape
    for row in _rows(writer):
        log_p = log_softmax(row.logits.double(), dim=1)  # (n, levels, C, W)
        for column in range(w):
            for colour in range(c):
                value = row.values[:, colour, column]
                chosen = log_p[:, :, colour, column].gather(1, value.long()[:, None])[:, 0]
                yield Written(colour, int(row.row[0]), column, value, row.logits[:, :, colour, column], chosen)


def naive_steps(model: PixelCNN, wanted: Orders) -> Iterator[tuple[Tensor, Tensor]]:
    """The obvious way: a pass over the whole image for each sub-pixel. Yields its values uint8 `(n,)`, logits `(n, levels)`."""
    images = torch.where(wanted.known, wanted.given, 0).to(torch.uint8)
    c, h, w = model.spec.shape
    for k, i, j in ((colour, row, column) for row in range(h) for column in range(w) for colour in range(c)):
        with torch.inference_mode():
            logits = model.conditional_logits(images, wanted.labels)[:, :, k, i, j]
            drawn = draw(logits, wanted.uniform[:, k, i, j], wanted.temperature).to(torch.uint8)
            value = torch.where(wanted.known[:, k, i, j], wanted.given[:, k, i, j], drawn)
            images[:, k, i, j] = value
        yield value, logits


def naive(model: PixelCNN, wanted: Orders, *, limit: int | None = None, seen: Callable[[Tensor], None] | None = None) -> Tensor:
    """The slow twin of the `Writer`: uint8 `(n, C, H, W)`.

    `limit` stops after so many sub-pixels; `seen` is told the logits `(n, levels)` of each.
    """
    images = torch.where(wanted.known, wanted.given, 0).to(torch.uint8).permute(0, 2, 3, 1).flatten(1)  # (n, T)
    for t, (value, logits) in enumerate(islice(naive_steps(model, wanted), limit)):
        images[:, t] = value
        if seen is not None:
            seen(logits)
    return from_scan_order(images, model.spec.shape)
