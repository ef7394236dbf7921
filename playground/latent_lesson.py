"""What a lesson about latents may set, and the few lines of code that make the same thing with `models`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
    model: Literal["beta4", "tc", "beta0.1", "beta1", "beta16", "mnist", "fashion"] = "tc"
    seed: int = Field(default=7, ge=0, le=2**53)  # what JavaScript counts exactly
    z: tuple[float, ...] = Field(default=(), max_length=MOST_LATENT)
    turn: int = Field(default=0, ge=0, le=9_999)
    goal: int = Field(default=0, ge=0, le=9_999)
    sprite: int = Field(default=1, ge=0, le=9_999)
    dim: int = Field(default=0, ge=0, lt=MOST_LATENT)
    beta: float = Field(default=1.0, ge=0, le=20)
    fit: Literal["prior", "gaussian", "mixture"] = "prior"
    a: int = Field(default=3, ge=0, le=9)
    b: int = Field(default=8, ge=0, le=9)
    t: float = Field(default=0.5, ge=0, le=1)
    label: int = Field(default=3, ge=0, le=9)
    hold: Literal["z", "label"] = "z"
    x: float = Field(default=1.0, ge=-3, le=4)
    m: float = Field(default=-0.5, ge=-4, le=4)
    s: float = Field(default=0.6, ge=0.05, le=2)
    theta: float = Field(default=0.8, ge=-1.5, le=1.5)
