"""Pictures × models, mounted alone. The answers are made up: a picture's first pixel says which numbers it gets."""

from __future__ import annotations

import base64
import csv
import io
import itertools
import math
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Page, Route, expect
from scipy.stats import rankdata

from models.measures.likelihood import share_at_least
from playground import text
from playground.components import BASE

MOUNT = """async ([base, settings, words, models, recordings, pictures, dark]) => {
  const { picturesView } = await import(`${base}/likelihoods/pictures_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  host.className = "lk-view lk-view-pictures";
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  const unpack = (one) => ({ ...one, pixels: Uint8Array.from(atob(one.pixels), (c) => c.charCodeAt(0)) });
  let tray = pictures.map(unpack);
  Object.assign(window, { settings, changes: [], badges: [], failures: [] });
  window.outside = (patch) => { Object.assign(settings, patch); view.settings(new Set(Object.keys(patch))); };
  window.put = (all) => { tray = all.map(unpack); view.settings(new Set(["pictures"])); };
  window.view = picturesView(host, {
    text: words.pictures, words, models, recordings, settings: () => ({ ...settings }),
    pictures: () => tray, chosen: () => tray[settings.at] ?? null,
    change: (patch) => { changes.push(patch); outside(patch); },
    fail: (error) => failures.push(error.message), fine() {}, facts() {}, took: (seconds) => (window.took = seconds),
    badge: (kind) => badges.push(kind), download: async (name, blob) => (window.saved = [name, await blob.text()]),
  });
  view.show();
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
SETTINGS = {
    "view": "pictures",
    "data": "mnist",
    "score": "surprise",
    "seed": 7,
    "at": 0,
    "model": "",
    "sort": "",
    "down": False,
}
KINDS = {  # as the answers have them, in order
    "gaussian": ("8-bit", "lower bound"),
    "mixture": ("8-bit", "exact"),
    "pixelcnn-mnist": ("8-bit", "exact"),
    "vae": ("8-bit", "estimate"),
    "pixelcnn-binary": ("binary", "exact"),
    "vae-binary": ("binary", "lower bound"),
}
TITLES = {"gaussian": "Gaussian", "mixture": "Mixture", "pixelcnn-mnist": "PixelCNN", "vae": "VAE"}
TITLES |= {"pixelcnn-binary": "Binary PixelCNN", "vae-binary": "Binary VAE"}
BITS = {  # of the models, by a picture's first pixel
    1: [1.5, 1.2, 0.8, 0.9, 0.10, 0.12],  # the PixelCNN is lowest, but two others are only bounded or estimated
    2: [2.5, 0.5, 0.9, 1.4, 0.20, 0.15],  # the binary bound lies below the exact one: proven
    3: [3.0, 1.9, 1.8, 2.2, 0.30, 0.02],
}
ERROR = 0.01
PNG = {1: 0.2, 2: 0.9, 3: 0.4}  # bits/dim that a compressor needs
BACKGROUND = 0.3
QUANTILES = [float(q) for q in np.quantile(np.random.default_rng(0).gamma(9, 0.15, 4000), np.linspace(0, 1, 101))]


def packed(array: Any, dtype: str = "u1") -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def picture(grey: int, title: str, kind: str = "reference", **more: Any) -> dict[str, Any]:
    """A picture that is told by its first pixel, and looks a bit like one."""
    y, x = np.mgrid[:28, :28]
    pixels = (np.hypot(y - 14, x - 14 + grey % 5) < 8).astype(np.uint8) * 200
    pixels[0, 0] = grey
    return {
        "id": f"p{grey}",
        "kind": kind,
        "title": title,
        "why": "",
        "pixels": packed(pixels),
        "steps": None,
        "attack": None,
    } | more


TRAY = [picture(1, "Bag 10"), picture(2, "a nought"), picture(3, "Bag 9")]


def scores(images: Sequence[int], data: str = "mnist", shift: float = 0) -> dict[str, Any]:
    """As the route answers for pictures with these first pixels."""
    bits = np.array([BITS[1 + (g - 1) % 3] for g in images]).T + shift
    models = [
        {
            "name": name, "space": space, "kind": kind, "method": "elbo", "samples": 64, "bits": [*row],
            "nats": [*(-row * 784 * math.log(2))], "error": [ERROR] * len(images) if kind == "estimate" else None,
            "rank": [share_at_least(b, QUANTILES) for b in row], "deviation": [*abs(row - 1.3)], "two_sided": [0.5] * len(row),
        }
        for (name, (space, kind)), row in zip(KINDS.items(), bits, strict=True)
    ]  # fmt: skip
    return {
        "images": len(images), "seconds": 0.5, "models": models,
        "complexity": {"compressor": "png", "bits": [PNG[1 + (g - 1) % 3] for g in images]},
        "background": {"name": "background", "bits": [BACKGROUND] * len(images)} if data == "fashion" else None,
        "binary": packed(np.repeat(np.array(images) % 2, 784)),
    }  # fmt: skip


MAP = np.linspace(-4, 0, 784, dtype="<f4")  # nats


class Fakes:
    def __init__(self, page: Page) -> None:
        self.asked: list[tuple[dict[str, str], list[int]]] = []
        self.read: list[dict[str, str]] = []
        self.refuse = False
        self.hold: dict[str, Route] = {}  # answers kept back, by the seed that is held
        self.held_seed = ""
        self.lock = threading.Lock()
        page.route("**/play/likelihoods/score*", self.score)
        page.route("**/play/pixels/read*", self.map)

    def score(self, route: Route) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(route.request.url).query).items()}
        body = np.frombuffer(route.request.post_data_buffer or b"", np.uint8).reshape(-1, 784)
        self.asked.append((query, [int(g) for g in body[:, 0]]))
        if self.refuse:
            route.fulfill(status=429, json={"error": "Too many at once."})
        elif query["seed"] == self.held_seed:
            self.hold[query["seed"]] = route
        else:
            route.fulfill(json=self.answer(query, body))

    @staticmethod
    def answer(query: dict[str, str], body: Any) -> dict[str, Any]:
        return scores([int(g) for g in body[:, 0]], query["data"], shift=0 if query["seed"] == "7" else 1)

    def map(self, route: Route) -> None:
        self.read.append({key: values[0] for key, values in parse_qs(urlsplit(route.request.url).query).items()})
        route.fulfill(json={"log_probs": packed(MAP, "<f4"), "nats": float(MAP.sum()), "bits_per_dim": 1, "rank": 0.5})


def mount(
    watched: Watched, tray: list[dict[str, Any]] = TRAY, *, dark: bool = False, recordings: Any = None, **settings: Any
) -> tuple[Page, Fakes]:
    page = watched.empty()
    fakes = Fakes(page)
    words = text.page("likelihoods")["stage"]
    models = {
        name: {"name": name, "title": TITLES[name], "data": "mnist", "space": space, "kind": kind, "quantiles": QUANTILES}
        for name, (space, kind) in KINDS.items()
    }  # fmt: skip
    page.evaluate(MOUNT, [BASE, SETTINGS | settings, words, models, recordings or {}, tray, dark])
    return page, fakes


def ready(page: Page, n: int = 3) -> None:
    expect(page.locator(".lk-view-pictures")).to_have_attribute("data-scored", str(n))


def titles(page: Page, space: str = "8-bit") -> list[str]:
    return [
        t.split("▲")[0].split("▼")[0].split("=")[0] for t in page.locator(f"[data-space='{space}'] .look").all_text_contents()
    ]


def cell(page: Page, at: int, model: str) -> Any:
    return page.locator(f".cell[data-key='{at} {model}']")


def module(page: Page, name: str, call: str, *arguments: Any) -> Any:
    """Calls `m => ...` on one of the view's modules."""
    whole = f"async ([base, ...a]) => {{ const m = await import(`${{base}}/likelihoods/{name}`); return ({call})(m, ...a); }}"
    return page.evaluate(whole, [BASE, *arguments])


