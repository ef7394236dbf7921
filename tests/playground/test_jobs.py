"""Jobs in processes of their own: what they tell, who is next, and that none outlives its welcome. The jobs are at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from playground import jobs as module
from playground.jobs import (
    Closed,
    Crashed,
    Event,
    Failed,
    Full,
    Function,
    JobError,
    Jobs,
    Run,
    Starting,
    Superseded,
    TimeLimit,
    Told,
    Waiting,
)

NAMES = ("count", "hold", "stubborn", "fail", "die", "large", "about", "flood")
FUNCTIONS = {name: Function(f"{__name__}:{name}") for name in NAMES}


@contextlib.contextmanager
def working(**settings: Any) -> Iterator[Jobs]:
    jobs = Jobs(FUNCTIONS, **settings)
    try:
        yield jobs
    finally:
        jobs.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[Jobs]:
    """One worker that most tests share: a fresh interpreter takes a moment to start."""
    with working(waiting=3) as jobs:
        yield jobs


def go(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


async def told(jobs: Jobs, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> list[Any]:
    async with jobs.run(name, arguments, **options) as events:
        return [event.value async for event in events if isinstance(event, Told)]


async def first(events: Run) -> Any:
    """The first value."""
    async for event in events:
        if isinstance(event, Told):
            return event.value
    raise AssertionError("It told nothing.")


async def kinds(run: Run, into: list[Event]) -> None:
    async for event in run:
        into.append(event)


def alive(pid: int) -> bool:
    """Whether there is such a process, a dead one that nobody has asked after included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int, within: float) -> float:
    """Seconds until a process is gone; fails when that takes longer than `within`."""
    began = time.monotonic()
    while alive(pid):
        assert time.monotonic() - began < within, f"process {pid} is still there after {within} s"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


def test_values_come_in_order_and_one_process_serves_one_job_after_another(shared: Jobs) -> None:
    assert go(told(shared, "count", {"n": 3})) == [{"i": 0}, {"i": 1}, {"i": 2}]
    pids = [go(told(shared, "about"))[0]["pid"] for _ in range(2)]  # another event loop each time
    assert pids == shared.processes() * 2
    assert pids[0] != os.getpid()


def test_a_job_runs_on_one_thread_at_low_priority_and_may_print(shared: Jobs) -> None:
    about = go(told(shared, "about"))[0]
    assert about["nice"] >= os.nice(0) + module.NICENESS or about["nice"] == 19
    assert about["threads"] == ["1", "1", "1"]


def test_only_named_functions_run(shared: Jobs) -> None:
    with pytest.raises(ValueError, match="no job 'os:system'"):
        shared.run("os:system", {"command": "true"})


def test_the_first_is_told_that_its_process_is_starting_and_a_warm_one_is_not() -> None:
    with working() as jobs:
        seen: list[Event] = []

        async def run() -> None:
            async with jobs.run("count", {"n": 1}) as events:
                await kinds(events, seen)
            async with jobs.run("count", {"n": 1}) as events:
                await kinds(events, seen)

        go(run())
    assert seen == [Starting(), Told({"i": 0}), Told({"i": 0})]


