"""Long work in processes of its own: progress, cancelling, a time limit, and how many at once.

    async with jobs.run("tiny-vae", {"beta": 4.0}, owner=token) as events:
        async for event in events:      # Waiting(before=2), ..., Starting(), Told(value), Told(value), ...

A job is a generator whose yields are JSON. It runs in a fresh interpreter (no fork: torch and the web server have threads), on
one torch thread and at low priority, so that no drag on some page waits for it. Importing torch takes seconds, so one worker is
kept warm: what ended its job, or was told to stop and did, takes the next. What does not stop within `GRACE`, is late or has
died is killed and replaced.

Leaving the `async with`, as a closed browser tab does, ends the job. A worker ends by itself when its standard input does: even
if this process is killed, none is left over. What a job tells is read only as fast as it is listened to, `AHEAD` values before.

    python -m playground.jobs       # what a worker runs: orders come as lines of JSON, and so does what it tells
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRACE = 0.2  # seconds in which a job that is told to stop may do so, at its next yield, before it is killed
COLD = 60.0  # seconds for a worker's imports, besides the job's own time
AHEAD = 8  # values that wait for who listens
MAX_EVENT = 4_000_000  # bytes of one value
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
NICENESS = 10

_OVER = object()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Function:
    """A generator function, "module:name". `rehearsal`: arguments of a run that each worker makes for itself before it is
    ready, so that what is slow only once (imports within functions, say) is behind it.
    """

    place: str
    rehearsal: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Waiting:
    before: int  # jobs that come first: those that run, and those that wait longer


@dataclass(frozen=True)
class Starting:
    """It is this job's turn, and its process is still importing: that takes seconds."""


@dataclass(frozen=True)
class Told:
    value: Any  # what the job yielded


Event = Waiting | Starting | Told


class JobError(RuntimeError):
    """A job has no result; the message is one sentence for who waits."""


class Full(JobError):
    """Too many wait already."""


class TimeLimit(JobError):
    """It took too long."""


class Failed(JobError):
    """The job raised; the sentence is its own."""


class Crashed(JobError):
    """Its process died."""


class Superseded(JobError):
    """The same owner has asked for another."""


class Closed(JobError):
    """The playground is being shut down."""


@dataclass(frozen=True)
class _End:
    error: JobError | None


