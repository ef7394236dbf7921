"""Sample a VAE: draws from the prior, the latent map, a picture of one's own under the bound, and the manifold.

The rail is Gradio's controls. What they say goes to the stage (components/vae), which asks the routes of `playground.play` for
pictures and numbers, and keeps the address.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import gradio as gr
from pydantic import Field, ValidationInfo, field_validator

from models import zoo
from models.data import images
from playground import recordings, text
from playground.components import component
from playground.inference import Inference
from playground.lessons import Settings
from playground.pages import Page, rail
from playground.play import bound
from playground.wire import MAX_SAMPLES, MAX_SIDE, text_of

WORDS = text.page("vae")
TRAINED_ON = {"mnist": 55_000, "fashion": 55_000}


class VaeSettings(Settings):
    """All that a lesson of this page may set."""

    data: Literal["mnist", "fashion"] = "mnist"
    latent: Literal[2, 16] = 2
    view: Literal["sample", "picture", "manifold"] = "sample"
    seed: int = Field(default=7, ge=0, le=2**53)  # what JavaScript counts exactly
    n: int = Field(default=16, ge=4, le=MAX_SAMPLES)
    spread: float = Field(default=1.0, ge=0, le=3)
    show: Literal["mean", "draw"] = "mean"
    pick: int = Field(default=0, ge=0, lt=MAX_SAMPLES)
    z: tuple[float, ...] = Field(default=(), max_length=16)
    ref: int = Field(default=3, ge=0, le=9)
    holes: bool = False
    roll: int = Field(default=0, ge=0, le=9_999)
    side: int = Field(default=16, ge=6, le=MAX_SIDE)
    across: int = Field(default=0, ge=0, le=15)
    down: int = Field(default=1, ge=0, le=15)

    @field_validator("z")
    @classmethod
    def _as_many_as_dimensions(cls, z: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if len(z) not in (0, info.data.get("latent", len(z))):
            raise ValueError(f"it has {len(z)} numbers, and the model {info.data['latent']} dimensions")
        return z


RAIL = ("data", "latent", "show", "n", "spread", "seed")  # the settings that the rail's controls hold, in their order


def code(settings: VaeSettings) -> dict[str, str]:
    """For each view, lines that make the same thing with `models`. The names `images`, `z` and `bound` hold it at the end."""
    name = f"vae-{settings.data}-{settings.latent}d"
    head = f'from models import zoo\n\nmodel = zoo.load("{name}")\n'
    spread = f", temperature={settings.spread:g}" if settings.spread != 1 else ""
    prior = f"z = model.prior({settings.n}, noise={settings.seed}{spread})  # float64 ({settings.n}, {settings.latent})\n"
    shown = "model.decode(z)" if settings.show == "mean" else f"model.draw(z, noise={settings.seed})"
    said = "E[x|z], rounded" if settings.show == "mean" else "a draw from p(x|z)"
    sample = f"{head}{prior}images = {shown}  # uint8 ({settings.n}, 1, 28, 28): {said}\n"
    picture = (
        "from models import zoo\nfrom models.data import images as data\nfrom models.measures import elbo\n\n"
        f'model = zoo.load("{name}")\nx = data.load("digits", "test").pixels[:1]  # or your own: uint8 (1, 1, 28, 28)\n'
        f'bound = elbo.explain(model, x, noise={settings.seed}, constant=zoo.constant_picture("{name}"))\n'
        "print(bound.elbo, bound.reconstruction, bound.kl, bound.bought)  # nats\n"
        f'print(model.log_prob(x, method="importance", samples=512, noise={settings.seed}))\n'
    )
    if settings.latent == 2:
        places = f"z = quantile_grid({settings.side})  # float64 ({settings.side**2}, 2)\n"
    else:
        places = (
            f"z = torch.zeros({settings.side**2}, {settings.latent}, dtype=torch.float64)\n"
            f"z[:, [{settings.across}, {settings.down}]] = quantile_grid({settings.side})\n"
        )
    torch_line = "" if settings.latent == 2 else "import torch\n\n"
    manifold = (
        f"{torch_line}from models import zoo\nfrom models.measures.latent_map import quantile_grid\n\n"
        f'model = zoo.load("{name}")\n{places}images = model.decode(z)  # uint8 ({settings.side**2}, 1, 28, 28)\n'
    )
    return {"sample": sample, "picture": picture, "manifold": manifold}


def _models() -> dict[str, dict[str, Any]]:
    """What the stage needs to know of each checkpoint, by "data-latent"."""
    found = {}
    for card in zoo.cards():
        if card.spec.kind != "vae" or card.name not in {f"vae-{d}-{n}d" for d in ("mnist", "fashion") for n in (2, 16)}:
            continue
        title = images.TITLES[card.data]
        facts = WORDS["facts"].format(
            title=title,
            images=f"{TRAINED_ON[card.data]:,}".replace(",", "\u202f"),
            parameters=f"{card.scores['parameters']:,}".replace(",", "\u202f"),
            bits=f"{card.scores['scores']['elbo']['bits_per_dim']:.3f}",
            test=f"{card.scores['scores']['elbo']['images']:,}".replace(",", "\u202f"),
        )
        about = {"name": card.name, "latent": card.spec.latent, "title": title, "facts": facts, "scale": card.scores["scale"]}
        found[f"{card.data}-{card.spec.latent}"] = about
    return found


def _build(demo: gr.Blocks, inference: Inference) -> None:
    gr.HTML(f"<h1>{WORDS['question']}</h1><p class='gmp-lead'>{WORDS['lead']}</p>", padding=False)
    start = VaeSettings()
    fixed = {
        "defaults": VaeSettings.defaults(),
        "models": _models(),
        "text": WORDS["stage"],
        "recording": recordings.load("vae"),
    }
    with gr.Row(elem_classes="gmp-body"):
        with gr.Column(elem_classes="gmp-stage"):
            stage = component(
                "vae", rail.told(start, RAIL, whole=True) | {"code": code(start)}, fixed=fixed, elem_id="vae-stage"
            )
        with gr.Column(elem_classes=["gmp-rail", "gmp", "gmp-card"]):
            with gr.Row(elem_id="dice"):
                same = gr.Button(WORDS["same_seed"], elem_id="same-seed", min_width=80)
                new = gr.Button(WORDS["new_seed"], variant="primary", elem_id="new-seed", min_width=80)
            data = gr.Radio(
                [(images.TITLES[d], d) for d in ("mnist", "fashion")], value=start.data, label=WORDS["data"], elem_id="data"
            )
            latent = gr.Radio(
                [(WORDS["latent_choices"][str(n)], n) for n in (2, 16)],
                value=start.latent,
                label=WORDS["latent"],
                elem_id="latent",
            )
            show = gr.Radio(
                [(label, key) for key, label in WORDS["show_choices"].items()],
                value=start.show,
                label=WORDS["show"],
                elem_id="show",
            )
            n = gr.Slider(4, MAX_SAMPLES, value=start.n, step=4, label=WORDS["n"], elem_id="n")
            spread = gr.Slider(0, 3, value=start.spread, step=0.05, label=WORDS["spread"], elem_id="spread")
            seed = gr.Number(value=start.seed, precision=0, label=WORDS["seed"], elem_id="seed")
            reset = gr.Button(WORDS["reset"], elem_id="reset")
    controls = {"data": data, "latent": latent, "show": show, "n": n, "spread": spread, "seed": seed}
    rail.wire(demo, start, controls, stage, same=same, new=new, reset=reset, name="vae", more=lambda now: {"code": code(now)})


def _card() -> dict[str, object] | None:
    recording = recordings.load("vae_card")
    return {
        "module": "vae/card.js",
        "model": "vae-mnist-2d",
        "latent": 2,
        "recording": recording,
        "caption": WORDS["caption"],
        "picture_label": WORDS["picture_label"],
    }


PAGE = Page(WORDS["name"], "/vae", WORDS["question"], _build, _card)


def record() -> dict[str, Any]:
    """The finished runs that this page, and its card on the index, open on: by file name, as JSON."""
    start = VaeSettings()
    name = f"vae-{start.data}-{start.latent}d"
    model: Any = zoo.load(name)
    z = model.prior(start.n, noise=start.seed, temperature=start.spread)
    pixels = model.decode(z).numpy()
    settings = json.loads(start.model_dump_json(include=set(RAIL)))
    many = model.decode(model.prior(24, noise=1)).numpy()
    picture = images.load("digits", "test")
    x = picture.pixels[int((picture.labels == 3).nonzero()[0])][None]
    own = {"pixels": text_of(x.numpy()), "bound": bound(zoo.card(name), model, x, start.seed, start.roll)}
    return {
        "vae": {"settings": settings, "z": z.tolist(), "pixels": text_of(pixels), "picture": own},
        "vae_card": {"seed": 1, "pixels": text_of(many)},
    }
