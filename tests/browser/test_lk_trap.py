"""The trap: guess, see, repair. The scores here are made up of normal numbers; every number on the page is counted again from
them, picture by picture."""

from __future__ import annotations

import base64
import csv
import io
import re
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from numpy.typing import NDArray
from playwright.sync_api import Page, Route, expect

from playground import text
from playground.components import BASE

Scores = NDArray[np.float64]

MOUNT = """async ([base, settings, words, recordings, models]) => {
  const { trapView } = await import(`${base}/likelihoods/trap_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  Object.assign(window, { settings, changes: [], badges: [], failures: [], saved: {} });
  const put = (patch) => {
    const changed = Object.keys(patch).filter((key) => String(patch[key]) !== String(settings[key]));
    Object.assign(settings, patch);
    if (changed.length) view.settings(new Set(changed));
  };
  window.outside = put;
  window.view = trapView(host, {
    words, text: words.trap, recordings, models, settings: () => ({ ...settings }),
    change: (patch) => { changes.push(patch); put(patch); }, pictures: () => [], chosen: () => null,
    fail: (error) => failures.push(error.message), fine() {}, facts() {}, took: (seconds) => (window.took = seconds),
    badge: (kind) => badges.push(kind),
    download: async (name, blob) => (saved[name] = [blob.type, await blob.text(), blob.size]),
  });
  view.show();
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 900, "height": 1000}}
INSIDERS, OUTLIERS = 300, 400
MODELS = {  # name: title, kind, surprise of clothes and of digits (mean, deviation)
    "pixelcnn-fashion": ("PixelCNN, clothes", "exact", (2.8, 0.5), (1.9, 0.3)),
    "vae-fashion-16d": ("VAE, 16 dimensions, clothes", "lower bound", (3.3, 0.5), (2.9, 0.4)),
    "pca-fashion": ("Probabilistic PCA, clothes", "estimate", (4.1, 0.4), (4.6, 0.5)),
    "mixture-fashion": ("=Mixture, clothes", "exact", (4.4, 0.5), (5.9, 0.6)),
}


def roc(insiders: Scores, outliers: Scores) -> dict[str, Any]:
    """Every picture against every other one."""
    above = (outliers[:, None] > insiders) + 0.5 * (outliers[:, None] == insiders)
    cuts = np.quantile(np.concatenate([insiders, outliers]), np.linspace(1, 0, 60))
    return {
        "auroc": float(above.mean()),
        "error": float(np.sqrt(above.mean(0).var() / INSIDERS + above.mean(1).var() / OUTLIERS)),
        "fp": [0.0, *(float((insiders >= cut).mean()) for cut in cuts)],
        "tp": [0.0, *(float((outliers >= cut).mean()) for cut in cuts)],
    }


@cache
def raw(name: str) -> dict[str, tuple[Scores, Scores]]:
    """The scores of each picture, clothes and digits."""
    clothes, digits = MODELS[name][2:]
    random = np.random.default_rng(list(MODELS).index(name))
    held, insiders = random.normal(clothes[0], clothes[1], 5000), random.normal(clothes[0], clothes[1], INSIDERS)
    outliers = random.normal(digits[0], digits[1], OUTLIERS)
    code = [random.normal(0.7 * one[0], 0.7 * one[1], n) for one, n in ((clothes, INSIDERS), (digits, OUTLIERS))]
    easy = [0.4 * insiders + random.normal(1, 0.1, INSIDERS), outliers - random.normal(1.2, 0.2, OUTLIERS)]
    scores = {
        "surprise": (insiders, outliers),
        "rank": tuple((held < one[:, None]).mean(1) for one in (insiders, outliers)),
        "typicality": tuple(np.abs(one - held.mean()) for one in (insiders, outliers)),
        "complexity": (insiders - code[0], outliers - code[1] + 1),
    }
    return scores | ({} if name == "pca-fashion" else {"ratio": (insiders - easy[0], outliers - easy[1] + 0.4)})


def histogram(insiders: Scores, outliers: Scores) -> dict[str, list[float]]:
    edges = np.histogram_bin_edges(np.concatenate([insiders, outliers]), 40)
    counted = {"insiders": np.histogram(insiders, edges)[0], "outliers": np.histogram(outliers, edges)[0]}
    return {"edges": edges.tolist()} | {side: counts.tolist() for side, counts in counted.items()}


@cache
def recording() -> dict[str, Any]:
    models = [
        {
            "name": name, "kind": kind, "method": "-", "samples": 1 if kind == "exact" else 64,
            "mean": {side: float(raw(name)["surprise"][k].mean()) for k, side in enumerate(("insiders", "outliers"))},
            "scores": {score: roc(*both) | {"histogram": histogram(*both)} for score, both in raw(name).items()},
        }
        for name, (_, kind, _, _) in MODELS.items()
    ]  # fmt: skip
    return {
        "insiders": "Fashion-MNIST test images, the last 5,000", "outliers": "MNIST test images",
        "compressor": "png", "rate": 0.3, "calibration": "Fashion-MNIST test images, the first 5,000",
        "images": {"insiders": INSIDERS, "outliers": OUTLIERS},
        "models": models, "kolmogorov": {"pixelcnn-fashion": 0.0123},
        "selection": {"ratio": [{"rate": r, "omniglot": 0.5 + r, "kmnist": 0.6} for r in (0.1, 0.3)],
                      "complexity": [{"compressor": c, "omniglot": 0.987, "kmnist": 0.9} for c in ("png", "zlib")]},
    }  # fmt: skip


def picture(grey: int) -> dict[str, Any]:
    return {"kind": "reference", "title": "-", "pixels": base64.b64encode(bytes([grey] * 784)).decode()}


def live(n: int, auroc: float) -> dict[str, Any]:
    """An answer whose area under plain surprise is `auroc`."""
    scores = {
        score: roc(*(one[:n] for one in both)) | {"histogram": histogram(*(one[:n] for one in both))}
        for score, both in raw("vae-fashion-16d").items()
    }
    scores["surprise"]["auroc"], scores["surprise"]["error"] = auroc, 0.031
    return {
        "insiders": {"what": "clothes", "images": n, "live": False},
        "outliers": {"what": "digits", "images": n, "live": True},
        "scores": scores,
        "seconds": 1.5,
    }


def mount(watched: Watched, **settings: Any) -> Page:
    page = watched.empty()
    start = {data: {"pictures": [picture(grey + k) for k in range(5)]} for data, grey in (("mnist", 200), ("fashion", 100))}
    given = {"suspect": "", "guess": "", "shown": False, "score": "surprise", "seed": 7} | settings
    titles = {name: {"title": title} for name, (title, *_) in MODELS.items()}
    words = text.page("likelihoods")["stage"]
    page.evaluate(MOUNT, [BASE, given, words, {"trap": recording(), "start": start}, titles])
    return page


def changes(page: Page) -> list[dict[str, Any]]:
    return page.evaluate("changes")


def reading(page: Page, name: str) -> str:
    return (page.locator(f"[data-reading={name}]").text_content() or "").replace("\u202f", "")


def statuses(page: Page) -> list[str]:
    return page.locator(".trap-status").all_text_contents()


def test_first_a_guess_then_the_verdict_and_the_score_of_all_guesses(watched: Watched) -> None:
    page = mount(watched)
    expect(page.locator(".trap-question")).to_have_text(
        "PixelCNN, clothes has only ever seen clothes. Which will it find less surprising?"
    )
    assert page.locator(".lk-histograms:visible, .lk-roc:visible, td:visible").count() == 0  # nothing gives it away
    grey = "(all) => all.map((c) => c.getContext('2d').getImageData(5, 5, 1, 1).data[0])"
    assert page.locator(".trap-guess canvas").evaluate_all(grey) == [100, 101, 102, 103, 200, 201, 202, 203]
    assert page.evaluate("badges.at(-1)") == "recorded"

    page.get_by_role("button", name="Digits which it").click()
    assert changes(page) == [{"suspect": "pixelcnn-fashion", "guess": "fooled", "shown": True}]
    clothes, digits = raw("pixelcnn-fashion")["surprise"]
    gap, means = clothes.mean() - digits.mean(), (digits.mean(), clothes.mean())
    expect(page.locator(".trap-verdict")).to_have_text(
        f"Fooled: on average it finds digits {gap:.2f} bits/dim less surprising ({means[0]:.2f} against {means[1]:.2f}). "
        "You guessed right."
    )
    share = 100 * (digits[:, None] < clothes).mean()
    assert f"in {share:.1f} % of all such pairs the digit is the less surprising one" in reading(page, "pairs")
    assert statuses(page) == ["fooled ✓", "?", "?", "?"]
    assert page.locator("[data-part=table] tbody tr").count() == 1  # of the others nothing is told yet

    expect(page.get_by_role("button", name="Next suspect")).to_be_focused()
    page.keyboard.press("Enter")
    assert changes(page)[-1] == {"suspect": "vae-fashion-16d", "guess": "", "shown": False}
    page.get_by_role("button", name="Clothes all that it knows").click()
    expect(page.locator(".trap-verdict")).to_contain_text("(≤ ")  # bounds are never shown as values
    expect(page.locator(".trap-verdict")).to_contain_text("You guessed otherwise.")
    assert "2 of 4 revealed, 2 fooled. You guessed 1 of 2 right." in reading(page, "score")
    page.locator("[data-part=game]").get_by_role("button", name="Reveal all").click()
    assert statuses(page) == ["fooled ✓", "fooled ✗", "not fooled", "not fooled"]
    assert page.locator("[data-part=table] tbody tr").count() == 4
    page.locator("[data-suspect=pca-fashion]").click()
    expect(page.locator(".trap-verdict")).to_contain_text("Not fooled: on average it finds digits")
    expect(page.locator(".trap-verdict")).to_contain_text("(≈ ")
    expect(page.locator("[data-score=ratio]")).to_be_disabled()  # it has none

    page.evaluate("outside({ suspect: '', guess: '', shown: false })")  # Reset
    assert statuses(page) == ["?"] * 4
    expect(page.locator(".trap-asked")).to_be_visible()
    watched.assert_clean()


def test_a_link_opens_on_its_verdict_and_a_missing_recording_on_a_sentence(watched: Watched) -> None:
    page = mount(watched, suspect="mixture-fashion", guess="fooled", shown=True, score="ratio")
    expect(page.locator(".trap-verdict")).to_contain_text("Not fooled")
    expect(page.locator(".trap-verdict")).to_contain_text("You guessed otherwise.")
    expect(page.locator("[data-score=ratio]")).to_have_attribute("aria-pressed", "true")
    missing: list[dict[str, Any]] = [{}, {"trap": {}}]
    for nothing in missing:
        page.evaluate(MOUNT, [BASE, {}, text.page("likelihoods")["stage"], nothing, {}])
        expect(page.locator(".lk-view-trap")).to_have_text("The trap has not been recorded on this machine yet.")


FUNCTIONS = """async ([base, models, cuts]) => {
  const scores = await import(`${base}/likelihoods/trap_scores.js`);
  return models.map((model, k) => ({
    verdict: scores.verdict(model),
    tallies: cuts.map((at) => scores.tally(model.scores.surprise.histogram, at)),
    cautious: scores.cautious(model.scores.surprise.histogram),
    apart: scores.apart(model.scores.surprise, model.scores.typicality),
    same: scores.same(model.scores.surprise, model.scores.rank),
    density: scores.density(model.scores.surprise.histogram.insiders, model.scores.surprise.histogram.edges),
  }));
}"""


def farthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Each corner of a curve to the other curve, cut into ten thousand pieces."""
    a, b = (np.stack([curve["fp"], curve["tp"]], 1) for curve in (one, other))

    def far(from_: Scores, to: Scores) -> float:
        at = np.linspace(0, len(to) - 1, 10_000)
        fine = np.stack([np.interp(at, np.arange(len(to)), to[:, k]) for k in (0, 1)], 1)
        return float(np.linalg.norm(from_[:, None] - fine, axis=2).min(1).max())

    return max(far(a, b), far(b, a))