class Jobs:
    """The queue and its workers. `functions`: what may be run, by name, and nothing else. For any thread and any loop."""

    def __init__(
        self, functions: Mapping[str, Function], *, at_once: int = 1, waiting: int = 20, limit_s: float = 60.0
    ) -> None:
        self.functions, self.at_once, self.most_waiting, self.limit_s = dict(functions), at_once, waiting, limit_s
        self._lock = threading.RLock()
        self._workers: list[_Worker] = []
        self._waiting: deque[Run] = deque()
        self._owners: dict[str, Run] = {}
        self._closed = False
        atexit.register(self.close)

    def run(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        limit_s: float | None = None,
        owner: str | None = None,
    ) -> Run:
        """A run of `functions[name]`, to be entered with `async with`, which raises `Full` or queues it.

        `limit_s`: seconds until it is killed. An owner has one job at a time: a new one ends the former. While it is listened
        to, it raises `TimeLimit`, `Failed`, `Crashed`, `Superseded` or `Closed`.
        """
        if name not in self.functions:
            raise ValueError(f"There is no job {name!r}: there are {', '.join(self.functions)}.")
        return Run(self, name, dict(arguments or {}), self.limit_s if limit_s is None else limit_s, owner)

    def warm(self) -> None:
        """Has a worker import what it needs, in the background: for after the page is served."""
        with self._lock:
            if not self._closed and not self._workers:
                self._start()

    def close(self) -> None:
        """Kills all workers; who waits is told so."""
        with self._lock:
            self._closed = True
            over = Closed("The playground is being shut down: its jobs end.")
            for run in list(self._waiting):
                run._finish(over)
            self._waiting.clear()
            for worker in list(self._workers):
                self._kill(worker, over)
        atexit.unregister(self.close)

    def processes(self) -> list[int]:
        """The process ids of the workers that there are."""
        with self._lock:
            return [worker.process.pid for worker in self._workers]

    # --- Whose turn it is. All of these hold the lock. -----------------------------------------------------------------------

    def _admit(self, run: Run) -> None:
        with self._lock:
            if self._closed:
                raise Closed("The playground is being shut down: it takes no more jobs.")
            former = self._owners.get(run.owner) if run.owner is not None else None
            if former is not None:
                self._stop(former, Superseded("Another run was begun here, which ended this one."))
            if len(self._waiting) >= self.most_waiting:
                n = self.most_waiting
                raise Full(f"{n} {'runs are' if n != 1 else 'run is'} waiting already, the limit: try again in a minute.")
            if run.owner is not None:
                self._owners[run.owner] = run
            self._waiting.append(run)
            self._assign()

    def _assign(self) -> None:
        """Gives work to who is free, and tells the others where they stand."""
        while self._waiting and not self._closed:
            free = next((worker for worker in self._workers if worker.run is None), None)
            if free is None and len(self._workers) < self.at_once:
                free = self._start()
            if free is None:
                break
            free.take(self._waiting.popleft())
        busy = sum(worker.run is not None and not worker.stopping for worker in self._workers)
        for place, run in enumerate(self._waiting):
            run._stands(place + busy)

    def _start(self) -> _Worker:
        worker = _Worker(self)
        self._workers.append(worker)
        return worker

    def _stop(self, run: Run, why: JobError | None = None) -> None:
        """Ends a run wherever it is: in the queue, or at work. Does nothing to one that is over."""
        with self._lock:
            run._finish(why)
            if run in self._waiting:
                self._waiting.remove(run)
                self._forget(run)
                self._assign()
            for worker in self._workers:
                if worker.run is run and not worker.stopping:
                    self._forget(run)
                    worker.stop()
                    self._assign()

    def _forget(self, run: Run) -> None:
        if run.owner is not None and self._owners.get(run.owner) is run:
            del self._owners[run.owner]

    def _kill(self, worker: _Worker, why: JobError) -> None:
        """A worker that is of no use any more; another is started in its place."""
        with self._lock:
            if worker not in self._workers:
                return
            worker.process.kill()  # its thread reads the end of what it said, and reaps it
            self._lost(worker, why)

    def _lost(self, worker: _Worker, why: JobError) -> None:
        """Takes a dead worker off the list; its job has failed."""
        self._workers.remove(worker)
        worker.rest()
        if worker.run is not None:
            worker.run._finish(why)
            self._forget(worker.run)
        if not self._closed and worker.ready and not self._workers:  # one that cannot even import is not tried over and over
            self._start()
        self._assign()

    # --- What workers say: on their threads. -------------------------------------------------------------------------------

    def _heard(self, worker: _Worker, said: dict[str, Any]) -> None:
        if "told" in said:
            run = worker.run
            if run is not None and not worker.stopping:
                run._tell(said["told"])
            return
        with self._lock:
            if worker not in self._workers:
                return
            if "trace" in said and not worker.stopping:
                log.error("a job failed: %s", said["trace"])
            if "ready" in said:
                worker.ready = True
                if worker.run is not None:
                    worker.limit()
                return
            run, worker.run, worker.stopping = worker.run, None, False
            worker.rest()
            if run is not None:
                run._finish(Failed(said["failed"]) if "failed" in said else None)
                self._forget(run)
            if worker.ready:
                self._assign()
            else:  # it cannot import what it needs
                self._kill(worker, Crashed(said["failed"]))

    def _died(self, worker: _Worker) -> None:
        with self._lock:
            if worker in self._workers:
                code = worker.process.returncode
                self._lost(worker, Crashed(f"The process of this run died (status {code}): try again."))


