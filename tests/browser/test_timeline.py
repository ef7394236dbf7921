"""The timeline, driven by a real mouse, finger and keyboard."""

from __future__ import annotations

import math
from typing import Any

import pytest
from conftest import Watched
from playwright.sync_api import Locator, Page, expect

from playground.components import BASE

pytestmark = pytest.mark.timing
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
TEXT = {
    "label": "Timeline",
    "play": "Play",
    "pause": "Pause",
    "back": "Back one iteration",
    "back_half": "Back half an iteration",
    "on_half": "On half an iteration",
    "on": "On one iteration",
    "scrub": "Step",
    "speed": "Speed",
    "rate": "{n} steps/s",
    "at_once": "at once",
}
ROWS = {"by": 28, "back": "One row back", "on": "One row on", "sign": "row"}
MOUNT = """async ([base, text, set]) => {
  const { timeline } = await import(`${base}/timeline/timeline.js`);
  document.querySelector('#try')?.remove();
  const stage = document.createElement('div');
  stage.id = 'try';
  stage.className = 'gmp gmp-card';
  stage.tabIndex = 0;
  stage.innerHTML = `<div id="picture" style="height:${set.height ?? 300}px;background:var(--hover)"></div>
    <input id="words" aria-label="words"><button id="other" type="button">Other</button>
    <canvas id="pad" role="application" tabindex="0" width="20" height="20"></canvas>
    <div id="bar"></div><p id="below">Under the bar.</p>`;
  document.querySelector('.gmp-page').prepend(stage);
  const step = (f) => f === 0 ? 'Start' : f % 2 ? 'E step' : 'M step';
  const whole = Math.floor((set.frames - 1) / 2);
  const label = (f) => set.halves ? `${step(f)} · ${Math.ceil(f / 2)} of ${whole}` : `${f} / ${set.frames - 1}`;
  window.seen = [];
  window.paces = [];
  const change = (f) => window.seen.push([f, performance.now()]);
  const pace = (n) => window.paces.push(n);
  window.line = timeline(stage.querySelector('#bar'), { text, change, pace, ...set.options });
  window.line.keys(stage);
  window.line.set({ frames: set.frames, halves: set.halves, label });
}"""


def mounted(watched: Watched, frames: int = 24, halves: bool = False, **more: Any) -> Page:
    page = watched.empty()
    page.locator(".gmp-page h1").wait_for(timeout=15000)
    page.evaluate(MOUNT, [BASE, TEXT, {"frames": frames, "halves": halves, **more}])
    return page


def bar(page: Page) -> Locator:
    return page.get_by_role("group", name="Timeline")


def button(page: Page, name: str) -> Locator:
    return bar(page).get_by_role("button", name=name, exact=True)


def press(page: Page, name: str) -> None:
    """A click that does not wait for the button to have a use: one without stays in its place, and does nothing."""
    button(page, name).click(force=True)


def scrub(page: Page) -> Locator:
    return bar(page).get_by_role("slider")


def frame(page: Page) -> int:
    return page.evaluate("line.frame()")


def seen(page: Page) -> list[int]:
    return [f for f, _ in page.evaluate("seen")]


def stopped(page: Page) -> None:
    expect(bar(page)).to_have_attribute("data-playing", "false")


@pytest.mark.parametrize(("speed", "frames"), [(2, 5), (5, 11), (30, 61)])
def test_play_runs_at_the_chosen_speed_and_stops_at_the_end(watched: Watched, speed: int, frames: int) -> None:
    page = mounted(watched, frames)
    bar(page).get_by_label("Speed").select_option(str(speed))
    button(page, "Play").click()
    expect(button(page, "Pause")).to_be_visible()
    stopped(page)
    at = dict(page.evaluate("seen"))
    assert list(at) == sorted(set(at))  # never back, never twice
    assert max(at) == frames - 1 == frame(page)
    first = min(at)
    assert (at[frames - 1] - at[first]) / 1000 == pytest.approx((frames - 1 - first) / speed, rel=0.2, abs=0.15)
    expect(button(page, "Play")).to_be_focused()  # the focus stays where it was pressed
    page.wait_for_timeout(300)
    assert frame(page) == frames - 1
    watched.assert_clean()


