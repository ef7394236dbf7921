"""The VAE: its numbers against exact likelihoods of a tiny one, and what it promises of samples, batches and chunks.

The tiny model has one latent and three pixels of four levels: 64 images, whose log p(x) is an integral over z that the
trapezoid rule gives to twelve digits.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Normal, kl_divergence

from models import networks, vae
from models.contract import Density, HasLatents, Posterior
from models.noise import Noise
from models.vae import VAE, kl_to_prior

ALL = torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=torch.uint8).reshape(64, 1, 1, 3)


def tiny() -> VAE:
    """Random weights, enlarged so that pixels depend on each other through z."""
    torch.manual_seed(3)
    model = VAE(latent=1, shape=(1, 1, 3), levels=4, network="mlp", hidden=8, scale=0.6).double().eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(1.7)
    return model.requires_grad_(False)


def small(network: str, **settings) -> VAE:
    torch.manual_seed(1)
    shape = (1, 8, 8) if network == "conv" else (2, 3, 5)
    return VAE(latent=3, shape=shape, network=network, hidden=16, channels=4, **settings).double().eval().requires_grad_(False)


def pixel_log_masses(mean: np.ndarray, scale: float, levels: int) -> np.ndarray:
    """log p(k) of each mean, `(..., levels)`, by scipy's log Φ in the tail where it is small."""
    edges = np.concatenate([[-np.inf], np.arange(levels - 1) + 0.5, [np.inf]])
    edges = (edges - mean[..., None]) / scale
    low, high = edges[..., :-1], edges[..., 1:]
    above = low > 0
    low, high = np.where(above, -high, low), np.where(above, -low, high)
    log_low, log_high = scipy.stats.norm.logcdf(low), scipy.stats.norm.logcdf(high)
    return log_high + np.log1p(-np.exp(log_low - log_high))


@pytest.fixture(scope="module")
def model() -> VAE:
    return tiny()


@pytest.fixture(scope="module")
def likelihoods(model: VAE) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """z on a fine grid `(Z,)`, log p(x|z) `(64, Z)`, and the exact log p(x) `(64,)`, by quadrature."""
    z = torch.linspace(-9, 9, 3001, dtype=torch.float64)
    masses = pixel_log_masses(model.decode_mean(z[:, None]).reshape(-1, 3).numpy(), float(model.scale), 4)  # (Z, 3, 4)
    given_z = np.stack([masses[:, range(3), x].sum(1) for x in ALL.reshape(64, 3).long().numpy()])  # (64, Z)
    log_p = torch.from_numpy(given_z)
    exact = torch.trapezoid(log_p.exp() * Normal(0.0, 1.0).log_prob(z).exp(), z).log()
    return z, log_p, exact


@pytest.fixture
def large_chunks(monkeypatch) -> None:
    """Many draws of a tiny model are one matrix product; that chunks change nothing has its own test."""
    monkeypatch.setattr(vae, "CHUNK", 100_000)


def test_exact_masses_of_all_images_sum_to_one(likelihoods) -> None:
    assert float(likelihoods[2].exp().sum()) == pytest.approx(1.0, abs=1e-10)


def test_log_likelihood_equals_scipy_pixel_by_pixel(model: VAE, likelihoods) -> None:
    z, log_p, _ = likelihoods
    for place in (900, 1500, 2100):
        ours = model.log_likelihood(ALL, z[place].expand(64, 1))
        torch.testing.assert_close(ours, log_p[:, place], rtol=1e-8, atol=1e-10)


def test_the_elbo_is_its_integral_and_lies_below_the_exact_value_for_every_image(model: VAE, likelihoods, large_chunks) -> None:
    z, log_p, exact = likelihoods
    posterior = model.encode(ALL)
    q = Normal(posterior.mean, posterior.std)  # (64, 1) against z (Z,)
    reconstruction = torch.trapezoid(q.log_prob(z).exp() * log_p, z)
    integral = reconstruction - kl_divergence(q, Normal(0.0, 1.0))[:, 0]
    found = model.log_prob(ALL, samples=1500, noise=1)
    assert found.kind is Density.LOWER_BOUND
    assert found.samples == 1500
    assert found.measure == "mass"
    assert ((found.nats - integral).abs() <= 4.5 * found.standard_error).all()
    assert (found.nats <= exact + 4 * found.standard_error).all()
    assert (integral < exact).all()


def test_the_importance_estimate_rises_with_samples_and_stays_below_the_exact_value(
    model: VAE, likelihoods, large_chunks
) -> None:
    exact, repetitions = likelihoods[2], 150
    repeated = ALL.repeat(repetitions, 1, 1, 1)  # each repetition has its own noise: its own number of example
    means, errors = [], []
    for samples in (1, 4, 16, 64):
        found = model.log_prob(repeated, method="importance", samples=samples, noise=samples)
        assert found.kind is Density.ESTIMATE
        nats = found.nats.reshape(repetitions, 64)
        means.append(nats.mean(0))
        errors.append(nats.std(0) / math.sqrt(repetitions))
    for mean, error in zip(means, errors, strict=True):
        assert (mean <= exact + 4 * error).all()
    for i in range(3):
        assert (means[i + 1] >= means[i] - 4 * torch.hypot(errors[i], errors[i + 1])).all()
    assert (exact - means[0]).mean() > 4 * (exact - means[-1]).mean()
    assert (exact - means[-1]).mean() < 0.05


