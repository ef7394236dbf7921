"""The routes under /play/latents/ of the sliders: what each latent dimension is measured to mean, and one picture's codes.

- `space`: the dimensions of a model, what each carries (KL, nats), what it tells of the sprites' factors, and how far it moves
  a pixel; `rotated`: the same of z' = R z (`models.rotation`), measured anew.
- `target`: a picture to be matched; `encode`: a picture's posterior; `refine`: from its mean upwards (`models.refine`).

Rows of a matrix R are the sliders' directions: slider j moves z along R[j], and z = Rᵀ z'. Without a rotation R is I.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from models import refine, zoo
from models.contract import Noise, Posterior
from models.data import sprites
from models.measures import disentanglement
from models.rotation import rotated, rotation
from models.scoring import FRESH_SEED, factor_bins
from models.vae import VAE, kl_to_prior
from playground import latent_lesson, wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.play import _latent, answered, sentences

# A dimension is collapsed below this mean KL in nats. The KL bounds what it tells of a picture, I(x; z_j) ≤ E KL, and so of any
# factor: less than a fiftieth of what there is to know of one (log 16 = 2.8 nats), too little for a caption to name it.
COLLAPSED = 0.05
FRESH_HERE = 4_000  # fresh sprites on which rotated dimensions are measured
OWN_HERE = 512  # samples of a model's own that stand in where no images are at hand
SLICE = 32  # images between two turns of the others
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of a slider alone, for how far it moves a pixel
STEPS = 80  # of the refinement, at most
CARD_DIMS, CARD_LIMIT = 4, 2.0  # swinging numbers on the index's card, and how far they go


class TurnQuery(wire.ModelQuery):
    """`turn`: the seed of the rotation; 0 is none."""

    turn: int = Field(default=1, ge=0, le=9_999)


class GoalQuery(wire.ModelQuery):
    goal: int = Field(default=1, ge=1, le=9_999)


@dataclass(frozen=True)
class Codes:
    """Posteriors of some pictures, and what the pictures are: "fresh sprites", "test images" or "own samples"."""

    posterior: Posterior  # (N, L)
    of: str

    @property
    def images(self) -> int:
        return len(self.posterior.mean)


def routes(inference: Inference) -> list[Route]:
    """All of them, on one inference thread."""

    async def codes(card: zoo.Card) -> Codes:
        return await answered(inference.stream(encoding(inference, card), key=("codes", card.name)), shared=True)

    async def measured(card: zoo.Card, turn: int) -> dict[str, Any]:
        of = await codes(card)
        return await answered(inference.stream(measuring(card, of, turn), key=("turned", card.name, turn)), shared=True)

    async def moved(card: zoo.Card, turn: int) -> list[int]:
        return await answered(inference.stream(moving(inference, card, turn), key=("moved", card.name, turn)), shared=True)

    async def space(request: Request) -> Response:
        card = sliding(wire.query(request, wire.ModelQuery).model)
        found = recorded(card)
        if found is None:
            found = await measured(card, 0)
        return JSONResponse(found | {"matrix": matrix(card, 0), "moves": await moved(card, 0)})

    async def turned(request: Request) -> Response:
        asked = wire.query(request, TurnQuery)
        card = sliding(asked.model)
        before, after = await measured(card, 0), await measured(card, asked.turn)
        answer = after | {"matrix": matrix(card, asked.turn), "moves": await moved(card, asked.turn)}
        return JSONResponse(answer | {"before": {"kl": before["kl"], "factors": before["factors"]}})

    async def target(request: Request) -> Response:
        asked = wire.query(request, GoalQuery)
        card = sliding(asked.model)
        work = inference.submit(lambda: goal(card, inference.model(card.name), asked.goal), key=("goal", asked))
        return JSONResponse(await answered(work))

    async def encode(request: Request) -> Response:
        card = sliding(wire.query(request, wire.ModelQuery).model)
        x = await wire.picture(request, card.spec)

        def run() -> dict[str, Any]:
            posterior = _encoded(inference.model(card.name), x)
            kl = kl_to_prior(posterior)[0]
            return {"mean": posterior.mean[0].tolist(), "std": posterior.std[0].tolist(), "kl": kl.tolist()}

        return JSONResponse(await answered(inference.submit(run)))

    async def refined(request: Request) -> Response:
        card = sliding(wire.query(request, wire.ModelQuery).model)
        x = await wire.picture(request, card.spec)
        digest = hashlib.sha256(x.numpy().tobytes()).hexdigest()  # a class that matches one target climbs once
        work = inference.stream(climbing(inference, card, x), key=("refined", card.name, digest))
        return JSONResponse(await answered(work, shared=True))

    async def code(request: Request) -> Response:
        settings, _ = latent_lesson.LatentSettings.from_query(dict(request.query_params))
        return JSONResponse({"code": latent_lesson.code(settings)})

    return [
        Route("/play/latents/code", sentences(code)),
        Route("/play/latents/space", sentences(space)),
        Route("/play/latents/rotated", sentences(turned)),
        Route("/play/latents/target", sentences(target)),
        Route("/play/latents/encode", sentences(encode), methods=["POST"]),
        Route("/play/latents/refine", sentences(refined), methods=["POST"]),
    ]


def sliding(name: str) -> zoo.Card:
    """The card of a model whose z alone says what is decoded, and has a prior."""
    card = _latent(name)
    if card.spec.kind != "vae":
        raise BadCall(f"{name} has no prior over its latents: choose a VAE.")
    if card.spec.classes:
        raise BadCall(f"{name} has to be told a class with every z: choose a VAE without classes.")
    return card


def matrix(card: zoo.Card, turn: int) -> list[list[float]]:
    """R, `(L, L)`."""
    return rotation(card.spec.latent, turn).tolist()


def recorded(card: zoo.Card) -> dict[str, Any] | None:
    """What the card's scores say of the dimensions; None where they do not."""
    kl = card.scores.get("kl_by_dimension")
    if kl is None:
        return None
    images = card.scores["scores"]["elbo"]["images"]
    return _dimensions(kl, "test images", images) | {"factors": _factors(card.scores.get("disentanglement"))}


