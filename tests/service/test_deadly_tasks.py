"""Tasks that hurt the process they run in: each ends as its own FAILED, its neighbours succeed."""

from __future__ import annotations

import asyncio

import pytest
from cluster import Cluster, until
from jobs import echo, endless, fail, hog, leave, segfault, square

from pullwork import Client
from pullwork.errors import TaskFailedError
from pullwork.task_info import FailureKind, TaskState
from pullwork.tasks import Call

DEADLY = {
    "exits": (leave.with_args(), FailureKind.WORKER_LOST, "exit"),
    "segfaults": (segfault.with_args(), FailureKind.WORKER_LOST, "SIGSEGV"),
    "takes all memory": (hog.with_args(), FailureKind.APPLICATION, "MemoryError"),
    "never returns": (endless.with_args(), FailureKind.TIMEOUT, "1"),
    "raises": (fail.with_args("so it is"), FailureKind.APPLICATION, "so it is"),
}


@pytest.mark.parametrize(("call", "kind", "told"), DEADLY.values(), ids=DEADLY)
async def test_a_deadly_task_fails_alone(
    cluster: Cluster, client: Client, call: Call[object], kind: FailureKind, told: str
) -> None:
    worker = cluster.worker("host", "--memory-limit", "2GiB", slots=3)
    deadly = await client.submit(call, max_worker_deaths=2)
    neighbours = await client.submit_many([square.with_args(number) for number in range(50)])
    beside = await client.submit_many([echo.with_args(str(number)) for number in range(50)])
    ended = await deadly.wait(60)
    assert ended.state is TaskState.FAILED
    assert ended.failure is not None
    assert ended.failure.kind is kind
    assert told in f"{ended.failure.type} {ended.failure.message} {ended.failure.details}"
    squares = await asyncio.gather(*(handle.result(30) for handle in neighbours))
    echoes = await asyncio.gather(*(handle.result(30) for handle in beside))
    assert squares == [number * number for number in range(50)]
    assert echoes == [str(number) for number in range(50)]
    assert {(await handle.status()).worker_deaths for handle in neighbours} == {0}
    assert worker.running
    assert await client.run(square.with_args(12)) == 144


async def test_a_payload_that_does_not_fit_is_a_rejected_task(
    cluster: Cluster, client: Client
) -> None:
    cluster.worker("host")
    handle = await client.submit_raw("jobs.square", b'{"numbr": 3}', "application/json")
    with pytest.raises(TaskFailedError) as failed:
        await handle.result(30)
    assert failed.value.task.failure.kind is FailureKind.REJECTED
    assert "number" in failed.value.task.failure.message
    assert await client.run(square.with_args(2)) == 4


async def test_a_cancelled_endless_task_gives_its_slot_back(
    cluster: Cluster, client: Client
) -> None:
    cluster.worker("host", slots=1)
    stuck = await client.submit(endless.with_args(), timeout=None)
    await until(lambda: _runs(client, stuck.id), "the endless task runs")
    await stuck.cancel()
    assert await client.run(square.with_args(6)) == 36
    assert (await stuck.status()).state is TaskState.CANCELLED


async def _runs(client: Client, task_id: str) -> bool:
    return (await client.get(task_id)).state is TaskState.RUNNING