def test_a_slow_drawing_skips_frames_and_keeps_the_speed(watched: Watched) -> None:
    page = mounted(watched, 31)
    took = page.evaluate(
        """async ([base, text]) => {
          const { timeline } = await import(`${base}/timeline/timeline.js`);
          const seen = [];
          const host = document.createElement('div');
          document.querySelector('#try').append(host);
          const busy = (ms) => { const end = performance.now() + ms; while (performance.now() < end); };
          const line = timeline(host, { text, change: (f) => { seen.push(f); busy(100); } });
          line.set({ frames: 31, label: String });
          host.querySelector('select').value = 30;
          const began = performance.now();
          line.play();
          while (line.playing()) await new Promise((r) => setTimeout(r, 10));
          return [performance.now() - began, seen];
        }""",
        [BASE, TEXT],
    )
    assert 900 < took[0] < 1600
    assert took[1][-1] == 30
    assert len(took[1]) < 16


def test_playing_at_the_end_begins_again(watched: Watched) -> None:
    page = mounted(watched, 12)
    page.evaluate("line.go(11, { quiet: true })")
    button(page, "Play").click()
    page.wait_for_function("line.frame() >= 2")
    assert seen(page)[:3] == [0, 1, 2]
    button(page, "Pause").click()
    held = frame(page)
    page.wait_for_timeout(500)
    assert frame(page) == held
    button(page, "Play").click()  # in the middle it goes on
    page.wait_for_function("held => line.frame() > held", arg=held)
    assert seen(page).count(0) == 1


def test_play_from_a_frame_and_the_speed_changes_while_it_runs(watched: Watched) -> None:
    page = mounted(watched, 500)
    page.evaluate("line.play({ from: 100 })")
    assert seen(page) == [100]
    page.wait_for_function("line.frame() > 101")
    slow = page.evaluate(
        "(async () => { const f = line.frame(); await new Promise(r => setTimeout(r, 1000)); return line.frame() - f; })()"
    )
    bar(page).get_by_label("Speed").select_option("30")
    fast = page.evaluate(
        "(async () => { const f = line.frame(); await new Promise(r => setTimeout(r, 1000)); return line.frame() - f; })()"
    )
    assert 4 <= slow <= 6
    assert 24 <= fast <= 33
    assert page.evaluate("line.playing()")
    page.evaluate("line.pause()")
    assert not page.evaluate("line.playing()")


def test_steps_without_halves(watched: Watched) -> None:
    page = mounted(watched, 4)
    for name in ("Back half an iteration", "On half an iteration"):
        expect(button(page, name)).to_have_count(0)
    for expected in (1, 2, 3, 3):
        press(page, "On one iteration")
        assert frame(page) == expected
    expect(button(page, "On one iteration")).to_have_attribute("aria-disabled", "true")
    expect(button(page, "On one iteration")).to_be_focused()
    for expected in (2, 1, 0, 0):
        press(page, "Back one iteration")
        assert frame(page) == expected
    assert seen(page) == [1, 2, 3, 2, 1, 0]


def test_steps_with_halves_land_on_whole_iterations(watched: Watched) -> None:
    page = mounted(watched, 8, True)  # the last iteration is only half done: frame 7
    steps = [("On half", 1), ("On one", 2), ("On one", 4), ("On half", 5), ("Back one", 4), ("Back half", 3), ("Back one", 2)]
    steps += [("On one", 4), ("On one", 6), ("On one", 7), ("On half", 7), ("Back one", 6), ("Back one", 4), ("Back one", 2)]
    steps += [("Back half", 1), ("Back one", 0), ("Back one", 0), ("Back half", 0)]
    for name, expected in steps:
        press(page, f"{name} an iteration" if "half" in name else f"{name} iteration")
        assert (name, frame(page)) == (name, expected)
    expect(scrub(page)).to_have_attribute("aria-valuetext", "Start · 0 of 3")


