"""Ranks, typicality, ratios and ROC curves: against counts by loops, scikit-learn, scipy, and decoders."""

from __future__ import annotations

import bz2
import io
import lzma
import math
import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from models.data.images import Images
from models.measures import outliers
from models.measures.likelihood import share_at_least
from models.noise import Noise


def numbers(n: int, seed: int = 0, *, values: int | None = None) -> Tensor:
    """Normal numbers; with `values`, so many distinct ones, so that there are ties."""
    if values is None:
        return Noise(seed).normal(n, stream="test")
    return (Noise(seed).uniform(n, stream="test") * values).floor()


class Always(Noise):
    """The same number everywhere: takes the chance out of ties."""

    def uniform(self, examples: int | Tensor, shape: Sequence[int] = (), **_: object) -> Tensor:  # type: ignore[override]
        assert isinstance(examples, int)
        return torch.full((examples, *shape), 0.5, dtype=torch.float64)


# Ranks


@pytest.mark.parametrize("values", [None, 6])
def test_the_rank_counts_the_held_out_scores_above_and_shares_the_ties(values: int | None) -> None:
    scores, calibration = numbers(40, 1, values=values), numbers(30, 2, values=values)
    u = Noise(7).uniform(40, stream="rank")
    expected = []
    for s, chance in zip(scores.tolist(), u.tolist(), strict=True):
        above = sum(c > s for c in calibration.tolist())
        equal = sum(c == s for c in calibration.tolist())
        expected.append((above + chance * (1 + equal)) / 31)
    found = outliers.one_sided_rank(scores, calibration, noise=7)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("values", [None, 3, 1])
def test_ranks_of_exchangeable_scores_are_uniform_however_many_ties_there_are(values: int | None) -> None:
    trials, n = 600, 7  # few held-out scores, anew for each trial: otherwise the ranks of one calibration share its accidents
    draws = numbers(trials * (n + 1), 3, values=values).reshape(trials, n + 1)
    ranks = torch.cat(
        [outliers.one_sided_rank(row[:1], row[1:], noise=Noise(4, first=i)) for i, row in enumerate(draws)],
    )
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 0.01
    both = 2 * torch.minimum(ranks, 1 - ranks)
    assert stats.kstest(both.numpy(), "uniform").pvalue > 0.01


def test_over_all_choices_of_the_one_left_out_the_ranks_are_a_half_on_average_exactly() -> None:
    scores = torch.tensor([0, 1, 1, 1, 2, 2, 5, 7, 7], dtype=torch.float64)
    left_out = [
        outliers.one_sided_rank(scores[i : i + 1], torch.cat([scores[:i], scores[i + 1 :]]), noise=Always()) for i in range(9)
    ]
    assert float(torch.cat(left_out).mean()) == pytest.approx(0.5, abs=1e-15)


def test_a_rank_lies_strictly_between_0_and_1_and_small_is_surprising() -> None:
    ranks = outliers.one_sided_rank(torch.tensor([9.0, -9.0], dtype=torch.float64), numbers(99), noise=0)
    assert 0 < ranks[0] < 0.01
    assert 0.99 < ranks[1] < 1


def test_a_one_sided_rank_repairs_nothing_and_a_two_sided_one_may() -> None:
    """Outliers less surprising than the insiders: the trap."""
    insiders, calibration, strange = numbers(300, 5), numbers(500, 6), numbers(200, 7) * 0.3 - 4
    by_score = outliers.roc(strange, insiders).auroc
    assert by_score < 0.1
    rank, two_sided = (
        [-f(scores, calibration, noise=Noise(1, step)) for step, scores in enumerate((strange, insiders))]
        for f in (outliers.one_sided_rank, outliers.two_sided_rank)
    )
    assert outliers.roc(*rank).auroc == pytest.approx(by_score, abs=0.01)  # but for the chance within a gap of held-out scores
    assert outliers.roc(*two_sided).auroc > 0.95


def test_a_rank_falls_as_the_score_rises() -> None:
    scores, calibration = numbers(200, 8).sort().values, numbers(50, 9)
    ranks = outliers.one_sided_rank(scores, calibration, noise=Always())
    assert bool((ranks.diff() <= 0).all())
    assert float(ranks[0]) > float(ranks[-1])


