"""The bars of log p(x): the browser's mathematics against Python's, and the view under a hand, a finger and a keyboard."""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Locator, Page

from models import toy_bound
from models.toy_bound import Gaussian, Toy
from playground import text
from playground.components import BASE

# The view on a page of its own, with a small stage around it: settings, and a record of what was asked of the stage.
MOUNT = """async ([base, settings, text, dark]) => {
  const { boundView } = await import(`${base}/latents/bound_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  Object.assign(window, { settings, changes: [], badges: [], saved: null });
  const change = (patch, { quiet } = {}) => {
    Object.assign(settings, patch);
    changes.push([patch, Boolean(quiet)]);
    if (!quiet) view.settings(new Set(Object.keys(patch)));
  };
  window.outside = (patch) => { Object.assign(settings, patch); view.settings(new Set(Object.keys(patch))); };
  window.view = boundView(host, {
    text, words: {}, settings: () => ({ ...settings }), change, fail: (error) => { throw error; }, fine() {}, took() {},
    badge: (kind) => badges.push(kind), download: (name, blob) => (window.saved = [name, blob]),
  });
  view.show();
  while (!document.querySelector("[data-mark=evidence]")) await new Promise(requestAnimationFrame);
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
STILL = {"reduced_motion": "reduce"}


def mount(watched: Watched, *, dark: bool = False, **settings: float) -> Page:
    page = watched.empty()
    page.evaluate(MOUNT, [BASE, settings, text.page("latents")["stage"]["bound"], dark])
    return page


def told(page: Page) -> dict[str, Any]:
    return page.evaluate("view.json()")


def reading(page: Page, name: str) -> float:
    words = page.locator(f"[data-reading={name}]").text_content() or ""
    return float(words.replace("−", "-").replace("\u202f", ""))


def verdict(page: Page) -> str:
    return page.locator("[data-reading=verdict]").inner_text()


def drawn(page: Page) -> dict[str, Any]:
    """Left and right end of each bar and the place of the dashed line, in CSS pixels, once the next frame is there."""
    return page.evaluate(
        """async () => {
          for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
          const ends = (one) => [one.x.baseVal.value, one.x.baseVal.value + one.width.baseVal.value];
          const rects = [...document.querySelectorAll("[data-bar]")];
          const bars = Object.fromEntries(rects.map((one) => [one.dataset.bar, ends(one)]));
          const at = (mark) => document.querySelector(`[data-mark=${mark}]`).getBBox().x;
          return { ...bars, evidence: at("evidence"), elbo: at("elbo") };
        }"""
    )


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


def assert_right(found: dict[str, Any]) -> None:
    """The view's numbers are Python's for the settings that it says it has."""
    toy, q = Toy(found["theta"]), Gaussian(found["m"], found["s"])
    expected = toy_bound.bars(toy, found["x"], q)
    for key in ("reconstruction", "kl", "elbo", "gap", "evidence"):
        assert found[key] == pytest.approx(getattr(expected, key), rel=1e-9, abs=1e-11), key
    parts = toy_bound.split(toy, found["x"], q)
    assert found["approximation"] == pytest.approx(parts.approximation, abs=1e-9)
    assert found["own"] == pytest.approx(parts.amortisation, rel=1e-9, abs=1e-9)


# ---------------------------------------------------------------------------------------------------- the mathematics


def test_the_browsers_mathematics_is_pythons(watched: Watched) -> None:
    scenes = list(itertools.product((-1.5, -0.7, 0.0, 0.05, 0.8, 1.5), (-3.0, -0.4, 1.0, 4.0)))
    qs = list(itertools.product((-4.0, -0.5, 0.0, 1.3, 3.5), (0.05, 0.6, 2.0)))
    found = watched.empty().evaluate(
        """async ([base, scenes, qs]) => {
          const m = await import(`${base}/latents/bound_math.js`);
          return scenes.map(([theta, x]) => {
            const at = m.scene(theta, x);
            return { ...at, bars: qs.map(([mean, s]) => m.bars(at, { m: mean, s })), f: m.decode(theta, x) };
          });
        }""",
        [BASE, scenes, qs],
    )
    for (theta, x), scene in zip(scenes, found, strict=True):
        toy = Toy(theta)
        best, encoder = toy_bound.best(toy, x), toy_bound.train_encoder(toy)
        assert scene["f"] == pytest.approx(float(toy_bound.decode(toy, np.array(x))), rel=1e-12, abs=1e-12)
        assert scene["evidence"] == pytest.approx(toy_bound.log_evidence(toy, x), rel=1e-12)
        assert scene["best"] == {"m": pytest.approx(best.m, abs=1e-9), "s": pytest.approx(best.s, rel=1e-9)}
        assert scene["encoder"] == {"alpha": pytest.approx(encoder.alpha, abs=1e-9), "s": pytest.approx(encoder.s, rel=1e-9)}
        assert scene["encoded"]["m"] == pytest.approx(encoder(x).m, abs=1e-9)
        for (m, s), bars in zip(qs, scene["bars"], strict=True):
            assert_right({"theta": theta, "x": x, "m": m, "s": s, **bars})
            assert bars["reconstruction"] - bars["kl"] + bars["gap"] == pytest.approx(bars["evidence"], rel=1e-10, abs=1e-9)
            assert bars["gap"] > -1e-12


# ----------------------------------------------------------------------------------------------------------- the view


def test_it_opens_full_and_says_that_it_is_computed_now(watched: Watched) -> None:
    page = mount(watched)
    found = told(page)
    assert {key: found[key] for key in ("x", "theta", "m", "s")} == {"x": 1, "theta": 0.8, "m": -0.5, "s": 0.6}
    assert_right(found)
    assert page.evaluate("badges") == ["live"]
    for key in ("evidence", "reconstruction", "kl", "gap"):
        assert reading(page, key) == pytest.approx(found[key], abs=5e-4)
    assert "will stay" in verdict(page)
    watched.assert_clean()


def test_dragging_q_moves_three_bars_which_still_end_where_log_p_stands(watched: Watched) -> None:
    page = mount(watched, x=1.2, theta=0.9, m=-0.4, s=0.6)
    shown, before, line = reading(page, "evidence"), told(page), drawn(page)["evidence"]
    handle = page.locator("[data-handle=m]")
    handle.scroll_into_view_if_needed()
    x, y = middle(handle)
    page.mouse.move(x, y)
    page.mouse.down()
    seen = []
    for i in range(1, 7):
        page.mouse.move(x + 12 * i, y)
        bars, now = drawn(page), told(page)
        assert reading(page, "evidence") == shown
        assert bars["evidence"] == line
        assert bars["approximation"][1] == pytest.approx(line, abs=0.01)  # the last bar ends at the dashed line
        assert bars["own"][1] == pytest.approx(bars["approximation"][0], abs=0.01)
        assert bars["own"][0] == pytest.approx(bars["kl"][0], abs=0.01) == pytest.approx(bars["elbo"], abs=0.01)
        assert bars["kl"][1] == pytest.approx(bars["reconstruction"][0], abs=0.01)
        terms = [reading(page, key) for key in ("reconstruction", "kl", "gap")]
        assert terms[0] - terms[1] + terms[2] == pytest.approx(reading(page, "evidence"), abs=0.0021)
        assert "Moved q once" in verdict(page)  # while the hand still moves
        assert_right(now)
        seen.append(terms)
    page.mouse.up()
    assert all(len({terms[k] for terms in seen}) > 4 for k in range(3))
    after = told(page)
    assert after["m"] > before["m"] + 0.5
    assert (after["s"], after["evidence"]) == (before["s"], before["evidence"])
    watched.assert_clean()


def test_only_the_end_of_a_drag_reaches_the_stage_and_a_touch_that_moves_nothing_does_not(watched: Watched) -> None:
    page = mount(watched)
    page.locator("[data-handle=m]").click()
    assert page.evaluate("changes") == []
    drag(page, page.locator("[data-handle=s]"), 30)
    found = told(page)
    assert found["s"] > 0.8
    assert page.evaluate("changes") == [[{key: found[key] for key in ("x", "theta", "m", "s")}, False]]
    assert page.evaluate("settings.s") == found["s"]
    assert found["moves"] == 1


def test_the_hump_is_taken_where_the_hand_is(watched: Watched) -> None:
    page = mount(watched, m=-1.0, s=0.8)
    canvas = page.locator(".bound-density canvas")
    canvas.scroll_into_view_if_needed()
    (x, _), box = middle(page.locator("[data-handle=m]")), canvas.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] - 60  # within the hump, beside its handle
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=4)
    page.mouse.up()
    assert middle(page.locator("[data-handle=m]"))[0] == pytest.approx(x + 50, abs=1.5)
    page.mouse.click(x + 180, y)  # far from the hump: it comes
    drawn(page)
    assert middle(page.locator("[data-handle=m]"))[0] == pytest.approx(x + 180, abs=1.5)
    assert told(page)["moves"] == 2


def test_moves_are_counted_and_another_theta_or_x_says_what_changed(watched: Watched) -> None:
    page = mount(watched)
    handle = page.locator("[data-handle=m]")
    handle.focus()
    for _ in range(14):
        handle.press("ArrowRight")
    assert "Moved q 14 times: log p(x) stayed at −2.050 nats" in verdict(page)
    assert told(page)["m"] == pytest.approx(0.2)
    page.locator("[data-key=theta]").focus()
    page.keyboard.press("ArrowRight")
    expected = toy_bound.log_evidence(Toy(0.81), 1.0)
    assert f"θ moved from 0.80 to 0.81: log p(x) changed from −2.050 to {expected:.3f}".replace("-", "−") in verdict(page)
    page.locator("[data-handle=x]").focus()
    page.keyboard.press("Shift+ArrowUp")
    assert told(page)["x"] == pytest.approx(1.5)
    assert "x moved from 1.00 to 1.50" in verdict(page)
    handle.press("ArrowLeft")
    assert "Moved q once" in verdict(page)
    assert verdict(page) in page.locator("[role=status]").inner_text()
    assert_right(told(page))


def test_the_best_q_is_pythons_and_leaves_the_approximation_alone(watched: Watched) -> None:
    page = mount(watched, x=1.5, theta=1.0)
    page.locator("[data-act=best]").click()
    page.wait_for_function("view.json().at === 'best'")
    found, best = told(page), toy_bound.best(Toy(1.0), 1.5)
    assert (found["m"], found["s"]) == (pytest.approx(best.m, abs=6e-5), pytest.approx(best.s, abs=6e-5))
    assert found["own"] == pytest.approx(0, abs=1e-6)
    assert page.locator("[data-act=best]").get_attribute("aria-pressed") == "true"
    assert f"{found['approximation']:.3f}" in page.locator("[data-reading=parts]").inner_text()
    assert found["moves"] == 1


def test_q_glides_to_its_place_while_log_p_stays(watched: Watched) -> None:
    page = mount(watched, m=-3.0, s=0.3)
    seen = page.evaluate(
        """async () => {
          const seen = [];
          document.querySelector("[data-act=prior]").click();
          while (view.json().at !== "prior" && seen.length < 300) {
            const { m, evidence, reconstruction, kl, gap } = view.json();
            seen.push([m, evidence, reconstruction - kl + gap]);
            await new Promise(requestAnimationFrame);
          }
          return seen;
        }"""
    )
    assert len({m for m, _, _ in seen}) > 2
    assert len({evidence for _, evidence, _ in seen}) == 1
    assert all(total == pytest.approx(evidence, abs=1e-9) for _, evidence, total in seen)


@pytest.mark.parametrize("watched", [STILL], indirect=True)
def test_without_motion_each_place_is_reached_at_once_and_the_encoders_gap_is_split(watched: Watched) -> None:
    page = mount(watched, x=1.5, theta=1.0)
    encoder = toy_bound.train_encoder(Toy(1.0))
    found = page.evaluate("document.querySelector('[data-act=encoder]').click(), view.json()")
    assert (found["m"], found["s"]) == (pytest.approx(1.5 * encoder.alpha, abs=6e-5), pytest.approx(encoder.s, abs=6e-5))
    parts = toy_bound.split(Toy(1.0), 1.5, encoder(1.5))
    words = page.locator("[data-reading=parts]").inner_text()
    numbers = [float(n) for n in re.findall(r"\d+\.\d+", words)]
    assert numbers == [pytest.approx(parts.amortisation, abs=2e-3), pytest.approx(parts.approximation, abs=1e-3)]
    page.wait_for_function("document.querySelector('svg.bound-bars').textContent.includes('amortisation')")
    found = page.evaluate("document.querySelector('[data-act=prior]').click(), view.json()")
    assert (found["m"], found["s"], found["kl"]) == (0, 1, 0)
    page.wait_for_function("!document.querySelector('svg.bound-bars').textContent.includes('amortisation')")


@pytest.mark.parametrize("watched", [STILL], indirect=True)
def test_where_q_was_put_it_stays_as_x_and_theta_move_until_a_hand_takes_it(watched: Watched) -> None:
    page = mount(watched)
    page.locator("[data-act=best]").click()
    page.evaluate("outside({ theta: 0.3, x: -1 })")
    found, best = told(page), toy_bound.best(Toy(0.3), -1.0)
    assert (found["at"], found["m"], found["s"]) == ("best", pytest.approx(best.m, abs=6e-5), pytest.approx(best.s, abs=6e-5))
    assert page.evaluate("settings.m") == found["m"]
    assert page.evaluate("changes.at(-1)[1]") is True
    page.locator("[data-key=m]").focus()
    page.keyboard.press("End")
    assert told(page)["m"] == 4
    page.evaluate("outside({ x: 0.5 })")
    assert (told(page)["m"], told(page)["at"]) == (4, None)
    page.evaluate("outside({ x: 1, theta: 0, m: 0.25, s: 1.5 })")
    found = told(page)
    assert (found["m"], found["s"], found["theta"]) == (0.25, 1.5, 0)
    assert_right(found)


def test_settings_beyond_their_limits_or_not_numbers_are_brought_within(watched: Watched) -> None:
    page = mount(watched, x=99, theta=-7, m=math.inf, s=0)  # type: ignore[arg-type]
    found = told(page)
    assert (found["x"], found["theta"], found["s"]) == (4, -1.5, 0.05)
    assert -4 <= found["m"] <= 4
    watched.assert_clean()


def test_bars_that_leave_the_axis_say_so(watched: Watched) -> None:
    page = mount(watched, x=4, theta=-1.5, m=3, s=2)
    bars = drawn(page)
    assert told(page)["reconstruction"] < -1000
    assert bars["reconstruction"][0] == bars["elbo"] == pytest.approx(2, abs=2)
    assert page.locator("[data-beyond]").count() == 3
    assert bars["approximation"][1] == pytest.approx(bars["evidence"], abs=0.01)


def test_draws_move_with_q_and_another_epsilon_makes_others(watched: Watched) -> None:
    page = mount(watched)
    words = page.locator("[data-reading=draws]")
    first = words.inner_text()
    page.locator("[data-act=redraw]").click()
    assert words.inner_text() != first
    assert told(page)["moves"] == 0
    estimates = []
    for _ in range(40):
        page.evaluate("document.querySelector('[data-act=redraw]').click()")
        estimates.append(float(words.inner_text().split("≈ ")[1].split(" ±")[0].replace("−", "-")))
    error = np.std(estimates, ddof=1) / math.sqrt(40)
    assert abs(np.mean(estimates) - told(page)["reconstruction"]) < 4 * error


def test_handles_of_the_narrowest_q_stay_within_the_picture(watched: Watched) -> None:
    page = mount(watched, x=1.5, theta=-1.5, m=0, s=0.05)
    drawn(page)
    canvas = page.locator(".bound-density canvas").bounding_box()
    assert canvas is not None
    for handle in ("m", "s"):
        x, y = middle(page.locator(f"[data-handle={handle}]"))
        assert canvas["x"] < x < canvas["x"] + canvas["width"]
        assert canvas["y"] < y < canvas["y"] + canvas["height"]


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_drags_q_on_a_phone_and_nothing_overflows(watched: Watched) -> None:
    page = mount(watched, x=1.5, theta=1.0, dark=True)
    assert watched.overflow() == 0
    before, session = told(page), page.context.new_cdp_session(page)
    handle = page.locator("[data-handle=m]")
    handle.scroll_into_view_if_needed()
    x, y = middle(handle)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for i in range(1, 6):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + 10 * i, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after = told(page)
    assert after["m"] > before["m"] + 0.5
    assert (after["evidence"], after["moves"]) == (before["evidence"], 1)
    for control in page.locator(".lt-view-bound button, .lt-view-bound input, .lt-view-bound [role=slider]").all():
        box = control.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360.5
    assert watched.overflow() == 0
    watched.assert_clean()


def test_everything_can_be_taken_away(watched: Watched) -> None:
    page = mount(watched)
    found = json.loads(page.evaluate("JSON.stringify(view.json())"))
    assert found["evidence"] == pytest.approx(toy_bound.log_evidence(Toy(0.8), 1.0), rel=1e-12)
    size, name, kind = page.evaluate(
        """async () => {
          await view.png("bound");
          const image = await createImageBitmap(saved[1]);
          return [[image.width, image.height], saved[0], saved[1].type];
        }"""
    )
    assert (name, kind) == ("bound.png", "image/png")
    assert size[0] > 700
    assert size[1] > 450


def test_screen_readers_are_told_each_handle_and_the_whole(watched: Watched) -> None:
    page = mount(watched)
    for handle, name, value in (("m", "Mean", "−0.50"), ("s", "Deviation", "0.60"), ("x", "Observation", "1.00")):
        knob = page.locator(f"[data-handle={handle}]")
        page.wait_for_function(f"document.querySelector('[data-handle={handle}]').getAttribute('aria-valuetext') === '{value}'")
        assert name in (knob.get_attribute("aria-label") or "")
    said = page.locator("svg.bound-bars").get_attribute("aria-label") or ""
    assert "log p(x) −2.050" in said
    assert "gap 2.338" in said
