"""β live: the view alone, fed line by line with runs that the real training makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from conftest import Watched
from playwright.sync_api import Page, expect

from playground import latent_live, text
from playground.components import BASE

TEXT = text.page("latents")["stage"]["live_view"]
STEPS = 100
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
MOUNT = """async ([base, text, recording, settings]) => {
  const { liveView } = await import(`${base}/latents/live_view.js`);
  // A server that answers when the test says so: each request for a training is a stream in window.asked.
  const fetch = window.fetch;
  window.asked = [];
  window.fetch = (url, options) => {
    if (!String(url).startsWith('/play/latents/train')) return fetch(url, options);
    const one = { url: String(url), aborted: false, refuse: null };
    window.asked.push(one);
    const body = new ReadableStream({ start(controller) {
      one.feed = (text) => controller.enqueue(new TextEncoder().encode(text));
      one.end = () => controller.close();
      options.signal.addEventListener('abort', () => {
        one.aborted = true;
        controller.error(new DOMException('The request was given up.', 'AbortError'));
      });
    } });
    if (window.refusal) return Promise.resolve(new Response(JSON.stringify({ error: window.refusal }), { status: 503 }));
    return Promise.resolve(new Response(body, { status: 200 }));
  };
  const stage = document.createElement('div');
  stage.id = 'try';
  stage.className = 'gmp gmp-card';
  const host = document.createElement('div');
  host.className = 'lt-view lt-view-live';
  const bar = document.createElement('div');
  bar.hidden = true;
  stage.append(host, bar);
  document.querySelector('.gmp-page').append(stage);
  window.settings = { beta: 1, seed: 0, ...settings };
  window.said = { badge: null, fails: [], took: null, files: [] };
  const ctx = {
    words: {}, text, models: {}, recordings: { live: recording }, settings: () => window.settings,
    change(patch) { Object.assign(window.settings, patch); window.view.settings(new Set(Object.keys(patch))); },
    fail: (error) => window.said.fails.push(error.message), fine() {}, facts() {},
    badge: (kind) => (window.said.badge = kind), took: (seconds) => (window.said.took = seconds),
    download: (name, blob) => window.said.files.push([name, blob.type, blob.size]),
  };
  window.view = liveView(host, ctx, { bar });
  window.view.show();
}"""


@cache
def trained(beta: float, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """A short run of the real training, as it travels."""
    return tuple(latent_live.training(beta=beta, seed=seed, steps=STEPS))


@cache
def recording() -> dict[str, Any]:
    head, *steps = trained(1.0)
    other = trained(20.0)[-1] | {"beta": 20.0, "seed": 0}
    return {
        "head": head,
        "steps": steps,
        "others": [{key: other[key] for key in ("beta", "seed", "kl", "reconstruction", "active")}],
    }


class Live:
    """A visitor of the view."""

    def __init__(self, watched: Watched, **settings: Any) -> None:
        self.page: Page = watched.empty()
        self.page.locator(".gmp-page h1").wait_for()
        self.page.evaluate(MOUNT, [BASE, TEXT, recording(), settings])
        self.host = self.page.locator(".lt-view-live")
        self.status = self.host.locator(".lt-live-state")
        self.train = self.host.locator("[data-action=train]")
        self.stop = self.host.locator("[data-action=stop]")
        self.verdict = self.host.locator(".lt-live-verdict")
        self.slider = self.host.get_by_role("slider", name=TEXT["beta"])
        self.scrub = self.page.get_by_role("group", name=TEXT["timeline"]["label"]).get_by_role("slider")

    def feed(self, *lines: dict[str, Any], number: int = -1) -> None:
        """Lines of the server's answer to the last request, cut in two at an awkward place."""
        whole = "".join(json.dumps(line) + "\n" for line in lines)
        for part in (whole[: len(whole) // 3], whole[len(whole) // 3 :]):
            self.page.evaluate("([i, text]) => asked.at(i).feed(text)", [number, part])

    def whole(self, beta: float, seed: int = 0) -> None:
        """All of a run, and its end."""
        self.feed(*trained(beta, seed), {"kind": "end", "seconds": 1.5})
        self.page.evaluate("asked.at(-1).end()")
        expect(self.host).to_have_attribute("data-state", "done")
        self.page.wait_for_function("document.querySelector('.timeline').dataset.playing === 'false'")
        self.painted()

    def painted(self) -> None:
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def formula(self) -> list[float]:
        """Reconstruction, β, KL, and the loss."""
        return [float(one.replace("−", "-")) for one in self.host.locator("math mn").all_text_contents()]

    def said(self, what: str) -> Any:
        return self.page.evaluate(f"said.{what}")

    def points(self) -> dict[float, tuple[str, float, float]]:
        """Of the picture of all runs: by β, recorded or live, and where."""
        found = self.host.locator("circle[data-beta]").evaluate_all(
            "all => all.map(c => [Number(c.dataset.beta), c.getAttribute('class'), Number(c.getAttribute('cx')),"
            " Number(c.getAttribute('cy'))])"
        )
        return {beta: (kind, x, y) for beta, kind, x, y in found}


@pytest.fixture
def live(watched: Watched) -> Iterator[Live]:
    one = Live(watched)
    yield one
    watched.assert_clean()


def test_it_opens_on_the_recorded_run_and_asks_nothing(live: Live) -> None:
    live.painted()
    end = trained(1.0)[-1]
    assert live.said("badge") == "recorded"
    assert live.page.evaluate("asked.length") == 0
    assert live.formula() == pytest.approx([end["reconstruction"], 1, end["kl"], end["reconstruction"] + end["kl"]], abs=0.051)
    expect(live.status).to_contain_text("Recorded: β = 1, seed 0")
    assert {beta: kind for beta, (kind, _, _) in live.points().items()} == {1: "recorded", 20: "recorded"}
    painted = live.host.locator(".lt-live-map canvas").evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )
    assert painted > 50  # the codes of ten classes, and the prior


def test_a_training_is_followed_and_pulls_the_losses(live: Live) -> None:
    live.slider.focus()
    live.page.keyboard.press("End")
    assert live.page.evaluate("settings.beta") == 16
    expect(live.train).to_have_text("Train with β = 16")
    live.train.click()
    assert live.page.evaluate("asked[0].url").endswith("beta=16&seed=0")
    expect(live.stop).to_be_enabled()
    head, *steps = trained(16.0)
    live.feed({"kind": "waiting", "before": 2})
    expect(live.status).to_have_text("In the queue: 2 runs before yours.")
    live.feed({"kind": "waiting", "before": 1})
    expect(live.status).to_have_text("In the queue: 1 run before yours.")
    live.feed({"kind": "starting"})
    expect(live.status).to_contain_text("The process is starting")
    assert live.said("badge") == "recorded"  # still what was stored
    live.feed(head, *steps[:3])
    expect(live.status).to_have_text("Training with β = 16, seed 0: step 40 of 100.")
    assert live.host.locator("progress").evaluate("p => p.value") == pytest.approx(0.4)
    assert live.said("badge") == "live"
    live.feed(*steps[3:], {"kind": "end", "seconds": 1.5})
    live.page.evaluate("asked[0].end()")
    expect(live.host).to_have_attribute("data-state", "done")
    live.page.wait_for_function("document.querySelector('.timeline').dataset.playing === 'false'")
    live.painted()
    expect(live.stop).to_be_disabled()
    assert live.said("took") == 1.5
    end = steps[-1]
    assert live.formula() == pytest.approx(
        [end["reconstruction"], 16, end["kl"], end["reconstruction"] + 16 * end["kl"]], abs=0.051
    )
    assert end["active"] == [False, False]
    expect(live.verdict).to_contain_text("Both dimensions are dead")
    expect(live.host).to_contain_text("a looser one")
    expect(live.host.locator("[data-loss=kl] path.former")).to_have_count(1)  # the run before, pale
    points = live.points()
    assert points[16][0] == "live"
    assert points[16][1] < points[1][1]  # less KL
    assert points[16][2] < points[1][2]  # and a dearer reconstruction: higher up


def test_the_timeline_replays_the_run(live: Live) -> None:
    _, *steps = trained(1.0)
    assert live.scrub.get_attribute("max") == str(len(steps) - 1)
    live.scrub.focus()
    seen = []
    for key in ("Home", "ArrowRight", "End"):
        live.page.keyboard.press(key)
        live.painted()
        seen.append(live.formula()[2])
    assert seen == pytest.approx([steps[i]["kl"] for i in (0, 1, -1)], abs=0.0051)
    live.page.keyboard.press("Home")
    expect(live.verdict).to_contain_text("Not trained yet")


def test_stopping_ends_the_request_and_keeps_what_has_come(live: Live) -> None:
    live.train.click()
    head, *steps = trained(1.0)
    live.feed(head, *steps[:3])
    expect(live.status).to_contain_text("step 40")
    live.stop.click()
    expect(live.status).to_have_text("Stopped at step 40 of 100, with β = 1.")
    assert live.page.evaluate("asked[0].aborted")
    assert live.scrub.get_attribute("max") == "2"
    assert live.said("fails") == []


def test_training_again_takes_the_place_of_the_run_under_way(live: Live) -> None:
    live.train.click()
    live.feed(*trained(1.0)[:3])
    live.page.evaluate("settings.beta = 0; view.settings(new Set(['beta'])); view.again()")
    assert live.page.evaluate("asked.map(one => one.aborted)") == [True, False]
    live.whole(0.0)
    assert live.formula()[1] == 0
    expect(live.host).to_contain_text("With β below 1 the loss is no bound.")
    assert live.said("fails") == []


def test_a_new_seed_trains_and_leaving_the_view_ends_it(live: Live) -> None:
    live.page.evaluate("settings.seed = 7; view.settings(new Set(['seed']))")
    assert live.page.evaluate("asked[0].url").endswith("beta=1&seed=7")
    live.page.evaluate("view.hide()")
    assert live.page.evaluate("asked[0].aborted")
    assert live.page.locator(".timeline").count() == 0


def test_what_goes_wrong_is_a_sentence_and_the_last_picture_stays(live: Live) -> None:
    live.page.evaluate("window.refusal = '20 runs are waiting already, the limit: try again in a minute.'")
    live.train.click()
    live.page.wait_for_function("said.fails.length === 1")
    live.page.evaluate("window.refusal = null")
    live.train.click()
    live.feed({"kind": "error", "error": "The run took longer than 40 s, the limit: it was ended."})
    live.page.wait_for_function("said.fails.length === 2")
    live.train.click()
    live.feed(*trained(1.0)[:2])
    live.page.evaluate("asked.at(-1).end()")  # the server is gone in the middle
    live.page.wait_for_function("said.fails.length === 3")
    assert live.said("fails") == [
        "20 runs are waiting already, the limit: try again in a minute.",
        "The run took longer than 40 s, the limit: it was ended.",
        TEXT["broken"],
    ]
    expect(live.stop).to_be_disabled()
    live.train.click()
    live.whole(1.0)  # and the next one comes


def test_a_link_that_names_another_beta_is_trained_as_the_view_opens(watched: Watched) -> None:
    live = Live(watched, beta=2.5, seed=3)
    assert live.page.evaluate("asked.map(one => one.url)") == ["/play/latents/train?beta=2.5&seed=3"]
    expect(live.host.locator("output").first).to_have_text("β = 2.5")
    live.whole(2.5, 3)
    watched.assert_clean()


def test_numbers_and_pictures_can_be_taken_away(live: Live) -> None:
    found = live.page.evaluate("view.json()")["live"]
    _, *steps = trained(1.0)
    assert [one["kl"] for one in found["snapshots"]] == [step["kl"] for step in steps]
    assert {one["beta"] for one in found["runs"]} == {1, 20}
    live.painted()
    live.page.evaluate("view.png('latents-live')")
    live.page.wait_for_function("said.files.length === 1")
    name, kind, size = live.said("files")[0]
    assert (name, kind) == ("latents-live.png", "image/png")
    assert size > 2_000


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows_and_fingers_find_their_place(watched: Watched) -> None:
    live = Live(watched)
    live.painted()
    assert watched.overflow() == 0
    for part in (live.train, live.stop, live.slider):
        box = part.bounding_box()
        assert box is not None
        assert box["height"] >= 40
    watched.assert_clean()


@pytest.mark.parametrize("watched", [{"reduced_motion": "reduce"}], indirect=True)
def test_who_wants_no_motion_sees_the_end_alone(watched: Watched) -> None:
    live = Live(watched)
    live.train.click()
    live.feed(*trained(20.0), {"kind": "end", "seconds": 1.0})
    live.page.evaluate("asked.at(-1).end()")
    expect(live.host).to_have_attribute("data-state", "done")
    live.painted()
    assert live.page.locator(".timeline").get_attribute("data-playing") == "false"
    expect(live.host).to_have_attribute("data-step", str(STEPS))
    watched.assert_clean()
