"""From what is submitted to what the core keeps: every field checked, every default filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import isfinite

from pullwork.ids import new_task_id
from pullwork.v1 import task_pb2
from pullwork_master.core import limits
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.flows import flow_of
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Retry, Spec
from pullwork_master.core.rejections import Rejection
from pullwork_master.wire import fields

_DEFAULT_RETRY = Retry()
_WORKER_DEATHS_DEFAULT = 3
_TRACE = ("traceparent", "tracestate")


def submission(specs: Sequence[task_pb2.TaskSpec], policy: Policy, path: str) -> Submit:
    """Makes the command that submits a list; `path` names the list in refusals."""
    tasks = []
    chosen = []
    place = "tasks[{}]." if path == "tasks" else f"{path}."
    try:
        for spec in specs:
            made = new_task(spec, policy)
            tasks.append(made)
            if spec.task_id:
                chosen.append(made.spec.id)
    except Rejection as rejection:
        raise fields.within(place.format(len(tasks)), rejection) from None
    return Submit(tuple(tasks), tuple(chosen), f"{place}task_id")


def new_task(spec: task_pb2.TaskSpec, policy: Policy) -> NewTask:
    """Checks one task; refusals name the field as it stands in the task."""
    chosen = bool(spec.task_id)
    task_id = fields.task_id(spec.task_id, "task_id") if chosen else new_task_id()
    if len(spec.payload) > policy.payload_bytes_max:
        fields.refuse(
            "payload",
            f"has {len(spec.payload)} bytes; at most {policy.payload_bytes_max} are taken: "
            "store it elsewhere and submit where it is, or raise the master's payload_bytes_max",
        )
    if spec.HasField("not_before") and spec.HasField("delay"):
        fields.refuse("delay", "is set together with not_before; set one of them")
    headers: tuple[tuple[str, str], ...] = ()
    if spec.headers:
        entries = dict(spec.headers)
        fields.pairs(entries, "headers", limits.HEADERS_MAX, limits.HEADERS_BYTES_MAX)
        headers = tuple(sorted(entries.items()))
    deaths = spec.max_worker_deaths or _WORKER_DEATHS_DEFAULT
    made = Spec(
        id=task_id,
        queue=fields.own_queue(spec.queue or "default", "queue"),
        type=fields.name(spec.type, "type"),
        payload=spec.payload,
        content_type=fields.text(spec.content_type, "content_type", limits.CONTENT_TYPE_CHARS_MAX),
        headers=headers,
        priority=fields.number(
            spec.priority, "priority", -limits.PRIORITY_MAX, limits.PRIORITY_MAX
        ),
        not_before_ms=(
            fields.moment_ms(spec.not_before, "not_before") if spec.HasField("not_before") else 0
        ),
        execution_timeout_ms=_timeout(spec, "execution_timeout"),
        progress_timeout_ms=_timeout(spec, "progress_timeout"),
        retry=retry(spec.retry) if spec.HasField("retry") else _DEFAULT_RETRY,
        max_worker_deaths=fields.number(deaths, "max_worker_deaths", 1, limits.WORKER_DEATHS_MAX),
        owner=fields.text(spec.owner, "owner", limits.NAME_CHARS_MAX),
        retention_ms=(
            fields.duration_ms(spec.retention, "retention")
            if spec.HasField("retention")
            else policy.retention_ms
        ),
        unique_key=fields.text(spec.unique_key, "unique_key", limits.UNIQUE_KEY_CHARS_MAX),
        digest=_digest(spec) if chosen else b"",
        limit_key=fields.text(spec.limit_key, "limit_key", limits.LIMIT_KEY_CHARS_MAX),
        flow=flow_of(spec.owner, spec.limit_key),
    )
    delay_ms = fields.duration_ms(spec.delay, "delay") if spec.HasField("delay") else 0
    return NewTask(made, delay_ms)


def _timeout(spec: task_pb2.TaskSpec, field: str) -> int:
    if not spec.HasField(field):  # type: ignore[arg-type]
        return 0
    return fields.duration_ms(getattr(spec, field), field, positive=True)


def _digest(spec: task_pb2.TaskSpec) -> bytes:
    """Returns a digest of all that was submitted save owner, id and trace; maps are put in order.

    A program that was started anew may submit under another owner and in another trace what it
    submitted before, and an id may be written in large or small letters.
    """
    owner, task_id, headers = spec.owner, spec.task_id, spec.headers
    spec.owner = spec.task_id = ""
    trace = {key: headers[key] for key in _TRACE if key in headers} if headers else {}
    for key in trace:
        del headers[key]
    wire = spec.SerializeToString(deterministic=True)
    spec.owner, spec.task_id = owner, task_id
    if trace:
        headers.update(trace)
    return hashlib.blake2b(wire, digest_size=16).digest()


def retry(policy: task_pb2.RetryPolicy) -> Retry:
    """Checks a retry policy."""
    default = _DEFAULT_RETRY
    attempts = policy.max_attempts or default.max_attempts
    multiplier = policy.multiplier or default.multiplier
    if not isfinite(multiplier) or not 1 <= multiplier <= limits.MULTIPLIER_MAX:
        fields.refuse(
            "retry.multiplier", f"is {multiplier}; it must be from 1 to {limits.MULTIPLIER_MAX}"
        )
    initial_ms = (
        fields.duration_ms(policy.initial_backoff, "retry.initial_backoff")
        if policy.HasField("initial_backoff")
        else default.initial_ms
    )
    max_ms = (
        fields.duration_ms(policy.max_backoff, "retry.max_backoff")
        if policy.HasField("max_backoff")
        else max(default.max_ms, initial_ms)
    )
    if max_ms < initial_ms:
        fields.refuse("retry.max_backoff", "is shorter than initial_backoff")
    return Retry(
        fields.number(attempts, "retry.max_attempts", 1, limits.RETRY_ATTEMPTS_MAX),
        initial_ms,
        max_ms,
        multiplier,
    )
