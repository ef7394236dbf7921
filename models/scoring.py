"""What is measured of each kind of model on the test images, for its card: one function a kind.

A VAE has its ELBO (always that of β = 1, whatever it was trained by), and the importance-weighted estimate on the first of the
images; on sprites also how its latents share the factors. An autoencoder has no probabilities: its error alone. A PixelCNN is
exact: log p(x), for a conditional model the marginal over its classes, and beside it log p(x|y) with the true label, which has
been told more and is no figure for p(x); so is a mixture. A Gaussian over pixels has its closed bound, probabilistic PCA its
estimate. A classifier has no p(x): its error, and the cross-entropy of its labels.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from models.autoencoder import Autoencoder
from models.classifier import Classifier
from models.contract import Density, GenerativeModel, HasLatents, LogProb, Noise, PictureModel, Posterior
from models.data import sprites
from models.data.images import Images
from models.measures import disentanglement, outliers
from models.measures.likelihood import Score, bits_per_dim, chunks, score, summarise
from models.pixel_mixture import PixelMixture
from models.pixelcnn import PixelCNN
from models.recipes import Recipe
from models.vae import VAE, kl_to_prior

FRESH, FRESH_SEED = 10_000, 2026  # sprites on which latents and factors are compared

QUANTILES = 101  # of the held-out scores, image by image: 0 %, 1 %, ..., 100 %


def quantiles(nats: Tensor, dims: int) -> list[float]:
    """Of bits per dimension, at equal steps from 0 to 1."""
    return [round(float(q), 5) for q in outliers.quantiles(bits_per_dim(nats, dims), QUANTILES)]


def of_vae(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    assert isinstance(model, GenerativeModel)
    elbo, nats = score(model, test.pixels, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    few = test.pixels[: recipe.importance_images]
    importance, _ = score(model, few, method="importance", samples=recipe.importance_samples, noise=recipe.seed)
    elbo_of_few, _ = score(model, few, method="elbo", samples=recipe.elbo_samples, noise=recipe.seed)
    found: dict[str, Any] = {
        "scores": {
            "elbo": asdict(elbo),
            "elbo_of_the_same_images": asdict(elbo_of_few),
            "importance": asdict(importance),
        },
        "elbo_bits_per_dim_quantiles": quantiles(nats, model.spec.dims),
    }
    if not isinstance(model, VAE):
        return found
    if not model.bernoulli:
        found["scale"] = float(model.scale.detach())  # of a pixel given z, in grey levels
    labels = test.labels if model.spec.classes else None
    posterior = encoded(model, test.pixels, labels)
    kl = kl_to_prior(posterior).mean(0)  # (L,)
    found["kl_by_dimension"] = [round(float(one), 4) for one in kl]
    if labels is None:
        found["reconstruction"] = elbo.nats + float(kl.sum())  # E_q[log p(x|z)]
    else:
        found["scores"]["elbo_given_label"] = asdict(_given_label(model, test, recipe))
    if test.name == "sprites-256":
        found["disentanglement"] = disentanglement_of(model).to_json()
    return found


def _given_label(model: VAE, test: Images, recipe: Recipe) -> Score:
    """The bound on log p(x|y) with the true label."""
    parts = [
        model.log_prob(
            test.pixels[first : first + count].to(model.log_scale.device),
            labels=test.labels[first : first + count],
            samples=recipe.elbo_samples,
            noise=Noise(recipe.seed).skip(first),
        )
        for first, count in chunks(len(test), 500)
    ]
    nats = torch.cat([part.nats for part in parts]).cpu()
    how = replace(parts[0], method="ELBO, given the label", nats=nats)
    errors = [part.standard_error for part in parts if part.standard_error is not None]  # none where one draw is all
    return summarise(how, nats, torch.cat(errors).cpu() if errors else torch.zeros_like(nats), model.spec.dims)


@torch.inference_mode()
def encoded(model: HasLatents, pixels: Tensor, labels: Tensor | None = None) -> Posterior:
    """q(z|x) of uint8 images `(N, C, H, W)` in chunks, on the CPU."""
    like = next(model.parameters())  # type: ignore[attr-defined]
    means, stds = [], []
    for first, count in chunks(len(pixels), 500):
        x = pixels[first : first + count].to(like.device)
        found = model.encode(x) if labels is None else model.encode(x, labels[first : first + count].to(like.device))  # type: ignore[call-arg]
        means.append(found.mean.float().cpu())
        stds.append(found.std.float().cpu())
    return Posterior(torch.cat(means), torch.cat(stds))


def factor_bins(factors: sprites.Factors) -> dict[str, Tensor]:
    """The shape, and the continuous factors in 16 equal bins of their ranges: int64 `(N,)` each."""
    cut = {name: disentanglement.bins(getattr(factors, name), ends) for name, ends in sprites.RANGES.items()}
    return {"shape": factors.shape} | cut


def disentanglement_of(model: HasLatents) -> disentanglement.Disentanglement:
    """How the latents share the factors of `FRESH` sprites with independent factors, drawn anew: no data set holds them."""
    factors = sprites.draw(FRESH, noise=FRESH_SEED)
    posterior = encoded(model, sprites.render(factors))
    return disentanglement.report(posterior, factor_bins(factors), noise=FRESH_SEED)


def of_autoencoder(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    """The reconstruction error: the mean over images of the mean squared error of a pixel, and its root in grey levels."""
    assert isinstance(model, Autoencoder)
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [model.squared_error(test.pixels[i : i + n].to(device)).double().cpu() for i, n in chunks(len(test), 500)]
    squared = torch.cat(parts) / model.spec.dims  # (N,) squared grey levels a pixel
    return {
        "scores": {},
        "mean_squared_error": float(squared.mean()),
        "root_mean_squared_error": float(squared.mean().sqrt()),  # grey levels
        "images": len(test),
    }


@torch.inference_mode()
def of_pixelcnn(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    assert isinstance(model, PixelCNN)
    device, classes = next(model.parameters()).device, model.spec.classes
    parts = []
    for first, count in chunks(len(test), 250):
        x = test.pixels[first : first + count].to(device)
        terms = model.log_probs_by_class(x) if classes else model.log_probs(x)[None]  # (K or 1, B, C, H, W)
        parts.append(terms.flatten(2).sum(2).cpu())
    by_class = torch.cat(parts, dim=1)  # (K or 1, N)
    found = _of_classes(by_class, test, model.spec.dims)
    if model.spec.levels == 256 and model.spec.shape[0] == 1:
        found["png_bits_per_dim"] = png(test.pixels)
    return found


def _of_classes(by_class: Tensor, test: Images, dims: int) -> dict[str, Any]:
    """From exact log p(x|y) `(K, N)`, or log p(x) `(1, N)`, of the test images."""
    nats = by_class.logsumexp(0) - math.log(len(by_class))
    none = torch.zeros_like(nats)
    found: dict[str, Any] = {
        "scores": {"exact": asdict(summarise(LogProb(nats, Density.EXACT, "exact"), nats, none, dims))},
        "bits_per_dim_quantiles": quantiles(nats, dims),
    }
    if len(by_class) > 1:
        given = by_class[test.labels, torch.arange(len(test))]
        how = LogProb(given, Density.EXACT, "exact, given the label")
        found["scores"]["given_label"] = asdict(summarise(how, given, none, dims))
        found["label_by_bayes"] = float((by_class.argmax(0) == test.labels).double().mean())
    return found


@torch.inference_mode()
def of_mixture(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    assert isinstance(model, PixelMixture)
    device = model.means.device
    parts = [model.log_prob_by_class(test.pixels[i : i + n].to(device)).double().cpu() for i, n in chunks(len(test), 250)]
    return _of_classes(torch.cat(parts, 1), test, model.spec.dims)


def of_density(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    """A model with one way of giving log p(x): its closed bound, or its estimate by the recipe's number of draws."""
    assert isinstance(model, GenerativeModel)
    bound = model.spec.density is Density.LOWER_BOUND
    samples = 1 if bound else recipe.importance_samples
    found, nats = score(model, test.pixels, method=None, samples=samples, noise=recipe.seed)
    return {
        "scores": {"bound" if bound else "importance_of_all": asdict(found)},
        "bits_per_dim_quantiles": quantiles(nats, model.spec.dims),
    }


