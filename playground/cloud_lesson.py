"""What a lesson of the page "Clouds" may set, and the lines of `models` that make the same thing."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from models.data import clouds
from playground.lessons import Settings
from playground.wire import MAX_K, FitQuery

OWN = "own"  # a cloud that was drawn or uploaded, in `points` if it is small
POINTS = r"^$|^[123]~[-+.\de,]{1,120}~[-+.\de,]{1,120}~([A-Za-z0-9_-]{2})*$"  # coordinates, low, high, two letters a number
PIN = r"^$|^\d{1,2}\.[a-z_]{4,14}\.(soft|hard)\.(learned|equal)\.[a-z]{3,6}\.\d{1,16}\.[\d.e+-]{1,12}$"

Model = Literal["gaussian", "kmeans", "gmm", "kde", "pca"]


class CloudSettings(Settings):
    """All that a lesson of this page may set."""

    view: Literal["fit", "like"] = "fit"
    data: str = Field(default="stretched", max_length=20)
    n: int = Field(default=300, ge=1, le=20_000)
    cloud: int = Field(default=1, ge=0, le=2**53)  # the seed of the points
    points: str = Field(default="", max_length=1_700, pattern=POINTS)
    models: tuple[Model, ...] = Field(default=("kmeans", "gmm"), min_length=1, max_length=4)
    k: int = Field(default=3, ge=1, le=MAX_K)
    how: Literal["plus", "random", "kmeans", "same", "bad", "own"] = "random"
    seed: int = Field(default=7, ge=0, le=2**53)  # of the start
    covariance: Literal["full", "tied", "diagonal", "spherical", "tied_spherical"] = "full"
    assignment: Literal["soft", "hard"] = "soft"
    weights: Literal["learned", "equal"] = "learned"
    hold: float = Field(default=0, ge=0, le=1e6)  # above 0: the components' deviation, held fixed
    reg: float = Field(default=1e-6, ge=0, le=1)
    tol: float = Field(default=1e-5, ge=0, le=1)
    steps: int = Field(default=100, ge=1, le=300)
    axes: Literal[-1, 0, 1, 2, 3] = -1  # of PCA; −1: one fewer than coordinates
    bandwidth: float = Field(default=0, ge=0, le=1e6)
    means: tuple[float, ...] = Field(default=(), max_length=3 * MAX_K)
    shapes: tuple[float, ...] = Field(default=(), max_length=6 * MAX_K)
    density: Literal["none", "contours", "heat", "surface"] = "contours"
    step: int = Field(default=-1, ge=-1, le=700)  # of the timeline; −1: the end
    pin: str = Field(default="", max_length=80, pattern=PIN)
    draws: int = Field(default=0, ge=0, le=2_000)
    draw_seed: int = Field(default=1, ge=0, le=2**53)
    # The view "Likelihood": None is chosen by the points.
    mode: Literal["likelihood", "probability", "histogram"] = "likelihood"
    mu: float | None = Field(default=None, ge=-1e100, le=1e100)
    sigma: float | None = Field(default=None, gt=0, le=1e100)
    used: int | None = Field(default=None, ge=1, le=200_000)
    at: float | None = Field(default=None, ge=-1e100, le=1e100)
    width: float | None = Field(default=None, gt=0, le=1e100)
    theta: Literal["mu", "sigma"] = "mu"
    bin: float | None = Field(default=None, gt=0, le=1e100)
    scale: Literal["share", "density"] = "share"
    of: Literal[0, 1000, 100000] | None = None
    zoom: float = Field(default=1, ge=1, le=200)

    @field_validator("data")
    @classmethod
    def _known(cls, data: str) -> str:
        if data != OWN and data not in clouds.PRESETS:
            raise ValueError(f"it is one of {', '.join((*clouds.PRESETS, OWN))}")
        return data

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(models)) < len(models):
            raise ValueError("each model can stand there once")
        return models

    @field_validator("points")
    @classmethod
    def _whole_rows(cls, points: str, info: ValidationInfo) -> str:
        if points:
            d = int(points[0])
            lows, highs, letters = points[2:].split("~")
            if not letters or len(letters) % (2 * d):
                raise ValueError("it does not hold whole points")
            try:
                low, high = ([float(part) for part in text.split(",")] for text in (lows, highs))
            except ValueError:
                raise ValueError("its ends are not numbers") from None
            if not len(low) == len(high) == d or not all(map(math.isfinite, low + high)):
                raise ValueError(f"its ends are not {d} finite numbers each")
            if not all(a <= b for a, b in zip(low, high, strict=True)):
                raise ValueError("a lower end is above the upper")
        return points

    @field_validator("means")
    @classmethod
    def _k_means(cls, means: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        k = info.data.get("k", 0)  # not there if it does not fit itself
        if means and (not k or len(means) not in (k, 2 * k, 3 * k)):
            raise ValueError(f"{len(means)} numbers are not k means of 1 to 3 coordinates")
        return means

    @field_validator("shapes")
    @classmethod
    def _k_shapes(cls, shapes: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        k, means = info.data.get("k", 0), info.data.get("means", ())
        d = len(means) // k if k else 0
        if shapes and len(shapes) != k * d * (d + 1) // 2:
            raise ValueError(f"{len(shapes)} numbers are not the upper triangles of the covariances of k such means")
        return shapes

    @field_validator("of", mode="before")
    @classmethod
    def _number(cls, of: Any) -> Any:
        return int(of) if isinstance(of, str) and re.fullmatch(r"\d{1,6}", of, re.ASCII) else of  # a link holds text


# The settings on which a run depends, besides the points.
OF_RUN = (
    "k",
    "how",
    "seed",
    "covariance",
    "assignment",
    "weights",
    "hold",
    "reg",
    "tol",
    "steps",
    "axes",
    "bandwidth",
    "means",
    "shapes",
)


def asked(settings: CloudSettings, model: Model, d: int) -> FitQuery:
    """What the page asks of the server for one model's run."""
    chosen = settings.model_dump(include=set(OF_RUN))
    own = settings.how == "own" and bool(settings.means)
    chosen["sigma"] = chosen.pop("hold")
    chosen["how"] = _how(settings)
    chosen["axes"] = min(settings.axes, d)
    for name in ("means", "shapes"):
        chosen[name] = ",".join(f"{v:g}" for v in chosen[name]) if own else ""
    return FitQuery(model=model, d=d, **chosen)


