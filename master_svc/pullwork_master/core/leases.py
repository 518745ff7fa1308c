"""The right to run one attempt: granted, kept alive, reported, lost.

A lease stands from its grant until its report, its timeout, a cancellation or the end of
the session that holds it; whatever comes later under its token is refused by name.
"""

from __future__ import annotations

from dataclasses import replace

from pullwork_master.core.book import Book
from pullwork_master.core.commands import (
    Held,
    Outcome,
    Released,
    Success,
    Verdict,
)
from pullwork_master.core.effects import Revoked
from pullwork_master.core.limits import (
    ATTEMPTS_KEPT,
    HISTORY_DETAILS_CHARS_MAX,
    LEASE_LOOK_MS,
    MISSED_HEARTBEATS_MAX,
    PROGRESS_MESSAGE_CHARS_MAX,
)
from pullwork_master.core.model import (
    Attempt,
    AttemptEnd,
    Failure,
    FailureKind,
    Grant,
    Lease,
    Session,
    State,
    Task,
)
from pullwork_master.core.retry import backoff_ms
from pullwork_master.core.timers import LeaseDue
from pullwork_master.core.transitions import Event

# As many digits as always fit into 64 bits: a longer number is none that a disk can hold.
NUMBER_CHARS_MAX = 18

# Attempts that ended so never ran.
UNSTARTED = (AttemptEnd.RELEASED, AttemptEnd.UNDELIVERED)


def parse_token(token: str) -> tuple[int, int, str] | None:
    """Returns (seq, attempt, session) of a lease token; None: it is no token of ours."""
    parts = token.split(".")
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return None
    if max(len(parts[0]), len(parts[1])) > NUMBER_CHARS_MAX:
        return None
    return int(parts[0]), int(parts[1]), parts[2]


def grant(book: Book, task: Task, session: Session) -> Grant:
    """Leases the next attempt of a QUEUED task to a session."""
    now, policy, spec = book.now, book.policy, task.spec
    task.attempt += 1
    task.session = session.id
    task.worker = session.name
    task.started_ms = now.wall_ms
    task.digest = b""
    book.move(task, Event.GRANT)
    lease = task.lease = Lease(task.token, session.id, now.mono_ms)
    if spec.execution_timeout_ms:
        lease.execution_due_ms = now.mono_ms + spec.execution_timeout_ms + policy.overrun_ms
    if spec.progress_timeout_ms:
        lease.progress_due_ms = now.mono_ms + spec.progress_timeout_ms
    watch_timeouts(book, task)
    session.held[task.seq] = task
    former = former_attempt(task, task.attempt) if task.history else 0
    return Grant(lease.token, task.attempt, task.checkpoint, spec, former)


def former_attempt(task: Task, attempt: int) -> int:
    """Returns the last attempt before one that a worker may have begun; 0: none is kept."""
    for line in reversed(task.history):
        if line.number < attempt and line.end not in UNSTARTED:
            return line.number
    return 0


def watch_timeouts(book: Book, task: Task) -> None:
    """Asks for a look at the first moment at which a running attempt may be overdue.

    Or sooner: most attempts end long before their timeouts, and must not pile up in the heap.
    """
    lease = task.lease
    assert lease is not None
    dues = [due for due in (lease.execution_due_ms, lease.progress_due_ms) if due]
    if dues:
        soon_ms = book.now.mono_ms + LEASE_LOOK_MS
        book.timers.add(min(*dues, soon_ms), LeaseDue(task.seq, task.attempt))


def check_timeouts(book: Book, due: LeaseDue) -> None:
    """Fails an attempt that outlived a timeout, and tells its worker to stop."""
    task = book.tasks.get(due.seq)
    if task is None or task.lease is None or task.attempt != due.attempt:
        return
    lease, now_ms = task.lease, book.now.mono_ms
    if lease.execution_due_ms and lease.execution_due_ms <= now_ms:
        message = f"ran longer than its {task.spec.execution_timeout_ms} ms"
    elif lease.progress_due_ms and lease.progress_due_ms <= now_ms:
        message = f"no progress for {task.spec.progress_timeout_ms} ms"
    else:
        watch_timeouts(book, task)
        return
    book.effects.news.append((lease.session, Revoked((lease.token,), message)))
    failure = Failure(FailureKind.TIMEOUT, "pullwork.Timeout", f"attempt {task.attempt} {message}")
    fail(book, task, failure)


def release(book: Book, task: Task) -> None:
    """Takes the lease of a RUNNING task off its session."""
    lease = task.lease
    assert lease is not None
    task.lease = None
    session = book.sessions.get(lease.session)
    if session is not None:
        session.held.pop(task.seq, None)
        book.freed[session.id] = None


def tell_story(
    book: Book, task: Task, end: AttemptEnd, failure: Failure | None, digest: bytes = b""
) -> None:
    """Adds the attempt that just ended to the task's story."""
    if failure is not None and len(failure.details) > HISTORY_DETAILS_CHARS_MAX:
        failure = replace(failure, details=failure.details[-HISTORY_DETAILS_CHARS_MAX:])
    line = Attempt(
        number=task.attempt,
        worker=task.worker,
        session=task.session,
        started_ms=task.started_ms,
        ended_ms=book.now.wall_ms,
        end=end,
        failure=failure,
        digest=digest,
    )
    task.history = (*task.history, line)[-ATTEMPTS_KEPT:]


def succeed(book: Book, task: Task, result: Success, digest: bytes) -> None:
    """Ends a RUNNING task with its result."""
    release(book, task)
    task.result, task.result_content_type = result.payload, result.content_type
    task.failure = None
    task.digest = digest
    book.move(task, Event.SUCCEED)


