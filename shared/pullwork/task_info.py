"""A task as its people see it: what the master told, as plain frozen data."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pullwork.moments import moment, seconds
from pullwork.payload import Encoded
from pullwork.tasks import Retry
from pullwork.v1 import task_pb2, task_service_pb2


class TaskState(enum.StrEnum):
    """Where a task is in its life."""

    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"  # a newer master knows more than this client

    @property
    def ended(self) -> bool:
        """True for SUCCEEDED, FAILED and CANCELLED."""
        return self in _ENDS


_ENDS: Final = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})


class FailureKind(enum.StrEnum):
    """Who is to blame for a failure."""

    APPLICATION = "APPLICATION"
    TIMEOUT = "TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    REJECTED = "REJECTED"
    UNKNOWN = "UNKNOWN"


class AttemptEnd(enum.StrEnum):
    """How one attempt ended."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    WORKER_LOST = "WORKER_LOST"
    RELEASED = "RELEASED"
    CANCELLED = "CANCELLED"
    UNDELIVERED = "UNDELIVERED"
    UNKNOWN = "UNKNOWN"


class WaitReason(enum.StrEnum):
    """Why a task waits, in a form for programs."""

    NONE = "NONE"
    NO_WORKER = "NO_WORKER"
    ALL_BUSY = "ALL_BUSY"
    QUEUE_PAUSED = "QUEUE_PAUSED"
    DELAYED = "DELAYED"
    BACKING_OFF = "BACKING_OFF"
    IN_LINE = "IN_LINE"
    QUARANTINED = "QUARANTINED"
    WORKERS_LEAVING = "WORKERS_LEAVING"
    RECONCILING = "RECONCILING"
    QUEUE_CONCURRENCY = "QUEUE_CONCURRENCY"
    QUEUE_RATE = "QUEUE_RATE"
    KEY_CONCURRENCY = "KEY_CONCURRENCY"
    KEY_RATE = "KEY_RATE"
    UNKNOWN = "UNKNOWN"


