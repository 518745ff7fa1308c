"""Coroutines in lanes: begun at once, one after the other, and none the wiser for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest
from recording import RecordingSink, ticket

from pullwork import context, task
from pullwork.tasks import collect
from pullwork_worker.executors.coroutine import CoroutineExecutor
from pullwork_worker.machine import Failure

gate: ContextVar[asyncio.Event] = ContextVar("gate")
left_behind: ContextVar[str] = ContextVar("left_behind", default="nothing")


@task(type="double")
async def double(number: int) -> int:
    """Never waits."""
    return 2 * number


@task(type="leave_behind")
async def leave_behind() -> str:
    """Returns what it finds, and leaves something."""
    found = left_behind.get()
    left_behind.set("something")
    return found


@task(type="hurry")
async def hurry() -> str:
    """Bounds its own time before it ever waited, which only a task can."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))
    here = asyncio.current_task()
    assert here is not None
    return here.get_name()


@task(type="wait_at_gate")
async def wait_at_gate() -> str:
    """Waits."""
    await gate.get().wait()
    return "through"


@task(type="say")
async def say(message: str) -> None:
    """Says something of itself."""
    context.current().progress(message=message)


@task(type="break")
async def break_off() -> None:
    """Fails before it waits."""
    raise ValueError("no luck")


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def executor(sink: RecordingSink) -> AsyncIterator[CoroutineExecutor]:
    gate.set(asyncio.Event())
    executor = CoroutineExecutor(collect(sys.modules[__name__]), sink)
    yield executor
    await executor.close()


async def test_a_lane_runs_in_its_order(sink: RecordingSink, executor: CoroutineExecutor) -> None:
    executor.start(0, [ticket("double", str(number), number=number) for number in range(500)])
    assert await sink.value("499") == 998
    assert sink.order == [str(number) for number in range(500)]


async def test_tiny_coroutines_do_not_hold_the_loop(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    executor.start(0, [ticket("double", str(number), number=number) for number in range(5000)])
    turns = 0
    while len(sink.order) < 5000:
        await asyncio.sleep(0)
        turns += 1
    assert turns > 5, "others had their turn meanwhile"


async def test_what_one_attempt_leaves_in_its_context_is_not_there_for_the_next(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    executor.start(0, [ticket("leave_behind", "first"), ticket("leave_behind", "second")])
    assert await sink.value("second") == "nothing"
    assert left_behind.get() == "nothing"


async def test_an_attempt_is_a_task_of_its_own_from_its_first_step(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    executor.start(0, [ticket("hurry")])
    assert await sink.value("lease of hurry") == "hurry task-1"


async def test_a_failure_before_it_waits_is_its_own(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    executor.start(0, [ticket("break"), ticket("double", "next", number=1)])
    failure = await sink.failure("lease of break")
    assert (failure.type, failure.message) == ("builtins.ValueError", "no luck")
    assert "pullwork_worker" not in failure.details, "the traceback begins in the function"
    assert await sink.value("next") == 2


async def test_what_follows_one_that_waits_is_taken_back_and_does_not_run(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    followers = [ticket("double", f"follower {number}", number=1) for number in range(3)]
    executor.start(0, [ticket("wait_at_gate", "head"), *followers])
    await asyncio.sleep(0)
    assert executor.take_back(0) == [follower.token for follower in followers]
    assert executor.take_back(0) == []
    executor.start(0, [ticket("double", "later", number=1)])
    gate.get().set()
    assert await sink.value("later") == 2
    assert sink.order == ["head", "later"]


async def test_lanes_run_beside_each_other(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    executor.start(0, [ticket("wait_at_gate", "waits"), ticket("double", "behind", number=1)])
    executor.start(1, [ticket("double", "beside", number=1)])
    assert await sink.value("beside") == 2
    gate.get().set()
    assert await sink.value("behind") == 2
    assert sink.order == ["beside", "waits", "behind"]


async def test_one_that_is_stopped_before_its_turn_runs_nothing(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    first, second = ticket("say", "first", message="here"), ticket("double", "second", number=1)
    executor.start(0, [first, second])
    executor.stop(0, first)
    assert await sink.value("second") == 2
    assert isinstance(sink.outcomes["first"], Failure)
    assert not sink.notes


async def test_a_stop_that_comes_after_the_end_hits_nobody(
    sink: RecordingSink, executor: CoroutineExecutor
) -> None:
    head, follower = ticket("wait_at_gate", "head"), ticket("wait_at_gate", "follower")
    executor.start(0, [head, follower])
    await asyncio.sleep(0)
    gate.get().set()
    await sink.outcome("head")
    executor.stop(0, head)
    assert await sink.value("follower") == "through"
    executor.stop(0, follower)


async def test_what_an_attempt_says_comes_after_the_ends_before_it(
    sink: RecordingSink, executor: CoroutineExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(sink, "ended", lambda ends: told.extend(end[1] for end in ends))
    monkeypatch.setattr(sink, "noted", lambda token, note: told.append(str(note.message)))
    executor.start(0, [ticket("double", "first", number=1), ticket("say", "second", message="ha")])
    await asyncio.sleep(0)
    assert told == ["first", "ha", "second"]
