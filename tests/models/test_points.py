"""Clouds: what is refused, and in which words; the frame against numpy, far from the origin, and with weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models import points
from models.noise import Noise
from models.points import BadPoints, checked, checked_weights, chunks, frame_of

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return Noise(seed).normal(n, (d,), stream="cloud") * torch.arange(1.0, d + 1, dtype=torch.float64) + 0.5


# ------------------------------------------------------------------------------------------------ what is a cloud


@pytest.mark.parametrize("given_as", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], np.float32), torch.tensor([[1, 2], [3, 4]])])
def test_lists_arrays_and_tensors_become_float64(given_as: object) -> None:
    x = checked(given_as)
    assert x.dtype == torch.float64
    assert x.tolist() == [[1, 2], [3, 4]]


def test_a_vector_is_a_cloud_on_a_line() -> None:
    assert checked([1, 2, 3]).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("shape", [(), (2, 0), (2, 3, 4)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadPoints) as caught:
        checked(torch.zeros(shape))
    assert str(caught.value) == f"Points of shape {shape} are not a cloud: it has N rows and D ≥ 1 columns."


def test_too_few_points_are_refused_with_what_needs_them() -> None:
    with pytest.raises(BadPoints) as caught:
        checked([[0, 0]], at_least=3, reason="a triangle")
    assert str(caught.value) == "1 point is too few: a triangle needs at least 3."
    with pytest.raises(BadPoints) as caught:
        checked(torch.zeros(0, 2))
    assert str(caught.value) == "0 points are too few: a cloud needs at least 1."
    assert checked(torch.zeros(0, 2), at_least=0).shape == (0, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("row", [0, 5, 8_191, 8_192, 19_999])
def test_the_first_point_that_is_not_finite_is_named_by_its_row(bad: float, row: int) -> None:
    x = torch.zeros(20_000, 2)
    x = x.double()
    x[row, 1] = bad
    x[19_999, 0] = math.nan  # a later one is not named
    with pytest.raises(BadPoints) as caught:
        checked(x)
    said = f"Point {row + 1} is {x[row].tolist()}: every coordinate must be a finite number."
    assert str(caught.value) == said


def test_weights_are_one_finite_number_for_each_point() -> None:
    x = cloud(3, 2)
    assert checked_weights(None, x) is None
    taken = checked_weights([1, 0, 2], x)
    assert taken is not None
    assert taken.dtype == torch.float64
    with pytest.raises(BadPoints) as caught:
        checked_weights([1, 2], x)
    assert str(caught.value) == "(2,) weights do not fit 3 points: give one for each point."
    for bad in ([1, 1, -1], [1, math.nan, 1], [1, 1, math.inf], [0, 0, 0]):
        with pytest.raises(BadPoints) as caught:
            checked_weights(bad, x)
        assert str(caught.value) == "The sample weights must be finite, none below 0, and not all 0."


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_chunks_are_views_that_together_are_the_cloud(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "CHUNK", 64)
    x, w = cloud(n, 2), torch.arange(float(n))
    pieces = list(chunks(x, w))
    assert max(len(piece) for piece, _ in pieces) == min(n, 64)
    assert torch.equal(torch.cat([piece for piece, _ in pieces]), x)
    assert torch.equal(torch.cat([weight for _, weight in pieces]), w)  # type: ignore[misc]
    assert all(piece.untyped_storage().data_ptr() == x.untyped_storage().data_ptr() for piece, _ in pieces)
    assert [len(piece) for piece, _ in chunks(x, size=n)] == [n]


# ------------------------------------------------------------------------------------------------ the frame


@given(n=st.integers(1, 300), d=st.integers(1, 5), seed=SEEDS, weighted=st.booleans())
def test_the_frame_is_the_mean_and_the_deviation_of_numpy(n: int, d: int, seed: int, weighted: bool) -> None:
    x = cloud(n, d, seed)
    w = Noise(seed).uniform(n, stream="w") if weighted else None
    frame = frame_of(x, w)
    mean = np.average(x, 0, w)
    deviation = np.sqrt(np.average((x.numpy() - mean) ** 2, 0, w))
    np.testing.assert_allclose(frame.centre, mean, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(frame.scale, deviation if n > 1 else np.ones(d), rtol=1e-12)
    assert frame.total == pytest.approx(n if w is None else float(w.sum()), rel=1e-14)
    if n > 1:
        inside = frame.inside(x).numpy()
        np.testing.assert_allclose(np.average(inside, 0, w), 0, atol=1e-13)
        np.testing.assert_allclose(np.average(inside**2, 0, w), 1, rtol=1e-12)


@pytest.mark.parametrize("far", [2.0**20, 2.0**30])
def test_far_from_the_origin_the_frame_keeps_its_digits(far: float) -> None:
    x = (cloud(50_000, 2) * 2**20).round() / 2**20  # so that x + far is exact
    here, there = frame_of(x), frame_of(x + far)
    torch.testing.assert_close(there.scale, here.scale, rtol=1e-13, atol=0)
    torch.testing.assert_close(there.centre - far, here.centre, rtol=0, atol=2 * far * 2.0**-52)


@pytest.mark.parametrize("value", [1e101, 1e200, 1e308])
def test_a_cloud_too_wide_for_squares_is_refused(value: float) -> None:
    with pytest.raises(BadPoints) as caught:
        frame_of(torch.tensor([[value, 0.0], [-value, 1.0]], dtype=torch.float64))
    assert str(caught.value) == f"The points lie as far apart as {value:g}: deviations must be at most 1e+100."
    assert frame_of(torch.tensor([[1e99], [-1e99]], dtype=torch.float64)).scale.tolist() == pytest.approx([1e99])


def test_the_frame_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = cloud(1_000, 3), Noise(1).uniform(1_000, stream="w")
    whole = frame_of(x, w)
    monkeypatch.setattr(points, "CHUNK", 64)
    pieces = frame_of(x, w)
    torch.testing.assert_close(pieces.centre, whole.centre, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(pieces.scale, whole.scale, rtol=1e-13, atol=0)


@given(n=st.integers(1, 50), seed=SEEDS)
def test_integer_weights_are_repeated_points_and_zero_weights_absent_ones(n: int, seed: int) -> None:
    x = cloud(n, 2, seed)
    w = (Noise(seed).uniform(n, stream="w") * 4).floor()
    w[0] += w.sum() == 0
    weighted, repeated = frame_of(x, w), frame_of(x.repeat_interleave(w.long(), 0))
    assert weighted.total == repeated.total
    torch.testing.assert_close(weighted.centre, repeated.centre, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(weighted.scale, repeated.scale, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, -1e12 / 3])
@pytest.mark.parametrize("n", [1, 2, 7, 10_001])
def test_equal_points_have_a_frame_of_scale_1_whatever_rounding_makes_of_their_mean(value: float, n: int) -> None:
    frame = frame_of(torch.full((n, 2), value, dtype=torch.float64))
    assert frame.scale.tolist() == [1, 1]
    assert frame.centre.tolist() == pytest.approx([value, value], rel=1e-14)


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1])
def test_rounding_about_an_absent_point_is_no_width(value: float) -> None:
    x, w = torch.full((999, 1), value, dtype=torch.float64), torch.ones(999, dtype=torch.float64)
    x[0], w[0] = value / 3 + 7, 0  # sums run about the first point
    assert frame_of(x, w).scale.tolist() == [1]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_flat_coordinate_takes_its_unit_from_the_widest(unit: float) -> None:
    x = cloud(100, 3) * unit
    x[:, 1] = 7 * unit
    frame = frame_of(x)
    assert frame.scale[1] == frame.scale.max()
    assert frame.scale[2] == pytest.approx(float(x[:, 2].std(correction=0)), rel=1e-12)
