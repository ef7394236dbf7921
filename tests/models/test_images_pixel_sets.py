"""The data sets of the pixel models: binarised MNIST from grey values that the test makes up, and sprites as levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from models.data import images, sprites
from models.data.images import Images, binarise, to_levels
from models.noise import Noise

TRAIN, TEST = 12, 6


@pytest.fixture
def grey(monkeypatch: pytest.MonkeyPatch) -> dict[bool, Tensor]:
    """MNIST of a few random grey images, of which the last four of training are for validation: `{train: pixels}`."""
    made = {
        train: (256 * Noise(int(train)).uniform(n, (1, 28, 28), stream="grey")).to(torch.uint8)
        for train, n in ((True, TRAIN), (False, TEST))
    }

    def read(name: str, train: bool, root: Path, download: bool) -> tuple[Tensor, Tensor]:
        assert name == "mnist"
        return made[train], torch.arange(len(made[train])) % 10

    monkeypatch.setattr(images, "_read", read)
    monkeypatch.setattr(images, "VALIDATION", 4)
    return made


def test_a_pixel_is_1_with_the_probability_of_its_grey_value() -> None:
    values = torch.tensor([0, 1, 40, 128, 200, 254, 255], dtype=torch.uint8)
    n = 20_000
    drawn = binarise(values.reshape(1, 1, 1, 7).expand(n, -1, -1, -1), torch.arange(n), Noise(3))
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (n, 1, 1, 7)
    ones = drawn.long().sum(0).flatten().tolist()
    assert set(drawn.unique().tolist()) == {0, 1}
    assert ones[0] == 0
    assert ones[-1] == n
    for value, count in zip(values.tolist()[1:-1], ones[1:-1], strict=True):
        assert scipy.stats.binomtest(count, n, value / 255).pvalue > 1e-3


def test_binarisation_belongs_to_the_image_and_the_step() -> None:
    grey = torch.full((5, 1, 9, 9), 128, dtype=torch.uint8)
    index = torch.tensor([4, 0, 9, 2, 7])
    first = binarise(grey, index, Noise(1, step=6))
    assert torch.equal(first, binarise(grey, index, Noise(1, step=6)))
    order = torch.tensor([3, 1])
    assert torch.equal(first[order], binarise(grey[order], index[order], Noise(1, step=6)))
    assert len(first.unique(dim=0)) == 5
    for other in (Noise(1, step=7), Noise(2, step=6)):
        agreement = (binarise(grey, index, other) == first).double().mean()
        assert 0.4 < float(agreement) < 0.6  # as good as independent
    assert torch.equal(binarise(grey, index, 1), binarise(grey, index, Noise(1)))


def test_binarised_training_images_are_drawn_anew_at_each_use(grey: dict[bool, Tensor]) -> None:
    train = images.load("mnist-binary", "train")
    assert (train.name, train.split, train.dynamic) == ("mnist-binary", "train", True)
    assert torch.equal(train.pixels, grey[True][:8])  # grey still
    assert train.labels.tolist() == list(range(8))
    index = torch.tensor([5, 0, 3])
    used = [train.used(train.pixels[index], index, Noise(0, step)) for step in (0, 0, 1)]
    assert set(used[0].unique().tolist()) == {0, 1}
    assert torch.equal(used[0], used[1])
    assert not torch.equal(used[0], used[2])
    assert torch.equal(used[2], binarise(grey[True][index], index, Noise(0, 1)))
    mean = torch.stack([train.used(train.pixels[index], index, Noise(0, step)).double() for step in range(300)]).mean(0)
    assert float((mean - grey[True][index].double() / 255).abs().mean()) < 0.04


@pytest.mark.parametrize("split", ["validation", "test"])
def test_binarised_held_out_images_are_drawn_once_and_for_all(split: str, grey: dict[bool, Tensor]) -> None:
    held_out, again = images.load("mnist-binary", split), images.load("mnist-binary", split)
    source = grey[True][8:] if split == "validation" else grey[False]
    assert held_out.pixels.shape == source.shape
    assert set(held_out.pixels.unique().tolist()) == {0, 1}
    assert (held_out.name, held_out.split, held_out.dynamic) == ("mnist-binary", split, False)
    assert torch.equal(held_out.pixels, again.pixels)
    index = torch.arange(2)
    assert torch.equal(held_out.used(held_out.pixels[:2], index, Noise(0, 5)), held_out.pixels[:2])
    assert (held_out.pixels[source == 0] == 0).all()
    assert (held_out.pixels[source == 255] == 1).all()
    correlation = np.corrcoef(held_out.pixels.flatten().numpy(), source.flatten().numpy())[0, 1]
    assert 0.5 < correlation < 0.65  # of a Bernoulli with a uniform probability: 1/√3
    assert held_out.labels.tolist() == (torch.arange(TRAIN)[8:] % 10 if split == "validation" else torch.arange(TEST)).tolist()


def test_the_splits_of_binarised_mnist_do_not_share_their_random_numbers(grey: dict[bool, Tensor]) -> None:
    grey[True].fill_(128)
    grey[False].fill_(128)
    validation, test = (images.load("mnist-binary", split).pixels[:4] for split in ("validation", "test"))
    assert 0.4 < float((validation == test).double().mean()) < 0.6


def test_images_that_are_not_dynamic_are_used_as_they_are() -> None:
    pixels = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8)
    plain = Images("mnist", "train", pixels, torch.zeros(3, dtype=torch.int64), images.CLASSES["mnist"])
    assert not plain.dynamic
    assert plain.used(pixels, torch.arange(3), Noise(0)) is pixels


@pytest.mark.parametrize("levels", [2, 3, 16, 17, 128, 255, 256])
def test_levels_are_of_equal_width(levels: int) -> None:
    every = torch.arange(256, dtype=torch.uint8)
    found = to_levels(every.reshape(1, 1, 16, 16), levels)
    assert found.dtype == torch.uint8
    assert found.shape == (1, 1, 16, 16)
    assert found.flatten().tolist() == [int(value / 256 * levels) for value in range(256)]
    widths = torch.bincount(found.flatten().long(), minlength=levels)
    assert len(widths) == levels
    assert int(widths.max() - widths.min()) <= 1


@pytest.fixture
def few_sprites(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    counts = {"train": 20, "validation": 7, "test": 9}
    monkeypatch.setattr(images, "SPRITES", counts)
    return counts


def test_sprites_come_in_16_levels_and_their_class_is_their_shape(few_sprites: dict[str, int]) -> None:
    for number, (split, count) in enumerate(few_sprites.items()):
        found = images.load("sprites", split)
        assert (found.name, found.split, found.dynamic, len(found)) == ("sprites", split, False, count)
        assert found.classes == sprites.SHAPES
        assert found.pixels.dtype == torch.uint8
        assert found.pixels.shape == (count, 3, 32, 32)
        assert int(found.pixels.max()) == images.SPRITE_LEVELS - 1 == 15
        assert int(found.pixels.min()) == 0
        assert found.labels.dtype == torch.int64
        factors = sprites.draw(count, noise=number)
        assert torch.equal(found.labels, factors.shape)
        assert torch.equal(found.pixels, sprites.render(factors) // 16)
        assert torch.equal(found.pixels, images.load("sprites", split).pixels)


def test_no_sprite_is_in_two_splits(few_sprites: dict[str, int]) -> None:
    everything = torch.cat([images.load("sprites", split).pixels for split in few_sprites])
    assert len(everything.unique(dim=0)) == sum(few_sprites.values())


def test_there_are_as_many_sprites_as_mnist_has_images() -> None:
    assert images.SPRITES == {"train": 60_000, "validation": 5_000, "test": 10_000}
    assert tuple(images.SPRITES) == images.SPLITS


def test_the_new_sets_have_names_titles_and_classes() -> None:
    assert {"mnist-binary", "sprites"} <= set(images.NAMES)
    assert set(images.TITLES) == set(images.CLASSES) == set(images.NAMES)
    assert len(set(images.TITLES.values())) == len(images.NAMES)
    assert images.CLASSES["mnist-binary"] == images.CLASSES["mnist"]


def test_binarised_mnist_is_missing_where_mnist_is(tmp_path: Path) -> None:
    with pytest.raises(images.DataMissing, match=r"python -m models\.data\.images mnist"):
        images.load("mnist-binary", "train", tmp_path)