def test_the_two_sided_rank_is_small_at_both_ends_and_one_in_the_middle() -> None:
    calibration = torch.arange(1, 100, dtype=torch.float64)
    low, middle, high = outliers.two_sided_rank(torch.tensor([0.0, 50.0, 101.0]), calibration, noise=Always()).tolist()
    assert (low, high) == pytest.approx((0.01, 0.01))
    assert middle == pytest.approx(1)


def test_the_rank_of_a_picture_does_not_depend_on_its_batch() -> None:
    scores, calibration = numbers(10, values=2), numbers(20, 1, values=2)
    whole = outliers.one_sided_rank(scores, calibration, noise=3)
    assert torch.equal(whole[6:], outliers.one_sided_rank(scores[6:], calibration, noise=Noise(3).skip(6)))
    assert len(outliers.one_sided_rank(scores[:0], calibration, noise=3)) == 0


# Scores that compare with something


def test_typicality_is_the_distance_from_the_mean_of_the_held_out_scores_on_both_sides() -> None:
    calibration = numbers(50, 1) + 3
    distances = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    middle = sum(calibration.tolist()) / 50
    torch.testing.assert_close(outliers.typicality(middle + distances, calibration), distances)
    torch.testing.assert_close(outliers.typicality(middle - distances, calibration), distances)


def test_the_likelihood_ratio_finds_what_the_background_does_not_explain() -> None:
    """Two Gaussians: their log-ratio is linear in x, and high is where the background is the likelier."""
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    surprise = torch.tensor(-stats.norm.logpdf(x.numpy(), 0, 1) / math.log(2))
    background = torch.tensor(-stats.norm.logpdf(x.numpy(), 2, 1) / math.log(2))
    torch.testing.assert_close(outliers.likelihood_ratio(surprise, background), (2 * x - 2) / math.log(2))
    torch.testing.assert_close(outliers.complexity_score(surprise, background), (2 * x - 2) / math.log(2))


def picture_of(code: bytes, compressor: str, shape: tuple[int, int]) -> np.ndarray:
    raw: dict[str, Callable[[bytes], bytes]] = {
        "zlib": zlib.decompress,
        "lzma": lzma.decompress,
        "bz2": bz2.decompress,
    }
    if compressor in raw:
        return np.frombuffer(raw[compressor](code), dtype=np.uint8).reshape(shape)
    decoded = np.asarray(Image.open(io.BytesIO(code)))
    if decoded.ndim == 2:
        return decoded
    assert (decoded == decoded[:, :, :1]).all()  # WebP keeps grey as three equal colours
    return decoded[:, :, 0]


@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (5, 17), (1, 1)])
@pytest.mark.parametrize("compressor", list(outliers.COMPRESSORS))
def test_every_compressor_gives_the_picture_back(compressor: str, shape: tuple[int, int]) -> None:
    noise = (Noise(1).uniform(shape[0], shape[1:], stream="test") * 256).byte().numpy()
    code = outliers.ENCODERS[compressor](noise)
    assert np.array_equal(picture_of(code, compressor, shape), noise)
    assert outliers.COMPRESSORS[compressor](noise) == 8 * len(code)


@pytest.mark.parametrize("compressor", list(outliers.COMPRESSORS))
def test_a_blank_picture_is_simple_a_digit_less_so_and_noise_takes_all_its_bits(compressor: str, digits: Images) -> None:
    digit = digits.pixels[:1]  # (1, 1, 28, 28)
    noise = (Noise(1).uniform(1, (1, 28, 28), stream="test") * 256).byte()
    blank, drawn, random = outliers.complexity(torch.cat([torch.zeros_like(noise), digit, noise]), compressor).tolist()
    assert blank < drawn < random
    assert random > 7.9  # of 8: no lossless code shortens noise
    assert blank < 1.5


def test_complexity_is_the_length_of_the_file_in_bits_over_the_pixels() -> None:
    x = (Noise(2).uniform(2, (1, 6, 9), stream="test") * 256).byte()
    found = outliers.complexity(x, "zlib")
    assert found.tolist() == [8 * len(zlib.compress(bytes(one.flatten().tolist()), 9)) / 54 for one in x]
    assert len(outliers.complexity(x[:0])) == 0


