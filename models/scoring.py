"""What is measured of each kind of model on the test images, for its card: one function a kind.

A VAE has its ELBO, and the importance-weighted estimate on the first of the images. A PixelCNN is exact: log p(x), for a
conditional model the marginal over its classes, and beside it log p(x|y) with the true label, which has been told more and is
no figure for p(x).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.contract import Density, GenerativeModel, LogProb
from models.data.images import Images
from models.measures.likelihood import bits_per_dim, chunks, score, summarise
from models.pixelcnn import PixelCNN
from models.recipes import Recipe
from models.vae import VAE

QUANTILES = 101  # of the held-out scores, image by image: 0 %, 1 %, ..., 100 %


def quantiles(nats: Tensor, dims: int) -> list[float]:
    """Of bits per dimension, at equal steps from 0 to 1."""
    steps = torch.linspace(0, 1, QUANTILES, dtype=torch.float64)
    return [round(float(q), 5) for q in torch.quantile(bits_per_dim(nats, dims), steps)]


def of_vae(model: GenerativeModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    elbo, nats = score(model, test.pixels, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    few = test.pixels[: recipe.importance_images]
    importance, _ = score(model, few, method="importance", samples=recipe.importance_samples, noise=recipe.seed)
    elbo_of_few, _ = score(model, few, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    return {
        "scores": {
            "elbo": asdict(elbo),
            "elbo_of_the_same_images": asdict(elbo_of_few),
            "importance": asdict(importance),
        },
        "elbo_bits_per_dim_quantiles": quantiles(nats, model.spec.dims),
        "scale": float(model.scale.detach()) if isinstance(model, VAE) else None,  # of a pixel given z, in grey levels
    }


@torch.inference_mode()
def of_pixelcnn(model: GenerativeModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    assert isinstance(model, PixelCNN)
    device, classes = next(model.parameters()).device, model.spec.classes
    parts = []
    for first, count in chunks(len(test), 250):
        x = test.pixels[first : first + count].to(device)
        terms = model.log_probs_by_class(x) if classes else model.log_probs(x)[None]  # (K or 1, B, C, H, W)
        parts.append(terms.flatten(2).sum(2).cpu())
    by_class = torch.cat(parts, dim=1)  # (K or 1, N)
    nats = by_class.logsumexp(0) - math.log(max(1, classes))
    none = torch.zeros_like(nats)
    found: dict[str, Any] = {
        "scores": {"exact": asdict(summarise(LogProb(nats, Density.EXACT, "exact"), nats, none, model.spec.dims))},
        "bits_per_dim_quantiles": quantiles(nats, model.spec.dims),
    }
    if classes:
        given = by_class[test.labels, torch.arange(len(test))]
        how = LogProb(given, Density.EXACT, "exact, given the label")
        found["scores"]["given_label"] = asdict(summarise(how, given, none, model.spec.dims))
        found["label_by_bayes"] = float((by_class.argmax(0) == test.labels).double().mean())
    if model.spec.levels == 256 and model.spec.shape[0] == 1:
        found["png_bits_per_dim"] = png(test.pixels)
    return found


def png(pixels: Tensor) -> float:
    """Bits a pixel of grey images uint8 `(N, 1, H, W)` as one optimised PNG: images below each other, so that the file's
    header and the compressor's start are paid once. A lossless code is a distribution, too.
    """
    file = io.BytesIO()
    column = pixels.flatten(0, 2).contiguous().numpy()  # (N·H, W)
    Image.fromarray(column).save(file, "PNG", optimize=True)
    return 8 * len(file.getvalue()) / pixels.numel()


SCORES: dict[str, Callable[[GenerativeModel, Images, Recipe], dict[str, Any]]] = {"vae": of_vae, "pixelcnn": of_pixelcnn}
