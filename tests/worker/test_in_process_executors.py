"""Coroutines and threads of the worker's own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import worker_tasks
from recording import RecordingSink, ticket

from pullwork.tasks import collect
from pullwork_worker.executors.coroutine import CoroutineExecutor
from pullwork_worker.executors.thread import ThreadExecutor
from pullwork_worker.machine import Blame, Note, Success

TASKS = collect(worker_tasks)


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
async def coroutines(sink: RecordingSink) -> AsyncIterator[CoroutineExecutor]:
    executor = CoroutineExecutor(TASKS, sink)
    yield executor
    await executor.close()


@pytest.fixture
async def threads(sink: RecordingSink) -> AsyncIterator[ThreadExecutor]:
    executor = ThreadExecutor(TASKS, sink)
    yield executor
    await executor.close()


async def test_a_coroutine_gives_its_result(
    sink: RecordingSink, coroutines: CoroutineExecutor
) -> None:
    coroutines.start(0, [ticket("async_add", a=1, b=2)])
    assert await sink.value("lease of async_add") == 3


async def test_many_coroutines_run_at_once(
    sink: RecordingSink, coroutines: CoroutineExecutor
) -> None:
    forever = [ticket("async_forever", str(slot)) for slot in range(50)]
    for slot, one in enumerate(forever):
        coroutines.start(slot, [one])
    coroutines.start(50, [ticket("async_add", "quick", a=1, b=1)])
    assert await sink.value("quick") == 2


@pytest.mark.parametrize("begun", [True, False])
async def test_a_coroutine_that_is_stopped_is_cancelled(
    sink: RecordingSink, coroutines: CoroutineExecutor, begun: bool
) -> None:
    forever = ticket("async_forever")
    coroutines.start(0, [forever])
    if begun:
        await asyncio.sleep(0)
    coroutines.stop(0, forever)
    failure = await sink.failure(forever.token)
    assert failure.type == "asyncio.CancelledError"


async def test_a_coroutine_with_a_wrong_payload_is_rejected(
    sink: RecordingSink, coroutines: CoroutineExecutor
) -> None:
    coroutines.start(0, [ticket("async_add", a=1)])
    failure = await sink.failure("lease of async_add")
    assert failure.blame is Blame.REJECTED
    assert "'b'" in failure.message


async def test_a_coroutine_says_how_far_it_is_also_from_its_threads(
    sink: RecordingSink, coroutines: CoroutineExecutor
) -> None:
    coroutines.start(0, [ticket("async_tell", checkpoint=b"before")])
    assert await sink.outcome("lease of async_tell") == Success(
        b"before", "application/octet-stream"
    )
    await sink.until(lambda: len(sink.notes) == 2)
    notes = [note for _, note in sink.notes]
    assert notes == [Note(0.25, None, None), Note(None, None, b"from a thread")]


async def test_a_thread_gives_its_result(sink: RecordingSink, threads: ThreadExecutor) -> None:
    threads.start(0, [ticket("thread_add", a=1, b=2)])
    assert await sink.value("lease of thread_add") == 3


async def test_a_thread_that_looks_at_the_flag_ends(
    sink: RecordingSink, threads: ThreadExecutor
) -> None:
    patient = ticket("thread_until_cancelled")
    threads.start(0, [patient])
    threads.stop(0, patient)
    failure = await sink.failure(patient.token)
    assert failure.type == "pullwork.errors.TaskCancelledError"
