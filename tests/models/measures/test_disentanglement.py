"""What latents tell of factors: codes whose answer is known by hand, quadrature, and slow obvious twins."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats
from torch import Tensor

from models.contract import Posterior
from models.measures import disentanglement
from models.measures.disentanglement import (
    bins,
    decomposition,
    entropy,
    mig,
    minibatch_log_q,
    mutual_information,
    report,
)
from models.vae import kl_to_prior

VALUES = 8  # of a factor on a grid
ENTROPY = math.log(VALUES)


def grid_factors() -> tuple[Tensor, Tensor]:
    """Two independent factors of 8 values: every pair 16 times."""
    pair = torch.arange(VALUES * VALUES).repeat(16)
    return pair // VALUES, pair % VALUES


def code(*columns: Tensor, std: float = 0.01) -> Posterior:
    mean = torch.stack([column.double() for column in columns], 1)
    return Posterior(mean, torch.full_like(mean, std))


def uniform(n: int) -> Tensor:
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def mixture_information(mean: np.ndarray, std: np.ndarray, factor: np.ndarray) -> float:
    """The slow twin: I(z; v) of a mixture of Gaussians by scipy's quadrature of H(z) − Σ p(v) H(z|v)."""

    def mixture_entropy(which: np.ndarray) -> float:
        def surprise(z: float) -> float:
            return float(special.entr(stats.norm.pdf(z, mean[which], std[which]).mean()))

        places = np.sort(np.concatenate([mean[which] + k * std[which] for k in (-9, -3, -1, 0, 1, 3, 9)]))
        return sum(integrate.quad(surprise, a, b, epsabs=1e-7)[0] for a, b in pairwise(places))

    given_factor = [(factor == v).mean() * mixture_entropy(factor == v) for v in np.unique(factor)]
    return mixture_entropy(np.ones(len(mean), dtype=bool)) - sum(given_factor)


def chen_information(mean: np.ndarray, std: np.ndarray, factor: np.ndarray, draws: int, seed: int = 0) -> float:
    """The estimator as published: the mean of log q(z|v) − log q(z) over draws, every draw against every image."""
    n = len(mean)
    which = np.repeat(np.arange(n), draws)
    z = np.random.default_rng(seed).normal(mean[which], std[which])
    log_each = stats.norm.logpdf(z[:, None], mean, std)
    same = factor[which][:, None] == factor
    log_given = special.logsumexp(log_each, 1, b=same / same.sum(1, keepdims=True))
    return float((log_given - special.logsumexp(log_each, 1, b=1 / n)).mean())


# Codes whose answer is known by hand


def test_a_perfect_code_tells_all_and_its_gap_is_one() -> None:
    a, b = grid_factors()
    found = report(code(b, a), {"a": a, "b": b}, noise=0)
    np.testing.assert_allclose(found.information, [[0, ENTROPY], [ENTROPY, 0]], atol=1e-3)
    assert found.gaps.which.tolist() == [1, 0]
    assert float(found.chance.max()) < 0.05  # shuffled, the factors are told no more
    assert found.mig == pytest.approx(1, abs=1e-3)


def test_a_code_turned_by_45_degrees_has_no_gap() -> None:
    a, b = grid_factors()
    information = torch.stack([mutual_information(code(a + b, a - b), f, noise=0) for f in (a, b)], 1)
    # By hand: a + b takes 15 values, so H(a + b) is that of a triangle, and H(a + b | a) = H(b).
    triangle = special.entr((VALUES - np.abs(np.arange(1 - VALUES, VALUES))) / VALUES**2).sum()
    np.testing.assert_allclose(information, triangle - ENTROPY, atol=1e-3)
    gaps = mig(information, torch.tensor([ENTROPY, ENTROPY], dtype=torch.float64))
    np.testing.assert_allclose(gaps.gap, 0, atol=1e-3)


def test_posteriors_that_are_the_prior_tell_nothing() -> None:
    a, b = grid_factors()
    posterior = Posterior(torch.zeros(len(a), 3), torch.ones(len(a), 3))
    found = report(posterior, {"a": a, "b": b}, noise=0)
    np.testing.assert_allclose(found.information, 0, atol=1e-12)
    np.testing.assert_allclose(found.kl, 0, atol=1e-12)
    assert found.mig == pytest.approx(0, abs=1e-12)


def test_a_code_of_permuted_numbers_tells_as_much() -> None:
    """Which number stands for which value is no matter, as long as each has its own."""
    a, _ = grid_factors()
    elsewhere = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])[a]
    assert float(mutual_information(code(elsewhere), a, noise=0)[0]) == pytest.approx(ENTROPY, abs=1e-3)
    # The same numbers, but at the wrong images: all is lost.
    assert float(mutual_information(code(a), grid_factors()[1], noise=0)[0]) == pytest.approx(0, abs=1e-3)


