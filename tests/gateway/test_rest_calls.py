"""Each call over HTTP is the call over gRPC: the same master, the same answer."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from wired_master import WiredMaster, failed, succeeded

from pullwork.v1 import queue_service_pb2, registry_service_pb2, task_pb2, task_service_pb2

READS = {
    "/tasks/{id}": ("tasks", "GetTask", task_service_pb2.GetTaskRequest(task_id="{id}")),
    "/tasks?page_size=2": (
        "tasks",
        "ListTasks",
        task_service_pb2.ListTasksRequest(page_size=2),
    ),
    "/tasks?filter.states=TASK_STATE_QUEUED&filter.states=TASK_STATE_FAILED&filter.queue=default": (
        "tasks",
        "ListTasks",
        task_service_pb2.ListTasksRequest(
            filter=task_pb2.TaskFilter(
                queue="default",
                states=[task_pb2.TASK_STATE_QUEUED, task_pb2.TASK_STATE_FAILED],
            )
        ),
    ),
    "/tasks/{id}/explain": (
        "tasks",
        "ExplainTask",
        task_service_pb2.ExplainTaskRequest(task_id="{id}"),
    ),
    "/queues": ("queues", "ListQueues", queue_service_pb2.ListQueuesRequest()),
    "/queues/default": ("queues", "GetQueue", queue_service_pb2.GetQueueRequest(name="default")),
    "/members": ("registry", "ListMembers", registry_service_pb2.ListMembersRequest()),
    "/workers?task_type=t": (
        "registry",
        "ListWorkers",
        registry_service_pb2.ListWorkersRequest(task_type="t"),
    ),
}


@pytest.mark.parametrize("path", READS)
async def test_an_answer_is_the_message_that_grpc_answers(
    master: WiredMaster, http: httpx.AsyncClient, path: str
) -> None:
    worker = await master.worker()
    await master.submit_many(3, content_type="text/plain", payload=b"abc", headers={"a": "b"})
    (ticket,) = await worker.request(max_tasks=1)
    await worker.report(failed(ticket))
    stub, call, request = READS[path]
    if hasattr(request, "task_id"):
        request.task_id = ticket.task_id
    expected = await getattr(getattr(master, stub), call)(request)
    answer = await http.get(path.format(id=ticket.task_id))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert json_format.ParseDict(answer.json(), type(expected)()) == expected


async def test_a_task_is_submitted_run_and_read_with_json_all_the_way(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    task = {"queue": "words", "type": "t", "args": {"text": "é", "n": [1, 2.5, None]}}
    answer = await http.post("/tasks", json={"tasks": [task]})
    assert answer.status_code == 200, answer.text
    (receipt,) = answer.json()["receipts"]
    worker = await master.worker(queues=["words"])
    (ticket,) = await worker.request()
    assert ticket.payload.decode() == '{"text":"é","n":[1,2.5,null]}'
    assert ticket.content_type == "application/json"
    await worker.report(succeeded(ticket, b'{"ok": true}'))
    shown = (await http.get(f"/tasks/{receipt['task_id']}")).json()["task"]
    assert shown["state"] == "TASK_STATE_SUCCEEDED"
    assert shown["result"]["json"] == {"ok": True}
    assert base64.b64decode(shown["result"]["data"]) == b'{"ok": true}'
    assert shown["spec"]["args"] == task["args"]


async def test_bytes_travel_as_base64_and_are_not_taken_for_json(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    payload = bytes(range(256))
    task = {"type": "t", "payload": base64.urlsafe_b64encode(payload).decode().rstrip("=")}
    (receipt,) = (await http.post("/tasks", json={"tasks": [task]})).json()["receipts"]
    assert (await master.get(receipt["task_id"])).spec.payload == payload
    spec = (await http.get(f"/tasks/{receipt['task_id']}")).json()["task"]["spec"]
    assert base64.b64decode(spec["payload"]) == payload
    assert "args" not in spec


@pytest.mark.parametrize("data", [b"NaN", b"{", b"\xff", b"[" * 50_000, b'"\\ud800"'], ids=repr)
async def test_what_only_calls_itself_json_is_shown_as_bytes(
    master: WiredMaster, http: httpx.AsyncClient, data: bytes
) -> None:
    (task_id,) = await master.submit(payload=data, content_type="application/json")
    answer = await http.get(f"/tasks/{task_id}")
    assert answer.status_code == 200, answer.text
    assert base64.b64decode(answer.json()["task"]["spec"]["payload"]) == data


async def test_names_are_taken_in_both_spellings_of_proto(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    tasks = [{"type": "t", "maxWorkerDeaths": 7}, {"type": "t", "max_worker_deaths": 7}]
    receipts = (await http.post("/tasks", json={"tasks": tasks})).json()["receipts"]
    for receipt in receipts:
        assert (await master.get(receipt["task_id"])).spec.max_worker_deaths == 7
    assert len((await http.get("/tasks?pageSize=1")).json()["tasks"]) == 1


async def test_a_run_answers_with_the_end(master: WiredMaster, http: httpx.AsyncClient) -> None:
    worker = await master.worker()
    running = asyncio.create_task(http.post("/tasks/run", json={"type": "t", "args": {}}))
    tickets: list[Any] = []
    while not tickets:
        tickets = await worker.request(wait={"seconds": 10})
    await worker.report(succeeded(tickets[0]))
    assert (await running).json()["task"]["result"]["json"] == 42


async def test_changes_are_made_by_post(master: WiredMaster, http: httpx.AsyncClient) -> None:
    ids = await master.submit_many(3, queue="a/b")
    paused = await http.post("/queues/a%2Fb/pause")
    assert paused.json()["queue"]["paused"] is True
    resumed = await http.post("/queues/a%2Fb/resume", json={})
    assert resumed.json()["queue"]["paused"] is False
    cancelled = await http.post("/tasks/cancel", json={"task_ids": ids[:1]})
    assert cancelled.json() == {"task_ids": ids[:1], "more": False}
    again = await http.post("/tasks/retry", json={"task_ids": ids[:1]})
    assert again.json()["task_ids"] == ids[:1]
    purged = await http.post("/queues/a%2Fb/purge")
    assert purged.json() == {"cancelled": "3"}


async def test_a_worker_is_drained_and_evicted_by_its_name(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    await master.worker("w/1 ü")
    path = "/workers/w%2F1%20%C3%BC"
    assert (await http.post(f"{path}/drain")).json()["worker"]["draining"] is True
    assert (await http.post(f"{path}/evict")).json() == {"requeued": 0}
    assert (await http.get("/workers")).json()["workers"] == []


async def test_a_large_list_is_read_and_written_whole(
    master: WiredMaster, http: httpx.AsyncClient
) -> None:
    tasks = [{"type": "t", "args": {"n": n, "text": "x" * 1_000}} for n in range(1_000)]
    receipts = (await http.post("/tasks", json={"tasks": tasks})).json()["receipts"]
    assert len(receipts) == 1_000
    last = (await http.get(f"/tasks/{receipts[-1]['task_id']}")).json()["task"]
    assert last["spec"]["args"]["n"] == 999
    assert len((await http.get("/tasks?page_size=1000")).json()["tasks"]) == 1_000


async def test_head_tells_what_get_would_and_has_no_body(http: httpx.AsyncClient) -> None:
    for path in ("/queues", "/members/watch", "/openapi.json"):
        answer = await http.head(path)
        assert answer.status_code == 200
        assert answer.content == b""