def size(data: str, n: int) -> int:
    """How many points of a preset there are where `n` are asked for."""
    preset = clouds.PRESETS[data]
    return min(max(n, preset.fewest), preset.most)


def code(settings: CloudSettings) -> str:
    """Lines that make the page's runs with `models`. Each model's result stands in a variable of its name."""
    write = {"gaussian": _gaussian, "kmeans": _kmeans, "gmm": _gmm, "kde": _kde, "pca": _pca}
    like = settings.view == "like"
    text = _likelihood(settings) if like else "\n\n".join(write[model](settings) for model in settings.models)
    modules = [name for name in ("gaussian", "gmm", "kde", "kmeans", "pca", "starts") if re.search(rf"\b{name}\.", text)]
    uses = [f"from models import {', '.join(modules)}"]
    own = settings.data == OWN
    if own:
        cloud = 'points = torch.tensor(np.loadtxt("points.csv", delimiter=",", skiprows=1, ndmin=2))  # the CSV of this page'
    else:
        uses.append("from models.data import clouds")
        n = size(settings.data, settings.n)
        cloud = f'points = clouds.make("{settings.data}", {n}, noise={settings.cloud}).points  # float64 (N, D)'
    libraries = (["import numpy as np"] if own else []) + (["import torch"] if own or like else [])
    return "\n".join([*libraries, *([""] if libraries else []), *uses, "", cloud, "", text]) + "\n"


def _likelihood(settings: CloudSettings) -> str:
    """The view "Likelihood": the maximum in closed form, and the log-likelihood at the θ of the page."""
    mu = "best.mean" if settings.mu is None else f"torch.tensor([{settings.mu}], dtype=torch.float64)"
    sigma = "sigma" if settings.sigma is None else f"torch.tensor([{settings.sigma}], dtype=torch.float64)"
    lines = [
        f"used = points[:{settings.used}]" if settings.used else "used = points",
        "best = gaussian.fit(used)  # the maximum, in closed form",
        "sigma = best.covariance.sqrt()[0]",
        f"likelihood = gaussian.likelihood_surface(used, {mu}, {sigma})",
        "print(best.mean, sigma, likelihood)  # nats, exact",
    ]
    return "\n".join(lines)


