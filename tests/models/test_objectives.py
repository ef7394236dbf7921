"""The negative ELBO against a slow sum over pixels, and against what `VAE.log_prob` says of the same draws."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

from models.contract import Batch
from models.noise import Noise
from models.objectives import OBJECTIVES, negative_elbo
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
