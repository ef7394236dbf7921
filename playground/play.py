"""The binary routes under /play/: what moves too often for Gradio's event queue.

Each checks what it gets against a pydantic model, asks the inference thread, and answers raw bytes (little-endian) or JSON.
None keeps anything of a person: a picture that is sent lives in memory until it is answered.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import Awaitable, Callable, Generator
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
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
from models.noise import SEED_LIMIT
from playground import uploads
from playground.faults import BadCall
from playground.inference import Busy, Inference

MAX_DECODED = 256  # latents in one request
MAX_COORDINATE = 50.0  # of a latent: beyond, no decoder has an answer worth drawing
MAX_SAMPLES = 64  # pictures in one grid
MAX_SIDE = 24  # of a manifold
POINTS = 2_000  # encoded test images that are drawn; the average posterior is that of all
SLICE = 32  # importance samples between two turns of the others
SHOWN_SIDE = 160  # pixels of a preparation step as it travels
PATIENCE = 20.0  # seconds until a request is given up

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")
Seed = Field(default=0, ge=0, lt=SEED_LIMIT)


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Model(_Query):
    model: str = Field(max_length=64)


class _Sample(_Model):
    n: int = Field(default=16, ge=1, le=MAX_SAMPLES)
    seed: int = Seed
    spread: float = Field(default=1.0, ge=0, le=3)
    show: Literal["mean", "draw"] = "mean"


class _Draw(_Model):
    seed: int = Seed


class _Elbo(_Model):
    seed: int = Seed
    roll: int = Field(default=0, ge=0, le=9_999)


class _Importance(_Model):
    seed: int = Seed
    samples: int = Field(default=512, ge=1, le=2_048)


class _Manifold(_Model):
    side: int = Field(default=16, ge=2, le=MAX_SIDE)
    across: int = Field(default=0, ge=0)
    down: int = Field(default=1, ge=0)


class _Data(_Query):
    data: Literal["mnist", "fashion"] = "mnist"


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def answer(work: Any, *, shared: bool = False) -> Any:
        """Waits for a future of the inference thread, and cancels it with the request unless others wait for it too."""
        waiting = asyncio.wrap_future(work)
        return await asyncio.wait_for(asyncio.shield(waiting) if shared else waiting, PATIENCE)

    async def decode(request: Request) -> Response:
        card = _latent(_query(request, _Model).model)
        z = await _latents(request, card.spec.latent)
        return _octets(await answer(inference.decode(card.name, z)))

    async def draw(request: Request) -> Response:
        asked = _query(request, _Draw)
        card = _latent(asked.model)
        z = torch.from_numpy(await _latents(request, card.spec.latent))
        work = inference.submit(lambda: _images(inference.model(card.name), "draw", z, asked.seed))
        return _octets(await answer(work))

    async def sample(request: Request) -> Response:
        asked = _query(request, _Sample)
        card = _latent(asked.model)

        def run() -> bytes:
            model: Any = inference.model(card.name)
            z = model.prior(asked.n, noise=asked.seed, temperature=asked.spread)
            return _bytes(z.numpy(), _images(model, asked.show, z, asked.seed))

        return _octets(await answer(inference.submit(run, key=("sample", asked))))

    async def manifold(request: Request) -> Response:
        asked = _query(request, _Manifold)
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
            return _bytes(z.numpy(), np.concatenate(rows))

        return _octets(await answer(inference.stream(run(), key=asked), shared=True))

    async def latent_plane(request: Request) -> Response:
        card = _latent(_query(request, _Model).model)
        return JSONResponse(await answer(inference.submit(lambda: _plane(card), key=("plane", card.name))))

    async def prepare(request: Request) -> Response:
        asked = _query(request, _Data)
        file = await request.body()

        def run() -> list[Step]:
            return PREPARATIONS[asked.data](torch.from_numpy(uploads.grey(file)))

        try:
            async with _decoders():
                steps = await asyncio.to_thread(run)
        except (uploads.Refused, NothingThere) as refused:
            raise BadCall(str(refused), 422) from refused
        return JSONResponse({"steps": [_step(step) for step in steps]})

    async def reference(request: Request) -> Response:
        asked = _query(request, _Data)
        return JSONResponse(await asyncio.to_thread(reference_pictures, asked.data))

    async def explain(request: Request) -> Response:
        asked = _query(request, _Elbo)
        card = _latent(asked.model)
        x = await _picture(request, card)

        def run() -> dict[str, Any]:
            model: Any = inference.model(card.name)
            return bound(card, model, x, asked.seed, asked.roll)

        return JSONResponse(await answer(inference.submit(run)))

    async def importance(request: Request) -> Response:
        asked = _query(request, _Importance)
        card = _latent(asked.model)
        x = await _picture(request, card)

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

        return JSONResponse(await answer(inference.stream(run())))

    return [
        Route("/play/decode", _sentences(decode), methods=["POST"]),
        Route("/play/draw", _sentences(draw), methods=["POST"]),
        Route("/play/sample", _sentences(sample)),
        Route("/play/manifold", _sentences(manifold)),
        Route("/play/map", _sentences(latent_plane)),
        Route("/play/prepare", _sentences(prepare), methods=["POST"]),
        Route("/play/reference", _sentences(reference)),
        Route("/play/elbo", _sentences(explain), methods=["POST"]),
        Route("/play/importance", _sentences(importance), methods=["POST"]),
    ]


def _sentences(route: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Typed errors of the layers below, as calls that were refused with a status."""

    async def answered(request: Request) -> Response:
        try:
            return await route(request)
        except Busy as busy:
            raise BadCall(str(busy), 503) from busy
        except TimeoutError as late:
            raise BadCall(f"No answer within {PATIENCE:.0f} seconds: too many people are asking. Try again.", 503) from late

    return answered


