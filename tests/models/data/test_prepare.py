"""Preparing a picture: where it was drawn, how large, and in which colour must not matter."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.data import images, prepare
from models.data.prepare import PREPARATIONS, NothingThere, centre_by_mass, like_fashion, like_mnist, scale_longer_side

SEVEN = ((0.1, 0.0), (0.7, 0.05), (0.3, 1.0))
HOOK = ((0.0, 0.1), (0.0, 0.8), (0.5, 1.0), (0.8, 0.6), (0.3, 0.5))
CANVAS = 300


def stroke(points: tuple[tuple[float, float], ...], side: float, left: float, top: float) -> Tensor:
    """White ink 0 to 255 on black `(CANVAS, CANVAS)`: a line through `points` of the unit square, an eighth of `side` thick."""
    y, x = torch.meshgrid(torch.arange(CANVAS).double(), torch.arange(CANVAS).double(), indexing="ij")
    distance = torch.full_like(x, torch.inf)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        ax, ay, dx, dy = left + side * x0, top + side * y0, side * (x1 - x0), side * (y1 - y0)
        along = (((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
        distance = torch.minimum(distance, torch.hypot(x - ax - along * dx, y - ay - along * dy))
    return (255 * (side / 16 - distance + 0.5).clamp(0, 1)).round().to(torch.uint8)


def final(grey: Tensor) -> Tensor:
    return like_mnist(grey)[-1].image


def difference(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference in grey levels, at the best shift of at most one pixel: centring is to the pixel."""
    shifts = [torch.roll(b, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return min(float((a.double() - s.double()).abs().mean()) for s in shifts)


@pytest.mark.parametrize("points", [SEVEN, HOOK], ids=["seven", "hook"])
@settings(max_examples=20)
@given(side=st.floats(60, 220), left=st.floats(0, 1), top=st.floats(0, 1), inverted=st.booleans())
def test_a_stroke_gives_the_same_picture_wherever_and_however_large(points, side, left, top, inverted) -> None:
    room = CANVAS - 1.3 * side - 4
    drawn = stroke(points, side, 0.15 * side + 2 + left * room, 0.15 * side + 2 + top * room)
    prepared = final(255 - drawn if inverted else drawn)
    reference = final(stroke(points, 150, 70, 70))
    assert difference(prepared, reference) < 5
    other = final(stroke(HOOK if points is SEVEN else SEVEN, 150, 70, 70))
    assert difference(prepared, other) > 20


@given(st.integers(-60, 60), st.integers(-60, 60), st.booleans(), st.integers(20, 255))
@settings(max_examples=20)
def test_whole_pixel_shifts_and_inversion_change_nothing_at_all(dx: int, dy: int, inverted: bool, margin: int) -> None:
    drawn = stroke(SEVEN, 120, 80, 80)
    moved = torch.roll(drawn, (dy, dx), (0, 1))
    moved = torch.nn.functional.pad(moved, (margin, 0, 0, margin))
    assert torch.equal(final(255 - moved if inverted else moved), final(drawn))


def test_pale_pencil_on_grey_paper_becomes_white_ink_on_black() -> None:
    drawn = stroke(HOOK, 150, 70, 70)
    pencil = (180 - drawn.double() * 60 / 255).round().to(torch.uint8)
    assert difference(final(pencil), final(drawn)) < 1
    assert final(pencil).max() == 255


PICTURES = st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))


