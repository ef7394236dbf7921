"""The routes of pixels, behind their guard: what is written and read is the library's, and a sentence says what is wrong.

Checkpoints here are networks of random weights, small enough to be asked hundreds of times; the frames are read by a parser of
the tests' own.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import math
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import torch
from hypothesis import given as holds_for
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from torch import Tensor

from models import completion, receptive_field, zoo
from models.contract import Noise
from models.data import images, prepare, sprites
from models.pixel_writer import Row, Writer
from models.pixelcnn import PixelCNN, in_scan_order
from playground import guard, pixel_play, play, uploads, wire, writing
from playground.guard import Guard
from playground.inference import Inference

torch.set_num_threads(1)  # the networks are tiny: threads would wait for each other
VAE = "vae-mnist-2d"
TINY, COLOURS = "pixelcnn-tiny", "pixelcnn-colours"
GREY, ARTICLES, INK, SPRITE = "pixelcnn-grey", "pixelcnn-articles", "pixelcnn-ink", "pixelcnn-sprite"
CHECKPOINTS: dict[str, tuple[dict[str, Any], str]] = {  # settings, and the data set that the scores name
    TINY: ({"shape": (1, 6, 5), "levels": 4, "classes": 3, "layers": 2}, "mnist"),
    COLOURS: ({"shape": (3, 5, 4), "levels": 3, "gated": False}, "sprites"),
    GREY: ({"shape": (1, 28, 28), "levels": 256, "classes": 10}, "mnist"),
    ARTICLES: ({"shape": (1, 28, 28), "levels": 256, "classes": 10}, "fashion"),
    INK: ({"shape": (1, 28, 28), "levels": 2}, "mnist-binary"),
    SPRITE: ({"shape": (3, 32, 32), "levels": 16, "classes": 3}, "sprites"),
}
QUANTILES = [4 * i / 100 for i in range(101)]  # bits/dim of the held-out images: 0 to 4, all as likely


def published(folder: Path, name: str, *, data: str, seed: int = 0, **settings: Any) -> None:
    """A checkpoint of random weights, so large that a place depends visibly on all that it may see."""
    torch.manual_seed(seed)
    model = PixelCNN(**{"channels": 5, "layers": 1, "embedding": 3, "hidden": 5, **settings})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
        model.head.out.weight.mul_(3)
    model.save_pretrained(folder / name)
    scores = {
        "weights_sha256": zoo.digest(folder / name / "model.safetensors"),
        "data": data,
        "bits_per_dim_quantiles": QUANTILES,
    }
    (folder / name / "scores.json").write_text(json.dumps(scores))


@pytest.fixture(scope="module", autouse=True)
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    (folder / VAE).mkdir()
    for file in ("config.json", "scores.json"):
        shutil.copy(zoo.root() / VAE / file, folder / VAE / file)
    for seed, (name, (made_with, data)) in enumerate(CHECKPOINTS.items()):
        published(folder, name, data=data, seed=seed, **made_with)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
        patch.setenv("PLAYGROUND_DATA", str(folder / "no data"))
        for kept in (play._card, play.reference_pictures):
            kept.cache_clear()
        yield folder
    for kept in (play._card, play.reference_pictures):
        kept.cache_clear()


def application(engine: Inference | None = None) -> Starlette:
    return Starlette(routes=pixel_play.routes(engine or Inference()), middleware=[Middleware(Guard)])


@pytest.fixture(scope="module")
def client(checkpoints: Path) -> Iterator[TestClient]:
    with TestClient(application(), raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4}) as one:
        yield one


def model_of(name: str) -> PixelCNN:
    model = zoo.load(name)
    assert isinstance(model, PixelCNN)
    return model.requires_grad_(False)


# --- Frames -----------------------------------------------------------------------------------------------------------


@dataclass
class Frames:
    """An answer of /write, taken apart."""

    shape: tuple[int, int, int]
    levels: int
    json: list[dict[str, Any]] = field(default_factory=list)  # the head, and the end if it came
    rows: list[int] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)  # uint8 (n, W, C), a row each
    log_p: list[np.ndarray] = field(default_factory=list)  # float32 (n, W, C)
    logits: list[np.ndarray] = field(default_factory=list)  # float16 (W, C, levels), of the first image
    rest: bytes = b""

    @classmethod
    def of(cls, content: bytes, name: str) -> Frames:
        spec = zoo.card(name).spec
        found, (c, _, w) = cls(spec.shape, spec.levels), spec.shape
        while len(content) >= 5:
            size, kind = struct.unpack_from("<Ic", content)
            if len(content) < 5 + size:
                break
            frame, content = content[5 : 5 + size], content[5 + size :]
            if kind == b"J":
                found.json.append(json.loads(frame))
                continue
            assert kind == b"R"
            row, n = struct.unpack_from("<HH", frame)
            found.rows.append(row)
            found.values.append(np.frombuffer(frame, np.uint8, n * w * c, 4).reshape(n, w, c))
            found.log_p.append(np.frombuffer(frame, "<f4", n * w * c, 4 + n * w * c).reshape(n, w, c))
            logits = np.frombuffer(frame, "<f2", offset=4 + 5 * n * w * c)
            assert len(logits) in (0, w * c * spec.levels)
            if len(logits):
                found.logits.append(logits.reshape(w, c, spec.levels))
        found.rest = content
        return found

    @property
    def head(self) -> dict[str, Any]:
        return self.json[0]

    @property
    def end(self) -> dict[str, Any]:
        assert len(self.json) == 2
        assert self.rest == b""
        return self.json[1]

    def images(self, given: Tensor | None = None) -> Tensor:
        """uint8 (n, C, H, W); rows that were not sent are those of `given`."""
        n = len(self.values[0])
        found = torch.zeros(n, *self.shape, dtype=torch.uint8) if given is None else given.repeat(n, 1, 1, 1)
        for row, values in zip(self.rows, self.values, strict=True):
            found[:, :, row] = torch.from_numpy(values.copy()).permute(0, 2, 1)
        return found


def written(client: TestClient, query: dict[str, Any], body: bytes | None = None) -> Frames:
    answer = client.request("GET" if body is None else "POST", "/play/pixels/write", params=query, content=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return Frames.of(answer.content, query["model"])


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def some(name: str, n: int = 1, seed: int = 5) -> Tensor:
    """Pictures that any model of this form may get, uint8 (n, C, H, W)."""
    spec = zoo.card(name).spec
    return (Noise(seed).uniform(n, spec.shape, stream="pictures") * spec.levels).to(torch.uint8)


def part(picture: Tensor, mask: Tensor) -> bytes:
    """A body: planes (C, H, W), then a byte a pixel (H, W)."""
    return picture.numpy().tobytes() + mask.to(torch.uint8).numpy().tobytes()


# --- Writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"n": 1, "seed": 2**62},
        {"n": 3, "seed": 4, "label": 2},
        {"n": 2, "seed": 4, "temperature": 0.5},
        {"n": 2, "seed": 4, "temperature": 0},
        {"n": 2, "seed": 4, "temperature": 2.5, "label": 0},
        {"n": 16, "seed": 9, "first": 10_000},
    ],
)
@pytest.mark.parametrize("name", [TINY, COLOURS])
def test_what_is_written_is_what_the_library_draws(client: TestClient, name: str, query: dict[str, Any]) -> None:
    spec = zoo.card(name).spec
    query = {key: value for key, value in query.items() if key != "label" or spec.classes}
    found = written(client, {"model": name, **query})
    n, noise = query.get("n", 4), Noise(query.get("seed", 0), first=query.get("first", 0))
    label = query.get("label")
    labels = None if label is None else torch.full((n,), label)
    model = model_of(name)
    expected = model.sample(n, noise=noise, labels=labels, temperature=query.get("temperature", 1.0))
    assert torch.equal(found.images(), expected)
    assert found.rows == list(range(spec.shape[1]))
    assert found.end["seconds"] > 0
    if spec.classes:
        drawn = (noise.uniform(n, (), stream="label") * spec.classes).long().tolist()
        assert found.head["labels"] == (drawn if label is None else [label] * n)
        labels = torch.tensor(found.head["labels"])
    else:
        assert found.head["labels"] is None
    # log p at temperature 1, whatever the temperature: of a finished image, by one parallel pass
    terms = in_scan_order(model.log_probs(expected, labels)).numpy()
    np.testing.assert_allclose(np.stack(found.log_p, 1).reshape(n, -1), terms, rtol=1e-5, atol=1e-6)
    logits = model.conditional_logits(expected[:1], None if labels is None else labels[:1]).log_softmax(1)[
        0
    ]  # (levels, C, H, W)
    sent = np.stack(found.logits).astype(np.float64)  # (H, W, C, levels)
    np.testing.assert_allclose(sent, logits.permute(2, 3, 1, 0).numpy(), rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(np.exp(sent).sum(-1), 1, rtol=5e-3)


def test_the_logits_can_be_left_out(client: TestClient) -> None:
    query = {"model": TINY, "n": 2, "seed": 3}
    full, short = written(client, query), written(client, query | {"logits": "0"})
    assert len(full.logits) == len(full.rows)
    assert not short.logits
    for one, other in zip(full.values, short.values, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_images_from_a_number_on_are_those_of_a_longer_run(client: TestClient) -> None:
    whole = written(client, {"model": TINY, "n": 6, "seed": 8})
    later = written(client, {"model": TINY, "n": 2, "seed": 8, "first": 3})
    assert torch.equal(later.images(), whole.images()[3:5])
    assert later.head["labels"] == whole.head["labels"][3:5]


@pytest.mark.parametrize(
    ("name", "changes"), [(TINY, "13:2"), (TINY, "0:3,29:1"), (COLOURS, "31:2,32:1"), (COLOURS, "5:0"), (TINY, "7:1,7:2")]
)
def test_a_changed_history_is_that_of_the_library(client: TestClient, name: str, changes: str) -> None:
    model = model_of(name)
    c, h, w = model.spec.shape
    order = torch.zeros(1, c * h * w, dtype=torch.uint8)
    known = torch.zeros(1, c * h * w, dtype=torch.bool)
    for one in changes.split(","):
        t, value = map(int, one.split(":"))
        order[0, t], known[0, t] = value, True
    given, mask = (x.view(h, w, c).permute(2, 0, 1) for x in (order, known))
    query = {"model": name, "n": 1, "seed": 4, "first": 2}
    found = written(client, query | {"changes": changes})
    assert torch.equal(found.images(), model.sample(1, noise=Noise(4, first=2), given=given, mask=mask))
    plain = written(client, query)
    assert found.head == plain.head  # the class, if it is drawn, is still that of the image
    assert set(found.end) == {"seconds"}
    before = int(known[0].nonzero()[0])
    assert torch.equal(in_scan_order(found.images())[:, :before], in_scan_order(plain.images())[:, :before])


def test_changes_may_be_posted_with_a_part_that_is_known(client: TestClient) -> None:
    model, picture = model_of(TINY), some(TINY)[0]
    mask = (torch.arange(6) < 2)[:, None].expand(6, 5).clone()
    found = written(client, {"model": TINY, "n": 2, "seed": 4, "changes": "14:3"}, part(picture, mask))
    mask[2, 4], picture[0, 2, 4] = True, 3
    assert torch.equal(found.images(picture), model.sample(2, noise=4, given=picture, mask=mask))


MASKS: dict[str, Callable[[int, int], Tensor]] = {
    "the top": lambda h, w: (torch.arange(h) < h // 2)[:, None].expand(h, w),
    "the beginning": lambda h, w: (torch.arange(h * w) < h * w // 2 + 2).view(h, w),
    "the left": lambda h, w: (torch.arange(w) < w // 2).expand(h, w),
    "the end": lambda h, w: (torch.arange(h * w) >= h * w - 4).view(h, w),
    "all but a hole": lambda h, w: ~((torch.arange(h) == 2)[:, None] & (torch.arange(w) < 3)),
    "one pixel": lambda h, w: (torch.arange(h * w) == 7).view(h, w),
    "all": lambda h, w: torch.ones(h, w, dtype=torch.bool),
}
PREFIXES = {"the top", "the beginning", "all"}


@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("known", MASKS)
@pytest.mark.parametrize(("name", "label"), [(TINY, -1), (TINY, 1), (COLOURS, -1)])
def test_completions_keep_what_is_known_and_are_weighed_as_the_library_does(
    client: TestClient, name: str, known: str, label: int, temperature: float
) -> None:
    model, picture = model_of(name), some(name)[0]
    mask = MASKS[known](*model.spec.shape[1:]).clone()
    query = {"model": name, "n": 6, "seed": 3, "label": label, "temperature": temperature, "logits": 0}
    found = written(client, query, part(picture, mask))
    labels = None if label < 0 else torch.full((6,), label)
    # at 0 nothing can be weighed: the coldest temperature stands for it, as it does in the writer
    expected = completion.complete(model, picture, mask, 6, noise=3, labels=labels, temperature=temperature or 1e-6)
    end = found.end
    if known == "all":
        assert found.rows == []
    else:
        assert torch.equal(found.images(picture), expected.images)
        assert bool((found.images(picture)[:, :, mask] == picture[:, mask]).all())
    assert found.head["labels"] == (None if expected.labels is None else expected.labels.tolist())
    assert end["exact"] is expected.exact is ((temperature == 1 and known in PREFIXES) or known == "all")
    assert end["prefix"] is (known in PREFIXES)
    np.testing.assert_allclose(end["log_weights"], expected.log_weights.numpy(), rtol=1e-9, atol=1e-9)
    assert end["effective_samples"] == pytest.approx(expected.effective_samples)
    assert end["resampled"] == expected.resampled.tolist()
    means = {"mean": expected.mean, "plain_mean": expected.images.double().mean(0)}
    for key, mean in means.items():
        np.testing.assert_allclose(decoded(end[key], "<f4"), in_scan_order(mean[None])[0].numpy(), rtol=1e-6, atol=1e-6)


def test_at_temperature_one_a_weight_is_what_the_known_says_to_what_was_written_before_it(client: TestClient) -> None:
    model, picture = model_of(COLOURS), some(COLOURS)[0]
    mask = MASKS["the left"](5, 4)
    found = written(client, {"model": COLOURS, "n": 5, "seed": 6}, part(picture, mask))
    terms = model.log_probs(found.images(picture))  # (n, C, H, W)
    lead = torch.zeros(5, 4, dtype=torch.bool)
    lead[0, :2] = True  # the same for all images: it cancels
    by_hand = terms[:, :, mask & ~lead].flatten(1).sum(1)
    np.testing.assert_allclose(found.end["log_weights"], by_hand.numpy(), rtol=1e-9)
    weights = by_hand.softmax(0)
    assert found.end["effective_samples"] == pytest.approx(float(1 / weights.square().sum()))
    mean = torch.einsum("n,nchw->chw", weights, found.images(picture).double())
    np.testing.assert_allclose(decoded(found.end["mean"], "<f4"), in_scan_order(mean[None])[0].numpy(), rtol=1e-5)


def test_what_is_not_known_of_a_posted_picture_does_not_matter(client: TestClient) -> None:
    picture, mask = some(TINY)[0], MASKS["the left"](6, 5)
    other = torch.where(mask, picture, 200).to(torch.uint8)  # a value that no pixel of this model has
    query = {"model": TINY, "n": 2, "seed": 1}
    one, two = written(client, query, part(picture, mask)), written(client, query, part(other, mask))
    assert torch.equal(one.images(), two.images())
    assert one.end["log_weights"] == two.end["log_weights"]


def test_where_nothing_is_known_a_post_is_a_get(client: TestClient) -> None:
    nothing = part(some(TINY)[0], torch.zeros(6, 5))
    query = {"model": TINY, "n": 3, "seed": 2}
    posted, got = written(client, query, nothing), written(client, query)
    assert torch.equal(posted.images(), got.images())
    assert posted.head == got.head
    assert posted.end.keys() == got.end.keys()


def test_people_who_ask_at_once_get_what_they_would_get_alone() -> None:
    engine = Inference()
    gate = threading.Event()
    engine.submit(gate.wait)  # all are waiting before the first row is written
    mask = MASKS["the left"](6, 5)
    queries = [{"model": TINY, "n": 1 + i % 3, "seed": i, "temperature": 0.5 + 0.1 * i, "label": i % 4 - 1} for i in range(8)]

    async def everybody() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=application(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://here.test") as browser:

            async def one(query: dict[str, Any], body: bytes | None) -> httpx.Response:
                return await browser.request("POST" if body else "GET", "/play/pixels/write", params=query, content=body)

            asking = [
                asyncio.create_task(one(query, part(some(TINY)[0], mask) if i % 2 else None)) for i, query in enumerate(queries)
            ]
            await asyncio.sleep(0.2)
            gate.set()
            return await asyncio.gather(*asking)

    answers = asyncio.run(everybody())
    with TestClient(application()) as alone:
        for i, (query, answer) in enumerate(zip(queries, answers, strict=True)):
            found = Frames.of(answer.content, TINY)
            expected = written(alone, query, part(some(TINY)[0], mask) if i % 2 else None)
            assert torch.equal(found.images(), expected.images())
            assert found.head == expected.head
            assert found.end.keys() == expected.end.keys()
            if i % 2:
                assert found.end["log_weights"] == pytest.approx(expected.end["log_weights"], rel=1e-9, abs=1e-12)


# --- Leaving, and being late ------------------------------------------------------------------------------------------


def visit(
    path: str, query: dict[str, Any], *, engine: Inference | None = None, leaves: Callable[[bytes], bool] = lambda _: False
) -> bytes:
    """What a browser got until it left: as soon as `leaves` says so of what came, or at the end."""
    got, told = bytearray(), False

    async def call() -> None:
        left = asyncio.Event()
        if leaves(b""):
            left.set()

        async def receive() -> dict[str, Any]:
            nonlocal told
            if not told:
                told = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            got.extend(message.get("body", b""))
            if leaves(bytes(got)):
                left.set()

        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/play/pixels/{path}",
            "query_string": urlencode(query).encode(),
            "headers": [],
            "client": ("192.0.2.1", 1),
        }
        await asyncio.wait_for(application(engine)(scope, receive, send), 30)

    asyncio.run(call())
    return bytes(got)


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[writing.Job]:
    """The jobs that are put into rooms."""
    found: list[writing.Job] = []
    put = writing.Rooms.put

    def noted(rooms: writing.Rooms, job: writing.Job) -> None:
        found.append(job)
        put(rooms, job)

    monkeypatch.setattr(writing.Rooms, "put", noted)
    return found


def test_who_leaves_early_is_written_no_further(monkeypatch: pytest.MonkeyPatch, jobs: list[writing.Job]) -> None:
    rows: list[int] = []

    class Slow(Writer):
        def row(self) -> Row:
            time.sleep(0.05)
            rows.append(1)
            return super().row()

    monkeypatch.setattr(writing, "Writer", Slow)
    engine = Inference()
    got = visit("write", {"model": INK, "n": 1}, engine=engine, leaves=lambda got: len(Frames.of(got, INK).rows) >= 2)
    assert 2 <= len(Frames.of(got, INK).rows) < 28
    [job] = jobs
    assert job.cancelled
    assert until(lambda: not engine._long)
    assert len(rows) < 28


def test_who_stays_gets_all_rows(jobs: list[writing.Job]) -> None:
    found = Frames.of(visit("write", {"model": TINY, "n": 1}), TINY)
    assert found.rows == list(range(6))
    assert found.end
    assert len(jobs) == 1


def test_who_leaves_before_the_first_row_is_not_written_at_all(
    monkeypatch: pytest.MonkeyPatch, jobs: list[writing.Job]
) -> None:
    monkeypatch.setattr(pixel_play, "LOOK", 0.02)
    engine = Inference()
    gate = threading.Event()
    engine.submit(gate.wait)
    try:
        assert visit("write", {"model": TINY, "n": 1}, engine=engine, leaves=lambda _: True) == b""
        assert jobs[0].cancelled
    finally:
        gate.set()


def test_who_waits_too_long_is_told_so_and_given_up(monkeypatch: pytest.MonkeyPatch, jobs: list[writing.Job]) -> None:
    monkeypatch.setattr(pixel_play, "PATIENCE", 0.05)
    monkeypatch.setattr(pixel_play, "LOOK", 0.02)
    engine = Inference()
    gate = threading.Event()
    engine.submit(gate.wait)
    try:
        with TestClient(application(engine)) as caller:
            answer = caller.get("/play/pixels/write", params={"model": TINY})
        assert answer.status_code == 503
        assert_sentence(answer, "too many people are asking")
        assert jobs[0].cancelled
    finally:
        gate.set()


def test_beyond_the_waiting_room_the_answer_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING", 3)
    with TestClient(application()) as caller:
        assert caller.get("/play/pixels/write", params={"model": TINY, "n": 3}).status_code == 200
        answer = caller.get("/play/pixels/write", params={"model": TINY, "n": 4})
    assert answer.status_code == 503
    assert_sentence(answer, "3 images are waiting")


def test_what_goes_wrong_later_breaks_the_stream_off_and_the_next_call_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[int] = []

    class Failing(Writer):
        def row(self) -> Row:
            rows.append(1)
            if len(rows) == 4:
                raise ArithmeticError("in the middle")
            return super().row()

    monkeypatch.setattr(writing, "Writer", Failing)
    with TestClient(application(), raise_server_exceptions=False) as caller:
        broken = Frames.of(caller.get("/play/pixels/write", params={"model": TINY}).content, TINY)
        assert broken.rows == [0, 1, 2]
        assert len(broken.json) == 1  # no end: the browser knows that something is missing
        assert written(caller, {"model": TINY}).end


# --- Reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, 0, 2])
def test_a_picture_is_read_as_the_library_does(client: TestClient, label: int) -> None:
    model, x = model_of(TINY), some(TINY)
    told = client.post("/play/pixels/read", params={"model": TINY, "label": label}, content=x.numpy().tobytes()).json()
    terms = decoded(told["log_probs"], "<f4")
    labels = None if label < 0 else torch.tensor([label])
    np.testing.assert_allclose(terms, in_scan_order(model.log_probs(x, labels))[0].numpy(), rtol=1e-6)
    assert told["nats"] == pytest.approx(float(terms.sum()), rel=1e-5)
    assert told["nats"] == pytest.approx(float(model.log_prob(x, labels=labels).nats), rel=1e-12)
    assert told["bits_per_dim"] == pytest.approx(-told["nats"] / (30 * math.log(2)))
    by_class = [float(model.log_prob(x, labels=torch.tensor([y])).nats) for y in range(3)]
    np.testing.assert_allclose(told["by_class"], by_class, rtol=1e-9)
    likelihoods = np.exp(np.array(by_class) - max(by_class))
    np.testing.assert_allclose(told["posterior"], likelihoods / likelihoods.sum(), rtol=1e-9)  # Bayes, every class as likely
    if label < 0:
        marginal = max(by_class) + math.log(likelihoods.sum() / 3)
        assert told["nats"] == pytest.approx(marginal, rel=1e-9)
        assert told["rank"] == pytest.approx(1 - told["bits_per_dim"] / 4)  # the held-out scores are spread evenly from 0 to 4
    else:
        assert told["nats"] == pytest.approx(by_class[label], rel=1e-9)
        assert told["rank"] is None
    assert told["quantiles"] == [QUANTILES[5], QUANTILES[50], QUANTILES[95]]
    assert told["seconds"] > 0


def test_a_model_without_classes_has_no_posterior(client: TestClient) -> None:
    x = some(COLOURS)
    told = client.post("/play/pixels/read", params={"model": COLOURS}, content=x.numpy().tobytes()).json()
    assert told["by_class"] is told["posterior"] is None
    terms = model_of(COLOURS).log_probs(x)  # (1, C, H, W)
    by_hand = [float(terms[0, k, i, j]) for i in range(5) for j in range(4) for k in range(3)]  # red, green, blue of each pixel
    np.testing.assert_allclose(decoded(told["log_probs"], "<f4"), by_hand, rtol=1e-6)


@pytest.mark.parametrize(("name", "label"), [(TINY, -1), (TINY, 1), (COLOURS, -1)])
def test_the_logits_of_a_picture_are_those_it_is_read_with(client: TestClient, name: str, label: int) -> None:
    model, x = model_of(name), some(name)
    c, h, w = model.spec.shape
    answer = client.post("/play/pixels/logits", params={"model": name, "label": label}, content=x.numpy().tobytes())
    sent = np.frombuffer(answer.content, "<f2").reshape(h, w, c, model.spec.levels).astype(np.float64)
    labels = None if label < 0 else torch.tensor([label])
    expected = model.logits(x, labels).log_softmax(1)[0].permute(2, 3, 1, 0).numpy()
    np.testing.assert_allclose(sent, expected, rtol=2e-3, atol=1e-6)
    values = x[0].permute(1, 2, 0).long().numpy()  # (H, W, C)
    terms = np.take_along_axis(sent, values[..., None], -1)[..., 0]
    np.testing.assert_allclose(terms, model.log_probs(x, labels)[0].permute(1, 2, 0).numpy(), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", [TINY, COLOURS])
def test_what_is_seen_comes_packed_place_by_place(client: TestClient, name: str) -> None:
    model = model_of(name)
    _, h, w = model.spec.shape
    content = client.get("/play/pixels/seen", params={"model": name}).content
    packed = np.frombuffer(content, np.uint8).reshape(h * w, math.ceil(h * w / 8))
    found = np.unpackbits(packed, axis=1, count=h * w).astype(bool).reshape(h, w, h, w)
    np.testing.assert_array_equal(found.reshape(h * w, h, w), receptive_field.all_seen(model).numpy())
    for row, column in ((0, 0), (3, 1), (h - 1, w - 1)):
        np.testing.assert_array_equal(found[row, column], receptive_field.seen(model, row, column).numpy())
        assert not found[row, column].ravel()[row * w + column :].any()  # nothing that comes later


# --- Pictures to start from -------------------------------------------------------------------------------------------


def idx(file: Path, array: np.ndarray) -> None:
    """LeCun's format: two zeros, the type (8: bytes), the number of axes, their lengths, the bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes())


