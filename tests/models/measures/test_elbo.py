"""The bound of one picture, taken apart, against the model's own log_prob and slow sums."""

from __future__ import annotations

import pytest
import torch

from models.data import images
from models.discretised_gaussian import log_mass
from models.measures import constant, elbo
from models.vae import VAE


@pytest.fixture
def model() -> VAE:
    torch.manual_seed(0)
    return VAE(latent=3, hidden=16, network="mlp").double().eval()


@pytest.fixture
def x() -> torch.Tensor:
    return images.load("digits", "test").pixels[:1]


def test_the_parts_add_up_to_the_models_bound(model: VAE, x: torch.Tensor) -> None:
    found = elbo.explain(model, x, noise=5, samples=32)
    bound = model.log_prob(x, method="elbo", samples=32, noise=5)
    assert found.elbo == pytest.approx(float(bound.nats[0]))
    assert found.elbo == pytest.approx(found.reconstruction - found.kl)
    assert found.kl == pytest.approx(float(found.kl_by_dimension.sum()))
    assert found.reconstruction_error == pytest.approx(float(bound.standard_error[0]))
    assert found.constant is None
    assert found.bought is None


def test_the_kl_of_each_dimension_is_that_of_torch(model: VAE, x: torch.Tensor) -> None:
    found = elbo.explain(model, x, noise=0)
    q = torch.distributions.Normal(found.posterior.mean[0], found.posterior.std[0])
    p = torch.distributions.Normal(torch.zeros(3).double(), torch.ones(3).double())
    torch.testing.assert_close(found.kl_by_dimension, torch.distributions.kl_divergence(q, p))


def test_a_roll_is_one_epsilon_and_its_picture(model: VAE, x: torch.Tensor) -> None:
    first, again, other = (elbo.explain(model, x, noise=1, roll=roll) for roll in (0, 0, 1))
    torch.testing.assert_close(first.z, first.posterior.mean[0] + first.posterior.std[0] * first.epsilon)
    assert torch.equal(first.epsilon, again.epsilon)
    assert not torch.equal(first.epsilon, other.epsilon)
    z = first.z.clone()
    assert torch.equal(first.image, model.decode(z[None])[0])
    slow = log_mass(x, model.decode_mean(z[None]), model.scale, 256).sum()
    assert first.reconstruction_of_roll == pytest.approx(float(slow))
    assert first.elbo == other.elbo  # the expectation does not depend on the roll that is shown


def test_what_was_bought_is_measured_against_the_constant_picture(model: VAE, x: torch.Tensor) -> None:
    fitted = constant.fit(images.load("digits", "train").pixels, 256, steps=30)
    found = elbo.explain(model, x, noise=0, constant=fitted)
    assert found.constant == pytest.approx(float(fitted.log_prob(x)[0]))
    assert found.bought == pytest.approx(found.reconstruction - found.constant)
