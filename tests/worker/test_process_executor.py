"""Real child processes, and functions that do to them whatever functions do."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from recording import RecordingSink, ticket

from pullwork_worker.executors.child_link import ChildSetup
from pullwork_worker.executors.process import ProcessExecutor
from pullwork_worker.machine import Blame, Note, Success

HERE = str(Path(__file__).parent)
MEMORY = 512 * 1024 * 1024


class Bench:
    """An executor with one child, and what it tells."""

    def __init__(self, memory_limit: int | None = None, module: str = "worker_tasks") -> None:
        self.sink = RecordingSink()
        setup = ChildSetup((module,), memory_limit)
        self.executor = ProcessExecutor(1, setup, self.sink, booting_max=1)

    async def open(self, ready: int = 1) -> None:
        """Starts the child and waits until it takes work."""
        self.executor.open()
        await self.sink.until(lambda: len(self.sink.ready) == ready)


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.syspath_prepend(HERE)
    bench = Bench(MEMORY)
    await bench.open()
    yield bench
    await bench.executor.close()


async def until_file(path: Path) -> None:
    await until(path.exists)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something outside of this process; nothing tells when it happens."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def child_of(bench: Bench) -> int:
    link = bench.executor._links[0]
    assert link is not None
    assert link._process is not None
    return link._process.pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_function_runs_in_another_process(bench: Bench) -> None:
    bench.executor.start(0, [ticket("add", a=1, b=2)])
    assert await bench.sink.value("lease of add") == 3


async def test_an_exception_is_told_by_name_words_and_place(bench: Bench) -> None:
    bench.executor.start(0, [ticket("fail", words="no luck")])
    failure = await bench.sink.failure("lease of fail")
    assert (failure.blame, failure.type) == (Blame.APPLICATION, "builtins.ValueError")
    assert failure.message == "no luck"
    assert "raise ValueError(words)" in failure.details
    assert "pullwork_worker" not in failure.details, "the traceback begins in the function"
    assert failure.retryable


async def test_a_task_that_asks_to_exit_only_fails(bench: Bench) -> None:
    bench.executor.start(0, [ticket("sys_exit"), ticket("add", a=1, b=1)])
    failure = await bench.sink.failure("lease of sys_exit")
    assert failure.type == "builtins.SystemExit"
    assert await bench.sink.value("lease of add") == 2
    assert not bench.sink.gone


@pytest.mark.parametrize(
    ("data", "named"),
    [(b'{"a": 1}', "'b'"), (b'{"a": "x", "b": 1}', "'a'"), (b"{", "JSON"), (b"[1]", "object")],
)
async def test_a_payload_that_does_not_fit_is_rejected(
    bench: Bench, data: bytes, named: str
) -> None:
    bench.executor.start(0, [ticket("add", data=data)])
    failure = await bench.sink.failure("lease of add")
    assert failure.blame is Blame.REJECTED
    assert named in failure.message
    assert not failure.retryable


async def test_a_result_that_can_not_travel_fails_for_good(bench: Bench) -> None:
    bench.executor.start(0, [ticket("wrong_result")])
    failure = await bench.sink.failure("lease of wrong_result")
    assert failure.blame is Blame.APPLICATION
    assert failure.type.endswith("PayloadError")
    assert not failure.retryable


async def test_a_death_is_blamed_on_the_one_that_ran_and_no_other(
    bench: Bench, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    lane = [
        ticket("add", "first", a=1, b=1),
        ticket("leave", "guilty", code=3),
        ticket("mark", "second", path=str(marks)),
        ticket("mark", "third", path=str(marks)),
    ]
    bench.executor.start(0, lane)
    await bench.sink.until(lambda: bool(bench.sink.gone))
    ((_, unclaimed, evidence),) = bench.sink.gone
    assert bench.sink.order == ["first"]
    assert unclaimed == ["second", "third"]
    assert evidence.blame is Blame.WORKER_LOST
    assert "exit code 3" in evidence.message
    assert "goodbye" in evidence.details
    assert evidence.retryable
    assert not marks.exists(), "what was not begun did not run"
    await bench.sink.until(lambda: len(bench.sink.ready) == 2)
    bench.executor.start(0, [ticket("add", "again", a=2, b=2)])
    assert await bench.sink.value("again") == 4


async def test_a_segfault_leaves_the_place_where_it_happened(bench: Bench) -> None:
    bench.executor.start(0, [ticket("segfault")])
    await bench.sink.until(lambda: bool(bench.sink.gone))
    _, unclaimed, evidence = bench.sink.gone[0]
    assert unclaimed == []
    assert "SIGSEGV" in evidence.message
    assert "in segfault" in evidence.details


async def test_memory_without_end_is_the_task_s_own_failure(bench: Bench) -> None:
    bench.executor.start(0, [ticket("eat"), ticket("add", "behind", a=1, b=1)])
    failure = await bench.sink.failure("lease of eat")
    assert (failure.blame, failure.type) == (Blame.APPLICATION, "builtins.MemoryError")
    await bench.sink.until(lambda: bool(bench.sink.gone))
    assert bench.sink.gone[0][1] == ["behind"], "the child is replaced; others did not begin"


async def test_a_loop_without_end_is_killed_and_the_child_replaced(
    bench: Bench, tmp_path: Path
) -> None:
    spinning = ticket("spin", path=str(tmp_path / "began"))
    bench.executor.start(0, [spinning])
    await until_file(tmp_path / "began")
    bench.executor.kill(0, spinning)
    await bench.sink.until(lambda: len(bench.sink.ready) == 2)
    assert "did not end when it was asked to" in bench.sink.gone[0][2].message


async def test_a_task_that_looks_at_the_flag_ends_by_itself(bench: Bench, tmp_path: Path) -> None:
    patient = ticket("until_cancelled", path=str(tmp_path / "began"))
    bench.executor.start(0, [patient])
    await until_file(tmp_path / "began")
    bench.executor.stop(0, patient)
    assert await bench.sink.value(patient.token) == "stopped by itself"


async def test_a_cancel_that_comes_late_does_not_hit_the_next(bench: Bench, tmp_path: Path) -> None:
    first = ticket("add", "first", a=1, b=1)
    bench.executor.start(0, [first])
    await bench.sink.outcome("first")
    bench.executor.stop(0, first)
    second = ticket("until_cancelled", "second", path=str(tmp_path / "began"))
    bench.executor.start(0, [second])
    await until_file(tmp_path / "began")
    bench.executor.start(0, [ticket("add", "third", a=1, b=1)])
    assert "second" not in bench.sink.outcomes
    bench.executor.stop(0, second)
    await bench.sink.outcome("third")


async def test_what_is_taken_back_never_runs_and_what_follows_does(
    bench: Bench, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    head = ticket("until_cancelled", "head", path=str(tmp_path / "began"))
    followers = [ticket("mark", f"follower {n}", path=str(marks)) for n in range(5)]
    bench.executor.start(0, [head, *followers])
    await until_file(tmp_path / "began")
    assert bench.executor.take_back(0) == [follower.token for follower in followers]
    assert bench.executor.take_back(0) == []
    bench.executor.start(0, [ticket("mark", "later", path=str(marks))])
    bench.executor.stop(0, head)
    await bench.sink.outcome("later")
    assert marks.read_text() == "ran\n"
    assert bench.sink.order == ["head", "later"]


async def test_a_task_says_how_far_it_is_and_knows_itself(bench: Bench) -> None:
    bench.executor.start(0, [ticket("tell", checkpoint=b"0")])
    assert await bench.sink.value("lease of tell") == "task-1 2 q me hello"
    notes = [note for _, note in bench.sink.notes]
    assert notes == [Note(0.5, "half way", None), Note(None, None, b"0+1")]


async def test_large_results_come_whole(bench: Bench) -> None:
    bench.executor.start(0, [ticket("big", size=3_000_000)])
    assert await bench.sink.outcome("lease of big") == Success(
        bytes(3_000_000), "application/octet-stream"
    )


async def test_a_process_that_a_task_left_behind_does_not_hide_its_death(bench: Bench) -> None:
    bench.executor.start(0, [ticket("grandchild")])
    await bench.sink.until(lambda: bool(bench.sink.gone))
    assert "exit code 5" in bench.sink.gone[0][2].message


async def test_many_at_once_end_in_their_order(bench: Bench) -> None:
    lane = [ticket("add", str(n), a=n, b=1) for n in range(250)]
    bench.executor.start(0, lane)
    assert await bench.sink.value("249") == 250
    assert bench.sink.order == [str(n) for n in range(250)]


async def test_a_child_that_can_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    bench = Bench(module="no_such_module")
    bench.executor.open()
    await bench.sink.until(lambda: bool(bench.sink.gone))
    await bench.executor.close()
    _, _, evidence = bench.sink.gone[0]
    assert "no_such_module" in evidence.message


async def test_closing_leaves_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(HERE)
    bench = Bench()
    await bench.open()
    bench.executor.start(0, [ticket("spin", path=str(tmp_path / "began"))])
    await until_file(tmp_path / "began")
    pid = child_of(bench)
    await bench.executor.close()
    await until(lambda: not alive(pid))


def test_a_child_loads_neither_grpc_nor_what_it_does_not_need() -> None:
    """The time that a child takes to start counts each time one has to be replaced."""
    script = (
        "import sys, pullwork_worker.executors.child; "
        "print([name for name in sys.modules if name.startswith("
        "('grpc', 'google.', 'asyncio', 'psutil', 'pullwork_worker.machine'))])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"
