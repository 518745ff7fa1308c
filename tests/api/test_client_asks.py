"""What a client can say to a master and hear from it while nobody runs the tasks."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
import sample_tasks
from task_cluster import TaskCluster

from pullwork import (
    Client,
    DeadlineError,
    InvalidFieldError,
    MemberRole,
    PullworkError,
    QueueLimits,
    QueueNotFoundError,
    QueueUse,
    TaskCancelledError,
    TaskEndedError,
    TaskFilter,
    TaskInfo,
    TaskNotFoundError,
    TaskNotRetryableError,
    TaskState,
    UnavailableError,
    WaitReason,
    WorkerNotFoundError,
)

ADD = sample_tasks.add.with_args(1, b=2)


async def test_lists_are_filtered(quiet: Client, queue: str) -> None:
    kept = await quiet.submit(ADD, queue=queue)
    gone = await quiet.submit(sample_tasks.hold.with_args(), queue=queue)
    await gone.cancel()

    async def ids(**filters: Any) -> list[str]:
        return [task.id async for task in quiet.list(**filters)]

    assert await ids(queue=queue) == [gone.id, kept.id]
    assert await ids(queue=queue, type="sample.add") == [kept.id]
    assert await ids(queue=queue, states=[TaskState.CANCELLED]) == [gone.id]
    assert await ids(owner=quiet.owner) == [gone.id, kept.id]
    assert await ids(owner="nobody") == []


async def test_explain_says_that_no_worker_knows_the_type(quiet: Client, queue: str) -> None:
    handle = await quiet.submit_raw("nobody.knows", b"{}", queue=queue)
    explained = await handle.explain()
    assert explained.reason is WaitReason.NO_WORKER
    assert "nobody.knows" in explained.sentence
    assert explained.task.id == handle.id


async def test_a_cancelled_task_can_be_retried(quiet: Client, queue: str) -> None:
    handle = await quiet.submit(ADD, queue=queue)
    assert await quiet.cancel(handle.id) == [handle.id]
    with pytest.raises(TaskCancelledError, match=f"{handle.id} .*was cancelled") as caught:
        await handle
    assert caught.value.task is not None
    assert caught.value.task.state is TaskState.CANCELLED
    assert (await handle.wait()).state is TaskState.CANCELLED
    with pytest.raises(TaskEndedError):
        await handle.cancel()
    assert await quiet.cancel(handle.id, skip_ended=True) == []
    assert await quiet.retry(handle.id) == [handle.id]
    assert (await handle.status()).state is TaskState.QUEUED
    with pytest.raises(TaskNotRetryableError):
        await quiet.retry(handle.id)


async def test_tasks_are_cancelled_and_retried_by_filter(quiet: Client, queue: str) -> None:
    await quiet.submit_many([ADD] * 1200, queue=queue)
    assert await quiet.cancel_all(TaskFilter(queue=queue)) == 1200
    assert await quiet.cancel_all(TaskFilter(queue=queue)) == 0
    assert await quiet.retry_all(TaskFilter(queue=queue)) == 0
    cancelled = TaskFilter(queue=queue, states=[TaskState.CANCELLED])
    assert await quiet.retry_all(cancelled) == 1200
    assert (await quiet.queues.get(queue)).waiting == 1200


async def test_queues_are_paused_resumed_and_purged(quiet: Client, queue: str) -> None:
    await quiet.submit_many([ADD] * 3, queue=queue)
    await quiet.submit(ADD, queue=queue, delay=60)
    assert (await quiet.queues.pause(queue)).paused
    seen = await quiet.queues.get(queue)
    assert (seen.waiting, seen.scheduled, seen.running) == (3, 1, 0)
    assert [(line.type, line.waiting, line.workers) for line in seen.lines] == [
        ("sample.add", 3, 0)
    ]
    assert queue in [it.name for it in await quiet.queues.list()]
    assert not (await quiet.queues.resume(queue)).paused
    assert await quiet.queues.purge(queue) == 4
    assert (await quiet.queues.get(queue)).waiting == 0


async def test_limits_are_changed_by_name_and_what_is_not_named_stays(
    quiet: Client, queue: str
) -> None:
    found = await quiet.queues.set_limits(queue, concurrency=2, rate=0.5, burst=3)
    assert found.limits == QueueLimits(concurrency=2, rate=0.5, burst=3)
    assert found.use == QueueUse(tokens=3, next_token=0.0, keys_held_back=0)
    found = await quiet.queues.set_limits(queue, concurrency=0, weight=3, rate=None)
    assert found.limits == QueueLimits(rate=0.5, burst=3, weight=3)
    found = await quiet.queues.set_limits(queue, clear=True, concurrency_per_key=1)
    assert found.limits == QueueLimits(concurrency_per_key=1)
    assert (await quiet.queues.get(queue)).limits == found.limits
    handle = await quiet.submit(ADD, queue=queue, limit_key="customer-7")
    assert (await quiet.get(handle.id)).limit_key == "customer-7"


async def test_limits_that_make_no_sense_are_refused_by_name(quiet: Client, queue: str) -> None:
    with pytest.raises(InvalidFieldError, match=r"limits\.rate is -1"):
        await quiet.queues.set_limits(queue, rate=-1)
    with pytest.raises(
        InvalidFieldError, match=r"limits\.concurrency is 'many'; it must be a whole"
    ):
        await quiet.queues.set_limits(queue, concurrency="many")  # type: ignore[arg-type]
    with pytest.raises(InvalidFieldError, match="says nothing"):
        await quiet.queues.set_limits(queue)
    with pytest.raises(InvalidFieldError, match="limit_key has 257 characters"):
        await quiet.submit(ADD, queue=queue, limit_key="x" * 257)


async def test_what_does_not_exist_is_not_found(quiet: Client) -> None:
    unknown = str(uuid.uuid4())
    for asking in (
        quiet.get(unknown),
        quiet.explain(unknown),
        quiet.cancel(unknown),
        quiet.retry(unknown),
        quiet.handle(unknown).result(timeout=10),
    ):
        with pytest.raises(TaskNotFoundError, match=unknown):
            await asking
    with pytest.raises(QueueNotFoundError):
        await quiet.queues.pause("never-used")
    with pytest.raises(WorkerNotFoundError):
        await quiet.drain("nobody")
    with pytest.raises(WorkerNotFoundError):
        await quiet.evict("nobody")
    with pytest.raises(InvalidFieldError, match="'x' is no UUID"):
        quiet.handle("x")


async def test_a_master_alone_is_its_only_member(quiet: Client, alone: str) -> None:
    (member,) = await quiet.members()
    assert member.role is MemberRole.MASTER
    assert member.address == alone
    assert await quiet.workers() == []


async def test_every_change_is_told_in_order_and_a_cursor_resumes(
    quiet: Client, queue: str
) -> None:
    watch = await quiet.watch(queue=queue, every_change=True).open()
    handle = await quiet.submit(ADD, queue=queue)
    seen: list[TaskInfo] = [await anext(watch)]
    await handle.cancel()
    async for task in watch:
        seen.append(task)
        if task.state.ended:
            break
    assert [task.state for task in seen] == [TaskState.QUEUED, TaskState.CANCELLED]
    assert {task.id for task in seen} == {handle.id}

    ends = await quiet.watch(queue=queue).open()
    cursor = ends.cursor
    assert cursor
    await ends.aclose()
    missed = await quiet.submit(ADD, queue=queue)
    await missed.cancel()
    assert (await anext(quiet.watch(queue=queue, cursor=cursor))).id == missed.id


async def test_a_watch_by_ids_stops_when_all_have_ended(quiet: Client, queue: str) -> None:
    handles = await quiet.submit_many([ADD] * 3, queue=queue)
    unknown = str(uuid.uuid4())
    watch = await quiet.watch(task_ids=[*(it.id for it in handles), unknown]).open()
    assert watch.unknown_task_ids == (unknown,)
    await quiet.cancel(*(it.id for it in handles))
    assert {task.id async for task in watch} == {it.id for it in handles}


async def test_a_watch_is_of_one_thing(quiet: Client) -> None:
    with pytest.raises(InvalidFieldError, match="exactly one"):
        quiet.watch()
    with pytest.raises(InvalidFieldError, match="exactly one"):
        quiet.watch(owner="a", queue="b")


async def test_waiting_ends_with_the_timeout_and_the_task_goes_on(
    quiet: Client, queue: str
) -> None:
    handle = await quiet.submit(ADD, queue=queue)
    with pytest.raises(DeadlineError, match=r"did not end within 0\.05 s; it goes on"):
        await handle.result(timeout=0.05)
    assert not handle.done()
    assert (await handle.status()).state is TaskState.QUEUED


async def test_a_client_is_used_inside_async_with(alone: str) -> None:
    client = Client(alone)
    with pytest.raises(PullworkError, match="use it as `async with Client"):
        await client.submit(ADD)
    async with client:
        await client.members()
    for asking in (client.submit(ADD), client.members(), anext(client.watch(owner="me"))):
        with pytest.raises(UnavailableError, match="this client is closed"):
            await asking
    with pytest.raises(PullworkError, match="a client is used once"):
        await client.__aenter__()


async def test_who_submits_hears_that_the_client_was_closed(free_port: int) -> None:
    async with Client(f"127.0.0.1:{free_port}") as client:
        submitting = asyncio.ensure_future(client.submit(ADD))
        await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="this client is closed"):
        await submitting


async def test_who_watches_hears_that_the_client_was_closed(alone: str) -> None:
    async with Client(alone) as client:
        watch = await client.watch(owner="nobody").open()
        changes = client.watch_registry()
        await anext(changes)
        reading = [asyncio.ensure_future(anext(it)) for it in (watch, changes)]
        await asyncio.sleep(0)
    for it in reading:
        with pytest.raises(UnavailableError, match="this client is closed"):
            await it


async def test_who_asks_hears_that_the_client_was_closed(new_cluster: TaskCluster) -> None:
    master = await new_cluster.master()
    async with Client(new_cluster.address) as client:
        await client.members()
        master.freeze()
        asking = [
            asyncio.ensure_future(it)
            for it in (client.members(), client.retry(str(uuid.uuid4())), client.submit(ADD))
        ]
        await asyncio.wait(asking, timeout=0.1)
    for it in asking:
        with pytest.raises(UnavailableError, match="this client is closed"):
            await it


async def test_who_waits_hears_that_the_client_was_closed(alone: str, queue: str) -> None:
    async with Client(alone) as client:
        handle = await client.submit(ADD, queue=queue)
        waiting = asyncio.ensure_future(handle.result())
        await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="this client is closed"):
        await waiting
