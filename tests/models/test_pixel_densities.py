"""Models of pixels that are no networks: on spaces small enough to enumerate, and against scipy and quadrature."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from models.contract import Density, GenerativeModel
from models.noise import Noise
from models.pixel_gaussian import PixelGaussian
from models.pixel_mixture import PixelMixture
from models.pixel_pca import PixelPCA

SHAPE, LEVELS = (1, 2, 2), 3


@pytest.fixture(scope="module")
def every() -> Tensor:
    """All 3⁴ images of 2 × 2 pixels."""
    return torch.tensor(list(itertools.product(range(LEVELS), repeat=4)), dtype=torch.uint8).reshape(-1, *SHAPE)


@pytest.fixture(scope="module")
def some() -> tuple[Tensor, Tensor]:
    """300 images whose pixels go together, in two classes."""
    u = Noise(3).uniform(300, (5,), stream="pictures")
    labels = (u[:, 4] < 0.4).long()
    common = (u[:, :1] * LEVELS).floor()
    x = torch.where(u[:, :4] < 0.5, common, (u[:, :4] * LEVELS).floor()) * (1 - labels[:, None]) + labels[:, None]
    return x.to(torch.uint8).reshape(-1, *SHAPE), labels


def begun(model: GenerativeModel, some: tuple[Tensor, Tensor]) -> GenerativeModel:
    model = model.double()
    model.begin(*some, noise=0)  # type: ignore[operator]
    return model


MODELS = {
    "gaussian": lambda: PixelGaussian(SHAPE, LEVELS),
    "mixture": lambda: PixelMixture(3, SHAPE, LEVELS),
    "mixture of classes": lambda: PixelMixture(2, SHAPE, LEVELS, classes=2),
    "ppca": lambda: PixelPCA(2, SHAPE, LEVELS),
}


@pytest.mark.parametrize("name", ["mixture", "mixture of classes"])
def test_exact_models_sum_to_one(name: str, every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    found = begun(MODELS[name](), some).log_prob(every)
    assert found.kind is Density.EXACT
    assert float(found.nats.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_each_class_of_a_mixture_sums_to_one_and_makes_up_the_whole(every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelMixture(2, SHAPE, LEVELS, classes=2), some)
    assert isinstance(model, PixelMixture)
    by_class = model.log_prob_by_class(every)
    torch.testing.assert_close(by_class.exp().sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(model.log_prob(every).nats.exp(), by_class.exp().mean(0))
    for y in (0, 1):
        torch.testing.assert_close(model.log_prob(every, labels=torch.full((len(every),), y)).nats, by_class[y])
        torch.testing.assert_close(model.loss(every, torch.full((len(every),), y)), -by_class[y])


def test_a_mixture_is_what_scipy_makes_of_its_parameters(every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelMixture(3, SHAPE, LEVELS), some)
    assert isinstance(model, PixelMixture)
    mean, deviation = (one[0].detach().numpy() for one in (model.means, model.log_deviations.exp()))  # (M, D)
    weights = model.logits[0].detach().softmax(-1).numpy()
    flat = every.flatten(1).numpy()[:, None]  # (N, 1, D)
    upper = np.where(flat == LEVELS - 1, np.inf, flat + 0.5)
    lower = np.where(flat == 0, -np.inf, flat - 0.5)
    cells = stats.norm.cdf(upper, mean, deviation) - stats.norm.cdf(lower, mean, deviation)
    np.testing.assert_allclose(model.log_prob(every).nats.exp().detach().numpy(), cells.prod(-1) @ weights, rtol=1e-8)


def test_a_mixture_climbs_from_k_means_by_gradient(some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelMixture(2, SHAPE, LEVELS, classes=2), some)
    assert isinstance(model, PixelMixture)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = model.loss(*some).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.05


def test_the_gaussian_has_the_data_s_mean_and_covariance_with_the_cell_s_own(some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelGaussian(SHAPE, LEVELS), some)
    assert isinstance(model, PixelGaussian)
    x = some[0].flatten(1).double().numpy()
    covariance = np.cov(x.T, bias=True) + np.eye(4) / 12
    root = model.root.detach()
    np.testing.assert_allclose(torch.linalg.inv(root @ root.T).numpy(), covariance, atol=1e-10)
    points = np.random.default_rng(0).normal(1, 1, (50, 4))
    expected = stats.multivariate_normal(x.mean(0), covariance).logpdf(points)
    np.testing.assert_allclose(model.log_density(torch.from_numpy(points)).detach().numpy(), expected, rtol=1e-10)


def test_the_gaussian_s_bound_stays_below_the_cell_s_exact_mass(every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    """The mass of the cells, open at both ends, by scipy's integral in four dimensions: it sums to 1, and the bound to less."""
    model = begun(PixelGaussian(SHAPE, LEVELS), some)
    assert isinstance(model, PixelGaussian)
    found = model.log_prob(every)
    assert found.kind is Density.LOWER_BOUND
    root = model.root.detach()
    law = stats.multivariate_normal(model.mean.detach().numpy(), torch.linalg.inv(root @ root.T).numpy(), seed=0)
    flat = every.flatten(1).double().numpy()
    upper, lower = np.where(flat == LEVELS - 1, 50, flat + 0.5), np.where(flat == 0, -50, flat - 0.5)
    exact = np.array([law.cdf(u, lower_limit=low) for u, low in zip(upper, lower, strict=True)])
    assert exact.sum() == pytest.approx(1, abs=1e-3)
    bound = found.nats.exp().detach().numpy()
    assert (bound <= exact + 1e-4).all()
    assert 0.3 < bound.sum() < 1


