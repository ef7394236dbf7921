"""The page "Clouds" as people use it: it opens, plays, opens links just so, pins, chooses K, samples."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from clouds_page import PHONE, SCRUB, Clouds, means
from conftest import Watched
from playwright.sync_api import expect

from models.data import clouds as presets
from playground import cloud_lesson
from playground.pages.clouds import WORDS

ITEMS = WORDS["stage"]


@pytest.fixture
def clouds(watched: Watched) -> Clouds:
    return Clouds(watched)


def test_it_opens_on_the_recorded_run_and_the_timeline_moves_both_panels(clouds: Clouds) -> None:
    page = clouds.open().page
    expect(clouds.badge).to_have_text("recorded")
    expect(clouds.status).to_contain_text("K-means: converged")
    expect(clouds.status).to_contain_text("Mixture (EM): converged")
    last = clouds.frames() - 1
    assert clouds.frame() == last > 10
    seen = {}

    def look() -> tuple[np.ndarray, np.ndarray]:
        page.wait_for_timeout(120)  # some frames of the screen
        return clouds.picture("kmeans"), clouds.picture("gmm")

    scrub = clouds.stage.locator(SCRUB)
    scrub.focus()
    page.keyboard.press("Home")
    assert clouds.frame() == 0
    expect(clouds.label).to_contain_text("start of")
    seen[0] = look()
    clouds.press("Half a step on")
    expect(clouds.label).to_contain_text("assign | E-step · 1 of")
    seen[1] = look()
    clouds.press("Half a step on")
    expect(clouds.label).to_contain_text("move | M-step · 1 of")
    seen[2] = look()
    clouds.press("One iteration on")
    assert clouds.frame() == 4
    seen[4] = look()
    for k in (0, 1):  # each step changes both
        assert all(np.abs(seen[a][k] - seen[b][k]).max() > 50 for a, b in combinations(seen, 2))
    clouds.press("One iteration back")
    clouds.press("Half a step back")
    assert clouds.frame() == 1
    for model, was in zip(("kmeans", "gmm"), seen[1], strict=True):
        clouds.shows(model, was)
    page.keyboard.press("ArrowRight")  # a button has the focus: the keys are the timeline's all the same
    scrub.focus()
    page.keyboard.press("Shift+ArrowRight")
    assert clouds.frame() == 4
    scrub.evaluate("(e) => { e.value = 7; e.dispatchEvent(new Event('input', { bubbles: true })); }")
    assert clouds.frame() == 7
    clouds.press("Play")
    page.wait_for_function("() => Number(document.querySelector('#clouds-view-fit').dataset.frame) >= 9")
    clouds.press("Pause")
    expect(clouds.badge).to_have_text("recorded")
    clouds.watched.assert_clean()


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_is_wider_than_the_page(watched: Watched, width: int) -> None:
    watched.page.set_viewport_size({"width": width, "height": 800})
    clouds = Clouds(watched).open()
    watched.page.locator(".plotly-view[data-drawn]").first.wait_for()
    assert watched.overflow() <= 0
    clouds.fitted(lambda: clouds.press("Four answers"))
    assert watched.overflow() <= 0
    wide = watched.page.evaluate(
        "() => [...document.querySelectorAll('.gmp-card button, .gmp-card canvas, .gmp-card select')].filter(e => "
        "e.offsetParent && !e.closest('.cloud-tools') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    nameless = watched.page.evaluate(
        "() => [...document.querySelectorAll('button,a[href],input,select,canvas[tabindex]')].filter(e => e.offsetParent && "
        "!(e.innerText || '').trim() && !e.getAttribute('aria-label') && !e.title && !(e.labels && e.labels.length))"
        ".map(e => e.outerHTML.slice(0, 100))"
    )
    assert nameless == []
    watched.assert_clean()


def test_each_preset_opens_from_the_rail(clouds: Clouds) -> None:
    clouds.open()
    for name, words in WORDS["data_choices"].items():
        if name in ("own", "stretched"):
            continue
        clouds.fitted(lambda words=words: clouds.choose("data", words))
        d = presets.PRESETS[name].dimensions
        n = cloud_lesson.size(name, 300)
        expect(clouds.facts).to_have_text(f"{words}: n = {n}, {d}-D, seed 1")
        assert clouds.problem.is_hidden(), name
        assert all("nats" in one or "inertia" in one for one in clouds.numbers()), name
        expect(clouds.panel("gmm").locator("canvas")).to_have_attribute("data-points", str(n))
    told = clouds.json()
    np.testing.assert_array_equal(told["points"], presets.make("ten", 10, noise=1).points.numpy())
    clouds.watched.assert_clean()


def test_each_model_stands_in_each_panel(clouds: Clouds) -> None:
    clouds.open()
    for panel in (0, 1):
        choice = clouds.stage.locator(".cloud-panel .panel-head select").nth(panel)
        for model in choice.locator("option:not([disabled])").evaluate_all("all => all.map(e => e.value)"):
            if model == choice.input_value():
                continue
            clouds.fitted(lambda model=model, choice=choice: choice.select_option(model))
            assert clouds.stage.locator(".cloud-panel").nth(panel).get_attribute("data-model") == model
            shown = clouds.panel(model).locator("canvas")
            expect(shown).to_have_attribute("data-kind", model)
            assert clouds.settings().get("models", "kmeans,gmm").split(",")[panel] == model
    clouds.fitted(lambda: clouds.press("Four answers"))
    expect(clouds.stage.locator(".cloud-panel")).to_have_count(4)
    told = clouds.json()["results"]
    assert set(told) == {"gaussian", "kmeans", "gmm", "kde"}
    likelihoods = {model: told[model]["log_likelihood"][-1] for model in ("gaussian", "gmm")}
    assert likelihoods["gmm"] > likelihoods["gaussian"]  # a mixture can be that Gaussian
    clouds.panel("kde").get_by_label("Take this panel away").click()
    expect(clouds.stage.locator(".cloud-panel")).to_have_count(3)
    clouds.watched.assert_clean()


def test_fewer_points_than_components_are_said_and_mended(clouds: Clouds) -> None:
    clouds.open("data=own&k=7&points=2~-8,-8~8,8~IAIAoAoAIAoAoAIA")
    expect(clouds.problem).to_have_text(ITEMS["few"].format(n=4, k=7))
    assert clouds.numbers() == ["", ""]
    clouds.rail("k").fill("2")
    clouds.fitted(lambda: clouds.rail("k").press("Enter"))
    expect(clouds.problem).to_be_hidden()
    assert all(clouds.numbers())
    clouds.watched.assert_clean()


def test_a_dot_of_the_curve_leads_to_its_step_and_one_of_choose_k_to_its_k(clouds: Clouds) -> None:
    page = clouds.open("models=gmm").page

    def dot(where: str, trace: str, index: int) -> tuple[float, float]:
        page.locator(f"{where} .plotly-view[data-drawn]").wait_for()
        page.locator(where).evaluate("e => e.scrollIntoView({ block: 'center' })")
        x, y = page.evaluate(
            """([where, trace, index]) => {
              const figure = document.querySelector(`${where} .plotly-figure`);
              const { xaxis, yaxis, yaxis2 } = figure._fullLayout;
              const one = figure.data.find(({ name }) => name === trace);
              const box = figure.getBoundingClientRect();
              const up = one.yaxis === "y2" ? yaxis2 : yaxis;
              return [box.left + xaxis._offset + xaxis.d2p(one.x[index]), box.top + up._offset + up.d2p(one.y[index])];
            }""",
            [where, trace, index],
        )
        return x, y

    page.mouse.click(*dot(".curve-figure", ITEMS["curve_ll"], 9))
    page.wait_for_function("() => document.querySelector('#clouds-view-fit').dataset.frame === '9'")
    clouds.press("Choose K")
    expect(clouds.stage.locator(".choose-k .verdict")).to_contain_text("BIC says 3", timeout=60_000)
    told = {one["name"]: one for one in clouds.traces(".choose-k")}
    assert len(told) == 3
    bic = told[ITEMS["choose_bic"]]
    assert bic["x"][int(np.argmin([np.inf if v is None else v for v in bic["y"]]))] == 3
    at = dot(".choose-k", ITEMS["choose_held"], 4)
    page.mouse.move(*at)
    clouds.fitted(lambda: page.mouse.click(*at))
    expect(clouds.rail("k")).to_have_value("5")
    assert clouds.settings()["k"] == "5"
    assert means(clouds.json(), "gmm").shape == (5, 2)
    clouds.watched.assert_clean()


def test_samples_fall_one_by_one_and_are_in_the_link(clouds: Clouds) -> None:
    page = clouds.open("seed=5").page
    bare = clouds.picture("gmm")
    plain = clouds.picture("kmeans")
    clouds.panel("gmm").get_by_role("button", name="Sample").click()
    words = clouds.stage.locator(".cloud-panel[data-model=gmm] .panel-ask")
    expect(words).to_contain_text(re.compile(r"z = [123] \(probability 0\.\d\d\), then x = \("))
    clouds.panel("gmm").get_by_role("button", name="Stop").click()
    expect(clouds.panel("gmm").get_by_role("button", name="Sample")).to_be_visible()
    assert clouds.panel("kmeans").get_by_role("button", name="Sample").count() == 0
    page.mouse.move(5, 5)
    page.wait_for_timeout(200)
    full = clouds.picture("gmm")
    assert np.abs(full - bare).max() > 50
    assert 1 <= int(clouds.settings()["draws"]) < 24  # as many as have fallen
    clouds.reload()
    clouds.shows("gmm", full)
    clouds.shows("kmeans", plain)  # it is no density
    clouds.fitted(lambda: clouds.press("Same seed"))
    assert "draws" not in clouds.settings()  # nor are they on the page
    clouds.watched.assert_clean()


def test_densities_are_drawn_as_lines_heat_and_a_hill(clouds: Clouds) -> None:
    clouds.open("models=gmm,kde")
    choice = clouds.stage.get_by_label("Density", exact=True)
    seen = []
    for kind in ("none", "contours", "heat"):
        choice.select_option(kind)
        clouds.page.wait_for_timeout(300)
        seen.append((clouds.picture("gmm"), clouds.picture("kde")))
        assert clouds.settings().get("density", "contours") == kind
    for panel in (0, 1):
        assert all(np.abs(one[panel] - other[panel]).max() > 20 for one, other in combinations(seen, 2))
    choice.select_option("surface")
    for model in ("gmm", "kde"):
        hill = clouds.panel(model).locator(".panel-surface .plotly-view[data-drawn]")
        hill.wait_for()
        assert hill.locator(".plotly-figure").evaluate("e => e.data[0].type") == "surface"
    choice.select_option("none")
    expect(clouds.panel("gmm").locator(".panel-plot canvas")).to_be_visible()


def test_the_view_of_likelihood_is_for_points_on_a_line(clouds: Clouds) -> None:
    clouds.open()
    clouds.stage.get_by_role("tab", name=ITEMS["views"]["like"]).click()
    expect(clouds.stage.locator(".likelihood-other")).to_contain_text("yours have 2 coordinates")
    clouds.stage.locator(".likelihood-other button[data-preset=bell]").click()
    expect(clouds.stage.locator("#likelihood-likelihood")).to_be_visible()
    expect(clouds.facts).to_contain_text("One bell (1-D)")
    assert clouds.rail("data").input_value() == "One bell (1-D)"
    assert clouds.settings() == {"v": "1", "view": "like", "data": "bell"}
    clouds.stage.get_by_role("tab", name=ITEMS["views"]["fit"]).click()
    expect(clouds.panel("gmm").locator("canvas")).to_be_visible()
    clouds.watched.assert_clean()


def test_three_switches_make_the_mixture_k_means_at_every_step(clouds: Clouds) -> None:
    clouds.open("data=three&k=4&seed=3")
    told = None
    for action in (
        lambda: clouds.choose("covariance", WORDS["covariance_choices"]["tied_spherical"]),
        lambda: clouds.page.locator("#assignment").get_by_role("radio", name=WORDS["assignment_choices"]["hard"]).check(),
        lambda: clouds.page.locator("#weights").get_by_role("radio", name=WORDS["weights_choices"]["equal"]).check(),
    ):
        expect(clouds.panel("gmm")).not_to_contain_text(ITEMS["kmeans_is"])
        clouds.fitted(action)
    expect(clouds.panel("gmm")).to_contain_text(ITEMS["kmeans_is"])
    scrub = clouds.stage.locator(SCRUB)
    scrub.focus()
    clouds.page.keyboard.press("Home")
    last = clouds.frames() - 1
    assert last >= 6
    for frame in range(last + 1):
        told = clouds.json()
        assert told["frame"] == frame
        np.testing.assert_allclose(means(told, "gmm"), means(told, "kmeans"), rtol=0, atol=1e-9)
        scrub.focus()
        clouds.page.keyboard.press("ArrowRight")
    clouds.watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_phone_turns_the_helix_and_plays(clouds: Clouds) -> None:
    clouds.open("data=helix")
    page = clouds.page
    expect(clouds.stage.locator(".tools-group")).to_be_hidden()
    canvas = clouds.panel("gmm").locator("canvas")
    before = canvas.evaluate("c => c.toDataURL()")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("was => document.querySelector('[data-model=gmm] canvas').toDataURL() !== was", arg=before)
    clouds.button("Play").tap()
    page.wait_for_function("() => Number(document.querySelector('#clouds-view-fit').dataset.frame) >= 2")
    clouds.button("Pause").tap()
    assert clouds.watched.overflow() <= 0
    clouds.watched.assert_clean()
