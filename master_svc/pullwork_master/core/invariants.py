"""What must hold between any two steps; tests call it after each, production never does."""

from __future__ import annotations

from collections import Counter

from pullwork_master.core.book import Book
from pullwork_master.core.model import Contact, Session, State, Task


class BrokenInvariantError(AssertionError):
    """The core contradicts itself: a bug of ours."""


def _require(holds: bool, law: str, *facts: object) -> None:
    if not holds:
        raise BrokenInvariantError(f"{law}: {facts!r}")


def check(book: Book) -> None:
    """Raises BrokenInvariantError unless the settled book agrees with itself."""
    for seq, task in book.tasks.items():
        _check_task(book, seq, task)
    _check_lines(book)
    _check_sessions(book)


def _check_task(book: Book, seq: int, task: Task) -> None:
    _require(seq == task.seq, "a task is kept under its own key", seq, task)
    _require(book.ids.get(task.spec.id) == seq, "a task is found by its id", task)
    running = task.state is State.RUNNING
    _require((task.lease is not None) == running, "a lease stands while RUNNING, and only then")
    _require(not task.state.ended, "an ended task is not kept in memory", task)
    if task.lease is not None:
        holder = book.sessions.get(task.lease.session)
        _require(holder is not None, "a lease is held by a living session", task)
        assert holder is not None
        _require(holder.held.get(seq) is task, "the holder knows what it holds", task)
        _require(task.lease.token == task.token, "the lease is that of the last attempt", task)
    _require(task.failures + task.deaths <= task.attempt, "no cost without an attempt", task)


def _check_lines(book: Book) -> None:
    running = Counter(task.line for task in book.tasks.values() if task.state is State.RUNNING)
    waiting: Counter[str] = Counter()
    for key, line in book.lines.items():
        window = line.window
        waiting[line.queue] += line.queued + line.scheduled
        _require(line.running == running[key], "a line counts what runs", key, line.running)
        _require(line.queued >= len(window), "a window is part of its line", key, line.queued)
        _require(len(window) <= 2 * window.limit, "a window is bounded", key, len(window))
        if window.horizon is None:
            _require(line.queued == len(window), "without a horizon all is in the window", key)
        for seq, task in window.tasks.items():
            _require(task.state is State.QUEUED, "only QUEUED tasks are in a window", task)
            _require(book.tasks.get(seq) is task, "what is in a window is in memory", task)
            within = window.horizon is None or task.key <= window.horizon
            _require(within, "a window ends at its horizon", key, task.key, window.horizon)
        for session_id in (*line.parked, *line.idle):
            _require(session_id in book.sessions, "who waits is alive", key, session_id)
        _require(
            not (line.parked and window.tasks and not book.paused(line.queue)),
            "nobody waits for a task that is there",
            key,
            list(line.parked),
        )
    scheduled = sum(line.scheduled for line in book.lines.values())
    _require(scheduled == book.scheduled, "the schedule counts what its lines count", scheduled)
    for queue, count in book.waiting.items():
        _require(count == waiting[queue], "a queue counts what its lines count", queue, count)


def _check_sessions(book: Book) -> None:
    for session in book.sessions.values():
        _require(session.contact is not Contact.EXPIRED, "an expired session is forgotten", session)
        for seq, task in session.held.items():
            _require(
                book.tasks.get(seq) is task and task.lease is not None,
                "what a session holds is RUNNING",
                session.id,
                task,
            )
            assert task.lease is not None
            _require(task.lease.session == session.id, "one lease has one holder", task)
        _check_place(book, session)


def _check_place(book: Book, session: Session) -> None:
    free = (
        session.contact is Contact.CONNECTED and not session.draining and session.credit > 0
    ) and not session.ghost
    parked = free and session.parked is not None
    idle = free and not parked and session.stream != 0 and not session.hinted
    for key in session.lines:
        line = book.lines.get(key)
        for wanted, members in (
            (parked, line.parked if line else {}),
            (idle, line.idle if line else {}),
        ):
            _require(
                (session.id in members) == wanted,
                "a session waits in its lines while it is free, and only then",
                session.id,
                key,
            )