def test_two_spaces_two_tables_and_every_number_says_what_it_is(watched: Watched) -> None:
    page, fakes = mount(watched)
    ready(page)
    assert [q for q, _ in fakes.asked] == [{"data": "mnist", "seed": "7"}]  # all pictures at once
    shown = {name: cell(page, 0, name).inner_text().replace("\n", " ").split() for name in KINDS}
    assert shown["gaussian"] == ["≤", "1.50"]
    assert shown["mixture"] == ["=", "1.20"]
    assert shown["vae"] == ["≈", "0.90", "±", "0.01"]
    assert page.locator("[data-space='8-bit'] thead [data-column]").count() == 4
    assert page.locator("[data-space='binary'] thead [data-column]").count() == 2
    middle = "(c) => c.getContext('2d').getImageData(20, 20, 1, 1).data[0]"
    thumbs = page.locator("[data-space='binary'] .look canvas")
    assert [thumbs.nth(i).evaluate(middle) for i in range(3)] == [255, 0, 255]  # the black and white that they saw
    # The lowest of a row: proven where all others are exact or the winner's bound lies below, else not.
    assert cell(page, 0, "pixelcnn-mnist").inner_text().endswith("☆")
    assert cell(page, 1, "vae-binary").inner_text().endswith("★")
    assert "not proven" in (cell(page, 0, "pixelcnn-mnist").get_attribute("aria-label") or "")
    assert page.locator(".star").count() == 6
    foot = page.locator("[data-space='8-bit'] tfoot tr")
    assert foot.nth(0).locator("td").nth(1).inner_text() == "a nought"  # what the mixture finds least surprising
    assert foot.nth(1).locator("td").nth(1).inner_text() == "Bag 9"
    page.get_by_role("button", name="nats", exact=True).click()
    assert cell(page, 0, "mixture").inner_text().split() == ["=", str(round(1.2 * 784 * math.log(2)))]
    assert page.evaluate("badges.at(-1)") == "live"
    watched.assert_clean()


