"""A latent-variable model small enough that nothing of it stays hidden: evidence, bound and gap, each computed by itself.

One latent, one observation, and a decoder that bends a line into a fold:

    z ~ N(0, 1),   x | z ~ N(f(z), σ²),   f(z) = a z + θ (z² − 1)

At θ = 0 this is probabilistic PCA on a line: the posterior is Gaussian, and so is everything else. As |θ| grows, two z explain
one x, the posterior p(z|x) gets two humps, and no Gaussian q(z) = N(m, s²) reaches it. For every q (Jordan et al. 1999;
Kingma and Welling 2014, eq. 1 to 3)

    log p(x) = E_q[log p(x|z)] − KL(q(z) ‖ p(z)) + KL(q(z) ‖ p(z|x))
                reconstruction        KL                   gap

where only the last term needs the posterior; the first two are the bound (ELBO). None of the four is had from the others here:
reconstruction and KL are closed forms, log p(x) is a quadrature over z, and the gap is a quadrature under q. The gap has two
parts (Cremer, Li and Duvenaud 2018, section 3): what the best Gaussian leaves (approximation), and what an encoder, one map
from any x to its q, loses against the best Gaussian for this x (amortisation). The encoder here is as small as one gets,
m = α x with one s for all x, and is trained to the end: α and s maximise the ELBO averaged over x ~ p(x), a closed form too.

All numbers are natural logarithms (nats), float64. x, z, m and s have no unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SLOPE, SIGMA = 0.5, 0.6  # a and σ: p(x|z) stays below 1, so that its logarithm is always negative
MOST_THETA, MOST_X = 1.5, 6.0
LIMIT, STEP = 12.0, 0.01  # of the grid over z
DRAWN, DRAWN_STEP = 10.0, 0.1  # of the grid over (z − m)/s, for means under q
SEARCH, SEARCH_STEP = 8.0, 0.02  # where the best q is looked for: m within ±8
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Toy:
    """p(x, z), by its one knob: `theta` (θ), how far the line is bent. Raises ValueError beyond ±1.5, where the grids end."""

    theta: float

    def __post_init__(self) -> None:
        if not abs(self.theta) <= MOST_THETA:
            raise ValueError(f"theta = {self.theta:g} bends the decoder further than the grids reach: take -1.5 to 1.5.")


@dataclass(frozen=True)
class Gaussian:
    """q(z) = N(m, s²). Raises ValueError unless s > 0."""

    m: float
    s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.m) and math.isfinite(self.s) and self.s > 0):
            raise ValueError(f"q = N({self.m:g}, {self.s:g}²) is no density: take a finite m and a deviation s above 0.")


@dataclass(frozen=True)
class Bars:
    """The four numbers of one q, nats. `elbo` is the difference of the first two; nothing else is derived from another."""

    reconstruction: float
    kl: float
    gap: float
    evidence: float  # log p(x)

    @property
    def elbo(self) -> float:
        return self.reconstruction - self.kl


@dataclass(frozen=True)
class Split:
    """The gap of an encoder's q, in two, nats; neither is negative."""

    approximation: float  # log p(x) − ELBO of the best Gaussian
    amortisation: float  # ELBO of the best Gaussian − ELBO of this q


def decode(toy: Toy, z: Array) -> Array:
    """f(z), of any shape."""
    return SLOPE * z + toy.theta * (z * z - 1)


def grid() -> Array:
    """The grid over z: (2401,), from −12 to 12."""
    return _axis(LIMIT, STEP)


def log_joint(toy: Toy, x: float, z: Array) -> Array:
    """log p(z) + log p(x|z), nats, of z's shape."""
    residual = (x - decode(toy, z)) / SIGMA
    return -0.5 * z * z - 0.5 * residual * residual - LOG_2PI - math.log(SIGMA)