def test_against_complexity_flat_pictures_no_longer_pass_as_insiders() -> None:
    """The model: every pixel by itself, geometric, likelier the darker. It draws noise of mostly dark pixels; a flat dark
    picture surprises it less than any it draws, but a code says that flat is simpler still.
    """
    u = Noise(0).uniform(20, (1, 16, 16), stream="test")
    typical = (u.log() / math.log(0.8)).floor().clamp_max(255).byte()  # P(x ≥ k) = 0.8^k
    flat = torch.full((20, 1, 16, 16), 1, dtype=torch.uint8)

    def surprise(x: Tensor) -> Tensor:
        return -(math.log2(0.2) + x.double() * math.log2(0.8)).flatten(1).mean(1)

    assert outliers.roc(surprise(flat), surprise(typical)).auroc == 0
    scores = [outliers.complexity_score(surprise(x), outliers.complexity(x)) for x in (flat, typical)]
    assert outliers.roc(*scores).auroc == 1


# ROC curves


def by_pairs(positive: Tensor, negative: Tensor) -> float:
    wins = [(p > n) + 0.5 * (p == n) for p in positive.tolist() for n in negative.tolist()]
    return sum(wins) / len(wins)


@pytest.mark.parametrize("values", [None, 5])
def test_the_area_is_the_share_of_pairs_ordered_rightly(values: int | None) -> None:
    strange, insiders = numbers(30, 1, values=values) + 1, numbers(45, 2, values=values)
    found = outliers.roc(strange, insiders)
    assert found.auroc == pytest.approx(by_pairs(strange, insiders), abs=1e-14)
    truth = [1] * 30 + [0] * 45
    assert found.auroc == pytest.approx(roc_auc_score(truth, torch.cat([strange, insiders]).numpy()), abs=1e-14)
    assert float(torch.trapezoid(found.true_positive, found.false_positive)) == pytest.approx(found.auroc, abs=1e-14)


def test_each_point_of_the_curve_is_what_some_threshold_lets_through() -> None:
    strange, insiders = numbers(20, 1, values=6) + 1, numbers(25, 2, values=6)
    allowed = {(0.0, 0.0)} | {
        (sum(i >= t for i in insiders.tolist()) / 25, sum(s >= t for s in strange.tolist()) / 20) for t in range(8)
    }
    found = outliers.roc(strange, insiders)
    curve = set(zip(found.false_positive.tolist(), found.true_positive.tolist(), strict=True))
    assert curve <= allowed
    assert {(0.0, 0.0), (1.0, 1.0)} <= curve


@pytest.mark.parametrize("points", [2, 9, 40])
def test_a_thinned_curve_keeps_its_ends_and_its_shape(points: int) -> None:
    strange, insiders = numbers(3000, 1) + 1, numbers(3000, 2)
    whole, thin = outliers.roc(strange, insiders), outliers.roc(strange, insiders, points=points)
    assert points / 2 < len(thin.false_positive) <= points < len(whole.false_positive)
    for curve in (thin.false_positive, thin.true_positive):
        assert (float(curve[0]), float(curve[-1])) == (0, 1)
    between = np.interp(whole.false_positive, thin.false_positive, thin.true_positive)
    assert float(np.abs(between - whole.true_positive.numpy()).max()) < 2 / (points - 1)
    assert (thin.auroc, thin.standard_error) == (whole.auroc, whole.standard_error)


@pytest.mark.parametrize(("values", "shift"), [(None, 1.0), (None, -2.0), (4, 1.0)])
def test_the_standard_error_of_the_area_is_that_of_the_bootstrap(values: int | None, shift: float) -> None:
    strange, insiders = numbers(120, 3, values=values) + shift, numbers(200, 4, values=values)
    wins = ((strange[:, None] > insiders).double() + 0.5 * (strange[:, None] == insiders)).numpy()
    random = np.random.default_rng(0)
    again = [wins[np.ix_(random.integers(0, 120, 120), random.integers(0, 200, 200))].mean() for _ in range(800)]
    assert outliers.roc(strange, insiders).standard_error == pytest.approx(np.std(again), rel=0.15)


def test_the_standard_error_of_the_area_by_hand() -> None:
    """Outliers 1 and 3, insiders 0 and 2: shares ½ and 1 on either side, of variance ⅛ each."""
    found = outliers.roc(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))
    assert (found.auroc, found.standard_error) == pytest.approx((0.75, math.sqrt(1 / 8)))


def test_a_mirrored_score_has_the_mirrored_area_and_the_same_error() -> None:
    strange, insiders = numbers(30, 1, values=5) + 1, numbers(45, 2, values=5)
    found, mirrored = outliers.roc(strange, insiders), outliers.roc(-strange, -insiders)
    assert mirrored.auroc == pytest.approx(1 - found.auroc)
    assert mirrored.standard_error == pytest.approx(found.standard_error)


