"""Gaussians, mixtures and contours as the browser computes them, against scipy and closed forms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from playground.components import BASE

Array = NDArray[np.float64]
Call = Callable[..., Any]

# Arguments become typed arrays where the module expects them; results come back as lists.
BRIDGE = """async ([file, name, values]) => {
  const typed = (value) => {
    if (Array.isArray(value)) return Float64Array.from(value);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, typed(one)]));
  };
  const plain = (value) => {
    if (ArrayBuffer.isView(value)) return Array.from(value);
    if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  };
  const module = await import(file);
  return plain(module[name](...values.map(typed)));
}"""


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """One page for all tests: a module's own text, at whose address its neighbours can be imported."""
    one = browser.new_page()
    one.goto(f"{address}{BASE}/lib/gaussians.js")
    yield one
    one.close()


@pytest.fixture
def call(page: Page) -> Call:
    def one(name: str, *values: Any, module: str = "gaussians") -> Any:
        sent = [value.ravel().tolist() if isinstance(value, np.ndarray) else value for value in values]
        return page.evaluate(BRIDGE, [f"{BASE}/lib/{module}.js", name, sent])

    return one


def random_mixture(
    d: int, k: int, seed: int, *, offset: float = 0.0, scale: float = 1.0
) -> tuple[dict[str, Any], Array, Array, Array]:
    """A mixture for the browser, and its weights (k,), means (k, d) and covariances (k, d, d) for scipy."""
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.ones(k))
    means = offset + 3 * draw.standard_normal((k, d))
    roots = scale * (draw.standard_normal((k, d, d)) + np.eye(d))
    covariances = roots @ roots.transpose(0, 2, 1) + scale**2 * 0.05 * np.eye(d)
    return sent(weights, means, covariances), weights, means, covariances


def sent(weights: Array, means: Array, covariances: Array) -> dict[str, Any]:
    k, d = means.shape
    return {
        "d": d,
        "k": k,
        "weights": weights.tolist(),
        "means": means.ravel().tolist(),
        "covariances": covariances.ravel().tolist(),
    }


def log_joint(weights: Array, means: Array, covariances: Array, points: Array) -> Array:
    """scipy's log w_k + log N(x_i; μ_k, Σ_k): (n, k)."""
    columns = [
        np.log(w) + multivariate_normal(m, c, allow_singular=False).logpdf(points).reshape(len(points))
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 4), (2, 1), (2, 10), (3, 5), (5, 3)])
def test_a_mixture_is_scipys(call: Call, d: int, k: int) -> None:
    mixture, *parts = random_mixture(d, k, seed=10 * d + k)
    points = 4 * np.random.default_rng(d).standard_normal((60, d))
    joint = log_joint(*parts, points)
    total = logsumexp(joint, axis=1)
    np.testing.assert_allclose(np.reshape(call("logJoint", mixture, points, 60), (60, k)), joint, rtol=1e-9)
    np.testing.assert_allclose(call("logProb", mixture, points, 60), total, rtol=1e-9)
    shares = np.reshape(call("responsibilities", mixture, points, 60), (60, k))
    np.testing.assert_allclose(shares, np.exp(joint - total[:, None]), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-14)
    assert np.argmax(np.reshape(call("hard", joint, 60, k), (60, k)), axis=1).tolist() == np.argmax(joint, axis=1).tolist()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (1e6, 1e-3), (0.0, 1e-6), (0.0, 1e6)])
