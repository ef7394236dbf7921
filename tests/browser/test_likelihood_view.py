"""Likelihood against probability: the numbers against scipy, and the view under a hand, a finger and a keyboard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page
from scipy.special import erf, erfc
from scipy.stats import kstest, norm

from playground.components import BASE

TEN = np.array([-1.9, -0.4, 0.1, 0.35, 0.8, 1.0, 1.7, 2.2, 2.9, 4.1])
MANY = np.random.default_rng(0).normal(0.5, 1.2, 3000)

# The view on a page of its own. A text that a test does not need is its own key.
MOUNT = """async ([base, points, d, settings, dark]) => {
  const { likelihoodView } = await import(`${base}/clouds/likelihood_view.js`);
  const host = document.createElement("div");
  host.className = "gmp gmp-card";
  host.style.cssText = "width: 100%; box-sizing: border-box";
  document.body.replaceChildren(host);
  document.body.classList.toggle("dark", dark);
  const cloud = { d, n: points.length / d, points: Float64Array.from(points) };
  const text = new Proxy({ presets: { ten: "Ten points" } }, { get: (known, key) => known[key] ?? key });
  window.chosen = [];
  window.settings = settings;
  window.view = likelihoodView(host, {
    text,
    settings: () => settings,
    cloud: () => cloud,
    say: (words) => (window.said = words),
    failed: (error) => { throw error; },
    choose: (change, { quiet } = {}) => {
      window.chosen.push([change, Boolean(quiet)]);
      Object.assign(settings, change);
      if (!quiet) window.view.update(() => true, false);
    },
  });
  window.view.update(() => true, true);
}"""

# Turns to a mode and waits until it is drawn.
SHOW = """async (mode) => {
  settings.mode = mode;
  view.update(() => true, false);
  const canvases = [...document.querySelectorAll("[role=tabpanel]:not([hidden]) canvas")];
  for (const canvas of canvases) delete canvas.dataset.drawn;
  view.update(() => true, false);
  while (!canvases.every((canvas) => canvas.dataset.drawn)) await new Promise(requestAnimationFrame);
}"""


def mount(watched: Watched, points: NDArray[np.float64] = TEN, *, d: int = 1, dark: bool = False, **settings: Any) -> Page:
    page = watched.empty()
    page.evaluate(MOUNT, [BASE, points.ravel().tolist(), d, settings, dark])
    if d == 1:
        page.wait_for_function("document.querySelector('[role=tabpanel]:not([hidden]) canvas').dataset.drawn")
    return page


def told(page: Page) -> dict[str, Any]:
    return page.evaluate("view.json()")


def middle(handle: Locator) -> tuple[float, float]:
    box = handle.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, handle: Locator, dx: float, dy: float = 0) -> None:
    handle.scroll_into_view_if_needed()
    x, y = middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2, steps=3)
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up()


def normal(page: Page, calls: str, values: list[Any]) -> Any:
    return page.evaluate(
        f"async ([base, values]) => {{ const m = await import(`${{base}}/clouds/normal.js`); {calls} }}", [BASE, values]
    )


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.empty()


def test_the_error_function_is_scipys_in_both_tails(page: Page) -> None:
    x = np.concatenate([np.linspace(-9, 9, 721), [0.0, 1e-300, 1e-9, 1.5, 2.5, 20.0, 26.0]])
    found = np.array(normal(page, "return values.map((x) => [m.erf(x), m.erfc(x)])", x.tolist()))
    np.testing.assert_allclose(found[:, 0], erf(x), rtol=1e-13)
    np.testing.assert_allclose(found[:, 1], erfc(x), rtol=1e-12)


def test_an_intervals_probability_is_exact_however_narrow_and_however_far(page: Page) -> None:
    draw = np.random.default_rng(1)
    mu, sigma = draw.normal(0, 3, 400), np.exp(draw.normal(0, 2, 400))
    z, width = draw.uniform(-8, 8, 400), np.exp(draw.uniform(-12, 2, 400))
    a, b = mu + sigma * (z - width / 2), mu + sigma * (z + width / 2)
    found = np.array(normal(page, "return values.map((v) => m.probability(...v))", np.stack([a, b, mu, sigma], 1).tolist()))
    low, high = (a - mu) / sigma, (b - mu) / sigma
    mirrored = low + high > 0  # scipy's difference too is taken in the tail
    expected = np.where(mirrored, norm.sf(low) - norm.sf(high), norm.cdf(high) - norm.cdf(low))
    # b − a itself has but so many digits; neither side can know more of a narrow interval.
    slack = 1e-12 + 1e-15 * (1 + np.abs(a) + np.abs(b)) / (b - a)
    narrow = (high - low) < 1e-4
    assert (np.abs(found - expected) <= slack * expected + np.where(narrow, 2e-16, 0)).all()
    np.testing.assert_allclose(found[narrow], (norm.pdf((low + high) / 2) * (high - low))[narrow], rtol=1e-7)


def test_the_product_is_the_one_that_doubles_have(page: Page) -> None:
    for n in (10, 300, 3000):
        value, lost = 1.0, None
        for i, p in enumerate(norm.pdf(MANY[:n], 0.2, 1.5)):
            value *= float(p)
            if lost is None and value == 0:
                lost = i + 1
        found = normal(page, "return m.product(Float64Array.from(values), values.length, 0.2, 1.5)", MANY[:n].tolist())
        assert found["value"] == pytest.approx(value, rel=1e-9, abs=1e-320)
        assert (found["lost"] is None) == (lost is None)
        assert abs((found["lost"] or 0) - (lost or 0)) <= 1
    assert value == 0
    assert normal(page, "return m.product(new Float64Array(400), 400, 0, 0.01)", [])["lost"] is not None  # overflow


def test_draws_are_normal_and_the_same_for_a_seed(page: Page) -> None:
    one, again, other = normal(page, "return [1, 1, 2].map((seed) => Array.from(m.standardDraws(20001, seed)))", [])
    assert one == again
    assert one != other
    assert kstest(one, "norm").pvalue > 0.01
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.03


def test_counts_are_numpys(page: Page) -> None:
    found = normal(page, "return Array.from(m.counts(Float64Array.from(values), -3, 0.37, 16))", MANY.tolist())
    edges = -3 + 0.37 * np.arange(17)
    assert found == np.histogram(MANY, edges)[0].tolist()


def test_the_log_likelihood_is_scipys_and_the_best_is_the_closed_form(watched: Watched) -> None:
    page = mount(watched, mu=0.3, sigma=1.1)
    found = told(page)
    assert found["used"] == 10
    assert found["log_likelihood"] == pytest.approx(norm.logpdf(TEN, 0.3, 1.1).sum(), rel=1e-12)
    assert found["product"] == pytest.approx(norm.pdf(TEN, 0.3, 1.1).prod(), rel=1e-12)
    assert found["best"]["mu"] == pytest.approx(TEN.mean(), rel=1e-14)
    assert found["best"]["sigma"] == pytest.approx(TEN.std(ddof=0), rel=1e-14)
    assert f"{found['log_likelihood']:.2f}".replace("-", "−") in page.locator("[data-reading=sum]").inner_text()
    watched.assert_clean()


def test_the_button_lands_on_the_maximum_and_nothing_near_is_better(watched: Watched) -> None:
    page = mount(watched, mu=-1.0, sigma=3.0)
    page.locator("[data-act=best]").click()
    page.wait_for_function("view.json().log_likelihood === view.json().best.logLikelihood", timeout=3000)
    found = told(page)
    assert (found["mu"], found["sigma"]) == (pytest.approx(TEN.mean()), pytest.approx(TEN.std()))
    for mu in found["mu"] + np.array([-0.05, 0, 0.05]):
        for sigma in found["sigma"] * np.array([0.97, 1, 1.03]):
            assert norm.logpdf(TEN, mu, sigma).sum() <= found["log_likelihood"] + 1e-12
    assert page.evaluate("chosen.filter(([, quiet]) => !quiet).length") == 1
    assert page.locator("[data-reading=gain]").inner_text() == "at_best"


@pytest.mark.parametrize("watched", [{"reduced_motion": "reduce"}], indirect=True)
def test_without_motion_the_maximum_is_there_at_once(watched: Watched) -> None:
    page = mount(watched, mu=-1.0, sigma=3.0)
    assert page.evaluate("document.querySelector('[data-act=best]').click(), view.json().sigma") == pytest.approx(TEN.std())


def test_the_product_underflows_where_the_sum_does_not(watched: Watched) -> None:
    page = mount(watched, MANY, mu=0.5, sigma=1.2)
    assert told(page)["product"] > 0
    used = page.locator("input[data-key=used]")
    used.focus()
    used.press("ArrowRight")
    assert told(page)["used"] == 11
    used.press("End")
    found = told(page)
    assert (found["used"], found["product"]) == (3000, 0)
    assert found["product_lost_at"] < 600
    assert found["log_likelihood"] == pytest.approx(norm.logpdf(MANY, 0.5, 1.2).sum(), rel=1e-10)
    assert "underflow" in page.locator("[data-reading=product]").inner_text()


def test_one_point_has_no_best_deviation(watched: Watched) -> None:
    page = mount(watched, used=1)
    assert told(page)["unbounded"]
    assert page.locator("[data-reading=best]").inner_text() == "without_end"


def test_handles_are_dragged_and_only_the_end_is_not_quiet(watched: Watched) -> None:
    page = mount(watched, mu=1.0, sigma=1.5)
    before = told(page)
    x, _ = middle(page.locator("[data-handle=mu]"))
    drag(page, page.locator("[data-handle=mu]"), -60)
    page.wait_for_timeout(100)
    after = told(page)
    x_after, _ = middle(page.locator("[data-handle=mu]"))
    assert after["mu"] < before["mu"]
    assert after["sigma"] == before["sigma"]
    assert x_after - x == pytest.approx(-60, abs=1.5)
    quiet = page.evaluate("chosen.map(([, quiet]) => quiet)")
    assert quiet[-1] is False
    assert all(quiet[:-1])
    assert len(quiet) > 3
    drag(page, page.locator("[data-handle=sigma]"), 40)
    wider = told(page)
    assert wider["sigma"] > after["sigma"]
    assert wider["mu"] == after["mu"]
    assert page.evaluate("said") == "said_likelihood"


def test_a_handle_that_is_only_touched_stays(watched: Watched) -> None:
    page = mount(watched, mu=4.0, sigma=6.0)  # μ + σ is beyond the axis: its handle stands at the edge
    before = told(page)
    page.locator("[data-handle=sigma]").click()
    assert told(page)["sigma"] == before["sigma"]


def test_the_map_is_walked_by_pointer_and_by_keys(watched: Watched) -> None:
    page = mount(watched, mu=-1.0, sigma=3.0)
    canvas = page.locator("#likelihood-likelihood canvas").nth(1)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5)
    page.wait_for_timeout(100)
    x, y = middle(page.locator("[data-handle=theta]"))
    assert (x, y) == (
        pytest.approx(box["x"] + box["width"] * 0.6, abs=1.5),
        pytest.approx(box["y"] + box["height"] * 0.5, abs=1.5),
    )
    before = told(page)
    cross = page.locator("[data-handle=theta]")
    cross.focus()
    cross.press("ArrowRight")
    cross.press("ArrowUp")
    cross.press("ArrowUp")
    after = told(page)
    assert after["mu"] > before["mu"]
    assert after["sigma"] == pytest.approx(before["sigma"] * 1.02**2)
    assert "σ" in (cross.get_attribute("aria-valuetext") or "")


def test_settings_the_points_cannot_have_are_brought_within(watched: Watched) -> None:
    page = mount(watched, mu=1e9, sigma=-3, used=700, mode="nothing")
    found = told(page)
    assert found["mode"] == "likelihood"
    assert found["mu"] < 10
    assert found["sigma"] > 0
    assert found["used"] == 10


def test_probability_fixes_theta_and_moves_x(watched: Watched) -> None:
    page = mount(watched, mode="probability", mu=0.5, sigma=0.9, at=1.0, width=0.8)
    found = told(page)
    assert found["density"] == pytest.approx(norm.pdf(1.0, 0.5, 0.9), rel=1e-13)
    assert found["probability"] == pytest.approx(norm.cdf(1.4, 0.5, 0.9) - norm.cdf(0.6, 0.5, 0.9), rel=1e-13)
    panel = page.locator("#likelihood-probability")
    assert panel.locator("input[data-key=mu]").is_disabled()
    assert panel.locator("input[data-key=sigma]").is_disabled()
    drag(page, page.locator("[data-handle=at]"), 30)
    assert told(page)["at"] > 1.0
    drag(page, page.locator("[data-handle=width]"), 25)
    assert told(page)["width"] > 0.8
    assert told(page)["mu"] == 0.5


def test_narrowing_takes_the_probability_to_nothing_and_its_quotient_to_the_density(watched: Watched) -> None:
    page = mount(watched, mode="probability", mu=0.5, sigma=0.9, at=1.0, width=1.0)
    errors = []
    for _ in range(4):
        page.locator("[data-act=narrow]").click()
        found = told(page)
        errors.append(abs(found["ratio"] / found["density"] - 1))
    assert found["width"] == pytest.approx(1e-4, rel=0.5) or found["width"] > 1e-4  # the slider's end
    assert found["probability"] < 3e-4
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-7
    watched.assert_clean()


def test_a_density_above_one_is_said_to_be_no_mistake(watched: Watched) -> None:
    page = mount(watched, mode="probability", sigma=0.15)
    assert page.locator("[data-note=probability]").inner_text() == "above_one"
    page = mount(watched, mode="probability", sigma=2.0)
    assert page.locator("[data-note=probability]").inner_text() == "below_one"


def test_a_histogram_of_the_points_is_numpys(watched: Watched) -> None:
    page = mount(watched, MANY, mode="histogram", of=0, bin=0.4, at=0.7)
    found = told(page)
    inside = ((found["low"] <= MANY) & (found["high"] > MANY)).sum()
    assert found["low"] <= 0.7 < found["high"]
    assert found["high"] - found["low"] == pytest.approx(0.4)
    assert (found["count"], found["share"]) == (inside, pytest.approx(inside / 3000))
    assert found["share_per_width"] == pytest.approx(inside / 3000 / 0.4)
    assert found["curve"]["sigma"] == pytest.approx(MANY.std())
    whole = mount(watched, MANY, mode="histogram", of=0, bin=1e9)
    assert told(whole)["share"] == 1  # one bin holds all


def test_shares_sink_while_their_quotient_settles_on_the_density(watched: Watched) -> None:
    shares, quotients = [], []
    page = mount(watched, mode="histogram", of=100000, mu=0.0, sigma=1.0, at=0.3, bin=3.0)
    for width in (3.0, 0.3, 0.1):
        page.evaluate("(bin) => { settings.bin = bin; view.update(() => true, false); }", width)
        found = told(page)
        shares.append(found["share"])
        quotients.append(abs(found["share_per_width"] / found["density"] - 1))
        assert found["count"] == pytest.approx(found["expected"], abs=5 * math.sqrt(found["expected"]))
    assert shares[0] > 5 * shares[1] > 10 * shares[2]
    assert quotients[-1] < 0.1 < quotients[0]
    note = page.locator("[data-note=histogram]")
    assert note.inner_text() == "settled"
    page.evaluate("settings.of = 1000, settings.bin = 0.01, view.update(() => true, false)")
    assert note.inner_text() == "noise"


def test_the_axis_is_widened_around_x_and_no_further_than_it_goes(watched: Watched) -> None:
    page = mount(watched, MANY, mode="histogram", at=0.5, bin=0.1)
    page.locator("[data-act=zoom-in]").click()
    page.locator("[data-act=zoom-in]").click()
    assert told(page)["zoom"] == 4
    for _ in range(3):
        out = page.locator("[data-act=zoom-out]")
        if out.is_enabled():
            out.click()
    assert told(page)["zoom"] == 1
    drag(page, page.locator("[data-handle=bin-at]"), 50)
    assert told(page)["at"] > 0.5


@pytest.mark.parametrize("watched", [{"has_touch": True, "viewport": {"width": 360, "height": 740}}], indirect=True)
def test_a_tap_moves_theta_a_scroll_does_not_and_two_fingers_widen_the_axis(watched: Watched) -> None:
    page = mount(watched, MANY, mu=-1.0, sigma=3.0)
    canvas = page.locator("#likelihood-likelihood canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6
    touch("touchStart", (x, y))
    for step in range(1, 8):
        touch("touchMove", (x, y - 14 * step))
    touch("touchEnd")
    page.wait_for_timeout(200)
    assert told(page)["sigma"] == pytest.approx(3.0)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6)
    page.wait_for_function("view.json().sigma < 2.9")
    page.evaluate("settings.mode = 'histogram', view.update(() => true, false)")
    wide = page.locator("#likelihood-histogram canvas")
    wide.scroll_into_view_if_needed()
    page.wait_for_timeout(100)
    box = wide.bounding_box()
    assert box is not None
    left, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch("touchStart", (left - 20, y), (left + 20, y))
    for step in range(1, 6):
        touch("touchMove", (left - 20 - 10 * step, y), (left + 20 + 10 * step, y))
    touch("touchEnd")
    page.wait_for_function("view.json().zoom > 1.5")
    assert told(page)["zoom"] == pytest.approx(3.5, rel=0.3)
    watched.assert_clean()


def test_tabs_go_by_arrow_keys_and_say_where_they_are(watched: Watched) -> None:
    page = mount(watched)
    page.locator("#likelihood-tab-likelihood").press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "likelihood-tab-probability"
    assert page.locator("#likelihood-tab-probability").get_attribute("aria-selected") == "true"
    assert page.locator("#likelihood-probability").is_visible()
    assert page.locator("#likelihood-likelihood").is_hidden()
    assert page.evaluate("settings.mode") == "probability"


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.zeros((0, 1))])
def test_what_is_not_on_a_line_gets_a_sentence_and_a_choice(watched: Watched, points: NDArray[np.float64]) -> None:
    page = watched.empty()
    page.evaluate(MOUNT, [BASE, points.ravel().tolist(), points.shape[1], {}, False])
    assert page.get_by_text("not_a_line" if points.size else "no_points").is_visible()
    page.locator("[data-preset=ten]").click()
    assert page.evaluate("chosen") == [[{"data": "ten"}, False]]
    assert not page.locator(".likelihood canvas").first.is_visible()
    watched.assert_clean()


@pytest.mark.parametrize("points", [np.array([2.0]), np.full(5, 1e6), 1e6 + 1e-3 * TEN, 1e-6 * TEN, 1e8 * TEN])
def test_odd_clouds_are_drawn_without_complaint(watched: Watched, points: NDArray[np.float64]) -> None:
    page = mount(watched, points)
    for mode, reading in [("likelihood", "sum"), ("probability", "probability"), ("histogram", "share")]:
        page.evaluate(SHOW, mode)
        assert "NaN" not in page.locator(".likelihood").inner_text()
        assert "–" not in page.locator(f"[data-reading={reading}]").inner_text()
    watched.assert_clean()


@pytest.mark.parametrize(
    "watched", [{"viewport": {"width": width, "height": 800}} for width in (360, 800, 1920)], indirect=True
)
@pytest.mark.parametrize("dark", [False, True])
def test_every_mode_fits_and_becomes_a_picture(watched: Watched, dark: bool) -> None:
    page = mount(watched, MANY, dark=dark)
    for mode in ("likelihood", "probability", "histogram"):
        page.evaluate(SHOW, mode)
        assert watched.overflow() <= 0
        kind, size, width = page.evaluate(
            """async () => {
              const blob = await view.png();
              return [blob.type, blob.size, (await createImageBitmap(blob)).width];
            }"""
        )
        assert kind == "image/png"
        assert size > 4000
        assert width > 250
    watched.assert_clean()
