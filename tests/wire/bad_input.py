"""The table of bad requests: what is sent, how it is refused, and which field is to blame.

A row is tried against a master with one worker of each kind of standing; `World` names what a
request may refer to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.v1 import master_service_pb2 as m
from pullwork.v1 import task_pb2
from pullwork.v1 import task_service_pb2 as t

ABSENT_ID = "0198c0de-0000-7000-8000-00000000abcd"
LONG = 11 * 365 * 24 * 3600


@dataclass(frozen=True)
class World:
    """What stands in the master that the rows are tried against."""

    store_id: str
    session: str
    token: str
    waiting_id: str
    running_id: str
    ended_id: str
    page_token: str
    node_session: str


class Row(NamedTuple):
    """One bad request; `field` is empty where no field is to blame."""

    method: str
    request: Callable[[World], Any]
    field: str
    reason: str = "INVALID_FIELD"
    says: str = ""


def spec(**wrong: Any) -> Callable[[World], t.SubmitTasksRequest]:
    """Makes a submission whose second task is wrong in one way."""
    good = task_pb2.TaskSpec(type="t")
    bad = task_pb2.TaskSpec(**{"type": "t", **wrong})
    return lambda _: t.SubmitTasksRequest(tasks=[good, bad])


def register(**wrong: Any) -> Callable[[World], m.RegisterRequest]:
    """Makes a registration that is wrong in one way."""
    shape = {"worker_name": "new", "boot_id": "b", "task_types": ["t"], "slots": 1}
    return lambda _: m.RegisterRequest(**(shape | wrong))


def outcome(**outcome: Any) -> Callable[[World], m.ReportResultRequest]:
    """Makes a report whose second outcome is wrong, and whose first alone would be taken."""

    def made(world: World) -> m.ReportResultRequest:
        good = m.Outcome(lease_token=world.token, success={"data": b"1"})
        bad = m.Outcome(**{"lease_token": world.token, **outcome})
        return m.ReportResultRequest(session_id=world.session, outcomes=[good, bad])

    return made


def beat(**held: Any) -> Callable[[World], m.HeartbeatRequest]:
    """Makes a heartbeat about the running task that is wrong in one way."""
    return lambda world: m.HeartbeatRequest(
        session_id=world.session, held=[{"lease_token": world.token, **held}]
    )


def retry(**policy: Any) -> Callable[[World], t.SubmitTasksRequest]:
    """Makes a submission with a bad retry policy."""
    return spec(retry=policy)


def _d(seconds: int = 0, nanos: int = 0) -> Duration:
    return Duration(seconds=seconds, nanos=nanos)


_SUBMIT, _RUN, _LIST, _WATCH = "SubmitTasks", "RunTask", "ListTasks", "WatchTasks"
_CANCEL, _RETRY = "CancelTasks", "RetryTasks"

SPECS = [
    Row(_SUBMIT, spec(type=""), "tasks[1].type", says="required"),
    Row(_SUBMIT, spec(type="a b"), "tasks[1].type", says="A-Z"),
    Row(_SUBMIT, spec(type="x" * 129), "tasks[1].type", says="128"),
    Row(_SUBMIT, spec(type="naïve"), "tasks[1].type"),
    Row(_SUBMIT, spec(type="t\n"), "tasks[1].type"),
    Row(_SUBMIT, spec(queue="a b"), "tasks[1].queue", says="A-Z"),
    Row(_SUBMIT, spec(queue="x" * 129), "tasks[1].queue"),
    Row(_SUBMIT, spec(task_id="12"), "tasks[1].task_id", says="UUID"),
    Row(_SUBMIT, spec(task_id=ABSENT_ID.replace("-", "")), "tasks[1].task_id", says="36"),
    Row(_SUBMIT, spec(task_id="{" + ABSENT_ID[:34] + "}"), "tasks[1].task_id"),
    Row(_SUBMIT, spec(payload=b"x" * (1024 * 1024 + 1)), "tasks[1].payload", says="at most"),
    Row(_SUBMIT, spec(content_type="x" * 257), "tasks[1].content_type", says="256"),
    Row(_SUBMIT, spec(headers={str(n): "" for n in range(65)}), "tasks[1].headers", says="64"),
    Row(_SUBMIT, spec(headers={"h": "x" * 8_192}), "tasks[1].headers", says="8192"),
    Row(_SUBMIT, spec(headers={"h": "€" * 3_000}), "tasks[1].headers", says="8192"),
    Row(_SUBMIT, spec(priority=101), "tasks[1].priority", says="from -100 to 100"),
    Row(_SUBMIT, spec(priority=-101), "tasks[1].priority"),
    Row(_SUBMIT, spec(owner="x" * 129), "tasks[1].owner"),
    Row(_SUBMIT, spec(limit_key="x" * 257), "tasks[1].limit_key", says="256"),
    Row(_SUBMIT, spec(unique_key="x" * 257), "tasks[1].unique_key"),
    Row(_SUBMIT, spec(delay=_d(1), not_before=Timestamp(seconds=1)), "tasks[1].delay", says="one"),
    Row(_SUBMIT, spec(delay=_d(-1)), "tasks[1].delay", says="negative"),
    Row(_SUBMIT, spec(delay=_d(0, -1)), "tasks[1].delay", says="negative"),
    Row(_SUBMIT, spec(delay=_d(LONG)), "tasks[1].delay", says="ten years"),
    Row(_SUBMIT, spec(not_before=Timestamp(seconds=-1)), "tasks[1].not_before", says="1970"),
    Row(_SUBMIT, spec(not_before=Timestamp(seconds=2**62)), "tasks[1].not_before"),
    Row(_SUBMIT, spec(not_before=Timestamp(nanos=-1)), "tasks[1].not_before", says="nanos"),
    Row(_SUBMIT, spec(execution_timeout=_d()), "tasks[1].execution_timeout", says="zero"),
    Row(_SUBMIT, spec(execution_timeout=_d(-5)), "tasks[1].execution_timeout"),
    Row(_SUBMIT, spec(execution_timeout=_d(2**62)), "tasks[1].execution_timeout"),
    Row(_SUBMIT, spec(progress_timeout=_d()), "tasks[1].progress_timeout", says="zero"),
    Row(_SUBMIT, spec(progress_timeout=_d(LONG)), "tasks[1].progress_timeout"),
    Row(_SUBMIT, spec(retention=_d(-1)), "tasks[1].retention", says="negative"),
    Row(_SUBMIT, spec(retention=_d(LONG)), "tasks[1].retention", says="ten years"),
    Row(_SUBMIT, spec(max_worker_deaths=-1), "tasks[1].max_worker_deaths"),
    Row(_SUBMIT, spec(max_worker_deaths=101), "tasks[1].max_worker_deaths", says="100"),
    Row(_SUBMIT, retry(max_attempts=-1), "tasks[1].retry.max_attempts"),
    Row(_SUBMIT, retry(max_attempts=1001), "tasks[1].retry.max_attempts", says="1000"),
    Row(_SUBMIT, retry(multiplier=0.5), "tasks[1].retry.multiplier", says="from 1 to 100"),
    Row(_SUBMIT, retry(multiplier=-2), "tasks[1].retry.multiplier"),
    Row(_SUBMIT, retry(multiplier=100.1), "tasks[1].retry.multiplier"),
    Row(_SUBMIT, retry(multiplier=float("nan")), "tasks[1].retry.multiplier"),
    Row(_SUBMIT, retry(multiplier=float("inf")), "tasks[1].retry.multiplier"),
    Row(_SUBMIT, retry(initial_backoff=_d(-1)), "tasks[1].retry.initial_backoff"),
    Row(_SUBMIT, retry(max_backoff=_d(LONG)), "tasks[1].retry.max_backoff"),
    Row(
        _SUBMIT,
        retry(initial_backoff=_d(9), max_backoff=_d(8)),
        "tasks[1].retry.max_backoff",
        says="initial_backoff",
    ),
    Row(_SUBMIT, lambda _: t.SubmitTasksRequest(), "tasks", says="empty"),
    Row(_SUBMIT, lambda _: t.SubmitTasksRequest(tasks=[{"type": "t"}] * 1_001), "tasks"),
    Row(
        _SUBMIT,
        lambda _: t.SubmitTasksRequest(tasks=[{"type": "t", "payload": b"x" * 900_000}] * 4),
        "tasks",
        says="several calls",
    ),
    Row(
        _SUBMIT,
        lambda w: t.SubmitTasksRequest(tasks=[{"type": "t"}, {"type": "u", "task_id": w.ended_id}]),
        "tasks[1].task_id",
        "TASK_ID_CONFLICT",
        "another id",
    ),
    Row(_RUN, lambda _: t.RunTaskRequest(), "task", says="required"),
    Row(_RUN, lambda _: t.RunTaskRequest(task={}), "task.type"),
    Row(
        _RUN,
        lambda w: t.RunTaskRequest(task={"type": "u", "task_id": w.running_id}),
        "task.task_id",
        "TASK_ID_CONFLICT",
    ),
]

CLIENTS = [
    Row("GetTask", lambda _: t.GetTaskRequest(), "task_id", says="required"),
    Row("GetTask", lambda _: t.GetTaskRequest(task_id="x"), "task_id", says="UUID"),
    Row("GetTask", lambda _: t.GetTaskRequest(task_id=ABSENT_ID), "", "TASK_NOT_FOUND"),
    Row("ExplainTask", lambda _: t.ExplainTaskRequest(task_id="x"), "task_id"),
    Row("ExplainTask", lambda _: t.ExplainTaskRequest(task_id=ABSENT_ID), "", "TASK_NOT_FOUND"),
    Row(_LIST, lambda _: t.ListTasksRequest(page_size=-1), "page_size"),
    Row(_LIST, lambda _: t.ListTasksRequest(page_size=1_001), "page_size", says="1000"),
    Row(_LIST, lambda _: t.ListTasksRequest(page_token="?"), "page_token", says="without one"),
    Row(_LIST, lambda _: t.ListTasksRequest(page_token="é"), "page_token"),
    Row(_LIST, lambda _: t.ListTasksRequest(page_token="MS4y"), "page_token", says="query"),
    Row(
        _LIST,
        lambda w: t.ListTasksRequest(page_token=w.page_token, filter={"queue": "q"}),
        "page_token",
        says="another query",
    ),
    Row(_LIST, lambda _: t.ListTasksRequest(filter={"queue": "a b"}), "filter.queue"),
    Row(_LIST, lambda _: t.ListTasksRequest(filter={"type": "a b"}), "filter.type"),
    Row(_LIST, lambda _: t.ListTasksRequest(filter={"owner": "x" * 129}), "filter.owner"),
    Row(_LIST, lambda _: t.ListTasksRequest(filter={"states": [0]}), "filter.states"),
    Row(_LIST, lambda _: t.ListTasksRequest(filter={"states": [99]}), "filter.states", says="99"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(), "task_ids", says="exactly one"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(owner="o", queue="q"), "task_ids"),
    Row(_WATCH, lambda w: t.WatchTasksRequest(task_ids=[w.ended_id], owner="o"), "task_ids"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(task_ids=[ABSENT_ID, "x"]), "task_ids[1]"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(task_ids=[ABSENT_ID] * 1_001), "task_ids"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(owner="x" * 129), "owner"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(queue="a b"), "queue"),
    Row(_WATCH, lambda _: t.WatchTasksRequest(owner="o", cursor="?"), "cursor", says="without one"),
    Row(_WATCH, lambda w: t.WatchTasksRequest(owner="o", cursor=f"{w.store_id}-x"), "cursor"),
    Row(
        _WATCH,
        lambda w: t.WatchTasksRequest(owner="o", cursor=f"{w.store_id}-{'9' * 30}"),
        "cursor",
    ),
    Row(
        _WATCH,
        lambda w: t.WatchTasksRequest(owner="o", cursor=f"{w.store_id}-999"),
        "cursor",
        says="future",
    ),
    Row(
        _WATCH,
        lambda _: t.WatchTasksRequest(owner="o", cursor=f"{ABSENT_ID}-0"),
        "cursor",
        says="another master",
    ),
    Row(_CANCEL, lambda _: t.CancelTasksRequest(), "task_ids", says="exactly one"),
    Row(_CANCEL, lambda w: t.CancelTasksRequest(task_ids=[w.waiting_id], filter={}), "task_ids"),
    Row(_CANCEL, lambda w: t.CancelTasksRequest(task_ids=[w.waiting_id, "x"]), "task_ids[1]"),
    Row(_CANCEL, lambda w: t.CancelTasksRequest(task_ids=[w.waiting_id] * 1_001), "task_ids"),
    Row(
        _CANCEL,
        lambda w: t.CancelTasksRequest(task_ids=[w.waiting_id, ABSENT_ID]),
        "",
        "TASK_NOT_FOUND",
    ),
    Row(
        _CANCEL,
        lambda w: t.CancelTasksRequest(task_ids=[w.waiting_id, w.ended_id]),
        "",
        "TASK_ENDED",
    ),
    Row(_CANCEL, lambda _: t.CancelTasksRequest(filter={"states": [5]}), "filter.states"),
    Row(_RETRY, lambda _: t.RetryTasksRequest(), "task_ids", says="exactly one"),
    Row(
        _RETRY,
        lambda w: t.RetryTasksRequest(task_ids=[w.running_id]),
        "",
        "TASK_NOT_RETRYABLE",
        "RUNNING",
    ),
    Row(_RETRY, lambda w: t.RetryTasksRequest(task_ids=[w.waiting_id]), "", "TASK_NOT_RETRYABLE"),
    Row(_RETRY, lambda w: t.RetryTasksRequest(task_ids=[w.ended_id]), "", "TASK_NOT_RETRYABLE"),
    Row(_RETRY, lambda _: t.RetryTasksRequest(filter={"states": [2]}), "filter.states"),
]
