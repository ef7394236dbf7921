"""Likelihoods: what each model thinks of one's own pictures; where plain likelihood fails as an alarm, and what repairs it.

The rail holds the data, the score and the seed; the stage (components/likelihoods) asks the routes of
`playground.likelihood_play`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from playground import likelihood_lesson as lesson
from playground import recordings, text
from playground.components import component
from playground.inference import Inference
from playground.likelihood_lesson import RAIL, LikelihoodSettings
from playground.pages import Page, rail

WORDS = text.page("likelihoods")
CARD_PICKS = ("r3", "r8", "t.blank", "t.photo")


def _build(demo: gr.Blocks, inference: Inference) -> None:
    gr.HTML(f"<h1>{WORDS['question']}</h1><p class='gmp-lead'>{WORDS['lead']}</p>", padding=False)
    start = LikelihoodSettings()
    fixed = {
        "defaults": LikelihoodSettings.defaults(),
        "models": lesson.models(),
        "text": WORDS["stage"],
        "recordings": {key: recordings.load(f"likelihoods_{key}") for key in ("start", "trap", "labels", "ways")},
        "rail": RAIL,
    }
    with gr.Row(elem_classes="gmp-body"):
        with gr.Column(elem_classes="gmp-stage"):
            stage = component(
                "likelihoods", rail.told(start, RAIL, whole=True), fixed=fixed, events=["input"], elem_id="likelihoods-stage"
            )
        with gr.Column(elem_classes=["gmp-rail", "gmp", "gmp-card"], elem_id="likelihoods-rail"):
            with gr.Row(elem_id="dice"):
                same = gr.Button(WORDS["same_seed"], elem_id="same-seed", min_width=80)
                new = gr.Button(WORDS["new_seed"], variant="primary", elem_id="new-seed", min_width=80)
            controls: dict[str, Any] = {
                "data": gr.Radio(
                    [(WORDS["data_choices"][key], key) for key in lesson.DATA],
                    value=start.data,
                    label=WORDS["data"],
                    elem_id="data",
                ),
                "score": gr.Dropdown(
                    [(words, key) for key, words in WORDS["score_choices"].items()],
                    value=start.score,
                    label=WORDS["score"],
                    elem_id="score",
                ),
                "seed": gr.Number(value=start.seed, precision=0, label=WORDS["seed"], elem_id="seed"),
            }
            reset = gr.Button(WORDS["reset"], elem_id="reset")
    rail.wire(demo, start, controls, stage, same=same, new=new, reset=reset, name="likelihoods", both_ways=True)


def _card() -> dict[str, object] | None:
    start = recordings.load("likelihoods_start")["mnist"]
    places = [i for i, one in enumerate(start["pictures"]) if one["pick"] in CARD_PICKS]
    rows = [{key: start["pictures"][i][key] for key in ("title", "pixels")} for i in places]
    titles = {name: one["title"] for name, one in lesson.models().items()}
    models = [
        {"title": titles[one["name"]], "bits": [one["bits"][i] for i in places]}
        for one in start["scores"]["models"]
        if one["space"] == "8-bit"
    ]
    return {
        "module": "likelihoods/card.js",
        "rows": rows,
        "models": models,
        "under": WORDS["under"],
        "caption": WORDS["caption"],
        "picture_label": WORDS["picture_label"],
    }


PAGE = Page(WORDS["name"], "/likelihoods", WORDS["question"], _build, _card)


def record() -> dict[str, Any]:
    """The finished runs that this page, and its card on the index, open on: by file name, as JSON. What needs data sets is made
    by `playground.likelihood_record` too.
    """
    from playground import likelihood_record  # needed here alone

    return {"likelihoods_start": likelihood_record.start()}