def encoding(inference: Inference, card: zoo.Card) -> Generator[None, None, Codes]:
    """Posteriors to measure on: those that travel with the checkpoint, else of fresh sprites, else of the model's samples."""
    travelled = zoo.encoded(card.name)
    fresh = sprites.draw(FRESH_HERE, noise=FRESH_SEED) if _of_sprites(card) else None
    if travelled is not None and (fresh is None or torch.equal(travelled.labels.long(), fresh.shape[: len(travelled.labels)])):
        return Codes(travelled.posterior, "test images" if fresh is None else "fresh sprites")
    model: Any = inference.model(card.name)
    parts = []
    for first in range(0, OWN_HERE if fresh is None else len(fresh), SLICE):
        if fresh is None:
            x = model.sample(SLICE, noise=Noise(FRESH_SEED).skip(first))
        else:
            x = sprites.render(fresh[first : first + SLICE], colour=card.spec.shape[0] == 3)
        parts.append(_encoded(model, x))
        yield
    posterior = Posterior(torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts]))
    return Codes(posterior, "own samples" if fresh is None else "fresh sprites")


def measuring(card: zoo.Card, codes: Codes, turn: int) -> Generator[None, None, dict[str, Any]]:
    """What `recorded` tells, of the dimensions of z' = R z: a slice for each. Its marginals are exact for every picture."""
    posterior = rotated(codes.posterior, rotation(card.spec.latent, turn)) if turn else codes.posterior
    found = _dimensions(kl_to_prior(posterior).mean(0).tolist(), codes.of, codes.images)
    if turn:  # a mixture of all dimensions moves pixels, however little its own KL
        found["collapsed"] = []
    if not _of_sprites(card):
        return found | {"factors": None}
    factors = factor_bins(sprites.draw(codes.images, noise=FRESH_SEED))
    information, chance, first = [], [], None
    for j in range(card.spec.latent):
        alone = Posterior(posterior.mean[:, j, None], posterior.std[:, j, None])
        first = disentanglement.report(alone, factors, noise=FRESH_SEED)
        information.append(first.information[0].tolist())
        chance.append(first.chance[0].tolist())
        yield
    assert first is not None
    told = {
        "names": list(first.names),
        "entropies": first.entropies.tolist(),
        "information": information,
        "chance": chance,
        "images": codes.images,
    }
    return found | {"factors": told}