def test_a_table_sorts_both_ways_by_number_and_by_name(watched: Watched) -> None:
    page, _ = mount(watched)
    ready(page)
    head = page.locator("[data-space='8-bit'] thead")
    head.locator("[data-sort=mixture]").click()
    assert titles(page) == ["Bag 9", "Bag 10", "a nought"]
    assert head.locator("th[data-column=mixture]").get_attribute("aria-sort") == "descending"
    expect(head.locator("[data-sort=mixture]")).to_be_focused()
    head.locator("[data-sort=mixture]").click()
    assert titles(page) == ["a nought", "Bag 10", "Bag 9"]
    assert titles(page, "binary") == ["Bag 10", "a nought", "Bag 9"]  # has no such column: as in the tray
    head.locator("[data-sort=title]").click()
    assert titles(page) == ["a nought", "Bag 9", "Bag 10"]
    assert head.locator("th.first").get_attribute("aria-sort") == "ascending"
    # A cell is of its picture, however it is sorted; arrow keys walk from cell to cell.
    cell(page, 0, "gaussian").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("changes.at(-1)") == {"at": 2, "model": "mixture"}
    expect(cell(page, 2, "mixture")).to_be_focused()
    expect(page.locator(".detail")).to_have_attribute("data-shown", "p3 mixture")
    head.locator("[data-sort='']").click()
    head.locator("[data-sort='']").click()
    assert titles(page) == ["Bag 9", "a nought", "Bag 10"]


def test_another_score_is_another_order(watched: Watched) -> None:
    page, _ = mount(watched, score="complexity", model="mixture")
    ready(page)
    # Surprise minus PNG: 1.0, -0.4, 1.5.
    assert [cell(page, i, "mixture").inner_text() for i in range(3)] == ["= 1.00", "= −0.40 ☆", "= 1.50"]
    assert "black or white" in page.locator("[data-space=binary] .note").inner_text()
    assert "plain surprise is shown" in page.locator("[data-space=binary] .note").inner_text()
    assert cell(page, 0, "vae-binary").inner_text() == "≤ 0.12"
    page.evaluate("outside({ score: 'typicality' })")  # |bits − 1.3|: 0.1, 0.8, 0.6
    assert [t[-2:] for t in page.locator("[data-space='8-bit'] .look").all_text_contents()] == ["▼1", "▲2", "▼1"]
    assert "3 of 3" in page.locator("[data-space='8-bit'] .changed").inner_text()
    assert page.locator(".star").count() == 0  # a typicality is not compared between models
    page.evaluate("outside({ score: 'rank' })")
    assert "just as plain surprise" in page.locator("[data-space='8-bit'] .changed").inner_text()
    page.evaluate("outside({ score: 'ratio' })")
    assert "of clothes only" in page.locator("[data-space='8-bit'] .note").inner_text()
    page.evaluate("outside({ score: 'ratio', data: 'fashion' })")
    expect(cell(page, 1, "mixture")).to_have_text("= 0.20 ☆")
    watched.assert_clean()


