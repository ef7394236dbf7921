"""The binary routes under /play/: what moves too often for Gradio's event queue.

Each checks what it gets against a pydantic model, asks the inference thread, and answers raw bytes (little-endian) or JSON.
None keeps anything of a person: a picture that is sent lives in memory until it is answered.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator
from functools import cache
from typing import Any

import numpy as np
import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models import zoo
from models.contract import Noise
from models.data import images
from models.data.prepare import PREPARATIONS, NothingThere, Step
from models.measures import elbo
from models.measures.constant import ConstantPicture
from models.measures.latent_map import deepest_hole, latent_map, quantile_grid
from models.measures.likelihood import bits_per_dim, importance_weighted_steps, share_at_least
from playground import uploads, wire
from playground.faults import BadCall
from playground.inference import Busy, Inference

POINTS = 2_000  # encoded test images that are drawn; the average posterior is that of all
SLICE = 32  # importance samples between two turns of the others
SHOWN_SIDE = 160  # pixels of a preparation step as it travels
PATIENCE = 20.0  # seconds until a request is given up


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def decode(request: Request) -> Response:
        card = _latent(wire.query(request, wire.ModelQuery).model)
        z = await wire.latents(request, card.spec.latent)
        return wire.octets(await answered(inference.decode(card.name, z)))

    async def draw(request: Request) -> Response:
        asked = wire.query(request, wire.DrawQuery)
        card = _latent(asked.model)
        z = torch.from_numpy(await wire.latents(request, card.spec.latent))
        work = inference.submit(lambda: _images(inference.model(card.name), "draw", z, asked.seed))
        return wire.octets(await answered(work))

    async def sample(request: Request) -> Response:
        asked = wire.query(request, wire.SampleQuery)
        card = _latent(asked.model)

        def run() -> bytes:
            model: Any = inference.model(card.name)
            z = model.prior(asked.n, noise=asked.seed, temperature=asked.spread)
            return wire.packed(z.numpy(), _images(model, asked.show, z, asked.seed))

        return wire.octets(await answered(inference.submit(run, key=("sample", asked))))

    async def manifold(request: Request) -> Response:
        asked = wire.query(request, wire.ManifoldQuery)
        card = _latent(asked.model)
        latent = card.spec.latent
        if max(asked.across, asked.down) >= latent or asked.across == asked.down:
            raise BadCall(f"{card.name} has the dimensions 0 to {latent - 1}: choose two different ones of them.")

        def run() -> Generator[None, None, bytes]:
            model: Any = inference.model(card.name)
            z = torch.zeros(asked.side**2, latent, dtype=torch.float64)
            z[:, [asked.across, asked.down]] = quantile_grid(asked.side)
            rows = []
            for row in z.split(asked.side):
                rows.append(_images(model, "mean", row, 0))
                yield
            return wire.packed(z.numpy(), np.concatenate(rows))

        return wire.octets(await answered(inference.stream(run(), key=asked), shared=True))

    async def latent_plane(request: Request) -> Response:
        card = _latent(wire.query(request, wire.ModelQuery).model)
        return JSONResponse(await answered(inference.submit(lambda: _plane(card), key=("plane", card.name))))

    async def prepare(request: Request) -> Response:
        asked = wire.query(request, wire.DataQuery)
        file = await request.body()

        def run() -> list[Step]:
            return PREPARATIONS[asked.data](torch.from_numpy(uploads.grey(file)))

        try:
            async with decoders():
                steps = await asyncio.to_thread(run)
        except (uploads.Refused, NothingThere) as refused:
            raise BadCall(str(refused), 422) from refused
        return JSONResponse({"steps": [_step(step) for step in steps]})

    async def reference(request: Request) -> Response:
        asked = wire.query(request, wire.DataQuery)
        return JSONResponse(await asyncio.to_thread(reference_pictures, asked.data))

    async def explain(request: Request) -> Response:
        asked = wire.query(request, wire.ElboQuery)
        card = _latent(asked.model)
        x = await wire.picture(request, card.spec)

        def run() -> dict[str, Any]:
            model: Any = inference.model(card.name)
            return bound(card, model, x, asked.seed, asked.roll)

        return JSONResponse(await answered(inference.submit(run)))

    async def importance(request: Request) -> Response:
        asked = wire.query(request, wire.ImportanceQuery)
        card = _latent(asked.model)
        x = await wire.picture(request, card.spec)

        def run() -> Generator[None, None, dict[str, Any]]:
            model: Any = inference.model(card.name)
            with torch.inference_mode():
                log_weights = model.log_weights(x, noise=asked.seed)
            steps = importance_weighted_steps(log_weights, asked.samples, chunk=SLICE)
            while True:
                with torch.inference_mode():
                    now = next(steps)
                if now.samples == asked.samples:
                    break
                yield
            return {
                "nats": float(now.nats[0]),
                "standard_error": float(now.standard_error[0]),
                "effective_samples": float(now.effective_samples[0]),
                "samples": now.samples,
                "bits_per_dim": float(bits_per_dim(now.nats[0], card.spec.dims)),
            }

        return JSONResponse(await answered(inference.stream(run())))

    return [
        Route("/play/decode", sentences(decode), methods=["POST"]),
        Route("/play/draw", sentences(draw), methods=["POST"]),
        Route("/play/sample", sentences(sample)),
        Route("/play/manifold", sentences(manifold)),
        Route("/play/map", sentences(latent_plane)),
        Route("/play/prepare", sentences(prepare), methods=["POST"]),
        Route("/play/reference", sentences(reference)),
        Route("/play/elbo", sentences(explain), methods=["POST"]),
        Route("/play/importance", sentences(importance), methods=["POST"]),
    ]


async def answered(work: Any, *, shared: bool = False) -> Any:
    """Waits for a future of the inference thread, and cancels it with the request unless others wait for it too."""
    waiting = asyncio.wrap_future(work)
    return await asyncio.wait_for(asyncio.shield(waiting) if shared else waiting, PATIENCE)


def sentences(route: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Typed errors of the layers below, as calls that were refused with a status."""

    async def told(request: Request) -> Response:
        try:
            return await route(request)
        except Busy as busy:
            raise BadCall(str(busy), 503) from busy
        except TimeoutError as late:
            raise BadCall(f"No answer within {PATIENCE:.0f} seconds: too many people are asking. Try again.", 503) from late

    return told


