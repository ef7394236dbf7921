"""What the page on likelihoods opens on, measured over whole test sets: `python -m playground.likelihood_record [select]`.

Needs MNIST and Fashion-MNIST (PLAYGROUND_DATA), and for `select` KMNIST and Omniglot too. `select` compares background models,
each in a folder runs/pixelcnn-fashion-background-RATE, and compressors, on clothes of the validation images against KMNIST and
Omniglot: what is chosen goes into `models.recipes` and `playground.likelihood_trap`, and its figures into the recording.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models import zoo
from models.data import images, selection
from models.measures import bayes, outliers
from models.measures.likelihood import bits_per_dim, chunks
from models.noise import Noise
from models.recipes import MUTATION, MUTATIONS
from playground import likelihood_lesson as lesson
from playground import likelihood_play, likelihood_ways, recordings, wire
from playground.inference import Inference
from playground.likelihood_scores import method_of, precision, scored
from playground.likelihood_trap import HALF, STORED, all_scores, compared

CHOSEN_ON = 2_000  # pictures of each side
DIGITS = 5_000  # outliers: the last of the test images
RATIO_OF = "pixelcnn-fashion"
LABELS = 2_500  # pictures of each side of the comparison of labels
CURVE = 120  # points of a coverage curve
WAYS, DRAWS, SEED = ("vae-mnist-2d", "vae-mnist-16d"), 5_000, 0  # of the recorded three ways
SELECTED = recordings.FOLDER / "likelihoods_selection.json"


def load(card: zoo.Card) -> Any:
    """The model as the page asks it."""
    return zoo.load(card.name).to(dtype=precision(card))


@torch.inference_mode()
def surprises(model: Any, card: zoo.Card, x: Tensor) -> Tensor:
    """Bits/dim of pictures uint8 `(N, 1, 28, 28)`: float64 `(N,)`."""
    parts = [
        model.log_prob(x[i : i + n], noise=Noise(0, first=i), **method_of(card)).nats.double() for i, n in chunks(len(x), 100)
    ]
    return bits_per_dim(torch.cat(parts), card.spec.dims)


def select() -> dict[str, Any]:
    """AUROC on the pictures that choose: of the ratio by share of replaced pixels, of the complexity score by compressor."""
    clothes = images.load("fashion", "validation").pixels[:CHOSEN_ON]
    foreign = {name: selection.load(name, CHOSEN_ON) for name in selection.NAMES}
    card = zoo.card(RATIO_OF)
    model = load(card)
    inside, outside = surprises(model, card, clothes), {name: surprises(model, card, x) for name, x in foreign.items()}

    def areas(score: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
        within = score(clothes, inside)
        return {name: round(outliers.roc(score(x, outside[name]), within).auroc, 4) for name, x in foreign.items()}

    found: dict[str, Any] = {"images": CHOSEN_ON, "ratio": [], "complexity": []}
    for rate in MUTATIONS:
        kind = type(model)
        behind = kind.from_pretrained(Path("runs") / f"{RATIO_OF}-background-{rate}").eval()
        found["ratio"].append({"rate": rate, **areas(lambda x, s, one=behind: s - surprises(one, card, x))})  # type: ignore[misc]
        print(found["ratio"][-1], flush=True)
    for name in outliers.COMPRESSORS:
        found["complexity"].append({"compressor": name, **areas(lambda x, s, one=name: s - outliers.complexity(x, one))})  # type: ignore[misc]
        print(found["complexity"][-1], flush=True)
    return found


def trap() -> dict[str, Any]:
    """Every model of clothes on clothes and digits; also writes every single score of the clothes, for live comparisons."""
    sets = {name: images.load(name, "test").pixels for name in ("fashion", "mnist")}
    sets["mnist"] = sets["mnist"][-DIGITS:]
    cards = [card for card in lesson.cards("fashion") if card.spec.levels == 256]
    behind = lesson.background("fashion")
    bits: dict[str, dict[str, Tensor]] = {}
    for card in [*cards, *([] if behind is None else [behind])]:
        model = load(card)
        bits[card.name] = {name: surprises(model, card, x) for name, x in sets.items()}
        print(card.name, {name: round(float(one.mean()), 3) for name, one in bits[card.name].items()}, flush=True)
    simple = {name: outliers.complexity(x, lesson.COMPRESSOR) for name, x in sets.items()}
    stored = {name: one["fashion"].float() for name, one in bits.items()} | {"complexity": simple["fashion"].float()}
    save_file(stored, STORED)
    models, distances = [], {}
    for card in cards:
        mine = bits[card.name]
        calibration = mine["fashion"][:HALF]

        def scores(
            name: str, some: slice, place: int, mine: Any = mine, calibration: Tensor = calibration
        ) -> dict[str, Tensor]:
            ground = None if behind is None else bits[behind.name][name][some]
            return all_scores(
                mine[name][some],
                calibration=calibration,
                complexity=simple[name][some],
                background=ground,
                noise=Noise(0, step=place),
            )

        how = method_of(card)
        models.append(
            {
                "name": card.name,
                "kind": card.spec.density.value,
                "method": lesson.held_out(card)["method"],
                "samples": how.get("samples", 1),
                "mean": {
                    "insiders": round(float(mine["fashion"][HALF:].mean()), 4),
                    "outliers": round(float(mine["mnist"].mean()), 4),
                },
                "scores": compared(scores("mnist", slice(None), 0), scores("fashion", slice(HALF, None), 1)),
            }
        )
        ranks = outliers.one_sided_rank(mine["fashion"][HALF:], calibration, noise=2)
        distances[card.name] = round(outliers.kolmogorov_distance(ranks), 4)
    return {
        "insiders": "Fashion-MNIST test images, the last 5,000",
        "outliers": "MNIST test images, the last 5,000",
        "calibration": "Fashion-MNIST test images, the first 5,000",
        "compressor": lesson.COMPRESSOR,
        "rate": MUTATION,
        "images": {"insiders": len(sets["fashion"]) - HALF, "outliers": len(sets["mnist"])},
        "models": models,
        "selection": json.loads(SELECTED.read_text()),
        "kolmogorov": distances,
    }


@torch.inference_mode()
def labels() -> dict[str, Any]:
    """Error against coverage: of the classifier, and of every class-conditional model by two confidences."""
    found: dict[str, Any] = {}
    for data, other in (("mnist", "fashion"), ("fashion", "mnist")):
        known = images.load(data, "test")
        inside, truth = known.pixels[-LABELS:], known.labels[-LABELS:]
        outside = images.load(other, "test").pixels[-LABELS:]
        both = torch.cat([inside, outside])
        curves = []
        card = lesson.classifier(data)
        assert card is not None
        log_p = torch.cat([load(card).log_posterior(both[i : i + n]) for i, n in chunks(len(both), 500)])  # (2N, K)
        curves.append(_curves(card.name, "softmax", log_p.amax(1), log_p.argmax(1)[:LABELS] == truth))
        for card in (one for one in lesson.cards(data) if one.spec.classes and one.spec.levels == 256):
            each = bayes.by_class(load(card), both, noise=0, **method_of(card))
            named = bayes.labels(each)
            right = named.log_posterior.argmax(0)[:LABELS] == truth
            print(data, card.name, float(right.double().mean()), flush=True)
            curves.append(_curves(card.name, "posterior", named.log_posterior.amax(0), right))
            curves.append(_curves(card.name, "joint", each.nats.amax(0), right))
        what = f"{images.TITLES[other]} test images"
        found[data] = {"images": LABELS, "outliers": {"what": what, "images": LABELS}, "curves": curves}
    return found


def _curves(name: str, confidence: str, values: Tensor, right: Tensor) -> dict[str, Any]:
    """Curves over the known pictures alone, and with as many foreign ones, which no label is right for."""
    n = len(right)
    alone = bayes.coverage_curve(values[:n].double(), right)
    mixed = bayes.coverage_curve(values.double(), torch.cat([right, torch.zeros_like(right)]))
    return {"name": name, "confidence": confidence, "alone": _thinned(alone), "mixed": _thinned(mixed)}


def _thinned(curve: bayes.Coverage) -> dict[str, Any]:
    places = torch.linspace(0, len(curve.coverage) - 1, min(CURVE, len(curve.coverage))).round().long()
    return {
        "coverage": [round(one, 4) for one in curve.coverage[places].tolist()],
        "error": [round(one, 5) for one in curve.error[places].tolist()],
        "area": round(curve.area, 5),
    }


def start() -> dict[str, Any]:
    """The tray of the beginning, and every model's surprise at it: in float64, so that it is the same on other machines."""
    inference, settings, found = Inference(), lesson.LikelihoodSettings(), {}
    for data in lesson.DATA:
        made = inference.stream(likelihood_play.chosen(inference, data, settings.picks.split(","), settings.seed)).result()
        x = torch.cat([_pixels(one["pixels"]) for one in made["pictures"]])
        scores = inference.stream(scored(inference, data, x, settings.seed, double=True)).result()
        there = {"seed": settings.seed, "from": made["from"], "pictures": made["pictures"]}
        found[data] = there | {"scores": scores | {"seconds": 0}}
    return found