def test_digits_survive_far_from_the_origin_and_in_narrow_components(call: Call, d: int, offset: float, scale: float) -> None:
    mixture, weights, means, covariances = random_mixture(d, 3, seed=7, offset=offset, scale=scale)
    draw = np.random.default_rng(3)
    points = np.concatenate([draw.multivariate_normal(m, c, 20) for m, c in zip(means, covariances, strict=True)])
    joint = log_joint(weights, means, covariances, points)
    np.testing.assert_allclose(np.reshape(call("logJoint", mixture, points, 60), (60, 3)), joint, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(call("logProb", mixture, points, 60), logsumexp(joint, axis=1), rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_singular_covariances_and_points_beyond_reach_stay_finite(call: Call, d: int) -> None:
    line = np.ones((1, d)).T @ np.ones((1, d))  # all the mass on the diagonal; for d = 1 an ordinary Gaussian
    mixture = sent(np.array([0.5, 0.5]), np.zeros((2, d)), np.stack([line, np.zeros((d, d))]))
    points = np.concatenate([np.zeros((1, d)), np.ones((1, d)), np.arange(d)[None] + 1.0])
    assert np.isfinite(call("logJoint", mixture, points, 3)).all()
    far = np.full((1, d), 1e200)
    shares = call("responsibilities", mixture, far, 1)
    assert sum(shares) == pytest.approx(1)


def test_a_weight_of_nothing_takes_nothing(call: Call) -> None:
    mixture = sent(np.array([1.0, 0.0]), np.array([[0.0], [5.0]]), np.ones((2, 1, 1)))
    points = np.array([[5.0], [-1.0]])
    joint = np.reshape(call("logJoint", mixture, points, 2), (2, 2))
    assert (joint[:, 1] == -math.inf).all()
    assert call("responsibilities", mixture, points, 2) == [1, 0, 1, 0]
    np.testing.assert_allclose(call("logProb", mixture, points, 2), norm.logpdf(points[:, 0]), rtol=1e-12)


def test_the_lowest_index_wins_a_tie(call: Call) -> None:
    assert call("hard", np.array([2.0, 2.0, 1.0, 0.0, 3.0, 3.0]), 2, 3) == [1, 0, 0, 0, 1, 0]
    means = np.array([[-1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert call("nearest", means, 3, 2, np.array([[0.0, 7.0], [0.5, 0.0], [-0.5, 0.0]]), 3) == [0, 1, 0]


@pytest.mark.parametrize("d", [1, 2, 3])
def test_nearest_is_the_nearest(call: Call, d: int) -> None:
    draw = np.random.default_rng(d)
    means, points = draw.standard_normal((9, d)), 2 * draw.standard_normal((300, d))
    distances = ((points[:, None] - means[None]) ** 2).sum(-1)
    assert call("nearest", means, 9, d, points, 300) == distances.argmin(1).tolist()


def test_densities_on_grids_are_scipys_row_by_row(call: Call) -> None:
    mixture, weights, means, covariances = random_mixture(2, 3, seed=5)
    xs, ys = np.linspace(-5, 5, 23), np.linspace(-4, 6, 17)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1)  # (17, 23, 2)
    expected = np.exp(logsumexp(log_joint(weights, means, covariances, grid.reshape(-1, 2)), axis=1)).reshape(17, 23)
    np.testing.assert_allclose(np.reshape(call("densityGrid", mixture, xs, ys), (17, 23)), expected, rtol=1e-9, atol=1e-300)


def test_curves_are_each_components_own(call: Call) -> None:
    mixture, weights, means, covariances = random_mixture(1, 3, seed=6)
    xs = np.linspace(-5, 5, 41)
    expected = np.exp(log_joint(weights, means, covariances, xs[:, None])).T
    np.testing.assert_allclose(np.reshape(call("densityCurve", mixture, xs), (3, 41)), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_an_ellipse_is_the_covariances_eigenvectors(call: Call, seed: int) -> None:
    root = np.random.default_rng(seed).standard_normal((2, 2)) * [1, 10.0**-seed]
    covariance = root @ root.T
    a, b, c = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    found = call("ellipse", a, b, c)
    values = np.linalg.svd(root, compute_uv=False)  # their squares are the eigenvalues, with all their digits
    assert found["rx"] == pytest.approx(values[0], rel=1e-12)
    assert found["ry"] == pytest.approx(values[1], rel=1e-4 if seed > 3 else 1e-9)  # b² and ac share their first digits
    direction = np.array([math.cos(found["angle"]), math.sin(found["angle"])])
    np.testing.assert_allclose(covariance @ direction, found["rx"] ** 2 * direction, atol=1e-12 * a + 1e-15)
    np.testing.assert_allclose(call("covarianceOf", found), [a, b, c], rtol=1e-9)


@pytest.mark.parametrize(("rx", "ry", "angle"), [(2.0, 0.5, 0.3), (3.0, 1.0, -1.2), (1.0, 1e-3, 1.5), (2.0, 2.0, 0.0)])
def test_ellipse_undoes_covariance_of(call: Call, rx: float, ry: float, angle: float) -> None:
    covariance = call("covarianceOf", {"rx": rx, "ry": ry, "angle": angle})
    found = call("ellipse", *covariance)
    assert (found["rx"], found["ry"]) == (pytest.approx(rx, rel=1e-9), pytest.approx(ry, rel=1e-9))
    assert found["angle"] == pytest.approx(angle, abs=1e-9)


def test_the_ellipse_of_nothing_is_a_point(call: Call) -> None:
    assert call("ellipse", 0, 0, 0) == {"rx": 0, "ry": 0, "angle": 0}


def test_projecting_a_mixture_is_projecting_its_draws(call: Call) -> None:
    mixture, weights, means, covariances = random_mixture(3, 2, seed=8)
    view = np.random.default_rng(1).standard_normal((2, 3))
    shadow = call("project", mixture, view)
    assert (shadow["d"], shadow["k"], shadow["weights"]) == (2, 2, weights.tolist())
    np.testing.assert_allclose(np.reshape(shadow["means"], (2, 2)), means @ view.T, rtol=1e-12)
    np.testing.assert_allclose(np.reshape(shadow["covariances"], (2, 2, 2)), view @ covariances @ view.T, rtol=1e-12)
    points = np.random.default_rng(2).multivariate_normal(means[0], covariances[0], 4000)
    flat = np.reshape(call("projectPoints", points, 4000, 3, view), (4000, 2))
    np.testing.assert_allclose(flat, points @ view.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.cov(flat.T), np.reshape(shadow["covariances"], (2, 2, 2))[0], rtol=0.15, atol=0.15)


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_a_gaussians_likelihood_needs_two_numbers_of_the_points(call: Call, offset: float) -> None:
    points = offset + np.random.default_rng(4).standard_normal(50)
    found = call("sufficient", points)
    assert found["n"] == 50
    assert found["mean"] == pytest.approx(offset + float(np.mean(points - offset)), rel=1e-15, abs=1e-12)
    assert found["meanSquare"] == pytest.approx(float(np.var(points - offset)), rel=1e-9)
    for mu, sigma in [(offset, 1.0), (offset + 2, 0.3), (offset - 1, 1e-3)]:
        expected = norm.logpdf(points - mu, 0, sigma).sum()
        assert call("normalLogLikelihood", found, mu, sigma) == pytest.approx(expected, rel=1e-9 if abs(offset) < 1e8 else 1e-6)


@pytest.mark.parametrize("radius", [3.1, 7.5, 11.2])
def test_a_circles_contour_has_its_radius_and_is_closed(call: Call, radius: float) -> None:
    y, x = np.mgrid[0:31, 0:33]
    heights = -((x - 16.0) ** 2 + (y - 15.0) ** 2)
    ends = np.reshape(call("contours", heights, 33, 31, -(radius**2), module="contours"), (-1, 2))
    distances = np.hypot(ends[:, 0] - 16, ends[:, 1] - 15)
    assert np.abs(distances - radius).max() < 0.15 / radius + 1e-9  # what a straight line between two corners misses
    counts = {tuple(end): 0 for end in np.round(ends, 9).tolist()}
    for end in np.round(ends, 9).tolist():
        counts[tuple(end)] += 1
    assert set(counts.values()) == {2}  # each end meets another: no gaps
    lengths = np.hypot(*(ends[::2] - ends[1::2]).T)
    assert lengths.sum() == pytest.approx(2 * math.pi * radius, rel=0.02)


def test_every_kind_of_cell_separates_inside_from_outside(call: Call) -> None:
    for corners in itertools.product([0.0, 1.0], repeat=4):  # (0, 0), (1, 0), (0, 1), (1, 1)
        segments = np.reshape(call("contours", np.array(corners), 2, 2, 0.5, module="contours"), (-1, 4))
        crossed = {(0.5, 0.0): corners[0] != corners[1], (0.5, 1.0): corners[2] != corners[3]}
        crossed |= {(0.0, 0.5): corners[0] != corners[2], (1.0, 0.5): corners[1] != corners[3]}
        ends = [tuple(end) for end in segments.reshape(-1, 2).tolist()]
        assert sorted(ends) == sorted(place for place, on in crossed.items() if on), corners


@pytest.mark.parametrize(("peak", "joined"), [(1.0, True), (0.4, False)])
@pytest.mark.parametrize("rising", [True, False])
def test_a_saddle_follows_the_cells_mean(call: Call, peak: float, joined: bool, rising: bool) -> None:
    high, low = peak, 0.0  # the mean is peak / 2, the level 0.3
    corners = [high, low, low, high] if rising else [low, high, high, low]
    segments = np.reshape(call("contours", np.array(corners), 2, 2, 0.3, module="contours"), (-1, 4))
    assert len(segments) == 2
    cut = set(cut_corners(segments))
    highs = {(0, 0), (1, 1)} if rising else {(1, 0), (0, 1)}
    assert (cut == {(0, 0), (1, 0), (0, 1), (1, 1)} - highs) if joined else (cut == highs)


def cut_corners(segments: Array) -> list[tuple[int, int]]:
    """The corner of the unit cell that each segment cuts off: the one at which the two edges that it joins meet."""
    found = []
    for ends in segments.reshape(-1, 2, 2):
        (x,) = [value for value in ends[:, 0] if value in (0, 1)]
        (y,) = [value for value in ends[:, 1] if value in (0, 1)]
        found.append((int(x), int(y)))
    return found


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_mass_levels_are_a_gaussians_own(call: Call, correlation: float) -> None:
    xs = np.linspace(-6, 6, 161)
    covariance = np.array([[1, correlation], [correlation, 1]])
    grid = multivariate_normal([0.1, -0.2], covariance).pdf(np.stack(np.meshgrid(xs, xs), axis=-1))
    cell = float((xs[1] - xs[0]) ** 2)
    peak = 1 / (2 * math.pi * math.sqrt(1 - correlation**2))
    shares = [0.99, 0.5, 0.9]  # in any order
    levels = call("massLevels", grid, cell, shares, module="contours")
    for level, share in zip(levels, shares, strict=True):
        radius = math.sqrt(-2 * math.log(level / peak))
        assert radius == pytest.approx(math.sqrt(-2 * math.log(1 - share)), rel=0.01)  # 50 %: 1.177, 90 %: 2.146, 99 %: 3.035


@pytest.mark.timing
def test_twenty_thousand_points_and_ten_components_are_quick(page: Page) -> None:
    took = page.evaluate(
        """async (base) => {
          const { responsibilities } = await import(`${base}/lib/gaussians.js`);
          const [n, k, d] = [20000, 10, 2];
          const means = new Float64Array(k * d).map(() => Math.random());
          const covariances = Float64Array.from({ length: k * 4 }, (_, i) => [1, 0.2, 0.2, 1][i % 4]);
          const mixture = { d, k, weights: new Float64Array(k).fill(1 / k), means, covariances };
          const points = new Float64Array(n * d).map(() => 4 * Math.random());
          const times = [];
          for (let i = 0; i < 9; i++) {
            const began = performance.now();
            responsibilities(mixture, points, n);
            times.push(performance.now() - began);
          }
          return Math.min(...times);
        }""",
        BASE,
    )
    assert took < 40