def fail(book: Book, task: Task, failure: Failure, digest: bytes = b"") -> None:
    """Ends an attempt in failure: another one later, or FAILED."""
    if failure.kind is FailureKind.WORKER_LOST:
        lose(book, task, failure, digest=digest)
        return
    release(book, task)
    task.failures += 1
    task.failure = failure
    task.digest = digest
    tell_story(book, task, AttemptEnd.FAILED, failure, digest)
    again = failure.retryable and failure.kind is not FailureKind.REJECTED
    if again and task.failures < task.spec.retry.max_attempts:
        task.ready_ms = book.now.wall_ms + backoff_ms(task.spec.retry, task.failures, task.seq)
        book.move(task, Event.BACK_OFF)
    else:
        book.move(task, Event.FAIL)


def lose(book: Book, task: Task, failure: Failure, *, digest: bytes = b"") -> None:
    """Ends an attempt whose worker or executor died: back in line, or set aside."""
    release(book, task)
    task.deaths += 1
    task.failure = failure
    task.digest = digest
    tell_story(book, task, AttemptEnd.WORKER_LOST, failure, digest)
    if task.deaths >= task.spec.max_worker_deaths:
        book.move(task, Event.FAIL)
        book.note("task set aside", task_id=task.spec.id, deaths=task.deaths, why=failure.message)
    else:
        book.move(task, Event.LOSE)


def give_back(book: Book, task: Task, end: AttemptEnd, digest: bytes = b"") -> None:
    """Ends an attempt that cost nothing: back in line."""
    release(book, task)
    task.digest = digest
    tell_story(book, task, end, None, digest)
    book.move(task, Event.LOSE)


def report(book: Book, session: Session, outcome: Outcome) -> Verdict:
    """Takes one outcome, if its lease stands and is this session's."""
    parsed = parse_token(outcome.token)
    assert parsed is not None, "the wire layer refuses what is no token"
    seq, attempt, granted_to = parsed
    task = book.tasks.get(seq)
    if task is None:
        return Verdict.UNKNOWN_TASK
    lease = task.lease
    if lease is None or lease.token != outcome.token:
        return _repeated(task, attempt, granted_to, outcome.digest)
    if lease.session != session.id:
        return Verdict.STALE_LEASE
    result = outcome.result
    if isinstance(result, Success):
        succeed(book, task, result, outcome.digest)
    elif isinstance(result, Released):
        give_back(book, task, AttemptEnd.RELEASED, outcome.digest)
    else:
        fail(book, task, result, outcome.digest)
    return Verdict.ACCEPTED


def _repeated(task: Task, attempt: int, granted_to: str, digest: bytes) -> Verdict:
    """Judges an outcome whose lease does not stand: was it accepted before?"""
    accepted = b""
    if task.attempt == attempt and task.session == granted_to and task.state is not State.RUNNING:
        accepted = task.digest
    else:
        for line in task.history:
            if line.number == attempt and line.session == granted_to:
                accepted = line.digest
    if not accepted:
        return Verdict.STALE_LEASE
    return Verdict.ACCEPTED if accepted == digest else Verdict.CONFLICT


def standing(book: Book, token: str, session: Session) -> Task | None:
    """Returns the RUNNING task of a lease that stands and is held by the session."""
    parsed = parse_token(token)
    task = None if parsed is None else book.tasks.get(parsed[0])
    if task is None or task.lease is None or task.lease.token != token:
        return None
    return task if task.lease.session == session.id else None


def inventory(book: Book, session: Session, held: tuple[Held, ...]) -> tuple[str, ...]:
    """Takes note of what a worker holds; returns the tokens that are worth nothing.

    A lease that it does not list twice in a row never reached it, or was dropped.
    """
    abandon = []
    listed = set()
    for item in held:
        task = standing(book, item.token, session)
        if task is None:
            abandon.append(item.token)
        else:
            listed.add(task.seq)
            heard(book, task, item)
    if len(listed) < len(session.held):
        for task in [task for seq, task in session.held.items() if seq not in listed]:
            _missed(book, task)
    return tuple(abandon)


def repeat(book: Book, task: Task) -> None:
    """Takes note that a lease's ticket is on its way again."""
    assert task.lease is not None
    task.lease.repeated_ms = book.now.mono_ms
    task.lease.missed = 0


def _missed(book: Book, task: Task) -> None:
    lease = task.lease
    assert lease is not None
    if book.now.mono_ms - max(lease.granted_ms, lease.repeated_ms) < book.policy.heartbeat_ms:
        return  # the answer with the ticket may still be on its way
    lease.missed += 1
    if lease.missed >= MISSED_HEARTBEATS_MAX:
        book.note("ticket never arrived", task_id=task.spec.id, session=lease.session)
        give_back(book, task, AttemptEnd.UNDELIVERED)


def heard(book: Book, task: Task, item: Held) -> None:
    """Takes note of what an inventory says of one attempt."""
    lease = task.lease
    assert lease is not None
    lease.missed = 0
    lease.started = item.started
    if item.fraction is None and item.message is None and item.checkpoint is None:
        return
    if item.fraction is not None:
        lease.fraction = item.fraction
    if item.message is not None:
        lease.message = item.message[:PROGRESS_MESSAGE_CHARS_MAX]
    if item.checkpoint is not None:
        task.checkpoint = item.checkpoint
        book.dirty(task)
    if task.spec.progress_timeout_ms:
        lease.progress_due_ms = book.now.mono_ms + task.spec.progress_timeout_ms
