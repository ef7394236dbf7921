"""One thread owns all models.

Everybody's requests go through one queue, so that sixty people do not run sixty forward passes against each other on two
cores, and no lock is needed. Three kinds of work:

- `decode`: the small, frequent one. Requests for the same model that wait together are decoded as one batch: what arrives while
  one batch is computed is the next. Nobody is made to wait for company (a window of 2 ms tripled the median wait of 40 people).
- `submit`: one call, run when its turn comes.
- `stream`: a generator of slices; between two of them the others have their turn, so that a drag never waits for a long job.

Who waits is bounded: beyond `MAX_WAITING` a request is refused with a sentence rather than answered too late.
"""

from __future__ import annotations

import copy
import logging
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from models import zoo
from models.contract import PictureModel

MAX_ROWS = 256  # images in one joined batch
PIECE = 16  # images in one forward pass: more leave the processor's cache, and cost twice as much each
THREADS = 1  # of torch: on two cores a second one waits for the web server's at every barrier (benchmarks/crowd.py)
MAX_WAITING = 400  # requests in the queue
LONG_JOBS = 64  # generators under way at once: a class that asks in the same minute
PATIENCE = 0.05  # seconds of small work after which a long job gets a slice all the same
CACHED = 128  # results of calls kept
SHARED = 24  # results of streams kept: up to half a megabyte each

T = TypeVar("T")
log = logging.getLogger(__name__)


class Busy(RuntimeError):
    """More people are waiting than can be served in time."""


@dataclass
class _Decode:
    name: str
    z: np.ndarray  # float64 (n, L)
    future: Future[np.ndarray]


@dataclass
class _Call:
    function: Callable[[], Any]
    future: Future[Any]


@dataclass
class _Stream:
    slices: Generator[None, None, Any]
    future: Future[Any]


