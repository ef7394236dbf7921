"""The page "Latents" as a whole: its tabs, its link, its rail. What each view does has tests of its own (test_latent_*)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Browser, Page, expect

from playground import text

WORDS = text.page("latents")
VIEWS = list(WORDS["stage"]["views"])


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Watched(context, address)
    context.close()


def opened(visitor: Watched, query: str = "") -> Page:
    visitor.errors.clear()
    page = visitor.page
    with page.expect_response(lambda r: '"whole":true' in r.text() if "/gradio_api/run/" in r.url else False):
        visitor.open(f"/latents{query}")
    page.locator("[data-ready=true]").first.wait_for()
    return page


def settings(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def painted(page: Page) -> None:
    """The large picture is that of the sliders."""
    page.wait_for_function(
        "() => { const c = document.querySelector('#lt-view-sliders canvas[data-wanted]');"
        " return c && c.dataset.painted && c.dataset.painted === c.dataset.wanted; }"
    )


def test_every_tab_opens_with_something_to_see(visitor: Watched) -> None:
    page = opened(visitor)
    painted(page)
    for view in VIEWS:
        page.locator(f"#lt-tab-{view}").click()
        panel = page.locator(f"#lt-view-{view}")
        expect(panel).to_be_visible()
        expect(panel.locator("canvas, svg").first).to_be_visible()
        assert settings(page).get("view", "sliders") == view
        page.wait_for_timeout(300)
        expect(page.locator("[data-stage=latents] p.notice.error")).to_be_hidden()
        assert visitor.overflow() == 0
    page.go_back()
    expect(page.locator(f"#lt-view-{VIEWS[-2]}")).to_be_visible()
    visitor.assert_clean()


def test_arrow_keys_go_from_tab_to_tab(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&view=bound")
    page.locator("#lt-tab-bound").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#lt-tab-sliders")).to_be_focused()
    expect(page.locator("#lt-view-sliders")).to_be_visible()


def test_a_dragged_slider_is_in_the_link_and_the_link_opens_it(visitor: Watched) -> None:
    page = opened(visitor)
    painted(page)
    page.locator("#lt-view-sliders input[type=range]").first.evaluate(
        "(e) => { e.value = 1.5; for (const t of ['input', 'change']) e.dispatchEvent(new Event(t, { bubbles: true })); }"
    )
    page.wait_for_function("() => new URLSearchParams(location.search).has('z')")
    z = [float(one) for one in settings(page)["z"].split(",")]
    assert 1.5 in z
    painted(page)
    shot = page.locator("#lt-view-sliders canvas[data-wanted]").evaluate("c => c.toDataURL()")
    again = opened(visitor, f"?{urlsplit(page.url).query}")
    painted(again)
    assert again.locator("#lt-view-sliders canvas[data-wanted]").evaluate("c => c.toDataURL()") == shot


def test_another_model_begins_in_the_middle_and_reset_returns(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&z=1,0,0,0,0,0,0,0,0,0")
    painted(page)
    page.locator("#model input").first.click()
    page.get_by_role("option", name=WORDS["model_choices"]["mnist"], exact=True).click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('model') === 'mnist'")
    painted(page)
    assert "z" not in settings(page)
    page.locator("#reset").click()
    page.wait_for_function("() => !location.search")
    painted(page)


def test_a_setting_that_does_not_fit_gets_a_sentence(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&view=bound&theta=9")
    expect(page.locator("[data-stage=latents] p.notice").first).to_contain_text("at most 1.5")
    expect(page.locator("#lt-view-bound svg").first).to_be_visible()


def test_training_from_the_page_streams_a_run_of_now(visitor: Watched) -> None:
    """The same numbers from the route as from a run in this process."""
    from models import tiny_vae

    url = f"{visitor.url}/play/latents/train?beta=4&seed=3&steps=40"
    lines = [json.loads(line) for line in urllib.request.urlopen(url).read().splitlines()]
    steps = [one for one in lines if one["kind"] == "step"]
    expected = list(tiny_vae.train(beta=4.0, seed=3, steps=40))
    assert len(steps) == len(expected)
    np.testing.assert_allclose([one["kl"] for one in steps], [one.kl for one in expected], rtol=1e-6)


def test_the_code_is_shown_for_the_view(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&view=labels&label=4&hold=label")
    page.get_by_role("button", name=WORDS["stage"]["code"]).click()
    expect(page.locator("[data-stage=latents] pre.code")).to_contain_text("torch.full((10,), 4)")
