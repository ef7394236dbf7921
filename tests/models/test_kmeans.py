"""K-means against scikit-learn, against brute force half step by half step, and against the mixture that it is."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import gmm, kmeans, points
from models.noise import Noise
from models.points import BadPoints

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int, seed: int = 0, k: int = 4, far: float = 3.0) -> Tensor:
    """`k` round clusters of deviation 1; `far` is the deviation of their centres."""
    centres = far * Noise(seed).normal(k, (d,), stream="centres")
    return centres[torch.arange(n) % k] + Noise(seed).normal(n, (d,), stream="cloud")


def drawn(x: Tensor, k: int, seed: int = 0) -> Tensor:
    return x[Noise(seed).permutation(len(x), stream="start")[:k]].clone()


def nearest(x: Tensor, means: Tensor) -> np.ndarray:
    """By differences: int `(N,)`."""
    return ((x[:, None] - means) ** 2).sum(2).numpy().argmin(1)


def inertia(x: Tensor, means: Tensor, assigned: np.ndarray, w: Tensor | None = None) -> float:
    return float(np.average(((x - means[assigned]) ** 2).sum(1), weights=w) * (len(x) if w is None else float(w.sum())))


# ------------------------------------------------------------------------------------------------ against others


@given(seed=SEEDS, d=st.integers(1, 5), k=st.integers(1, 6), weighted=st.booleans())
@settings(max_examples=20)
def test_each_half_step_is_that_of_brute_force(seed: int, d: int, k: int, weighted: bool) -> None:
    x = cloud(150, d, seed)
    w = 0.1 + Noise(seed).uniform(150, stream="w") if weighted else None
    means, last = drawn(x, k, seed), math.inf
    each = torch.ones(150, dtype=torch.float64) if w is None else w
    for number, step in enumerate(kmeans.steps(x, means, weights=w)):
        assert (step.phase, step.iteration) == (("assign", "move")[number % 2], number // 2 + 1)
        if step.phase == "assign":
            assigned = nearest(x, means)
        else:
            for j in range(k):
                if (assigned == j).any():
                    means[j] = (each[assigned == j] @ x[assigned == j]) / each[assigned == j].sum()
        torch.testing.assert_close(step.means, means, rtol=1e-11, atol=1e-11)
        counts = np.bincount(assigned, weights=each, minlength=k)
        np.testing.assert_allclose(step.counts, counts, rtol=1e-12)
        assert step.inertia == pytest.approx(inertia(x, means, assigned, w), rel=1e-9)
        assert step.inertia <= last * (1 + 1e-12)
        assert step.empty == tuple(np.flatnonzero(counts == 0).tolist())
        assert step.total == pytest.approx(float(each.sum()))
        last = step.inertia
    assert step.converged
    np.testing.assert_array_equal(nearest(x, means), assigned)  # indeed: assigning again changes nothing
    np.testing.assert_array_equal(kmeans.assign(x, step.means), assigned)


@given(seed=SEEDS, d=st.integers(1, 6), k=st.integers(1, 6), weighted=st.booleans())
@settings(max_examples=15)
def test_it_ends_where_scikit_learn_does(seed: int, d: int, k: int, weighted: bool) -> None:
    x = cloud(200, d, seed)
    w = 0.1 + Noise(seed).uniform(200, stream="w") if weighted else None
    ours = kmeans.fit(x, drawn(x, k, seed), weights=w, max_steps=300)
    theirs = KMeans(k, algorithm="lloyd", n_init=1, init=drawn(x, k, seed).numpy(), tol=0)
    theirs.fit(x.numpy(), sample_weight=None if w is None else w.numpy())
    np.testing.assert_allclose(ours.means, theirs.cluster_centers_, rtol=1e-10, atol=1e-10)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-10)
    np.testing.assert_array_equal(kmeans.assign(x, ours.means), theirs.labels_)


def as_mixture(means: Tensor) -> gmm.Start:
    k = len(means)
    return gmm.Start(
        torch.full((k,), 1 / k, dtype=torch.float64), means, torch.tensor(1.0, dtype=torch.float64), "tied_spherical"
    )


@given(seed=SEEDS, d=st.integers(1, 4), k=st.integers(1, 6), far=st.floats(0, 5), lost=st.booleans(), weighted=st.booleans())
@settings(max_examples=30)
def test_it_is_the_mixture_of_equal_balls_with_hard_assignment(
    seed: int, d: int, k: int, far: float, lost: bool, weighted: bool
) -> None:
    x = cloud(120, d, seed, far=far)
    w = 0.1 + Noise(seed).uniform(120, stream="w") if weighted else None
    means = drawn(x, k, seed)
    if lost:  # one more, to which no point is nearest
        means = torch.cat([means, torch.full((1, d), 100.0)])
    options: dict[str, Any] = {"covariance": "tied_spherical", "assignment": "hard", "fixed": {"weights"}, "reg": 0, "tol": 0}
    mixture = list(gmm.steps(x, as_mixture(means), weights=w, **options))
    balls = list(kmeans.steps(x, means, weights=w, empty="keep"))
    assert len(mixture) == len(balls)
    for one, other in zip(balls, mixture, strict=True):
        assert (one.phase, one.iteration) == ({"E": "assign", "M": "move"}[other.phase], other.iteration)
        torch.testing.assert_close(one.means, other.means, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(one.counts, other.counts, rtol=1e-12, atol=0)
        assert one.converged == other.converged
        if other.phase == "M":
            assert one.empty == other.empty
            assert one.inertia == pytest.approx(float(other.covariances) * d * one.total, rel=1e-9)
    assert not lost or balls[-1].empty[-1] == k


@pytest.mark.parametrize("far", [2.0**20, 2.0**30])
def test_far_from_the_origin_it_takes_the_same_steps(far: float) -> None:
    x = (cloud(500, 2) * 2**18).round() / 2**18  # so that x + far is exact
    means = drawn(x, 5)
    for here, there in zip(kmeans.steps(x, means), kmeans.steps(x + far, means + far), strict=True):
        torch.testing.assert_close(there.means - far, here.means, rtol=0, atol=2 * far * 2.0**-52)
        assert torch.equal(there.counts, here.counts)
        assert there.inertia == pytest.approx(here.inertia, rel=1e-11)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_another_unit_changes_the_unit_of_the_result_alone(unit: float) -> None:
    x = cloud(300, 3)
    for here, there in zip(kmeans.steps(x, x[:5]), kmeans.steps(x * unit, x[:5] * unit), strict=True):
        torch.testing.assert_close(there.means / unit, here.means, rtol=1e-11, atol=1e-11)
        assert there.inertia / unit**2 == pytest.approx(here.inertia, rel=1e-11)


@given(seed=SEEDS)
@settings(max_examples=15)
def test_integer_weights_are_repeated_points_and_zero_weights_absent_ones(seed: int) -> None:
    x = cloud(80, 2, seed)
    w = (Noise(seed).uniform(80, stream="w") * 4).floor()
    repeated = kmeans.steps(x.repeat_interleave(w.long(), 0), drawn(x, 4, seed))
    for one, other in zip(kmeans.steps(x, drawn(x, 4, seed), weights=w), repeated, strict=True):
        torch.testing.assert_close(one.means, other.means, rtol=1e-11, atol=1e-11)
        assert torch.equal(one.counts, other.counts)
        assert one.inertia == pytest.approx(other.inertia, rel=1e-9)
        assert one.total == other.total


def test_tight_clusters_far_apart_keep_the_digits_of_their_inertia() -> None:
    grain = 2.0**40
    tight = (1e-6 * cloud(200, 2, k=1, far=0) * grain).round() / grain
    x = torch.cat([tight, tight + 100])
    last = kmeans.fit(x, x[[0, 200]])
    assert last.inertia == pytest.approx(2 * float((tight - tight.mean(0)).square().sum()), rel=1e-6)


# ------------------------------------------------------------------------------------------------ empty clusters


def test_an_empty_cluster_is_named_and_keeps_its_place() -> None:
    x = cloud(100, 2)
    lost = torch.tensor([[50.0, 50.0]], dtype=torch.float64)
    for step in kmeans.steps(x, torch.cat([x[:1], lost, x[1:2]])):
        assert step.empty == (1,)
        assert float(step.counts[1]) == 0
        torch.testing.assert_close(step.means[1:2], lost, rtol=1e-13, atol=0)


def test_an_empty_cluster_moves_to_the_point_farthest_from_its_mean() -> None:
    x = cloud(100, 2)
    start = torch.cat([x[:1], torch.full((2, 2), 50.0), x[1:2]])
    run = list(kmeans.steps(x, start, empty="farthest"))
    distances = ((x - start[[0, 3]][nearest(x, start[[0, 3]])]) ** 2).sum(1)
    taken = run[1].means[[1, 2]]
    expected = x[distances.argsort(descending=True)[:2]]
    torch.testing.assert_close(taken, expected, rtol=1e-12, atol=1e-12)
    assert run[0].empty == run[1].empty == (1, 2)
    assert run[-1].empty == ()
    assert run[-1].converged
    assert all(later.inertia <= earlier.inertia * (1 + 1e-12) for earlier, later in pairwise(run))
    assert run[-1].inertia < kmeans.fit(x, start).inertia


def test_a_point_of_weight_0_is_nowhere_to_move_to() -> None:
    x = torch.cat([cloud(50, 2), torch.tensor([[99.0, 0.0]])])
    w = torch.ones(51)
    w[50] = 0
    run = list(kmeans.steps(x, torch.cat([x[:2], torch.full((1, 2), 500.0)]), weights=w, empty="farthest"))
    assert all(float(step.means[2, 0]) != pytest.approx(99.0) for step in run)
    assert run[-1].empty == ()


@pytest.mark.parametrize("n", [1, 5, 20])
@pytest.mark.parametrize("empty", ["keep", "farthest"])
def test_equal_points_end_at_once_with_all_but_the_first_cluster_empty(n: int, empty: Any) -> None:
    x = torch.full((n, 2), 1e6 + 0.1, dtype=torch.float64)
    run = list(kmeans.steps(x, x[: min(n, 3)], empty=empty))
    assert len(run) <= 4
    assert run[-1].converged
    assert run[-1].empty == tuple(range(1, min(n, 3)))
    assert run[-1].inertia == pytest.approx(0, abs=1e-15)
    torch.testing.assert_close(run[-1].means, x[: min(n, 3)], rtol=1e-13, atol=0)


def test_as_many_clusters_as_points_leave_no_inertia() -> None:
    x = cloud(7, 2)
    last = kmeans.fit(x, x)
    assert last.inertia == pytest.approx(0, abs=1e-20)
    assert last.counts.tolist() == [1] * 7


# ------------------------------------------------------------------------------------------------ options and errors


def test_it_ends_when_no_mean_moves_farther_than_tol() -> None:
    x = cloud(2_000, 2, far=1.0)
    start, tol = drawn(x, 6), 0.05
    run = list(kmeans.steps(x, start, tol=tol))
    moves = [start, *(step.means for step in run if step.phase == "move")]
    shifts = [float((later - earlier).norm(dim=1).max()) for earlier, later in pairwise(moves)]
    assert len(shifts) > 2
    assert shifts[-1] < tol <= min(shifts[:-1])
    assert [step.converged for step in run] == [False] * (len(run) - 1) + [True]
    assert len(run) < len(list(kmeans.steps(x, start)))


def test_max_steps_bounds_the_iterations() -> None:
    x = cloud(2_000, 2, far=1.0)
    run = list(kmeans.steps(x, drawn(x, 6), max_steps=2))
    assert [step.phase for step in run] == ["assign", "move"] * 2
    assert not run[-1].converged
    assert list(kmeans.steps(x, x[:2], max_steps=0)) == []
    with pytest.raises(BadPoints) as caught:
        kmeans.fit(x, x[:2], max_steps=0)
    assert str(caught.value) == "max_steps = 0 leaves nothing to return: ask for at least 1."


def test_assign_takes_the_first_of_equally_near_means() -> None:
    assert kmeans.assign([[0.0], [0.9], [2.0]], [[0.0], [2.0], [2.0]]).tolist() == [0, 0, 1]
    assert kmeans.assign([[0.0]], [[-1.0], [1.0]]).tolist() == [0]
    assert kmeans.assign(torch.zeros(0, 2), torch.zeros(3, 2)).tolist() == []
    far = torch.tensor([[1e8], [1e8 + 1]], dtype=torch.float64)
    assert kmeans.assign(far, far).tolist() == [0, 1]


def test_errors_are_one_sentence_that_names_the_value() -> None:
    x = cloud(9, 2)

    def refused(given_: Any, means: Any, **options: Any) -> str:
        with pytest.raises(BadPoints) as caught:
            kmeans.fit(given_, means, **options)
        return str(caught.value)

    assert refused(x[:2], x[:3]) == "2 points are too few: K-means with 3 clusters needs at least 3."
    assert refused([[0.0, math.nan]], [[0.0, 0.0]]).startswith("Point 1 is [0.0, nan]: every coordinate must be a finite")
    assert refused(x, torch.zeros(2, 3)).startswith("Means of shape (2, 3) do not fit points of 2 coordinates")
    assert "not finite" in refused(x, torch.full((2, 2), math.nan))
    assert refused(x, x[:2], weights=[1.0]) == "(1,) weights do not fit 9 points: give one for each point."
    assert "empty = 'drop' must be keep or farthest" in refused(x, x[:2], empty="drop")
    assert "tol = -1" in refused(x, x[:2], tol=-1.0)


# ------------------------------------------------------------------------------------------------ chunks and memory


@pytest.mark.parametrize("empty", ["keep", "farthest"])
def test_results_do_not_depend_on_the_chunks(empty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = cloud(500, 3), Noise(1).uniform(500, stream="w")
    start = torch.cat([drawn(x, 4), torch.full((1, 3), 500.0)])
    whole, assigned = list(kmeans.steps(x, start, weights=w, empty=empty)), kmeans.assign(x, start)
    for module in (points, kmeans):
        if hasattr(module, "CHUNK"):
            monkeypatch.setattr(module, "CHUNK", 64)
    for one, other in zip(kmeans.steps(x, start, weights=w, empty=empty), whole, strict=True):
        torch.testing.assert_close(one.means, other.means, rtol=1e-11, atol=1e-11)
        assert one.inertia == pytest.approx(other.inertia, rel=1e-11)
    assert torch.equal(kmeans.assign(x, start), assigned)


class Allocations(TorchDispatchMode):
    """The most elements in any storage that an operation makes; storages known before do not count."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


