"""A run as the page gets it is the run that `models` makes, whole and in slices, and always something that JSON can say."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from models import gaussian, gmm, kde, kmeans, pca, starts
from models.data import clouds
from models.noise import Noise
from models.points import BadPoints
from playground import cloud_starts, fits, wire
from playground.faults import BadCall
from playground.wire import ChooseQuery, DrawsBody, FitQuery

DATA = {1: "two", 2: "stretched", 3: "helix"}
COVARIANCES = ["full", "tied", "diagonal", "spherical", "tied_spherical"]
WINDOW = {1: {"low": "-6", "high": "6"}, 2: {"low": "-6,-5", "high": "6,5"}, 3: {}}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As on the inference thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def cloud(d: int, n: int = 120) -> Tensor:
    return clouds.make(DATA[d], n, noise=2).points


def ask(x: Tensor, model: str, **options: Any) -> dict[str, Any]:
    """A run of fits.fit, which JSON must be able to say."""
    told = fits.finished(fits.fit(x, FitQuery(model=model, d=x.shape[1], **options)))
    return json.loads(json.dumps(told, allow_nan=False))


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f8")


def frames(told: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights `(F, K)`, means `(F, K, D)` and covariances `(F, K, D, D)`."""
    shape = (len(told["phases"]), told["k"])
    d = told["d"]
    return (
        floats(told["weights"]).reshape(shape),
        floats(told["means"]).reshape(*shape, d),
        floats(told["covariances"]).reshape(*shape, d, d),
    )


def regularised(x: Tensor, reg: float) -> float:
    return reg * float(np.var(x.numpy(), axis=0).mean())


# --- Each model against its own functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_gaussian_is_the_clouds_mean_and_covariance(d: int) -> None:
    x = cloud(d)
    told = ask(x, "gaussian")
    weights, means, covariances = frames(told)
    assert told["phases"] == ["fit"]
    assert weights.tolist() == [[1.0]]
    np.testing.assert_allclose(means[0, 0], x.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariances[0, 0], np.cov(x.numpy().T, bias=True).reshape(d, d), rtol=1e-10)
    likelihood = float(gaussian.log_prob(x, gaussian.fit(x)).mean())
    assert told["log_likelihood"] == [pytest.approx(likelihood, rel=1e-12)]
    parameters = d + d * (d + 1) // 2
    bic = -2 * len(x) * likelihood + parameters * math.log(len(x))
    assert told["criteria"] == {
        "bic": pytest.approx(bic),
        "aic": pytest.approx(-2 * len(x) * likelihood + 2 * parameters),
        "parameters": parameters,
    }
    assert (told["d"], told["n"], told["model"], told["collapsed"]) == (d, len(x), "gaussian", [[]])
    assert told["ms"] > 0


def test_a_flat_cloud_has_a_gaussian_and_no_criteria() -> None:
    x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0])
    told = ask(x, "gaussian")
    assert told["collapsed"] == [[0]]
    assert told["criteria"] is None


@pytest.mark.parametrize(("d", "axes"), [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 1), (3, 2), (3, -1)])
def test_the_axes_are_those_of_the_library(d: int, axes: int) -> None:
    x = cloud(d)
    told = ask(x, "pca", axes=axes)
    found = pca.fit(x, d - 1 if axes < 0 else axes)
    assert told["axes"]["directions"] == found.directions.tolist()
    assert told["axes"]["mean"] == found.mean.tolist()
    assert told["axes"]["noise"] == pytest.approx(math.sqrt(found.noise_variance))
    np.testing.assert_allclose(np.square(told["axes"]["deviations"]), found.variances.numpy(), rtol=1e-12)
    assert sum(told["axes"]["explained"]) == pytest.approx(1)
    assert told["log_likelihood"] == [pytest.approx(float(pca.log_prob(x, found).mean()), rel=1e-12)]
    np.testing.assert_allclose(frames(told)[2][0, 0], found.covariance.numpy(), rtol=1e-12, atol=1e-14)


def test_axes_of_a_flat_cloud_are_told_without_a_density() -> None:
    x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None] * torch.tensor([3.0, 4.0])
    told = ask(x, "pca", axes=1)
    assert told["log_likelihood"] == [None]
    assert told["collapsed"] == [[0]]
    np.testing.assert_allclose(told["axes"]["directions"], [[0.6, 0.8]], rtol=1e-12)
    assert np.linalg.eigvalsh(frames(told)[2][0, 0])[0] > 0  # what is drawn has a width


