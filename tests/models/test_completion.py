"""Completions against p(whole | part) itself, on spaces small enough to write down every image with its probability.

The tables come from log p(x, y) of all images; conditionals and proposals are sums and quotients of table entries, so that
nothing of the weights' own code is in them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given as holds_for
from hypothesis import strategies as st
from torch import Tensor

from models import completion
from models.completion import Completions, complete, known_prefix, labels_given, systematic, weigh
from models.noise import Noise
from models.pixelcnn import PixelCNN

Space = tuple[tuple[int, int, int], int, int]  # shape, levels, and a seed for weights under which little is independent
GREY: Space = ((1, 2, 3), 2, 6)  # 64 images
COLOUR: Space = ((3, 1, 2), 3, 2)  # 729 images

# Masks in the order of writing, one digit a sub-pixel.
PREFIX, LATE, MIXED, LAST, NONE, ALL = "110000", "000110", "100101", "000001", "000000", "111111"
WHOLE = "101101"  # what is known, where it is: values in the order of writing, for both spaces


def tiny(space: Space, classes: int, gated: bool = True) -> PixelCNN:
    """All parameters random and large: every sub-pixel depends on the label and on those before it."""
    shape, levels, seed = space
    model = PixelCNN(shape, levels=levels, channels=4, layers=1, classes=classes, gated=gated, embedding=2, hidden=6).double()
    with torch.no_grad():
        for i, (name, parameter) in enumerate(model.named_parameters()):
            parameter.copy_((2.5 if "label" in name else 0.7) * Noise(seed, i).normal(1, parameter.shape, stream="weights")[0])
    return model.eval()


def scan(values: str, model: PixelCNN) -> Tensor:
    """Digits in the order of writing as uint8 `(C, H, W)`."""
    c, h, w = model.spec.shape
    return torch.tensor([int(v) for v in values], dtype=torch.uint8).reshape(h, w, c).permute(2, 0, 1)


@dataclass(frozen=True)
class Table:
    """Every image of a model in the order of writing, as a grid with one axis a sub-pixel, and p(x|y) on it."""

    model: PixelCNN
    images: Tensor  # uint8 (N, C, H, W)
    p: np.ndarray  # (K, levels, ..., levels); K is 1 where there are no classes

    @classmethod
    def of(cls, model: PixelCNN) -> Table:
        levels, t, classes = model.spec.levels, model.spec.dims, model.spec.classes
        images = torch.stack([scan("".join(map(str, v)), model) for v in itertools.product(range(levels), repeat=t)])
        labels: list[Tensor | None] = [torch.full((len(images),), y) for y in range(classes)]
        p = np.stack([model.log_prob(images, labels=y).nats.exp().detach().numpy() for y in labels or [None]])
        return cls(model, images, p.reshape(-1, *[levels] * t))

    def conditional(self, t: int) -> np.ndarray:
        """p(x_t | x_<t, y), broadcast over the later axes."""
        later = tuple(range(t + 2, self.p.ndim))
        upto = self.p.sum(later, keepdims=True)
        return upto / upto.sum(t + 1, keepdims=True)

    def agrees(self, known: str, values: str = WHOLE) -> np.ndarray:
        """1 where an image has the known values, 0 elsewhere."""
        grid = np.ones_like(self.p)
        for t, (k, v) in enumerate(zip(known, values, strict=True)):
            if k == "1":
                keep = np.arange(self.p.shape[t + 1]) == int(v)
                grid *= keep.reshape([-1 if axis == t + 1 else 1 for axis in range(self.p.ndim)])
        return grid

    def target(self, known: str, label: int | None = None) -> np.ndarray:
        """p(x, y | known), or p(x | known, y) where the label is given: `(K, N)`."""
        joint = self.p * self.agrees(known)
        if label is not None:
            joint = joint * (np.arange(len(joint)) == label).reshape(-1, *[1] * (self.p.ndim - 1))
        return (joint / joint.sum()).reshape(len(joint), -1)

    def proposal(self, known: str, label: int | None = None, temperature: float = 1.0) -> np.ndarray:
        """What the images are draws from: y given the known ones that lead, then each unknown sub-pixel: `(K, N)`."""
        leading = "1" * (known + "0").index("0")
        y = self.target(leading.ljust(len(known), "0"), label).sum(1)
        q = self.agrees(known) * y.reshape(-1, *[1] * (self.p.ndim - 1))
        for t, k in enumerate(known):
            if k == "0":
                tempered = self.conditional(t) ** (1 / temperature)
                q = q * tempered / tempered.sum(t + 1, keepdims=True)
        return q.reshape(len(q), -1)

    def places(self, done: Completions, which: Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Row (label) and column (image) in the table of each completion."""
        images = done.images if which is None else done.images[which]
        digits = images.permute(0, 2, 3, 1).flatten(1).long()
        powers = self.model.spec.levels ** torch.arange(self.model.spec.dims - 1, -1, -1)
        labels = torch.zeros(len(images), dtype=torch.int64) if done.labels is None else done.labels
        return (labels if which is None or done.labels is None else labels[which]).numpy(), (digits * powers).sum(1).numpy()

    def counts(self, done: Completions, which: Tensor | None = None) -> np.ndarray:
        counts = np.zeros((len(self.p), len(self.images)))
        np.add.at(counts, self.places(done, which), 1)
        return counts

    def mean(self, p: np.ndarray) -> np.ndarray:
        """The mean image of p over images `(N,)`."""
        return np.tensordot(p, self.images.double().numpy(), 1)


