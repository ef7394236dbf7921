"""The routes under /play/cloud/: presets, uploaded tables, runs of the models, and samples from them.

A cloud travels with the request that asks about it, as float64, and is forgotten with the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models.data import clouds
from models.points import BadPoints
from playground import cloud_lesson, fits, tables, wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.play import answered, decoders, sentences

MAX_COLUMNS = 3  # of a table, as coordinates


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def ask(work: Callable[[], Any] | Any) -> JSONResponse:
        """The answer of a generator of slices, or of one call."""
        future = inference.submit(work) if callable(work) else inference.stream(work)
        try:
            return JSONResponse(await answered(future))
        except BadPoints as bad:
            raise BadCall(str(bad), 422) from bad

    async def points(request: Request) -> Response:
        asked = wire.query(request, wire.PresetQuery)
        if asked.data not in clouds.PRESETS:
            raise BadCall(f"There is no cloud named {asked.data!r}: there are {', '.join(clouds.PRESETS)}.", 404)
        return await ask(lambda: preset(asked.data, asked.n, asked.seed))

    async def fit(request: Request) -> Response:
        asked = wire.query(request, wire.FitQuery)
        x = fits.points_of(await request.body(), asked.d)
        return await ask(fits.fit(x, asked))

    async def choose(request: Request) -> Response:
        asked = wire.query(request, wire.ChooseQuery)
        x = fits.points_of(await request.body(), asked.d)
        return await ask(fits.choose(x, asked))

    async def draws(request: Request) -> Response:
        told = await wire.mixture_body(request)
        return await ask(lambda: fits.draws(told))

    async def kernel_draws(request: Request) -> Response:
        asked = wire.query(request, wire.KernelDrawsQuery)
        x = fits.points_of(await request.body(), asked.d)
        return await ask(lambda: fits.kernel_draws(x, asked.bandwidth, asked.n, asked.seed))

    async def table(request: Request) -> Response:
        asked = wire.query(request, wire.TableQuery)
        file = await request.body()
        async with decoders():
            found = await asyncio.to_thread(tables.table, file, noise=asked.seed)
        return JSONResponse(told(found, asked.columns))

    async def code(request: Request) -> Response:
        settings, _ = cloud_lesson.CloudSettings.from_query(dict(request.query_params))
        return JSONResponse({"code": cloud_lesson.code(settings)})

    return [
        Route("/play/cloud/code", sentences(code)),
        Route("/play/cloud/points", sentences(points)),
        Route("/play/cloud/fit", sentences(fit), methods=["POST"]),
        Route("/play/cloud/choose", sentences(choose), methods=["POST"]),
        Route("/play/cloud/draws", sentences(draws), methods=["POST"]),
        Route("/play/cloud/kernel_draws", sentences(kernel_draws), methods=["POST"]),
        Route("/play/cloud/table", sentences(table), methods=["POST"]),
    ]


def preset(data: str, n: int, seed: int) -> dict[str, Any]:
    """A preset cloud as JSON, of the nearest number of points that it has."""
    found = clouds.make(data, cloud_lesson.size(data, n), noise=seed)
    return {"d": found.points.shape[1], "n": len(found.points), "points": wire.text_of(found.points.numpy().astype("<f8"))}


def told(found: tables.Table, columns: str) -> dict[str, Any]:
    """An uploaded table as JSON: the chosen columns' numbers, and the names of all."""
    chosen = _positions(columns, len(found.names)) or list(range(min(2, len(found.names))))
    values = torch.from_numpy(found.columns)[:, chosen].contiguous()
    return {
        "d": len(chosen),
        "n": len(values),
        "points": wire.text_of(values.numpy().astype("<f8")),
        "names": list(found.names),
        "chosen": chosen,
        "notices": list(found.notices),
    }


def _positions(columns: str, there: int) -> list[int]:
    """Which columns were asked for: whole numbers from 0, with commas."""
    parts = [part.strip() for part in columns.split(",") if part.strip()]
    wrong = next((part for part in parts if not (part.isascii() and part.isdecimal() and int(part) < there)), None)
    if wrong is not None:
        noun = "column" if there == 1 else "columns"
        raise BadCall(f"There is no column {wrong[:20]!r}: the table has {there} numeric {noun}, counted from 0.")
    if len(set(parts)) < len(parts):
        raise BadCall(f"columns = {columns[:40]!r} names a column twice: each can be one coordinate.")
    if len(parts) > MAX_COLUMNS:
        raise BadCall(f"{len(parts)} columns are too many: points have at most {MAX_COLUMNS} coordinates.")
    return [int(part) for part in parts]