def test_what_is_told_of_scores_is_what_counting_pictures_gives(watched: Watched) -> None:
    page, models, cuts = watched.empty(), recording()["models"], [0, 7, 20, 33, 40]
    for model, found in zip(models, page.evaluate(FUNCTIONS, [BASE, models, cuts]), strict=True):
        clothes, digits = raw(model["name"])["surprise"]
        edges = np.array(model["scores"]["surprise"]["histogram"]["edges"])
        expected = roc(clothes, digits)["auroc"]
        assert found["verdict"]["fooled"] == (expected < 0.5)
        assert found["verdict"]["less"] == pytest.approx(1 - expected)
        assert found["verdict"]["gap"] == pytest.approx(clothes.mean() - digits.mean())
        for at, tally in zip(cuts, found["tallies"], strict=True):
            cut = edges[at] if at < 40 else np.inf  # the last bin holds its upper edge
            assert (tally["thrown"], tally["caught"]) == ((clothes >= cut).sum(), (digits >= cut).sum())
            assert (tally["fp"], tally["tp"]) == pytest.approx(((clothes >= cut).mean(), (digits >= cut).mean()))
        lowest = min(i for i in range(41) if i == 40 or (clothes >= edges[i]).mean() <= 0.05)
        assert found["cautious"] == lowest
        assert found["apart"] == pytest.approx(farthest(model["scores"]["surprise"], model["scores"]["typicality"]), abs=2e-3)
        assert found["same"] is True
        assert (np.array(found["density"]) * np.diff(edges)).sum() == pytest.approx(1)
        assert found["density"] == pytest.approx(np.histogram(clothes, edges, density=True)[0])


