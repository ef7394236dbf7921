"""The page "Clouds" as a hand and an eye have it: what is pressed, where the pointer goes, and what stands there."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from conftest import Watched
from PIL import Image
from playwright.sync_api import Locator, Page, expect

expect.set_options(timeout=20_000)  # machines are noisy

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SCRUB = ".timeline input[type=range]"
SHOWN = "n => Number(document.querySelector('#clouds-view-fit')?.dataset.runs ?? 0) > n"
RUN = "/gradio_api/run/"  # where Gradio's controls, and the page as it opens, ask
NONCE = re.compile(r'"nonce":"(\w+)"')
CATCH = """() => {
  const { createObjectURL } = URL;
  const { click } = HTMLAnchorElement.prototype;
  window.caught = new Promise((done) => {
    URL.createObjectURL = (blob) => (done(blob.text()), createObjectURL.call(URL, blob));
    HTMLAnchorElement.prototype.click = () => {
      URL.createObjectURL = createObjectURL;
      HTMLAnchorElement.prototype.click = click;
    };
  });
}"""
AT = re.compile(r"at \((.+?)\):")


class Clouds:
    """A visitor of the page."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.page: Page = watched.page
        self.stage = self.page.locator("[data-stage=clouds]")
        self.host = self.page.locator("#clouds-view-fit")
        self.problem = self.stage.locator("p.notice.error")
        self.notice = self.stage.locator("p.notice").first
        self.said = self.stage.locator("p.notice[role=status]").nth(1)
        self.badge = self.stage.locator(".stage-tabs .badge")
        self.facts = self.stage.locator(".facts .said span").first
        self.label = self.stage.locator(".timeline-label")
        self.status = self.stage.locator(".run-status")

    def open(self, query: str = "") -> Clouds:
        self._opening(lambda: self.watched.open(f"/clouds{query and '?v=1&'}{query}"))
        return self

    def reload(self) -> None:
        self.kept()
        self._opening(self.page.reload)

    def back(self) -> None:
        """The browser's Back: the address changes, and the page opens anew on it."""
        self.kept()
        self._opening(self.page.go_back)

    def _opening(self, action: Callable[[], Any]) -> None:
        """The page opens on its defaults, is told what the link says, and shows it: waits for that."""
        with self.page.expect_response(lambda r: '"whole":true' in r.text() if RUN in r.url else False) as told:
            action()
        found = NONCE.search(told.value.text())
        assert found
        self.page.wait_for_function("n => document.querySelector('[data-opened]')?.dataset.opened === n", arg=found[1])

    # --- What stands there ---------------------------------------------------------------------------------------------

    def runs(self) -> int:
        return int(self.host.get_attribute("data-runs") or 0)

    def frame(self) -> int:
        return int(self.host.get_attribute("data-frame") or -1)

    def frames(self) -> int:
        return int(self.stage.locator(".timeline input[type=range]").get_attribute("max") or 0) + 1

    def panel(self, model: str) -> Locator:
        return self.stage.locator(f".cloud-panel[data-model={model}]")

    def numbers(self) -> list[str]:
        """What the panels say."""
        return self.stage.locator(".panel-numbers").all_inner_texts()

    def picture(self, model: str) -> np.ndarray:
        """What is painted, (height, width, 3)."""
        url = self.panel(model).locator(".panel-plot canvas").evaluate("c => c.toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(int)

    def shows(self, model: str, was: np.ndarray) -> None:
        """Waits until the same is painted, but for the last bit of a rim."""
        for _ in range(60):
            now = self.picture(model)
            if now.shape == was.shape and np.abs(now - was).max() <= 2:
                return
            self.page.wait_for_timeout(100)
        raise AssertionError(f"{model} shows another picture.")

    def settings(self) -> dict[str, str]:
        """What stands in the address, once it is written there."""
        self.kept()
        return {key: values[0] for key, values in parse_qs(urlsplit(self.page.url).query).items()}

    def kept(self) -> None:
        """Waits until the address stands still: it is written a moment after a change."""
        self.page.wait_for_timeout(280)

    def rail(self, name: str) -> Locator:
        return self.page.locator(f"#{name} input").first

    # --- What one does -------------------------------------------------------------------------------------------------

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def press(self, name: str) -> None:
        self.button(name).click()

    def fitted(self, action: Callable[[], Any]) -> None:
        """Does something that leads to new runs, and waits for them."""
        before = self.runs()
        action()
        self.page.wait_for_function(SHOWN, arg=before)

    def tool(self, name: str) -> None:
        one = self.stage.locator(f"button[data-tool={name}]")
        one.click()
        expect(one).to_have_attribute("aria-checked", "true")

    def choose(self, name: str, option: str) -> None:
        """Takes an option of one of the rail's dropdowns."""
        self.rail(name).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def more(self) -> None:
        """Opens the rest of the rail."""
        self.page.locator("#more button").first.click()
        expect(self.rail("seed")).to_be_visible()

    def type(self, name: str, value: object) -> None:
        """Types into a number field of the rail."""
        self.rail(name).fill(str(value))
        self.rail(name).press("Enter")

    def upload(self, text: str | bytes, name: str = "points.csv") -> None:
        data = text if isinstance(text, bytes) else text.encode()
        self.stage.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})

    def download(self, name: str) -> Path:
        with self.page.expect_download() as waiting:
            self.press(name)
        return Path(waiting.value.path())

    def json(self) -> dict[str, Any]:
        """What the button JSON hands over, caught on its way: browsers forbid many downloads in a row."""
        self.page.evaluate(CATCH)
        self.press("JSON")
        return json.loads(self.page.evaluate("() => window.caught"))

    def table(self, name: str) -> tuple[list[str], np.ndarray]:
        """Column names and numbers of a CSV that is handed over."""
        rows = list(csv.reader(self.download(name).read_text().splitlines()))
        return rows[0], np.array(rows[1:], dtype=float)

    # --- Where the pointer goes ----------------------------------------------------------------------------------------

    def box(self, model: str) -> dict[str, float]:
        canvas = self.panel(model).locator("canvas")
        canvas.evaluate("c => c.scrollIntoView({ block: 'center' })")  # clear of the header and of the timeline
        found = canvas.bounding_box()
        assert found
        return found

    def spot(self, model: str, u: float, v: float) -> tuple[float, float]:
        """Pixels of the screen at shares of a plot's width and height."""
        box = self.box(model)
        return box["x"] + u * box["width"], box["y"] + v * box["height"]

    def place(self, model: str, u: float, v: float) -> np.ndarray:
        """What the page says is there: two digits after the point."""
        self.page.mouse.move(*self.spot(model, u, v))
        words = self.stage.locator(f".cloud-panel[data-model={model}] .panel-ask")
        expect(words).to_contain_text("at (")
        found = AT.search(words.inner_text())
        assert found
        return np.array([float(v.replace("−", "-").replace("\u202f", "")) for v in found[1].split(", ")])

    def bounds(self, model: str) -> np.ndarray:
        """The places at the lower left and the upper right corner of a plot, (2, 2), found by asking the page at two others."""
        ends = np.array([[0.04, 0.94], [0.96, 0.06]])
        tool = self.stage.locator("button[data-tool][aria-checked=true]").get_attribute("data-tool")
        if tool != "look":
            self.tool("look")
        told = np.array([self.place(model, u, v) for u, v in ends])
        if tool != "look":
            self.tool(tool or "look")
        slope = (told[1] - told[0]) / (ends[1] - ends[0])
        return told[0] + slope * ([[0, 1], [1, 0]] - ends[0])

    def at(self, model: str, place: Any, bounds: np.ndarray | None = None) -> tuple[float, float]:
        """Pixels of the screen of a place in the plane."""
        low, high = self.bounds(model) if bounds is None else bounds
        u, v = (np.asarray(place) - low) / (high - low)
        return self.spot(model, u, 1 - v)

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, steps: int = 6) -> None:
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=steps)
        self.page.mouse.up()

    def traces(self, where: str = ".curve-figure") -> list[dict[str, Any]]:
        """The curves of a figure: names and plain lists."""
        return self.page.evaluate(
            """(where) => (document.querySelector(`${where} .plotly-figure`)?.data ?? [])
              .map(({ name, x, y, type, customdata }) => ({ name, type, x: x && [...x], y: y && [...y],
                customdata: customdata && [...customdata] }))""",
            where,
        )


def means(told: dict[str, Any], model: str) -> np.ndarray:
    """The means of a model in the JSON that is handed over, (K, D)."""
    return np.array(told["results"][model]["means"]).reshape(-1, len(told["names"]))
