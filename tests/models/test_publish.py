"""What a finished run writes: `python -m models.train` on a recipe of digits, run once, in two sittings."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from models import publish, train, zoo
from models.contract import Density
from models.data import images
from models.measures import constant
from models.measures.likelihood import score
from models.recipes import RECIPES, Recipe
from models.vae import VAE

RECIPE = Recipe(
    "vae-digits-tiny",
    "vae",
    {"latent": 2, "hidden": 16, "channels": 4},
    "digits",
    steps=6,
    batch_size=32,
    warmup=2,
    precision="no",
    elbo_samples=2,
    importance_samples=20,
    importance_images=30,
)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The folder of checkpoints in which the command has written one: three steps, then the rest."""
    root = tmp_path_factory.mktemp("checkpoints")
    out = root / RECIPE.name
    argv = ["train", RECIPE.name, "--out", str(out), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(RECIPES, RECIPE.name, RECIPE)
        patched.setattr(constant, "fit", functools.partial(constant.fit, steps=3))
        for more in (["--max-steps", "3"], []):
            AcceleratorState._reset_state(True)
            patched.setattr(sys, "argv", argv + more)
            train.main()
            if more:
                assert "an unfinished run" in (out / "README.md").read_text()
                assert json.loads((out / "scores.json").read_text())["training"]["steps"] == 3
    AcceleratorState._reset_state(True)
    return root


@pytest.fixture
def checkpoint(published: Path, monkeypatch) -> Path:
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(published))
    return published / RECIPE.name


def scores_of(checkpoint: Path) -> dict:
    return json.loads((checkpoint / "scores.json").read_text())


def test_it_writes_the_files_of_a_checkpoint(checkpoint: Path) -> None:
    assert sorted(file.name for file in checkpoint.iterdir()) == [
        "README.md",
        "config.json",
        "constant.safetensors",
        "latents.safetensors",
        "model.safetensors",
        "scores.json",
        "state.safetensors",
    ]


def test_the_weights_are_those_of_an_uninterrupted_run(checkpoint: Path) -> None:
    run = train.Run(RECIPE, images.load("digits", "train"))
    for _ in run.steps():
        pass
    AcceleratorState._reset_state(True)
    stored = load_file(checkpoint / "model.safetensors")
    for name, tensor in run.model.state_dict().items():
        assert stored[name].dtype == torch.float16
        assert torch.equal(stored[name], tensor.half()), name


def test_the_zoo_takes_it_as_it_is(checkpoint: Path) -> None:
    assert zoo.names() == [RECIPE.name]
    zoo.verify(RECIPE.name)
    card = zoo.card(RECIPE.name)
    assert (card.data, card.spec.kind, card.spec.latent, card.spec.shape) == ("digits", "vae", 2, (1, 28, 28))
    assert card.settings["hidden"] == 16


def test_scores_say_what_was_measured_on_what(checkpoint: Path) -> None:
    found = scores_of(checkpoint)
    assert (found["version"], found["data"], found["split"]) == (publish.VERSION, "digits", "test")
    assert found["weights_sha256"] == zoo.digest(checkpoint / "model.safetensors")
    assert found["training"]["steps"] == found["training"]["of"] == 6
    kinds = {name: (one["kind"], one["samples"], one["images"]) for name, one in found["scores"].items()}
    assert kinds == {
        "elbo": (Density.LOWER_BOUND, 2, 297),
        "elbo_of_the_same_images": (Density.LOWER_BOUND, 2, 30),
        "importance": (Density.ESTIMATE, 20, 30),
    }


def test_scores_are_those_of_the_stored_weights(checkpoint: Path) -> None:
    model = VAE.from_pretrained(checkpoint).eval()
    test = images.load("digits", "test").pixels
    measured = scores_of(checkpoint)["scores"]
    for name, part, method, samples in (
        ("elbo", test, "elbo", 2),
        ("elbo_of_the_same_images", test[:30], "elbo", 2),
        ("importance", test[:30], "importance", 20),
    ):
        again, _ = score(model, part, method=method, samples=samples, noise=RECIPE.seed)
        assert measured[name]["nats"] == pytest.approx(again.nats, rel=1e-6)
        assert measured[name]["bits_per_dim"] == pytest.approx(-again.nats / (784 * math.log(2)), rel=1e-6)
        assert measured[name]["nats_standard_error"] > measured[name]["sampling_standard_error"] > 0