@torch.inference_mode()
def of_classifier(model: PictureModel, test: Images, recipe: Recipe) -> dict[str, Any]:
    """Its share of wrong labels, and the cross-entropy in nats."""
    assert isinstance(model, Classifier)
    device = next(model.parameters()).device
    parts = [model.log_posterior(test.pixels[i : i + n].to(device)).cpu() for i, n in chunks(len(test), 500)]
    log_p = torch.cat(parts)  # (N, K)
    return {
        "scores": {},
        "label_error": float((log_p.argmax(1) != test.labels).double().mean()),
        "cross_entropy": float(-log_p[torch.arange(len(test)), test.labels].mean()),
        "images": len(test),
    }


def png(pixels: Tensor) -> float:
    """Bits a pixel of grey images uint8 `(N, 1, H, W)` as one optimised PNG: images below each other, so that the file's
    header and the compressor's start are paid once. A lossless code is a distribution, too.
    """
    file = io.BytesIO()
    column = pixels.flatten(0, 2).contiguous().numpy()  # (N·H, W)
    Image.fromarray(column).save(file, "PNG", optimize=True)
    return 8 * len(file.getvalue()) / pixels.numel()


SCORES: dict[str, Callable[[PictureModel, Images, Recipe], dict[str, Any]]] = {
    "vae": of_vae,
    "autoencoder": of_autoencoder,
    "pixelcnn": of_pixelcnn,
    "gaussian": of_density,
    "ppca": of_density,
    "mixture": of_mixture,
    "classifier": of_classifier,
}
