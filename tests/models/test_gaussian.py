"""The Gaussian against numpy and scipy; its likelihood surface against sums over the points; flat clouds; samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models import points
from models.gaussian import FLOOR, Gaussian, fit, likelihood_surface, log_prob, sample
from models.noise import Noise
from models.points import BadPoints

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int, seed: int = 0, units: float = 1.0) -> Tensor:
    """A slanted cloud; with `units`, the first coordinate is so much wider than the last."""
    turn = torch.eye(d, dtype=torch.float64) + 0.3 * Noise(seed).normal(d, (d,), stream="turn")
    wide = torch.logspace(math.log10(units), 0, d, dtype=torch.float64)
    return (Noise(seed).normal(n, (d,), stream="cloud") @ turn + 0.5) * wide


# ------------------------------------------------------------------------------------------------ fit


@pytest.mark.parametrize("d", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("units", [1.0, 1e8])
def test_the_fit_is_the_mean_and_covariance_of_numpy(d: int, units: float) -> None:
    x = cloud(500, d, units=units)
    found = fit(x)
    covariance = np.cov(x.numpy().T, bias=True).reshape(d, d)
    sizes = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    np.testing.assert_allclose(found.mean, x.numpy().mean(0), rtol=1e-11)
    np.testing.assert_allclose(found.covariance / sizes, covariance / sizes, atol=1e-12)
    assert not found.flat
    assert found.parameters == d + d * (d + 1) // 2


@given(n=st.integers(3, 60), seed=SEEDS)
def test_integer_weights_are_repeated_points_and_zero_weights_absent_ones(n: int, seed: int) -> None:
    x = cloud(n, 2, seed)
    w = (Noise(seed).uniform(n, stream="w") * 4).floor()
    w[:3] += 1
    weighted, repeated = fit(x, weights=w), fit(x.repeat_interleave(w.long(), 0))
    torch.testing.assert_close(weighted.mean, repeated.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(weighted.covariance, repeated.covariance, rtol=1e-11, atol=1e-12)


@given(seed=SEEDS)
def test_weights_are_those_of_numpy(seed: int) -> None:
    x, w = cloud(40, 3, seed), Noise(seed).uniform(40, stream="w")
    found = fit(x, weights=w)
    np.testing.assert_allclose(found.mean, np.average(x, 0, w), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy().T, aweights=w, ddof=0), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_the_regulariser_is_added_to_the_diagonal(d: int) -> None:
    x = cloud(100, d, units=100.0)
    torch.testing.assert_close(fit(x, reg=0.25).covariance, fit(x).covariance + 0.25 * torch.eye(d, dtype=torch.float64))


@given(seed=SEEDS, size=st.floats(1e-3, 0.5))
@settings(max_examples=20)
def test_no_other_gaussian_makes_the_points_likelier(seed: int, size: float) -> None:
    x = cloud(50, 2, seed)
    best = fit(x)
    step = size * Noise(seed).normal(3, (2,), stream="step")
    turned = (torch.eye(2, dtype=torch.float64) + step[:2]) @ best.covariance @ (torch.eye(2, dtype=torch.float64) + step[:2]).T
    other = Gaussian(best.mean + step[2], turned)
    assert log_prob(x, other).sum() < log_prob(x, best).sum()


def test_far_from_the_origin_the_covariance_keeps_its_digits() -> None:
    x = (cloud(1_000, 3) * 2**20).round() / 2**20  # so that x + 2**30 is exact
    torch.testing.assert_close(fit(x + 2**30).covariance, fit(x).covariance, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("what", ["line", "axis", "equal", "one", "two", "more coordinates than points"])
def test_a_flat_cloud_says_so_and_keeps_a_density(what: str, unit: float) -> None:
    t = cloud(50, 1)
    clouds = {
        "line": torch.cat([t, 2 * t + 1, 3 - t], 1),
        "axis": torch.cat([t, torch.full_like(t, 0.1)], 1),
        "equal": torch.full((9, 2), 1 / 3, dtype=torch.float64),
        "one": cloud(1, 2),
        "two": cloud(2, 2),
        "more coordinates than points": cloud(10, 30),
    }
    x = clouds[what] * unit
    found = fit(x)
    assert found.flat
    assert torch.isfinite(found.covariance).all()
    assert torch.linalg.eigvalsh(found.covariance)[0] > 0
    assert torch.isfinite(log_prob(x, found)).all()
    assert torch.isfinite(sample(found, 4, noise=1)).all()
    if what not in ("equal", "one"):  # what is not flat is not touched: the floor stands at 1e-9 of the widest coordinate
        torch.testing.assert_close(
            found.covariance, torch.cov(x.T, correction=0), rtol=0, atol=2 * FLOOR * float(x.var(0, correction=0).max())
        )


def test_a_thin_cloud_is_not_flat() -> None:
    t = cloud(500, 2)
    x = torch.stack([t[:, 0], t[:, 0] + 1e-3 * t[:, 1]], 1)
    assert not fit(x).flat
    torch.testing.assert_close(fit(x).covariance, torch.cov(x.T, correction=0), rtol=1e-12, atol=0)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(BadPoints, match=r"^0 points are too few: a cloud needs at least 1\.$"):
        fit(torch.zeros(0, 2))
    with pytest.raises(BadPoints, match=r"^Point 2 is \[nan, 0.0\]: every coordinate must be a finite number"):
        fit([[0.0, 0.0], [math.nan, 0.0]])
    with pytest.raises(BadPoints, match=r"^\(1,\) weights do not fit 2 points"):
        fit([[0.0, 0.0], [1.0, 0.0]], weights=[1])


# ------------------------------------------------------------------------------------------------ density


@given(n=st.integers(0, 30), d=st.integers(1, 6), seed=SEEDS)
def test_the_density_is_that_of_scipy(n: int, d: int, seed: int) -> None:
    found = fit(cloud(60, d, seed, units=50.0))
    x = cloud(n, d, seed + 1, units=50.0)
    density = scipy.stats.multivariate_normal(found.mean.numpy(), found.covariance.numpy())
    np.testing.assert_allclose(log_prob(x, found), density.logpdf(x.numpy()).reshape(n) if n else [], rtol=1e-9)


def test_the_density_integrates_to_1() -> None:
    found = fit(cloud(100, 2))
    axis = torch.arange(-20, 20, 0.05, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    assert float(log_prob(grid, found).exp().sum()) * 0.05**2 == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(
    "matrix", [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0], [0, 1]]]
)
def test_a_matrix_without_a_density_is_refused(matrix: list[list[float]]) -> None:
    none = Gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor(matrix, dtype=torch.float64))
    with pytest.raises(BadPoints) as caught:
        log_prob(torch.zeros(1, 2), none)
    assert str(caught.value) == "The covariance is not positive definite: there is no such density."


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(BadPoints) as caught:
        log_prob(torch.zeros(1, 3), fit(cloud(9, 2)))
    assert str(caught.value) == "The points have 3 coordinates, and the Gaussian 2."


def test_results_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = cloud(1_000, 3), Noise(1).uniform(1_000, stream="w")
    line = x[:, :1]
    whole = fit(x, weights=w)
    density, surface = log_prob(x, whole), likelihood_surface(line, torch.ones(1), torch.ones(1), weights=w)
    monkeypatch.setattr(points, "CHUNK", 64)
    torch.testing.assert_close(fit(x, weights=w).covariance, whole.covariance, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(log_prob(x, whole), density, rtol=1e-12, atol=0)
    torch.testing.assert_close(likelihood_surface(line, torch.ones(1), torch.ones(1), weights=w), surface, rtol=1e-12, atol=0)


# ------------------------------------------------------------------------------------------------ samples


def test_samples_have_the_mean_and_the_covariance_that_they_were_drawn_from() -> None:
    given_ = fit(cloud(100, 3))
    x = sample(given_, 50_000, noise=3)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(given_.covariance), (x - given_.mean).T, upper=False)
    for row in white.numpy():
        assert scipy.stats.kstest(row, "norm").pvalue > 0.001
    torch.testing.assert_close(torch.cov(white), torch.eye(3, dtype=torch.float64), rtol=0, atol=0.03)
    assert torch.equal(sample(given_, 16, noise=3)[:8], sample(given_, 8, noise=3))
    assert not torch.equal(sample(given_, 8, noise=4), sample(given_, 8, noise=3))


# ------------------------------------------------------------------------------------------------ surface


@pytest.mark.parametrize("far", [0.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_surface_is_the_sum_of_log_densities(far: float, weighted: bool) -> None:
    x = cloud(200, 1) + far
    w = Noise(2).uniform(200, stream="w") if weighted else None
    means, deviations = torch.linspace(-3, 3, 7).double() + far, torch.tensor([0.1, 0.7, 1.0, 4.0]).double()
    surface = likelihood_surface(x, means, deviations, weights=w)
    assert surface.shape == (7, 4)
    for i, mean in enumerate(means.tolist()):
        for j, deviation in enumerate(deviations.tolist()):
            each = scipy.stats.norm(mean, deviation).logpdf(x.numpy()[:, 0])
            assert float(surface[i, j]) == pytest.approx(np.sum(each if w is None else each * w.numpy()), rel=1e-9)


@given(n=st.integers(2, 100), seed=SEEDS)
def test_the_surface_is_highest_at_the_closed_form(n: int, seed: int) -> None:
    x = cloud(n, 1, seed)
    best = fit(x)
    mean, deviation = float(best.mean), math.sqrt(float(best.covariance))
    offsets = torch.linspace(-0.1, 0.1, 21).double()
    surface = likelihood_surface(x, mean + deviation * offsets, deviation * (1 + offsets))
    assert divmod(int(surface.argmax()), 21) == (10, 10)
    assert float(surface[10, 10]) == pytest.approx(float(log_prob(x, best).sum()), rel=1e-10)


def test_the_surface_is_over_one_coordinate_and_widths_above_0() -> None:
    with pytest.raises(BadPoints) as caught:
        likelihood_surface(cloud(9, 2), torch.zeros(1), torch.ones(1))
    assert str(caught.value) == "The points have 2 coordinates: the surface over (μ, σ) is that of 1."
    with pytest.raises(BadPoints) as caught:
        likelihood_surface(cloud(9, 1), torch.zeros(1), torch.tensor([1.0, -0.5]))
    assert str(caught.value) == "The smallest deviation is -0.5: σ must be above 0."


@pytest.mark.gpu
def test_cuda_computes_as_the_cpu_does() -> None:
    x = cloud(20_000, 3)
    here, there = fit(x), fit(x.cuda())
    assert there.mean.is_cuda
    torch.testing.assert_close(there.covariance.cpu(), here.covariance, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_prob(x.cuda(), there).cpu(), log_prob(x, here), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(sample(there, 8, noise=1).cpu(), sample(here, 8, noise=1), rtol=1e-9, atol=1e-9)
