"""The importance-weighted estimate on a model whose likelihood is known in closed form; units; the scores of a data set.

The model is linear and Gaussian: z ~ N(0, I), x = Wz + b + s·noise, so that p(x) = N(b, WWᵀ + s²I) and p(z|x) is Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal

from models.contract import Density, LogProb, Noise
from models.measures import likelihood
from models.measures.likelihood import importance_weighted, score, summarise
from models.vae import VAE

W = torch.tensor([[1.0, 0.3], [-0.5, 0.8], [0.2, -1.1]], dtype=torch.float64)
B = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
S = 0.7
X = torch.tensor([1.1, -0.4, 0.9], dtype=torch.float64)
COVARIANCE = torch.linalg.inv(torch.eye(2, dtype=torch.float64) + W.T @ W / S**2)  # of p(z|x)
MEAN = COVARIANCE @ W.T @ (X - B) / S**2
EXACT = float(
    scipy.stats.multivariate_normal(B.numpy(), (W @ W.T + S**2 * torch.eye(3, dtype=torch.float64)).numpy()).logpdf(X.numpy())
)


def weights_of(q: MultivariateNormal, seed: int, repetitions: int = 1) -> Callable[[int, int], Tensor]:
    """`log_weights(first, count) -> (count, B)` with B independent repetitions of the one x."""
    cholesky = q.scale_tril

    def log_weights(first: int, count: int) -> Tensor:
        epsilon = Noise(seed).normal(repetitions, (count, 2), stream="epsilon", start=2 * first).transpose(0, 1)
        z = q.mean + epsilon @ cholesky.T
        prior = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        log_p = torch.distributions.Normal(z @ W.T + B, S).log_prob(X).sum(-1)
        return log_p + prior.log_prob(z) - q.log_prob(z)

    return log_weights


POOR = MultivariateNormal(MEAN + torch.tensor([0.5, -0.4], dtype=torch.float64), 2.0 * COVARIANCE)


@pytest.mark.parametrize("samples", [1, 2, 33])
def test_the_true_posterior_gives_the_exact_value_without_any_variance(samples: int) -> None:
    q = MultivariateNormal(MEAN, COVARIANCE)
    nats, error = importance_weighted(weights_of(q, 0, repetitions=5), samples, chunk=4)
    torch.testing.assert_close(nats, torch.full_like(nats, EXACT), rtol=0, atol=1e-10)
    assert error.max() < 1e-6


def test_a_poor_posterior_gives_a_bound_that_rises_to_the_exact_value() -> None:
    means, errors = [], []
    for samples in (1, 4, 16, 64):
        nats, _ = importance_weighted(weights_of(POOR, samples, repetitions=4000), samples, chunk=64)
        means.append(float(nats.mean()))
        errors.append(float(nats.std()) / math.sqrt(len(nats)))
    assert all(mean <= EXACT + 4 * error for mean, error in zip(means, errors, strict=True))
    for i in range(3):
        assert means[i + 1] >= means[i] - 4 * math.hypot(errors[i], errors[i + 1])
    assert means[0] < EXACT - 0.3  # so that there was something to rise
    assert means[-1] > EXACT - 0.02


def test_the_estimate_with_one_sample_averages_to_the_elbo_in_closed_form() -> None:
    """ELBO = log p(x) − KL(q ‖ p(z|x))."""
    nats, _ = importance_weighted(weights_of(POOR, 5, repetitions=20_000), 1, chunk=1)
    kl = torch.distributions.kl_divergence(POOR, MultivariateNormal(MEAN, COVARIANCE))
    assert float(nats.mean()) == pytest.approx(EXACT - float(kl), abs=4 * float(nats.std()) / math.sqrt(20_000))


def test_the_reported_standard_error_is_the_spread_over_seeds() -> None:
    nats, error = importance_weighted(weights_of(POOR, 1, repetitions=3000), 256, chunk=256)
    assert float(error.mean()) == pytest.approx(float(nats.std()), rel=0.08)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 100), st.floats(-1e4, 1e4))
def test_chunks_change_nothing_and_the_formula_is_that_of_the_docstring(k: int, chunk: int, seed: int, shift: float) -> None:
    log_w = 3 * Noise(seed).normal(k, (4,), stream="w") + shift
    nats, error = importance_weighted(lambda first, count: log_w[first : first + count], k, chunk=chunk)
    w = np.exp(log_w.numpy() - shift)
    np.testing.assert_allclose(nats, np.log(w.mean(0)) + shift, rtol=1e-10, atol=1e-10)
    relative = (w**2).sum(0) / w.sum(0) ** 2 - 1 / k
    np.testing.assert_allclose(error, np.sqrt(relative.clip(0)), rtol=1e-4, atol=1e-5)


@given(st.integers(1, 40), st.integers(1, 50))
def test_every_draw_is_asked_for_once(k: int, chunk: int) -> None:
    asked: list[int] = []

    def log_weights(first: int, count: int) -> Tensor:
        assert 1 <= count <= chunk
        asked.extend(range(first, first + count))
        return torch.zeros(count, 2)

    importance_weighted(log_weights, k, chunk=chunk)
    assert asked == list(range(k))


def test_no_samples_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="0 samples are too few: at least 1"):
        importance_weighted(lambda first, count: torch.zeros(count, 1), 0, chunk=8)


def test_all_images_equally_likely_are_eight_bits_per_dimension() -> None:
    dims = 784
    assert float(likelihood.bits_per_dim(torch.tensor(-dims * math.log(256.0)), dims)) == pytest.approx(8.0)


@given(st.floats(1e-6, 1), st.integers(1, 10_000))
def test_pixels_of_probability_p_are_log2_of_one_over_p_bits_each(p: float, dims: int) -> None:
    nats = torch.tensor(dims * math.log(p), dtype=torch.float64)
    assert float(likelihood.bits_per_dim(nats, dims)) == pytest.approx(math.log2(1 / p), abs=1e-12)


@given(st.integers(0, 100), st.integers(1, 40))
def test_chunks_cover_everything_once(total: int, size: int) -> None:
    pieces = list(likelihood.chunks(total, size))
    assert [i for first, count in pieces for i in range(first, first + count)] == list(range(total))
    assert all(1 <= count <= size for _, count in pieces)


@pytest.mark.parametrize("method", ["elbo", "importance"])
def test_a_score_does_not_depend_on_its_chunks(method: str) -> None:
    torch.manual_seed(0)
    model = VAE(latent=2, shape=(1, 2, 3), levels=8, network="mlp", hidden=8).double()
    images = torch.randint(0, 8, (11, 1, 2, 3), dtype=torch.uint8)
    whole, nats = score(model, images, method=method, samples=5, noise=3)
    for chunk in (1, 4, 11):
        piecewise, piecewise_nats = score(model, images, method=method, samples=5, noise=3, chunk=chunk)
        torch.testing.assert_close(piecewise_nats, nats, rtol=1e-12, atol=0)
        assert piecewise.sampling_standard_error == pytest.approx(whole.sampling_standard_error)
    straight = model.log_prob(images, method=method, samples=5, noise=3)
    torch.testing.assert_close(nats, straight.nats.detach())


def test_a_score_is_a_mean_with_its_two_standard_errors() -> None:
    nats, errors = torch.tensor([-10.0, -14.0, -12.0, -20.0]).double(), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    how = LogProb(nats, Density.LOWER_BOUND, "ELBO", samples=7)
    found = summarise(how, nats, errors, dims=6)
    assert (found.method, found.kind, found.samples, found.images) == ("ELBO", "lower bound", 7, 4)
    assert found.nats == pytest.approx(-14.0)
    assert found.nats_standard_error == pytest.approx(scipy.stats.sem(nats.numpy()))
    assert found.sampling_standard_error == pytest.approx(math.sqrt(0.01 + 0.04 + 0.09 + 0.16) / 4)
    assert found.bits_per_dim == pytest.approx(14.0 / (6 * math.log(2)))