def test_a_dragged_threshold_is_counted_and_stands_on_the_curve(watched: Watched) -> None:
    page = mount(watched, shown=True, score="complexity")
    plot, handle = page.locator("[data-part=repair] .lk-histograms"), page.locator("[role=slider]")
    clothes, digits = raw("pixelcnn-fashion")["complexity"]
    edges = np.array(recording()["models"][0]["scores"]["complexity"]["histogram"]["edges"])
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    wide = box["width"] - 24  # the frame's share of it
    page.mouse.move(box["x"] + 12 + wide / 2, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 12 + wide * 17.2 / 40, box["y"] + 90, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 12, box["y"] + 90)  # let go: no longer held
    expect(handle).to_have_attribute("aria-valuenow", "17")
    expect(handle).to_be_focused()
    for key, at in (
        (None, 17),
        ("ArrowRight", 18),
        ("PageDown", 14),
        ("End", 40),
        ("ArrowRight", 40),
        ("Home", 0),
        ("PageUp", 4),
    ):
        if key:
            page.keyboard.press(key)
        cut = edges[at] if at < 40 else np.inf
        thrown, caught = (clothes >= cut).sum(), (digits >= cut).sum()
        said = reading(page, "threshold")
        assert f"({caught} of {OUTLIERS})" in said, key
        assert f"({thrown} of {INSIDERS})" in said, key
        assert handle.get_attribute("aria-valuetext") == page.locator("[data-reading=threshold]").text_content()
        x0, x1, y0, y1 = page.locator(".lk-roc .coin").evaluate(
            "(l) => ['x1', 'x2', 'y1', 'y2'].map((k) => Number(l.getAttribute(k)))"
        )
        x, y = page.locator("[data-point=threshold]").evaluate("(c) => [c.cx.baseVal.value, c.cy.baseVal.value]")
        assert ((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)) == pytest.approx((thrown / INSIDERS, caught / OUTLIERS), abs=1e-3)
    watched.assert_clean()


