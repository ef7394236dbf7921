"""Sprites against areas in closed form, moments, and a count of fine points inside outlines written down a second time."""

from __future__ import annotations

import colorsys
import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from models.data import sprites
from models.data.sprites import LARGEST, RANGES, SHAPES, SIDE, TRAVEL, Factors, coverage, draw, render, rgb
from models.noise import Noise

AREAS = (1.7**2, math.pi * 1.1 * 0.6, 1.1**2 + math.pi * 0.55**2)  # in units of the half side: square, ellipse, heart
# How far below the heart's centre of area its square's centre lies: from areas and centres of a square and two half discs.
LIFT = math.pi * 0.55**2 * (0.55 + 4 * 0.55 / (3 * math.pi)) * math.sqrt(0.5) / AREAS[2]
EVERY_SHAPE = pytest.mark.parametrize("shape", range(3), ids=SHAPES)


def made(n: int = 1, **factors: float | int | Tensor) -> Factors:
    """Squares of middle size in the middle, red, unless said otherwise."""
    wanted = {"shape": 0, "size": 0.75, "angle": 0.0, "across": 0.0, "down": 0.0, "hue": 0.0} | factors
    tensors = {
        name: torch.as_tensor(value, dtype=torch.int64 if name == "shape" else torch.float64).expand(n).clone()
        for name, value in wanted.items()
    }
    return Factors(**tensors)


def centroid(covered: Tensor) -> Tensor:
    """Of `(N, 32, 32)`: columns and rows from the middle, in pixels, `(N, 2)`."""
    axis = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    total = covered.sum((1, 2))
    return torch.stack([(covered.sum(1) * axis).sum(1) / total, (covered.sum(2) * axis).sum(1) / total], 1)


def long_axis(covered: Tensor) -> float:
    """Degrees from the rightward direction towards the downward one, 0 to 180, of `(32, 32)`: by second moments."""
    axis = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    x, y = (axis[None, :] - centroid(covered[None])[0, 0], axis[:, None] - centroid(covered[None])[0, 1])
    xx, yy, xy = (covered * x * x).sum(), (covered * y * y).sum(), (covered * x * y).sum()
    return math.degrees(0.5 * math.atan2(2 * xy, xx - yy)) % 180


def counted(factors: Factors, points: int = 24) -> np.ndarray:
    """The share of `points`² points in each pixel that lie inside the outline, `(32, 32)`: no distance, no ramp."""
    shape, size, angle, across, down = (
        float(getattr(factors, name)[0]) for name in ("shape", "size", "angle", "across", "down")
    )
    axis = (np.arange(SIDE * points) + 0.5) / points - SIDE / 2
    plane = axis[None, :] + 1j * axis[:, None]  # to the right, and down
    turn = math.radians(angle * (90, 180, 360)[int(shape)])
    own = (plane - 6 * (across + 1j * down)) * np.exp(-1j * turn) / (8 * size)
    u, v = own.real, own.imag
    if shape == 0:
        inside = np.maximum(abs(u), abs(v)) <= 0.85
    elif shape == 1:
        inside = (u / 1.1) ** 2 + (v / 0.6) ** 2 <= 1
    else:  # a square on its corner, and a disc about the middle of each upper side
        middle = 0.55 / math.sqrt(2)
        inside = abs(u) + abs(v - LIFT) <= 0.55 * math.sqrt(2)
        for side in (-1, 1):
            inside |= abs(own - (side * middle + 1j * (LIFT - middle))) <= 0.55
    return inside.reshape(SIDE, points, SIDE, points).mean((1, 3))


@EVERY_SHAPE
def test_coverage_is_the_share_of_fine_points_inside_the_outline(shape: int) -> None:
    some = draw(6, noise=shape + 1)
    some = dataclasses.replace(some, shape=torch.full((6,), shape))
    for n in range(6):
        off = np.abs(coverage(some[n : n + 1])[0].numpy() - counted(some[n : n + 1]))
        assert off.mean() < 0.0015
        assert off.max() < 0.1  # at corners, which the ramp rounds off
        assert (off > 0).sum() < 100  # the outline's pixels alone


@EVERY_SHAPE
@pytest.mark.parametrize("size", [0.5, 0.75, 1.0])
def test_the_covered_area_is_that_of_the_shape_and_grows_with_the_square_of_its_size(shape: int, size: float) -> None:
    n = 60
    steps = torch.linspace(0, 1, n, dtype=torch.float64)
    found = coverage(made(n, shape=shape, size=size, angle=steps, across=0.3 * steps, down=-0.2 * steps)).sum((1, 2))
    expected = torch.full_like(found, AREAS[shape] * (LARGEST * size) ** 2)
    torch.testing.assert_close(found, expected, rtol=0.015, atol=0)


