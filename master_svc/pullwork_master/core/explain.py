"""Why is this task where it is? The master's own answer, in one sentence."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import NamedTuple

from pullwork_master.core.book import Book
from pullwork_master.core.limits import AHEAD_COUNTED_MAX
from pullwork_master.core.model import Contact, Failure, FailureKind, Session, State, Task


class Why(IntEnum):
    """The reason for programs; the numbers are the contract's."""

    NOT_WAITING = 0
    NO_WORKER = 1
    ALL_BUSY = 2
    QUEUE_PAUSED = 3
    DELAYED = 4
    BACKING_OFF = 5
    IN_LINE = 6
    QUARANTINED = 7
    WORKERS_LEAVING = 8
    RECONCILING = 9
    QUEUE_CONCURRENCY = 10
    QUEUE_RATE = 11
    KEY_CONCURRENCY = 12
    KEY_RATE = 13


class Explanation(NamedTuple):
    """The answer."""

    sentence: str
    why: Why
    task: Task
    ahead: int = 0


def explain(book: Book, task: Task) -> Explanation:
    """Says why a task is where it is."""
    if task.state is State.QUEUED:
        return _queued(book, task)
    if task.state is State.SCHEDULED:
        return _scheduled(book, task)
    if task.state is State.RUNNING:
        return _running(book, task)
    return _ended(task)


