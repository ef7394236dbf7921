"""The three ways against quadrature where there are one or two latents, and against the model's own log_prob."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from models.measures import three_ways
from models.noise import Noise
from models.vae import VAE, posterior_noise


def tiny(latent: int, classes: int = 0, scale: float = 0.6, pixels: int = 3) -> VAE:
    """Random weights, enlarged so that pixels depend on each other through z."""
    torch.manual_seed(3)
    shape = (1, 1, pixels)
    model = VAE(latent, shape, levels=4, network="mlp", hidden=8, scale=scale, classes=classes).double().eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(1.7)
    return model.requires_grad_(False)


X = torch.tensor([3, 0, 1], dtype=torch.uint8).reshape(1, 1, 1, 3)


def grid(latent: int) -> tuple[Tensor, float]:
    """Points `(Z, L)` and the volume of each."""
    axis = torch.linspace(-7, 7, 2801 if latent == 1 else 281, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latent).reshape(-1, latent)
    return z, float(axis[1] - axis[0]) ** latent


def scipy_log_likelihood(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x|z), `(Z,)`, from the cells' own probabilities."""
    mean, sigma = model.decode_mean(z).flatten(1).numpy(), float(model.scale)
    k = x.flatten().numpy().astype(float)
    upper = np.where(k == model.spec.levels - 1, 1.0, stats.norm.cdf(k + 0.5, mean, sigma))
    lower = np.where(k == 0, 0.0, stats.norm.cdf(k - 0.5, mean, sigma))
    return torch.from_numpy(np.log(upper - lower).sum(1))


@pytest.mark.parametrize("latent", [1, 2])
def test_in_few_dimensions_all_three_agree_with_quadrature(latent: int) -> None:
    model = tiny(latent)
    z, volume = grid(latent)
    log_p = scipy_log_likelihood(model, X, z)
    exact = float((log_p + Normal(0.0, 1.0).log_prob(z).sum(1)).logsumexp(0)) + math.log(volume)
    posterior = model.encode(X)
    q = Normal(posterior.mean, posterior.std)
    bound = float((q.log_prob(z).sum(1).exp() * log_p).sum()) * volume
    bound -= float(kl_divergence(q, Normal(0.0, 1.0)).sum())
    *_, last = three_ways.steps(model, X, noise=1, samples=20_000, chunk=5_000)
    assert abs(float(last.prior.nats) - exact) < 4 * float(last.prior.standard_error) < 0.1
    assert abs(float(last.importance.nats) - exact) < 4 * float(last.importance.standard_error) < 0.1
    assert abs(last.elbo - bound) < 4 * last.elbo_error < 0.3
    assert bound < exact - 4 * last.elbo_error  # so that the bound's agreement is not the value's


def test_the_end_is_the_models_own_log_prob() -> None:
    model = tiny(2)
    noise = Noise(7, step=2, first=5)
    *_, last = three_ways.steps(model, X, noise=noise, samples=101, chunk=16)
    importance = model.log_prob(X, method="importance", samples=101, noise=noise)
    bound = model.log_prob(X, method="elbo", samples=101, noise=noise)
    assert bound.standard_error is not None
    torch.testing.assert_close(last.importance.nats, importance.nats, rtol=0, atol=1e-12)
    torch.testing.assert_close(last.importance.standard_error, importance.standard_error, rtol=1e-9, atol=0)
    assert last.elbo == pytest.approx(float(bound.nats[0]), abs=1e-12)
    assert last.elbo_error == pytest.approx(float(bound.standard_error[0]), rel=1e-9)


def test_chunks_change_nothing_but_how_often_it_reports() -> None:
    model = tiny(2)
    fine, coarse = (list(three_ways.steps(model, X, noise=3, samples=60, chunk=chunk)) for chunk in (1, 25))
    assert [one.samples for one in fine] == list(range(1, 61))
    assert [one.samples for one in coarse] == [25, 50, 60]
    for one in coarse:
        twin = fine[one.samples - 1]
        for name in ("prior", "importance"):
            for field in ("nats", "standard_error", "effective_samples"):
                torch.testing.assert_close(getattr(getattr(one, name), field), getattr(getattr(twin, name), field))
        for field in ("elbo", "elbo_error", "largest_share_prior", "largest_share_importance"):
            assert getattr(one, field) == pytest.approx(getattr(twin, field), rel=1e-9)
    assert math.isnan(fine[0].elbo_error)
    assert fine[0].largest_share_prior == fine[0].largest_share_importance == pytest.approx(1.0)


