"""The canvas on which an image is written: what stands on it, pixel for pixel, and what a hand can do there."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page

from playground.components import BASE

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
MOUNT = """async ([base, width]) => {
  const { pixelCanvas } = await import(`${base}/pixel_canvas/pixel_canvas.js`);
  document.querySelectorAll('.mounted').forEach((old) => old.remove());
  window.pixels?.destroy();
  document.body.classList.remove('dark');
  const host = document.createElement('div');
  host.className = 'gmp mounted';
  host.style.cssText = `position:absolute;left:8px;top:8px;width:${width}px;z-index:99`;
  document.body.append(host);
  window.said = [];
  const point = (i) => said.push(['point', i]);
  const choose = (i) => said.push(['choose', i]);
  window.pixels = pixelCanvas(host, { label: 'The image', description: 'image of pixels', point, choose });
  window.settled = () => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(r))));
  const array = (Kind, v) => v && Kind.from(v);
  window.show = async (s) => {
    const bytes = Object.fromEntries(['values', 'seen', 'blind', 'known'].map((k) => [k, array(Uint8Array, s[k])]));
    pixels.draw({ ...s, ...bytes, surprise: array(Float32Array, s.surprise) });
    await settled();
  };
}"""
Bytes = NDArray[np.uint8]


class Canvas:
    """One that is mounted: 28 times 28 greys in cells of 14 css pixels, unless said otherwise."""

    def __init__(self, page: Page, width: int = 392) -> None:
        self.page = page
        page.evaluate(MOUNT, [BASE, width])
        self.element = page.locator(".mounted canvas")

    def show(self, values: Bytes | None = None, **state: Any) -> Bytes:
        """What is drawn for this state: the whole canvas, (height, width, 3)."""
        shape = state.pop("shape", [1, 28, 28])
        values = np.zeros(shape, np.uint8) if values is None else values
        plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in state.items()}
        whole = {"levels": 256, "written": values.size, "at": None, "pointed": None, **plain}
        self.page.evaluate("(s) => show(s)", {**whole, "shape": shape, "values": values.ravel().tolist()})
        return self.picture()

    def picture(self) -> Bytes:
        url = self.page.evaluate("document.querySelector('.mounted canvas').toDataURL()")
        return np.array(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))

    def said(self) -> list[list[Any]]:
        return self.page.evaluate("settled().then(() => said.splice(0))")

    def token(self, name: str) -> Bytes:
        found = self.page.evaluate(f"getComputedStyle(document.querySelector('.mounted')).getPropertyValue('--{name}')").strip()
        digits = found[1:] if len(found) == 7 else "".join(2 * d for d in found[1:])
        return np.array([int(digits[at : at + 2], 16) for at in (0, 2, 4)], np.uint8)

    def middle(self, i: int, columns: int = 28, side: int = 14) -> tuple[float, float]:
        box = self.element.bounding_box()
        assert box is not None
        return box["x"] + (i % columns + 0.5) * side, box["y"] + (i // columns + 0.5) * side


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Watched]:
    """One page for all: each test mounts a canvas of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    one = Watched(context, address)
    one.empty().locator(".gmp-page h1").wait_for()
    yield one
    one.assert_clean()
    context.close()


@pytest.fixture
def canvas(visitor: Watched) -> Canvas:
    return Canvas(visitor.page)


