"""Bayes' rule on a space small enough to enumerate; rejection and coverage against slow loops."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Spec
from models.measures import bayes
from models.measures.bayes import ByClass, accepted_at, by_class, coverage_curve, labels, reject
from models.pixelcnn import PixelCNN
from models.vae import VAE

SPACE = torch.tensor(list(itertools.product(range(2), repeat=4)), dtype=torch.uint8).reshape(16, 1, 2, 2)
WEIGHTS = torch.tensor([8, 4, 2, 1])  # a picture's number, from its pixels
K = 3
PRIOR = [0.5, 0.3, 0.2]


class Table(GenerativeModel):
    """p(x|y) of the 16 pictures as they stand in a table `(K, 16)`."""

    def __init__(self, kind: str = "exact", classes: int = K) -> None:
        super().__init__()
        self.kind = Density(kind)
        self.spec = Spec("table", (1, 2, 2), 2, self.kind, Family.TRACTABLE, classes=classes)
        self.table = Noise(5).normal(K, (16,), stream="table").softmax(1)
        self.asked: list[tuple[str | None, int, Noise | int | None]] = []

    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        raise NotImplementedError

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        assert labels is not None
        self.asked.append((method, samples, noise))
        nats = self.table[labels, self.number(x)].log()
        error = None if self.kind == Density.EXACT else nats.abs() / 10
        return LogProb(nats, self.kind, "looked up", samples, standard_error=error)

    @staticmethod
    def number(x: Tensor) -> Tensor:
        return (x.flatten(1).long() * WEIGHTS).sum(1)


class QuickTable(Table):
    def log_prob_by_class(self, x: Tensor) -> Tensor:
        return self.table[:, self.number(x)].log()


def pixelcnn(classes: int = K) -> PixelCNN:
    torch.manual_seed(0)
    net = PixelCNN(shape=(1, 2, 2), levels=2, channels=4, layers=1, classes=classes, embedding=2, hidden=4)
    for weight in net.parameters():  # as it is made it is nearly uniform
        weight.data.normal_(generator=torch.Generator().manual_seed(weight.numel()))
    return net.double().eval()


# p(x|y)


def test_p_of_x_given_y_is_that_of_the_table() -> None:
    model = Table()
    found = by_class(model, SPACE)
    torch.testing.assert_close(found.nats.exp(), model.table)
    assert (found.kind, found.method, found.samples, found.standard_error) == (Density.EXACT, "looked up", 1, None)


def test_a_model_that_says_all_classes_at_once_is_asked_once() -> None:
    model = QuickTable()
    torch.testing.assert_close(by_class(model, SPACE).nats, by_class(Table(), SPACE).nats)
    assert model.asked == []
    by_class(model, SPACE, method="looked up")
    assert [method for method, _, _ in model.asked] == ["looked up"] * K  # a method by name is not passed over


def test_the_quick_way_of_a_pixelcnn_is_its_slow_way() -> None:
    net = pixelcnn()
    found = by_class(net, SPACE)
    told = [torch.full((16,), y) for y in range(K)]
    slow = torch.stack([net.log_prob(SPACE, labels=y).nats for y in told])
    torch.testing.assert_close(found.nats, slow.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.nats.exp().sum(1), torch.ones(K, dtype=torch.float64))
    assert (found.kind, found.method) == (Density.EXACT, "exact")
    assert not found.nats.requires_grad
    with pytest.raises(ValueError, match="'elbo' is not 'exact'"):
        by_class(net, SPACE, method="elbo")


@pytest.mark.parametrize(("method", "kind"), [("elbo", Density.LOWER_BOUND), ("importance", Density.ESTIMATE)])
def test_the_evidence_of_a_vae_is_what_the_vae_itself_says(method: str, kind: Density) -> None:
    torch.manual_seed(0)
    vae = VAE(latent=2, shape=(1, 2, 2), levels=2, network="mlp", hidden=4, classes=K).double().eval()
    given = by_class(vae, SPACE, method=method, samples=5, noise=3)
    found, own = labels(given), vae.log_prob(SPACE, method=method, samples=5, noise=3)
    torch.testing.assert_close(found.log_prob, own.nats.detach(), rtol=0, atol=1e-12)
    assert (given.samples, given.method, found.kind) == (own.samples, own.method, kind)
    assert own.kind == kind
    assert found.posterior_kind == Density.ESTIMATE
    second = vae.log_prob(SPACE, labels=torch.full((16,), 1), method=method, samples=5, noise=3)
    assert given.standard_error is not None and second.standard_error is not None
    torch.testing.assert_close(given.standard_error[1], second.standard_error.detach())


def test_a_picture_means_the_same_in_a_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vae = VAE(latent=2, shape=(1, 2, 2), levels=2, network="mlp", hidden=4, classes=K).double().eval()
    whole = by_class(vae, SPACE, samples=2, noise=3)
    monkeypatch.setattr(bayes, "CHUNK", 5)
    pieces = by_class(vae, SPACE, samples=2, noise=3)
    torch.testing.assert_close(pieces.nats, whole.nats, rtol=0, atol=1e-12)
    assert pieces.standard_error is not None and pieces.standard_error.shape == (K, 16)


def test_no_pictures_have_no_labels() -> None:
    assert by_class(Table(), SPACE[:0]).nats.shape == (K, 0)
    assert labels(by_class(pixelcnn(), SPACE[:0])).log_posterior.shape == (K, 0)


# p(y|x) and p(x)


@pytest.mark.parametrize("prior", [None, PRIOR])
def test_posterior_and_evidence_are_those_of_the_joint_table(prior: list[float] | None) -> None:
    model = Table()
    found = labels(by_class(model, SPACE), None if prior is None else torch.tensor(prior, dtype=torch.float64))
    p_y = prior or [1 / K] * K
    for i in range(16):
        joint = [float(model.table[y, i]) * p_y[y] for y in range(K)]
        assert float(found.log_prob[i].exp()) == pytest.approx(sum(joint), rel=1e-12)
        assert found.log_posterior[:, i].exp().tolist() == pytest.approx([j / sum(joint) for j in joint], rel=1e-12)
    assert float(found.log_prob.exp().sum()) == pytest.approx(1)
    assert (found.kind, found.posterior_kind) == (Density.EXACT, Density.EXACT)


def test_over_all_pictures_the_posterior_gives_the_prior_back() -> None:
    """Σ_x p(x) p(y|x) = p(y)."""
    found = labels(by_class(pixelcnn(), SPACE), torch.tensor(PRIOR, dtype=torch.float64))
    given_back = (found.log_prob + found.log_posterior).exp().sum(1)
    torch.testing.assert_close(given_back, torch.tensor(PRIOR, dtype=torch.float64), rtol=0, atol=1e-12)
    assert float(found.log_posterior.exp().std(1).min()) > 0.01  # the pictures do say something of the class


def test_pictures_of_thousands_of_nats_neither_underflow_nor_overflow() -> None:
    nats = torch.tensor([[-5000.0], [-5001.0]], dtype=torch.float64)
    found = labels(ByClass(nats, Density.EXACT, "exact"))
    assert float(found.log_posterior[0].exp()) == pytest.approx(1 / (1 + math.exp(-1)))
    assert float(found.log_prob) == pytest.approx(-5000 + math.log((1 + math.exp(-1)) / 2))


def test_a_class_that_cannot_make_the_picture_has_posterior_0() -> None:
    nats = torch.tensor([[-1.0], [-math.inf]], dtype=torch.float64)
    assert labels(ByClass(nats, Density.EXACT, "exact")).log_posterior.exp().flatten().tolist() == [1, 0]


@pytest.mark.parametrize(
    ("kind", "posterior"),
    [("exact", Density.EXACT), ("lower bound", Density.ESTIMATE), ("estimate", Density.ESTIMATE)],
)
def test_a_quotient_of_bounds_is_an_estimate_and_their_sum_a_bound(kind: str, posterior: Density) -> None:
    found = labels(by_class(Table(kind), SPACE))
    assert (found.kind, found.posterior_kind) == (Density(kind), posterior)


# Saying no


def test_a_strange_picture_has_a_sure_label_and_is_turned_away() -> None:
    """Two Gaussians at ±1: at 20 the posterior is all but 1, and the evidence all but 0."""

    def nats(x: Tensor) -> ByClass:
        middles = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
        return ByClass(-(x - middles).square() / 2 - math.log(2 * math.pi) / 2, Density.EXACT, "exact")

    drawn = torch.where(torch.arange(500) % 2 == 0, 1.0, -1.0) + Noise(1).normal(500, stream="test")
    held_out = -labels(nats(drawn)).log_prob
    asked = labels(nats(torch.tensor([0.9, 20.0], dtype=torch.float64)))
    assert asked.log_posterior[1].exp().tolist() == pytest.approx([0.858, 1], abs=1e-3)
    assert reject(-asked.log_prob, held_out, alpha=0.05, noise=0).tolist() == [False, True]


@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_of_pictures_like_the_held_out_ones_the_share_alpha_is_turned_away(alpha: float) -> None:
    scores = (Noise(1).uniform(24_000, stream="test") * 20).floor()  # with ties
    away = reject(scores[:4000], scores[4000:], alpha=alpha, noise=2)
    assert float(away.double().mean()) == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) * (1 / 4000 + 1 / 20_000)))


# Coverage


def slowly(confidence: Tensor, correct: Tensor) -> list[tuple[float, float, float]]:
    """(threshold, coverage, error) at each distinct confidence."""
    points = []
    for threshold in sorted(set(confidence.tolist()), reverse=True):
        taken = [right for c, right in zip(confidence.tolist(), correct.tolist(), strict=True) if c >= threshold]
        points.append((threshold, len(taken) / len(correct), sum(not right for right in taken) / len(taken)))
    return points


@pytest.mark.parametrize("values", [4, 10**9])
def test_the_coverage_curve_counts_what_each_threshold_accepts(values: int) -> None:
    confidence = (Noise(1).uniform(60, stream="confidence") * values).floor() / values
    correct = Noise(1).uniform(60, stream="correct") < confidence
    found, expected = coverage_curve(confidence, correct), slowly(confidence, correct)
    assert found.threshold.tolist() == [t for t, _, _ in expected]
    assert found.coverage.tolist() == pytest.approx([c for _, c, _ in expected])
    assert found.error.tolist() == pytest.approx([e for _, _, e in expected])
    steps = torch.arange(1, 6001) / 6000 - 1 / 12_000  # the mean over coverages, on a fine grid
    needed = [next(e for _, c, e in expected if c >= share) for share in steps.tolist()]
    assert found.area == pytest.approx(sum(needed) / 6000, abs=1e-12)


def test_without_ties_the_area_is_the_mean_over_the_pictures_accepted_so_far() -> None:
    curve = coverage_curve(torch.tensor([0.9, 0.2, 0.6]), torch.tensor([True, False, False]))
    assert curve.error.tolist() == pytest.approx([0, 1 / 2, 2 / 3])
    assert curve.area == pytest.approx((0 + 1 / 2 + 2 / 3) / 3)


def test_confidence_that_knows_its_errors_has_the_least_area_and_its_mirror_the_greatest() -> None:
    correct = Noise(2).uniform(50, stream="correct") < 0.7
    areas = [
        coverage_curve(confidence, correct).area
        for confidence in (correct.double(), Noise(3).uniform(50, stream="confidence"), -correct.double())
    ]
    assert areas == sorted(areas)
    wrong = float((~correct).double().mean())
    assert areas[0] == pytest.approx(wrong * wrong)  # no error up to the share right, then all errors at once
    assert areas[2] == pytest.approx(wrong + (1 - wrong) * wrong)


def test_an_outlier_is_wrong_whenever_it_is_accepted() -> None:
    confidence, correct = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([True, True, True])
    outlier = [
        coverage_curve(torch.cat([confidence, torch.tensor([c])]), torch.cat([correct, torch.tensor([False])]))
        for c in (4.0, 0.0)
    ]
    assert float(outlier[0].error[0]) == 1
    assert outlier[1].error.tolist() == pytest.approx([0, 0, 0, 1 / 4])


def test_at_least_the_share_asked_for_is_accepted_and_no_more_than_needed() -> None:
    confidence = torch.tensor([0.9, 0.9, 0.8, 0.5, 0.5, 0.5, 0.3, 0.2, 0.1, 0.0], dtype=torch.float64)
    correct = torch.tensor([True, True, False, True, True, False, True, False, True, False])
    curve = coverage_curve(confidence, correct)
    for share in (0.01, 0.2, 0.1 + 0.2, 0.31, 0.6, 0.75, 1.0):
        found = accepted_at(curve, share)
        expected = next(point for point in slowly(confidence, correct) if point[1] >= share - 1e-9)
        assert (found.threshold, found.coverage, found.error) == pytest.approx(expected)


# What it refuses


def bounds(*nats: float) -> ByClass:
    return ByClass(torch.tensor(nats, dtype=torch.float64)[:, None], Density.EXACT, "exact")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: by_class(Table(classes=0), SPACE), "This table has no classes"),
        (lambda: by_class(pixelcnn(0), SPACE), "This pixelcnn has no classes"),
        (lambda: by_class(Table("none"), SPACE), "This table says no probabilities"),
        (lambda: labels(bounds(-1, -2), torch.tensor([1.0])), "A prior of 2 classes is (2,), not (1,)."),
        (lambda: labels(bounds(-1, -2), torch.tensor([1.0, 0.0])), "Prior probability 0 of class 1 is not above 0."),
        (lambda: labels(bounds(-1, -2), torch.tensor([0.5, 0.25])), "Prior probabilities sum to 0.75, not to 1."),
        (lambda: labels(bounds(-1, -2), torch.tensor([0.5, torch.nan])), "number 1 is nan"),
        (lambda: labels(bounds(-math.inf, -math.inf)), "log p(x|y) of picture 0 is [-inf, -inf]"),
        (lambda: labels(bounds(-1, math.nan)), "log p(x|y) of picture 0 is [-1.0, nan]"),
        (lambda: reject(torch.ones(2), torch.ones(2), alpha=0, noise=0), "alpha 0 is not between 0 and 1."),
        (lambda: reject(torch.ones(2), torch.ones(0), alpha=0.1, noise=0), "0 calibration scores are too few"),
        (lambda: coverage_curve(torch.ones(2), torch.ones(2)), "correct is bool (2,), not torch.float32 (2,)."),
        (lambda: coverage_curve(torch.ones(2), torch.ones(3) > 0), "correct is bool (2,), not torch.bool (3,)."),
        (lambda: coverage_curve(torch.ones(0), torch.ones(0) > 0), "0 confidences are too few"),
        (lambda: accepted_at(coverage_curve(torch.ones(2), torch.ones(2) > 0), 0), "The share 0 is not above 0"),
    ],
)
def test_bad_input_gets_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