class Run:
    """One run of a job, on its way through the queue. An asynchronous context manager and iterator of `Event`s."""

    def __init__(self, jobs: Jobs, name: str, arguments: dict[str, Any], limit_s: float, owner: str | None) -> None:
        self.jobs, self.name, self.arguments, self.limit_s, self.owner = jobs, name, arguments, limit_s, owner
        self._room = threading.Semaphore(AHEAD)
        self._over = False
        self._before = -1

    async def __aenter__(self) -> Run:
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[Event | _End] = asyncio.Queue()
        self.jobs._admit(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it, from any thread, as leaving the `async with` does. Waits for nothing; does nothing to one that is over."""
        self.jobs._stop(self)

    def __aiter__(self) -> Run:
        return self

    async def __anext__(self) -> Event:
        news = await self._news.get()
        if isinstance(news, _End):
            self._news.put_nowait(news)  # whoever asks again is told again
            if news.error is not None:
                raise news.error
            raise StopAsyncIteration
        if isinstance(news, Told):
            self._room.release()
        return news

    def _stands(self, before: int) -> None:
        if before != self._before:
            self._before = before
            self._post(Waiting(before))

    def _tell(self, value: Any) -> None:
        """Waits for room: meanwhile the worker's pipe fills up, and then the worker waits too."""
        while not self._over:
            if self._room.acquire(timeout=0.1):
                self._post(Told(value))
                return

    def _finish(self, error: JobError | None) -> None:
        if not self._over:
            self._over = True
            self._post(_End(error))

    def _post(self, news: Event | _End) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._over = True


class _Worker:
    """A process, the thread that reads what it says, and a clock."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self.run: Run | None = None
        self.ready = False  # has imported what it needs
        self.stopping = False  # its job has been told to stop
        self._clock: threading.Timer | None = None
        path = os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "playground.jobs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is this process's affair
        )
        places = {
            name: [one.place, None if one.rehearsal is None else dict(one.rehearsal)] for name, one in jobs.functions.items()
        }
        self._write({"functions": places})
        threading.Thread(target=self._listen, name=f"job {self.process.pid}", daemon=True).start()

    def take(self, run: Run) -> None:
        self.run, self.stopping = run, False
        self._write({"run": run.name, "arguments": run.arguments})
        if self.ready:
            self.limit()
        else:
            run._post(Starting())
            self._after(COLD + run.limit_s, TimeLimit(f"The run did not begin within {COLD:.0f} s: try again."))

    def limit(self) -> None:
        """From now on, the job's time counts, or the time in which it has to stop."""
        assert self.run is not None
        seconds = GRACE if self.stopping else self.run.limit_s
        self._after(seconds, TimeLimit(f"The run took longer than {seconds:g} s, the limit: it was ended."))

    def stop(self) -> None:
        """Ends its job. One that is still importing goes on with that: it will be of use to the next."""
        self.stopping = True
        self._write({"stop": True})
        if self.ready:
            self.limit()

    def rest(self) -> None:
        """No time is running."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _after(self, seconds: float, why: JobError) -> None:
        """Kills the worker then, unless it has come to rest."""
        self.rest()
        self._clock = clock = threading.Timer(seconds, lambda: self._late(clock, why))
        clock.daemon = True
        clock.start()

    def _late(self, clock: threading.Timer, why: JobError) -> None:
        with self.jobs._lock:
            if self._clock is clock:  # not stopped in the last moment
                self.jobs._kill(self, why)

    def _write(self, order: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is dead: its thread finds out
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        while line := self.process.stdout.readline(MAX_EVENT + 1):
            if len(line) > MAX_EVENT:
                self.jobs._kill(self, Failed(f"The run told more than {MAX_EVENT:,} bytes at once, the limit."))
                break
            if not line.endswith(b"\n"):  # it died within a line
                break
            self.jobs._heard(self, json.loads(line))
        self.process.stdout.close()
        self.process.wait()
        with contextlib.suppress(OSError):  # what was not written has nowhere to go
            self.process.stdin.close()
        self.jobs._died(self)


# --- In the worker's process -------------------------------------------------------------------------------------------------


def work() -> None:
    """Does one order after the other, until standard input ends."""
    os.nice(NICENESS)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a job prints goes where errors go

    def say(**said: Any) -> None:
        try:
            line = json.dumps(said, allow_nan=False, separators=(",", ":")).encode()
        except ValueError as error:
            raise TypeError(f"What the job told is not JSON: {error}.") from error
        out.write(line + b"\n")
        out.flush()

    def failed(error: Exception) -> None:
        expected = isinstance(error, ValueError)  # what was asked for cannot be done: no fault that belongs in a log
        trace = {} if expected else {"trace": traceback.format_exc()[-4_000:]}
        say(failed=str(error) or type(error).__name__, **trace)

    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    stop = threading.Event()

    def listen() -> None:
        for line in sys.stdin.buffer:
            order = json.loads(line)
            if "stop" in order:
                stop.set()
            else:
                stop.clear()
                orders.put(order)
        os._exit(0)  # nobody is there any more

    threading.Thread(target=listen, daemon=True).start()
    try:
        functions = {}
        for name, (place, rehearsal) in orders.get()["functions"].items():
            module, _, function = place.partition(":")
            functions[name] = getattr(importlib.import_module(module), function)
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(1)
            if rehearsal is not None:
                for _ in functions[name](**rehearsal):
                    pass
    except Exception as error:
        failed(error)
        os._exit(1)
    say(ready=True)
    while True:
        order = orders.get()
        try:
            values = functions[order["run"]](**order["arguments"])
            while not stop.is_set() and (value := next(values, _OVER)) is not _OVER:
                say(told=value)
            values.close()
            say(end=True)
        except BrokenPipeError:
            os._exit(0)
        except Exception as error:
            failed(error)


if __name__ == "__main__":
    work()
