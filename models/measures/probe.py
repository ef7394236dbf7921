"""What few labels are worth: a linear classifier on features that were learned without any.

Features are good if what people care about can be read from them by a straight line, from a handful of examples. The scaler
sees all training features, since pictures without labels cost nothing; the logistic regression sees only the few with labels.
Source: Alain and Bengio (2017), "Understanding intermediate layers using linear classifier probes".
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.noise import Noise

ITERATIONS = 1000  # of L-BFGS, at most


@dataclass(frozen=True)
class Probe:
    """Shares of the test set named rightly, 0 to 1."""

    mean: float
    std: float  # of one accuracy, over the choice of labels; divisor repeats − 1
    accuracies: tuple[float, ...]  # one a choice of labels
    per_class: int


def few_label_probe(
    features: Tensor,
    labels: Tensor,
    *,
    per_class: int = 10,
    classes: int,
    test_features: Tensor,
    test_labels: Tensor,
    repeats: int = 10,
    seed: int,
) -> Probe:
    """The accuracy on `test_features` `(M, D)` of a logistic regression that knows `per_class` labels of each class.

    The labelled ones are drawn from `features` `(N, D)` with `labels` int64 `(N,)`, 0 to classes − 1, anew for each of
    `repeats` (at least 2). Features are standardised by the mean and spread of all N, and the regression is scikit-learn's,
    with its default L2 penalty (C = 1). The choice depends on the seed and on the labels, not on the features, so that two
    kinds of features are compared on the same pictures. Raises ValueError for a class with fewer than `per_class` examples.
    """
    if repeats < 2:
        raise ValueError(f"{repeats} repeats have no spread: at least 2.")
    if classes < 2:
        raise ValueError(f"{classes} classes leave nothing to tell apart: at least 2.")
    counts = torch.bincount(labels, minlength=classes)
    if len(counts) > classes:
        raise ValueError(f"Label {len(counts) - 1} is not within 0 and {classes - 1}.")
    if int(counts.min()) < per_class:
        scarce = int(counts.argmin())
        raise ValueError(f"Class {scarce} has {int(counts[scarce])} examples, fewer than {per_class}.")
    scaler = StandardScaler().fit(_array(features))
    train, test = scaler.transform(_array(features)), scaler.transform(_array(test_features))
    accuracies = []
    for repeat in range(repeats):
        few = choose(labels, per_class, classes, Noise(seed, step=repeat)).numpy()
        model = LogisticRegression(max_iter=ITERATIONS)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)  # an unfinished fit would be a wrong number
            model.fit(train[few], labels.numpy()[few])
        accuracies.append(float(model.score(test, test_labels.numpy())))
    return Probe(float(np.mean(accuracies)), float(np.std(accuracies, ddof=1)), tuple(accuracies), per_class)


def choose(labels: Tensor, per_class: int, classes: int, noise: Noise) -> Tensor:
    """Numbers of the examples whose labels are known, class by class: int64 `(classes · per_class,)`.

    The first of each class in a random order of all: so that more labels hold those that fewer held.
    """
    order = noise.permutation(len(labels), stream="few labels")
    return torch.cat([order[labels[order] == c][:per_class] for c in range(classes)])


def _array(features: Tensor) -> np.ndarray:
    return features.detach().cpu().double().flatten(1).numpy()
