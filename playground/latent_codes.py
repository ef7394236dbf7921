"""The routes of two views of the page "Latents": an autoencoder's codes beside a VAE's, and a VAE that is told the label.

What a latent map is good for shows when one draws from it. A VAE was trained so that its codes, together, look like N(0, I); an
autoencoder's lie where they like, so that one must first fit a distribution to them: a Gaussian, or a mixture. Whether a draw
lands where there is anything is measured here (`Fitted.far`), by the distances that codes have from each other.

The conditional VAE shares its z among the labels: "restyle" finds the z of a picture, under its label, and decodes it with
all of them. Which label explains a picture best follows from Bayes' rule with all labels as likely, p(y|x) ∝ p(x|y),
with bounds in place of log p(x|y): two bounds may be loose by different amounts, so this is no exact value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.spatial import KDTree
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from models import gaussian, gmm, starts, zoo
from models.contract import Noise
from models.data import images
from playground import wire
from playground.faults import BadCall
from playground.inference import PIECE, Inference
from playground.play import _latent, answered, reference_pictures, sentences

MAPS = ("ae-mnist-2d", "vae-mnist-2d")  # one latent map each
PAIR = ("ae-mnist", "vae-mnist-16d")  # between whose codes one goes
CONDITIONAL = "cvae-mnist"
POINTS = 2_000  # codes that are drawn; what is fitted is fitted to all
COMPONENTS = 10  # of the mixture: as many as there are digits
MIXTURE_SEED, TOLERANCE, ITERATIONS = 0, 1e-5, 200  # of EM
DRAWS = 2_000  # by which a fit is judged
NEAR = 0.99  # the share of codes that are that near to another: beyond, a draw lands where nothing is
OUTSIDE = 0.002  # of the codes, at either end of either axis, may lie outside the picture
LEAST = 2.6  # a map reaches at least that far from 0: the prior's 90 % circle fits
WEIGHED = 16  # draws of z in each bound of a restyled picture
MAX_ROWS = 16

Fit = Literal["prior", "gaussian", "mixture"]
FITS: tuple[Fit, ...] = ("prior", "gaussian", "mixture")


class CodeSamplesQuery(wire.Query):
    model: Literal["ae-mnist-2d", "vae-mnist-2d"]
    fit: Fit = "prior"
    seed: int = wire.Seed
    n: int = Field(default=16, ge=1, le=wire.MAX_SAMPLES)


class InterpolateQuery(wire.Query):
    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)
    steps: int = Field(default=9, ge=2, le=65)


class LabelsQuery(wire.Query):
    """hold = z: `n` draws of z, each with all ten labels; hold = label: `n` draws of z, all with this one."""

    seed: int = wire.Seed
    hold: Literal["z", "label"] = "z"
    label: int = Field(default=0, ge=0, le=9)
    n: int = Field(default=6, ge=1, le=MAX_ROWS)


class RestyleQuery(wire.Query):
    label: int = Field(default=-1, ge=-1, le=9)  # −1: the one that explains the picture best


@dataclass(frozen=True)
class Fitted:
    """What was fitted to a model's codes, float64 `(N, 2)`, and how far they lie from each other."""

    codes: Tensor
    labels: Tensor  # uint8 (N,)
    gaussian: gaussian.Gaussian
    mixture: gmm.Step
    tree: KDTree
    lone: float  # the distance within which `NEAR` of the codes have another

    def draw(self, fit: Fit, n: int, seed: int) -> Tensor:
        """float64 `(n, 2)`; the first of many are those of few."""
        if fit == "prior":
            return Noise(seed).normal(n, (2,), stream="z")
        return (
            gaussian.sample(self.gaussian, n, noise=seed) if fit == "gaussian" else gmm.sample(self.mixture, n, noise=seed)[0]
        )

    def log_density(self, fit: Fit) -> float:
        """The mean log-density of the codes, nats: only those of one map may be compared, for it depends on the map's units."""
        if fit == "mixture":
            return float(gmm.log_prob(self.codes, self.mixture).mean())
        standard = gaussian.Gaussian(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
        return float(gaussian.log_prob(self.codes, self.gaussian if fit == "gaussian" else standard).mean())

    def far(self, z: Tensor) -> Tensor:
        """Whether each of `(n, 2)` lies farther from every code than `NEAR` of the codes lie from their nearest neighbour.

        Of draws from the codes' own distribution, about 1 − NEAR do.
        """
        return torch.from_numpy(self.tree.query(z.numpy())[0] > self.lone)

    def reached(self, z: Tensor) -> Tensor:
        """Whether each of the codes has one of `(n, 2)` as near as that: what no draw comes near to is never sampled."""
        return torch.from_numpy(KDTree(z.numpy()).query(self.codes.numpy())[0] <= self.lone)

    def window(self) -> tuple[Tensor, Tensor]:
        """The lower and the upper corner of a square that shows the codes, but for a few, and the prior."""
        low = self.codes.quantile(OUTSIDE, 0).clamp_max(-LEAST)
        high = self.codes.quantile(1 - OUTSIDE, 0).clamp_min(LEAST)
        centre, half = (low + high) / 2, 0.53 * (high - low).max()
        return centre - half, centre + half


def fitting(name: str) -> Generator[None, None, Fitted]:
    """Fits what is drawn from, in slices."""
    encoded = zoo.encoded(name)
    if encoded is None:
        raise BadCall(f"{name} came without its encoded test images: restore its latents.safetensors.", 404)
    codes = encoded.posterior.mean.double()
    one = gaussian.fit(codes)
    start = starts.start(codes, COMPONENTS, "kmeans", noise=MIXTURE_SEED)
    yield
    last = None
    for last in gmm.steps(codes, start, tol=TOLERANCE, max_steps=ITERATIONS):  # noqa: B007
        yield
    assert last is not None
    tree = KDTree(codes.numpy())
    nearest = tree.query(codes.numpy(), k=2)[0][:, 1]  # the nearest of all is the code itself
    return Fitted(codes, encoded.labels, one, last, tree, float(np.quantile(nearest, NEAR)))


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def fitted(name: str) -> Fitted:
        _latent(name)
        return await answered(inference.stream(fitting(name), key=("codes", name)), shared=True)

    async def maps(request: Request) -> Response:
        wire.query(request, wire.Query)
        found = {name: await fitted(name) for name in MAPS}
        shown = min(POINTS, *(len(one.codes) for one in found.values()))
        return JSONResponse(
            {
                "classes": images.CLASSES["mnist"],
                "limit": wire.MAX_COORDINATE,
                "near": NEAR,
                "maps": {name: _map(one, shown) for name, one in found.items()},
            }
        )

    async def code_samples(request: Request) -> Response:
        asked = wire.query(request, CodeSamplesQuery)
        found = await fitted(asked.model)

        def run() -> dict[str, Any]:
            drawn = found.draw(asked.fit, max(DRAWS, asked.n), asked.seed)
            far = found.far(drawn)
            z = drawn[: asked.n]
            return {
                "z": wire.text_of(z.numpy()),
                "pictures": wire.text_of(_decoded(inference.model(asked.model), z)),
                "far": far[: asked.n].tolist(),
                "draws": DRAWS,
                "share_far": float(far[:DRAWS].double().mean()),
                "share_reached": float(found.reached(drawn[:DRAWS]).double().mean()),
            }

        return JSONResponse(await answered(inference.submit(run, key=("code samples", asked))))

    async def interpolate(request: Request) -> Response:
        asked = wire.query(request, InterpolateQuery)
        for name in PAIR:
            _latent(name)
        references = await asyncio.to_thread(reference_pictures, "mnist")

        def run() -> dict[str, Any]:
            ends = torch.stack([_reference(references, digit) for digit in (asked.a, asked.b)])
            steps = torch.linspace(0, 1, asked.steps, dtype=torch.float64)
            strips = {"pixels": straight(ends.flatten(1).double(), steps).round().to(torch.uint8).numpy()}
            for key, name in zip(("ae", "vae"), PAIR, strict=True):
                model: Any = inference.model(name)
                with torch.inference_mode():
                    codes = model.encode(ends).mean
                strips[key] = _decoded(model, straight(codes, steps))
            return {"from": references["from"], "strips": {key: wire.text_of(strip) for key, strip in strips.items()}}

        return JSONResponse(await answered(inference.submit(run, key=("interpolate", asked))))

    async def labels(request: Request) -> Response:
        asked = wire.query(request, LabelsQuery)
        classes = _latent(CONDITIONAL).spec.classes

        def run() -> dict[str, Any]:
            model: Any = inference.model(CONDITIONAL)
            z = model.prior(asked.n, noise=asked.seed)
            if asked.hold == "z":
                told = torch.arange(classes).repeat(asked.n)
                pictures = _decoded(model, z.repeat_interleave(classes, 0), told)  # z after z, each with all labels
            else:
                pictures = _decoded(model, z, torch.full((asked.n,), asked.label))
            return {"z": wire.text_of(z.numpy()), "pictures": wire.text_of(pictures)}

        return JSONResponse(await answered(inference.submit(run, key=("labels", asked))))

    async def restyle(request: Request) -> Response:
        asked = wire.query(request, RestyleQuery)
        x = await wire.picture(request, _latent(CONDITIONAL).spec)

        def run() -> Generator[None, None, dict[str, Any]]:
            return (yield from restyled(inference.model(CONDITIONAL), x, asked.label))

        return JSONResponse(await answered(inference.stream(run())))

    return [
        Route("/play/latents/maps", sentences(maps)),
        Route("/play/latents/code_samples", sentences(code_samples)),
        Route("/play/latents/interpolate", sentences(interpolate)),
        Route("/play/latents/labels", sentences(labels)),
        Route("/play/latents/restyle", sentences(restyle), methods=["POST"]),
    ]


def straight(ends: Tensor, steps: Tensor) -> Tensor:
    """The straight line from `ends[0]` to `ends[1]`, `(2, D)`, at `steps` `(S,)` of the way: `(S, D)`."""
    return torch.lerp(ends[0], ends[1], steps[:, None].to(ends))


def restyled(model: Any, x: Tensor, label: int) -> Generator[None, None, dict[str, Any]]:
    """The z of a picture uint8 `(1, C, H, W)` under `label` (−1: the one of the highest bound), decoded with all labels.

    With it the bound on log p(x|y) of each label, nats, an estimate by `WEIGHED` draws of z with its standard error, and the
    shares of Bayes' rule that follow if bounds are taken for values.
    """
    bounds, errors = [], []
    for y in range(model.spec.classes):
        with torch.inference_mode():
            found = model.log_prob(x, labels=torch.tensor([y]), samples=WEIGHED, noise=0)  # the same noise for every label
        bounds.append(float(found.nats[0]))
        errors.append(float(found.standard_error[0]))
        yield
    chosen = int(np.argmax(bounds)) if label < 0 else label
    with torch.inference_mode():
        z = model.encode(x, torch.tensor([chosen])).mean  # (1, L)
    classes = model.spec.classes
    pictures = _decoded(model, z.expand(classes, -1), torch.arange(classes))
    return {
        "label": chosen,
        "z": z[0].tolist(),
        "pictures": wire.text_of(pictures),
        "bounds": bounds,
        "standard_errors": errors,
        "samples": WEIGHED,
        "shares": torch.tensor(bounds, dtype=torch.float64).softmax(0).tolist(),
    }


def _decoded(model: Any, z: Tensor, labels: Tensor | None = None) -> np.ndarray:
    """uint8 `(n, C, H, W)`: the decoder's means, a few at a time."""
    parts = []
    with torch.inference_mode():
        for first in range(0, len(z), PIECE):
            piece = slice(first, first + PIECE)
            parts.append(model.decode(z[piece]) if labels is None else model.decode(z[piece], labels[piece]))
    return torch.cat(parts).numpy()


def _reference(references: dict[str, Any], digit: int) -> Tensor:
    """uint8 `(1, 28, 28)`."""
    return torch.frombuffer(bytearray(wire.bytes_of(references["pictures"][digit])), dtype=torch.uint8).reshape(1, 28, 28)


def _map(found: Fitted, shown: int) -> dict[str, Any]:
    low, high = found.window()
    return {
        "low": low.tolist(),
        "high": high.tolist(),
        "points": wire.text_of(found.codes[:shown].numpy().astype("<f4")),
        "labels": wire.text_of(found.labels[:shown].numpy()),
        "encoded": len(found.codes),
        "lone": found.lone,
        "gaussian": {"mean": found.gaussian.mean.tolist(), "covariance": found.gaussian.covariance.flatten().tolist()},
        "mixture": {
            "weights": found.mixture.weights.tolist(),
            "means": found.mixture.means.flatten().tolist(),
            "covariances": gmm.full_covariances(found.mixture).flatten().tolist(),
        },
        "log_density": {fit: found.log_density(fit) for fit in FITS},
    }
