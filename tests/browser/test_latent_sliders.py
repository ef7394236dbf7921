"""The sliders under a hand, a finger and a keyboard: what is painted is what the library decodes, and never what is overtaken.

A small server of its own, with networks of random weights: one dimension of them says nothing and moves nothing.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from conftest import Watched
from playwright.sync_api import Browser, BrowserContext, Page, expect
from safetensors.torch import save_file
from starlette.applications import Starlette
from starlette.middleware import Middleware

from benchmarks.serving import free_port
from models import zoo
from models.data import sprites
from models.measures import disentanglement
from models.noise import Noise
from models.rotation import rotation
from models.scoring import FRESH_SEED, encoded, factor_bins
from models.vae import VAE, kl_to_prior
from playground import latent_play, play, text
from playground.components import BASE, mount_modules
from playground.guard import Guard
from playground.inference import Inference

COLOUR, GREY = "vae-sprites-tiny", "vae-mnist-tiny"
SILENT = 1  # the dimension that says nothing
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
TEXT = text.page("latents")["stage"]["sliders"]

MOUNT = """async ([base, text, models, settings, dark]) => {
  const { slidersView } = await import(`${base}/latents/sliders_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  card.innerHTML = '<div id="lt-view-sliders"></div><div id="bar" hidden></div>';
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  const start = { model: "colour", z: [], turn: 0, goal: 0, seed: 7, ...settings };
  Object.assign(window, { settings: start, changes: [], failures: [], said: {} });
  window.outside = (patch) => { Object.assign(window.settings, patch); window.view.settings(new Set(Object.keys(patch))); };
  const change = (patch, { quiet = false } = {}) => {
    Object.assign(window.settings, patch);
    changes.push({ patch, quiet });
    if (!quiet) window.view.settings(new Set(Object.keys(patch)));
  };
  window.view = slidersView(document.querySelector("#lt-view-sliders"), {
    words: {}, text, models, settings: () => window.settings, change, fine() {},
    fail: (error) => failures.push(String(error.message)),
    badge: (kind) => (said.badge = kind), took: (s) => (said.took = s), facts: (f) => (said.facts = f),
    download: (name) => (said.saved = name),
  }, { bar: document.querySelector("#bar") });
  window.view.show();
}"""

DELAYS = """() => {
  const fetched = window.fetch;
  window.fetch = async (...call) => {
    const answer = await fetched(...call);
    if (String(call[0]).includes("/play/decode")) await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    return answer;
  };
}"""

PLANES = """([selector, first, width]) => {
  const c = document.querySelector(selector);
  const bytes = c.getContext("2d").getImageData(first, 0, width || c.width, c.height).data;
  return Array.from(bytes);
}"""


def publish(folder: Path, name: str, data: str, shape: tuple[int, int, int], seed: int) -> None:
    """A checkpoint whose dimension `SILENT` has posteriors N(0, 1) and no way into the decoder."""
    torch.manual_seed(seed)
    model = VAE(latent=4, shape=shape, network="mlp", hidden=12, scale=25.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.25)
        into = next(p for p in model.decoder.parameters() if p.ndim == 2)
        into[:, SILENT] = 0
        *_, weight, bias = model.encoder.parameters()
        for row in (SILENT, 4 + SILENT):
            weight[row], bias[row] = 0, 0
    model.save_pretrained(folder / name)
    scores: dict[str, Any] = {"weights_sha256": zoo.digest(folder / name / "model.safetensors"), "data": data}
    if data == "sprites-256":
        factors = sprites.draw(300, noise=FRESH_SEED)
        posterior = encoded(model.double(), sprites.render(factors))
        scores["kl_by_dimension"] = kl_to_prior(posterior).mean(0).tolist()
        scores["scores"] = {"elbo": {"images": 300}}
        scores["disentanglement"] = disentanglement.report(posterior, factor_bins(factors), noise=1).to_json()
        tensors = {"mean": posterior.mean, "std": posterior.std, "labels": factors.shape.to(torch.uint8)}
        save_file(tensors, folder / name / "latents.safetensors")
    (folder / name / "scores.json").write_text(json.dumps(scores))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
        publish(folder, COLOUR, "sprites-256", (3, 32, 32), 1)
        publish(folder, GREY, "mnist", (1, 28, 28), 2)
        play._card.cache_clear()
        engine, port = Inference(), free_port()
        app = Starlette(
            routes=[*play.routes(engine), *latent_play.routes(engine), mount_modules()], middleware=[Middleware(Guard)]
        )
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)
    play._card.cache_clear()


def models() -> dict[str, dict[str, Any]]:
    cards = {"colour": zoo.card(COLOUR), "grey": zoo.card(GREY)}
    return {
        key: {
            "key": key,
            "name": card.name,
            "shape": card.spec.shape,
            "levels": card.spec.levels,
            "latent": card.spec.latent,
            "title": key,
            "facts": f"the {key} one",
        }
        for key, card in cards.items()
    }


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    one = browser.new_context(viewport={"width": 900, "height": 900})
    yield one
    one.close()


@pytest.fixture
def sliders(served: str, browser: Browser, context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Watched]:
    options = getattr(request, "param", None)
    own = browser.new_context(**options) if options else context
    watched = Watched(own, served)
    yield watched
    watched.assert_clean()
    assert watched.page.evaluate("window.failures ?? []") == []
    watched.page.close()
    if options:
        own.close()


def mount(watched: Watched, *, dark: bool = False, **settings: Any) -> Page:
    page = watched.empty()
    page.evaluate(MOUNT, [BASE, TEXT, models(), settings, dark])
    turn, name = settings.get("turn", 0), models()[settings.get("model", "colour")]["name"]
    page.locator(f'[data-shown="{name} {turn}"]').first.wait_for()
    settled(page)
    return page


def settled(page: Page) -> list[float]:
    """Waits until picture and strips are those that were wanted last; the z that is painted."""
    page.wait_for_timeout(120)  # a hand that rests
    page.wait_for_function(
        """() => {
          const [c, l] = ["canvas[data-wanted]", ".ls-list"].map((one) => document.querySelector(one).dataset);
          return c.wanted === c.painted && l.strips && l.strips === l.stripsWanted;
        }"""
    )
    return [float(v) for v in (page.locator("canvas[data-wanted]").get_attribute("data-painted") or "").split(",")]


def planes(page: Page, selector: str, channels: int, first: int = 0, width: int = 0) -> np.ndarray:
    """uint8 `(C, H, W)` of a canvas, or of a part of it."""
    values = np.array(page.evaluate(PLANES, [selector, first, width]), np.uint8)
    height = page.evaluate("s => document.querySelector(s).height", selector)
    return values.reshape(height, -1, 4)[:, :, :channels].transpose(2, 0, 1)


def expected(z: list[float], name: str = COLOUR) -> np.ndarray:
    model: Any = zoo.load(name)
    return model.decode(torch.tensor([z], dtype=torch.float64))[0].detach().numpy()


def slider(page: Page, j: int) -> Any:
    return page.locator(f"input[data-dim='{j}']")


def test_the_picture_follows_a_slider_and_the_address_gets_z(sliders: Watched) -> None:
    page = mount(sliders)
    order = page.locator(".ls-right > .ls-list .ls-row").evaluate_all("all => all.map((one) => Number(one.dataset.dim))")
    kl = zoo.card(COLOUR).scores["kl_by_dimension"]
    assert order == sorted((j for j in range(4) if j != SILENT), key=lambda j: -kl[j])
    slider(page, 2).fill("1.37")
    slider(page, 0).fill("-2.5")
    z = settled(page)
    assert z == [-2.5, 0, 1.37, 0]
    np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 3), expected(z))
    np.testing.assert_array_equal(planes(page, ".ls-row[data-dim='3'] .ls-here", 3), expected(z))  # so does every frame
    assert page.evaluate("changes.at(-1)") == {"patch": {"z": z}, "quiet": True}
    assert "z = (−2.50, 0.00, 1.37, 0.00)" in page.locator("[data-reading=z]").inner_text()
    assert page.evaluate("said") | {"took": 0} == {"badge": "live", "took": 0, "facts": "the colour one"}
    page.locator("[data-act=zero]").click()
    assert settled(page) == [0, 0, 0, 0]
    assert page.evaluate("changes.at(-1).patch") == {"z": []}


def test_a_filmstrip_shows_what_its_slider_alone_would_do(sliders: Watched) -> None:
    page = mount(sliders, z=[0.5, 0, -1.0, 2.0])
    for k in (0, 3, 8):
        found = planes(page, ".ls-row[data-dim='3'] canvas", 3, 32 * k, 32)
        np.testing.assert_array_equal(found, expected([0.5, 0, -1.0, -3 + 0.75 * k]))
    slider(page, 0).fill("-1.5")  # let go: the strips of the others follow
    settled(page)
    np.testing.assert_array_equal(planes(page, ".ls-row[data-dim='3'] canvas", 3, 0, 32), expected([-1.5, 0, -1.0, -3]))


def test_a_press_on_a_filmstrip_takes_its_picture_and_the_frame_stands_on_it(sliders: Watched) -> None:
    page = mount(sliders)
    strip = page.locator(".ls-row[data-dim='3'] .ls-strip")
    box = strip.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * (6.7 / 9), box["y"] + 10)
    assert settled(page) == [0, 0, 0, 1.5]
    page.mouse.move(box["x"] + box["width"] * (6.5 / 9), box["y"] + 10)  # a drag, from there by one picture and a half
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (7 / 9), box["y"] + 10, steps=3)
    page.mouse.move(box["x"] + box["width"] * (8 / 9), box["y"] + 10, steps=3)
    page.mouse.up()
    assert settled(page)[3] == pytest.approx(1.5 + 1.5 * 0.75, abs=0.03)


def test_delays_never_leave_a_stale_picture(sliders: Watched) -> None:
    page = mount(sliders)
    page.evaluate(DELAYS)
    for _ in range(3):
        last = page.evaluate(
            """async () => {
              const range = document.querySelector("input[data-dim='0']");
              for (let i = 0; i < 40; i++) {
                range.value = (6 * Math.random() - 3).toFixed(2);
                range.dispatchEvent(new Event("input", { bubbles: true }));
                await new Promise((r) => setTimeout(r, Math.random() * 12));
              }
              range.dispatchEvent(new Event("change", { bubbles: true }));
              return Number(range.value);
            }"""
        )
        z = settled(page)
        assert z == [last, 0, 0, 0]
        np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 3), expected(z))


def test_a_rotation_leaves_the_picture_and_takes_the_meanings(sliders: Watched) -> None:
    z = [0.6, -0.3, 1.25, -1.75]
    page = mount(sliders, z=z)
    before = planes(page, "canvas[data-wanted]", 3)
    captions = page.locator(".ls-caption").all_inner_texts()
    page.locator("[data-act=turn]").click()
    page.locator(f'[data-shown="{COLOUR} 1"]').first.wait_for()
    assert settled(page) == z
    np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 3), before)
    assert page.locator(".ls-caption").all_inner_texts() != captions
    turn = rotation(4, 1)
    stands = [float(slider(page, j).input_value()) for j in range(4)]
    np.testing.assert_allclose(stands, (turn @ torch.tensor(z, dtype=torch.float64)).numpy(), atol=0.006)
    expect(page.locator(".ls-turned")).to_contain_text("N(0, I) looks the same from every side")
    prior = zoo.load(COLOUR).prior(6, noise=7)  # type: ignore[operator]
    page.locator(".ls-turned[data-shown]").wait_for()
    for k in (0, 5):
        found = planes(page, ".ls-turned canvas:last-of-type", 3, 34 * k, 32)
        np.testing.assert_array_equal(found, expected((turn.T @ prior[k]).tolist()))
    slider(page, 0).fill("2.5")
    u = turn @ torch.tensor(z, dtype=torch.float64)
    u[0] = 2.5
    np.testing.assert_allclose(settled(page), (turn.T @ u).numpy(), atol=0.006)
    page.locator("[data-act=undo]").click()
    page.locator(f'[data-shown="{COLOUR} 0"]').first.wait_for()
    settled(page)
    assert page.locator(".ls-caption").all_inner_texts() == captions
    assert page.evaluate("settings.turn") == 0
    expect(page.locator(".ls-turned")).to_be_hidden()


def test_captions_are_what_the_scores_say(sliders: Watched) -> None:
    page = mount(sliders)
    scores = zoo.card(COLOUR).scores
    report = scores["disentanglement"]
    for j in (0, 2, 3):
        said = page.locator(f".ls-row[data-dim='{j}'] .ls-caption").inner_text()
        k = int(np.argmax(report["information"][j]))
        name = TEXT["factors"][report["names"][k]]
        tells = report["information"][j][k] - report["chance"][j][k] > 0.05
        assert (name in said) == tells
        assert said.endswith(f"KL {scores['kl_by_dimension'][j]:.2f}")
        numbers = [float(v) for v in re.findall(r"\d+\.\d+", said)]
        assert numbers[0] == pytest.approx(report["information"][j][k], abs=0.051 if tells else 0.0051)
    page.evaluate("outside({ model: 'grey', z: [], turn: 0 })")
    page.locator(f'[data-shown="{GREY} 0"]').first.wait_for()
    settled(page)
    assert re.fullmatch(r"KL \d+\.\d\d nats", page.locator(".ls-row[data-dim='0'] .ls-caption").inner_text())
    np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 1), expected([0, 0, 0, 0], GREY))
    expect(page.locator("[data-reading=measured]")).to_contain_text("512 samples of the model itself")


def test_what_says_nothing_is_folded_away_and_changes_nothing(sliders: Watched) -> None:
    page = mount(sliders)
    folded = page.locator(".ls-folded")
    expect(folded.locator("summary")).to_contain_text("1 dimension carries nothing")
    expect(folded.locator("summary")).to_contain_text("changes no pixel.")
    expect(slider(page, SILENT)).to_be_hidden()
    folded.locator("summary").click()
    before = planes(page, "canvas[data-wanted]", 3)
    slider(page, SILENT).fill("3")
    assert settled(page) == [0, 3, 0, 0]
    np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 3), before)
    np.testing.assert_array_equal(planes(page, f".ls-row[data-dim='{SILENT}'] canvas", 3, 0, 32), before)


def test_the_seed_leads_to_a_draw_from_the_prior(sliders: Watched) -> None:
    page = mount(sliders)
    page.evaluate("outside({ seed: 41 })")
    page.wait_for_function("changes.length")
    z = settled(page)
    np.testing.assert_allclose(z, zoo.load(COLOUR).prior(1, noise=41)[0], atol=0.0051)  # type: ignore[operator]
    slider(page, 0).fill("0")
    settled(page)
    page.evaluate("view.again()")
    page.wait_for_timeout(200)
    assert settled(page) == z


def test_keys_move_a_slider_by_tenths_and_by_pictures(sliders: Watched) -> None:
    page = mount(sliders)
    slider(page, 2).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "PageUp"):
        page.keyboard.press(key)
    assert settled(page) == [0, 0, 0.85, 0]
    page.keyboard.press("Home")
    assert settled(page) == [0, 0, -3, 0]
    assert page.evaluate("settings.z") == [0, 0, -3, 0]
    expect(page.locator("[role=status]").last).to_contain_text("z₃ = −3.00")


def scored(target: np.ndarray, picture: np.ndarray, blank: np.ndarray) -> float:
    t, y, b = (one.astype(float) for one in (target, picture, blank))
    return 1 - ((t - y) ** 2).sum() / ((t - b) ** 2).sum()


def test_the_game_scores_three_answers(sliders: Watched) -> None:
    page = mount(sliders, goal=5)
    page.locator("canvas[data-goal='5']").wait_for()
    target = sprites.render(sprites.draw(1, noise=Noise(FRESH_SEED).skip(5)))
    np.testing.assert_array_equal(planes(page, "canvas[data-goal]", 3), target[0].numpy())
    blank, answer = expected([0, 0, 0, 0]), page.locator("[data-answer=you]")
    expect(answer).to_be_disabled()
    scores = []
    for value in ("2", "-2"):
        slider(page, 0).fill(value)
        z = settled(page)
        scores.append(scored(target[0].numpy(), expected(z), blank))
        assert float(page.locator(".ls-score").get_attribute("data-score") or "nan") == pytest.approx(scores[-1], rel=1e-12)
    expect(page.locator(".ls-now")).to_contain_text("2 moves")
    found = page.evaluate("view.json().game")
    assert found["answers"]["you"]["score"] == pytest.approx(max(scores), rel=1e-12)
    page.locator("[data-act=encoder]").click()
    expect(page.locator("[data-answer=encoder]")).to_be_enabled()
    z = settled(page)
    model: Any = zoo.load(COLOUR)
    np.testing.assert_allclose(z, model.encode(target).mean[0].detach().numpy(), atol=0.0051)
    page.locator("[data-act=refine]").click()
    expect(page.locator("[data-answer=refined]")).to_be_enabled()
    z = settled(page)
    np.testing.assert_array_equal(planes(page, "canvas[data-wanted]", 3), expected(z))
    found = page.evaluate("view.json().game")
    assert found["answers"]["refined"]["z"] == z
    assert found["answers"]["refined"]["score"] == pytest.approx(scored(target[0].numpy(), expected(z), blank), rel=1e-12)
    page.locator("[data-answer=you]").click()  # the own best is still there
    assert settled(page)[0] == (2 if scores[0] >= scores[1] else -2)
    page.locator("[data-act=next]").click()
    page.locator("canvas[data-goal='6']").wait_for()
    assert page.evaluate("settings.goal") == 6
    page.locator("[data-act=leave]").click()
    expect(page.locator(".ls-game")).to_be_hidden()


@pytest.mark.parametrize("sliders", [PHONE], indirect=True)
def test_a_phone_shows_all_without_overflow(sliders: Watched) -> None:
    page = mount(sliders, goal=3, turn=2)
    page.locator("canvas[data-goal]").wait_for()
    assert sliders.overflow() == 0
    low = page.locator("#lt-view-sliders :is(button, input)").evaluate_all(
        "all => all.filter((one) => one.offsetParent && one.getBoundingClientRect().height < 40).map((one) => one.outerHTML)"
    )
    assert low == []
    page.evaluate("view.settings(new Set(Object.keys(Object.assign(settings, { goal: 0, turn: 0 }))))")
    page.wait_for_timeout(200)
    assert sliders.overflow() == 0
    row = page.locator(".ls-row").nth(0)
    row.scroll_into_view_if_needed()
    box = row.locator("input").bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + box["width"] * 0.95, box["y"] + box["height"] / 2)
    assert max(settled(page)) == 3
