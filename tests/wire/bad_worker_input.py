"""The table of bad requests, continued: what workers and operators get wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bad_input import Row, World, beat, outcome, register

from pullwork.v1 import master_service_pb2 as m
from pullwork.v1 import queue_service_pb2 as q
from pullwork.v1 import registry_service_pb2 as r

_REGISTER, _REQUEST, _REPORT, _BEAT = "Register", "RequestTask", "ReportResult", "Heartbeat"
_LIMIT = "SetQueueLimits"
_TOO_LARGE = b"x" * (1024 * 1024 + 1)


def limits(**wrong: Any) -> Callable[[World], q.SetQueueLimitsRequest]:
    """Makes a change of limits that is wrong in one way."""
    return lambda _: q.SetQueueLimitsRequest(name="x", limits=wrong)


WORKERS = [
    Row(_REGISTER, register(worker_name=""), "worker_name", says="required"),
    Row(_REGISTER, register(worker_name="x" * 129), "worker_name"),
    Row(_REGISTER, register(boot_id=""), "boot_id", says="required"),
    Row(_REGISTER, register(boot_id="x" * 65), "boot_id", says="64"),
    Row(_REGISTER, register(task_types=[]), "task_types", says="empty"),
    Row(_REGISTER, register(task_types=["t", "a b"]), "task_types[1]"),
    Row(_REGISTER, register(task_types=["t"] * 1_025), "task_types", says="1024"),
    Row(_REGISTER, register(queues=["q", ""]), "queues[1]", says="required"),
    Row(_REGISTER, register(queues=["q"] * 65), "queues", says="64"),
    Row(
        _REGISTER,
        register(queues=[f"q{n}" for n in range(64)], task_types=[f"t{n}" for n in range(65)]),
        "task_types",
        says="4096",
    ),
    Row(_REGISTER, register(slots=0), "slots", says="from 1"),
    Row(_REGISTER, register(slots=-1), "slots"),
    Row(_REGISTER, register(slots=10_001), "slots"),
    Row(_REGISTER, register(look_ahead_max=-1), "look_ahead_max"),
    Row(_REGISTER, register(look_ahead_max=10_001), "look_ahead_max"),
    Row(_REGISTER, register(labels={str(n): "" for n in range(65)}), "labels"),
    Row(_REGISTER, register(labels={"l": "x" * 8_192}), "labels"),
    Row(_REGISTER, register(version="x" * 129), "version"),
    Row(_REGISTER, register(held=[{}] * 20_001), "held", says="20000"),
    Row(_REGISTER, register(held=[{"fraction": 1.5}]), "held[0].fraction"),
    Row("TaskIncoming", lambda _: m.TaskIncomingRequest(), "session_id", says="required"),
    Row("TaskIncoming", lambda _: m.TaskIncomingRequest(session_id="x" * 129), "session_id"),
    Row("TaskIncoming", lambda _: m.TaskIncomingRequest(session_id="x"), "", "SESSION_LOST"),
    Row(_REQUEST, lambda _: m.RequestTaskRequest(max_tasks=1), "session_id"),
    Row(
        _REQUEST,
        lambda _: m.RequestTaskRequest(session_id="x", max_tasks=1),
        "",
        "SESSION_LOST",
        "register anew",
    ),
    Row(
        _REQUEST,
        lambda _: m.RequestTaskRequest(session_id="x" * 129, max_tasks=1),
        "session_id",
        says="128",
    ),
    Row(_REQUEST, lambda w: m.RequestTaskRequest(session_id=w.session), "max_tasks"),
    Row(_REQUEST, lambda w: m.RequestTaskRequest(session_id=w.session, max_tasks=-1), "max_tasks"),
    Row(
        _REQUEST,
        lambda w: m.RequestTaskRequest(session_id=w.session, max_tasks=5),
        "max_tasks",
        says="slots",
    ),
    Row(
        _REQUEST,
        lambda w: m.RequestTaskRequest(session_id=w.session, max_tasks=1, wait={"seconds": 61}),
        "wait",
        says="60 s",
    ),
    Row(
        _REQUEST,
        lambda w: m.RequestTaskRequest(session_id=w.session, max_tasks=1, wait={"seconds": -1}),
        "wait",
        says="negative",
    ),
    Row(
        _REQUEST,
        lambda w: m.RequestTaskRequest(session_id=w.session, max_tasks=1, request_id="x" * 65),
        "request_id",
    ),
    Row(_REPORT, outcome(), "outcomes[1]", says="success, failure or released"),
    Row(_REPORT, outcome(lease_token="", released={}), "outcomes[1].lease_token"),
    Row(_REPORT, outcome(lease_token="a.b.c", released={}), "outcomes[1].lease_token"),
    Row(_REPORT, outcome(lease_token="1.1", released={}), "outcomes[1].lease_token", says="ticket"),
    Row(_REPORT, outcome(lease_token=f"{'9' * 30}.1.x", released={}), "outcomes[1].lease_token"),
    Row(_REPORT, outcome(lease_token=f"1.{'9' * 9_999}.x", released={}), "outcomes[1].lease_token"),
    Row(_REPORT, outcome(failure={"kind": 99}), "outcomes[1].failure.kind", says="99"),
    Row(_REPORT, outcome(success={"data": _TOO_LARGE}), "outcomes[1].success.data"),
    Row(_REPORT, outcome(success={"content_type": "x" * 257}), "outcomes[1].success.content_type"),
    Row(
        _REPORT,
        lambda w: m.ReportResultRequest(
            session_id=w.session, outcomes=[{"lease_token": w.token, "released": {}}] * 1_001
        ),
        "outcomes",
        says="1000",
    ),
    Row(
        _REPORT,
        lambda w: m.ReportResultRequest(session_id=w.session, request_tasks=-1),
        "request_tasks",
    ),
    Row(
        _REPORT,
        lambda w: m.ReportResultRequest(
            session_id=w.session,
            outcomes=[{"lease_token": w.token, "released": {}}],
            request_tasks=5,
        ),
        "request_tasks",
        says="slots",
    ),
    Row(
        _REPORT,
        lambda w: m.ReportResultRequest(
            session_id="x", outcomes=[{"lease_token": w.token, "released": {}}]
        ),
        "",
        "SESSION_LOST",
    ),
    Row(_BEAT, lambda _: m.HeartbeatRequest(), "session_id"),
    Row(_BEAT, lambda _: m.HeartbeatRequest(session_id="x"), "", "SESSION_LOST"),
    Row(_BEAT, beat(fraction=1.01), "held[0].fraction", says="from 0 to 1"),
    Row(_BEAT, beat(fraction=-0.01), "held[0].fraction"),
    Row(_BEAT, beat(fraction=float("nan")), "held[0].fraction"),
    Row(_BEAT, beat(checkpoint=b"x" * (256 * 1024 + 1)), "held[0].checkpoint", says="262144"),
    Row(
        _BEAT,
        lambda w: m.HeartbeatRequest(session_id=w.session, held=[{}] * 20_001),
        "held",
    ),
    Row("Deregister", lambda _: m.DeregisterRequest(), "session_id"),
    Row("Deregister", lambda _: m.DeregisterRequest(session_id="x" * 129), "session_id"),
    Row(
        "Deregister",
        lambda w: m.DeregisterRequest(session_id=w.session, reason="x" * 1_025),
        "reason",
    ),
]

OPERATORS = [
    Row("GetQueue", lambda _: q.GetQueueRequest(), "name", says="required"),
    Row("GetQueue", lambda _: q.GetQueueRequest(name="a b"), "name"),
    Row("GetQueue", lambda _: q.GetQueueRequest(name="x"), "", "QUEUE_NOT_FOUND"),
    Row("PauseQueue", lambda _: q.PauseQueueRequest(), "name"),
    Row("PauseQueue", lambda _: q.PauseQueueRequest(name="x"), "", "QUEUE_NOT_FOUND"),
    Row("ResumeQueue", lambda _: q.ResumeQueueRequest(), "name"),
    Row("ResumeQueue", lambda _: q.ResumeQueueRequest(name="x"), "", "QUEUE_NOT_FOUND"),
    Row("PurgeQueue", lambda _: q.PurgeQueueRequest(), "name"),
    Row("PurgeQueue", lambda _: q.PurgeQueueRequest(name="x"), "", "QUEUE_NOT_FOUND"),
    Row(_LIMIT, lambda _: q.SetQueueLimitsRequest(limits={"concurrency": 1}), "name"),
    Row(_LIMIT, lambda _: q.SetQueueLimitsRequest(name="x"), "limits", says="name a limit"),
    Row(_LIMIT, limits(tasks_max=-1), "limits.tasks_max", says="from 0 to"),
    Row(_LIMIT, limits(concurrency=-1), "limits.concurrency"),
    Row(_LIMIT, limits(concurrency=1_000_001), "limits.concurrency", says="1000000"),
    Row(_LIMIT, limits(concurrency_per_key=-1), "limits.concurrency_per_key"),
    Row(_LIMIT, limits(rate=-1.0), "limits.rate", says="1/3600"),
    Row(_LIMIT, limits(rate=float("nan")), "limits.rate"),
    Row(_LIMIT, limits(rate=float("inf")), "limits.rate"),
    Row(_LIMIT, limits(rate=1e-4), "limits.rate"),
    Row(_LIMIT, limits(rate=1.0, burst=-1), "limits.burst"),
    Row(_LIMIT, limits(burst=3), "limits.burst", says="set limits.rate, too"),
    Row(_LIMIT, limits(rate=0.0, burst=3), "limits.burst", says="set limits.rate, too"),
    Row(_LIMIT, limits(rate_per_key=1e7), "limits.rate_per_key", says="1,000,000"),
    Row(_LIMIT, limits(burst_per_key=3), "limits.burst_per_key", says="limits.rate_per_key"),
    Row(_LIMIT, limits(weight=101), "limits.weight", says="from 0 to 100"),
    Row("ListWorkers", lambda _: r.ListWorkersRequest(queue="a b"), "queue"),
    Row("ListWorkers", lambda _: r.ListWorkersRequest(task_type="a b"), "task_type"),
    Row("ListWorkers", lambda _: r.ListWorkersRequest(state=99), "state", says="99"),
    Row("ListWorkers", lambda _: r.ListWorkersRequest(page_size=-1), "page_size"),
    Row("ListWorkers", lambda _: r.ListWorkersRequest(page_size=1_001), "page_size", says="1000"),
    Row(
        "ListWorkers", lambda _: r.ListWorkersRequest(page_token="?"), "page_token", says="no page"
    ),
    Row(
        "ListWorkers",
        lambda w: r.ListWorkersRequest(page_token=w.page_token),
        "page_token",
        says="another query",
    ),
    Row("ListMembers", lambda _: r.ListMembersRequest(page_size=-1), "page_size"),
    Row("ListMembers", lambda _: r.ListMembersRequest(page_size=1_001), "page_size", says="1000"),
    Row(
        "ListMembers", lambda _: r.ListMembersRequest(page_token="?"), "page_token", says="no page"
    ),
    Row(
        "ListMembers",
        lambda w: r.ListMembersRequest(page_token=w.page_token),
        "page_token",
        says="another query",
    ),
    Row("DrainWorker", lambda _: r.DrainWorkerRequest(), "worker", says="required"),
    Row("DrainWorker", lambda _: r.DrainWorkerRequest(worker="x"), "", "WORKER_NOT_FOUND"),
    Row("DrainWorker", lambda _: r.DrainWorkerRequest(worker="x" * 129), "worker"),
    Row("EvictWorker", lambda _: r.EvictWorkerRequest(), "worker"),
    Row("EvictWorker", lambda _: r.EvictWorkerRequest(worker="x"), "", "WORKER_NOT_FOUND"),
]
