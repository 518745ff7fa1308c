"""From what the core keeps to what the contract shows."""

from __future__ import annotations

from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.v1 import queue_pb2, task_pb2, worker_pb2
from pullwork_master.core.book import Book
from pullwork_master.core.gates import Gate
from pullwork_master.core.model import (
    Attempt,
    Contact,
    Failure,
    Grant,
    Now,
    Queue,
    Session,
    Spec,
    Task,
)


def moment(ms: int) -> Timestamp:
    """Makes a timestamp of milliseconds since 1970."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def duration(ms: int) -> Duration:
    """Makes a duration of milliseconds, zero or more."""
    return Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def _put(field: Timestamp, ms: int) -> None:
    """Sets a timestamp where it stands: every end has four of them."""
    field.seconds, thousandths = divmod(ms, 1000)
    if thousandths:
        field.nanos = thousandths * 1_000_000


def ticket(grant: Grant) -> worker_pb2.Ticket:
    """Shows a worker what it got."""
    spec = grant.spec
    made = worker_pb2.Ticket(
        lease_token=grant.token,
        task_id=spec.id,
        attempt=grant.attempt,
        type=spec.type,
        payload=spec.payload,
        content_type=spec.content_type,
        owner=spec.owner,
        queue=spec.queue,
        checkpoint=grant.checkpoint,
    )
    if grant.former:
        made.former_attempt = grant.former
    if spec.headers:
        made.headers.update(spec.headers)
    if spec.execution_timeout_ms:
        made.execution_timeout.CopyFrom(duration(spec.execution_timeout_ms))
    if spec.progress_timeout_ms:
        made.progress_timeout.CopyFrom(duration(spec.progress_timeout_ms))
    return made


def failure(kept: Failure) -> task_pb2.Failure:
    """Shows why an attempt did not succeed."""
    return task_pb2.Failure(
        kind=task_pb2.FailureKind.Name(kept.kind),  # type: ignore[arg-type]
        type=kept.type,
        message=kept.message,
        details=kept.details,
        retryable=kept.retryable,
    )


def attempt(kept: Attempt) -> task_pb2.Attempt:
    """Shows one line of a task's story."""
    return task_pb2.Attempt(
        number=kept.number,
        worker=kept.worker,
        session_id=kept.session,
        started_at=moment(kept.started_ms),
        ended_at=moment(kept.ended_ms),
        end=int(kept.end),  # type: ignore[arg-type]
        failure=None if kept.failure is None else failure(kept.failure),
    )


@lru_cache(1024)
def _alike(kept: Spec) -> task_pb2.TaskSpec:
    """Makes what many tasks have in common, for `spec` to copy: that takes a tenth of the time."""
    policy = kept.retry
    made = task_pb2.TaskSpec(
        queue=kept.queue,
        type=kept.type,
        content_type=kept.content_type,
        priority=kept.priority,
        retry=task_pb2.RetryPolicy(
            max_attempts=policy.max_attempts,
            initial_backoff=duration(policy.initial_ms),
            max_backoff=duration(policy.max_ms),
            multiplier=policy.multiplier,
        ),
        max_worker_deaths=kept.max_worker_deaths,
        owner=kept.owner,
        retention=duration(kept.retention_ms),
    )
    if kept.execution_timeout_ms:
        made.execution_timeout.CopyFrom(duration(kept.execution_timeout_ms))
    if kept.progress_timeout_ms:
        made.progress_timeout.CopyFrom(duration(kept.progress_timeout_ms))
    return made


def _fill_spec(made: task_pb2.TaskSpec, kept: Spec, *, payload: bool) -> None:
    alike = kept._replace(
        id="",
        payload=b"",
        headers=(),
        not_before_ms=0,
        unique_key="",
        digest=b"",
        limit_key="",
        flow=0,
    )
    made.CopyFrom(_alike(alike))
    made.task_id = kept.id
    if payload:
        made.payload = kept.payload
    if kept.headers:
        made.headers.update(kept.headers)
    if kept.unique_key:
        made.unique_key = kept.unique_key
    if kept.limit_key:
        made.limit_key = kept.limit_key
    if kept.not_before_ms:
        _put(made.not_before, kept.not_before_ms)


