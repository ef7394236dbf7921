"""What travels under /play/: queries, latents and pictures, checked on their way in and packed on their way out.

Numbers are little-endian float64, pixels bytes. What does not fit is a `BadCall` with one sentence that names the value and the
limit.
"""

from __future__ import annotations

import base64
import math
from typing import Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from models import gmm
from models.contract import Spec
from models.noise import SEED_LIMIT
from playground.faults import BadCall

MAX_DECODED = 256  # latents in one request
MAX_COORDINATE = 50.0  # of a latent: beyond, no decoder has an answer worth drawing
MAX_SAMPLES = 64  # pictures in one grid
MAX_SIDE = 24  # of a manifold
MAX_DRAWS = 2_000  # samples in one request

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


MAX_WRITTEN = 16  # images of a PixelCNN in one request
MAX_CHANGES = 8  # sub-pixels changed by hand
MAX_TEMPERATURE = 3.0


class WriteQuery(ModelQuery):
    """`changes`: sub-pixels put by hand, "place:value" with commas, places in the order of writing."""

    n: int = Field(default=4, ge=1, le=MAX_WRITTEN)
    first: int = Field(default=0, ge=0, le=10_000)  # the number of the first image: its noise is its own
    seed: int = Seed
    label: int = Field(default=-1, ge=-1, le=255)  # −1: any
    temperature: float = Field(default=1.0, ge=0, le=MAX_TEMPERATURE)
    changes: str = Field(default="", pattern=rf"^(\d{{1,6}}:\d{{1,3}}(,\d{{1,6}}:\d{{1,3}}){{0,{MAX_CHANGES - 1}}})?$")
    logits: bool = True


class ReadQuery(ModelQuery):
    label: int = Field(default=-1, ge=-1, le=255)


class PixelPrepareQuery(ModelQuery):
    drawn: bool = False


MAX_POINTS = 200_000  # of a cloud
MAX_VALUE = 1e100  # of a coordinate: its square still is a number
MAX_K = 10  # components: as many as there are colours to tell apart


class PresetQuery(Query):
    data: str = Field(max_length=20)
    n: int = Field(default=300, ge=1, le=20_000)
    seed: int = Seed


class FitQuery(Query):
    """A model, and how it is fitted. Own means and shapes are numbers with commas, in the points' order and units."""

    model: Literal["gaussian", "kmeans", "gmm", "pca", "kde"]
    d: int = Field(ge=1, le=3)
    k: int = Field(default=3, ge=1, le=MAX_K)
    how: Literal["random", "plus", "kmeans", "same", "bad"] = "plus"
    seed: int = Seed
    covariance: Literal["full", "tied", "diagonal", "spherical", "tied_spherical"] = "full"
    assignment: Literal["soft", "hard"] = "soft"
    weights: Literal["learned", "equal"] = "learned"
    sigma: float = Field(default=0, ge=0, le=1e50)  # above 0: the components' fixed deviation
    reg: float = Field(default=1e-6, ge=0, le=1)  # of the cloud's mean variance
    tol: float = Field(default=1e-6, ge=0, le=1)
    steps: int = Field(default=100, ge=1, le=300)
    axes: int = Field(default=-1, ge=-1, le=3)  # of PCA; −1: one fewer than coordinates
    bandwidth: float = Field(default=0, ge=0, le=1e50)  # 0: by leave-one-out likelihood
    means: str = Field(default="", max_length=1_500)
    shapes: str = Field(default="", max_length=3_000)
    low: str = Field(default="", max_length=200)
    high: str = Field(default="", max_length=200)

    def window(self, d: int) -> tuple[list[float], list[float]]:
        """The lower and upper ends of the picture's axes."""
        low, high = numbers(self.low, "low"), numbers(self.high, "high")
        if len(low) != d or len(high) != d or not all(a < b for a, b in zip(low, high, strict=True)):
            raise BadCall(f"low and high must be {d} numbers each, low below high, to know where the density is drawn.")
        return low, high


class ChooseQuery(Query):
    d: int = Field(ge=1, le=3)
    largest: int = Field(default=8, ge=1, le=MAX_K)
    seed: int = Seed
    covariance: Literal["full", "tied", "diagonal", "spherical", "tied_spherical"] = "full"
    weights: Literal["learned", "equal"] = "learned"
    reg: float = Field(default=1e-6, ge=0, le=1)


class KernelDrawsQuery(Query):
    d: int = Field(ge=1, le=2)
    bandwidth: float = Field(gt=0, le=1e50)
    n: int = Field(default=1, ge=1, le=MAX_DRAWS)
    seed: int = Seed


class TableQuery(Query):
    columns: str = Field(default="", max_length=400)  # positions of the numeric columns, with commas; none: the first two
    seed: int = Seed


