"""Rotations are rotations, all equally likely, and a turned Gaussian is what its draws say it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.contract import Posterior
from models.noise import Noise
from models.rotation import rotated, rotation


@given(latent=st.integers(1, 12), seed=st.integers(0, 2**40))
def test_a_rotation_keeps_lengths_and_does_not_mirror(latent: int, seed: int) -> None:
    turn = rotation(latent, seed)
    assert turn.dtype == torch.float64
    torch.testing.assert_close(turn @ turn.T, torch.eye(latent, dtype=torch.float64))
    assert np.linalg.det(turn.numpy()) == pytest.approx(1)


def test_seed_0_turns_nothing_and_others_turn() -> None:
    assert torch.equal(rotation(5, 0), torch.eye(5, dtype=torch.float64))
    assert torch.equal(rotation(5, 3), rotation(5, 3))
    assert not torch.allclose(rotation(5, 3), rotation(5, 4))
    with pytest.raises(ValueError, match="0 dimensions"):
        rotation(0, 1)


def test_in_the_plane_all_angles_are_equally_likely() -> None:
    turns = torch.stack([rotation(2, seed) for seed in range(1, 1001)])
    angles = torch.atan2(turns[:, 1, 0], turns[:, 0, 0]).numpy()
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01


def test_in_space_rotations_are_distributed_as_those_of_scipy() -> None:
    """Entry by entry, and in the trace, which knows of the angle alone."""
    ours = torch.stack([rotation(3, seed) for seed in range(1, 1501)]).numpy()
    theirs = stats.special_ortho_group(3, seed=np.random.default_rng(0)).rvs(1500)
    for i in range(3):
        for j in range(3):  # a coordinate of a point uniform on the sphere is uniform: Archimedes
            assert stats.kstest(ours[:, i, j], stats.uniform(-1, 2).cdf).pvalue > 0.001, (i, j)
    traces = (np.trace(which, axis1=1, axis2=2) for which in (ours, theirs))
    assert stats.ks_2samp(*traces).pvalue > 0.01


def test_the_prior_does_not_notice() -> None:
    z = Noise(1).normal(20000, (4,), stream="prior")
    turned = z @ rotation(4, 7).T
    before, after = (stats.multivariate_normal(np.zeros(4)).logpdf(places.numpy()) for places in (z, turned))
    np.testing.assert_allclose(after, before, rtol=1e-12)  # the density of each place
    for j in range(4):  # and the distribution of the draws
        assert stats.kstest(turned[:, j], stats.norm.cdf).pvalue > 0.001
    np.testing.assert_allclose(np.cov(turned.numpy().T), np.eye(4), atol=0.04)


def test_marginals_of_a_turned_posterior_are_those_of_its_turned_draws() -> None:
    mean = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    std = torch.tensor([[0.1, 1.0, 3.0]], dtype=torch.float64)
    turn = rotation(3, 11)
    found = rotated(Posterior(mean, std), turn)
    draws = (mean + std * Noise(2).normal(50000, (3,), stream="draws")) @ turn.T
    for j in range(3):
        expected = stats.norm(float(found.mean[0, j]), float(found.std[0, j]))
        assert stats.kstest(draws[:, j], expected.cdf).pvalue > 0.001
    covariance = turn.numpy() @ np.diag(std[0].numpy() ** 2) @ turn.numpy().T
    np.testing.assert_allclose(found.std[0], np.sqrt(np.diag(covariance)), rtol=1e-12)


def test_turning_by_the_identity_changes_nothing_nor_does_it_change_precision() -> None:
    posterior = Posterior(torch.randn(6, 4), torch.rand(6, 4) + 0.1)
    found = rotated(posterior, rotation(4, 0))
    assert torch.equal(found.mean, posterior.mean)
    torch.testing.assert_close(found.std, posterior.std)
    assert found.std.dtype == torch.float32


def test_a_round_posterior_stays_round() -> None:
    found = rotated(Posterior(torch.zeros(1, 5), torch.full((1, 5), 0.3)), rotation(5, 2))
    torch.testing.assert_close(found.std, torch.full((1, 5), 0.3))
