"""The queues of nodes belong to services: nobody else fills, empties, holds up or revives them."""

from __future__ import annotations

from typing import Any

import pytest
from wired_master import WiredMaster, failed, refusal

from pullwork.errors import InvalidFieldError, TaskNotRetryableError
from pullwork.v1 import master_service_pb2 as m
from pullwork.v1 import queue_pb2, task_pb2
from pullwork.v1 import queue_service_pb2 as q
from pullwork.v1 import task_service_pb2 as t
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.model import Retry, Spec

QUEUE = "pullwork.node/n1"
TYPE = "pullwork.process"
ID = "0198c0de-0000-7000-8000-000000000001"


async def instance(master: WiredMaster, task_id: str = ID, **more: Any) -> str:
    """Puts a task into a node's queue, as services do."""
    spec = Spec(task_id, QUEUE, TYPE, retry=Retry(max_attempts=1), retention_ms=3_600_000, **more)
    await master.engine.ask(Submit((NewTask(spec),)))
    return task_id


async def node(master: WiredMaster) -> Any:
    """Registers the node."""
    return await master.worker(QUEUE, queues=[QUEUE], task_types=[TYPE])


def _spec() -> task_pb2.TaskSpec:
    return task_pb2.TaskSpec(type="t", queue=QUEUE)


CALLS: list[tuple[str, str, Any, str]] = [
    ("tasks", "SubmitTasks", t.SubmitTasksRequest(tasks=[_spec()]), "tasks[0].queue"),
    ("tasks", "RunTask", t.RunTaskRequest(task=_spec()), "task.queue"),
    (
        "tasks",
        "CancelTasks",
        t.CancelTasksRequest(filter=task_pb2.TaskFilter(queue=QUEUE)),
        "filter.queue",
    ),
    (
        "tasks",
        "RetryTasks",
        t.RetryTasksRequest(filter=task_pb2.TaskFilter(queue=QUEUE)),
        "filter.queue",
    ),
    ("queues", "PauseQueue", q.PauseQueueRequest(name=QUEUE), "name"),
    ("queues", "ResumeQueue", q.ResumeQueueRequest(name=QUEUE), "name"),
    ("queues", "PurgeQueue", q.PurgeQueueRequest(name=QUEUE), "name"),
    (
        "queues",
        "SetQueueLimits",
        q.SetQueueLimitsRequest(name=QUEUE, limits=queue_pb2.QueueLimits(concurrency=1)),
        "name",
    ),
]


@pytest.mark.parametrize(
    ("stub", "method", "request_", "field"), CALLS, ids=lambda it: str(it)[:20]
)
async def test_only_services_change_what_is_in_the_queue_of_a_node(
    master: WiredMaster, stub: str, method: str, request_: Any, field: str
) -> None:
    task_id = await instance(master)
    error = await refusal(getattr(getattr(master, stub), method)(request_))
    assert isinstance(error, InvalidFieldError)
    assert error.field == field
    assert "service" in str(error)
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_QUEUED
    assert set(master.engine.core.book.queues) == {"default", QUEUE}


async def test_the_queue_of_a_node_can_be_looked_at(master: WiredMaster) -> None:
    await instance(master)
    shown = (await master.queues.GetQueue(q.GetQueueRequest(name=QUEUE))).queue
    assert shown.waiting == 1
    chosen = task_pb2.TaskFilter(queue=QUEUE)
    listed = await master.tasks.ListTasks(t.ListTasksRequest(filter=chosen))
    assert len(listed.tasks) == 1


async def test_an_instance_that_ended_is_not_retried(stored: WiredMaster) -> None:
    task_id = await instance(stored)
    worker = await node(stored)
    (ticket,) = await worker.request()
    await worker.report(failed(ticket))
    error = await refusal(stored.tasks.RetryTasks(t.RetryTasksRequest(task_ids=[task_id])))
    assert isinstance(error, TaskNotRetryableError)
    assert "service" in str(error)
    assert (await stored.get(task_id)).state == task_pb2.TASK_STATE_FAILED


async def test_a_filter_chooses_no_instances(stored: WiredMaster) -> None:
    ended = await instance(stored, ID[:-1] + "2")
    worker = await node(stored)
    (ticket,) = await worker.request()
    await worker.report(failed(ticket))
    waiting = await instance(stored)
    (ordinary,) = await stored.submit(queue="pullwork.nodes")
    everything = task_pb2.TaskFilter()
    cancelled = await stored.tasks.CancelTasks(t.CancelTasksRequest(filter=everything))
    assert list(cancelled.task_ids) == [ordinary]
    dead = [task_pb2.TASK_STATE_FAILED, task_pb2.TASK_STATE_CANCELLED]
    chosen = task_pb2.TaskFilter(states=dead)
    retried = await stored.tasks.RetryTasks(t.RetryTasksRequest(filter=chosen))
    # Those that are passed over are not in the way of the end, either.
    assert (list(retried.task_ids), retried.more) == ([ordinary], False)
    assert (await stored.get(waiting)).state == task_pb2.TASK_STATE_QUEUED
    assert (await stored.get(ended)).state == task_pb2.TASK_STATE_FAILED


async def test_an_instance_is_cancelled_by_its_id(master: WiredMaster) -> None:
    task_id = await instance(master)
    await master.tasks.CancelTasks(t.CancelTasksRequest(task_ids=[task_id]))
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_CANCELLED


async def test_a_node_serves_its_own_queue_only_and_under_its_name(master: WiredMaster) -> None:
    good = {"worker_name": QUEUE, "boot_id": "b", "slots": 1, "queues": [QUEUE]}
    for wrong, field in (
        ({"queues": ["default", QUEUE]}, "queues[1]"),
        ({"worker_name": "n1"}, "worker_name"),
        # As a node it would be given instances, which it never fetches.
        ({"queues": ["default"]}, "worker_name"),
        ({"queues": []}, "worker_name"),
        ({"task_types": [TYPE, "t"]}, "task_types[1]"),
    ):
        request = m.RegisterRequest(**({"task_types": [TYPE]} | good | wrong))
        error = await refusal(master.master.Register(request))
        assert isinstance(error, InvalidFieldError)
        assert error.field == field
    assert not master.engine.core.book.sessions


async def test_a_node_is_told_its_cluster_which_outlives_the_master(stored: WiredMaster) -> None:
    worker = await node(stored)
    assert worker.registered.cluster_id == stored.engine.cluster_id
    assert (await stored.worker()).registered.cluster_id == stored.engine.cluster_id
