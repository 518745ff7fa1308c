"""How tasks get to a master, and what is said of those that don't."""

from __future__ import annotations

import asyncio
import datetime
import math
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sample_tasks
from task_cluster import TaskCluster, until

from pullwork import (
    Client,
    InvalidFieldError,
    PullworkError,
    QueueFullError,
    Retry,
    TaskCancelledError,
    TaskFilter,
    TaskIdConflictError,
    TaskState,
)

ADD = sample_tasks.add.with_args(1, b=2)


async def test_what_was_submitted_is_there_as_it_was_said(quiet: Client, queue: str) -> None:
    handle = await quiet.submit(
        ADD,
        queue=queue,
        priority=7,
        delay=60,
        headers={"trace": "1"},
        timeout=1.5,
        progress_timeout=0.25,
        retry=Retry(max_attempts=4, initial_backoff=0.5, max_backoff=9, multiplier=3),
        max_worker_deaths=2,
        retention=90,
        unique_key="one",
    )
    task = await handle.status()
    assert task.id == handle.id
    assert (task.type, task.queue, task.priority, task.owner) == (
        "sample.add",
        queue,
        7,
        quiet.owner,
    )
    assert task.headers == {"trace": "1"}
    assert (task.timeout, task.progress_timeout, task.retention) == (1.5, 0.25, 90)
    assert task.retry == Retry(4, 0.5, 9, 3)
    assert (task.max_worker_deaths, task.unique_key) == (2, "one")
    assert task.payload == (b'{"a":1,"b":2}', "application/json")
    assert task.state is TaskState.SCHEDULED
    assert not task.state.ended
    assert task.ready_at is not None
    assert task.created_at is not None
    assert task.ready_at - task.created_at == datetime.timedelta(seconds=60)
    assert task.worker == ""
    assert (task.progress, task.result, task.failure, task.ended_at) == (None,) * 4


async def test_what_the_task_says_holds_where_the_submission_is_silent(
    quiet: Client, queue: str
) -> None:
    call = sample_tasks.fail_until.with_args(1)
    as_said = await (await quiet.submit(call, queue=queue)).status()
    assert as_said.retry.max_attempts == 5
    otherwise = await (await quiet.submit(call, queue=queue, retry=None)).status()
    assert otherwise.retry.max_attempts == 1


async def test_not_before_is_a_moment(quiet: Client, queue: str) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    task = await (await quiet.submit(ADD, queue=queue, not_before=moment)).status()
    assert task.ready_at is not None
    assert abs(task.ready_at - moment) < datetime.timedelta(milliseconds=2)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"priority": 101}, "priority"),
    ({"delay": -1}, "delay"),
    ({"delay": math.inf}, "delay"),
    ({"timeout": 0}, "execution_timeout"),
    ({"delay": 1, "not_before": datetime.datetime.now(datetime.UTC)}, "delay"),
    ({"not_before": datetime.datetime(2030, 1, 1)}, "not_before"),
    ({"queue": "has space"}, "queue"),
    ({"task_id": "no-uuid"}, "task_id"),
    ({"headers": {"k": "v" * 9000}}, "headers"),
    ({"retention": -1}, "retention"),
    ({"max_worker_deaths": 1000}, "max_worker_deaths"),
    ({"priority": 10**12}, "priority"),
    ({"priority": "high"}, "priority"),
    ({"headers": {"k": 5}}, "headers"),
    ({"limit_key": "\udcff"}, "limit_key"),
    ({"delay": "5s"}, "delay"),
    ({"not_before": "tomorrow"}, "not_before"),
    ({"retry": 3}, "retry"),
    ({"prioritty": 5}, "prioritty"),
]