def test_the_importance_estimate_converges_to_the_exact_value(model: VAE, likelihoods, large_chunks) -> None:
    found = model.log_prob(ALL, method="importance", samples=8000, noise=2)
    assert ((found.nats - likelihoods[2]).abs() < 4.5 * found.standard_error + 1e-3).all()
    assert found.standard_error.max() < 0.2


def test_the_standard_errors_are_the_spread_over_seeds(model: VAE, large_chunks) -> None:
    repeated = ALL[:8].repeat(300, 1, 1, 1)
    for method in ("elbo", "importance"):
        found = model.log_prob(repeated, method=method, samples=100, noise=5)
        spread, reported = found.nats.reshape(300, 8).std(0), found.standard_error.reshape(300, 8).mean(0)
        torch.testing.assert_close(reported, spread, rtol=0.2, atol=0)


@pytest.mark.parametrize("method", ["elbo", "importance"])
def test_one_draw_has_no_standard_error(model: VAE, method: str) -> None:
    assert model.log_prob(ALL, method=method, samples=1).standard_error is None


@pytest.mark.parametrize("method", ["elbo", "importance"])
def test_chunks_change_nothing_and_each_image_is_encoded_once(model: VAE, method: str, monkeypatch) -> None:
    whole = model.log_prob(ALL, method=method, samples=9, noise=4)
    for chunk in (1, 7, 64, 100, 10_000):
        monkeypatch.setattr(vae, "CHUNK", chunk)
        encoded, decoded = [], []
        hooks = [
            model.encoder.register_forward_hook(lambda _, x, __, into=encoded: into.append(x[0])),
            model.decoder.register_forward_hook(lambda _, z, __, into=decoded: into.append(len(z[0]))),
        ]
        found = model.log_prob(ALL, method=method, samples=9, noise=4)
        for hook in hooks:
            hook.remove()
        torch.testing.assert_close(found.nats, whole.nats, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found.standard_error, whole.standard_error, rtol=1e-6, atol=1e-9)
        assert len(torch.cat(encoded)) == 64 == len(torch.cat(encoded).unique(dim=0))
        assert max(decoded) <= chunk
        assert sum(decoded) == 9 * 64


def test_the_log_prob_of_an_image_does_not_depend_on_its_batch(model: VAE) -> None:
    for method in ("elbo", "importance"):
        whole = model.log_prob(ALL, method=method, samples=3, noise=4).nats
        part = model.log_prob(ALL[20:30], method=method, samples=3, noise=Noise(4).skip(20)).nats
        torch.testing.assert_close(part, whole[20:30], rtol=1e-12, atol=0)


@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("seed", [0, 1, 2**62])
def test_sample_16_begins_with_sample_8(network: str, seed: int) -> None:
    model = small(network)
    sixteen = model.sample(16, noise=seed)
    assert sixteen.dtype == torch.uint8
    assert sixteen.shape == (16, *model.spec.shape)
    assert torch.equal(sixteen[:8], model.sample(8, noise=seed))
    assert torch.equal(sixteen[8:], model.sample(8, noise=Noise(seed).skip(8)))
    assert not torch.equal(sixteen, model.sample(16, noise=seed + 1))


def test_no_images_are_an_empty_tensor() -> None:
    model = small("conv")
    assert model.sample(0, noise=0).shape == (0, 1, 8, 8)
    for method in ("elbo", "importance"):
        assert model.log_prob(torch.zeros(0, 1, 8, 8, dtype=torch.uint8), method=method).nats.shape == (0,)


def test_samples_come_as_often_as_their_exact_probability(model: VAE, likelihoods) -> None:
    n = 20_000
    drawn = model.sample(n, noise=11).reshape(n, 3).long()
    observed = torch.bincount(drawn @ torch.tensor([16, 4, 1]), minlength=64).double()
    expected = n * likelihoods[2].exp()
    common = expected >= 5
    observed = torch.cat([observed[common], observed[~common].sum()[None]])
    expected = torch.cat([expected[common], expected[~common].sum()[None]])
    assert scipy.stats.chisquare(observed + 1e-9, expected + 1e-9, sum_check=False).pvalue > 1e-3


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_decode_does_not_depend_on_the_batch(network: str) -> None:
    model = small(network)
    z = 3 * model.prior(65, noise=2)
    together = model.decode(z)
    assert torch.equal(torch.cat([model.decode(one[None]) for one in z]), together)
    assert torch.equal(torch.cat([model.decode(z[:31]), model.decode(z[31:])]), together)


