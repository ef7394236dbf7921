"""The routes under /play/latents/ that train: a tiny VAE, from the page, within seconds.

`/play/latents/train?beta=4&seed=0` answers lines of JSON as they come, each with its `kind`: "waiting" (how many runs come
before), "starting" (the process imports), "head" (what stays the same throughout), a "step" for each snapshot, then "end", or
"error" with a sentence. Closing it ends the run. Numbers of the map are float16, pixels bytes, both as base64: 4 kB a step.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from models import tiny_vae
from models.tiny_vae import Snapshot
from playground import wire
from playground.faults import BadCall
from playground.guard import TOKEN, TOKEN_HEADER, client_network
from playground.jobs import Closed, Full, Function, JobError, Jobs, Run, Starting, Told, Waiting

MAX_BETA = 20.0
MAX_STEPS = 2_000
LIMIT_S = 40.0  # seconds of one run: twenty times what it takes on a free core
TRAINING = "tiny-vae"
FUNCTIONS = {TRAINING: Function("playground.latent_live:training", rehearsal={"steps": 1})}


class TrainQuery(wire.Query):
    beta: float = Field(default=1.0, ge=0, le=MAX_BETA, allow_inf_nan=False)
    seed: int = wire.Seed
    steps: int = Field(default=tiny_vae.STEPS, ge=tiny_vae.EVERY, le=MAX_STEPS)


def routes(jobs: Jobs) -> list[Route]:
    """`jobs` must know `FUNCTIONS`."""

    async def train(request: Request) -> Response:
        asked = wire.query(request, TrainQuery)
        run = jobs.run(TRAINING, asked.model_dump(), limit_s=LIMIT_S, owner=_owner(request))
        try:
            await run.__aenter__()
        except (Full, Closed) as error:
            raise BadCall(str(error), 503) from error
        return _Stream(run)

    return [Route("/play/latents/train", train)]


class _Stream(StreamingResponse):
    """A run, line by line. However the answer ends, begun or not, the run ends with it."""

    def __init__(self, run: Run) -> None:
        super().__init__(_lines(run), media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})
        self.run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.run.stop()


async def _lines(run: Run) -> AsyncIterator[bytes]:
    began = time.perf_counter()
    try:
        async for event in run:
            match event:
                case Waiting(before):
                    yield _line({"kind": "waiting", "before": before})
                case Starting():
                    yield _line({"kind": "starting"})
                case Told(value):
                    if value["kind"] == "head":
                        began = time.perf_counter()
                    yield _line(value)
    except JobError as error:
        yield _line({"kind": "error", "error": str(error)})
        return
    yield _line({"kind": "end", "seconds": time.perf_counter() - began})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _owner(request: Request) -> str:
    """Who has one run at a time: a browser, by the token that its rate is measured by; what sends none, by its address."""
    token = request.headers.get(TOKEN_HEADER, "")
    return token if TOKEN.fullmatch(token) else client_network(request.scope, request.headers, "SPACE_ID" in os.environ)


# --- The job, in its own process ---------------------------------------------------------------------------------------------


def training(*, beta: float = 1.0, seed: int = 0, steps: int = tiny_vae.STEPS) -> Iterator[dict[str, Any]]:
    """What the page is told of a run: a head, then every snapshot."""
    yield head(beta, seed, steps)
    for snapshot in tiny_vae.train(beta=beta, seed=seed, steps=steps):
        yield told(snapshot)


def head(beta: float, seed: int, steps: int) -> dict[str, Any]:
    """What does not change in the course of a run."""
    data = tiny_vae.digits()
    return {
        "kind": "head",
        "beta": beta,
        "seed": seed,
        "steps": steps,
        "frames": 1 + -(-steps // tiny_vae.EVERY),
        "scale": tiny_vae.SCALE,
        "levels": tiny_vae.LEVELS,
        "without_code": tiny_vae.without_code(),
        "learned": len(data.learned),
        "labels": wire.text_of(data.labels.numpy().astype(np.uint8)),
        "shown": data.shown.tolist(),
        "originals": wire.text_of(data.held_out[data.shown].numpy()),
    }


def told(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as it travels. Of the widths of q(z|x), those of the shown digits alone: no more are drawn."""
    shown = tiny_vae.digits().shown.numpy()
    return {
        "kind": "step",
        "step": snapshot.step,
        "reconstruction": snapshot.reconstruction,
        "kl": snapshot.kl,
        "kl_by_dimension": list(snapshot.kl_by_dimension),
        "active": list(snapshot.active),
        "mean": wire.text_of(snapshot.mean.astype("<f2")),
        "std": wire.text_of(snapshot.std[shown].astype("<f2")),
        "reconstructions": wire.text_of(snapshot.reconstructions),
        "samples": wire.text_of(snapshot.samples),
    }


def record() -> dict[str, Any]:
    """The finished run that the view opens on: β = 1, with the ends of two others, so that the pull is seen before a click."""
    first, *snapshots = training()
    ends = [list(training(beta=beta))[-1] | {"beta": beta, "seed": 0} for beta in (0.1, 8.0)]
    return {
        "head": first,
        "steps": snapshots,
        "others": [{key: end[key] for key in ("beta", "seed", "kl", "reconstruction", "active")} for end in ends],
    }