def task(kept: Task, *, payload: bool = False, result: bool = True) -> task_pb2.Task:
    """Shows a task; lists leave out payload and result, watches the payload."""
    made = task_pb2.Task(
        state=int(kept.state),  # type: ignore[arg-type]
        attempt=kept.attempt,
        failures=kept.failures,
        worker_deaths=kept.deaths,
        worker=kept.worker,
        session_id=kept.session,
        revision=kept.revision,
    )
    _fill_spec(made.spec, kept.spec, payload=payload)
    _put(made.created_at, kept.created_ms)
    if kept.history:
        made.attempts.extend([attempt(each) for each in kept.history])
    if kept.ready_ms:
        _put(made.ready_at, kept.ready_ms)
    if kept.started_ms:
        _put(made.started_at, kept.started_ms)
    if kept.ended_ms:
        _put(made.ended_at, kept.ended_ms)
        _put(made.expires_at, kept.expires_ms)
    if kept.failure is not None:
        made.failure.CopyFrom(failure(kept.failure))
    if result and kept.result is not None:
        made.result.data = kept.result
        made.result.content_type = kept.result_content_type
    return made


def with_progress(shown: task_pb2.Task, book: Book) -> task_pb2.Task:
    """Adds what only the core knows of a running attempt, for it never touches the disk."""
    seq = book.ids.get(shown.spec.task_id)
    lease = None if seq is None else book.tasks[seq].lease
    if lease is not None and shown.state == task_pb2.TASK_STATE_RUNNING:
        if lease.fraction or lease.message:
            shown.progress.fraction = lease.fraction
            shown.progress.message = lease.message
        shown.session_id = lease.session
    return shown


def worker(kept: Session, book: Book) -> worker_pb2.Worker:
    """Shows a session."""
    return worker_pb2.Worker(
        session_id=kept.id,
        name=kept.name,
        boot_id=kept.boot_id,
        queues=kept.queues,
        task_types=kept.types,
        slots=kept.slots,
        look_ahead_max=kept.look_ahead_max,
        labels=dict(kept.labels),
        version=kept.version,
        state=int(kept.contact),  # type: ignore[arg-type]
        draining=kept.draining,
        held=len(kept.held),
        load=worker_pb2.Load(
            cpu=kept.load.cpu, memory=kept.load.memory, slots_busy=kept.load.slots_busy
        ),
        registered_at=moment(kept.registered_ms),
        silent_for=duration(max(0, book.now.mono_ms - kept.last_seen_ms)),
        listening=kept.stream != 0,
        parked=kept.parked is not None,
    )


def member(kept: Session) -> worker_pb2.Member:
    """Shows a worker as a node of the cluster."""
    return worker_pb2.Member(
        id=kept.id,
        name=kept.name,
        role=worker_pb2.MEMBER_ROLE_WORKER,
        task_types=kept.types,
        version=kept.version,
        joined_at=moment(kept.registered_ms),
    )


def queue(kept: Queue, book: Book, now: Now) -> queue_pb2.Queue:
    """Shows a queue and its lines."""
    lines = sorted(book.lines_of(kept.name), key=lambda line: line.type)
    serving = [
        each
        for each in book.sessions.values()
        if each.contact is Contact.CONNECTED and kept.name in each.queues
    ]
    return queue_pb2.Queue(
        name=kept.name,
        paused=kept.paused,
        waiting=sum(line.queued for line in lines),
        scheduled=sum(line.scheduled for line in lines),
        running=sum(line.running for line in lines),
        lines=[
            queue_pb2.Line(
                type=line.type,
                waiting=line.queued,
                running=line.running,
                workers=sum(line.type in each.types for each in serving),
            )
            for line in lines
        ],
        created_at=moment(kept.created_ms),
        limits=queue_pb2.QueueLimits(**kept.limits._asdict()),
        use=_use(book.gate(kept.name), now),
    )


def _use(gate: Gate, now: Now) -> queue_pb2.QueueUse:
    made = queue_pb2.QueueUse(keys_held_back=len(gate.aside))
    if gate.queue.limits.rate:
        made.tokens = gate.tokens_now(now.mono_ms)
        opens_ms = gate.opens_ms(now.mono_ms)
        if opens_ms:
            made.next_token.FromMilliseconds(opens_ms - now.mono_ms)
    return made
