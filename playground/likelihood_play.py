"""The routes under /play/likelihoods/: pictures to be judged, every model's surprise at them, labels, and one likelihood
computed three ways. A picture that is sent is forgotten with the answer, but for the answers that a class shares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any

import torch
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models import zoo
from playground import likelihood_lesson as lesson
from playground import likelihood_pictures, likelihood_trap, wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.likelihood_scores import labelled, scored
from playground.likelihood_ways import converging, refining, told
from playground.play import _card, answered, sentences

DIMS = 28 * 28
MOST = 64  # pictures in one request


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
        return told(inference, lambda tell: converging(inference, card, x, asked.samples, asked.seed, tell))

    async def refine(request: Request) -> Response:
        asked = wire.query(request, RefineQuery)
        card = _vae(asked.model)
        x = await wire.picture(request, card.spec)
        return told(inference, lambda tell: refining(inference, card, x, asked.seed, tell))

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
        card = _card(name)
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
    return {"from": likelihood_pictures.source(data), "pictures": found, "refused": refused}


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
    return {"from": likelihood_pictures.source(data), "groups": groups}
