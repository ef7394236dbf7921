"""A lesson about latents is a link and a few lines of code: the link holds every setting, and the code runs."""

from __future__ import annotations

import contextlib
import io
from typing import Any
from urllib.parse import parse_qsl

import pytest
import torch
from hypothesis import given as holds_for
from hypothesis import settings as of_search
from hypothesis import strategies as st

from models import tiny_vae, zoo
from playground import latent_lesson
from playground.latent_lesson import CHECKPOINTS, SPRITES, LatentSettings
from playground.lessons import MAX_QUERY

torch.set_num_threads(1)


def read(query: str) -> tuple[LatentSettings, list[str]]:
    return LatentSettings.from_query(dict(parse_qsl(query)))


def short(low: float, high: float, digits: int = 2) -> st.SearchStrategy[float]:
    """Numbers of so few digits that a link holds them whole."""
    return st.integers(round(low * 10**digits), round(high * 10**digits)).map(lambda n: n / 10**digits)


EVERY: dict[str, st.SearchStrategy[Any]] = {
    "view": st.sampled_from(["sliders", "beta", "live", "codes", "labels", "bound"]),
    "model": st.sampled_from(list(CHECKPOINTS)),
    "seed": st.integers(0, 2**53),
    "z": st.lists(short(-3, 3), max_size=16).map(tuple),
    "turn": st.integers(0, 9_999),
    "goal": st.integers(0, 9_999),
    "sprite": st.integers(0, 9_999),
    "dim": st.integers(0, 15),
    "marked": st.sampled_from(list(SPRITES)),
    "beta": short(0, 20),
    "fit": st.sampled_from(["prior", "gaussian", "mixture"]),
    "a": st.integers(0, 9),
    "b": st.integers(0, 9),
    "t": short(0, 1),
    "label": st.integers(0, 9),
    "hold": st.sampled_from(["z", "label"]),
    "row": st.integers(0, 5),
    "x": short(-3, 4),
    "m": short(-4, 4),
    "s": short(0.05, 2),
    "theta": short(-1.5, 1.5),
}
FITTING = st.fixed_dictionaries(EVERY).map(lambda values: LatentSettings(**values))


def test_no_setting_is_forgotten_here() -> None:
    assert set(EVERY) == set(LatentSettings.model_fields)


@of_search(deadline=None)
@holds_for(FITTING)
def test_a_link_gives_the_settings_back_and_is_short(settings: LatentSettings) -> None:
    query = settings.to_query()
    assert read(query) == (settings, [])
    assert len(query) <= MAX_QUERY


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("beta", "21", "at most 20"),
        ("s", "0", "at least 0.05"),
        ("theta", "two", "not a number"),
        ("view", "cats", "'sliders'"),
    ],
)
def test_what_does_not_fit_gets_a_sentence_and_the_default(key: str, text: str, said: str) -> None:
    settings, notices = read(f"v=1&{key}={text}&seed=5")
    assert settings == LatentSettings(seed=5)
    assert len(notices) == 1
    assert text in notices[0]
    assert said in notices[0]


def ran(lines: str) -> tuple[dict[str, Any], str]:
    """What the lines leave behind, and print."""
    names: dict[str, Any] = {}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(lines, names)
    return names, out.getvalue()


def test_the_code_of_the_sliders_decodes_their_place() -> None:
    settings = LatentSettings(model="mnist", z=tuple(i / 10 for i in range(16)))
    names, _ = ran(latent_lesson.code(settings)["sliders"])
    model: Any = zoo.load(CHECKPOINTS["mnist"])
    assert torch.equal(names["picture"], model.decode(torch.tensor([settings.z], dtype=torch.float64)))


def test_the_code_of_the_comparison_names_every_model() -> None:
    _, out = ran(latent_lesson.code(LatentSettings(sprite=3))["beta"])
    assert [line.split()[0] for line in out.splitlines()] == [CHECKPOINTS[key] for key in SPRITES]


def test_the_code_of_the_live_run_is_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tiny_vae.train
    monkeypatch.setattr(tiny_vae, "train", lambda **settings: real(**settings, steps=20))
    _, out = ran(latent_lesson.code(LatentSettings(beta=4.0, seed=3))["live"])
    last = list(real(beta=4.0, seed=3, steps=20))[-1]
    assert out.splitlines()[-1] == f"{last.step} {last.reconstruction} {last.kl}"


def test_the_code_of_the_codes_interpolates() -> None:
    names, _ = ran(latent_lesson.code(LatentSettings(a=1, b=7, t=0.0))["codes"])
    model: Any = zoo.load("vae-mnist-16d")
    with torch.inference_mode():
        assert torch.equal(names["picture"], model.decode(model.encode(names["pair"]).mean[:1]))


@pytest.mark.parametrize("hold", ["z", "label"])
def test_the_code_of_the_labels_keeps_one_of_the_two(hold: Any) -> None:
    names, _ = ran(latent_lesson.code(LatentSettings(hold=hold, label=4, seed=2))["labels"])
    model: Any = zoo.load("cvae-mnist")
    z = model.prior(10, noise=2)
    kept = (z[:1].expand(10, -1), torch.arange(10)) if hold == "z" else (z, torch.full((10,), 4))
    with torch.inference_mode():
        assert torch.equal(names["pictures"], model.decode(*kept))


def test_the_code_of_the_bound_prints_bars_that_add_up() -> None:
    names, out = ran(latent_lesson.code(LatentSettings())["bound"])
    found = names["toy_bound"].bars(names["toy"], 1.0, names["q"])
    assert found.reconstruction - found.kl + found.gap == pytest.approx(float(out.split()[-1]), abs=1e-6)