@pytest.mark.parametrize("scale", [2.0, 64.0])
def test_decode_is_the_mean_of_many_draws(scale: float) -> None:
    model = small("mlp", scale=scale)
    with torch.no_grad():
        model.decoder[-1].bias.add_(torch.linspace(-1.5, 1.5, 30))  # from pixels mostly clipped at 0 to ones at 255
    z = model.prior(1, noise=0)
    draws = model.draw(z.expand(4000, -1), noise=7).double()
    tolerance = 0.5 + 0.02 + 4.5 * draws.std(0) / math.sqrt(4000)  # rounding, the midpoint rule, chance
    assert ((model.decode(z)[0] - draws.mean(0)).abs() <= tolerance).all()
    assert draws.min() == 0
    assert draws.max() == 255


def test_temperature_scales_the_spread_of_the_latents_alone() -> None:
    model = small("mlp")
    torch.testing.assert_close(model.prior(5, noise=1, temperature=0.3), 0.3 * model.prior(5, noise=1))
    cold = model.sample(200, noise=1, temperature=0.0)
    assert torch.equal(cold, model.draw(torch.zeros(200, 3, dtype=torch.float64), noise=1))
    assert scipy.stats.kstest(model.prior(3000, noise=1).flatten().numpy(), "norm").pvalue > 1e-3


def test_kl_equals_that_of_torch_distributions() -> None:
    mean = 3 * Noise(0).normal(50, (4,), stream="mean")
    std = Noise(0).normal(50, (4,), stream="std").exp()
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_prior(Posterior(mean, std)), expected)
    assert kl_to_prior(Posterior(torch.zeros(1, 1), torch.ones(1, 1))).item() == 0


def test_a_fixed_scale_is_a_constant_and_a_learned_one_a_parameter() -> None:
    fixed, learned = VAE(latent=2, network="mlp", scale=12.5), VAE(latent=2, network="mlp")
    assert float(fixed.scale) == pytest.approx(12.5)
    assert "log_scale" not in dict(fixed.named_parameters())
    assert "log_scale" in fixed.state_dict()
    assert float(learned.scale.detach()) == pytest.approx(64.0)
    assert "log_scale" in dict(learned.named_parameters())
    x = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    learned.log_prob(x).nats.sum().backward()
    assert learned.log_scale.grad is not None
    assert float(learned.log_scale.grad) != 0


def test_it_has_latents(model: VAE) -> None:
    assert isinstance(model, HasLatents)
    posterior = model.encode(ALL)
    assert posterior.mean.shape == posterior.std.shape == (64, 1)
    assert (posterior.std > 0).all()
    decoded = model.decode(posterior.mean)
    assert decoded.shape == ALL.shape
    assert decoded.dtype == torch.uint8
    assert decoded.max() <= 3


def test_the_spec_says_what_the_model_is() -> None:
    spec = small("mlp").spec
    assert (spec.kind, spec.shape, spec.levels, spec.latent, spec.dims) == ("vae", (2, 3, 5), 256, 3, 30)
    assert spec.density is Density.LOWER_BOUND


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m.log_prob(ALL.float()), r"uint8 \(B, 1, 1, 3\), not torch.float32"),
        (lambda m: m.log_prob(ALL[0]), r"uint8 \(B, 1, 1, 3\), not torch.uint8 \(1, 1, 3\)"),
        (lambda m: m.log_prob(ALL.reshape(64, 1, 3, 1)), r"not torch.uint8 \(64, 1, 3, 1\)"),
        (lambda m: m.encode(ALL + 1), "Pixel value 4 is not within 0 and 3"),
        (lambda m: m.log_prob(ALL, labels=torch.zeros(64)), "no classes: labels must be None"),
        (lambda m: m.sample(2, noise=0, labels=torch.zeros(2)), "no classes: labels must be None"),
        (lambda m: m.log_prob(ALL, method="exact"), "'exact' is neither 'elbo' nor 'importance'"),
        (lambda m: m.log_prob(ALL, samples=0), "0 samples are too few: at least 1"),
        (lambda m: m.log_prob(ALL, method="importance", samples=0), "0 samples are too few: at least 1"),
        (lambda m: m.sample(2, noise=-1), "seed -1 is not within 0 and 2"),
        (lambda m: VAE(network="transformer"), "'transformer' is neither 'conv' nor 'mlp'"),
        (lambda m: VAE(shape=(1, 30, 28)), "30×28 does not divide by 4"),
    ],
)
def test_bad_input_gets_a_sentence(model: VAE, call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call(model)


@pytest.mark.gpu
def test_decode_on_cuda_equals_decode_on_the_cpu_in_float64() -> None:
    for network in ("conv", "mlp"):
        model = small(network)
        z = model.prior(64, noise=3)
        on_cpu, samples = model.decode(z), model.sample(8, noise=3)
        model.cuda()
        assert torch.equal(model.decode(z.cuda()).cpu(), on_cpu)
        assert torch.equal(model.sample(8, noise=3).cpu(), samples)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_last_convolution_in_float64_is_the_plain_one(channels: int) -> None:
    torch.manual_seed(0)
    fast = networks.ToFewChannels(16, channels, 3, padding=1).double()
    slow = torch.nn.Conv2d(16, channels, 3, padding=1).double()
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(5, 16, 12, 8, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(fast(x), slow(x), rtol=0, atol=1e-13)
    (a,) = torch.autograd.grad(fast(x).square().sum(), x)
    (b,) = torch.autograd.grad(slow(x).square().sum(), x)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
