"""The plot of a cloud, driven by hand in a real browser: what is added, erased and dragged; every kind of model is drawn."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from PIL import Image
from playwright.sync_api import Page

from playground.components import BASE

TEXT = {
    "label": "A plot of {n} points in {d} dimensions.",
    "keys": "Arrow keys move a crosshair.",
    "keys3d": "Arrow keys turn the cloud.",
    "density": "density",
    "share": "{k}: {percent} %",
    "models": {"gmm": "A mixture of {k} Gaussians."},
}

MOUNT = """async ([base, text, width]) => {
  const { cloudPlot } = await import(`${base}/cloud_plot/cloud_plot.js`);
  const host = document.createElement("div");
  host.className = "gmp mounted";
  host.style.cssText = `position:fixed;left:8px;top:8px;width:${width}px;z-index:99`;
  document.body.append(host);
  const said = (window.said = []);
  const names = ["add", "erase", "mean", "shape", "look", "rotate"];
  const plain = (v) => (v instanceof Float64Array ? Array.from(v) : v);
  const on = Object.fromEntries(names.map((name) => [name, (...a) => said.push([name, ...a.map(plain)])]));
  window.plot = cloudPlot(host, { text, on });
  const numbers = (v) => v && Float64Array.from(v);
  const parts = (m) => ({ weights: numbers(m.weights), means: numbers(m.means), covariances: numbers(m.covariances) });
  window.mixture = (m) => m && { ...m, ...parts(m) };
  window.settled = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(r))));
  await window.settled();
}"""

CLOUD = """async ([d, points, bounds]) => {
  plot.cloud({ d, n: points.length / d, points: Float64Array.from(points), names: ["x", "y", "z"].slice(0, d), bounds });
  await settled();
}"""

STATE = """async ([s, method]) => {
  const grid = s.grid && { ...s.grid, values: Float64Array.from(s.grid.values) };
  plot[method]({ assignment: "soft", phase: null, colours: true, axes: null, warn: [], ...s, grid, mixture: mixture(s.mixture),
    assigned: mixture(s.assigned ?? null), trail: s.trail ? s.trail.map((t) => Float64Array.from(t)) : null });
  await settled();
}"""

SQUARE = {"low": [-5, -5], "high": [5, 5]}
PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 800}}
FOUR = [0.0, 0.0, 3.0, 3.0, -3.0, 3.0, -3.0, -3.0]


def mixture(means: list[list[float]], covariance: np.ndarray) -> dict[str, Any]:
    """Equal weights, one covariance for all."""
    k, d = len(means), len(means[0])
    return {
        "d": d,
        "k": k,
        "weights": [1 / k] * k,
        "means": [v for mean in means for v in mean],
        "covariances": list(covariance.ravel()) * k,
    }


class Plot:
    """A mounted plot, and what it has said."""

    def __init__(self, page: Page, width: int = 500) -> None:
        self.page = page
        page.evaluate(MOUNT, [BASE, TEXT, width])
        self.canvas = page.locator(".mounted canvas")

    def cloud(self, points: list[float], d: int = 2, bounds: dict[str, list[float]] | None = None) -> None:
        self.page.evaluate(CLOUD, [d, points, bounds])

    def state(self, method: str = "state", **state: Any) -> None:
        self.page.evaluate(STATE, [state, method])

    def tool(self, name: str) -> None:
        self.page.evaluate("(name) => plot.tool(name)", name)

    def at(self, *place: float) -> tuple[float, float]:
        x, y = self.page.evaluate("(place) => plot.toClient(place)", list(place))
        return x, y

    def said(self, name: str) -> list[list[Any]]:
        return [what[1:] for what in self.page.evaluate("said") if what[0] == name]

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=6)
        self.page.mouse.up()

    def pixels(self) -> np.ndarray:
        """What is painted now, (height, width, 3)."""
        url = self.page.evaluate("""async () => {
          await settled();
          const reader = new FileReader();
          const read = new Promise((done) => (reader.onload = () => done(reader.result)));
          reader.readAsDataURL(await plot.png());
          return read;
        }""")
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        return np.asarray(picture.convert("RGB"), dtype=float)


@pytest.fixture
def plot(watched: Watched) -> Plot:
    watched.empty()
    made = Plot(watched.page)
    yield made
    watched.assert_clean()


GAUSSIAN = mixture([[1.0, -1.0]], np.array([[2.0, 0.6], [0.6, 1.0]]))
THREE = mixture([[-2.0, 1.0], [2.0, 2.0], [0.0, -2.0]], np.array([[1.0, 0.3], [0.3, 0.5]]))
LINE = mixture([[-2.0], [1.5]], np.array([[0.8]]))
SPACE = mixture([[-2.0, 1.0, 0.0], [2.0, 2.0, 1.0]], np.diag([1.0, 0.5, 0.8]))
GRID = {"width": 21, "height": 21, "low": [-4, -4], "high": [4, 4]}
BELL = np.exp(-(np.linspace(-4, 4, 21) ** 2))
AXES = {"mean": [0.0, 0.0], "directions": [[0.6, 0.8], [-0.8, 0.6]], "deviations": [2.0, 1.0]}
AXES3 = {"mean": [0.0, 0.0, 0.0], "directions": [[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], "deviations": [2.0, 1.0]}

KINDS = {
    "gaussian": (2, {"kind": "gaussian", "mixture": GAUSSIAN}),
    "kmeans": (2, {"kind": "kmeans", "mixture": THREE, "trail": [[0.0, 0.0, 1.0, 1.0, -1.0, -1.0]]}),
    "gmm": (2, {"kind": "gmm", "mixture": THREE, "warn": [1]}),
    "hard": (2, {"kind": "gmm", "mixture": THREE, "assignment": "hard", "assigned": THREE}),
    "kde": (2, {"kind": "kde", "mixture": None, "grid": {**GRID, "values": list(np.outer(BELL, BELL).ravel())}}),
    "pca": (2, {"kind": "pca", "mixture": None, "axes": AXES}),
    "start": (2, {"kind": "gmm", "mixture": THREE, "colours": False, "phase": "start"}),
    "a gaussian on a line": (1, {"kind": "gaussian", "mixture": mixture([[0.0]], np.array([[1.0]]))}),
    "kmeans on a line": (1, {"kind": "kmeans", "mixture": LINE, "trail": [[-1.0, 0.0]]}),
    "gmm on a line": (1, {"kind": "gmm", "mixture": LINE, "warn": [0]}),
    "kde on a line": (1, {"kind": "kde", "mixture": None, "grid": {**GRID, "height": 1, "values": list(BELL)}}),
    "pca on a line": (1, {"kind": "pca", "mixture": None, "axes": {"mean": [0.0], "directions": [[1.0]], "deviations": [1.0]}}),
    "gmm in space": (3, {"kind": "gmm", "mixture": SPACE}),
    "kmeans in space": (3, {"kind": "kmeans", "mixture": SPACE}),
    "pca in space": (3, {"kind": "pca", "mixture": None, "axes": AXES3}),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_is_drawn_with_each_density_a_ghost_and_samples(plot: Plot, name: str) -> None:
    d, state = KINDS[name]
    points = list(np.random.default_rng(3).normal(size=(200, d)).ravel() * 2)
    plot.cloud(points, d)
    bare = plot.pixels()
    plot.state(**state)
    drawn = plot.pixels()
    assert np.abs(drawn - bare).max(axis=2).astype(bool).sum() > 200
    assert plot.canvas.get_attribute("data-kind") == state["kind"]
    assert plot.canvas.get_attribute("data-points") == "200"
    for density in ("contours", "heat"):
        plot.page.evaluate("(density) => plot.layers({ density })", density)
        if state["kind"] not in ("kmeans", "pca") and d == 2:
            assert np.abs(plot.pixels() - drawn).max() > 20, density
    plot.state("ghost", **state)
    plot.page.evaluate("(x) => { plot.samples([{ component: 0, x }]); plot.choose(0); }", [0.5] * d)
    assert np.isfinite(plot.pixels()).all()


def test_an_empty_cloud_and_one_place_are_drawn(plot: Plot) -> None:
    plot.cloud([])
    assert plot.canvas.get_attribute("data-points") == "0"
    plot.cloud([1e6, 1e6, 1e6, 1e6])
    assert np.abs(plot.pixels() - plot.pixels()[2, 250]).sum() > 0
    assert plot.page.evaluate("plot.toData(...plot.toClient([1e6, 1e6]))") == pytest.approx([1e6, 1e6], abs=1e-9)


@pytest.mark.parametrize("bounds", [None, SQUARE])
def test_places_go_to_the_screen_and_back_with_equal_scales(plot: Plot, bounds: dict[str, list[float]] | None) -> None:
    plot.cloud([-4.0, 1.0, 4.0, 3.0, 0.0, -1.0], bounds=bounds)
    (x0, y0), (x1, y1) = plot.at(0, 0), plot.at(1, 1)
    assert x1 - x0 == pytest.approx(y0 - y1)
    assert plot.page.evaluate("plot.toData(...plot.toClient([1.25, -0.5]))") == pytest.approx([1.25, -0.5])
    box = plot.canvas.bounding_box()
    assert box is not None
    wide, high = (8 * 1.12, 4 * 1.12) if bounds is None else (10, 10)
    assert x1 - x0 == pytest.approx(min(box["width"] / wide, box["height"] / high), rel=1e-6)


def test_a_click_adds_a_point_where_it_is(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.tool("add")
    plot.page.mouse.click(*plot.at(1.5, -2))
    ((added,),) = plot.said("add")
    assert added == [pytest.approx([1.5, -2], abs=0.02)]


@pytest.mark.parametrize(
    "watched", [{"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 800}}], indirect=True
)
def test_a_tap_adds_a_point_and_a_finger_drags_a_mean(watched: Watched) -> None:
    watched.empty()
    plot = Plot(watched.page, width=360)
    plot.cloud(FOUR, bounds=SQUARE)
    plot.tool("add")
    watched.page.touchscreen.tap(*plot.at(-2, 2))
    ((added,),) = plot.said("add")
    assert added == [pytest.approx([-2, 2], abs=0.05)]

    plot.state(kind="kmeans", mixture=THREE)
    plot.tool("look")
    start, end = plot.at(2, 2), plot.at(2, -3)
    session = watched.page.context.new_cdp_session(watched.page)
    for kind, (x, y) in [("touchStart", start), ("touchMove", (start[0], (start[1] + end[1]) / 2)), ("touchMove", end)]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    component, place, done = plot.said("mean")[-1]
    assert (component, done) == (1, True)
    assert place == pytest.approx([2, -3], abs=0.05)
    watched.assert_clean()


def test_spraying_adds_about_forty_points_a_second_around_the_pointer(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.tool("spray")
    plot.page.mouse.move(*plot.at(1, 1))
    plot.page.mouse.down()
    plot.page.wait_for_timeout(1500)
    plot.page.mouse.up()
    sprayed = np.array([point for (batch,) in plot.said("add") for point in batch])
    assert 30 <= len(sprayed) <= 90
    assert np.abs(sprayed.mean(axis=0) - 1).max() < 0.15
    assert 0.1 < sprayed.std() < 0.3  # half of the brush's 4 % of ten units
    count = len(plot.said("add"))
    plot.page.wait_for_timeout(200)
    assert len(plot.said("add")) == count


def test_erasing_names_each_point_under_the_brush_once(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.tool("erase")
    plot.drag(plot.at(-4, 3.2), plot.at(4, 3.2))
    assert sorted(i for (batch,) in plot.said("erase") for i in batch) == [1, 2]


def test_a_mean_is_dragged_by_its_label_with_the_look_tool(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="gmm", mixture=THREE)
    plot.drag(plot.at(-2, 1), plot.at(-4, -1))
    said = plot.said("mean")
    assert [done for _, _, done in said][-1] is True
    assert not any(done for _, _, done in said[:-1])
    assert {k for k, _, _ in said} == {0}
    assert said[-1][1] == pytest.approx([-4, -1], abs=0.03)
    assert plot.said("shape") == []


def test_dragging_the_handles_gives_the_covariance_of_the_ellipse(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="gaussian", mixture=mixture([[0.0, 0.0]], np.diag([4.0, 1.0])))
    plot.tool("move")
    plot.drag(plot.at(2, 0), plot.at(0, 3))  # the long axis, turned by a quarter and stretched to 3
    k, (a, b, c), done = plot.said("shape")[-1]
    assert (k, done) == (0, True)
    assert [a, b, c] == pytest.approx([1, 0, 9], abs=0.1)

    plot.drag(plot.at(0, 1), plot.at(0.5, 1.75))  # the short axis only scales
    _, (a, b, c), _ = plot.said("shape")[-1]
    assert [a, b, c] == pytest.approx([4, 0, 1.75**2], abs=0.1)


def test_a_dragged_shape_is_turned_and_scaled_as_an_ellipse_is(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="gmm", mixture=mixture([[1.0, 0.0], [-4.0, -4.0]], np.diag([4.0, 1.0])))
    plot.page.evaluate("plot.choose(0)")
    plot.tool("move")
    angle, rx = math.radians(30), 2.5
    plot.drag(plot.at(3, 0), plot.at(1 + rx * math.cos(angle), rx * math.sin(angle)))
    _, (a, b, c), _ = plot.said("shape")[-1]
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = rotation @ np.diag([rx**2, 1.0]) @ rotation.T
    assert [a, b, c] == pytest.approx([expected[0, 0], expected[0, 1], expected[1, 1]], abs=0.1)


def test_on_a_line_the_handle_sets_the_variance_and_the_mean_moves_along(plot: Plot) -> None:
    plot.cloud([-4.0, -1.0, 0.0, 2.0, 4.0], d=1, bounds={"low": [-5], "high": [5]})
    plot.state(kind="gaussian", mixture=mixture([[0.0]], np.array([[1.0]])))
    plot.tool("move")
    peak = 1 / math.sqrt(2 * math.pi)
    bend = plot.at(1, peak * math.exp(-0.5))
    plot.drag(bend, (plot.at(2)[0], bend[1] + 30))
    k, covariance, done = plot.said("shape")[-1]
    assert (k, done) == (0, True)
    assert covariance == pytest.approx([4], abs=0.1)

    x, y = plot.at(0, peak)
    plot.drag((x, y - 16), (plot.at(-2)[0], y + 40))
    k, place, done = plot.said("mean")[-1]
    assert (k, done) == (0, True)
    assert place == pytest.approx([-2], abs=0.03)


def test_looking_says_the_place_and_the_point_and_leaving_says_so(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="gmm", mixture=THREE)
    plot.page.mouse.move(*plot.at(3.02, 3.02))
    assert plot.said("look")[-1][0]["point"] == 1
    plot.page.mouse.move(*plot.at(4, -4))
    (last,) = plot.said("look")[-1]
    assert last["point"] is None
    assert last["place"] == pytest.approx([4, -4], abs=0.03)
    plot.page.mouse.move(900, 600)
    assert plot.said("look")[-1] == [None]


def test_the_keyboard_adds_erases_and_carries_a_mean(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="kmeans", mixture=THREE)
    keys: Callable[[str], None] = plot.page.keyboard.press
    plot.canvas.focus()
    plot.tool("add")
    for _ in range(3):
        keys("Shift+ArrowRight")
    keys("ArrowUp")
    keys("Enter")
    ((added,),) = plot.said("add")
    box = plot.canvas.bounding_box()
    assert box is not None
    width = box["width"] / (plot.at(1, 0)[0] - plot.at(0, 0)[0])  # in the data's unit: steps are shares of it
    assert added == [pytest.approx([0.3 * width, 0.02 * width], abs=1e-6)]

    plot.tool("move")
    keys(" ")  # the nearest is the second mean, at (2, 2)
    keys("Shift+ArrowLeft")
    keys("Shift+ArrowLeft")
    keys("Enter")
    said = plot.said("mean")
    assert [k for k, _, _ in said] == [1] * len(said)
    assert said[-1][1] == pytest.approx([2 - 0.2 * width, 2], abs=1e-6)
    assert [done for _, _, done in said] == [False, False, True]

    plot.tool("erase")
    keys("Escape")
    keys("Enter")  # from the middle, where the first point is
    assert plot.said("erase") == [[[0]]]


def test_a_cloud_in_space_is_turned_by_dragging_and_by_keys(plot: Plot) -> None:
    plot.cloud([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, -1.0, -1.0], d=3)
    before = plot.at(1, 0, 0)
    plot.drag(plot.at(0, 0, 0), tuple(v + 60 for v in plot.at(0, 0, 0)))
    plot.canvas.focus()
    plot.page.keyboard.press("ArrowLeft")
    views = np.array([view for view, _ in plot.said("rotate")]).reshape(-1, 2, 3)
    assert len(views) > 2
    np.testing.assert_allclose(views @ views.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (len(views), 2, 2)), atol=1e-12)
    assert math.dist(before, plot.at(1, 0, 0)) > 10
    origin, along = np.array(plot.at(0, 0, 0)), np.array(plot.at(1, 0, 0))
    up = np.array(plot.at(0, 0, 1)) - origin
    assert up[0] == pytest.approx(0, abs=1e-6)  # a turntable keeps its axis upright
    assert up[1] < 0
    assert plot.said("add") == plot.said("mean") == []
    assert np.linalg.norm(along - origin) > 1


@pytest.mark.timing
@pytest.mark.parametrize("watched", [{}, {"reduced_motion": "reduce"}], indirect=True, ids=["moving", "still"])
@pytest.mark.parametrize("name", ["gmm", "kde", "pca", "gmm on a line"])
def test_samples_fly_one_by_one_and_stay(watched: Watched, name: str) -> None:
    watched.empty()
    plot = Plot(watched.page)
    d, state = KINDS[name]
    plot.cloud(list(np.random.default_rng(1).normal(size=60 * d)), d)
    plot.state(**state)
    before = plot.pixels()
    landed, took, each = plot.page.evaluate(
        """async (d) => {
          const each = [];
          const start = performance.now();
          const draws = Array.from({ length: 4 }, (_, i) => ({ component: i % 2, x: [-1.5 + i, 1].slice(0, d) }));
          const landed = await plot.fly(draws, { each: (i) => each.push(i) });
          return [landed, performance.now() - start, each];
        }""",
        d,
    )
    assert (landed, each) == (4, [0, 1, 2, 3])
    assert 1000 < took < 8000
    assert np.abs(plot.pixels() - before).max(axis=2).astype(bool).sum() > 4 * 20
    watched.assert_clean()


def test_a_flight_can_be_stopped_and_what_landed_stays(plot: Plot) -> None:
    plot.cloud(FOUR, bounds=SQUARE)
    plot.state(kind="gmm", mixture=THREE)
    landed = plot.page.evaluate(
        """async () => {
          const draws = Array.from({ length: 60 }, (_, i) => ({ component: i % 3, x: [i / 20, 1] }));
          const flight = plot.fly(draws, { each: (i) => i === 2 && setTimeout(plot.stopFlying) });
          return flight;
        }"""
    )
    assert 3 <= landed < 10


@pytest.mark.timing
def test_many_points_are_painted_quickly(plot: Plot) -> None:
    rng = np.random.default_rng(2)
    means = rng.normal(size=(10, 2)) * 4
    plot.cloud(list(np.round(rng.normal(size=40_000) * 4, 3)))
    times = plot.page.evaluate(
        """async (means) => {
          const k = 10;
          const times = [];
          for (let i = 0; i < 7; i++) {
            const weights = new Float64Array(k).fill(1 / k);
            const covariances = Float64Array.from({ length: 4 * k }, (_, j) => (j % 4 === 0 || j % 4 === 3 ? 3 : 0));
            const mixture = { d: 2, k, weights, means: Float64Array.from(means, (v) => v + i / 50), covariances };
            const start = performance.now();
            plot.state({ kind: "gmm", assignment: "soft", colours: true, mixture, warn: [] });
            await settled();
            times.push(Number(plot.canvas.dataset.drawn) - start);
          }
          return times;
        }""",
        list(means.ravel()),
    )
    assert sorted(times)[3] < 250, times  # a shared machine; 60 ms on one's own
    assert plot.canvas.get_attribute("data-points") == "20000"