def test_steps_are_those_of_the_rule(watched: Watched) -> None:
    page = watched.empty()
    found = page.evaluate(
        """async (base) => {
          const { stepped } = await import(`${base}/timeline/timeline.js`);
          const found = [];
          for (const last of [5, 6])
            for (let f = 0; f <= last; f++)
              for (const by of [-2, -1, 1, 2]) found.push([f, by, last, stepped(f, by, last)]);
          return found;
        }""",
        BASE,
    )
    assert len(found) == 13 * 4
    for f, by, last, to in found:
        if abs(by) == 1:
            expected = min(max(f + by, 0), last)
        elif by == 2:
            expected = min((n for n in range(f + 1, last + 1) if n % 2 == 0), default=last)
        else:
            expected = max((n for n in range(f) if n % 2 == 0), default=0)
        assert to == expected, (f, by, last)


def test_leaps_are_to_the_next_start_of_a_row(watched: Watched) -> None:
    page = mounted(watched, 101, options={"leap": ROWS})
    found = page.evaluate(
        """async (base) => {
          const { leapt } = await import(`${base}/timeline/timeline.js`);
          const found = [];
          for (const [by, last] of [[5, 25], [5, 23], [1, 4], [40, 23]])
            for (let f = 0; f <= last; f++)
              for (const to of [-1, 1]) found.push([f, by, to, last, leapt(f, by, to, last)]);
          return found;
        }""",
        BASE,
    )
    assert len(found) == 2 * (26 + 24 + 5 + 24)
    for f, by, towards, last, to in found:
        starts = [n for n in range(last + 1) if n % by == 0]
        after, before = [n for n in starts if n > f], [n for n in starts if n < f]
        expected = min(after, default=last) if towards > 0 else max(before, default=0)
        assert to == expected, (f, by, towards, last)
    # The buttons, and Shift with the arrows.
    for name, expected in [("on", 28), ("on", 56), ("back", 28), ("on", 56), ("on", 84), ("on", 100), ("back", 84)]:
        press(page, f"One row {name}")
        assert frame(page) == expected
    page.locator("#try").focus()
    for key, expected in [
        ("ArrowRight", 85),
        ("Shift+ArrowLeft", 84),
        ("Shift+ArrowLeft", 56),
        ("Shift+ArrowRight", 84),
        ("Shift+ArrowRight", 100),
    ]:
        page.keyboard.press(key)
        assert (key, frame(page)) == (key, expected)
    assert seen(page)[-5:] == [85, 84, 56, 84, 100]
    expect(button(page, "One row on")).to_have_attribute("aria-disabled", "true")
    page.evaluate("line.set({ leap: { by: 16 } })")  # another image, with shorter rows
    press(page, "One row back")
    assert frame(page) == 96
    expect(button(page, "One row back")).to_have_text("−row")
    # Where iterations have halves, Shift keeps to iterations.
    page.evaluate("line.set({ frames: 101, halves: true }); line.go(11)")
    page.locator("#try").focus()
    page.keyboard.press("Shift+ArrowRight")
    assert frame(page) == 12
    watched.assert_clean()


def test_playing_waits_for_frames_that_are_still_to_come(watched: Watched) -> None:
    page = mounted(watched, 1, options={"speeds": [10, 30], "speed": 30})
    page.evaluate("line.set({ more: true })")
    button(page, "Play").click()  # with nothing to show yet
    expect(button(page, "Pause")).to_be_visible()
    page.evaluate("line.set({ frames: 5 })")
    page.wait_for_function("line.frame() === 4")
    page.wait_for_timeout(500)  # time that would earn 15 frames
    expect(button(page, "Pause")).to_be_visible()
    assert page.evaluate("line.playing()")
    page.evaluate("() => { line.setSpeed(10); line.set({ frames: 10 }); window.came = performance.now(); }")
    page.wait_for_function("line.frame() === 9")
    at = dict(page.evaluate("seen"))
    assert list(at) == sorted(at)
    assert at[9] - page.evaluate("came") > 300  # one at once, and four at the speed of play: 0.4 s
    page.evaluate("line.set({ more: false })")
    stopped(page)
    assert frame(page) == 9
    # Stopped by hand at the last frame, it goes on waiting from there; only what is complete begins again.
    page.evaluate("line.set({ more: true }); line.play()")
    assert (frame(page), page.evaluate("line.playing()")) == (9, True)
    button(page, "Pause").click()
    page.evaluate("line.set({ frames: 12 })")
    page.wait_for_timeout(200)
    assert (frame(page), page.evaluate("line.playing()")) == (9, False)
    page.evaluate("line.set({ more: false }); line.play()")
    page.wait_for_function("line.frame() === 11")
    stopped(page)
    assert seen(page) == sorted(set(seen(page)))  # never back, never twice
    assert 0 not in seen(page)
    watched.assert_clean()


