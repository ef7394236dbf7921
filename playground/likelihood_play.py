"""The routes under /play/likelihoods/: pictures to be judged, every model's surprise at them, labels, and one likelihood
computed three ways before one's eyes.

A picture that is sent is forgotten with the answer. Long answers come as lines of JSON, each when it is there; whoever leaves
stops the work.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Generator
from itertools import chain
from typing import Any

import numpy as np
import torch
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from models import zoo
from models.contract import Density, LogProb
from models.data import images
from models.measures import amortisation, bayes, outliers, three_ways
from models.measures.likelihood import bits_per_dim, share_at_least
from playground import likelihood_lesson as lesson
from playground import likelihood_pictures, likelihood_trap, wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.play import answered, sentences

DIMS = 28 * 28
MOST = 64  # pictures in one request
DRAWS = 4  # of z for a bound: as many as for the held-out scores that it is compared with
REFINED_SAMPLES = 400  # of the refined gap's log p(x)
REFINE_STEPS = 60
LINES = 40  # of the three ways' course
CHUNK = 16  # draws in one slice of them

Progress = Callable[[dict[str, Any]], None]


class PicturesQuery(wire.DataQuery):
    picks: str = Field(default="", max_length=900)
    seed: int = wire.Seed


class ScoreQuery(wire.DataQuery):
    seed: int = wire.Seed


class WaysQuery(wire.ModelQuery):
    seed: int = wire.Seed
    samples: int = Field(default=1_000, ge=10, le=5_000)


class RefineQuery(wire.ModelQuery):
    seed: int = wire.Seed


class LiveQuery(wire.ModelQuery):
    seed: int = wire.Seed
    n: int = Field(default=200, ge=20, le=1_000)


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def pictures(request: Request) -> Response:
        asked = wire.query(request, PicturesQuery)
        tokens = [one for one in asked.picks.split(",") if one and one != "none"]
        if len(tokens) > lesson.MOST:
            raise BadCall(f"{len(tokens)} pictures are too many: a tray holds {lesson.MOST}.")
        work = inference.stream(chosen(inference, asked.data, tokens, asked.seed), key=("likelihood pictures", asked))
        return JSONResponse(await answered(work, shared=True))

    async def shelf(request: Request) -> Response:
        data = wire.query(request, wire.DataQuery).data
        work = inference.stream(shelved(inference, data), key=("likelihood shelf", data))
        return JSONResponse(await answered(work, shared=True))

    async def score(request: Request) -> Response:
        asked = wire.query(request, ScoreQuery)
        x = await pixels(request)
        work = inference.stream(scored(inference, asked.data, x, asked.seed), key=("scores", asked, _digest(x)))
        return JSONResponse(await answered(work, shared=True))

    async def labels(request: Request) -> Response:
        asked = wire.query(request, ScoreQuery)
        x = await pixels(request)
        work = inference.stream(labelled(inference, asked.data, x, asked.seed), key=("labels", asked, _digest(x)))
        return JSONResponse(await answered(work, shared=True))

    async def ways(request: Request) -> Response:
        asked = wire.query(request, WaysQuery)
        card = _vae(asked.model)
        x = await wire.picture(request, card.spec)
        return _told(inference, lambda tell: converging(inference, card, x, asked.samples, asked.seed, tell))

    async def refine(request: Request) -> Response:
        asked = wire.query(request, RefineQuery)
        card = _vae(asked.model)
        x = await wire.picture(request, card.spec)
        return _told(inference, lambda tell: refining(inference, card, x, asked.seed, tell))

    async def live(request: Request) -> Response:
        asked = wire.query(request, LiveQuery)
        known = {card.name for card in lesson.cards("fashion") if card.spec.levels == 256}
        if asked.model not in known:
            raise BadCall(f"{asked.model[:64]} is none of the models of clothes: {', '.join(sorted(known))} are.")
        work = inference.stream(likelihood_trap.live(inference, asked.model, asked.n, asked.seed))
        return JSONResponse(await answered(work))

    async def code(request: Request) -> Response:
        settings, _ = lesson.LikelihoodSettings.from_query(dict(request.query_params))
        return JSONResponse({"code": lesson.code(settings)})

    return [
        Route("/play/likelihoods/pictures", sentences(pictures)),
        Route("/play/likelihoods/shelf", sentences(shelf)),
        Route("/play/likelihoods/score", sentences(score), methods=["POST"]),
        Route("/play/likelihoods/labels", sentences(labels), methods=["POST"]),
        Route("/play/likelihoods/ways", sentences(ways), methods=["POST"]),
        Route("/play/likelihoods/refine", sentences(refine), methods=["POST"]),
        Route("/play/likelihoods/trap/live", sentences(live)),
        Route("/play/likelihoods/code", sentences(code)),
    ]


async def pixels(request: Request) -> torch.Tensor:
    """uint8 `(n, 1, 28, 28)` from the body."""
    body = await request.body()
    n, rest = divmod(len(body), DIMS)
    if rest or not 1 <= n <= MOST:
        raise BadCall(f"{len(body)} bytes are not 1 to {MOST} pictures of {DIMS} pixels, one byte each.")
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(n, *lesson.SHAPE)


def _digest(x: torch.Tensor) -> bytes:
    """By which a class that looks at the same pictures shares one answer."""
    return hashlib.sha256(x.numpy().tobytes()).digest()


def _vae(name: str) -> zoo.Card:
    """The card of a VAE whose likelihood can be computed three ways on a picture of 256 levels."""
    try:
        card = likelihood_pictures._card(name)
    except zoo.UnknownCheckpoint as error:
        raise BadCall(str(error), 404) from error
    if card.spec.kind != "vae" or card.spec.classes or card.spec.levels != 256 or card.spec.shape != lesson.SHAPE:
        raise BadCall(f"{name} is no VAE of 28 × 28 pixels in 256 levels without classes.")
    return card


def chosen(inference: Inference, data: str, tokens: list[str], seed: int) -> Generator[None, None, dict[str, Any]]:
    """The pictures of tokens, and a sentence for each that names none."""
    found, refused = [], []
    for token in tokens:
        try:
            found.append(likelihood_pictures.make(inference, data, token, seed).to_json())
        except likelihood_pictures.NoSuchPicture as error:
            refused.append(str(error))
        yield
    return {"from": lesson.data_title(data), "pictures": found, "refused": refused}


def shelved(inference: Inference, data: str) -> Generator[None, None, dict[str, Any]]:
    """All that can be picked."""
    groups = []
    for key, tokens in likelihood_pictures.shelf(data):
        group = []
        for token in tokens:
            made = likelihood_pictures.make(inference, data, token, 0).to_json()
            group.append({name: made[name] for name in ("pick", "title", "why", "pixels")})
            yield
        groups.append({"key": key, "pictures": group})
    return {"from": lesson.data_title(data), "groups": groups}


def scored(
    inference: Inference, data: str, x: torch.Tensor, seed: int, *, double: bool = False
) -> Generator[None, None, dict[str, Any]]:
    """Every model's surprise at pictures uint8 `(n, 1, 28, 28)`; one slice a model. `double`: all in float64."""
    started = time.perf_counter()
    binary = likelihood_pictures.binarised(x, seed)
    found = []
    for card in lesson.cards(data):
        found.append(surprise(inference, card, x if card.spec.levels == 256 else binary, seed, double=double))
        yield
    behind = lesson.background(data)
    ground = None
    if behind is not None:
        ground = {"name": behind.name, "bits": surprise(inference, behind, x, seed, double=double)["bits"]}
        yield
    return {
        "images": len(x),
        "models": found,
        "complexity": {"compressor": lesson.COMPRESSOR, "bits": _rounded(outliers.complexity(x, lesson.COMPRESSOR))},
        "background": ground,
        "binary": wire.text_of(binary.numpy()),
        "seconds": time.perf_counter() - started,
    }


