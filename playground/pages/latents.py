"""Latents: drag the sliders of a latent vector, and see what each of them means; from autoencoder to disentangled VAE.

The rail holds the model and the seed; the stage (components/latents) asks the routes of `playground.latent_play` and
`playground.latent_live`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from models import zoo
from models.data import images
from playground import latent_live, latent_play, recordings, text, wire
from playground.components import component
from playground.inference import Inference
from playground.latent_lesson import CHECKPOINTS, RAIL, SPRITES, LatentSettings
from playground.pages import Page, rail

WORDS = text.page("latents")


def _models() -> dict[str, dict[str, Any]]:
    """What the stage needs to know of each model, by its key."""
    there, found = set(zoo.names()), {}
    for key, name in CHECKPOINTS.items():
        if name not in there:
            continue
        card = zoo.card(name)
        elbo = card.scores["scores"]["elbo"]
        facts = WORDS["facts"].format(
            title=images.TITLES[card.data],
            latent=card.spec.latent,
            parameters=wire.grouped(card.scores["parameters"]),
            nats=f"{elbo['nats']:.1f}".replace("-", "−"),
            bits=f"{elbo['bits_per_dim']:.3f}",
            test=wire.grouped(elbo["images"]),
            scale=f"{card.scores['scale']:.3g}",
            fixed=WORDS["fixed"] if card.settings.get("scale") else WORDS["learned"],
        )
        found[key] = {
            "key": key,
            "name": name,
            "shape": card.spec.shape,
            "levels": card.spec.levels,
            "latent": card.spec.latent,
            "title": WORDS["model_choices"][key],
            "data": card.data,
            "facts": facts,
            "elbo": elbo["nats"],
            "kl": card.scores.get("kl_by_dimension"),
            "disentanglement": card.scores.get("disentanglement"),
        }
    return found


def _build(demo: gr.Blocks, inference: Inference) -> None:
    gr.HTML(f"<h1>{WORDS['question']}</h1><p class='gmp-lead'>{WORDS['lead']}</p>", padding=False)
    start = LatentSettings()
    models = _models()
    fixed = {
        "defaults": LatentSettings.defaults(),
        "models": models,
        "sprites": SPRITES,
        "text": WORDS["stage"],
        "recordings": {"live": recordings.load("latents_live"), "probe": recordings.load("latents_probe")},
        "rail": RAIL,
    }
    with gr.Row(elem_classes="gmp-body"):
        with gr.Column(elem_classes="gmp-stage"):
            stage = component(
                "latents", rail.told(start, RAIL, whole=True), fixed=fixed, events=["input"], elem_id="latents-stage"
            )
        with gr.Column(elem_classes=["gmp-rail", "gmp", "gmp-card"], elem_id="latents-rail"):
            with gr.Row(elem_id="dice"):
                same = gr.Button(WORDS["same_seed"], elem_id="same-seed", min_width=80)
                new = gr.Button(WORDS["new_seed"], variant="primary", elem_id="new-seed", min_width=80)
            controls: dict[str, Any] = {
                "model": gr.Dropdown(
                    [(WORDS["model_choices"][key], key) for key in models],
                    value=start.model,
                    label=WORDS["model"],
                    elem_id="model",
                ),
                "seed": gr.Number(value=start.seed, precision=0, label=WORDS["seed"], elem_id="seed"),
            }
            reset = gr.Button(WORDS["reset"], elem_id="reset")
    rail.wire(demo, start, controls, stage, same=same, new=new, reset=reset, name="latents", both_ways=True)


def _card() -> dict[str, object] | None:
    name = CHECKPOINTS[LatentSettings().model]
    spec = zoo.card(name).spec
    return {
        "module": "latents/card.js",
        "model": name,
        "shape": spec.shape,
        "levels": spec.levels,
        "latent": spec.latent,
        "names": WORDS["factors"],
        "recording": recordings.load("latents_card"),
        "caption": WORDS["caption"],
        "picture_label": WORDS["picture_label"],
    }


PAGE = Page(WORDS["name"], "/latents", WORDS["question"], _build, _card)


def record() -> dict[str, Any]:
    """The finished runs that this page, and its card on the index, open on: by file name, as JSON."""
    return {"latents_live": latent_live.record(), "latents_card": latent_play.card_swings(CHECKPOINTS[LatentSettings().model])}
