"""The tray of pictures, mounted alone. The answers are made up: each picture is of one grey, which says whose it is."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from conftest import Watched
from playwright.sync_api import Page, Route, expect

from playground import text
from playground.components import BASE
from playground.uploads import MAX_BYTES

MOUNT = """async ([base, settings, words, start, dark]) => {
  const { tray: make } = await import(`${base}/likelihoods/tray.js`);
  const card = document.createElement("div");
  card.className = "gmp gmp-card";
  const host = document.createElement("div");
  card.append(host);
  document.querySelector(".gmp-page").replaceChildren(card);
  document.body.classList.toggle("dark", dark);
  Object.assign(window, { settings, host, changes: [], failures: [], told: 0, flying: 0, most: 0 });
  const real = window.fetch;
  window.fetch = async (...all) => {
    most = Math.max(most, ++flying);
    try { return await real(...all); } finally { flying--; }
  };
  window.outside = (patch) => { Object.assign(settings, patch); tray.settings(new Set(Object.keys(patch))); };
  const change = (patch, { quiet = false } = {}) => {
    changes.push(patch);
    if (quiet) Object.assign(settings, patch);
    else outside(patch);
  };
  window.tray = make(host, {
    text: words.tray, words, models: {}, recordings: start ? { start } : {}, defaults: { picks: "r3,t.blank" },
    settings: () => ({ ...settings }), change, changedPictures: () => told++, fine() {},
    fail: (error) => failures.push(error.message),
  }, { area: card });
  window.now = () => [tray.pictures().map((one) => [one.title, one.pixels[0]]), tray.chosen()?.title ?? null, settings.at];
}"""
CAMERA = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
  window.paint = setInterval(() => canvas.getContext("2d").fillRect(0, 0, 64, 48), 20);
  window.streams = [];
  navigator.mediaDevices.getUserMedia = async () => { streams.push(canvas.captureStream(30)); return streams.at(-1); };
}"""
PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
GREYS = {"r3": 3, "r4": 4, "t.blank": 10, "t.noise": 11, "a.3": 20}
TITLES = {"r3": "a three", "r4": "a four", "t.blank": "Blank", "t.noise": "Noise", "a.3": "3, perturbed"}
WHY = "Made until the label flips"


def packed(grey: int) -> str:
    return base64.b64encode(bytes([grey]) * 784).decode()


def made(pick: str, data: str, seed: int) -> dict[str, Any]:
    """The seed moves noise alone; clothes are 100 lighter than digits."""
    grey = GREYS[pick] + 100 * (data == "fashion") + (seed if pick == "t.noise" else 0)
    kind = {"r": "reference", "t": "trap", "a": "attack"}[pick[0]]
    return {
        "pick": pick,
        "kind": kind,
        "title": TITLES[pick],
        "why": f"Nothing like {pick}." if kind == "trap" else f"{WHY}.",
        "pixels": packed(grey),
        "steps": None,
    } | {
        "attack": {"label": 3, "became": 8} if kind == "attack" else None,
        "by": None,
    }