def moving(inference: Inference, card: zoo.Card, turn: int) -> Generator[None, None, list[int]]:
    """By how many grey levels each slider alone moves the pixel that it moves most, from −2 to 2, all others at 0."""
    model: Any = inference.model(card.name)
    places = torch.tensor(PLACES, dtype=torch.float64)
    found = []
    for direction in rotation(card.spec.latent, turn):
        with torch.inference_mode():
            pictures = model.decode(places[:, None] * direction).int()  # (P, C, H, W)
        found.append(int((pictures.amax(0) - pictures.amin(0)).max()))
        yield
    return found


def goal(card: zoo.Card, model: Any, number: int) -> dict[str, Any]:
    """A picture to be matched: a fresh sprite, or what the model itself makes of a z from its prior."""
    with torch.inference_mode():
        if _of_sprites(card):
            factors = sprites.draw(1, noise=Noise(FRESH_SEED).skip(number))
            x, kind = sprites.render(factors, colour=card.spec.shape[0] == 3), "sprite"
        else:  # step 1: the same number as a seed of /play/sample is another picture
            x, kind = model.decode(model.prior(1, noise=Noise(number).at(1))), "sample"
        return {"pixels": wire.text_of(x.numpy()), "kind": kind, "goal": number}


def climbing(inference: Inference, card: zoo.Card, x: Tensor) -> Generator[None, None, dict[str, Any]]:
    """From the encoder's mean of x uint8 `(1, C, H, W)` upwards, a step a slice."""
    model: Any = inference.model(card.name)
    places = []
    for place in refine.ascend(refine.log_joint(model, x), _encoded(model, x).mean[0], steps=STEPS):
        places.append(place)
        yield
    return {
        "path": [place.z.tolist() for place in places],
        "log_joint": [place.value for place in places],  # log p(x|z) + log p(z), nats: exact
        "slope": places[-1].slope,
    }


def card_swings(name: str) -> dict[str, Any]:
    """For the index: the dimensions of the largest KL, the factor each knows most of, and the picture at its end."""
    card, model = sliding(name), zoo.load(name)
    assert isinstance(model, VAE)
    report = card.scores["disentanglement"]
    dims = _by_kl(card.scores["kl_by_dimension"])[:CARD_DIMS]
    z = torch.zeros(len(dims), card.spec.latent, dtype=torch.float64)
    z[range(len(dims)), dims] = CARD_LIMIT
    with torch.inference_mode():
        pixels = model.decode(z)
    return {
        "dims": dims,
        "factors": [max(zip(report["information"][j], report["names"], strict=True))[1] for j in dims],
        "limit": CARD_LIMIT,
        "pixels": wire.text_of(pixels.numpy()),  # (dims, C, H, W)
    }


def _dimensions(kl: list[float], of: str, images: int) -> dict[str, Any]:
    return {
        "kl": kl,
        "kl_of": of,
        "kl_images": images,
        "order": _by_kl(kl),
        "threshold": COLLAPSED,
        "collapsed": [j for j in _by_kl(kl) if kl[j] < COLLAPSED],
        "prior": [-2.0, 2.0],  # where 95 % of its draws are, in every dimension and from every side
    }


def _by_kl(kl: list[float]) -> list[int]:
    """The numbers of the dimensions, the largest KL first."""
    return sorted(range(len(kl)), key=lambda j: (-kl[j], j))


def _factors(report: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a slider's caption needs of a report of disentanglement."""
    return None if report is None else {key: report[key] for key in ("names", "entropies", "information", "chance", "images")}


def _of_sprites(card: zoo.Card) -> bool:
    return card.data.startswith("sprites")


def _encoded(model: Any, x: Tensor) -> Posterior:
    """q(z|x), float64: tensors that may be used anywhere."""
    with torch.no_grad():
        found = model.encode(x)
    return Posterior(found.mean.double(), found.std.double())