@pytest.fixture
def data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """Twenty pictures, of class 9 to 0 and again, as the test images of MNIST and Fashion-MNIST."""
    pictures = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    labels = np.arange(20)[::-1] % 10
    for name in ("MNIST", "FashionMNIST"):
        for split in ("train", "t10k"):
            idx(tmp_path / name / "raw" / f"{split}-images-idx3-ubyte", pictures)
            idx(tmp_path / name / "raw" / f"{split}-labels-idx1-ubyte", labels)
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    play.reference_pictures.cache_clear()
    yield pictures[9::-1].astype(np.uint8)  # the first of class 0, 1, ... 9
    play.reference_pictures.cache_clear()


def pictures_of(client: TestClient, name: str) -> tuple[dict[str, Any], np.ndarray]:
    told = client.get("/play/pixels/pictures", params={"model": name}).json()
    spec = zoo.card(name).spec
    found = np.stack([decoded(one, "u1").reshape(spec.shape) for one in told["pictures"]])
    assert found.max() < spec.levels
    return told, found


@pytest.mark.parametrize(("name", "title"), [(GREY, "MNIST"), (ARTICLES, "Fashion-MNIST")], ids=["mnist", "fashion"])
def test_pictures_are_of_the_data_set_where_it_is_at_hand(
    client: TestClient, data_files: np.ndarray, name: str, title: str
) -> None:
    told, found = pictures_of(client, name)
    assert told["from"] == title
    np.testing.assert_array_equal(found[:, 0], data_files)
    assert told["names"] == list(images.CLASSES[zoo.card(name).data])


