"""The best constant picture against scipy's optimiser, and as a distribution over every image of a tiny space."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

from models.measures.constant import ConstantPicture, fit


def slow_nats(parameters: np.ndarray, images: np.ndarray, levels: int) -> float:
    """Σ_n log p(x_n) / N with each pixel's mean and, last, the logarithm of their common scale; by scipy's Φ."""
    mean, scale = parameters[:-1], np.exp(parameters[-1])
    low = np.where(images == 0, -np.inf, (images - 0.5 - mean) / scale)
    high = np.where(images == levels - 1, np.inf, (images + 0.5 - mean) / scale)
    mass = scipy.stats.norm.cdf(high) - scipy.stats.norm.cdf(low)
    return float(np.log(np.maximum(mass, 1e-300)).sum(1).mean())


@pytest.fixture(scope="module")
def small() -> torch.Tensor:
    """Forty images of three pixels and eight levels, which differ in their means and touch both ends."""
    drawn = np.random.default_rng(0).normal([1.0, 3.6, 6.0], 1.8, (40, 3)).round().clip(0, 7)
    return torch.from_numpy(drawn).to(torch.uint8).reshape(40, 1, 1, 3)


def test_the_fit_is_the_maximum_of_the_likelihood(small: torch.Tensor) -> None:
    flat = small.reshape(40, 3).numpy().astype(float)
    start = np.append(flat.mean(0), np.log(flat.std()))
    best = scipy.optimize.minimize(lambda p: -slow_nats(p, flat, 8), start, method="BFGS")
    fitted = fit(small, 8)
    assert float(fitted.log_prob(small).mean()) == pytest.approx(-best.fun, abs=1e-4)
    np.testing.assert_allclose(fitted.mean.flatten(), best.x[:3], atol=0.02)
    assert float(fitted.scale) == pytest.approx(np.exp(best.x[3]), rel=0.01)


def test_log_prob_equals_the_slow_sum(small: torch.Tensor) -> None:
    picture = ConstantPicture(torch.tensor([1.2, 3.0, 9.0]).double().reshape(1, 1, 3), torch.tensor(1.7).double(), 8)
    parameters = np.append(picture.mean.flatten().numpy(), np.log(1.7))
    for x in small[:10]:
        expected = slow_nats(parameters, x.reshape(1, 3).numpy().astype(float), 8)
        assert float(picture.log_prob(x[None])) == pytest.approx(expected)


def test_the_masses_of_all_images_sum_to_one(small: torch.Tensor) -> None:
    fitted = fit(small % 4, 4, steps=20)
    everything = torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=torch.uint8).reshape(-1, 1, 1, 3)
    assert float(fitted.log_prob(everything).exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_the_order_of_the_images_does_not_matter(small: torch.Tensor) -> None:
    there, back = fit(small, 8, steps=10), fit(small.flip(0), 8, steps=10)
    torch.testing.assert_close(there.mean, back.mean)
    torch.testing.assert_close(there.scale, back.scale)


def test_a_pixel_that_is_always_black_stays_finite(small: torch.Tensor) -> None:
    with_black = small.clone()
    with_black[..., 0] = 0
    nats = fit(with_black, 8).log_prob(with_black)
    assert nats.isfinite().all()
    assert nats.max() <= 0