def test_what_is_proven_holds_for_every_truth_that_the_numbers_allow(watched: Watched) -> None:
    page = watched.empty()
    errors: dict[str, list[float | None]] = {"exact": [None], "lower bound": [None, ERROR], "estimate": [ERROR]}
    every: list[tuple[str, float, float | None]] = [
        (kind, bits, error) for kind in errors for bits in (1.0, 1.015, 1.03) for error in errors[kind]
    ]
    rows: list[list[dict[str, Any]]] = [
        [{"name": str(i), "kind": kind, "bits": bits, "error": error} for i, (kind, bits, error) in enumerate(row)]
        for row in itertools.product(every, repeat=3)
    ][::5]
    found = module(page, "verdict.js", "(m, rows) => rows.map(m.winner)", rows)
    proven = 0
    for row, verdict in zip(rows, found, strict=True):
        # Where the truth may lie: nothing bounds from below what is only bounded from above.
        low = [one["bits"] if one["kind"] == "exact" else -math.inf for one in row]
        high = [one["bits"] + 2 * (one["error"] or 0) for one in row]
        sure = [i for i in range(3) if all(high[i] < low[j] for j in range(3) if j != i)]
        assert (int(verdict["name"]) in sure) == verdict["proven"]
        assert bool(sure) == verdict["proven"]
        best = int(verdict["name"])
        assert row[best]["bits"] == min(one["bits"] for one in row)
        assert {int(one["name"]): one["proven"] for one in verdict["against"]} == {
            j: high[best] < low[j] for j in range(3) if j != best
        }
        assert verdict["chance"] == (row[best]["error"] is not None and any(one["proven"] for one in verdict["against"]))
        proven += verdict["proven"]
    assert proven > 5


def test_scores_and_places_are_as_in_python(watched: Watched) -> None:
    page = watched.empty()
    random = np.random.default_rng(3)
    surprise, other = random.permutation(12) / 10, random.integers(0, 5, 12) / 4  # ties in the other
    moved = module(page, "scores.js", "(m, a, b) => m.moves(a, b)", [*surprise], [*other])
    ties_as_before = other + surprise / 100
    assert moved == [*(rankdata(-surprise) - rankdata(-ties_as_before)).astype(int)]
    some = module(page, "scores.js", "(m) => m.moves([1, NaN, 3], [3, 2, 1])")
    assert some == [1, None, -1]
    assert module(page, "scores.js", "(m) => m.ordered([2, NaN, 1, 3], true)") == [3, 0, 2, 1]
    shares = module(page, "held_out.js", "(m, q) => m.bars(q, 0.05)", QUANTILES)
    assert sum(bar["share"] for bar in shares) == pytest.approx(1)
    for bar in shares:  # the share between two quantiles, as Python reads it off
        assert bar["share"] == pytest.approx(share_at_least(bar["from"], QUANTILES) - share_at_least(bar["to"], QUANTILES))
        assert bar["to"] - bar["from"] >= 0.05
    flat = module(page, "held_out.js", "(m) => m.bars([1, 1, 1, 1, 2], 0.1)")
    assert [(bar["from"], bar["to"], bar["share"]) for bar in flat] == [(1, 2, 1)]
    larger = "(m) => m.magnified(Uint8Array.of(10, 30), Uint8Array.of(10, 18))"
    magnified = module(page, "detail.js", f"(m) => {{ const r = ({larger})(m); return [r.times, ...r.pixels]; }}")
    assert magnified == [10, 128, 248]