_STATES: Final = {
    number: TaskState(name.removeprefix("TASK_STATE_"))
    for name, number in task_pb2.TaskState.items()
    if number
}
_KINDS: Final = {
    number: FailureKind(name.removeprefix("FAILURE_KIND_"))
    for name, number in task_pb2.FailureKind.items()
    if number
}
_ATTEMPT_ENDS: Final = {
    number: AttemptEnd(name.removeprefix("ATTEMPT_END_")) if number else AttemptEnd.RUNNING
    for name, number in task_pb2.AttemptEnd.items()
}
_WAIT_REASONS: Final = {
    number: WaitReason(name.removeprefix("WAIT_REASON_")) if number else WaitReason.NONE
    for name, number in task_service_pb2.WaitReason.items()
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt did not succeed."""

    kind: FailureKind
    type: str
    message: str
    details: str
    retryable: bool

    @classmethod
    def from_proto(cls, failure: task_pb2.Failure) -> Failure:
        """Reads what the master told."""
        kind = _KINDS.get(failure.kind, FailureKind.UNKNOWN)
        retryable = failure.retryable or not failure.HasField("retryable")
        return cls(kind, failure.type, failure.message, failure.details, retryable)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running attempt last said of itself; `fraction` is from 0 to 1."""

    fraction: float
    message: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a task's story."""

    number: int
    worker: str
    session_id: str
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    end: AttemptEnd
    failure: Failure | None

    @classmethod
    def from_proto(cls, attempt: task_pb2.Attempt) -> Attempt:
        """Reads what the master told."""
        return cls(
            number=attempt.number,
            worker=attempt.worker,
            session_id=attempt.session_id,
            started_at=moment(attempt, "started_at"),
            ended_at=moment(attempt, "ended_at"),
            end=_ATTEMPT_ENDS.get(attempt.end, AttemptEnd.UNKNOWN),
            failure=Failure.from_proto(attempt.failure) if attempt.HasField("failure") else None,
        )


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as the master saw it at one moment. Times are UTC, spans are seconds.

    `payload` and `result` are None in lists and where there is none. `failures` counts attempts
    that failed or timed out, `worker_deaths` those whose worker died. `failure` is the end's, or
    the last one of a task that is to be retried; `attempts` are those that did not succeed.
    """

    id: str
    type: str
    queue: str
    state: TaskState
    priority: int
    owner: str
    headers: Mapping[str, str]
    unique_key: str
    limit_key: str
    retry: Retry
    timeout: float | None
    progress_timeout: float | None
    max_worker_deaths: int
    retention: float | None
    attempt: int
    failures: int
    worker_deaths: int
    created_at: datetime.datetime | None
    ready_at: datetime.datetime | None
    started_at: datetime.datetime | None
    ended_at: datetime.datetime | None
    expires_at: datetime.datetime | None
    worker: str
    session_id: str
    progress: Progress | None
    payload: Encoded | None
    result: Encoded | None
    failure: Failure | None
    attempts: tuple[Attempt, ...]
    revision: int

    @classmethod
    def from_proto(cls, task: task_pb2.Task) -> TaskInfo:
        """Reads what the master told."""
        spec = task.spec
        progress = task.progress
        return cls(
            id=spec.task_id,
            type=spec.type,
            queue=spec.queue,
            state=_STATES.get(task.state, TaskState.UNKNOWN),
            priority=spec.priority,
            owner=spec.owner,
            headers=MappingProxyType(dict(spec.headers)),
            unique_key=spec.unique_key,
            limit_key=spec.limit_key,
            retry=_retry(spec.retry),
            timeout=seconds(spec, "execution_timeout"),
            progress_timeout=seconds(spec, "progress_timeout"),
            max_worker_deaths=spec.max_worker_deaths,
            retention=seconds(spec, "retention"),
            attempt=task.attempt,
            failures=task.failures,
            worker_deaths=task.worker_deaths,
            created_at=moment(task, "created_at"),
            ready_at=moment(task, "ready_at"),
            started_at=moment(task, "started_at"),
            ended_at=moment(task, "ended_at"),
            expires_at=moment(task, "expires_at"),
            worker=task.worker,
            session_id=task.session_id,
            progress=Progress(progress.fraction, progress.message)
            if task.HasField("progress")
            else None,
            payload=Encoded(spec.payload, spec.content_type) if spec.payload else None,
            result=Encoded(task.result.data, task.result.content_type)
            if task.HasField("result")
            else None,
            failure=Failure.from_proto(task.failure) if task.HasField("failure") else None,
            attempts=tuple(map(Attempt.from_proto, task.attempts)),
            revision=task.revision,
        )


def _retry(policy: task_pb2.RetryPolicy) -> Retry:
    """Reads a policy with the contract's own defaults for what is absent."""
    initial, longest = seconds(policy, "initial_backoff"), seconds(policy, "max_backoff")
    return Retry(
        max_attempts=policy.max_attempts or 1,
        initial_backoff=1.0 if initial is None else initial,
        max_backoff=300.0 if longest is None else longest,
        multiplier=policy.multiplier or 2.0,
    )


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Chooses tasks; what is set must all match. No states means all."""

    queue: str = ""
    type: str = ""
    owner: str = ""
    states: Sequence[TaskState] = ()

    def to_proto(self) -> task_pb2.TaskFilter:
        """Packs it for a request."""
        return task_pb2.TaskFilter(
            queue=self.queue,
            type=self.type,
            owner=self.owner,
            states=[task_pb2.TaskState.Value(f"TASK_STATE_{state}") for state in self.states],
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is; `ahead` is how many of its line are before it."""

    sentence: str
    reason: WaitReason
    task: TaskInfo
    ahead: int

    @classmethod
    def from_proto(cls, answer: task_service_pb2.ExplainTaskResponse) -> Explanation:
        """Reads what the master told."""
        return cls(
            sentence=answer.sentence,
            reason=_WAIT_REASONS.get(answer.reason, WaitReason.UNKNOWN),
            task=TaskInfo.from_proto(answer.task),
            ahead=answer.ahead,
        )