class DrawsBody(BaseModel):
    """A mixture to draw from, row by row."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    d: int = Field(ge=1, le=3)
    weights: list[float] = Field(min_length=1, max_length=MAX_K)
    means: list[float]
    covariances: list[float]
    n: int = Field(default=1, ge=1, le=MAX_DRAWS)
    seed: int = Seed

    def mixture(self) -> gmm.Start:
        """float64 weights `(K,)`, means `(K, D)` and covariances `(K, D, D)`. Raises `BadCall` where they do not fit."""
        k = len(self.weights)
        if len(self.means) != k * self.d or len(self.covariances) != k * self.d**2:
            numbers = f"means must have {k * self.d} numbers and covariances {k * self.d**2}"
            raise BadCall(f"For weights of {k} and d = {self.d}, {numbers}, not {len(self.means)} and {len(self.covariances)}.")
        if max(map(abs, (*self.weights, *self.means, *self.covariances))) > MAX_VALUE:
            raise BadCall(f"The mixture holds a number beyond {MAX_VALUE:g}, the limit: scale it down.")
        c = torch.tensor(self.covariances, dtype=torch.float64).reshape(k, self.d, self.d)
        weights = torch.tensor(self.weights, dtype=torch.float64)
        if not (weights >= 0).all() or not weights.sum() > 0 or torch.linalg.cholesky_ex(c).info.any():
            raise BadCall("A weight is below 0, or a covariance is not positive definite: there is nothing to draw from.")
        return gmm.Start(weights, torch.tensor(self.means, dtype=torch.float64).reshape(k, self.d), c, "full")


def numbers(text: str, name: str) -> list[float]:
    """Finite numbers written with commas."""
    try:
        found = [float(part) for part in text.split(",") if part]
    except ValueError as error:
        raise BadCall(f"{name} = {text[:40]!r} is not a list of numbers with commas.") from error
    if not all(math.isfinite(number) and abs(number) <= MAX_VALUE for number in found):
        raise BadCall(f"{name} holds a number that is not finite, or beyond {MAX_VALUE:g}.")
    return found


async def mixture_body(request: Request) -> DrawsBody:
    """A mixture from a JSON body."""
    try:
        return DrawsBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise BadCall(fault(error, "The body")) from error


def query(request: Request, schema: type[T]) -> T:
    """The query, checked; what is wrong with it in one sentence."""
    try:
        return schema.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise BadCall(fault(error, "The query")) from error


def fault(error: ValidationError, whole: str) -> str:
    """The first thing wrong, in one sentence for people: what it is called, what it is, and what would fit."""
    first = error.errors()[0]
    name, kind, context = ".".join(map(str, first["loc"])) or whole, first["type"], first.get("ctx") or {}
    if kind == "missing":
        return f"{name} is missing: say what it is."
    if kind == "extra_forbidden":
        return f"There is no {name[:40]!r} here: leave it out."
    if kind == "json_invalid":
        return f"{whole} is not JSON: send the numbers of a mixture."
    limit = next((_plain(context[key]) for key in ("ge", "gt", "le", "lt") if key in context), "")
    reasons = {
        "int_parsing": "it must be a whole number",
        "int_from_float": "it must be a whole number",
        "int_type": "it must be a whole number",
        "float_parsing": "it must be a number",
        "float_type": "it must be a number",
        "finite_number": "it must be a finite number",
        "list_type": "it must be a list of numbers",
        "model_type": "it must be an object with the numbers of a mixture",
        "literal_error": f"it must be {context.get('expected')}",
        "greater_than_equal": f"it must be at least {limit}",
        "greater_than": f"it must be above {limit}",
        "less_than_equal": f"it must be at most {limit}",
        "less_than": f"it must be below {limit}",
        "string_too_long": f"it must have at most {context.get('max_length')} characters",
        "string_pattern_mismatch": f"it must be places and values like 12:3,40:0, at most {MAX_CHANGES} of them",
        "too_long": f"it must have at most {context.get('max_length')} entries",
        "too_short": f"it must have at least {context.get('min_length')}",
    }
    given = str(first.get("input"))
    shown = given if len(given) <= 40 else f"{given[:40]}…"
    return f"{name} = {shown!r} does not fit: {reasons.get(kind) or first['msg'].lower()}."


def _plain(limit: float) -> str:
    """A limit as a person writes it: no 1.0, and thousands apart."""
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


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


def grouped(n: int) -> str:
    """A whole number as people read it: thousands apart."""
    return f"{n:,}".replace(",", "\u202f")


def bytes_of(text: str) -> bytes:
    """The bytes of base64 that is our own."""
    return base64.b64decode(text)


def text_of(array: np.ndarray) -> str:
    """Bytes as base64, for JSON."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
