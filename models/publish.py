"""From a finished run to a checkpoint: stored weights, scores on held-out images, and a card that a person can read.

The scores are those of the stored weights: they are rounded to the recipe's storage precision first, then measured.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.contract import HasLatents, Spec
from models.data import images, sprites
from models.measures import constant
from models.objectives import WEIGHTED
from models.recipes import Recipe
from models.scoring import FRESH, FRESH_SEED, SCORES, encoded
from models.zoo import digest

if TYPE_CHECKING:
    from models.train import Run

VERSION = 1  # of scores.json
ENCODED = 4_000  # of the fresh sprites: their codes travel with the checkpoint


def publish(run: Run, out: Path, *, data_folder: Path | None) -> None:
    """Writes model.safetensors, config.json, scores.json, README.md and the companions of a latent-variable model."""
    recipe, device = run.recipe, run.accelerator.device
    storage = getattr(torch, recipe.storage)
    finished = run.finished()
    finished.save_pretrained(out, storage=storage)
    model = type(finished).from_pretrained(out).to(device).eval()
    test = images.load(recipe.data, "test", data_folder)
    scores: dict[str, Any] = {
        "version": VERSION,
        "weights_sha256": digest(out / "model.safetensors"),
        "data": recipe.data,
        "recipe": recipe.name,
        "split": "test",
        **SCORES[model.spec.kind](model, test, recipe),
        "parameters": sum(p.numel() for p in model.parameters()),
        **({"mutation": recipe.mutation} if recipe.mutation else {}),  # a background model, of perturbed pictures
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
        _save_latents(model, test.pixels, test.labels, torch.float32, out / "latents.safetensors")
    elif recipe.data == "sprites-256" and isinstance(model, HasLatents):
        factors = sprites.draw(ENCODED, noise=FRESH_SEED)
        _save_latents(model, sprites.render(factors), factors.shape, torch.float16, out / "latents.safetensors")
    if model.spec.kind == "vae" and not model.spec.classes and not run.data.dynamic:
        fitted = constant.fit(run.data.pixels, model.spec.levels)
        save_file({"mean": fitted.mean.float(), "scale": fitted.scale.float()}, out / "constant.safetensors")
    (out / "README.md").write_text(card(recipe, model.spec, scores))


def _save_latents(model: HasLatents, pixels: Tensor, labels: Tensor, storage: torch.dtype, file: Path) -> None:
    """q(z|x) of each picture, with its class."""
    found = encoded(model, pixels)
    save_file({"mean": found.mean.to(storage), "std": found.std.to(storage), "labels": labels.to(torch.uint8)}, file)


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
    about = {
        "vae": f"A VAE with {spec.latent} latent dimensions"
        + (f", conditional on {spec.classes} classes, with" if spec.classes else " and"),
        "autoencoder": f"A plain autoencoder with {spec.latent} numbers between its two networks and",
        "pixelcnn": f"A {'gated' if recipe.settings.get('gated', True) else 'plain'} PixelCNN"
        + (f", conditional on {spec.classes} classes, with" if spec.classes else " with"),
        "gaussian": "One full-covariance Gaussian over all pixels, in closed form, with",
        "ppca": f"Probabilistic PCA with {spec.latent} principal axes, in closed form, and",
        "mixture": f"A mixture of {recipe.settings.get('components')} diagonal Gaussians"
        + (f" for each of {spec.classes} classes, with" if spec.classes else ", with"),
        "classifier": f"A discriminative classifier of {spec.classes} labels, p(y given x) and no p(x), with",
    }[spec.kind]
    name = recipe.name.removesuffix("-cpu")
    averaged = f", running average of the weights {recipe.average}" if recipe.average else ""
    mutated = f", of each {recipe.mutation:.0%} of the pixels replaced at random" if recipe.mutation else ""
    tags = [spec.kind] + ([] if spec.kind == "classifier" else ["generative-model", "likelihood"])
    trained = f"{training['steps']:,} steps of {recipe.batch_size}{unfinished}, {training['seconds']:.0f} s"
    rows = "\n".join(_row(one, MEANINGS[key]) for key, one in measured.items())
    beta = f", β = {recipe.beta:g}" if recipe.objective in WEIGHTED else ""
    beta += f", {recipe.draws} draws of z" if recipe.draws > 1 else ""
    precision = "float32" if recipe.precision == "no" else recipe.precision
    objective = f"objective `{recipe.objective}`{beta}"
    if not recipe.steps:
        trained, objective = "in closed form, no steps", "a closed form"
    return f"""---
license: mit
library_name: pytorch
tags: [{", ".join(tags)}]
---

# {name}

{about} {scores["parameters"]:,} parameters, trained on {title}.