def cells(picture: Bytes, rows: int = 28, columns: int = 28) -> Bytes:
    """(rows, columns, height, width, 3) of a picture in equal cells."""
    height, width, _ = picture.shape
    return picture.reshape(rows, height // rows, columns, width // columns, 3).swapaxes(1, 2)


def cell(picture: Bytes, i: int) -> Bytes:
    return cells(picture)[i // 28, i % 28]


def luminance(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Relative luminance of sRGB bytes (WCAG 2.1)."""
    share = np.asarray(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def contrast(a: NDArray[Any], b: NDArray[Any]) -> float:
    low, high = sorted([float(luminance(a)), float(luminance(b))])
    return (high + 0.05) / (low + 0.05)


def test_each_pixel_is_a_block_of_its_own_grey_with_crisp_edges(visitor: Watched) -> None:
    values = np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    for width in (392, 301):  # cells of 14 pixels, and of 10.75
        picture = Canvas(visitor.page, width).show(values)
        assert picture.shape == (width, width, 3)
        edges = np.floor(np.arange(29) * width / 28 + 0.5).astype(int)
        index = np.searchsorted(edges, np.arange(width), side="right") - 1
        expected = values[0][np.ix_(index, index)]
        assert np.array_equal(picture, np.repeat(expected[..., None], 3, -1))


@pytest.mark.parametrize("levels", [2, 16])
def test_levels_run_from_black_to_white(canvas: Canvas, levels: int) -> None:
    values = (np.arange(784) % levels).astype(np.uint8)
    picture = canvas.show(values, levels=levels)
    found = cells(picture)[:, :, 5, 5, 0].ravel()
    assert np.array_equal(found, np.round(values * (255 / (levels - 1))))
    assert {found.min(), found.max()} == {0, 255}


def test_colours_come_pixel_by_pixel_and_the_one_in_hand_shows_those_it_has(canvas: Canvas) -> None:
    values = np.random.default_rng(1).integers(0, 8, (6, 4, 3), dtype=np.uint8)  # (rows, columns, colours)
    for written in (3 * 5, 3 * 5 + 1, 3 * 5 + 2, 72):
        picture = canvas.show(values, shape=[3, 6, 4], levels=8, written=written)
        assert picture.shape == (588, 392, 3)  # as wide as its host, as high as its shape asks
        found = cells(picture, 6, 4)[:, :, 20, 20].reshape(24, 3)
        expected = np.where(np.arange(72) < written, values.ravel(), 0).reshape(24, 3)
        begun = -(-written // 3)
        assert np.array_equal(found[:begun], np.round(expected[:begun] * (255 / 7)))
        assert np.all(found[begun:] == canvas.token("hover"))


@pytest.mark.parametrize("dark", [False, True])
def test_what_is_not_written_is_no_grey(canvas: Canvas, dark: bool) -> None:
    canvas.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
    ground = canvas.token("hover")
    values = np.full(784, ground[0], np.uint8)  # the grey nearest to the ground
    found = cells(canvas.show(values, written=400)).reshape(784, -1, 3)
    plain = [len(np.unique(one, axis=0)) == 1 for one in found]
    assert plain == [True] * 400 + [False] * 384  # a dot for each pixel to come
    assert np.all((found[400:] == ground).all(-1).mean(1) > 0.9)


def test_what_could_be_seen_is_tinted_and_stays_readable(canvas: Canvas) -> None:
    values = np.resize(np.arange(256, dtype=np.uint8), 784)
    seen = np.zeros(784, np.uint8)
    seen[28 * 3 : 28 * 14] = 1
    for dark in (False, True):
        canvas.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        picture = canvas.show(values, seen=seen, pointed=28 * 14)
        found = cells(picture)[:, :, 5, 5].reshape(784, 3).astype(int)
        assert np.array_equal(found[seen == 0][:28, 0], values[seen == 0][:28])
        tinted = found[seen == 1]
        assert np.all(tinted[:, 2] > tinted[:, 0])  # bluer
        order = np.argsort(values[seen == 1], kind="stable")
        light = luminance(tinted[order])
        assert np.all(np.diff(light) > -0.006)  # lighter greys stay lighter, but for rounding
        assert light[-1] - light[0] > 0.6


def test_heat_is_ordered_by_lightness_and_begins_at_the_ground(canvas: Canvas) -> None:
    def lab(rgb: NDArray[Any]) -> NDArray[np.float64]:
        """CIELAB of sRGB bytes (D65): another space than the colours were made in."""
        share = np.asarray(rgb) / 255
        light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        xyz = light @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
        f = np.cbrt(xyz / [0.9505, 1, 1.089])
        f = np.where(xyz / [0.9505, 1, 1.089] > 0.008856, f, 7.787 * xyz / [0.9505, 1, 1.089] + 16 / 116)
        return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)

    for dark in (False, True):
        canvas.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        colours = np.array(
            canvas.page.evaluate(
                """async ([base, dark]) => {
                  const { heat } = await import(`${base}/pixel_canvas/pixel_canvas.js`);
                  const bits = [...Array.from({ length: 33 }, (_, i) => i / 4), 9, Infinity, NaN, -1];
                  return bits.map((b) => heat(b, 8, dark));
                }""",
                [BASE, dark],
            )
        )
        steps, beyond = colours[:33], colours[33:]
        assert np.array_equal(steps[0], canvas.token("hover"))
        assert np.array_equal(beyond, [steps[-1], steps[-1], steps[0], steps[0]])
        lightness = lab(steps)[:, 0]
        assert np.all(np.diff(lightness) * (1 if dark else -1) > 0.5)
        assert abs(lightness[-1] - lightness[0]) > 60
        far = np.linalg.norm(np.diff(lab(steps), axis=0), axis=1)
        assert far.max() < 3 * far.min()  # no step that jumps out, none that cannot be told
        # And the picture shows it, for what is written.
        bits = np.tile(np.arange(28) / 4, 28)
        picture = canvas.show(np.zeros(784, np.uint8), surprise=bits, scale=8, written=400)
        found = cells(picture)[:, :, 5, 5].reshape(784, 3)
        assert np.array_equal(found[:400], np.tile(steps[:28], (28, 1))[:400])
        assert np.all(found[400:] == steps[0])


def test_a_legend_says_what_the_colours_mean(canvas: Canvas) -> None:
    read = """async ([base, dark]) => {
      const { heatLegend } = await import(`${base}/pixel_canvas/pixel_canvas.js`);
      const host = document.querySelector('.mounted');
      const legend = heatLegend(host, { scale: 8, unit: 'bits' });
      const words = () => Array.from(legend.element.querySelectorAll('span'), (e) => e.textContent.replace('\\u00a0', ' '));
      const found = [legend.element.getAttribute('aria-label').replace('\\u00a0', ' '), words()];
      const paint = () => getComputedStyle(legend.element.firstChild).backgroundImage;
      const light = paint();
      document.body.classList.add('dark');
      await settled();
      found.push(paint() !== light);
      legend.draw({ scale: 5 });
      found.push(words());
      legend.destroy();
      return [...found, host.childElementCount];
    }"""
    assert canvas.page.evaluate(read, [BASE, False]) == ["0 – 8 bits", ["0", "4", "8 bits"], True, ["0", "2.5", "5 bits"], 1]


@pytest.mark.parametrize("at", [0, 27, 406, 783])
def test_the_pixel_in_hand_stands_out_on_black_and_on_white(canvas: Canvas, at: int) -> None:
    for dark, value in itertools.product([False, True], [0, 255]):
        canvas.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", dark)
        values = np.full(784, value, np.uint8)
        for key, token in (("at", "hot"), ("pointed", "x")):
            picture = canvas.show(values, **{key: at})
            line = (picture == canvas.token(token)).all(-1)
            assert line.sum() >= 4 * 14 * 2 - 16  # four sides, two pixels thick, at the border of the image too
            ground = np.array([value] * 3)
            colours = np.unique(picture[(picture != value).any(-1)], axis=0)
            assert max(contrast(one, ground) for one in colours) > 3
            assert np.all(picture[20:160, 200:] == value) or at in (27, 406)  # and nothing else is touched
        both = canvas.show(values, at=at, pointed=at)
        assert (both == canvas.token("hot")).all(-1).sum() >= 4 * 12 * 2 - 16
        assert (both == canvas.token("x")).all(-1).sum() >= 4 * 14 * 2 - 16


def test_a_small_pixel_in_hand_keeps_its_colour(canvas: Canvas) -> None:
    picture = canvas.show(np.full(56 * 56, 100, np.uint8), shape=[1, 56, 56], at=56 * 30 + 30)
    blocks = cells(picture, 56, 56)  # of 7 pixels
    assert np.all(blocks[30, 30] == 100)
    assert (blocks[29, 30] == canvas.token("hot")).all(-1).any()


def test_regions_and_changes_are_marked_where_they_are(canvas: Canvas) -> None:
    values = np.full((28, 28), 128, np.uint8)
    region = np.zeros((28, 28), np.uint8)
    region[4:9, 6:20] = 1
    region[9:12, 6:10] = 1
    plain = cells(canvas.show(values))
    q, kl, z = canvas.token("q"), canvas.token("kl"), canvas.token("z")

    known = cells(canvas.show(values, known=region.ravel()))
    has = (known == q).all(-1).any((-1, -2))
    inner = np.zeros_like(region)
    inner[5:8, 7:19] = 1  # whose neighbours are all of the region
    inner[8:11, 7:9] = 1
    assert np.array_equal(has, (region == 1) & (inner == 0))
    assert np.array_equal(known[has == 0], plain[has == 0])  # only the boundary is drawn

    blind = cells(canvas.show(values, blind=region.ravel()))
    share = (blind != plain).any(-1).mean((-1, -2))
    assert np.all(share[region == 1] > 0.9)
    assert np.all(share[region == 0] == 0)
    striped = (blind == kl).all(-1).mean((-1, -2))[region == 1]
    assert np.all((striped > 0.02) & (striped < 0.6))

    changed = cells(canvas.show(values, changed=[40, 700]))
    touched = (changed == z).all(-1).any((-1, -2)).ravel()
    assert np.flatnonzero(touched).tolist() == [40, 700]


def test_the_mouse_points_once_a_frame_and_only_at_another_pixel(canvas: Canvas) -> None:
    canvas.show()
    mouse = canvas.page.mouse
    mouse.move(*canvas.middle(30))
    assert canvas.said() == [["point", 30]]
    x, y = canvas.middle(30)
    mouse.move(x + 3, y + 3)
    assert canvas.said() == []
    mouse.move(*canvas.middle(31))
    mouse.click(*canvas.middle(31))
    assert canvas.said() == [["point", 31], ["choose", 31]]
    mouse.move(1000, 800)
    assert canvas.said() == [["point", None]]
    many = """() => {
      const box = pixels.element.getBoundingClientRect();
      for (let i = 0; i < 20; i++) {
        const at = { clientX: box.left + 14 * i + 7, clientY: box.top + 7, pointerType: 'mouse' };
        pixels.element.dispatchEvent(new PointerEvent('pointermove', at));
      }
    }"""
    canvas.page.evaluate(many)
    assert canvas.said() == [["point", 19]]
    # What the page takes back may be pointed at again.
    canvas.show(pointed=19)
    canvas.show(pointed=None)
    canvas.page.evaluate(many)
    assert canvas.said() == [["point", 19]]


def test_keys_point_and_choose_and_do_not_play(canvas: Canvas) -> None:
    canvas.page.evaluate(
        """async (base) => {
          const { timeline } = await import(`${base}/timeline/timeline.js`);
          const bar = document.createElement('div');
          document.querySelector('.mounted').append(bar);
          const words = ['label', 'play', 'pause', 'back', 'back_half', 'on_half', 'on', 'scrub', 'speed', 'rate'];
          window.line = timeline(bar, { text: Object.fromEntries(words.map((word) => [word, word])) });
          line.set({ frames: 785 });
          line.keys(document.querySelector('.mounted'));
        }""",
        BASE,
    )
    canvas.show(at=100)
    element = canvas.element
    assert [element.get_attribute(f"aria-{name}") for name in ("label", "roledescription")] == ["The image", "image of pixels"]
    assert element.get_attribute("role") == "application"
    canvas.page.evaluate("pixels.focus()")
    steps = [("ArrowRight", 101), ("ArrowDown", 129), ("ArrowLeft", 128), ("ArrowUp", 100), ("Home", 84), ("End", 111)]
    for key, expected in steps:
        canvas.page.keyboard.press(key)
        assert (key, canvas.said()) == (key, [["point", expected]])
    canvas.page.keyboard.press("ArrowRight")  # at the end of a row
    assert canvas.said() == []
    canvas.page.keyboard.press("Enter")
    canvas.page.keyboard.press(" ")
    assert canvas.said() == [["choose", 111], ["choose", 111]]
    canvas.page.keyboard.press("Escape")
    assert canvas.said() == [["point", None]]
    canvas.page.keyboard.press("Control+ArrowRight")
    assert canvas.said() == []
    assert canvas.page.evaluate("[line.frame(), line.playing(), scrollY]") == [0, False, 0]
    canvas.page.evaluate("line.destroy()")


def test_it_is_drawn_anew_in_another_light_and_another_width_and_goes_without_a_trace(canvas: Canvas) -> None:
    before = canvas.show(written=0)
    canvas.page.evaluate("document.body.classList.add('dark')")
    canvas.page.evaluate("settled()")
    dark = canvas.picture()
    assert np.array_equal(dark[0, 0], canvas.token("hover"))
    assert not np.array_equal(dark, before)
    canvas.page.evaluate("document.querySelector('.mounted').style.width = '200px'; settled()")
    canvas.page.wait_for_function("pixels.element.width === 200")
    assert canvas.picture().shape == (200, 200, 3)
    left = canvas.page.evaluate(
        """async () => {
          const canvas = pixels.element;
          pixels.destroy();
          const was = canvas.width;
          document.body.classList.remove('dark');
          canvas.dispatchEvent(new PointerEvent('click', { clientX: 20, clientY: 20 }));
          pixels.draw({ shape: [1, 2, 2], levels: 2, values: new Uint8Array(4), written: 4 });
          await settled();
          window.pixels = null;
          return [document.querySelector('.mounted').childElementCount, said.length, canvas.width === was];
        }"""
    )
    assert left == [0, 0, True]


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_points_sideways_chooses_by_a_tap_and_scrolls_the_page(watched: Watched) -> None:
    page = watched.empty()
    page.evaluate("document.body.style.minHeight = '2400px'")  # something to scroll
    page.locator(".gmp-page h1").wait_for()
    canvas = Canvas(page, 280)
    page.evaluate("document.querySelector('.mounted').style.top = '300px'")
    assert canvas.show().shape == (560, 560, 3)  # in the pixels of the device
    touch = page.context.new_cdp_session(page)

    def drag(start: int, to: int) -> list[list[Any]]:
        (x0, y0), (x1, y1) = canvas.middle(start, side=10), canvas.middle(to, side=10)
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x0, "y": y0}]})
        for k in range(1, 11):
            at = {"x": x0 + (x1 - x0) * k / 10, "y": y0 + (y1 - y0) * k / 10}
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
            page.evaluate("settled()")
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return canvas.said()

    page.touchscreen.tap(*canvas.middle(60, side=10))
    assert canvas.said() == [["point", 60], ["choose", 60]]
    went = drag(28 * 5 + 3, 28 * 5 + 20)
    assert went[-1] == ["point", 28 * 5 + 20]  # and stays there, though the finger is gone
    assert len(went) > 5
    assert {kind for kind, _ in went} == {"point"}
    assert page.evaluate("scrollY") == 0
    went = drag(28 * 20 + 9, 28 * 4 + 9)
    assert went == []
    page.wait_for_function("scrollY > 60")
    watched.assert_clean()
