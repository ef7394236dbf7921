"""A VAE that was told the label, under a hand, a finger and a keyboard.

The answers here are made up: each picture is of one grey, which says whose it is.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Page, Route, expect

from playground import text
from playground.components import BASE

MOUNT = """async ([base, settings, words, dark]) => {
  const { labelsView } = await import(`${base}/latents/labels_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  host.className = "lt-view lt-view-labels";
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
  window.view = labelsView(host, {
    text: words.labels, words, recordings: {}, settings: () => ({ ...settings }), change,
    fail: (error) => failures.push(error.message), fine() {}, took() {},
    badge: (kind) => badges.push(kind), download: (name, blob) => (window.saved = [name, blob.size]),
  }, { bar: document.createElement("div") });
  view.show();
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
DRAWN = 77  # the grey of what /play/prepare makes of a drawing


def packed(array: Any, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def greys(values: Any) -> str:
    """Pictures of one grey each."""
    return packed(np.repeat(np.asarray(values).reshape(-1, 1), 784, 1), "u1")


class Fakes:
    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.refuse: set[str] = set()
        for pattern in ("**/play/latents/**", "**/play/reference*", "**/play/prepare*"):
            page.route(pattern, self.answer)

    def answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        name = url.path.rsplit("/", 1)[1]
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        self.asked.append(f"{name} {query}")
        if name in self.refuse:
            route.fulfill(status=422, json={"error": "The picture is empty."})
            return
        body = route.request.post_data_buffer or b""
        route.fulfill(json=getattr(self, name)(query, body))

    def labels(self, query: dict[str, str], _: bytes) -> dict[str, Any]:
        """z number i with label y: 10 i + y, and 100 more for a seed of 8."""
        n, shift = int(query["n"]), 100 * (query["seed"] == "8")
        one = np.arange(n)[:, None] * 10 + (np.arange(10) if query["hold"] == "z" else int(query["label"]))
        return {"z": packed(np.arange(8 * n), "<f8"), "pictures": greys((one + shift) % 256)}

    def reference(self, query: dict[str, str], _: bytes) -> dict[str, Any]:
        return {"from": "MNIST", "pictures": [greys([200 + y]) for y in range(10)], "names": list("0123456789")}

    def prepare(self, query: dict[str, str], _: bytes) -> dict[str, Any]:
        step = {"name": "x", "width": 28, "height": 28}
        return {"steps": [step | {"pixels": greys([1])}, step | {"pixels": greys([DRAWN])}]}

    def restyle(self, query: dict[str, str], body: bytes) -> dict[str, Any]:
        """Pictures of the sent grey's last digit times ten, plus the label; unknown labels are found to be 4."""
        label = int(query["label"])
        chosen = 4 if label < 0 else label
        bounds = [-900.0 - 10 * abs(y - chosen) for y in range(10)]
        bounds[chosen] = -880.0
        shares = [0.004] * 10
        shares[chosen] = 0.964
        return {
            "label": chosen, "z": [0.0] * 8, "pictures": greys(10 * (body[0] % 10) + np.arange(10)), "bounds": bounds,
            "standard_errors": [1.0] * 10, "samples": 16, "shares": shares,
        }  # fmt: skip


def mount(watched: Watched, *, dark: bool = False, **settings: Any) -> tuple[Page, Fakes]:
    page = watched.empty()
    fakes = Fakes(page)
    page.evaluate(MOUNT, [BASE, {"label": 3, "hold": "z", "seed": 7} | settings, text.page("latents")["stage"], dark])
    expect(page.locator(".matrix")).to_have_attribute("data-shown", str(settings.get("seed", 7)))
    expect(page.locator(".restyled")).to_have_attribute("data-shown", "reference 3")
    return page, fakes


def grey(page: Page, selector: str, at: int = 0) -> int:
    return page.locator(selector).nth(at).evaluate("(c) => c.getContext('2d').getImageData(14, 14, 1, 1).data[0]")


def held(page: Page) -> list[int]:
    """Numbers of the cells that stand out, row after row."""
    return page.locator(".cell").evaluate_all("(all) => all.flatMap((one, i) => (one.classList.contains('held') ? [i] : []))")


def changes(page: Page) -> list[dict[str, Any]]:
    return page.evaluate("changes")


def box(page: Page, selector: str, at: int = 0) -> dict[str, float]:
    found = page.locator(selector).nth(at).bounding_box()
    assert found
    return dict(found)


LARGE = ".board > figure canvas"


def test_a_row_for_each_z_and_a_column_for_each_label(watched: Watched) -> None:
    page, _ = mount(watched)
    assert [grey(page, ".cell canvas", i) for i in range(60)] == list(range(60))
    assert grey(page, LARGE) == 3
    # In its place, too: below the label's button, beside that of z.
    label, row, cell = (box(page, s, i) for s, i in ((".head:not(.z)", 7), (".head.z", 4), (".cell", 47)))
    assert label["x"] <= cell["x"] + cell["width"] / 2 <= label["x"] + label["width"]
    assert row["y"] <= cell["y"] + cell["height"] / 2 <= row["y"] + row["height"]
    assert page.evaluate("badges.at(-1)") == "live"
    watched.assert_clean()


def test_what_is_kept_stands_out_and_the_other_changes(watched: Watched) -> None:
    page, _ = mount(watched)
    assert held(page) == list(range(10))
    expect(page.locator(".more-box")).to_be_hidden()
    page.get_by_role("button", name="Label 6", exact=True).click()
    assert changes(page) == [{"label": 6}]
    assert (held(page), grey(page, LARGE)) == (list(range(10)), 6)  # z is kept, the label another
    page.get_by_role("button", name="z number 3", exact=True).click()
    assert changes(page)[-1] == {"row": 2}
    assert (held(page), grey(page, LARGE)) == (list(range(20, 30)), 26)
    page.get_by_role("button", name="Keep the label, change z").click()
    assert changes(page)[-1] == {"hold": "label"}
    assert held(page) == [6, 16, 26, 36, 46, 56]
    expect(page.locator(".more")).to_have_attribute("data-shown", "7 6")
    assert [grey(page, ".more canvas", i) for i in range(16)] == [10 * i + 6 for i in range(16)]
    page.get_by_role("button", name="Label 1", exact=True).click()
    expect(page.locator(".more")).to_have_attribute("data-shown", "7 1")
    assert held(page) == [1, 11, 21, 31, 41, 51]


@pytest.mark.parametrize(("hold", "across"), [("z", True), ("label", False)])
def test_the_arrow_lies_along_what_is_kept(watched: Watched, hold: str, across: bool) -> None:
    page, _ = mount(watched, hold=hold, row=1)
    frame, arrow = box(page, ".frame"), box(page, ".arrow span")
    first, last = (box(page, ".cell", i) for i in ((10, 19) if across else (3, 53)))
    size, start = ("width", "x") if across else ("height", "y")
    assert arrow[size] > 5 * first[size]
    assert frame[start] <= first[start] + 1
    assert frame[start] + frame[size] >= last[start] + last[size] - 1
    chosen = box(page, ".cell[aria-pressed=true]")
    assert box(page, ".cell", 13) == chosen


def test_the_keyboard_walks_in_the_matrix(watched: Watched) -> None:
    page, _ = mount(watched)
    page.locator(".cell[aria-pressed=true]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert changes(page) == [{"row": 1, "label": 3}, {"row": 1, "label": 4}]
    assert grey(page, LARGE) == 14
    expect(page.locator(".cell").nth(14)).to_be_focused()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert changes(page)[-1] == {"row": 1, "label": 0}
    expect(page.locator(".cell").nth(10)).to_be_focused()
    assert page.locator(".cell[tabindex='0']").count() == 1


def test_another_seed_is_another_z_under_the_same_labels(watched: Watched) -> None:
    page, fakes = mount(watched, hold="label")
    page.evaluate("outside({ seed: 8 })")
    expect(page.locator(".matrix")).to_have_attribute("data-shown", "8")
    expect(page.locator(".more")).to_have_attribute("data-shown", "8 3")
    assert [grey(page, ".cell canvas", i) for i in (0, 13)] == [100, 113]
    assert grey(page, LARGE) == 103
    asked = sum(one.startswith("labels") for one in fakes.asked)
    page.evaluate("outside({ row: 4 })")  # moving in what is there asks nobody
    assert sum(one.startswith("labels") for one in fakes.asked) == asked
    assert grey(page, LARGE) == 143


def test_the_formula_names_the_chosen(watched: Watched) -> None:
    page, _ = mount(watched, row=4, label=9)
    assert page.locator(".board math").text_content() == "E[x|z(5),y=9]"


def test_a_known_digit_is_encoded_under_its_label(watched: Watched) -> None:
    page, fakes = mount(watched)
    page.get_by_role("button", name="Take the 5").click()
    expect(page.locator(".restyled")).to_have_attribute("data-shown", "reference 5")
    assert fakes.asked[-1] == "restyle {'label': '5'}"
    assert grey(page, ".given canvas") == 205
    assert [grey(page, ".restyled canvas", y) for y in range(10)] == [50 + y for y in range(10)]
    part = page.locator("[data-part=hand]")
    expect(part).to_contain_text("Encoded as the digit 5, its label.")
    expect(part).to_contain_text("log p(x|y) ≥ −880 nats, 30 above the bound of 4")
    expect(part.locator(".restyled .best")).to_contain_text("96 %")
    expect(part.get_by_role("button", name="Take the 5")).to_have_attribute("aria-pressed", "true")


def test_a_drawing_is_prepared_and_its_label_guessed(watched: Watched) -> None:
    page, fakes = mount(watched)
    page.get_by_role("button", name="Draw", exact=True).click()
    pad = page.locator(".sketch canvas")
    pad.scroll_into_view_if_needed()
    place = box(page, ".sketch canvas")
    page.mouse.move(place["x"] + 60, place["y"] + 60)
    page.mouse.down()
    page.mouse.move(place["x"] + 120, place["y"] + 160, steps=6)
    page.mouse.up()
    expect(page.locator(".restyled")).to_have_attribute("data-shown", "drawing 4")
    assert "restyle {'label': '-1'}" in fakes.asked  # nobody knows the label of a drawing
    assert grey(page, ".given canvas") == DRAWN
    expect(page.locator("[data-part=hand]")).to_contain_text("Encoded as the digit 4, the label that explains it best.")
    expect(page.get_by_role("button", name="Take the 3")).to_have_attribute("aria-pressed", "false")
    fakes.refuse = {"prepare"}  # what is empty gets its sentence, and the last picture stays
    page.mouse.move(place["x"] + 30, place["y"] + 60)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("() => failures.length")
    assert page.evaluate("failures")[0] == "The picture is empty. The picture before it is still shown."
    assert grey(page, ".given canvas") == DRAWN
    watched.errors.clear()  # the browser's own words on a status of 422


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
@pytest.mark.parametrize("hold", ["z", "label"])
def test_on_a_phone_nothing_overflows(watched: Watched, hold: str) -> None:
    page, _ = mount(watched, dark=True, hold=hold)
    assert watched.overflow() <= 0
    heights = page.locator(".modes button, .head, .sources button, .sources .file").evaluate_all(
        "(all) => all.map((one) => one.offsetHeight)"
    )
    assert min(heights) >= 40
    page.get_by_role("button", name="Label 9", exact=True).tap()
    assert grey(page, LARGE) == 9
    watched.assert_clean()


def test_what_can_be_taken_away(watched: Watched) -> None:
    page, _ = mount(watched, row=2)
    found = page.evaluate("view.json()")
    assert (found["model"], found["row"], found["label"], found["hold"]) == ("cvae-mnist", 2, 3, "z")
    assert found["z"][2] == list(range(16, 24))
    assert found["hand"]["label"] == 3
    page.evaluate("view.png('latents-labels')")
    page.wait_for_function("() => window.saved")
    assert page.evaluate("saved")[0] == "latents-labels.png"