@EVERY_SHAPE
def test_across_and_down_move_the_centroid_and_nothing_else(shape: int) -> None:
    steps = torch.linspace(-1, 1, 9, dtype=torch.float64)
    still = made(shape=shape, size=0.8, angle=0.3)
    at_rest = centroid(coverage(still))
    for name, direction in (("across", [1.0, 0.0]), ("down", [0.0, 1.0])):
        covered = coverage(made(9, shape=shape, size=0.8, angle=0.3, **{name: steps}))
        moved = centroid(covered) - at_rest
        expected = TRAVEL * steps[:, None] * torch.tensor(direction, dtype=torch.float64)
        torch.testing.assert_close(moved, expected, rtol=0, atol=0.03)
        torch.testing.assert_close(covered.sum((1, 2)), coverage(still).sum().expand(9), rtol=0.01, atol=0)
    # A whole pixel is a shift of the picture: to the right, and down.
    covered = coverage(made(3, shape=shape, angle=0.3, across=torch.tensor([0, 2 / 6, 0]), down=torch.tensor([0, 0, 3 / 6])))
    torch.testing.assert_close(covered[1], covered[0].roll(2, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(covered[2], covered[0].roll(3, 0), rtol=0, atol=1e-6)


def test_the_angle_turns_the_long_axis_of_the_ellipse() -> None:
    for angle in np.linspace(0, 0.99, 12):
        covered = coverage(made(shape=1, size=1.0, angle=float(angle), across=0.4, down=-0.7))[0]
        off = long_axis(covered) - 180 * angle
        assert abs((off + 90) % 180 - 90) < 0.5
        assert centroid(covered[None])[0].tolist() == pytest.approx([6 * 0.4, -6 * 0.7], abs=0.02)


@EVERY_SHAPE
def test_after_the_symmetry_a_shape_looks_the_same_and_never_before(shape: int) -> None:
    steps = torch.linspace(0, 1, 25, dtype=torch.float64)
    covered = coverage(made(25, shape=shape, size=1.0, angle=steps))
    torch.testing.assert_close(covered[-1], covered[0], rtol=0, atol=1e-9)
    apart = (covered[:-1, None] - covered[None, :-1]).abs().sum((2, 3))
    assert float((apart + 1e9 * torch.eye(24)).min()) > 5  # pixels


@EVERY_SHAPE
@pytest.mark.parametrize("size", [0.5, 1.0])
def test_no_factor_but_its_own_two_moves_a_shape(shape: int, size: float) -> None:
    """The centre of area stays where `across` and `down` put it, whatever the angle and the size."""
    angles = torch.linspace(0, 0.99, 23, dtype=torch.float64)
    found = centroid(coverage(made(23, shape=shape, size=size, angle=angles, across=0.5, down=-0.25)))
    expected = TRAVEL * torch.tensor([0.5, -0.25], dtype=torch.float64)
    torch.testing.assert_close(found, expected.expand(23, 2), rtol=0, atol=0.04)  # pixels


def test_the_heart_stands_on_its_tip_at_angle_0() -> None:
    upright = coverage(made(shape=2, size=1.0))[0]
    torch.testing.assert_close(upright, upright.flip(1), rtol=0, atol=1e-12)
    widths = upright.sum(1)[upright.sum(1) > 0]
    assert float(widths[-1]) < 2.5
    assert widths.argmax() < len(widths) / 2
    top = upright[int(upright.gt(0.5).any(1).nonzero().min())]
    assert float(top[SIDE // 2]) < float(top.max()) - 0.2  # a dent between its two arcs
    quarter = coverage(made(shape=2, size=1.0, angle=0.25))[0]  # clockwise
    torch.testing.assert_close(quarter, torch.rot90(upright, -1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "shape",
    [
        0,
        1,
        2,
    ],
    ids=SHAPES,
)
def test_no_shape_is_cut_off_by_the_border(shape: int) -> None:
    steps = torch.linspace(0, 1, 181, dtype=torch.float64)[:-1]
    covered = coverage(made(180, shape=shape, size=1.0, angle=steps, across=1.0, down=1.0))
    assert float(torch.cat([covered[:, -1], covered[:, :, -1]], 1).max()) < 0.6
    torch.testing.assert_close(covered.sum((1, 2)), torch.full((180,), AREAS[shape] * 64).double(), rtol=0.015, atol=0)


def test_hue_changes_the_colour_and_not_the_coverage() -> None:
    hues = torch.linspace(0, 1, 31, dtype=torch.float64)
    one = made(31, shape=2, size=0.9, angle=0.1, hue=hues)
    assert (coverage(one) == coverage(one[:1])).all()
    pixels = render(one).double()
    covered = coverage(one[:1])[0]
    for n, hue in enumerate(hues.tolist()):
        expected = colorsys.hsv_to_rgb(hue * 300 / 360, 1, 1)
        torch.testing.assert_close(rgb(hues)[n], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
        for k in range(3):
            torch.testing.assert_close(pixels[n, k], 255 * expected[k] * covered, rtol=0, atol=0.5 + 1e-9)
    assert rgb(torch.tensor([0.0, 0.4, 0.8, 1.0])).round().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1]]
    assert float((pixels[:-1] - pixels[1:]).abs().amax((1, 2, 3)).min()) > 20  # no two hues look alike
    assert float((pixels[0] - pixels[-1]).abs().max()) == 255


def test_in_grey_the_hue_is_a_brightness() -> None:
    hues = torch.linspace(0, 1, 11, dtype=torch.float64)
    one = made(11, shape=1, hue=hues)
    pixels = render(one, colour=False)
    assert pixels.shape == (11, 1, SIDE, SIDE)
    torch.testing.assert_close(pixels.flatten(1).amax(1).double(), 100 + 155 * hues, rtol=0, atol=0.5)
    expected = coverage(one)[:, None] * (100 + 155 * hues)[:, None, None, None]
    torch.testing.assert_close(pixels.double(), expected, rtol=0, atol=0.5 + 1e-9)


def test_the_share_is_smooth_in_every_factor() -> None:
    """A thousandth of a range never moves a pixel by much: nothing jumps."""
    for (name, (low, high)), shape in itertools.product(RANGES.items(), range(3)):
        before = torch.arange(0, 1, 0.04, dtype=torch.float64)
        pair = [
            coverage(
                dataclasses.replace(made(25, shape=shape, size=0.9, angle=0.15, down=0.3), **{name: low + (high - low) * u})
            )
            for u in (before, before + 0.001)
        ]
        assert float((pair[1] - pair[0]).abs().max()) < 0.1, (name, SHAPES[shape])


def test_the_same_factors_give_the_same_picture_alone_or_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    some = draw(10, noise=3)
    whole = render(some)
    assert whole.dtype == torch.uint8
    assert whole.shape == (10, 3, SIDE, SIDE)
    assert len(whole.unique(dim=0)) == 10
    assert torch.equal(whole, render(some))
    assert torch.equal(torch.cat([render(some[n : n + 1]) for n in range(10)]), whole)
    for chunk in (1, 3, 10):
        monkeypatch.setattr(sprites, "CHUNK", chunk)
        assert torch.equal(render(some), whole)
        assert torch.equal(render(some, colour=False), render(some[torch.arange(10)], colour=False))


def test_no_sprites_are_an_empty_tensor() -> None:
    assert render(draw(0, noise=1)).shape == (0, 3, SIDE, SIDE)
    assert render(draw(0, noise=1), colour=False).shape == (0, 1, SIDE, SIDE)


def test_factors_are_drawn_uniformly_and_independently() -> None:
    n = 5000
    some = draw(n, noise=0)
    assert len(some) == n
    assert some.shape.dtype == torch.int64
    counts = torch.bincount(some.shape, minlength=3)
    assert len(counts) == 3
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    columns = [some.shape.double()]
    for name, (low, high) in RANGES.items():
        values = getattr(some, name)
        assert values.dtype == torch.float64
        assert scipy.stats.kstest(values.numpy(), "uniform", args=(low, high - low)).pvalue > 1e-3, name
        columns.append(values)
    correlations = torch.corrcoef(torch.stack(columns)) - torch.eye(6)
    assert float(correlations.abs().max()) < 4 / math.sqrt(n)


def test_the_factors_of_a_picture_depend_on_its_number_and_the_seed() -> None:
    ten, four = draw(10, noise=5), draw(4, noise=5)
    later, other = draw(6, noise=Noise(5).skip(4)), draw(10, noise=6)
    for field in dataclasses.fields(Factors):
        name = field.name
        assert torch.equal(getattr(ten[:4], name), getattr(four, name))
        assert torch.equal(getattr(ten[4:], name), getattr(later, name))
        assert not torch.equal(getattr(ten, name), getattr(other, name))


def test_factors_can_be_picked() -> None:
    some = draw(6, noise=1)
    which = some.shape == 1
    assert which.any()
    assert (some[which].shape == 1).all()
    assert torch.equal(some[torch.tensor([4, 0])].hue, some.hue[[4, 0]])


@pytest.mark.parametrize(
    ("factors", "sentence"),
    [
        ({"shape": 3}, r"Shapes are 0 to 2 \(square, ellipse, heart\)"),
        ({"shape": -1}, r"Shapes are 0 to 2 \(square, ellipse, heart\)"),
        ({"size": 0.4}, "size 0.4 is not within 0.5 and 1"),
        ({"size": 1.01}, "size 1.01 is not within 0.5 and 1"),
        ({"angle": -0.1}, "angle -0.1 is not at least 0 and below 1"),
        ({"angle": 1.0}, "angle 1 is not at least 0 and below 1"),
        ({"across": 1.5}, "across 1.5 is not within -1 and 1"),
        ({"down": -2.0}, "down -2 is not within -1 and 1"),
        ({"down": math.inf}, "down inf is not within -1 and 1"),
        ({"hue": math.nan}, "hue nan is not within 0 and 1"),
    ],
    ids=str,
)
def test_a_factor_outside_its_range_gets_a_sentence(factors: dict[str, Any], sentence: str) -> None:
    good, bad = draw(2, noise=0), made(**factors)
    joined = Factors(*(torch.cat([getattr(good, f.name), getattr(bad, f.name)]) for f in dataclasses.fields(Factors)))
    for colour in (True, False):
        with pytest.raises(ValueError, match=sentence):
            render(joined, colour=colour)
