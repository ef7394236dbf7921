"""One thread owns the models: batches, order, limits, and a long job that lets the others pass."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

import numpy as np
import pytest
import torch

from models import zoo
from playground import inference as module
from playground.inference import Busy, Inference

NAME = "vae-mnist-2d"


def test_a_joined_batch_gives_everyone_what_they_would_get_alone() -> None:
    model = zoo.load(NAME)
    rng = np.random.default_rng(0)
    asked = [rng.normal(size=(n, 2)) for n in (1, 3, 1, 7, 2, 1, 30)]
    engine = Inference()
    gate = threading.Event()
    engine.submit(gate.wait)  # holds the thread until all are waiting, so that they are joined
    waiting = [engine.decode(NAME, z) for z in asked]
    gate.set()
    for z, future in zip(asked, waiting, strict=True):
        alone = torch.cat([model.decode(row[None]) for row in torch.from_numpy(z)])
        np.testing.assert_array_equal(future.result(30), alone.numpy())


def test_requests_in_the_window_are_decoded_as_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Inference()
    engine.decode(NAME, np.zeros((1, 2))).result(30)  # loaded
    calls: list[int] = []
    model = engine.model(NAME)
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda z: calls.append(len(z)) or decode(z))
    gate = threading.Event()
    engine.submit(gate.wait)
    waiting = [engine.decode(NAME, np.zeros((2, 2))) for _ in range(20)]
    gate.set()
    for future in waiting:
        future.result(30)
    assert calls == [module.PIECE, module.PIECE, 40 - 2 * module.PIECE]


def test_two_models_asked_in_turn_are_both_answered() -> None:
    engine = Inference()
    names = [NAME, "vae-fashion-2d"] * 5
    waiting = [(name, engine.decode(name, np.full((1, 2), 0.3))) for name in names]
    results: dict[str, bytes] = {}
    for name, future in waiting:
        assert results.setdefault(name, future.result(30).tobytes()) == future.result().tobytes()
    assert len(set(results.values())) == 2


def test_a_long_job_lets_small_ones_pass_and_still_ends() -> None:
    engine = Inference()
    order: list[str] = []

    def long() -> Generator[None, None, str]:
        for _ in range(5):
            time.sleep(0.02)
            order.append("slice")
            yield
        return "done"

    job = engine.stream(long())
    while "slice" not in order:
        time.sleep(0.005)
    engine.submit(lambda: order.append("small")).result(10)
    assert job.result(10) == "done"
    assert 0 < order.index("small") < len(order) - 1


def test_a_long_job_ends_although_small_ones_never_stop() -> None:
    engine = Inference()
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            engine.submit(lambda: time.sleep(0.002)).result(10)

    thread = threading.Thread(target=flood)
    thread.start()

    def long() -> Generator[None, None, int]:
        for _ in range(3):
            yield
        return 3

    try:
        assert engine.stream(long()).result(10) == 3
    finally:
        stop.set()
        thread.join()


def test_an_error_reaches_who_asked_and_nobody_else() -> None:
    engine = Inference()
    wrong = engine.submit(lambda: 1 / 0)
    right = engine.submit(lambda: 1)
    assert right.result(10) == 1
    with pytest.raises(ZeroDivisionError):
        wrong.result(10)


def test_an_error_in_a_long_job_reaches_who_asked() -> None:
    engine = Inference()

    def broken() -> Generator[None, None, None]:
        yield
        raise ArithmeticError("no")

    with pytest.raises(ArithmeticError):
        engine.stream(broken()).result(10)
    assert engine.submit(lambda: 2).result(10) == 2


def test_a_cancelled_long_job_is_closed() -> None:
    engine = Inference()
    closed = threading.Event()

    def endless() -> Generator[None, None, None]:
        try:
            while True:
                time.sleep(0.005)
                yield
        finally:
            closed.set()

    job = engine.stream(endless())
    time.sleep(0.05)
    job.cancel()
    assert closed.wait(5)


def test_more_waiting_people_than_the_limit_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 5)
    engine = Inference()
    gate = threading.Event()
    engine.submit(gate.wait)
    with pytest.raises(Busy, match="5 requests are waiting"):
        for _ in range(10):
            engine.submit(lambda: None)
    gate.set()


def test_a_kept_result_is_computed_once_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED", 2)
    engine = Inference()
    computed: list[int] = []

    def ask(key: int) -> int:
        return engine.submit(lambda: computed.append(key) or key, key=key).result(10)

    assert [ask(k) for k in (1, 1, 2, 3, 3, 1)] == [1, 1, 2, 3, 3, 1]
    assert computed == [1, 2, 3, 1]


def test_a_failed_result_is_not_kept() -> None:
    engine = Inference()
    with pytest.raises(ZeroDivisionError):
        engine.submit(lambda: 1 / 0, key="k").result(10)
    assert engine.submit(lambda: 5, key="k").result(10) == 5


def test_a_class_that_asks_for_the_same_long_job_shares_one() -> None:
    engine = Inference()
    computed: list[int] = []

    def job() -> Generator[None, None, int]:
        computed.append(1)
        time.sleep(0.05)
        yield
        return 7

    futures = [engine.stream(job(), key="k") for _ in range(60)]
    assert [future.result(10) for future in futures] == [7] * 60
    assert engine.stream(job(), key="k").result(10) == 7
    assert computed == [1]


def test_a_shared_job_that_failed_is_tried_again() -> None:
    engine = Inference()

    def job(fails: bool) -> Generator[None, None, int]:
        yield
        if fails:
            raise ArithmeticError("no")
        return 1

    with pytest.raises(ArithmeticError):
        engine.stream(job(True), key="k").result(10)
    assert engine.stream(job(False), key="k").result(10) == 1


def test_shared_results_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED", 3)
    engine = Inference()

    def job(k: int) -> Generator[None, None, int]:
        yield
        return k

    assert [engine.stream(job(k), key=k).result(10) for k in range(10)] == list(range(10))
    assert len(engine._shared) == 3
