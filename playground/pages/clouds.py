"""Clouds of points: Gaussian, K-means, mixtures, kernel densities and principal axes on the same points, step by step.

The rail says which cloud and how it is fitted; the stage (components/clouds) shows the models side by side under one timeline,
and asks the routes of `playground.cloud_play` for points and runs.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from models.data import clouds
from playground import cloud_lesson, cloud_play, fits, recordings, text, wire
from playground.cloud_lesson import OWN, CloudSettings
from playground.components import component
from playground.inference import Inference
from playground.pages import Page, rail

WORDS = text.page("clouds")
RAIL = (
    "data",
    "k",
    "how",
    "covariance",
    "assignment",
    "weights",
    "n",
    "cloud",
    "seed",
    "axes",
    "bandwidth",
    "hold",
    "reg",
    "tol",
    "steps",
)


def _choices(name: str, keys: Any) -> list[tuple[str, str]]:
    return [(WORDS[name][key], key) for key in keys]


def _build(demo: gr.Blocks, inference: Inference) -> None:
    gr.HTML(f"<h1>{WORDS['question']}</h1><p class='gmp-lead'>{WORDS['lead']}</p>", padding=False)
    start = CloudSettings()
    presets = {name: {"d": one.dimensions, "fewest": one.fewest, "most": one.most} for name, one in clouds.PRESETS.items()}
    fixed = {
        "defaults": CloudSettings.defaults(),
        "text": WORDS["stage"] | {"data": WORDS["data_choices"], "how": WORDS["how_choices"]},
        "presets": presets,
        "rail": RAIL,
        "limits": {"k": wire.MAX_K, "points": wire.MAX_POINTS, "link": 1_300},
        "recording": recordings.load("clouds"),
    }
    with gr.Row(elem_classes="gmp-body"):
        with gr.Column(elem_classes="gmp-stage"):
            stage = component(
                "clouds", rail.told(start, RAIL, whole=True), fixed=fixed, events=["input"], elem_id="clouds-stage"
            )
        with gr.Column(elem_classes=["gmp-rail", "gmp", "gmp-card"], elem_id="clouds-rail"):
            with gr.Row(elem_id="dice"):
                same = gr.Button(WORDS["same_seed"], elem_id="same-seed", min_width=80)
                new = gr.Button(WORDS["new_seed"], variant="primary", elem_id="new-seed", min_width=80)
            controls: dict[str, Any] = {
                "data": gr.Dropdown(
                    _choices("data_choices", [*clouds.PRESETS, OWN]), value=start.data, label=WORDS["data"], elem_id="data"
                ),
                "k": gr.Slider(1, wire.MAX_K, value=start.k, step=1, label=WORDS["k"], elem_id="k"),
                "how": gr.Dropdown(
                    _choices("how_choices", WORDS["how_choices"]), value=start.how, label=WORDS["how"], elem_id="how"
                ),
                "covariance": gr.Dropdown(
                    _choices("covariance_choices", WORDS["covariance_choices"]),
                    value=start.covariance,
                    label=WORDS["covariance"],
                    elem_id="covariance",
                ),
                "assignment": gr.Radio(
                    _choices("assignment_choices", ("soft", "hard")),
                    value=start.assignment,
                    label=WORDS["assignment"],
                    elem_id="assignment",
                ),
                "weights": gr.Radio(
                    _choices("weights_choices", ("learned", "equal")),
                    value=start.weights,
                    label=WORDS["weights"],
                    elem_id="weights",
                ),
            }
            with gr.Accordion(WORDS["more"], open=False, elem_id="more"):
                controls |= {
                    "n": gr.Slider(2, 20_000, value=start.n, step=1, label=WORDS["n"], elem_id="n"),
                    "cloud": gr.Number(value=start.cloud, precision=0, label=WORDS["cloud"], elem_id="cloud"),
                    "seed": gr.Number(value=start.seed, precision=0, label=WORDS["seed"], elem_id="seed"),
                    "axes": gr.Dropdown(
                        [(WORDS["axes_choices"][str(q)], q) for q in (-1, 0, 1, 2, 3)],
                        value=start.axes,
                        label=WORDS["axes"],
                        elem_id="axes",
                    ),
                    "bandwidth": gr.Number(value=start.bandwidth, label=WORDS["bandwidth"], elem_id="bandwidth"),
                    "hold": gr.Number(value=start.hold, label=WORDS["hold"], elem_id="hold"),
                    "reg": gr.Number(value=start.reg, label=WORDS["reg"], elem_id="reg"),
                    "tol": gr.Number(value=start.tol, label=WORDS["tol"], elem_id="tol"),
                    "steps": gr.Slider(1, 300, value=start.steps, step=1, label=WORDS["steps"], elem_id="steps"),
                }
            reset = gr.Button(WORDS["reset"], elem_id="reset")
    rail.wire(demo, start, controls, stage, same=same, new=new, reset=reset, name="clouds", both_ways=True)


def _card() -> dict[str, object] | None:
    return {
        "module": "clouds/card.js",
        "recording": recordings.load("clouds"),
        "caption": WORDS["caption"],
        "picture_label": WORDS["picture_label"],
    }


PAGE = Page(WORDS["name"], "/clouds", WORDS["question"], _build, _card)


def record() -> dict[str, Any]:
    """The finished runs that this page, and its card on the index, open on: by file name, as JSON."""
    start = CloudSettings()
    cloud = cloud_play.preset(start.data, start.n, start.cloud)
    x = clouds.make(start.data, start.n, noise=start.cloud).points
    runs = {}
    for model in start.models:
        told = fits.finished(fits.fit(x, cloud_lesson.asked(start, model, x.shape[1])))
        runs[model] = {key: value for key, value in told.items() if key != "ms"}
    settings = start.model_dump(mode="json", include={"data", "n", "cloud", *cloud_lesson.OF_RUN})
    return {"clouds": {"settings": settings, "cloud": cloud, "runs": runs}}