def test_the_file_of_numbers_runs_nothing(watched: Watched) -> None:
    names = ['=HYPERLINK("http://evil","x")', '@SUM(1), "quoted"', "+1", "-2+3", "\t=1", "\r=1", "plain ≤ ü"]
    tray = [picture(1 + 3 * i, name, "own") for i, name in enumerate(names)]
    page, _ = mount(watched, tray, score="complexity")
    ready(page, 7)
    assert page.locator(".look").first.inner_text().startswith("=HYPERLINK")  # as text, not as anything else
    page.evaluate("view.csv('likelihoods')")
    page.wait_for_function("() => window.saved")
    name, content = page.evaluate("saved")
    assert name == "likelihoods.csv"
    assert content.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert len(rows) == 7 * len(KINDS)
    assert [row["picture"] for row in rows[:: len(KINDS)]] == [*(f"'{n}" for n in names[:6]), names[6]]
    first = {row["model"]: row for row in rows[: len(KINDS)]}
    assert (first["vae"]["kind of number"], float(first["vae"]["standard error (bits/dim)"])) == ("estimate", ERROR)
    assert float(first["mixture"]["surprise (nats)"]) == pytest.approx(1.2 * 784 * math.log(2))
    assert first["mixture"]["likelihood ratio (bits/dim)"] == first["vae-binary"]["surprise − complexity (bits/dim)"] == ""
    cells = module(page, "csv.js", "(m) => [-0.4, 1e-7, NaN, null, '-0.4', ' =1', '\\uff1d1', 'a\\nb'].map(m.cell)")
    assert cells == ["-0.4", "1e-7", "", "", '"\'-0.4"', '"\' =1"', '"\'\uff1d1"', '"a\nb"']
    assert page.evaluate("view.json()")["numbers"][0]["picture"] == names[0]


def test_recorded_numbers_first_then_live_and_a_late_answer_is_not_shown(watched: Watched) -> None:
    recordings = {"start": {"mnist": {"pictures": TRAY, "seed": 7, "scores": scores([1, 2, 3])}}}
    page, fakes = mount(watched, recordings=recordings)
    assert page.evaluate("badges.at(-1)") == "recorded"
    assert cell(page, 0, "mixture").inner_text() == "= 1.20"
    page.wait_for_function("() => badges.at(-1) === 'live'")
    fakes.held_seed = "8"  # its answer comes when the seed is 9 by now
    page.evaluate("outside({ seed: 8 })")
    assert cell(page, 0, "mixture").inner_text() == "…"
    for _ in range(100):
        if "8" in fakes.hold:
            break
        page.wait_for_timeout(20)
    page.evaluate("outside({ seed: 7 })")
    late = fakes.hold["8"]
    late.fulfill(json=scores([1, 2, 3], shift=1))
    page.wait_for_timeout(60)
    assert cell(page, 0, "mixture").inner_text() == "= 1.20"
    assert len(fakes.asked) == 2  # what is known of seed 7 is not asked again
    page.evaluate("view.again()")
    page.wait_for_function("() => window.took")
    for _ in range(100):
        if len(fakes.asked) == 3:
            break
        page.wait_for_timeout(20)
    assert fakes.asked[2][1] == [1, 2, 3]
    assert page.evaluate("failures") == []


def test_many_pictures_go_in_parts_and_new_ones_alone(watched: Watched) -> None:
    tray = [picture(1 + i, f"picture {i}") for i in range(24)]
    page, fakes = mount(watched, [*tray, tray[0] | {"id": "twin"}])
    ready(page, 25)
    assert [len(images) for _, images in fakes.asked] == [10, 10, 4]
    expect(page.locator(".progress")).to_be_hidden()
    more = [*tray[:5], picture(77, "one more")]
    page.evaluate("all => put(all)", more)
    ready(page, 6)
    assert fakes.asked[3:] == [({"data": "mnist", "seed": "7"}, [77])]
    fakes.refuse = True  # a sentence; what is there stays, and the rest can be asked again
    page.evaluate("all => put(all)", [*more, picture(78, "refused")])
    page.wait_for_function("() => failures.length")
    assert page.evaluate("failures") == ["Too many at once."]
    assert cell(page, 0, "mixture").inner_text() == "= 1.20"
    assert cell(page, 6, "mixture").inner_text() == "…"
    fakes.refuse = False
    page.get_by_role("button", name="Score the rest").click()
    ready(page, 7)
    expect(page.get_by_role("button", name="Score the rest")).to_be_hidden()
    page.evaluate("put([])")
    expect(page.locator(".empty")).to_be_visible()
    assert page.locator("table:visible, .detail:visible, .score-line:visible").count() == 0
    watched.errors.clear()  # the browser's own words on a status of 429


