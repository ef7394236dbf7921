"""Lessons of "Clouds": a link opens the page just so, Back returns, what does not fit is said, and Python means the same."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from clouds_page import SCRUB, Clouds
from conftest import Watched
from playwright.sync_api import expect

from playground import cloud_lesson
from playground.cloud_lesson import CloudSettings
from playground.components import BASE
from playground.pages.clouds import WORDS

ITEMS = WORDS["stage"]


@pytest.fixture
def clouds(watched: Watched) -> Clouds:
    return Clouds(watched)


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two exports say the same, to the last digit."""
    assert other["settings"] == one["settings"]
    assert other["points"] == one["points"]
    assert other["frame"] == one["frame"]
    assert other["results"] == one["results"]


def test_new_seeds_are_live_and_back_returns(clouds: Clouds) -> None:
    clouds.open("seed=21")
    expect(clouds.badge).to_have_text("live")
    first = clouds.json()
    before = clouds.numbers()
    clouds.fitted(lambda: clouds.press("New seed"))
    expect(clouds.stage.locator(".timeline")).to_have_attribute("data-playing", "true")
    clouds.stage.locator(SCRUB).focus()
    clouds.page.keyboard.press("End")
    second = clouds.json()
    assert second["settings"]["seed"] != 21
    clouds.more()
    expect(clouds.rail("seed")).to_have_value(str(second["settings"]["seed"]))
    clouds.fitted(lambda: clouds.press("Same seed"))
    clouds.page.keyboard.press("End")
    clouds.stage.locator(SCRUB).focus()
    clouds.page.keyboard.press("End")
    same(second, clouds.json())
    clouds.page.wait_for_timeout(900)  # what comes sooner is the same step of the history
    clouds.fitted(lambda: clouds.press("New start"))  # and once more, while it plays
    third = clouds.settings()["seed"]
    assert third != str(second["settings"]["seed"])
    clouds.back()
    assert clouds.json()["settings"]["seed"] == second["settings"]["seed"]
    clouds.back()
    assert clouds.settings() == {"v": "1", "seed": "21"}
    assert clouds.numbers() == before
    same(first, clouds.json())
    clouds.fitted(lambda: clouds.press("Reset to defaults"))
    expect(clouds.badge).to_have_text("recorded")
    assert clouds.settings() == {}
    assert clouds.frame() == clouds.frames() - 1
    clouds.watched.assert_clean()


LINKS = [
    "data=moons&n=120&cloud=9&k=5&how=plus&seed=11&covariance=diagonal&assignment=hard&weights=equal&reg=0.001&tol=0.0001"
    "&steps=37&density=heat&step=7",
    "data=blob&models=gmm,gaussian,pca,kde&k=2&how=bad&covariance=tied&axes=2&bandwidth=0.333333&hold=0.70001&step=3",
    "data=helix&models=gmm,pca,kmeans&k=4&how=kmeans&seed=123456789&axes=2&step=2",
    "data=ten&models=gaussian,kde,gmm&k=2&how=same&seed=3&density=none",
    "data=two&n=77&view=like&mode=probability&mu=0.5&sigma=1.25&at=0.75&width=0.5",
]


def test_a_link_opens_the_page_just_so(clouds: Clouds) -> None:
    for link in LINKS:
        opens_just_so(clouds, link)


def opens_just_so(clouds: Clouds, link: str) -> None:
    clouds.open(link)
    settings = clouds.settings()
    wanted = dict(pair.split("=") for pair in link.split("&"))
    assert settings == {"v": "1", **wanted}
    if "step" in wanted:
        assert clouds.frame() == int(wanted["step"])
    for name in ("k", "n", "seed", "cloud", "hold", "bandwidth", "reg", "tol", "steps"):
        if name in wanted and clouds.rail(name).count():
            assert float(clouds.rail(name).input_value()) == float(wanted[name]), name
    one, numbers = clouds.json(), clouds.numbers()
    clouds.reload()
    assert clouds.settings() == settings
    assert clouds.numbers() == numbers
    if "view" in wanted:
        assert clouds.json() == one
    else:
        same(one, clouds.json())
    clouds.watched.assert_clean()


BROKEN = {
    "k=50": "at most 10",
    "n=0": "at least 1",
    "data=nope": "one of blob",
    "data=own&points=2~-8,-8~8,8~AAA": "not in it",
    "data=own&points=2~a,b~1,2~AAAABBBB": "not in it",
    "data=own": "not in it",
    "how=own&means=1,2,3": "need 6",
    "pin=abc": "pin",
    "models=gmm,gmm": "each model",
}


