"""From what is submitted to what the core keeps: every field checked, every default filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import isfinite

from pullwork.ids import new_task_id
from pullwork.v1 import task_pb2
from pullwork_master.core import limits
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Retry, Spec
from pullwork_master.wire import fields

_DEFAULT_RETRY = Retry()
_WORKER_DEATHS_DEFAULT = 3


def submission(specs: Sequence[task_pb2.TaskSpec], policy: Policy, path: str) -> Submit:
    """Makes the command that submits a list; `path` names the list in refusals."""
    tasks = []
    chosen = []
    place = "tasks[{}]." if path == "tasks" else f"{path}."
    for index, spec in enumerate(specs):
        where = place.format(index)
        tasks.append(new_task(spec, policy, where))
        if spec.task_id:
            chosen.append(tasks[-1].spec.id)
    return Submit(tuple(tasks), tuple(chosen), f"{place}task_id")


def new_task(spec: task_pb2.TaskSpec, policy: Policy, where: str) -> NewTask:
    """Checks one task; `where` stands before the field's name in refusals."""
    chosen = bool(spec.task_id)
    task_id = fields.task_id(spec.task_id, f"{where}task_id") if chosen else new_task_id()
    if len(spec.payload) > policy.payload_bytes_max:
        fields.refuse(
            f"{where}payload",
            f"has {len(spec.payload)} bytes; at most {policy.payload_bytes_max} are taken: "
            "store it elsewhere and submit where it is, or raise the master's payload_bytes_max",
        )
    if spec.HasField("not_before") and spec.HasField("delay"):
        fields.refuse(f"{where}delay", "is set together with not_before; set one of them")
    headers: tuple[tuple[str, str], ...] = ()
    if spec.headers:
        entries = dict(spec.headers)
        fields.pairs(entries, f"{where}headers", limits.HEADERS_MAX, limits.HEADERS_BYTES_MAX)
        headers = tuple(sorted(entries.items()))
    deaths = spec.max_worker_deaths or _WORKER_DEATHS_DEFAULT
    made = Spec(
        id=task_id,
        queue=fields.name(spec.queue or "default", f"{where}queue"),
        type=fields.name(spec.type, f"{where}type"),
        payload=spec.payload,
        content_type=fields.text(
            spec.content_type, f"{where}content_type", limits.CONTENT_TYPE_CHARS_MAX
        ),
        headers=headers,
        priority=fields.number(
            spec.priority, f"{where}priority", -limits.PRIORITY_MAX, limits.PRIORITY_MAX
        ),
        not_before_ms=(
            fields.moment_ms(spec.not_before, f"{where}not_before")
            if spec.HasField("not_before")
            else 0
        ),
        execution_timeout_ms=_timeout(spec, "execution_timeout", where),
        progress_timeout_ms=_timeout(spec, "progress_timeout", where),
        retry=retry(spec.retry, f"{where}retry.") if spec.HasField("retry") else _DEFAULT_RETRY,
        max_worker_deaths=fields.number(
            deaths, f"{where}max_worker_deaths", 1, limits.WORKER_DEATHS_MAX
        ),
        owner=fields.text(spec.owner, f"{where}owner", limits.NAME_CHARS_MAX),
        retention_ms=(
            fields.duration_ms(spec.retention, f"{where}retention")
            if spec.HasField("retention")
            else policy.retention_ms
        ),
        unique_key=fields.text(spec.unique_key, f"{where}unique_key", limits.UNIQUE_KEY_CHARS_MAX),
        digest=_digest(spec) if chosen else b"",
    )
    delay_ms = fields.duration_ms(spec.delay, f"{where}delay") if spec.HasField("delay") else 0
    return NewTask(made, delay_ms)


def _timeout(spec: task_pb2.TaskSpec, field: str, where: str) -> int:
    if not spec.HasField(field):  # type: ignore[arg-type]
        return 0
    return fields.duration_ms(getattr(spec, field), where + field, positive=True)


def _digest(spec: task_pb2.TaskSpec) -> bytes:
    """Returns a digest of all that was submitted save owner and id; maps are put in order first.

    A program that was started anew may submit under another owner what it submitted before,
    and an id may be written in large or small letters.
    """
    owner, task_id = spec.owner, spec.task_id
    spec.owner = spec.task_id = ""
    wire = spec.SerializeToString(deterministic=True)
    spec.owner, spec.task_id = owner, task_id
    return hashlib.blake2b(wire, digest_size=16).digest()


def retry(policy: task_pb2.RetryPolicy, where: str) -> Retry:
    """Checks a retry policy."""
    default = _DEFAULT_RETRY
    attempts = policy.max_attempts or default.max_attempts
    multiplier = policy.multiplier or default.multiplier
    if not isfinite(multiplier) or not 1 <= multiplier <= limits.MULTIPLIER_MAX:
        fields.refuse(
            f"{where}multiplier", f"is {multiplier}; it must be from 1 to {limits.MULTIPLIER_MAX}"
        )
    initial_ms = (
        fields.duration_ms(policy.initial_backoff, f"{where}initial_backoff")
        if policy.HasField("initial_backoff")
        else default.initial_ms
    )
    max_ms = (
        fields.duration_ms(policy.max_backoff, f"{where}max_backoff")
        if policy.HasField("max_backoff")
        else max(default.max_ms, initial_ms)
    )
    if max_ms < initial_ms:
        fields.refuse(f"{where}max_backoff", "is shorter than initial_backoff")
    return Retry(
        fields.number(attempts, f"{where}max_attempts", 1, limits.RETRY_ATTEMPTS_MAX),
        initial_ms,
        max_ms,
        multiplier,
    )
