"""Preset clouds: the same ones every time, the labels they were drawn with, and the methods that fail and succeed on them."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from models import pca
from models.data.clouds import NAMES, PRESETS, Cloud, make
from models.noise import Noise
from models.points import BadPoints


def many(name: str, seed: int = 0) -> Cloud:
    return make(name, min(PRESETS[name].most, 2_000), noise=seed)


@pytest.mark.parametrize("name", NAMES)
def test_a_cloud_has_the_shape_that_its_preset_says(name: str) -> None:
    cloud, preset = many(name), PRESETS[name]
    n = min(preset.most, 2_000)
    assert cloud.name == name
    assert cloud.points.shape == (n, preset.dimensions)
    assert cloud.points.dtype == torch.float64
    assert torch.isfinite(cloud.points).all()
    assert cloud.labels.shape == (n,)
    assert cloud.labels.dtype == torch.int64
    assert cloud.labels.unique().tolist() == list(range(preset.clusters))
    assert len(cloud.points.unique(dim=0)) == n


@pytest.mark.parametrize("name", [name for name in NAMES if name != "heavy"])
def test_a_cloud_fills_the_picture_and_hardly_leaves_it(name: str) -> None:
    points = many(name).points
    assert (points.abs() > 5).any(1).double().mean() < 0.003
    assert points.abs().max() < 9
    assert (points.amax(0) - points.amin(0)).max() > 4


@given(name=st.sampled_from(NAMES), n=st.integers(10, 300), seed=st.integers(0, 2**40))
def test_a_larger_cloud_begins_with_the_smaller(name: str, n: int, seed: int) -> None:
    few = min(n, PRESETS[name].most) // 2 + PRESETS[name].fewest // 2
    large, small = make(name, min(n, PRESETS[name].most), noise=seed), make(name, few, noise=Noise(seed))
    torch.testing.assert_close(large.points[:few], small.points, rtol=1e-13, atol=1e-13)
    assert torch.equal(large.labels[:few], small.labels)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_draws_the_same_cloud_and_another_another(name: str) -> None:
    assert torch.equal(many(name, 4).points, many(name, 4).points)
    assert not torch.equal(many(name, 4).points, many(name, 5).points)


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("three", [1 / 3] * 3),
        ("stretched", [1 / 3] * 3),
        ("unequal", [0.7, 0.15, 0.15]),
        ("moons", [0.5] * 2),
        ("circles", [0.4, 0.6]),
        ("spiral", [0.5] * 2),
        ("pinwheel", [0.2] * 5),
        ("two", [0.35, 0.65]),
    ],
)
def test_clusters_have_their_shares(name: str, shares: list[float]) -> None:
    counts = torch.bincount(many(name).labels, minlength=len(shares))
    assert scipy.stats.chisquare(counts.numpy(), [2_000 * share for share in shares]).pvalue > 1e-3


def test_labels_are_right_where_the_place_tells_them() -> None:
    circles = many("circles")
    assert torch.equal((circles.points.norm(dim=1) > 2.6).long(), circles.labels)
    three = many("three")
    centres = torch.stack([three.points[three.labels == k].mean(0) for k in range(3)])
    assert torch.equal(torch.cdist(three.points, centres).argmin(1), three.labels)
    moons = many("moons")
    x, y = (moons.points * (1 - 2 * moons.labels[:, None])).unbind(1)  # the second moon is the first one turned by half
    assert ((x + 1.2).hypot(y + 0.6) - 2.4).abs().max() < 1
    assert y.min() > -1.6
    spiral = many("spiral")
    radius = spiral.points.norm(dim=1)
    turned = torch.atan2(spiral.points[:, 1], spiral.points[:, 0]) - 3 * math.pi * radius / 4.4 - math.pi * spiral.labels
    assert (turned.cos()[radius > 1] > 0.3).all()  # at the same radius, the arms are half a turn apart
    two = many("two")
    means = [float(two.points[two.labels == k].mean()) for k in range(2)]
    deviations = [float(two.points[two.labels == k].std()) for k in range(2)]
    assert means == pytest.approx([-2.4, 1.2], abs=0.12)
    assert deviations == pytest.approx([0.4, 1.0], abs=0.08)


def agreement(cloud: Cloud, found: object) -> float:
    return float(adjusted_rand_score(cloud.labels.numpy(), found))


@pytest.mark.parametrize(
    ("name", "k_means_fails"), [("three", False), ("stretched", True), ("unequal", True)], ids=["three", "stretched", "unequal"]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_k_means_fails_where_the_preset_means_it_to_and_a_full_mixture_succeeds(
    name: str, k_means_fails: bool, seed: int
) -> None:
    cloud = make(name, 600, noise=seed)
    x = cloud.points.numpy()
    means = agreement(cloud, KMeans(3, n_init=10, random_state=0).fit_predict(x))
    mixture = agreement(cloud, GaussianMixture(3, n_init=10, init_params="k-means++", random_state=0).fit_predict(x))
    assert mixture > 0.93
    assert means < 0.7 if k_means_fails else means > 0.97


@pytest.mark.parametrize("name", ["moons", "circles", "spiral"])
def test_two_gaussians_cannot_tell_bent_clusters_apart(name: str) -> None:
    cloud = make(name, 600, noise=0)
    mixture = GaussianMixture(2, n_init=5, random_state=0).fit_predict(cloud.points.numpy())
    assert agreement(cloud, mixture) < 0.75


def test_one_gaussian_is_far_too_wide_for_heavy_tails() -> None:
    radius = many("heavy").points.sub(0.3).norm(dim=1)
    fitted = many("heavy").points.std(0).mean()
    # A round Gaussian of that deviation has half of its points within 1.177 deviations; here they are within 0.6 of that.
    assert radius.median() < 0.6 * 1.177 * fitted
    # Scale 0.5, 2 degrees of freedom: P(radius > r) = 1 / (1 + r²/2s²) on the plane.
    assert scipy.stats.kstest(radius.numpy(), lambda r: 1 - 1 / (1 + r**2 / 0.5)).pvalue > 1e-3


def test_two_axes_carry_the_sheet_but_not_the_helix() -> None:
    sheet, helix = pca.fit(many("sheet").points, 2), pca.fit(many("helix").points, 2)
    assert sheet.explained[:2].sum() > 0.99
    assert sheet.variances[0] > 2 * sheet.variances[1]
    assert sheet.directions.abs().min() > 0.2  # a tilted plane: no axis lies along a coordinate
    assert helix.explained[:2].sum() < 0.85


def test_points_on_the_line_follow_their_formula() -> None:
    for name, law in [
        ("bell", scipy.stats.norm(0.5, 1.2)),
        ("skewed", scipy.stats.lognorm(0.6, loc=-3.5, scale=1.3)),
    ]:
        assert scipy.stats.kstest(many(name).points[:, 0].numpy(), law.cdf).pvalue > 1e-3
    assert scipy.stats.skew(many("skewed").points[:, 0].numpy()) > 1


def test_what_cannot_be_drawn_gets_a_sentence() -> None:
    with pytest.raises(BadPoints, match="11 points of 'ten' cannot be drawn: from 2 to 10 can"):
        make("ten", 11, noise=0)
    for n in (0, -5, 9, 100_001):
        with pytest.raises(BadPoints, match=f"{n:,} points of 'moons' cannot be drawn: from 10 to 100,000 can"):
            make("moons", n, noise=0)
    with pytest.raises(BadPoints, match="'donut' is not one of blob, tilted"):
        make("donut", 100, noise=0)