# Distributions of scores


@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_the_kolmogorov_distance_is_scipys(power: float) -> None:
    ranks = Noise(3).uniform(50, stream="test") ** power
    assert outliers.kolmogorov_distance(ranks) == pytest.approx(stats.kstest(ranks.numpy(), "uniform").statistic, abs=1e-15)


def test_the_kolmogorov_distance_of_ties_and_ends_by_hand() -> None:
    half = torch.tensor([0.5] * 4, dtype=torch.float64)
    assert outliers.kolmogorov_distance(half) == 0.5
    assert outliers.kolmogorov_distance(torch.zeros(3)) == 1
    assert outliers.kolmogorov_distance(torch.ones(3)) == 1


def test_a_histogram_counts_each_score_once_and_says_what_it_left_out() -> None:
    scores = numbers(500, 1)
    whole = outliers.histogram(scores, 13)
    assert int(whole.counts.sum()) == 500
    assert (whole.below, whole.above) == (0, 0)
    assert (float(whole.edges[0]), float(whole.edges[-1])) == (float(scores.min()), float(scores.max()))
    part = outliers.histogram(scores, 8, (-0.5, 1.0))
    low, high = part.edges[:-1].tolist(), part.edges[1:].tolist()
    for a, b, count in zip(low, high, part.counts.tolist(), strict=True):
        assert count == sum(a <= s < b for s in scores.tolist())
    assert part.below == sum(s < -0.5 for s in scores.tolist())
    assert part.above == sum(s > 1 for s in scores.tolist())
    assert part.below + int(part.counts.sum()) + part.above == 500


def test_quantiles_are_numpys_and_give_the_rank_back() -> None:
    scores = numbers(1001, 1)
    found = outliers.quantiles(scores, 21)
    np.testing.assert_allclose(found, np.quantile(scores.numpy(), np.arange(21) / 20), atol=1e-14)
    ordered = scores.sort().values
    assert share_at_least(float(ordered[250]), found.tolist()) == pytest.approx(0.75, abs=1e-9)


# What it refuses


SOME = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
NONE = torch.zeros(0, dtype=torch.float64)
GREY = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: outliers.one_sided_rank(SOME, NONE, noise=0), "0 calibration scores are too few: at least 1."),
        (lambda: outliers.two_sided_rank(SOME, NONE, noise=0), "0 calibration scores are too few"),
        (lambda: outliers.typicality(SOME, NONE), "0 calibration scores are too few"),
        (lambda: outliers.typicality(SOME / 0, SOME), "scores: number 0 is inf, which is not finite."),
        (lambda: outliers.typicality(SOME, SOME * torch.nan), "calibration scores: number 0 is nan"),
        (lambda: outliers.typicality(SOME[None], SOME), "one number a picture, (N,), not (1, 3)."),
        (lambda: outliers.likelihood_ratio(SOME, SOME[:1]), "of the same pictures, not of 3 and 1."),
        (lambda: outliers.complexity_score(SOME, SOME[:2]), "surprises and complexities are of the same pictures"),
        (lambda: outliers.complexity(GREY, "rar"), "Compressor 'rar' is none of png, webp, jpeg2000, zlib, lzma, bz2."),
        (lambda: outliers.complexity(GREY.repeat(1, 3, 1, 1)), "not torch.uint8 (2, 3, 4, 4)."),
        (lambda: outliers.complexity(GREY.double()), "not torch.float64 (2, 1, 4, 4)."),
        (lambda: outliers.roc(SOME[:1], SOME), "1 outliers' scores are too few: at least 2."),
        (lambda: outliers.roc(SOME, NONE), "0 insiders' scores are too few: at least 2."),
        (lambda: outliers.roc(SOME, SOME, points=1), "1 points are too few for a curve"),
        (lambda: outliers.kolmogorov_distance(SOME), "Ranks from 1 to 3 are not within 0 and 1."),
        (lambda: outliers.kolmogorov_distance(NONE), "0 ranks are too few"),
        (lambda: outliers.histogram(SOME, 0), "0 bins are too few"),
        (lambda: outliers.histogram(SOME, 3, (2.0, 2.0)), "The span 2 to 2 has no width."),
        (lambda: outliers.histogram(NONE), "0 scores are too few"),
        (lambda: outliers.quantiles(SOME, 1), "1 quantiles are too few"),
    ],
)
def test_bad_input_gets_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