def test_a_score_that_is_looked_at_lends_its_pictures_and_a_press_keeps_it(watched: Watched) -> None:
    page = mount(watched, shown=True)
    on = page.locator(".curve.on")
    expect(on).to_have_attribute("data-curve", "surprise")
    paths = page.locator("[data-curve]").evaluate_all(
        "(all) => Object.fromEntries(all.map((one) => [one.dataset.curve, one.getAttribute('d')]))"
    )
    assert paths["rank"] != paths["typicality"]
    assert set(paths) == {"surprise", "rank", "typicality", "complexity", "ratio"}
    expect(page.locator("[data-name=surprise]")).to_have_text("Surprise and Rank")
    assert page.locator("[data-name=rank]").count() == 0
    assert "nothing repaired" in reading(page, "rank")
    areas = {score: values["auroc"] for score, values in recording()["models"][0]["scores"].items()}
    top = max(areas, key=lambda score: areas[score])
    assert f"the best score is {top.title()}: AUROC {areas[top]:.3f}" in reading(page, "best")

    before = reading(page, "threshold")
    page.locator("[data-score=typicality]").hover()
    expect(on).to_have_attribute("data-curve", "typicality")
    assert changes(page) == []
    assert reading(page, "threshold") != before
    page.mouse.move(2, 2)
    expect(on).to_have_attribute("data-curve", "surprise")
    page.locator("[data-score=ratio]").focus()
    expect(on).to_have_attribute("data-curve", "ratio")
    page.keyboard.press("Enter")
    assert changes(page) == [{"score": "ratio"}]
    page.locator("[data-name=complexity]").click()  # a curve's name is a way to it as well
    assert changes(page)[-1] == {"score": "complexity"}


