"""What a lesson of the page "Pixels" may set, and the lines of code that make the same thing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models import zoo
from playground import wire
from playground.lessons import Settings

MODELS = ("mnist", "mnist-plain", "mnist-binary", "fashion", "sprites")  # checkpoints, less "pixelcnn-"
MOST = 8  # images side by side


class PixelSettings(Settings):
    """All that a lesson of this page may set. `label` −1 is any class; `frame` −1 the finished image; `speed` 0 at once."""

    model: Literal["mnist", "mnist-plain", "mnist-binary", "fashion", "sprites"] = "mnist"
    view: Literal["write", "complete", "surprise", "race"] = "write"
    label: int = Field(default=-1, ge=-1, le=9)
    temperature: float = Field(default=1.0, ge=0, le=2)
    seed: int = Field(default=7, ge=0, le=2**53)  # what JavaScript counts exactly
    n: int = Field(default=4, ge=1, le=MOST)
    which: int = Field(default=0, ge=0, lt=MOST)
    frame: int = Field(default=-1, ge=-1, le=3 * 32 * 32)
    speed: Literal[1, 5, 20, 60, 200, 0] = 60
    changes: str = Field(
        default="", max_length=90, pattern=rf"^(\d{{1,4}}:\d{{1,3}}(,\d{{1,4}}:\d{{1,3}}){{0,{wire.MAX_CHANGES - 1}}})?$"
    )
    seen: bool = True
    surprise: bool = False
    scale: Literal["local", "global"] = "global"
    source: Literal["reference", "sample", "own"] = "reference"
    ref: int = Field(default=3, ge=0, le=9)
    keep: Literal["top", "left", "hole"] = "top"
    share: int = Field(default=50, ge=0, le=100)
    wrote: str = Field(default="", pattern=r"^(\d{1,16}:(-1|\d):[012](\.\d{1,3})?)?$")  # seed, class, temperature of "sample"


RAIL = ("model", "label", "temperature", "n", "seed")  # the settings that the rail's controls hold, in their order


def checkpoint(model: str) -> str:
    return f"pixelcnn-{model}"


def classes(settings: PixelSettings) -> int:
    """Of the chosen model; 0 where it has none."""
    return zoo.card(checkpoint(settings.model)).spec.classes


def label(settings: PixelSettings) -> int:
    """The chosen class, −1 (any) where the chosen model has no such class."""
    return settings.label if settings.label < classes(settings) else -1


def code(settings: PixelSettings) -> dict[str, str]:
    """For each view, lines that make the same thing with `models`. `images`, `found` or `nats` hold it at the end."""
    spec = zoo.card(checkpoint(settings.model)).spec
    c, h, w = spec.shape
    y = label(settings)
    load = f'model = zoo.load("{checkpoint(settings.model)}")\n'
    torch_line, zoo_line = "import torch\n\n", "from models import zoo\n"
    one = settings.changes != ""
    n = 1 if one else settings.n
    labels = f", labels=torch.full(({n},), {y})" if y >= 0 else ""
    heat = f", temperature={settings.temperature:g}" if settings.temperature != 1 else ""
    noise, noise_line, given, known = str(settings.seed), "", "", ""
    if one:
        noise_line = "from models.noise import Noise\n"
        noise = f"Noise({settings.seed}, first={settings.which})" if settings.which else f"Noise({settings.seed})"
        given = f"given = torch.zeros({c}, {h}, {w}, dtype=torch.uint8)\nmask = torch.zeros({c}, {h}, {w}, dtype=torch.bool)\n"
        for change in settings.changes.split(","):
            t, value = (int(part) for part in change.split(":"))
            if t >= spec.dims or value >= spec.levels:
                continue  # the page says so in a sentence
            place = f"[{t % c}, {t // c // w}, {t // c % w}]"
            given += f"given{place}, mask{place} = {value}, True\n"
        known = ", given=given, mask=mask"
    write = (
        f"{torch_line if one or labels else ''}{zoo_line}{noise_line}\n{load}{given}"
        f"images = model.sample({n}, noise={noise}{labels}{heat}{known})  # uint8 ({n}, {c}, {h}, {w})\n"
        + (
            f"print(model.log_prob(images{labels}).nats)  # log p(x | {y}): exact, nats\n"
            if labels
            else f"print(model.log_prob(images).nats)  # log p(x){', all classes' if spec.classes else ''}: exact, nats\n"
        )
    )
    data = {"fashion": "fashion", "mnist-binary": "mnist-binary", "sprites": "sprites"}.get(settings.model, "digits")
    picture = (
        f'from models.data import images as data\n\n{load}x = data.load("{data}", "test").pixels[0]'
        f"  # or your own: uint8 ({c}, {h}, {w}), 0 to {spec.levels - 1}\n"
    )
    share = settings.share / 100
    part = {
        "top": f"known[:{round(share * h)}] = True\n",
        "left": f"known[:, :{round(share * w)}] = True\n",
        "hole": (
            f"known[:] = True\nknown[{h // 2 - round(share * h / 2)}:{h // 2 - round(share * h / 2) + round(share * h)}, "
            f"{w // 2 - round(share * w / 2)}:{w // 2 - round(share * w / 2) + round(share * w)}] = False\n"
        ),
    }[settings.keep]
    warm = ", temperature=1e-6" if settings.temperature == 0 else heat  # at 0 itself nothing can be weighed
    given_label = f", labels=torch.full((8,), {y})" if y >= 0 else ""
    complete = (
        f"{torch_line}{zoo_line}from models import completion\n{picture}"
        f"known = torch.zeros({h}, {w}, dtype=torch.bool)\n{part}"
        f"found = completion.complete(model, x, known, 8, noise={settings.seed}{given_label}{warm})\n"
        "print(found.exact, found.effective_samples)\nimages = found.images\n"
    )
    told = f", torch.tensor([{y}])" if y >= 0 else ""
    surprise = (
        f"{torch_line if told else ''}{zoo_line}{picture}nats = model.log_probs(x[None]{told})  # (1, {c}, {h}, {w}): exact\n"
        "print(nats.sum(), -nats / torch.log(torch.tensor(2.0)))  # nats; bits of each sub-pixel\n"
    )
    if not told:
        surprise = "import torch\n\n" + surprise
    race = (
        f"import time\n\n{zoo_line}from models import pixel_writer\n\n{load}wanted = pixel_writer.orders(model, 1, noise=7)\n"
        "began = time.perf_counter()\nimages = model.sample(1, noise=7)\ncached = time.perf_counter() - began\n"
        "began = time.perf_counter()\npixel_writer.naive(model, wanted, limit=10)  # ten passes of the whole network\n"
        f"naive = {spec.dims} / 10 * (time.perf_counter() - began)  # seconds, an estimate\nprint(naive / cached)\n"
    )
    return {"write": write, "complete": complete, "surprise": surprise, "race": race}
