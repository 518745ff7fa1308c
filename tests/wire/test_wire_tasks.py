"""SubmitTasks, GetTask, CancelTasks, RetryTasks, ExplainTask: what clients may rely on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pydantic import ValidationError
from wired_master import (
    WiredMaster,
    failed,
    ids_of,
    refusal,
    serving,
    succeeded,
)

from pullwork.errors import (
    DiskFullError,
    QueueFullError,
    TaskEndedError,
    TaskIdConflictError,
    TaskNotFoundError,
    TaskNotRetryableError,
)
from pullwork.v1 import queue_service_pb2, registry_service_pb2, task_pb2
from pullwork.v1 import task_service_pb2 as pb
from pullwork_master.config import MasterSettings
from pullwork_master.core import limits
from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage

# What the settings let be the largest payload, and no more.
PAYLOAD_BYTES_MAX = 3 * 1024 * 1024 // 2
ID = "0198c0de-0000-7000-8000-00000000abcd"
QUEUED, RUNNING = task_pb2.TASK_STATE_QUEUED, task_pb2.TASK_STATE_RUNNING
SUCCEEDED, FAILED = task_pb2.TASK_STATE_SUCCEEDED, task_pb2.TASK_STATE_FAILED
CANCELLED, SCHEDULED = task_pb2.TASK_STATE_CANCELLED, task_pb2.TASK_STATE_SCHEDULED


async def _submit(master: WiredMaster, **spec: Any) -> pb.Receipt:
    tasks = [task_pb2.TaskSpec(**{"type": "t", **spec})]
    (receipt,) = (await master.tasks.SubmitTasks(pb.SubmitTasksRequest(tasks=tasks))).receipts
    return receipt


# --- submit --------------------------------------------------------------------------------


async def test_what_was_submitted_is_shown_whole_with_defaults_filled_in(
    stored: WiredMaster,
) -> None:
    spec = task_pb2.TaskSpec(
        task_id=ID,
        queue="q",
        type="t",
        payload=b"\x00\xfe",
        content_type="text/plain",
        headers={"a": "b"},
        priority=-7,
        execution_timeout={"seconds": 1, "nanos": 500_000_000},
        progress_timeout={"seconds": 2},
        retry={
            "max_attempts": 5,
            "initial_backoff": {"seconds": 3},
            "max_backoff": {"seconds": 4},
            "multiplier": 1.5,
        },
        max_worker_deaths=9,
        owner="me",
        retention={"seconds": 60},
        unique_key="one",
    )
    assert await stored.submit(spec) == [ID]
    shown = await stored.get(ID)
    assert shown.spec == spec
    assert shown.state == QUEUED
    assert shown.created_at.ToMilliseconds() == stored.clock.wall_ms
    assert (shown.attempt, shown.failures, shown.worker_deaths, shown.revision) == (0, 0, 0, 0)
    (plain_id,) = await stored.submit(type="t")
    plain = (await stored.get(plain_id)).spec
    assert uuid.UUID(plain_id).version == 7
    assert (plain.queue, plain.max_worker_deaths) == ("default", 3)
    assert (plain.retry.max_attempts, plain.retry.multiplier) == (1, 2.0)
    assert plain.retry.initial_backoff.ToMilliseconds() == 1_000
    assert plain.retry.max_backoff.ToMilliseconds() == 300_000
    assert plain.retention.ToMilliseconds() == stored.policy.retention_ms


async def test_the_same_submission_again_is_a_duplicate(stored: WiredMaster) -> None:
    assert await _submit(stored, task_id=ID, owner="a") == pb.Receipt(task_id=ID)
    assert await _submit(stored, task_id=ID, owner="a") == pb.Receipt(task_id=ID, duplicate=True)
    worker = await stored.worker()
    await stored.run_all(worker, 1)
    assert (await _submit(stored, task_id=ID, owner="a")).duplicate


async def test_an_id_in_other_letters_is_the_same_submission(stored: WiredMaster) -> None:
    assert await _submit(stored, task_id=ID.upper()) == pb.Receipt(task_id=ID)
    assert await _submit(stored, task_id=ID) == pb.Receipt(task_id=ID, duplicate=True)
    assert (await stored.get(ID.upper())).spec.task_id == ID


async def test_the_same_id_with_other_content_is_refused_and_stores_nothing(
    stored: WiredMaster,
) -> None:
    await _submit(stored, task_id=ID, payload=b"1")
    other = task_pb2.TaskSpec(type="t", task_id=ID, payload=b"2")
    conflict = await refusal(stored.submit(task_pb2.TaskSpec(type="t"), other))
    assert isinstance(conflict, TaskIdConflictError)
    assert conflict.field == "tasks[1].task_id"
    assert conflict.metadata["task_id"] == ID
    listed = await stored.tasks.ListTasks(pb.ListTasksRequest())
    assert ids_of(listed.tasks) == [ID]


async def test_one_id_twice_in_a_list_is_one_task(master: WiredMaster) -> None:
    spec = task_pb2.TaskSpec(type="t", task_id=ID)
    answer = await master.tasks.SubmitTasks(pb.SubmitTasksRequest(tasks=[spec, spec]))
    assert [each.duplicate for each in answer.receipts] == [False, True]


async def test_a_unique_key_stands_while_its_task_waits_or_runs(stored: WiredMaster) -> None:
    worker = await stored.worker()
    first = await _submit(stored, unique_key="k")
    assert await _submit(stored, unique_key="k") == pb.Receipt(
        task_id=first.task_id, duplicate=True
    )
    assert not (await _submit(stored, unique_key="k", queue="other")).duplicate
    (ticket,) = await worker.request()
    assert (await _submit(stored, unique_key="k")).duplicate
    await worker.report(succeeded(ticket))
    assert not (await _submit(stored, unique_key="k")).duplicate


async def test_a_thousand_tasks_are_stored_in_one_call_in_their_order(
    stored: WiredMaster,
) -> None:
    task_ids = await stored.submit_many(1_000)
    assert len(set(task_ids)) == 1_000
    worker = await stored.worker(slots=1_000)
    tickets = await worker.request(max_tasks=1_000)
    assert [ticket.task_id for ticket in tickets] == task_ids


async def test_a_full_queue_takes_nothing_of_a_list_and_says_when_to_try_again() -> None:
    async with serving(MemoryStorage(), queue_tasks_max=3) as master:
        await master.submit_many(2)
        full = await refusal(master.submit_many(2))
        assert isinstance(full, QueueFullError)
        assert full.retry_after_s
        assert full.metadata["queue"] == "default"
        assert len((await master.tasks.ListTasks(pb.ListTasksRequest())).tasks) == 2
        await master.submit_many(1)


async def test_a_full_disk_refuses_by_name_and_reads_go_on() -> None:
    async with serving(MemoryStorage(tasks_max=1)) as master:
        (task_id,) = await master.submit()
        full = await refusal(master.submit())
        assert isinstance(full, DiskFullError)
        assert full.retry_after_s
        assert (await master.get(task_id)).state == QUEUED
        assert (await master.worker()).session_id


@pytest.mark.parametrize("how", ["delay", "not_before"])
async def test_a_delayed_task_waits_for_its_moment(stored: WiredMaster, how: str) -> None:
    moment = stored.clock.wall_ms + 2_500
    when: dict[str, Any] = (
        {"delay": {"seconds": 2, "nanos": 500_000_000}}
        if how == "delay"
        else {"not_before": {"seconds": moment // 1_000, "nanos": moment % 1_000 * 1_000_000}}
    )
    (task_id,) = await stored.submit(**when)
    shown = await stored.get(task_id)
    assert (shown.state, shown.ready_at.ToMilliseconds()) == (SCHEDULED, moment)
    await stored.advance(2_499)
    assert (await stored.get(task_id)).state == SCHEDULED
    await stored.advance(1)
    assert (await stored.get(task_id)).state == QUEUED


async def test_a_moment_that_has_passed_delays_nothing(master: WiredMaster) -> None:
    (task_id,) = await master.submit(not_before={"seconds": 1})
    assert (await master.get(task_id)).state == QUEUED


# --- cancel and retry ----------------------------------------------------------------------


async def test_cancel_ends_tasks_that_wait_or_run(stored: WiredMaster) -> None:
    worker = await stored.worker(slots=1)
    running, queued = await stored.submit_many(2)
    (scheduled,) = await stored.submit(delay={"seconds": 9})
    await worker.request(max_tasks=1)
    all_ids = [running, queued, scheduled]
    answer = await stored.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=all_ids))
    assert (sorted(answer.task_ids), answer.more) == (sorted(all_ids), False)
    assert {(await stored.get(each)).state for each in all_ids} == {CANCELLED}
    shown = await stored.get(running)
    assert shown.attempts[-1].end == task_pb2.ATTEMPT_END_CANCELLED


async def test_cancel_is_all_or_none_unless_ended_ones_may_be_skipped(
    stored: WiredMaster,
) -> None:
    ended, waiting = await stored.submit_many(2)
    await stored.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=[ended]))
    both = pb.CancelTasksRequest(task_ids=[waiting, ended])
    error = await refusal(stored.tasks.CancelTasks(both))
    assert isinstance(error, TaskEndedError)
    assert error.metadata == {"task_id": ended, "state": "CANCELLED"}
    assert (await stored.get(waiting)).state == QUEUED
    both.skip_ended = True
    assert (await stored.tasks.CancelTasks(both)).task_ids == [waiting]
    assert (await stored.tasks.CancelTasks(both)).task_ids == []


async def test_cancel_by_filter_says_when_more_match(stored: WiredMaster) -> None:
    await stored.submit_many(1_001, owner="me")
    (other,) = await stored.submit(owner="you")
    request = pb.CancelTasksRequest(filter={"owner": "me", "states": [QUEUED]})
    first = await stored.tasks.CancelTasks(request)
    assert (len(first.task_ids), first.more) == (1_000, True)
    second = await stored.tasks.CancelTasks(request)
    assert (len(second.task_ids), second.more) == (1, False)
    assert (await stored.get(other)).state == QUEUED


async def test_retry_puts_back_with_fresh_counts_and_attempts_go_on(stored: WiredMaster) -> None:
    worker = await stored.worker()
    (task_id,) = await stored.submit()
    (ticket,) = await worker.request()
    await worker.report(failed(ticket))
    request = pb.RetryTasksRequest(task_ids=[task_id])
    assert (await stored.tasks.RetryTasks(request)).task_ids == [task_id]
    shown = await stored.get(task_id)
    assert (shown.state, shown.failures, shown.revision) == (QUEUED, 0, 0)
    assert not shown.HasField("ended_at")
    (again,) = await worker.request()
    assert again.attempt == 2
    error = await refusal(stored.tasks.RetryTasks(request))
    assert isinstance(error, TaskNotRetryableError)
    assert error.metadata["state"] == "RUNNING"


async def test_retry_by_filter_takes_failed_ones_and_cancelled_ones_if_told(
    stored: WiredMaster,
) -> None:
    worker = await stored.worker()
    failed_id, cancelled_id = await stored.submit_many(2)
    await stored.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=[cancelled_id]))
    (ticket,) = await worker.request()
    await worker.report(failed(ticket))
    by_default = await stored.tasks.RetryTasks(pb.RetryTasksRequest(filter={"type": "t"}))
    assert by_default.task_ids == [failed_id]
    told = pb.RetryTasksRequest(filter={"states": [CANCELLED]})
    assert (await stored.tasks.RetryTasks(told)).task_ids == [cancelled_id]


async def test_unknown_ids_are_named_and_nothing_else_is_done(master: WiredMaster) -> None:
    (waiting,) = await master.submit()
    for call in (
        master.tasks.GetTask(pb.GetTaskRequest(task_id=ID)),
        master.tasks.ExplainTask(pb.ExplainTaskRequest(task_id=ID)),
        master.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=[waiting, ID])),
        master.tasks.RetryTasks(pb.RetryTasksRequest(task_ids=[ID])),
    ):
        error = await refusal(call)
        assert isinstance(error, TaskNotFoundError)
        assert error.metadata["task_id"] == ID
    assert (await master.get(waiting)).state == QUEUED


# --- explain -------------------------------------------------------------------------------


async def _why(master: WiredMaster, task_id: str) -> str:
    told = await master.tasks.ExplainTask(pb.ExplainTaskRequest(task_id=task_id))
    assert told.sentence.endswith(".")
    assert told.task.spec.task_id == task_id
    assert not told.task.spec.payload
    return pb.WaitReason.Name(told.reason).removeprefix("WAIT_REASON_")


async def test_explain_follows_a_task_through_its_reasons(stored: WiredMaster) -> None:
    (task_id,) = await stored.submit(payload=b"x", retry={"max_attempts": 2})
    assert await _why(stored, task_id) == "NO_WORKER"
    worker = await stored.worker(slots=1)
    assert await _why(stored, task_id) == "IN_LINE"
    await stored.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(name="default"))
    assert await _why(stored, task_id) == "QUEUE_PAUSED"
    await stored.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(name="default"))
    (ticket,) = await worker.request(max_tasks=1)
    assert await _why(stored, task_id) == "UNSPECIFIED"
    (next_id,) = await stored.submit()
    assert await _why(stored, next_id) == "ALL_BUSY"
    await worker.report(failed(ticket))
    assert await _why(stored, task_id) == "BACKING_OFF"
    await stored.registry.DrainWorker(registry_service_pb2.DrainWorkerRequest(worker="w"))
    assert await _why(stored, next_id) == "WORKERS_LEAVING"
    (delayed,) = await stored.submit(delay={"seconds": 5})
    assert await _why(stored, delayed) == "DELAYED"


async def test_explain_names_a_quarantined_task(master: WiredMaster) -> None:
    (task_id,) = await master.submit(max_worker_deaths=1)
    worker = await master.worker()
    (ticket,) = await worker.request()
    await worker.report(failed(ticket, kind=task_pb2.FAILURE_KIND_WORKER_LOST))
    assert await _why(master, task_id) == "QUARANTINED"


async def test_the_largest_payload_result_and_story_fit_one_answer(storage: Storage) -> None:
    settings = {"payload_bytes_max": PAYLOAD_BYTES_MAX}
    assert MasterSettings(**settings).policy().payload_bytes_max == PAYLOAD_BYTES_MAX
    with pytest.raises(ValidationError):
        MasterSettings(payload_bytes_max=PAYLOAD_BYTES_MAX + 1)
    large = b"x" * PAYLOAD_BYTES_MAX
    async with serving(storage, **settings) as master:
        worker = await master.worker()
        (task_id,) = await master.submit(
            payload=large,
            headers={"h": "x" * (limits.HEADERS_BYTES_MAX - 1)},
            retry={"max_attempts": limits.ATTEMPTS_KEPT + 1, "max_backoff": {"seconds": 1}},
        )
        for _ in range(limits.ATTEMPTS_KEPT):
            (ticket,) = await worker.request()
            message = "🐂" * limits.FAILURE_MESSAGE_CHARS_MAX
            details = "🐂" * limits.FAILURE_DETAILS_CHARS_MAX
            await worker.report(failed(ticket, message=message, details=details))
            await master.advance(1_000)
        (ticket,) = await worker.request()
        await worker.report(succeeded(ticket, large))
        task = await master.get(task_id)
        assert (task.spec.payload, task.result.data) == (large, large)
        assert len(task.attempts) == limits.ATTEMPTS_KEPT
