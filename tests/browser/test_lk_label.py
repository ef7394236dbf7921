"""Labels by Bayes' rule beside a classifier: mathematics against models/measures/bayes.py, then the view under a hand.

The answers here are made up: a picture's grey says what the models think of it (see `nats_of`).
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
from conftest import Watched
from playwright.sync_api import Page, Route, expect

from models.contract import Density
from models.measures.bayes import ByClass, labels, reject
from playground import text
from playground.components import BASE

MOUNT = """async ([base, settings, pictures, words, models, recordings, dark]) => {
  const { labelView } = await import(`${base}/likelihoods/label_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  host.className = "lk-view lk-view-label";
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  const made = (list) => list.map(([grey, title, attack], i) => ({
    id: `p${i}-${grey}`, kind: "reference", title, why: "", steps: null, by: null, attack: attack ?? null,
    pixels: Array.isArray(grey) ? Uint8Array.from(grey) : new Uint8Array(784).fill(grey) }));
  Object.assign(window, { settings, changes: [], badges: [], failures: [], said: "", tray: made(pictures) });
  window.outside = (patch) => { Object.assign(settings, patch); view.settings(new Set(Object.keys(patch))); };
  window.fillTray = (list) => { tray = made(list); view.settings(new Set(["pictures"])); };
  window.view = labelView(host, {
    text: words.label, words, models, recordings, settings: () => ({ ...settings }),
    change: (patch) => { changes.push(patch); outside(patch); },
    pictures: () => tray, chosen: () => tray[settings.at] ?? null,
    fail: (error) => failures.push(error.message), fine: () => (window.fine = true), took() {}, facts: (one) => (said = one),
    badge: (kind) => badges.push(kind), download: (name, blob) => (window.taken = [name, blob]),
  });
  view.show();
}"""
SETTINGS = {"view": "label", "data": "mnist", "seed": 7, "at": 0, "bayes": "", "prior": "even", "alpha": 0.05, "threshold": 0.0}
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
QUANTILES = [1.0 + 0.01 * k for k in range(101)]  # held-out surprise from 1 to 2 bits/dim, evenly
LOW = 200  # greys from here on are unlike anything: 4 bits/dim under every label
TRAY: list[list[Any]] = [[3, "the 3"], [15, "the 5"], [LOW + 6, "noise"]]


def nats_of(grey: int, model: int) -> list[float]:
    """log p(x|y) of a picture of one grey: the label is its last digit, 1.2 bits/dim; the next is 30 nats behind."""
    best = -784 * math.log(2) * (4.0 if grey >= LOW else 1.2 + 0.1 * model)
    return [best - 30.0 * ((y - grey) % 10) for y in range(10)]


def probabilities_of(grey: int) -> list[float]:
    """The softmax is sure of the same digit, but of noise and of the 5 less."""
    top = 0.62 if grey >= LOW or grey % 10 == 5 else 0.982
    return [top if y == grey % 10 else (1 - top) / 9 for y in range(10)]


def bits_of(nats: list[float]) -> float:
    return -(float(np.logaddexp.reduce(nats)) - math.log(len(nats))) / (784 * math.log(2))


class Fakes:
    def __init__(self, page: Page) -> None:
        self.asked: list[tuple[str, str, list[int]]] = []
        self.refuse = False
        self.classifier = True
        self.late: dict[str, list[Route]] = {}  # answers for a seed that are held back
        page.route("**/play/likelihoods/labels*", self.answer)

    def answer(self, route: Route) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(route.request.url).query).items()}
        self.asked.append((query["data"], query["seed"], list((route.request.post_data_buffer or b"")[::784])))
        if query["seed"] in self.late:
            self.late[query["seed"]].append(route)
        elif self.refuse:
            route.fulfill(status=422, json={"error": "At most 64 pictures."})
        else:
            route.fulfill(json=self.made(query["data"], query["seed"], self.asked[-1][2]))

    def made(self, data: str, seed: str, greys: list[int]) -> dict[str, Any]:
        shift = 1 if seed == "8" else 0  # under another seed, another label
        models = []
        for k, (name, kind) in enumerate([("mixture", "exact"), ("cvae", "lower bound")]):
            nats = [nats_of(grey + shift, k) for grey in greys]
            bits = [bits_of(one) for one in nats]
            rank = [min(1.0, max(0.0, 2 - one)) for one in bits]
            models.append({"name": name, "kind": kind, "method": kind, "by_class": nats, "bits": bits, "rank": rank})
        probabilities = [probabilities_of(grey + shift) for grey in greys]
        names = FASHION if data == "fashion" else [str(y) for y in range(10)]
        return {
            "classes": names,
            "classifier": {"name": "classifier-mnist", "probabilities": probabilities} if self.classifier else None,
            "models": models,
            "seconds": 0.1,
        }


def curve(area: float, scale: float) -> dict[str, Any]:
    coverage = [0.1 * k for k in range(1, 11)]
    return {"coverage": coverage, "error": [scale * c * c for c in coverage], "area": area}


CURVES: list[dict[str, Any]] = [
    {"name": "classifier-mnist", "confidence": "softmax", "alone": curve(0.002, 0.012), "mixed": curve(0.21, 0.51)},
    {"name": "mixture", "confidence": "posterior", "alone": curve(0.03, 0.08), "mixed": curve(0.31, 0.54)},
    {"name": "mixture", "confidence": "joint", "alone": curve(0.04, 0.08), "mixed": curve(0.12, 0.54)},
]
RECORDED = {"images": 10_000, "outliers": {"what": "Fashion-MNIST test images", "images": 10_000}, "curves": CURVES}
MODELS = {
    "mixture": {"title": "Mixture", "quantiles": QUANTILES, "held_out": 1.5, "parameters": 12_345},
    "cvae": {"title": "Conditional VAE", "quantiles": QUANTILES, "held_out": 1.5, "parameters": 12_345},
    "classifier-mnist": {"title": "Classifier", "quantiles": None, "held_out": None, "parameters": 54_321},
}


def mount(watched: Watched, tray: list[list[Any]] = TRAY, *, dark: bool = False, **settings: Any) -> tuple[Page, Fakes]:
    page = watched.empty()
    fakes = Fakes(page)
    recordings = {"labels": {"mnist": RECORDED}}
    words = text.page("likelihoods")["stage"]
    page.evaluate(MOUNT, [BASE, SETTINGS | settings, tray, words, MODELS, recordings, dark])
    return page, fakes


def verdict(page: Page, who: str) -> str:
    return " ".join(page.locator(f"[data-verdict={who}]").inner_text().split())


def tiles(page: Page, who: int) -> list[str]:
    """What the strip says: who = 0 by Bayes, 1 by the classifier."""
    return page.locator(".strip dl").evaluate_all(
        "(all, who) => all.map((one) => one.querySelectorAll('dd')[who].textContent)", who
    )


def slide(page: Page, selector: str, value: float, *, release: bool = True) -> None:
    events = ["input", "change"] if release else ["input"]
    page.locator(selector).evaluate(
        """(one, [value, events]) => {
          one.value = value;
          for (const name of events) one.dispatchEvent(new Event(name, { bubbles: true }));
        }""",
        [value, events],
    )


def test_mathematics_is_that_of_python(watched: Watched) -> None:
    page = watched.empty()
    random = np.random.default_rng(1)
    nats = random.normal(-900, 200, (6, 10))
    nats[1] = -90_000 + random.normal(0, 3, 10)  # exp of it is 0 in any float
    nats[2] = nats[2, 0]  # all alike: the prior decides
    weights = [[1.0] * 10, *random.uniform(0.001, 1, (5, 10)).tolist()]
    bits = np.sort(random.gamma(9, 0.1, 4_001))
    quantiles = np.quantile(bits, np.linspace(0, 1, 101)).tolist()
    ranks_at = [0.6, 1.1, 2.0, 5.0]
    found = page.evaluate(
        """async ([base, nats, weights, quantiles, ranksAt]) => {
          const all = await import(`${base}/likelihoods/bayes_math.js`);
          const priors = weights.map((one) => all.priorOf(all.priorText(one), 10));
          return {
            priors, posteriors: nats.map((one, i) => all.posterior(one, priors[i])),
            odds: all.logOdds(nats[0], priors[3], 2, 7), softmax: all.softmax([1000, 1001, -1e9]),
            limits: [0.01, 0.05, 0.253, 0.5].map((alpha) => all.limit(quantiles, alpha)),
            shares: all.histogram(quantiles, 0, 4, 40),
            refused: ranksAt.map((s) => s > all.limit(quantiles, 0.2)),
            tiny: all.priorText([1, 1e-15, 1]),
            odd: ["", "1,2", "1,1,1,1,1,1,1,1,1,0", "1,1,1,1,1,1,1,1,1,x", "even", null]
              .map((one) => all.priorOf(one, 10)[9]),
          };
        }""",
        [BASE, nats.tolist(), weights, quantiles, ranks_at],
    )
    for i, prior in enumerate(found["priors"]):
        assert prior == pytest.approx(np.asarray(weights[i]) / np.sum(weights[i]), rel=6e-3)  # three digits in the address
        given = ByClass(torch.tensor(nats[i])[:, None], Density.EXACT, "exact")
        expected = labels(given, torch.tensor(prior, dtype=torch.float64))
        assert found["posteriors"][i]["shares"] == pytest.approx(expected.log_posterior.exp()[:, 0].tolist(), abs=1e-9)
        assert found["posteriors"][i]["logProb"] == pytest.approx(float(expected.log_prob[0]), rel=1e-12)
        if i == 3:
            odds = expected.log_posterior[:, 0]
            assert found["odds"]["evidence"] == pytest.approx(nats[0, 2] - nats[0, 7])
            assert found["odds"]["prior"] == pytest.approx(math.log(prior[2] / prior[7]))
            assert found["odds"]["total"] == found["odds"]["evidence"] + found["odds"]["prior"]
            assert float(odds.exp().sum()) == pytest.approx(1)
    assert found["softmax"] == pytest.approx(torch.tensor([1000.0, 1001, -1e9]).softmax(0).tolist(), abs=1e-7)
    assert found["limits"] == pytest.approx(np.quantile(bits, [0.99, 0.95, 0.747, 0.5]).tolist(), abs=0.01)
    counts = np.histogram(bits, 40, (0, 4))[0] / len(bits)
    assert found["shares"] == pytest.approx(counts.tolist(), abs=0.012)
    held = torch.tensor(bits)
    assert found["refused"] == reject(torch.tensor(ranks_at, dtype=torch.float64), held, alpha=0.2, noise=0).tolist()
    assert found["odd"] == [0.1] * 6
    assert found["tiny"] == "1,0.000000000000001,1"  # the address knows no exponents


def test_both_say_a_label_and_one_can_refuse(watched: Watched) -> None:
    page, fakes = mount(watched)
    board = page.locator(".board")
    expect(board).to_have_attribute("data-shown", "p0-3 mixture")
    assert verdict(page, "bayes") == "Bayes' rule 3 > 99.99 % accepted"
    assert verdict(page, "classifier") == "Classifier 3 98.2 % It always answers."
    assert page.evaluate("badges.at(-1)") == "live"
    nats = nats_of(3, 0)
    for y in (3, 4, 2):  # in the row of its label; 2 is the last of all
        row = board.locator(f"[data-label='{y}']")
        expect(row.locator(".nats")).to_have_text(f"= −{-nats[y]:,.1f}".replace(",", "\u202f"))
        expect(row.locator(".bits")).to_have_text(f"= {-nats[y] / 784 / math.log(2):.2f}")
    places = [board.locator(f"[data-label='{y}'] .dot").evaluate("(dot) => parseFloat(dot.style.left)") for y in (3, 4, 5, 2)]
    assert places == sorted(places, reverse=True)  # likelier lies further to the right
    assert places[0] - places[1] == pytest.approx(places[1] - places[2], rel=0.01)
    assert page.locator(".formula math").text_content() == (
        "p(y=3|x)=p(x|y=3)·p(y=3)∑y′p(x|y′)·p(y′)=e−652.11·0.100e−654.42=1.000"
    )
    part = page.locator("[data-part=picture]")
    expect(part).to_contain_text("3 against 4: the picture says +30.0 nats, the prior 0.0; together odds of 10¹³ to 1.")
    expect(part).to_contain_text("Against such evidence the prior hardly matters.")
    # Noise: the classifier goes on, the other does not.
    page.get_by_role("button", name="noise").click()
    assert page.evaluate("changes") == [{"at": 2}]
    assert "Refuses" in verdict(page, "bayes")
    assert "Every p(x|y) is low. The likeliest label would be 6" in verdict(page, "bayes")
    assert verdict(page, "classifier") == "Classifier 6 62.0 % It always answers."
    assert (tiles(page, 0), tiles(page, 1)) == (["3", "5", "no"], ["3", "5", "6"])
    expect(part).to_contain_text("says no to 1 of 3 pictures, the classifier to 0.")
    assert len(fakes.asked) == 1  # looking at another asks nobody
    assert fakes.asked[0] == ("mnist", "7", [3, 15, LOW + 6])
    watched.assert_clean()


def test_thresholds_move_what_is_accepted(watched: Watched) -> None:
    page, _ = mount(watched)
    expect(page.locator(".board")).to_have_attribute("data-shown", "p0-3 mixture")
    zone = page.locator(".foot .zone")
    wide = zone.evaluate("(one) => one.offsetWidth")
    slide(page, "[data-key=threshold]", 0.9, release=False)  # the hand has not let go: shown, but not in the address
    expect(page.locator(".strip dd.refused")).to_have_count(3)
    assert page.evaluate("changes") == []
    slide(page, "[data-key=threshold]", 0.9)
    assert page.evaluate("changes") == [{"threshold": 0.9}]
    assert tiles(page, 1) == ["3", "no", "no"]
    page.get_by_role("button", name="the 5").click()
    assert "5 has 62.0 %, less than the 90.0 % asked for." in verdict(page, "classifier")
    assert "accepted" in verdict(page, "bayes")
    slide(page, "[data-key=alpha]", 0.0)  # none is turned away, whatever it is
    assert tiles(page, 0) == ["3", "5", "6"]
    slide(page, "[data-key=alpha]", 0.5)  # the limit is the median of the held-out
    assert zone.evaluate("(one) => one.offsetWidth") > wide
    line, median = page.evaluate(
        """() => { // and where the axis has 1.5 bits/dim, by two dots whose nats are known; both in percent
          const [a, b] = [5, 9].map((y) => document.querySelector(`[data-label="${y}"]`));
          const x = (row) => parseFloat(row.querySelector(".dot").style.left);
          const nats = (row) => -Number(row.querySelector(".nats").textContent.replace(/[^\\d.]/g, ""));
          const median = x(a) + ((-1.5 * 784 * Math.LN2 - nats(a)) * (x(b) - x(a))) / (nats(b) - nats(a));
          return [parseFloat(document.querySelector(".foot .zone").style.width), median];
        }"""
    )
    assert line == pytest.approx(median, abs=0.2)
    page.evaluate("view.hide(), outside({ threshold: 0 })")
    page.evaluate("view.show()")
    assert tiles(page, 1) == ["3", "5", "6"]


def test_the_prior_moves_the_posterior_as_far_as_the_odds_allow(watched: Watched) -> None:
    picture = [3] + [7] * 783  # any pixels: the fakes read the first
    page, fakes = mount(watched, [[picture, "mine"]])
    row = page.locator("[data-label='3']")
    expect(row.locator(".share.p")).to_have_text("> 99.99 %")
    expect(page.get_by_role("button", name="Prior: even")).to_be_disabled()
    page.get_by_role("button", name="Make 3 a thousand times rarer").click()
    assert page.evaluate("changes.at(-1)") == {"prior": "0.5,0.5,0.5,0.0005,0.5,0.5,0.5,0.5,0.5,0.5"}
    expect(row.locator(".prior")).to_have_text("0.01 %")
    part = page.locator("[data-part=picture]")
    expect(part).to_contain_text("the picture says +30.0 nats, the prior −6.9; together odds of 10¹⁰ to 1.")
    expect(row.locator(".share.p")).to_have_text("> 99.99 %")
    slide(page, "[data-prior='4']", 0.8)  # what is rarer than a slider reaches stays so
    assert page.evaluate("changes.at(-1)") == {"prior": "0.5,0.5,0.5,0.0005,0.8,0.5,0.5,0.5,0.5,0.5"}
    page.evaluate("outside({ prior: '1,1,1,0.000000000000001,1,1,1,1,1,1' })")  # a link may say what no slider does
    assert verdict(page, "bayes").startswith("Bayes' rule 4 ")
    expect(part).to_contain_text("By the picture alone it would be 3: the prior turned it.")
    joint = np.asarray(nats_of(3, 0)) + np.log(np.asarray([1, 1, 1, 1e-15, 1, 1, 1, 1, 1, 1]))
    share = float(np.exp(joint[4] - np.logaddexp.reduce(joint)))
    expect(page.locator("[data-label='4'] .share.p")).to_have_text(f"{100 * share:.1f} %")
    assert page.locator(".foot").inner_text().count("Σ = 1.00") == 3
    page.get_by_role("button", name="Prior: even").click()
    assert verdict(page, "bayes").startswith("Bayes' rule 3 ")
    assert len(fakes.asked) == 1


def test_bounds_are_called_so_and_make_estimates(watched: Watched) -> None:
    page, _ = mount(watched)
    page.locator("[data-model=cvae]").click()
    assert page.evaluate("changes") == [{"bayes": "cvae"}]
    expect(page.locator(".board")).to_have_attribute("data-shown", "p0-3 cvae")
    assert page.locator("[data-label='3'] .nats").inner_text().startswith("≥ −")
    assert page.locator("[data-label='3'] .bits").inner_text() == "≤ 1.30"
    expect(page.locator(".head .p")).to_contain_text("an estimate")
    expect(page.locator(".controls")).to_contain_text("surprise ≤ 1.30")
    assert page.locator(".formula math").text_content() == (
        "p(y=3|x)=p(x|y=3)·p(y=3)∑y′p(x|y′)·p(y′)≈e−706.46·0.100e−708.76≈1.000"
    )
    assert page.evaluate("said") == "Conditional VAE · held out ≤ 1.50 bits/dim · 12\u202f345 parameters"
    one = page.evaluate("view.json()")["pictures"][2]
    assert (one["model"], one["posterior_kind"]) == ("cvae", "estimate")
    assert (one["bayes_refuses"], one["classifier_refuses"]) == (True, False)
    assert one["log_p_x_given_y"] == pytest.approx(nats_of(LOW + 6, 1))
    table = page.evaluate("async () => { view.csv('labels'); return [taken[0], await taken[1].text()]; }")
    assert table[0] == "labels.csv"
    rows = [row for row in csv.DictReader(io.StringIO(table[1])) if row["picture"] == one["title"]]
    assert [float(row["log p(x|y) (nats)"]) for row in rows] == pytest.approx(one["log_p_x_given_y"])
    assert [float(row["p(y|x) by Bayes"]) for row in rows] == pytest.approx(one["posterior"])
    assert {row["kind of p(y|x)"] for row in rows} == {"estimate"}


def test_a_late_answer_is_never_anothers(watched: Watched) -> None:
    tray = [[i, f"picture {i}"] for i in range(23)]
    page = watched.empty()
    fakes = Fakes(page)
    fakes.late["7"] = []
    words = text.page("likelihoods")["stage"]
    page.evaluate(MOUNT, [BASE, SETTINGS | {"at": 21}, tray, words, MODELS, {}, False])
    page.wait_for_function("() => document.querySelector('.waiting').textContent")
    while not fakes.late["7"]:
        page.wait_for_timeout(10)
    assert fakes.asked[0] == ("mnist", "7", [21, *range(9)])  # the one that is looked at first, ten at once
    page.evaluate("outside({ seed: 8 })")
    expect(page.locator("[data-part=picture]")).to_contain_text("no to 0 of 23 pictures")
    assert sorted(grey for _, seed, greys in fakes.asked if seed == "8" for grey in greys) == list(range(23))
    assert tiles(page, 0)[:3] == ["1", "2", "3"]
    for route in fakes.late["7"]:
        route.fulfill(json=fakes.made("mnist", "7", fakes.asked[0][2]))
    page.wait_for_timeout(50)
    assert tiles(page, 0)[:3] == ["1", "2", "3"]
    assert verdict(page, "bayes").startswith("Bayes' rule 2 ")  # 21 under this seed
    # A picture more asks for that one alone; data of other names brings them.
    asked = len(fakes.asked)
    page.evaluate("fillTray([[21, 'one'], [4, 'two'], [99, 'new']])")
    page.evaluate("outside({ at: 2 })")
    expect(page.locator(".board")).to_have_attribute("data-shown", "p2-99 mixture")
    assert fakes.asked[asked:] == [("mnist", "8", [99])]
    page.evaluate("outside({ data: 'fashion' })")
    expect(page.locator("[data-verdict=bayes] strong")).to_have_text("T-shirt/top")
    expect(page.locator("[data-part=coverage]")).to_be_hidden()  # nothing is recorded for it here


def test_a_refusal_is_told_and_an_empty_tray_too(watched: Watched) -> None:
    page, fakes = mount(watched, [])
    expect(page.get_by_text("There is no picture in the tray.")).to_be_visible()
    expect(page.locator("[data-part=picture]")).to_be_hidden()
    expect(page.locator("[data-part=coverage]")).to_be_visible()
    assert fakes.asked == []
    fakes.refuse = True
    page.evaluate("fillTray([[4, 'a 4', { label: 4, became: 9, changed: 12 }]])")
    page.get_by_role("button", name="Ask again").wait_for()
    assert page.evaluate("failures") == ["At most 64 pictures."]
    expect(page.locator("[data-verdict=bayes]")).to_be_hidden()  # no verdict without an answer
    fakes.refuse, fakes.classifier = False, False  # as where its checkpoint is not there
    page.get_by_role("button", name="Ask again").click()
    page.wait_for_function("() => failures.length === 2")
    assert page.evaluate("failures[1]").startswith("Of this data set there is no classifier here")
    fakes.classifier = True
    page.get_by_role("button", name="Ask again").click()
    expect(page.locator("[data-verdict=bayes]")).to_be_visible()
    expect(page.locator("[data-verdict=classifier]")).to_contain_text(
        "It was 4; 12 pixels were changed until the classifier says 9."
    )
    expect(page.get_by_role("button", name="Ask again")).to_be_hidden()
    assert page.evaluate("window.fine")  # the sentence of the failure goes
    watched.errors.clear()  # the browser's own words on a status of 422


def test_the_comparison_says_what_its_areas_say(watched: Watched) -> None:
    page, _ = mount(watched)
    part = page.locator("[data-part=coverage]")
    expect(part.locator("tbody tr")).to_have_count(3)
    rows = [" ".join(one.split()) for one in part.locator("tbody tr").all_inner_texts()]
    assert rows == [
        "A Classifier (top probability) least 0.20 % 21.0 %",
        "B Mixture (top p(y|x)) 3.00 % 31.0 %",
        "C Mixture (top p(x, y)) 4.00 % least 12.0 %",
    ]
    expect(part).to_contain_text("Least wrong with test images alone: Classifier (top probability), 0.20 % on average.")
    expect(part).to_contain_text("With outliers among them: Mixture (top p(x, y)), 12.0 %, against 21.0 % of Classifier (top")
    drawn = page.evaluate(
        """() => [...document.querySelectorAll(".panels svg")].map((svg) =>
          [...svg.querySelectorAll("[data-curve]")].map((group) => {
            const path = group.querySelector("path");
            const places = path.getAttribute("d").match(/[\\d.]+/g).map(Number);
            const [x, y] = [0, 1].map((k) => places.filter((_, i) => i % 2 === k));
            return { letter: group.textContent, dash: path.getAttribute("stroke-dasharray"), x, y };
          }))"""
    )
    assert [one["letter"] for one in drawn[0]] == ["A", "B", "C"]
    assert len({one["dash"] for one in drawn[0]}) == 3
    low, high = drawn[0][0], drawn[0][1]
    foot = 264 - 46
    assert (foot - high["y"][-1]) / (foot - low["y"][-1]) == pytest.approx(0.08 / 0.012, rel=0.02)  # heights as errors
    assert np.diff(low["x"]) == pytest.approx([low["x"][1] - low["x"][0]] * 9, abs=0.2)
    part.locator("tbody tr").nth(2).focus()
    assert part.locator(".panels g.on").all_text_contents() == ["C", "C"]
    # A recording in which all are equally good says so.
    equal = [one | {"mixed": one["mixed"] | {"area": 0.1}} for one in CURVES]
    said = page.evaluate(
        """async ([base, curves, words]) => {
          const { verdict } = await import(`${base}/likelihoods/coverage_plot.js`);
          return verdict(curves, ["A", "B", "C"], words);
        }""",
        [BASE, equal, text.page("likelihoods")["stage"]["label"]["plot"]],
    )
    assert said.endswith("With outliers among them: A and B and C, 10.0 %.")


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows(watched: Watched) -> None:
    page, _ = mount(watched, dark=True, data="fashion")
    expect(page.locator(".board")).to_have_attribute("data-shown", "p0-3 mixture")
    assert watched.overflow() <= 0
    expect(page.locator("[data-prior='3']")).to_be_hidden()
    page.get_by_role("button", name="Change the prior").tap()
    heights = page.locator(".lk-view-label button:visible, .lk-view-label input:visible").evaluate_all(
        "(all) => all.map((one) => one.offsetHeight)"
    )
    assert len(heights) > 15
    assert min(heights) >= 44
    page.get_by_role("button", name="noise").tap()
    expect(page.locator("[data-verdict=bayes]")).to_contain_text("The likeliest label would be Shirt")
    assert watched.overflow() <= 0
    watched.assert_clean()