def method_of(card: zoo.Card) -> dict[str, Any]:
    """How a model is asked for log p(x): as its held-out scores were had, so that a picture's place among them is fair."""
    if card.spec.density is Density.ESTIMATE:
        return {"samples": int(lesson.held_out(card)["samples"])}
    return {"samples": DRAWS} if card.spec.kind == "vae" else {}


def precision(card: zoo.Card) -> torch.dtype | None:
    """In which a model is asked: networks in float32, as for their held-out scores; closed forms as they are."""
    return torch.float32 if card.spec.kind in ("vae", "pixelcnn", "ppca") else None


def surprise(inference: Inference, card: zoo.Card, x: torch.Tensor, seed: int, *, double: bool = False) -> dict[str, Any]:
    """One model's surprise at pictures of its own space."""
    model: Any = inference.model(card.name, None if double else precision(card))
    with torch.inference_mode():
        found: LogProb = model.log_prob(x, noise=seed, **method_of(card))
    nats = found.nats.double()
    bits = bits_per_dim(nats, card.spec.dims)
    error = None if found.standard_error is None else found.standard_error.double() / (math.log(2) * card.spec.dims)
    quantiles, mean = lesson.quantiles(card), lesson.held_out(card)["bits_per_dim"]
    rank = np.array([share_at_least(float(one), quantiles) for one in bits])
    return {
        "name": card.name,
        "space": lesson.SPACES[card.spec.levels],
        "kind": found.kind.value,
        "method": found.method,
        "samples": found.samples,
        "bits": _rounded(bits),
        "nats": _rounded(nats, 3),
        "error": None if error is None else _rounded(error, 6),
        "rank": _rounded(torch.from_numpy(rank), 4),
        "deviation": _rounded((bits - mean).abs()),
        "two_sided": _rounded(torch.from_numpy(2 * np.minimum(rank, 1 - rank)), 4),
    }


