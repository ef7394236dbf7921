"""The negative ELBO against a slow sum over pixels, and against what `VAE.log_prob` says of the same draws."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from models.autoencoder import Autoencoder
from models.contract import Batch
from models.measures.disentanglement import minibatch_log_q
from models.noise import Noise
from models.objectives import OBJECTIVES, negative_elbo, negative_tc_elbo, objective, squared_error
from models.vae import VAE


@pytest.fixture(scope="module")
def model() -> VAE:
    torch.manual_seed(2)
    return VAE(latent=2, shape=(1, 2, 3), levels=8, network="mlp", hidden=8, scale=1.5).double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch() -> Batch:
    x = torch.randint(0, 8, (5, 1, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(x, torch.zeros(5, dtype=torch.int64), torch.arange(5))


def test_the_parts_are_nats_summed_over_pixels_and_sum_to_the_total(model: VAE, batch: Batch) -> None:
    loss = negative_elbo(model, batch, Noise(9))
    assert set(loss.parts) == {"reconstruction", "kl"}
    assert float(loss.total) == pytest.approx(float((loss.parts["reconstruction"] + loss.parts["kl"]).mean()))

    posterior = model.encode(batch.x)
    epsilon = Noise(9).normal(5, (2,), stream="epsilon")
    means = model.decode_mean(posterior.mean + posterior.std * epsilon)
    for image in range(5):
        slow = 0.0
        for k, mean in zip(batch.x[image].flatten().tolist(), means[image].flatten().tolist(), strict=True):
            low = -math.inf if k == 0 else (k - 0.5 - mean) / 1.5
            high = math.inf if k == 7 else (k + 0.5 - mean) / 1.5
            slow -= math.log(scipy.stats.norm.cdf(high) - scipy.stats.norm.cdf(low))
        assert float(loss.parts["reconstruction"][image]) == pytest.approx(slow, rel=1e-6)
        kl = 0.0
        for m, s in zip(posterior.mean[image].tolist(), posterior.std[image].tolist(), strict=True):
            kl += (m * m + s * s - 1) / 2 - math.log(s)
        assert float(loss.parts["kl"][image]) == pytest.approx(kl)


def test_it_is_the_elbo_of_log_prob_at_the_same_draw(model: VAE, batch: Batch) -> None:
    loss = negative_elbo(model, batch, Noise(4))
    nats = model.log_prob(batch.x, samples=1, noise=4).nats
    torch.testing.assert_close(-(loss.parts["reconstruction"] + loss.parts["kl"]), nats, rtol=1e-12, atol=0)


def test_its_expectation_is_the_elbo_of_log_prob(model: VAE, batch: Batch) -> None:
    steps = torch.stack([-negative_elbo(model, batch, Noise(4, step)).total for step in range(400)])
    elbo = model.log_prob(batch.x, samples=5000, noise=8)
    error = math.hypot(float(steps.std()) / math.sqrt(400), float(elbo.standard_error.square().sum().sqrt()) / 5)
    assert float(steps.mean()) == pytest.approx(float(elbo.nats.mean()), abs=4 * error)
    assert error < 0.1


def test_noise_belongs_to_the_image_and_not_to_its_place_in_the_batch(model: VAE, batch: Batch) -> None:
    whole = negative_elbo(model, batch, Noise(4)).parts["reconstruction"]
    order = torch.tensor([3, 0, 4])
    some = Batch(batch.x[order], batch.labels[order], batch.index[order])
    torch.testing.assert_close(negative_elbo(model, some, Noise(4)).parts["reconstruction"], whole[order])


def test_gradients_pass_through_the_draw(batch: Batch) -> None:
    torch.manual_seed(2)
    model = VAE(latent=2, shape=(1, 2, 3), levels=8, network="mlp", hidden=8).double()
    OBJECTIVES["elbo"](model, batch, Noise(1)).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        place = int(parameter.grad.abs().argmax())
        with torch.no_grad():
            flat, step = parameter.view(-1), 1e-5
            flat[place] += step
            above = negative_elbo(model, batch, Noise(1)).total
            flat[place] -= 2 * step
            below = negative_elbo(model, batch, Noise(1)).total
            flat[place] += step
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(float((above - below) / (2 * step)), rel=1e-4)


def test_at_beta_1_both_relatives_are_the_elbo(model: VAE, batch: Batch) -> None:
    elbo = negative_elbo(model, batch, Noise(3))
    for name in ("elbo", "tc-elbo"):
        loss = objective(name, 1.0)(model, batch, Noise(3))
        torch.testing.assert_close(loss.total, elbo.total, rtol=1e-12, atol=0)
        torch.testing.assert_close(loss.nats, -model.log_prob(batch.x, samples=1, noise=3).nats.mean(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("beta", [0.0, 0.1, 4.0])
def test_beta_weighs_the_kl_and_leaves_the_parts_and_the_bound_alone(model: VAE, batch: Batch, beta: float) -> None:
    plain, weighed = negative_elbo(model, batch, Noise(3)), objective("elbo", beta)(model, batch, Noise(3))
    for name, part in plain.parts.items():
        assert torch.equal(part, weighed.parts[name])
    assert torch.equal(plain.nats, weighed.nats)
    expected = float(plain.parts["reconstruction"].mean()) + beta * float(plain.parts["kl"].mean())
    assert float(weighed.total) == pytest.approx(expected, rel=1e-12)


def test_the_tc_objective_pays_for_the_total_correlation_alone(model: VAE, batch: Batch) -> None:
    whole = Batch(batch.x, batch.labels, batch.index, total=50)
    loss = negative_tc_elbo(model, whole, Noise(3), beta=6.0)
    posterior = model.encode(batch.x)
    z = posterior.mean + posterior.std * Noise(3).normal(5, (2,), stream="epsilon")
    log_q, log_product = minibatch_log_q(z, posterior, 50)
    expected = float(negative_elbo(model, batch, Noise(3)).total) + 5.0 * float((log_q - log_product).mean())
    assert float(loss.total) == pytest.approx(expected, rel=1e-9)


def test_a_conditional_model_is_told_its_labels() -> None:
    torch.manual_seed(1)
    model = VAE(latent=2, shape=(1, 2, 3), levels=8, network="mlp", hidden=8, scale=1.5, classes=3).double().eval()
    x = torch.randint(0, 8, (5, 1, 2, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1])
    loss = negative_elbo(model, Batch(x, labels, torch.arange(5)), Noise(3))
    expected = model.log_prob(x, labels=labels, samples=1, noise=3).nats
    torch.testing.assert_close(-(loss.parts["reconstruction"] + loss.parts["kl"]), expected, rtol=1e-9, atol=0)


def test_the_squared_error_is_that_of_scaled_pixels_and_no_likelihood(batch: Batch) -> None:
    torch.manual_seed(1)
    model = Autoencoder(latent=2, shape=(1, 2, 3), levels=8, network="mlp", hidden=8).double().eval()
    loss = squared_error(model, batch, Noise(0))
    found = model.decode_mean(model.encode(batch.x).mean)
    slow = [sum(((a - b) / 7) ** 2 for a, b in zip(one.flatten().tolist(), two.flatten().tolist(), strict=True))
            for one, two in zip(found, batch.x, strict=True)]  # fmt: skip
    assert loss.parts["squared_error"].tolist() == pytest.approx(slow, rel=1e-9)
    assert loss.nats is None


@pytest.mark.parametrize(("name", "beta", "said"), [("likelihood", 4.0, "has no β: 4"), ("elbo", -1.0, "β = -1 is not")])
def test_a_beta_that_an_objective_cannot_have_is_refused(name: str, beta: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        objective(name, beta)