def test_memory_does_not_grow_with_points_times_clusters() -> None:
    n, peaks = 100_000, []
    x = cloud(n, 2)
    for k in (10, 40):
        start = drawn(x, k)
        with Allocations(x) as seen:
            list(kmeans.steps(x, start, max_steps=3))
        assert 0 < seen.largest < 3 * n  # at most a copy of the points
        tracemalloc.start()  # sees numpy's arrays, and not torch's
        list(kmeans.steps(x, start, max_steps=3))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 30 * 8 * n / 4  # a few chunks' distances, and not those of all points to 30 more means
    with Allocations(x) as seen:
        (x[:, None] - x[:10]).square().sum(2)
    assert seen.largest >= 10 * n  # so the recorder would have seen it


@pytest.mark.gpu
@pytest.mark.parametrize("empty", ["keep", "farthest"])
def test_cuda_computes_as_the_cpu_does(empty: Any) -> None:
    x = cloud(20_000, 2)
    start = torch.cat([drawn(x, 4), torch.full((1, 2), 500.0)])
    run = zip(kmeans.steps(x, start, empty=empty), kmeans.steps(x.cuda(), start, empty=empty), strict=True)
    for here, there in run:
        assert there.means.is_cuda
        torch.testing.assert_close(there.means.cpu(), here.means, rtol=1e-9, atol=1e-9)
        assert there.inertia == pytest.approx(here.inertia, rel=1e-9)
    assert torch.equal(kmeans.assign(x.cuda(), start).cpu(), kmeans.assign(x, start))
