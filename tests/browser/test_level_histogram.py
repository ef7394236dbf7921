"""The distribution over levels that a value was drawn from: how high its bars are, what it says, and how a level is picked."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from playground.components import BASE

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
TEXT = {"label": "What it was drawn from", "log": "log", "level": "level {v}: {p}", "pick": "Click to write this level."}
MOUNT = """async ([base, text, width]) => {
  const { levelHistogram } = await import(`${base}/level_histogram/level_histogram.js`);
  document.querySelectorAll('.mounted').forEach((old) => old.remove());
  window.levels?.destroy();
  document.body.classList.remove('dark');
  const host = document.createElement('div');
  host.className = 'gmp mounted';
  host.style.cssText = `position:absolute;left:8px;top:8px;width:${width}px;z-index:99`;
  document.body.append(host);
  window.picked = [];
  window.levels = levelHistogram(host, { text, pick: (v) => picked.push(v) });
  window.settled = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(r))));
}"""
FLOOR = 117  # css pixels from the top of the canvas to the bars' ground
HIGH = 97  # css pixels of the highest bar


class Histogram:
    """One that is mounted, 320 css pixels wide unless said otherwise."""

    def __init__(self, page: Page, width: int = 320) -> None:
        self.page = page
        page.evaluate(MOUNT, [BASE, TEXT, width])
        self.slider = page.locator(".mounted").get_by_role("slider")
        self.words = page.locator(".mounted output")
        self.log = page.get_by_role("button", name="log", exact=True)

    def show(self, probabilities: Any, value: int | None = None, reference: Any = None, **more: Any) -> NDArray[np.uint8]:
        reference = reference if reference is None else list(map(float, reference))
        state = {"value": value, "picked": None, "colour": None, "reference": reference, **more}
        self.page.evaluate(
            "(s) => { levels.draw({ ...s, probabilities: Float64Array.from(s.probabilities) }); return settled(); }",
            {**state, "probabilities": list(map(float, probabilities))},
        )
        return self.picture()

    def picture(self) -> NDArray[np.uint8]:
        """The canvas, (height, width, 4)."""
        url = self.page.evaluate("settled().then(() => document.querySelector('.mounted canvas').toDataURL())")
        return np.array(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))

    def bars(self, count: int) -> NDArray[np.int64]:
        """The height of each bar in pixels, counted at its middle from the ground up."""
        picture = self.picture()
        middles = ((np.arange(count) + 0.5) * picture.shape[1] / count).astype(int)
        filled = picture[:FLOOR][::-1, middles, 3] > 0
        return np.where(filled.all(0), FLOOR, filled.argmin(0))

    def picks(self) -> list[int]:
        return self.page.evaluate("picked.splice(0)")

    def place(self, v: int, count: int, y: int = 60) -> tuple[float, float]:
        box = self.slider.bounding_box()
        assert box is not None
        return box["x"] + (v + 0.5) * box["width"] / count, box["y"] + y

    def aria(self, *names: str) -> list[str | None]:
        return [self.slider.get_attribute(f"aria-{name}") for name in names]


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Watched]:
    """One page for all: each test mounts a histogram of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    one = Watched(context, address)
    one.empty().locator(".gmp-page h1").wait_for()
    yield one
    one.assert_clean()
    context.close()


@pytest.fixture
def histogram(visitor: Watched) -> Histogram:
    return Histogram(visitor.page)


def token(histogram: Histogram, name: str) -> list[int]:
    found = histogram.page.evaluate(
        f"getComputedStyle(document.querySelector('.mounted')).getPropertyValue('--{name}')"
    ).strip()
    return [int(found[at : at + 2], 16) for at in (1, 3, 5)]


def bell(count: int, at: float, width: float) -> NDArray[np.float64]:
    weights = np.exp(-((np.arange(count) - at) ** 2) / (2 * width**2))
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0, "0 %"),
        (1e-7, "< 0.01 %"),
        (0.0004, "0.04 %"),
        (0.00994, "0.99 %"),
        (0.00996, "1.0 %"),
        (0.0842, "8.4 %"),
        (0.5, "50.0 %"),
        (0.99951, "99.95 %"),
        (0.99999, "> 99.99 %"),
        (1, "100 %"),
    ],
)
def test_probabilities_have_the_digits_they_deserve(visitor: Watched, p: float, words: str) -> None:
    found = visitor.page.evaluate(
        "async ([base, p]) => (await import(`${base}/level_histogram/level_histogram.js`)).percent(p)", [BASE, p]
    )
    assert found.replace("\u00a0", " ") == words


