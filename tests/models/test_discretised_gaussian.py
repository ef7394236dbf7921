"""The discretised Gaussian against sixty digits of mpmath, finite differences, brute-force sums and its own draws."""

from __future__ import annotations

import math

import mpmath
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.discretised_gaussian import draw, expectation, log_mass
from models.noise import Noise

MEANS = st.floats(-500, 800)
STDS = st.floats(1e-3, 1e3)


def exact_log_mass(k: int, mean: float, std: float, levels: int) -> float:
    """log p(k) in sixty digits, each Φ as half an erfc, on the side of the mean where it is small."""
    with mpmath.workdps(60):
        m, s = mpmath.mpf(mean), mpmath.mpf(std)
        low = -mpmath.inf if k == 0 else (k - mpmath.mpf("0.5") - m) / s
        high = mpmath.inf if k == levels - 1 else (k + mpmath.mpf("0.5") - m) / s
        if low > 0:  # by symmetry, on the lower tail
            low, high = -high, -low
        tail = [mpmath.erfc(-bound / mpmath.sqrt(2)) / 2 for bound in (low, high)]
        return float(mpmath.log(tail[1] - tail[0]))


def f64(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@given(MEANS, STDS, st.integers(2, 300))
def test_masses_sum_to_one(mean: float, std: float, levels: int) -> None:
    total = log_mass(torch.arange(levels), f64(mean), f64(std), levels).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-11)


@given(st.floats(-20, 20), st.floats(0.05, 100), st.integers(0, 255))
def test_log_mass_equals_sixty_digits_near_the_mean(distance: float, std: float, k: int) -> None:
    mean = k + distance
    value = float(log_mass(torch.tensor(k), f64(mean), f64(std), 256))
    assert value == pytest.approx(exact_log_mass(k, mean, std, 256), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("k", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("mean", [-3e3, -200.0, -0.5, 0.0, 0.5, 127.9, 255.0, 255.5, 600.0, 3e3])
@pytest.mark.parametrize("std", [0.02, 0.5, 7.0, 64.0, 900.0])
def test_log_mass_equals_sixty_digits_in_the_far_tails(k: int, mean: float, std: float) -> None:
    expected = exact_log_mass(k, mean, std, 256)  # down to minus ten thousand million nats
    value = float(log_mass(torch.tensor(k), f64(mean), f64(std), 256))
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)
    single = float(log_mass(torch.tensor(k), f64(mean).float(), f64(std).float(), 256))
    rounded = exact_log_mass(k, float(f64(mean).float()), float(f64(std).float()), 256)
    assert single == pytest.approx(rounded, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("levels", [2, 4, 256])
def test_gradients_equal_finite_differences(levels: int) -> None:
    top = levels - 1
    x = torch.tensor([0, 0, 0, top, top, top, top // 2, top // 2, 1])
    mean = torch.tensor([-9.0, 0.3, 40.0, -9.0, top + 0.2, top + 9, top // 2, top + 3, 1.7], dtype=torch.float64)
    for std in (0.6, 3.0, 50.0):
        both = (mean.clone().requires_grad_(), torch.full_like(mean, std).requires_grad_())
        assert torch.autograd.gradcheck(lambda m, s: log_mass(x, m, s, levels), both, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(st.sampled_from([0, 1, 100, 254, 255]), st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
def test_values_and_gradients_are_finite(dtype: torch.dtype, x: int, mean: float, std: float) -> None:
    m, s = (torch.tensor(value, dtype=dtype, requires_grad=True) for value in (mean, std))
    value = log_mass(torch.tensor(x), m, s, 256)
    value.backward()
    assert value.isfinite()
    assert value <= 0
    assert m.grad.isfinite()
    assert s.grad.isfinite()


@pytest.mark.parametrize("mean", [-250.0, -5.0, 0.0, 3.25, 254.0, 260.0, 500.0])
@pytest.mark.parametrize("std", [3.0, 10.0, 60.0])
def test_float32_gradients_equal_float64_ones_at_the_edges(mean: float, std: float) -> None:
    """To 170 standard deviations. torch's own gradient of log Φ(u) errs in float32 by about 1e-7·u², relatively."""
    x, gradients = torch.tensor([0, 1, 254, 255]), []
    for dtype in (torch.float64, torch.float32):
        m = torch.full((4,), mean, dtype=dtype, requires_grad=True)
        log_mass(x, m, torch.tensor(std, dtype=dtype), 256).sum().backward()
        gradients.append(m.grad.double())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=2e-3, atol=1e-5)


def test_black_can_be_certain() -> None:
    assert float(log_mass(torch.tensor(0), f64(-300.0), f64(20.0), 256)) > -1e-40
    assert float(log_mass(torch.tensor(255), f64(600.0), f64(20.0), 256)) > -1e-40


def test_the_interior_is_the_squared_distance_and_a_constant() -> None:
    mean, std = 120.3, 40.0
    k = torch.arange(21, 220)
    squared = -0.5 * ((k.double() - mean) / std) ** 2 - math.log(std * math.sqrt(2 * math.pi))
    torch.testing.assert_close(log_mass(k, f64(mean), f64(std), 256), squared, rtol=0, atol=3e-4)


@pytest.mark.parametrize(("mean", "std"), [(-1.0, 2.0), (0.4, 0.3), (7.3, 3.0), (15.0, 6.0), (18.0, 2.0)])
def test_draws_come_as_often_as_their_mass_says(mean: float, std: float) -> None:
    n, levels = 20_000, 16
    drawn = draw(torch.full((n, 1), mean, dtype=torch.float64), f64(std), levels, noise=Noise(4))
    assert drawn.dtype == torch.uint8
    expected = n * log_mass(torch.arange(levels), f64(mean), f64(std), levels).exp()
    observed = torch.bincount(drawn.flatten().long(), minlength=levels).double()
    common = expected >= 5  # what is rarer is counted together
    observed = torch.cat([observed[common], observed[~common].sum()[None]])
    expected = torch.cat([expected[common], expected[~common].sum()[None]])
    assert scipy.stats.chisquare(observed + 1e-12, expected + 1e-12, sum_check=False).pvalue > 1e-3


def test_draws_do_not_depend_on_the_batch() -> None:
    mean = Noise(0).normal(9, (2, 3), stream="mean") * 80 + 120
    whole = draw(mean, f64(30.0), 256, noise=Noise(4))
    assert torch.equal(whole[:4], draw(mean[:4], f64(30.0), 256, noise=Noise(4)))
    assert torch.equal(whole[4:], draw(mean[4:], f64(30.0), 256, noise=Noise(4).skip(4)))


@given(st.floats(-300, 560), st.floats(1e-3, 300), st.sampled_from([2, 4, 16, 256]))
def test_expectation_is_the_sum_over_levels_within_its_tolerance(mean: float, std: float, levels: int) -> None:
    k = torch.arange(levels)
    summed = float((log_mass(k, f64(mean), f64(std), levels).exp() * k).sum())
    within = 0.02 if std >= 1 else 0.5
    assert abs(float(expectation(f64(mean), f64(std), levels)) - summed) <= within


def test_expectation_stays_within_the_levels_and_rises_with_the_mean() -> None:
    mean = torch.linspace(-400, 700, 5001, dtype=torch.float64)
    for std in (0.1, 4.0, 64.0):
        value = expectation(mean, f64(std), 256)
        assert value.min() > -1e-9
        assert value.max() < 255 + 1e-9
        assert value.diff().min() > -1e-9
