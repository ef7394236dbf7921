"""The index: a live picture and a question for each page."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import expect

from models import zoo
from playground import recordings, shell


def test_each_page_has_a_card_with_a_live_picture_and_its_question(watched: Watched) -> None:
    page = watched.open("/")
    card = page.locator(".cards a")
    expect(card).to_have_count(len(shell.PAGES))
    clouds, vae, latents, pixels = (card.nth(index) for index in range(4))
    expect(clouds).to_contain_text("which model is right?")
    expect(vae).to_contain_text("Where do new pictures come from?")
    expect(latents).to_contain_text("What does each number of z mean?")
    expect(pixels).to_contain_text("what may come next?")
    expect(vae.locator(".badge")).to_have_text("live")
    expect(clouds.locator(".badge")).to_have_text(re.compile("recorded|live"))
    under = card.nth(4).locator(".under")
    expect(under).not_to_have_text(under.inner_text())  # one model after the other
    for index in range(4):  # all move
        first = card.nth(index).locator("canvas").first.evaluate("c => c.toDataURL()")
        page.wait_for_function(
            "([i, old]) => document.querySelectorAll('.cards a')[i].querySelector('canvas').toDataURL() !== old",
            arg=[index, first],
        )
    vae.click()
    expect(page.locator("h1")).to_have_text("Where do new pictures come from?")
    expect(page.get_by_role("link", name="VAE", exact=True)).to_have_attribute("aria-current", "page")
    page.goto(watched.url)
    clouds.click()
    expect(page.locator("h1")).to_contain_text("which model is right?")
    expect(page.get_by_role("link", name="Clouds", exact=True)).to_have_attribute("aria-current", "page")
    page.goto(watched.url)
    pixels.click()
    expect(page.locator("h1")).to_contain_text("what may come next?")
    expect(page.get_by_role("link", name="Pixels", exact=True)).to_have_attribute("aria-current", "page")
    watched.assert_clean()


def test_the_card_of_pixels_goes_on_with_what_is_written_now(watched: Watched) -> None:
    page = watched.page
    page.clock.install()
    watched.open("/")
    card = page.locator(".cards a").nth(3)
    expect(card.locator("canvas")).to_have_count(12)
    expect(card.locator(".badge")).to_have_text("recorded")
    page.clock.fast_forward(8_000)  # the recorded ones are finished, and have been looked at
    expect(card.locator(".badge")).to_have_text("live")
    page.clock.fast_forward(5_000)
    painted = page.wait_for_function(
        """() => {
          const grey = (c) => [...c.getContext("2d").getImageData(0, 0, 28, 28).data];
          const all = [...document.querySelectorAll(".px-strip canvas")].map(grey);
          return all.every((one) => one.at(-1) === 255) && all.map((one) => one.filter((_, i) => i % 4 === 0));
        }"""
    ).json_value()
    model: Any = zoo.load("pixelcnn-mnist")
    first = recordings.load("pixels_card")["seed"]
    later = [model.sample(12, noise=first + k).numpy().reshape(12, -1) for k in (1, 2, 3)]  # a slow machine is further on
    assert any(np.array_equal(painted, images) for images in later)
    watched.assert_clean()


@pytest.mark.parametrize("path", ["/vae", "/clouds", "/latents", "/pixels"])
@pytest.mark.parametrize("watched", [{"viewport": {"width": 1280, "height": 900}}], indirect=True)  # an empty cache
def test_a_first_view_is_light(watched: Watched, path: str) -> None:
    """Plotly comes after the first picture, compressed, and counts apart."""
    client = watched.page.context.new_cdp_session(watched.page)
    client.send("Network.enable")
    names: dict[str, str] = {}
    received: dict[str, int] = {}
    client.on("Network.requestWillBeSent", lambda event: names.update({event["requestId"]: event["request"]["url"]}))
    client.on("Network.loadingFinished", lambda event: received.update({event["requestId"]: event["encodedDataLength"]}))
    page = watched.open(path)
    page.locator("[data-ready=true]").wait_for()
    if path == "/clouds":
        page.locator(".plotly-view[data-drawn]").first.wait_for()
    page.wait_for_timeout(3000)
    plotly = [size for request, size in received.items() if names[request].endswith("plotly.min.js")]
    assert sum(received.values()) - sum(plotly) <= 1_500_000
    assert sum(plotly) <= 1_600_000
    assert len(plotly) == (path == "/clouds")
    if plotly:
        began, painted = page.evaluate(
            "() => [performance.getEntriesByType('resource').find((one) => one.name.endsWith('plotly.min.js')).startTime, "
            "performance.getEntriesByName('first-contentful-paint')[0].startTime]"
        )
        assert began > painted
    watched.assert_clean()


def test_light_and_dark_and_projector_are_remembered(watched: Watched) -> None:
    page = watched.open("/")
    background = "() => getComputedStyle(document.body).backgroundColor"
    page.get_by_role("button", name="Light or dark").wait_for()
    light = page.evaluate(background)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(background)
    assert dark != light
    page.get_by_role("button", name="Projector").click()
    page.goto(f"{watched.url}/vae")
    page.get_by_role("button", name="Projector", pressed=True).wait_for()
    assert page.evaluate(background) == dark


def test_an_unknown_address_leads_home(watched: Watched) -> None:
    page = watched.open("/nope")
    expect(page.locator("h1")).to_have_text("There is no such page here.")
    page.get_by_role("link").click()
    expect(page.locator(".cards a")).to_have_count(len(shell.PAGES))