@pytest.mark.parametrize("how", ["random", "plus", "kmeans", "same", "bad"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_k_means_is_that_of_the_library_half_step_by_half_step(d: int, how: str) -> None:
    x = cloud(d)
    told = ask(x, "kmeans", k=3, how=how, seed=5)
    start = starts.means(x, 3, how, noise=5)
    run = list(kmeans.steps(x, start))
    weights, means, covariances = frames(told)
    assert told["phases"] == ["start", *(step.phase for step in run)]
    assert len(means) == 1 + 2 * run[-1].iteration
    np.testing.assert_array_equal(means, torch.stack([start, *(step.means for step in run)]).numpy())
    np.testing.assert_allclose(weights, 1 / 3)
    assert told["inertia"] == [run[0].inertia, *(step.inertia for step in run)]
    assert told["counts"] == [[], *(step.counts.tolist() for step in run)]
    assert told["empty"] == [[], *(list(step.empty) for step in run)]
    assert told["converged"] is run[-1].converged
    variance = np.array(told["inertia"]) / (len(x) * d)  # of the mixture that K-means is
    np.testing.assert_allclose(covariances, np.broadcast_to(variance[:, None, None, None] * np.eye(d), covariances.shape))


def even_bound(x: Tensor, start: gmm.Start) -> float:
    """F with equal shares of all components in every point, from torch's own Gaussian."""
    full = torch.distributions.MultivariateNormal(start.means, gmm.full_covariances(start))
    joint = start.weights.log() + full.log_prob(x[:, None])  # (N, K)
    return float((joint - math.log(1 / len(start.means))).mean(1).mean())


def assert_is_run(x: Tensor, told: dict[str, Any], start: gmm.Start, run: list[gmm.Step]) -> None:
    """A told mixture is the start, then a frame each half step."""
    weights, means, covariances = frames(told)
    assert told["phases"] == ["start", *(step.phase for step in run)]
    assert told["phases"][1::2] == ["E"] * run[-1].iteration
    assert told["phases"][2::2] == ["M"] * run[-1].iteration
    np.testing.assert_array_equal(weights, torch.stack([start.weights, *(step.weights for step in run)]).numpy())
    np.testing.assert_array_equal(means, torch.stack([start.means, *(step.means for step in run)]).numpy())
    for seen, params in zip(covariances, [start, *run], strict=True):
        np.testing.assert_array_equal(seen, gmm.full_covariances(params).numpy())
    assert told["log_likelihood"] == [run[0].log_likelihood, *(step.log_likelihood for step in run)]
    assert told["free_energy"][0] == pytest.approx(even_bound(x, start), rel=1e-9)
    assert told["free_energy"][0] <= told["log_likelihood"][0] + 1e-12  # a bound: the first E-step closes its gap
    assert told["free_energy"][1:] == [step.free_energy for step in run]
    assert told["counts"] == [[], *(step.counts.tolist() for step in run)]
    assert told["collapsed"] == [[], *(list(step.collapsed) for step in run)]
    assert told["empty"] == [[], *(list(step.empty) for step in run)]
    assert told["converged"] is run[-1].converged


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_mixture_is_that_of_the_library_half_step_by_half_step(d: int, covariance: str) -> None:
    x = cloud(d)
    how = {1: "random", 2: "kmeans", 3: "bad"}[d]
    told = ask(x, "gmm", k=3, how=how, seed=5, covariance=covariance, steps=12, tol=1e-4)
    start = starts.start(x, 3, how, covariance=covariance, noise=5)
    reg = regularised(x, 1e-6)
    assert told["reg"] == pytest.approx(reg)
    run = list(gmm.steps(x, start, covariance=covariance, tol=1e-4, max_steps=12, reg=told["reg"]))
    assert_is_run(x, told, start, run)
    if not run[-1].collapsed:
        found = gmm.criteria(run[-1])
        assert told["criteria"] == {"bic": found.bic, "aic": found.aic, "parameters": found.parameters}


def test_a_mixtures_likelihood_is_the_mean_of_the_densities_logarithms() -> None:
    x = cloud(2)
    told = ask(x, "gmm", k=3, how="plus", seed=1, steps=5)
    weights, means, covariances = frames(told)
    params = gmm.Start(*(torch.from_numpy(part[-1].copy()) for part in (weights, means, covariances)))
    assert told["log_likelihood"][-1] == pytest.approx(float(gmm.log_prob(x, params).mean()), rel=1e-12)


@pytest.mark.parametrize(
    ("options", "fixed", "assignment"),
    [
        ({"weights": "equal"}, ["weights"], "soft"),
        ({"assignment": "hard"}, [], "hard"),
        ({"sigma": 0.7}, ["covariances"], "soft"),
        ({"sigma": 0.7, "weights": "equal", "assignment": "hard"}, ["weights", "covariances"], "hard"),
    ],
)
def test_what_is_held_or_hard_is_so(options: dict[str, Any], fixed: list[str], assignment: str) -> None:
    x = cloud(2)
    told = ask(x, "gmm", k=4, how="plus", seed=3, steps=8, **options)
    start = starts.start(x, 4, "plus", noise=3)
    start = starts.held(start, equal="weights" in fixed, deviation=options.get("sigma", 0.0))
    run = list(
        gmm.steps(
            x,
            start,
            covariance="tied_spherical" if "sigma" in options else "full",
            max_steps=8,
            reg=told["reg"],
            assignment=assignment,
            fixed=fixed,
        )
    )
    assert_is_run(x, told, start, run)
    weights, _, covariances = frames(told)
    if "weights" in fixed:
        np.testing.assert_allclose(weights, 0.25)
    if "sigma" in options:
        np.testing.assert_allclose(covariances, np.broadcast_to(0.49 * np.eye(2), covariances.shape))
    if told["criteria"]:
        assert told["criteria"]["parameters"] == gmm.parameters(4, 2, start.covariance, fixed=fixed)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_three_switches_make_the_mixture_k_means(d: int) -> None:
    x = cloud(d)
    options = {"k": 3, "how": "random", "seed": 11}
    switches = {"covariance": "tied_spherical", "assignment": "hard", "weights": "equal", "reg": 0, "tol": 0}
    mixture, clusters = ask(x, "gmm", **options, **switches), ask(x, "kmeans", **options)
    count = min(len(mixture["phases"]), len(clusters["phases"]))
    assert count >= 5  # the start, and two iterations at least
    np.testing.assert_allclose(frames(mixture)[1][:count], frames(clusters)[1][:count], rtol=0, atol=1e-9)
    assert mixture["counts"][1:count] == clusters["counts"][1:count]
    np.testing.assert_allclose(frames(mixture)[1][-1], frames(clusters)[1][-1], rtol=0, atol=1e-9)


def test_own_means_and_shapes_begin_the_run() -> None:
    x = cloud(2)
    means, shapes = "-1.5,0.5,0,0,1.5,-0.5", "1,0.5,2,1,0,1,2,-0.5,1"
    told = ask(x, "gmm", k=3, means=means, shapes=shapes, steps=5)
    _, seen, covariances = frames(told)
    assert seen[0].tolist() == [[-1.5, 0.5], [0, 0], [1.5, -0.5]]
    assert covariances[0].tolist() == [[[1, 0.5], [0.5, 2]], [[1, 0], [0, 1]], [[2, -0.5], [-0.5, 1]]]
    start = starts.own(x, seen[0].copy(), "full", covariances[0].copy())
    assert_is_run(x, told, start, list(gmm.steps(x, start, max_steps=5, reg=told["reg"])))
    assert frames(ask(x, "kmeans", k=3, means=means))[1][0].tolist() == seen[0].tolist()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_own_means_without_shapes_get_round_ones(d: int) -> None:
    x = cloud(d)
    put = x[:2]
    told = ask(x, "gmm", k=2, means=",".join(map(repr, put.flatten().tolist())), covariance="diagonal", steps=3)
    start = starts.own(x, put, "diagonal")
    assert_is_run(x, told, start, list(gmm.steps(x, start, covariance="diagonal", max_steps=3, reg=told["reg"])))


def test_a_collapsed_fit_is_named_and_gets_no_criteria() -> None:
    x = torch.cat([cloud(2, 30), torch.full((5, 2), 40.0)])
    told = ask(x, "gmm", k=2, how="kmeans")
    assert told["collapsed"][-1]
    assert told["criteria"] is None
    assert told["refused"] == f"Component {told['collapsed'][-1][0] + 1} collapsed: " + (
        "such a likelihood has no bound, so BIC and AIC say nothing."
    )


def test_a_cluster_without_points_is_named() -> None:
    x = cloud(2)
    for model in ("kmeans", "gmm"):
        told = ask(x, model, k=3, means="0,0,1,0,900,900", assignment="hard")
        assert told["empty"][-1] == [2]
        assert told["counts"][-1][2] == 0


@pytest.mark.parametrize("d", [1, 2])
def test_the_kernel_density_is_that_of_the_library_on_the_grid(d: int) -> None:
    x = cloud(d)
    told = ask(x, "kde", **WINDOW[d])
    best = kde.best_bandwidth(x, noise=0)
    assert told["bandwidth"] == best.h
    assert told["log_likelihood"] == [best.log_likelihood]
    assert told["left_out"] == best.points == len(x)
    assert told["tried"] == [list(pair) for pair in best.tried]
    assert not told["sampled"]
    grid = told["grid"]
    assert (grid["width"], grid["height"]) == ((400, 1) if d == 1 else (96, 96))
    axes = [torch.linspace(a, b, grid["width"], dtype=torch.float64) for a, b in zip(grid["low"], grid["high"], strict=True)]
    places = torch.cartesian_prod(*reversed(axes)).reshape(-1, d).flip(1)  # rows are the second coordinate
    np.testing.assert_allclose(floats(grid["values"]), kde.log_prob(places, x, best.h).exp().numpy(), rtol=1e-9, atol=1e-300)


def test_a_given_bandwidth_is_kept_and_scored_by_leaving_one_out() -> None:
    x = cloud(2, 1_500)  # several slices
    told = ask(x, "kde", bandwidth=0.4, **WINDOW[2])
    assert told["bandwidth"] == 0.4
    assert told["log_likelihood"] == [pytest.approx(kde.leave_one_out(x, 0.4), rel=1e-12)]
    assert (told["left_out"], told["tried"]) == (1_500, [])


def test_one_point_has_a_density_and_nobody_else_to_promise_it() -> None:
    told = ask(torch.zeros(1, 2, dtype=torch.float64), "kde", bandwidth=0.5, **WINDOW[2])
    assert told["log_likelihood"] == [None]
    assert floats(told["grid"]["values"]).max() == pytest.approx(1 / (2 * math.pi * 0.25), rel=0.05)


def test_of_a_large_cloud_a_sample_makes_the_kernel_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "MANY", 300)
    x = cloud(1, 2_000)
    told = ask(x, "kde", **WINDOW[1])
    assert told["sampled"]
    assert told["left_out"] == 300
    assert ask(x, "kde", **WINDOW[1])["grid"] == told["grid"]


# --- Refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("d", "options", "said"),
    [
        (2, {"model": "pca", "axes": 3}, "PCA with 3 axes does not fit points of 2 coordinates: choose at most 2."),
        (3, {"model": "kde"}, "drawn for 1 or 2 coordinates, and these points have 3"),
        (2, {"model": "kde", "low": "0,0", "high": "1"}, "low and high must be 2 numbers each"),
        (1, {"model": "kde", "low": "1", "high": "1"}, "low below high"),
        (2, {"model": "gmm", "k": 3, "means": "1,2,3"}, "3 numbers cannot be 3 means: with 2 coordinates they need 6."),
        (1, {"model": "kmeans", "k": 1, "means": "1,2"}, "2 numbers cannot be 1 mean: with 1 coordinate it needs 1."),
        (2, {"model": "gmm", "k": 1, "means": "1,2", "shapes": "1"}, "1 number cannot be 1 covariance"),
        (2, {"model": "gmm", "k": 1, "means": "1,two"}, "is not a list of numbers with commas"),
        (2, {"model": "kmeans", "k": 1, "means": "1,nan"}, "not finite"),
        (2, {"model": "kmeans", "k": 1, "means": "1,1e200"}, "beyond 1e+100"),
        (2, {"model": "gmm", "k": 1, "means": "1,1e90"}, "must lie within a factor of 1e+60"),
        (2, {"model": "gmm", "k": 1, "means": "1,1", "shapes": "1e-200,0,1e-200"}, "The start does not suit points"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(d: int, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCall) as refused:
        fits.finished(fits.fit(cloud(d), FitQuery(d=d, **options)))
    assert said in refused.value.sentence


@pytest.mark.parametrize("model", ["kmeans", "gmm"])
@pytest.mark.parametrize("options", [{}, {"means": "1,2,3,4,5,6,7,8"}])
def test_fewer_points_than_components_are_refused(model: str, options: dict[str, Any]) -> None:
    with pytest.raises(BadPoints, match="3 points are too few"):
        ask(cloud(2)[:3], model, k=4, **options)


def test_a_shape_that_is_none_is_refused() -> None:
    with pytest.raises(BadPoints, match="not positive definite"):
        ask(cloud(2), "gmm", k=1, means="0,0", shapes="1,2,1")


# --- Degenerate clouds -------------------------------------------------------------------------------------------------


def degenerate(d: int) -> dict[str, Tensor]:
    base = cloud(d, 24)
    two = base[:2]
    line = torch.linspace(-1, 1, 15, dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, -3.0])[:d]
    flat = base.clone()
    flat[:, -1] = 2.0
    units = torch.tensor([1e-8, 1e8, 1.0], dtype=torch.float64)[:d]
    far_units = torch.tensor([1e-100, 1e100, 1.0], dtype=torch.float64)[:d]
    return {
        "all equal": torch.full((12, d), 0.1, dtype=torch.float64),
        "all equal, far out": torch.full((12, d), 1e6 + 0.1, dtype=torch.float64),
        "all zero": torch.zeros(12, d, dtype=torch.float64),
        "one": base[:1],
        "two": two,
        "as many as components": base[:3],
        "two places": two.repeat(6, 1),
        "a line": line,
        "one coordinate is constant": flat,
        "one point repeated": torch.cat([base[:5], base[:1].repeat(15, 1)]),
        "far out": base + 1e6,
        "farther out": base + 1e12,
        "small": base * 1e-8,
        "large": base * 1e8,
        "tiny": base * 1e-150,
        "smaller than numbers": base * 1e-320,
        "huge": base.clamp(-1, 1) * 1e100,
        "unlike units": base * units,
        "units beyond numbers": base.clamp(-1, 1) * far_units,
        "an outlier": torch.cat([base, torch.full((1, d), 1e100, dtype=torch.float64)]),
    }


def assert_can_be_drawn(told: dict[str, Any]) -> None:
    if "grid" in told:
        assert np.isfinite(floats(told["grid"]["values"])).all()
        return
    weights, means, covariances = frames(told)
    for part in (weights, means, covariances):
        assert np.isfinite(part).all()
    assert (np.linalg.eigvalsh(covariances / np.abs(covariances).max((2, 3), keepdims=True)) > -1e-12).all()
    assert len(told["phases"]) == len(told.get("log_likelihood", told.get("inertia")))


SENTENCES = (
    "points are too few",
    "point is too few",
    "points are equal",
    "must lie within a factor",
    "spreads by",
    "is too small for a cloud",
    "holds a number that is not finite, or beyond",
)


def told_or_refused(x: Tensor, **options: Any) -> bool:
    """Whether there is an answer, which must be drawable; if not, one known sentence says why."""
    try:
        told = fits.finished(fits.fit(x, FitQuery(d=x.shape[1], **options)))
    except (BadCall, BadPoints) as refused:
        assert any(part in str(refused) for part in SENTENCES), refused
        assert str(refused).endswith(".")
        return False
    json.dumps(told, allow_nan=False)
    assert_can_be_drawn(told)
    return True


@pytest.mark.parametrize("name", degenerate(2))
@pytest.mark.parametrize("d", [1, 2, 3])
def test_every_model_says_something_of_a_degenerate_cloud(d: int, name: str) -> None:
    x = degenerate(d)[name]
    edge = float(x.abs().max()) + 1
    window = {"low": ",".join([repr(-edge)] * d), "high": ",".join([repr(edge)] * d)}
    assert told_or_refused(x, model="gaussian")
    for axes in range(-1, d + 1):
        assert told_or_refused(x, model="pca", axes=axes)
    if d < 3:
        for bandwidth in (0, 0.5, 1e-30, 1e-300, 1e50):
            told_or_refused(x, model="kde", bandwidth=bandwidth, **window)
    answers = 0
    for k, how in [(1, "plus"), (3, "random"), (3, "same"), (3, "bad"), (10, "kmeans")]:
        answers += told_or_refused(x, model="kmeans", k=k, how=how, steps=10)
    for covariance in COVARIANCES:
        for k, how, more in [
            (1, "plus", {}),
            (3, "plus", {}),
            (3, "kmeans", {"reg": 0}),
            (2, "same", {"assignment": "hard"}),
            (2, "bad", {"weights": "equal", "reg": 1}),
        ]:
            answers += told_or_refused(x, model="gmm", k=k, how=how, covariance=covariance, steps=5, **more)
    for sigma, assignment in [(0.5, "soft"), (1e50, "soft"), (1e-50, "hard")]:
        answers += told_or_refused(x, model="gmm", k=2, how="plus", sigma=sigma, assignment=assignment, steps=5)
    assert answers >= 5


COORDINATE = st.sampled_from([0.0, 1.0, -1.0, 1e-8, 1e8, 1e6 + 1e-3, 3.7])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 3).flatmap(lambda d: st.lists(st.tuples(*[COORDINATE] * d), min_size=1, max_size=9)),
    st.sampled_from(["gaussian", "pca", "kmeans", "gmm"]),
    st.integers(1, 5),
    st.sampled_from(["random", "plus", "kmeans", "same", "bad"]),
    st.sampled_from(COVARIANCES),
    st.sampled_from(["soft", "hard"]),
    st.sampled_from([0.0, 1e-6, 1.0]),
)
def test_any_small_cloud_gets_numbers_or_a_sentence(rows, model, k, how, covariance, assignment, reg) -> None:
    x = torch.tensor(rows, dtype=torch.float64)
    told_or_refused(x, model=model, k=k, how=how, covariance=covariance, assignment=assignment, reg=reg, steps=6)


