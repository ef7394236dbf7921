"""The mixture as a density: against scipy, as a whole, and by its samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import Tensor

from models import gmm
from models.gmm import COVARIANCES, Start
from models.noise import Noise
from models.points import BadPoints

KINDS = pytest.mark.parametrize("kind", COVARIANCES)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return Noise(seed).normal(n, (d,), stream="cloud")


def mixture(d: int, kind: str, k: int = 3, far: float = 0.0, named: bool = True) -> Start:
    """A mixture of no particular parameters; unless `named`, its type must be read off the shape."""
    a = torch.eye(d, dtype=torch.float64) + 0.4 * Noise(7).normal(k, (d, d), stream="shapes")
    full = a @ a.mT
    diagonal = full.diagonal(dim1=1, dim2=2).clone()
    c = {"full": full, "tied": full[0], "diagonal": diagonal, "spherical": diagonal[:, 0], "tied_spherical": diagonal[0, 0]}
    means = 2 * Noise(7).normal(k, (d,), stream="means") + far
    weights = torch.arange(1.0, k + 1, dtype=torch.float64)
    return Start(weights / weights.sum(), means, c[kind], kind if named else None)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ density


@KINDS
@pytest.mark.parametrize("d", [1, 2, 3, 20])
@pytest.mark.parametrize("far", [0.0, 1e6])
@pytest.mark.parametrize("named", [True, False])
def test_density_and_responsibilities_are_those_of_scipy(kind: Any, d: int, far: float, named: bool) -> None:
    params = mixture(d, kind, k=3 if d != 3 else 4, far=far, named=named)
    k = len(params.means)
    x = 3 * cloud(200, d, seed=5) + far
    full = gmm.full_covariances(mixture(d, kind, k=k))
    joint = np.stack(
        [
            math.log(params.weights[j]) + multivariate_normal(params.means[j].numpy(), full[j].numpy()).logpdf(x.numpy())
            for j in range(k)
        ],
        1,
    )
    np.testing.assert_allclose(gmm.log_prob(x, params), logsumexp(joint, 1), rtol=1e-9)
    shares = gmm.responsibilities(x, params)
    np.testing.assert_allclose(shares, np.exp(joint - logsumexp(joint, 1)[:, None]), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-14)
    hard = gmm.responsibilities(x, params, assignment="hard")
    assert torch.equal(hard, torch.eye(k, dtype=torch.float64)[torch.as_tensor(joint.argmax(1))])


def test_the_type_is_read_off_the_shape_where_it_can_be() -> None:
    square = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
    means, halves, x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).double(), torch.tensor([0.5, 0.5]).double(), cloud(20, 2)

    def density(c: Tensor, kind: Any = None) -> Tensor:
        return gmm.log_prob(x, Start(halves, means, c, kind))

    assert torch.equal(density(square), density(square, "tied"))
    assert not torch.allclose(density(square), density(square, "diagonal"))
    rows = torch.tensor([[2.0, 0.3], [0.7, 1.0]], dtype=torch.float64)
    assert torch.equal(density(rows), density(rows, "diagonal"))
    with pytest.raises(BadPoints) as caught:
        density(torch.ones(3))
    assert str(caught.value) == "Covariances of shape (3,) fit no type for 2 components of 2 coordinates."
    with pytest.raises(BadPoints) as caught:
        gmm.log_prob(cloud(2, 3), Start(halves, means, square))
    assert str(caught.value) == "The points have 3 coordinates, and the mixture's means the shape (2, 2)."


def test_weights_need_not_sum_to_1() -> None:
    params = mixture(2, "full")
    tenfold = Start(10 * params.weights, params.means, params.covariances, "full")
    torch.testing.assert_close(gmm.log_prob(cloud(20, 2), tenfold), gmm.log_prob(cloud(20, 2), params))
    assert torch.equal(gmm.sample(tenfold, 100, noise=1)[1], gmm.sample(params, 100, noise=1)[1])
    x = cloud(50, 2)
    assert gmm.fit(x, tenfold, max_steps=2).log_likelihood == pytest.approx(gmm.fit(x, params, max_steps=2).log_likelihood)


@KINDS
def test_the_density_on_the_plane_integrates_to_1(kind: Any) -> None:
    axis = torch.arange(-20, 20, 0.08, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    assert float(gmm.log_prob(grid, mixture(2, kind)).exp().sum()) * 0.08**2 == pytest.approx(1, abs=1e-9)


@KINDS
def test_the_density_on_the_line_integrates_to_1(kind: Any) -> None:
    params = mixture(1, kind)

    def density(t: float) -> float:
        return float(gmm.log_prob([[t]], params).exp())

    assert scipy.integrate.quad(density, -30, 30, points=params.means[:, 0].tolist())[0] == pytest.approx(1, abs=1e-7)


def test_no_points_have_no_densities() -> None:
    params = mixture(2, "full")
    assert gmm.log_prob(torch.zeros(0, 2), params).shape == (0,)
    assert gmm.responsibilities(torch.zeros(0, 2), params).shape == (0, 3)


def test_a_step_is_a_mixture_as_a_start_is() -> None:
    x = cloud(100, 2)
    for kind in COVARIANCES:
        step = gmm.fit(x, mixture(2, kind), covariance=kind, max_steps=4)  # type: ignore[arg-type]
        assert float(gmm.log_prob(x, step).mean()) == pytest.approx(step.log_likelihood, rel=1e-11)
        again = Start(step.weights, step.means, step.covariances, step.covariance)
        torch.testing.assert_close(gmm.log_prob(x, step), gmm.log_prob(x, again), rtol=0, atol=0)
        assert torch.equal(gmm.responsibilities(x, step), gmm.responsibilities(x, again))
        assert torch.equal(gmm.sample(step, 5, noise=1)[0], gmm.sample(again, 5, noise=1)[0])
        assert gmm.fit(x, step, covariance=kind, max_steps=1).log_likelihood > step.log_likelihood - 1e-9  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ samples


@KINDS
def test_samples_have_the_shares_and_moments_of_their_components(kind: Any) -> None:
    params, n = mixture(2, kind), 50_000
    x, z = gmm.sample(params, n, noise=11)
    assert (x.shape, z.shape, z.dtype) == ((n, 2), (n,), torch.int64)
    counts = torch.bincount(z, minlength=3)
    assert scipy.stats.chisquare(counts.numpy(), n * params.weights.numpy()).pvalue > 0.001
    for k, c in enumerate(gmm.full_covariances(params)):
        own = x[z == k]
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(c), (own - params.means[k]).T, upper=False)
        for row in white.numpy():
            assert scipy.stats.kstest(row, "norm").pvalue > 0.001
        assert abs(float(torch.corrcoef(white)[0, 1])) < 4 / len(own) ** 0.5


@given(seed=st.integers(0, 2**32), few=st.integers(0, 8))
@settings(max_examples=10)
def test_many_samples_begin_with_few(seed: int, few: int) -> None:
    params = mixture(2, "tied")
    for many, some in zip(gmm.sample(params, 16, noise=seed), gmm.sample(params, few, noise=seed), strict=True):
        assert torch.equal(many[:few], some)


def test_a_component_of_weight_0_is_never_drawn() -> None:
    params = mixture(1, "spherical")
    for weights in ([0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]):
        given_ = Start(torch.tensor(weights).double(), params.means, params.covariances, "spherical")
        drawn = set(gmm.sample(given_, 5_000, noise=1)[1].tolist())
        assert drawn == {k for k, weight in enumerate(weights) if weight > 0}
