"""The traps, each by the property that makes it one."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import Tensor

from models.data import sprites, traps
from models.data.images import Images
from models.data.traps import NAMES, NEEDS_PICTURE, trap
from models.noise import Noise

WITH_SEED = {"noise", "sprite", "shuffled"}


@pytest.fixture(scope="module")
def picture(digits: Images) -> Tensor:
    return digits.pixels[7, 0]


@pytest.mark.parametrize("name", NAMES)
def test_every_trap_is_a_picture_and_leaves_its_own_alone(name: str, picture: Tensor) -> None:
    before = picture.clone()
    made = trap(name, picture, noise=3)
    assert made.dtype == torch.uint8
    assert made.shape == (28, 28)
    assert torch.equal(picture, before)
    assert not torch.equal(made, picture)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_trap_and_only_some_depend_on_it(name: str, picture: Tensor) -> None:
    first, again, other = trap(name, picture, noise=3), trap(name, picture, noise=Noise(3)), trap(name, picture, noise=4)
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name not in WITH_SEED)


def test_those_that_change_a_picture_ask_for_one(picture: Tensor) -> None:
    assert {"inverted", "shuffled", "half", "dimmed"} == NEEDS_PICTURE
    for name in NAMES:
        if name in NEEDS_PICTURE:
            with pytest.raises(ValueError, match=f"{name}.*give one"):
                trap(name, noise=0)
        else:
            assert torch.equal(trap(name, noise=0), trap(name, picture, noise=0))


def test_an_unknown_name_and_another_form_are_refused(picture: Tensor) -> None:
    with pytest.raises(ValueError, match="'upside down' is not one of blank, white"):
        trap("upside down", picture, noise=0)
    for wrong in (picture[None], picture[:14], picture.double()):
        with pytest.raises(ValueError, match=r"uint8 \(28, 28\)"):
            trap("half", wrong, noise=0)


def test_blank_is_black_and_white_is_white() -> None:
    assert set(trap("blank", noise=0).flatten().tolist()) == {0}
    assert set(trap("white", noise=0).flatten().tolist()) == {255}


def test_inverting_twice_gives_the_picture_back(picture: Tensor) -> None:
    once = trap("inverted", picture, noise=0)
    assert torch.equal(trap("inverted", once, noise=0), picture)
    assert (once.long() + picture.long() == 255).all()


def test_shuffling_keeps_the_histogram_and_forgets_places(picture: Tensor) -> None:
    made = trap("shuffled", picture, noise=0)
    assert torch.equal(made.flatten().sort().values, picture.flatten().sort().values)

    def roughness(image: Tensor) -> float:
        return float(image.double().diff(dim=1).abs().mean())

    assert roughness(made) > 1.5 * roughness(picture)
    ramp = torch.arange(784, dtype=torch.int64).reshape(28, 28)
    order = Noise(0).permutation(784, stream="trap: shuffled").reshape(28, 28)
    parts = [trap("shuffled", part.to(torch.uint8), noise=0).long() for part in (ramp // 256, ramp % 256)]
    assert torch.equal(256 * parts[0] + parts[1], order)  # the order is the seed's, whatever the picture


def test_noise_is_uniform_over_all_levels() -> None:
    values = torch.stack([trap("noise", noise=seed) for seed in range(40)]).flatten()
    counts = torch.bincount(values.long(), minlength=256).double()
    expected = len(values) / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())  # 255 degrees of freedom: 255 ± 23
    assert 170 < chi_square < 350


def test_half_keeps_the_upper_half_alone(picture: Tensor) -> None:
    made = trap("half", picture, noise=0)
    assert torch.equal(made[:14], picture[:14])
    assert int(made[14:].max()) == 0


def test_dimmed_halves_every_pixel(picture: Tensor) -> None:
    made = trap("dimmed", picture, noise=0)
    assert ((2 * made.long() - picture.long()).abs() <= 1).all()
    assert float(made.double().std()) == pytest.approx(float(picture.double().std()) / 2, rel=0.01)


def test_the_photograph_is_the_middle_of_scikit_learns_in_grey() -> None:
    made = trap("photo", noise=0)
    assert len(made.unique()) > 50
    colours = load_sample_image("china.jpg").astype(float)
    luma = 0.299 * colours[..., 0] + 0.587 * colours[..., 1] + 0.114 * colours[..., 2]
    square = luma[:, 106:533]  # 427 of 640 columns
    rows = square.repeat(28, 0).reshape(28, 427, 427).mean(1)  # exact areas, the slow way: 28 parts a pixel
    each = rows.T.repeat(28, 0).reshape(28, 427, 28).mean(1).T
    assert np.abs(made.numpy() - each).max() <= 0.5 + 1e-9


def test_the_sprite_is_one_of_its_data_set_made_smaller() -> None:
    made = trap("sprite", noise=5)
    whole = sprites.render(sprites.draw(1, noise=5), colour=False)[0, 0]
    assert float(made.double().mean()) == pytest.approx(float(whole.double().mean()), abs=0.25)
    assert int(made.max()) == int(whole.max())  # inside the shape, averages are its own grey
    assert int(made[0].max()) == 0


@pytest.mark.parametrize("size", [1, 20, 28, 33, 56, 427])
def test_scaling_covers_every_pixel_once_and_fully(size: int) -> None:
    cover = traps._cover(size)
    width = Fraction(size, 28)
    for i in (0, 9, 27):
        low, high = i * width, (i + 1) * width
        exact = [float(max(Fraction(0), min(high, Fraction(j + 1)) - max(low, Fraction(j))) / width) for j in range(size)]
        np.testing.assert_allclose(cover[i].numpy(), exact, atol=1e-12)
    torch.testing.assert_close(cover.sum(0), torch.full((size,), 28 / size, dtype=torch.float64))


def test_scaling_by_whole_numbers_is_average_pooling() -> None:
    grey = Noise(1).uniform(84, (56,), stream="grey") * 255
    torch.testing.assert_close(traps.to_side(grey), F.avg_pool2d(grey[None], (3, 2))[0].round().to(torch.uint8))
    same = Noise(2).uniform(28, (28,), stream="grey").mul(256).to(torch.uint8)
    assert torch.equal(traps.to_side(same), same)