def test_bars_are_as_high_as_their_share_of_the_highest(histogram: Histogram) -> None:
    p = bell(16, 9, 2.5)
    histogram.show(p)
    assert np.allclose(histogram.bars(16), HIGH * p / p.max(), atol=1)
    histogram.show(p, reference=bell(16, 9, 1.2))  # both stand on one scale
    linear = HIGH * p / bell(16, 9, 1.2).max()
    low = p > bell(16, 9, 1.2)  # where the line does not run above the bar
    assert np.allclose(histogram.bars(16)[low], linear[low], atol=1.5)


def test_the_logarithm_shows_six_decades(histogram: Histogram) -> None:
    p = np.array([0.1 ** (2 * k) for k in range(4)] + [0.0] * 4)
    p /= p.sum()
    histogram.show(p)
    assert histogram.bars(8).tolist() == [HIGH, 1, 0, 0, 0, 0, 0, 0]
    histogram.log.click()
    expect(histogram.log).to_have_attribute("aria-pressed", "true")
    columns = histogram.picture()[:FLOOR, :, 3]
    body = (columns > 70) & (columns < 110)  # bars alone: at 35 %, unlike the lines of the decades
    heights = [body[:, 40 * v + (30 if v else 4)].sum() for v in range(8)]  # beside the words of the lines
    assert np.allclose(heights, [HIGH, HIGH * 2 / 3, HIGH / 3, 1, 0, 0, 0, 0], atol=3)
    assert histogram.picks() == []
    histogram.log.click()
    assert histogram.bars(8)[1] == 1