def test_the_cell_in_hand_says_what_was_seen_and_how_surprising_it_is(watched: Watched) -> None:
    grey = {"name": "grey", "height": 40, "width": 20, "pixels": packed(np.full(800, 90))}
    own = picture(
        1, "hand.png", "own", steps=[grey, grey | {"name": "centred", "height": 28, "width": 28, "pixels": TRAY[0]["pixels"]}]
    )
    before = np.frombuffer(base64.b64decode(TRAY[2]["pixels"]), np.uint8).copy()
    before[400] -= 12
    flip = {
        "label": 3,
        "became": 8,
        "changed": 12,
        "before": [0.01] * 3 + [0.97] + [0.0] * 6,
        "after": [0.05] * 8 + [0.61, 0.0],
        "original": packed(before),
    }
    tray = [
        own,
        picture(2, "blank", "trap", why="Nothing at all, and very likely."),
        picture(3, "A 3, perturbed", "attack", attack=flip),
    ]
    page, fakes = mount(watched, tray, model="pixelcnn-mnist")
    ready(page)
    detail = page.locator(".detail")
    expect(detail).to_contain_text("hand.png under PixelCNN")
    assert page.locator(".steps figcaption").all_text_contents() == ["grey", "centred, 28×28"]
    assert page.locator(".steps canvas").first.evaluate("(c) => [c.width, c.height]") == [20, 40]
    expect(detail.locator(".big")).to_have_text("= 0.800 bits/dim")
    share = 100 * share_at_least(0.8, QUANTILES)
    expect(detail.locator(".rank")).to_have_text(f"Less surprising than {share:.0f} % of held-out digits.")
    expect(detail.locator(".proof")).to_contain_text(
        "Proven less surprised than Mixture. Not proven against Gaussian: its number is only a bound"
    )
    expect(page.locator(".map")).to_have_attribute("data-shown", "pixelcnn-mnist p1")
    assert fakes.read == [{"model": "pixelcnn-mnist", "label": "-1"}]
    assert page.evaluate("view.json().surprise_map") == pytest.approx([*(-MAP / math.log(2))], abs=1e-4)
    page.locator(".map canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".pointed")).to_contain_text("bits")
    page.evaluate("outside({ at: 1, model: 'gaussian' })")
    expect(detail).to_contain_text("Nothing at all, and very likely.")
    expect(page.locator(".map")).to_be_hidden()
    assert page.locator(".steps figcaption").all_text_contents() == ["already 28×28"]
    expect(detail.locator(".big")).to_have_text("≤ 2.500 bits/dim")
    page.evaluate("outside({ at: 2, model: 'vae-binary' })")  # far below all held-out images: an arrow at the edge
    expect(detail.locator("path[data-out='-1']")).to_have_count(1)
    expect(detail.locator(".rank")).to_have_text("Less surprising than every held-out image of digits.")
    captions = page.locator(".steps figcaption").all_text_contents()
    assert captions == ["original: 3, 97 %", "difference × 10", "changed: 8, 61 %", "black or white"]
    expect(detail).to_contain_text("from 3 to 8")
    assert page.locator("[data-space=binary] + .detail").count() == 1  # it stands below the table of its cell
    watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_the_table_scrolls_within_itself(watched: Watched) -> None:
    page, _ = mount(watched, dark=True, model="pixelcnn-mnist")
    ready(page)
    assert watched.overflow() <= 0
    box = page.locator("[data-space='8-bit'] .scroll")
    assert box.evaluate("(b) => b.scrollWidth > b.clientWidth && b.scrollLeft > 0")  # the column in hand is in sight
    box.evaluate("(b) => (b.scrollLeft = 400)")
    left = box.bounding_box()
    first = page.locator("[data-space='8-bit'] tbody th").first.bounding_box()
    assert left
    assert first
    assert abs(first["x"] - left["x"]) <= 2
    heights = page.locator("table button, .units button, .map select").evaluate_all(
        "(all) => all.map((one) => one.offsetHeight)"
    )
    assert min(heights) >= 44
    cell(page, 1, "vae").tap()
    expect(page.locator(".detail")).to_have_attribute("data-shown", "p2 vae")
    watched.assert_clean()
