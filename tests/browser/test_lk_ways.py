"""One likelihood, three ways: as the draws come, with made-up streams that the tests push line by line.

Each line's numbers depend on the model and the seed that were asked for, so that one can see whose they are.
"""

from __future__ import annotations

import base64
import csv
import io
import math
from typing import Any

import pytest
from conftest import Watched
from playwright.sync_api import Page, expect

from playground import text
from playground.components import BASE

MOUNT = """async ([base, words, settings, recordings, dark]) => {
  const { waysView } = await import(`${base}/likelihoods/ways_view.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  const model = (name, latent, more = {}) => [name, {
    name, latent, title: name, data: "mnist", space: "8-bit", classes: false, parameters: 1000, held_out: 2.1, ...more,
  }];
  const models = Object.fromEntries([
    model("vae-mnist-16d", 16), model("vae-mnist-2d", 2), model("vae-fashion-2d", 2, { data: "fashion" }),
    model("vae-mnist-binary", 16, { space: "binary" }), model("cvae-mnist", 8, { classes: true }), model("ppca-mnist", 32),
  ]);
  const pictures = [7, 9].map((grey) => ({ id: `g${grey}`, title: `Grey ${grey}`, pixels: new Uint8Array(784).fill(grey) }));
  Object.assign(window, { settings: { view: "ways", data: "mnist", ways: "", draws: 1000, seed: 3, at: 0, ...settings },
    streams: [], changes: [], badges: [], failures: [], saved: {} });
  // The server: the test says when a line comes. It does not hear that it was given up, so that late lines do arrive.
  window.fetch = async (path, { body, signal }) => {
    const url = new URL(path, location);
    const one = { path: url.pathname, query: Object.fromEntries(url.searchParams), grey: body[0], bytes: body.length, signal };
    const stream = new ReadableStream({ start: (control) => (one.control = control) });
    one.push = (line) => one.control.enqueue(new TextEncoder().encode(JSON.stringify(line) + "\\n"));
    one.end = () => one.control.close();
    streams.push(one);
    return new Response(stream);
  };
  window.outside = (patch) => { Object.assign(settings_(), patch); view.settings(new Set(Object.keys(patch))); };
  const settings_ = () => window.settings;
  window.view = waysView(host, {
    text: words, words: {}, models, recordings, settings: () => ({ ...window.settings }),
    change: (patch) => { changes.push(patch); outside(patch); },
    pictures: () => pictures, chosen: () => pictures[window.settings.at] ?? null,
    fail: (error) => failures.push(error.message), fine() {}, facts() {}, took() {}, badge: (kind) => badges.push(kind),
    download: (name, blob) => blob.text().then((words) => (saved[name] = words)),
  });
  view.show();
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
KS = [1, 4, 20, 100, 400, 1000]


def line(k: int, shift: float = 0.0, *, prior: float | None = None) -> dict[str, Any]:
    """After k draws: the prior far below, climbing; importance weighting 20 above the bound; all `shift` higher."""
    root = math.sqrt(k)
    return {
        "samples": k,
        "prior": {
            "nats": shift + (-4000 + 500 * math.log10(k) if prior is None else prior),
            "error": 0.99 if k > 1 else 0.0, "effective": 1.0, "largest": 0.9968,
        },
        "elbo": shift - 120.0, "elbo_error": 5 / root if k > 1 else None,
        "importance": {"nats": shift - 100.0 - 10 / root, "error": 2 / root, "effective": max(1, k / 10), "largest": 1 / root},
    }  # fmt: skip


GAP = {
    "log_prob": -95.0, "log_prob_error": 0.2, "elbo_amortised": -120.0, "elbo_refined": -95.1, "amortisation": 24.9,
    "amortisation_error": 0.04, "approximation": 0.1, "approximation_error": 0.08,
}  # fmt: skip


def climb(n: int, start: float = -120.0) -> dict[str, Any]:
    return {"step": n, "elbo": start + 5 * n, "elbo_error": 0.3}


def mount(watched: Watched, *, recordings: dict[str, Any] | None = None, dark: bool = False, **settings: Any) -> Page:
    page = watched.empty()
    words = text.page("likelihoods")["stage"]["ways"]
    page.evaluate(MOUNT, [BASE, words, settings, recordings or {}, dark])
    return page


def push(page: Page, *lines: dict[str, Any], stream: int = -1, end: bool = False) -> None:
    page.evaluate(
        "([i, lines, end]) => { const one = streams.at(i); lines.forEach(one.push); if (end) one.end(); }", [stream, lines, end]
    )


def finish(page: Page, *, shift: float = 0.0, stream: int = -1) -> None:
    push(page, *(line(k, shift) for k in KS), {"done": True, "seconds": 1.5}, stream=stream, end=True)


def asked(page: Page) -> list[dict[str, Any]]:
    return page.evaluate(
        "streams.map(({ path, query, grey, bytes, signal }) => ({ path, query, grey, bytes, aborted: signal.aborted }))"
    )


def value(page: Page, way: str) -> Any:
    return page.locator(f"[data-way={way}] .ways-value")


def pixel(page: Page, way: str) -> Any:
    box = page.locator(f".ways-plot g.{way} circle").bounding_box()
    assert box
    return box


def test_lines_show_as_they_come_and_say_what_each_number_is(watched: Watched) -> None:
    page = mount(watched)
    one = asked(page)[0]
    assert one == {
        "path": "/play/likelihoods/ways", "query": {"model": "vae-mnist-16d", "samples": "1000", "seed": "3"},
        "grey": 7, "bytes": 784, "aborted": False,
    }  # fmt: skip
    # Those of this data set, of 8 bits, without labels, from few latents to many; probabilistic PCA is none.
    names = page.locator("[data-model]").evaluate_all("(all) => all.map((one) => one.dataset.model)")
    assert names == ["vae-mnist-2d", "vae-mnist-16d"]
    status = page.locator("[data-reading=status]")
    push(page, line(1))
    expect(status).to_have_text("1 of 1\u202f000 draws")
    expect(value(page, "importance")).to_have_text("≈ −110.0  nats")  # one draw has no standard error
    push(page, line(100))
    expect(status).to_have_text("100 of 1\u202f000 draws")
    expect(value(page, "prior")).to_have_text("≈ −3\u202f000.0 ± 1.0 nats")
    push(page, line(400), line(1000), {"done": True, "seconds": 1.5}, end=True)
    expect(status).to_contain_text("1\u202f000 draws, seed 3")
    expect(value(page, "elbo")).to_have_text("≥ −120.0 ± 0.2 nats")
    expect(page.locator("[data-way=elbo]")).to_contain_text(f"≤\u00a0{120 / (784 * math.log(2)):.3f}\u00a0bits/dim")
    prior = page.locator("[data-way=prior]")
    expect(prior).to_contain_text("1.0 effective of 1\u202f000: one draw carries 100 % of the weight. Too few")
    expect(page.locator("[data-way=importance]")).not_to_contain_text("Too few")
    verdict = page.locator(".ways-verdict")
    expect(verdict).to_contain_text("2\u202f399.7 nats below importance weighting")
    expect(verdict).to_contain_text("The ELBO stops 19.7 ± 0.2 nats below")
    expect(page.locator("[aria-live]")).to_contain_text("≈ −2\u202f500")
    assert page.locator(".ways-formulas math mn.symbol-p").text_content() == "−100.3"
    assert page.evaluate("badges.at(-1)") == "live"
    watched.assert_clean()


def test_thousands_of_nats_below_do_not_flatten_what_converges(watched: Watched) -> None:
    page = mount(watched)
    finish(page)
    expect(page.locator(".ways-plot svg")).to_have_attribute("data-shown", "1000")
    importance, elbo, prior = (pixel(page, way) for way in ("importance", "elbo", "prior"))
    assert elbo["y"] - importance["y"] > 60  # 20 nats
    assert 10 < prior["y"] - elbo["y"] < 200  # 2,400 nats, below the break
    expect(page.locator("[data-part=break]")).to_have_count(1)
    page.evaluate("outside({ seed: 4 })")
    push(page, *(line(k, prior=-101.0) for k in KS), {"done": True, "seconds": 1}, end=True)
    expect(page.locator("[data-reading=status]")).to_contain_text("seed 4")
    expect(page.locator("[data-part=break]")).to_have_count(0)  # nothing far below, one axis
    expect(page.locator(".ways-verdict")).to_contain_text(
        "Two ways, one value: prior and importance weighting are 0.7 nats apart"
    )
    # The axis itself: it falls, without a leap at the break, in as many pixels a nat as it says.
    found = page.evaluate(
        """async ([base, lines]) => {
          const { axis, parts, draws } = await import(`${base}/likelihoods/converge_plot.js`);
          const both = parts(lines);
          const { Y, middle, factor } = axis(both, 0, 400);
          const { fine: [low], coarse: [bottom, top] } = both;
          return { both, met: [low === top, Y(low), middle], fine: Y(low) - Y(low + 1),
            coarse: Y(bottom) - Y(bottom + 1), factor, end: Y(bottom),
            ticks: [draws(5000), draws(5000, 6), draws(100, 2, 10)] };
        }""",
        [BASE, [line(k) for k in KS]],
    )
    assert found["met"] == [True, pytest.approx(found["met"][2]), pytest.approx(found["met"][1])]
    assert found["fine"] / found["coarse"] == pytest.approx(found["factor"])
    assert found["end"] == pytest.approx(400)
    assert found["both"]["coarse"][0] < -4000
    assert found["ticks"] == [[1, 10, 100, 1000, 5000], [1, 10, 100, 5000], [10, 100]]


def test_what_was_given_up_is_never_shown(watched: Watched) -> None:
    page = mount(watched)
    push(page, line(1, 1000.0))
    expect(value(page, "elbo")).to_contain_text("880")
    page.get_by_role("button", name="2 latents", exact=True).click()
    assert page.evaluate("changes") == [{"ways": "vae-mnist-2d"}]
    expect(value(page, "elbo")).to_contain_text("–")  # the other model's numbers are gone at once
    page.evaluate("outside({ at: 1 })")
    page.evaluate("outside({ seed: 5 })")
    page.evaluate("outside({ draws: 500 })")
    found = asked(page)
    assert [one["aborted"] for one in found] == [True, True, True, True, False]
    assert (found[-1]["grey"], found[-1]["query"]) == (9, {"model": "vae-mnist-2d", "samples": "500", "seed": "5"})
    push(page, line(4))
    for late in (0, 3):
        push(page, line(1000, 1000.0), {"done": True, "seconds": 9}, stream=late, end=True)
    push(page, line(20))
    expect(page.locator("[data-reading=status]")).to_have_text("20 of 500 draws")
    assert page.evaluate("view.json().steps") == [line(4), line(20)]
    page.evaluate("outside({ sort: 'title' })")  # what is not ours begins nothing
    page.evaluate("view.hide(), outside({ seed: 6 })")
    assert [one["aborted"] for one in asked(page)] == [True] * 5  # nobody looks: nothing is computed
    page.evaluate("view.show()")
    assert asked(page)[-1]["query"]["seed"] == "6"
    assert page.evaluate("failures") == []


def test_a_stream_that_breaks_off_says_so_and_keeps_what_came(watched: Watched) -> None:
    page = mount(watched)
    push(page, line(1), line(20), end=True)
    expect(page.locator("[data-reading=status]")).to_have_text("Broken off after 20 draws.")
    assert page.evaluate("failures") == ["The answer broke off before its end. Run it again."]
    expect(value(page, "elbo")).to_contain_text("≥ −120")
    page.get_by_role("button", name="Run again").click()
    push(page, {"error": "The model is busy."}, end=True)
    page.wait_for_function("() => failures.length === 2")
    assert page.evaluate("failures")[1] == "The model is busy."
    page.get_by_role("button", name="New seed").click()
    assert asked(page)[-1]["query"]["seed"] == str(page.evaluate("settings.seed"))


def test_the_keyboard_goes_along_the_draws(watched: Watched) -> None:
    page = mount(watched)
    finish(page)
    expect(page.locator("[data-reading=status]")).to_contain_text("seed 3")
    slider = page.locator(".ways-plot")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-reading=status]")).to_have_text("Cards and formulas: as they stood after 100 draws.")
    expect(value(page, "importance")).to_contain_text("≈ −101.0")
    assert "After 100 draws" in (slider.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Home")
    expect(value(page, "importance")).to_contain_text("≈ −110.0")
    page.keyboard.press("End")
    expect(value(page, "importance")).to_contain_text("≈ −100.32 ± 0.06")
    box = slider.bounding_box()
    assert box
    page.mouse.move(box["x"] + 58, box["y"] + 100)
    expect(value(page, "importance")).to_contain_text("≈ −110.0")
    page.mouse.move(box["x"] + 58, box["y"] - 20)
    expect(value(page, "importance")).to_contain_text("≈ −100.32")


def test_refining_splits_the_gap_only_when_asked(watched: Watched) -> None:
    page = mount(watched)
    finish(page)
    expect(page.locator("[data-reading=status]")).to_contain_text("seed 3")
    assert len(asked(page)) == 1
    expect(page.locator(".ways-refined")).to_be_hidden()
    page.get_by_role("button", name="Refine q").click()
    one = asked(page)[-1]
    assert (one["path"], one["query"], one["grey"]) == ("/play/likelihoods/refine", {"model": "vae-mnist-16d", "seed": "3"}, 7)
    push(page, *(climb(n) for n in range(4)))
    expect(page.locator("[data-reading=climb]")).to_have_text("Step 3: ELBO ≥ −105.0 nats")
    expect(page.locator(".ways-climb")).to_have_attribute("data-shown", "3")
    push(page, climb(5), {"done": True, "seconds": 2.0, "gap": GAP}, end=True)
    words = page.locator(".ways-gap-words")
    expect(words).to_contain_text("One network for all pictures gave away 24.90 ± 0.04 nats.")
    expect(words).to_contain_text("What a diagonal Gaussian cannot reach, 0.10 ± 0.08 nats, cannot be told from 0.")
    expect(page.locator("[data-row=log_prob]")).to_contain_text("≈ −95.0 ± 0.2")
    # On one axis: each bar begins where the sum before it stands, and is as long as its gap.
    edges = page.locator(".ways-gap").evaluate(
        """(svg) => Object.fromEntries([...svg.querySelectorAll("[data-row]")].map((row) => {
          const { left, right } = row.querySelector("rect, .sum").getBoundingClientRect();
          return [row.dataset.row, [left, right]];
        }))"""
    )
    start, end = (sum(edges[key]) / 2 for key in ("elbo_amortised", "log_prob"))
    assert edges["amortisation"][0] == pytest.approx(start, abs=1)
    assert edges["approximation"][1] == pytest.approx(end, abs=1)
    assert (edges["amortisation"][1] - edges["amortisation"][0]) / (end - start) == pytest.approx(24.9 / 25, abs=0.01)
    expect(page.locator(".ways-plot g.refined")).to_contain_text("≈ −95.0")  # in the plot, too
    page.evaluate("outside({ draws: 100 })")  # it does not depend on them
    expect(page.locator(".ways-refined")).to_be_visible()
    page.evaluate("outside({ at: 1 })")
    expect(page.locator(".ways-refined")).to_be_hidden()
    page.get_by_role("button", name="Refine q").click()
    page.evaluate("outside({ at: 0 })")
    late = len(asked(page)) - 2
    assert asked(page)[late]["aborted"]
    push(page, climb(9), stream=late)
    expect(page.locator(".ways-refined")).to_be_hidden()
    watched.assert_clean()


def test_it_opens_on_the_recorded_run_of_its_picture(watched: Watched) -> None:
    entry = {
        "picture": "Grey 7", "pixels": base64.b64encode(bytes([7] * 784)).decode(), "seconds": 3.0,
        "steps": [line(k) for k in KS], "refine": [climb(0), climb(4)], "gap": GAP,
    }  # fmt: skip
    page = mount(watched, recordings={"ways": {"vae-mnist-16d": entry}})
    expect(value(page, "importance")).to_contain_text("−100.32")
    expect(page.locator("[data-row=amortisation]")).to_contain_text("+ 24.90 ± 0.04")
    assert (asked(page), page.evaluate("badges.at(-1)")) == ([], "recorded")
    page.evaluate("outside({ draws: 100 })")  # its first draws are a shorter run
    expect(page.locator("[data-reading=status]")).to_contain_text("100 draws, seed 3, recorded.")
    assert asked(page) == []
    page.get_by_role("button", name="Run again").click()
    assert (len(asked(page)), page.evaluate("badges.at(-1)")) == (1, "live")
    page.evaluate("outside({ seed: 4 })")
    assert asked(page)[-1]["query"] == {"model": "vae-mnist-16d", "samples": "100", "seed": "4"}  # nor is another seed recorded
    page.evaluate("outside({ seed: 3, at: 1 })")
    assert asked(page)[-1]["grey"] == 9  # another picture's is not recorded


def test_what_can_be_taken_away(watched: Watched) -> None:
    page = mount(watched)
    finish(page)
    expect(page.locator("[data-reading=status]")).to_contain_text("seed 3")
    found = page.evaluate("view.json()")
    assert (found["model"], found["picture"], found["seed"], found["steps"]) == (
        "vae-mnist-16d",
        "Grey 7",
        3,
        [line(k) for k in KS],
    )
    page.evaluate("view.csv('ways'), view.png('ways')")
    page.wait_for_function("() => saved['ways.csv'] && saved['ways.png']")
    rows = list(csv.DictReader(io.StringIO(page.evaluate("saved['ways.csv']"))))
    assert [int(row["samples"]) for row in rows] == KS
    assert [float(row["importance_nats"]) for row in rows] == pytest.approx([line(k)["importance"]["nats"] for k in KS])
    assert rows[0]["prior_error"] == ""  # one draw has none


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows(watched: Watched) -> None:
    page = mount(watched, dark=True)
    finish(page)
    page.get_by_role("button", name="Refine q").tap()
    push(page, climb(0), climb(4), {"done": True, "seconds": 1, "gap": GAP}, end=True)
    expect(page.locator("[data-row=log_prob]")).to_be_visible()
    assert watched.overflow() <= 0
    heights = page.locator("button, select").evaluate_all("(all) => all.map((one) => one.offsetHeight)")
    assert min(heights) >= 44
    # Names and values of the bars do not run into each other.
    boxes = page.locator("[data-row]").evaluate_all(
        """(rows) => rows.map((row) => [...row.querySelectorAll("text")].map((one) => {
          const { left, right } = one.getBoundingClientRect();
          return [left, right];
        }))"""
    )
    assert all(name[1] < number[0] for name, number in boxes)
    watched.assert_clean()