def test_units_that_are_too_unlike_are_named() -> None:
    with pytest.raises(BadCall, match=r"One coordinate spreads by .*, another by .*, and the limit is a factor of 1e\+60"):
        ask(degenerate(2)["units beyond numbers"], "gmm", k=2)


def test_a_density_beyond_numbers_is_refused() -> None:
    with pytest.raises(BadCall, match="A bandwidth of 1e-200 makes a density higher than the largest number"):
        ask(torch.full((3, 2), -6.0, dtype=torch.float64), "kde", bandwidth=1e-200, low="-6,-6", high="0,0")


def test_an_answer_that_json_cannot_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "log_prob", lambda x, found: torch.full((len(x),), math.nan))
    with pytest.raises(BadCall, match="float64"):
        ask(cloud(2), "gaussian")


# --- Slices ------------------------------------------------------------------------------------------------------------


def turns(answer: fits.Answer) -> int:
    """How often a generator gives the others their turn."""
    count = 0
    for _ in answer:
        count += 1
    return count


@pytest.mark.parametrize("how", ["random", "kmeans"])
@pytest.mark.parametrize("model", ["kmeans", "gmm"])
def test_a_slow_run_gives_a_turn_after_every_step(monkeypatch: pytest.MonkeyPatch, model: str, how: str) -> None:
    x = cloud(2)
    asked = FitQuery(model=model, d=2, k=3, how=how, seed=2, steps=20)
    steps = len(fits.finished(fits.fit(x, asked))["phases"]) - 1
    start = 0
    if how == "kmeans":
        start = len(list(kmeans.steps(x, starts.means(x, 3, "plus", noise=2))))
    clock = iter(range(10**6))
    monkeypatch.setattr(cloud_starts.time, "perf_counter", lambda: float(next(clock)))  # every look at it costs a second
    assert turns(fits.fit(x, asked)) == steps + start + 1  # and one between the start and the run
    monkeypatch.setattr(cloud_starts.time, "perf_counter", lambda: 0.0)
    assert turns(fits.fit(x, asked)) == 1


