"""The few-label probe on blobs whose accuracy is known, and against scikit-learn used directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.measures.probe import Probe, choose, few_label_probe
from models.noise import Noise


def blobs(distance: float, n: int = 300, classes: int = 3, d: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Round Gaussians of spread 1, class c's middle `distance` along axis c."""
    labels = torch.arange(n) % classes
    middles = distance * torch.eye(classes, d, dtype=torch.float64)
    return middles[labels] + Noise(seed).normal(n, (d,), stream="blobs"), labels


def probe(distance: float, *, per_class: int = 10, repeats: int = 4, seed: int = 1, scale: float = 1.0) -> Probe:
    features, labels = blobs(distance)
    test_features, test_labels = blobs(distance, n=600, seed=1)
    return few_label_probe(
        features * scale,
        labels,
        per_class=per_class,
        classes=3,
        test_features=test_features * scale,
        test_labels=test_labels,
        repeats=repeats,
        seed=seed,
    )


def test_far_blobs_are_told_apart_and_near_ones_are_not() -> None:
    assert probe(20.0).mean == 1
    assert probe(0.0).mean == pytest.approx(1 / 3, abs=0.06)


def test_with_many_labels_the_accuracy_is_that_of_the_best_classifier() -> None:
    """Two round blobs 2 apart: the best rule is right with probability Φ(1)."""
    features, labels = blobs(2 / np.sqrt(2), n=1000, classes=2, d=2)
    test_features, test_labels = blobs(2 / np.sqrt(2), n=4000, classes=2, d=2, seed=5)
    found = few_label_probe(
        features,
        labels,
        per_class=400,
        classes=2,
        test_features=test_features,
        test_labels=test_labels,
        repeats=2,
        seed=0,
    )
    assert found.mean == pytest.approx(stats.norm.cdf(1), abs=0.02)


def test_it_is_scikit_learn_on_the_chosen_examples() -> None:
    features, labels = blobs(2.0)
    test_features, test_labels = blobs(2.0, n=600, seed=1)
    found = probe(2.0, repeats=3, seed=9)
    expected = []
    for repeat in range(3):
        few = choose(labels, 10, 3, Noise(9, step=repeat))
        scaler = StandardScaler().fit(features.numpy())
        model = make_pipeline(scaler, LogisticRegression(max_iter=1000))
        # A pipeline would fit its scaler again, on the few: only the last step is fitted here.
        model[-1].fit(scaler.transform(features.numpy()[few]), labels.numpy()[few])
        expected.append(model.score(test_features.numpy(), test_labels.numpy()))
    np.testing.assert_allclose(found.accuracies, expected)
    assert len(set(expected)) > 1  # the choice of labels matters, and each repeat makes its own
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.std == pytest.approx(np.std(expected, ddof=1))


def test_the_unit_of_a_feature_does_not_matter() -> None:
    np.testing.assert_allclose(probe(1.0, scale=1000.0, repeats=2).accuracies, probe(1.0, repeats=2).accuracies)


def test_the_choice_is_repeatable_balanced_and_nested() -> None:
    labels = torch.randint(4, (200,), generator=torch.Generator().manual_seed(0))
    few, more = (choose(labels, k, 4, Noise(3)) for k in (5, 9))
    assert torch.equal(few, choose(labels, 5, 4, Noise(3)))
    assert not torch.equal(few, choose(labels, 5, 4, Noise(4)))
    assert labels[few].bincount().tolist() == [5] * 4
    assert len(few.unique()) == 20
    assert set(few.tolist()) < set(more.tolist())
    once = probe(1.0, repeats=2)
    assert once == probe(1.0, repeats=2)
    assert once != probe(1.0, repeats=2, seed=2)


def test_images_are_flattened_and_a_constant_feature_does_no_harm() -> None:
    features, labels = blobs(20.0)
    features = torch.cat([features, torch.full((300, 2), 7.0)], 1).reshape(300, 1, 2, 3)
    found = few_label_probe(
        features, labels, per_class=3, classes=3, test_features=features, test_labels=labels, repeats=2, seed=0
    )
    assert found.mean == 1


def test_what_cannot_be_probed_is_refused() -> None:
    features, labels = blobs(1.0)
    short = torch.where(labels == 2, 0, labels)

    def attempt(labels: Tensor, classes: int, repeats: int = 2) -> None:
        few_label_probe(features, labels, classes=classes, test_features=features, test_labels=labels, repeats=repeats, seed=0)

    with pytest.raises(ValueError, match="Class 2 has 0 examples, fewer than 10"):
        attempt(short, 3)
    with pytest.raises(ValueError, match="Label 2 is not within 0 and 1"):
        attempt(labels, 2)
    with pytest.raises(ValueError, match="1 repeats"):
        attempt(labels, 3, repeats=1)
    with pytest.raises(ValueError, match="1 classes"):
        attempt(labels * 0, 1)
