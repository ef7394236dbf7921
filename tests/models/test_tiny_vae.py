"""The tiny VAE: its numbers against slower ways to have them, and what β does to it."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.stats import norm

from models import tiny_vae
from models.contract import Noise, Posterior
from models.tiny_vae import HELD_OUT, LEVELS, SCALE, Snapshot, digits, train

SHORT = 240  # steps: enough for β to show


@pytest.fixture(scope="module")
def ends() -> dict[float, Snapshot]:
    """The last snapshot of a short run, by β."""
    return {beta: list(train(beta=beta, seed=3, steps=SHORT, every=SHORT))[-1] for beta in (0.0, 1.0, 20.0)}


def test_the_digits_are_scikit_learns_and_the_held_out_are_kept_apart() -> None:
    from sklearn.datasets import load_digits

    data = digits()
    assert len(data.held_out) == len(data.labels) == HELD_OUT
    assert len(data.learned) + HELD_OUT == 1_797
    assert int(data.learned.max()) == LEVELS - 1
    known = {(image.astype(np.uint8).tobytes(), int(label)) for image, label in zip(*load_digits(return_X_y=True), strict=True)}
    both = torch.cat([data.learned, data.held_out]).flatten(1).numpy()
    labels = torch.cat([data.learned_labels, data.labels]).tolist()
    assert {(image.tobytes(), label) for image, label in zip(both, labels, strict=True)} == known
    assert data.labels[data.shown].tolist() == list(range(10))


def test_the_same_settings_give_the_same_run_to_the_bit_and_another_seed_another() -> None:
    runs = [list(train(beta=2.0, seed=seed, steps=12, every=5)) for seed in (7, 7, 8)]
    assert [snapshot.step for snapshot in runs[0]] == [0, 5, 10, 12]
    for one, again, other in zip(*runs, strict=True):
        for field in fields(Snapshot):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(again, field.name))
        assert one.reconstruction != other.reconstruction


def test_a_run_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    list(train(steps=1))
    assert torch.equal(torch.rand(3), expected)


def test_the_kl_is_that_of_quadrature(ends: dict[float, Snapshot]) -> None:
    """∫ q(z) log(q(z)/p(z)) dz by the midpoint rule, dimension by dimension, over all held-out digits."""
    end = ends[1.0]
    u = np.linspace(-9, 9, 4_001)
    for k in range(2):
        mean, std = end.mean[:, k, None].astype(float), end.std[:, k, None].astype(float)
        z = mean + std * u
        integrand = norm.pdf(u) * (norm.logpdf(z, mean, std) - norm.logpdf(z))
        by_hand = (integrand.sum(1) * (u[1] - u[0])).mean()
        assert end.kl_by_dimension[k] == pytest.approx(by_hand, rel=1e-5)
    assert end.kl == pytest.approx(sum(end.kl_by_dimension))


def test_the_reconstruction_is_that_of_probabilities_summed_by_hand() -> None:
    """Φ at both edges of each pixel's cell, from a decoder that is a plain product of matrices."""
    model, data = tiny_vae.new_model(1), digits()
    found = tiny_vae.snapshot(model, 0)
    epsilon = Noise(0).normal(HELD_OUT, (2,), stream="epsilon").numpy()
    posterior = model.encode(data.held_out)
    z = posterior.mean.detach().numpy() + posterior.std.detach().numpy() * epsilon
    layers = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in model.decoder if hasattr(layer, "weight")
    ]
    for i, (weight, bias) in enumerate(layers):
        z = z @ weight.T + bias
        if i < len(layers) - 1:
            z = z / (1 + np.exp(-z))  # SiLU
    mean = 8 * (1 + z)
    x = data.held_out.flatten(1).numpy().astype(float)
    upper = np.where(x == LEVELS - 1, 1.0, norm.cdf((x + 0.5 - mean) / SCALE))
    lower = np.where(x == 0, 0.0, norm.cdf((x - 0.5 - mean) / SCALE))
    assert found.reconstruction == pytest.approx(-np.log(upper - lower).sum(1).mean(), rel=1e-6)


def test_beta_pulls_the_two_losses_apart(ends: dict[float, Snapshot]) -> None:
    """More β: less KL, and a dearer reconstruction; without β the KL is not minded at all."""
    assert ends[0.0].kl > 2 * ends[1.0].kl > 20 * ends[20.0].kl
    assert ends[0.0].reconstruction < ends[20.0].reconstruction - 10
    assert ends[1.0].reconstruction < ends[20.0].reconstruction - 10
    assert ends[1.0].active == (True, True)


def test_a_large_beta_kills_both_dimensions_and_leaves_the_best_single_picture(ends: dict[float, Snapshot]) -> None:
    end = ends[20.0]
    assert end.active == (False, False)
    assert end.kl < 0.02
    np.testing.assert_allclose(end.std, 1, atol=0.1)  # q(z|x) is the prior
    assert end.reconstruction == pytest.approx(tiny_vae.without_code(), abs=2)
    assert int(np.ptp(end.samples.astype(int), axis=0).max()) <= 2  # all samples are one picture


def test_what_no_code_costs_is_the_least_of_single_pictures() -> None:
    """Beside the optimum on the learned digits any other picture costs them more; on the held out it is about the same."""
    data = digits()
    share = torch.stack([(data.learned.flatten(1) == level).double().mean(0) for level in range(LEVELS)]).numpy()  # (17, 64)
    level, grid = np.arange(LEVELS)[:, None], np.linspace(-40, 40, 4_001)
    upper = np.where(level == LEVELS - 1, 1.0, norm.cdf((level + 0.5 - grid) / SCALE))
    lower = np.where(level == 0, 0.0, norm.cdf((level - 0.5 - grid) / SCALE))
    cost = -(share.T @ np.log(np.maximum(upper - lower, 1e-300)))  # (64, 4001): each pixel at each mean
    best = cost.argmin(1)
    held = torch.stack([(data.held_out.flatten(1) == one).double().mean(0) for one in range(LEVELS)]).numpy()
    expected = -(held.T * np.log(np.maximum(upper - lower, 1e-300)).T[best]).sum()
    assert tiny_vae.without_code() == pytest.approx(expected, abs=0.02)


def test_active_dimensions_on_codes_made_by_hand() -> None:
    mean = torch.tensor([[-1.0, 0.05, 3.0], [1.0, -0.05, 3.0]])
    assert tiny_vae.active(Posterior(mean, torch.full_like(mean, 0.5))) == (True, False, False)


def test_steps_at_the_beginning_lower_the_loss() -> None:
    first, *_, last = islice(train(seed=0, steps=60), 10)
    assert last.reconstruction + last.kl < first.reconstruction + first.kl - 30


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"beta": -0.5}, r"β = -0.5 is not a number of at least 0\."),
        ({"beta": math.nan}, "β = nan"),
        ({"beta": math.inf}, "β = inf"),
        ({"steps": 0}, "0 steps"),
        ({"every": 0}, "each 0"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_what_cannot_be_a_run_is_refused_in_a_sentence(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        next(train(**settings))  # type: ignore[arg-type]