def test_a_run_is_the_same_in_slices_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(2)
    at_once = ask(x, "gmm", k=3, how="kmeans", seed=3)
    monkeypatch.setattr(cloud_starts, "SLICE", -1.0)
    sliced = ask(x, "gmm", k=3, how="kmeans", seed=3)
    assert at_once | {"ms": 0} == sliced | {"ms": 0}


def test_drawing_a_kernel_density_gives_turns() -> None:
    x = cloud(2, 20_000)
    asked = FitQuery(model="kde", d=2, bandwidth=0.3, **WINDOW[2])
    assert turns(fits.fit(x, asked)) >= len(x) / fits.PIECE
    asked = FitQuery(model="kde", d=1, bandwidth=0.3, **WINDOW[1])
    assert turns(fits.fit(cloud(1, 3_000), asked)) >= 3_000**2 / fits.PAIRS


# --- Choosing K --------------------------------------------------------------------------------------------------------


def chosen(x: Tensor, **options: Any) -> dict[str, Any]:
    told = fits.finished(fits.choose(x, ChooseQuery(d=x.shape[1], **options)))
    return json.loads(json.dumps(told, allow_nan=False))


def best_of(x: Tensor, k: int, seed: int, **options: Any) -> gmm.Step:
    """The likeliest of the runs that did not collapse, directly."""
    hows = ["kmeans", "plus", "plus"] if k > 1 else ["kmeans"]
    reg = regularised(x, 1e-6)
    runs = []
    for again, how in enumerate(hows):
        start = starts.start(x, k, how, noise=Noise(seed).at(again))
        start = starts.held(start, equal="weights" in options.get("fixed", ()))
        runs.append(gmm.fit(x, start, tol=1e-5, max_steps=100, reg=reg, **options))
    sound = [run for run in runs if not run.collapsed]
    return max(sound or runs, key=lambda run: run.log_likelihood)