def test_a_link_that_does_not_fit_gets_a_sentence_and_the_page_works(clouds: Clouds) -> None:
    for link, words in BROKEN.items():
        clouds.open(link)
        told = f"{clouds.notice.inner_text()} {clouds.problem.inner_text()}"
        assert words in told, link
        assert not re.search("undefined|NaN", told), link
        clouds.fitted(lambda: clouds.press("New start"))
        assert clouds.problem.is_hidden(), link
        assert all(one.strip() for one in clouds.numbers()), link


def test_a_pinned_run_stays_as_a_shadow_and_in_the_link(clouds: Clouds) -> None:
    page = clouds.open("models=gmm&seed=2").page
    page.locator(".curve-figure .plotly-view[data-drawn]").wait_for()
    first = clouds.traces()
    clouds.press("Pin this run")
    clouds.fitted(lambda: clouds.press("New start"))
    page.wait_for_function("() => document.querySelector('.curve-figure .plotly-figure').data.length === 3")
    both = clouds.traces()
    pinned = next(one for one in both if "pinned" in one["name"])
    old = next(one for one in first if one["name"] == ITEMS["curve_ll"])
    new = next(one for one in both if one["name"] == ITEMS["curve_ll"])
    assert pinned["y"] == old["y"]
    assert new["y"] != old["y"]
    told = clouds.json()["results"]["gmm"]["log_likelihood"]
    assert new["y"] == [value for value in told if value is not None]
    clouds.stage.locator(SCRUB).focus()
    page.keyboard.press("End")
    assert clouds.settings()["pin"].startswith("3.full.soft.learned.random.2.")
    clouds.reload()
    page.wait_for_function("() => document.querySelector('.curve-figure .plotly-figure')?.data?.length === 3")
    assert clouds.traces() == both
    clouds.press("Unpin")
    assert "pin" not in clouds.settings()
    clouds.watched.assert_clean()


def test_the_code_makes_what_the_page_shows(clouds: Clouds) -> None:
    clouds.open("data=three&n=150&k=3&how=plus&seed=4&covariance=tied&models=kmeans,gmm,gaussian")
    code = clouds.page.locator("pre.code")
    expect(code).to_be_hidden()
    clouds.press("Show the code")
    expect(code).to_contain_text("gmm.steps")
    space: dict[str, Any] = {}
    exec(code.inner_text(), space)
    told = clouds.json()["results"]
    np.testing.assert_allclose(np.reshape(told["gmm"]["means"], (3, 2)), space["mixture"].means, atol=1e-9)
    np.testing.assert_allclose(np.reshape(told["kmeans"]["means"], (3, 2)), space["clusters"].means, atol=1e-9)
    assert told["gmm"]["log_likelihood"][-1] == pytest.approx(space["mixture"].log_likelihood, abs=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        CloudSettings(),
        CloudSettings(k=5, how="plus", seed=2**53, covariance="tied", assignment="hard", weights="equal", hold=0.7, tol=1e-7),
        CloudSettings(how="own", k=2, means=(1.5, -2.25, 1e-7, 123456.0), shapes=(1, 0.5, 2, 3, 0, 1e-5), steps=12, reg=0),
        CloudSettings(how="own", k=2, bandwidth=0.25, axes=3),
    ],
)
def test_the_browser_asks_for_the_runs_that_a_lesson_means(watched: Watched, settings: CloudSettings) -> None:
    watched.open("/")
    window = {"low": [-1.25, -3], "high": [4, 5.5]}
    models = ("gaussian", "kmeans", "gmm", "pca", "kde")
    asked = watched.page.evaluate(
        """async ([base, settings, window, models]) => {
          const { asked } = await import(`${base}/clouds/runs.js`);
          return models.map((model) => Object.fromEntries(new URLSearchParams(asked(model, settings, 2, window))));
        }""",
        [BASE, settings.model_dump(mode="json"), window, list(models)],
    )

    def numbers(text: str) -> list[float]:
        return [float(v) for v in text.split(",") if v]

    for model, query in zip(models, asked, strict=True):
        own = type(cloud_lesson.asked(settings, model, 2)).model_validate(query)
        told = cloud_lesson.asked(settings.model_copy(update={"axes": min(settings.axes, 2)}), model, 2)
        assert set(query) <= set(type(told).model_fields)
        for key in query:
            if key in ("means", "shapes"):
                assert numbers(getattr(own, key)) == numbers(getattr(told, key))
            elif key in ("low", "high"):
                assert numbers(query[key]) == window[key]
            else:
                assert getattr(own, key) == getattr(told, key), (model, key)
        if model == "gmm":  # on all of these a mixture's run depends
            assert set(type(told).model_fields) - set(query) <= {"axes", "bandwidth", "low", "high", "means", "shapes"}
            assert ("means" in query) == bool(settings.means)