def test_a_factor_told_twice_has_no_gap() -> None:
    a, b = grid_factors()
    found = report(code(a, 3 - 2 * a, b), {"a": a, "b": b}, noise=0)
    np.testing.assert_allclose(found.gaps.gap, [0, 1], atol=1e-3)
    assert found.mig == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(found.gaps.best, ENTROPY, atol=1e-3)
    np.testing.assert_allclose(found.gaps.second, [ENTROPY, 0], atol=1e-3)


def test_half_a_factor_is_half_the_information() -> None:
    a, _ = grid_factors()
    half = a // 2  # 4 of 8 values
    assert float(mutual_information(code(half), a, noise=0)[0]) == pytest.approx(math.log(4), abs=1e-3)


@pytest.mark.parametrize("width", [0.3, 0.1, 0.03, 0.01])
def test_a_noisy_channel_carries_what_quadrature_says(width: float) -> None:
    """A uniform factor in 16 bins and Gaussian noise: q(z|v) is a difference of two normal distribution functions."""
    u = uniform(4000)
    z = np.linspace(-8 * width, 1 + 8 * width, 200_001)
    edges = np.arange(17) / 16
    below = special.ndtr((z - edges[:, None]) / width)  # (17, places)
    given_factor = 16 * (below[:-1] - below[1:])
    expected = (
        integrate.trapezoid(special.entr(below[0] - below[-1]), z)
        - integrate.trapezoid(special.entr(given_factor), z, axis=1).mean()
    )
    posterior = Posterior(u[:, None], torch.full((4000, 1), width, dtype=torch.float64))
    found = float(mutual_information(posterior, bins(u, (0, 1)), noise=0)[0])
    assert found == pytest.approx(expected, abs=2e-3)


# The estimator


def some_posteriors(n: int, latent: int, seed: int = 0) -> tuple[Posterior, Tensor]:
    """Of every width from 0.02 to 1, as encoders make them, and a factor that they know something of."""
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=(n, latent)), np.exp(rng.uniform(-4, 0, size=(n, latent)))
    factor = bins(torch.from_numpy(mean[:, 0] + 0.5 * rng.normal(size=n)).clamp(-2, 2), (-2, 2), 4)
    return Posterior(torch.from_numpy(mean), torch.from_numpy(std)), factor


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_information_is_that_of_quadrature_from_below(seed: int) -> None:
    posterior, factor = some_posteriors(12, 1, seed)
    expected = mixture_information(posterior.mean[:, 0].numpy(), posterior.std[:, 0].numpy(), factor.numpy())
    found = float(mutual_information(posterior, factor, noise=seed)[0])
    assert expected - 2e-3 < found < expected + 1e-6


def test_information_is_that_of_every_draw_against_every_image() -> None:
    posterior, factor = some_posteriors(300, 3)
    found = mutual_information(posterior, factor, noise=0)
    for j in range(3):
        expected = chen_information(posterior.mean[:, j].numpy(), posterior.std[:, j].numpy(), factor.numpy(), draws=20)
        assert float(found[j]) == pytest.approx(expected, abs=0.025)  # 4 of the twin's standard errors