def test_every_number_is_that_of_all_draws_kept() -> None:
    model, noise = tiny(2), Noise(4)
    *_, last = three_ways.steps(model, X, noise=noise, samples=40, chunk=7)
    many = X.expand(40, -1, -1, -1)
    posterior = model.encode(X)
    q, unit = Normal(posterior.mean, posterior.std), Normal(0.0, 1.0)
    z = posterior.mean + posterior.std * posterior_noise(noise, posterior, 0, 40)[:, 0]
    log_p = model.log_likelihood(many, z)
    weights = (log_p + unit.log_prob(z).sum(1) - q.log_prob(z).sum(1)).exp()
    assert float(last.importance.nats) == pytest.approx(float(weights.mean().log()))
    assert last.largest_share_importance == pytest.approx(float(weights.max() / weights.sum()))
    assert float(last.importance.effective_samples) == pytest.approx(float(weights.sum() ** 2 / weights.square().sum()))
    assert last.elbo_error == pytest.approx(float(log_p.std()) / math.sqrt(40))
    from_prior = model.log_likelihood(many, noise.normal(1, (40, 2), stream="from the prior")[0]).exp()
    assert float(last.prior.nats) == pytest.approx(float(from_prior.mean().log()))
    assert last.largest_share_prior == pytest.approx(float(from_prior.max() / from_prior.sum()))


def test_a_picture_is_encoded_once_and_every_draw_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(2)
    encoded, decoded = [], []
    encode, decode_mean = model.encode, model.decode_mean
    monkeypatch.setattr(model, "encode", lambda x: encoded.append(len(x)) or encode(x))  # type: ignore[func-returns-value]
    monkeypatch.setattr(model, "decode_mean", lambda z, _: decoded.append(len(z)) or decode_mean(z))  # type: ignore[func-returns-value]
    *_, _last = three_ways.steps(model, X, noise=0, samples=50, chunk=20)
    assert encoded == [1]
    assert sum(decoded) == 2 * 50  # the prior's draws and the encoder's; the bound has none of its own
    assert max(decoded) == 20


def test_the_prior_fails_where_the_posterior_is_narrow_and_its_effective_sample_size_says_so() -> None:
    """Pixel i shows latent i with σ = 0.03: the exact value is a product of one-dimensional integrals."""
    latent, scale = 12, 3.0
    model = VAE(latent, (1, 3, 4), levels=256, network="mlp", hidden=4, scale=scale).double().eval().requires_grad_(False)
    half = 255 / 2
    spread = 100.0  # grey levels a unit of z
    model.decoder = torch.nn.Linear(latent, latent).double().requires_grad_(False)
    model.decoder.weight.copy_(torch.eye(latent) * spread / half)
    model.decoder.bias.zero_()
    x = (110 + 3 * torch.arange(12)).to(torch.uint8).reshape(1, 1, 3, 4)
    # The encoder answers with the true posterior, but for the rounding of pixels.
    gain = spread / (spread**2 + scale**2)
    std = scale / math.sqrt(spread**2 + scale**2)
    head = torch.nn.Linear(latent, 2 * latent).double().requires_grad_(False)
    head.weight.zero_()
    head.weight[:latent].copy_(torch.eye(latent) * half * gain)
    head.bias.copy_(torch.cat([torch.zeros(latent), torch.full((latent,), math.log(std))]))
    model.encoder = torch.nn.Sequential(torch.nn.Flatten(), head)

    total = math.sqrt(spread**2 + scale**2)
    k = x.flatten().double().numpy()
    exact = float(np.log(stats.norm.cdf(k + 0.5, half, total) - stats.norm.cdf(k - 0.5, half, total)).sum())
    *_, last = three_ways.steps(model, x, noise=0, samples=2000, chunk=500)
    assert float(last.importance.nats) == pytest.approx(exact, abs=4 * float(last.importance.standard_error) + 1e-6)
    assert float(last.importance.effective_samples) > 1800
    assert last.largest_share_importance < 0.01
    assert last.elbo == pytest.approx(exact, abs=4 * last.elbo_error + 0.05)
    assert float(last.prior.nats) < exact - 100
    assert float(last.prior.effective_samples) < 1.5
    assert last.largest_share_prior > 0.8


def test_a_caller_keeps_its_gradients_and_may_stop_early() -> None:
    model = tiny(1)
    for one in three_ways.steps(model, X, noise=0, samples=10**9, chunk=4):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        if one.samples == 8:
            break
    assert all(parameter.grad is None for parameter in model.parameters())


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="2 pictures"):
        next(three_ways.steps(tiny(1), X.repeat(2, 1, 1, 1), noise=0, samples=1))
    with pytest.raises(ValueError, match="0 samples"):
        next(three_ways.steps(tiny(1), X, noise=0, samples=0))
    with pytest.raises(ValueError, match="chunk of 0"):
        next(three_ways.steps(tiny(1), X, noise=0, samples=4, chunk=0))
    with pytest.raises(ValueError, match="told the class"):
        next(three_ways.steps(tiny(1, classes=2), X, noise=0, samples=1))
