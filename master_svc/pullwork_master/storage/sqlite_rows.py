"""Between tasks and rows of SQLite. Knows the columns and their order, and nothing of queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pullwork_master.core.model import (
    Attempt,
    AttemptEnd,
    Failure,
    FailureKind,
    Limits,
    Queue,
    Retry,
    Spec,
    State,
    Task,
)

Row = tuple[Any, ...]

_ID_LISTS = (1, 8, 64, 512)

# The columns of `tasks` that may change after the insertion, as `changes` gives them.
CHANGING = (
    "state",
    "attempt",
    "failures",
    "deaths",
    "ready_ms",
    "started_ms",
    "ended_ms",
    "expires_ms",
    "revision",
    "session",
    "worker",
    "digest",
    "failure",
    "history",
    "result_content_type",
    "checkpoint",
    "result",
)
# All columns of `tasks`, as `task_row` gives them.
TASK = (
    "seq",
    "id",
    "queue",
    "type",
    "flow",
    "priority",
    "owner",
    "unique_key",
    "created_ms",
    *CHANGING,
)
# All columns of `specs`, as `spec_row` gives them.
SPEC = (
    "seq",
    "content_type",
    "headers",
    "not_before_ms",
    "execution_timeout_ms",
    "progress_timeout_ms",
    "max_attempts",
    "initial_ms",
    "max_ms",
    "multiplier",
    "max_worker_deaths",
    "retention_ms",
    "limit_key",
    "digest",
    "payload",
)


def id_blob(task_id: str) -> bytes | None:
    """Packs a UUID; None if it is none, and so can't be the id of a stored task."""
    try:
        packed = bytes.fromhex(task_id.replace("-", ""))
    except ValueError:
        return None
    return packed if len(packed) == 16 else None


def id_lists(task_ids: list[str]) -> Iterator[list[bytes]]:
    """Packs UUIDs into lists of few different lengths, so that few statements are prepared.

    A short list is filled up by repeating, which finds nothing twice.
    """
    packed = [blob for blob in map(id_blob, task_ids) if blob is not None]
    for start in range(0, len(packed), _ID_LISTS[-1]):
        part = packed[start : start + _ID_LISTS[-1]]
        length = next(length for length in _ID_LISTS if length >= len(part))
        yield part + part[-1:] * (length - len(part))


def id_text(packed: bytes) -> str:
    """Unpacks a UUID into its canonical form."""
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def changes(task: Task) -> Row:
    """Gives what may have changed, then the key to find the row by."""
    return (
        int(task.state),
        task.attempt,
        task.failures,
        task.deaths,
        task.ready_ms,
        task.started_ms,
        task.ended_ms,
        task.expires_ms or None,
        task.revision or None,
        task.session,
        task.worker,
        task.digest,
        _failure_text(task.failure),
        _history_text(task.history),
        task.result_content_type,
        task.checkpoint,
        task.result,
        task.seq,
    )


def task_row(task: Task) -> Row:
    """Gives the row of `tasks`."""
    spec = task.spec
    return (
        task.seq,
        id_blob(spec.id),
        spec.queue,
        spec.type,
        spec.flow,
        spec.priority,
        spec.owner,
        spec.unique_key,
        task.created_ms,
        *changes(task)[:-1],
    )


def spec_row(task: Task) -> Row:
    """Gives the row of `specs`."""
    spec = task.spec
    retry = spec.retry
    return (
        task.seq,
        spec.content_type,
        json.dumps(dict(spec.headers), ensure_ascii=False) if spec.headers else None,
        spec.not_before_ms,
        spec.execution_timeout_ms,
        spec.progress_timeout_ms,
        retry.max_attempts,
        retry.initial_ms,
        retry.max_ms,
        retry.multiplier,
        spec.max_worker_deaths,
        spec.retention_ms,
        spec.limit_key,
        spec.digest,
        spec.payload,
    )


def queue_row(queue: Queue) -> Row:
    """Gives the row of `queues`."""
    return (queue.name, queue.created_ms, queue.paused, *queue.limits)


def read_queue(row: Row) -> Queue:
    """Makes a queue of the columns of `queues`."""
    return Queue(row[0], row[1], bool(row[2]), Limits(*row[3:]))


def read(row: Row) -> Task:
    """Makes a task of the columns of `TASK`, then those of `SPEC` without its `seq`."""
    seq, packed, queue, type_, flow, priority, owner, unique_key, created_ms = row[:9]
    state, attempt, failures, deaths, ready_ms, started_ms, ended_ms, expires_ms = row[9:17]
    revision, session, worker, digest, failure, history = row[17:23]
    return Task(
        seq=seq,
        spec=_spec(
            row[len(TASK) :],
            id=id_text(packed),
            queue=queue,
            type=type_,
            flow=flow,
            priority=priority,
            owner=owner,
            unique_key=unique_key,
        ),
        state=State(state),
        created_ms=created_ms,
        attempt=attempt,
        failures=failures,
        deaths=deaths,
        ready_ms=ready_ms,
        started_ms=started_ms,
        ended_ms=ended_ms,
        expires_ms=expires_ms or 0,
        revision=revision or 0,
        session=session,
        worker=worker,
        digest=digest,
        failure=_failure(json.loads(failure)) if failure else None,
        history=tuple(_attempt(line) for line in json.loads(history)) if history else (),
        result_content_type=row[23],
        checkpoint=row[24],
        result=row[25],
    )


def _spec(row: Row, **found_by: Any) -> Spec:
    headers = row[1]
    return Spec(
        content_type=row[0],
        headers=tuple(json.loads(headers).items()) if headers else (),
        not_before_ms=row[2],
        execution_timeout_ms=row[3],
        progress_timeout_ms=row[4],
        retry=Retry(*row[5:9]),
        max_worker_deaths=row[9],
        retention_ms=row[10],
        limit_key=row[11],
        digest=row[12],
        payload=row[13],
        **found_by,
    )


def _failure_facts(failure: Failure) -> dict[str, Any]:
    return {
        "kind": failure.kind.name,
        "type": failure.type,
        "message": failure.message,
        "details": failure.details,
        "retryable": failure.retryable,
    }


def _failure(facts: dict[str, Any]) -> Failure:
    return Failure(**{**facts, "kind": FailureKind[facts["kind"]]})


def _failure_text(failure: Failure | None) -> str | None:
    return json.dumps(_failure_facts(failure), ensure_ascii=False) if failure else None


def _history_text(history: tuple[Attempt, ...]) -> str | None:
    if not history:
        return None
    lines = [
        {
            "number": attempt.number,
            "worker": attempt.worker,
            "session": attempt.session,
            "started_ms": attempt.started_ms,
            "ended_ms": attempt.ended_ms,
            "end": attempt.end.name,
            "failure": _failure_facts(attempt.failure) if attempt.failure else None,
            "digest": attempt.digest.hex(),
        }
        for attempt in history
    ]
    return json.dumps(lines, ensure_ascii=False)


def _attempt(facts: dict[str, Any]) -> Attempt:
    failure = facts["failure"]
    return Attempt(
        **{
            **facts,
            "end": AttemptEnd[facts["end"]],
            "failure": _failure(failure) if failure else None,
            "digest": bytes.fromhex(facts["digest"]),
        }
    )
