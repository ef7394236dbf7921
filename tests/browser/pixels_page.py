"""The page "Pixels" as a hand and an eye have it: what is pressed, where the pointer goes, and what stands there."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from clouds_page import CATCH
from conftest import PATIENCE, Watched
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Request, Route, expect

RUN = "/gradio_api/run/"  # where Gradio's controls, and the page as it opens, ask
ROUTES = "/play/pixels/"
# The stage writes its view into the body whenever settings reach it: as it opens, and when it is told what the link says.
COUNT = """() => {
  window.applied = 0;
  new MutationObserver((all) => (window.applied += all.length))
    .observe(document, { subtree: true, attributes: true, attributeFilter: ["data-pixels-view"] });
}"""
WRITTEN = """(n) => {
  const view = document.querySelector("#px-view-write");
  const bar = document.querySelector(".timeline");
  const size = document.querySelector(".px-formula munderover > mn")?.textContent;
  return Number(view.dataset.requests ?? 0) > n && bar.dataset.playing === "false" && view.dataset.ready === size
    && !view.hasAttribute("aria-busy") && document.querySelector(".px-tabs .badge").dataset.kind === "live";
}"""
NUMBER = re.compile(r"−?[\d\u202f]+(?:\.\d+)?")
POWER = re.compile(r"10\^(−?[\d.]+)")
Bytes = NDArray[np.uint8]


def numbers(text: str) -> list[float]:
    """The numbers in a text, as people write them there."""
    return [float(one.replace("−", "-").replace("\u202f", "")) for one in NUMBER.findall(text)]


def probability(text: str) -> float:
    """Of "0.084" or "10^−4.2"."""
    found = POWER.search(text)
    return 10 ** float(found[1].replace("−", "-")) if found else numbers(text)[0]


class Pixels:
    """A visitor of the page. What is asked under /play/pixels/ is kept in `asked`."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.page: Page = watched.page
        self.page.add_init_script(f"({COUNT})()")
        self.stage = self.page.locator("[data-stage=pixels]")
        self.problem = self.stage.locator("p.notice.error")
        self.notice = self.stage.locator("p.notice").first
        self.badge = self.stage.locator(".px-tabs .badge")
        self.facts = self.stage.locator(".facts .said span").first
        self.bar = self.stage.locator(".timeline")
        self.scrub = self.bar.locator("input[type=range]")
        self.seeds = self.view("write").locator(".px-seeds").first
        self.branches = self.view("write").locator(".px-seeds").nth(1)
        self.asked: list[str] = []
        self.under_way: set[Request] = set()
        self.holding: set[Request] = set()  # those that a test keeps from their answers
        self.page.on("request", self._begins)
        self.page.on("requestfinished", self._ends)
        self.page.on("requestfailed", self._ends)

    def _begins(self, request: Request) -> None:
        if ROUTES in request.url:
            self.asked.append(request.url)
            self.under_way.add(request)

    def _ends(self, request: Request) -> None:
        self.under_way.discard(request)

    # --- Opening ---------------------------------------------------------------------------------------------------------

    def open(self, query: str = "", *, wait: bool = True) -> Pixels:
        """The page on a link. `wait`: until what it writes is written, and at rest."""
        self._opening(lambda: self.watched.open(f"/pixels{query and '?v=1&'}{query}"), wait=wait)
        return self

    def reload(self) -> None:
        self._opening(self.page.reload)

    def back(self) -> None:
        """The browser's Back: the address changes, and the page opens anew on it."""
        self._opening(self.page.go_back)

    def _opening(self, action: Callable[[], Any], *, wait: bool = True) -> None:
        """The page opens on its defaults, is told what the link says, and shows it; or on the link at once, if that is told
        before the stage is ready.
        """
        self.under_way.clear()
        with self.page.expect_response(lambda r: '"whole":true' in r.text() if RUN in r.url else False):
            action()
        self.page.wait_for_function("() => document.body.dataset.opened === 'true'")
        if wait:
            self.rests()

    # --- Waiting ---------------------------------------------------------------------------------------------------------

    def rests(self, beyond: int = 0) -> None:
        """Until all that was asked for is there and nothing plays; of the writing, after request number `beyond`."""
        if self.shown_view() == "write":
            self.page.wait_for_function(WRITTEN, arg=beyond)
        for _ in range(PATIENCE // 20):
            self.page.wait_for_timeout(20)
            if not self.under_way - self.holding:
                return
        raise AssertionError(f"These have no answer: {[one.url for one in self.under_way]}")

    def wrote(self, action: Callable[[], Any]) -> None:
        """Does something that has an image written, and waits for it."""
        before = self.requests()
        action()
        self.rests(beyond=before)

    def requests(self) -> int:
        return int(self.view("write").get_attribute("data-requests") or 0)

    def kept(self) -> None:
        """Waits until the address holds the frame, too: it is written a moment after that came to rest."""
        self.page.wait_for_timeout(400)

    @contextmanager
    def held(self, path: str, *, times: int = 1) -> Iterator[list[Route]]:
        """The next requests of a route wait, in the list, until somebody lets them go; the rest at the end."""
        waiting: list[Route] = []
        kept: list[Route] = []

        def hold(route: Route) -> None:
            if len(kept) >= times:
                route.continue_()
                return
            kept.append(route)
            waiting.append(route)
            self.holding.add(route.request)

        pattern = f"**{ROUTES}{path}*"
        self.page.route(pattern, hold)
        try:
            yield waiting
        finally:
            self.release(waiting)
            self.page.unroute(pattern)

    def release(self, waiting: list[Route]) -> None:
        """Lets requests that were held go to the server."""
        while waiting:
            route = waiting.pop(0)
            self.holding.discard(route.request)
            route.continue_()

    def until(self, true: Callable[[], Any]) -> None:
        """Waits for something that only Python can see."""
        for _ in range(PATIENCE // 30):
            if true():
                return
            self.page.wait_for_timeout(30)
        raise AssertionError("It has not come to pass.")

    # --- What stands there -----------------------------------------------------------------------------------------------

    def view(self, name: str) -> Locator:
        return self.page.locator(f"#px-view-{name}")

    def shown_view(self) -> str:
        return self.stage.get_attribute("data-view") or ""

    def frame(self) -> int:
        return int(self.bar.get_attribute("data-frame") or 0)

    def last(self) -> int:
        return int(self.scrub.get_attribute("max") or 0)

    def playing(self) -> bool:
        return self.bar.get_attribute("data-playing") == "true"

    def settings(self) -> dict[str, str]:
        """What stands in the address."""
        return {key: values[0] for key, values in parse_qs(urlsplit(self.page.url).query).items()}

    def json(self) -> dict[str, Any]:
        """What the button JSON hands over, caught on its way: browsers forbid many downloads in a row."""
        return json.loads(self.button("JSON").evaluate(f"(button) => (({CATCH})(), button.click(), window.caught)"))

    def values(self) -> Bytes:
        """The large image, in the order of writing."""
        return np.array(self.json()["values"], np.uint8)

    def told(self, view: str = "write") -> dict[str, str]:
        """What is said of the pixel in hand: names and words."""
        names, words = (self.view(view).locator(f".px-numbers {tag}").all_inner_texts() for tag in ("dt", "dd"))
        return dict(zip(names, words, strict=True))

    def histograms(self, view: str = "write") -> Locator:
        return self.view(view).locator(".level-histogram")

    def picture(self, view: str = "write") -> Bytes:
        """What is painted on the large canvas, (height, width, 3), at rest."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        url = self.canvas(view).evaluate("c => c.toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))

    def canvas(self, view: str = "write") -> Locator:
        return self.view(view).locator("canvas.pixel-canvas")

    def tile(self, one: Locator) -> tuple[Bytes, int]:
        """A small picture's greys, in the order of writing, and how many of its pixels are there."""
        bytes_ = one.locator("canvas").evaluate("c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
        rgba = np.array(bytes_, np.uint8).reshape(-1, 4)
        return rgba[:, 0], int((rgba[:, 3] == 255).sum())

    def rail(self, name: str) -> Locator:
        return self.page.locator(f"#{name} input").first

    # --- What one does ---------------------------------------------------------------------------------------------------

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        self.button(name).click()

    def tab(self, view: str) -> None:
        self.page.locator(f"#px-tab-{view}").click()
        expect(self.view(view)).to_be_visible()

    def choose(self, name: str, option: str) -> None:
        """Takes an option of one of the rail's dropdowns."""
        self.rail(name).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def type(self, name: str, value: object) -> None:
        """Types into a number field of the rail."""
        self.rail(name).fill(str(value))
        self.rail(name).press("Enter")

    def heat(self, temperature: float) -> None:
        """Moves the temperature, and waits until the stage knows."""
        applied = self.page.evaluate("() => window.applied")
        self.rail("temperature").fill(str(temperature))
        self.page.wait_for_function("(n) => window.applied > n", arg=applied)

    def label(self, name: str) -> None:
        self.page.locator("#label").get_by_role("radio", name=name, exact=True).check()

    def to(self, frame: int) -> None:
        """Moves the timeline."""
        self.scrub.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", frame)
        assert self.frame() == frame

    def upload(self, content: bytes, view: str, name: str = "picture.png") -> None:
        file: FilePayload = {"name": name, "mimeType": "image/png", "buffer": content}
        self.view(view).locator("input[type=file]").set_input_files(file)

    # --- Where the pointer goes ------------------------------------------------------------------------------------------

    def spot(self, pixel: int, view: str = "write") -> tuple[float, float]:
        """Pixels of the screen at the middle of a pixel of the large image."""
        canvas = self.canvas(view)
        canvas.evaluate("c => c.scrollIntoView({ block: 'center' })")  # clear of the header and of the timeline
        box = canvas.bounding_box()
        assert box
        wide = self.width()
        x, y = (pixel % wide + 0.5) / wide, (pixel // wide + 0.5) / wide
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def width(self) -> int:
        """Of the image, which is as high as it is wide."""
        return 32 if self.page.evaluate("() => document.body.dataset.pixelsModel") == "sprites" else 28

    def point(self, pixel: int, view: str = "write") -> None:
        """Points at a pixel, and waits until the words are about it."""
        self.page.mouse.move(*self.spot(pixel, view))
        self.speaks_of(pixel, view)

    def speaks_of(self, pixel: int, view: str = "write") -> None:
        where = f"row {pixel // self.width() + 1}, column {pixel % self.width() + 1}"
        expect(self.view(view).locator(".px-where")).to_have_text(where)

    def leave(self) -> None:
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(40)

    def level(self, level: int, levels: int = 256, *, colour: int = 0, view: str = "write") -> tuple[float, float]:
        """Pixels of the screen on the bar of a level."""
        canvas = self.histograms(view).nth(colour).locator("canvas")
        canvas.evaluate("c => c.scrollIntoView({ block: 'center' })")
        box = canvas.bounding_box()
        assert box
        return box["x"] + (level + 0.5) / levels * box["width"], box["y"] + 0.6 * box["height"]

    def percent(self, level: int, levels: int = 256, *, colour: int = 0, view: str = "write") -> str:
        """What the histogram says of a level that is pointed at."""
        self.page.mouse.move(*self.level(level, levels, colour=colour, view=view))
        words = self.histograms(view).nth(colour).locator("output")
        expect(words).to_contain_text(f"level {level}:")
        return words.inner_text()