@pytest.mark.parametrize("weights", ["learned", "equal"])
def test_each_k_gets_its_criteria_and_its_held_out_likelihood(weights: str) -> None:
    x = cloud(2, 150)
    told = chosen(x, largest=3, seed=3, weights=weights)
    order = Noise(3).permutation(len(x), stream="hold out")
    test, train = x[order[:30]], x[order[30:]]
    fixed = ["weights"] if weights == "equal" else []
    assert [row["k"] for row in told["rows"]] == [1, 2, 3]
    assert (told["points"], told["held"], told["sampled"], told["restarts"]) == (150, 30, False, 3)
    for row in told["rows"]:
        whole, within = best_of(x, row["k"], 3, fixed=fixed), best_of(train, row["k"], 3, fixed=fixed)
        assert row["log_likelihood"] == pytest.approx(whole.log_likelihood, rel=1e-12)
        parameters = 6 * row["k"] - (row["k"] if fixed else 1)
        assert row["parameters"] == parameters == gmm.parameters(row["k"], 2, "full", fixed=fixed)
        assert row["bic"] == pytest.approx(-2 * 150 * whole.log_likelihood + parameters * math.log(150))
        assert row["aic"] == pytest.approx(-2 * 150 * whole.log_likelihood + 2 * parameters)
        assert row["held_out"] == pytest.approx(float(gmm.log_prob(test, within).mean()))