def _gaussian(settings: CloudSettings) -> str:
    return "one = gaussian.fit(points)\nprint(gaussian.log_prob(points, one).mean())  # nats a point, exact"


def _kmeans(settings: CloudSettings) -> str:
    s = settings
    first = _rows(s) if _by_hand(s) else f'starts.means(points, {s.k}, "{_how(s)}", noise={s.seed})'
    return f"clusters = kmeans.fit(points, {first}, max_steps={s.steps})\nprint(clusters.inertia)"


def _gmm(settings: CloudSettings) -> str:
    s = settings
    if _by_hand(s):
        shapes = f", {_matrices(s)}" if s.shapes else ""
        lines = [f'start = starts.own(points, {_rows(s)}, "{s.covariance}"{shapes})']
    else:
        lines = [f'start = starts.start(points, {s.k}, "{_how(s)}", covariance="{s.covariance}", noise={s.seed})']
    holding = (", equal=True" if s.weights == "equal" else "") + (f", deviation={s.hold:g}" if s.hold else "")
    if holding:
        lines.append(f"start = starts.held(start{holding})")
    fixed = [name for name, on in (("weights", s.weights == "equal"), ("covariances", s.hold > 0)) if on]
    options = [f'covariance="{"tied_spherical" if s.hold else s.covariance}"', f"tol={s.tol:g}", f"max_steps={s.steps}"]
    options.append(f"reg={s.reg:g} * float(points.var(0, correction=0).mean())")
    options += [f'assignment="{s.assignment}"'] if s.assignment != "soft" else []
    options += [f"fixed={fixed}"] if fixed else []
    lines.append("run = list(gmm.steps(points, start,\n    " + ",\n    ".join(options) + "))  # E, M, E, M, …")
    lines.append("mixture = run[-1]\nprint(mixture.log_likelihood)  # nats a point, exact")
    return "\n".join(lines)


def _kde(settings: CloudSettings) -> str:
    if settings.bandwidth:
        return f"h = {settings.bandwidth:g}\nprint(kde.leave_one_out(points, h))  # nats a point"
    return "best = kde.best_bandwidth(points, noise=0)\nprint(best.h, best.log_likelihood)  # leave one out, nats a point"


def _pca(settings: CloudSettings) -> str:
    d = _dimensions(settings)
    if settings.axes < 0:
        axes = "points.shape[1] - 1"
    elif settings.axes <= (d or 1):
        axes = str(settings.axes)
    else:
        axes = str(d) if d else f"min({settings.axes}, points.shape[1])"
    head = f"axes = pca.fit(points, {axes})\n"
    return head + "print(axes.explained, pca.log_prob(points, axes).mean())  # shares of the variance; nats a point, exact"


def _dimensions(settings: CloudSettings) -> int:
    """How many coordinates the points have; 0 for those of a file, which no link holds."""
    if settings.data != OWN:
        return clouds.PRESETS[settings.data].dimensions
    return int(settings.points[0]) if settings.points else 0


def _how(settings: CloudSettings) -> Any:
    """The start; one's own without means is k-means++."""
    return "plus" if settings.how == "own" else settings.how


def _by_hand(settings: CloudSettings) -> bool:
    return bool(settings.means) and settings.how == "own"


def _rows(settings: CloudSettings) -> str:
    """The means put by hand, a list a component."""
    d = len(settings.means) // settings.k
    return json.dumps([list(settings.means[i : i + d]) for i in range(0, settings.k * d, d)])


def _matrices(settings: CloudSettings) -> str:
    """The shapes put by hand (upper triangles, row by row) as whole matrices."""
    d = len(settings.means) // settings.k
    pairs = [(i, j) for i in range(d) for j in range(i, d)]
    parts = [settings.shapes[i : i + len(pairs)] for i in range(0, settings.k * len(pairs), len(pairs))]
    return json.dumps([[[part[pairs.index((min(i, j), max(i, j)))] for j in range(d)] for i in range(d)] for part in parts])