def test_the_table_sorts_by_any_score(watched: Watched) -> None:
    page = mount(watched, shown=True)
    page.locator("[data-part=game]").get_by_role("button", name="Reveal all").click()

    def order() -> list[str]:
        return page.locator("[data-part=table] tbody tr").evaluate_all("(all) => all.map((row) => row.dataset.model)")

    def by(score: str) -> list[str]:
        return sorted(MODELS, key=lambda name: roc(*raw(name)[score])["auroc"] if score in raw(name) else -1, reverse=True)

    assert order() == by("surprise")
    page.locator("[data-sort=ratio]").click()
    assert order() == by("ratio")
    assert order()[-1] == "pca-fashion"
    page.locator("[data-sort=ratio]").click()
    assert order() == [*by("ratio")[-2::-1], "pca-fashion"]  # what has no such score is last either way
    expect(page.locator("th", has=page.locator("[data-sort=ratio]"))).to_have_attribute("aria-sort", "ascending")
    page.locator("[data-sort=name]").click()
    assert order() == sorted(MODELS, key=lambda name: MODELS[name][0].lstrip("="))


def test_what_is_computed_now_is_its_models_alone(watched: Watched) -> None:
    page = mount(watched, shown=True, suspect="vae-fashion-16d")
    waiting: list[Route] = []
    page.route("**/play/likelihoods/trap/live*", lambda route: waiting.append(route))
    run = page.locator("[data-part=live] button")

    def press() -> None:
        count = len(waiting)
        run.click()
        for _ in range(500):
            if len(waiting) > count:
                return
            page.wait_for_timeout(10)
        pytest.fail("Nothing was asked.")

    page.get_by_label("Digits to score").select_option("100")
    press()
    assert parse_qs(urlsplit(waiting[0].request.url).query) == {"model": ["vae-fashion-16d"], "n": ["100"], "seed": ["7"]}
    page.evaluate("outside({ seed: 8 })")  # before the answer comes
    press()
    for route, auroc in zip(waiting, (0.111, 0.222), strict=True):
        route.fulfill(json=live(100, auroc))
    expect(page.locator("[data-reading=live]")).to_contain_text(
        re.compile(
            r"AUROC 0\.222 ±\s0\.031\. 100 pictures of digits, scored now in 1\.5 s, against the recorded scores of 100 of "
        )
    )
    expect(page.locator("[data-part=live] .badge")).to_have_attribute("data-kind", "live")
    rows = page.locator("[data-part=table] tbody tr")
    expect(rows.nth(1)).to_contain_text("0.222")  # below what was recorded, which stays
    expect(rows.nth(0)).to_contain_text(f"{roc(*raw('vae-fashion-16d')['surprise'])['auroc']:.3f}")
    assert page.locator("path.live:visible").count() == 5  # two in either plot, one more curve
    page.evaluate("view.csv('trap')")
    page.wait_for_function("() => saved['trap.csv']")
    table = list(csv.DictReader(io.StringIO(page.evaluate("saved['trap.csv'][1]"))))
    assert len(table) == 19 + 5
    assert (table[-5]["source"], table[-5]["auroc"], table[-5]["insiders"]) == ("live", "0.222", "100")
    assert {row["title"] for row in table if row["model"] == "mixture-fashion"} == {"'=Mixture, clothes"}  # no formula
    for row in table[:19]:
        assert float(row["auroc"]) == roc(*raw(row["model"])[row["score"]])["auroc"]

    press()
    waiting[2].fulfill(status=429, json={"error": "Too many at once. Try again in 10 s."})
    expect(run).to_have_text("Compute it now")
    assert page.evaluate("failures") == ["Too many at once. Try again in 10 s."]
    expect(page.locator("[data-reading=live]")).to_contain_text("0.222")  # what was there is not lost
    page.locator("[data-suspect=pixelcnn-fashion]").click()
    page.get_by_role("button", name="Show me without a guess").click()
    expect(page.locator("[data-part=live] .badge")).to_be_hidden()
    assert page.locator("path.live:visible").count() == 0
    press()
    run.click()  # Stop
    expect(run).to_have_text("Compute it now")
    assert len(page.evaluate("failures")) == 1


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows_and_all_is_within_reach(watched: Watched) -> None:
    page = mount(watched)
    assert watched.overflow() <= 0
    page.locator("[data-guess=fooled]").tap()
    page.locator("[data-part=game]").get_by_role("button", name="Reveal all").tap()
    assert watched.overflow() <= 0
    heights = page.locator("button:visible, select:visible, summary:visible").evaluate_all(
        "(all) => all.map((one) => one.offsetHeight)"
    )
    assert min(heights) >= 44
    scroll = page.locator(".trap-table").evaluate(
        "(box) => { const left = (one) => one.getBoundingClientRect().left; box.scrollLeft = 200;"
        " return [box.scrollLeft, left(box.querySelector('tbody th')) - left(box)]; }"
    )
    assert scroll[0] > 100  # the table moves within itself
    assert scroll[1] == pytest.approx(0, abs=3)  # and the names stay
    names = page.locator(".lk-roc .name").evaluate_all(
        "(all) => all.map((one) => { const b = one.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]; })"
    )
    for i, (left, top, right, bottom) in enumerate(names):  # no name on another
        assert all(right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top for other in names[:i])
    plot = page.locator("[data-part=repair] .lk-histograms")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 150)
    expect(page.locator("[role=slider]")).to_have_attribute("aria-valuenow", "20")
    watched.assert_clean()


def test_what_can_be_taken_away(watched: Watched) -> None:
    page = mount(watched)
    page.evaluate("view.png('trap')")
    assert re.search("guess first", page.evaluate("failures[0]"))
    page.get_by_role("button", name="Show me without a guess").click()
    page.evaluate("view.png('trap')")
    page.wait_for_function("() => saved['trap.png']")
    kind, _, size = page.evaluate("saved['trap.png']")
    assert kind == "image/png"
    assert size > 5000  # curves, not an empty sheet
    found = page.evaluate("view.json()")
    assert (found["suspect"], found["shown"], found["positive"], found["live"]) == ("pixelcnn-fashion", True, "outlier", None)
    clothes, digits = raw("pixelcnn-fashion")["surprise"]
    assert found["threshold"]["thrown"] == (clothes >= found["threshold"]["at"]).sum()
    assert found["threshold"]["caught"] == (digits >= found["threshold"]["at"]).sum()