def _seconds(duration_ms: int) -> str:
    """Returns a duration in words: in seconds up to two minutes, then in its two largest units."""
    seconds = max(0, duration_ms) / 1000
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, hours, days = (int(seconds // unit) for unit in (60, 3600, 86400))
    if minutes < 120:
        return f"{minutes} min {int(seconds % 60)} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"


def _pace(rate: float) -> str:
    """Returns a rate, in a second, by the unit in which it is at least one."""
    for each, unit in ((rate, "second"), (rate * 60, "minute")):
        if each >= 1:
            return f"{each:g} tasks a {unit}"
    return f"{rate * 3600:g} tasks an hour"


def _queued(book: Book, task: Task) -> Explanation:
    queue, type_ = task.line
    if book.paused(queue):
        return Explanation(
            f"Queue {queue!r} is paused; resume it to let its tasks go on.", Why.QUEUE_PAUSED, task
        )
    workers = [
        each
        for each in book.sessions.values()
        if not each.ghost and queue in each.queues and type_ in each.types
    ]
    if not workers:
        return Explanation(_no_worker(book, queue, type_), Why.NO_WORKER, task)
    able = [each for each in workers if each.contact is Contact.CONNECTED and not each.draining]
    if not able:
        return Explanation(
            f"Every worker for type {type_!r} in queue {queue!r} is draining or out of contact "
            f"({_names(workers)}).",
            Why.WORKERS_LEAVING,
            task,
        )
    held_back = _held_back(book, task)
    if held_back is not None:
        return held_back
    ahead = _ahead(book, task)
    if all(len(each.held) >= each.slots for each in able):
        slots = sum(each.slots for each in able)
        return Explanation(
            f"Every slot is busy: {_many(len(able), 'worker')} with {_many(slots, 'slot')} for "
            f"type {type_!r} in queue {queue!r}; {_before(book, task, ahead)}.",
            Why.ALL_BUSY,
            task,
            ahead,
        )
    return Explanation(
        f"It is in line: {_before(book, task, ahead)}, and {_many(len(able), 'worker')} for all.",
        Why.IN_LINE,
        task,
        ahead,
    )


def _held_back(book: Book, task: Task) -> Explanation | None:
    """Says which limit of its queue holds a task back; None: none does now."""
    gate, now_ms, key = book.gates[task.spec.queue], book.now.mono_ms, task.spec.limit_key
    queue, limits = gate.queue.name, gate.queue.limits
    if limits.concurrency and gate.running >= limits.concurrency:
        return Explanation(
            f"Queue {queue!r} is at its limit: at most {_many(limits.concurrency, 'task')} "
            f"at once, and {gate.running} run{'s' * (gate.running == 1)}.",
            Why.QUEUE_CONCURRENCY,
            task,
        )
    if opens_ms := gate.opens_ms(now_ms):
        return Explanation(
            f"Queue {queue!r} starts at most {_pace(limits.rate)}; the next may start in "
            f"{_seconds(opens_ms - now_ms)}.",
            Why.QUEUE_RATE,
            task,
        )
    if not key:
        return None
    running = gate.running_by_key.get(key, 0)
    if limits.concurrency_per_key and running >= limits.concurrency_per_key:
        return Explanation(
            f"Limit key {key!r} is at its limit in queue {queue!r}: at most "
            f"{_many(limits.concurrency_per_key, 'task')} at once, and {running} "
            f"run{'s' * (running == 1)}.",
            Why.KEY_CONCURRENCY,
            task,
        )
    if opens_ms := gate.key_opens_ms(key, now_ms):
        return Explanation(
            f"Queue {queue!r} starts at most {_pace(limits.rate_per_key)} for each limit key; "
            f"the next of {key!r} may start in {_seconds(opens_ms - now_ms)}.",
            Why.KEY_RATE,
            task,
        )
    return None


def _no_worker(book: Book, queue: str, type_: str) -> str:
    living = [each for each in book.sessions.values() if not each.ghost]
    knows = [each for each in living if type_ in each.types]
    if knows:
        queues = sorted({name for each in knows for name in each.queues})
        return (
            f"No connected worker for type {type_!r} serves queue {queue!r}; those that know the "
            f"type serve {', '.join(queues)}."
        )
    if living:
        return f"No connected worker, of {len(living)}, knows type {type_!r}."
    return f"No worker is connected, so none knows type {type_!r}."


def _names(sessions: list[Session]) -> str:
    names = sorted(each.name for each in sessions)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _before(book: Book, task: Task, ahead: int) -> str:
    """Says how many are before it; of a task on disk alone only the window's are counted."""
    counted = book.lines[task.line].holds(task)
    return f"{'' if counted else 'at least '}{_many(ahead, 'task')} before it in its line"


def _ahead(book: Book, task: Task) -> int:
    """Counts the tasks of its line before it; those on disk alone only as a lower bound."""
    line = book.lines[task.line]
    held = line.holds(task)
    higher, before = 0, Counter[int]()
    for each in line.tasks():
        if each.spec.priority > task.spec.priority:
            higher += 1
        elif each.spec.priority == task.spec.priority and (
            each.spec.flow != task.spec.flow or each.seq < task.seq or not held
        ):
            before[each.spec.flow] += 1
    # Flows take turns: of each other one as many go first as of its own, or as there are.
    turns = before[task.spec.flow]
    others = sum(min(count, turns) for flow, count in before.items() if flow != task.spec.flow)
    return min(higher + turns + others, AHEAD_COUNTED_MAX)


def _scheduled(book: Book, task: Task) -> Explanation:
    left = _seconds(task.ready_ms - book.now.wall_ms)
    if task.failures:
        return Explanation(
            f"Attempt {task.attempt} failed ({_said(task.failure)}); the next may start in {left}, "
            f"with {task.failures} of {task.spec.retry.max_attempts} attempts used.",
            Why.BACKING_OFF,
            task,
        )
    return Explanation(f"It is delayed and becomes ready in {left}.", Why.DELAYED, task)


def _running(book: Book, task: Task) -> Explanation:
    lease = task.lease
    assert lease is not None
    session = book.sessions[lease.session]
    since = _seconds(book.now.mono_ms - lease.granted_ms)
    if session.ghost:
        return Explanation(
            f"It ran on worker {session.name!r} before the master's restart; the master waits for "
            f"that worker for another {_seconds(session.suspect_until_ms - book.now.mono_ms)}.",
            Why.RECONCILING,
            task,
        )
    doubt = ""
    if session.contact is Contact.SUSPECT:
        left = _seconds(session.suspect_until_ms - book.now.mono_ms)
        doubt = (
            f"; the worker is out of contact ({session.suspect_why}), and the task goes back to "
            f"its queue in {left} unless it returns"
        )
    return Explanation(
        f"It is running on worker {session.name!r} as attempt {task.attempt} for {since}{doubt}.",
        Why.NOT_WAITING,
        task,
    )


def _said(failure: Failure | None) -> str:
    """Returns the first line of a failure's message, to stand inside a sentence."""
    first, *_ = (failure.message if failure else "").strip().splitlines() or ["no message"]
    return first.rstrip(".")


def _ended(task: Task) -> Explanation:
    if task.state is State.SUCCEEDED:
        return Explanation(
            f"It succeeded in attempt {task.attempt} on worker {task.worker!r}.",
            Why.NOT_WAITING,
            task,
        )
    if task.state is State.CANCELLED:
        return Explanation("It was cancelled.", Why.NOT_WAITING, task)
    failure = task.failure
    assert failure is not None
    if failure.kind is FailureKind.WORKER_LOST:
        return Explanation(
            f"It is quarantined: {task.deaths} workers or executors died with it, as many as it "
            f"may cost; the last: {_said(failure)}.",
            Why.QUARANTINED,
            task,
        )
    return Explanation(
        f"It failed after {task.failures} of {task.spec.retry.max_attempts} attempts, as "
        f"{failure.kind.name}: {_said(failure)}.",
        Why.NOT_WAITING,
        task,
    )