def complete_tiny(model: PixelCNN, known: str, n: int, label: int | None = None, **settings: object) -> Completions:
    labels = None if label is None else torch.full((n,), label)
    mask = scan(known, model).bool()
    return complete(model, scan(WHOLE, model), mask, n, noise=Noise(5), labels=labels, **settings)  # type: ignore[arg-type]


def assert_frequencies(counts: np.ndarray, p: np.ndarray) -> None:
    """Pearson's test; cells that expect fewer than 5 are joined."""
    counts, expected = counts.ravel(), counts.sum() * p.ravel()
    assert not counts[expected == 0].any()
    few = expected < 5
    counts = np.append(counts[~few], counts[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    if expected[-1] < 1:
        counts, expected = counts[:-1], expected[:-1] * counts[:-1].sum() / expected[:-1].sum()
    assert len(counts) > 3
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.parametrize(
    ("space", "classes", "label", "known", "gated"),
    [
        (GREY, 3, None, PREFIX, True),
        (GREY, 3, 1, PREFIX, True),
        (GREY, 0, None, PREFIX, False),
        (GREY, 2, None, NONE, True),
        (COLOUR, 2, None, PREFIX, True),  # the prefix ends inside a pixel
        (COLOUR, 2, None, "111000", False),
    ],
)
def test_a_known_prefix_is_completed_exactly(space: Space, classes: int, label: int | None, known: str, gated: bool) -> None:
    model = tiny(space, classes, gated=gated)
    table, done = Table.of(model), complete_tiny(model, known, 3000, label)
    assert done.exact
    assert_frequencies(table.counts(done), table.target(known, label))


def test_a_label_drawn_without_what_is_known_would_be_wrong() -> None:
    model = tiny(GREY, 3)
    posterior = Table.of(model).target(PREFIX).sum(1)
    assert 0.5 * np.abs(posterior - 1 / 3).sum() > 0.2  # so the test above could have failed


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
@pytest.mark.parametrize("known", [LATE, MIXED, LAST, PREFIX, NONE])
@pytest.mark.parametrize(
    ("space", "classes", "label"), [(GREY, 0, None), (GREY, 3, None), (GREY, 3, 2), (COLOUR, 2, None), (COLOUR, 2, 0)]
)
def test_weights_are_those_of_the_target_over_the_proposal(
    space: Space, classes: int, label: int | None, known: str, temperature: float
) -> None:
    model = tiny(space, classes)
    table, done = Table.of(model), complete_tiny(model, known, 40, label, temperature=temperature)
    target, proposal = table.target(known, label), table.proposal(known, label, temperature)
    assert proposal.sum() == pytest.approx(1)
    where = table.places(done)
    # w = target / proposal, times p(known later | known that leads, and the label where it is given)
    leading = "1" * (known + "0").index("0")
    joint = table.p if label is None else table.p[label : label + 1]
    agree = [table.agrees(k)[: len(joint)] for k in (known, leading.ljust(len(known), "0"))]
    evidence = (joint * agree[0]).sum() / (joint * agree[1]).sum()
    np.testing.assert_allclose(done.log_weights, np.log(target[where] / proposal[where] * evidence), atol=1e-10)
    assert done.log_weights.dtype == torch.float64
    assert done.exact == (temperature == 1 and known in (PREFIX, NONE))


@pytest.mark.parametrize(("known", "temperature"), [(LATE, 1.0), (MIXED, 1.0), (LATE, 1.6), (PREFIX, 1.6), (LATE, 0.8)])
@pytest.mark.parametrize(("space", "classes"), [(GREY, 3), (COLOUR, 2)])
def test_the_weighted_mean_is_that_of_the_posterior_and_the_unweighted_is_not(
    space: Space, classes: int, known: str, temperature: float
) -> None:
    model, n = tiny(space, classes), 2500
    table, done = Table.of(model), complete_tiny(model, known, n, temperature=temperature)
    target, proposal = table.target(known), table.proposal(known, temperature=temperature)
    exact, x = table.mean(target.sum(0)), done.images.double().numpy()
    squares = np.divide(target**2, proposal, out=np.zeros_like(target), where=proposal > 0).sum(0)
    off = table.images.double().numpy() - exact
    error = np.sqrt(np.tensordot(squares, off**2, 1) / n)  # of a ratio of means: ∫ p²/q (x − μ)², by the delta method
    assert error.max() < 0.05
    assert (np.abs(done.mean.numpy() - exact) <= 4.5 * error + 1e-12).all()
    assert (np.abs(x.mean(0) - exact) / (x.std(0) / math.sqrt(n) + 1e-9)).max() > 6
    assert np.abs(x.mean(0) - exact).max() > 2 * np.abs(done.mean.numpy() - exact).max()


@pytest.mark.parametrize(("known", "temperature"), [(LATE, 1.0), (MIXED, 1.4)])
def test_images_drawn_again_approach_the_posterior(known: str, temperature: float) -> None:
    model, n = tiny(GREY, 3), 4000
    table, done = Table.of(model), complete_tiny(model, known, n, temperature=temperature)

    def distance(counts: np.ndarray) -> float:
        """In total variation, of images and labels together."""
        return float(0.5 * np.abs(counts / n - table.target(known)).sum())

    before, after = distance(table.counts(done)), distance(table.counts(done, done.resampled))
    assert before > 0.1
    assert after < 0.04


def test_the_mean_weight_estimates_how_probable_the_later_part_is() -> None:
    model, n = tiny(GREY, 3), 2500
    table, done = Table.of(model), complete_tiny(model, MIXED, n)
    evidence = (table.p * table.agrees(MIXED)).sum() / (table.p * table.agrees("100000")).sum()
    w = done.log_weights.exp()
    assert abs(float(w.mean()) - evidence) < 4 * float(w.std()) / math.sqrt(n)
    assert float(w.std()) / math.sqrt(n) < 0.05 * evidence


def test_an_exact_completion_has_equal_weights_and_is_not_drawn_again() -> None:
    model, n = tiny(GREY, 2), 9
    done = complete_tiny(model, PREFIX, n)
    assert done.exact
    assert done.effective_samples == n
    assert torch.equal(done.log_weights, torch.zeros(n, dtype=torch.float64))
    assert torch.equal(done.resampled, torch.arange(n))
    torch.testing.assert_close(done.mean, done.images.double().mean(0))


def test_effective_samples_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = torch.tensor([1.0, 1.0, 2.0, 4.0], dtype=torch.float64).log() - 900  # far below what exp can hold
    monkeypatch.setattr(completion, "_log_weights", lambda *_: logs)
    done = complete_tiny(tiny(GREY, 0), LATE, 4)
    assert done.effective_samples == pytest.approx((1 + 1 + 2 + 4) ** 2 / (1 + 1 + 4 + 16))
    x = done.images.double()
    torch.testing.assert_close(done.mean, (x[0] + x[1] + 2 * x[2] + 4 * x[3]) / 8)
    assert set(done.resampled.tolist()) >= {2, 3}  # 4 · 2/8 and 4 · 4/8: at least one each


@holds_for(st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda w: sum(w) > 1e-3), st.integers(0, 2**32))
def test_drawing_again_takes_each_as_often_as_its_share_rounded(shares: list[float], seed: int) -> None:
    weights = torch.tensor(shares, dtype=torch.float64) / sum(shares)
    drawn = systematic(weights, Noise(seed))
    assert len(drawn) == len(shares)
    assert (drawn.diff() >= 0).all()
    times, wanted = drawn.bincount(minlength=len(shares)), weights * len(shares)
    assert ((times - wanted).abs() < 1 + 1e-9).all()
    assert not times[weights == 0].any()


def test_drawing_again_is_right_on_average() -> None:
    weights = torch.tensor([0.05, 0.4, 0.15, 0.3, 0.1], dtype=torch.float64)
    times = torch.stack([systematic(weights, Noise(seed)).bincount(minlength=5) for seed in range(2000)]).double()
    assert (times.mean(0) - 5 * weights).abs().max() < 4 * 0.5 / math.sqrt(2000)  # a count of two neighbours: σ ≤ ½


@pytest.mark.parametrize("known", [PREFIX, LATE, MIXED, LAST, NONE, ALL])
def test_what_is_known_stays_and_what_stands_elsewhere_makes_no_difference(known: str) -> None:
    model = tiny(GREY, 3)
    mask, whole = scan(known, model).bool(), scan(WHOLE, model)
    done = complete(model, whole, mask, 30, noise=3)
    assert (done.images[:, mask] == whole[mask]).all()
    assert known == ALL or not (done.images[:, ~mask] == whole[~mask]).all()
    other = complete(model, torch.where(mask, whole, 255).to(torch.uint8), mask, 30, noise=3)  # no level of this model
    for name in ("images", "labels", "log_weights", "resampled", "mean"):
        assert torch.equal(getattr(done, name), getattr(other, name))


def test_all_known_is_one_image_many_times() -> None:
    done = complete_tiny(tiny(GREY, 2), ALL, 5)
    assert done.exact
    assert complete_tiny(tiny(GREY, 2), ALL, 5, temperature=1.5).exact
    torch.testing.assert_close(done.mean, scan(WHOLE, tiny(GREY, 2)).double())


@pytest.mark.parametrize("space", [GREY, COLOUR])
@pytest.mark.parametrize("known", [NONE, PREFIX, MIXED, LATE, ALL])
def test_labels_follow_the_posterior_of_the_leading_part(space: Space, known: str) -> None:
    model = tiny(space, 3)
    table, n = Table.of(model), 20_000
    leading = ("1" * (known + "0").index("0")).ljust(len(known), "0")
    labels = labels_given(model, scan(WHOLE, model), scan(known, model).bool(), n, Noise(7))
    counts = torch.bincount(labels, minlength=3).numpy()
    assert scipy.stats.chisquare(counts, n * table.target(leading).sum(1)).pvalue > 1e-3


def test_labels_are_drawn_by_inversion_at_the_images_own_numbers() -> None:
    model = tiny(GREY, 3)
    posterior = Table.of(model).target(PREFIX).sum(1)
    uniform = Noise(7).uniform(50, (), stream="label").numpy()
    labels = labels_given(model, scan(WHOLE, model), scan(PREFIX, model).bool(), 50, Noise(7))
    assert labels.tolist() == np.searchsorted(posterior.cumsum(), uniform).tolist()


def test_where_nothing_is_known_completions_are_samples() -> None:
    model = tiny(GREY, 3)
    done = complete(model, scan(WHOLE, model), torch.zeros(2, 3, dtype=torch.bool), 20, noise=11)
    assert torch.equal(done.images, model.sample(20, noise=11))


def test_the_first_completions_do_not_depend_on_how_many_there_are() -> None:
    model = tiny(GREY, 3)
    few, many = complete_tiny(model, MIXED, 4), complete_tiny(model, MIXED, 11)
    assert torch.equal(few.images, many.images[:4])
    torch.testing.assert_close(few.log_weights, many.log_weights[:4])


@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_images_written_elsewhere_are_weighed_the_same(temperature: float) -> None:
    model, noise = tiny(GREY, 3), Noise(5)
    done = complete_tiny(model, MIXED, 12, temperature=temperature)
    mask, whole = scan(MIXED, model).bool(), scan(WHOLE, model)
    labels = labels_given(model, whole, mask, 12, noise)
    images = model.sample(12, noise=noise, labels=labels, given=whole, mask=mask, temperature=temperature)
    again = weigh(model, images, mask, labels, noise=noise, temperature=temperature)
    for name in ("images", "labels", "log_weights", "resampled", "mean"):
        assert torch.equal(getattr(done, name), getattr(again, name))
    assert (again.exact, again.effective_samples) == (done.exact, done.effective_samples)


def test_pieces_that_bound_memory_change_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny(COLOUR, 2)
    whole = complete_tiny(model, MIXED, 11, temperature=1.2)
    seen: list[int] = []
    logits = model.logits
    monkeypatch.setattr(completion, "CHUNK", 4)

    def counted(x: Tensor, labels: Tensor | None) -> Tensor:
        seen.append(len(x))
        return logits(x, labels)

    monkeypatch.setattr(model, "logits", counted)
    pieces = complete_tiny(model, MIXED, 11, temperature=1.2)
    assert seen == [4, 4, 3]
    torch.testing.assert_close(whole.log_weights, pieces.log_weights)
    torch.testing.assert_close(whole.mean, pieces.mean)


def test_results_are_ordinary_tensors() -> None:
    done = complete_tiny(tiny(GREY, 2), MIXED, 3)
    for tensor in (done.images, done.labels, done.log_weights, done.resampled, done.mean):
        assert tensor is not None
        assert not tensor.is_inference()
        assert not tensor.requires_grad


@holds_for(st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_known_prefix_ends_at_the_first_unknown(known: list[bool]) -> None:
    for shape in ((3, 1, 2), (1, 2, 3), (1, 6, 1)):
        c, h, w = shape
        mask = torch.tensor(known).reshape(h, w, c).permute(2, 0, 1)
        until = [*known, False].index(False)
        assert known_prefix(mask).permute(1, 2, 0).flatten().tolist() == [True] * until + [False] * (6 - until)


def test_what_cannot_be_completed_is_refused_with_a_reason() -> None:
    model, plain = tiny(GREY, 3), tiny(GREY, 0)
    whole, mask = scan(WHOLE, model), scan(MIXED, model).bool()

    def refused(match: str, **changed: object) -> None:
        arguments = {"model": model, "given": whole, "mask": mask, "n": 4, "noise": 0} | changed
        with pytest.raises(ValueError, match=match):
            complete(**arguments)  # type: ignore[arg-type]

    refused("at least 1", n=0)
    refused("above 0", temperature=0.0)
    refused("above 0", temperature=-1.0)
    refused("above 0", temperature=math.inf)
    refused("above 0", temperature=math.nan)
    refused("One image", given=whole.expand(4, 1, 2, 3))
    refused("One image", mask=mask.expand(4, 1, 2, 3))
    refused("What is given", given=whole.float())
    refused("A mask is bool", mask=mask.to(torch.uint8))
    refused("A mask is bool", mask=mask[:, :, :2])
    refused("Pixel value 2", given=whole + 1)
    refused(r"\[0, 1, 2\] differ", labels=torch.tensor([0, 1, 2, 0]))
    refused("Labels 3 to 3", labels=torch.full((4,), 3))
    refused("Labels are int64", labels=torch.zeros(5, dtype=torch.int64))
    refused("no classes", model=plain, labels=torch.zeros(4, dtype=torch.int64))


def test_images_that_cannot_be_weighed_are_refused_with_a_reason() -> None:
    model, plain = tiny(GREY, 3), tiny(GREY, 0)
    mask, labels = scan(MIXED, model).bool(), torch.zeros(4, dtype=torch.int64)
    images = complete_tiny(model, MIXED, 4, 0).images
    differing = images.clone()
    differing[2, 0, 0, 0] ^= 1  # a known sub-pixel

    def refused(match: str, **changed: object) -> None:
        arguments = {"model": model, "images": images, "known": mask, "labels": labels, "noise": 0} | changed
        with pytest.raises(ValueError, match=match):
            weigh(**arguments)  # type: ignore[arg-type]

    refused("must agree", images=differing)
    refused("at least 1", images=images[:0], labels=labels[:0])
    refused("Images are uint8", images=images.float())
    refused("labels that images were written with", labels=None)
    refused("Labels are int64", labels=labels[:3])
    refused("no classes", model=plain)
    refused("A mask is bool", known=mask[:, :1])
    refused("above 0", temperature=0.0)
    with pytest.raises(ValueError, match="no classes"):
        labels_given(plain, images[0], mask, 4, Noise(0))
