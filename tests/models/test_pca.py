"""Principal axes against scikit-learn and scipy, and what holds of any cloud: turned, moved, weighted, or flat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA as Sklearn
from torch import Tensor

from models import points as points_module
from models.noise import Noise
from models.pca import NoDensity, fit, log_prob, project, reconstruct, sample
from models.points import BadPoints

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    """Points with spreads 1, 2, …, d along random directions, away from the origin."""
    noise = Noise(seed)
    turn = torch.linalg.qr(noise.normal(d, (d,), stream="turn")).Q
    return noise.normal(n, (d,), stream="cloud") * torch.arange(1.0, d + 1, dtype=torch.float64) @ turn + 3


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_axes_and_scores_are_those_of_scikit_learn(axes: int) -> None:
    x = cloud(400, 5)
    ours, theirs = fit(x, axes), Sklearn(axes, svd_solver="full").fit(x.numpy())
    shrink = 399 / 400  # theirs divides by N − 1
    np.testing.assert_allclose(ours.mean, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_ * shrink, rtol=1e-10)
    np.testing.assert_allclose(ours.noise_variance, theirs.noise_variance_ * shrink, rtol=1e-10)
    np.testing.assert_allclose(ours.explained[:axes], theirs.explained_variance_ratio_, rtol=1e-10)
    signs = np.sign((ours.directions.numpy() * theirs.components_).sum(1))
    np.testing.assert_allclose(ours.directions, theirs.components_ * signs[:, None], atol=1e-10)
    np.testing.assert_allclose(project(x, ours), theirs.transform(x.numpy()) * signs, atol=1e-9)
    np.testing.assert_allclose(
        reconstruct(project(x, ours), ours), theirs.inverse_transform(theirs.transform(x.numpy())), atol=1e-9
    )
    # The same density, once theirs has our divisor.
    theirs.explained_variance_ = theirs.explained_variance_ * shrink
    theirs.noise_variance_ = theirs.noise_variance_ * shrink
    np.testing.assert_allclose(log_prob(x, ours), theirs.score_samples(x.numpy()), rtol=1e-9)


@given(d=st.integers(1, 6), data=st.data(), seed=SEEDS)
def test_the_density_is_the_gaussian_of_its_covariance(d: int, data: st.DataObject, seed: int) -> None:
    axes = data.draw(st.integers(0, d))
    x = cloud(3 * d + 5, d, seed)
    model = fit(x, axes)
    expected = scipy.stats.multivariate_normal(model.mean.numpy(), model.covariance.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(log_prob(x, model), expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(model.directions @ model.directions.T, torch.eye(axes, dtype=torch.float64))
    assert float(model.explained.sum()) == pytest.approx(1)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_all_axes_but_one_make_the_full_gaussian(d: int) -> None:
    x = cloud(200, d)
    likeliest = np.cov(x.numpy().T, bias=True).reshape(d, d)
    for axes in (d - 1, d):
        np.testing.assert_allclose(fit(x, axes).covariance, likeliest, rtol=1e-10, atol=1e-10)
    assert fit(x, d).noise_variance == 0


def test_no_axis_makes_the_round_gaussian() -> None:
    x = cloud(300, 4)
    model = fit(x, 0)
    assert model.directions.shape == (0, 4)
    assert model.noise_variance == pytest.approx(float(x.var(0, correction=0).mean()))
    torch.testing.assert_close(model.covariance, model.noise_variance * torch.eye(4, dtype=torch.float64))
    assert project(x, model).shape == (300, 0)
    torch.testing.assert_close(reconstruct(project(x, model), model), model.mean.expand(300, 4))


@given(seed=SEEDS, axes=st.integers(0, 3))
def test_no_other_model_of_so_many_axes_is_likelier(seed: int, axes: int) -> None:
    x = cloud(40, 4, seed)
    model = fit(x, axes)
    best = float(log_prob(x, model).mean())
    w = model.loadings + 0.05 * Noise(seed).normal(4, (axes,), stream="nudge")
    other = w @ w.T + model.noise_variance * 1.02 * torch.eye(4, dtype=torch.float64)
    assert best > scipy.stats.multivariate_normal(model.mean.numpy(), other.numpy()).logpdf(x.numpy()).mean()


@given(seed=SEEDS, axes=st.integers(0, 3))
def test_axes_turn_with_the_cloud(seed: int, axes: int) -> None:
    x = cloud(60, 3, seed)
    turn = torch.linalg.qr(Noise(seed).normal(3, (3,), stream="rotation")).Q
    here, there = fit(x, axes), fit(x @ turn, axes)
    torch.testing.assert_close(there.mean, here.mean @ turn)
    torch.testing.assert_close(there.variances, here.variances)
    torch.testing.assert_close(there.covariance, turn.T @ here.covariance @ turn)
    torch.testing.assert_close(log_prob(x @ turn, there), log_prob(x, here))
    torch.testing.assert_close(reconstruct(project(x @ turn, there), there), reconstruct(project(x, here), here) @ turn)


def test_a_cloud_far_away_fits_as_one_at_home() -> None:
    x = (cloud(500, 3) * 2**20).round() / 2**20  # so that adding 2²⁰ rounds nothing
    here, there = fit(x, 1), fit(x + 2.0**20, 1)
    torch.testing.assert_close(there.variances, here.variances, rtol=1e-10, atol=0)
    assert there.noise_variance == pytest.approx(here.noise_variance, rel=1e-10)
    torch.testing.assert_close(there.directions, here.directions, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_prob(x + 2.0**20, there), log_prob(x, here), rtol=1e-8, atol=1e-8)


def test_a_direction_a_billion_times_thinner_keeps_its_digits() -> None:
    """The covariance, with entries near 1, could not hold a variance of 1e-18."""
    x = cloud(300, 2)
    x = (x - x.mean(0)) / 2
    thin = torch.stack([x[:, 0], 1e-9 * x[:, 1]], 1)
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=torch.float64)
    left = x[:, 1] - x[:, 0] * (x[:, 0] @ x[:, 1]) / (x[:, 0] @ x[:, 0])  # what the long axis does not carry
    assert fit(thin @ turn, 1).noise_variance == pytest.approx(1e-18 * float(left.square().mean()), rel=1e-5)


def test_weights_count_as_repeated_points() -> None:
    x = cloud(50, 3)
    counts = torch.arange(50) % 4
    weighted, repeated = fit(x, 2, weights=counts), fit(x.repeat_interleave(counts, 0), 2)
    torch.testing.assert_close(weighted.mean, repeated.mean)
    torch.testing.assert_close(weighted.covariance, repeated.covariance)
    torch.testing.assert_close(weighted.directions, repeated.directions)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = cloud(100, 3), torch.arange(1, 101)
    whole = fit(x, 2, weights=w)
    monkeypatch.setattr(points_module.chunks, "__defaults__", (None, 7))
    pieces = fit(x, 2, weights=w)
    torch.testing.assert_close(pieces.covariance, whole.covariance)
    torch.testing.assert_close(log_prob(x, pieces), log_prob(x, whole))
    torch.testing.assert_close(project(x, pieces), project(x, whole))


@given(seed=SEEDS)
def test_each_axis_has_its_largest_entry_positive(seed: int) -> None:
    directions = fit(cloud(30, 4, seed), 4).directions
    assert (directions.gather(1, directions.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_diagonal_has_one_sign_however_it_rounds() -> None:
    for seed in range(20):
        t = Noise(seed).normal(50, (1,), stream="t")
        x = torch.cat([t, -t], 1) + 0.01 * Noise(seed).normal(50, (1,), stream="e")
        x = torch.cat([x, x.flip(1)])  # a mirror image of itself: both entries have the same size
        assert fit(x, 1).directions[0, 0] > 0


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_a_flat_cloud_is_fitted_but_has_no_density(offset: float) -> None:
    t = Noise(0).normal(40, (2,), stream="t")
    flat = torch.stack([t[:, 0], t[:, 1], 2 * t[:, 0] - t[:, 1] / 3], 1) + offset
    model = fit(flat, 2)
    assert model.noise_variance == 0
    assert model.explained[2] == 0
    torch.testing.assert_close(reconstruct(project(flat, model), model), flat, rtol=0, atol=1e-8)
    for axes in (2, 3):
        with pytest.raises(NoDensity, match="no spread"):
            log_prob(flat, fit(flat, axes))
    x, z = sample(model, 5, noise=0)  # still on the flat
    torch.testing.assert_close(x, model.mean + z @ model.loadings.T)
    assert torch.isfinite(log_prob(flat, fit(flat, 1))).all()  # the left-out spread is shared: a density again


def test_fewer_points_than_dimensions_have_a_density_if_spread_is_left_out() -> None:
    x = cloud(6, 40)
    model = fit(x, 3)
    expected = scipy.stats.multivariate_normal(model.mean.numpy(), model.covariance.numpy()).logpdf(x.numpy())
    np.testing.assert_allclose(log_prob(x, model), expected, rtol=1e-8)
    assert fit(x, 5).noise_variance == 0
    assert fit(x, 40).directions.shape == (40, 40)


def test_equal_points_have_a_mean_and_nothing_else() -> None:
    model = fit(torch.full((9, 2), 1e6 / 3), 1)
    assert model.noise_variance == 0
    assert model.variances.tolist() == [0]
    assert model.explained.tolist() == [0, 0]
    with pytest.raises(NoDensity):
        log_prob(torch.zeros(1, 2), model)


def test_draws_have_the_models_moments() -> None:
    model = fit(cloud(300, 3), 1)
    x, z = sample(model, 40_000, noise=3)
    scale = float(model.covariance.max())
    torch.testing.assert_close(x.mean(0), model.mean, rtol=0, atol=5 * math.sqrt(scale / 40_000))
    torch.testing.assert_close(torch.cov(x.T), model.covariance, rtol=0, atol=6 * scale * math.sqrt(2 / 40_000))
    assert z.shape == (40_000, 1)
    # What is left of x once z is known is σ's noise alone, the same in all directions.
    left = x - model.mean - z @ model.loadings.T
    torch.testing.assert_close(
        torch.cov(left.T),
        model.noise_variance * torch.eye(3, dtype=torch.float64),
        rtol=0,
        atol=0.05 * model.noise_variance,
    )


def test_many_draws_begin_with_few() -> None:
    model = fit(cloud(50, 3), 2)
    for many, few in zip(sample(model, 16, noise=5), sample(model, 8, noise=5), strict=True):
        torch.testing.assert_close(many[:8], few, rtol=0, atol=1e-14)
    assert not torch.allclose(sample(model, 8, noise=6)[0], sample(model, 8, noise=5)[0])


def test_a_full_fit_has_as_many_parameters_as_a_gaussian() -> None:
    x = cloud(30, 5)
    assert fit(x, 4).parameters == fit(x, 5).parameters == 5 + 15
    assert fit(x, 0).parameters == 5 + 1


def test_bad_input_gets_a_sentence() -> None:
    x = cloud(10, 2)
    for axes in (-1, 3):
        with pytest.raises(BadPoints, match=f"{axes} axes do not fit points of 2 coordinates"):
            fit(x, axes)
    with pytest.raises(BadPoints, match="3 coordinates, and the axes 2"):
        log_prob(torch.zeros(4, 3), fit(x, 1))
    with pytest.raises(BadPoints, match="do not fit 1 axes"):
        reconstruct(torch.zeros(4, 2), fit(x, 1))
    with pytest.raises(BadPoints, match="finite"):
        fit(torch.tensor([[0.0, math.nan]]), 1)


@pytest.mark.gpu
def test_cuda_fits_as_the_cpu_does() -> None:
    x = cloud(20_000, 5)
    here, there = fit(x, 2), fit(x.cuda(), 2)
    assert there.mean.is_cuda
    torch.testing.assert_close(there.covariance.cpu(), here.covariance)
    torch.testing.assert_close(log_prob(x.cuda(), there).cpu(), log_prob(x, here))
    torch.testing.assert_close(sample(there, 8, noise=1)[0].cpu(), sample(here, 8, noise=1)[0])