def test_black_and_white_pictures_are_drawn_from_the_greys(client: TestClient, data_files: np.ndarray) -> None:
    told, found = pictures_of(client, INK)
    assert told["from"] == "MNIST"
    u = Noise(0).uniform(10, (1, 28, 28), stream="binarise").numpy()
    np.testing.assert_array_equal(found, (u < data_files[:, None] / 255).astype(np.uint8))


def test_without_any_data_digits_stand_in_for_mnist(client: TestClient) -> None:
    told, found = pictures_of(client, GREY)
    digits = images.load("digits", "test")
    first = [int((digits.labels == c).nonzero()[0]) for c in range(10)]
    np.testing.assert_array_equal(found, digits.pixels[first].numpy())
    assert told["from"] == images.TITLES["digits"]
    told, found = pictures_of(client, INK)
    assert told["from"] == images.TITLES["digits"]
    assert set(np.unique(found)) == {0, 1}
    grey = digits.pixels[first].numpy()
    assert (found[grey == 255] == 1).all()
    assert (found[grey == 0] == 0).all()


def test_without_any_data_the_model_of_articles_draws_its_own(client: TestClient) -> None:
    told, found = pictures_of(client, ARTICLES)
    assert told["from"] is None
    assert told["names"] == list(images.CLASSES["fashion"])
    np.testing.assert_array_equal(found, model_of(ARTICLES).sample(10, noise=1, labels=torch.arange(10)).numpy())