def test_at_once_is_a_speed_and_the_page_hears_of_it(watched: Watched) -> None:
    options = {"speeds": [60, 300, math.inf], "speed": 60}
    page = mounted(watched, 785, options=options)
    assert page.evaluate("[line.speed(), paces.length]") == [60, 0]
    choice = bar(page).get_by_label("Speed")
    assert choice.locator("option").all_text_contents() == ["60 steps/s", "300 steps/s", "at once"]
    choice.select_option("at once")
    assert page.evaluate("[line.speed(), ...paces]") == [math.inf, math.inf]
    assert page.locator(".timeline-speed").get_attribute("data-short") == "∞"
    button(page, "Play").click()
    stopped(page)
    assert seen(page) == [784]  # no frame between
    button(page, "Play").click()
    stopped(page)
    page.wait_for_function("seen.length === 3")
    assert seen(page) == [784, 0, 784]
    page.evaluate("line.set({ frames: 900, more: true }); line.play()")
    page.wait_for_function("line.frame() === 899")
    page.evaluate("line.set({ frames: 1000 })")
    page.wait_for_function("line.frame() === 999")
    assert page.evaluate("line.playing()")
    page.evaluate("line.set({ more: false }); line.setSpeed(300)")
    stopped(page)
    assert page.evaluate("[line.speed(), paces.length]") == [300, 1]  # the page knows what it says itself
    assert page.locator(".timeline-speed").get_attribute("data-short") == "300/s"
    message = page.evaluate("(() => { try { line.setSpeed(7); } catch (e) { return e.message; } })()")
    assert message == "The speed is 7: this timeline has 60, 300, Infinity."
    watched.assert_clean()


def test_scrubbing_with_the_keyboard_and_what_is_said(watched: Watched) -> None:
    page = mounted(watched, 24, True)
    scrub(page).focus()
    expect(scrub(page)).to_have_attribute("aria-valuetext", "Start · 0 of 11")
    page.keyboard.press("ArrowRight")
    expect(scrub(page)).to_have_attribute("aria-valuetext", "E step · 1 of 11")
    for key, expected in [
        ("Shift+ArrowRight", 2),
        ("Shift+ArrowRight", 4),
        ("ArrowLeft", 3),
        ("Shift+ArrowLeft", 2),
        ("End", 23),
        ("Home", 0),
    ]:
        page.keyboard.press(key)
        assert (key, frame(page)) == (key, expected)
        assert scrub(page).input_value() == str(expected)
    page.keyboard.press("PageUp")  # the browser's own
    assert frame(page) > 1
    assert seen(page) == [1, 2, 4, 3, 2, 23, 0, frame(page)]
    page.keyboard.press(" ")
    expect(bar(page)).to_have_attribute("data-playing", "true")
    page.keyboard.press(" ")
    stopped(page)


def test_scrubbing_with_the_mouse_takes_over_from_play(watched: Watched) -> None:
    page = mounted(watched, 101)
    button(page, "Play").click()
    page.wait_for_function("line.frame() >= 1")
    box = scrub(page).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    page.mouse.down()
    stopped(page)
    assert frame(page) == pytest.approx(50, abs=2)
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    assert frame(page) == pytest.approx(75, abs=3)
    assert len(seen(page)) > 5  # each place on the way is shown
    page.wait_for_timeout(400)
    assert frame(page) == pytest.approx(75, abs=3)


