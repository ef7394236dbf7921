"""The Plotly figure in a real browser: what it draws, says and keeps, and whom it asks."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Watched
from playwright.sync_api import Page, TimeoutError, expect

from playground.components import BASE, PLOTLY

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
MOUNT = """async ([base, count]) => {
  const { plotlyView } = await import(`${base}/plotly_view/plotly_view.js`);
  const stage = document.createElement('div');
  stage.id = 'try';
  stage.className = 'gmp gmp-card';
  document.querySelector('.gmp-page').prepend(stage);
  document.querySelector('.gmp-page').style.minHeight = '3000px';
  window.said = [];
  window.views = Array.from({ length: count }, (_, i) => plotlyView(stage, {
    label: `Figure ${i}`, click: (p) => window.said.push(['click', p]), hover: (p) => window.said.push(['hover', p]),
  }));
  window.figure = stage.querySelector('.plotly-figure');
  window.drawn = () => stage.querySelector('.plotly-view').dataset.drawn;
}"""
DRAW = """async ([view, traces, layout]) => {
  views[view].draw(traces, layout);
  for (let i = 0; i < 600 && views[view].busy(); i++) await new Promise((r) => setTimeout(r, 20));
  if (views[view].busy()) throw new Error('It is never done.');
}"""
# Where a point of the data is on the screen: from the axes' ranges and the ground of the plot, not from what the module reads.
PLACE = """([x, y]) => {
  const ground = figure.querySelector('.nsewdrag').getBoundingClientRect();
  const { xaxis, yaxis } = figure._fullLayout;
  const share = (axis, v) => (v - axis.range[0]) / (axis.range[1] - axis.range[0]);
  return [ground.left + ground.width * share(xaxis, x), ground.bottom - ground.height * share(yaxis, y)];
}"""
LINE = {"type": "scatter", "mode": "lines+markers", "x": [0, 1, 2, 3], "y": [5, 3, 8, 1], "customdata": ["a", "b", "c", "d"]}
BARS = {"type": "bar", "x": [0, 1, 2, 3], "y": [1, 2, 3, 4], "marker": {"color": "token:q"}}
FIXED = {"xaxis": {"range": [-1, 4]}, "yaxis": {"range": [0, 10]}}


def mounted(watched: Watched, count: int = 1) -> Page:
    page = watched.empty()
    page.locator(".gmp-page h1").wait_for()
    page.evaluate(MOUNT, [BASE, count])
    return page


def draw(page: Page, traces: list[dict[str, Any]], layout: dict[str, Any], view: int = 0) -> None:
    page.evaluate(DRAW, [view, traces, layout])


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    found = page.evaluate(PLACE, [x, y])
    return found[0], found[1]


def pixel_of_mark(page: Page) -> float:
    box = page.locator(".plotly-mark").first.bounding_box()
    return box["x"] + box["width"] / 2


def test_two_views_share_one_load_that_begins_with_the_first_drawing(watched: Watched) -> None:
    asked: list[str] = []
    watched.page.on("request", lambda r: asked.append(r.url) if "plotly.min" in r.url else None)
    page = mounted(watched, 2)
    page.wait_for_timeout(500)
    assert asked == []
    page.evaluate("t => { views[0].draw([t], {}); views[1].draw([t], {}); }", LINE)
    page.wait_for_function("document.querySelectorAll('#try .plotly-view[data-drawn]').length === 2")
    draw(page, [BARS], {}, 1)
    assert asked == [f"{watched.url}{BASE}/{PLOTLY}"]
    assert page.locator("#try .scatterlayer .trace").count() == 1
    assert page.locator("#try .barlayer .point").count() == 4
    expect(page.get_by_role("img", name="Figure 1")).to_be_visible()
    watched.assert_clean()


def click(page: Page, x: float, y: float) -> None:
    """Plotly clicks what it hovers over: on a slow machine it may not hover yet; then a click is none, and is made again."""
    for _ in range(5):
        page.mouse.move(*place(page, x, y))
        page.wait_for_timeout(100)
        page.mouse.down()
        page.mouse.up()
        try:
            page.wait_for_function("said.some(([what]) => what === 'click')", timeout=3_000)
            return
        except TimeoutError:
            page.mouse.move(5, 5)
    raise AssertionError("No click was heard.")


def test_a_click_and_a_pointer_say_which_point(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [BARS | {"visible": "legendonly"}, LINE], FIXED)
    page.mouse.move(*place(page, 2, 8))
    page.wait_for_function("said.length > 0")
    click(page, 2, 8)
    page.mouse.move(5, 5)
    page.wait_for_function("said.findLast(([what]) => what === 'hover')[1] === null")
    said = page.evaluate("said")
    point = {"curve": 1, "index": 2, "x": 2, "y": 8, "z": None, "customdata": "c"}
    assert ["hover", point] in said
    assert ["click", point] in said
    draw(page, [LINE], FIXED)  # drawn again, it still says each thing once
    page.evaluate("said.length = 0")
    page.mouse.move(*place(page, 1, 3))
    page.wait_for_function("said.some(([what, p]) => what === 'hover' && p?.index === 1)")  # Plotly clicks what it hovers over
    click(page, 1, 3)
    page.wait_for_timeout(200)
    assert [p["index"] for what, p in page.evaluate("said") if what == "click"] == [1]
    watched.assert_clean()


def test_a_grids_point_has_a_row_and_a_column(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [{"type": "heatmap", "z": [[1, 2, 3], [4, 5, 6]]}], {})
    page.mouse.click(*place(page, 2, 1))
    page.wait_for_function("said.some(([what]) => what === 'click')")
    clicked = next(p for what, p in page.evaluate("said") if what == "click")
    assert (clicked["index"], clicked["z"]) == ([1, 2], 6)


def zoomed(page: Page) -> list[float]:
    """Drags a box over the plot; the range of x after it."""
    before = page.evaluate("figure._fullLayout.xaxis.range")
    page.mouse.move(*place(page, 0.5, 2))
    page.mouse.down()
    page.mouse.move(*place(page, 2.5, 9), steps=6)
    page.mouse.up()
    page.wait_for_function("b => figure._fullLayout.xaxis.range[0] !== b[0]", arg=before)
    return page.evaluate("figure._fullLayout.xaxis.range")


def test_a_zoom_is_kept_over_drawings_sizes_and_themes_until_the_double_click(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    kept = zoomed(page)
    assert kept == pytest.approx([0.5, 2.5], abs=0.05)
    draw(page, [LINE | {"y": [6, 2, 7, 3]}], FIXED)
    assert page.evaluate("figure._fullLayout.xaxis.range") == kept
    page.set_viewport_size({"width": 800, "height": 900})
    page.evaluate("document.body.classList.toggle('dark')")
    page.wait_for_timeout(600)
    assert page.evaluate("figure._fullLayout.xaxis.range") == kept
    page.mouse.dblclick(*place(page, 1.5, 5))
    page.wait_for_function("figure._fullLayout.xaxis.range[0] === -1")
    watched.assert_clean()


def test_the_wheel_scrolls_the_page_and_not_the_figure(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    page.mouse.move(*place(page, 1, 5))
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY > 50")
    assert page.evaluate("figure._fullLayout.xaxis.range") == [-1, 4]


@pytest.mark.parametrize("projector", [False, True])
def test_the_mark_stands_at_its_place_and_plotly_does_not_draw(watched: Watched, projector: bool) -> None:
    page = mounted(watched)
    if projector:
        page.evaluate("document.body.classList.add('gmp-projector')")
    page.evaluate("views[0].mark(2)")  # before there is a figure
    draw(page, [LINE], FIXED)
    assert pixel_of_mark(page) == pytest.approx(place(page, 2, 0)[0], abs=1)
    page.evaluate("() => { window.drawings = 0; figure.on('plotly_afterplot', () => window.drawings++); }")
    for x in (0, 0.25, 1, 2.75, 3.9):
        page.evaluate("x => views[0].mark(x)", x)
        assert pixel_of_mark(page) == pytest.approx(place(page, x, 0)[0], abs=1)
    ground = page.locator(".nsewdrag").bounding_box()
    mark = page.locator(".plotly-mark").bounding_box()
    assert (mark["y"], mark["height"]) == pytest.approx((ground["y"], ground["height"]), abs=1.5)
    page.wait_for_timeout(200)
    assert page.evaluate("drawings") == 0
    for nowhere in ("null", "9", "-1.5", "NaN"):
        page.evaluate(f"views[0].mark({nowhere})")
        expect(page.locator(".plotly-mark")).to_be_hidden()
    page.evaluate("views[0].mark(2)")
    zoomed(page)
    page.wait_for_timeout(300)
    assert page.evaluate("drawings") > 0  # the count sees a drawing
    assert pixel_of_mark(page) == pytest.approx(place(page, 2, 0)[0], abs=1)


def test_the_mark_on_a_logarithmic_axis(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], {"xaxis": {"type": "log", "range": [0, 3]}})
    page.evaluate("views[0].mark(10)")
    ground = page.locator(".nsewdrag").bounding_box()
    assert pixel_of_mark(page) == pytest.approx(ground["x"] + ground["width"] / 3, abs=1)


def test_it_takes_the_colours_of_the_theme(watched: Watched) -> None:
    page = mounted(watched)
    trace = LINE | {"line": {"color": "token:z"}, "marker": {"color": ["token:q", "token:p", "token:x", "token:hot"]}}
    draw(
        page,
        [trace],
        {"xaxis2": {"overlaying": "x"}, "shapes": [{"type": "line", "line": {"color": "token:kl"}, "x0": 0, "x1": 1}]},
    )
    colours = """() => ({
      line: getComputedStyle(figure.querySelector('.js-line')).stroke,
      points: [...figure.querySelectorAll('.point')].map((p) => getComputedStyle(p).fill),
      shape: getComputedStyle(figure.querySelector('.shapelayer path')).stroke,
      tick: getComputedStyle(figure.querySelector('.xtick text')).fill,
      grid: getComputedStyle(figure.querySelector('.gridlayer path')).stroke,
      paper: getComputedStyle(figure.querySelector('.main-svg')).backgroundColor,
      page: document.body.classList.contains('dark'),
    })"""
    tokens = """() => {
      const probe = document.createElement('i');
      document.querySelector('#try').append(probe);
      const found = Object.fromEntries(['z', 'q', 'p', 'x', 'hot', 'kl', 'soft', 'line'].map((t) => {
        probe.style.color = `var(--${t})`;
        return [t, getComputedStyle(probe).color];
      }));
      probe.remove();
      return found;
    }"""
    looks = []
    for _ in range(2):
        seen, token = page.evaluate(colours), page.evaluate(tokens)
        assert seen["line"] == token["z"]
        assert seen["points"] == [token[name] for name in ("q", "p", "x", "hot")]
        assert (seen["shape"], seen["tick"], seen["grid"]) == (token["kl"], token["soft"], token["line"])
        assert seen["paper"].replace(" ", "") in {"rgba(0,0,0,0)", "transparent"}
        looks.append(seen)
        before = page.evaluate("drawn()")
        page.evaluate("document.body.classList.toggle('dark')")
        page.wait_for_function("b => drawn() !== b", arg=before)
    assert looks[0]["page"] != looks[1]["page"]
    assert looks[0]["line"] != looks[1]["line"]
    watched.assert_clean()


def test_tokens_are_resolved_anywhere_and_what_was_given_is_not_written_to(watched: Watched) -> None:
    page = watched.empty()
    found = page.evaluate(
        """async (base) => {
          const { coloured, resolved } = await import(`${base}/plotly_view/theming.js`);
          const read = (name) => ({ x: '#0067a5', card: '#fff' })[name];
          const given = {
            a: ['token:x', 'red', { b: 'token:card/0.5' }],
            n: [1, 2, null], big: new Float64Array(3), none: null, deep: [[0, 'token:x']],
          };
          const copy = structuredClone(given);
          const made = coloured(given, read);
          let message;
          try { resolved('token:nothing', read); } catch (error) { message = error.message; }
          return { made: { ...made, big: 0 }, same: made.big === given.big && made.n === given.n,
            untouched: JSON.stringify(copy) === JSON.stringify(given), message,
            others: ['rgb(1,2,3)', 'my token:x', 'token:x/2'].map((c) => resolved(c, read)) };
        }""",
        BASE,
    )
    assert found["made"]["a"] == ["#0067a5", "red", {"b": "rgba(255,255,255,0.5)"}]
    assert found["made"]["deep"] == [[0, "#0067a5"]]
    assert found["same"]
    assert found["untouched"]
    assert "nothing" in found["message"]
    assert found["others"] == ["rgb(1,2,3)", "my token:x", "token:x/2"]


def test_what_a_caller_gives_stays_as_it_was(watched: Watched) -> None:
    page = mounted(watched)
    page.evaluate(
        "([t, l]) => { window.given = [[t], l]; window.copy = JSON.stringify(given); views[0].draw(...given); }", [LINE, FIXED]
    )
    page.wait_for_function("drawn()")
    zoomed(page)
    assert page.evaluate("JSON.stringify(given) === copy")


def test_it_fills_its_box_and_follows_it(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    for width in (1280, 700, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            "Math.abs(figure.querySelector('.main-svg').getBoundingClientRect().width"
            " - figure.parentElement.getBoundingClientRect().width) < 1.5"
        )
        assert watched.overflow() == 0
    draw(page, [LINE], FIXED | {"height": 410})
    assert page.locator(".plotly-view").bounding_box()["height"] == pytest.approx(410, abs=1)
    assert page.locator(".plotly-figure .main-svg").first.bounding_box()["height"] == pytest.approx(410, abs=1)
    watched.assert_clean()


def test_what_is_hidden_is_drawn_when_it_is_shown(watched: Watched) -> None:
    page = mounted(watched)
    page.evaluate("document.querySelector('#try').style.display = 'none'")
    draw(page, [LINE], FIXED)
    assert page.evaluate("drawn()") is None
    assert page.evaluate("'Plotly' in window") is False  # and not fetched for nothing
    page.evaluate("document.querySelector('#try').style.display = ''")
    page.wait_for_function("drawn()")
    assert page.locator("#try .scatterlayer .trace").count() == 1


def test_only_the_newest_of_many_is_sure_to_be_drawn(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    page.evaluate(
        """async (t) => {
          for (let i = 0; i < 60; i++) {
            views[0].draw([{ ...t, y: [i, i, i, i] }], {});
            await new Promise((r) => setTimeout(r, 3));
          }
        }""",
        LINE,
    )
    page.wait_for_function("!views[0].busy() && figure.data[0].y[0] === 59")


def test_a_library_that_does_not_come_is_said_and_asked_for_again(watched: Watched) -> None:
    page = watched.page
    page.route("**/plotly.min.js", lambda route: route.abort())
    mounted(watched)
    draw(page, [LINE], FIXED)
    notice = page.locator("#try").get_by_role("status")
    expect(notice).to_contain_text("cannot be drawn")
    assert notice.inner_text().endswith(".")
    page.unroute("**/plotly.min.js")
    draw(page, [LINE], FIXED)
    expect(notice).to_be_hidden()
    assert page.locator("#try .scatterlayer .trace").count() == 1


def test_another_plotly_on_the_page_is_left_alone(watched: Watched) -> None:
    page = mounted(watched)
    page.evaluate("window.Plotly = { theirs: true }")
    draw(page, [LINE], FIXED)
    assert page.evaluate("Plotly.theirs") is True
    draw(page, [BARS], FIXED)
    assert page.locator("#try .barlayer .point").count() == 4
    watched.assert_clean()


def test_no_other_host_and_nothing_to_send(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    page.mouse.move(*place(page, 1, 5))
    names = page.locator(".modebar-btn").evaluate_all("all => all.map((b) => b.dataset.title ?? b.getAttribute('data-title'))")
    assert len(names) >= 4
    assert not [name for name in names if any(word in name.lower() for word in ("plotly", "cloud", "share", "edit"))]
    assert page.locator("#try a[href]").count() == 0
    with page.expect_download() as download:
        page.locator(".modebar-btn").first.click()  # the picture is made here
    assert download.value.suggested_filename.endswith(".png")
    page.wait_for_timeout(300)
    watched.assert_clean()


def test_nothing_is_left_of_a_removed_one(watched: Watched) -> None:
    page = mounted(watched, 2)
    draw(page, [LINE], FIXED)
    page.evaluate("t => { views[1].draw([t], {}); views[1].remove(); views[0].remove(); }", LINE)
    page.evaluate("document.body.classList.toggle('dark')")
    page.set_viewport_size({"width": 700, "height": 800})
    page.wait_for_timeout(500)
    assert page.locator("#try > *").count() == 0
    assert page.evaluate("[views[0].busy(), views[1].busy()]") == [False, False]
    watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_a_finger_scrolls_past_it_and_taps_a_point(watched: Watched) -> None:
    page = mounted(watched)
    draw(page, [LINE], FIXED)
    assert watched.overflow() == 0
    x, y = place(page, 2, 8)
    page.touchscreen.tap(x, y)
    page.wait_for_function("said.some(([what]) => what === 'click')")
    assert next(p for what, p in page.evaluate("said") if what == "click")["index"] == 2
    session = page.context.new_cdp_session(page)
    x, y = place(page, 1.5, 1)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for up in range(15, 160, 15):
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - up}]})
        page.wait_for_timeout(16)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("scrollY > 50")
    assert page.evaluate("figure._fullLayout.xaxis.range") == [-1, 4]
    watched.assert_clean()