@pytest.mark.parametrize("name", list(PREPARATIONS))
@given(PICTURES)
def test_every_picture_comes_out_as_the_model_wants_it(name: str, picture: tuple[int, int, int]) -> None:
    height, width, seed = picture
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randint(0, 256, (height, width), generator=generator).to(torch.uint8)
    if seed % 2:  # mostly paper
        grey = grey * (torch.rand(height, width, generator=generator) < 0.05).to(torch.uint8)
    try:
        steps = PREPARATIONS[name](grey)
    except NothingThere:
        assume(False)
        return
    assert [step.name for step in steps] == ["grey", "ink", "cropped", "scaled", "centred"]
    assert all(step.image.dtype == torch.uint8 and step.image.dim() == 2 for step in steps)
    assert torch.equal(steps[0].image, grey)
    assert steps[1].image.shape == grey.shape
    assert max(steps[3].image.shape) == (28 if name == "fashion" else 20)
    assert steps[4].image.shape == (28, 28)
    assert steps[3].image.max() == steps[4].image.max() == 255
    assert steps[4].image.long().sum() == steps[3].image.long().sum()  # nothing is cut off


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255), st.integers(0, 7))
def test_an_even_grey_has_nothing_in_it(height: int, width: int, grey: int, contrast: int) -> None:
    picture = torch.full((height, width), grey, dtype=torch.uint8)
    picture[height // 2, width // 2] = min(255, grey + contrast)
    for form in (like_mnist, like_fashion):
        with pytest.raises(NothingThere, match="one even grey"):
            form(picture)


@given(st.integers(2, 90), st.integers(2, 90), st.integers(5, 28))
def test_scaling_keeps_the_proportions(height: int, width: int, side: int) -> None:
    scaled = scale_longer_side(torch.ones(height, width).double(), side)
    assert max(scaled.shape) == side
    assert abs(min(scaled.shape) - max(1, side * min(height, width) / max(height, width))) <= 0.5
    assert scaled.min() >= 0
    assert scaled.max() <= 1


@given(st.integers(1, 10), st.integers(1, 10), st.integers(0, 1000))
def test_the_centre_of_mass_lies_in_the_middle(height: int, width: int, seed: int) -> None:
    ink = torch.rand(height, width, generator=torch.Generator().manual_seed(seed)).double() + 1e-3
    place = torch.arange(28).double()
    centred = centre_by_mass(ink)
    assert abs(float((centred.sum(1) * place).sum() / ink.sum()) - 13.5) <= 0.5 + 1e-9
    assert abs(float((centred.sum(0) * place).sum() / ink.sum()) - 13.5) <= 0.5 + 1e-9


def test_an_article_fills_the_picture_and_keeps_equal_margins() -> None:
    grey = torch.zeros(100, 100, dtype=torch.uint8)
    grey[10:90, 30:50] = 200  # 80 × 20
    article = like_fashion(grey)[-1].image
    columns = (article > 0).any(0).nonzero().flatten()
    assert (article > 0).any(1).all()
    assert len(columns) == 7
    assert int(columns[0]) == 10


def test_a_digit_already_in_mnists_form_stays_nearly_itself(digits: images.Images) -> None:
    changes = torch.tensor([difference(like_mnist(image)[-1].image, image) for image in digits.pixels[:200, 0]])
    assert changes.median() == 0  # most come back as they were
    assert changes.max() < 16  # a faint outermost row is not ink: the rest grows to fill the box
    ink = digits.pixels[:200].double().mean()
    assert changes.mean() < 0.02 * ink


@pytest.mark.parametrize("seed", range(4))
def test_uneven_light_leaves_no_wedge_of_shade(seed: int) -> None:
    """A dark stroke on paper that is lit from one side, with its grain: prepared as the same stroke in even light."""
    generator = torch.Generator().manual_seed(seed)
    h, w = 240, 320
    row, column = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    slopes = 30 * (torch.rand(3, generator=generator) - 0.5) * 2
    paper = 200 + slopes[0] * row + slopes[1] * column - 20 * slopes[2].abs() / 30 * (row**2 + column**2)
    ink = torch.zeros(h, w)
    ink[50:190, 150:172] = 150.0
    ink[168:190, 150:220] = 150.0
    even = prepare.like_mnist((torch.full((h, w), 200.0) - ink).clamp(0, 255))[-1].image.double()
    grain = 2.5 * torch.randn(h, w, generator=generator)
    uneven = prepare.like_mnist((paper - ink + grain).clamp(0, 255).round())[-1].image.double()
    assert float((even - uneven).abs().mean()) < 3
    assert int((uneven[even == 0] > 30).sum()) <= 4


def test_ink_that_reaches_the_border_does_not_bend_the_ground() -> None:
    picture = torch.full((100, 100), 220.0)
    picture[:, 40:55] = 30.0  # a stroke through and through
    ink = prepare.ink_on_black(picture)
    assert float(ink[:, 45].min()) > 0.97
    assert float(ink[:, [5, 30, 70, 95]].max()) < 0.03
