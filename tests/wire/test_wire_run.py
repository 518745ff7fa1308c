"""RunTask: submit one task and wait for its end."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from wired_master import WiredMaster, failed, refusal, succeeded, until

from pullwork.errors import DeadlineError, TaskIdConflictError, TaskNotFoundError
from pullwork.v1 import task_pb2
from pullwork.v1 import task_service_pb2 as pb

ID = "0198c0de-0000-7000-8000-00000000abcd"
QUEUED, SUCCEEDED = task_pb2.TASK_STATE_QUEUED, task_pb2.TASK_STATE_SUCCEEDED
CANCELLED = task_pb2.TASK_STATE_CANCELLED


def _run(master: WiredMaster, timeout: float | None = None, **spec: Any) -> Any:
    task = task_pb2.TaskSpec(**{"type": "t", **spec})
    return master.tasks.RunTask(pb.RunTaskRequest(task=task), timeout=timeout)


async def test_run_waits_for_the_end_and_brings_the_result(stored: WiredMaster) -> None:
    worker = await stored.worker()
    running = asyncio.create_task(_answer(_run(stored)))
    (ticket,) = await worker.request(wait={"seconds": 30})
    await worker.report(succeeded(ticket, b"done"))
    ended = (await running).task
    assert (ended.state, ended.result.data) == (SUCCEEDED, b"done")


async def _answer(call: Any) -> Any:
    return await call


async def test_run_brings_failures_and_cancellations_as_data(master: WiredMaster) -> None:
    worker = await master.worker()
    running = asyncio.create_task(_answer(_run(master)))
    (ticket,) = await worker.request(wait={"seconds": 30})
    await worker.report(failed(ticket))
    assert (await running).task.failure.message == "it broke"
    running = asyncio.create_task(_answer(_run(master, task_id=ID)))
    await worker.request(wait={"seconds": 30})
    await master.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=[ID]))
    assert (await running).task.state == CANCELLED


async def test_run_again_attaches_to_the_task_that_is_there(stored: WiredMaster) -> None:
    worker = await stored.worker()
    both = [asyncio.create_task(_answer(_run(stored, task_id=ID))) for _ in range(2)]
    (ticket,) = await worker.request(wait={"seconds": 30})
    third = asyncio.create_task(_answer(_run(stored, task_id=ID)))
    await worker.report(succeeded(ticket))
    ends = [(await each).task for each in (*both, third)]
    after = (await _run(stored, task_id=ID)).task
    assert all(each == after for each in ends)
    assert after.attempt == 1


async def test_run_with_a_taken_unique_key_waits_for_the_task_that_has_it(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    (first,) = await master.submit(unique_key="k")
    running = asyncio.create_task(_answer(_run(master, unique_key="k")))
    (ticket,) = await worker.request()
    await worker.report(succeeded(ticket))
    assert (await running).task.spec.task_id == first


async def test_the_callers_deadline_leaves_the_task_running(master: WiredMaster) -> None:
    worker = await master.worker()
    late = await refusal(_run(master, timeout=1.0, task_id=ID))
    assert isinstance(late, DeadlineError)
    (ticket,) = await worker.request()
    running = asyncio.create_task(_answer(_run(master, task_id=ID)))
    await worker.report(succeeded(ticket))
    assert (await running).task.state == SUCCEEDED


async def test_run_of_a_task_without_retention_is_told_its_end(master: WiredMaster) -> None:
    worker = await master.worker()
    running = asyncio.create_task(_answer(_run(master, task_id=ID, retention={})))
    (ticket,) = await worker.request(wait={"seconds": 30})
    await worker.report(succeeded(ticket))
    assert (await running).task.state == SUCCEEDED
    await master.advance(master.policy.sweep_every_ms)
    assert isinstance(await refusal(master.get(ID)), TaskNotFoundError)


async def test_run_of_a_task_that_is_deleted_while_it_attaches_does_not_wait_for_ever(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await master.worker()
    await master.submit(task_id=ID, retention={})
    await master.run_all(worker, 1)
    get = master.disk.get

    async def get_after_a_sweep(task_id: str) -> Any:
        await master.advance(2 * master.policy.sweep_every_ms)
        return await get(task_id)

    monkeypatch.setattr(master.disk, "get", get_after_a_sweep)
    gone = await refusal(_run(master, task_id=ID, retention={}))
    assert isinstance(gone, TaskNotFoundError)


async def test_run_names_its_own_field_in_a_conflict(master: WiredMaster) -> None:
    await master.submit(task_id=ID, payload=b"1")
    conflict = await refusal(_run(master, task_id=ID, payload=b"2"))
    assert isinstance(conflict, TaskIdConflictError)
    assert conflict.field == "task.task_id"


async def test_a_cancelled_run_leaves_the_task(master: WiredMaster) -> None:
    call = _run(master, task_id=ID)
    await until(lambda: ID in master.engine.core.book.ids, "the task is stored")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.code is not grpc.StatusCode.OK
    assert (await master.get(ID)).state == QUEUED
