"""The pure functions of the ES modules, imported in the browser, against Python."""

from __future__ import annotations

import math

import pytest
from conftest import Watched
from playwright.sync_api import Page

from playground.components import BASE
from playground.pages.vae import VaeSettings


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.empty()


def test_newest_skips_what_is_overtaken_and_never_the_last(page: Page) -> None:
    done = page.evaluate(
        """async (base) => {
          const { newest } = await import(`${base}/lib/api.js`);
          const done = [];
          const pause = (ms) => new Promise((r) => setTimeout(r, ms));
          const push = newest(async (value) => { await pause(Math.random() * 20); done.push(value); });
          for (let i = 0; i < 200; i++) { push(i); if (i % 20 === 0) await pause(Math.random() * 10); }
          await pause(200);
          return done;
        }""",
        BASE,
    )
    assert done[-1] == 199
    assert done == sorted(done)
    assert len(done) < 100


def test_newest_goes_on_after_an_error(page: Page) -> None:
    done = page.evaluate(
        """async (base) => {
          const { newest } = await import(`${base}/lib/api.js`);
          const done = [];
          const work = async (value) => { if (value === 1) throw new Error("no"); done.push(value); };
          const push = newest(work, () => done.push("failed"));
          push(1); await new Promise((r) => setTimeout(r, 10)); push(2); await new Promise((r) => setTimeout(r, 10));
          return done;
        }""",
        BASE,
    )
    assert done == ["failed", 2]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_contours_hold_their_share_of_the_prior(page: Page, share: float) -> None:
    radius = page.evaluate("async ([base, s]) => (await import(`${base}/latent_pad/latent_pad.js`)).radius(s)", [BASE, share])
    assert 1 - math.exp(-(radius**2) / 2) == pytest.approx(share)


def test_the_browser_writes_links_as_python_does(page: Page) -> None:
    settings = VaeSettings(data="fashion", seed=12, z=(0.5, -1.25), holes=True, spread=1.35)
    written = page.evaluate(
        "async ([base, s, d]) => (await import(`${base}/lib/lesson.js`)).query(s, d)",
        [BASE, settings.model_dump(mode="json"), VaeSettings.defaults()],
    )
    assert written == f"?{settings.to_query()}"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.001, 2, "0.00"), (-1234.5, 1, "−1\u202f234.5"), (0.5, 2, "0.50"), (1e6, 0, "1\u202f000\u202f000")],
)
def test_numbers_are_written_as_people_write_them(page: Page, value: float, digits: int, text: str) -> None:
    assert page.evaluate("async ([b, v, d]) => (await import(`${b}/lib/dom.js`)).number(v, d)", [BASE, value, digits]) == text


def test_pixels_are_painted_as_they_are(page: Page) -> None:
    painted = page.evaluate(
        """async (base) => {
          const { paint } = await import(`${base}/lib/pixels.js`);
          const canvas = document.createElement("canvas");
          paint(canvas, Uint8Array.from({ length: 784 }, (_, i) => i % 256));
          return Array.from(canvas.getContext("2d").getImageData(0, 0, 28, 28).data);
        }""",
        BASE,
    )
    assert painted[::4] == [i % 256 for i in range(784)]
    assert set(painted[3::4]) == {255}


def test_modules_are_kept_for_ever_and_nothing_else_is_served(page: Page) -> None:
    answers = page.evaluate(
        """async (base) => Promise.all(["lib/api.js", "__init__.py", "../shell.py", "nothing.js"].map(async (file) => {
          const response = await fetch(`${base}/${file}`);
          return [response.status, response.headers.get("cache-control"), response.headers.get("content-type")];
        }))""",
        BASE,
    )
    assert answers[0][0] == 200
    assert "immutable" in answers[0][1]
    assert "javascript" in answers[0][2]
    assert [answer[0] for answer in answers[1:]] == [404, 404, 404]