@cache
def decoders() -> asyncio.Semaphore:
    """Two uploads are decoded at once, at most: memory is bounded by that."""
    return asyncio.Semaphore(2)


@cache
def _card(name: str) -> zoo.Card:
    return zoo.card(name)


def _latent(name: str) -> zoo.Card:
    """The card of a model with latents."""
    try:
        card = _card(name)
    except zoo.UnknownCheckpoint as error:
        raise BadCall(str(error), 404) from error
    if not card.spec.latent:
        raise BadCall(f"{name} has no latent vector to decode.")
    return card


def _images(model: Any, show: str, z: torch.Tensor, seed: int) -> np.ndarray:
    """uint8 `(n, C, H, W)`: the decoder's means, or true draws from p(x|z)."""
    with torch.inference_mode():
        pictures = model.decode(z) if show == "mean" else model.draw(z, noise=Noise(seed))
    return pictures.numpy()


def _plane(card: zoo.Card) -> dict[str, Any]:
    """The latent map: encoded test points, the prior, and where it promises what no picture backs."""
    encoded = zoo.encoded(card.name)
    if encoded is None:
        return {"extent": 3.5, "points": None, "classes": images.CLASSES[card.data]}
    points = encoded.posterior.mean[:POINTS]
    extent = min(5.0, max(3.5, math.ceil(2 * float(encoded.posterior.mean.abs().quantile(0.99))) / 2))
    found = latent_map(encoded.posterior, extent=extent)
    return {
        "extent": extent,
        "points": wire.text_of(points.numpy().astype("<f4")),
        "labels": wire.text_of(encoded.labels[:POINTS].numpy()),
        "classes": images.CLASSES[card.data],
        "encoded": len(encoded.labels),
        "grid": found.log_prior.shape[0],
        "holes": wire.text_of(found.holes().numpy().astype(np.uint8)),
        "share_of_prior_in_holes": float(
            (found.log_prior.exp() * found.holes()).sum() * (2 * extent / len(found.log_prior)) ** 2
        ),
        "deepest": deepest_hole(found),
    }


def load_references() -> None:
    """Has them ready before the first person asks: importing what reads them takes a second."""
    for data in ("mnist", "fashion"):
        reference_pictures(data)


@cache
def reference_pictures(data: str) -> dict[str, Any]:
    """One picture a class to start from: the data set's own test images where they are at hand, else the bundled digits."""
    for name in (data, "digits") if data == "mnist" else (data,):
        try:
            found = images.load(name, "test")
        except images.DataMissing:
            continue
        first = [int((found.labels == c).nonzero()[0]) for c in range(len(found.classes))]
        pixels = [wire.text_of(found.pixels[i].numpy()) for i in first]
        return {"from": images.TITLES[name], "pictures": pixels, "names": found.classes}
    return {"from": None, "pictures": [], "names": []}


def _step(step: Step) -> dict[str, Any]:
    """A preparation step for the eye: thinned to `SHOWN_SIDE` where it is larger."""
    stride = max(1, math.ceil(max(step.image.shape) / SHOWN_SIDE))
    image = step.image[::stride, ::stride]
    return {"name": step.name, "height": image.shape[0], "width": image.shape[1], "pixels": wire.text_of(image.numpy())}


def bound(card: zoo.Card, model: Any, x: torch.Tensor, seed: int, roll: int) -> dict[str, Any]:
    """The bound of one picture uint8 `(1, C, H, W)`, taken apart, as JSON; nats."""
    found = elbo.explain(model, x, noise=seed, roll=roll, constant=_constant(card.name))
    return {
        "mean": found.posterior.mean[0].tolist(),
        "std": found.posterior.std[0].tolist(),
        "epsilon": found.epsilon.tolist(),
        "z": found.z.tolist(),
        "image": wire.text_of(found.image.numpy()),
        "reconstruction_of_roll": found.reconstruction_of_roll,
        "reconstruction": found.reconstruction,
        "reconstruction_error": found.reconstruction_error,
        "samples": found.samples,
        "kl": found.kl,
        "kl_by_dimension": found.kl_by_dimension.tolist(),
        "elbo": found.elbo,
        "elbo_bits_per_dim": found.elbo_bits_per_dim,
        "rank": share_at_least(found.elbo_bits_per_dim, card.scores["elbo_bits_per_dim_quantiles"]),
        "constant": found.constant,
        "bought": found.bought,
    }


@cache
def _constant(name: str) -> ConstantPicture | None:
    return zoo.constant_picture(name)
