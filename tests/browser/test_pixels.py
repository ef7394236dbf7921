"""The page "Pixels" as people use it: an image is written, looked into, changed, completed, read, raced.

What stands on the page is held against models/ itself, in this process, and against the routes. Nothing here depends on how
well a network was trained. One browser window serves all tests but those of a phone: a page opens quickly where its scripts
are in the cache.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import urllib.request
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from clouds_page import PHONE
from conftest import Watched
from numpy.typing import NDArray
from PIL import Image
from pixels_page import Bytes, Pixels, numbers, probability
from playwright.sync_api import Browser, expect

from models import completion, zoo
from models.noise import Noise
from models.pixelcnn import PixelCNN, in_scan_order
from models.receptive_field import blind_spot, seen
from playground import recordings
from playground.components import BASE
from playground.pages.pixels import WORDS

torch.set_num_threads(1)  # as the app has it; and on busy cores threads wait for each other

STAGE = WORDS["stage"]
LIVE = "speed=0"  # at once: what is written stands there as soon as it comes
BITS = math.log(2)  # nats
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
# The first part of an answer comes through, the rest waits for window.gate(): an image that is being written for long.
SLOW = """() => {
  const { fetch } = window;
  const opened = new Promise((open) => (window.gate = open));
  window.fetch = async (url, ...rest) => {
    const response = await fetch.call(window, url, ...rest);
    if (!String(url).includes("pixels/write")) return response;
    const reader = response.body.getReader();
    let passed = 0;
    let left = new Uint8Array();
    return new Response(new ReadableStream({ async pull(out) {  // however it comes, it goes on in small pieces
      if (passed > 20000) await opened;
      if (!left.length) {
        const { done, value } = await reader.read();
        if (done) return out.close();
        left = value;
      }
      out.enqueue(left.slice(0, 4000));
      left = left.slice(4000);
      passed += 4000;
    } }));
  };
}"""


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Pixels]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Pixels(Watched(context, address))
    context.close()


@pytest.fixture
def pixels(visitor: Pixels) -> Iterator[Pixels]:
    visitor.watched.errors.clear()
    visitor.page.set_viewport_size({"width": 1280, "height": 900})
    visitor.page.mouse.move(2, 2)
    yield visitor
    visitor.page.unroute_all()
    visitor.watched.assert_clean()


def refused(pixels: Pixels, *status: int) -> None:
    """A browser reports a refusal as an error: there was one of these, and nothing else."""
    found = {int(code) for error in pixels.watched.errors for code in re.findall(r"status of (\d+)", error)}
    assert found == set(status)
    assert len([error for error in pixels.watched.errors if "status of" not in error]) == 0
    pixels.watched.errors.clear()


# --- What the page is held against ---------------------------------------------------------------------------------------


@cache
def network(key: str) -> PixelCNN:
    model = zoo.load(f"pixelcnn-{key}")
    assert isinstance(model, PixelCNN)
    return model


def written(key: str, n: int, seed: int | Noise, **options: Any) -> Bytes:
    """Images `(n, T)` in the order of writing."""
    return in_scan_order(network(key).sample(n, noise=seed, **options)).numpy()


@cache
def opening() -> Bytes:
    """The four images of the page's defaults."""
    return written("mnist", 4, 7)


def planes(values: Any, key: str) -> torch.Tensor:
    """A picture in the order of writing as uint8 `(C, H, W)`."""
    c, h, w = network(key).spec.shape
    return torch.tensor(values, dtype=torch.uint8).reshape(h, w, c).permute(2, 0, 1).contiguous()


def asked(address: str, path: str, key: str, values: Any, label: int | None) -> bytes:
    """What a route says of a picture."""
    url = f"{address}/play/pixels/{path}?model=pixelcnn-{key}&label={-1 if label is None else label}"
    return urllib.request.urlopen(urllib.request.Request(url, data=planes(values, key).numpy().tobytes()), timeout=60).read()


def reading(address: str, key: str, values: Any, label: int | None) -> dict[str, Any]:
    found = json.loads(asked(address, "read", key, values, label))
    return found | {"log_p": np.frombuffer(base64.b64decode(found["log_probs"]), "<f4").astype(float)}


def logits(address: str, key: str, values: Any, label: int | None) -> NDArray[np.float64]:
    """`(T, levels)`."""
    halves = np.frombuffer(asked(address, "logits", key, values, label), "<f2")
    return halves.reshape(len(values), -1).astype(float)


