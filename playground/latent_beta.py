"""The routes of "β compared": one sprite under the models of all β, and what their cards say of rate, distortion and factors.

    /play/latents/betas                    of every model and every seed, from scores.json: nothing is computed
    /play/latents/compare?sprite=1&dim=0   one fresh sprite: decoded again, its bound, and what one dimension does to it

Both name a dimension by its place in the vector and order dimensions by their mean KL over the test sprites, largest first:
`dim` is a place in that order. The sprite is one of those on which latents and factors were compared: no data set holds it.
Likelihoods are those of β = 1, whatever a model was trained by; nats throughout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

import torch
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from models import zoo
from models.contract import Noise
from models.data import sprites
from models.recipes import RECIPES
from models.scoring import FRESH, FRESH_SEED
from models.vae import kl_to_prior
from playground import wire
from playground.faults import BadCall
from playground.inference import Inference
from playground.latent_lesson import CHECKPOINTS, MOST_LATENT, SPRITES
from playground.latent_play import COLLAPSED
from playground.play import answered, sentences

PLACES = tuple(float(place) for place in range(-3, 4))  # of the dimension that is moved, in deviations of the prior
DRAWS = 16  # of z, from which the reconstruction is estimated
DRAWS_SEED = 0
SEEDS = (1, 2)  # beside 0, of the models that were trained thrice


class CompareQuery(wire.Query):
    sprite: int = Field(default=1, ge=0, lt=FRESH)
    dim: int = Field(default=0, ge=0, lt=MOST_LATENT)


def routes(inference: Inference) -> list[Route]:
    """Both, on one inference thread."""

    async def betas(request: Request) -> Response:
        return JSONResponse(await asyncio.to_thread(told_by_cards))

    async def compare(request: Request) -> Response:
        asked = wire.query(request, CompareQuery)
        cards = await asyncio.to_thread(compared)
        if not cards:
            raise BadCall("There is no model of the sprites here: restore the folder of checkpoints, or train one.", 404)
        least = min(card.spec.latent for card in cards.values())
        if asked.dim >= least:
            raise BadCall(f"dim = {asked.dim} does not fit: there are {least} dimensions, 0 to {least - 1} in the order of KL.")
        key = ("compare", asked, tuple(card.scores["weights_sha256"] for card in cards.values()))
        work = inference.stream(comparing(inference, cards, asked.sprite, asked.dim), key=key)
        return JSONResponse(await answered(work, shared=True))

    return [
        Route("/play/latents/betas", sentences(betas)),
        Route("/play/latents/compare", sentences(compare)),
    ]


def compared() -> dict[str, zoo.Card]:
    """The cards of the models that are here, by their key, in the order in which they are compared."""
    there = set(zoo.names())
    return {key: zoo.card(CHECKPOINTS[key]) for key in SPRITES if CHECKPOINTS[key] in there}


def order(card: zoo.Card) -> list[int]:
    """The dimensions by their mean KL, largest first; among equals, the first of the vector."""
    kl = card.scores["kl_by_dimension"]
    return sorted(range(len(kl)), key=lambda j: -kl[j])


def told_by_cards() -> dict[str, Any]:
    """What scores.json says of each model, and of its other seeds where there are some."""
    there, models = set(zoo.names()), []
    for key, card in compared().items():
        others = [f"{card.name}-seed{seed}" for seed in SEEDS]
        trained = [card, *(zoo.card(name) for name in others if name in there)]
        found = card.scores["disentanglement"]
        kl = card.scores["kl_by_dimension"]
        models.append(
            point(card)
            | {
                "key": key,
                "latent": card.spec.latent,
                "scale": card.scores["scale"],  # of a pixel given z, in grey levels
                "kl_by_dimension": kl,
                "order": order(card),
                "active": [one >= COLLAPSED for one in kl],
                "factors": found["names"],
                "information": found["information"],
                "chance": found["chance"],
                "entropies": found["entropies"],
                "gaps": found["gaps"],
                "left_out": found["left_out"],
                "fresh": found["images"],
                "parameters": card.scores["parameters"],
                "steps": card.scores["training"]["steps"],
                "seeds": [point(one) for one in trained] if len(trained) > 1 else [],
            }
        )
    return {"carries": COLLAPSED, "models": models}


def point(card: zoo.Card) -> dict[str, Any]:
    """One training as a point of rate and distortion, with its MIG. `kl` is the rate that makes the two the ELBO exactly."""
    recipe, elbo = RECIPES[card.scores["recipe"]], card.scores["scores"]["elbo"]
    return {
        "name": card.name,
        "beta": recipe.beta,
        "objective": recipe.objective,
        "seed": recipe.seed,
        "kl": card.scores["reconstruction"] - elbo["nats"],
        "reconstruction": card.scores["reconstruction"],
        "elbo": {key: elbo[key] for key in ("nats", "kind", "samples", "images", "nats_standard_error")},
        "mig": card.scores["disentanglement"]["mig"],
        "mig_without": card.scores["disentanglement"]["mig_without"],
    }


def fresh(sprite: int, *, colour: bool) -> tuple[sprites.Factors, torch.Tensor]:
    """Sprite number `sprite` of `FRESH`: its factors and its picture, uint8 `(1, C, 32, 32)`."""
    factors = sprites.draw(1, noise=Noise(FRESH_SEED, first=sprite))
    return factors, sprites.render(factors, colour=colour)


def comparing(
    inference: Inference, cards: dict[str, zoo.Card], sprite: int, rank: int
) -> Generator[None, None, dict[str, Any]]:
    """One slice a model. Pictures are base64 of uint8 `(C, H, W)`, a filmstrip of `(7, C, H, W)`."""
    shape = next(iter(cards.values())).spec.shape
    factors, x = fresh(sprite, colour=shape[0] == 3)
    found = []
    for key, card in cards.items():
        j = order(card)[rank]
        found.append({"key": key, "name": card.name} | looked_at(inference.model(card.name), x, j) | caption(card, j))
        yield
    return {
        "sprite": sprite,
        "dim": rank,
        "seed": FRESH_SEED,
        "shape": shape,
        "levels": next(iter(cards.values())).spec.levels,
        "places": PLACES,
        "samples": DRAWS,
        "factors": {name: float(values[0]) for name, values in asdict(factors).items()},
        "original": wire.text_of(x.numpy()),
        "models": found,
    }


@torch.inference_mode()
def looked_at(model: Any, x: torch.Tensor, j: int) -> dict[str, Any]:
    """What a VAE makes of one picture uint8 `(1, C, H, W)`: decoded from μ(x), and with z_j at each of `PLACES`; its bound."""
    posterior = model.encode(x)
    moved = posterior.mean.repeat(len(PLACES), 1)  # (7, L)
    moved[:, j] = torch.tensor(PLACES, dtype=moved.dtype)
    pictures = model.decode(torch.cat([posterior.mean, moved]))  # (8, C, H, W)
    bound = model.log_prob(x, method="elbo", samples=DRAWS, noise=DRAWS_SEED)
    kl = kl_to_prior(posterior)[0]  # (L,)
    elbo, price = float(bound.nats[0]), float(kl.sum())
    return {
        "dimension": j,
        "mean": float(posterior.mean[0, j]),
        "std": float(posterior.std[0, j]),
        "kl_of_dimension": float(kl[j]),
        "picture": wire.text_of(pictures[0].numpy()),
        "film": wire.text_of(pictures[1:].numpy()),
        "reconstruction": elbo + price,  # an estimate
        "reconstruction_error": float(bound.standard_error[0]),
        "kl": price,  # exact
        "elbo": elbo,  # a bound
    }


def caption(card: zoo.Card, j: int) -> dict[str, Any]:
    """Of which factor dimension `j` tells most, as a share of that factor's entropy; measured over `FRESH` sprites."""
    found = card.scores["disentanglement"]
    shares = [nats / entropy for nats, entropy in zip(found["information"][j], found["entropies"], strict=True)]
    k = max(range(len(shares)), key=shares.__getitem__)
    return {"caption": {"factor": found["names"][k], "nats": found["information"][j][k], "of": found["entropies"][k]}}
