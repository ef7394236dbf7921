"""The toy's four numbers: against adaptive quadrature, against closed forms where the decoder is a line, and their identity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm

from models.toy_bound import (
    SIGMA,
    SLOPE,
    Array,
    Encoder,
    Gaussian,
    Toy,
    bars,
    best,
    decode,
    elbo,
    gap,
    grid,
    kl_to_prior,
    log_evidence,
    mean_elbo,
    moments,
    posterior,
    reconstruction,
    split,
    train_encoder,
)

THETAS = st.floats(-1.5, 1.5)
XS = st.floats(-3, 4)
QS = st.builds(Gaussian, st.floats(-4, 4), st.floats(0.05, 2))
CASES = [(0.0, 1.2), (0.4, -2.0), (0.8, 1.0), (-1.1, 0.3), (1.5, 4.0), (-1.5, 4.0)]


def curve(theta: float, z: Array | float) -> Array | float:
    """The decoder, written out again."""
    return 0.5 * z + theta * z**2 - theta


def integrated(theta: float, x: float) -> float:
    """p(x) by adaptive quadrature, told where the decoder passes x and where the prior sits."""
    roots = np.roots([theta, 0.5, -theta - x]) if theta else np.array([2 * x])
    places = sorted({0.0, *(float(z) for z in np.clip(roots.real, -11, 11))})
    value, _ = quad(
        lambda z: norm.pdf(z) * norm.pdf(x, curve(theta, z), 0.6), -12, 12, points=places, epsabs=0, epsrel=1e-12, limit=400
    )
    return value


@pytest.mark.parametrize(("theta", "x"), CASES)
def test_the_evidence_is_that_of_adaptive_quadrature(theta: float, x: float) -> None:
    assert log_evidence(Toy(theta), x) == pytest.approx(math.log(integrated(theta, x)), abs=1e-11)


@given(x=st.floats(-6, 6))
def test_a_line_as_decoder_has_a_gaussian_evidence(x: float) -> None:
    assert log_evidence(Toy(0.0), x) == pytest.approx(norm.logpdf(x, 0, math.hypot(SLOPE, SIGMA)), abs=1e-11)


@given(x=XS)
def test_with_a_line_the_gap_closes_at_the_true_posterior_and_the_best_q_finds_it(x: float) -> None:
    variance = 1 / (1 + SLOPE**2 / SIGMA**2)
    exact = Gaussian(variance * SLOPE * x / SIGMA**2, math.sqrt(variance))
    assert gap(Toy(0.0), x, exact) == pytest.approx(0, abs=1e-12)
    found = best(Toy(0.0), x)
    assert (found.m, found.s) == (pytest.approx(exact.m, abs=1e-12), pytest.approx(exact.s, rel=1e-12))
    np.testing.assert_allclose(posterior(Toy(0.0), x, grid()), norm.pdf(grid(), exact.m, exact.s), atol=1e-11)


@given(x=XS, q=QS)
def test_with_a_line_the_gap_is_the_divergence_of_two_gaussians(x: float, q: Gaussian) -> None:
    variance = 1 / (1 + SLOPE**2 / SIGMA**2)
    mean = variance * SLOPE * x / SIGMA**2
    closed = 0.5 * ((q.s**2 + (q.m - mean) ** 2) / variance - 1 + math.log(variance / q.s**2))
    assert gap(Toy(0.0), x, q) == pytest.approx(closed, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize(("theta", "x"), CASES)
@pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (-1.7, 0.4), (3.5, 2.0), (0.6, 0.05)])
def test_terms_are_those_of_adaptive_quadrature(theta: float, x: float, m: float, s: float) -> None:
    def mean(f: Callable[[float], float]) -> float:
        return quad(lambda z: norm.pdf(z, m, s) * f(z), m - 12 * s, m + 12 * s, points=[m], limit=200)[0]

    q, evidence = Gaussian(m, s), math.log(integrated(theta, x))
    likelihood = mean(lambda z: norm.logpdf(x, curve(theta, z), 0.6))
    divergence = mean(lambda z: norm.logpdf(z, m, s) - norm.logpdf(z))
    surplus = mean(lambda z: norm.logpdf(z, m, s) - norm.logpdf(z) - norm.logpdf(x, curve(theta, z), 0.6) + evidence)
    assert reconstruction(Toy(theta), x, q) == pytest.approx(likelihood, rel=1e-9)
    assert kl_to_prior(q) == pytest.approx(divergence, rel=1e-9, abs=1e-10)
    assert gap(Toy(theta), x, q) == pytest.approx(surplus, rel=1e-9)


@given(theta=THETAS, x=XS, q=QS)
def test_the_three_terms_add_up_to_the_evidence_and_the_gap_is_never_negative(theta: float, x: float, q: Gaussian) -> None:
    found = bars(Toy(theta), x, q)
    assert found.reconstruction - found.kl + found.gap == pytest.approx(found.evidence, abs=1e-9)
    assert found.gap > -1e-12
    assert found.elbo <= found.evidence + 1e-12
    assert found.kl >= 0
    assert found.reconstruction < 0


@given(theta=THETAS, x=XS, one=QS, other=QS)
def test_moving_q_leaves_the_evidence_where_it_is(theta: float, x: float, one: Gaussian, other: Gaussian) -> None:
    assert bars(Toy(theta), x, one).evidence == bars(Toy(theta), x, other).evidence


def test_only_theta_and_x_move_the_evidence() -> None:
    values = {round(log_evidence(Toy(theta), x), 6) for theta in (-1.0, 0.0, 0.7, 0.8) for x in (0.5, 0.6)}
    assert len(values) == 8


@given(theta=THETAS, x=XS)
def test_the_posterior_integrates_to_one_and_is_mirrored_with_the_decoder(theta: float, x: float) -> None:
    density = posterior(Toy(theta), x, grid())
    assert 0.01 * density.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(posterior(Toy(-theta), -x, grid()[::-1]), density, rtol=1e-9, atol=1e-12)


def test_a_bent_decoder_gives_the_posterior_two_humps_and_the_best_gaussian_takes_one() -> None:
    toy, x = Toy(1.0), 1.5
    density = posterior(toy, x, grid())
    humps = np.flatnonzero((density[1:-1] > density[:-2]) & (density[1:-1] > density[2:])) + 1
    assert len(humps) == 2
    assert max(abs(x - decode(toy, grid()[humps]))) < SIGMA / 2  # both explain x
    found = best(toy, x)
    near = grid()[humps][np.argmin(abs(grid()[humps] - found.m))]
    assert abs(found.m - near) < 0.1
    share = 0.01 * density[abs(grid() - near) < 1.4].sum()
    assert bars(toy, x, found).gap == pytest.approx(-math.log(share), abs=0.05)  # what the other hump holds is what is lost


@given(theta=THETAS, x=XS)
def test_the_best_q_is_stationary_and_lies_within_the_sliders(theta: float, x: float) -> None:
    toy, found = Toy(theta), best(Toy(theta), x)
    for dm, ds in ((1e-4, 0), (0, 1e-4)):
        up, down = Gaussian(found.m + dm, found.s * (1 + ds)), Gaussian(found.m - dm, found.s * (1 - ds))
        scale = 1 + abs(elbo(toy, x, up) - 2 * elbo(toy, x, found) + elbo(toy, x, down)) / 1e-8
        assert abs(elbo(toy, x, up) - elbo(toy, x, down)) / 2e-4 < 1e-5 * scale
        assert elbo(toy, x, found) >= max(elbo(toy, x, up), elbo(toy, x, down)) - 1e-12
    assert abs(found.m) < 4
    assert 0.05 < found.s < 2


@pytest.mark.parametrize(("theta", "x"), [*CASES, (1.0, 0.0), (-0.6, -2.9)])
def test_no_q_on_a_grid_and_no_descent_beats_the_best(theta: float, x: float) -> None:
    toy = Toy(theta)
    highest = elbo(toy, x, best(toy, x))
    values = [
        elbo(toy, x, Gaussian(m, s)) for m, s in itertools.product(np.linspace(-5, 5, 101).tolist(), np.geomspace(0.04, 3, 45))
    ]
    assert max(values) <= highest
    assert max(values) > highest - 0.1  # the grid comes near: the best is no accident of another scale
    for start in (-2.0, 0.0, 2.0):
        descent = minimize(lambda p: -elbo(toy, x, Gaussian(p[0], math.exp(p[1]))), [start, -1.0], method="Nelder-Mead")
        assert -descent.fun <= highest + 1e-12


@pytest.mark.parametrize("theta", [0.0, 0.5, -1.2, 1.5])
def test_the_moments_of_x_and_the_encoders_mean_elbo_are_those_of_quadrature(theta: float) -> None:
    # Gauss and Hermite's twelve nodes are exact for the polynomials here, of degree 8 in z and 4 in the noise.
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    z, noise = np.meshgrid(nodes, nodes)  # (12, 12)
    share = np.outer(weights, weights) / (2 * math.pi)

    def mean(f: Callable[[float], float]) -> float:
        return float((share * np.vectorize(f)(curve(theta, z) + 0.6 * noise)).sum())

    for power, closed in zip((2, 3, 4), moments(Toy(theta)), strict=True):
        assert mean(partial(pow, exp=power)) == pytest.approx(closed, rel=1e-11, abs=1e-11)
    encoder = Encoder(0.37, 0.55)
    assert mean(lambda x: elbo(Toy(theta), x, encoder(x))) == pytest.approx(mean_elbo(Toy(theta), encoder), rel=1e-11)


@pytest.mark.parametrize("theta", [0.0, 0.05, 0.5, 1.0, 1.5, -0.8])
def test_the_encoder_is_trained_to_the_end(theta: float) -> None:
    toy = Toy(theta)
    trained = train_encoder(toy)
    for start in (-0.8, 0.0, 0.4, 1.0):
        descent = minimize(lambda p: -mean_elbo(toy, Encoder(p[0], math.exp(p[1]))), [start, -0.5], tol=1e-12)
        assert -descent.fun <= mean_elbo(toy, trained) + 1e-12
    assert trained.alpha == pytest.approx(train_encoder(Toy(-theta)).alpha, rel=1e-12)


def test_with_a_line_the_encoder_gives_nothing_away() -> None:
    toy = Toy(0.0)
    encoder = train_encoder(toy)
    assert encoder.alpha == pytest.approx(SLOPE / (SLOPE**2 + SIGMA**2), rel=1e-12)
    for x in (-3.0, 0.2, 4.0):
        parts = split(toy, x, encoder(x))
        assert (parts.approximation, parts.amortisation) == (pytest.approx(0, abs=1e-11), pytest.approx(0, abs=1e-11))


@given(theta=THETAS, x=XS, q=QS)
def test_the_gap_splits_into_two_parts_that_are_not_negative(theta: float, x: float, q: Gaussian) -> None:
    parts = split(Toy(theta), x, q)
    assert parts.approximation + parts.amortisation == pytest.approx(gap(Toy(theta), x, q), abs=1e-9)
    assert parts.approximation > -1e-11
    assert parts.amortisation > -1e-11


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Toy(1.6), "theta = 1.6 bends"),
        (lambda: Toy(math.nan), "theta = nan"),
        (lambda: Gaussian(0, 0), "s above 0"),
        (lambda: Gaussian(math.inf, 1), "finite m"),
        (lambda: log_evidence(Toy(0), 6.5), "x = 6.5 puts"),
        (lambda: log_evidence(Toy(0), math.nan), "x = nan"),
    ],
)
def test_what_lies_outside_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