def labelled(inference: Inference, data: str, x: torch.Tensor, seed: int) -> Generator[None, None, dict[str, Any]]:
    """p(y|x) by Bayes' rule from every class-conditional model, and the classifier's."""
    started = time.perf_counter()
    card = lesson.classifier(data)
    discriminative = None
    if card is not None:
        model: Any = inference.model(card.name)
        with torch.inference_mode():
            posterior = model.log_posterior(x).exp()
        discriminative = {"name": card.name, "probabilities": [_rounded(one, 6) for one in posterior]}
        yield
    found = []
    for card in (one for one in lesson.cards(data) if one.spec.classes and one.spec.levels == 256):
        each = bayes.by_class(inference.model(card.name, precision(card)), x, noise=seed, **method_of(card))  # type: ignore[arg-type]
        evidence = bits_per_dim(bayes.labels(each).log_prob, card.spec.dims)
        quantiles = lesson.quantiles(card)
        found.append(
            {
                "name": card.name,
                "kind": each.kind.value,
                "method": each.method,
                "by_class": [_rounded(one, 4) for one in each.nats.T],
                "bits": _rounded(evidence),
                "rank": [round(share_at_least(float(one), quantiles), 4) for one in evidence],
            }
        )
        yield
    return {
        "classes": images.CLASSES[data],
        "classifier": discriminative,
        "models": found,
        "seconds": time.perf_counter() - started,
    }


def converging(
    inference: Inference, card: zoo.Card, x: torch.Tensor, samples: int, seed: int, tell: Progress
) -> Generator[None, None, None]:
    """The three ways as they converge: told at about `LINES` numbers of draws, at equal steps of their logarithm."""
    started = time.perf_counter()
    model: Any = inference.model(card.name, precision(card))
    marks = iter(sorted({round(samples ** (i / (LINES - 1))) for i in range(LINES)}))
    mark = next(marks)
    few = min(CHUNK, samples)  # the first draws one by one; then all again from the first on, in chunks
    for way in chain(
        three_ways.steps(model, x, noise=seed, samples=few, chunk=1),
        three_ways.steps(model, x, noise=seed, samples=samples, chunk=CHUNK) if samples > few else (),
    ):
        if way.samples >= mark:
            tell(_way(way))
            while mark <= way.samples:
                mark = next(marks, samples + 1)
        yield
    tell({"done": True, "seconds": time.perf_counter() - started})


def _way(way: three_ways.Ways) -> dict[str, Any]:
    def running(one: Any, largest: float) -> dict[str, float | None]:
        return {
            "nats": float(one.nats[0]),
            "error": _finite(float(one.standard_error[0])),
            "effective": float(one.effective_samples[0]),
            "largest": largest,
        }

    return {
        "samples": way.samples,
        "prior": running(way.prior, way.largest_share_prior),
        "elbo": way.elbo,
        "elbo_error": _finite(way.elbo_error),
        "importance": running(way.importance, way.largest_share_importance),
    }


def refining(inference: Inference, card: zoo.Card, x: torch.Tensor, seed: int, tell: Progress) -> Generator[None, None, None]:
    """q(z|x) fitted to this picture, then the gap in its two parts."""
    started = time.perf_counter()
    model: Any = inference.model(card.name)
    best = None
    for best in amortisation.refine(model, x, noise=seed, steps=REFINE_STEPS):
        tell({"step": best.step, "elbo": best.elbo, "elbo_error": best.elbo_error})
        yield
    assert best is not None
    gap = amortisation.split(model, x, best.posterior, noise=seed, samples=REFINED_SAMPLES)
    told = {key: getattr(gap, key) for key in ("log_prob", "elbo_amortised", "elbo_refined", "amortisation", "approximation")}
    told |= {f"{key}_error": getattr(gap, f"{key}_error") for key in told}
    tell({"done": True, "seconds": time.perf_counter() - started, "gap": told | {"samples": gap.samples}})


def _told(inference: Inference, work: Callable[[Progress], Generator[None, None, None]]) -> StreamingResponse:
    """What a generator on the model thread tells, as lines; it is closed when the listener leaves."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[dict[str, Any] | BaseException | None] = asyncio.Queue()

    def put(one: dict[str, Any] | BaseException | None) -> None:
        loop.call_soon_threadsafe(news.put_nowait, one)

    future = inference.stream(work(put))
    future.add_done_callback(lambda done: put(None if done.cancelled() else done.exception()))

    async def lines() -> AsyncIterator[bytes]:
        try:
            while (one := await news.get()) is not None:
                if isinstance(one, BaseException):
                    raise one
                yield (json.dumps(one) + "\n").encode()
        finally:
            future.cancel()

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})


def _rounded(values: torch.Tensor, digits: int = 5) -> list[float]:
    return [round(one, digits) for one in values.double().tolist()]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