def test_quantiles_are_those_of_the_images(checkpoint: Path) -> None:
    model = VAE.from_pretrained(checkpoint).eval()
    _, nats = score(model, images.load("digits", "test").pixels, method="elbo", samples=2, noise=RECIPE.seed)
    surprise = (-nats / (784 * math.log(2))).sort().values
    quantiles = scores_of(checkpoint)["elbo_bits_per_dim_quantiles"]
    assert len(quantiles) == 101
    assert quantiles == sorted(quantiles)
    for percent in (0, 25, 50, 100):  # of 297 images: 296 gaps, 74 a quarter
        assert quantiles[percent] == pytest.approx(float(surprise[296 * percent // 100]), abs=2e-5)


def test_the_card_shows_the_scores(checkpoint: Path) -> None:
    card = (checkpoint / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n")
    assert "# vae-digits-tiny" in card
    assert "python -m models.train vae-digits-tiny" in card
    assert "unfinished" not in card
    for one in scores_of(checkpoint)["scores"].values():
        assert f"{one['nats']:.2f}" in card
        assert f"{one['bits_per_dim']:.4f}" in card
    parameters = sum(tensor.numel() for tensor in load_file(checkpoint / "model.safetensors").values())
    assert f"{parameters:,} parameters" in card


def test_latents_are_the_posteriors_of_all_test_images(checkpoint: Path) -> None:
    encoded, test = zoo.encoded(RECIPE.name), images.load("digits", "test")
    assert encoded is not None
    assert torch.equal(encoded.labels.long(), test.labels)
    posterior = VAE.from_pretrained(checkpoint).eval().encode(test.pixels)
    torch.testing.assert_close(encoded.posterior.mean, posterior.mean.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoded.posterior.std, posterior.std.detach(), rtol=1e-4, atol=1e-5)


def test_the_constant_picture_is_that_of_the_training_images(checkpoint: Path) -> None:
    picture = zoo.constant_picture(RECIPE.name)
    assert picture is not None
    assert picture.levels == 256
    mean = images.load("digits", "train").pixels.double().mean(0)
    assert (picture.mean - mean).abs().max() < 10  # three small steps away from the mean picture
    assert picture.log_prob(images.load("digits", "test").pixels).isfinite().all()


def test_a_model_of_more_than_two_latents_carries_no_map(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(constant, "fit", functools.partial(constant.fit, steps=1))
    settings = {"latent": 3, "network": "mlp", "hidden": 8}
    recipe = dataclasses.replace(RECIPE, settings=settings, steps=1, elbo_samples=1, importance_samples=2)
    train.train(recipe, data=None, out=tmp_path, device="cpu", quiet=True)
    AcceleratorState._reset_state(True)
    assert not (tmp_path / "latents.safetensors").exists()
    assert (tmp_path / "constant.safetensors").exists()


def test_a_finished_run_published_again_is_unchanged(checkpoint: Path, monkeypatch) -> None:
    monkeypatch.setattr(constant, "fit", functools.partial(constant.fit, steps=3))
    state = load_file(checkpoint / "state.safetensors")
    shipped = [file for file in checkpoint.iterdir() if file.name != "state.safetensors"]  # its metadata has no fixed order
    before = {file.name: file.read_bytes() for file in shipped}
    train.train(RECIPE, data=None, out=checkpoint, device="cpu", quiet=True)
    AcceleratorState._reset_state(True)
    for name, content in before.items():
        assert (checkpoint / name).read_bytes() == content, name
    again = load_file(checkpoint / "state.safetensors")
    assert state.keys() == again.keys()
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
