"""The pictures that a tray can hold without a file: each has a short name, a token, by which a link finds it again.

`r3` is the reference picture of class 3, `t.blank` a trap, `t.inverted.3` a trap made of that reference, `o.3` a picture of
another data set, `s.NAME` a draw from the checkpoint NAME, `a.3` the reference perturbed until the classifier's label flips.
What no data set is at hand for, a model of it writes, and its text says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models import adversarial
from models.contract import Noise
from models.data import images, traps
from playground import likelihood_lesson as lesson
from playground import text, wire
from playground.inference import Inference
from playground.play import _card, reference_pictures

WORDS = text.page("likelihoods")["made"]
OTHER = {"mnist": "fashion", "fashion": "mnist"}
WRITER = "pixelcnn-{}"  # writes reference pictures where no data set is at hand
ALONE = [name for name in traps.NAMES if name not in traps.NEEDS_PICTURE]
SAMPLES_SEED = 1
FLIP_LIMIT = 96  # grey levels that no pixel of a perturbed digit goes beyond


class NoSuchPicture(ValueError):
    """A token names no picture; the message is a sentence."""


@dataclass(frozen=True)
class Made:
    """One picture of the tray."""

    pick: str
    kind: str  # "reference", "trap", "other", "sample" or "attack"
    title: str
    why: str
    pixels: torch.Tensor  # uint8 (1, 28, 28)
    by: str | None = None  # the checkpoint that wrote it
    attack: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "pick": self.pick,
            "kind": self.kind,
            "title": self.title,
            "why": self.why,
            "pixels": wire.text_of(self.pixels.numpy()),
            "steps": None,
            "attack": self.attack,
            "by": self.by,
        }


def make(inference: Inference, data: str, token: str, seed: int) -> Made:
    """The picture of a token: to be called on the model thread. Raises NoSuchPicture."""
    head, *rest = token.split(".", 1)
    if re.fullmatch(r"r\d", token):
        c = int(token[1])
        pixels, by = _reference(inference, data, c)
        name = images.CLASSES[data][c]
        return Made(token, "reference", name, _origin(data, by), pixels, by)
    if head == "o" and rest and re.fullmatch(r"\d", rest[0]):
        other = OTHER[data]
        pixels, by = _reference(inference, other, int(rest[0]))
        name = images.CLASSES[other][int(rest[0])]
        why = WORDS["other"].format(data=images.TITLES[other], here=images.TITLES[data])
        return Made(token, "other", name, f"{why} {_origin(other, by)}", pixels, by)
    if head == "a" and rest and re.fullmatch(r"\d", rest[0]):
        return _attacked(inference, data, token, int(rest[0]))
    if head == "t" and rest:
        name, _, of = rest[0].partition(".")
        if name in ALONE and not of:
            return Made(token, "trap", WORDS["traps"][name][0], WORDS["traps"][name][1], traps.trap(name, noise=seed)[None])
        if name in traps.NEEDS_PICTURE and re.fullmatch(r"\d", of):
            pixels, by = _reference(inference, data, int(of))
            whole = traps.trap(name, pixels[0], noise=seed)[None]
            named = WORDS["of"].format(what=WORDS["traps"][name][0], name=images.CLASSES[data][int(of)])
            return Made(token, "trap", named, WORDS["traps"][name][1], whole, by)
    if head == "s" and rest and rest[0] in {card.name for one in lesson.DATA for card in lesson.cards(one)}:
        return _sample(inference, rest[0], token, seed)
    raise NoSuchPicture(WORDS["unknown"].format(token=token[:40]))


def shelf(data: str) -> list[tuple[str, list[str]]]:
    """All tokens that can be picked, in groups."""
    needy = [f"t.{name}.{3 if data == 'mnist' else 8}" for name in traps.NAMES if name in traps.NEEDS_PICTURE]
    return [
        ("reference", [f"r{c}" for c in range(10)]),
        ("trap", [f"t.{name}" for name in ALONE] + needy),
        ("other", [f"o.{c}" for c in range(10)]),
        ("sample", [f"s.{card.name}" for card in lesson.cards(data) if card.spec.levels == 256]),
        ("attack", [f"a.{c}" for c in range(10)] if lesson.classifier(data) else []),
    ]


def _reference(inference: Inference, data: str, c: int) -> tuple[torch.Tensor, str | None]:
    """The reference picture of class `c`, uint8 `(1, 28, 28)`, and who wrote it: None where it is of a data set."""
    found = reference_pictures(data)["pictures"]
    if found:
        raw = np.frombuffer(wire.bytes_of(found[c]), np.uint8).reshape(1, 28, 28)
        return torch.from_numpy(raw.copy()), None
    name = WRITER.format(data)
    return _written(inference, name)[c], name


def source(data: str) -> str:
    """The data set that reference pictures are of; the model that writes them where none is at hand."""
    return reference_pictures(data)["from"] or WRITER.format(data)


def _origin(data: str, by: str | None) -> str:
    """Where a reference picture comes from."""
    if by:
        return WORDS["written"].format(by=by)
    found = reference_pictures(data)["from"]
    return WORDS["reference_digits" if found == images.TITLES["digits"] else "reference"].format(data=found)


def _written(inference: Inference, name: str) -> torch.Tensor:
    """One picture of each class by a conditional model: uint8 `(10, 1, 28, 28)`."""
    if name not in _kept:
        model: Any = inference.model(name)
        with torch.inference_mode():
            _kept[name] = model.sample(10, noise=SAMPLES_SEED, labels=torch.arange(10))
    return _kept[name]


_kept: dict[str, torch.Tensor] = {}  # on the model thread alone


def _sample(inference: Inference, name: str, token: str, seed: int) -> Made:
    card = _card(name)
    model: Any = inference.model(name)
    with torch.inference_mode():
        drawn = model.sample(1, noise=seed)[0]
    if card.spec.levels == 2:
        drawn = drawn * 255
    title = WORDS["sample_title"].format(model=lesson.title(card))
    return Made(token, "sample", title, WORDS["sample"].format(name=name, seed=seed), drawn, name)


def _attacked(inference: Inference, data: str, token: str, c: int) -> Made:
    """The reference picture with every pixel moved a little, until the classifier's label flips."""
    card = lesson.classifier(data)
    if card is None:
        raise NoSuchPicture(WORDS["no_classifier"].format(data=images.TITLES[data]))
    model: Any = inference.model(card.name, torch.float64)  # so that the signs of its gradient are the same everywhere
    pixels, by = _reference(inference, data, c)
    names = images.CLASSES[data]
    with torch.inference_mode():
        before = model.log_posterior(pixels[None])[0].exp()
    seen = int(before.argmax())
    *_, last = adversarial.steps(model.logits_of, pixels[None], seen, limit=FLIP_LIMIT, dtype=torch.float64)
    became = int(last.probabilities.argmax())
    attack = {
        "label": seen,
        "became": became,
        "changed": last.changed,
        "before": [round(float(p), 6) for p in before],
        "after": [round(float(p), 6) for p in last.probabilities],
        "original": wire.text_of(pixels.numpy()),
    }
    why = WORDS["attack" if became != seen else "attack_failed"].format(
        changed=last.changed, label=names[seen], became=names[became], limit=FLIP_LIMIT
    )
    return Made(token, "attack", WORDS["attack_title"].format(name=names[c]), why, last.image[0], by, attack)


def binarised(x: torch.Tensor, seed: int) -> torch.Tensor:
    """What binary models see of grey pictures uint8 `(n, 1, 28, 28)`: each pixel 1 with the probability of its grey value."""
    return images.binarise(x, torch.arange(len(x)), Noise(seed))