def test_sprites_are_drawn_from_factors_that_no_split_has(client: TestClient) -> None:
    told, found = pictures_of(client, SPRITE)
    assert (told["from"], told["names"]) == ("sprites", None)
    rendered = sprites.render(sprites.draw(10, noise=3)).numpy().astype(int)
    np.testing.assert_array_equal(found, rendered // 16)
    for split in range(3):
        assert not torch.equal(sprites.draw(10, noise=3).size, sprites.draw(10, noise=split).size)


# --- Own pictures -----------------------------------------------------------------------------------------------------


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def prepared(client: TestClient, name: str, file: bytes, **query: Any) -> np.ndarray:
    answer = client.post("/play/pixels/prepare", params={"model": name, **query}, content=file)
    assert answer.status_code == 200, answer.text
    spec = zoo.card(name).spec
    found = decoded(answer.json()["pixels"], "u1").reshape(spec.shape)
    assert found.max() < spec.levels
    return found


def pad(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawing, white on black, as a pad of ten times a picture's side sends it, and the mean of each ten by ten."""
    drawing = np.zeros((10 * side, 10 * side))
    drawing[30:150, 40:90] = 255  # whole pixels of the picture
    drawing[200:203, 50:250] = 255  # a thin stroke: three tenths of a pixel
    return drawing, drawing.reshape(side, 10, side, 10).mean((1, 3))


@pytest.mark.parametrize("name", [GREY, ARTICLES])
def test_a_drawing_stays_in_its_place(client: TestClient, name: str) -> None:
    drawing, small = pad(28)
    found = prepared(client, name, png(drawing), drawn=1)
    np.testing.assert_array_equal(found[0], np.round(small))
    assert (found[0, 3:15, 4:9] == 255).all()


def test_a_drawing_for_a_black_and_white_model_is_zeros_and_ones(client: TestClient) -> None:
    drawing, small = pad(28)
    found = prepared(client, INK, png(drawing), drawn=1)
    assert set(np.unique(found)) == {0, 1}
    assert (found[0][small == 255] == 1).all()
    assert (found[0][small == 0] == 0).all()
    u = Noise(0).uniform(1, (1, 28, 28), stream="binarise").numpy()[0]
    np.testing.assert_array_equal(found, u < np.round(small) / 255)


def test_a_drawing_for_the_model_of_sprites_has_one_colour_in_its_levels(client: TestClient) -> None:
    drawing, small = pad(32)
    found = prepared(client, SPRITE, png(drawing), drawn="true")
    red, green, blue = sprites.rgb(torch.tensor([0.55], dtype=torch.float64))[0].tolist()
    assert found[:, 5, 5].tolist() == [int(16 * round(255 * share) // 256) for share in (red, green, blue)]
    assert (found[:, small == 0] == 0).all()
    assert (found[:, 3:15, 4:9] == found[:, 5:6, 5:6]).all()
    assert found.max() == 15


def test_an_empty_drawing_is_an_empty_picture(client: TestClient) -> None:
    for name, side in ((GREY, 28), (INK, 28), (SPRITE, 32)):
        assert not prepared(client, name, png(np.zeros((10 * side, 10 * side))), drawn=1).any()


def photograph() -> np.ndarray:
    """A dark stroke on pale paper, not in the middle."""
    paper = np.full((300, 200), 230)
    paper[60:240, 30:66] = 20
    return paper


@pytest.mark.parametrize(("name", "rows"), [(GREY, 20), (ARTICLES, 28)])
def test_a_photograph_is_brought_into_the_form_of_the_data_set(client: TestClient, name: str, rows: int) -> None:
    found = prepared(client, name, png(photograph()))
    like = {GREY: prepare.like_mnist, ARTICLES: prepare.like_fashion}[name]
    np.testing.assert_array_equal(found[0], like(torch.from_numpy(uploads.grey(png(photograph()))))[-1].image.numpy())
    assert found.max() == 255
    assert len(np.flatnonzero(found[0].max(1) > 100)) == rows
    columns = np.flatnonzero(found[0].max(0) > 100)
    assert abs(columns.mean() - 13.5) <= 1


def test_a_photograph_for_a_black_and_white_model_is_zeros_and_ones(client: TestClient) -> None:
    grey, found = prepared(client, GREY, png(photograph())), prepared(client, INK, png(photograph()))
    assert set(np.unique(found)) == {0, 1}
    assert (found[grey == 255] == 1).all()
    assert (found[grey == 0] == 0).all()


def test_a_photograph_for_the_model_of_sprites_is_as_large_as_one_and_in_the_middle(client: TestClient) -> None:
    found = prepared(client, SPRITE, png(photograph()))
    rows, columns = (np.flatnonzero(found.max((0, axis)) > 7) for axis in (2, 1))
    assert (rows[0], rows[-1]) == (8, 23)  # 2 · LARGEST = 16 of 32
    assert columns.mean() == pytest.approx(15.5, abs=0.5)
    assert found[0].max() == 0  # the drawn sprite's hue has no red
    assert found[1].max() == 15


def bomb() -> bytes:
    """A small file that says it is 100,000 pixels square."""
    start = png(np.zeros((8, 8)))
    header = struct.pack(">II", 100_000, 100_000) + start[24:29]
    return start[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + start[33:]


HOSTILE = {
    "nothing": b"",
    "text": b"no picture",
    "noise": np.random.default_rng(1).bytes(5_000),
    "half a picture": png(np.random.default_rng(1).integers(0, 256, (100, 100)))[:4_000],
    "a huge one": bomb(),
    "a document": b"%PDF-1.7 ...",
    "a drawing of shapes": b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    "a speck": png(np.zeros((4, 4))),
    "a line": png(np.zeros((8, 800))),
}


@pytest.mark.parametrize("drawn", [0, 1])
@pytest.mark.parametrize("name", [GREY, SPRITE])
@pytest.mark.parametrize("file", HOSTILE)
def test_a_file_that_is_no_picture_gets_a_sentence(client: TestClient, file: str, name: str, drawn: int) -> None:
    answer = client.post("/play/pixels/prepare", params={"model": name, "drawn": drawn}, content=HOSTILE[file])
    assert answer.status_code == 422
    assert_sentence(answer)


@pytest.mark.parametrize("name", [GREY, ARTICLES, INK, SPRITE])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_photograph_is_refused_with_its_contrast(client: TestClient, name: str, value: int) -> None:
    answer = client.post("/play/pixels/prepare", params={"model": name}, content=png(np.full((50, 50), value)))
    assert answer.status_code == 422
    assert_sentence(answer, "even grey")


def test_every_other_sort_of_picture_is_a_picture(client: TestClient) -> None:
    for mode, side in (("RGBA", 40), ("P", 33), ("1", 64), ("L", 28)):
        file = io.BytesIO()
        Image.fromarray(np.kron(np.eye(2), np.full((side // 2, side // 2), 255)).astype(np.uint8)).convert(mode).save(
            file, "PNG"
        )
        for name in (GREY, INK, SPRITE):
            assert prepared(client, name, file.getvalue(), drawn=1).any()
            assert prepared(client, name, file.getvalue()).any()


# --- The race ---------------------------------------------------------------------------------------------------------


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().splitlines()]


@pytest.mark.parametrize("name", [TINY, COLOURS])
def test_the_race_is_run_one_after_the_other_and_both_write_the_same(client: TestClient, name: str) -> None:
    c, h, w = zoo.card(name).spec.shape
    answer = client.get("/play/pixels/race", params={"model": name})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    told = lines(answer.content)
    assert [one["who"] for one in told] == ["cached"] * h + ["parallel"] + ["naive"] * (c * h * w)
    cached, parallel, naive = told[:h], told[h], told[h + 1 :]
    assert [one["done"] for one in cached] == [c * w * (i + 1) for i in range(h)]
    assert (parallel["done"], parallel["passes"]) == (c * h * w, 1)
    assert [one["done"] for one in naive] == [one["passes"] for one in naive] == list(range(1, c * h * w + 1))
    assert all(one["same"] is True for one in naive)
    for runner in (cached, naive):
        seconds = [one["seconds"] for one in runner]
        assert seconds == sorted(seconds)
        assert seconds[0] > 0
    assert parallel["seconds"] > 0


def test_the_slow_one_is_cut_off(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = pixel_play.naive_steps

    def slower(*args: Any) -> Iterator[Any]:
        for one in slow(*args):
            time.sleep(0.02)
            yield one

    monkeypatch.setattr(pixel_play, "naive_steps", slower)
    monkeypatch.setattr(pixel_play, "RACE_SECONDS", 0.1)
    naive = [one for one in lines(client.get("/play/pixels/race", params={"model": TINY}).content) if one["who"] == "naive"]
    assert 1 <= len(naive) <= 6
    assert naive[-1]["seconds"] > 0.1
    assert all(one["seconds"] <= 0.1 for one in naive[:-1])


def test_an_image_that_is_not_the_same_is_not_said_to_be(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    right = pixel_play.naive_steps

    def wrong(*args: Any) -> Iterator[tuple[Tensor, Tensor]]:
        for t, (value, logits) in enumerate(right(*args)):
            yield (value + 1 if t == 10 else value), logits

    monkeypatch.setattr(pixel_play, "naive_steps", wrong)
    naive = [one for one in lines(client.get("/play/pixels/race", params={"model": TINY}).content) if one["who"] == "naive"]
    assert [one["same"] for one in naive] == [True] * 10 + [False] * 20


def test_the_race_stops_when_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = threading.Event()

    def endless(inference: Inference, name: str, tell: Callable[[Any], None]) -> Iterator[None]:
        try:
            while True:
                with contextlib.suppress(RuntimeError):  # its loop is closed: that alone must not be what ends it
                    tell({"who": "naive"})
                time.sleep(0.005)
                yield
        finally:
            closed.set()

    monkeypatch.setattr(pixel_play, "racing", endless)
    engine = Inference()
    got = visit("race", {"model": TINY}, engine=engine, leaves=lambda got: got.count(b"\n") >= 3)
    assert got.count(b"\n") >= 3
    assert closed.wait(10)
    assert until(lambda: not engine._long)


def test_a_race_that_fails_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Iterator[Any]:
        raise ArithmeticError("no")
        yield

    monkeypatch.setattr(pixel_play, "naive_steps", broken)
    with TestClient(application()) as caller, pytest.raises(ArithmeticError):
        caller.get("/play/pixels/race", params={"model": TINY})


def test_others_have_their_turn_while_a_race_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    engine = Inference()

    def tell(news: dict[str, Any]) -> None:
        order.append(news["who"])
        if order.count("naive") == 5:
            engine.submit(lambda: order.append("somebody else"))

    engine.stream(pixel_play.racing(engine, TINY, tell)).result(30)
    assert order.index("somebody else") < len(order) - 10


# --- What is wrong ----------------------------------------------------------------------------------------------------


def assert_sentence(answer: httpx.Response | Any, *words: str) -> None:
    said = answer.json()["error"]
    assert 10 < len(said) < 300, said
    assert said.endswith((".", ")")), said
    assert "\n" not in said
    assert all(word in said for word in words), said


ONE, KNOWN = bytes(30), bytes(30) + bytes([1]) * 30
T = {"model": TINY}


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "said"),
    [
        ("GET", "write", {}, None, 400, "model is missing"),
        ("GET", "write", {"model": "nobody"}, None, 404, "There is no checkpoint 'nobody'"),
        ("GET", "write", {"model": "../../etc"}, None, 404, "There is no checkpoint"),
        ("GET", "write", {"model": ""}, None, 404, "There is no checkpoint"),
        ("GET", "write", {"model": "x" * 500}, None, 400, "at most 64 characters"),
        ("GET", "write", {"model": VAE}, None, 400, "vae-mnist-2d is no PixelCNN"),
        ("GET", "write", T | {"n": 0}, None, 400, "at least 1"),
        ("GET", "write", T | {"n": 17}, None, 400, "at most 16"),
        ("GET", "write", T | {"n": "many"}, None, 400, "whole number"),
        ("GET", "write", T | {"n": 1.5}, None, 400, "whole number"),
        ("GET", "write", T | {"first": -1}, None, 400, "at least 0"),
        ("GET", "write", T | {"first": 10_001}, None, 400, "at most 10,000"),
        ("GET", "write", T | {"seed": -1}, None, 400, "at least 0"),
        ("GET", "write", T | {"seed": 2**63}, None, 400, "below"),
        ("GET", "write", T | {"label": 3}, None, 400, "label = 3 is not a class of this model: it has 3."),
        ("GET", "write", T | {"label": -2}, None, 400, "at least -1"),
        ("GET", "write", {"model": COLOURS, "label": 0}, None, 400, "label = 0 is not a class of this model: it has 0."),
        ("GET", "write", T | {"temperature": -0.1}, None, 400, "at least 0"),
        ("GET", "write", T | {"temperature": 3.1}, None, 400, "at most 3"),
        ("GET", "write", T | {"temperature": "nan"}, None, 400, "temperature = 'nan'"),
        ("GET", "write", T | {"temperature": "inf"}, None, 400, "temperature = 'inf'"),
        ("GET", "write", T | {"logits": "perhaps"}, None, 400, "logits = 'perhaps'"),
        ("GET", "write", T | {"colour": "red"}, None, 400, "There is no 'colour' here"),
        ("GET", "write", T | {"changes": "30:0"}, None, 400, "30:0: places are 0 to 29, and values 0 to 3."),
        ("GET", "write", T | {"changes": "3:1,4:4"}, None, 400, "4:4: places are 0 to 29, and values 0 to 3."),
        ("GET", "write", {"model": COLOURS, "changes": "60:1"}, None, 400, "places are 0 to 59, and values 0 to 2"),
        ("GET", "write", T | {"changes": "1:2;3:1"}, None, 400, "changes = "),
        ("GET", "write", T | {"changes": "1:-1"}, None, 400, "changes = "),
        ("GET", "write", T | {"changes": ",".join(f"{i}:1" for i in range(9))}, None, 400, "changes = "),
        ("GET", "write", T | {"changes": "1:1\n"}, None, 400, "changes = "),
        ("PUT", "write", T, KNOWN, 405, ""),
        ("POST", "write", T, b"", 400, "0 bytes are not a picture of 30 bytes and a mask of 30"),
        ("POST", "write", T, ONE, 400, "30 bytes are not a picture of 30 bytes and a mask of 30"),
        ("POST", "write", T, KNOWN + b"1", 400, "61 bytes are not a picture"),
        ("POST", "write", T, bytes([4]) + KNOWN[1:], 400, "Pixel value 4 is not within 0 and 3."),
        ("POST", "write", T | {"label": 7}, KNOWN, 400, "label = 7"),
        ("POST", "write", {"model": VAE}, KNOWN, 400, "no PixelCNN"),
        ("GET", "read", T, None, 405, ""),
        ("POST", "read", {}, ONE, 400, "model is missing"),
        ("POST", "read", T, b"", 400, "0 bytes are not one picture: it has 30 pixels of one byte."),
        ("POST", "read", T, KNOWN, 400, "60 bytes are not one picture"),
        ("POST", "read", T, bytes([255]) * 30, 400, "Pixel value 255 is not within 0 and 3."),
        ("POST", "read", T | {"label": 3}, ONE, 400, "label = 3"),
        ("POST", "read", T | {"label": 256}, ONE, 400, "at most 255"),
        ("POST", "read", T | {"seed": 1}, ONE, 400, "There is no 'seed' here"),
        ("POST", "read", {"model": "nobody"}, ONE, 404, "There is no checkpoint"),
        ("POST", "read", {"model": VAE}, ONE, 400, "no PixelCNN"),
        ("POST", "logits", T, b"1", 400, "1 bytes are not one picture"),
        ("POST", "logits", T | {"label": 9}, ONE, 400, "label = 9"),
        ("POST", "logits", {"model": VAE}, ONE, 400, "no PixelCNN"),
        ("GET", "seen", {}, None, 400, "model is missing"),
        ("GET", "seen", {"model": "nobody"}, None, 404, "There is no checkpoint"),
        ("GET", "seen", {"model": VAE}, None, 400, "no PixelCNN"),
        ("GET", "pictures", {"model": VAE}, None, 400, "no PixelCNN"),
        ("GET", "pictures", {"model": "nobody"}, None, 404, "There is no checkpoint"),
        ("GET", "pictures", T | {"data": "mnist"}, None, 400, "There is no 'data' here"),
        ("GET", "race", {"model": VAE}, None, 400, "no PixelCNN"),
        ("GET", "race", {"model": "nobody"}, None, 404, "There is no checkpoint"),
        ("GET", "race", T | {"n": 2}, None, 400, "There is no 'n' here"),
        ("GET", "prepare", T, None, 405, ""),
        ("POST", "prepare", {"model": GREY, "drawn": "maybe"}, b"", 400, "drawn = 'maybe'"),
        ("POST", "prepare", {"model": VAE}, b"", 400, "no PixelCNN"),
        ("POST", "prepare", {"model": "nobody"}, b"", 404, "There is no checkpoint"),
        ("GET", "nothing", {}, None, 404, ""),
    ],
)
def test_a_malformed_call_gets_a_sentence(
    client: TestClient, method: str, path: str, query: dict[str, Any], body: bytes | None, status: int, said: str
) -> None:
    answer = client.request(method, f"/play/pixels/{path}", params=query, content=body)
    assert answer.status_code == status, answer.text
    if said:
        assert_sentence(answer, said)


def test_the_form_of_changes_is_said_in_words(client: TestClient) -> None:
    answer = client.get("/play/pixels/write", params=T | {"changes": "seven"})
    assert_sentence(answer, "changes = 'seven'")
    assert "^" not in answer.json()["error"]  # a regular expression is no sentence


def test_a_refused_call_changes_nothing_for_the_next(client: TestClient) -> None:
    before = written(client, T | {"n": 2}).images()
    for query in (T | {"label": 99}, T | {"changes": "99:1"}):
        assert client.get("/play/pixels/write", params=query).status_code == 400
    assert torch.equal(written(client, T | {"n": 2}).images(), before)


def test_bodies_are_limited_as_their_route_needs(client: TestClient) -> None:
    assert guard.LIMITS["/play/pixels"] >= 4 * 3 * 32 * 32
    long = client.post("/play/pixels/write", params=T, content=bytes(100_001))
    assert long.status_code == 413
    assert_sentence(long, "100,001 bytes", "100,000")
    large = png(np.random.default_rng(0).integers(0, 256, (400, 400)))
    assert len(large) > guard.LIMITS["/play/pixels"]
    assert client.post("/play/pixels/prepare", params={"model": GREY, "drawn": 1}, content=large).status_code == 200
    longest = client.post("/play/pixels/prepare", params={"model": GREY}, content=bytes(uploads.MAX_BYTES + 1))
    assert longest.status_code == 413
    assert_sentence(longest, "20,000,001", "20,000,000")


NAMES = st.sampled_from([TINY, TINY, TINY, COLOURS, VAE, "nobody", ""])
ANY = st.text(max_size=12) | st.integers(-3, 40).map(str) | st.floats().map(str)
QUERIES = st.fixed_dictionaries(
    {"model": NAMES},
    optional={
        "n": st.integers(1, 3).map(str) | ANY,
        "first": st.integers(0, 10_000).map(str) | ANY,
        "seed": st.integers(0, 2**63 - 1).map(str) | ANY,
        "label": st.integers(-1, 3).map(str) | ANY,
        "temperature": st.floats(0, 3).map(str) | ANY,
        "changes": st.lists(st.tuples(st.integers(0, 70), st.integers(0, 5)), max_size=9).map(
            lambda pairs: ",".join(f"{t}:{v}" for t, v in pairs)
        )
        | ANY,
        "logits": st.sampled_from(["0", "1", "true", "x"]),
        "drawn": st.sampled_from(["0", "1", "x"]),
        "colour": ANY,
    },
)
LEVEL = st.integers(0, 3) | st.integers(0, 255)
BODIES = st.sampled_from([30, 60, 80]).flatmap(lambda n: st.lists(LEVEL, min_size=n, max_size=n).map(bytes)) | st.binary(
    max_size=90
)
PATHS = ["write", "read", "logits", "seen", "pictures", "prepare"]


@settings(deadline=None, derandomize=True, max_examples=150)
@holds_for(st.sampled_from(PATHS), st.sampled_from(["GET", "POST", "HEAD"]), QUERIES, BODIES)
def test_no_call_breaks_anything(client: TestClient, path: str, method: str, query: dict[str, str], body: bytes) -> None:
    answer = client.request(
        method,
        f"/play/pixels/{path}",
        params=query,
        content=body if method == "POST" else None,
        headers={"X-Playground-Token": "garbage-garbage-garbage"},
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.status_code not in (404, 405) and method != "HEAD":
        assert_sentence(answer)
    if answer.status_code == 200 and path == "write" and method != "HEAD":
        found = Frames.of(answer.content, query["model"])
        assert found.end
        assert all((rows < zoo.card(query["model"]).spec.levels).all() for rows in found.values)


def test_the_queries_limits_are_those_that_the_rooms_can_bear() -> None:
    assert wire.MAX_WRITTEN <= writing.ROOM
    assert set(wire.WriteQuery.model_fields) == {"model", "n", "first", "seed", "label", "temperature", "changes", "logits"}
    assert wire.WriteQuery(model="x", changes=",".join("123456:123" for _ in range(wire.MAX_CHANGES))).n == 4