def test_keys_work_on_the_stage_and_leave_others_their_own(watched: Watched) -> None:
    page = mounted(watched, 24, True)
    page.locator("#try").focus()
    top = page.evaluate("scrollY")
    page.keyboard.press(" ")
    expect(bar(page)).to_have_attribute("data-playing", "true")
    page.keyboard.press(" ")
    stopped(page)
    page.evaluate("line.go(4)")
    for key, expected in [
        ("ArrowRight", 5),
        ("Shift+ArrowRight", 6),
        ("Shift+ArrowLeft", 4),
        ("ArrowLeft", 3),
        ("End", 23),
        ("Home", 0),
    ]:
        page.keyboard.press(key)
        assert (key, frame(page)) == (key, expected)
    page.keyboard.press("Control+End")
    assert frame(page) == 0
    page.evaluate("scrollTo(0, 0)")
    assert page.evaluate("scrollY") <= top  # Space did not scroll
    # A text field types, another button is pressed, a picture with keys of its own keeps them.
    page.locator("#words").click()
    page.keyboard.type("a b")
    page.keyboard.press("Home")
    assert page.locator("#words").input_value() == "a b"
    page.evaluate("() => { window.presses = 0; document.querySelector('#other').onclick = () => window.presses++; }")
    page.locator("#other").focus()
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("presses") == 1
    page.locator("#pad").focus()
    for key in (" ", "ArrowRight", "End"):
        page.keyboard.press(key)
    bar(page).get_by_label("Speed").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    assert frame(page) == 0
    assert not page.evaluate("line.playing()")


def test_one_press_is_one_step_where_bars_keys_and_the_stages_meet(watched: Watched) -> None:
    page = mounted(watched, 24)
    button(page, "On one iteration").focus()
    page.keyboard.press("Enter")
    page.keyboard.press(" ")
    assert seen(page) == [1, 2]
    page.keyboard.press("ArrowRight")  # the bar lies within the stage: both listen
    assert seen(page) == [1, 2, 3]
    button(page, "Play").focus()
    page.keyboard.press(" ")
    assert page.evaluate("line.playing()")
    page.keyboard.press(" ")
    assert not page.evaluate("line.playing()")
    watched.assert_clean()


def test_what_is_read_aloud(watched: Watched) -> None:
    page = mounted(watched, 40)
    said = bar(page).get_by_role("status")
    expect(said).to_have_attribute("aria-live", "polite")
    page.locator("#try").focus()
    page.keyboard.press(" ")
    expect(said).to_have_attribute("aria-live", "off")
    page.keyboard.press(" ")
    expect(said).to_have_attribute("aria-live", "polite")
    expect(said).to_have_text(f"{frame(page)} / 39")
    scrub(page).focus()  # the range reads its own value
    expect(said).to_have_attribute("aria-live", "off")
    page.locator("#try").focus()
    expect(said).to_have_attribute("aria-live", "polite")
    names = (
        bar(page).locator("button:visible, input, select").evaluate_all("all => all.map((e) => e.getAttribute('aria-label'))")
    )
    assert names == ["Play", "Back one iteration", "On one iteration", "Step", "Speed"]


def test_a_shorter_run_shows_its_last_frame(watched: Watched) -> None:
    page = mounted(watched, 50)
    page.evaluate("line.go(40)")
    page.evaluate("line.set({ frames: 10, halves: false, label: (f) => `at ${f}` })")
    assert frame(page) == 9 == page.evaluate("line.last()")
    assert seen(page) == [40, 9]
    expect(bar(page).get_by_role("status")).to_have_text("at 9")
    assert scrub(page).get_attribute("max") == "9"
    page.evaluate("line.play({ from: 3 })")
    page.evaluate("line.set({ frames: 2 })")  # while it plays
    stopped(page)
    assert frame(page) == 1
    page.evaluate("line.set({ frames: 1 })")
    press(page, "Play")
    assert (frame(page), page.evaluate("line.playing()")) == (0, False)
    page.evaluate("line.set({ frames: 5 })")  # and a longer one goes on from there
    page.evaluate("line.go(99); line.go(-3, { quiet: true }); line.go(NaN)")
    assert seen(page)[-1] == 4
    assert frame(page) == 0
    for bad in ("0", "2.5", "NaN"):
        message = page.evaluate(f"(() => {{ try {{ line.set({{ frames: {bad} }}); }} catch (e) {{ return e.message; }} }})()")
        assert bad in message
        assert "at least 1" in message