@pytest.mark.parametrize("dark", [False, True])
def test_the_drawn_level_stands_in_full_colour_among_the_others(histogram: Histogram, dark: bool) -> None:
    histogram.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
    picture = histogram.show([0.1, 0.2, 0.3, 0.4], value=2)
    x = token(histogram, "x")
    assert picture[FLOOR - 5, 200].tolist() == [*x, 255]
    other = picture[FLOOR - 5, 280]
    assert other[3] == pytest.approx(0.35 * 255, abs=1)
    assert np.allclose(other[:3], x, atol=3)
    above = picture[:20]  # its number and the mark, over its bar and nowhere else
    columns = np.flatnonzero(above[..., 3].any(0))
    assert columns.min() > 180
    assert columns.max() < 220
    tinted = histogram.show([0.1, 0.2, 0.3, 0.4], value=2, colour=0)  # a red value: the drawn one keeps its colour
    assert tinted[FLOOR - 5, 200].tolist() == [*x, 255]
    assert np.allclose(tinted[FLOOR - 5, 280][:3], token(histogram, "c7"), atol=3)
    strip = tinted[FLOOR + 10]
    assert strip[40].tolist() == [0, 0, 0, 255]
    assert strip[280].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("width", [300, 200])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_certain_level_can_be_seen_among_256_on_a_narrow_screen(visitor: Watched, width: int, value: int) -> None:
    histogram = Histogram(visitor.page, width)
    for drawn, least in ((value, 2), (None, 1)):
        picture = histogram.show(np.eye(256)[value], value=drawn)
        assert picture.shape[1] == width
        row = picture[FLOOR - HIGH // 2, :, 3].astype(float) / 255
        expected = least * (1 if drawn is not None else 0.35)
        assert row.sum() >= expected - 0.02
        assert np.average(np.arange(width) + 0.5, weights=row) == pytest.approx((value + 0.5) * width / 256, abs=1)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_it_says_what_is_under_the_mouse_and_nothing_moves(histogram: Histogram) -> None:
    p = bell(256, 100, 30)
    histogram.show(p, value=120)
    expect(histogram.words).to_have_text(f"level 120: {100 * p[120]:.1f}\u00a0%")
    before = [histogram.slider.bounding_box(), histogram.log.bounding_box()]
    for v in (0, 99, 255):
        histogram.page.mouse.move(*histogram.place(v, 256))
        expect(histogram.words).to_contain_text(f"level {v}:")
        assert [histogram.slider.bounding_box(), histogram.log.bounding_box()] == before
        expect(histogram.page.locator(".level-hint")).to_be_visible()
    assert histogram.aria("valuenow") == ["120"]  # the mouse does not move the slider
    histogram.page.mouse.move(900, 700)
    expect(histogram.words).to_contain_text("level 120:")
    expect(histogram.page.locator(".level-hint")).to_be_hidden()
    histogram.page.evaluate("levels.draw(null)")
    expect(histogram.words).to_have_text("")
    assert [histogram.slider.bounding_box(), histogram.log.bounding_box()] == before
    assert histogram.picture()[..., 3].max() == 0
    histogram.page.mouse.click(*histogram.place(4, 256))
    assert histogram.picks() == []


def test_a_click_on_a_bar_or_on_the_ramp_picks_its_level(histogram: Histogram) -> None:
    histogram.show([0.07, 0.93], value=1)
    histogram.page.mouse.click(*histogram.place(0, 2))
    assert histogram.picks() == [0]
    histogram.page.mouse.move(900, 700)
    picture = histogram.show([0.07, 0.93], value=1, picked=0)
    z = token(histogram, "z")
    marked = np.argwhere((picture[..., :3] == z).all(-1))
    assert marked.mean(0) == pytest.approx([FLOOR + 10, 80], abs=1.5)  # a mark on the ramp
    expect(histogram.words).to_have_text("level 0: 7.0\u00a0%")
    histogram.show(bell(256, 30, 9), value=30)
    for v in (0, 77, 255):
        histogram.page.mouse.click(*histogram.place(v, 256, FLOOR + 10))
    assert histogram.picks() == [0, 77, 255]


def test_it_is_a_slider_for_the_keyboard(histogram: Histogram) -> None:
    p = bell(256, 250, 3)
    histogram.show(p, value=253)
    assert histogram.aria("label", "valuemin", "valuemax", "valuenow") == [TEXT["label"], "0", "255", "253"]
    assert histogram.aria("valuetext") == [f"level 253: {100 * p[253]:.1f}\u00a0%"]
    histogram.slider.focus()
    steps = [("ArrowRight", 254), ("ArrowUp", 255), ("ArrowRight", 255), ("PageDown", 239), ("ArrowLeft", 238), ("PageUp", 254)]
    steps += [("ArrowDown", 253), ("Home", 0), ("PageDown", 0), ("PageUp", 16), ("End", 255)]
    for key, expected in steps:
        histogram.page.keyboard.press(key)
        assert (key, histogram.aria("valuenow")) == (key, [str(expected)])
        expect(histogram.words).to_contain_text(f"level {expected}:")
    assert histogram.picks() == []
    histogram.page.keyboard.press("Enter")
    assert histogram.picks() == [255]
    # Another pixel has another distribution, and forgets where the keys had come to; the same one does not.
    histogram.page.keyboard.press("Home")
    histogram.show(p, value=253)
    assert histogram.aria("valuenow") == ["0"]
    histogram.page.keyboard.press("Escape")
    assert histogram.aria("valuenow") == ["253"]
    histogram.page.keyboard.press("Home")
    histogram.show(bell(256, 100, 3), value=100)
    assert histogram.aria("valuenow") == ["100"]
    histogram.show(np.full(16, 1 / 16), value=3, picked=9)
    assert histogram.aria("valuemax", "valuenow") == ["15", "9"]
    assert histogram.page.evaluate("scrollY") == 0


def test_it_is_drawn_anew_in_another_light_and_goes_without_a_trace(histogram: Histogram) -> None:
    before = histogram.show(bell(16, 9, 2), value=9)
    histogram.page.evaluate("document.body.classList.add('dark')")
    assert not np.array_equal(histogram.picture(), before)
    histogram.page.evaluate("document.querySelector('.mounted').style.width = '240px'")
    histogram.page.wait_for_function("levels.element.querySelector('canvas').width === 240")
    left = histogram.page.evaluate(
        """async () => {
          const canvas = levels.element.querySelector('canvas');
          levels.destroy();
          canvas.dispatchEvent(new PointerEvent('click', { clientX: 30, clientY: 80 }));
          window.levels = null;
          await settled();
          return [document.querySelector('.mounted').childElementCount, picked.length];
        }"""
    )
    assert left == [0, 0]


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_picks_by_a_tap_or_where_its_drag_ends(watched: Watched) -> None:
    page = watched.empty()
    page.evaluate("document.body.style.minHeight = '2400px'")  # something to scroll
    page.locator(".gmp-page h1").wait_for()
    histogram = Histogram(page, 300)
    page.evaluate("document.querySelector('.mounted').style.top = '300px'")
    histogram.show(bell(256, 100, 30), value=100)
    button = histogram.log.bounding_box()
    assert button is not None
    assert button["height"] >= 44
    page.touchscreen.tap(*histogram.place(40, 256))
    assert histogram.picks() == [40]
    touch = page.context.new_cdp_session(page)

    def drag(start: tuple[float, float], to: tuple[float, float]) -> list[str]:
        """What was said on the way."""
        said = []
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start[0], "y": start[1]}]})
        for k in range(1, 9):
            at = {"x": start[0] + (to[0] - start[0]) * k / 8, "y": start[1] + (to[1] - start[1]) * k / 8}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
            page.evaluate("settled()")
            said.append(histogram.words.inner_text())
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        page.evaluate("settled()")
        return said

    said = drag(histogram.place(40, 256), histogram.place(200, 256))
    assert said[-1].startswith("level 200:")
    assert len(set(said)) > 4
    assert histogram.picks() == [200]
    x, y = histogram.place(40, 256)
    drag((x, y), (x, y - 200))
    assert histogram.picks() == []
    page.wait_for_function("scrollY > 60")
    watched.assert_clean()