def test_nothing_depends_on_the_images_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    posterior, factor = some_posteriors(100, 2)
    whole = mutual_information(posterior, factor, noise=0), decomposition(posterior, noise=0, samples=150)
    monkeypatch.setattr(disentanglement, "IMAGES_AT_ONCE", 7)
    torch.testing.assert_close(mutual_information(posterior, factor, noise=0), whole[0], rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(disentanglement, "CELLS", 50)  # decomposition's pieces are of IMAGES_AT_ONCE · CELLS numbers
    again = decomposition(posterior, noise=0, samples=150)
    assert again.total_correlation == pytest.approx(whole[1].total_correlation, rel=1e-9)


def test_the_place_of_the_cuts_hardly_matters() -> None:
    posterior, factor = some_posteriors(200, 1)
    found = [float(mutual_information(posterior, factor, noise=seed)[0]) for seed in range(5)]
    assert max(found) - min(found) < 1e-3
    assert len(set(found)) > 1


def test_narrow_posteriors_tell_of_the_image_and_more_images_cure_it() -> None:
    """The bias of the mixture that holds its own component: a dimension that knows nothing of the factor seems to."""

    def told(n: int, std: float) -> tuple[float, float]:
        factor = torch.randint(16, (n,), generator=torch.Generator().manual_seed(n))
        found = report(Posterior(uniform(n)[:, None], torch.full((n, 1), std)), {"of nothing": factor}, noise=0)
        return float(found.information), float(found.chance)

    few, more = told(500, 0.01), told(4000, 0.01)
    assert few[0] > 5 * more[0]  # as 1/N
    # About the degrees of freedom over 2N: (16 − 1) factors · (1/(2√π σ)) effective places.
    assert more[0] == pytest.approx(15 / (2 * math.sqrt(math.pi) * 0.01) / (2 * 4000), rel=0.25)
    assert told(4000, 0.3)[0] < 0.003
    for found, chance in (few, more):
        assert chance == pytest.approx(found, rel=0.25)  # a shuffled factor shows how much of it is bias


@settings(max_examples=10)
@given(order=st.permutations(range(4)), seed=st.integers(0, 1000))
def test_the_order_of_dimensions_does_not_matter(order: list[int], seed: int) -> None:
    posterior, factor = some_posteriors(60, 4, seed)
    found = mutual_information(posterior, factor, noise=3)
    moved = mutual_information(Posterior(posterior.mean[:, order], posterior.std[:, order]), factor, noise=3)
    assert torch.equal(moved, found[order])


@settings(max_examples=10)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100), mirrored=st.booleans(), seed=st.integers(0, 1000))
def test_the_unit_and_the_origin_of_a_dimension_do_not_matter(scale: float, shift: float, mirrored: bool, seed: int) -> None:
    posterior, factor = some_posteriors(60, 1, seed)
    sign = -1 if mirrored else 1
    moved = Posterior(sign * scale * posterior.mean + shift, scale * posterior.std)
    before, after = (float(mutual_information(p, factor, noise=0)[0]) for p in (posterior, moved))
    assert after == pytest.approx(before, abs=2e-3)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_names_of_values_and_the_order_of_images_do_not_matter(seed: int) -> None:
    posterior, factor = some_posteriors(60, 1, seed)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    before = float(mutual_information(posterior, factor, noise=0)[0])
    renamed = torch.tensor([17, -3, 5, 100])[factor]
    moved = Posterior(posterior.mean[order], posterior.std[order])
    assert float(mutual_information(moved, renamed[order], noise=0)[0]) == pytest.approx(before, abs=2e-3)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), outlier=st.floats(10, 1e6))
def test_information_is_within_nothing_and_all(seed: int, outlier: float) -> None:
    posterior, factor = some_posteriors(80, 2, seed)
    posterior.mean[0, 0] = outlier  # one picture far off spoils nothing
    found = mutual_information(posterior, factor, noise=0)
    assert bool((found >= 0).all())
    assert bool((found <= entropy(factor) + 1e-9).all())
    inner = Posterior(posterior.mean[1:], posterior.std[1:])
    assert float(mutual_information(inner, factor[1:], noise=0)[0]) == pytest.approx(float(found[0]), abs=0.1)


# Factors, gaps and the report


def test_bins_are_equally_wide_and_hold_the_ends() -> None:
    values = torch.tensor([-1.0, -0.876, -0.874, 0.0, 0.999, 1.0])
    assert bins(values, (-1, 1)).tolist() == [0, 0, 1, 8, 15, 15]
    assert bins(uniform(1600), (0, 1)).bincount().tolist() == [100] * 16
    assert bins(values, (-1, 1), 2).tolist() == [0, 0, 0, 1, 1, 1]
    assert bins(values, (-1, 1)).dtype == torch.int64
    with pytest.raises(ValueError, match=r"1\.5 is not within 0 and 1"):
        bins(torch.tensor([0.5, 1.5]), (0, 1))


@given(st.lists(st.integers(-3, 5), min_size=1, max_size=50))
def test_entropy_is_that_of_scipy(values: list[int]) -> None:
    assert entropy(torch.tensor(values)) == pytest.approx(stats.entropy(np.unique(values, return_counts=True)[1]), abs=1e-12)


def test_gaps_are_best_less_second_in_shares_of_the_entropy() -> None:
    information = torch.tensor([[1.0, 0.2], [0.4, 0.5], [0.7, 0.0]], dtype=torch.float64)
    found = mig(information, torch.tensor([1.5, 0.6], dtype=torch.float64))
    assert found.which.tolist() == [0, 1]
    np.testing.assert_allclose(found.best, [1.0, 0.5])
    np.testing.assert_allclose(found.second, [0.7, 0.2])
    np.testing.assert_allclose(found.gap, [0.2, 0.5])
    assert found.mean() == pytest.approx(0.35)
    assert found.mean(without=[1]) == pytest.approx(0.2)
    with pytest.raises(ValueError, match="No factor is left"):
        found.mean(without=[0, 1])


