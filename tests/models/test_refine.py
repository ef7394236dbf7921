"""Climbing from a code to a better one: closed forms of a linear decoder, and what must hold for any."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from torch import Tensor

from models import refine
from models.noise import Noise
from models.vae import VAE


def linear(seed: int, latent: int = 4, pixels: int = 9, sigma: float = 0.5) -> tuple[Tensor, Tensor, Tensor, float]:
    noise = Noise(seed)
    weights = noise.normal(pixels, (latent,), stream="weights")
    return weights, noise.normal(pixels, stream="offset"), noise.normal(pixels, stream="x"), sigma


@given(st.integers(0, 2**40), st.integers(1, 6))
def test_a_linear_decoders_mode_is_found(seed: int, latent: int) -> None:
    weights, offset, x, sigma = linear(seed, latent)

    def objective(z: Tensor) -> Tensor:
        return -0.5 * (x - weights @ z - offset).square().sum() / sigma**2 - 0.5 * z.square().sum()

    *_, last = refine.ascend(objective, torch.zeros(latent), steps=2000, tolerance=1e-10)
    precision = weights.T @ weights / sigma**2 + torch.eye(latent, dtype=torch.float64)
    mode = torch.linalg.solve(precision, weights.T @ (x - offset) / sigma**2)
    torch.testing.assert_close(last.z, mode, atol=1e-4, rtol=1e-4)
    assert last.value == pytest.approx(float(objective(mode)), abs=1e-9)


@given(st.integers(0, 2**40), st.floats(1e-6, 1.0))
def test_where_it_ends_no_more_than_the_tolerance_is_left(seed: int, tolerance: float) -> None:
    weights, offset, x, sigma = linear(seed)

    def objective(z: Tensor) -> Tensor:
        return -0.5 * (x - weights @ z - offset).square().sum() / sigma**2 - 0.5 * z.square().sum()

    places = list(refine.ascend(objective, torch.ones(4), steps=5000, tolerance=tolerance))
    precision = weights.T @ weights / sigma**2 + torch.eye(4, dtype=torch.float64)
    mode = torch.linalg.solve(precision, weights.T @ (x - offset) / sigma**2)
    assert float(objective(mode)) - places[-1].value <= tolerance
    assert all(0.5 * one.slope**2 >= tolerance for one in places[:-1])


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(3)
    made = VAE(latent=3, shape=(1, 5, 4), network="mlp", hidden=12, scale=20.0).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5)
    return made


@pytest.fixture(scope="module")
def picture(model: VAE) -> Tensor:
    with torch.no_grad():
        return model.sample(1, noise=5)


def test_the_objective_is_the_log_of_the_joint(model: VAE, picture: Tensor) -> None:
    z = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    mean = model.decode_mean(z[None])[0].detach().numpy()
    x, sigma = picture[0].numpy().astype(float), float(model.scale)
    upper = np.where(x == 255, 1.0, stats.norm.cdf(x + 0.5, mean, sigma))
    lower = np.where(x == 0, 0.0, stats.norm.cdf(x - 0.5, mean, sigma))
    expected = np.log(upper - lower).sum() + stats.norm.logpdf(z.numpy()).sum()
    assert refine.log_joint(model, picture)(z).item() == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="2 pictures"):
        refine.log_joint(model, picture.repeat(2, 1, 1, 1))


def test_no_step_goes_down_and_what_is_said_of_a_place_is_true(model: VAE, picture: Tensor) -> None:
    objective = refine.log_joint(model, picture)
    start = torch.tensor([2.0, -2.0, 1.0])
    places = list(refine.ascend(objective, start, steps=40))
    assert torch.equal(places[0].z, start.double())
    assert len(places) > 3
    assert all(after.value > before.value for before, after in itertools.pairwise(places))
    for place in (places[0], places[-1]):
        assert place.value == objective(place.z).item()
        numeric = optimize.approx_fprime(place.z.numpy(), lambda z: objective(torch.from_numpy(z)).item(), 1e-6)
        assert place.slope == pytest.approx(float(np.linalg.norm(numeric)), rel=1e-3, abs=1e-3)


def test_it_ends_where_scipys_search_does(model: VAE, picture: Tensor) -> None:
    objective = refine.log_joint(model, picture)
    start = model.encode(picture).mean[0].detach()
    *_, last = refine.ascend(objective, start, steps=3000, tolerance=1e-8)
    found = optimize.minimize(lambda z: -objective(torch.from_numpy(z)).item(), last.z.numpy(), method="Nelder-Mead")
    assert last.value == pytest.approx(-found.fun, abs=1e-5)


def test_at_most_the_steps_asked_for_and_nothing_is_left_changed(model: VAE, picture: Tensor) -> None:
    objective = refine.log_joint(model, picture)
    start = torch.tensor([2.0, -2.0, 1.0])
    before = [parameter.clone() for parameter in model.parameters()]
    places = list(refine.ascend(objective, start, steps=5))
    assert len(places) == 6
    assert torch.equal(start, torch.tensor([2.0, -2.0, 1.0]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [one.z.tolist() for one in refine.ascend(objective, start, steps=5)] == [one.z.tolist() for one in places]
    assert not torch.is_inference(places[-1].z)
    assert places[-1].z.requires_grad is False


def test_a_start_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="begin where it is finite"):
        next(refine.ascend(lambda z: z.sum() * float("nan"), torch.zeros(2)))
