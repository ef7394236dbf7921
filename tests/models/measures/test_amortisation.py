"""The two gaps against closed forms of a linear decoder, and against quadrature where there is one latent."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from models.contract import Posterior
from models.measures import amortisation
from models.measures.amortisation import Gap, refine, split
from models.noise import Noise
from models.vae import VAE

HALF = 255 / 2
SIGMA = 12.0  # grey levels: a cell is so narrow against it that its mass is the density


def linear(columns: Tensor) -> VAE:
    """μ(z) = 127.5 + `columns` z, `(D, L)` in grey levels: the posterior is a Gaussian. The encoder is as it was made."""
    pixels, latent = columns.shape
    torch.manual_seed(1)
    model = VAE(latent, (1, 1, pixels), network="mlp", hidden=4, scale=SIGMA).double().eval().requires_grad_(False)
    model.decoder = nn.Linear(latent, pixels).double().requires_grad_(False)
    model.decoder.weight.copy_(columns / HALF)
    model.decoder.bias.zero_()
    return model


def conditional(columns: Tensor, x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean `(L,)` and precision `(L, L)` of p(z|x), and log p(x), of the linear Gaussian. Bishop (2006), equation 2.116."""
    away = x.flatten().double() - HALF
    precision = torch.eye(columns.shape[1], dtype=torch.float64) + columns.T @ columns / SIGMA**2
    mean = torch.linalg.solve(precision, columns.T @ away / SIGMA**2)
    covariance = columns @ columns.T + SIGMA**2 * torch.eye(len(columns), dtype=torch.float64)
    return mean, precision, float(stats.multivariate_normal.logpdf(away.numpy(), cov=covariance.numpy()))


def divergence(q: Posterior, mean: Tensor, precision: Tensor) -> float:
    """KL(q ‖ N(mean, precision⁻¹)): by how much the ELBO of q stays below log p(x)."""
    off, variance = q.mean[0] - mean, q.std[0].square()
    squares = float(precision.diagonal() @ variance + off @ precision @ off)
    return 0.5 * (squares - len(mean) - float(variance.log().sum() + precision.logdet()))


ORTHOGONAL = 20 * torch.tensor([[1, 1, 1], [1, -1, 1], [1, 1, -1], [1, -1, -1]], dtype=torch.float64)
# Not so oblique that the weights of the best diagonal Gaussian had no variance: no direction twice as wide as it is.
OBLIQUE = 20 * torch.tensor([[1, 1, 0.8], [1, -0.4, 1], [0.9, 1, -0.4], [1, -1, -0.3]], dtype=torch.float64)
X = torch.tensor([120, 152, 103, 131], dtype=torch.uint8).reshape(1, 1, 1, 4)


def tiny() -> VAE:
    """One latent, three pixels of four levels, random weights."""
    torch.manual_seed(3)
    model = VAE(latent=1, shape=(1, 1, 3), levels=4, network="mlp", hidden=8, scale=0.6).double().eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(1.7)
    return model.requires_grad_(False)


SMALL = torch.tensor([[3, 0, 1], [0, 0, 0], [2, 3, 3], [1, 2, 0]], dtype=torch.uint8).reshape(4, 1, 1, 1, 3)
Z = torch.linspace(-9, 9, 3601, dtype=torch.float64)


def log_joint_on_grid(model: VAE, x: Tensor) -> Tensor:
    """log p(x, z) at `Z`, `(Z,)`, from the cells' own probabilities."""
    mean, sigma = model.decode_mean(Z[:, None]).flatten(1).numpy(), float(model.scale)
    k = x.flatten().numpy().astype(float)
    upper, lower = np.where(k == 3, np.inf, k + 0.5), np.where(k == 0, -np.inf, k - 0.5)
    low, high = (lower - mean) / sigma, (upper - mean) / sigma
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)  # the tail in which differences keep digits
    log_low, log_high = stats.norm.logcdf(low), stats.norm.logcdf(high)
    log_p = log_high + np.log1p(-np.exp(log_low - log_high))
    return torch.from_numpy(log_p.sum(1) + stats.norm.logpdf(Z.numpy()))


