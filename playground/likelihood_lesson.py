"""What a lesson about likelihoods may set, which models it asks, and the few lines of code that make the same with `models`.

Every checkpoint whose probabilities are over 28 × 28 pixels is asked: those of 256 levels share a table, those of two levels
have one of their own. Adding a checkpoint is all it takes to be in it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from pydantic import Field

from models import zoo
from models.contract import Density
from playground import text
from playground.lessons import Settings

SHAPE = (1, 28, 28)
ORDER = ("pixelcnn", "vae", "mixture", "ppca", "gaussian")  # of kinds, from rich to plain; what is new comes last
DATA = ("mnist", "fashion")
SPACES = {256: "8-bit", 2: "binary"}
RAIL = ("data", "score", "seed")  # the settings that the rail's controls hold, in their order
PICKS = "r3,r8,t.shuffled.3,t.blank,t.noise,t.photo,o.8,a.3"  # what lies in the tray at first
COMPRESSOR = "webp"  # whose file is a picture's complexity: chosen as likelihoods_selection.json says
MOST = 60  # pictures in the tray
NAME = r"^[a-z0-9.-]*$"


class LikelihoodSettings(Settings):
    """All that a lesson of this page may set. An empty checkpoint is the first."""

    view: Literal["pictures", "trap", "label", "ways"] = "pictures"
    data: Literal["mnist", "fashion"] = "mnist"
    score: Literal["surprise", "rank", "typicality", "complexity", "ratio"] = "surprise"
    seed: int = Field(default=0, ge=0, le=2**53)  # what JavaScript counts exactly
    picks: str = Field(default=PICKS, max_length=900)
    at: int = Field(default=0, ge=0, lt=MOST)
    model: str = Field(default="", max_length=64, pattern=NAME)
    sort: str = Field(default="", max_length=64, pattern=NAME)
    down: bool = False
    suspect: str = Field(default="pixelcnn-fashion", max_length=64, pattern=NAME)
    guess: Literal["", "fooled", "not"] = ""
    shown: bool = False
    bayes: str = Field(default="", max_length=64, pattern=NAME)
    prior: str = Field(default="even", max_length=120, pattern=r"^(even|[0-9.]+(,[0-9.]+){9})$")
    alpha: float = Field(default=0.01, ge=0, le=0.5)
    threshold: float = Field(default=0.0, ge=0, le=1)
    ways: str = Field(default="", max_length=64, pattern=NAME)
    draws: int = Field(default=1_000, ge=100, le=5_000)


def _place(card: zoo.Card) -> tuple[int, int, int, int, str]:
    kind = card.spec.kind
    plain = not card.settings.get("gated", True)
    return (
        -card.spec.levels,
        ORDER.index(kind) if kind in ORDER else len(ORDER),
        plain if kind == "pixelcnn" else card.spec.classes,
        -card.spec.latent,
        card.name,
    )


def is_background(card: zoo.Card) -> bool:
    """Whether it was trained on pictures with pixels replaced at random: what a likelihood ratio is taken to."""
    return bool(card.scores.get("mutation"))


@cache
def cards(data: str) -> list[zoo.Card]:
    """The models of p(x) that were trained on `data`, in two levels too, from rich to plain; without the background model."""
    found = [
        card
        for card in zoo.cards()
        if card.spec.shape == SHAPE
        and card.spec.levels in SPACES
        and card.spec.density is not Density.NONE
        and card.data in (data, f"{data}-binary")
        and not is_background(card)
    ]
    return sorted(found, key=_place)


@cache
def background(data: str) -> zoo.Card | None:
    """The background model of `data`, if there is one."""
    return next((card for card in zoo.cards() if card.data == data and is_background(card)), None)


@cache
def classifier(data: str) -> zoo.Card | None:
    return next((card for card in zoo.cards() if card.data == data and card.spec.kind == "classifier"), None)


def quantiles(card: zoo.Card) -> list[float]:
    """Of held-out surprise, bits/dim, at 0 %, 1 %, …, 100 %."""
    return list(card.scores.get("bits_per_dim_quantiles") or card.scores["elbo_bits_per_dim_quantiles"])


def held_out(card: zoo.Card) -> dict[str, Any]:
    """The card's score of p(x) over the test images, the one that the quantiles belong to."""
    scores = card.scores["scores"]
    return next(scores[key] for key in ("exact", "bound", "importance_of_all", "elbo") if key in scores)


def title(card: zoo.Card) -> str:
    """What people read as its name."""
    titles = text.page("likelihoods")["titles"]
    kind = card.spec.kind
    if card.spec.classes and kind != "pixelcnn":
        kind += "_classes"
    elif not card.settings.get("gated", True):
        kind += "_plain"
    return titles.get(kind, card.name).format(latent=card.spec.latent)


