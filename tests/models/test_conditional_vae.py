"""The conditional VAE: the label reaches both networks, and without one the classes are summed over."""

from __future__ import annotations

import math

import pytest
import torch

from models.contract import Density
from models.noise import Noise
from models.vae import VAE

K = 3


@pytest.fixture(scope="module", params=["mlp", "conv"])
def model(request: pytest.FixtureRequest) -> VAE:
    torch.manual_seed(5)
    settings = {"latent": 1, "shape": (1, 4, 4), "levels": 4, "hidden": 8, "channels": 4, "scale": 1.0, "classes": K}
    return VAE(network=request.param, **settings).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.randint(0, 4, (6, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def labels(y: int, n: int = 6) -> torch.Tensor:
    return torch.full((n,), y)


def test_encoder_and_decoder_hear_the_label(model: VAE, x: torch.Tensor) -> None:
    one, other = model.encode(x, labels(0)), model.encode(x, labels(1))
    assert not torch.allclose(one.mean, other.mean)
    z = torch.zeros(6, 1, dtype=torch.float64)
    assert not torch.allclose(model.decode_mean(z, labels(0)), model.decode_mean(z, labels(1)))


def test_a_label_is_asked_for_where_it_is_needed(model: VAE, x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="has to be told the class, 0 to 2"):
        model.encode(x)
    with pytest.raises(ValueError, match="not within 0 and 2"):
        model.decode(torch.zeros(1, 1, dtype=torch.float64), torch.tensor([3]))
    with pytest.raises(ValueError, match="has no classes"):
        VAE(latent=1, network="mlp", hidden=4, shape=(1, 4, 4)).encode(x, labels(0))


@pytest.mark.parametrize("method", ["elbo", "importance"])
def test_without_a_label_the_classes_are_summed_over(model: VAE, x: torch.Tensor, method: str) -> None:
    whole = model.log_prob(x, method=method, samples=20, noise=2)
    each = [model.log_prob(x, labels=labels(y), method=method, samples=20, noise=2) for y in range(K)]
    slow = [math.log(sum(math.exp(float(one.nats[i])) for one in each) / K) for i in range(len(x))]
    assert whole.nats.tolist() == pytest.approx(slow, rel=1e-9)
    assert whole.kind == (Density.LOWER_BOUND if method == "elbo" else Density.ESTIMATE)
    share = [[math.exp(float(one.nats[i]) - slow[i]) / K for one in each] for i in range(len(x))]
    errors = [sum(share[i][y] * float(each[y].standard_error[i]) for y in range(K)) for i in range(len(x))]
    assert whole.standard_error.tolist() == pytest.approx(errors, rel=1e-9)


def test_given_the_label_the_estimate_is_the_integral_over_z(model: VAE, x: torch.Tensor) -> None:
    z = torch.linspace(-8, 8, 4_001, dtype=torch.float64)[:, None]
    log_prior = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    for y in range(K):
        found = model.log_prob(x[:1], labels=labels(y, 1), method="importance", samples=4_000, noise=1)
        terms = model.log_likelihood(x[:1].expand(len(z), -1, -1, -1), z, labels(y, len(z))) + log_prior
        exact = float(torch.logsumexp(terms, 0)) + math.log(float(z[1, 0] - z[0, 0]))
        assert float(found.nats[0]) == pytest.approx(exact, abs=5 * float(found.standard_error[0]) + 1e-6)


def test_chunks_and_batches_change_nothing(model: VAE, x: torch.Tensor) -> None:
    told = torch.tensor([0, 1, 2, 0, 1, 2])
    whole = model.log_prob(x, labels=told, samples=3, noise=4).nats
    parts = [model.log_prob(x[i : i + 1], labels=told[i : i + 1], samples=3, noise=Noise(4).skip(i)).nats for i in range(6)]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-12, atol=0)


def test_samples_have_labels_of_their_own_or_those_that_are_given(model: VAE) -> None:
    told = torch.tensor([2, 2, 0, 1])
    assert torch.equal(model.sample(4, noise=3, labels=told), model.draw(model.prior(4, noise=3), told, noise=3))
    drawn = (Noise(3).uniform(8, (), stream="label") * K).long()
    assert torch.equal(model.sample(8, noise=3), model.draw(model.prior(8, noise=3), drawn, noise=3))
    assert torch.equal(model.sample(8, noise=3)[:3], model.sample(3, noise=3))
