"""β compared: the view alone, fed with cards and pictures whose numbers are known, under a hand, a finger and a keyboard."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from playwright.sync_api import Page, Route, expect

from playground import text
from playground.components import BASE

TEXT = text.page("latents")["stage"]["beta"]
FACTORS = ("shape", "size", "angle", "across", "down", "hue")
ENTROPIES = (1.0986, 2.7726, 2.7726, 2.7726, 2.7726, 2.7726)
LATENT = 10
KEYS = ("beta0.1", "beta1", "beta4", "beta16", "tc")
BETAS = (0.1, 1.0, 4.0, 16.0, 6.0)
KLS = (41.0, 24.6, 15.2, 6.4, 17.9)  # mean, in nats
RECONSTRUCTIONS = (-941.3, -944.9, -961.8, -1023.4, -955.0)
AWAKE = (10, 9, 6, 3, 6)  # dimensions that carry something
MIGS = (0.06, 0.11, 0.44, 0.35, 0.52)
SHAPE = (3, 32, 32)
PLACES = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}

# The view on a page of its own, with a small stage around it: settings, and a record of what was said to the stage.
MOUNT = """async ([base, settings, text, dark]) => {
  const { betaView } = await import(`${base}/latents/beta_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  Object.assign(window, { settings, changes: [], failed: [], badge: null, facts: "", saved: null });
  const change = (patch) => {
    Object.assign(settings, patch);
    changes.push(patch);
    view.settings(new Set(Object.keys(patch)));
  };
  window.outside = (patch) => { Object.assign(settings, patch); view.settings(new Set(Object.keys(patch))); };
  window.view = betaView(host, {
    text, words: {}, settings: () => ({ ...settings }), change, fine() {}, took() {},
    fail: (error) => failed.push(error.message), badge: (kind) => (window.badge = kind),
    facts: (said) => (window.facts = said), download: (name, blob) => (window.saved = [name, blob.size]),
  }, { bar: document.createElement("div") });
  view.show();
}"""


def told() -> dict[str, Any]:
    """Cards as /play/latents/betas tells them. Dimension j of model i has KL by a fixed rule, so that no two orders agree."""
    models = []
    for i, key in enumerate(KEYS):
        random = np.random.default_rng(i)
        weights = np.where(np.arange(LATENT) < AWAKE[i], random.uniform(0.5, 2, LATENT), 0.0005)
        kl = random.permutation(weights / weights.sum() * KLS[i])
        order = np.argsort(-kl, kind="stable")
        information = random.uniform(0, 0.02, (LATENT, 6))
        for place, k in enumerate((3, 4, 1, 5, 2, 0)):  # factors, shared out over the leading dimensions
            information[order[place % AWAKE[i]], k] = ENTROPIES[k] * (0.75 if MIGS[i] > 0.2 else 0.3)
            information[order[(place + 1) % AWAKE[i]], k] += ENTROPIES[k] * random.uniform(0.05, 0.2)
        best = -np.sort(-information, axis=0)
        gap = (best[0] - best[1]) / ENTROPIES
        one = {
            "name": f"vae-sprites-{key}",
            "beta": BETAS[i],
            "objective": "tc-elbo" if key == "tc" else "elbo",
            "seed": 0,
            "kl": KLS[i],
            "reconstruction": RECONSTRUCTIONS[i],
            "elbo": {
                "nats": RECONSTRUCTIONS[i] - KLS[i],
                "kind": "lower bound",
                "samples": 1,
                "images": 10_000,
                "nats_standard_error": 3.0,
            },
            "mig": MIGS[i] * 0.85,
            "mig_without": MIGS[i],
        }
        seeds = []
        if key in ("beta4", "tc"):
            for seed, (dkl, dr, mig) in enumerate(((0, 0, 0), (0.7, -1.9, -0.13), (-0.6, -3.3, 0.03))):
                moved = {"kl": KLS[i] + dkl, "reconstruction": RECONSTRUCTIONS[i] + dr}
                elbo = {**one["elbo"], "nats": moved["reconstruction"] - moved["kl"]}  # type: ignore[dict-item]
                seeds.append({**one, **moved, "seed": seed, "elbo": elbo, "mig_without": MIGS[i] + mig})
        rest = {
            "key": key,
            "latent": LATENT,
            "scale": 25.0,
            "kl_by_dimension": kl.tolist(),
            "order": order.tolist(),
            "active": (kl >= 0.05).tolist(),
            "factors": FACTORS,
            "information": information.tolist(),
            "chance": np.full((LATENT, 6), 0.01).tolist(),
            "entropies": ENTROPIES,
            "gaps": {
                "gap": gap.tolist(),
                "best": best[0].tolist(),
                "second": best[1].tolist(),
                "which": information.argmax(0).tolist(),
            },
            "left_out": ["shape"],
            "fresh": 10_000,
            "parameters": 337_767,
            "steps": 5_000,
            "seeds": seeds,
        }
        models.append({**one, **rest})
    return {"carries": 0.05, "models": models}


TOLD = told()


def model(key: str) -> dict[str, Any]:
    return next(one for one in TOLD["models"] if one["key"] == key)


def painted(pixels: np.ndarray) -> str:
    return base64.b64encode(pixels.astype(np.uint8).tobytes()).decode()


def picture(sprite: int, which: int, place: int = 0) -> np.ndarray:
    """uint8 (3, 32, 32): red tells the sprite, green the model (0: the original), blue the place on the filmstrip."""
    colours = np.array([sprite % 256, 40 * which, 30 * place], dtype=np.uint8)
    return np.broadcast_to(colours[:, None, None], SHAPE)


def compared(sprite: int, dim: int) -> dict[str, Any]:
    models = []
    for i, one in enumerate(TOLD["models"]):
        j = one["order"][dim]
        share = np.array(one["information"][j]) / ENTROPIES
        k = int(share.argmax())
        models.append(
            {
                "key": one["key"],
                "name": one["name"],
                "dimension": j,
                "mean": -2.0 + 0.9 * i,
                "std": 0.1 + 0.2 * i,
                "kl_of_dimension": 2.0,
                "picture": painted(picture(sprite, i + 1)),
                "film": painted(np.stack([picture(sprite, i + 1, place) for place in range(7)])),
                "reconstruction": one["reconstruction"] - sprite,
                "reconstruction_error": 0.8,
                "kl": one["kl"] + 1,
                "elbo": one["reconstruction"] - sprite - one["kl"] - 1,
                "caption": {"factor": FACTORS[k], "nats": one["information"][j][k], "of": ENTROPIES[k]},
            }
        )
    return {
        "sprite": sprite,
        "dim": dim,
        "seed": 2026,
        "shape": SHAPE,
        "levels": 256,
        "places": PLACES,
        "samples": 16,
        "factors": {},
        "original": painted(picture(sprite, 0)),
        "models": models,
    }


def mount(watched: Watched, *, dark: bool = False, betas: dict[str, Any] | None = None, **settings: int) -> Page:
    page = watched.empty()
    asked: list[tuple[int, int]] = []

    def compare(route: Route) -> None:
        query = {key: int(value[0]) for key, value in parse_qs(urlsplit(route.request.url).query).items()}
        asked.append((query["sprite"], query["dim"]))
        route.fulfill(json=compared(**query))

    page.route("**/play/latents/betas", lambda route: route.fulfill(json=TOLD if betas is None else betas))
    page.route("**/play/latents/compare?*", compare)
    page.evaluate(MOUNT, [BASE, {"sprite": 1, "dim": 0, **settings}, TEXT, dark])
    page.asked = asked  # type: ignore[attr-defined]
    return page


def ready(page: Page, sprite: int = 1, dim: int = 0) -> None:
    expect(page.locator(f".lt-view-beta[data-sprite='{sprite}'][data-dim='{dim}']")).to_have_count(1)


def pixel(page: Page, selector: str, x: int, y: int = 10) -> list[int]:
    found = page.eval_on_selector(
        selector, "(canvas, [x, y]) => Array.from(canvas.getContext('2d').getImageData(x, y, 1, 1).data)", [x, y]
    )
    assert isinstance(found, list)
    return found


def digits(words: str | None) -> float:
    found = re.search(r"−?\d[\d\u202f]*(\.\d+)?", words or "")
    assert found, words
    return float(found[0].replace("−", "-").replace("\u202f", ""))


def plain(words: str) -> str:
    return words.replace("\u00a0", " ")


def marked(page: Page) -> str | None:
    """The one model that all parts of the view mark alike."""
    rows = page.eval_on_selector_all(".beta-row.on", "all => all.map((one) => one.dataset.model)")
    maps = page.eval_on_selector_all(".beta-map.on", "all => all.map((one) => one.dataset.map)")
    points = page.eval_on_selector_all(".point.on", "all => all.map((one) => one.dataset.point)")
    assert rows == maps == points
    assert len(rows) == 1
    return str(rows[0])


# ------------------------------------------------------------------------------------------------------ rate and distortion


def test_every_point_of_an_equal_elbo_line_has_the_same_elbo_and_the_line_ends_at_the_frame(watched: Watched) -> None:
    points = [{"rate": kl, "distortion": -r} for kl, r in zip(KLS, RECONSTRUCTIONS, strict=True)]
    found = watched.empty().evaluate(
        """async ([base, points]) => {
          const { frameOf, lineThrough } = await import(`${base}/latents/rate_plot.js`);
          const frame = frameOf(points, 440, 340);
          return {
            rate: frame.rate, distortion: frame.distortion,
            at: points.map((one) => [frame.X(one.rate), frame.Y(one.distortion)]),
            lines: [-0.1, -1, -16].map((slope) => points.map((one) => lineThrough(one, slope, frame))),
            none: lineThrough({ rate: 10, distortion: 5000 }, -1, frame),
          };
        }""",
        [BASE, points],
    )
    (first, last), (low, high) = found["rate"], found["distortion"]
    assert first == 0
    for slope, lines in zip((-0.1, -1, -16), found["lines"], strict=True):
        for point, (a, b) in zip(points, lines, strict=True):
            value = point["distortion"] - slope * point["rate"]  # what stays along the line; at slope −1 it is −ELBO
            assert a["distortion"] - slope * a["rate"] == pytest.approx(value)
            assert b["distortion"] - slope * b["rate"] == pytest.approx(value)
            assert a["rate"] <= point["rate"] <= b["rate"]
            assert a["rate"] == pytest.approx(first, abs=1e-9) or a["distortion"] == pytest.approx(high)
            assert b["rate"] == pytest.approx(last) or b["distortion"] == pytest.approx(low)
    assert found["none"] is None
    for point, (x, y) in zip(points, found["at"], strict=True):  # both axes are linear, distortion upwards
        assert 58 + 366 * point["rate"] / last == pytest.approx(x)
        assert 16 + 284 * (high - point["distortion"]) / (high - low) == pytest.approx(y)


def test_names_beside_points_cover_neither_points_nor_each_other(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    boxes = page.eval_on_selector_all(
        ".point .name, .point > :nth-child(2)",
        "all => all.map((one) => { const b = one.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]; })",
    )
    assert len(boxes) == 10
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            over = [min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])]
            assert min(over) <= 1, (a, b)


def test_the_drawn_line_goes_through_the_point_of_the_best_elbo(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    best = max((one["elbo"]["nats"], one["key"]) for one in TOLD["models"])
    x1, y1, x2, y2 = (float(page.locator("[data-line=elbo]").get_attribute(key) or "nan") for key in ("x1", "y1", "x2", "y2"))
    x, y = page.eval_on_selector(
        f"[data-point='{best[1]}'] > :nth-child(2)",
        "one => { const b = one.getBBox(); return [b.x + b.width / 2, b.y + b.height / 2]; }",
    )
    assert y == pytest.approx(y1 + (y2 - y1) * (x - x1) / (x2 - x1), abs=0.2)
    assert digits(page.locator("[data-reading=equal]").text_content()) == pytest.approx(best[0], abs=0.05)


# ---------------------------------------------------------------------------------------------------------------- heat maps


def test_cells_are_the_cards_numbers_in_the_order_of_kl(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    for one in TOLD["models"]:
        cells = page.eval_on_selector_all(
            f"[data-map='{one['key']}'] [data-j]",
            "all => all.map((c) => [Number(c.dataset.j), Number(c.dataset.k), Number(c.dataset.share), c.ariaLabel])",
        )
        assert [j for j, *_ in cells[::6]] == sorted(range(LATENT), key=lambda j: -one["kl_by_dimension"][j])
        assert len({(j, k) for j, k, *_ in cells}) == 6 * LATENT
        for j, k, share, words in cells:
            nats = one["information"][j][k]
            assert share == pytest.approx(min(1, nats / ENTROPIES[k]), abs=1e-4)
            assert f"and {FACTORS[k]}: {nats:.2f} of {ENTROPIES[k]:.2f} nats" in words
        asleep = page.locator(f"[data-map='{one['key']}'] tr[data-asleep]").count()
        assert asleep == LATENT - AWAKE[KEYS.index(one["key"])]
        gaps = page.eval_on_selector_all(
            f"[data-map='{one['key']}'] [data-gap]", "all => all.map((c) => Number(c.textContent))"
        )
        assert gaps == [round(100 * gap) for gap in one["gaps"]["gap"]]


def test_a_fuller_cell_is_farther_from_the_ground(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    colours = page.eval_on_selector_all(
        "[data-map=beta4] tbody tr:not([data-asleep]) td",
        """all => {
          const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
          return all.map((c) => {
            context.fillStyle = getComputedStyle(c).backgroundColor;
            context.fillRect(0, 0, 1, 1);
            return [Number(c.dataset.share), ...context.getImageData(0, 0, 1, 1).data];
          });
        }""",
    )
    ordered = sorted(colours)
    greens = [green for _, _, green, _, _ in ordered]  # of the orange token, far below the ground's
    assert greens == sorted(greens, reverse=True)
    assert greens[0] - greens[-1] > 60


def test_arrows_walk_over_a_map_and_its_number_is_read(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    one = model("tc")
    page.locator("[data-map=tc] td[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    at = page.evaluate("[document.activeElement.dataset.j, document.activeElement.dataset.k].map(Number)")
    assert at == [one["order"][1], 1]
    said = page.locator("[data-reading=cell]").text_content() or ""
    assert plain(said).startswith(f"TC, β = 6, z{str(at[0] + 1).translate(str.maketrans('0123456789', '₀₁₂₃₄₅₆₇₈₉'))} and size")
    assert f"{one['information'][at[0]][1]:.2f} of 2.77 nats" in said
    assert marked(page) == "tc"
    assert page.locator("[data-map=tc] td[tabindex='0']").count() == 1
    for _ in range(12):  # the edge holds
        page.keyboard.press("ArrowUp")
    assert page.evaluate("Number(document.activeElement.dataset.j)") == one["order"][0]


# ------------------------------------------------------------------------------------------------------------------ the rows


def test_pictures_are_those_that_came_each_at_its_place(watched: Watched) -> None:
    page = mount(watched, sprite=77)
    ready(page, 77)
    for i, key in enumerate(KEYS):
        row = f"[data-model='{key}']"
        assert pixel(page, f"{row} canvas.beta-pair", 3)[:3] == [77, 0, 0]
        assert pixel(page, f"{row} canvas.beta-pair", 36)[:3] == [77, 40 * (i + 1), 0]
        for place in range(7):
            assert pixel(page, f"{row} .beta-film canvas", 33 * place + 16)[:3] == [77, 40 * (i + 1), 30 * place]
    assert page.evaluate("badge") == "live"


def test_numbers_of_a_row_are_the_answers_and_say_what_they_are(watched: Watched) -> None:
    page = mount(watched, sprite=9, dim=2)
    ready(page, 9, 2)
    for i, one in enumerate(compared(9, 2)["models"]):
        row = page.locator(f"[data-model='{one['key']}']")
        shown = {
            name: row.locator(f"[data-number={name}]").text_content() or "" for name in ("reconstruction", "kl", "elbo", "mig")
        }
        assert shown["reconstruction"].startswith("≈")
        assert shown["elbo"].startswith("≥")
        for name in ("reconstruction", "kl", "elbo"):
            assert digits(shown[name]) == pytest.approx(one[name], abs=0.051)
        assert shown["mig"] == f"{MIGS[i]:.2f} ({MIGS[i] * 0.85:.2f})"
        assert row.locator("[data-number=active]").text_content() == f"{AWAKE[i]} of 10 active"
        caption = row.locator(".beta-caption").text_content() or ""
        assert ("carries nothing" in caption) == (one["dimension"] in np.flatnonzero(~np.array(model(one["key"])["active"])))


def test_the_dot_of_the_code_stands_under_its_place_on_the_film(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    for i, key in enumerate(KEYS):
        film = page.locator(f"[data-model='{key}'] .beta-film canvas").bounding_box()
        dot = page.locator(f"[data-model='{key}'] .beta-where b").bounding_box()
        assert film and dot
        z = -2.0 + 0.9 * i
        expected = film["x"] + film["width"] * ((z + 3) * 33 + 16) / 230
        assert dot["x"] + dot["width"] / 2 == pytest.approx(expected, abs=1)
        heading = page.locator(".beta-places span").nth(0).bounding_box()
        assert heading
        assert heading["x"] + heading["width"] / 2 == pytest.approx(film["x"] + film["width"] * 16 / 230, abs=1.5)


def test_another_sprite_and_another_dimension_go_into_the_settings(watched: Watched) -> None:
    page = mount(watched, sprite=0)
    ready(page, 0)
    page.locator("[data-act=previous]").click()
    ready(page, 9_999)
    page.locator("[data-act=next]").click()
    page.locator("[data-act=next]").click()
    ready(page, 1)
    page.locator(".beta-rank input").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    ready(page, 1, 2)
    assert page.evaluate("settings") == {"sprite": 1, "dim": 2}
    assert "3 of 10" in (page.locator(".beta-rank output").text_content() or "")
    page.evaluate("outside({ sprite: 5, dim: 9 })")  # a link, or Reset
    ready(page, 5, 9)
    assert page.locator(".beta-rank input").input_value() == "10"


def test_a_dimension_beyond_the_last_is_the_last(watched: Watched) -> None:
    page = mount(watched, dim=15)
    ready(page, 1, 9)
    assert "10 of 10" in (page.locator(".beta-rank output").text_content() or "")


def test_of_many_quick_steps_the_last_is_shown(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    page.evaluate("for (let i = 0; i < 30; i++) document.querySelector('[data-act=next]').click()")
    ready(page, 31)
    assert pixel(page, "[data-model=beta1] canvas.beta-pair", 3)[:3] == [31, 0, 0]
    assert len(page.asked) < 10  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------------------- one is marked


def test_pointing_at_a_point_marks_its_row_and_the_reverse(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    assert marked(page) == "beta4"
    page.locator("[data-point=beta16]").scroll_into_view_if_needed()
    page.locator("[data-point=beta16] .name").hover()
    assert marked(page) == "beta16"
    page.locator("[data-model=beta1] .beta-film").hover()
    assert marked(page) == "beta1"
    page.locator("[data-map=tc] table").hover(position={"x": 60, "y": 100})
    assert marked(page) == "tc"
    page.mouse.move(2, 2)
    assert marked(page) == "beta4"  # the chosen one comes back
    page.locator("[data-point='beta0.1']").focus()
    assert marked(page) == "beta0.1"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.evaluate("document.activeElement.blur()")
    assert marked(page) == "beta0.1"
    assert page.evaluate("changes") == [{"marked": "beta0.1"}]  # what is chosen is in the link, what is pointed at is not


def test_the_formula_has_the_marked_models_numbers(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    for key, beta, kl, reconstruction in zip(KEYS, BETAS, KLS, RECONSTRUCTIONS, strict=True):
        page.locator(f"button[data-choose='{key}']").first.click()
        shown = {
            name: page.locator(f"math [data-value={name}]").text_content()
            if page.locator(f"math [data-value={name}]").count()
            else None
            for name in ("distortion", "kl", "beta", "loss")
        }
        assert digits(shown["distortion"]) == pytest.approx(-reconstruction, abs=0.051)
        assert digits(shown["kl"]) == pytest.approx(kl, abs=0.051)
        if key == "tc":
            assert shown["beta"] == "5"
            assert shown["loss"] is None  # the total correlation was not measured
            assert "TC" in (page.locator("math").text_content() or "")
        else:
            assert digits(shown["beta"]) == beta
            assert digits(shown["loss"]) == pytest.approx(beta * kl - reconstruction, abs=0.051)
        bound = page.locator("[data-reading=bound]").text_content() or ""
        assert ("is no bound" in bound) == (beta < 1)
        assert digits(bound[bound.index("≥") :]) == pytest.approx(reconstruction - kl, abs=0.051)


def test_the_sentence_counts_what_was_saved_and_what_was_paid(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    verdict = page.locator("[data-reading=verdict]")
    page.locator("button[data-choose=beta16]").first.click()
    expect(verdict).to_have_text(
        "β = 16: 7 of 10 dimensions carry nothing; the KL is 6.4 nats. "
        "Against β = 1 it saves 18.2 nats of KL, and reconstruction pays 78.5 nats for it."
    )
    page.locator("button[data-choose='beta0.1']").first.click()
    expect(verdict).to_have_text(
        "β = 0.1: all 10 dimensions carry something; the KL is 41.0 nats. "
        "Against β = 1 it spends 16.4 nats more of KL, and reconstruction gains 3.6 nats by it."
    )
    page.locator("button[data-choose=beta1]").first.click()
    expect(verdict).to_have_text("β = 1: one of 10 dimensions carries nothing; the KL is 24.6 nats.")


def test_three_seeds_and_their_median(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    said = page.locator(".beta-seed").all_text_contents()
    assert len(said) == 2
    assert "0.44, 0.31, 0.47: median 0.44" in said[0]
    assert "0.52, 0.39, 0.55: median 0.52" in said[1]
    places = page.eval_on_selector_all("[data-seeds=beta4] circle", "all => all.map((c) => (c.cx.baseVal.value - 8) / 184)")
    assert places == pytest.approx([0.44, 0.31, 0.47])
    assert page.locator(".seed").count() == 4
    page.locator("[data-seed='tc-1'] circle:not(.ring)").hover(force=True)
    reading = page.locator("[data-reading=point]").text_content() or ""
    assert reading.startswith("Seed 1 of TC")
    assert "KL 18.6" in reading
    assert marked(page) == "tc"
    page.locator("[data-seed='beta4-2']").focus()
    assert (page.locator("[data-reading=point]").text_content() or "").startswith("Seed 2 of")
    assert marked(page) == "beta4"


def test_of_points_that_lie_close_together_the_nearest_is_meant(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    page.locator(".beta-plot").scroll_into_view_if_needed()
    for key in KEYS:
        box = page.locator(f"[data-point='{key}'] > :nth-child(2)").bounding_box()
        assert box
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert marked(page) == key


# ------------------------------------------------------------------------------------------------------------ and the rest


def test_facts_say_that_sigma_is_the_same_for_all(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    facts = page.evaluate("facts")
    for part in (
        "σ of a pixel fixed at 25 grey levels",
        "10\u202f000 fresh sprites",
        "Chen et al. 2018",
        "337\u202f767 parameters",
    ):
        assert part in facts
    assert "10\u202f000 test sprites" in (page.locator(".beta-below").text_content() or "")


def test_what_is_taken_away_holds_the_numbers_and_all_pictures(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    found = page.evaluate("view.json()")
    assert json.loads(json.dumps(TOLD["models"])) == found["models"]
    assert found["sprite"]["models"][2]["reconstruction"] == RECONSTRUCTIONS[2] - 1
    assert "film" not in found["sprite"]["models"][0]
    page.evaluate("view.png('latents-beta')")
    page.wait_for_function("saved")
    assert page.evaluate("saved[0]") == "latents-beta.png"


def test_without_models_one_sentence_says_so(watched: Watched) -> None:
    page = mount(watched, betas={"carries": 0.05, "models": []})
    expect(page.locator(".lt-view-beta .notice")).to_have_text(TEXT["none"])
    assert not page.locator(".beta-whole").is_visible()
    assert page.asked == []  # type: ignore[attr-defined]
    watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_phone_shows_one_map_and_nothing_overflows(watched: Watched) -> None:
    page = mount(watched)
    ready(page)
    assert watched.overflow() <= 0
    assert page.locator(".beta-map table:visible").count() == 1
    page.locator("[data-map=tc] button").tap()
    assert marked(page) == "tc"
    cell = page.locator("[data-map=tc] [data-k='3']").nth(1)
    cell.tap()
    assert "and across" in (page.locator("[data-reading=cell]").text_content() or "")
    low = page.eval_on_selector_all(
        ".lt-view-beta :is(button, input, .beta-map.on tbody td)",
        """all => all.filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().height)
        .filter((tall) => tall < 39.5)""",
    )
    assert low == []
    page.locator("[data-point=beta1] > :nth-child(2)").tap()
    assert marked(page) == "beta1"
    assert watched.overflow() <= 0
    watched.assert_clean()


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_goes_wrong_in_light_or_dark_and_a_summary_is_spoken(watched: Watched, dark: bool) -> None:
    page = mount(watched, dark=dark)
    ready(page)
    assert watched.overflow() <= 0
    spoken = page.locator(".hidden-text[role=status]").text_content() or ""
    assert spoken.startswith("Sprite 1, dimension 1 by KL.")
    assert all(name in plain(spoken) for name in ("β = 0.1:", "β = 1:", "β = 4:", "β = 16:", "TC, β = 6:"))
    assert page.evaluate("failed") == []
    watched.assert_clean()