def test_a_single_dimension_is_ahead_of_none() -> None:
    found = mig(torch.tensor([[0.5]], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64))
    assert found.gap.tolist() == [0.5]
    assert found.second.tolist() == [0.0]


def test_a_factor_that_never_varies_is_refused() -> None:
    with pytest.raises(ValueError, match="Factor 1 is always the same"):
        mig(torch.zeros(2, 2), torch.tensor([1.0, 0.0]))


def test_the_report_holds_what_its_parts_say() -> None:
    posterior, a = some_posteriors(200, 3)
    shape = torch.arange(200) % 3
    found = report(posterior, {"shape": shape, "a": a}, noise=4)
    for k, factor in enumerate((shape, a)):
        torch.testing.assert_close(found.information[:, k], mutual_information(posterior, factor, noise=4))
    np.testing.assert_allclose(found.entropies, [math.log(3), entropy(a)], rtol=1e-2)
    np.testing.assert_allclose(found.gaps.gap, mig(found.information, found.entropies).gap)
    assert found.mig == pytest.approx(float(found.gaps.gap.mean()))
    assert found.left_out == ("shape",)
    assert found.mig_without == pytest.approx(float(found.gaps.gap[1]))
    torch.testing.assert_close(found.kl, kl_to_prior(posterior).mean(0))
    fields = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert fields["names"] == ["shape", "a"]
    assert fields["information"] == found.information.tolist()
    assert fields["gaps"]["which"] == found.gaps.which.tolist()
    assert set(fields) == set(found.__dataclass_fields__)


def test_what_is_no_posterior_or_no_factor_of_it_is_refused() -> None:
    a, _ = grid_factors()
    with pytest.raises(ValueError, match="above 0"):
        mutual_information(code(a, std=0.0), a, noise=0)
    with pytest.raises(ValueError, match=r"\(1024,\), not \(10,\)"):
        mutual_information(code(a), a[:10], noise=0)


# The KL taken apart


def quadrature_parts(posterior: Posterior) -> tuple[float, float, float]:
    """Mutual information, total correlation and dimension-wise KL of 2-D posteriors, each by its own sum over the plane."""
    mean, std = posterior.mean.numpy(), posterior.std.numpy()
    axes = [np.linspace((mean - 9 * std)[:, d].min(), (mean + 9 * std)[:, d].max(), 900) for d in (0, 1)]
    steps = [axis[1] - axis[0] for axis in axes]
    one = [stats.norm.pdf(axes[d][:, None], mean[:, d], std[:, d]) for d in (0, 1)]  # (900, N) each
    each = one[0][:, None] * one[1][None]  # (900, 900, N): q(z|x_n)
    together = each.mean(2)
    marginals = [one[d].mean(1) for d in (0, 1)]
    area = steps[0] * steps[1]
    information = special.rel_entr(each, together[..., None]).sum((0, 1)).mean() * area
    correlation = special.rel_entr(together, marginals[0][:, None] * marginals[1]).sum() * area
    apart = sum(special.rel_entr(marginals[d], stats.norm.pdf(axes[d])).sum() * steps[d] for d in (0, 1))
    return float(information), float(correlation), float(apart)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_each_part_of_the_kl_is_that_of_quadrature(n: int) -> None:
    rng = np.random.default_rng(n)
    mean, std = rng.normal(size=(n, 2)), rng.uniform(0.25, 1.0, size=(n, 2))
    posterior = Posterior(torch.from_numpy(mean), torch.from_numpy(std))
    found = decomposition(posterior, noise=n, samples=20_000)
    parts = (found.index_code_information, found.total_correlation, found.dimensionwise_kl)
    expected = quadrature_parts(posterior)
    assert sum(expected) == pytest.approx(float(kl_to_prior(posterior).sum(1).mean()), abs=1e-6)  # the reference itself
    for part, value, error in zip(parts, expected, found.standard_errors, strict=True):
        assert error < 0.01
        assert abs(part - value) < 4 * error + 1e-9
    assert min(expected) > 0.02  # none of them is trivially 0