HIDDEN = """async (ms) => {
  const ask = window.requestAnimationFrame;
  const held = [];
  window.requestAnimationFrame = (work) => held.push(work);
  await new Promise((r) => setTimeout(r, ms));
  window.requestAnimationFrame = ask;
  held.forEach((work) => ask(work));
}"""  # what a hidden tab does: frames of the screen do not come, and then they do; a headless page is never hidden itself
STUCK = "(ms) => { const end = performance.now() + ms; while (performance.now() < end); }"


@pytest.mark.parametrize("standstill", [HIDDEN, STUCK])
def test_a_page_that_stood_still_goes_on_where_it_was(watched: Watched, standstill: str) -> None:
    page = mounted(watched, 1000)
    bar(page).get_by_label("Speed").select_option("30")
    button(page, "Play").click()
    page.wait_for_function("line.frame() >= 5")
    before = frame(page)
    page.evaluate(standstill, 3000)
    after = frame(page)
    page.wait_for_function("f => line.frame() > f", arg=after)
    assert frame(page) - before < 40  # three seconds would be 90
    assert page.evaluate("line.playing()")


def test_nothing_is_left_of_a_destroyed_one(watched: Watched) -> None:
    page = watched.empty()
    page.locator(".gmp-page h1").wait_for(timeout=15000)
    page.evaluate(
        """() => {
          const [ask, drop] = [requestAnimationFrame.bind(window), cancelAnimationFrame.bind(window)];
          window.open_ = new Set(); // what the timeline asked for and has not had
          window.requestAnimationFrame = (work) => {
            const id = ask((now) => { open_.delete(id); work(now); });
            if (new Error().stack.includes('/timeline.js')) open_.add(id);
            return id;
          };
          window.cancelAnimationFrame = (id) => { open_.delete(id); drop(id); };
          for (const name of ['setInterval', 'setTimeout']) {
            const start = window[name].bind(window);
            window[name] = (...rest) => {
              if (new Error().stack.includes('/timeline.js')) open_.add(name);
              return start(...rest);
            };
          }
        }"""
    )
    page.evaluate(MOUNT, [BASE, TEXT, {"frames": 50, "halves": True}])
    page.evaluate("line.play()")
    page.wait_for_function("line.frame() > 1")
    assert page.evaluate("open_.size") >= 1  # the count sees what plays
    count = len(seen(page))
    page.evaluate("line.destroy()")
    page.locator("#try").focus()
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.evaluate("line.play()")
    page.wait_for_timeout(500)
    assert page.evaluate("open_.size") == 0
    assert len(seen(page)) == count
    assert (
        page.evaluate("document.querySelector('#bar').childElementCount + document.querySelector('#bar').attributes.length")
        <= 2
    )
    watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE, {"viewport": {"width": 900, "height": 700}}], indirect=True)
@pytest.mark.parametrize("halves", [True, False])
def test_on_a_phone_it_fits_and_stays_at_the_bottom(watched: Watched, halves: bool) -> None:
    page = mounted(watched, 999, halves, height=1200)
    assert watched.overflow() == 0
    screen = page.viewport_size
    for scroll in (0, 100, 400):
        page.evaluate("y => scrollTo(0, y)", scroll)
        page.wait_for_timeout(100)
        box = bar(page).bounding_box()
        assert box["y"] + box["height"] == pytest.approx(screen["height"], abs=1.5)
        assert box["height"] < 125
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= screen["width"]
    # It stands above what scrolls under it.
    box = bar(page).bounding_box()
    inside = page.evaluate(
        "([x, y]) => Boolean(document.elementFromPoint(x, y).closest('.timeline'))", [box["x"] + 6, box["y"] + 6]
    )
    assert inside
    # At the end of the stage it lies in its own place, and covers nothing.
    page.locator("#below").scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#below').scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(100)
    box, below, above = bar(page).bounding_box(), page.locator("#below").bounding_box(), page.locator("#pad").bounding_box()
    assert above["y"] + above["height"] <= box["y"] + 1
    assert box["y"] + box["height"] <= below["y"] + 1