def softmax(values: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    weights = np.exp((values - values.max()) / temperature)
    return weights / weights.sum()


def same_percent(text: str, p: float) -> bool:
    """Whether "level 3: 8.4 %" says p, to the digits it has."""
    text = text.split(":")[1].replace("\u00a0", " ").strip()
    shown = float(text.strip("<> %"))
    if text.startswith("<"):
        return 100 * p < shown + 0.002
    if text.startswith(">"):
        return 100 * p > shown - 0.002
    digits = len(text.strip(" %").partition(".")[2])
    return abs(100 * p - shown) <= 0.5 * 10**-digits + 0.002 + 0.1 * p  # a half has 11 bits


def holds(pixels: Pixels, pixel: int, values: Any, log_p: NDArray[np.float64], view: str = "write", colours: int = 1) -> None:
    """What is said of a pixel that is pointed at, as a pass over the whole image has it."""
    pixels.point(pixel, view)
    told = pixels.told(view)
    mine = slice(colours * pixel, colours * (pixel + 1))
    name = str(pixel + 1) if colours == 1 else f"{colours * pixel + 1}…"
    value = ", ".join(map(str, values[mine]))
    assert told["value" if view == "surprise" else "drawn"] == f"x{name.translate(SUBSCRIPTS)} = {value}"
    nats = float(log_p[mine].sum())
    assert probability(told["its probability"]) == pytest.approx(math.exp(nats), rel=0.13, abs=6e-4)
    surprise = numbers(told["surprise"])[0]
    assert surprise == pytest.approx(-nats / BITS, abs=0.0062)
    up_to_here, bits = numbers(told["up to here"])
    until = colours * (pixel + 1)
    assert up_to_here == pytest.approx(log_p[:until].sum(), abs=0.07)
    assert bits == pytest.approx(-log_p[:until].sum() / BITS / until, abs=7e-4)


def blocks(picture: Bytes, side: int = 28) -> NDArray[np.uint8]:
    """The inner third of each pixel of an image on the large canvas, (side · side, k, k, 3)."""
    edges = [round(i * picture.shape[0] / side) for i in range(side + 1)]
    inner = [slice((2 * a + b) // 3, (2 * a + b) // 3 + (edges[1] - edges[0]) // 3) for a, b in pairwise(edges)]
    return np.stack([picture[rows, columns] for rows in inner for columns in inner])


def own_picture() -> bytes:
    """A photograph of a digit 1: a dark bar on bright paper."""
    paper = np.full((200, 200), 240, np.uint8)
    paper[40:160, 92:108] = 20
    file = io.BytesIO()
    Image.fromarray(paper).save(file, "PNG")
    return file.getvalue()


# --- Writing -------------------------------------------------------------------------------------------------------------


def test_it_opens_on_a_recorded_image_being_written_that_becomes_live_and_stays_the_same(pixels: Pixels) -> None:
    with pixels.held("write") as waiting:
        pixels.open(wait=False)
        expect(pixels.badge).to_have_text("recorded")
        assert pixels.playing()
        first = pixels.frame()
        pixels.until(lambda: pixels.frame() > first)
        expect(pixels.view("write").locator(".px-note")).to_have_text(STAGE["no_logits"])
        recorded = pixels.json()
        pixels.until(lambda: waiting)
        before = pixels.frame()
        pixels.release(waiting)
        expect(pixels.badge).to_have_text("live")
    assert before <= pixels.frame() < 784  # it goes on where it was
    expect(pixels.histograms().locator("canvas")).to_have_attribute("aria-disabled", "false")
    live = pixels.json()
    assert live["values"] == recorded["values"]
    assert live["label"] == recorded["label"]
    np.testing.assert_allclose(live["log_p"], recorded["log_p"], atol=1e-3)
    assert pixels.settings() == {}
    pixels.to(784)
    kept = np.frombuffer(base64.b64decode(recordings.load("pixels")["pixels"]), np.uint8).reshape(-1, 784)
    for one, was in zip(pixels.seeds.get_by_role("button").all(), kept, strict=True):
        np.testing.assert_array_equal(pixels.tile(one)[0], was)


def test_the_timeline_steps_by_values_and_rows_and_stepping_is_free(pixels: Pixels) -> None:
    pixels.open("seen=0", wait=False)
    expect(pixels.badge).to_have_text("live")
    pixels.press("Pause")
    at = pixels.frame()
    pixels.page.wait_for_timeout(200)
    assert pixels.frame() == at < 784
    whole = pixels.json()
    begun = len(pixels.asked)
    for name, to in {
        "One value on": lambda f: f + 1,
        "One row on": lambda f: (f // 28 + 1) * 28,
        "One value back": lambda f: f - 1,
        "One row back": lambda f: (f - 1) // 28 * 28,
    }.items():
        at = to(at)
        pixels.press(name)
        assert pixels.frame() == at, name
    pixels.scrub.focus()
    for key, frame in {
        "Home": 0,
        "ArrowRight": 1,
        "Shift+ArrowRight": 28,
        "End": 784,
        "ArrowLeft": 783,
        "Shift+ArrowLeft": 756,
    }.items():
        pixels.page.keyboard.press(key)
        assert pixels.frame() == frame, key
    pixels.page.keyboard.press("Space")
    assert pixels.playing()
    pixels.page.keyboard.press("Space")
    assert not pixels.playing()
    pixels.to(397)
    values, log_p = np.array(whole["values"]), np.array(whole["log_p"])
    shown, there = pixels.tile(pixels.seeds.get_by_role("button").first)
    assert there == 397
    np.testing.assert_array_equal(shown[:397], values[:397])
    painted = blocks(pixels.picture())
    assert (painted[:396] == values[:396, None, None, None]).all()  # around the last one there is a ring
    assert not (painted[397:] == painted[397:, :, :, :1]).all()  # what is to come is no grey
    pixels.speaks_of(396)
    nats, bits = numbers(pixels.told()["up to here"])
    assert nats == pytest.approx(log_p[:397].sum(), abs=0.06)
    assert bits == pytest.approx(-log_p[:397].sum() / BITS / 397, abs=6e-4)
    pixels.kept()
    assert pixels.settings()["frame"] == "397"
    assert len(pixels.asked) == begun


@pytest.mark.timing
def test_it_plays_as_fast_as_was_chosen_or_at_once(pixels: Pixels) -> None:
    pixels.open(LIVE)
    assert pixels.frame() == 784
    speed = pixels.bar.locator("select")
    now = "() => [performance.now(), Number(document.querySelector('.timeline').dataset.frame)]"
    for rate in (5, 200):
        speed.select_option(str(rate))
        pixels.to(0)
        pixels.press("Play")
        began, start = pixels.page.evaluate(now)
        pixels.page.wait_for_timeout(600)
        ended, end = pixels.page.evaluate(now)
        assert 2 <= end - start <= rate * (ended - began) / 1000 + 2
        assert pixels.settings()["speed"] == str(rate)
    assert end > 10
    pixels.press("Pause")
    pixels.to(0)
    speed.select_option(STAGE["timeline"]["at_once"])
    pixels.press("Play")
    pixels.page.wait_for_function("() => document.querySelector('.timeline').dataset.playing === 'false'")
    assert pixels.frame() == 784
    assert pixels.settings() == {"v": "1", "speed": "0"}


def test_a_seed_and_a_class_write_what_the_network_writes_and_back_returns(pixels: Pixels) -> None:
    pixels.open(LIVE)
    first = pixels.json()
    images = opening()
    np.testing.assert_array_equal(first["values"], images[0])
    for tile, image in zip(pixels.seeds.get_by_role("button").all(), images, strict=True):
        shown, there = pixels.tile(tile)
        assert there == 784
        np.testing.assert_array_equal(shown, image)
    pixels.wrote(lambda: pixels.press("New seed"))
    other = pixels.json()
    seed = other["settings"]["seed"]
    assert seed != 7
    assert other["values"] != first["values"]
    assert pixels.settings() == {"v": "1", "seed": str(seed), "speed": "0"}
    expect(pixels.rail("seed")).to_have_value(str(seed))
    pixels.wrote(lambda: pixels.type("seed", 7))
    assert pixels.json()["values"] == first["values"]
    pixels.wrote(lambda: pixels.press("Same seed"))
    assert pixels.json()["values"] == first["values"]
    pixels.wrote(lambda: pixels.label("3"))
    third = pixels.json()
    assert third["label"] == 3
    assert pixels.told()["class"] == "3"
    assert pixels.settings()["label"] == "3"
    np.testing.assert_array_equal(third["values"], written("mnist", 4, 7, labels=torch.full((4,), 3))[0])
    pixels.press("Show the code")
    expect(pixels.stage.locator("pre.code")).to_contain_text("torch.full((4,), 3)")
    namespace: dict[str, Any] = {}
    exec(pixels.stage.locator("pre.code").inner_text(), namespace)
    np.testing.assert_array_equal(third["values"], in_scan_order(namespace["images"])[0])
    pixels.back()
    assert pixels.settings() == {"v": "1", "seed": str(seed), "speed": "0"}
    assert pixels.json()["values"] == other["values"]


def test_a_pixel_is_told_with_what_it_was_drawn_from(pixels: Pixels, address: str) -> None:
    pixels.open(f"{LIVE}&seed=21&n=3")
    for tile in (0, 2):  # the logits of the first come with its rows, those of others by a pass over them
        one = pixels.seeds.get_by_role("button").nth(tile)
        one.click()
        expect(one).to_have_attribute("aria-pressed", "true")
        pixels.rests()
        shown = pixels.json()
        np.testing.assert_array_equal(shown["values"], pixels.tile(one)[0])
        values, label = shown["values"], shown["label"]
        log_p = reading(address, "mnist", values, label)["log_p"]
        np.testing.assert_allclose(shown["log_p"], log_p, atol=2e-3)
        rarest, dearest = np.argsort(log_p)[:2]
        for pixel in (0, int(rarest), int(dearest), 403, 783):
            holds(pixels, pixel, values, log_p)
        found = logits(address, "mnist", values, label)
        widest = int(np.argmin(found.max(1)))  # the pixel that could have been most
        pixels.page.mouse.click(*pixels.spot(widest))
        p = softmax(found[widest], 1)
        for level in (0, values[widest], int(p[1:255].argmax()) + 1, 255):
            assert same_percent(pixels.percent(level), p[level]), level
    assert pixels.settings()["which"] == "2"


def test_temperature_reshapes_the_histogram_and_leaves_the_numbers(pixels: Pixels, address: str) -> None:
    pixels.open(f"{LIVE}&n=1")
    shown = pixels.json()
    found = logits(address, "mnist", shown["values"], shown["label"])
    pixel = int(np.argmin(found.max(1)))
    pixels.page.mouse.click(*pixels.spot(pixel))
    pixels.leave()
    before, begun = pixels.told(), len(pixels.asked)
    value = shown["values"][pixel]
    likeliest = int(found[pixel].argmax())
    for temperature in (0.5, 1.7):
        pixels.heat(temperature)
        p = softmax(found[pixel], temperature)
        assert not same_percent(f"level 0: {100 * p[likeliest]:.2f} %", softmax(found[pixel], 1)[likeliest])
        for level in (value, likeliest):
            assert same_percent(pixels.percent(level), p[level]), (temperature, level)
        assert pixels.told() == before
        expect(pixels.view("write").locator(".px-note")).to_contain_text(f"Shown at temperature {temperature:.2f}")
    pixels.heat(0)
    assert "100" in pixels.percent(likeliest)
    pixels.heat(0.5)
    assert pixels.json()["values"] == shown["values"]
    assert len(pixels.asked) == begun
    pixels.wrote(lambda: pixels.press("Same seed"))
    cold = pixels.json()
    np.testing.assert_array_equal(cold["values"], written("mnist", 1, 7, temperature=0.5)[0])
    assert pixels.settings()["temperature"] == "0.5"
    log_p = reading(address, "mnist", cold["values"], cold["label"])["log_p"]  # still at temperature 1
    holds(pixels, 403, cold["values"], log_p)
    holds(pixels, int(log_p.argmin()), cold["values"], log_p)


@pytest.mark.parametrize("key", ["mnist", "mnist-plain"])
def test_what_a_pixel_could_see_and_was_blind_to_is_marked(pixels: Pixels, key: str) -> None:
    pixels.open(f"model={key}&n=1&{LIVE}&seen=0")
    page, box = pixels.page, pixels.page.locator("#px-seen")
    violet = page.evaluate("() => getComputedStyle(document.querySelector('[data-stage]')).getPropertyValue('--kl').trim()")
    hatch = np.array([int(violet[i : i + 2], 16) for i in (1, 3, 5)])
    marked: list[int] = []
    for pixel in (0, 55, 430, 783):
        page.mouse.click(*pixels.spot(pixel))
        pixels.leave()
        off = pixels.picture()
        box.check()
        on = pixels.picture()
        box.uncheck()
        row, column = divmod(pixel, 28)
        view = seen(network(key), row, column).flatten().numpy()
        blind = blind_spot(network(key), row, column).flatten().numpy()
        changed = (blocks(on) != blocks(off)).any((1, 2, 3))
        np.testing.assert_array_equal(changed, view | blind, str(pixel))
        hatched = (blocks(on) == hatch).all(-1).any((1, 2))
        assert not (hatched & ~blind).any()
        assert hatched[blind].mean() > 0.9 if blind.any() else True  # a stripe may miss the middle of a pixel
        marked.append(int(blind.sum()))
    assert (max(marked) > 0) == (key == "mnist-plain")


def test_a_changed_pixel_writes_another_branch_and_the_old_one_stays(pixels: Pixels, address: str) -> None:
    pixels.open(f"{LIVE}&seed=5&n=2&which=1")
    base = pixels.json()
    assert base["values"] == written("mnist", 2, 5)[1].tolist()

    def put(pixel: int, level: int) -> dict[str, Any]:
        pixels.page.mouse.click(*pixels.spot(pixel))
        expect(pixels.view("write").locator(".px-note")).to_have_text(STAGE["pick"])
        pixels.wrote(lambda: pixels.page.mouse.click(*pixels.level(level)))
        return pixels.json()

    def python(*changes: tuple[int, int]) -> list[int]:
        given, mask = torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1, 28, 28, dtype=torch.bool)
        for place, level in changes:
            given.view(-1)[place], mask.view(-1)[place] = level, True
        labels = torch.tensor([base["label"]])
        return written("mnist", 1, Noise(5, first=1), labels=labels, given=given, mask=mask)[0].tolist()

    one = put(300, 201)
    assert one["values"][:300] == base["values"][:300]
    assert one["values"][300] == 201 != base["values"][300]
    assert one["values"] == python((300, 201))
    assert pixels.settings()["changes"] == "300:201"
    two = put(431, 180)
    assert two["values"] == python((300, 201), (431, 180))
    assert pixels.settings()["changes"] == "300:201,431:180"
    three = put(200, 99)  # what comes later is no longer changed by hand
    assert three["values"] == python((200, 99))
    assert pixels.settings()["changes"] == "200:99"
    log_p = reading(address, "mnist", three["values"], three["label"])["log_p"]
    holds(pixels, 200, three["values"], log_p)
    holds(pixels, 500, three["values"], log_p)
    pixels.leave()
    branches = pixels.branches.get_by_role("button")
    expect(branches).to_have_count(4)
    expect(branches.nth(3)).to_contain_text("x₂₀₁ = 99")
    nats = numbers(branches.nth(3).inner_text().split(",")[1])[0]
    assert nats == pytest.approx(log_p.sum(), abs=0.6)
    begun = len(pixels.asked)
    for tile, (was, changes) in enumerate([(base, None), (one, "300:201"), (two, "300:201,431:180"), (three, "200:99")]):
        branches.nth(tile).click()
        expect(branches.nth(tile)).to_have_attribute("aria-pressed", "true")
        assert pixels.json()["values"] == was["values"]
        assert pixels.settings().get("changes") == changes
    assert len(pixels.asked) == begun
    pixels.reload()
    assert pixels.json()["values"] == three["values"]
    assert pixels.settings()["changes"] == "200:99"
    pixels.branches.get_by_role("button").first.click()
    assert pixels.json()["values"] == base["values"]


def test_a_link_with_a_change_alone_opens_on_its_branch(pixels: Pixels) -> None:
    """Its image is the one that the page opens on: what is recorded becomes live beneath it, be it later."""
    with pixels.held("write") as waiting:
        pixels.open("changes=350:222&speed=0", wait=False)
        expect(pixels.branches.get_by_role("button")).to_have_count(2)
        expect(pixels.branches.get_by_role("button").last).to_have_attribute("aria-pressed", "true")
        assert len(waiting) == 1
        pixels.release(waiting)
        pixels.rests()
    expect(pixels.branches.get_by_role("button").last).to_have_attribute("aria-pressed", "true")
    values = pixels.values()
    assert values[350] == 222
    assert (values[:350] == opening()[0][:350]).all()


def test_pixels_are_changed_no_more_often_than_was_said(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=2&which=1&changes={','.join(f'{t}:250' for t in range(200, 208))}")
    assert (pixels.values()[200:208] == 250).all()
    before = pixels.requests()
    pixels.page.mouse.click(*pixels.spot(300))
    pixels.page.mouse.click(*pixels.level(77))
    expect(pixels.problem).to_contain_text("At most 8")
    pixels.to(500)
    pixels.page.wait_for_timeout(500)
    expect(pixels.problem).to_be_visible()  # it is not gone before it is read
    assert pixels.requests() == before


def test_what_is_to_be_tried_is_a_click_away(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=1")
    view, words = pixels.view("write"), STAGE["write"]["tries_of"]
    pixels.wrote(lambda: view.get_by_role("button", name=words["cold"], exact=True).click())
    np.testing.assert_array_equal(pixels.values(), written("mnist", 1, 7, temperature=0.0)[0])
    expect(pixels.rail("temperature")).to_have_value("0")
    pixels.wrote(lambda: view.get_by_role("button", name=words["blind"], exact=True).click())
    np.testing.assert_array_equal(pixels.values(), written("mnist-plain", 1, 7)[0])
    assert pixels.settings() == {"v": "1", "model": "mnist-plain", "n": "1", "speed": "0"}
    expect(pixels.facts).to_contain_text("MNIST")


# --- Other models --------------------------------------------------------------------------------------------------------


def test_sprites_have_three_histograms_and_colours_in_their_order(pixels: Pixels, address: str) -> None:
    pixels.open(f"model=sprites&n=1&label=1&{LIVE}")
    shown = pixels.json()
    values = shown["values"]
    assert len(values) == 3072
    assert values == written("sprites", 1, 7, labels=torch.tensor([1]))[0].tolist()
    charts = pixels.histograms().locator("canvas")
    expect(charts).to_have_count(3)
    for chart, colour in zip(charts.all(), ("red", "green", "blue"), strict=True):
        expect(chart).to_have_attribute("aria-label", f"Probability of each level of {colour}")
        expect(chart).to_have_attribute("aria-valuemax", "15")
    log_p = reading(address, "sprites", values, 1)["log_p"]
    for pixel in (0, 300, int(log_p.argmin()) // 3):
        holds(pixels, pixel, values, log_p, colours=3)
        for k, chart in enumerate(charts.all()):
            expect(chart).to_have_attribute("aria-valuenow", str(values[3 * pixel + k]))
    pixels.leave()
    pixels.to(3 * 500 + 2)  # red and green of pixel 500 are there, blue is not
    pixels.speaks_of(500)
    for chart, there in zip(charts.all(), (True, True, False), strict=True):
        expect(chart).to_have_attribute("aria-disabled", str(not there).lower())
    assert pixels.told()["drawn"].endswith(f"= {values[1500]}, {values[1501]}")
    green = (values[1501] + 5) % 16
    pixels.page.mouse.click(*pixels.spot(500))
    pixels.wrote(lambda: pixels.page.mouse.click(*pixels.level(green, 16, colour=1)))
    other = pixels.json()["values"]
    assert other[:1501] == values[:1501]
    assert other[1501] == green
    assert pixels.settings()["changes"] == f"1501:{green}"


def test_black_or_white_has_two_bars(pixels: Pixels, address: str) -> None:
    pixels.open(f"model=mnist-binary&n=2&{LIVE}")
    shown = pixels.json()
    assert set(shown["values"]) <= {0, 1}
    expect(pixels.histograms().locator("canvas")).to_have_attribute("aria-valuemax", "1")
    log_p = reading(address, "mnist-binary", shown["values"], shown["label"])["log_p"]
    found = logits(address, "mnist-binary", shown["values"], shown["label"])
    for pixel in (100, 417):
        holds(pixels, pixel, shown["values"], log_p)
        pixels.page.mouse.click(*pixels.spot(pixel))
        for level in (0, 1):
            assert same_percent(pixels.percent(level, 2), softmax(found[pixel], 1)[level])
        pixels.page.mouse.click(*pixels.spot(pixel))
    grey = blocks(pixels.picture())
    pixels.leave()
    assert set(np.unique(grey[:, 0, 0, 0])) <= {0, 255} | set(range(256)) and grey.max() == 255


# --- Links ---------------------------------------------------------------------------------------------------------------

EVERYTHING = (
    "model=fashion&label=2&temperature=0.8&seed=11&n=3&which=1&frame=400&speed=20&seen=0&surprise=1&scale=local"
    "&source=sample&ref=5&keep=left&share=29&changes=250:77,390:200"
)


def test_a_link_holds_every_setting_and_opens_the_page_just_so(pixels: Pixels) -> None:
    wanted = dict(pair.split("=") for pair in EVERYTHING.split("&"))
    pixels.open(EVERYTHING)
    pixels.kept()
    assert pixels.settings() == {"v": "1", **wanted}
    assert pixels.frame() == 400
    one = pixels.json()
    told = {key: str(int(v) if isinstance(v, bool) else v) for key, v in one["settings"].items()}
    assert told == {"view": "write", "wrote": "", **wanted}
    pixels.speaks_of(399)
    painted = pixels.picture()
    pixels.reload()
    assert pixels.json() == one
    np.testing.assert_array_equal(pixels.picture(), painted)
    for name in ("temperature", "n", "seed"):
        assert float(pixels.rail(name).input_value()) == float(wanted[name])
    pixels.press("Reset to defaults")
    pixels.until(lambda: pixels.settings() == {})


def test_a_link_with_a_frame_alone_stands_still_there(pixels: Pixels) -> None:
    pixels.open("frame=333", wait=False)
    expect(pixels.badge).to_have_text("live")
    pixels.page.wait_for_timeout(500)
    assert pixels.frame() == 333
    assert not pixels.playing()
    assert pixels.settings() == {"v": "1", "frame": "333"}


def test_what_does_not_fit_in_a_link_gets_a_sentence_or_the_nearest_and_the_page_works(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&model=nope&n=99&seed=31")
    expect(pixels.notice).to_contain_text("model = “nope” does not fit")
    expect(pixels.notice).to_contain_text("n = “99” does not fit")
    assert pixels.json()["values"] == written("mnist", 1, 31)[0].tolist()
    pixels.open(f"{LIVE}&seed=31&n=2&changes=9999:1")  # there is no such place
    expect(pixels.problem).to_contain_text("9999:1")
    refused(pixels, 400)
    assert pixels.json()["values"] == written("mnist", 1, 31)[0].tolist()
    expect(pixels.problem).to_contain_text("9999:1")  # still: it does not go by itself


def test_settings_that_do_not_go_together_become_the_nearest_that_do(pixels: Pixels) -> None:
    pixels.open("speed=7&seed=9&n=1&model=mnist-plain&label=7", wait=False)  # no such speed, and a model without classes
    pixels.until(lambda: pixels.json()["values"] == written("mnist-plain", 1, 9)[0].tolist())
    expect(pixels.notice).to_contain_text("speed = “7” does not fit")
    pixels.open(f"{LIVE}&n=2&which=5&changes=0:0")  # a third to sixth image is not there; a 0 stands there anyhow
    assert pixels.json()["values"] == opening()[1].tolist()
    assert pixels.problem.is_hidden()


# --- Completions ---------------------------------------------------------------------------------------------------------


def completed(pixels: Pixels, action: Any) -> dict[str, Any]:
    """Does something that has completions written; what is handed over of them."""
    with pixels.page.expect_request("**/play/pixels/write*"):
        action()
    pixels.rests()
    expect(pixels.view("complete").locator(".px-tiles")).not_to_have_attribute("aria-busy", "true")
    return pixels.json()


def python_completes(told: dict[str, Any]) -> completion.Completions:
    gap, n = told["unknown"], len(told["completions"])
    known = torch.ones(28, 28, dtype=torch.bool)
    known[gap["y"] : gap["y"] + gap["h"], gap["x"] : gap["x"] + gap["w"]] = False
    labels = None if told["label"] < 0 else torch.full((n,), told["label"])
    return completion.complete(network("mnist"), planes(told["given"], "mnist"), known, n, noise=told["seed"], labels=labels)


def agrees(told: dict[str, Any]) -> None:
    """What stands on the page is what models/ makes of the same part."""
    python = python_completes(told)
    np.testing.assert_array_equal(told["completions"], in_scan_order(python.images))
    assert told["exact"] == python.exact
    assert told["effective_samples"] == pytest.approx(python.effective_samples, rel=1e-3)
    np.testing.assert_allclose(told["mean"], python.mean.flatten(), atol=0.05)
    if told["exact"]:
        assert told["weights"] is None
    else:
        np.testing.assert_allclose(told["weights"], torch.softmax(python.log_weights, 0), rtol=1e-2, atol=1e-4)


def known_parts(pixels: Pixels, told: dict[str, Any]) -> list[Bytes]:
    """Of each tile, what is painted of the known pixels, but for those at the line around the gap."""
    gap = told["unknown"]
    rows, columns = np.divmod(np.arange(784), 28)
    far = (rows < gap["y"] - 1) | (rows > gap["y"] + gap["h"]) | (columns < gap["x"] - 1) | (columns > gap["x"] + gap["w"])
    found = []
    for canvas in pixels.view("complete").locator(".px-tiles figure:not(.mean) canvas").all():
        url = canvas.evaluate("c => c.toDataURL()")
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))
        middle = ((np.arange(28) + 0.5) * image.shape[0] / 28).astype(int)
        found.append(image[np.ix_(middle, middle)].reshape(-1)[far])
        np.testing.assert_allclose(found[-1].astype(int), np.array(told["given"])[far], atol=1)
    return found


def test_completions_of_the_top_are_exact_and_those_of_the_left_are_weighed(pixels: Pixels) -> None:
    pixels.open("view=complete&ref=4")
    view = pixels.view("complete")
    verdict, tiles = view.locator(".px-verdict"), view.locator(".px-tiles figure")
    expect(verdict).to_have_text(STAGE["complete"]["exact"])
    expect(view.locator(".px-weights")).to_be_hidden()
    expect(tiles).to_have_count(9)
    told = pixels.json()
    assert told["unknown"] == {"x": 0, "y": 14, "w": 28, "h": 14}
    agrees(told)
    assert len({tuple(one) for one in told["completions"]}) > 1
    assert len(known_parts(pixels, told)) == 8

    completed(pixels, lambda: pixels.label("4"))  # of all classes together, weights take ten times as long
    expect(verdict).to_have_text(STAGE["complete"]["exact_told"])
    told = completed(pixels, lambda: pixels.press(STAGE["complete"]["keeps"]["left"]))
    assert told["label"] == 4
    expect(verdict).to_have_text(STAGE["complete"]["not_exact"])
    assert told["unknown"] == {"x": 14, "y": 0, "w": 14, "h": 28}
    agrees(told)
    known_parts(pixels, told)
    assert sum(told["weights"]) == pytest.approx(1)
    effective = 1 / sum(w * w for w in told["weights"])
    expect(view.locator(".px-weights b")).to_have_text(f"{effective:.1f} of 8")
    for tile, weight in zip(tiles.all(), told["weights"], strict=False):
        words = tile.locator("figcaption span").last.inner_text()
        assert ("<" in words and weight < 0.0011) or numbers(words)[0] == pytest.approx(100 * weight, abs=0.51)
    expect(tiles).to_have_count(10)  # the plain mean beside that by weight
    pixels.press(STAGE["complete"]["resampled"])
    expect(tiles.first.locator("figcaption span").last).to_be_hidden()
    pixels.press(STAGE["complete"]["as_written"])

    slider = view.locator("input[type=range]")
    slider.focus()
    told = completed(pixels, lambda: pixels.page.keyboard.press("ArrowLeft"))
    assert told["unknown"]["x"] == 13
    share = str(told["settings"]["share"])
    wanted = {"v": "1", "view": "complete", "label": "4", "ref": "4", "keep": "left", "share": share}
    assert pixels.settings() == wanted
    completed(pixels, lambda: pixels.press("16"))
    expect(tiles).to_have_count(18)


def test_own_drawings_and_files_are_completed_and_a_hostile_one_gets_a_sentence(pixels: Pixels) -> None:
    pixels.open("view=complete")
    view = pixels.view("complete")
    given = pixels.json()["given"]
    view.get_by_role("button", name=STAGE["source"]["draw"], exact=True).click()
    pad = view.locator(".sketch canvas")
    pad.evaluate("c => c.scrollIntoView({ block: 'center' })")
    box = pad.bounding_box()
    assert box

    def stroke() -> None:
        pixels.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.1 * box["height"])
        pixels.page.mouse.down()
        pixels.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"], steps=4)
        pixels.page.mouse.up()

    drawn = completed(pixels, stroke)
    ink = np.array(drawn["given"]).reshape(28, 28)
    assert ink[3:14, 13:15].min() > 200
    assert ink[:, :9].max() == ink[:, 19:].max() == ink[14:].max() == 0
    agrees(drawn)
    assert pixels.settings()["source"] == "own"
    hostile = [
        b"no picture at all",
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><image href='http://evil.example/x.png'/></svg>",
        own_picture()[:60],
    ]
    for file in hostile:
        pixels.upload(file, "complete")
        expect(pixels.problem).to_contain_text(STAGE["source"]["kept"])
        assert pixels.json()["given"] == drawn["given"]
        pixels.stage.locator("p.notice.error").evaluate("e => (e.textContent = '')")
    refused(pixels, 422)
    photo = completed(pixels, lambda: pixels.upload(own_picture(), "complete"))
    assert photo["given"] not in (given, drawn["given"])
    expect(pixels.problem).to_be_hidden()
    agrees(photo)
    view.locator(".px-source-pictures button").nth(3).click()
    pixels.rests()
    assert pixels.settings() == {"v": "1", "view": "complete"}
    pixels.until(lambda: pixels.json()["given"] == given)


# --- Surprise ------------------------------------------------------------------------------------------------------------


def test_a_picture_is_read_with_its_total_its_rank_and_its_classes(pixels: Pixels, address: str) -> None:
    pixels.open("view=surprise&ref=2")
    view = pixels.view("surprise")
    shown = pixels.json()
    picture = shown["picture"]
    found = reading(address, "mnist", picture, None)
    np.testing.assert_allclose(shown["log_p"], found["log_p"], atol=1e-4)
    np.testing.assert_allclose(
        found["log_p"], in_scan_order(network("mnist").log_probs(planes(picture, "mnist")[None]))[0].detach(), atol=2e-3
    )

    def verdict() -> dict[str, str]:
        names, words = (view.locator(f".px-total {tag}").all_inner_texts() for tag in ("dt", "dd"))
        return dict(zip(names, words, strict=True))

    words = STAGE["surprise"]
    assert numbers(verdict()[words["total"]])[0] == pytest.approx(-found["nats"], abs=0.06)
    assert numbers(verdict()[words["bits"]])[0] == pytest.approx(-found["nats"] / BITS / 784, abs=6e-4)
    assert verdict()[words["kind"]] == words["marginal"]
    expect(view.get_by_text(re.compile("held-out images are at least this surprising"))).to_contain_text(
        f"{100 * found['rank']:.{1 if found['rank'] < 0.01 else 0}f} %"
    )
    for y, one in enumerate(view.locator(".px-posterior li").all()):
        share = one.locator(".value").inner_text()
        assert ("<" in share and found["posterior"][y] < 0.0006) or numbers(share)[0] == pytest.approx(
            100 * found["posterior"][y], abs=0.06
        )
        assert numbers(one.locator("span.soft").inner_text())[0] == pytest.approx(found["by_class"][y], abs=0.51)
    best = int(np.argmax(found["posterior"]))
    expect(view.locator(".px-posterior li.best .name")).to_have_text(str(best))
    for pixel in (0, int(found["log_p"].argmin()), 400):
        holds(pixels, pixel, picture, found["log_p"], "surprise")
    pixels.leave()

    legend, scale = view.locator(".px-legend"), view.locator("select")
    assert numbers(legend.inner_text())[2] == 8
    global_map = pixels.picture("surprise")
    scale.select_option("local")
    pixels.until(lambda: numbers(legend.inner_text())[2] == pytest.approx(-found["log_p"].min() / BITS, abs=0.051))
    assert pixels.settings()["scale"] == "local"
    local_map = pixels.picture("surprise")
    assert (local_map != global_map).any()
    view.locator("#px-map").uncheck()
    expect(legend).to_be_hidden()
    assert (blocks(pixels.picture("surprise"))[:, 0, 0] == np.array(picture)[:, None]).all()
    view.locator("#px-map").check()

    pixels.label("8")  # told a class, it is p(x | y), which has no rank
    expect(view.locator(".px-total")).to_contain_text(words["given"].format(y=8))
    expect(view.get_by_text(words["no_rank"])).to_be_visible()
    pixels.rests()
    given = reading(address, "mnist", picture, 8)
    assert numbers(verdict()[words["total"]])[0] == pytest.approx(-given["nats"], abs=0.06)
    assert given["nats"] == pytest.approx(found["by_class"][8], abs=1e-3)
    holds(pixels, int(given["log_p"].argmin()), picture, given["log_p"], "surprise")

    pixels.upload(own_picture(), "surprise")
    pixels.until(lambda: pixels.json()["picture"] != picture)
    pixels.rests()
    own = pixels.json()
    assert own["settings"]["source"] == "own"
    assert -numbers(verdict()[words["total"]])[0] == pytest.approx(
        reading(address, "mnist", own["picture"], 8)["nats"], abs=0.06
    )
    assert "source" in pixels.settings()


def test_the_image_being_written_can_be_read_and_completed(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=2&which=1")
    image = pixels.json()["values"]
    pixels.tab("surprise")
    pixels.view("surprise").get_by_role("button", name=STAGE["source"]["sample"]).click()
    pixels.until(lambda: pixels.json().get("picture") == image)
    pixels.label("8")  # another question about the same picture
    expect(pixels.view("surprise").locator(".px-total")).to_contain_text(STAGE["surprise"]["given"].format(y=8))
    pixels.rests()
    assert pixels.json()["picture"] == image
    pixels.reload()  # the link names the class that it was written with, too
    pixels.until(lambda: pixels.json().get("picture") == image)
    expect(pixels.view("surprise").locator(".px-total")).to_contain_text(STAGE["surprise"]["given"].format(y=8))
    pixels.label("any")
    expect(pixels.view("surprise").locator(".px-total")).to_contain_text(STAGE["surprise"]["marginal"])
    pixels.tab("complete")
    pixels.until(lambda: pixels.json().get("given", [None])[:392] == image[:392])
    pixels.rests()
    first = pixels.json()
    assert pixels.settings()["source"] == "sample"
    pixels.reload()  # the link names the image
    pixels.until(lambda: pixels.json().get("given", [None])[:392] == image[:392])
    pixels.rests()
    assert pixels.json()["completions"] == first["completions"]
    again = completed(pixels, lambda: pixels.press(STAGE["complete"]["again"]))
    pixels.page.wait_for_timeout(300)
    pixels.rests()
    assert again["given"] == pixels.json()["given"] == first["given"]  # other completions, of the same part
    assert again["completions"] != first["completions"]


# --- The race ------------------------------------------------------------------------------------------------------------


def test_a_race_starts_and_can_be_stopped_or_left(pixels: Pixels) -> None:
    pixels.open("view=race")
    view, words = pixels.view("race"), STAGE["race"]
    lanes = {who: view.locator(f"[data-lane={who}]") for who in ("cached", "naive", "parallel")}
    pixels.press(words["start"])
    expect(lanes["cached"]).to_contain_text("784of 784 pixels")
    expect(lanes["parallel"]).to_contain_text(re.compile(r"\d\sm?s"))
    pixels.until(lambda: numbers(lanes["naive"].locator("dd").first.inner_text())[0] >= 2)
    pixels.press(words["stop"])
    expect(view.get_by_text(words["stopped"])).to_be_visible()
    expect(view.locator(".race-verdict")).to_be_empty()
    pixels.press(words["again"])
    expect(view.get_by_role("button", name=words["stop"], exact=True)).to_be_visible()
    pixels.tab("complete")
    pixels.tab("race")
    expect(view.get_by_text(words["stopped"])).to_be_visible()
    pixels.rests()


def test_a_race_ends_with_what_was_measured(pixels: Pixels) -> None:
    ends = {
        784: "Naive took 20 times as long as cached: 4.00 s against 0.20 s.",
        196: "At this rate naive needs 16.0 s, 80 times as long as cached with 0.20 s.",  # cut off
    }
    bodies = []
    for done in ends:
        lines = [
            {"who": "cached", "done": 784, "seconds": 0.2},
            {"who": "parallel", "done": 784, "seconds": 0.011, "passes": 1},
            {"who": "naive", "done": done, "seconds": 4.0, "passes": done, "same": True},
        ]
        bodies.append("".join(json.dumps(line) + "\n" for line in lines))
    answers = iter(bodies)
    pixels.page.route(
        "**/play/pixels/race*", lambda route: route.fulfill(content_type="application/x-ndjson", body=next(answers))
    )
    pixels.open("view=race")
    view, words = pixels.view("race"), STAGE["race"]
    for done, says in ends.items():
        pixels.press(words["start" if done == 784 else "again"])
        expect(view.locator(".race-verdict")).to_contain_text(says)
        expect(view.locator(".race-verdict")).to_contain_text(words["same" if done == 784 else "same_so_far"])
        evaluations = {who: view.locator(f"[data-lane={who}] dd").nth(2).inner_text() for who in ("cached", "naive")}
        assert numbers(evaluations["cached"])[0] == 784
        assert numbers(evaluations["naive"])[0] == done * 784


# --- Answers that come late ----------------------------------------------------------------------------------------------


def test_the_last_seed_stands_however_late_the_others_answer(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=1")
    with pixels.held("write") as waiting:
        pixels.type("seed", 11)
        pixels.until(lambda: waiting)
        pixels.wrote(lambda: pixels.type("seed", 12))
        last = pixels.values()
        np.testing.assert_array_equal(last, written("mnist", 1, 12)[0])
        pixels.release(waiting)
        pixels.rests()
        pixels.page.wait_for_timeout(300)
    np.testing.assert_array_equal(pixels.values(), last)
    assert pixels.settings()["seed"] == "12"
    assert pixels.problem.is_hidden()


def test_the_last_change_stands_however_late_the_others_answer(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=1&seed=3")
    base = pixels.values()
    with pixels.held("write") as waiting:
        pixels.page.mouse.click(*pixels.spot(300))
        pixels.page.mouse.click(*pixels.level(int(base[300]) ^ 128))
        pixels.until(lambda: waiting)
        level = int(base[450]) ^ 128
        pixels.page.mouse.click(*pixels.spot(450))
        pixels.wrote(lambda: pixels.page.mouse.click(*pixels.level(level)))
        assert pixels.values()[450] == level
        changes = pixels.settings()["changes"]
        pixels.release(waiting)
        pixels.rests()
        pixels.page.wait_for_timeout(300)
    assert pixels.settings()["changes"] == changes
    assert pixels.values()[450] == level
    assert (pixels.values()[:450] == base[:450]).all()


def test_the_last_picture_is_the_one_that_is_read(pixels: Pixels, address: str) -> None:
    pixels.open("view=surprise&ref=0")
    view = pixels.view("surprise")
    with pixels.held("read") as waiting:
        view.locator(".px-source-pictures button").nth(1).click()
        pixels.until(lambda: waiting)
        view.locator(".px-source-pictures button").nth(6).click()
        pixels.until(lambda: pixels.json()["settings"]["ref"] == 6 and not pixels.under_way - {waiting[0].request})
        pixels.release(waiting)
        pixels.rests()
    shown = pixels.json()
    assert shown["nats"] == pytest.approx(reading(address, "mnist", shown["picture"], None)["nats"], abs=1e-3)
    assert shown["picture"] == pixels.tile(view.locator(".px-source-pictures button").nth(6))[0].tolist()


def test_another_seed_can_be_taken_while_all_are_being_written(pixels: Pixels) -> None:
    pixels.open(f"{LIVE}&n=3")
    pixels.page.evaluate(SLOW)
    pixels.type("seed", 8)
    pixels.page.wait_for_function(
        "() => { const { ready } = document.querySelector('#px-view-write').dataset; return ready > 0 && ready < 784; }"
    )
    pixels.seeds.get_by_role("button").nth(1).click()
    pixels.page.evaluate("() => window.gate()")
    pixels.rests()
    np.testing.assert_array_equal(pixels.values(), written("mnist", 3, 8)[1])
    expect(pixels.histograms().locator("canvas")).to_have_attribute("aria-disabled", "false")


def test_what_was_changed_on_another_tab_is_written_when_one_comes_back(pixels: Pixels) -> None:
    pixels.open("speed=200&view=surprise&seed=6&n=1&seen=0&frame=50")
    pixels.tab("write")
    pixels.rests()
    expect(pixels.page.locator("#px-seen")).not_to_be_checked()
    expect(pixels.bar.locator("select")).to_have_value("200")
    assert pixels.frame() == 50
    np.testing.assert_array_equal(pixels.values(), written("mnist", 1, 6)[0])
    pixels.tab("complete")
    pixels.rests()
    pixels.label("4")
    pixels.until(lambda: pixels.settings().get("label") == "4")
    pixels.tab("write")
    pixels.rests()
    pixels.until(lambda: pixels.json()["label"] == 4)


# --- Everywhere ----------------------------------------------------------------------------------------------------------


def test_nothing_is_wider_than_a_narrow_page_in_any_view(pixels: Pixels) -> None:
    pixels.page.set_viewport_size({"width": 360, "height": 740})
    pixels.open(f"model=sprites&{LIVE}&surprise=1&changes=300:9")
    for view in ("write", "complete", "surprise", "race"):
        pixels.tab(view)
        pixels.rests()
        assert pixels.watched.overflow() <= 0, view
        wide = pixels.page.evaluate(
            "() => [...document.querySelectorAll('.gmp-card button, .gmp-card canvas, .gmp-card select, .gmp-card input')]"
            ".filter(e => e.offsetParent && !e.closest('.hidden-text') && e.getBoundingClientRect().right > innerWidth + 1)"
            ".map(e => e.outerHTML.slice(0, 80))"
        )
        assert wide == [], view
        nameless = pixels.page.evaluate(
            "() => [...document.querySelectorAll('button,a[href],input,select,canvas[tabindex]')]"
            ".filter(e => e.offsetParent && !(e.innerText || '').trim() && !e.getAttribute('aria-label') && !e.title)"
            ".filter(e => !(e.labels && e.labels.length))"
            ".map(e => e.outerHTML.slice(0, 100))"
        )
        assert nameless == [], view


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_points_changes_and_plays(watched: Watched) -> None:
    pixels = Pixels(watched)
    pixels.open(f"{LIVE}&n=1")
    before = pixels.values()
    pixels.page.touchscreen.tap(*pixels.spot(350))
    pixels.speaks_of(350)
    level = int(before[350]) ^ 128
    pixels.wrote(lambda: pixels.page.touchscreen.tap(*pixels.level(level)))
    after = pixels.values()
    picked = int(after[350])
    assert abs(picked - level) <= 1  # a finger is as exact as its pixels
    assert (after[:350] == before[:350]).all()
    assert pixels.settings()["changes"] == f"350:{picked}"
    pixels.bar.locator("select").select_option("200")
    pixels.to(0)
    pixels.button("Play").tap()
    pixels.until(lambda: pixels.frame() >= 20)
    pixels.button("Pause").tap()
    assert pixels.watched.overflow() <= 0
    watched.assert_clean()


# --- The modules' own functions ------------------------------------------------------------------------------------------


def test_halves_orders_and_rows_are_unpacked_as_numpy_packs_them(pixels: Pixels) -> None:
    noise = np.random.default_rng(0)
    c, h, w, levels, n = 3, 4, 5, 7, 2
    picture = noise.integers(0, 256, (c, h, w), np.uint8)
    values = noise.integers(0, 256, (n, c * w), np.uint8)
    log_p = noise.normal(size=(n, c * w)).astype("<f4")
    halves = noise.normal(size=(c * w, levels)).astype("<f2")
    row = np.array([3, n], "<u2").tobytes() + values.tobytes() + log_p.tobytes() + halves.tobytes()
    pixels.watched.empty()
    found = pixels.page.evaluate(
        """async ([base, picture, shape, row]) => {
          const { fromHalf, parseRow, toPlanes, toScan } = await import(`${base}/pixels/stream.js`);
          const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const plain = (numbers) => btoa([...new Uint8Array(numbers.buffer)].map((b) => String.fromCharCode(b)).join(""));
          const all = fromHalf(Uint16Array.from({ length: 65536 }, (_, i) => i));
          const scan = toScan(bytes(picture), shape);
          const padded = new Uint8Array([9, 9, 9, ...bytes(row)]).subarray(3); // as within a longer answer
          const parse = (from) => {
            const { row, n, values, logp, logits } = parseRow(from, { width: shape[0] * shape[2] });
            return { row, n, values: values.map(plain), logp: logp.map(plain), logits: logits && plain(logits) };
          };
          const bare = padded.slice(0, padded.length - 2 * 7 * shape[0] * shape[2]);
          const planes = plain(toPlanes(scan, shape));
          return { all: plain(all), scan: plain(scan), planes, row: parse(padded), bare: parse(bare) };
        }""",
        [BASE, base64.b64encode(picture.tobytes()).decode(), [c, h, w], base64.b64encode(row).decode()],
    )

    def array(text: str, kind: str) -> NDArray[Any]:
        return np.frombuffer(base64.b64decode(text), kind)

    every = np.arange(65536, dtype="<u2").view("<f2").astype("<f4")
    np.testing.assert_array_equal(array(found["all"], "<f4"), every)  # NaN where it is NaN
    np.testing.assert_array_equal(np.signbit(array(found["all"], "<f4")[every == 0]), np.signbit(every[every == 0]))
    np.testing.assert_array_equal(array(found["scan"], "u1"), picture.transpose(1, 2, 0).ravel())
    np.testing.assert_array_equal(array(found["planes"], "u1"), picture.ravel())
    for one in (found["row"], found["bare"]):
        assert (one["row"], one["n"]) == (3, n)
        np.testing.assert_array_equal([array(v, "u1") for v in one["values"]], values)
        np.testing.assert_array_equal([array(v, "<f4") for v in one["logp"]], log_p)
    np.testing.assert_array_equal(array(found["row"]["logits"], "<f2"), halves.ravel())
    assert found["bare"]["logits"] is None


def test_the_browser_tempers_as_python_does(pixels: Pixels) -> None:
    values = np.random.default_rng(1).normal(0, 6, (4, 256)).astype("<f4")
    values[1] = -60_000
    values[1, 7] = 0
    pixels.watched.empty()
    for temperature in (0, 0.05, 0.5, 1, 2):
        found = pixels.page.evaluate(
            "async ([base, rows, t]) => { const { tempered } = await import(`${base}/pixels/inspector.js`); "
            "return rows.map((row) => [...tempered(Float32Array.from(row), t)]); }",
            [BASE, values.tolist(), temperature],
        )
        wanted = torch.softmax(torch.tensor(values).double() / max(temperature, 1e-6), 1)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=str(temperature))


def test_the_browser_finds_the_same_blind_spots_as_python(pixels: Pixels) -> None:
    pixels.watched.empty()
    some = range(0, 784, 9)  # in every column; Python takes its time
    for key, found_any in (("mnist-plain", True), ("mnist", False)):
        views = torch.stack([seen(network(key), *divmod(i, 28)) for i in some]).to(torch.uint8)
        packed = pixels.page.evaluate(
            """async ([base, packed, some]) => {
              const { blindSpot } = await import(`${base}/pixels/inspector.js`);
              const all = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
              return some.map((pixel, i) => blindSpot(all.subarray(784 * i, 784 * (i + 1)), pixel, 28).join("")).join("");
            }""",
            [BASE, base64.b64encode(views.numpy().tobytes()).decode(), list(some)],
        )
        found = np.frombuffer(packed.encode(), np.uint8).reshape(-1, 28, 28) == ord("1")
        wanted = torch.stack([blind_spot(network(key), *divmod(i, 28)) for i in some]).numpy()
        np.testing.assert_array_equal(found, wanted)
        assert found.any() == found_any
