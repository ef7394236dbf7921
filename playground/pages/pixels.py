"""Pixels: a PixelCNN writes an image, sub-pixel by sub-pixel; completions, surprise maps, and why it is slow and fast.

The rail says which model, class and temperature; the stage (components/pixels) plays what the routes of `playground.pixel_play`
write, and shows what each pixel was drawn from.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from models import zoo
from models.data import images
from playground import pixel_lesson, pixel_play, recordings, text, wire
from playground.components import component
from playground.inference import Inference
from playground.pages import Page, rail
from playground.pixel_lesson import MODELS, MOST, RAIL, PixelSettings, checkpoint

WORDS = text.page("pixels")
CARD_IMAGES = 12


def _class_names(model: str) -> list[str]:
    card = zoo.card(checkpoint(model))
    return list(images.CLASSES[card.data])[: card.spec.classes]


def _form(settings: PixelSettings) -> dict[str, dict[str, Any]]:
    """The classes of the chosen model, or no choice where it has none."""
    names = _class_names(settings.model)
    choices = [(WORDS["any"], -1), *((name, i) for i, name in enumerate(names))]
    return {"label": {"choices": choices, "value": pixel_lesson.label(settings), "visible": bool(names)}}


def _models() -> dict[str, dict[str, Any]]:
    """What the stage needs to know of each model, by its key."""
    there, found = set(zoo.names()), {}
    for key in MODELS:
        if checkpoint(key) not in there:
            continue
        card = zoo.card(checkpoint(key))
        exact = card.scores["scores"]["exact"]
        told = card.scores["scores"].get("given_label")
        facts = WORDS["facts"].format(
            title=images.TITLES[card.data],
            parameters=wire.grouped(card.scores["parameters"]),
            bits=f"{exact['bits_per_dim']:.3f}",
            nats=f"{-exact['nats']:.1f}",
            test=wire.grouped(exact["images"]),
        )
        if told:
            facts += WORDS["facts_told"].format(bits=f"{told['bits_per_dim']:.3f}")
        found[key] = {
            "key": key,
            "name": card.name,
            "shape": card.spec.shape,
            "levels": card.spec.levels,
            "classes": _class_names(key),
            "data": card.data,
            "title": WORDS["model_choices"][key],
            "parameters": card.scores["parameters"],
            "gated": bool(card.settings.get("gated", True)),
            "bits": exact["bits_per_dim"],
            "nats": exact["nats"],
            "quantiles": [card.scores["bits_per_dim_quantiles"][q] for q in (5, 50, 95)],
            "facts": facts,
        }
    return found


def _build(demo: gr.Blocks, inference: Inference) -> None:
    gr.HTML(f"<h1>{WORDS['question']}</h1><p class='gmp-lead'>{WORDS['lead']}</p>", padding=False)
    start = PixelSettings()
    models = _models()
    fixed = {
        "defaults": PixelSettings.defaults(),
        "models": models,
        "text": WORDS["stage"],
        "recording": recordings.load("pixels"),
        "rail": RAIL,
    }
    with gr.Row(elem_classes="gmp-body"):
        with gr.Column(elem_classes="gmp-stage"):
            said = rail.told(start, RAIL, whole=True) | {"code": pixel_lesson.code(start)}
            stage = component("pixels", said, fixed=fixed, events=["input"], elem_id="pixels-stage")
        with gr.Column(elem_classes=["gmp-rail", "gmp", "gmp-card"], elem_id="pixels-rail"):
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
                "label": gr.Radio(label=WORDS["label"], elem_id="label", **_form(start)["label"]),
                "temperature": gr.Slider(
                    0, 2, value=start.temperature, step=0.05, label=WORDS["temperature"], elem_id="temperature"
                ),
                "n": gr.Slider(1, MOST, value=start.n, step=1, label=WORDS["n"], elem_id="n"),
                "seed": gr.Number(value=start.seed, precision=0, label=WORDS["seed"], elem_id="seed"),
            }
            reset = gr.Button(WORDS["reset"], elem_id="reset")

    def more(now: PixelSettings) -> dict[str, Any]:
        return {"code": pixel_lesson.code(now)}

    rail.wire(
        demo,
        start,
        controls,
        stage,
        same=same,
        new=new,
        reset=reset,
        name="pixels",
        more=more,
        both_ways=True,
        form=_form,
    )


def _card() -> dict[str, object] | None:
    return {
        "module": "pixels/card.js",
        "model": checkpoint("mnist"),
        "shape": (1, 28, 28),
        "levels": 256,
        "recording": recordings.load("pixels_card"),
        "caption": WORDS["caption"],
        "picture_label": WORDS["picture_label"],
    }


PAGE = Page(WORDS["name"], "/pixels", WORDS["question"], _build, _card)


def record() -> dict[str, Any]:
    """The finished runs that this page, and its card on the index, open on: by file name, as JSON."""
    start = PixelSettings()
    model: Any = zoo.load(checkpoint(start.model))
    settings = {key: getattr(start, key) for key in RAIL}
    run = pixel_play.finished(model, start.n, start.seed) | {"settings": settings}
    many = pixel_play.finished(model, CARD_IMAGES, 1, [i % 10 for i in range(CARD_IMAGES)])
    return {"pixels": run, "pixels_card": {"seed": 1, "pixels": many["pixels"]}}