@pytest.mark.parametrize("watched", [PHONE, {"viewport": {"width": 360, "height": 640}}, {}], indirect=True)
@pytest.mark.parametrize("halves", [True, False])
def test_nothing_overlaps_and_nothing_is_cut(watched: Watched, halves: bool) -> None:
    page = mounted(watched, 4001, halves)
    page.evaluate("line.go(3999)")
    assert_all_fits(page, 8 if halves else 6)


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_rows_fit_on_a_phone(watched: Watched) -> None:
    options = {"leap": ROWS, "speeds": [60, math.inf], "speed": math.inf}
    page = mounted(watched, 4001, options=options)
    page.evaluate("line.go(3999)")
    assert_all_fits(page, 8)
    assert watched.overflow() == 0
    for name in ("One row back", "One row on"):
        assert button(page, name).evaluate("e => e.scrollWidth - e.clientWidth") <= 0  # its words, too


def assert_all_fits(page: Page, count: int) -> None:
    """So many parts, each whole and on the screen, none over another, those to touch large enough."""
    parts = bar(page).locator("button:visible, input, select, output")
    boxes = [part.bounding_box() for part in parts.all()]
    assert len(boxes) == count
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a["x"] + a["width"] <= b["x"] + 0.5 or b["x"] + b["width"] <= a["x"] + 0.5
            apart |= a["y"] + a["height"] <= b["y"] + 0.5 or b["y"] + b["height"] <= a["y"] + 0.5
            assert apart, (a, b)
    for box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    for target in bar(page).locator("button:visible, input").all():
        assert min(target.bounding_box()["width"], target.bounding_box()["height"]) >= 44
    cut = bar(page).get_by_role("status").evaluate("e => e.scrollWidth - e.clientWidth")
    assert cut <= 0
    assert scrub(page).bounding_box()["width"] >= 100


def test_nothing_moves_about_while_it_plays(watched: Watched) -> None:
    page = mounted(watched, 2001, True)
    widths = set()
    for at in (0, 1, 8, 99, 1000, 2000):
        page.evaluate("f => line.go(f)", at)
        widths.add(round(scrub(page).bounding_box()["width"], 1))
    assert len(widths) == 1


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_fingers(watched: Watched) -> None:
    page = mounted(watched, 101, True, height=1200)
    button(page, "On half an iteration").tap()
    button(page, "On one iteration").tap()
    assert seen(page) == [1, 2]
    box = scrub(page).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert frame(page) == pytest.approx(50, abs=2)
    button(page, "Play").tap()
    page.wait_for_function("line.frame() > 52")
    button(page, "Pause").tap()
    stopped(page)
    watched.assert_clean()


@pytest.mark.parametrize("watched", [{"reduced_motion": "reduce"}], indirect=True)
def test_who_wants_less_motion_may_still_play(watched: Watched) -> None:
    page = mounted(watched, 6)
    page.wait_for_timeout(400)
    assert seen(page) == []  # nothing by itself
    button(page, "Play").click()
    stopped(page)
    assert seen(page) == [1, 2, 3, 4, 5]


def test_on_a_projector(watched: Watched) -> None:
    page = mounted(watched, 101, True)
    page.evaluate("document.body.classList.add('gmp-projector')")
    box = scrub(page).bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    assert frame(page) == pytest.approx(50, abs=2)
    assert watched.overflow() == 0
    assert button(page, "Play").bounding_box()["width"] >= 44
