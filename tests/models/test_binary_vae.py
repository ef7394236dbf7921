"""A VAE of two levels with Bernoulli pixels, and the importance-weighted objective: against enumeration and hand-made twins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from models import bernoulli
from models.contract import Batch, Noise
from models.objectives import objective
from models.vae import VAE


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(1)
    vae = VAE(latent=1, shape=(1, 2, 2), levels=2, network="mlp", hidden=8, pixels="bernoulli").double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(2.5)
    return vae.eval()


@pytest.fixture(scope="module")
def every() -> Tensor:
    """All 2⁴ images."""
    return torch.tensor(list(itertools.product((0, 1), repeat=4)), dtype=torch.uint8).reshape(-1, 1, 2, 2)


def batch(x: Tensor) -> Batch:
    return Batch(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)))


def exact(model: VAE, x: Tensor) -> Tensor:
    """log p(x) by quadrature over the one latent, with scipy's Bernoulli."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    probability = model.decode_mean(torch.from_numpy(nodes)[:, None]).detach().flatten(1).numpy()  # (G, 4)
    mass = stats.bernoulli.pmf(x.flatten(1).numpy()[:, None], probability).prod(-1)  # (N, G)
    return torch.from_numpy(np.log(mass @ weights / math.sqrt(2 * math.pi)))


def test_its_masses_sum_to_one_and_its_bounds_stay_below(model: VAE, every: Tensor) -> None:
    truth = exact(model, every)
    assert float(truth.exp().sum()) == pytest.approx(1, abs=1e-9)
    elbo = model.log_prob(every, samples=4_000, noise=0)
    assert elbo.standard_error is not None
    assert (elbo.nats < truth + 4 * elbo.standard_error).all()
    importance = model.log_prob(every, method="importance", samples=4_000, noise=0)
    assert importance.standard_error is not None
    assert ((importance.nats - truth).abs() < 5 * importance.standard_error + 1e-6).all()


def test_draws_have_the_probabilities_that_the_decoder_says(model: VAE) -> None:
    z = torch.full((4_000, 1), 0.3, dtype=torch.float64)
    drawn = model.draw(z, noise=3).double().mean(0)
    torch.testing.assert_close(drawn, model.decode_mean(z[:1])[0].detach(), atol=0.04, rtol=0)
    assert torch.equal(model.decode(z[:1])[0], (model.decode_mean(z[:1])[0] > 0.5).to(torch.uint8))


def test_a_mass_is_a_bernoulli_s_however_large_its_logit() -> None:
    logits = torch.tensor([-800.0, -3.0, 0.0, 3.0, 800.0], dtype=torch.float64)
    for x in (0, 1):
        found = bernoulli.log_mass(torch.full((5,), x, dtype=torch.uint8), logits)
        with np.errstate(divide="ignore"):
            expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.numpy()[1:4])))
        np.testing.assert_allclose(found[1:4].numpy(), expected, rtol=1e-12)
        assert torch.isfinite(found).all()


def test_one_draw_of_the_importance_weighted_objective_estimates_the_elbo(model: VAE, every: Tensor) -> None:
    """With one draw log w is log p(x|z) + log p(z) − log q(z|x), written out."""
    found = objective("importance-weighted")(model, batch(every), Noise(4))
    posterior = model.encode(every)
    epsilon = Noise(4).normal(len(every), (1, 1), stream="epsilon")[:, 0]
    z = posterior.mean + posterior.std * epsilon
    q = torch.distributions.Normal(posterior.mean, posterior.std).log_prob(z).sum(1)
    p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    expected = -(model.log_likelihood(every, z) + p - q)
    torch.testing.assert_close(found.parts["bound"], expected)
    assert found.nats is not None
    torch.testing.assert_close(found.total, expected.mean())


def test_more_draws_tighten_the_bound_and_never_pass_log_p(model: VAE, every: Tensor) -> None:
    truth = -exact(model, every).mean()
    means = [
        torch.stack([objective("importance-weighted", draws=k)(model, batch(every), Noise(s)).total for s in range(200)]).mean()
        for k in (1, 4, 32)
    ]
    assert means[0] > means[1] > means[2] > truth - 1e-3


def test_its_gradient_is_that_of_the_finite_differences(every: Tensor) -> None:
    torch.manual_seed(0)
    vae = VAE(latent=1, shape=(1, 2, 2), levels=2, network="mlp", hidden=4, pixels="bernoulli").double()
    lowered = objective("importance-weighted", draws=5)
    weight = vae.encoder[1].weight  # type: ignore[index,union-attr]
    assert isinstance(weight, Tensor)
    lowered(vae, batch(every), Noise(0)).total.backward()
    with torch.no_grad():
        values = []
        for step in (1e-6, -2e-6):
            weight[0, 0] += step
            values.append(float(lowered(vae, batch(every), Noise(0)).total))
    assert weight.grad is not None
    assert float(weight.grad[0, 0]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: VAE(levels=256, pixels="bernoulli"), "'bernoulli' of 256 levels"),
        (lambda: VAE(pixels="poisson"), "'poisson' of 256 levels"),
        (lambda: objective("elbo", draws=3), "3 draws do not fit the objective 'elbo'"),
        (lambda: objective("importance-weighted", draws=0), "0 draws do not fit"),
        (lambda: objective("cross-entropy", beta=2.0), "has no β"),
    ],
)
def test_what_does_not_fit_is_told(act, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        act()