| | |
| --- | --- |
| recipe | `python -m models.train {recipe.name}` (`models/recipes.py`) |
| settings | `{json.dumps(dict(recipe.settings))}`, {objective}, seed {recipe.seed}{averaged} |
| training data | {TRAINED_ON.get(recipe.data, f"{title}, training images but the last {images.VALIDATION:,}")}{mutated} |
| trained | {trained} |
| hardware | {training["hardware"]}, torch {training["torch"]}, {precision} arithmetic |
| weights | stored in {recipe.storage}; all scores are those of the stored weights |

## Held-out scores ({title}, {scores["split"]} images)
{_table(spec, rows) if rows else ""}{_remarks(scores)}"""


def _table(spec: Spec, rows: str) -> str:
    return f"""
log p(x) of images of {spec.levels} levels ({spec.dims} numbers each; probability mass), in nats an image.

| method | what it is | images | samples | nats | ± over images | ± of the method | bits/dim |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

"± over images" is the standard error of the mean over the test images; "± of the method" that of its random draws alone.
"""


MEANINGS = {
    "bound": "a lower bound, in closed form",
    "importance_of_all": "an estimate, from below",
    "elbo": "a lower bound",
    "elbo_of_the_same_images": "a lower bound, on the first of the test images",
    "importance": "an estimate, from below, on the same first images",
    "elbo_given_label": "a lower bound on log p(x given y) with the true label: not comparable with p(x)",
    "exact": "exact; of a conditional model, the marginal over its classes",
    "given_label": "exact, p(x given y) with the true label: not comparable with p(x)",
}
TRAINED_ON = {
    "digits": "the whole training split",
    "sprites": f"{images.SPRITES['train']:,} sprites of {images.SPRITE_LEVELS} levels, drawn from random factors",
    "sprites-256": f"{images.SPRITES['train']:,} sprites of 256 levels, drawn from random factors",
    "mnist-binary": f"MNIST, training images but the last {images.VALIDATION:,}, binarised anew at each use",
}


def _remarks(scores: dict[str, Any]) -> str:
    """What else was measured, in sentences."""
    said = ""
    if "label_by_bayes" in scores:
        share = 100 * scores["label_by_bayes"]
        said += f"\nBy Bayes' rule, the likeliest label is the true one for {share:.2f} % of the images.\n"
    if "label_error" in scores:
        error, nats = 100 * scores["label_error"], scores["cross_entropy"]
        said += f"\n{error:.2f} % of {scores['images']:,} images get a wrong label; cross-entropy {nats:.4f} nats.\n"
        said += "A classifier has no p(x), and no likelihood therefore.\n"
    if "mean_squared_error" in scores:
        error = scores["root_mean_squared_error"]
        said += f"\nRoot mean squared error of a pixel over {scores['images']:,} images: {error:.2f} grey levels.\n"
        said += "An autoencoder has no p(x), and no likelihood therefore.\n"
    if "disentanglement" in scores:
        said += _factors(scores["disentanglement"])
    if "png_bits_per_dim" in scores:
        bits = scores["png_bits_per_dim"]
        said += f"\nFor comparison: the same images, below each other in one optimised PNG, take {bits:.3f} bits/dim.\n"
    return said


def _factors(found: dict[str, Any]) -> str:
    """What each latent dimension knows of each factor, as a table."""
    names = found["names"]
    order = sorted(range(len(found["kl"])), key=lambda j: -found["kl"][j])
    rows = "\n".join(
        f"| z{j + 1} | {found['kl'][j]:.2f} | " + " | ".join(f"{one:.2f}" for one in found["information"][j]) + " |"
        for j in order
    )
    most = " | ".join(f"{one:.2f}" for one in found["entropies"])
    gaps = " | ".join(f"{one:.2f}" for one in found["gaps"]["gap"])
    return f"""
## Latents and factors

Mutual information in nats between each latent (a draw from q(z|x)) and each factor, over {FRESH:,} fresh sprites whose factors
are independent; an estimate after Chen et al. (2018), section 4.1, continuous factors in 16 bins.
MIG: {found["mig"]:.3f}; without shape: {found["mig_without"]:.3f}.

| latent | KL | {" | ".join(names)} |
| --- | --- |{" --- |" * len(names)}
{rows}
| entropy | | {most} |
| gap | | {gaps} |
"""


def _row(one: dict[str, Any], meaning: str) -> str:
    return (
        f"| {one['method']} | {meaning} | {one['images']:,} | {one['samples']:,} | {one['nats']:.2f} "
        f"| {one['nats_standard_error']:.2f} | {one['sampling_standard_error']:.3f} | {one['bits_per_dim']:.4f} |"
    )