def test_the_bound_is_best_at_the_covariance_that_is_set(some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelGaussian(SHAPE, LEVELS), some)
    best = float(model.log_prob(some[0]).nats.mean())
    with torch.no_grad():
        for factor in (0.97, 1.03):
            model.triangle.mul_(factor)
            assert float(model.log_prob(some[0]).nats.mean()) < best
            model.triangle.div_(factor)


def test_ppca_is_tipping_and_bishop_s_gaussian_before_rounding(some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelPCA(2, SHAPE, LEVELS), some)
    assert isinstance(model, PixelPCA)
    x = some[0].flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[:2].mean()
    expected = vectors[:, 2:] @ np.diag(values[2:] - noise) @ vectors[:, 2:].T + noise * np.eye(4)
    w = model.loadings.detach().numpy()
    np.testing.assert_allclose(w @ w.T + float(model.scale.detach()) ** 2 * np.eye(4), expected, atol=1e-8)


def test_ppca_s_estimate_meets_quadrature_over_z(every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    model = begun(PixelPCA(2, SHAPE, LEVELS), some)
    assert isinstance(model, PixelPCA)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)  # ∫ f(z) exp(−z²/2) dz
    z = torch.tensor(list(itertools.product(nodes, nodes)))
    w = np.outer(weights, weights).ravel() / (2 * math.pi)
    means, sigma = model.decode_mean(z).flatten(1).detach().numpy(), float(model.scale.detach())  # (G, D)
    flat = every.flatten(1).numpy()[:, None]
    upper, lower = np.where(flat == LEVELS - 1, np.inf, flat + 0.5), np.where(flat == 0, -np.inf, flat - 0.5)
    exact = (stats.norm.cdf(upper, means, sigma) - stats.norm.cdf(lower, means, sigma)).prod(-1) @ w  # (N,)
    assert exact.sum() == pytest.approx(1, abs=1e-6)
    found = model.log_prob(every, samples=4_000, noise=1)
    assert found.kind is Density.ESTIMATE
    assert found.standard_error is not None
    off = (found.nats.detach().numpy() - np.log(exact)) / found.standard_error.detach().numpy()
    assert np.abs(off).max() < 5
    assert found.standard_error.max() < 0.05
    one = torch.stack([model.log_prob(every, samples=1, noise=seed).nats for seed in range(300)]).exp().mean(0)
    np.testing.assert_allclose(one.detach().numpy(), exact, rtol=0.5)  # unbiased, draw by draw


