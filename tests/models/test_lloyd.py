"""The quick passes against distances computed one by one, and K-means by them against K-means by the plain pass."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models import kmeans, lloyd

TIED = 1e-9  # gaps below this may be decided by rounding


def cloud(kind, n, d, seed):
    """Points `(n, d)` of a kind: round clusters, few different points, an integer grid, or clusters with far outliers."""
    rng = np.random.default_rng(seed)
    if kind == "grid":
        return rng.integers(0, 6, (n, d)).astype(float)
    x = rng.normal(size=(5, d))[rng.integers(0, 5, n)] * 3 + rng.normal(size=(n, d))
    if kind == "copies":
        return x[rng.integers(0, min(7, n), n)]
    if kind == "outliers":
        x[:3] *= 1e4
    return x


def inertia(counts, first, means, z, weight):
    """Σ w ‖x − μ‖² of an assignment from its sums: any choice but the nearest (or an equal) makes it larger."""
    squares = (weight * np.square(z)).sum()
    return squares + counts @ np.square(means).sum(1) - 2 * (means * first).sum()


def follow(quick, z, weight, means, calls=12):
    """Runs Lloyd's algorithm on `quick`, and holds each call against all distances. Returns how many calls had no ties."""
    k, clear, before, known = len(means), 0, None, False
    for _ in range(calls):
        scale = (weight * np.square(z)).sum() + weight.sum() * np.square(means).sum(1).max() + 1e-300
        sums = quick(means, np.square(means).sum(1))
        distances = np.sqrt(np.square(z.T[:, None] - means).sum(2))  # (N, K)
        label = distances.argmin(1)
        lowest = (weight * np.square(distances.min(1))).sum()
        assert inertia(sums.counts, sums.first, means, z, weight) == pytest.approx(lowest, abs=1e-11 * scale)
        ordered = np.sort(distances, 1)
        tied = (ordered[:, 1] - ordered[:, 0] < TIED * (1 + ordered[:, 0])).any()
        if not tied:
            clear += 1
            np.testing.assert_allclose(sums.counts, np.bincount(label, weight, k), rtol=1e-12, atol=1e-12)
            first = np.stack([np.bincount(label, weight * row, k) for row in z], 1)
            np.testing.assert_allclose(sums.first, first, rtol=0, atol=1e-12 * (weight * np.abs(z)).sum())
            assert ((sums.counts == 0) == (np.bincount(label, minlength=k) == 0)).all()
            if known:
                assert sums.changed == (not np.array_equal(label, before))
        before, known = label, not tied
        after = np.where(sums.counts[:, None] > 0, sums.first / np.maximum(sums.counts, 1e-300)[:, None], means)
        if not sums.changed:
            np.testing.assert_array_equal(after, means)  # the same sums, to the bit
            break
        means = after
    return clear


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(["round", "copies", "grid", "outliers"]),
    n=st.integers(2, 700),
    d=st.sampled_from([1, 2, 3, 8]),
    k=st.integers(2, 9),
    seed=st.integers(0, 2**20),
    weighted=st.booleans(),
    start=st.sampled_from(["points", "afar", "equal"]),
    which=st.sampled_from(["small", "points", "blocks"]),
)
@example("round", 700, 2, 9, 3, False, "points", "blocks")
@example("grid", 700, 2, 4, 1, True, "points", "blocks")
@example("outliers", 700, 3, 9, 2, True, "equal", "points")
def test_each_pass_finds_the_nearest_means(kind, n, d, k, seed, weighted, start, which):
    rng = np.random.default_rng(seed + 1)
    z = np.ascontiguousarray(cloud(kind, n, d, seed).T)  # (d, n)
    w = rng.uniform(0.01, 5, n) if weighted else None
    means = {
        "points": z.T[rng.integers(0, n, k)].copy(),
        "afar": rng.normal(size=(k, d)) * 100,
        "equal": np.repeat(z.mean(1)[None], k, 0) + 1e-3 * rng.normal(size=(k, d)) * (np.arange(k)[:, None] > 1),
    }[start]
    with mock.patch.multiple(lloyd, BLOCKS=0 if which == "blocks" else 2**40, PIECE=40):
        quick = (lloyd.Small if which == "small" else lloyd.Lazy)(z, w)
        follow(quick, z, np.ones(n) if w is None else w, means)


