"""Models of clothes, shown digits: five scores of one surprise, and how well each tells digits from clothes.

The recording holds what `playground.likelihood_record` measured over whole test sets; `live` does the same with a few pictures
now. Where the data sets are not at hand, the digits are scikit-learn's, and the clothes' scores are those that were recorded,
picture by picture: the answer says which side was computed now. Calibration uses the first half of the clothes' test images,
every figure the second; what was chosen (compressor, share of replaced pixels) was chosen on other pictures altogether.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from functools import cache
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models import zoo
from models.data import images
from models.measures import outliers
from models.measures.likelihood import bits_per_dim
from models.noise import Noise
from playground import likelihood_lesson as lesson
from playground import recordings
from playground.faults import BadCall
from playground.inference import Inference
from playground.likelihood_scores import method_of, precision

SCORES = ("surprise", "rank", "typicality", "complexity", "ratio")
HALF = 5_000  # clothes to calibrate on: the first of the test images
POINTS = 60  # of a curve
BINS = 40
PIECE = 10  # pictures in one slice
STORED = recordings.FOLDER / "fashion_scores.safetensors"


@cache
def stored() -> Mapping[str, Tensor]:
    """Recorded surprise of all 10,000 clothes, float32 bits/dim, by checkpoint; "complexity" by the compressor."""
    return load_file(STORED)


def all_scores(
    surprise: Tensor, *, calibration: Tensor, complexity: Tensor, background: Tensor | None, noise: Noise | int
) -> dict[str, Tensor]:
    """The five scores of pictures, high for outliers, from their surprise `(N,)` in bits/dim; four without a background."""
    found = {
        "surprise": surprise,
        "rank": 1 - outliers.one_sided_rank(surprise, calibration, noise=noise),
        "typicality": outliers.typicality(surprise, calibration),
        "complexity": outliers.complexity_score(surprise, complexity),
    }
    return found if background is None else found | {"ratio": outliers.likelihood_ratio(surprise, background)}


def compared(digits: Mapping[str, Tensor], clothes: Mapping[str, Tensor]) -> dict[str, Any]:
    """ROC curve, area and histograms of each score. The positive class is the digit."""
    found = {}
    for key, positive in digits.items():
        negative = clothes[key]
        curve = outliers.roc(positive, negative, points=POINTS)
        both = torch.cat([positive, negative])
        # A far tail would press all else into one bin: the outermost bins hold it.
        low, high = (float(both.quantile(q)) for q in (0.002, 0.998))
        if not high > low:
            low, high = float(both.min()) - 0.5, float(both.max()) + 0.5
        span = (low, high)
        pair = [outliers.histogram(one.clamp(*span), BINS, span) for one in (negative, positive)]
        found[key] = {
            "auroc": round(curve.auroc, 4),
            "error": round(curve.standard_error, 5),
            "fp": [round(one, 4) for one in curve.false_positive.tolist()],
            "tp": [round(one, 4) for one in curve.true_positive.tolist()],
            "histogram": {
                "edges": [round(one, 4) for one in pair[0].edges.tolist()],
                "insiders": pair[0].counts.tolist(),
                "outliers": pair[1].counts.tolist(),
            },
        }
    return found


def live(inference: Inference, name: str, n: int, seed: int) -> Generator[None, None, dict[str, Any]]:
    """The comparison with `n` digits and, where Fashion-MNIST is at hand, `n` clothes, chosen by the seed."""
    started = time.perf_counter()
    raw = stored()
    if name not in raw:
        raise BadCall(f"{name} has no recorded scores to calibrate on: run `python -m playground.likelihood_record`.")
    behind = lesson.background("fashion")
    digits_from = _first_there("mnist", "digits")
    assert digits_from is not None  # the digits of scikit-learn always are
    digits = _some(digits_from.pixels, n, seed)
    computed = yield from _surprises(inference, name, behind, digits, seed)
    calibration = raw[name][:HALF].double()
    clothes_from = _first_there("fashion")
    if clothes_from is None:
        parts = [raw[name], None if behind is None else raw[behind.name], raw["complexity"]]
        inside = [None if one is None else one[HALF:].double() for one in parts]
    else:
        clothes = _some(clothes_from.pixels[HALF:], n, seed)
        inside = list((yield from _surprises(inference, name, behind, clothes, seed)))
    scores = []
    for place, (surprise, background, complexity) in enumerate((computed, inside)):
        assert surprise is not None and complexity is not None
        of = all_scores(
            surprise, calibration=calibration, complexity=complexity, background=background, noise=Noise(seed, step=place)
        )
        scores.append(of)
    return {
        "model": name,
        "insiders": {"what": images.TITLES["fashion"], "images": len(inside[0]), "live": clothes_from is not None},  # type: ignore[arg-type]
        "outliers": {"what": images.TITLES[digits_from.name], "images": len(digits), "live": True},
        "scores": compared(*scores),
        "seconds": time.perf_counter() - started,
    }


def _surprises(
    inference: Inference, name: str, behind: zoo.Card | None, x: Tensor, seed: int
) -> Generator[None, None, tuple[Tensor, Tensor | None, Tensor]]:
    """Surprise under the model and its background, and the complexity: bits/dim `(N,)` each; a slice for every few pictures."""
    found: list[list[Tensor]] = [[], []]
    cards = [zoo.card(name), *([] if behind is None else [behind])]
    for place, card in enumerate(cards):
        model: Any = inference.model(card.name, precision(card))
        for first in range(0, len(x), PIECE):
            with torch.inference_mode():
                said = model.log_prob(x[first : first + PIECE], noise=Noise(seed, first=first), **method_of(card))
            found[place].append(bits_per_dim(said.nats.double(), card.spec.dims))
            yield
    complexity = outliers.complexity(x, lesson.COMPRESSOR)
    return torch.cat(found[0]), None if behind is None else torch.cat(found[1]), complexity


def _first_there(*names: str) -> images.Images | None:
    for name in names:
        try:
            return images.load(name, "test")
        except images.DataMissing:
            continue
    return None


def _some(pixels: Tensor, n: int, seed: int) -> Tensor:
    """`n` of the pictures, or all, in the order of the seed."""
    return pixels[Noise(seed).permutation(len(pixels), stream="live trap")[:n]]