def log_evidence(toy: Toy, x: float) -> float:
    """log p(x) = log ∫ p(x, z) dz, nats: trapezoid rule on `grid`.

    The integrand is analytic and its narrowest hump for |θ| ≤ 1.5, |x| ≤ 6 is 0.08 wide, eight steps: the rule's error is far
    below rounding (exp(−2π² 8²); Trefethen and Weideman 2014, section 5). Cut off at ±12 is less than 1e-11 of the mass.
    Raises ValueError for |x| > 6, whose posterior would come near the end of the grid.
    """
    if not abs(x) <= MOST_X:
        raise ValueError(f"x = {x:g} puts the posterior near the end of the grid over z: take -6 to 6.")
    values = log_joint(toy, x, grid())
    top = float(values.max())
    return top + math.log(STEP * float(np.exp(values - top).sum()))


def posterior(toy: Toy, x: float, z: Array) -> Array:
    """p(z|x) at `z`, of its shape: the joint over the evidence."""
    return np.exp(log_joint(toy, x, z) - log_evidence(toy, x))


def reconstruction(toy: Toy, x: float, q: Gaussian) -> float:
    """E_q[log p(x|z)], nats. With z = m + s u, f is a polynomial in u, and E(x − f)² is (mean's error)² + variance."""
    v, slope = q.s * q.s, SLOPE + 2 * toy.theta * q.m  # f'(m)
    error = x - (SLOPE * q.m + toy.theta * (q.m * q.m - 1)) - toy.theta * v
    square = error * error + slope * slope * v + 2 * toy.theta * toy.theta * v * v
    return -0.5 * (LOG_2PI + square / (SIGMA * SIGMA)) - math.log(SIGMA)


def kl_to_prior(q: Gaussian) -> float:
    """KL(N(m, s²) ‖ N(0, 1)), nats."""
    return 0.5 * (q.m * q.m + q.s * q.s - 1) - math.log(q.s)


def elbo(toy: Toy, x: float, q: Gaussian) -> float:
    """Reconstruction − KL, nats: a lower bound on log p(x)."""
    return reconstruction(toy, x, q) - kl_to_prior(q)


def gap(toy: Toy, x: float, q: Gaussian) -> float:
    """KL(q(z) ‖ p(z|x)) = E_q[log q(z) − log p(z|x)], nats: trapezoid rule over u = (z − m)/s, from −10 to 10.

    A polynomial of degree 4 under a Gaussian: exact to rounding, relative to the largest value of the polynomial.
    """
    u = _axis(DRAWN, DRAWN_STEP)  # (201,)
    log_q = -0.5 * (u * u + LOG_2PI)  # of u; − log s makes it that of z
    surplus = log_q - math.log(q.s) - (log_joint(toy, x, q.m + q.s * u) - log_evidence(toy, x))
    return DRAWN_STEP * float((np.exp(log_q) * surplus).sum())


def bars(toy: Toy, x: float, q: Gaussian) -> Bars:
    return Bars(reconstruction(toy, x, q), kl_to_prior(q), gap(toy, x, q), log_evidence(toy, x))


def best(toy: Toy, x: float) -> Gaussian:
    """The q of the largest ELBO.

    For a given m the best variance is the positive root of a quadratic; what is left is one equation in m,
    f'(m) (x − f(m) − 3 θ s²)/σ² = m, solved by bisection wherever its sign falls: all maxima, of which the highest is taken.
    """

    def variance(m: Array) -> Array:
        slope = SLOPE + 2 * toy.theta * m
        curvature = (slope * slope - 2 * toy.theta * (x - decode(toy, m))) / SIGMA**2
        return _best_variance(1 + curvature, 6 * toy.theta**2 / SIGMA**2)

    def rise(m: Array) -> Array:
        slope = SLOPE + 2 * toy.theta * m
        return slope * (x - decode(toy, m) - 3 * toy.theta * variance(m)) / SIGMA**2 - m

    maxima = _downward_roots(rise, SEARCH, SEARCH_STEP)
    found = [Gaussian(float(m), float(math.sqrt(v))) for m, v in zip(maxima, variance(maxima), strict=True)]
    return max(found, key=lambda q: elbo(toy, x, q))


@dataclass(frozen=True)
class Encoder:
    """q(z|x) = N(α x, s²): one map for all x."""

    alpha: float
    s: float

    def __call__(self, x: float) -> Gaussian:
        return Gaussian(self.alpha * x, self.s)