@cache
def _decoders() -> asyncio.Semaphore:
    """Two uploads are decoded at once, at most: memory is bounded by that."""
    return asyncio.Semaphore(2)


def _query(request: Request, schema: type[T]) -> T:
    """The query, checked; what is wrong with it in one sentence."""
    try:
        return schema.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else "the query"
        raise BadCall(f"{name} = {str(first.get('input'))[:40]!r} does not fit: {first['msg'].lower()}.") from error


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


async def _latents(request: Request, latent: int) -> np.ndarray:
    """float64 `(n, latent)` from the body."""
    body = await request.body()
    n, rest = divmod(len(body), 8 * latent)
    if rest or not 1 <= n <= MAX_DECODED:
        raise BadCall(f"{len(body)} bytes are not 1 to {MAX_DECODED} latents of {latent} float64 numbers.")
    z = np.frombuffer(bytearray(body), dtype="<f8").reshape(n, latent)
    if not np.isfinite(z).all() or np.abs(z).max() > MAX_COORDINATE:
        raise BadCall(f"A latent coordinate is not a number within ±{MAX_COORDINATE:.0f}.")
    return z


async def _picture(request: Request, card: zoo.Card) -> torch.Tensor:
    """uint8 `(1, C, H, W)` from the body."""
    body = await request.body()
    if len(body) != card.spec.dims:
        raise BadCall(f"{len(body)} bytes are not one picture of {card.name}: it has {card.spec.dims} pixels of one byte.")
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(1, *card.spec.shape)


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
        "points": text_of(points.numpy().astype("<f4")),
        "labels": text_of(encoded.labels[:POINTS].numpy()),
        "classes": images.CLASSES[card.data],
        "encoded": len(encoded.labels),
        "grid": found.log_prior.shape[0],
        "holes": text_of(found.holes().numpy().astype(np.uint8)),
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
        pixels = [text_of(found.pixels[i].numpy()) for i in first]
        return {"from": images.TITLES[name], "pictures": pixels, "names": found.classes}
    return {"from": None, "pictures": [], "names": []}


def _step(step: Step) -> dict[str, Any]:
    """A preparation step for the eye: thinned to `SHOWN_SIDE` where it is larger."""
    stride = max(1, math.ceil(max(step.image.shape) / SHOWN_SIDE))
    image = step.image[::stride, ::stride]
    return {"name": step.name, "height": image.shape[0], "width": image.shape[1], "pixels": text_of(image.numpy())}


def bound(card: zoo.Card, model: Any, x: torch.Tensor, seed: int, roll: int) -> dict[str, Any]:
    """The bound of one picture uint8 `(1, C, H, W)`, taken apart, as JSON; nats."""
    found = elbo.explain(model, x, noise=seed, roll=roll, constant=_constant(card.name))
    return {
        "mean": found.posterior.mean[0].tolist(),
        "std": found.posterior.std[0].tolist(),
        "epsilon": found.epsilon.tolist(),
        "z": found.z.tolist(),
        "image": text_of(found.image.numpy()),
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


def _bytes(z: np.ndarray, pixels: np.ndarray) -> bytes:
    """float64 latents, then the pixels of their pictures."""
    return np.ascontiguousarray(z, dtype="<f8").tobytes() + pixels.tobytes()


def _octets(data: bytes | np.ndarray) -> Response:
    content = data if isinstance(data, bytes) else data.tobytes()
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})


def text_of(array: np.ndarray) -> str:
    """Bytes as base64, for JSON."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
