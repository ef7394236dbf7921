"""What is measured for the card: exact scores against sums by hand, PNG's size against the files, a card of a PixelCNN."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from models import publish, scoring, train, zoo
from models.data.images import Images
from models.pixelcnn import PixelCNN
from models.recipes import RECIPES, Recipe

RECIPE = Recipe(
    "pixelcnn-digits-tiny-cpu",
    "pixelcnn",
    {"channels": 8, "layers": 2, "classes": 10, "hidden": 8, "embedding": 4},
    "digits",
    steps=2,
    objective="likelihood",
    batch_size=4,
    warmup=1,
    average=0.9,
    precision="no",
    storage="bfloat16",
)


def some(n: int, levels: int) -> Images:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.randint(0, levels, (n, 1, 3, 4), dtype=torch.uint8, generator=generator)
    return Images("tiny", "test", pixels, torch.arange(n) % 3, ("a", "b", "c"))


@pytest.mark.parametrize("classes", [0, 3])
def test_the_scores_of_a_pixelcnn_are_means_of_its_exact_log_probabilities(classes: int) -> None:
    torch.manual_seed(1)
    model = PixelCNN((1, 3, 4), levels=5, channels=4, layers=2, classes=classes, hidden=4, embedding=3).double().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False).normal_(0, 0.4)
    test = some(7, 5)
    found = scoring.of_pixelcnn(model, test, RECIPE)
    nats = torch.stack([model.log_prob(x[None]).nats[0] for x in test.pixels])
    exact = found["scores"]["exact"]
    assert exact["nats"] == pytest.approx(float(nats.mean()), rel=1e-12)
    assert exact["bits_per_dim"] == pytest.approx(-float(nats.mean()) / (12 * math.log(2)), rel=1e-12)
    assert (exact["kind"], exact["images"], exact["sampling_standard_error"]) == ("exact", 7, 0.0)
    bits = (-nats / (12 * math.log(2))).sort().values
    assert found["bits_per_dim_quantiles"][0] == pytest.approx(float(bits[0]), abs=1e-5)
    assert found["bits_per_dim_quantiles"][50] == pytest.approx(float(bits[3]), abs=1e-5)
    assert "png_bits_per_dim" not in found  # five levels are no grey picture
    if not classes:
        assert set(found["scores"]) == {"exact"}
        return
    given = torch.stack(
        [model.log_prob(x[None], labels=y[None]).nats[0] for x, y in zip(test.pixels, test.labels, strict=True)]
    )
    assert found["scores"]["given_label"]["nats"] == pytest.approx(float(given.mean()), rel=1e-12)
    every = torch.stack([model.log_prob(test.pixels, labels=torch.full((7,), y)).nats for y in range(3)])
    assert found["label_by_bayes"] == pytest.approx(float((every.argmax(0) == test.labels).double().mean()))


def test_pngs_size_is_that_of_the_images_below_each_other() -> None:
    pixels = torch.zeros(3, 1, 4, 6, dtype=torch.uint8)
    pixels[1] = 200
    column = Image.new("L", (6, 12))
    for i in range(3):
        column.paste(Image.fromarray(pixels[i, 0].numpy()), (0, 4 * i))
    file = io.BytesIO()
    column.save(file, "PNG", optimize=True)
    assert scoring.png(pixels) == 8 * len(file.getvalue()) / 72


def test_a_finished_pixelcnn_has_its_average_scores_and_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Images
) -> None:
    few = Images("digits", "train", digits.pixels[:8], digits.labels[:8], digits.classes)
    monkeypatch.setattr(train.images, "load", lambda *_, **__: few)
    monkeypatch.setitem(RECIPES, RECIPE.name, RECIPE)
    out = tmp_path / "pixelcnn-digits-tiny"
    monkeypatch.setattr(sys, "argv", ["train", RECIPE.name, "--out", str(out), "--device", "cpu"])
    AcceleratorState._reset_state(True)
    train.main()
    AcceleratorState._reset_state(True)
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    model = zoo.load("pixelcnn-digits-tiny")
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["recipe"], scores["training"]["steps"]) == (RECIPE.name, 2)
    nats = model.log_prob(few.pixels).nats
    assert scores["scores"]["exact"]["nats"] == pytest.approx(float(nats.mean()), rel=1e-5)
    card = (out / "README.md").read_text()
    assert "# pixelcnn-digits-tiny\n" in card
    assert "A gated PixelCNN, conditional on 10 classes, with" in card
    assert f"python -m models.train {RECIPE.name}" in card
    assert f"{scores['scores']['exact']['nats']:.2f}" in card
    assert "running average of the weights 0.9" in card
    assert "optimised PNG" in card
    assert not list(out.glob("latents*")) + list(out.glob("constant*"))


def test_every_score_has_words_for_the_card() -> None:
    for card in zoo.cards():
        assert set(card.scores["scores"]) <= set(publish.MEANINGS)
