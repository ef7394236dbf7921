"""The page "Likelihoods" as a whole, with hostile files: its tray, its views, its link, its rail. What each view does alone has
tests of its own (test_lk_*).
"""

from __future__ import annotations

import csv
import io
import struct
import zlib
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import Watched
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, expect

from models.data import images
from playground import likelihood_lesson as lesson
from playground import text

WORDS = text.page("likelihoods")
VIEWS = list(WORDS["stage"]["views"])
DONE = """n => {
  const rows = [...document.querySelectorAll('#lk-view-pictures table tbody tr')];
  const { scored } = document.querySelector('#lk-view-pictures').dataset;
  return scored === String(n) && rows.length === 2 * n && !document.querySelector('#lk-view-pictures [aria-busy=true]')
    && document.querySelector('[data-stage=likelihoods] .badge').dataset.kind === 'live';
}"""


@pytest.fixture(scope="module")
def visitor(browser: Browser, address: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Watched(context, address)
    context.close()


def opened(visitor: Watched, query: str = "") -> Page:
    visitor.errors.clear()
    visitor.open(f"/likelihoods{query}")
    visitor.page.wait_for_function("() => document.body.dataset.opened === 'true'")
    return visitor.page


def settings(page: Page) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(page.url).query, keep_blank_values=True).items()}


def png(width: int, height: int, *, declared: tuple[int, int] | None = None) -> bytes:
    """A grey PNG; with `declared`, one whose header promises another size."""
    rows = b"".join(b"\0" + bytes(width) for _ in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    size = declared or (width, height)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def digit(label: int) -> bytes:
    """One of scikit-learn's digits, large, as a PNG."""
    found = images.load("digits", "test")
    picture = found.pixels[int((found.labels == label).nonzero()[0])][0].numpy()
    out = io.BytesIO()
    Image.fromarray(255 - np.kron(picture, np.ones((8, 8), np.uint8))).save(out, "PNG")
    return out.getvalue()


def test_it_opens_full_and_every_tab_has_something_to_see(visitor: Watched) -> None:
    page = opened(visitor)
    page.wait_for_function(DONE, arg=8)
    heads = page.locator("#lk-view-pictures table").first.locator("thead").inner_text()
    for card in lesson.cards("mnist"):
        if card.spec.levels == 256:
            assert lesson.title(card) in heads.replace("\n", " "), heads
    for view in VIEWS:
        page.locator(f"#lk-tab-{view}").click()
        expect(page.locator(f"#lk-view-{view}").locator("canvas:visible, svg:visible").first).to_be_visible()
        assert settings(page).get("view", "pictures") == view
        page.wait_for_timeout(200)
        expect(page.locator("[data-stage=likelihoods] p.notice.error")).to_be_hidden()
        assert visitor.overflow() == 0
    page.go_back()
    expect(page.locator(f"#lk-view-{VIEWS[-2]}")).to_be_visible()
    visitor.assert_clean()


def test_hostile_files_get_a_sentence_each_and_the_others_are_scored(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&picks=t.blank")
    formula = "=HYPERLINK(1).png"
    files: list[FilePayload] = [
        {"name": formula, "mimeType": "image/png", "buffer": digit(3)},
        {"name": "text.png", "mimeType": "image/png", "buffer": b"no picture at all"},
        {"name": "tiny.png", "mimeType": "image/png", "buffer": png(1, 1)},
        {"name": "line.png", "mimeType": "image/png", "buffer": png(10_000, 1)},
        {"name": "bomb.png", "mimeType": "image/png", "buffer": png(100, 100, declared=(60_000, 60_000))},
        {"name": "empty.png", "mimeType": "image/png", "buffer": b""},
        {"name": "grey.png", "mimeType": "image/png", "buffer": png(100, 100)},
        {"name": "eight.png", "mimeType": "image/png", "buffer": digit(8)},
    ]
    page.locator(".lk-tray input[type=file]").set_input_files(files)
    page.wait_for_function(DONE, arg=3)
    refused = page.locator(".lk-tray .refused li").all_inner_texts()
    assert len(refused) == 6
    for name in ("text.png", "tiny.png", "line.png", "bomb.png", "empty.png", "grey.png"):
        assert sum(name in sentence for sentence in refused) == 1
    assert any("10,000 × 1" in sentence for sentence in refused)
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(taken.value.path().read_text().splitlines()))
    assert {row[next(iter(row))] for row in rows} == {f"'{formula}", "eight.png", WORDS["made"]["traps"]["blank"][0]}
    assert len(rows) == 3 * len(lesson.cards("mnist"))
    expect(page.locator("[data-stage=likelihoods] p.notice.error")).to_be_hidden()
    visitor.errors = [one for one in visitor.errors if "422" not in one and "400" not in one]  # refusals are answered so
    visitor.assert_clean()


def test_a_link_opens_its_pictures_its_models_and_its_view(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&view=label&data=fashion&picks=r8,t.noise&at=1&alpha=0.05")
    expect(page.locator("#lk-view-label")).to_be_visible()
    expect(page.locator("#lk-view-label").get_by_text(images.CLASSES["fashion"][8], exact=True).first).to_be_visible()
    expect(page.locator("#likelihoods-rail #data input:checked")).to_have_attribute("value", "fashion")
    page.locator("#lk-tab-pictures").click()
    page.wait_for_function("() => document.querySelectorAll('#lk-view-pictures table tbody tr').length >= 2")
    kept = settings(page)
    assert kept["data"] == "fashion"
    assert kept["picks"] == "r8,t.noise"
    page.locator("#reset").click()
    page.wait_for_function("() => !location.search")
    page.wait_for_function(DONE, arg=8)


def test_another_score_and_other_models_are_chosen_on_the_rail(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&picks=r3,t.blank")
    page.wait_for_function(DONE, arg=2)
    first = page.locator("#lk-view-pictures table tbody").first.inner_text()
    page.locator("#score input").first.click()
    page.get_by_role("option", name=WORDS["score_choices"]["typicality"], exact=True).click()
    page.wait_for_function("was => document.querySelector('#lk-view-pictures table tbody').innerText !== was", arg=first)
    page.locator("#data label").nth(1).click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('data') === 'fashion'")
    seen = "[...document.querySelectorAll('#lk-view-pictures table tbody tr')].filter((row) => row.checkVisibility())"
    page.wait_for_function(f"() => {seen}.length === 2")  # no model of clothes has two levels
    assert settings(page)["score"] == "typicality"


@pytest.mark.parametrize("watched", [{"viewport": {"width": 360, "height": 740}, "has_touch": True}], indirect=True)
def test_on_a_phone_nothing_sticks_out(watched: Watched) -> None:
    page = opened(watched, "?v=1&picks=r3,t.blank,t.noise")
    page.wait_for_function(DONE, arg=3)
    for view in VIEWS:
        page.locator(f"#lk-tab-{view}").click()
        page.wait_for_timeout(250)
        assert watched.overflow() == 0, view
    watched.assert_clean()


def test_a_setting_that_does_not_fit_gets_a_sentence_and_a_token_too(visitor: Watched) -> None:
    page = opened(visitor, "?v=1&alpha=3&picks=r3,t.dragon")
    expect(page.locator("[data-stage=likelihoods] p.notice").first).to_contain_text("at most 0.5")
    expect(page.locator(".lk-tray .refused")).to_contain_text("t.dragon")
    expect(page.locator("#lk-view-pictures table tbody tr").first).to_be_visible()