def _pixels(text: str) -> Tensor:
    """uint8 `(1, 1, 28, 28)` from base64."""
    return torch.frombuffer(bytearray(wire.bytes_of(text)), dtype=torch.uint8).reshape(1, *lesson.SHAPE)


def ways() -> dict[str, Any]:
    """The three ways, and the refined q, of the tray's first picture under the VAEs of digits."""
    first = recordings.load("likelihoods_start")["mnist"]["pictures"][0]
    x, inference, found = _pixels(first["pixels"]), Inference(), {}
    for name in WAYS:
        card = zoo.card(name)
        course, climb = list[dict[str, Any]](), list[dict[str, Any]]()
        inference.stream(likelihood_ways.converging(inference, card, x, DRAWS, SEED, course.append)).result()
        inference.stream(likelihood_ways.refining(inference, card, x, SEED, climb.append)).result()
        found[name] = {
            "picture": first["title"],
            "pixels": first["pixels"],
            "seed": SEED,
            "draws": DRAWS,
            "steps": course[:-1],
            "seconds": round(course[-1]["seconds"], 2),
            "refine": climb[:-1],
            "gap": climb[-1]["gap"],
        }
    return found


MADE = {"trap": trap, "labels": labels, "ways": ways}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the page on likelihoods opens on.")
    parser.add_argument("what", nargs="*", choices=["select", *MADE, []], default=list(MADE))
    for what in parser.parse_args().what:
        if what == "select":
            SELECTED.write_text(json.dumps(select(), indent=1) + "\n")
        else:
            recordings.save(f"likelihoods_{what}", MADE[what]())


if __name__ == "__main__":
    main()
