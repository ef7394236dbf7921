"""An autoencoder beside a VAE under a hand, a finger and a keyboard.

The answers here are made up, so that a test knows what each picture must be: a decoded picture holds the place that it was
decoded at.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Page, Request, Route, expect

from playground import text
from playground.components import BASE

MOUNT = """async ([base, settings, words, recordings, dark]) => {
  const { codesView } = await import(`${base}/latents/codes_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  host.className = "lt-view lt-view-codes";
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  Object.assign(window, { settings, changes: [], badges: [], failures: [] });
  const change = (patch) => {
    Object.assign(settings, patch);
    changes.push(patch);
    view.settings(new Set(Object.keys(patch)));
  };
  window.outside = (patch) => { Object.assign(settings, patch); view.settings(new Set(Object.keys(patch))); };
  window.view = codesView(host, {
    text: words.codes, words, recordings, settings: () => ({ ...settings }), change,
    fail: (error) => failures.push(error.message), fine() {}, took() {},
    badge: (kind) => badges.push(kind), download: (name, blob) => (window.saved = [name, blob.size]),
  }, { bar: document.createElement("div") });
  view.show();
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
PROBE = {
    "train": 1000, "test": 500, "repeats": 2, "seed": 0, "per_class": [1, 10, 100], "checkpoints": {},
    "curves": [
        {"features": "pixels", "dims": 784, "mean": [0.4, 0.7, 0.85], "std": [0.05, 0.02, 0.01], "accuracies": []},
        {"features": "pca", "dims": 16, "mean": [0.45, 0.72, 0.8], "std": [0.05, 0.02, 0.01], "accuracies": []},
        {"features": "ae", "dims": 16, "mean": [0.5, 0.74, 0.84], "std": [0.05, 0.02, 0.01], "accuracies": []},
        {"features": "vae", "dims": 16, "mean": [0.55, 0.8, 0.9], "std": [0.05, 0.02, 0.01], "accuracies": []},
    ],
}  # fmt: skip
LOW, HIGH = -4.0, 12.0  # of both made-up maps


def packed(array: Any, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def one_map(share: float) -> dict[str, Any]:
    place = np.random.default_rng(0).normal(4, 2, (50, 2))
    return {
        "low": [LOW, LOW], "high": [HIGH, HIGH], "points": packed(place, "<f4"), "labels": packed(np.arange(50) % 10, "u1"),
        "encoded": 5000, "lone": 0.3, "gaussian": {"mean": [4, 4], "covariance": [4, 1, 1, 4]},
        "mixture": {"weights": [0.5, 0.5], "means": [2, 2, 6, 6], "covariances": [1, 0, 0, 1, 2, 0.5, 0.5, 1]},
        "log_density": {"prior": -12.25, "gaussian": -4.5 - share, "mixture": -3.75},
    }  # fmt: skip


class Fakes:
    """Answers that hold their questions; `delay` keeps each of them back for so many seconds at most."""

    def __init__(self, page: Page, delay: float = 0.0) -> None:
        self.asked: list[str] = []
        self.delay = delay
        self.random = random.Random(1)
        self.refuse: set[str] = set()
        page.route("**/play/latents/**", self.answer)
        page.route("**/play/decode*", self.answer)

    def answer(self, route: Route) -> None:
        request = route.request
        self.asked.append(request.url)
        time.sleep(self.delay * self.random.random())
        name = urlsplit(request.url).path.rsplit("/", 1)[1]
        if name in self.refuse:
            route.fulfill(status=503, json={"error": f"No {name} today."})
        elif name == "decode":
            route.fulfill(body=decoded(request))
        else:
            query = {key: values[0] for key, values in parse_qs(urlsplit(request.url).query).items()}
            route.fulfill(json=getattr(self, name)(query))

    def maps(self, query: dict[str, str]) -> dict[str, Any]:
        maps = {"ae-mnist-2d": one_map(0), "vae-mnist-2d": one_map(1)}
        return {"classes": list("0123456789"), "limit": 50, "near": 0.99, "maps": maps}

    def code_samples(self, query: dict[str, str]) -> dict[str, Any]:
        """All pictures of one grey: that of the seed, plus 10 or 20 for a fit, plus 1 for the VAE."""
        vae = query["model"].startswith("vae")
        grey = int(query["seed"]) + 10 * ("prior", "gaussian", "mixture").index(query["fit"]) + vae
        far = [i < (2 if vae else 9) for i in range(16)]
        z = np.stack([np.linspace(0, 8, 16), np.linspace(1, 3, 16)], 1)
        pictures = np.full((16, 784), grey)
        return {
            "z": packed(z, "<f8"), "pictures": packed(pictures, "u1"), "far": far, "draws": 2000,
            "share_far": 0.006 if vae else 0.573,
            "share_reached": 0.984 if vae else 0.121,
        }  # fmt: skip

    def interpolate(self, query: dict[str, str]) -> dict[str, Any]:
        """Each frame one grey: 100 for pixels, 150 for the AE, 200 for the VAE, plus its number."""
        frames = int(query["steps"])
        strips = {
            key: packed(np.repeat(np.arange(frames)[:, None] + base, 784, 1), "u1")
            for key, base in (("pixels", 100), ("ae", 150), ("vae", 200))
        }
        return {"from": f"digits {query['a']} to {query['b']}", "strips": strips}


def decoded(request: Request) -> bytes:
    """A picture whose first eight bytes are the place, in hundredths from −100."""
    z = np.frombuffer(request.post_data_buffer or b"", "<f8")
    whole = np.round((z + 100) * 100).astype("<u4").view("u1")
    return np.concatenate([whole, np.zeros(784 - len(whole), "u1")]).tobytes()


def mount(watched: Watched, *, dark: bool = False, delay: float = 0.0, **settings: Any) -> tuple[Page, Fakes]:
    page = watched.empty()
    fakes = Fakes(page, delay)
    start = {"fit": "prior", "a": 3, "b": 8, "t": 0.5, "seed": 7} | settings
    page.evaluate(MOUNT, [BASE, start, text.page("latents")["stage"], {"probe": PROBE}, dark])
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", f"{start['fit']} {start['seed']}")
    expect(page.locator("[data-part=between]")).to_have_attribute(
        "data-shown", f"{start['a']} {start['b']} {round(32 * start['t'])}"
    )
    return page, fakes


def grey(page: Page, selector: str) -> int:
    return page.locator(selector).first.evaluate("(c) => c.getContext('2d').getImageData(14, 14, 1, 1).data[0]")


def changes(page: Page) -> list[dict[str, Any]]:
    return page.evaluate("changes")


def lens(page: Page, model: str) -> tuple[float, float] | None:
    """The place that the map says it shows."""
    shown = page.locator(f"[data-model={model}] .lt-map canvas").get_attribute("data-shown")
    return None if shown is None else (float(shown.split(",")[0]), float(shown.split(",")[1]))


def point(page: Page, model: str, x: float, y: float) -> tuple[float, float]:
    """Moves the pointer to shares of the map from its upper left; returns the place."""
    canvas = page.locator(f"[data-model={model}] .lt-map canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    return LOW + x * (HIGH - LOW), HIGH - y * (HIGH - LOW)


# --- Two maps ---------------------------------------------------------------------------------------------------------


def test_both_maps_are_drawn_from_alike_and_the_shares_are_told(watched: Watched) -> None:
    page, fakes = mount(watched)
    assert grey(page, "[data-model=ae] .lt-samples canvas") == 7
    assert grey(page, "[data-model=vae] .lt-samples canvas") == 8
    verdict = page.locator("[data-part=maps] .lt-verdict")
    expect(verdict).to_contain_text("57 %")
    expect(verdict).to_contain_text("0.6 %")
    expect(verdict).to_contain_text("12 % of the autoencoder’s codes and 98 % of the VAE’s")
    expect(page.locator("[data-part=maps]")).to_contain_text("−12.25 nats")
    assert page.locator("[data-model=ae] .lt-samples canvas.far").count() == 9
    expect(page.locator("[data-model=vae] .lt-samples")).to_have_attribute(
        "aria-label", "16 draws, decoded by the VAE; 2 of them land where no code is"
    )
    assert page.evaluate("badges.at(-1)") == "live"
    queries = [parse_qs(urlsplit(url).query) for url in fakes.asked if "code_samples" in url]
    assert {(q["model"][0], q["fit"][0], q["seed"][0]) for q in queries} == {
        ("ae-mnist-2d", "prior", "7"),
        ("vae-mnist-2d", "prior", "7"),
    }
    watched.assert_clean()


def test_another_fit_is_a_setting_and_is_drawn_from(watched: Watched) -> None:
    page, _ = mount(watched)
    page.get_by_role("radio", name="Gaussian").check()
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", "gaussian 7")
    assert changes(page) == [{"fit": "gaussian"}]
    assert grey(page, "[data-model=ae] .lt-samples canvas") == 17
    expect(page.locator("[data-model=vae]")).to_contain_text("−5.50 nats")
    page.keyboard.press("ArrowRight")  # radios walk by themselves
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", "mixture 7")
    expect(page.get_by_role("radio", name="Mixture of 10")).to_be_checked()
    page.evaluate("outside({ seed: 9, fit: 'prior' })")
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", "prior 9")
    expect(page.get_by_role("radio", name="N(0, I)")).to_be_checked()
    assert grey(page, "[data-model=vae] .lt-samples canvas") == 10


def test_of_many_quick_choices_the_last_stands(watched: Watched) -> None:
    page, _ = mount(watched, delay=0.1)
    for fit in ("gaussian", "mixture", "prior", "mixture", "gaussian", "mixture", "prior"):
        page.evaluate("(fit) => outside({ fit })", fit)
        page.wait_for_timeout(15)
    page.wait_for_timeout(900)
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", "prior 7")
    assert grey(page, "[data-model=ae] .lt-samples canvas") == 7
    assert grey(page, "[data-model=vae] .lt-samples canvas") == 8


def test_pointing_decodes_what_is_there_and_never_ends_stale(watched: Watched) -> None:
    page, fakes = mount(watched)
    fakes.delay = 0.06
    place = (0.0, 0.0)
    for i in range(25):
        place = point(page, "ae", 0.1 + 0.03 * i, 0.8 - 0.02 * i)
    page.wait_for_function("() => document.querySelector('[data-model=ae] .lt-map canvas').dataset.shown", timeout=5000)
    page.wait_for_timeout(400)
    assert lens(page, "ae") == pytest.approx(place, abs=0.05)
    assert lens(page, "vae") is None
    sent = [url for url in fakes.asked if "decode" in url]
    assert 2 <= len(sent) <= 25
    assert all("model=ae-mnist-2d" in url for url in sent)
    point(page, "ae", 0.5, 0.5)
    page.mouse.move(2, 2)  # away, while an answer is on its way: it must not come back
    page.wait_for_timeout(300)
    assert lens(page, "ae") is None
    watched.assert_clean()


def test_what_is_painted_in_the_corner_is_what_came(watched: Watched) -> None:
    page, _ = mount(watched)
    point(page, "vae", 0.25, 0.75)
    page.wait_for_function("() => document.querySelector('[data-model=vae] .lt-map canvas').dataset.shown")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    place = lens(page, "vae")
    assert place is not None
    row = page.locator("[data-model=vae] .lt-map canvas").evaluate(
        """(canvas) => {
          const unit = canvas.width / 400, side = 104 * unit, left = canvas.width - side - 8 * unit, top = 8 * unit;
          const c = canvas.getContext("2d");
          const at = (i) => [left + ((i + 0.5) / 28) * side, top + (0.5 / 28) * side + 1, 1, 1];
          return Array.from({ length: 8 }, (_, i) => c.getImageData(...at(i)).data[0]);
        }"""
    )
    whole = np.array(row, "u1").view("<u4") / 100 - 100
    np.testing.assert_allclose(whole, place, atol=0.0051)


def test_the_keyboard_walks_on_a_map(watched: Watched) -> None:
    page, _ = mount(watched)
    canvas = page.locator("[data-model=ae] .lt-map canvas")
    canvas.focus()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelector('[data-model=ae] .lt-map canvas').dataset.shown === '0,0'")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    step = 0.02 * (HIGH - LOW)
    page.wait_for_timeout(200)
    assert lens(page, "ae") == pytest.approx((step, 5 * step))
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(200)
    assert lens(page, "ae") == pytest.approx((HIGH, 5 * step))  # not beyond the window
    page.keyboard.press("Escape")
    page.wait_for_timeout(100)
    assert lens(page, "ae") is None


def test_a_refusal_is_said_and_asked_again(watched: Watched) -> None:
    page, fakes = mount(watched)
    fakes.refuse = {"code_samples", "decode"}
    page.evaluate("outside({ seed: 8 })")
    page.wait_for_function("() => failures.length === 1")
    assert page.evaluate("failures") == ["No code_samples today."]
    point(page, "ae", 0.5, 0.5)
    page.wait_for_function("() => failures.includes('No decode today.')")
    fakes.refuse = set()
    page.evaluate("outside({ seed: 8 })")
    expect(page.locator("[data-part=maps]")).to_have_attribute("data-shown", "prior 8")
    watched.errors.clear()  # the browser's own words on a status of 503


# --- From one picture to another ------------------------------------------------------------------------------------------


def frames(page: Page) -> list[int]:
    return [grey(page, f"[data-line={line}] > canvas.now") for line in ("pixels", "ae", "vae")]


def test_one_slider_moves_all_three_lines(watched: Watched) -> None:
    page, fakes = mount(watched)
    assert frames(page) == [116, 166, 216]
    slider = page.get_by_role("slider", name="How far along the line")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert changes(page) == [{"t": 17 / 32}]
    assert frames(page) == [117, 167, 217]
    expect(slider).to_have_attribute("aria-valuetext", "0.53")
    page.keyboard.press("End")
    assert frames(page) == [132, 182, 232]
    page.locator("[data-line=ae] .lt-frames canvas").nth(2).click()
    assert changes(page)[-1] == {"t": 0.25}
    assert frames(page) == [108, 158, 208]
    assert sum("interpolate" in url for url in fakes.asked) == 1  # moving asks nobody
    page.evaluate("outside({ t: 0.3 })")  # a link's own number: the nearest frame, and it says which
    assert frames(page) == [110, 160, 210]
    expect(page.locator(".lt-t output")).to_have_text("0.31")


def test_other_ends_are_settings(watched: Watched) -> None:
    page, _ = mount(watched)
    page.get_by_role("combobox", name="The digit to begin with").select_option("1")
    page.get_by_role("combobox", name="The digit to end with").select_option("5")
    expect(page.locator("[data-part=between]")).to_have_attribute("data-shown", "1 5 16")
    assert changes(page) == [{"a": 1}, {"b": 5}]
    expect(page.locator("[data-part=between]")).to_contain_text("digits 1 to 5")


# --- The probe ------------------------------------------------------------------------------------------------------------


def test_the_probes_words_follow_its_numbers(watched: Watched) -> None:
    page, _ = mount(watched)
    part = page.locator("[data-part=probe]")
    verdict = part.locator(".lt-verdict")
    behind = text.page("latents")["stage"]["codes"]["probe_behind"]
    expect(verdict).to_contain_text("With 10 labels a class: VAE 80 %, AE 74 %, PCA 72 %, pixels 70 %")
    expect(verdict).not_to_contain_text(behind)
    plot = part.get_by_role("slider")
    plot.focus()
    page.keyboard.press("ArrowRight")
    expect(verdict).to_contain_text("With 100 labels a class: VAE 90 %, pixels 85 %, AE 84 %, PCA 80 %")
    expect(verdict).to_contain_text(behind)
    expect(part.locator(".lt-values .pixels dd")).to_have_text("85.0 ± 1.0 %")
    page.keyboard.press("Home")
    expect(verdict).to_contain_text("With one label a class")
    assert "One label a class: pixels 40.0 ± 5.0 %" in (plot.get_attribute("aria-valuetext") or "")
    expect(part.locator(".badge")).to_have_attribute("data-kind", "recorded")


def test_the_plots_places_are_the_numbers(watched: Watched) -> None:
    """Equal steps on a logarithmic axis; heights by the accuracy; error bars of one deviation to either side."""
    page, _ = mount(watched)
    marks, errors = page.evaluate(
        """() => {
          const all = (what, read) => Object.fromEntries([...document.querySelectorAll("[data-part=probe] svg g")]
            .map((group) => [group.getAttribute("class"), [...group.querySelectorAll(what)].map(read)]));
          const place = (one) => { const { e, f } = one.transform.baseVal[0].matrix; return [e, f]; };
          return [all(".mark", place), all(".error", (one) => [one.y1.baseVal.value, one.y2.baseVal.value])];
        }"""
    )
    heights = np.array([[y for _, y in marks[c["features"]]] for c in PROBE["curves"]])
    shares = np.array([c["mean"] for c in PROBE["curves"]])
    slope, offset = np.polyfit(shares.ravel(), heights.ravel(), 1)
    assert slope < 0
    np.testing.assert_allclose(slope * shares + offset, heights, atol=1e-3)
    for curve in PROBE["curves"]:
        x = [at for at, _ in marks[curve["features"]]]
        assert x[1] - x[0] == pytest.approx(x[2] - x[1])
        ends = np.array(errors[curve["features"]])
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * -slope * np.array(curve["std"]), atol=1e-3)


def test_labels_of_curves_keep_apart(watched: Watched) -> None:
    found = watched.empty().evaluate(
        f"async () => (await import('{BASE}/latents/probe_plot.js')).spread([50, 52, 51, 120, 121, 10], 17)"
    )
    ordered = sorted(found)
    assert all(b - a >= 17 - 1e-9 for a, b in itertools.pairwise(ordered))
    assert [found[i] for i in (5, 0, 2, 1, 3, 4)] == pytest.approx([10, 34, 51, 68, 112, 129])


# --- All of it ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows_and_a_tap_decodes(watched: Watched) -> None:
    page, _ = mount(watched, dark=True, fit="mixture")
    assert watched.overflow() <= 0
    heights = page.locator(".lt-choice label, .lt-ends select, .lt-t input").evaluate_all(
        "(all) => all.map((one) => one.offsetHeight)"
    )
    assert min(heights) >= 40
    canvas = page.locator("[data-model=vae] .lt-map canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    canvas.tap(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.wait_for_function("() => document.querySelector('[data-model=vae] .lt-map canvas').dataset.shown")
    page.wait_for_timeout(150)
    assert lens(page, "vae") == pytest.approx(((LOW + HIGH) / 2, (LOW + HIGH) / 2), abs=0.1)  # it stays to be looked at
    watched.assert_clean()


def test_what_can_be_taken_away(watched: Watched) -> None:
    page, _ = mount(watched)
    found = page.evaluate("view.json()")
    json.dumps(found, allow_nan=False)
    assert found["samples"]["ae"]["share_far"] == 0.573
    assert found["samples"]["vae"]["model"] == "vae-mnist-2d"
    assert len(found["samples"]["ae"]["z"]) == 32
    assert found["between"] == {"a": 3, "b": 8, "t": 0.5}
    page.evaluate("view.png('latents-codes')")
    page.wait_for_function("() => window.saved")
    name, size = page.evaluate("saved")
    assert (name, size > 5_000) == ("latents-codes.png", True)
