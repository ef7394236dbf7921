"""The map of prior and average posterior, and the grid of equal prior mass."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from models.contract import Posterior
from models.measures.latent_map import deepest_hole, latent_map, quantile_grid


def some_posteriors(n: int = 40) -> Posterior:
    rng = np.random.default_rng(0)
    return Posterior(torch.from_numpy(rng.normal(size=(n, 2))), torch.from_numpy(rng.uniform(0.05, 0.6, size=(n, 2))))


def centres(extent: float, grid: int) -> np.ndarray:
    cell = 2 * extent / grid
    return -extent + cell * (np.arange(grid) + 0.5)


def test_the_map_is_the_slow_average_of_densities() -> None:
    posterior = some_posteriors()
    found = latent_map(posterior, extent=3.0, grid=24)
    places = centres(3.0, 24)
    for row in (0, 7, 23):
        for column in (0, 11, 22):
            z = np.array([places[column], places[row]])
            each = stats.norm.pdf(z, posterior.mean.numpy(), posterior.std.numpy()).prod(1)
            assert found.log_average_posterior[row, column].item() == pytest.approx(math.log(each.mean()), abs=1e-9)
            assert found.log_prior[row, column].item() == pytest.approx(stats.norm.logpdf(z).sum(), abs=1e-12)


def test_both_densities_integrate_to_one() -> None:
    found = latent_map(some_posteriors(), extent=6.0, grid=300)
    cell = (12 / 300) ** 2
    assert found.log_prior.exp().sum().item() * cell == pytest.approx(1, abs=1e-6)
    assert found.log_average_posterior.exp().sum().item() * cell == pytest.approx(1, abs=1e-3)


def test_posteriors_that_fill_the_prior_leave_no_hole() -> None:
    filled = Posterior(torch.zeros(1, 2), torch.ones(1, 2))  # the average posterior is the prior
    found = latent_map(filled)
    assert not found.holes().any()
    assert deepest_hole(found) is None


def test_a_hole_is_where_nobody_is() -> None:
    left = Posterior(torch.tensor([[-1.0, 0.0]]), torch.full((1, 2), 0.4))  # everyone on the left
    found = latent_map(left, extent=4.0, grid=80)
    holes = found.holes()
    places = centres(4.0, 80)
    right, here, outside = (int(np.abs(places - v).argmin()) for v in (1.0, -1.0, 3.5))
    middle = int(np.abs(places).argmin())
    assert holes[middle, right]
    assert not holes[middle, here]
    assert not holes[middle, outside]  # the prior promises nothing there
    place = deepest_hole(found)
    assert place is not None
    assert place[0] > 0


def test_the_disc_of_the_holes_holds_its_share_of_the_prior() -> None:
    nobody = Posterior(torch.tensor([[50.0, 50.0]]), torch.full((1, 2), 0.1))
    found = latent_map(nobody, extent=5.0, grid=400)
    mass = (found.log_prior.exp() * found.holes(mass=0.9)).sum().item() * (10 / 400) ** 2
    assert mass == pytest.approx(0.9, abs=2e-3)


def test_a_map_needs_two_dimensions() -> None:
    with pytest.raises(ValueError, match="2 latent dimensions, not 3"):
        latent_map(Posterior(torch.zeros(1, 3), torch.ones(1, 3)))


def test_grid_cells_hold_equal_prior_mass() -> None:
    side = 9
    z = quantile_grid(side).numpy().reshape(side, side, 2)
    assert z.shape == (side, side, 2)
    np.testing.assert_allclose(stats.norm.cdf(z[0, :, 0]), (np.arange(side) + 0.5) / side, atol=1e-12)
    np.testing.assert_allclose(stats.norm.cdf(z[::-1, 0, 1]), (np.arange(side) + 0.5) / side, atol=1e-12)
    assert z[0, 0, 1] > z[-1, 0, 1]  # high z₂ is at the top
    with pytest.raises(ValueError, match="side 1"):
        quantile_grid(1)