@pytest.mark.parametrize("name", sorted(MODELS))
def test_samples_follow_log_prob(name: str, every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    """Frequencies of 20,000 draws against probabilities; a bound is only ever below."""
    model = begun(MODELS[name](), some)
    drawn = model.sample(20_000, noise=5)
    places = torch.tensor([27, 9, 3, 1])
    frequency = torch.bincount(drawn.flatten(1).long() @ places, minlength=81).double() / len(drawn)
    said = model.log_prob(every, samples=2_000, noise=0).nats.exp().detach()
    margin = 5 * (frequency / len(drawn)).sqrt() + 1e-3
    assert (said < frequency + margin).all()
    if model.spec.density is not Density.LOWER_BOUND:
        assert (said > frequency - margin).all()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_seed_gives_the_same_draws_and_few_begin_many(name: str, some: tuple[Tensor, Tensor]) -> None:
    model = begun(MODELS[name](), some)
    assert torch.equal(model.sample(8, noise=2), model.sample(20, noise=2)[:8])
    assert not torch.equal(model.sample(8, noise=2), model.sample(8, noise=3))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_it_is_the_same_when_loaded_and_in_another_batch(name: str, some: tuple[Tensor, Tensor], tmp_path) -> None:
    model = begun(MODELS[name](), some)
    model.save_pretrained(tmp_path, storage=torch.float64)
    again = type(model).from_pretrained(tmp_path).double()
    x = some[0][:7]
    whole = model.log_prob(x, samples=3, noise=1).nats
    torch.testing.assert_close(again.log_prob(x, samples=3, noise=1).nats, whole, rtol=1e-6, atol=1e-6)
    alone = torch.cat([model.log_prob(x[i : i + 1], samples=3, noise=Noise(1, first=i)).nats for i in range(7)])
    torch.testing.assert_close(alone, whole)


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_gpu_says_the_same(name: str, every: Tensor, some: tuple[Tensor, Tensor]) -> None:
    model = begun(MODELS[name](), some)
    here = model.log_prob(every, samples=8, noise=1).nats.detach()
    drawn = model.sample(50, noise=2)
    model = model.cuda()
    torch.testing.assert_close(model.log_prob(every.cuda(), samples=8, noise=1).nats.detach().cpu(), here, rtol=1e-8, atol=1e-8)
    assert torch.equal(model.sample(50, noise=2).cpu(), drawn)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda x: PixelGaussian(SHAPE, LEVELS).log_prob(x, method="elbo"), "method 'elbo' is not 'bound'"),
        (lambda x: PixelMixture(2, SHAPE, LEVELS).log_prob(x, method="elbo"), "method 'elbo' is not 'exact'"),
        (lambda x: PixelPCA(2, SHAPE, LEVELS).log_prob(x, method="elbo"), "method 'elbo' is not 'importance'"),
        (lambda x: PixelMixture(0), "0 components are too few"),
        (lambda x: PixelPCA(784), "784 axes are not within 1 and 783"),
        (lambda x: PixelMixture(2, SHAPE, LEVELS, classes=2).loss(x), "2 classes: its loss needs labels"),
        (lambda x: PixelGaussian(SHAPE, LEVELS).log_prob(x, labels=torch.zeros(1, dtype=torch.int64)), "has no classes"),
        (lambda x: PixelGaussian(SHAPE, 2).log_prob(x), "Pixel value 2 is not within 0 and 1"),
    ],
)
def test_what_does_not_fit_is_told(make, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(torch.full((1, *SHAPE), 2, dtype=torch.uint8))
