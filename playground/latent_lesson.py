"""What a lesson about latents may set, and the few lines of code that make the same thing with `models`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models import zoo
from playground.lessons import Settings

CHECKPOINTS = {
    "beta4": "vae-sprites-beta4",
    "tc": "vae-sprites-tc",
    "beta0.1": "vae-sprites-beta0.1",
    "beta1": "vae-sprites-beta1",
    "beta16": "vae-sprites-beta16",
    "mnist": "vae-mnist-16d",
    "fashion": "vae-fashion-16d",
}  # the models of the sliders, by their key
SPRITES = ("beta0.1", "beta1", "beta4", "beta16", "tc")  # those that are compared, in this order
MOST_LATENT = 16
RAIL = ("model", "seed")  # the settings that the rail's controls hold, in their order


class LatentSettings(Settings):
    """All that a lesson of this page may set. `z` empty is the middle; `turn` 0 no rotation; `goal` 0 no game."""

    view: Literal["sliders", "beta", "live", "codes", "labels", "bound"] = "sliders"
    model: Literal["beta4", "tc", "beta0.1", "beta1", "beta16", "mnist", "fashion"] = "beta4"
    seed: int = Field(default=0, ge=0, le=2**53)  # what JavaScript counts exactly
    z: tuple[float, ...] = Field(default=(), max_length=MOST_LATENT)
    turn: int = Field(default=0, ge=0, le=9_999)
    goal: int = Field(default=0, ge=0, le=9_999)
    sprite: int = Field(default=1, ge=0, le=9_999)
    dim: int = Field(default=0, ge=0, lt=MOST_LATENT)
    marked: Literal["beta0.1", "beta1", "beta4", "beta16", "tc"] = "beta4"
    beta: float = Field(default=1.0, ge=0, le=20)
    fit: Literal["prior", "gaussian", "mixture"] = "prior"
    a: int = Field(default=3, ge=0, le=9)
    b: int = Field(default=8, ge=0, le=9)
    t: float = Field(default=0.5, ge=0, le=1)
    label: int = Field(default=3, ge=0, le=9)
    hold: Literal["z", "label"] = "z"
    row: int = Field(default=0, ge=0, le=5)
    x: float = Field(default=1.0, ge=-3, le=4)
    m: float = Field(default=-0.5, ge=-4, le=4)
    s: float = Field(default=0.6, ge=0.05, le=2)
    theta: float = Field(default=0.8, ge=-1.5, le=1.5)


def code(settings: LatentSettings) -> dict[str, str]:
    """For each view, lines that make the same thing with `models`."""
    name = CHECKPOINTS[settings.model]
    latent = zoo.card(name).spec.latent
    z = list(settings.z) or [0.0] * latent
    turned = settings.turn > 0
    sliders = (
        "import torch\n\nfrom models import zoo\n"
        + ("from models.rotation import rotation\n" if turned else "")
        + f'\nmodel = zoo.load("{name}")\n'
        f"z = torch.tensor([{z}], dtype=torch.float64)  # (1, {latent})\n"
        + (
            f"turn = rotation({latent}, {settings.turn})  # the sliders stand at turn @ z: N(0, I) looks the same\n"
            if turned
            else ""
        )
        + "picture = model.decode(z)  # uint8 (1, C, H, W): E[x|z]\n"
    )
    beta = (
        "from models import zoo\nfrom models.data import sprites\nfrom models.scoring import disentanglement_of\n\n"
        f"x = sprites.render(sprites.draw({settings.sprite + 1}, noise=2026))[{settings.sprite}:]  # uint8 (1, C, 32, 32)\n"
        f"for name in {list(map(CHECKPOINTS.get, SPRITES))}:\n"
        "    model = zoo.load(name)\n"
        "    reconstruction = model.decode(model.encode(x).mean)\n"
        "    bound = model.log_prob(x, samples=16, noise=0).nats  # at β = 1, nats\n"
        '    print(name, bound, zoo.card(name).scores["disentanglement"]["mig_without"])\n'
        "# anew, over 10,000 fresh sprites: disentanglement_of(model)\n"
    )
    live = (
        "from models import tiny_vae\n\n"
        f"for shot in tiny_vae.train(beta={settings.beta:g}, seed={settings.seed}):\n"
        "    print(shot.step, shot.reconstruction, shot.kl)  # nats an image, held out\n"
    )
    pairs = f"{settings.a}, {settings.b}"
    codes = (
        "import torch\n\nfrom models import gmm, zoo\nfrom models.data import images\n\n"
        'x = images.load("digits", "test")\n'
        f"pair = torch.stack([x.pixels[x.labels == y][0] for y in ({pairs})])  # uint8 (2, 1, 28, 28)\n"
        'for name in ("ae-mnist", "vae-mnist-16d"):\n'
        "    model = zoo.load(name)\n"
        "    one, other = model.encode(pair).mean  # (16,) each\n"
        f"    picture = model.decode(torch.lerp(one, other, {settings.t:g})[None])  # on the line between the codes\n"
    )
    kept = "torch.arange(10)" if settings.hold == "z" else f"torch.full((10,), {settings.label})"
    drawn = "model.prior(1, noise={0}).expand(10, -1)" if settings.hold == "z" else "model.prior(10, noise={0})"
    labels = (
        'import torch\n\nfrom models import zoo\n\nmodel = zoo.load("cvae-mnist")\n'
        f"z = {drawn.format(settings.seed)}\n"
        f"pictures = model.decode(z, {kept})  # uint8 (10, 1, 28, 28)\n"
    )
    bound = (
        "from models import toy_bound\n\n"
        f"toy, q = toy_bound.Toy(theta={settings.theta:g}), toy_bound.Gaussian({settings.m:g}, {settings.s:g})\n"
        f"print(toy_bound.bars(toy, {settings.x:g}, q), toy_bound.log_evidence(toy, {settings.x:g}))  # nats, exact\n"
    )
    return {"sliders": sliders, "beta": beta, "live": live, "codes": codes, "labels": labels, "bound": bound}
