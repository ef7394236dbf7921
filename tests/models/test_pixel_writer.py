"""The writer against its slow twin, a whole pass for each value: the same images bit for bit, whatever is known of them, what
shares the batch and when it comes in. And against exact probabilities, on spaces so small that they can be listed.

Weights are random and large, so that a place depends visibly on everything that it may see.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from models import pixel_writer
from models.noise import Noise
from models.pixel_writer import Orders, Writer, draw, is_prefix, naive, orders
from models.pixelcnn import PixelCNN

NETWORKS = pytest.mark.parametrize("gated", [True, False], ids=["gated", "plain"])
SETTINGS: dict[str, dict[str, Any]] = {
    "binary": {"shape": (1, 6, 7), "levels": 2, "layers": 1},
    "labels": {"shape": (1, 7, 5), "levels": 5, "layers": 5, "channels": 9, "classes": 3},
    "tall": {"shape": (1, 11, 3), "levels": 4, "layers": 4, "classes": 2},  # taller than any dilation
    "256-levels": {"shape": (1, 3, 4), "levels": 256, "layers": 2},
    "two-colours": {"shape": (2, 4, 5), "levels": 3, "layers": 4, "embedding": 1},
    "three-colours": {"shape": (3, 5, 4), "levels": 4, "layers": 6, "classes": 2, "hidden": 7, "embedding": 4},
    "one-row": {"shape": (3, 1, 6), "levels": 3, "layers": 5},
    "one-column": {"shape": (3, 6, 1), "levels": 3, "layers": 5, "classes": 2},
    "one-pixel": {"shape": (3, 1, 1), "levels": 7, "layers": 1},
}
ALL_SETTINGS = pytest.mark.parametrize("name", SETTINGS)


def random(*, seed: int = 0, **settings: Any) -> PixelCNN:
    """A network of random weights. Logits are spread by 2 or so: some levels are ten times as likely as others."""
    torch.manual_seed(seed)
    wanted = {"channels": 6, "layers": 2, "embedding": 3, "hidden": 5} | settings
    model = PixelCNN(**wanted).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.35)
    model.head.out.weight.mul_(3)
    return model


def some_images(model: PixelCNN, n: int, seed: int = 1) -> Tensor:
    u = Noise(seed).uniform(n, model.spec.shape, stream="images")
    return (u * model.spec.levels).to(torch.uint8)


def places(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """(colour, row, column) in the order of writing."""
    c, h, w = shape
    return [(k, i, j) for i in range(h) for j in range(w) for k in range(c)]


def masks(shape: tuple[int, int, int]) -> dict[str, Tensor]:
    """bool `(C, H, W)` of every sort: what a completion may start from."""
    c, h, w = shape
    order = torch.arange(h * w * c).reshape(h, w, c).permute(2, 0, 1)
    found = {
        "none": torch.zeros(shape, dtype=torch.bool),
        "all": torch.ones(shape, dtype=torch.bool),
        "all but the first": order > 0,
        "all but the last": order < c * h * w - 1,
        "half the rows": (order < h // 2 * w * c),
        "the middle of a row": order < (h // 2 * w + w // 2) * c,
        "the middle of a pixel": order < (h // 2 * w + w // 2) * c + c // 2,
        "at random": Noise(8).uniform(1, shape, stream="mask")[0] < 0.5,
        "the lower half": order >= h // 2 * w * c,
    }
    for row in range(1, min(h, 6)):  # the caches begin with so many rows, fewer and more than they hold
        found[f"{row} rows"] = order < row * w * c
    return found


def written(model: PixelCNN, wanted: Orders) -> tuple[Tensor, Tensor]:
    """Images and logits `(n, levels, C, H, W)` of one writer that has them all from the start; NaN where it had no need to."""
    images = wanted.given.clone()
    logits = torch.full((len(wanted), model.spec.levels, *model.spec.shape), math.nan, dtype=model.embed.table.dtype)
    writer = Writer(model)
    writer.admit(wanted)
    while len(writer):
        row = writer.row()
        for n, i in enumerate(row.row.tolist()):
            images[n, :, i], logits[n, :, :, i] = row.values[n], row.logits[n]
    return images, logits


def of_every_mask(model: PixelCNN, seed: int = 3) -> Orders:
    """One image of each mask, each with its own label, temperature and given values."""
    known = torch.stack(list(masks(model.spec.shape).values()))
    n = len(known)
    warm = torch.tensor([1.0, 0.3, 2.0]).repeat(n)[:n]
    return orders(model, n, noise=seed, temperature=warm, given=some_images(model, n), mask=known)


@NETWORKS
@ALL_SETTINGS
def test_the_same_images_as_the_slow_twin_bit_for_bit(name: str, gated: bool) -> None:
    model = random(gated=gated, **SETTINGS[name])
    wanted = of_every_mask(model)
    seen: list[Tensor] = []
    slow = naive(model, wanted, seen=seen.append)
    parallel = model.logits(slow, wanted.labels)
    in_turn = torch.stack([parallel[:, :, k, i, j] for k, i, j in places(model.spec.shape)])
    torch.testing.assert_close(torch.stack(seen), in_turn, rtol=0, atol=1e-10)
    assert torch.equal(slow[wanted.known], wanted.given[wanted.known])

    together, logits = written(model, wanted)
    assert torch.equal(together, slow)
    assert not logits.isnan()[0].any()
    torch.testing.assert_close(logits, parallel, rtol=0, atol=1e-10)
    for n, known in enumerate(wanted.known):  # alone, an image begins at its first row of which anything is unknown
        alone, logits = written(model, wanted[n : n + 1])
        assert torch.equal(alone[0], slow[n])
        unwritten = known.all(2).all(0).long().cumprod(0).bool()
        assert logits[0, :, :, unwritten].isnan().all()
        torch.testing.assert_close(logits[0, :, :, ~unwritten], parallel[n, :, :, ~unwritten], rtol=0, atol=1e-10)


@NETWORKS
@ALL_SETTINGS
def test_in_float32_the_logits_are_those_of_a_pass_over_the_same_image(name: str, gated: bool) -> None:
    model = random(gated=gated, **SETTINGS[name]).float()
    wanted = of_every_mask(model)
    for n in range(len(wanted)):
        one = wanted[n : n + 1]
        image, logits = written(model, one)
        parallel = model.logits(image, one.labels)
        assert logits.dtype == parallel.dtype == torch.float32
        there = ~logits.isnan()
        assert there.any() != one.known.all()
        size = float(parallel.abs().max())
        assert float((logits - parallel)[there].abs().max() if there.any() else 0) <= 1e-5 * size


@NETWORKS
def test_deep_and_wide_networks_agree_in_float32_too(gated: bool) -> None:
    model = random(shape=(3, 9, 8), levels=16, channels=48, layers=9, hidden=32, embedding=16, classes=2, gated=gated)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(0.4)  # as large as training leaves them: sums of 48 · 21 products stay moderate
    exact = model.logits(some_images(model, 4), torch.tensor([0, 1, 1, 0]))
    model.float()
    known = masks(model.spec.shape)["all but the first"]
    wanted = orders(model, 4, noise=0, labels=torch.tensor([0, 1, 1, 0]), given=some_images(model, 4), mask=known)
    images, logits = written(model, wanted)
    parallel = model.logits(images, wanted.labels)
    assert 0.5 < float(exact.std()) < 20
    assert float((logits - parallel).abs().max()) <= 1e-5 * float(parallel.abs().max())


SMALL = {
    (gated, classes): random(shape=(2, 4, 3), levels=3, layers=4, gated=gated, classes=classes)
    for gated, classes in itertools.product([True, False], [0, 2])
}


@settings(max_examples=25)
@hypothesis_given(
    st.sampled_from(list(SMALL)),
    st.lists(st.lists(st.booleans(), min_size=24, max_size=24), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.integers(0, 2**62),
)
def test_any_masks_in_one_batch(kind: tuple[bool, int], known: list[list[bool]], temperature: float, seed: int) -> None:
    model = SMALL[kind]
    mask = torch.tensor(known).reshape(-1, 2, 4, 3)
    n = len(mask)
    wanted = orders(model, n, noise=seed, temperature=temperature, given=some_images(model, n, seed), mask=mask)
    slow = naive(model, wanted)
    assert torch.equal(written(model, wanted)[0], slow)
    assert torch.equal(slow[mask], wanted.given[mask])


@NETWORKS
@pytest.mark.parametrize("classes", [0, 3])
def test_an_image_does_not_depend_on_its_batch(classes: int, gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random(shape=(2, 5, 4), levels=4, layers=3, classes=classes, gated=gated)
    five = model.sample(5, noise=7)
    assert five.dtype == torch.uint8
    assert five.shape == (5, 2, 5, 4)
    assert len(five.unique(dim=0)) == 5
    assert torch.equal(five[:2], model.sample(2, noise=7))
    assert torch.equal(five[2:], model.sample(3, noise=Noise(7).skip(2)))
    assert not torch.equal(five, model.sample(5, noise=8))
    assert not torch.equal(five, model.sample(5, noise=Noise(7, step=1)))
    mask = masks(model.spec.shape)["the middle of a row"]
    completed = model.sample(5, noise=7, given=some_images(model, 5), mask=mask)
    for at_once in (1, 2, 4):
        monkeypatch.setattr(pixel_writer, "AT_ONCE", at_once)
        assert torch.equal(model.sample(5, noise=7), five)
        assert torch.equal(model.sample(5, noise=7, given=some_images(model, 5), mask=mask), completed)


def test_no_images_are_an_empty_tensor() -> None:
    model = random(shape=(2, 5, 4), levels=4, classes=3)
    assert model.sample(0, noise=7).shape == (0, 2, 5, 4)
    assert list(model.steps(0, noise=7)) == []


class Desk:
    """A writer, and which of the ordered images stands in which of its rows."""

    def __init__(self, model: PixelCNN, wanted: Orders) -> None:
        self.writer, self.wanted, self.height = Writer(model), wanted, model.spec.shape[1]
        self.images, self.ids, self.rows = wanted.given.clone(), list[int](), [list[int]() for _ in range(len(wanted))]

    def admit(self, *which: int) -> None:
        self.writer.admit(self.wanted[torch.tensor(which, dtype=torch.int64)])
        self.ids += [n for n in which if not self.wanted.known[n].all()]
        assert len(self.writer) == len(self.ids)

    def write(self, rows: int) -> None:
        for _ in range(rows):
            row = self.writer.row()
            for place, n in enumerate(self.ids):
                self.images[n, :, int(row.row[place])] = row.values[place]
                self.rows[n].append(int(row.row[place]))
            self.ids = [n for n, i in zip(self.ids, row.row.tolist(), strict=True) if i < self.height - 1]
            assert len(self.writer) == len(self.ids)

    def drop(self, gone: int) -> None:
        self.writer.keep(torch.tensor([n != gone for n in self.ids]))
        self.ids.remove(gone)


@NETWORKS
@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_images_that_come_in_and_leave_at_any_time_are_as_if_alone(device: str, classes: int, gated: bool) -> None:
    model = random(shape=(2, 7, 4), levels=4, layers=5, classes=classes, gated=gated).to(device)
    wanted = of_every_mask(model)
    names = list(masks(model.spec.shape))
    alone = torch.cat([written(model, wanted[n : n + 1])[0] for n in range(len(wanted))])
    assert torch.equal(alone, naive(model, wanted))
    of = names.index

    desk = Desk(model, wanted)
    desk.admit(of("none"), of("at random"))
    desk.write(3)
    desk.admit(of("all"))  # needs nothing, and leaves at once
    desk.admit(of("5 rows"), of("half the rows"), of("the middle of a pixel"))
    desk.write(1)
    desk.drop(of("at random"))
    desk.admit(of("2 rows"))
    desk.write(2)
    desk.admit(of("all but the first"), of("the lower half"), of("1 rows"))
    while desk.ids:
        desk.write(1)
    assert len(desk.writer) == 0
    gone = of("at random")
    for n, rows in enumerate(desk.rows):
        if n in (gone, *(of(name) for name in ("all but the last", "the middle of a row", "3 rows", "4 rows"))):
            continue
        assert torch.equal(desk.images[n], alone[n]), names[n]
        assert rows == list(range(7 - len(rows), 7)), names[n]
    assert torch.equal(desk.images[gone, :, :4], alone[gone, :, :4])
    assert desk.rows[of("none")] == list(range(7))
    assert desk.rows[of("2 rows")] == [2, 3, 4, 5, 6]
    assert len(desk.rows[of("all")]) == 0


@NETWORKS
def test_an_image_that_leaves_in_the_middle_changes_no_other(gated: bool) -> None:
    model = random(shape=(1, 6, 5), levels=4, layers=4, classes=3, gated=gated)
    wanted = orders(model, 5, noise=2)
    everything = written(model, wanted)[0]
    desk = Desk(model, wanted)
    desk.admit(0, 1, 2, 3, 4)
    desk.write(2)
    desk.drop(0)
    desk.write(1)
    desk.drop(3)
    desk.write(3)
    assert torch.equal(desk.images[[1, 2, 4]], everything[[1, 2, 4]])
    assert torch.equal(desk.images[0, :, :2], everything[0, :, :2])


@NETWORKS
def test_a_completion_keeps_what_is_known_and_draws_the_rest(gated: bool) -> None:
    model = random(shape=(3, 4, 5), levels=8, classes=2, gated=gated)
    one, many = some_images(model, 1)[0], some_images(model, 6)
    for mask in masks(model.spec.shape).values():
        for given in (one, many, one[None]):
            found = model.sample(6, noise=4, given=given, mask=mask)
            expected = given.expand(6, -1, -1, -1)
            assert torch.equal(found[:, mask], expected[:, mask])
            if (~mask).sum() > 10:
                assert float((found[:, ~mask] == expected[:, ~mask]).double().mean()) < 0.6
    flat = torch.zeros(4, 5, dtype=torch.bool)
    flat[1:3, 2] = True
    assert torch.equal(
        model.sample(3, noise=4, given=one, mask=flat), model.sample(3, noise=4, given=one, mask=flat.expand(3, 4, 5))
    )


def test_a_known_value_moves_only_what_comes_after_it() -> None:
    """The other places keep their own random numbers."""
    model = random(shape=(1, 5, 5), levels=16, layers=3)
    before = model.sample(40, noise=3)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 3] = True
    same = model.sample(40, noise=3, given=before, mask=mask)
    assert torch.equal(same, before)
    other = model.sample(40, noise=3, given=15 - before, mask=mask)
    flat, moved = before.flatten(1), other.flatten(1)
    assert torch.equal(moved[:, :13], flat[:, :13])
    assert torch.equal(moved[:, 13], 15 - flat[:, 13])
    assert not torch.equal(moved[:, 14:], flat[:, 14:])


@NETWORKS
@pytest.mark.parametrize("mask", [None, "half the rows", "the middle of a row", "the lower half", "all"])
def test_steps_go_in_the_order_of_writing_and_make_the_sample(mask: str | None, gated: bool) -> None:
    model = random(shape=(2, 5, 4), levels=4, layers=3, classes=3, gated=gated)
    labels = torch.tensor([2, 0, 1])
    given = {"given": some_images(model, 3), "mask": masks(model.spec.shape)[mask]} if mask else {}
    for temperature in (1.0, 0.3):
        image = model.sample(3, noise=5, labels=labels, temperature=temperature, **given)
        steps = list(model.steps(3, noise=5, labels=labels, temperature=temperature, **given))
        first = {None: 0, "half the rows": 2, "the middle of a row": 2, "the lower half": 0, "all": 5}[mask]
        assert [(s.colour, s.row, s.column) for s in steps] == places(model.spec.shape)[first * 8 :]
        # Logits and probabilities are those of the model, whatever the temperature.
        parallel, terms = model.logits(image, labels), model.log_probs(image, labels)
        for s in steps:
            assert s.value.dtype == torch.uint8
            assert torch.equal(s.value, image[:, s.colour, s.row, s.column])
            torch.testing.assert_close(s.logits, parallel[:, :, s.colour, s.row, s.column], rtol=0, atol=1e-10)
            expected = torch.tensor([scipy.special.log_softmax(s.logits[n].numpy())[s.value[n].item()] for n in range(3)])
            torch.testing.assert_close(s.log_prob, expected, rtol=0, atol=1e-12)
            torch.testing.assert_close(s.log_prob, terms[:, s.colour, s.row, s.column], rtol=0, atol=1e-10)
        if mask is None:
            total = torch.stack([s.log_prob for s in steps]).sum(0)
            torch.testing.assert_close(total, model.log_prob(image, labels=labels).nats, rtol=0, atol=1e-9)


def test_steps_can_be_left_at_any_time() -> None:
    model = random(shape=(1, 5, 4), levels=4)
    steps = model.steps(2, noise=5)
    few = [next(steps).value for _ in range(6)]
    assert torch.equal(torch.stack(few, 1), model.sample(2, noise=5).flatten(1)[:, :6])


def test_the_slow_twin_can_stop_early() -> None:
    model = random(shape=(2, 3, 4), levels=4)
    wanted, seen = orders(model, 2, noise=1), list[Tensor]()
    image = naive(model, wanted, limit=7, seen=seen.append)
    whole = naive(model, wanted)
    assert len(seen) == 7
    for t, (k, i, j) in enumerate(places(model.spec.shape)):
        assert torch.equal(image[:, k, i, j], whole[:, k, i, j] if t < 7 else torch.zeros(2, dtype=torch.uint8))


@NETWORKS
def test_at_temperature_0_each_value_is_the_likeliest(gated: bool) -> None:
    model = random(shape=(2, 5, 4), levels=5, layers=3, classes=2, gated=gated)
    labels = torch.tensor([0, 1, 1])
    cold = model.sample(3, noise=1, labels=labels, temperature=0.0)
    assert torch.equal(model.logits(cold, labels).argmax(1), cold.long())
    assert torch.equal(cold, model.sample(3, noise=2, labels=labels, temperature=0.0))
    assert not torch.equal(cold, model.sample(3, noise=1, labels=labels))


def test_at_a_very_high_temperature_all_levels_are_alike() -> None:
    model = random(shape=(2, 5, 4), levels=5)
    hot = model.sample(50, noise=1, temperature=1e12)
    u = orders(model, 50, noise=1).uniform
    assert torch.equal(hot.long(), (u * 5).long())


@pytest.mark.parametrize("temperature", [1.0, 0.4])
@pytest.mark.parametrize(
    ("shape", "levels", "classes", "gated"),
    [
        ((1, 2, 3), 2, 0, True),
        ((1, 2, 2), 3, 2, True),
        ((3, 1, 1), 4, 0, True),
        ((2, 2, 1), 3, 0, False),
        ((1, 2, 3), 2, 2, False),
    ],
)
def test_images_come_as_often_as_their_exact_probability(
    shape: tuple[int, int, int], levels: int, classes: int, gated: bool, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_writer, "AT_ONCE", 10_000)
    model = random(shape=shape, levels=levels, classes=classes, gated=gated)
    c, h, w = shape
    flat = torch.tensor(list(itertools.product(range(levels), repeat=c * h * w)), dtype=torch.uint8)
    x = flat.reshape(-1, h, w, c).permute(0, 3, 1, 2).contiguous()
    exact = torch.zeros(len(x), dtype=torch.float64)
    for y in range(max(1, classes)):
        logits = model.logits(x, torch.full((len(x),), y) if classes else None).numpy()
        terms = scipy.special.log_softmax(logits / temperature, axis=1)
        chosen = np.take_along_axis(terms, x.numpy().astype(np.int64)[:, None], 1)
        exact += torch.from_numpy(np.exp(chosen.reshape(len(x), -1).sum(1))) / max(1, classes)
    if temperature == 1:
        torch.testing.assert_close(exact, model.log_prob(x).nats.exp(), rtol=1e-9, atol=0)
    n = 6000
    drawn = model.sample(n, noise=21, temperature=temperature).permute(0, 2, 3, 1).reshape(n, -1).long()
    number = drawn @ torch.tensor([levels**t for t in reversed(range(c * h * w))])
    assert_frequencies(torch.bincount(number, minlength=len(x)), exact)


def assert_frequencies(observed: Tensor, probability: Tensor) -> None:
    """By the chi-square test, rare outcomes taken together."""
    expected = probability * int(observed.sum())
    common = expected >= 5
    found = torch.cat([observed[common], observed[~common].sum()[None]]).double()
    wanted = torch.cat([expected[common], expected[~common].sum()[None]])
    assert common.sum() > 3
    assert scipy.stats.chisquare(found + 1e-9, wanted + 1e-9, sum_check=False).pvalue > 1e-3


@NETWORKS
def test_completions_of_a_prefix_come_as_often_as_given_what_is_known(gated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_writer, "AT_ONCE", 10_000)
    model = random(shape=(1, 3, 2), levels=3, classes=2, gated=gated)
    flat = torch.tensor(list(itertools.product(range(3), repeat=6)), dtype=torch.uint8)
    start = torch.tensor([2, 0, 1], dtype=torch.uint8)  # a row and a half
    x = flat[(flat[:, :3] == start).all(1)].reshape(-1, 1, 3, 2)
    labels = torch.ones(len(x), dtype=torch.int64)
    mass = model.log_prob(x, labels=labels).nats.exp()
    mask = torch.tensor([True] * 3 + [False] * 3).reshape(3, 2)
    drawn = model.sample(4000, noise=2, labels=torch.ones(4000, dtype=torch.int64), given=x[0], mask=mask)
    number = drawn.flatten(1)[:, 3:].long() @ torch.tensor([9, 3, 1])
    assert_frequencies(torch.bincount(number, minlength=27), mass / mass.sum())


def test_without_labels_every_class_is_as_likely() -> None:
    model = random(shape=(1, 3, 3), levels=3, classes=5)
    labels = orders(model, 4000, noise=3).labels
    assert labels is not None
    assert labels.dtype == torch.int64
    counts = torch.bincount(labels, minlength=5)
    assert len(counts) == 5
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert torch.equal(model.sample(20, noise=3), model.sample(20, noise=3, labels=labels[:20]))
    others = (labels[:20] + 1) % 5
    assert not torch.equal(model.sample(20, noise=3), model.sample(20, noise=3, labels=others))
    # A label takes nothing from the numbers of the sub-pixels, and says nothing about them.
    assert orders(random(shape=(1, 3, 3), levels=3), 4000, noise=3).uniform.equal(orders(model, 4000, noise=3).uniform)
    assert (
        abs(float(torch.corrcoef(torch.stack([labels.double(), orders(model, 4000, noise=3).uniform[:, 0, 0, 0]]))[0, 1]))
        < 0.06
    )


def test_every_sub_pixel_has_its_own_number() -> None:
    u = orders(random(shape=(3, 4, 5), levels=3), 100, noise=3).uniform
    assert u.shape == (100, 3, 4, 5)
    assert u.dtype == torch.float64
    assert len(u.unique()) == u.numel()
    assert scipy.stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-3


def test_draw_inverts_the_distribution() -> None:
    noise = Noise(4)
    logits = 3 * noise.normal(300, (7,), stream="logits")
    uniform, temperature = noise.uniform(300, stream="u"), 2 * noise.uniform(300, stream="temperature")
    found = draw(logits, uniform, temperature)
    assert found.dtype == torch.int64
    assert len(found.unique()) == 7
    for n in range(300):
        p = scipy.special.softmax(logits[n].numpy() / float(temperature[n]))
        level, total = 0, float(p[0])
        while total < float(uniform[n]):
            level += 1
            total += float(p[level])
        assert int(found[n]) == level


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_draws_come_as_often_as_the_softmax_says(temperature: float) -> None:
    logits = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, -300.0])
    n = 20_000
    found = draw(logits.expand(n, -1), Noise(2).uniform(n, stream="u"), torch.full((n,), temperature, dtype=torch.float64))
    assert_frequencies(torch.bincount(found, minlength=6), torch.softmax(logits.double() / temperature, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draw_at_the_ends_of_the_interval(dtype: torch.dtype) -> None:
    """The least and the largest number that noise can be; what has no probability is never drawn, and nothing overflows."""
    logits = torch.tensor([[-1e30, -1e4, 0.0, 1.0, -1e4, -1e30], [1e30, 0.0, 0.0, 0.0, 0.0, 1e30]], dtype=dtype)
    for temperature in (0.0, 1e-3, 1.0):
        t = torch.full((2,), temperature, dtype=torch.float64)
        low = draw(logits, torch.full((2,), 2.0**-54, dtype=torch.float64), t)
        high = draw(logits, torch.full((2,), 1 - 2.0**-53, dtype=torch.float64), t)
        assert low.tolist() == [3 if temperature < 1 else 2, 0]
        assert high.tolist() == [3, 5]
    many = logits.new_zeros(1, 256)
    assert draw(many, torch.tensor([1 - 2.0**-53], dtype=torch.float64), torch.ones(1, dtype=torch.float64)).tolist() == [255]


def test_a_prefix_is_what_comes_before_all_else() -> None:
    shape = (2, 2, 2)
    order = places(shape)
    prefixes = 0
    for bits in itertools.product([False, True], repeat=8):
        known = torch.zeros(shape, dtype=torch.bool)
        for place, bit in zip(order, bits, strict=True):
            known[place] = bit
        expected = any(bits == (True,) * length + (False,) * (8 - length) for length in range(9))
        assert is_prefix(known) == expected
        prefixes += expected
    assert prefixes == 9


GREY = torch.zeros(1, 4, 5, dtype=torch.uint8)
MASK = torch.ones(4, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": -0.1}, "temperature -0.1 is not a finite number of at least 0"),
        ({"temperature": math.nan}, "temperature nan is not a finite number"),
        ({"temperature": math.inf}, "temperature inf is not a finite number"),
        ({"temperature": torch.tensor([1.0, -2.0])}, "temperature -2 is not a finite number"),
        ({"labels": torch.tensor([0, 3])}, "Labels 0 to 3 are not within 0 and 2"),
        ({"labels": torch.tensor([-1, 2])}, "Labels -1 to 2 are not within 0 and 2"),
        ({"labels": torch.tensor([0.0, 1.0])}, r"Labels are int64 \(2,\), not torch.float32 \(2,\)"),
        ({"labels": torch.tensor([0])}, r"Labels are int64 \(2,\), not torch.int64 \(1,\)"),
        ({"given": GREY}, "both are needed, or neither"),
        ({"mask": MASK}, "both are needed, or neither"),
        ({"given": GREY.int(), "mask": MASK}, r"uint8 \(1, 4, 5\) or \(2, 1, 4, 5\), not torch.int32 \(1, 4, 5\)"),
        ({"given": GREY[0], "mask": MASK}, r"uint8 \(1, 4, 5\) or \(2, 1, 4, 5\), not torch.uint8 \(4, 5\)"),
        ({"given": GREY[:, :3], "mask": MASK}, r"not torch.uint8 \(1, 3, 5\)"),
        ({"given": GREY[None, None], "mask": MASK}, r"not torch.uint8 \(1, 1, 1, 4, 5\)"),
        ({"given": GREY, "mask": MASK.int()}, r"A mask is bool \(4, 5\) or \(1, 4, 5\), not torch.int32 \(4, 5\)"),
        ({"given": GREY, "mask": MASK[:3]}, r"A mask is bool \(4, 5\) or \(1, 4, 5\), not torch.bool \(3, 5\)"),
        ({"given": GREY, "mask": MASK[0]}, r"A mask is bool .*, not torch.bool \(5,\)"),
        ({"given": GREY + 9, "mask": MASK}, "Pixel value 9 is not within 0 and 3"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:30],
)
@pytest.mark.parametrize("call", ["sample", "steps"])
def test_bad_input_gets_a_sentence(call: str, settings: dict[str, Any], sentence: str) -> None:
    model = random(shape=(1, 4, 5), levels=4, classes=3)
    with pytest.raises(ValueError, match=sentence):
        list(getattr(model, call)(2, noise=0, **settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"given": GREY, "mask": torch.ones(2, 4, 5, dtype=torch.bool)},
        {"given": GREY.expand(3, 1, 4, 5), "mask": MASK},
        {"given": GREY, "mask": torch.ones(3, 1, 4, 5, dtype=torch.bool)},
        {"temperature": torch.ones(3)},
    ],
    ids=["colours of a mask", "number of given images", "number of masks", "number of temperatures"],
)
def test_a_wrong_number_gets_a_sentence(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=" "):
        random(shape=(1, 4, 5), levels=4, classes=3).sample(2, noise=0, **settings)


def test_a_model_without_classes_takes_no_labels() -> None:
    with pytest.raises(ValueError, match="no classes: labels must be None"):
        random(shape=(1, 4, 5), levels=4).sample(2, noise=0, labels=torch.zeros(2, dtype=torch.int64))


def test_what_is_given_of_unknown_places_does_not_matter() -> None:
    model = random(shape=(1, 4, 5), levels=4)
    mask = masks(model.spec.shape)["at random"]
    given = some_images(model, 1)[0]
    other = torch.where(mask, given, torch.tensor(255, dtype=torch.uint8))
    assert torch.equal(model.sample(2, noise=0, given=given, mask=mask), model.sample(2, noise=0, given=other, mask=mask))
    assert int(other.max()) == 255


def test_writing_leaves_the_orders_and_what_was_given_alone() -> None:
    model = random(shape=(2, 4, 5), levels=4, classes=2)
    given, mask = some_images(model, 3), masks(model.spec.shape)["at random"]
    before, known = given.clone(), mask.clone()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model.sample(3, noise=1, given=given, mask=mask)
    assert torch.equal(first, model.sample(3, noise=1, given=given, mask=mask))
    assert torch.equal(given, before)
    assert torch.equal(mask, known)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_a_model_that_is_being_trained_can_be_asked_for_a_sample() -> None:
    """And its gradients are none the worse for it."""
    model = random(shape=(1, 4, 5), levels=4).requires_grad_()
    expected = random(shape=(1, 4, 5), levels=4).sample(2, noise=3)
    assert torch.equal(model.sample(2, noise=3), expected)
    model.loss(expected).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.gpu
@NETWORKS
@ALL_SETTINGS
def test_images_written_on_cuda_are_those_written_on_the_cpu(name: str, gated: bool) -> None:
    model = random(gated=gated, **SETTINGS[name])
    wanted = of_every_mask(model)
    images, logits = written(model, wanted)
    known = masks(model.spec.shape)["the middle of a row"]
    completed = model.sample(4, noise=5, given=some_images(model, 4), mask=known)
    model.cuda()
    on_cuda = of_every_mask(model)
    assert on_cuda.uniform.is_cuda
    assert torch.equal(on_cuda.uniform.cpu(), wanted.uniform)
    assert torch.equal(naive(model, on_cuda).cpu(), images)
    again, logits_again = written(model, on_cuda)
    assert torch.equal(again.cpu(), images)
    torch.testing.assert_close(logits_again.cpu(), logits, rtol=0, atol=1e-10, equal_nan=True)
    assert torch.equal(model.sample(4, noise=5, given=some_images(model, 4), mask=known).cpu(), completed)


@pytest.mark.gpu
@NETWORKS
def test_in_float32_on_cuda_the_logits_are_those_of_a_pass_over_the_same_image(
    gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = random(gated=gated, **SETTINGS["three-colours"]).float().cuda()
    wanted = of_every_mask(model)[torch.tensor([0, 0, 0])]
    images, logits = written(model, wanted)
    parallel = model.logits(images, wanted.labels)
    torch.testing.assert_close(logits, parallel.cpu(), rtol=0, atol=1e-5 * float(parallel.abs().max()))