def models() -> dict[str, dict[str, Any]]:
    """What the stage needs to know of each model, by its checkpoint's name."""
    found = {}
    for data in DATA:
        for card in cards(data):
            score = held_out(card)
            found[card.name] = {
                "name": card.name,
                "title": title(card),
                "data": data,
                "space": SPACES[card.spec.levels],
                "kind": card.spec.density.value,
                "checkpoint_kind": card.spec.kind,
                "family": card.spec.family.value,
                "quantiles": [round(one, 4) for one in quantiles(card)],
                "held_out": round(score["bits_per_dim"], 4),
                "held_out_images": score["images"],
                "parameters": card.scores["parameters"],
                "classes": bool(card.spec.classes),
                "latent": card.spec.latent,
            }
    return found


def code(settings: LikelihoodSettings) -> dict[str, str]:
    """For each view, lines that make the same thing with `models`."""
    data = settings.data
    eight = [card.name for card in cards(data) if card.spec.levels == 256]
    first = settings.model if settings.model in eight else eight[0]
    pictures = (
        "from models import zoo\nfrom models.data import images\nfrom models.measures import outliers\n"
        "from models.measures.likelihood import bits_per_dim\n\n"
        f'x = images.load("{data if data == "fashion" else "digits"}", "test").pixels[:10]  # uint8 (10, 1, 28, 28)\n'
        f"for name in {eight}:\n"
        "    model = zoo.load(name)\n"
        f"    found = model.log_prob(x, samples=4, noise={settings.seed})  # nats; found.kind: exact, a bound, an estimate\n"
        "    print(name, found.kind, bits_per_dim(found.nats, 784))\n"
        f'simple = outliers.complexity(x, "{COMPRESSOR}")  # bits/dim; surprise less this is a score after Serrà et al.\n'
    )
    suspect = settings.suspect or "pixelcnn-fashion"
    trap = (
        "from models import zoo\nfrom models.data import images\nfrom models.measures import outliers\n"
        "from models.measures.likelihood import bits_per_dim\n\n"
        'clothes, digits = (images.load(data, "test").pixels[:200] for data in ("fashion", "mnist"))\n'
        f'model, background = zoo.load("{suspect}"), zoo.load("{getattr(background("fashion"), "name", suspect)}")\n'
        "surprise = [bits_per_dim(model.log_prob(x, samples=4).nats, 784) for x in (digits, clothes)]\n"
        "ratio = [s - bits_per_dim(background.log_prob(x).nats, 784) for s, x in zip(surprise, (digits, clothes))]\n"
        "print(outliers.roc(*surprise).auroc, outliers.roc(*ratio).auroc)  # positive class: the digit\n"
    )
    conditional = [card.name for card in cards(data) if card.spec.classes and card.spec.levels == 256]
    bayes = settings.bayes if settings.bayes in conditional else next(iter(conditional), first)
    label = (
        "from models import zoo\nfrom models.data import images\nfrom models.measures import bayes\n\n"
        f'x = images.load("{data if data == "fashion" else "digits"}", "test").pixels[:10]\n'
        f'found = bayes.labels(bayes.by_class(zoo.load("{bayes}"), x, samples=4, noise={settings.seed}))\n'
        "print(found.log_posterior.exp(), found.log_prob)  # p(y|x), and log p(x) in the same stroke\n"
        f'print(zoo.load("{getattr(classifier(data), "name", "")}").log_posterior(x).exp())  # it must choose\n'
    )
    vaes = [card.name for card in cards(data) if card.spec.kind == "vae" and not card.spec.classes and card.spec.levels == 256]
    vae = settings.ways if settings.ways in vaes else next(iter(vaes), first)
    ways = (
        "from models import zoo\nfrom models.data import images\nfrom models.measures import amortisation, three_ways\n\n"
        f'model = zoo.load("{vae}")\n'
        f'x = images.load("{data if data == "fashion" else "digits"}", "test").pixels[:1]\n'
        f"for way in three_ways.steps(model, x, noise={settings.seed}, samples={settings.draws}):\n"
        "    print(way.samples, way.prior.nats, way.elbo, way.importance.nats)  # nats\n"
        f"*_, best = amortisation.refine(model, x, noise={settings.seed})\n"
        f"print(amortisation.split(model, x, best.posterior, noise={settings.seed}, samples=1_000))\n"
    )
    return {"pictures": pictures, "trap": trap, "label": label, "ways": ways}