@pytest.mark.parametrize(("options", "field"), BAD, ids=lambda it: str(it)[:30])
async def test_a_bad_option_is_refused_by_its_name(
    quiet: Client, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        await quiet.submit(ADD, **options)
    assert caught.value.field.startswith(field)
    assert "tasks[" not in str(caught.value)


async def test_an_option_that_does_not_exist_is_told_with_the_near_one(quiet: Client) -> None:
    unknown: dict[str, Any] = {"prioritty": 5}
    told = r"no option 'prioritty' \(did you mean priority\?\)"
    with pytest.raises(InvalidFieldError, match=told):
        await quiet.submit(ADD, **unknown)


@pytest.mark.parametrize("size", [2 * 1024 * 1024, 5 * 1024 * 1024])
async def test_a_payload_too_large_is_refused_by_its_size(quiet: Client, size: int) -> None:
    call = sample_tasks.reverse.with_args(bytes(size))
    with pytest.raises(InvalidFieldError, match=r"\d{7} bytes") as caught:
        await quiet.submit(call)
    assert caught.value.field == "payload"


async def test_submissions_of_many_coroutines_travel_together(
    quiet: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    call = quiet._connection.call

    async def counted(method: Any, request: Any, **how: Any) -> Any:
        sizes.append(len(request.tasks))
        return await call(method, request, **how)

    monkeypatch.setattr(quiet._connection, "call", counted)
    handles = await asyncio.gather(*(quiet.submit(ADD, queue=queue) for _ in range(2500)))
    assert len({handle.id for handle in handles}) == 2500
    assert sum(sizes) == 2500
    assert len(sizes) <= 6
    assert max(sizes) == 1000


async def test_a_bad_task_refuses_only_itself(quiet: Client, queue: str) -> None:
    known = await quiet.submit(ADD, queue=queue)
    other = sample_tasks.add.with_args(9)
    answers = await asyncio.gather(
        *(quiet.submit(ADD, queue=queue) for _ in range(20)),
        quiet.submit(ADD, queue=queue, priority=101),
        quiet.submit(other, queue=queue, task_id=known.id),
        quiet.submit(ADD, queue="has space"),
        *(quiet.submit(ADD, queue=queue) for _ in range(20)),
        return_exceptions=True,
    )
    refused = [it for it in answers if isinstance(it, BaseException)]
    assert [type(it) for it in refused] == [
        InvalidFieldError,
        TaskIdConflictError,
        InvalidFieldError,
    ]
    assert [it.field for it in refused if isinstance(it, PullworkError)] == [
        "priority",
        "task_id",
        "queue",
    ]
    assert (await quiet.queues.get(queue)).waiting == 41


async def test_a_caller_who_left_before_its_turn_submits_nothing(quiet: Client, queue: str) -> None:
    await quiet.submit(ADD, queue=queue)
    first = asyncio.ensure_future(quiet.submit(ADD, queue=queue))
    second = asyncio.ensure_future(quiet.submit(ADD, queue=queue))
    await asyncio.sleep(0)
    second.cancel()
    await first
    assert (await quiet.queues.get(queue)).waiting == 2


async def test_a_list_is_stored_in_its_order(quiet: Client, queue: str) -> None:
    calls = [sample_tasks.add.with_args(number) for number in range(1500)]
    handles = await quiet.submit_many(calls, queue=queue)
    listed = [task.id async for task in quiet.list(queue=queue)]
    assert listed == [handle.id for handle in reversed(handles)]


async def test_a_list_with_a_bad_call_is_refused_whole(quiet: Client, queue: str) -> None:
    calls = [ADD, sample_tasks.reverse.with_args(bytes(2 * 1024 * 1024)), ADD]
    with pytest.raises(InvalidFieldError) as caught:
        await quiet.submit_many(calls, queue=queue)
    assert caught.value.field == "calls[1].payload"
    assert [task async for task in quiet.list(queue=queue)] == []


async def test_a_unique_key_gives_the_task_that_is_there(
    alone: str, quiet: Client, queue: str
) -> None:
    first = await quiet.submit(ADD, queue=queue, unique_key="k")
    async with Client(alone) as other:
        second = await other.submit(ADD, queue=queue, unique_key="k")
        assert (first.duplicate, second.duplicate) == (False, True)
        assert second.id == first.id
        await first.cancel()
        with pytest.raises(TaskCancelledError):
            await second.result(timeout=10)


async def test_the_same_id_from_another_client_is_the_same_task(
    alone: str, quiet: Client, queue: str
) -> None:
    task_id = str(uuid.uuid4())
    await quiet.submit(ADD, queue=queue, task_id=task_id)
    await quiet.cancel(task_id)
    async with Client(alone) as other:
        again = await other.submit(ADD, queue=queue, task_id=task_id)
        assert (again.id, again.duplicate) == (task_id, True)
        with pytest.raises(TaskCancelledError):
            await again.result(timeout=10)


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a master whose queues hold ten tasks."""
    cluster = TaskCluster(tmp_path, QUEUE_TASKS_MAX="10")
    await cluster.master()
    async with Client(cluster.address) as client:
        yield client
    cluster.close()


async def test_a_full_queue_refuses_its_own_tasks_only(narrow: Client) -> None:
    answers = await asyncio.gather(
        *(narrow.submit(ADD) for _ in range(15)),
        *(narrow.submit(ADD, queue="roomy") for _ in range(5)),
        return_exceptions=True,
    )
    refused = [isinstance(it, QueueFullError) for it in answers]
    assert refused == [False] * 10 + [True] * 5 + [False] * 5
    assert (await narrow.queues.get("default")).waiting == 10


async def test_map_waits_for_room_in_a_full_queue(narrow: Client) -> None:
    handles = [await narrow.submit(ADD) for _ in range(10)]
    with pytest.raises(QueueFullError, match="holds 10 waiting tasks"):
        await narrow.submit(ADD)
    ends = narrow.map(sample_tasks.add, range(25), window=20)

    async def read() -> list[int]:
        return [ended.item async for ended in ends]

    reading = asyncio.ensure_future(read())
    await narrow.cancel(*(handle.id for handle in handles))
    # Nobody runs the tasks here: that they are cancelled is their end, and makes room.
    await until(lambda: emptied(narrow, reading), "all went through the queue")
    assert sorted(await reading) == list(range(25))


async def emptied(client: Client, reading: asyncio.Future[list[int]]) -> bool:
    await client.cancel_all(TaskFilter(queue="default"))
    return reading.done()


async def test_what_is_no_call_is_refused_with_the_remedy(quiet: Client) -> None:
    with pytest.raises(InvalidFieldError, match=r"a call, made by task\.with_args"):
        await quiet.submit(sample_tasks.count_words)  # type: ignore[arg-type]
    with pytest.raises(InvalidFieldError, match=r"a task, made by @task, got <function"):
        quiet.map(sample_tasks.count_words.fn, ["a"])  # type: ignore[arg-type]


async def test_an_id_may_be_written_in_any_form(quiet: Client, queue: str) -> None:
    task_id = uuid.uuid4()
    handle = await quiet.submit(ADD, queue=queue, task_id=str(task_id).upper())
    assert handle.id == str(task_id)
    await quiet.cancel(handle.id)
    with pytest.raises(TaskCancelledError):
        await handle.result(timeout=10)
