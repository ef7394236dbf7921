"""From a finished run to a checkpoint: stored weights, scores on held-out images, and a card that a person can read.

The scores are those of the stored weights: they are rounded to the recipe's storage precision first, then measured.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.contract import HasLatents, Spec
from models.data import images
from models.measures import constant
from models.measures.likelihood import bits_per_dim, chunks, score
from models.recipes import Recipe
from models.vae import VAE
from models.zoo import digest

if TYPE_CHECKING:
    from models.train import Run

VERSION = 1  # of scores.json
QUANTILES = 101  # of the held-out scores, image by image: 0 %, 1 %, ..., 100 %


def publish(run: Run, out: Path, *, data_folder: Path | None) -> None:
    """Writes model.safetensors, config.json, scores.json, README.md and the companions of a latent-variable model."""
    recipe, device = run.recipe, run.accelerator.device
    storage = getattr(torch, recipe.storage)
    run.accelerator.unwrap_model(run.model).save_pretrained(out, storage=storage)
    model = type(run.accelerator.unwrap_model(run.model)).from_pretrained(out).to(device).eval()
    test = images.load(recipe.data, "test", data_folder)
    elbo, nats = score(model, test.pixels, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    few = test.pixels[: recipe.importance_images]
    importance, _ = score(model, few, method="importance", samples=recipe.importance_samples, noise=recipe.seed)
    elbo_of_few, _ = score(model, few, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    parameters = sum(p.numel() for p in model.parameters())
    surprise = bits_per_dim(nats, model.spec.dims)
    scores: dict[str, Any] = {
        "version": VERSION,
        "weights_sha256": digest(out / "model.safetensors"),
        "data": recipe.data,
        "split": "test",
        "scores": {
            "elbo": asdict(elbo),
            "elbo_of_the_same_images": asdict(elbo_of_few),
            "importance": asdict(importance),
        },
        "elbo_bits_per_dim_quantiles": [
            round(float(q), 5) for q in torch.quantile(surprise, torch.linspace(0, 1, QUANTILES, dtype=torch.float64))
        ],
        "parameters": parameters,
        "scale": float(model.scale.detach()) if isinstance(model, VAE) else None,  # of a pixel given z, in grey levels
        "training": {
            "steps": run.done,
            "of": recipe.steps,
            "seconds": round(run.seconds, 1),
            "hardware": hardware(device),
            "torch": torch.__version__,
        },
    }
    (out / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    if model.spec.latent == 2 and isinstance(model, HasLatents):
        _save_latents(model, test, out / "latents.safetensors", device)
    if model.spec.latent:
        fitted = constant.fit(run.data.pixels, model.spec.levels)
        save_file({"mean": fitted.mean.float(), "scale": fitted.scale.float()}, out / "constant.safetensors")
    (out / "README.md").write_text(card(recipe, model.spec, scores))


def _save_latents(model: HasLatents, test: images.Images, file: Path, device: torch.device) -> None:
    """q(z|x) of every test image, with its class."""
    means: list[Tensor] = []
    stds: list[Tensor] = []
    with torch.inference_mode():
        for first, count in chunks(len(test), 500):
            posterior = model.encode(test.pixels[first : first + count].to(device))
            means.append(posterior.mean.float().cpu())
            stds.append(posterior.std.float().cpu())
    save_file({"mean": torch.cat(means), "std": torch.cat(stds), "labels": test.labels.to(torch.uint8)}, file)


def hardware(device: torch.device) -> str:
    """The machine in a few words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads of {os.cpu_count()} cores ({platform.machine()})"


def card(recipe: Recipe, spec: Spec, scores: dict[str, Any]) -> str:
    """The checkpoint's README.md, a Hugging Face model card."""
    measured, training = scores["scores"], scores["training"]
    title = images.TITLES[recipe.data]
    unfinished = "" if training["steps"] == training["of"] else f" of the recipe's {training['of']:,}: an unfinished run"
    return f"""---
license: mit
library_name: pytorch
tags: [{spec.kind}, generative-model, likelihood]
---

# {recipe.name}

A {spec.kind.upper()} with {spec.latent} latent dimensions and {scores["parameters"]:,} parameters, trained on {title}.

| | |
| --- | --- |
| recipe | `python -m models.train {recipe.name}` (`models/recipes.py`) |
| settings | `{json.dumps(dict(recipe.settings))}`, objective `{recipe.objective}`, seed {recipe.seed} |
| training data | {title}, training images but the last {images.VALIDATION:,} (the whole training split for `digits`) |
| trained | {training["steps"]:,} steps of {recipe.batch_size}{unfinished}, {training["seconds"]:.0f} s |
| hardware | {training["hardware"]}, torch {training["torch"]}, {recipe.precision} arithmetic |
| weights | stored in {recipe.storage}; all scores are those of the stored weights |

## Held-out scores ({title}, {scores["split"]} images)

log p(x) of 8-bit images (256 levels, {spec.dims} pixels, a discretised likelihood: probability mass), in nats an image.

| method | what it is | images | samples | nats | ± over images | ± of the method | bits/dim |
| --- | --- | --- | --- | --- | --- | --- | --- |
{_row(measured["elbo"], "a lower bound")}
{_row(measured["elbo_of_the_same_images"], "a lower bound, on the first of the test images")}
{_row(measured["importance"], "an estimate, from below, on the same first images")}

"± over images" is the standard error of the mean over the test images; "± of the method" that of its random draws alone.
"""


def _row(one: dict[str, Any], meaning: str) -> str:
    return (
        f"| {one['method']} | {meaning} | {one['images']:,} | {one['samples']:,} | {one['nats']:.2f} "
        f"| {one['nats_standard_error']:.2f} | {one['sampling_standard_error']:.3f} | {one['bits_per_dim']:.4f} |"
    )