def test_the_clusters_that_are_there_are_chosen() -> None:
    rows = chosen(clouds.make("three", 120, noise=1).points, largest=4, seed=1)["rows"]
    assert min(rows, key=lambda row: row["bic"] if row["bic"] is not None else math.inf)["k"] == 3
    assert rows[0]["held_out"] < rows[2]["held_out"]


def test_choosing_is_the_same_for_the_same_seed_only() -> None:
    x = cloud(1, 40)
    assert chosen(x, largest=2, seed=4) == chosen(x, largest=2, seed=4)
    assert chosen(x, largest=2, seed=4) != chosen(x, largest=2, seed=5)


def test_many_points_are_sampled_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "ENOUGH", 100)
    x = cloud(1, 500)
    told = chosen(x, largest=2, seed=6)
    assert (told["points"], told["held"], told["sampled"]) == (100, 20, True)
    sample = x[Noise(6).permutation(500, stream="choose")[:100]]
    assert told["rows"][0]["log_likelihood"] == pytest.approx(
        float(gaussian.log_prob(sample, gaussian.fit(sample)).mean()), rel=1e-5
    )


def test_a_k_that_collapses_is_refused_its_criteria() -> None:
    x = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]], dtype=torch.float64).repeat(5, 1)
    rows = chosen(x, largest=5)["rows"]
    assert rows[0]["bic"] is not None
    assert rows[3]["bic"] is rows[3]["held_out"] is None
    assert "collapsed" in rows[3]["refused"]