@dataclass
class Inference:
    """The queue, its thread (started by the first request) and the models it has loaded."""

    _jobs: queue.SimpleQueue[_Decode | _Call] = field(default_factory=queue.SimpleQueue)
    _long: deque[_Stream] = field(default_factory=deque)
    _models: dict[tuple[str, torch.dtype | None], PictureModel] = field(default_factory=dict)
    _shared: OrderedDict[Hashable, Future[Any]] = field(default_factory=OrderedDict)
    _cache: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _start: threading.RLock = field(default_factory=threading.RLock)
    _thread: threading.Thread | None = None

    def decode(self, name: str, z: np.ndarray) -> Future[np.ndarray]:
        """Mean images, uint8 `(n, C, H, W)`, of latents `(n, L)`: joined with what others ask of the same model."""
        return self._put(_Decode(name, z, Future()))

    def submit(self, function: Callable[[], T], *, key: Hashable = None) -> Future[T]:
        """`function()` on the model thread. With a `key`, its result is kept and the next call with that key gets it."""
        return self._put(_Call(function if key is None else lambda: self._cached(key, function), Future()))

    def stream(self, slices: Generator[None, None, T], *, key: Hashable = None) -> Future[T]:
        """Runs a generator slice by slice; its return value is the result. Cancelling the future closes it.

        With a `key`, whoever asks for the same while it runs, or later, gets the same future: do not cancel that one.
        """
        if key is not None:
            with self._start:
                found = self._shared.get(key)
                if found is not None and not found.cancelled() and not (found.done() and found.exception()):
                    self._shared.move_to_end(key)
                    return found
                self._shared[key] = future = self._stream(slices)
                if len(self._shared) > SHARED:
                    self._shared.popitem(last=False)
                return future
        return self._stream(slices)

    def _stream(self, slices: Generator[None, None, T]) -> Future[T]:
        if len(self._long) >= LONG_JOBS:
            raise Busy(f"{LONG_JOBS} long computations are under way, which is the limit: try again in a moment.")
        job = _Stream(slices, Future())
        self._long.append(job)
        try:
            self._put(_Call(lambda: None, Future()))  # wakes the thread
        except Busy:
            self._long.remove(job)
            raise
        return job.future

    def model(self, name: str, dtype: torch.dtype | None = None) -> PictureModel:
        """The loaded model: to be called on the model thread, from within `submit` or `stream`. `dtype`: a copy in that
        precision, for what is long and needs no bits to agree: convolutions in float32 take a third of the time.
        """
        if (name, dtype) not in self._models:
            self._models[name, dtype] = zoo.load(name) if dtype is None else copy.deepcopy(self.model(name)).to(dtype)
        return self._models[name, dtype]

    def _put(self, job: Any) -> Any:
        if self._jobs.qsize() >= MAX_WAITING:
            raise Busy(f"{MAX_WAITING} requests are waiting, which is the limit: try again in a moment.")
        self._jobs.put(job)
        if self._thread is None:
            with self._start:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
                    self._thread.start()
        return job.future

    def _cached(self, key: Hashable, function: Callable[[], T]) -> T:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        value = self._cache[key] = function()
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return value

    def _run(self) -> None:
        torch.set_num_threads(THREADS)
        put_back: deque[_Decode | _Call] = deque()
        last_slice = time.monotonic()
        while True:
            if put_back:
                job: _Decode | _Call | None = put_back.popleft()
            else:
                try:
                    job = self._jobs.get(block=not self._long)
                except queue.Empty:
                    job = None
            if isinstance(job, _Decode):
                batch = self._join(job, put_back)
                _settle([one.future for one in batch], partial(self._decode, batch))
            elif isinstance(job, _Call):
                _settle([job.future], partial(_one, job.function))
            if self._long and (job is None or time.monotonic() - last_slice > PATIENCE):
                self._advance(self._long[0])
                last_slice = time.monotonic()

    def _join(self, first: _Decode, put_back: deque[_Decode | _Call]) -> list[_Decode]:
        """What waits for the same model; the rest keeps its order in `put_back`."""
        batch, rows = [first], len(first.z)
        for waiting in [job for job in put_back if isinstance(job, _Decode) and job.name == first.name]:
            if rows + len(waiting.z) <= MAX_ROWS:
                put_back.remove(waiting)
                batch.append(waiting)
                rows += len(waiting.z)
        while rows < MAX_ROWS:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if isinstance(job, _Decode) and job.name == first.name and rows + len(job.z) <= MAX_ROWS:
                batch.append(job)
                rows += len(job.z)
            else:
                put_back.append(job)
        return batch

    def _decode(self, batch: list[_Decode]) -> list[np.ndarray]:
        model: Any = self.model(batch[0].name)
        z = torch.from_numpy(np.concatenate([job.z for job in batch])).to(next(model.parameters()))
        with torch.inference_mode():
            images = torch.cat([model.decode(piece) for piece in z.split(PIECE)]).cpu().numpy()
        return np.split(images, np.cumsum([len(job.z) for job in batch])[:-1])

    def _advance(self, job: _Stream) -> None:
        """One slice of a long job, which then goes to the end of the line."""
        self._long.rotate(-1)
        if job.future.cancelled():
            job.slices.close()
            self._long.remove(job)
            return
        try:
            next(job.slices)
        except StopIteration as end:
            self._long.remove(job)
            result = end.value
            _settle([job.future], lambda: [result])
        except Exception as error:  # handed to whoever waits for it
            self._long.remove(job)
            _fail([job.future], error)


def _one(function: Callable[[], T]) -> list[T]:
    return [function()]


def _settle(futures: list[Future[Any]], compute: Callable[[], list[Any]]) -> None:
    """Gives each future its result, or all of them the error; one that was cancelled is left out."""
    try:
        results = compute()
    except Exception as error:  # handed to whoever waits for it
        _fail(futures, error)
        return
    for future, result in zip(futures, results, strict=True):
        if future.set_running_or_notify_cancel():
            future.set_result(result)


def _fail(futures: list[Future[Any]], error: Exception) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)


def warm_up(inference: Inference) -> Future[None]:
    """Loads all checkpoints, one slice each: after the page is served, so that nobody's first click waits for a file."""

    def load_all() -> Generator[None, None, None]:
        for name in zoo.names():
            try:
                inference.model(name)
            except zoo.BrokenCheckpoint:
                log.exception("checkpoint %s cannot be shown", name)
            yield

    return inference.stream(load_all())
