"""What travels under /play/: queries, latents and pictures, checked on their way in and packed on their way out.

Numbers are little-endian float64, pixels bytes. What does not fit is a `BadCall` with one sentence that names the value and the
limit.
"""

from __future__ import annotations

import base64
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from models.contract import Spec
from models.noise import SEED_LIMIT
from playground.faults import BadCall

MAX_DECODED = 256  # latents in one request
MAX_COORDINATE = 50.0  # of a latent: beyond, no decoder has an answer worth drawing
MAX_SAMPLES = 64  # pictures in one grid
MAX_SIDE = 24  # of a manifold

T = TypeVar("T", bound=BaseModel)
Seed = Field(default=0, ge=0, lt=SEED_LIMIT)


class Query(BaseModel):
    """What may stand behind the question mark of a route: nothing else does. Frozen, so that it can be a cache's key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelQuery(Query):
    model: str = Field(max_length=64)


class SampleQuery(ModelQuery):
    n: int = Field(default=16, ge=1, le=MAX_SAMPLES)
    seed: int = Seed
    spread: float = Field(default=1.0, ge=0, le=3)
    show: Literal["mean", "draw"] = "mean"


class DrawQuery(ModelQuery):
    seed: int = Seed


class ElboQuery(ModelQuery):
    seed: int = Seed
    roll: int = Field(default=0, ge=0, le=9_999)


class ImportanceQuery(ModelQuery):
    seed: int = Seed
    samples: int = Field(default=512, ge=1, le=2_048)


class ManifoldQuery(ModelQuery):
    side: int = Field(default=16, ge=2, le=MAX_SIDE)
    across: int = Field(default=0, ge=0)
    down: int = Field(default=1, ge=0)


class DataQuery(Query):
    data: Literal["mnist", "fashion"] = "mnist"


def query(request: Request, schema: type[T]) -> T:
    """The query, checked; what is wrong with it in one sentence."""
    try:
        return schema.model_validate(dict(request.query_params))
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else "the query"
        raise BadCall(f"{name} = {str(first.get('input'))[:40]!r} does not fit: {first['msg'].lower()}.") from error


async def latents(request: Request, latent: int) -> np.ndarray:
    """float64 `(n, latent)` from the body."""
    body = await request.body()
    n, rest = divmod(len(body), 8 * latent)
    if rest or not 1 <= n <= MAX_DECODED:
        raise BadCall(f"{len(body)} bytes are not 1 to {MAX_DECODED} latents of {latent} float64 numbers.")
    z = np.frombuffer(bytearray(body), dtype="<f8").reshape(n, latent)
    if not np.isfinite(z).all() or np.abs(z).max() > MAX_COORDINATE:
        raise BadCall(f"A latent coordinate is not a number within ±{MAX_COORDINATE:.0f}.")
    return z


async def picture(request: Request, spec: Spec) -> torch.Tensor:
    """uint8 `(1, C, H, W)` from the body."""
    body = await request.body()
    if len(body) != spec.dims:
        raise BadCall(f"{len(body)} bytes are not one picture: it has {spec.dims} pixels of one byte.")
    return torch.frombuffer(bytearray(body), dtype=torch.uint8).reshape(1, *spec.shape)


def packed(z: np.ndarray, pixels: np.ndarray) -> bytes:
    """float64 latents, then the pixels of their pictures."""
    return np.ascontiguousarray(z, dtype="<f8").tobytes() + pixels.tobytes()


def octets(data: bytes | np.ndarray) -> Response:
    """Raw bytes as an answer."""
    content = data if isinstance(data, bytes) else data.tobytes()
    return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})


def text_of(array: np.ndarray) -> str:
    """Bytes as base64, for JSON."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