@given(n=st.integers(1, 20), latent=st.integers(1, 4), seed=st.integers(0, 1000))
def test_the_parts_add_up_to_the_mean_kl(n: int, latent: int, seed: int) -> None:
    posterior, _ = some_posteriors(n, latent, seed)
    found = decomposition(posterior, noise=seed, samples=64)
    parts = found.index_code_information + found.total_correlation + found.dimensionwise_kl
    expected = float(kl_to_prior(posterior).sum(1).mean())
    assert found.kl == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert parts == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_posteriors_that_do_not_overlap_tell_which_image_it_is() -> None:
    a, b = grid_factors()
    places = code(a[: VALUES**2], b[: VALUES**2])  # every pair once
    found = decomposition(places, noise=0, samples=500)
    assert found.index_code_information == pytest.approx(math.log(VALUES**2), abs=1e-9)
    assert found.total_correlation == pytest.approx(0, abs=1e-9)  # the places of a grid are independent
    diagonal = decomposition(code(a[::VALUES][:VALUES], a[::VALUES][:VALUES]), noise=0, samples=500)
    assert diagonal.total_correlation == pytest.approx(ENTROPY, abs=1e-9)  # one coordinate tells the other


def test_posteriors_that_are_the_prior_have_no_part() -> None:
    found = decomposition(Posterior(torch.zeros(5, 3), torch.ones(5, 3)), noise=0, samples=100)
    np.testing.assert_allclose([found.index_code_information, found.total_correlation, found.dimensionwise_kl], 0, atol=1e-12)


def test_the_standard_errors_are_of_the_size_of_the_errors() -> None:
    posterior, _ = some_posteriors(1000, 2)
    runs = [decomposition(posterior, noise=seed, samples=100) for seed in range(100)]
    parts = np.array([[run.index_code_information, run.total_correlation, run.dimensionwise_kl] for run in runs])
    stated = np.mean([run.standard_errors for run in runs], axis=0)
    np.testing.assert_allclose(parts.std(0, ddof=1) / stated, 1, atol=0.3)
    with pytest.raises(ValueError, match="3 samples"):
        decomposition(posterior, noise=0, samples=3)


# The estimates that training uses


def slow_minibatch_log_q(z: np.ndarray, mean: np.ndarray, std: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    batch, latent = z.shape
    log_qz, log_prod = np.zeros(batch), np.zeros(batch)
    for n in range(batch):
        densities = [[stats.norm.pdf(z[n, j], mean[m, j], std[m, j]) for j in range(latent)] for m in range(batch)]
        log_qz[n] = math.log(sum(math.prod(row) for row in densities) / (total * batch))
        log_prod[n] = sum(math.log(sum(row[j] for row in densities) / (total * batch)) for j in range(latent))
    return log_qz, log_prod


@given(batch=st.integers(1, 6), latent=st.integers(1, 4), seed=st.integers(0, 1000))
def test_minibatch_estimates_are_the_loops_of_the_paper(batch: int, latent: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, std, epsilon = (
        rng.normal(size=(batch, latent)),
        rng.uniform(0.3, 2, (batch, latent)),
        rng.normal(size=(batch, latent)),
    )
    z = mean + std * epsilon
    found = minibatch_log_q(torch.from_numpy(z), Posterior(torch.from_numpy(mean), torch.from_numpy(std)), 1000)
    for ours, theirs in zip(found, slow_minibatch_log_q(z, mean, std, 1000), strict=True):
        assert ours.shape == (batch,)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_minibatch_gradients_are_those_of_finite_differences() -> None:
    posterior, _ = some_posteriors(4, 3)
    epsilon = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)

    def difference(mean: Tensor, log_std: Tensor) -> Tensor:
        joint, product = minibatch_log_q(mean + log_std.exp() * epsilon, Posterior(mean, log_std.exp()), 500)
        return joint - product

    inputs = (posterior.mean.clone().requires_grad_(), posterior.std.log().clone().requires_grad_())
    assert torch.autograd.gradcheck(difference, inputs)


def test_minibatch_estimates_are_too_low_by_the_logarithm_of_the_data_set() -> None:
    """Where all posteriors are the prior, q(z) is known: each logarithm is off by log(total), and only by that."""
    z = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    log_qz, log_prod = minibatch_log_q(z, Posterior(torch.zeros_like(z), torch.ones_like(z)), 700)
    log_prior = stats.norm.logpdf(z.numpy()).sum(1)
    np.testing.assert_allclose(log_qz, log_prior - math.log(700), rtol=1e-12)
    np.testing.assert_allclose(log_prod, log_prior - 3 * math.log(700), rtol=1e-12)


def test_minibatch_estimates_keep_the_precision_of_training() -> None:
    posterior = Posterior(torch.randn(8, 2), torch.full((8, 2), 1e-3))  # far apart: densities underflow, logarithms do not
    log_qz, log_prod = minibatch_log_q(posterior.mean, posterior, 100)
    assert log_qz.dtype == torch.float32
    assert bool(log_qz.isfinite().all())
    assert bool(log_prod.isfinite().all())