def test_a_rehearsal_is_made_before_the_worker_is_ready_and_is_not_heard(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with contextlib.closing(Jobs({"mark": Function(f"{__name__}:mark", {"file": str(trace), "text": "rehearsed,"})})) as jobs:
        jobs.warm()
        assert go(told(jobs, "mark", {"file": str(trace), "text": "played"})) == ["played"]
    assert trace.read_text() == "rehearsed,played"


def test_who_waits_is_told_how_many_come_before_and_goes_in_order(shared: Jobs) -> None:
    seen: list[list[Event]] = [[], [], []]
    order: list[int] = []

    async def one(i: int) -> None:
        async with shared.run("count", {"n": 1}) as events:
            await kinds(events, seen[i])
            order.append(i)

    async def run() -> None:
        async with shared.run("hold") as holder:
            await first(holder)
            tasks = []
            for i in range(3):
                tasks.append(asyncio.create_task(one(i)))
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            assert [events[-1] for events in seen] == [Waiting(1), Waiting(2), Waiting(3)]
            tasks[1].cancel()  # gives up: the one behind moves up
            await asyncio.sleep(0.05)
            assert seen[2][-1] == Waiting(2)
        await asyncio.gather(tasks[0], tasks[2])

    go(run())
    assert order == [0, 2]
    assert seen[0][-1] == seen[2][-1] == Told({"i": 0})
    befores = [event.before for event in seen[2] if isinstance(event, Waiting)]
    assert befores == sorted(befores, reverse=True)


def test_a_full_queue_says_so_in_a_sentence(shared: Jobs) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            await first(await stack.enter_async_context(shared.run("hold")))
            for _ in range(3):
                await stack.enter_async_context(shared.run("count"))
            with pytest.raises(Full, match=r"^3 runs are waiting already, the limit: try again in a minute\.$"):
                async with shared.run("count"):
                    pass

    go(run())
    assert len(go(told(shared, "count", {"n": 2}))) == 2  # and afterwards there is room


def test_leaving_ends_the_job_at_its_next_yield_and_keeps_the_process(shared: Jobs, tmp_path: Path) -> None:
    trace = tmp_path / "trace"

    async def run() -> None:
        async with shared.run("hold", {"trace": str(trace)}) as events:
            await first(events)
        left = time.monotonic()
        while not trace.exists():  # written by the job's `finally`
            assert time.monotonic() - left < 2 * module.GRACE
            await asyncio.sleep(0.005)

    before = shared.processes()
    go(run())
    assert trace.read_text() == "closed"
    assert go(told(shared, "about"))[0]["pid"] == before[0]


def test_a_cancelled_job_that_does_not_stop_is_killed_and_its_process_replaced() -> None:
    async def run(jobs: Jobs) -> int:
        async with jobs.run("stubborn") as events:
            pid = await first(events)
            assert alive(pid)
        took = await gone(pid, 2 * module.GRACE + 0.2)
        assert took > 0.02  # it had its chance
        return pid

    with working() as jobs:
        pid = go(run(jobs))
        replaced = jobs.processes()
        assert len(replaced) == 1
        assert pid not in replaced
        assert go(told(jobs, "about"))[0]["pid"] == replaced[0]


def test_a_task_that_is_cancelled_ends_its_job_too() -> None:
    """What a server does with the answer to a browser that is gone."""

    async def run(jobs: Jobs) -> None:
        found: list[int] = []

        async def listen() -> None:
            async with jobs.run("stubborn") as events:
                found.append(await first(events))
                async for _ in events:
                    pass

        task = asyncio.create_task(listen())
        while not found:
            await asyncio.sleep(0.01)
        task.cancel()
        await gone(found[0], 2 * module.GRACE + 0.2)

    with working() as jobs:
        go(run(jobs))


def test_the_time_limit_kills_and_says_so() -> None:
    with working() as jobs:
        pid = go(told(jobs, "about"))[0]["pid"]
        began = time.monotonic()
        with pytest.raises(TimeLimit, match=r"longer than 0\.3 s, the limit"):
            go(told(jobs, "stubborn", limit_s=0.3))
        assert 0.25 < time.monotonic() - began < 1.5
        go(gone(pid, 0.5))
        assert go(told(jobs, "count", {"n": 1})) == [{"i": 0}]


def test_an_error_within_a_job_comes_with_its_sentence_and_costs_no_process(
    shared: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    go(told(shared, "count", {"n": 1}))
    before = shared.processes()
    with pytest.raises(Failed, match=r"^β = −1 is below 0\.$"):
        go(told(shared, "fail", {"kind": "value"}))
    assert not caplog.records  # what was asked for was wrong: no fault of ours
    with pytest.raises(Failed, match="division"):
        go(told(shared, "fail", {"kind": "fault"}))
    with pytest.raises(Failed, match="not JSON"):
        go(told(shared, "fail", {"kind": "nan"}))
    assert [record.getMessage().count("Traceback") for record in caplog.records] == [1, 2]
    with pytest.raises(Failed, match="unexpected keyword"):
        go(told(shared, "count", {"m": 1}))
    assert shared.processes() == before


def test_a_process_that_dies_is_a_crash_and_is_replaced() -> None:
    with working() as jobs:
        with pytest.raises(Crashed, match=r"died \(status 3\): try again"):
            go(told(jobs, "die"))
        assert go(told(jobs, "count", {"n": 1})) == [{"i": 0}]
        (idle,) = jobs.processes()
        os.kill(idle, signal.SIGKILL)  # one that does nothing

        async def renewed() -> None:
            while jobs.processes() in ([], [idle]):
                await asyncio.sleep(0.01)

        go(renewed())
        assert go(told(jobs, "count", {"n": 1})) == [{"i": 0}]


def test_a_module_that_cannot_be_imported_fails_its_job_and_is_not_tried_over_and_over() -> None:
    with contextlib.closing(Jobs({"lost": Function("no_such_module:job")})) as jobs:
        with pytest.raises(Failed, match="no_such_module"):
            go(told(jobs, "lost"))
        go(asyncio.sleep(0.1))
        assert jobs.processes() == []


def test_a_value_too_large_ends_the_run(shared: Jobs) -> None:
    assert len(go(told(shared, "large", {"n": module.MAX_EVENT - 1_000}))[0]) == module.MAX_EVENT - 1_000
    with pytest.raises(Failed, match="more than 4,000,000 bytes"):
        go(told(shared, "large", {"n": module.MAX_EVENT + 1}))


def test_a_new_run_of_the_same_owner_ends_the_former(shared: Jobs) -> None:
    async def run() -> None:
        async with shared.run("hold", owner="ada") as former, shared.run("count", {"n": 1}, owner="bob") as other:
            await first(former)
            async with shared.run("count", {"n": 2}, owner="ada") as newer:
                with pytest.raises(Superseded):
                    await first(former)
                assert await first(other) == {"i": 0}  # bob was before
                assert [event.value async for event in newer if isinstance(event, Told)] == [{"i": 0}, {"i": 1}]
        async with shared.run("hold") as holder:
            await first(holder)
            async with shared.run("count", owner="ada") as waits, shared.run("count", owner="ada"):
                with pytest.raises(Superseded):
                    await first(waits)

    go(run())


def test_a_job_tells_no_further_ahead_than_it_is_listened_to(shared: Jobs, tmp_path: Path) -> None:
    """Else who does not listen would fill this process's memory."""
    trace = tmp_path / "count"

    async def run() -> tuple[int, int]:
        async with shared.run("flood", {"trace": str(trace)}) as events:
            await first(events)
            await asyncio.sleep(0.5)
            before = int(trace.read_text())
            await asyncio.sleep(0.3)
            after = int(trace.read_text())
            return before, after

    before, after = go(run())
    assert before == after  # it stands still
    assert before < module.AHEAD + 12  # of 100 kB each: a megabyte or so


def test_two_at_once_run_side_by_side() -> None:
    async def run(jobs: Jobs) -> set[int]:
        async with jobs.run("hold") as one, jobs.run("hold") as other:
            return {(await first(one))["pid"], (await first(other))["pid"]}

    with working(at_once=2) as jobs:
        assert len(go(run(jobs))) == 2


def test_closing_leaves_no_process_and_tells_who_waits() -> None:
    jobs = Jobs(FUNCTIONS)

    async def run() -> int:
        async with jobs.run("stubborn") as events, jobs.run("count") as waiting:
            pid = await first(events)
            threading.Thread(target=jobs.close).start()
            for one in (events, waiting):
                with pytest.raises(Closed):
                    await first(one)
            await gone(pid, 1.0)
            with pytest.raises(Closed):
                async with jobs.run("count"):
                    pass
            return pid

    go(run())
    assert jobs.processes() == []
    jobs.warm()
    assert jobs.processes() == []


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_no_worker_outlives_the_process_that_started_it(end: str) -> None:
    """Even one that computes, and even if nobody could say goodbye."""
    code = (
        "import asyncio, os, signal, sys\n"
        "from playground.jobs import Function, Jobs, Told\n"
        "jobs = Jobs({'stubborn': Function('test_jobs:stubborn')})\n"
        "async def run():\n"
        "    async with jobs.run('stubborn') as events:\n"
        "        async for event in events:\n"
        "            if isinstance(event, Told):\n"
        "                print(event.value, flush=True)\n"
        f"                {'os.kill(os.getpid(), signal.SIGKILL)' if end == 'kill' else 'sys.exit(0)'}\n"
        "asyncio.run(run())\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == (-signal.SIGKILL if end == "kill" else 0), done.stderr
    pid = int(done.stdout)
    go(until_finished(pid))


async def until_finished(pid: int) -> None:
    """Gone, or dead and waiting for an init process that does not come (in some containers)."""
    began = time.monotonic()
    while alive(pid) and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() - began < 2
        await asyncio.sleep(0.01)


def test_errors_of_jobs_share_one_name() -> None:
    assert all(issubclass(kind, JobError) for kind in (Full, TimeLimit, Failed, Crashed, Superseded, Closed))


# --- The jobs ----------------------------------------------------------------------------------------------------------------


def count(n: int = 1) -> Iterator[dict[str, int]]:
    for i in range(n):
        yield {"i": i}


def hold(trace: str | None = None) -> Iterator[dict[str, int]]:
    """Goes on until it is told to stop."""
    try:
        while True:
            yield {"pid": os.getpid()}
            time.sleep(0.01)
    finally:
        if trace is not None:
            Path(trace).write_text("closed")


def stubborn() -> Iterator[int]:
    """Computes on and on, whether it is told to stop or not."""
    try:
        yield os.getpid()
    finally:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            pass


def fail(kind: str) -> Iterator[float]:
    if kind == "value":
        raise ValueError("β = −1 is below 0.")
    if kind == "nan":
        yield float("nan")
    yield 1 // 0


def die() -> Iterator[None]:
    os._exit(3)
    yield


def large(n: int) -> Iterator[str]:
    yield "x" * n


def about() -> Iterator[dict[str, Any]]:
    print("This goes where errors go.")
    threads = [os.environ[name] for name in module.ONE_THREAD]
    yield {"pid": os.getpid(), "nice": os.nice(0), "threads": threads}


def flood(trace: str) -> Iterator[str]:
    for i in range(1_000):
        Path(trace).write_text(str(i))
        yield "x" * 100_000


def mark(file: str, text: str) -> Iterator[str]:
    with Path(file).open("a") as out:
        out.write(text)
    yield text
