"""The points of "Clouds" under the hand: put down, sprayed, rubbed out, dragged, read from files, taken away."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from clouds_page import PHONE, SCRUB, Clouds, means
from conftest import Watched
from playwright.sync_api import expect

from models import gmm, starts
from models.data import clouds as presets
from models.points import frame_of
from playground.pages.clouds import WORDS

ITEMS = WORDS["stage"]
OWN = WORDS["data_choices"]["own"]


@pytest.fixture
def clouds(watched: Watched) -> Clouds:
    return Clouds(watched)


def points(clouds: Clouds) -> np.ndarray:
    return np.array(clouds.json()["points"], dtype=float)


def still(clouds: Clouds, at_end: bool = True) -> None:
    """Stops what plays, at the end of the run or at its start."""
    clouds.stage.locator(SCRUB).focus()
    clouds.page.keyboard.press("End" if at_end else "Home")


def reopens(clouds: Clouds) -> None:
    """The link opens to the same points and the same runs, to the last digit."""
    one = clouds.json()
    clouds.reload()
    other = clouds.json()
    for part in ("settings", "points", "results", "frame"):
        assert other[part] == one[part], part


def test_points_are_put_down_sprayed_rubbed_out_and_brought_back(clouds: Clouds) -> None:
    page = clouds.open().page
    was = points(clouds)
    corner, middle = clouds.place("gmm", 0.1, 0.1), clouds.place("kmeans", 0.5, 0.5)
    clouds.tool("add")
    clouds.fitted(lambda: page.mouse.click(*clouds.spot("gmm", 0.1, 0.1)))
    expect(clouds.badge).to_have_text("live")
    expect(clouds.rail("data")).to_have_value(OWN)
    now = points(clouds)
    assert len(now) == 301
    np.testing.assert_allclose(now[-1], corner, atol=0.02)
    np.testing.assert_allclose(now[:-1], was, atol=16 / 4095 / 2 + 1e-9)  # snapped to what a link holds
    clouds.press("Undo")
    expect(clouds.rail("data")).to_have_value(WORDS["data_choices"]["stretched"])
    np.testing.assert_array_equal(points(clouds), was)

    clouds.tool("spray")
    before = clouds.spot("kmeans", 0.5, 0.5)
    page.mouse.move(*before)
    page.mouse.down()
    page.mouse.move(before[0] + 60, before[1], steps=10)
    page.wait_for_function("() => Number(document.querySelector('[data-stage=clouds]').dataset.points) > 315")
    page.mouse.up()
    page.wait_for_timeout(600)  # what comes later is another stroke
    sprayed = points(clouds)
    fresh = sprayed[300:]
    assert len(fresh) > 15
    width = 60 / clouds.box("kmeans")["width"] * (clouds.bounds("kmeans")[1] - clouds.bounds("kmeans")[0])[0]
    assert np.all(np.abs(fresh - middle - [width / 2, 0]) < [width / 2 + 1.5, 1.5])
    clouds.tool("erase")
    clouds.drag((before[0] - 40, before[1]), (before[0] + 100, before[1]))
    page.wait_for_timeout(600)
    rubbed = points(clouds)
    assert 0 < len(rubbed) < len(sprayed) - 10
    left = {tuple(row) for row in rubbed}
    gone = np.array([row for row in sprayed if tuple(row) not in left])
    assert np.all(np.abs(gone - middle - [width / 2, 0])[:, 1] < 1)  # along the stroke and nowhere else
    clouds.press("Undo")
    np.testing.assert_array_equal(points(clouds), sprayed)
    clouds.press("Undo")
    np.testing.assert_array_equal(points(clouds), was)  # a stroke is undone as one
    expect(clouds.button("Undo")).to_be_disabled()
    clouds.watched.assert_clean()


def test_an_empty_cloud_gets_a_sentence_and_a_drawn_one_is_in_the_link(clouds: Clouds) -> None:
    page = clouds.open("how=plus").page
    clouds.press("Clear")
    expect(clouds.host).to_contain_text(ITEMS["no_points"])
    expect(clouds.facts).to_contain_text("n = 0,")
    assert clouds.numbers() == ["", ""]
    clouds.tool("add")
    shares = [(0.3, 0.3), (0.32, 0.4), (0.7, 0.7), (0.65, 0.72), (0.5, 0.5), (0.4, 0.8), (0.8, 0.2)]
    for count, (u, v) in enumerate(shares, start=1):
        page.mouse.click(*clouds.spot("gmm", u, v))
        expect(clouds.stage).to_have_attribute("data-points", str(count))
        if count == 2:
            expect(clouds.problem).to_have_text(ITEMS["few"].format(n=2, k=3))
    expect(clouds.problem).to_be_hidden()
    page.wait_for_function("() => [...document.querySelectorAll('.panel-numbers')].every((one) => one.textContent)")
    still(clouds)
    assert clouds.stage.locator(".facts").inner_text().count(ITEMS["own_in_link"].format(n=7)) == 1
    reopens(clouds)
    expect(clouds.stage).to_have_attribute("data-points", "7")
    clouds.choose("data", WORDS["data_choices"]["moons"])
    expect(clouds.facts).to_contain_text("Two moons")
    assert clouds.settings() == {"v": "1", "data": "moons", "how": "plus"}
    clouds.watched.assert_clean()


def test_a_preset_becomes_ones_own_and_too_many_points_for_a_link_are_said(clouds: Clouds) -> None:
    clouds.open("n=100")
    clouds.fitted(lambda: clouds.choose("data", OWN))
    expect(clouds.facts).to_have_text("My own points: n = 100, 2-D")
    assert clouds.settings()["data"] == "own"
    reopens(clouds)
    clouds.upload("x,y\n" + "\n".join(f"{i % 37},{i % 53}" for i in range(900)))
    expect(clouds.stage.locator(".facts")).to_contain_text(ITEMS["own_not_in_link"].format(n=900))
    assert "points" not in clouds.settings()
    clouds.reload()
    expect(clouds.notice).to_have_text(ITEMS["own_lost"])
    expect(clouds.facts).to_contain_text("Stretched clusters")
    clouds.watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_adds_points_on_a_phone(clouds: Clouds) -> None:
    page = clouds.open("data=two&n=20").page
    clouds.stage.locator("button[data-tool=add]").tap()
    page.touchscreen.tap(*clouds.spot("gmm", 0.25, 0.4))
    expect(clouds.facts).to_contain_text("n = 21, 1-D")
    clouds.press("Undo")
    expect(clouds.facts).to_contain_text("n = 20, 1-D")
    clouds.fitted(lambda: clouds.choose("data", WORDS["data_choices"]["three"]))
    expect(clouds.facts).to_contain_text("n = 20, 2-D")
    page.touchscreen.tap(*clouds.spot("gmm", 0.25, 0.4))
    expect(clouds.facts).to_contain_text("n = 21, 2-D")
    assert clouds.watched.overflow() <= 0
    clouds.watched.assert_clean()


@pytest.mark.parametrize("model", ["kmeans", "gmm"])
def test_a_dragged_mean_begins_the_run_there(clouds: Clouds, model: str) -> None:
    page = clouds.open().page
    page.mouse.move(5, 5)
    was = means(clouds.json(), model)
    start = clouds.at(model, was[1])
    clouds.fitted(lambda: clouds.drag(start, (start[0] - 40, start[1] + 50)))
    expect(clouds.rail("how")).to_have_value(WORDS["how_choices"]["own"])
    still(clouds, at_end=False)
    told = clouds.json()
    assert told["settings"]["how"] == "own"
    now = means(told, model)
    np.testing.assert_array_equal(now, np.reshape(told["settings"]["means"], (3, 2)))
    np.testing.assert_allclose(means(told, "gmm"), means(told, "kmeans"), atol=1e-12)
    np.testing.assert_allclose(np.delete(now, 1, 0), np.delete(was, 1, 0), rtol=1e-5)
    scale = (clouds.bounds(model)[1] - clouds.bounds(model)[0]) / [clouds.box(model)[side] for side in ("width", "height")]
    np.testing.assert_allclose(now[1] - was[1], np.array([-40, -50]) * np.abs(scale), atol=0.05)
    assert clouds.settings()["how"] == "own"
    still(clouds)
    reopens(clouds)
    expect(clouds.rail("how")).to_have_value(WORDS["how_choices"]["own"])
    clouds.rail("k").fill("4")
    clouds.fitted(lambda: clouds.rail("k").press("Enter"))  # another K: those means are too few
    assert clouds.problem.is_hidden()
    expect(clouds.rail("how")).to_have_value(WORDS["how_choices"]["random"])
    assert "means" not in clouds.settings()
    clouds.watched.assert_clean()


def test_a_dragged_handle_changes_one_ellipse(clouds: Clouds) -> None:
    page = clouds.open("models=gmm&data=three&covariance=full").page
    told = clouds.json()
    was = np.reshape(told["results"]["gmm"]["covariances"], (3, 2, 2))
    middle = means(told, "gmm")[0]
    values, vectors = np.linalg.eigh(was[0])
    bounds = clouds.bounds("gmm")
    clouds.tool("move")
    towards = vectors[:, 1] * np.sign(vectors[0, 1])  # the handle is at the right
    handle = clouds.at("gmm", middle + np.sqrt(values[1]) * towards, bounds)
    centre = clouds.at("gmm", middle, bounds)
    arm = np.subtract(handle, centre)
    arm *= max(1, 27 / np.hypot(*arm))  # handles keep clear of the label
    page.mouse.move(*centre)
    page.mouse.move(*np.add(centre, arm / 2))
    clouds.fitted(lambda: clouds.drag(tuple(np.add(centre, arm)), tuple(np.add(centre, 2 * arm))))
    expect(clouds.rail("how")).to_have_value(WORDS["how_choices"]["own"])
    still(clouds, at_end=False)
    now = np.reshape(clouds.json()["results"]["gmm"]["covariances"], (3, 2, 2))
    np.testing.assert_allclose(now[1:], was[1:], rtol=1e-4)
    grown = np.linalg.eigvalsh(now[0])
    assert grown[1] > 2 * values[1]
    assert grown[0] == pytest.approx(values[0], rel=0.02)
    assert "shapes" in clouds.settings()
    still(clouds)
    reopens(clouds)
    clouds.watched.assert_clean()


def test_a_gaussian_moved_by_hand_is_compared_with_the_maximum(clouds: Clouds) -> None:
    clouds.open("models=gaussian,gmm&data=tilted")
    told = clouds.json()
    was = means(told, "gaussian")[0]
    covariance = np.reshape(told["results"]["gaussian"]["covariances"], (2, 2))
    best = clouds.numbers()[0]
    shift = np.array([1, 0.5])
    bounds = clouds.bounds("gaussian")
    clouds.drag(clouds.at("gaussian", was, bounds), clouds.at("gaussian", was + shift, bounds))
    said = clouds.panel("gaussian").locator(".panel-numbers")
    expect(said).to_contain_text("By hand:")
    found = [
        re.sub("[− ]", lambda m: "-" if m[0] == "−" else "", part) for part in re.findall(r"[−\d ]+\.\d{4}", said.inner_text())
    ]
    hand, maximum = map(float, found)
    cost = 0.5 * shift @ np.linalg.solve(covariance, shift)  # nats a point, of a mean beside the best
    assert maximum - hand == pytest.approx(cost, rel=0.1)
    clouds.press("Back to the maximum")
    assert clouds.numbers()[0] == best
    clouds.watched.assert_clean()


FILES = {
    "a,b,c\n1,2,300\n2,3,100\n3,5,900\n4,4,200\n5,1,700\n": "with a header",
    "x;y\n1,5;2,5\n2,5;3\n4;5\n7;8\n": "decimal comma",
    "x,y\n1,2\nnan,3\n4,\n5,6\n7,7\n8,3\n": "2 of 6 rows",
}


def test_files_are_read_and_what_is_no_table_is_refused(clouds: Clouds) -> None:
    clouds.open()
    for text, words in FILES.items():
        clouds.fitted(lambda text=text: clouds.upload(text))
        expect(clouds.said).to_contain_text(words)
        assert clouds.problem.is_hidden()
    np.testing.assert_array_equal(points(clouds), [[1, 2], [5, 6], [7, 7], [8, 3]])
    for text, words in {"name\nanna\nbob\n": "column of text", "": "empty", "x,y\n": "0 rows", "%PDF-1.4": "PDF"}.items():
        clouds.upload(text)
        expect(clouds.problem).to_contain_text(words)
        expect(clouds.facts).to_contain_text("n = 4,")
    np.testing.assert_array_equal(points(clouds), [[1, 2], [5, 6], [7, 7], [8, 3]])  # those before are kept
    clouds.fitted(lambda: clouds.upload(next(iter(FILES))))
    assert clouds.problem.is_hidden()
    column = clouds.stage.locator(".column-bar select").nth(2)
    clouds.fitted(lambda: column.select_option(label="c"))
    told = clouds.json()
    assert told["names"] == ["a", "b", "c"]
    raw = np.array([[1, 2, 300], [2, 3, 100], [3, 5, 900], [4, 4, 200], [5, 1, 700]], dtype=float)
    np.testing.assert_array_equal(told["points"], raw)
    clouds.fitted(lambda: clouds.stage.locator(".column-bar input").check())
    np.testing.assert_allclose(points(clouds), (raw - raw.mean(0)) / raw.std(0), atol=1e-12)
    clouds.fitted(lambda: column.select_option(label=ITEMS["column_none"]))
    assert points(clouds).shape == (5, 2)
    assert clouds.watched.hosts <= {"127.0.0.1", None}


def test_large_files_are_read_drawn_in_part_and_rubbed_out_where_one_rubs(clouds: Clouds) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(125_000, 2)), rng.normal(size=(125_000, 2)) + 5]).round(3)
    lines = [f"{a},{b}" for a, b in rng.permutation(x)]
    page = clouds.open().page
    clouds.fitted(lambda: clouds.upload("\n".join(["x,y", *lines[:200_000]])))
    expect(clouds.facts).to_contain_text("n = 200\u202f000")
    expect(clouds.host).to_contain_text("20\u202f000 of 200\u202f000 points are drawn")
    centres = means(clouds.json(), "gmm")
    assert np.abs(centres - 2.5).max() < 6  # among the points
    clouds.fitted(lambda: clouds.upload("\n".join(["x,y", *lines])))
    expect(clouds.said).to_contain_text("a fair sample of 200,000 is kept")
    bounds = clouds.bounds("gmm")
    was = points(clouds)
    clouds.tool("erase")
    at = clouds.at("gmm", [5, 5], bounds)
    clouds.fitted(lambda: page.mouse.click(*at))
    now = points(clouds)
    assert 10 < len(was) - len(now) < 20_000
    near = np.hypot(*(was - 5).T) < 0.3
    drawn = 0.1  # of the points
    assert np.sum(near) - np.sum(np.hypot(*(now - 5).T) < 0.3) > 0.5 * drawn * np.sum(near)
    far = np.hypot(*(was - 5).T) > 2
    assert abs(np.sum(far) - np.sum(np.hypot(*(now - 5).T) > 2)) <= 0.001 * np.sum(far)  # snapping moves a few over the line
    clouds.watched.assert_clean()


def test_what_is_taken_away_comes_back_and_agrees_with_models(clouds: Clouds) -> None:
    clouds.open("data=unequal&n=180&k=4&how=plus&seed=5&covariance=diagonal&steps=40&models=gaussian,kmeans,gmm")
    names, told = clouds.table("Points CSV")
    assert names == ["x", "y"]
    x = presets.make("unequal", 180, noise=1).points
    np.testing.assert_array_equal(told, x.numpy())
    start = starts.start(x, 4, "plus", covariance="diagonal", noise=5)
    reg = 1e-6 * float(frame_of(x).scale.square().mean())
    last = gmm.fit(x, start, covariance="diagonal", tol=1e-5, max_steps=40, reg=reg)
    names, results = clouds.table("Results CSV")
    column = {name: results[:, i] for i, name in enumerate(names)}
    shares = np.stack([column[f"gmm_share_{k + 1}"] for k in range(4)], axis=1)
    np.testing.assert_allclose(shares, gmm.responsibilities(x, last).numpy(), atol=1e-9)
    np.testing.assert_array_equal(column["gmm_component"], shares.argmax(1) + 1)
    np.testing.assert_allclose(column["gmm_log_prob"], gmm.log_prob(x, last).numpy(), atol=1e-9)
    whole = clouds.json()
    assert whole["settings"]["covariance"] == "diagonal"
    centres = means(whole, "kmeans")
    nearest = torch.cdist(x, torch.tensor(centres)).argmin(1).numpy() + 1
    np.testing.assert_array_equal(column["kmeans_cluster"], nearest)
    np.testing.assert_allclose(means(whole, "gmm"), last.means.numpy(), atol=1e-9)
    assert column["gaussian_log_prob"].mean() == pytest.approx(whole["results"]["gaussian"]["log_likelihood"][0], abs=1e-9)
    file = clouds.download("Points CSV").read_bytes()
    clouds.fitted(lambda: clouds.upload(file))
    np.testing.assert_array_equal(points(clouds), x.numpy())
    assert clouds.download("PNG").read_bytes().startswith(b"\x89PNG")
    clouds.watched.assert_clean()