class Fakes:
    """Files hold their grey as a number; another content is refused. An answer in `held` waits for its event."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.held: dict[str, list[Route]] = {}
        self.hold: set[str] = set()
        self.busy = False
        page.route("**/play/likelihoods/**", self.answer)
        page.route("**/play/prepare*", self.answer)

    def answer(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        name = url.path.rsplit("/", 1)[1]
        self.asked.append(" ".join([name, *query.values()]))
        held = f"{name} {query['data']}"
        if self.busy:
            route.fulfill(status=503, json={"error": "Too many people are asking."})
        elif held in self.hold:
            self.held.setdefault(held, []).append(route)
        else:
            self.fulfil(route)

    def release(self, held: str) -> None:
        self.hold.discard(held)
        for route in self.held.pop(held, []):
            self.fulfil(route)

    def fulfil(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        data = query["data"]
        if url.path.endswith("prepare"):
            body = route.request.post_data_buffer or b""
            self.bodies.append(body)
            if not (body.isdigit() or body.startswith(b"\x89PNG")):
                route.fulfill(status=422, json={"error": "The file is not a picture."})
                return
            grey = (int(body) if body.isdigit() else 77) + 100 * (data == "fashion")
            steps = [{"name": step, "height": 28, "width": 28, "pixels": packed(grey)} for step in ("grey", "centred")]
            route.fulfill(json={"steps": steps})
        elif url.path.endswith("shelf"):
            kinds = {"reference": ["r3", "r4"], "trap": ["t.blank", "t.noise"], "other": [], "attack": ["a.3"]}
            groups = [{"key": key, "pictures": [made(one, data, 0) for one in picks]} for key, picks in kinds.items()]
            route.fulfill(json={"from": "MNIST", "groups": groups})
        else:
            tokens = query["picks"].split(",")
            found = [made(one, data, int(query["seed"])) for one in tokens if one in GREYS]
            refused = [f"There is no picture {one}." for one in tokens if one not in GREYS]
            route.fulfill(json={"from": "MNIST", "pictures": found, "refused": refused})


def mount(watched: Watched, *, start: Any = None, hold: str = "", dark: bool = False, **settings: Any) -> tuple[Page, Fakes]:
    page = watched.empty()
    fakes = Fakes(page)
    fakes.hold = {hold} - {""}
    values = {"data": "mnist", "seed": 1, "picks": "r3,t.blank", "at": 0} | settings
    page.evaluate(MOUNT, [BASE, values, text.page("likelihoods")["stage"], start, dark])
    if not hold:
        page.wait_for_function("() => tray.chosen() !== null")
    return page, fakes


def now(page: Page) -> list[Any]:
    """[[title, grey] of each picture], the title of the chosen one, its place."""
    return page.evaluate("now()")


def until(page: Page, pictures: int) -> None:
    page.wait_for_function(
        "(n) => tray.pictures().length === n && !document.querySelector('.progress span').textContent", arg=pictures
    )


def files(*contents: str) -> list[Any]:
    return [{"name": f"{i}.png", "mimeType": "image/png", "buffer": one.encode()} for i, one in enumerate(contents)]


def pressed(page: Page) -> list[str]:
    return page.locator(".look[aria-pressed=true]").all_text_contents()


def stroke(page: Page, *points: tuple[float, float]) -> None:
    pad = page.locator(".sketch canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    places = [(box["x"] + x, box["y"] + y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()


def test_it_opens_on_recorded_pictures_and_each_can_be_looked_at_and_taken_out(watched: Watched) -> None:
    start = {"mnist": {"seed": 1, "pictures": [made("r3", "mnist", 1), made("t.blank", "mnist", 1)]}}
    page, fakes = mount(watched, start=start, hold="pictures mnist", at=1)
    assert now(page) == [[["a three", 3], ["Blank", 10]], "Blank", 1]  # before the server has said a word
    page.evaluate("window.first = tray.pictures()[0]")
    fakes.release("pictures mnist")
    page.wait_for_function("() => !flying")
    assert page.evaluate("[first === tray.pictures()[0], told]") == [True, 0]  # the same pictures are no change
    assert pressed(page) == ["Blank"]
    page.locator(".look").first.click()
    assert page.evaluate("changes") == [{"at": 0}]
    assert pressed(page) == ["a three"]
    page.keyboard.press("ArrowRight")
    assert (now(page)[1:], pressed(page)) == (["Blank", 1], ["Blank"])
    expect(page.locator(".look").nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    assert now(page) == [[["a three", 3]], "a three", 0]
    assert page.evaluate("settings.picks") == "r3"
    expect(page.locator(".look").first).to_be_focused()
    page.locator(".tile").first.hover()
    page.get_by_role("button", name="Take out: a three").click()
    assert now(page) == [[], None, 0]
    assert page.evaluate("settings.picks") == "none"
    expect(page.get_by_text("The tray is empty")).to_be_visible()
    page.get_by_role("button", name="Reset tray").click()
    assert now(page) == [[["a three", 3], ["Blank", 10]], "a three", 0]
    watched.assert_clean()


def test_late_answers_are_dropped_and_own_pictures_prepared_anew(watched: Watched) -> None:
    page, fakes = mount(watched, picks="r3,t.noise")
    page.locator("input[type=file]").set_input_files(files("50"))
    until(page, 3)
    assert now(page)[1:] == ["0.png", 2]  # one's own comes last, and is looked at
    assert page.evaluate("tray.pictures()[2].steps.map((one) => one.name)") == ["grey", "centred"]
    fakes.hold = {"pictures mnist"}
    page.evaluate("outside({ seed: 5 })")
    page.wait_for_function("() => document.querySelectorAll('.tile[aria-busy]').length === 2")  # shown, but as not yet there
    assert now(page)[0] == [["0.png", 50]]
    page.evaluate("outside({ data: 'fashion' })")
    until(page, 3)
    clothes = [[["a three", 103], ["Noise", 116], ["0.png", 150]], "0.png", 2]
    assert now(page) == clothes
    fakes.release("pictures mnist")  # of digits: nobody asked for those any more
    page.wait_for_timeout(100)
    assert now(page) == clothes
    page.evaluate("outside({ data: 'mnist', seed: 1, picks: 't.noise' })")
    assert now(page) == [[["Noise", 12], ["0.png", 50]], "0.png", 1]  # kept: at once, and the chosen one is still chosen
    assert fakes.asked.count("prepare mnist") == 1
    watched.errors.clear()  # requests that were given up


def test_the_shelf_puts_pictures_in_and_takes_them_out(watched: Watched) -> None:
    page, fakes = mount(watched, picks="r3,zzz,t.blank")
    refused = page.locator(".refused li")
    assert refused.all_text_contents() == ["There is no picture zzz."]
    assert now(page)[0] == [["a three", 3], ["Blank", 10]]
    page.locator("input[type=file]").set_input_files(files("50"))
    until(page, 3)
    page.get_by_role("button", name="Pick").click()
    shelf = page.locator(".shelf")
    expect(shelf.locator("h3")).to_have_text(
        ["Reference pictures: MNIST", "Traps", "Perturbed until the classifier's label flips"]
    )
    expect(shelf.locator("[data-pick='t.noise']")).to_contain_text("Nothing like t.noise.")  # readable without pointing at it
    expect(shelf.locator("[data-group=attack] > p")).to_have_text(f"{WHY}.")  # the same for all: said once
    card = shelf.locator("[data-pick='a.3']")
    card.click()
    page.wait_for_function("() => tray.pictures().length === 4")
    assert now(page) == [[["a three", 3], ["Blank", 10], ["3, perturbed", 20], ["0.png", 50]], "3, perturbed", 2]
    assert page.evaluate("tray.pictures()[2].attack.became") == 8
    assert page.evaluate("settings.picks") == "r3,t.blank,a.3"  # what no server knows is left out of the link
    assert fakes.asked[-1] == "pictures mnist a.3 1"  # only what was missing is asked for
    expect(card).to_have_attribute("aria-pressed", "true")
    page.locator(".look").last.click()
    card.click()
    expect(card).to_have_attribute("aria-pressed", "false")
    assert now(page)[1:] == ["0.png", 2]  # what is looked at stays so, in another place
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".refused")).to_be_hidden()
    watched.assert_clean()


def test_of_fifty_files_the_bad_are_named_and_the_others_kept(watched: Watched) -> None:
    page, fakes = mount(watched)
    bad = {4, 11, 18, 25, 32, 39, 46}
    fifty = files(*("no picture" if i in bad else str(100 + i) for i in range(50)))
    fifty[4]["name"] = "<img src=x onerror=alert(1)>.svg"
    fakes.hold = {"prepare mnist"}
    page.locator("input[type=file]").set_input_files(fifty)
    expect(page.locator(".progress")).to_have_text("Preparing 1 of 50")
    fakes.release("prepare mnist")
    until(page, 45)
    assert now(page)[0][2:] == [[f"{i}.png", 100 + i] for i in range(50) if i not in bad]  # in their order
    assert now(page)[1] == "0.png"  # the first of them
    sentences = page.locator(".refused li")
    assert sentences.all_text_contents() == [f"{fifty[i]['name']}: The file is not a picture." for i in sorted(bad)]
    expect(page.locator(".refused b")).to_have_text("Not taken: 7")
    assert page.locator(".lk-tray img").count() == 0  # a name is text
    assert page.evaluate("most") <= 2
    assert page.evaluate("told") < 43  # others are not told of each single file
    page.locator("input[type=file]").set_input_files(files(*map(str, range(20))))
    until(page, 60)
    expect(sentences.last).to_have_text("The tray holds at most 60 pictures: 5 were left out. Take some out first.")
    assert now(page)[0][-1] == ["14.png", 14]
    page.get_by_role("button", name="Reset tray").click()
    assert now(page) == [[["a three", 3], ["Blank", 10]], "a three", 0]
    expect(page.locator(".refused")).to_be_hidden()
    watched.errors.clear()  # the browser's own words on a status of 422


def test_files_that_are_dropped_pasted_or_too_large(watched: Watched) -> None:
    page, fakes = mount(watched)
    give = """([type, sizes]) => {
      const data = new DataTransfer();
      const contents = sizes.map((size, i) => (size ? new Uint8Array(size) : `9${i}`));
      contents.forEach((content, i) => data.items.add(new File([content], `${type}${i}.png`)));
      const how = { clipboardData: data, dataTransfer: data, bubbles: true, cancelable: true };
      const event = type === "paste" ? new ClipboardEvent(type, how) : new DragEvent(type, how);
      document.querySelector(".gmp-card").dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert page.evaluate(give, ["dragover", [0]]) is True
    expect(page.locator(".lk-tray.drop")).to_have_count(1)
    assert page.evaluate(give, ["drop", [0, 0]]) is True
    expect(page.locator(".lk-tray.drop")).to_have_count(0)
    until(page, 4)
    page.evaluate(give, ["paste", [0]])
    until(page, 5)
    assert now(page)[0][2:] == [["drop0.png", 90], ["drop1.png", 91], ["paste0.png", 90]]
    expect(page.get_by_text("Your own pictures are not in the link")).to_be_visible()
    page.evaluate(give, ["drop", [MAX_BYTES + 1]])
    expect(page.locator(".refused li")).to_have_text(
        "drop0.png: The file has 20.1 MB, and the limit is 20 MB: send a smaller picture."
    )
    assert len(fakes.bodies) == 3  # it was not even sent
    page.evaluate("host.hidden = true")
    page.evaluate(give, ["paste", [0]])  # meant for something else
    assert page.evaluate("tray.pictures().length") == 5
    watched.assert_clean()


def test_a_drawing_follows_the_pad_until_it_is_cleared(watched: Watched) -> None:
    page, fakes = mount(watched)
    page.get_by_role("button", name="Draw", exact=True).click()
    add = page.get_by_role("button", name="Add drawing")
    expect(add).to_be_disabled()
    stroke(page, (60, 60), (100, 160))
    assert fakes.bodies == []  # nothing leaves the page before it is added
    add.click()
    until(page, 3)
    assert now(page)[1:] == ["Drawing 1", 2]
    stroke(page, (160, 60), (160, 160))
    page.wait_for_function("() => changes.length && tray.pictures()[2].id !== 'mnist own 1 2'")
    assert len(now(page)[0]) == 3
    assert len(set(fakes.bodies)) == len(fakes.bodies) == 2  # another PNG, in the first one's place
    page.get_by_role("button", name="Clear").click()
    stroke(page, (120, 60), (120, 200))
    add.click()
    until(page, 4)
    assert [title for title, _ in now(page)[0][2:]] == ["Drawing 1", "Drawing 2"]
    watched.assert_clean()


def test_a_photograph_and_the_camera_that_stops(watched: Watched) -> None:
    page, _ = mount(watched)
    page.evaluate(CAMERA)
    page.get_by_role("button", name="Webcam").click()
    page.get_by_role("button", name="Take it").click()
    until(page, 3)
    assert now(page)[1:] == ["Photo 1", 2]
    states = "streams.map((one) => one.getTracks()[0].readyState)"
    assert page.evaluate(states) == ["live"]
    page.evaluate("host.hidden = true")
    page.wait_for_function(f"() => {states}.every((one) => one === 'ended')")  # no camera runs unseen
    page.evaluate("host.hidden = false")
    page.get_by_role("button", name="Start again").click()
    expect(page.get_by_role("button", name="Take it")).to_be_enabled()
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { value: true, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    assert page.evaluate(states) == ["ended", "ended"]
    expect(page.get_by_text("The camera was stopped because the page was hidden.")).to_be_visible()
    page.evaluate("delete document.hidden")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".webcam")).to_be_hidden()
    # Granted after it was stopped: stopped at once.
    page.evaluate("""() => {
      const real = navigator.mediaDevices.getUserMedia;
      navigator.mediaDevices.getUserMedia = async () => { await new Promise((go) => (window.grant = go)); return real(); };
    }""")
    page.get_by_role("button", name="Webcam").click()
    page.get_by_role("button", name="Webcam").click()
    page.evaluate("grant()")
    page.wait_for_function(f"() => {states}.join() === 'ended,ended,ended'")
    for error, sentence in {
        "NotAllowedError": "The browser forbids the camera here",
        "NotFoundError": "No camera was found",
    }.items():
        page.evaluate(
            "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); }; }", error
        )
        page.get_by_role("button", name="Webcam").click()
        expect(page.locator(".webcam")).to_contain_text(sentence)
        page.get_by_role("button", name="Webcam").click()
    watched.assert_clean()


