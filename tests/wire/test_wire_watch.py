"""WatchTasks: what a stream tells from its first message on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from wired_master import (
    WiredMaster,
    ended,
    failed,
    ids_of,
    read,
    read_ids,
    serving,
    succeeded,
    until,
)

from pullwork.channel import MESSAGE_BYTES_MAX
from pullwork.v1 import queue_service_pb2, task_pb2
from pullwork.v1 import task_service_pb2 as pb
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire import watchers

ABSENT_ID = "0198c0de-0000-7000-8000-00000000abcd"
STATES = task_pb2.TaskState


def _states(tasks: Any) -> list[str]:
    return [STATES.Name(task.state).removeprefix("TASK_STATE_") for task in tasks]


@pytest.mark.parametrize("by", [{"owner": "me"}, {"queue": "q"}])
async def test_the_first_message_comes_at_once_and_then_each_end(
    stored: WiredMaster, by: dict[str, str]
) -> None:
    stream, first = await stored.standing_watch(**by)
    assert first.cursor
    assert (list(first.tasks), first.lapse) == ([], False)
    worker = await stored.worker(queues=["q"])
    task_ids = await stored.submit_many(3, owner="me", queue="q", payload=b"x")
    await stored.submit_many(2, owner="you", queue="other")
    await stored.run_all(worker, 3)
    message = await read(stream)
    assert ids_of(message.tasks) == task_ids
    assert [task.revision for task in message.tasks] == [1, 2, 3]
    assert {task.result.data for task in message.tasks} == {b"42"}
    assert {task.spec.payload for task in message.tasks} == {b""}
    assert message.cursor != first.cursor


async def test_only_what_matches_is_told(master: WiredMaster) -> None:
    mine, _ = await master.standing_watch(owner="me")
    line, _ = await master.standing_watch(queue="q")
    worker = await master.worker(queues=["q", "default"])
    (a,) = await master.submit(owner="me")
    (b,) = await master.submit(owner="you", queue="q")
    (c,) = await master.submit(owner="me", queue="q")
    await master.run_all(worker, 3)
    assert sorted(await read_ids(mine, 2)) == sorted([a, c])
    assert sorted(await read_ids(line, 2)) == sorted([b, c])


async def test_ends_of_every_kind_are_told(master: WiredMaster) -> None:
    stream, _ = await master.standing_watch(queue="default")
    worker = await master.worker()
    await master.submit_many(3)
    done, broken = await worker.request(max_tasks=2)
    await worker.report(succeeded(done), failed(broken))
    await master.queues.PurgeQueue(queue_service_pb2.PurgeQueueRequest(name="default"))
    told: list[task_pb2.Task] = []
    while len(told) < 3:
        told += (await read(stream)).tasks
    assert _states(told) == ["SUCCEEDED", "FAILED", "CANCELLED"]
    assert told[1].failure.message == "it broke"


async def test_by_ids_tells_the_unknown_and_what_ended_already_and_ends_with_the_last(
    stored: WiredMaster,
) -> None:
    worker = await stored.worker()
    over, waiting = await stored.submit_many(2)
    await stored.run_all(worker, 1)
    stream, first = await stored.standing_watch(task_ids=[waiting, ABSENT_ID, over])
    assert list(first.unknown_task_ids) == [ABSENT_ID]
    message = await read(stream)
    assert ids_of(message.tasks) == [over]
    await stored.run_all(worker, 1)
    message = await read(stream)
    assert ids_of(message.tasks) == [waiting]
    assert not message.unknown_task_ids
    await ended(stream)


async def test_by_ids_that_are_all_unknown_ends_at_once(master: WiredMaster) -> None:
    stream, first = await master.standing_watch(task_ids=[ABSENT_ID])
    assert list(first.unknown_task_ids) == [ABSENT_ID]
    await ended(stream)


async def test_by_ids_resumed_tells_each_end_once(stored: WiredMaster) -> None:
    worker = await stored.worker(slots=1)
    task_ids = await stored.submit_many(4)
    cursor, told = "", []
    for _ in task_ids:
        await stored.run_all(worker, 1)
        stream, first = await stored.standing_watch(task_ids=task_ids, cursor=cursor)
        assert not first.lapse
        message = await read(stream)
        cursor, told = message.cursor, told + ids_of(message.tasks)
        stream.cancel()
    assert told == task_ids
    stream, _ = await stored.standing_watch(task_ids=task_ids, cursor=cursor)
    await ended(stream)


async def test_by_ids_resumed_from_the_first_message_tells_all(stored: WiredMaster) -> None:
    worker = await stored.worker()
    task_ids = await stored.submit_many(3)
    await stored.run_all(worker, 2)
    stream, first = await stored.standing_watch(task_ids=task_ids)
    stream.cancel()
    await stored.run_all(worker, 1)
    stream, _ = await stored.standing_watch(task_ids=task_ids, cursor=first.cursor)
    assert await read_ids(stream, 3) == task_ids
    await ended(stream)


async def test_by_ids_a_task_retried_after_its_end_was_told_is_told_again(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    await worker.report(failed(ticket))
    stream, _ = await master.standing_watch(task_ids=[task_id])
    cursor = (await read(stream)).cursor
    await master.tasks.RetryTasks(pb.RetryTasksRequest(task_ids=[task_id]))
    stream, _ = await master.standing_watch(task_ids=[task_id], cursor=cursor)
    await master.run_all(worker, 1)
    (again,) = (await read(stream)).tasks
    assert _states([again]) == ["SUCCEEDED"]


async def test_every_change_follows_a_task_through_its_life(stored: WiredMaster) -> None:
    stream, _ = await stored.standing_watch(owner="me", every_change=True)
    worker = await stored.worker()
    (task_id,) = await stored.submit(owner="me", retry={"max_attempts": 2})
    seen = _states((await read(stream)).tasks)
    (ticket,) = await worker.request()
    seen += _states((await read(stream)).tasks)
    await worker.report(failed(ticket))
    seen += _states((await read(stream)).tasks)
    await stored.tasks.CancelTasks(pb.CancelTasksRequest(task_ids=[task_id]))
    seen += _states((await read(stream)).tasks)
    await stored.tasks.RetryTasks(pb.RetryTasksRequest(task_ids=[task_id]))
    seen += _states((await read(stream)).tasks)
    assert seen == ["QUEUED", "RUNNING", "SCHEDULED", "CANCELLED", "QUEUED"]


async def test_every_change_by_ids_begins_with_the_present_state(master: WiredMaster) -> None:
    task_ids = await master.submit_many(2)
    stream, _ = await master.standing_watch(task_ids=task_ids, every_change=True)
    message = await read(stream)
    assert sorted(ids_of(message.tasks)) == sorted(task_ids)
    assert _states(message.tasks) == ["QUEUED", "QUEUED"]


async def test_every_change_resumed_tells_what_has_not_ended(stored: WiredMaster) -> None:
    worker = await stored.worker()
    stream, first = await stored.standing_watch(queue="default", every_change=True)
    stream.cancel()
    over, running = await stored.submit_many(2)
    (waiting,) = await stored.submit(priority=-1)
    done, _ = await worker.request(max_tasks=2)
    await worker.report(succeeded(done))
    stream, _ = await stored.standing_watch(queue="default", every_change=True, cursor=first.cursor)
    told: dict[str, str] = {}
    while len(told) < 3:
        tasks = (await read(stream)).tasks
        told |= dict(zip(ids_of(tasks), _states(tasks), strict=True))
    assert told == {over: "SUCCEEDED", running: "RUNNING", waiting: "QUEUED"}


async def test_changes_that_follow_closely_may_be_told_as_the_last(master: WiredMaster) -> None:
    watcher = watchers.Watcher(owner="me", every_change=True)
    for state in (2, 3, 4):
        watcher.put(task_pb2.Task(spec={"task_id": "a"}, state=state))
    watcher.put(task_pb2.Task(spec={"task_id": "b"}, state=2))
    assert [(each.spec.task_id, each.state) for each in await watcher.take()] == [
        ("a", 4),
        ("b", 2),
    ]


async def test_a_slow_reader_is_told_the_rest_from_disk_in_order_and_once(
    stored: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "MAILBOX_TASKS_MAX", 10)
    stream, _ = await stored.standing_watch(owner="me")
    (watcher,) = stored.watchers()
    worker = await stored.worker(slots=1_000)
    task_ids = await stored.submit_many(700, owner="me")
    tickets = await worker.request(max_tasks=700)
    overflows = 0
    for start in range(0, 700, 70):
        # One report is one step: more ends than a mailbox holds, before the stream can run.
        await worker.report(*[succeeded(each) for each in tickets[start : start + 70]])
        overflows += watcher.overflown
    told: list[task_pb2.Task] = []
    while len(told) < 700:
        told += (await read(stream)).tasks
    assert ids_of(told) == task_ids
    await stored.submit(owner="me", type="t")
    await stored.run_all(worker, 1)
    assert len((await read(stream)).tasks) == 1


async def test_a_mailbox_never_holds_more_than_its_bound() -> None:
    watcher = watchers.Watcher(owner="me")
    for number in range(3 * watchers.MAILBOX_TASKS_MAX):
        watcher.put(task_pb2.Task(spec={"task_id": str(number)}))
    assert watcher.overflown
    assert len(await watcher.take()) <= watchers.MAILBOX_TASKS_MAX


async def test_large_results_are_divided_over_messages(master: WiredMaster) -> None:
    stream, first = await master.standing_watch(owner="me")
    worker = await master.worker(slots=6)
    task_ids = await master.submit_many(6, owner="me")
    for ticket in await worker.request(max_tasks=6):
        await worker.report(succeeded(ticket, b"x" * 1_000_000))
    stream.cancel()
    stream, _ = await master.standing_watch(owner="me", cursor=first.cursor)
    told: list[str] = []
    while len(told) < 6:
        message = await read(stream)
        assert message.ByteSize() < MESSAGE_BYTES_MAX
        told += ids_of(message.tasks)
    assert told == task_ids


async def test_a_watcher_of_what_is_deleted_soon_still_hears_its_end() -> None:
    async with serving(MemoryStorage()) as master:
        stream, _ = await master.standing_watch(owner="me")
        worker = await master.worker()
        (task_id,) = await master.submit(owner="me", retention={})
        await master.run_all(worker, 1)
        await master.advance(2 * master.policy.sweep_every_ms)
        assert await read_ids(stream, 1) == [task_id]


async def test_many_watchers_hear_the_same_at_once(master: WiredMaster) -> None:
    opened = await asyncio.gather(*[master.standing_watch(owner="me") for _ in range(50)])
    worker = await master.worker()
    task_ids = await master.submit_many(4, owner="me")
    await master.run_all(worker, 4)
    for stream, _ in opened:
        assert await read_ids(stream, 4) == task_ids
        stream.cancel()
    await until(lambda: not master.watchers(), "nobody watches any more")