def moments(toy: Toy) -> tuple[float, float, float]:
    """E x², E x³, E x⁴ under p(x); E x = 0. From the moments 1, 3, 15, 105 of a standard normal z."""
    a, t, noise = SLOPE, toy.theta, SIGMA**2
    second = a**2 + 2 * t**2
    return second + noise, 6 * a**2 * t + 8 * t**3, 3 * a**4 + 60 * a**2 * t**2 + 60 * t**4 + 6 * second * noise + 3 * noise**2


def mean_elbo(toy: Toy, encoder: Encoder) -> float:
    """E over x ~ p(x) of the ELBO with the encoder's q, nats: what training on endless data climbs. Closed form."""
    m2, m3, m4 = moments(toy)
    a, t, alpha, v = SLOPE, toy.theta, encoder.alpha, encoder.s**2
    c = 1 - a * alpha  # x − f(αx) − θv = c x − θ α² x² + θ (1 − v)
    square = (
        c * c * m2 + t * t * (alpha**4 * m4 + (1 - v) ** 2) - 2 * c * t * alpha**2 * m3 - 2 * t * t * alpha**2 * (1 - v) * m2
    )
    square += v * (a * a + 4 * t * t * alpha**2 * m2) + 2 * t * t * v * v
    rate = 0.5 * (alpha**2 * m2 + v - 1) - 0.5 * math.log(v)
    return -0.5 * (LOG_2PI + square / SIGMA**2) - math.log(SIGMA) - rate


def train_encoder(toy: Toy) -> Encoder:
    """The encoder of the largest `mean_elbo`: as `best`, by all roots in α of its derivative with s at its best for that α."""
    m2, m3, m4 = moments(toy)
    a, t = SLOPE, toy.theta

    def variance(alpha: Array) -> Array:
        curvature = (a * a - 2 * t * t + 6 * t * t * alpha**2 * m2) / SIGMA**2
        return _best_variance(1 + curvature, 6 * t * t / SIGMA**2)

    def rise(alpha: Array) -> Array:
        c, v = 1 - a * alpha, variance(alpha)
        square = -2 * a * c * m2 + 4 * t * t * alpha**3 * m4 + 2 * a * t * alpha**2 * m3 - 4 * c * t * alpha * m3
        square += -4 * t * t * alpha * (1 - v) * m2 + 8 * t * t * v * alpha * m2
        return -0.5 * square / SIGMA**2 - alpha * m2

    maxima = _downward_roots(rise, 1.0, 0.005)
    found = [Encoder(float(alpha), math.sqrt(v)) for alpha, v in zip(maxima, variance(maxima), strict=True)]
    return max(found, key=lambda encoder: mean_elbo(toy, encoder))


def split(toy: Toy, x: float, q: Gaussian) -> Split:
    """The gap of `q` in two: what the best Gaussian leaves, and what q leaves beyond it."""
    highest = elbo(toy, x, best(toy, x))
    return Split(log_evidence(toy, x) - highest, highest - elbo(toy, x, q))


def _axis(limit: float, step: float) -> Array:
    """−limit to limit in equal steps, 0 among them."""
    return np.asarray(step * (np.arange(round(2 * limit / step) + 1) - limit / step), dtype=np.float64)


def _best_variance(linear: Array, quadratic: float) -> Array:
    """The positive root v of quadratic v² + linear v = 1, where the ELBO is highest in the variance."""
    root = np.sqrt(linear * linear + 4 * quadratic)
    with np.errstate(divide="ignore", invalid="ignore"):  # np.where evaluates both sides
        return np.where(linear > 0, 2 / (root + linear), (root - linear) / (2 * quadratic) if quadratic else np.nan)


def _downward_roots(f: Callable[[Array], Array], limit: float, step: float) -> Array:
    """Where f falls through 0 within ±limit, to rounding: the maxima of what f is the derivative of."""
    places = _axis(limit, step)
    values = f(places)
    at = np.flatnonzero((values[:-1] > 0) & (values[1:] <= 0))
    low, high = places[at], places[at + 1]
    for _ in range(60):
        middle = 0.5 * (low + high)
        up = f(middle) > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return 0.5 * (low + high)
