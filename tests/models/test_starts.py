"""Starts: k-means++ against its definition fed the same uniform numbers; what each start promises; that EM takes all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models import components, gaussian, gmm, kmeans, points, starts
from models.gmm import COVARIANCES
from models.noise import Noise
from models.points import BadPoints
from models.starts import HOWS

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int = 2, seed: int = 0) -> Tensor:
    centres = 4 * Noise(seed).normal(4, (d,), stream="centres")
    return centres[torch.arange(n) % 4] + Noise(seed).normal(n, (d,), stream="cloud")


def rows_of(found: Tensor, x: Tensor) -> list[int]:
    """The row of `x` that each mean is: it must be one, to the bit."""
    rows = [(x == one).all(1).nonzero()[:, 0].tolist() for one in found]
    assert all(rows)
    return [each[0] for each in rows]


# ------------------------------------------------------------------------------------------------ means


def slow_plus_plus(x: np.ndarray, uniforms: np.ndarray, w: np.ndarray) -> list[int]:
    """Arthur and Vassilvitskii (2007), section 2.2, by all distances to all chosen points."""
    chosen: list[int] = []
    for u in uniforms:
        squared = np.array([min((((p - x[c]) ** 2).sum() for c in chosen), default=1.0) for p in x])
        cumulative = np.cumsum(w * squared)
        chosen.append(int(np.flatnonzero(cumulative > u * cumulative[-1])[0]))
    return chosen


@given(n=st.integers(6, 40), d=st.integers(1, 3), k=st.integers(1, 6), seed=SEEDS, weighted=st.booleans())
@settings(max_examples=30)
def test_plus_plus_is_its_definition_fed_the_same_uniform_numbers(n: int, d: int, k: int, seed: int, weighted: bool) -> None:
    x = cloud(n, d, seed)
    w = Noise(seed).uniform(n, stream="w") if weighted else torch.ones(n, dtype=torch.float64)
    found = starts.plus_plus(x, k, noise=seed, weights=w if weighted else None)
    uniforms = Noise(seed).uniform(k, stream="plus").numpy()
    assert rows_of(found, x) == slow_plus_plus(x.numpy(), uniforms, w.numpy())
    assert torch.equal(starts.means(x, k, "plus", noise=seed, weights=w if weighted else None), found)


def test_the_second_mean_is_drawn_in_proportion_to_its_squared_distance_times_its_weight() -> None:
    x, w = torch.tensor([[0.0], [1.0], [2.0], [4.0]], dtype=torch.float64), torch.tensor([1.0, 3.0, 0.0, 2.0])
    counts = torch.zeros(4, 4)
    for seed in range(1_000):
        first, second = rows_of(starts.plus_plus(x, 2, noise=seed, weights=w), x)
        counts[first, second] += 1
    share = (w / w.sum()).double()
    expected = share[:, None] * w * (x - x.T).square()
    expected = share[:, None] * expected / expected.sum(1, keepdim=True)
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert scipy.stats.chisquare(counts[possible], (1_000 * expected[possible])).pvalue > 0.001


@given(seed=SEEDS, k=st.integers(1, 30), weighted=st.booleans())
def test_random_means_are_different_points(seed: int, k: int, weighted: bool) -> None:
    x = cloud(30, 2, seed)
    w = Noise(seed).uniform(30, stream="w") if weighted else None
    assert len(set(rows_of(starts.means(x, k, "random", noise=seed, weights=w), x))) == k


def test_random_means_are_drawn_in_proportion_to_their_weights() -> None:
    x, w = torch.arange(4.0)[:, None].double(), torch.tensor([1.0, 0.0, 2.0, 5.0]).double()
    drawn = torch.tensor([starts.means(x, 2, "random", noise=seed, weights=w).flatten().tolist() for seed in range(1_000)])
    counts = torch.bincount(drawn[:, 0].long(), minlength=4)
    assert counts[1] == 0
    assert scipy.stats.chisquare(counts[[0, 2, 3]], 125 * w[[0, 2, 3]]).pvalue > 0.001
    after = torch.bincount(drawn[drawn[:, 0] == 3][:, 1].long(), minlength=4)  # once 3 is gone: 1 to 2
    assert scipy.stats.chisquare(after[[0, 2]], after.sum() * np.array([1, 2]) / 3).pvalue > 0.001


@pytest.mark.parametrize("how", ["random", "plus", "kmeans", "bad"])
def test_points_of_weight_0_are_not_chosen_while_there_are_others(how: Any) -> None:
    x, w = cloud(40), torch.ones(40)
    x[30:] += 100
    w[30:] = 0
    for seed in range(10):
        found = starts.means(x, 5, how, noise=seed, weights=w)
        assert float(found.max()) < 50
        assert torch.isfinite(starts.means(x, 35, how, noise=seed, weights=w)).all()  # and here there are none


@pytest.mark.parametrize("how", HOWS)
def test_the_same_seed_gives_the_same_start_and_another_another(how: Any) -> None:
    x = cloud(100)
    one, again, other = (starts.means(x, 3, how, noise=seed) for seed in (5, Noise(5), 6))
    assert torch.equal(one, again)
    assert one.shape == (3, 2)
    assert torch.equal(one, other) == (how == "same") or how == "kmeans"
    assert torch.equal(one, starts.start(x, 3, how, noise=5).means)


def test_a_start_after_k_means_is_where_k_means_stands_still() -> None:
    x = cloud(300)
    found = starts.means(x, 4, "kmeans", noise=3)
    torch.testing.assert_close(kmeans.fit(x, found, max_steps=1).means, found, rtol=1e-12, atol=1e-12)
    ours, plain = (kmeans.fit(x, means, max_steps=1).inertia for means in (found, starts.plus_plus(x, 4, noise=3)))
    assert ours <= plain


@given(seed=SEEDS, k=st.integers(1, 8))
@settings(max_examples=20)
def test_a_bad_start_huddles_around_the_outermost_point(seed: int, k: int) -> None:
    x = cloud(60, 2, seed)
    chosen = rows_of(starts.means(x, k, "bad", noise=seed), x)
    outermost = ((x - x.mean(0)) ** 2).sum(1).argmax()
    order = ((x - x[outermost]) ** 2).sum(1).argsort()
    assert len(set(chosen)) == k
    assert set(chosen) <= set(order[: 3 * k].tolist())


def test_the_same_start_puts_all_means_on_the_mean() -> None:
    x, w = cloud(50), Noise(1).uniform(50, stream="w")
    expected = np.average(x, 0, w)
    for mean in starts.means(x, 4, "same", noise=0, weights=w):
        np.testing.assert_allclose(mean, expected, rtol=1e-12)


@pytest.mark.parametrize("how", HOWS)
def test_fewer_different_points_than_means_still_give_k_means(how: Any) -> None:
    x = torch.tensor([[0.0, 0.0]] * 5 + [[1.0, 1.0]] * 5, dtype=torch.float64)
    found = starts.means(x, 4, how, noise=2)
    assert found.shape == (4, 2)
    assert torch.isfinite(found).all()
    if how in ("plus", "kmeans"):
        assert {tuple(one) for one in found.tolist()} == {(0.0, 0.0), (1.0, 1.0)}


def test_results_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(500, 3)
    whole = {how: starts.start(x, 4, how, noise=1) for how in HOWS}  # type: ignore[arg-type]
    monkeypatch.setattr(points, "CHUNK", 64)
    monkeypatch.setattr(components, "CHUNK", 64)
    for how, one in whole.items():
        other = starts.start(x, 4, how, noise=1)  # type: ignore[arg-type]
        torch.testing.assert_close(other.means, one.means, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(other.covariances, one.covariances, rtol=1e-11, atol=1e-11)


# ------------------------------------------------------------------------------------------------ starts for mixtures


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_em_takes_every_start(kind: Any, how: Any, d: int, weighted: bool) -> None:
    x = cloud(120, d)
    w = Noise(1).uniform(120, stream="w") if weighted else None
    begin = starts.start(x, 3, how, covariance=kind, noise=1, weights=w)
    assert begin.covariance == kind
    assert float(begin.weights.sum()) == pytest.approx(1)
    first, *_, last = gmm.steps(x, begin, covariance=kind, max_steps=3, weights=w, tol=0)
    assert math.isfinite(last.log_likelihood)
    assert last.log_likelihood >= first.log_likelihood - 1e-5
    assert torch.isfinite(gmm.log_prob(x, begin)).all()  # the type stands in it


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("what", ["equal", "line", "two places", "one each"])
def test_em_takes_the_starts_of_degenerate_clouds(kind: Any, how: Any, what: str) -> None:
    line = cloud(20, 1)
    clouds = {
        "equal": torch.full((9, 2), 1e6 + 0.1, dtype=torch.float64),
        "line": torch.cat([line, 2 * line], 1),
        "two places": torch.tensor([[0.0, 0.0], [1.0, 1.0]] * 5, dtype=torch.float64),
        "one each": cloud(3, 2),
    }
    for unit in (1e-6, 1.0):
        x = clouds[what] * unit
        begin = starts.start(x, 3, how, covariance=kind, noise=1)
        for step in gmm.steps(x, begin, covariance=kind, max_steps=3, reg=0):
            assert math.isfinite(step.log_likelihood)
            assert torch.isfinite(step.means).all()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 4])
def test_balls_together_have_the_volume_of_the_cloud(d: int, k: int) -> None:
    x = cloud(100, d)
    variance = float(x.var(0, correction=0).mean())
    for kind in COVARIANCES:
        begin = starts.start(x, k, "plus", covariance=kind, noise=1)  # type: ignore[arg-type]
        full = gmm.full_covariances(begin)
        assert float(full.det().sqrt().sum()) == pytest.approx(variance ** (d / 2))
        torch.testing.assert_close(full, full[0, 0, 0] * torch.eye(d, dtype=torch.float64).expand(k, d, d))
        assert begin.weights.tolist() == pytest.approx([1 / k] * k)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_the_same_start_is_where_em_stands_still(kind: Any) -> None:
    x, w = cloud(100), Noise(1).uniform(100, stream="w")
    begin = starts.start(x, 3, "same", covariance=kind, noise=1, weights=w)
    last = gmm.fit(x, begin, covariance=kind, weights=w, reg=0, tol=0, max_steps=20)
    for name in ("weights", "means", "covariances"):
        torch.testing.assert_close(getattr(last, name), getattr(begin, name), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gmm.full_covariances(starts.start(x, 3, "same", noise=1))[2], gaussian.fit(x).covariance)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_start_after_k_means_has_the_shares_and_covariances_of_the_clusters(weighted: bool) -> None:
    x = cloud(400)
    w = Noise(1).uniform(400, stream="w") if weighted else torch.ones(400).double()
    begin = starts.start(x, 4, "kmeans", noise=1, weights=w)
    assigned = kmeans.assign(x, begin.means)
    ridge = 1e-3 * float(points.frame_of(x, w).scale.square().mean()) * np.eye(2)
    for k in range(4):
        own = assigned == k
        assert float(begin.weights[k]) == pytest.approx(float(w[own].sum() / w.sum()), rel=1e-9)
        covariance = np.cov(x[own].numpy().T, aweights=w[own].numpy(), ddof=0) + ridge
        np.testing.assert_allclose(begin.covariances[k], covariance, rtol=1e-9, atol=1e-12)
    alike = starts.start(x, 4, "kmeans", covariance="tied_spherical", noise=1, weights=w)
    inertia = kmeans.fit(x, alike.means, weights=w).inertia
    assert float(alike.covariances) == pytest.approx(inertia / float(w.sum()) / 2 + ridge[0, 0], rel=1e-9)


@pytest.mark.parametrize("kind", COVARIANCES)
def test_matrices_are_brought_to_the_nearest_of_a_type(kind: Any) -> None:
    """Nearest in the sum of squared differences: any small change goes farther away."""
    a = Noise(1).normal(3, (2, 2), stream="a")
    full = a @ a.mT
    brought = starts.from_matrices(full, kind)
    means, halves = torch.zeros(3, 2).double(), torch.ones(3).double() / 3

    def distance(c: Tensor) -> float:
        return float((gmm.full_covariances(gmm.Start(halves, means, c, kind)) - full).square().sum())

    best = distance(brought)
    for step in range(20):
        change = 1e-3 * Noise(step).normal(max(1, brought.numel()), stream="change").reshape(brought.shape)
        assert distance(brought + change) > best


def test_a_start_put_by_hand_has_the_means_and_shapes_that_were_put() -> None:
    x, put = cloud(50), [[0.0, 1.0], [2.0, 3.0]]
    assert starts.own(x, put, "full").means.tolist() == put
    around = starts.around(x, torch.tensor(put).double(), "full")
    torch.testing.assert_close(starts.own(x, put, "full").covariances, around.covariances)
    shapes = torch.tensor([[[2.0, 0.5], [0.5, 1.0]], [[1.0, 0.0], [0.0, 4.0]]]).double()
    for kind in COVARIANCES:
        begin = starts.own(x, put, kind, shapes)  # type: ignore[arg-type]
        assert torch.equal(begin.covariances, starts.from_matrices(shapes, kind))  # type: ignore[arg-type]
        assert begin.weights.tolist() == [0.5, 0.5]
        gmm.fit(x, begin, covariance=kind, max_steps=1)
    with pytest.raises(BadPoints) as caught:
        starts.own(x, [[1.0, 2.0, 3.0]], "full")
    assert str(caught.value) == "Means of shape (1, 3) do not fit points of 2 coordinates."


def test_what_is_held_is_equal_weights_or_one_deviation() -> None:
    begin = starts.start(cloud(80), 3, "kmeans", noise=1)
    assert begin.weights.tolist() != pytest.approx([1 / 3] * 3)
    same = starts.held(begin)
    assert torch.equal(same.weights, begin.weights)
    assert torch.equal(same.covariances, begin.covariances)
    assert starts.held(begin, equal=True).weights.tolist() == pytest.approx([1 / 3] * 3)
    round_ = starts.held(begin, deviation=0.5)
    assert (float(round_.covariances), round_.covariance) == (0.25, "tied_spherical")
    assert torch.equal(round_.means, begin.means)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(BadPoints) as caught:
        starts.means(cloud(5), 3, "best", noise=1)  # type: ignore[arg-type]
    assert str(caught.value) == "how = 'best' is none of random, plus, kmeans, same, bad."
    for how in HOWS:
        with pytest.raises(BadPoints) as caught:
            starts.means(cloud(5), 6, how, noise=1)  # type: ignore[arg-type]
        assert str(caught.value) == "5 points are too few: a start with 6 means needs at least 6."
        with pytest.raises(BadPoints) as caught:
            starts.start(cloud(5), 6, how, noise=1)  # type: ignore[arg-type]
        assert str(caught.value) == "5 points are too few: a start with 6 components needs at least 6."
    with pytest.raises(BadPoints, match=r"^\(3,\) weights do not fit 5 points"):
        starts.means(cloud(5), 2, "plus", noise=1, weights=[1, 1, 1])


@pytest.mark.gpu
@pytest.mark.parametrize("how", HOWS)
def test_cuda_starts_as_the_cpu_does(how: Any) -> None:
    x = cloud(5_000)
    here, there = (starts.start(points_, 4, how, noise=1) for points_ in (x, x.cuda()))
    assert there.means.is_cuda
    torch.testing.assert_close(there.means.cpu(), here.means, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(there.covariances.cpu(), here.covariances, rtol=1e-9, atol=1e-9)
