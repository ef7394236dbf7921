"""Histograms against numpy, kernel densities against scikit-learn and scipy, leaving one out against doing just that."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KernelDensity
from torch import Tensor

from models import kde
from models.kde import best_bandwidth, best_bandwidth_steps, grid, held_out, histogram, leave_one_out, log_prob, sample
from models.noise import Noise
from models.points import BadPoints

SEEDS = st.integers(0, 2**32)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return Noise(seed).normal(n, (d,), stream="cloud") * torch.arange(1.0, d + 1, dtype=torch.float64) + 0.5


def left_out(x: Tensor, h: float) -> float:
    """Silverman (1986), section 3.4.4, to the letter: each point under a density made of the others."""
    values = []
    for i in range(len(x)):
        others = np.delete(x.numpy(), i, 0)
        exponents = -0.5 * ((x[i].numpy() - others) ** 2).sum(1) / h**2
        values.append(scipy.special.logsumexp(exponents) - math.log(len(others)))
    return float(np.mean(values)) - x.shape[1] * (math.log(h) + 0.5 * math.log(2 * math.pi))


# ------------------------------------------------------------------------------------------------ histogram


@given(n=st.integers(1, 200), bins=st.integers(1, 30), seed=SEEDS, weighted=st.booleans())
def test_counts_on_a_line_are_those_of_numpy(n: int, bins: int, seed: int, weighted: bool) -> None:
    x = cloud(n, 1, seed)
    w = Noise(seed).uniform(n, stream="w") if weighted else None
    ours = histogram(x, bins, -1, 1.5, weights=w)
    counts, edges = np.histogram(x[:, 0], bins, (-1, 1.5), weights=w)
    np.testing.assert_allclose(ours.counts, counts, atol=1e-12)
    np.testing.assert_allclose(ours.edges[0], edges, atol=1e-15)
    total = float(n if w is None else w.sum())
    inside = float(ours.counts.sum())
    assert inside + ours.outside == pytest.approx(total)
    assert float(ours.density.sum()) * 2.5 / bins == pytest.approx(inside / total)


def test_counts_on_the_plane_lie_as_a_picture_does() -> None:
    x = cloud(2_000, 2)
    ours = histogram(x, (7, 11), (-1, -2), (2, 3))
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], (7, 11), ((-1, 2), (-2, 3)))
    assert ours.counts.shape == (11, 7)
    np.testing.assert_array_equal(ours.counts, counts.T)
    assert [len(e) for e in ours.edges] == [8, 12]
    assert ours.outside == 2_000 - counts.sum() > 0
    assert float(ours.density.sum()) * (3 / 7) * (5 / 11) == pytest.approx(1 - ours.outside / 2_000)


def test_a_box_has_its_lower_edge_and_the_last_has_both() -> None:
    x = torch.tensor([0.0, 1.0, 1.0, 2.0, 2.0, 2.0, -1e-9, 2 + 1e-9], dtype=torch.float64)
    ours = histogram(x, 2, 0, 2)
    assert ours.counts.tolist() == [1, 5]
    assert ours.outside == 2


@pytest.mark.parametrize(
    ("d", "bins", "low", "high", "sentence"),
    [
        (3, 5, 0, 1, "3 coordinates: a histogram takes 1 or 2"),
        (2, (5, 5, 5), 0, 1, "3 bins do not fit points of 2 coordinates"),
        (2, 5, 0, (1,), "1 upper limits do not fit"),
        (1, 0, 0, 1, "0 boxes cannot be counted"),
        (2, 100_000, 0, 1, "100000 × 100000 boxes cannot be counted"),
        (1, 5, 1, 1, "limits 1 and 1 enclose nothing"),
        (1, 5, 0, math.inf, "limits 0 and inf enclose nothing"),
    ],
)
def test_a_histogram_that_cannot_be_gets_a_sentence(d: int, bins: object, low: object, high: object, sentence: str) -> None:
    with pytest.raises(BadPoints, match=sentence):
        histogram(cloud(5, d), bins, low, high)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ density


@given(d=st.integers(1, 4), h=st.floats(0.05, 3), seed=SEEDS, weighted=st.booleans())
def test_the_density_is_that_of_scikit_learn(d: int, h: float, seed: int, weighted: bool) -> None:
    centres, x = cloud(40, d, seed), cloud(30, d, seed + 1)
    w = Noise(seed).uniform(40, stream="w") if weighted else None
    theirs = KernelDensity(bandwidth=h, rtol=1e-12).fit(centres.numpy(), sample_weight=None if w is None else w.numpy())
    np.testing.assert_allclose(log_prob(x, centres, h, weights=w), theirs.score_samples(x.numpy()), rtol=1e-7, atol=1e-7)


def test_on_a_line_the_density_is_that_of_scipy() -> None:
    centres, x = cloud(50, 1), torch.linspace(-3, 4, 100)
    theirs = scipy.stats.gaussian_kde(centres[:, 0].numpy(), bw_method=0.3)
    np.testing.assert_allclose(
        log_prob(x, centres, 0.3 * float(centres.std())), theirs.logpdf(x.double().numpy()), rtol=1e-10, atol=1e-10
    )


def test_whole_weights_count_as_repeated_centres_and_none_as_absent() -> None:
    centres, x = cloud(12, 2), cloud(20, 2, 1)
    counts = torch.arange(12) % 3
    torch.testing.assert_close(
        log_prob(x, centres, 0.4, weights=counts),
        log_prob(x, centres.repeat_interleave(counts, 0), 0.4),
        rtol=1e-12,
        atol=1e-12,
    )


def test_far_out_the_logarithm_is_still_a_number() -> None:
    """The density, 10⁻²¹⁷¹⁴⁷²⁴⁰⁹, is far below what a float holds."""
    far = torch.tensor([[1e5, 0.0], [1e200, 0.0]], dtype=torch.float64)
    found = log_prob(far, torch.zeros(1, 2), 1.0)
    assert float(found[0]) == pytest.approx(-0.5e10 - math.log(2 * math.pi), rel=1e-14)
    assert float(found[1]) == -math.inf  # here even the logarithm is too large


@pytest.mark.parametrize("d", [1, 2])
def test_the_density_integrates_to_one(d: int) -> None:
    axis = torch.linspace(-12, 13, 501, dtype=torch.float64)
    assert float(grid(cloud(100, d), 0.3, *[axis] * d).sum()) * 0.05**d == pytest.approx(1, abs=1e-9)


@given(d=st.integers(1, 2), h=st.floats(0.02, 3), seed=SEEDS, tile=st.integers(1, 40))
def test_the_grid_is_the_density_at_its_crossings(d: int, h: float, seed: int, tile: int) -> None:
    centres = cloud(25, d, seed)
    axes = [torch.linspace(-2, 3, 7 + k, dtype=torch.float64) for k in range(d)]
    crossings = torch.cartesian_prod(*axes).reshape(-1, d)  # the first axis slowest
    expected = log_prob(crossings, centres, h).exp().reshape([7 + k for k in range(d)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kde.TILE, "cpu", (3, tile))
        found = grid(centres, h, *axes)
    torch.testing.assert_close(found, expected.T if d == 2 else expected, rtol=1e-9, atol=1e-290)


def test_a_grid_of_ten_thousand_bumps_is_made_while_one_drags() -> None:
    centres, axis = cloud(10_000, 2), torch.linspace(-5, 5, 96)
    grid(centres, 0.3, axis, axis)
    start = time.perf_counter()
    grid(centres, 0.3, axis, axis)
    assert time.perf_counter() - start < 0.5  # about 10 ms on one idle core; point by point, 3 s


@given(rows=st.integers(1, 20), pairs=st.integers(20, 200))
def test_tiles_change_nothing(rows: int, pairs: int) -> None:
    centres, x = cloud(37, 2), cloud(23, 2, 1)
    w = torch.arange(37)
    whole, out = log_prob(x, centres, 0.3, weights=w), leave_one_out(centres, 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(kde.TILE, "cpu", (rows, pairs))
        torch.testing.assert_close(log_prob(x, centres, 0.3, weights=w), whole, rtol=1e-12, atol=1e-12)
        assert leave_one_out(centres, 0.3) == pytest.approx(out, rel=1e-12)


def test_a_cloud_far_away_has_the_same_density_as_one_at_home() -> None:
    centres, x = ((cloud(n, 2, n) * 2**20).round() / 2**20 for n in (60, 40))  # so that adding 2²⁰ rounds nothing
    far = 2.0**20
    torch.testing.assert_close(log_prob(x + far, centres + far, 0.05), log_prob(x, centres, 0.05), rtol=1e-7, atol=1e-7)
    assert leave_one_out(centres + far, 0.05) == pytest.approx(leave_one_out(centres, 0.05), rel=1e-7)
    here, there = best_bandwidth(centres, noise=0), best_bandwidth(centres + far, noise=0)
    assert there.h == pytest.approx(here.h, rel=1e-7)
    axis = torch.linspace(-2, 2, 9, dtype=torch.float64)
    torch.testing.assert_close(grid(centres + far, 0.5, axis + far, axis + far), grid(centres, 0.5, axis, axis))


@pytest.mark.parametrize("h", [0.0, -1.0, math.nan, math.inf, 1e-200])
def test_a_bandwidth_that_is_none_gets_a_sentence(h: float) -> None:
    x = cloud(5, 2)
    sentence = "too small for a cloud" if h == 1e-200 else "must be above 0"
    for use in (lambda: log_prob(x, x, h), lambda: grid(x, h, x[:, 0], x[:, 1]), lambda: leave_one_out(x, h)):
        with pytest.raises(BadPoints, match=sentence):
            use()


def test_dimensions_that_differ_get_a_sentence() -> None:
    with pytest.raises(BadPoints, match="The points have 2 coordinates, and the centres 3"):
        log_prob(cloud(5, 2), cloud(5, 3), 1)
    with pytest.raises(BadPoints, match="1 axes do not span a grid for points of 2"):
        grid(cloud(5, 2), 1, torch.zeros(3))


# ------------------------------------------------------------------------------------------------ bandwidth


@given(n=st.integers(2, 30), d=st.integers(1, 3), h=st.floats(1e-3, 10), seed=SEEDS)
def test_leaving_one_out_is_leaving_one_out(n: int, d: int, h: float, seed: int) -> None:
    x = cloud(n, d, seed)
    assert leave_one_out(x, h) == pytest.approx(left_out(x, h), rel=1e-8, abs=1e-8)


def test_a_point_leaves_out_itself_but_not_its_twin() -> None:
    x = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    assert leave_one_out(x, 0.1) == pytest.approx(left_out(x, 0.1), rel=1e-12)
    assert leave_one_out(x, 1e-3) > leave_one_out(x, 1e-3, sample=torch.tensor([2]))


def test_a_tiny_bandwidth_scores_very_low_but_not_minus_infinity() -> None:
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    h = 1e-100
    assert leave_one_out(x, h) == pytest.approx(-0.5e200, rel=1e-9)
    assert leave_one_out(x, 1e-6) == pytest.approx(-0.5e12 - math.log(1e-6) - 0.5 * math.log(2 * math.pi), rel=1e-12)


@given(seed=SEEDS)
def test_a_sample_scores_just_those_points(seed: int) -> None:
    x = cloud(25, 2, seed)
    parts = torch.randperm(25, generator=torch.Generator().manual_seed(seed)).split([4, 9, 12])
    together = sum(leave_one_out(x, 0.3, sample=part) * len(part) for part in parts) / 25
    assert together == pytest.approx(leave_one_out(x, 0.3), rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(60, 1), (200, 1), (150, 2)])
def test_the_best_bandwidth_is_the_top_of_the_curve(n: int, d: int) -> None:
    x = cloud(n, d, n)
    found = best_bandwidth(x, noise=0)
    fine = torch.linspace(math.log(0.01), math.log(3), 200, dtype=torch.float64).exp().tolist()
    values = [leave_one_out(x, h) for h in fine]
    assert found.log_likelihood >= max(values) - 1e-3
    assert found.h == pytest.approx(fine[int(np.argmax(values))], rel=0.06)  # neighbours on the fine grid are 3 % apart
    assert found.points == n
    assert not found.at_edge
    assert found.log_likelihood == leave_one_out(x, found.h) == max(value for _, value in found.tried)
    assert all(a[0] < b[0] for a, b in pairwise(found.tried))


def test_of_many_points_a_sample_is_scored() -> None:
    x = cloud(2_000, 2)
    found = best_bandwidth(x, noise=0, pairs=2_000_000)
    assert found.points == 1_000
    whole = best_bandwidth(x, noise=0, pairs=4_000_000)
    assert whole.points == 2_000
    assert found.h == pytest.approx(whole.h, rel=0.25)
    assert leave_one_out(x, found.h) == pytest.approx(whole.log_likelihood, abs=0.01)
    assert best_bandwidth(x[:600], noise=0, pairs=1_000).points == 500  # never fewer, so that their mean is worth something
    assert best_bandwidth(x, noise=0, pairs=2_000_000) == found


def test_the_search_hands_over_between_slices() -> None:
    search = best_bandwidth_steps(cloud(200, 2), noise=0, pairs=10_000)
    shares = []
    while True:
        try:
            shares.append(next(search))
        except StopIteration as end:
            found = end.value
            break
    assert all(a < b for a, b in pairwise(shares))
    assert shares[-1] == 1
    assert len(shares) == 4 * len(found.tried)  # 200 × 200 pairs in slices of 10,000
    assert found.h == pytest.approx(best_bandwidth(cloud(200, 2), noise=0).h, rel=1e-9)


def test_coordinates_of_different_units_are_searched_over_both() -> None:
    x = cloud(300, 2) * torch.tensor([1e-3, 1.0])
    found = best_bandwidth(x, noise=0)
    hs = [h for h, _ in found.tried]
    assert min(hs) < 1e-5
    assert max(hs) > 2
    assert max(b / a for a, b in pairwise(hs)) < 1.8


def test_when_every_point_has_a_twin_the_search_stops_at_its_edge_and_says_so() -> None:
    x = cloud(40, 2)
    found = best_bandwidth(x.repeat(2, 1), noise=0)
    assert found.at_edge
    assert found.h == min(h for h, _ in found.tried)
    some = best_bandwidth(torch.cat([x, x[:3]]), noise=0)  # a few twins do no harm
    assert not some.at_edge


def test_points_that_give_no_bandwidth_get_a_sentence() -> None:
    with pytest.raises(BadPoints, match="All 7 points are equal"):
        best_bandwidth(torch.ones(7, 2), noise=0)
    for points in (torch.ones(1, 2), torch.ones(0, 2)):
        with pytest.raises(BadPoints, match="leaving one out needs at least 2"):
            best_bandwidth(points, noise=0)
        with pytest.raises(BadPoints, match="leaving one out needs at least 2"):
            leave_one_out(points, 1.0)


def test_held_out_points_prefer_a_bandwidth_like_the_one_found() -> None:
    train, test = cloud(400, 2, 1), cloud(400, 2, 2)
    found = best_bandwidth(train, noise=0)
    best = held_out(train, test, found.h)
    assert best == pytest.approx(float(log_prob(test, train, found.h).mean()))
    assert best > held_out(train, test, found.h / 3)
    assert best > held_out(train, test, found.h * 3)
    assert best == pytest.approx(found.log_likelihood, abs=0.3)


# ------------------------------------------------------------------------------------------------ sampling


def test_draws_are_points_moved_by_the_kernel() -> None:
    centres = cloud(5, 2)
    x, which = sample(centres, 0.2, 20_000, noise=1)
    moved = x - centres[which]
    assert scipy.stats.kstest(moved.flatten().numpy(), scipy.stats.norm(0, 0.2).cdf).pvalue > 0.001
    assert scipy.stats.chisquare(torch.bincount(which, minlength=5).numpy()).pvalue > 0.001
    torch.testing.assert_close(torch.cov(moved.T), 0.04 * torch.eye(2, dtype=torch.float64), rtol=0, atol=0.002)
    same, picked = sample(centres, 0, 100, noise=1)
    torch.testing.assert_close(same, centres[picked], rtol=0, atol=0)


def test_many_draws_begin_with_few() -> None:
    centres = cloud(50, 2)
    for many, few in zip(sample(centres, 0.3, 16, noise=2), sample(centres, 0.3, 8, noise=2), strict=True):
        assert torch.equal(many[:8], few)


@pytest.mark.gpu
def test_cuda_computes_as_the_cpu_does() -> None:
    x = cloud(5_000, 2)
    axis = torch.linspace(-5, 5, 96, dtype=torch.float64)
    torch.testing.assert_close(log_prob(x.cuda(), x.cuda(), 0.2).cpu(), log_prob(x, x, 0.2))
    torch.testing.assert_close(grid(x.cuda(), 0.2, axis, axis).cpu(), grid(x, 0.2, axis, axis))
    assert leave_one_out(x.cuda(), 0.2) == pytest.approx(leave_one_out(x, 0.2))
    torch.testing.assert_close(histogram(x.cuda(), 9, -3, 3).counts.cpu(), histogram(x, 9, -3, 3).counts)
    torch.testing.assert_close(sample(x.cuda(), 0.2, 9, noise=1)[0].cpu(), sample(x, 0.2, 9, noise=1)[0])
