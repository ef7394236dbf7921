"""A lesson about pixels is a link and a few lines of code: both make what the page's routes make.

The code of every view is run. For the most part with networks of random weights under the names of the shipped checkpoints, as
small as `code` allows; the shipped ones write few images.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from hypothesis import given as holds_for
from hypothesis import settings as of_search
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from torch import Tensor

from models import zoo
from models.contract import Noise
from models.data import images
from models.data.images import Images
from models.pixelcnn import PixelCNN, from_scan_order, in_scan_order
from playground import pixel_lesson, pixel_play, play, wire
from playground.guard import Guard
from playground.inference import Inference
from playground.lessons import MAX_QUERY
from playground.pixel_lesson import MODELS, RAIL, PixelSettings

torch.set_num_threads(1)  # the networks are tiny: threads would wait for each other
VIEWS = ("write", "complete", "surprise", "race")
SMALL: dict[str, dict[str, Any]] = {  # by the model's key; sides are even, as those of the shipped ones
    "mnist": {"shape": (1, 6, 6), "levels": 4, "classes": 10},
    "mnist-plain": {"shape": (1, 4, 6), "levels": 5, "gated": False},
    "mnist-binary": {"shape": (1, 8, 4), "levels": 2},
    "fashion": {"shape": (1, 4, 8), "levels": 3, "classes": 10, "layers": 2},
    "sprites": {"shape": (3, 4, 6), "levels": 4, "classes": 3},
}
DATA = {"mnist": "digits", "mnist-plain": "digits", "mnist-binary": "mnist-binary", "fashion": "fashion", "sprites": "sprites"}


def read(query: str) -> tuple[PixelSettings, list[str]]:
    return PixelSettings.from_query(dict(parse_qsl(query)))


def published(folder: Path, key: str, seed: int) -> None:
    """A checkpoint of random weights, so large that a place depends visibly on all that it may see."""
    torch.manual_seed(seed)
    model = PixelCNN(**{"channels": 5, "layers": 1, "embedding": 3, "hidden": 5, **SMALL[key]})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
        model.head.out.weight.mul_(3)
    home = folder / pixel_lesson.checkpoint(key)
    model.save_pretrained(home)
    scores = {
        "weights_sha256": zoo.digest(home / "model.safetensors"),
        "data": key.removesuffix("-plain"),
        "bits_per_dim_quantiles": [i / 50 for i in range(101)],
    }
    (home / "scores.json").write_text(json.dumps(scores))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[None]:
    """The small networks stand in for the shipped ones."""
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
    play._card.cache_clear()
    yield
    play._card.cache_clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoints")
    for seed, key in enumerate(SMALL):
        published(made, key, seed)
    return made


# --- Links ------------------------------------------------------------------------------------------------------------

PLACES = st.tuples(st.integers(0, 3071), st.integers(0, 255)).map(lambda pair: f"{pair[0]}:{pair[1]}")
EVERY: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(MODELS),
    "view": st.sampled_from(VIEWS),
    "label": st.integers(-1, 9),
    "temperature": st.integers(0, 200_000).map(lambda i: float(f"{i / 100_000:.6g}")),  # what a link holds: six digits
    "seed": st.integers(0, 2**53),
    "n": st.integers(1, 8),
    "which": st.integers(0, 7),
    "frame": st.integers(-1, 3072),
    "speed": st.sampled_from([0, 1, 5, 20, 60, 200]),
    "changes": st.lists(PLACES, max_size=8).map(",".join),
    "seen": st.booleans(),
    "surprise": st.booleans(),
    "scale": st.sampled_from(["local", "global"]),
    "source": st.sampled_from(["reference", "sample", "own"]),
    "ref": st.integers(0, 9),
    "keep": st.sampled_from(["top", "left", "hole"]),
    "share": st.integers(0, 100),
    "wrote": st.sampled_from(["", "7:-1:1", "9007199254740992:9:0.85"]),
}
FITTING = st.fixed_dictionaries(EVERY).map(lambda values: PixelSettings(**values))


def test_no_setting_is_forgotten_here() -> None:
    assert set(EVERY) == set(PixelSettings.model_fields)


@of_search(deadline=None)
@holds_for(FITTING)
def test_settings_survive_the_way_through_an_address(chosen: PixelSettings) -> None:
    text = chosen.to_query()
    assert len(text) < MAX_QUERY
    assert read(text) == (chosen, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "sprites"),
        ("view", "race"),
        ("label", 9),
        ("label", 0),
        ("temperature", 0.0),
        ("temperature", 0.85),
        ("seed", 2**53),
        ("n", 8),
        ("which", 7),
        ("frame", 0),
        ("frame", 3072),
        ("speed", 0),
        ("changes", "3071:15,0:0,3071:255,1:1,2:2,3:3,4:4,5:5"),
        ("seen", False),
        ("surprise", True),
        ("scale", "local"),
        ("source", "own"),
        ("ref", 0),
        ("keep", "hole"),
        ("share", 0),
        ("wrote", "11:-1:0.35"),
    ],
)
def test_a_link_holds_each_setting_under_its_name(key: str, value: Any) -> None:
    chosen = PixelSettings(**{key: value})
    query = chosen.to_query()
    assert [name for name, _ in parse_qsl(query)] == ["v", key]
    assert read(query) == (chosen, [])


def test_defaults_leave_the_address_empty() -> None:
    assert PixelSettings().to_query() == ""
    assert read("") == (PixelSettings(), [])


def test_an_address_is_readable() -> None:
    chosen = PixelSettings(model="fashion", label=3, temperature=0.8, surprise=True)
    assert chosen.to_query() == "v=1&model=fashion&label=3&temperature=0.8&surprise=1"


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("model", "cifar", "mnist"),
        ("model", "pixelcnn-mnist", "mnist"),
        ("view", "look", "write"),
        ("label", "10", "at most 9"),
        ("label", "-2", "at least -1"),
        ("label", "seven", "whole number"),
        ("temperature", "2.01", "at most 2"),
        ("temperature", "-1", "at least 0"),
        ("temperature", "hot", "not a number"),
        ("temperature", "nan", "finite"),
        ("seed", "-1", "at least 0"),
        ("seed", str(2**53 + 1), "at most 9007199254740992"),
        ("seed", "1.5", "whole number"),
        ("n", "0", "at least 1"),
        ("n", "9", "at most 8"),
        ("which", "8", "below 8"),
        ("frame", "-2", "at least -1"),
        ("frame", "3073", "at most 3072"),
        ("speed", "2", "1, 5, 20, 60, 200 or 0"),
        ("speed", "fast", "1, 5, 20, 60, 200 or 0"),
        ("changes", "1:2;3:4", "form that this page writes"),
        ("changes", "5", "form that this page writes"),
        ("changes", "12345:1", "form that this page writes"),
        ("changes", "1:2,", "form that this page writes"),
        ("changes", ",".join(["1:1"] * 9), "form that this page writes"),
        ("changes", ",".join(["1:1"] * 30), "at most 90 characters"),
        ("seen", "maybe", "1 or 0"),
        ("surprise", "2", "1 or 0"),
        ("scale", "log", "local"),
        ("source", "cats", "reference"),
        ("ref", "10", "at most 9"),
        ("keep", "right", "top"),
        ("share", "101", "at most 100"),
        ("share", "half", "whole number"),
    ],
)
def test_a_bad_value_falls_back_with_a_sentence_and_loses_nothing_else(key: str, value: str, word: str) -> None:
    other = {"temperature": "0.5", "n": "3", "keep": "left"}
    other.pop(key, None)
    found, notices = PixelSettings.from_query({"v": "1", **other, key: value})
    assert getattr(found, key) == getattr(PixelSettings(), key)
    assert {name: str(getattr(found, name)) for name in other} == other
    assert len(notices) == 1
    assert notices[0].startswith(f"{key} = ")
    assert word in notices[0]
    assert notices[0].endswith(".")


@of_search(deadline=None)
@holds_for(st.dictionaries(st.sampled_from([*PixelSettings.model_fields, "colour"]), st.text(max_size=30), max_size=8))
def test_no_address_breaks_the_page(query: dict[str, str]) -> None:
    found, notices = PixelSettings.from_query(query)
    assert read(found.to_query())[0] == found
    assert all(notice.endswith(".") for notice in notices)
    for text in pixel_lesson.code(found).values():
        compile(text, "code", "exec")


def test_a_link_holds_as_many_changes_as_a_request() -> None:
    longest = ",".join(["3071:255"] * wire.MAX_CHANGES)
    assert PixelSettings(changes=longest).changes == longest
    assert wire.WriteQuery(model="x", changes=longest).changes == longest
    assert PixelSettings.from_query({"changes": f"{longest},1:1"})[1]


def test_the_rail_holds_settings() -> None:
    assert set(RAIL) <= set(PixelSettings.model_fields)
    assert set(PixelSettings.model_fields["model"].annotation.__args__) == set(MODELS)  # type: ignore[union-attr]


# --- Classes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "label", "there"),
    [
        ("mnist", 9, 9),
        ("mnist", -1, -1),
        ("sprites", 2, 2),
        ("sprites", 3, -1),
        ("mnist-plain", 0, -1),
        ("mnist-binary", 4, -1),
    ],
)
def test_a_class_that_the_model_does_not_have_is_any(small: None, model: str, label: int, there: int) -> None:
    chosen = PixelSettings(model=model, label=label)  # type: ignore[arg-type]
    assert pixel_lesson.label(chosen) == there
    assert pixel_lesson.classes(chosen) == SMALL[model].get("classes", 0)


@pytest.mark.parametrize("key", MODELS)
def test_the_shipped_models_are_what_their_names_say(key: str) -> None:
    card = zoo.card(pixel_lesson.checkpoint(key))
    assert card.spec.kind == "pixelcnn"
    assert card.data == key.removesuffix("-plain")
    assert card.settings.get("gated", True) is (key != "mnist-plain")
    form = {"mnist-binary": (1, 28, 28, 2), "sprites": (3, 32, 32, 16)}.get(key, (1, 28, 28, 256))
    assert (*card.spec.shape, card.spec.levels) == form


# --- Code -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_client() -> Iterator[TestClient]:
    yield from served()  # its models are loaded at their first use, while `small` stands


@pytest.fixture(scope="module")
def shipped_client() -> Iterator[TestClient]:
    yield from served()


def served() -> Iterator[TestClient]:
    app = Starlette(routes=pixel_play.routes(Inference()), middleware=[Middleware(Guard)])
    with TestClient(app, headers={"X-Playground-Token": "test-" * 4}) as one:
        yield one


def run(chosen: PixelSettings, view: str) -> dict[str, Any]:
    """What the lines of this view leave behind, for the settings as a link holds them."""
    linked, notices = read(chosen.to_query())
    assert notices == []
    found: dict[str, Any] = {}
    exec(pixel_lesson.code(linked)[view], found)
    return found


def written(client: TestClient, chosen: PixelSettings, query: dict[str, Any], body: bytes | None = None) -> tuple[Tensor, Any]:
    """uint8 `(n, C, H, W)`, zeros in rows that were not written; and what is said of them."""
    query = {
        "model": pixel_lesson.checkpoint(chosen.model),
        "seed": chosen.seed,
        "label": pixel_lesson.label(chosen),
        "temperature": chosen.temperature,
        "logits": 0,
        **query,
    }
    answer = client.request("GET" if body is None else "POST", "/play/pixels/write", params=query, content=body)
    assert answer.status_code == 200, answer.text
    c, h, w = zoo.card(query["model"]).spec.shape
    content, said, found = answer.content, [], torch.zeros(query["n"], c, h, w, dtype=torch.uint8)
    while content:
        size, kind = struct.unpack_from("<Ic", content)
        frame, content = content[5 : 5 + size], content[5 + size :]
        if kind == b"J":
            said.append(json.loads(frame))
            continue
        row, n = struct.unpack_from("<HH", frame)
        values = torch.tensor(list(frame[4 : 4 + n * w * c]), dtype=torch.uint8).view(n, w, c)
        found[:, :, row] = values.permute(0, 2, 1)
    head, end = said
    return found, head | end


WRITTEN = [
    PixelSettings(),
    PixelSettings(n=1, seed=2**53, temperature=0.35),
    PixelSettings(label=4, n=3, temperature=0.0),
    PixelSettings(model="fashion", label=0, n=8, seed=12, temperature=2.0),
    PixelSettings(model="mnist-plain", label=3, n=2),
    PixelSettings(model="mnist-binary", n=5, temperature=1.15),
    PixelSettings(model="sprites", label=2, n=2),
    PixelSettings(model="sprites", label=7, n=2, seed=5),  # no such class: any
    PixelSettings(changes="7:3"),
    PixelSettings(changes="0:1,12:2,29:3", which=3, temperature=0.5, n=4),
    PixelSettings(changes="12:2,12:0", which=2, label=6),
    PixelSettings(model="sprites", changes="70:3,0:2,4:1", which=7, seed=3),
    PixelSettings(model="mnist-plain", changes="8:4", temperature=0.0, seed=99),
]


def as_the_page_asks(chosen: PixelSettings) -> dict[str, Any]:
    if chosen.changes:
        return {"n": 1, "first": chosen.which, "changes": chosen.changes}
    return {"n": chosen.n}


@pytest.mark.parametrize("chosen", WRITTEN)
def test_the_code_for_writing_writes_what_the_page_shows(
    small: None, small_client: TestClient, chosen: PixelSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(chosen, "write")
    expected, said = written(small_client, chosen, as_the_page_asks(chosen))
    assert torch.equal(found["images"], expected)
    said_labels = said["labels"]
    if chosen.changes and said_labels is not None:  # the page, which knows the class that was drawn, asks for that one
        again, _ = written(small_client, chosen, as_the_page_asks(chosen) | {"label": said_labels[0]})
        assert torch.equal(again, expected)
    printed = [float(one) for one in capsys.readouterr().out.split("[")[1].split("]")[0].split(",")]
    model = zoo.load(pixel_lesson.checkpoint(chosen.model))
    y = pixel_lesson.label(chosen)  # what was told is told to log p, too
    labels = torch.full((len(expected),), y) if y >= 0 else None
    np.testing.assert_allclose(printed, model.log_prob(expected, labels=labels).nats.detach().numpy(), rtol=1e-4, atol=1e-4)


def picture_for(monkeypatch: pytest.MonkeyPatch, key: str) -> Tensor:
    """The picture that the code finds as the first of the test images: uint8 `(C, H, W)`. Other data are refused."""
    spec = zoo.card(pixel_lesson.checkpoint(key)).spec
    pixels = (Noise(4).uniform(1, spec.shape, stream="picture") * spec.levels).to(torch.uint8)

    def load(name: str, split: str) -> Images:
        assert (name, split) == (DATA[key], "test")
        return Images(name, split, pixels, torch.zeros(1, dtype=torch.int64), images.CLASSES[name])

    monkeypatch.setattr(images, "load", load)
    return pixels[0]


COMPLETED = [
    PixelSettings(),
    PixelSettings(label=3, share=34, seed=8),
    PixelSettings(keep="left", model="sprites", temperature=0.5),
    PixelSettings(keep="left", share=20, model="mnist-plain", seed=1),
    PixelSettings(keep="hole", share=50, model="fashion", label=9),
    PixelSettings(keep="hole", share=75, temperature=0.0),
    PixelSettings(keep="hole", share=0, seed=4),  # all is known
    PixelSettings(keep="hole", share=100, model="mnist-binary"),  # nothing is
    PixelSettings(keep="top", share=100, model="sprites"),
    PixelSettings(keep="top", share=0, label=2),
    PixelSettings(keep="top", share=50, model="mnist-binary", temperature=1.3),
]


def known_of(chosen: PixelSettings, h: int, w: int) -> Tensor:
    """By hand, one pixel after the other, with the numbers of rows and columns as Python rounds them: bool `(H, W)`."""
    share = chosen.share / 100
    known = torch.zeros(h, w, dtype=torch.bool)
    top, left = h // 2 - round(share * h / 2), w // 2 - round(share * w / 2)
    for i in range(h):
        for j in range(w):
            inside = top <= i < top + round(share * h) and left <= j < left + round(share * w)
            known[i, j] = {"top": i < round(share * h), "left": j < round(share * w), "hole": not inside}[chosen.keep]
    return known


@pytest.mark.parametrize("chosen", COMPLETED)
def test_the_code_for_completing_completes_as_the_page_does(
    small: None,
    small_client: TestClient,
    chosen: PixelSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = picture_for(monkeypatch, chosen.model)
    found = run(chosen, "complete")
    known = known_of(chosen, *x.shape[1:])
    assert torch.equal(found["known"], known)
    assert torch.equal(found["x"], x)
    body = x.numpy().tobytes() + known.to(torch.uint8).numpy().tobytes()
    expected, said = written(small_client, chosen, {"n": 8}, body)
    expected = torch.where(known, x, expected)  # rows that are known are not sent
    assert torch.equal(found["images"], expected)
    completions = found["found"]
    assert (completions.labels is None) == (said["labels"] is None)
    assert said["labels"] is None or completions.labels.tolist() == said["labels"]
    if known.any():
        assert said["exact"] == completions.exact
        assert said["effective_samples"] == pytest.approx(completions.effective_samples)
        np.testing.assert_allclose(said["log_weights"], completions.log_weights.numpy(), rtol=1e-9, atol=1e-9)
        assert said["resampled"] == completions.resampled.tolist()
    else:  # the page says in words that nothing is known
        assert completions.exact is (chosen.temperature == 1)
    assert str(completions.effective_samples) in capsys.readouterr().out


@pytest.mark.parametrize(
    "chosen",
    [
        PixelSettings(),
        PixelSettings(label=7),
        PixelSettings(model="fashion", label=0),
        PixelSettings(model="sprites"),
        PixelSettings(model="sprites", label=1),
        PixelSettings(model="sprites", label=8),
        PixelSettings(model="mnist-plain", label=1),
        PixelSettings(model="mnist-binary"),
    ],
)
def test_the_code_for_surprise_reads_as_the_page_does(
    small: None,
    small_client: TestClient,
    chosen: PixelSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = picture_for(monkeypatch, chosen.model)
    assert_code_reads_as_the_page(small_client, chosen, run(chosen, "surprise"), x)
    assert "tensor" in capsys.readouterr().out


def assert_code_reads_as_the_page(client: TestClient, chosen: PixelSettings, found: dict[str, Any], x: Tensor) -> None:
    query: dict[str, Any] = {"model": pixel_lesson.checkpoint(chosen.model), "label": pixel_lesson.label(chosen)}
    told = client.post("/play/pixels/read", params=query, content=x.numpy().tobytes()).json()
    nats = found["nats"].detach()
    assert torch.equal(found["x"], x)
    assert told["nats"] == pytest.approx(float(nats.sum()), rel=1e-9)
    terms = np.frombuffer(base64.b64decode(told["log_probs"]), "<f4")
    np.testing.assert_allclose(terms, in_scan_order(nats)[0].numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_the_code_for_the_race_draws_the_races_image(
    small: None, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = PixelSettings(model=model)  # type: ignore[arg-type]
    found = run(chosen, "race")
    seen: list[Tensor] = []
    right = pixel_play.naive_steps

    def noted(*args: Any) -> Iterator[tuple[Tensor, Tensor]]:
        for value, logits in right(*args):
            seen.append(value)
            yield value, logits

    monkeypatch.setattr(pixel_play, "naive_steps", noted)
    engine = Inference()
    engine.stream(pixel_play.racing(engine, pixel_lesson.checkpoint(model), lambda _: None)).result(60)
    raced = from_scan_order(torch.stack(seen, 1), found["model"].spec.shape)
    assert torch.equal(found["images"], raced)
    assert float(capsys.readouterr().out) == pytest.approx(found["naive"] / found["cached"])
    assert found["naive"] > 0


@of_search(deadline=None)
@holds_for(FITTING)
def test_the_code_of_any_settings_is_python_and_names_the_model(chosen: PixelSettings) -> None:
    found = pixel_lesson.code(chosen)
    assert set(found) == set(VIEWS)
    for text in found.values():
        compile(text, "code", "exec")
        assert f'zoo.load("{pixel_lesson.checkpoint(chosen.model)}")' in text
        assert "import torch" in text or "torch." not in text


# --- The shipped models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chosen",
    [
        PixelSettings(n=1, label=3, temperature=0.8),
        PixelSettings(model="mnist-plain", n=1, changes="400:255", which=2),
        PixelSettings(model="sprites", n=1, seed=11),
    ],
)
def test_the_shipped_models_write_the_same_by_code_and_by_link(
    shipped_client: TestClient, chosen: PixelSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(chosen, "write")
    expected, _ = written(shipped_client, chosen, as_the_page_asks(chosen))
    assert torch.equal(found["images"], expected)
    assert capsys.readouterr().out


def test_the_shipped_model_completes_the_same_by_code_and_by_link(
    shipped_client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = PixelSettings(share=96)
    found = run(chosen, "complete")
    x, known = images.load("digits", "test").pixels[0], known_of(chosen, 28, 28)
    body = x.numpy().tobytes() + known.to(torch.uint8).numpy().tobytes()
    expected, said = written(shipped_client, chosen, {"n": 8}, body)
    assert torch.equal(found["images"], torch.where(known, x, expected))
    assert said["exact"] is found["found"].exact is True
    assert said["labels"] == found["found"].labels.tolist()
    assert capsys.readouterr().out.startswith("True 8.0")


def test_the_shipped_model_reads_the_same_by_code_and_by_link(
    shipped_client: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = PixelSettings()
    found = run(chosen, "surprise")
    assert_code_reads_as_the_page(shipped_client, chosen, found, images.load("digits", "test").pixels[0])
    assert capsys.readouterr().out
