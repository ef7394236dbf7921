"""The training that a page asks for: what comes over the wire is what `models.tiny_vae` makes, and closing it ends it."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from benchmarks.serving import free_port
from models import tiny_vae
from playground import latent_live
from playground.guard import TOKEN_HEADER, Guard
from playground.jobs import Function, Jobs

torch.set_num_threads(1)
TRAIN = "/play/latents/train"


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


class Playground:
    """A served app with the guard, and its jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.url = f"http://127.0.0.1:{free_port()}"
        app = Starlette(routes=latent_live.routes(jobs), middleware=[Middleware(Guard)])
        self.server = uvicorn.Server(uvicorn.Config(app, port=int(self.url.rsplit(":", 1)[1]), log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def close(self) -> None:
        self.jobs.close()
        self.server.should_exit = True
        self.thread.join(10)

    def get(self, query: str, token: str = "") -> httpx.Response:
        headers = {TOKEN_HEADER: token} if token else {}
        return httpx.get(f"{self.url}{TRAIN}?{query}", headers=headers, timeout=60)

    def lines(self, query: str) -> list[dict[str, Any]]:
        answer = self.get(query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["cache-control"] == "no-store"
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture(scope="module")
def playground() -> Iterator[Playground]:
    one = Playground(Jobs(latent_live.FUNCTIONS, waiting=1))
    yield one
    one.close()


@pytest.fixture(scope="module")
def slow() -> Iterator[Playground]:
    """A playground whose trainings go on until they are stopped: the registered name, another function."""
    one = Playground(Jobs({latent_live.TRAINING: Function(f"{__name__}:endless")}, waiting=1))
    yield one
    one.close()


def endless(**asked: Any) -> Iterator[dict[str, Any]]:
    yield {"kind": "head", **asked}
    while True:
        yield {"kind": "step"}
        time.sleep(0.01)


def test_what_comes_is_the_librarys_own_run(playground: Playground) -> None:
    said = playground.lines("beta=4&seed=11&steps=60")
    kinds = [line["kind"] for line in said if line["kind"] != "starting"]
    assert kinds == ["head", *["step"] * 4, "end"]
    head, *steps, end = [line for line in said if line["kind"] != "starting"]
    assert (head["beta"], head["seed"], head["steps"], head["frames"]) == (4.0, 11, 60, 4)
    assert end["seconds"] > 0
    data, run = tiny_vae.digits(), list(tiny_vae.train(beta=4, seed=11, steps=60))
    assert unpacked(head["labels"], "u1").tolist() == data.labels.tolist()
    np.testing.assert_array_equal(unpacked(head["originals"], "u1"), data.held_out[data.shown].numpy().ravel())
    assert head["without_code"] == pytest.approx(tiny_vae.without_code())
    for line, own in zip(steps, run, strict=True):
        assert line["step"] == own.step
        assert line["reconstruction"] == pytest.approx(own.reconstruction, rel=1e-9)
        assert line["kl"] == pytest.approx(own.kl, rel=1e-9)
        assert line["kl_by_dimension"] == pytest.approx(own.kl_by_dimension, rel=1e-9)
        assert line["active"] == list(own.active)
        np.testing.assert_allclose(unpacked(line["mean"], "<f2").reshape(-1, 2), own.mean, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(unpacked(line["std"], "<f2").reshape(-1, 2), own.std[data.shown], rtol=1e-3)
        np.testing.assert_array_equal(unpacked(line["reconstructions"], "u1"), own.reconstructions.ravel())
        np.testing.assert_array_equal(unpacked(line["samples"], "u1"), own.samples.ravel())


def test_the_same_query_gives_the_same_bytes(playground: Playground) -> None:
    runs = [[line for line in playground.lines("beta=0.5&steps=40") if line["kind"] in ("head", "step")] for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 4


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("beta=-1", "beta = '-1' does not fit: it must be at least 0."),
        ("beta=21", "beta = '21' does not fit: it must be at most 20."),
        ("beta=nan", "beta = 'nan' does not fit: it must be a finite number."),
        ("beta=much", "beta = 'much' does not fit: it must be a number."),
        ("seed=-1", "seed = '-1' does not fit: it must be at least 0."),
        ("steps=1000000", "steps = '1000000' does not fit: it must be at most 2,000."),
        ("gamma=1", "There is no 'gamma' here: leave it out."),
    ],
)
def test_a_query_that_does_not_fit_gets_a_sentence_and_costs_nothing(slow: Playground, query: str, sentence: str) -> None:
    before = slow.jobs.processes()
    answer = slow.get(query)
    assert (answer.status_code, answer.json()["error"]) == (400, sentence)
    assert slow.jobs.processes() == before


class Reader:
    """A browser that reads an answer as it comes, and may go away."""

    def __init__(self, playground: Playground, token: str) -> None:
        self.client = httpx.AsyncClient(timeout=30)
        self.stream = self.client.stream("GET", playground.url + TRAIN, headers={TOKEN_HEADER: token})

    async def __aenter__(self) -> Reader:
        self.answer = await self.stream.__aenter__()
        self.lines = self.answer.aiter_lines()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.stream.__aexit__(*error)
        await self.client.aclose()

    async def until(self, kind: str) -> dict[str, Any]:
        async for line in self.lines:
            if (said := json.loads(line))["kind"] == kind:
                return said
        raise AssertionError(f"it ended without {kind!r}")


ADA, BOB, EVE = ("a" * 20, "b" * 20, "e" * 20)


def test_closing_the_answer_ends_the_run_and_who_waits_is_next(slow: Playground) -> None:
    async def run() -> None:
        async with Reader(slow, ADA) as ada:
            await ada.until("step")
            async with Reader(slow, BOB) as bob:
                assert (await bob.until("waiting"))["before"] == 1
                await ada.__aexit__(None, None, None)
                left = time.monotonic()
                await bob.until("step")
                assert time.monotonic() - left < 1.0

    asyncio.run(run())


def test_one_who_goes_away_while_waiting_is_out_of_the_queue(slow: Playground) -> None:
    async def run() -> None:
        async with Reader(slow, ADA) as ada:
            await ada.until("step")
            async with Reader(slow, BOB) as bob:
                await bob.until("waiting")
            await asyncio.sleep(0.2)  # the server hears of it
            async with Reader(slow, EVE) as eve:  # the one place is free again
                assert eve.answer.status_code == 200
                assert (await eve.until("waiting"))["before"] == 1

    asyncio.run(run())


def test_a_full_queue_is_refused_with_a_sentence(slow: Playground) -> None:
    async def run() -> None:
        async with Reader(slow, ADA) as ada:
            await ada.until("step")
            async with Reader(slow, BOB) as bob:
                await bob.until("waiting")
                answer = await asyncio.to_thread(slow.get, "", EVE)
                assert answer.status_code == 503
                assert answer.json()["error"] == "1 run is waiting already, the limit: try again in a minute."

    asyncio.run(run())


def test_a_browser_has_one_run_at_a_time(slow: Playground) -> None:
    async def run() -> None:
        async with Reader(slow, ADA) as former:
            await former.until("step")
            async with Reader(slow, ADA) as newer:
                await newer.until("step")
                assert "ended this one" in (await former.until("error"))["error"]

    asyncio.run(run())


def test_the_time_limit_is_told_in_the_stream(slow: Playground) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent_live, "LIMIT_S", 0.3)
        said = slow.lines("")
    assert said[-1] == {"kind": "error", "error": "The run took longer than 0.3 s, the limit: it was ended."}


def test_the_recording_is_a_whole_run_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_live.training, "__kwdefaults__", {"beta": 1.0, "seed": 0, "steps": 40})  # the same, shorter
    recording = latent_live.record()
    assert [step["step"] for step in recording["steps"]] == [0, 20, 40]
    assert recording["head"]["beta"] == 1
    assert [one["beta"] for one in recording["others"]] == [0.1, 8.0]
    each = len(json.dumps(recording["steps"][1]))
    assert len(json.dumps(recording)) + 39 * each < 400_000  # with all of its 41 steps