def test_no_number_of_a_row_is_missing_without_a_sentence() -> None:
    rows = [row for seed in (0, 1) for row in chosen(cloud(2, 14), largest=8, seed=seed)["rows"]]
    for row in rows:
        assert (None in (row["bic"], row["held_out"])) == ("refused" in row)
    assert {"refused" in row for row in rows} == {True, False}


def test_a_likelier_run_that_collapsed_is_passed_over() -> None:
    x = cloud(2, 14)
    reg = regularised(x, 1e-6)
    begins = [starts.start(x, 2, how, noise=Noise(0).at(i)) for i, how in enumerate(("kmeans", "plus", "plus"))]
    runs = [gmm.fit(x, begin, tol=1e-5, reg=reg) for begin in begins]
    likeliest = max(runs, key=lambda run: run.log_likelihood)
    sound = [run.log_likelihood for run in runs if not run.collapsed]
    assert likeliest.collapsed  # or this cloud shows nothing
    assert sound
    row = chosen(x, largest=2, seed=0)["rows"][1]
    assert row["log_likelihood"] == pytest.approx(max(sound), rel=1e-12)
    assert row["bic"] is not None


def test_where_only_the_points_left_over_collapse_the_criteria_stay_and_a_sentence_says_why_there_is_no_more() -> None:
    row = chosen(cloud(2, 14), largest=3, seed=0)["rows"][2]
    assert row["bic"] is not None
    assert row["held_out"] is None
    assert "collapsed" in row["refused"]


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_points_to_hold_some_out_are_refused(n: int) -> None:
    with pytest.raises(
        BadCall, match=f"^{n} {'point is' if n == 1 else 'points are'} too few to hold a fifth out: put down at least 5.$"
    ):
        chosen(cloud(2)[:n])


