"""The index: a live picture and a question for each page."""

from __future__ import annotations

from conftest import Watched
from playwright.sync_api import expect


def test_each_page_has_a_card_with_a_live_picture_and_its_question(watched: Watched) -> None:
    page = watched.open("/")
    card = page.locator(".cards a")
    expect(card).to_have_count(1)
    expect(card.first).to_contain_text("Where do new pictures come from?")
    expect(card.first.locator(".badge")).to_have_text("live")
    first = card.first.locator("canvas").first.evaluate("c => c.toDataURL()")
    page.wait_for_function("old => document.querySelector('.cards canvas').toDataURL() !== old", arg=first)
    card.first.click()
    expect(page.locator("h1")).to_have_text("Where do new pictures come from?")
    expect(page.get_by_role("link", name="VAE", exact=True)).to_have_attribute("aria-current", "page")
    watched.assert_clean()


def test_a_first_view_is_light(watched: Watched) -> None:
    client = watched.page.context.new_cdp_session(watched.page)
    client.send("Network.enable")
    received = []
    client.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    page = watched.open("/vae")
    page.locator("[data-ready=true]").wait_for()
    page.wait_for_timeout(3000)
    assert sum(received) <= 1_500_000
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
    expect(page.locator(".cards a")).to_have_count(1)
