"""The page "Sample a VAE" as people use it."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from models import zoo

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
GREY = """c => {
  const bytes = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  return Array.from(bytes).filter((_, i) => i % 4 === 0);
}"""


DELAYS = """() => {
  const fetched = window.fetch;
  window.fetch = async (...call) => {
    const answer = await fetched(...call);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
    return answer;
  };
}"""


def ready(page: Page) -> None:
    """The stage is there, and what the link said is shown."""
    page.locator("[data-ready=true]").wait_for()
    page.locator(".image-grid[data-painted], .manifold canvas[data-painted]").first.wait_for(state="attached")
    page.wait_for_timeout(600)


def grey(canvas: Locator) -> np.ndarray:
    values = np.array(canvas.evaluate(GREY), dtype=np.uint8)
    return values.reshape(canvas.evaluate("c => [c.height, c.width]"))


def grid(page: Page) -> np.ndarray:
    return np.stack([grey(tile) for tile in page.locator(".image-grid canvas").all()])


def badge(page: Page) -> Locator:
    return page.locator(".vae-tabs .badge")


def query(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query).items()}


def settled(page: Page, action) -> None:
    """Does something that makes the grid be painted anew, and waits until it was."""
    before = page.locator(".image-grid").get_attribute("data-painted")
    action()
    page.wait_for_function("before => document.querySelector('.image-grid').dataset.painted !== before", arg=before)
    page.wait_for_timeout(150)


def here(page: Page) -> Locator:
    return page.locator(".here canvas")


def caught_up(page: Page) -> list[float]:
    """Waits until the picture here is the one that was wanted last; its z."""
    page.wait_for_function(
        "() => { const c = document.querySelector('.here canvas').dataset; return c.wanted && c.wanted === c.painted; }"
    )
    return [float(v) for v in here(page).get_attribute("data-painted").split(",")]


def test_the_page_opens_on_a_recorded_run_that_a_live_one_repeats(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    assert badge(page).inner_text() == "recorded"
    recorded = grid(page)
    settled(page, page.get_by_role("button", name="Same seed").click)
    assert badge(page).inner_text() == "live"
    np.testing.assert_array_equal(grid(page), recorded)
    watched.assert_clean()


def test_page_link_and_code_show_the_same_pictures(watched: Watched) -> None:
    page = watched.open("/vae?v=1&data=fashion&seed=4242&n=12&spread=1.25&show=draw")
    ready(page)
    code = page.locator("pre.code").text_content()
    namespace: dict = {}
    exec(code, namespace)
    assert namespace["images"].shape == (12, 1, 28, 28)
    np.testing.assert_array_equal(grid(page), namespace["images"].numpy()[:, 0])
    url = f"{watched.url}/play/sample?model=vae-fashion-2d&n=12&seed=4242&spread=1.25&show=draw"
    content = urllib.request.urlopen(url).read()
    np.testing.assert_array_equal(grid(page).ravel(), np.frombuffer(content[12 * 16 :], np.uint8))
    watched.assert_clean()


def test_the_link_holds_every_setting_and_opens_the_page_just_so(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    settled(page, page.locator("#data").get_by_role("radio", name="Fashion-MNIST").check)
    settled(page, page.get_by_role("button", name="New seed").click)
    settled(page, page.locator("#latent").get_by_role("radio", name="16 (sharper)").check)
    page.locator(".image-grid button").nth(5).click()
    pictures, link = grid(page), page.url
    said = query(page)
    assert said["data"] == "fashion"
    assert said["latent"] == "16"
    assert said["pick"] == "5"
    assert page.locator("#seed input").input_value() == said.get("seed", "7")
    page.goto("about:blank")
    page.goto(link)
    ready(page)
    np.testing.assert_array_equal(grid(page), pictures)
    expect(page.locator(".image-grid button").nth(5)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#data").get_by_role("radio", name="Fashion-MNIST")).to_be_checked()
    watched.assert_clean()


def test_a_bad_link_falls_back_with_a_sentence_and_keeps_the_rest(watched: Watched) -> None:
    page = watched.open("/vae?v=1&n=9999&seed=31&data=cats")
    ready(page)
    notice = page.locator(".notice").first
    expect(notice).to_contain_text("n = “9999” does not fit")
    expect(notice).to_contain_text("data = “cats” does not fit")
    assert page.locator("#seed input").input_value() == "31"
    assert len(grid(page)) == 16


def test_reset_returns_to_the_defaults(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    defaults = grid(page)
    page.goto(f"{watched.url}/vae?v=1&data=fashion&latent=16&seed=99&n=8&spread=2&show=draw&pick=3&holes=1&view=manifold")
    ready(page)
    page.get_by_role("button", name="Reset to defaults").click()
    expect(page.locator("#vae-tab-sample")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".image-grid canvas")).to_have_count(16)
    page.wait_for_timeout(1000)
    np.testing.assert_array_equal(grid(page), defaults)
    assert urlsplit(page.url).query == ""
    expect(page.locator("#latent").get_by_role("radio", name="2 (a map)")).to_be_checked()


def test_spread_zero_gives_the_same_picture_everywhere_and_a_true_draw_adds_grain(watched: Watched) -> None:
    page = watched.open("/vae?v=1&spread=0&n=8")
    ready(page)
    means = grid(page)
    assert (means == means[0]).all()
    settled(page, page.locator("#show").get_by_role("radio", name="a true draw").check)
    draws = grid(page)
    assert not (draws == draws[0]).all()
    assert abs(draws.mean() - means.mean()) < 6


def test_moving_over_the_map_decodes_and_never_ends_stale(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    page.evaluate(DELAYS)
    box = page.locator(".latent-pad canvas").bounding_box()
    for k in range(40):
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.015 * k), box["y"] + box["height"] * (0.3 + 0.01 * (k % 7)))
    z = caught_up(page)
    import torch

    expected = zoo.load("vae-mnist-2d").decode(torch.tensor([z], dtype=torch.float64))
    np.testing.assert_array_equal(grey(here(page)), expected[0, 0].numpy())
    watched.assert_clean()


def test_tiles_and_dots_are_tied(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    page.locator(".image-grid button").nth(6).click()
    z = caught_up(page)
    expected = zoo.load("vae-mnist-2d").prior(16, noise=7)[6]
    np.testing.assert_allclose(z, expected.numpy(), atol=1e-4)
    box = page.locator(".latent-pad canvas").bounding_box()
    page.wait_for_timeout(300)
    extent = json.loads(urllib.request.urlopen(f"{watched.url}/play/map?model=vae-mnist-2d").read())["extent"]
    other = zoo.load("vae-mnist-2d").prior(16, noise=7)[9].tolist()
    page.mouse.move(
        box["x"] + (other[0] / extent + 1) / 2 * box["width"], box["y"] + (1 - other[1] / extent) / 2 * box["height"]
    )
    expect(page.locator(".image-grid button").nth(9)).to_have_attribute("data-near", "true")
    page.mouse.down()
    page.mouse.up()
    expect(page.locator(".image-grid button").nth(9)).to_have_attribute("aria-pressed", "true")


def test_sliders_move_the_picture_and_the_cursor(watched: Watched) -> None:
    page = watched.open("/vae?v=1&latent=16")
    ready(page)
    page.locator(".slider-box summary").click()
    sliders = page.locator(".sliders input")
    expect(sliders).to_have_count(16)
    before = grey(here(page))
    for index in (3, 8):
        sliders.nth(index).fill("3.5" if index == 3 else "-3.5")
    z = caught_up(page)
    assert (z[3], z[8]) == (3.5, -3.5)
    assert not np.array_equal(grey(here(page)), before)
    page.wait_for_timeout(400)
    assert len(query(page)["z"].split(",")) == 16


def test_holes_are_found_and_can_be_visited(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    page.get_by_label("find holes").check()
    expect(page.get_by_text("% of the prior's mass lies there")).to_be_visible()
    page.get_by_role("button", name="Go to the deepest").click()
    caught_up(page)
    expect(page.locator(".here")).to_contain_text("in a hole")
    assert query(page)["holes"] == "1"


def test_the_manifold_shows_the_plane_and_its_places(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=manifold&side=8")
    canvas = page.locator(".manifold canvas[data-painted]")
    canvas.wait_for()
    from models.measures.latent_map import quantile_grid

    tiles = grey(canvas).reshape(8, 28, 8, 28).transpose(0, 2, 1, 3).reshape(64, 28, 28)
    np.testing.assert_array_equal(tiles, zoo.load("vae-mnist-2d").decode(quantile_grid(8)).numpy()[:, 0])
    canvas.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):  # the first takes hold of the first picture
        page.keyboard.press(key)
    np.testing.assert_allclose(caught_up(page), quantile_grid(8)[9].numpy(), atol=1e-4)


def numbers(text: str) -> list[float]:
    return [float(v.replace("−", "-").replace("\u202f", "")) for v in re.findall(r"[−-]?[\d\u202f]+(?:\.\d+)?", text)]


def test_a_drawn_digit_is_prepared_encoded_and_its_bound_taken_apart(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=picture")
    ready(page)
    pad = page.locator(".sketch canvas")
    box = pad.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    for k in range(20):
        page.mouse.move(box["x"] + box["width"] * (0.7 - 0.01 * k), box["y"] + box["height"] * (0.1 + 0.04 * k))
    page.mouse.up()
    expect(page.locator(".steps figure")).to_have_count(5)
    expect(page.locator(".readings")).to_contain_text("estimate, 512 samples")
    seen = grey(page.locator(".pair canvas").first)
    rows = np.flatnonzero(seen.max(1) > 60)
    assert 19 <= len(rows) <= 21  # scaled to 20, as MNIST's
    mass = seen.astype(float)
    assert abs((mass.sum(1) @ np.arange(28)) / mass.sum() - 13.5) <= 1  # and centred by mass
    import torch

    from models.measures import elbo

    x = torch.from_numpy(seen.copy())[None, None]
    found = elbo.explain(zoo.load("vae-mnist-2d"), x, noise=7, constant=zoo.constant_picture("vae-mnist-2d"))
    verdict = numbers(page.locator(".verdict").inner_text())
    assert verdict[0] == pytest.approx(found.kl, abs=0.06)
    assert abs(verdict[1]) == pytest.approx(abs(found.bought), abs=0.6)
    formula = page.locator("#vae-stage math").filter(has_text="≥").text_content()
    assert numbers(formula)[-1] == pytest.approx(found.elbo, abs=0.06)
    watched.assert_clean()


def test_rerolling_epsilon_moves_z_within_the_posterior(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=picture&latent=16")
    ready(page)
    output = page.locator(".pair canvas").nth(1)
    page.wait_for_function("() => document.querySelectorAll('.pair canvas')[1].dataset.z")
    seen = grey(page.locator(".pair canvas").first)
    rolls = [output.get_attribute("data-z")]
    for _ in range(3):
        page.get_by_role("button", name="Re-roll ε").click()
        page.wait_for_function("old => document.querySelectorAll('.pair canvas')[1].dataset.z !== old", arg=rolls[-1])
        rolls.append(output.get_attribute("data-z"))
    assert len(set(rolls)) == 4
    np.testing.assert_array_equal(grey(page.locator(".pair canvas").first), seen)
    page.wait_for_timeout(300)
    assert query(page)["roll"] == "3"
    page.get_by_text("Dimension by dimension").click()
    expect(page.locator("table.dimensions tbody tr")).to_have_count(16)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("truncated.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", None),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        ("letter.txt", b"dear model", None),
        ("dot.png", None, "8"),
    ],
)
def test_a_hostile_file_gets_a_sentence_and_nothing_is_lost(
    watched: Watched, name: str, content: bytes | None, says: str | None
) -> None:
    if content is None:
        file = io.BytesIO()
        Image.new("L", (1, 1), 255).save(file, "PNG")
        content = file.getvalue()
    page = watched.open("/vae?v=1&view=picture")
    ready(page)
    page.wait_for_function("() => document.querySelectorAll('.pair canvas')[1].dataset.z || document.querySelector('.verdict')")
    page.wait_for_timeout(1500)
    before = grey(page.locator(".pair canvas").first)
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})
    problem = page.get_by_role("alert")
    expect(problem).to_be_visible()
    if says:
        expect(problem).to_contain_text(says)
    expect(problem).to_contain_text("still shown")
    np.testing.assert_array_equal(grey(page.locator(".pair canvas").first), before)
    assert [error for error in watched.errors if "422" not in error] == []


def test_a_photograph_of_a_digit_is_understood(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=picture")
    ready(page)
    paper = np.full((900, 1200), 200, np.uint8) + np.linspace(0, 20, 1200).astype(np.uint8)
    paper[200:700, 580:640] = 40
    file = io.BytesIO()
    Image.fromarray(paper).save(file, "JPEG")
    page.locator("input[type=file]").set_input_files({"name": "one.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()})
    expect(page.locator(".steps figure")).to_have_count(5)
    page.wait_for_timeout(500)
    seen = grey(page.locator(".pair canvas").first)
    assert seen[14, 13:15].max() > 200
    assert seen[:, :8].max() < 60
    watched.assert_clean()


def test_everything_can_be_done_with_the_keyboard(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        pytest.fail(f"Tab does not reach {selector}.")

    tab_to("#vae-tab-sample")
    tab_to(".image-grid button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".image-grid button").nth(5)).to_have_attribute("aria-pressed", "true")
    tab_to("#vae-holes")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Go to the deepest")).to_be_visible()
    tab_to(".latent-pad canvas")
    page.keyboard.press("Home")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    np.testing.assert_allclose(caught_up(page), [0.5, 0.1], atol=1e-6)
    tab_to(".sliders input")
    before = caught_up(page)
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert caught_up(page)[0] > before[0]
    tab_to("#new-seed")
    settled(page, lambda: page.keyboard.press("Enter"))
    tab_to("#spread input[type=range]")
    settled(page, lambda: page.keyboard.press("ArrowRight"))
    page.locator("#vae-tab-sample").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#vae-tab-picture")).to_be_focused()
    tab_to(".sketch canvas")
    for key in (" ", *["ArrowDown"] * 12, " "):
        page.keyboard.press(key)
    expect(page.locator(".steps figure")).to_have_count(5)
    expect(page.locator(".sketch button").first).to_be_enabled()
    watched.assert_clean()


def test_two_people_do_not_see_each_other(watched: Watched, browser, address: str) -> None:
    mine = watched.open("/vae?v=1&seed=11")
    ready(mine)
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{address}/vae?v=1&seed=22&data=fashion")
    ready(other)
    before = grid(mine)
    settled(other, other.get_by_role("button", name="New seed").click)
    settled(mine, mine.get_by_role("button", name="Same seed").click)
    np.testing.assert_array_equal(grid(mine), before)
    assert query(mine)["seed"] == "11"
    context.close()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
@pytest.mark.parametrize("path", ["/", "/vae", "/vae?v=1&view=picture", "/vae?v=1&view=manifold", "/vae?v=1&latent=16&holes=1"])
def test_a_phone_shows_everything_without_scrolling_sideways(watched: Watched, path: str) -> None:
    page = watched.open(path)
    page.locator(".gmp-card").first.wait_for()
    page.wait_for_timeout(2500)
    assert watched.overflow() <= 0
    wide = page.evaluate(
        "() => [...document.querySelectorAll('.gmp-card, .gmp-card button, canvas')].filter(e => e.offsetParent && "
        "e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.steps, .table-wrap'))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    watched.assert_clean()


def test_exports_hand_over_pictures_and_settings(watched: Watched) -> None:
    page = watched.open("/vae?v=1&seed=5")
    ready(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG").click()
    picture = Image.open(waiting.value.path())
    assert picture.size == (4 * 29 * 4 - 4, 4 * 29 * 4 - 4)
    np.testing.assert_array_equal(np.asarray(picture.convert("L"))[:112:4, :112:4], grid(page)[0])
    with page.expect_download() as waiting:
        page.get_by_role("button", name="JSON").click()
    whole = json.loads(waiting.value.path().read_text())
    assert whole["settings"]["seed"] == 5
    np.testing.assert_allclose(whole["samples"], zoo.load("vae-mnist-2d").prior(16, noise=5).numpy())


def test_the_code_is_shown_on_demand(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    code = page.locator("pre.code")
    expect(code).to_be_hidden()
    page.get_by_role("button", name="Show the code").click()
    expect(code).to_be_visible()
    expect(code).to_contain_text('zoo.load("vae-mnist-2d")')


def test_every_control_has_a_name(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button,a[href],input,select,canvas[tabindex]')].filter(e => e.offsetParent && "
        "!(e.innerText || '').trim() && !e.getAttribute('aria-label') && !e.title && !(e.labels && e.labels.length))"
        ".map(e => e.outerHTML.slice(0, 100))"
    )
    assert nameless == []


def test_pointing_looks_and_a_click_stays(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    box = page.locator(".latent-pad canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.8)
    page.mouse.down()
    page.mouse.up()
    chosen = caught_up(page)
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=5)
    assert caught_up(page) != chosen
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] - 200, steps=10)
    assert caught_up(page) == chosen
    page.wait_for_timeout(400)
    assert [float(v) for v in query(page)["z"].split(",")] == chosen


def test_typed_numbers_beyond_a_limit_become_the_limit_with_a_sentence(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    field = page.locator("#seed input")
    field.fill("-5")
    field.press("Enter")
    expect(page.locator(".notice").first).to_contain_text("seed")
    expect(field).to_have_value("0")
    field.fill("123")
    settled(page, lambda: field.press("Enter"))
    expect(page.locator(".notice").first).to_be_hidden()
    assert query(page)["seed"] == "123"
    watched.assert_clean()


def test_large_seeds_survive_the_link(watched: Watched) -> None:
    page = watched.open("/vae?v=1&seed=99999999999999")
    ready(page)
    assert query(page)["seed"] == "99999999999999"
    code = page.locator("pre.code").text_content()
    namespace: dict = {}
    exec(code, namespace)
    np.testing.assert_array_equal(grid(page), namespace["images"].numpy()[:, 0])


def test_back_returns_to_the_seed_before(watched: Watched) -> None:
    page = watched.open("/vae?v=1&seed=21")
    ready(page)
    before = grid(page)
    settled(page, page.get_by_role("button", name="New seed").click)
    assert query(page).get("seed") != "21"
    page.go_back()
    ready(page)
    assert query(page)["seed"] == "21"
    np.testing.assert_array_equal(grid(page), before)


def test_changing_the_model_keeps_the_picture_and_its_place_together(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=picture&latent=16&ref=5")
    ready(page)
    page.locator("#data").get_by_role("radio", name="Fashion-MNIST").check()
    page.wait_for_timeout(1200)
    page.locator("#latent").get_by_role("radio", name="2 (a map)").check()
    page.wait_for_timeout(2500)
    rolled = [float(v) for v in page.locator(".pair canvas").nth(1).get_attribute("data-z").split(",")]
    np.testing.assert_allclose(caught_up(page), rolled, atol=1e-4)
    shown, decoded = grey(here(page)).astype(int), grey(page.locator(".pair canvas").nth(1)).astype(int)
    assert np.abs(shown - decoded).max() <= 1  # the place here is written with four digits


def test_a_reference_picture_is_in_the_link(watched: Watched) -> None:
    page = watched.open("/vae?v=1&view=picture")
    ready(page)
    page.get_by_role("button", name="Take this picture: 7").click()
    page.wait_for_timeout(1200)
    seen = grey(page.locator(".pair canvas").first)
    assert query(page)["ref"] == "7"
    page.reload()
    ready(page)
    page.wait_for_timeout(1500)
    np.testing.assert_array_equal(grey(page.locator(".pair canvas").first), seen)


def test_one_class_can_be_shown_alone(watched: Watched) -> None:
    page = watched.open("/vae")
    ready(page)
    canvas = page.locator(".latent-pad canvas")
    before = canvas.evaluate("c => c.toDataURL()")
    page.get_by_role("button", name="Show 3 alone").click()
    page.wait_for_function("old => document.querySelector('.latent-pad canvas').toDataURL() !== old", arg=before)
    page.get_by_role("button", name="Show 3 alone").click()
    page.wait_for_function("old => document.querySelector('.latent-pad canvas').toDataURL() === old", arg=before)
