"""The likelihood of one picture as it is computed before one's eyes: lines of JSON, each when it is there.

Whoever leaves stops the work.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Generator
from itertools import chain
from typing import Any

import torch
from starlette.responses import StreamingResponse

from models import zoo
from models.measures import amortisation, three_ways
from playground.inference import Inference
from playground.likelihood_scores import asked

REFINED_SAMPLES = 400  # of the refined gap's log p(x)
REFINE_STEPS = 60
LINES = 40  # of the three ways' course
ROUND = (100, 500, 1_000)  # draws that are told in any case: a shorter run's end
CHUNK = 20  # draws in one slice of them

Progress = Callable[[dict[str, Any]], None]


def converging(
    inference: Inference, card: zoo.Card, x: torch.Tensor, samples: int, seed: int, tell: Progress
) -> Generator[None, None, None]:
    """The three ways as they converge: told at about `LINES` numbers of draws, at equal steps of their logarithm."""
    started = time.perf_counter()
    model, _ = asked(inference, card, lambda one: one.log_prob(x, noise=seed))
    round_numbers = {one for one in ROUND if one < samples}
    marks = iter(sorted({round(samples ** (i / (LINES - 1))) for i in range(LINES)} | round_numbers))
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


def told(inference: Inference, work: Callable[[Progress], Generator[None, None, None]]) -> StreamingResponse:
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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