def test_five_points_suffice_for_as_many_components_as_are_left() -> None:
    told = chosen(cloud(2)[:5], largest=8)
    assert [row["k"] for row in told["rows"]] == [1, 2, 3, 4]
    assert told["held"] == 1


@pytest.mark.parametrize("name", [name for name, x in degenerate(2).items() if len(x) >= 5])
def test_choosing_says_something_of_a_degenerate_cloud(name: str) -> None:
    x = degenerate(2)[name]
    if name == "units beyond numbers":
        with pytest.raises(BadCall, match="similar size"):
            chosen(x, largest=2)
        return
    assert len(chosen(x, largest=2, covariance="diagonal")["rows"]) == 2


# --- Draws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_draws_are_those_of_the_library_and_few_begin_many(d: int) -> None:
    weights, means = [0.2, 0.8], [float(i) for i in range(2 * d)]
    covariances = (torch.eye(d).repeat(2, 1, 1) * torch.tensor([1.0, 4.0])[:, None, None]).flatten().tolist()
    body = {"d": d, "weights": weights, "means": means, "covariances": covariances, "seed": 9}
    many, few = fits.draws(DrawsBody(**body, n=50)), fits.draws(DrawsBody(**body, n=8))
    points = floats(many["points"]).reshape(50, d)
    expected, components = gmm.sample(DrawsBody(**body).mixture(), 50, noise=9)
    np.testing.assert_array_equal(points, expected.numpy())
    assert many["components"] == components.tolist()
    np.testing.assert_array_equal(floats(few["points"]).reshape(8, d), points[:8])
    assert few["components"] == many["components"][:8]
    assert set(many["components"]) == {0, 1}


def test_draws_have_the_mixtures_moments() -> None:
    body = DrawsBody(d=2, weights=[1, 3], means=[-4, 0, 4, 0], covariances=[1, 0.5, 0.5, 1, 0.1, 0, 0, 0.1], n=2_000, seed=1)
    told = fits.draws(body)
    points, of = floats(told["points"]).reshape(-1, 2), np.array(told["components"])
    assert np.mean(of == 1) == pytest.approx(0.75, abs=0.04)
    np.testing.assert_allclose(points[of == 0].mean(0), [-4, 0], atol=0.2)
    np.testing.assert_allclose(np.cov(points[of == 0].T), [[1, 0.5], [0.5, 1]], atol=0.2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [0.0, 0.0]}, "A weight is below 0, or a covariance"),
        ({"weights": [-1.0, 2.0]}, "A weight is below 0"),
        ({"covariances": [1.0, -1.0]}, "not positive definite"),
        ({"means": [1.0]}, "For weights of 2 and d = 1, means must have 2 numbers and covariances 2, not 1 and 2."),
        ({"means": [1e300, 0.0]}, "beyond 1e+100"),
        ({"weights": [1e308, 1e308]}, "beyond 1e+100"),
    ],
)
def test_what_is_no_mixture_is_refused(change: dict[str, Any], said: str) -> None:
    body = {"d": 1, "weights": [0.5, 0.5], "means": [0.0, 1.0], "covariances": [1.0, 1.0]} | change
    with pytest.raises(BadCall) as refused:
        DrawsBody(**body).mixture()
    assert said in refused.value.sentence


def test_kernel_draws_step_from_points_of_the_cloud() -> None:
    x = cloud(2)
    many, few = fits.kernel_draws(x, 0.3, 400, 7), fits.kernel_draws(x, 0.3, 5, 7)
    points, centres = (floats(many[key]).reshape(400, 2) for key in ("points", "centres"))
    np.testing.assert_array_equal(centres, x.numpy()[many["components"]])
    assert np.std(points - centres) == pytest.approx(0.3, rel=0.1)
    np.testing.assert_array_equal(floats(few["points"]).reshape(5, 2), points[:5])
    assert few["components"] == many["components"][:5]


# --- Points from a body ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 3])
def test_points_come_as_they_were_sent(d: int) -> None:
    x = cloud(d, 40)
    assert torch.equal(fits.points_of(x.numpy().astype("<f8").tobytes(), d), x)


def test_as_many_points_as_the_limit_pass() -> None:
    body = np.zeros((wire.MAX_POINTS, 3)).tobytes()
    assert fits.points_of(body, 3).shape == (wire.MAX_POINTS, 3)
    with pytest.raises(BadCall, match="200,001 points are more than the limit of 200,000") as refused:
        fits.points_of(body + bytes(24), 3)
    assert refused.value.status == 413