@pytest.mark.parametrize("watched", [PHONE], indirect=True)
def test_on_a_phone_nothing_overflows_and_all_is_large_enough(watched: Watched) -> None:
    page, _ = mount(watched, dark=True, picks="r3,r4,t.blank,t.noise,a.3")
    page.get_by_role("button", name="Pick").tap()
    expect(page.locator("[data-pick='a.3']")).to_be_visible()
    assert watched.overflow() <= 0
    sizes = page.locator(".lk-tray :is(button, .file):visible").evaluate_all(
        "(all) => all.map((one) => [one.offsetWidth, one.offsetHeight])"
    )
    assert len(sizes) > 14
    assert min(min(one) for one in sizes) >= 44
    page.locator(".look").nth(1).tap()
    assert now(page)[1] == "a four"
    page.locator(".tile .remove:visible").tap()
    assert [title for title, _ in now(page)[0]] == ["a three", "Blank", "Noise", "3, perturbed"]
    watched.assert_clean()


def test_a_link_of_too_many_and_a_server_that_is_asked_again(watched: Watched) -> None:
    page, fakes = mount(watched, hold="pictures mnist", picks=",".join(f"r{i}" for i in range(70)))
    sentences = page.locator(".refused li")
    expect(sentences).to_have_text("The tray holds at most 60 pictures: 10 were left out. Take some out first.")
    assert fakes.asked[0].split()[2].count(",") == 59
    fakes.busy = True
    page.evaluate("outside({ seed: 2, picks: 'r3,r4' })")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    assert page.evaluate("failures") == ["Too many people are asking."]
    assert now(page)[0] == []
    fakes.busy, fakes.hold = False, set()
    again.click()
    page.wait_for_function("() => tray.pictures().length === 2")
    expect(again).to_be_hidden()
    expect(sentences).to_have_count(1)  # what was refused of the link before is no longer of interest
    watched.errors.clear()  # the browser's own words on a status of 503, and on what was given up
