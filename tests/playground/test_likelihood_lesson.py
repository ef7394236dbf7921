"""A lesson about likelihoods is a link and a few lines of code: the link holds every setting, and the code runs."""

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

from models import zoo
from models.contract import Density
from models.data import images
from playground import likelihood_lesson as lesson
from playground.lessons import MAX_QUERY
from playground.likelihood_lesson import LikelihoodSettings

torch.set_num_threads(1)
NAMES = st.sampled_from(["", "pixelcnn-mnist", "vae-mnist-16d"])
EVERY: dict[str, st.SearchStrategy[Any]] = {
    "view": st.sampled_from(["pictures", "trap", "label", "ways"]),
    "data": st.sampled_from(["mnist", "fashion"]),
    "score": st.sampled_from(["surprise", "rank", "typicality", "complexity", "ratio"]),
    "seed": st.integers(0, 2**53),
    "picks": st.lists(st.sampled_from(["r3", "t.blank", "s.gaussian-mnist", "a.9"]), max_size=20).map(",".join),
    "at": st.integers(0, lesson.MOST - 1),
    "model": NAMES,
    "sort": NAMES,
    "down": st.booleans(),
    "suspect": NAMES,
    "guess": st.sampled_from(["", "fooled", "not"]),
    "shown": st.booleans(),
    "bayes": NAMES,
    "prior": st.sampled_from(["even", "1,1,1,1,0.5,1,1,1,1,1"]),
    "alpha": st.integers(0, 50).map(lambda n: n / 100),
    "threshold": st.integers(0, 100).map(lambda n: n / 100),
    "ways": NAMES,
    "draws": st.integers(100, 5_000),
}
FITTING = st.fixed_dictionaries(EVERY).map(lambda values: LikelihoodSettings(**values))


def read(query: str) -> tuple[LikelihoodSettings, list[str]]:
    return LikelihoodSettings.from_query(dict(parse_qsl(query, keep_blank_values=True)))


def test_no_setting_is_forgotten_here() -> None:
    assert set(EVERY) == set(LikelihoodSettings.model_fields)


@of_search(max_examples=80, deadline=None)
@holds_for(FITTING)
def test_a_link_holds_every_setting(settings: LikelihoodSettings) -> None:
    query = settings.to_query()
    assert len(query) <= MAX_QUERY
    assert read(query) == (settings, [])


@pytest.mark.parametrize(
    ("query", "key"),
    [("v=1&prior=much", "prior"), ("v=1&model=%3Cb%3E", "model"), ("v=1&alpha=0.9", "alpha"), ("v=1&draws=7", "draws")],
)
def test_what_does_not_fit_gets_a_sentence_and_the_default(query: str, key: str) -> None:
    settings, notices = read(query)
    assert getattr(settings, key) == getattr(LikelihoodSettings(), key)
    assert len(notices) == 1
    assert key in notices[0]


@pytest.mark.parametrize("data", lesson.DATA)
def test_every_model_of_the_space_is_asked_whatever_its_kind(data: str) -> None:
    asked = {card.name for card in lesson.cards(data)}
    background = lesson.background(data)
    expected = {
        card.name
        for card in zoo.cards()
        if card.spec.shape == (1, 28, 28) and card.spec.density is not Density.NONE and card.data.startswith(data)
    }
    assert asked == expected - ({background.name} if background else set())
    for name, one in lesson.models().items():
        assert one["title"] != name, f"{name} has no title"
        assert len(one["quantiles"]) == 101
        assert one["quantiles"] == sorted(one["quantiles"])


@pytest.mark.parametrize("view", ["pictures", "trap", "label", "ways"])
def test_the_code_runs(view: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On few pictures of scikit-learn's, whatever data set it asks for; it says something."""
    digits = images.load("digits", "test")
    few = images.Images("digits", "test", digits.pixels[:4], digits.labels[:4], digits.classes)
    monkeypatch.setattr(images, "load", lambda *_, **__: few)
    text = lesson.code(LikelihoodSettings(draws=100))[view].replace("samples=1_000", "samples=40")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), torch.no_grad() if view != "ways" else contextlib.nullcontext():
        exec(compile(text, view, "exec"), {})
    assert said.getvalue()