def bounds_on_grid(log_joint: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """The ELBO of each N(mean, std²), `(Q,)`, by the trapezoid rule."""
    log_q = torch.distributions.Normal(mean[:, None], std[:, None]).log_prob(Z)
    return torch.trapezoid(log_q.exp() * (log_joint - log_q), Z)


def test_a_posterior_that_a_diagonal_gaussian_can_be_is_found_and_leaves_no_approximation() -> None:
    model = linear(ORTHOGONAL)
    mean, precision, exact = conditional(ORTHOGONAL, X)
    *_, last = refine(model, X, noise=0)
    torch.testing.assert_close(last.posterior.mean[0], mean, rtol=0, atol=0.01)
    torch.testing.assert_close(last.posterior.std[0], precision.diagonal().rsqrt(), rtol=0.02, atol=0)
    assert last.elbo == pytest.approx(exact, abs=0.01)
    found = split(model, X, last.posterior, noise=0, samples=200)
    assert found.log_prob == pytest.approx(exact, abs=0.01)
    assert 0 <= found.approximation < 0.01
    assert found.amortisation > 1


def test_a_correlated_posterior_leaves_the_approximation_of_the_closed_form() -> None:
    """The best diagonal Gaussian has the posterior's mean and 1/Λᵢᵢ as variances; its KL is ½(Σ log Λᵢᵢ − log det Λ)."""
    model = linear(OBLIQUE)
    mean, precision, exact = conditional(OBLIQUE, X)
    *_, last = refine(model, X, noise=0)
    gap = 0.5 * float(precision.diagonal().log().sum() - precision.logdet())
    assert gap > 0.08
    assert gap < divergence(last.posterior, mean, precision) < gap + 0.005
    found = split(model, X, last.posterior, noise=0, samples=8000)
    assert abs(found.log_prob - exact) < 4 * found.log_prob_error + 0.01
    assert abs(found.approximation - gap) < 4 * found.approximation_error + 0.005 < 0.08
    away = divergence(model.encode(X), mean, precision)
    assert abs(found.amortisation - (away - gap)) < 4 * found.amortisation_error + 0.02
    assert abs(found.elbo_amortised - (exact - away)) < 4 * found.elbo_amortised_error + 0.02


@pytest.mark.parametrize("x", SMALL, ids=["301", "000", "233", "120"])
def test_with_one_latent_it_agrees_with_quadrature_and_a_search_of_all_gaussians(x: Tensor) -> None:
    model = tiny()
    log_joint = log_joint_on_grid(model, x)
    exact = float(torch.trapezoid(log_joint.exp(), Z).log())
    *_, last = refine(model, x, noise=2, draws=128)
    q = last.posterior
    reached = float(bounds_on_grid(log_joint, q.mean[0], q.std[0]))
    # Every Gaussian near the one found, and a coarse look at all others.
    coarse = torch.cartesian_prod(torch.linspace(-4, 4, 33).double(), torch.logspace(-1.5, 0.5, 25).double())
    fine = torch.cartesian_prod(torch.linspace(-0.2, 0.2, 21).double(), torch.linspace(0.7, 1.4, 21).double())
    fine = torch.stack([q.mean[0] + fine[:, 0], q.std[0] * fine[:, 1]], 1)
    best = max(float(bounds_on_grid(log_joint, *some.T).max()) for some in (coarse, fine))
    assert best - 0.05 < reached < exact
    start = model.encode(x)
    amortised = float(bounds_on_grid(log_joint, start.mean[0], start.std[0]))
    found = split(model, x, q, noise=3, samples=4000)
    assert abs(found.log_prob - exact) < 4 * found.log_prob_error < 0.3
    assert abs(found.elbo_refined - reached) < 4 * found.elbo_refined_error
    assert abs(found.elbo_amortised - amortised) < 4 * found.elbo_amortised_error
    assert abs(found.amortisation - (reached - amortised)) < 4 * found.amortisation_error
    assert abs(found.approximation - (exact - reached)) < 4 * found.approximation_error
    assert found.amortisation > 0


def test_the_reported_bound_is_not_flattered_by_the_draws_climbed_on() -> None:
    """Over seeds, the mean of the reported ELBO is the refined q's own; the objective, of four draws, lies above."""
    model, x = tiny(), SMALL[3]
    log_joint = log_joint_on_grid(model, x)
    reported, own, errors, climbed = [], [], [], []
    for seed in range(40):
        *_, last = refine(model, x, noise=seed, draws=4, fresh=32)
        reported.append(last.elbo)
        errors.append(last.elbo_error)
        climbed.append(last.objective)
        own.append(float(bounds_on_grid(log_joint, last.posterior.mean[0], last.posterior.std[0])))
    off = np.array(reported) - np.array(own)
    assert abs(off.mean()) < 4 * off.std(ddof=1) / math.sqrt(len(off))
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(np.sqrt(np.square(off).mean()), rel=0.35)
    assert np.mean(climbed) > np.mean(own) + 0.02


def test_the_errors_of_the_gap_are_its_spread_over_seeds() -> None:
    model = linear(OBLIQUE)
    *_, last = refine(model, X, noise=0)
    found = [split(model, X, last.posterior, noise=seed, samples=1000) for seed in range(120)]
    for name in ("log_prob", "elbo_amortised", "elbo_refined", "amortisation", "approximation"):
        values = np.array([getattr(one, name) for one in found])
        errors = np.array([getattr(one, f"{name}_error") for one in found])
        assert values.std(ddof=1) == pytest.approx(np.sqrt(np.square(errors).mean()), rel=0.25), name


def test_the_parts_add_up_and_no_approximation_is_negative() -> None:
    model = tiny()
    for seed, x in itertools.product(range(5), SMALL):
        start = model.encode(x)
        found = split(model, x, Posterior(start.mean + 0.3, 0.8 * start.std), noise=seed, samples=6)
        assert found.approximation >= 0
        assert found.amortisation + found.approximation == pytest.approx(found.log_prob - found.elbo_amortised)
        unmoved = split(model, x, start, noise=seed, samples=6)
        assert unmoved.amortisation == unmoved.amortisation_error == 0


def test_the_climb_begins_with_the_encoders_answer_and_never_goes_down() -> None:
    model = linear(OBLIQUE)
    found = list(refine(model, X, noise=0, steps=7))
    assert [one.step for one in found] == list(range(8))
    start = model.encode(X)
    assert torch.equal(found[0].posterior.mean, start.mean)
    assert torch.equal(found[0].posterior.std, start.std)
    bound = model.log_prob(X, method="elbo", samples=2000, noise=1)
    assert bound.standard_error is not None
    assert abs(found[0].elbo - float(bound.nats)) < 4 * math.hypot(found[0].elbo_error, float(bound.standard_error))
    assert all(after.objective > before.objective for before, after in itertools.pairwise(found))
    assert found[-1].elbo > found[0].elbo + 1
    assert all((one.posterior.std > 0).all() and not one.posterior.mean.requires_grad for one in found)


def test_the_same_seed_climbs_the_same_way() -> None:
    model = linear(OBLIQUE)

    def run(seed: int) -> tuple[list[float], Gap]:
        *_, last = refine(model, X, noise=seed, steps=5)
        return [*last.posterior.mean[0].tolist(), last.elbo], split(model, X, last.posterior, noise=seed, samples=20)

    assert run(3) == run(3)
    assert run(3)[0] != run(4)[0]
    assert run(3)[1] != run(4)[1]


def test_nothing_of_the_model_is_changed() -> None:
    model = linear(OBLIQUE).requires_grad_(True)
    before = [parameter.clone() for parameter in model.parameters()]
    with torch.no_grad():
        *_, last = refine(model, X, noise=0, steps=3)
    split(model, X, last.posterior, noise=0, samples=8)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_the_draws_climbed_on_have_the_moments_of_the_unit_gaussian() -> None:
    like = Posterior(torch.zeros(1, 5, dtype=torch.float64), torch.ones(1, 5, dtype=torch.float64))
    for draws in (10, 16, 64):
        made = amortisation._standardised(amortisation._pairs(Noise(draws), draws, like, "test"))
        assert made.shape == (draws, 5)
        torch.testing.assert_close(made.mean(0), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)
        torch.testing.assert_close(made.T @ made / draws, torch.eye(5, dtype=torch.float64), atol=1e-9, rtol=0)


def test_draws_are_decoded_a_bounded_number_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear(OBLIQUE)
    *_, last = refine(model, X, noise=0, steps=2)
    whole = split(model, X, last.posterior, noise=0, samples=20)
    monkeypatch.setattr(amortisation, "CHUNK", 3)
    pieces = split(model, X, last.posterior, noise=0, samples=20)
    for name, value in vars(whole).items():
        assert getattr(pieces, name) == pytest.approx(value, abs=1e-9), name


def test_what_has_no_answer_is_refused() -> None:
    model = linear(OBLIQUE)
    with pytest.raises(ValueError, match="2 pictures"):
        next(refine(model, X.repeat(2, 1, 1, 1), noise=0))
    for draws in (4, 9):
        with pytest.raises(ValueError, match=f"{draws} draws to climb on"):
            next(refine(model, X, noise=0, draws=draws))
    with pytest.raises(ValueError, match="7 draws do not come in pairs"):
        next(refine(model, X, noise=0, fresh=7))
    start = model.encode(X)
    with pytest.raises(ValueError, match="2 samples"):
        split(model, X, start, noise=0, samples=2)
    with pytest.raises(ValueError, match="7 draws do not come in pairs"):
        split(model, X, start, noise=0, samples=7)
    told = VAE(2, (1, 1, 4), network="mlp", hidden=4, classes=3).double()
    with pytest.raises(ValueError, match="told the class"):
        next(refine(told, X, noise=0))