@pytest.mark.parametrize("d", [1, 2, 3, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_clouds_without_ties_are_followed_to_the_end(d, weighted):
    z = np.ascontiguousarray(cloud("round", 2000, d, 7).T)
    w = np.random.default_rng(8).uniform(0.01, 5, 2000) if weighted else None
    with mock.patch.object(lloyd, "BLOCKS", 0):
        assert follow(lloyd.Lazy(z, w), z, np.ones(2000) if w is None else w, z.T[:6].copy(), calls=200) >= 5


def test_few_points_are_looked_at_again_once_the_means_are_nearly_still():
    rng = np.random.default_rng(0)
    z = np.ascontiguousarray(cloud("round", 50_000, 2, 0).T)
    quick, means, looked = lloyd.Lazy(z, None), z.T[rng.integers(0, 50_000, 6)].copy(), []
    look = lloyd.Lazy._nearest_points
    with mock.patch.object(lloyd.Lazy, "_nearest_points", lambda own, ids: looked.append(len(ids)) or look(own, ids)):
        for _ in range(100):
            looked.append(0)
            sums = quick(means, np.square(means).sum(1))
            if not sums.changed:
                break
            means = sums.first / sums.counts[:, None]
            last, looked = sum(looked), []
    assert last < 0.02 * 50_000


def test_the_curve_visits_every_point_once_and_keeps_neighbours_together():
    z = np.random.default_rng(0).uniform(size=(2, 4096))
    order = lloyd.along_curve(z)
    np.testing.assert_array_equal(np.sort(order), np.arange(4096))
    step = np.sqrt(np.square(np.diff(z[:, order])).sum(0))
    assert np.median(step) < 2 / 64  # 64 by 64 points in the unit square


def both(x, start, **options):
    """The half steps of the quick way and of the plain one."""
    quick = list(kmeans.steps(x, start, **options))
    with mock.patch.object(kmeans, "COPIED", 0):
        plain = list(kmeans.steps(x, start, **options))
    return quick, plain


@pytest.mark.parametrize("empty", ["keep", "farthest"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d"), [(300, 2), (5000, 1), (5000, 8), (40_000, 2), (40_000, 3)])
def test_half_steps_equal_those_of_the_plain_pass(n, d, weighted, empty):
    x = torch.from_numpy(cloud("round", n, d, 5) * 20 + 1e3)
    w = None
    if weighted:
        w = torch.from_numpy(np.random.default_rng(6).uniform(0, 2, n))
        w[::7] = 0
    start = x[:8].clone()
    start[3] += 1e4  # no point is nearest to it
    quick, plain = both(x, start, weights=w, empty=empty, max_steps=40)
    assert len(quick) == len(plain) > 8
    for ours, twin in zip(quick, plain, strict=True):
        assert (ours.phase, ours.iteration, ours.empty, ours.converged) == (
            twin.phase,
            twin.iteration,
            twin.empty,
            twin.converged,
        )
        assert ours.total == twin.total
        torch.testing.assert_close(ours.counts, twin.counts, rtol=1e-12, atol=1e-9)
        torch.testing.assert_close(ours.means, twin.means, rtol=1e-12, atol=1e-9)
        assert ours.inertia == pytest.approx(twin.inertia, rel=1e-9)


def test_a_cluster_that_weighs_next_to_nothing_keeps_its_digits():
    """Nearly all weight leaves the second cluster; what stays must not drown in the rounding of what went."""
    rng = np.random.default_rng(1)
    light, heavy = rng.normal(size=(5000, 2)) * 0.1 + [9, 0], rng.normal(size=(5000, 2)) * 0.1 + [4, 0]
    z = np.ascontiguousarray(np.concatenate([light, heavy]).T)
    w = np.r_[np.full(5000, 1e-9), np.ones(5000)]
    quick = lloyd.Lazy(z, w)
    for means in (np.array([[-9.0, 0], [8.0, 0]]), np.array([[4.0, 0], [9.0, 0]])):
        sums = quick(means, np.square(means).sum(1))
    assert sums.counts[1] == pytest.approx(5e-6, rel=1e-9)
    np.testing.assert_allclose(sums.first[1] / sums.counts[1], light.mean(0), rtol=1e-9)


def test_inertia_keeps_its_digits_where_clusters_are_points():
    x = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (40_000, 2)) * 1000.0)
    x += torch.from_numpy(np.random.default_rng(3).normal(size=(40_000, 2)) * 1e-5)
    start = torch.tensor([[0.0, 0], [0, 1000], [1000, 0], [1000, 1000]], dtype=torch.float64)
    last = kmeans.fit(x, start)
    direct = float((torch.cdist(x, last.means, compute_mode="donot_use_mm_for_euclid_dist").amin(1) ** 2).sum())
    assert last.inertia == pytest.approx(direct, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(100, 1), (5000, 1), (40_000, 2)])
def test_the_points_given_are_left_as_they_are(n, d):
    x = torch.from_numpy(cloud("round", n, d, 4))
    before = x.clone()
    kmeans.fit(x, x[:4])
    assert torch.equal(x, before)


def test_the_same_cloud_gives_the_same_bits():
    x = torch.from_numpy(cloud("round", 40_000, 2, 9))
    once, twice = kmeans.fit(x, x[:7]), kmeans.fit(x, x[:7])
    assert torch.equal(once.means, twice.means)
    assert once.inertia == twice.inertia
