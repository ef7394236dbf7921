"""What every model says of pictures: surprise with its kind and its place among held-out images, and labels by Bayes' rule.

A model is asked just as for its held-out scores, so that a picture's place among them is fair.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from models import zoo
from models.contract import Density
from models.data import images
from models.measures import bayes, outliers
from models.measures.likelihood import bits_per_dim, share_at_least
from playground import likelihood_lesson as lesson
from playground import wire
from playground.inference import Inference
from playground.likelihood_pictures import binarised


class HasNats(Protocol):
    @property
    def nats(self) -> torch.Tensor: ...


Said = TypeVar("Said", bound=HasNats)
LEAST = -1e300  # nats, in place of a logarithm of 0
DRAWS = 4  # of z for a bound: as many as for the held-out scores that it is compared with


def scored(
    inference: Inference, data: str, x: torch.Tensor, seed: int, *, double: bool = False
) -> Generator[None, None, dict[str, Any]]:
    """Every model's surprise at pictures uint8 `(n, 1, 28, 28)`; one slice a model. `double`: all in float64."""
    started = time.perf_counter()
    binary = binarised(x, seed)
    found = []
    for card in lesson.cards(data):
        found.append(surprise(inference, card, x if card.spec.levels == 256 else binary, seed, double=double))
        yield
    behind = lesson.background(data)
    ground = None
    if behind is not None:
        ground = {"name": behind.name, "bits": surprise(inference, behind, x, seed, double=double)["bits"]}
        yield
    return {
        "images": len(x),
        "models": found,
        "complexity": {"compressor": lesson.COMPRESSOR, "bits": _rounded(outliers.complexity(x, lesson.COMPRESSOR))},
        "background": ground,
        "binary": wire.text_of(binary.numpy()),
        "seconds": time.perf_counter() - started,
    }


def _by_class(inference: Inference, card: zoo.Card, x: torch.Tensor, seed: int) -> bayes.ByClass:
    """log p(x|y) of every class, and never below `LEAST`."""
    _, each = asked(inference, card, lambda model: bayes.by_class(model, x, noise=seed, **method_of(card)))
    return replace(each, nats=each.nats.nan_to_num(nan=LEAST, neginf=LEAST))


def method_of(card: zoo.Card) -> dict[str, Any]:
    """How a model is asked for log p(x): as its held-out scores were had, so that a picture's place among them is fair."""
    if card.spec.density is Density.ESTIMATE:
        return {"samples": int(lesson.held_out(card)["samples"])}
    return {"samples": DRAWS} if card.spec.kind == "vae" else {}


def precision(card: zoo.Card) -> torch.dtype | None:
    """In which a model is asked: networks in float32, as for their held-out scores; closed forms as they are."""
    return torch.float32 if card.spec.kind in ("vae", "pixelcnn", "ppca") else None


def asked(inference: Inference, card: zoo.Card, ask: Callable[[Any], Said], *, double: bool = False) -> tuple[Any, Said]:
    """The model that was asked, and its answer. Far from all that it knows, a network's widths leave float32: then, and with
    `double`, it is asked in float64.
    """
    model: Any = inference.model(card.name, None if double else precision(card))
    with torch.inference_mode():
        said = ask(model)
        if not double and not said.nats.isfinite().all():
            model = inference.model(card.name)
            said = ask(model)
    return model, said


def surprise(inference: Inference, card: zoo.Card, x: torch.Tensor, seed: int, *, double: bool = False) -> dict[str, Any]:
    """One model's surprise at pictures of its own space."""
    _, found = asked(inference, card, lambda model: model.log_prob(x, noise=seed, **method_of(card)), double=double)
    nats = found.nats.double().nan_to_num(nan=-torch.inf)
    bits = bits_per_dim(nats, card.spec.dims)
    error = None if found.standard_error is None else found.standard_error.double() / (math.log(2) * card.spec.dims)
    quantiles, mean = lesson.quantiles(card), lesson.held_out(card)["bits_per_dim"]
    rank = np.array([share_at_least(float(one), quantiles) for one in bits])
    return {
        "name": card.name,
        "space": lesson.SPACES[card.spec.levels],
        "kind": found.kind.value,
        "method": found.method,
        "samples": found.samples,
        "bits": _rounded(bits),
        "nats": _rounded(nats, 3),
        "error": None if error is None else _rounded(error, 6),
        "rank": _rounded(torch.from_numpy(rank), 4),
        "deviation": _rounded((bits - mean).abs()),
        "two_sided": _rounded(torch.from_numpy(2 * np.minimum(rank, 1 - rank)), 4),
    }


def labelled(inference: Inference, data: str, x: torch.Tensor, seed: int) -> Generator[None, None, dict[str, Any]]:
    """p(y|x) by Bayes' rule from every class-conditional model, and the classifier's."""
    started = time.perf_counter()
    card = lesson.classifier(data)
    discriminative = None
    if card is not None:
        model: Any = inference.model(card.name)
        with torch.inference_mode():
            posterior = model.log_posterior(x).exp()
        discriminative = {"name": card.name, "probabilities": [_rounded(one, 6) for one in posterior]}
        yield
    found = []
    for card in (one for one in lesson.cards(data) if one.spec.classes and one.spec.levels == 256):
        each = _by_class(inference, card, x, seed)
        evidence = bits_per_dim(bayes.labels(each).log_prob, card.spec.dims)
        quantiles = lesson.quantiles(card)
        found.append(
            {
                "name": card.name,
                "kind": each.kind.value,
                "method": each.method,
                "by_class": [_rounded(one, 4) for one in each.nats.T],
                "bits": _rounded(evidence),
                "rank": [round(share_at_least(float(one), quantiles), 4) for one in evidence],
            }
        )
        yield
    return {
        "classes": images.CLASSES[data],
        "classifier": discriminative,
        "models": found,
        "seconds": time.perf_counter() - started,
    }


def _rounded(values: torch.Tensor, digits: int = 5) -> list[float | None]:
    """None for what is no finite number: JSON has none."""
    return [round(one, digits) if math.isfinite(one) else None for one in values.double().tolist()]
