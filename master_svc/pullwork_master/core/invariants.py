"""What must hold between any two steps; tests call it after each, production never does."""

from __future__ import annotations

from collections import Counter

from pullwork_master.core.book import Book
from pullwork_master.core.gates import Gate
from pullwork_master.core.model import Contact, Session, State, Task
from pullwork_master.core.ready import Line
from pullwork_master.core.window import weigh


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
    _check_services(book)


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
        waiting[line.queue] += line.queued + line.scheduled
        _require(line.name == key and line.gate.lines[line.type] is line, "a line has a gate", key)
        _require(line.running == running[key], "a line counts what runs", key, line.running)
        _check_line(book, line)
        for session_id in (*line.parked, *line.idle):
            _require(session_id in book.sessions, "who waits is alive", key, session_id)
        _check_nobody_waits_in_vain(book, line)
    scheduled = sum(line.scheduled for line in book.lines.values())
    _require(scheduled == book.scheduled, "the schedule counts what its lines count", scheduled)
    weight = sum(line.weight for line in book.lines.values())
    _require(weight == book.room.weight, "the room counts what its lines hold", weight)
    for queue, gate in book.gates.items():
        _require(gate.waiting == waiting[queue], "a queue counts what its lines count", queue)
        _check_gate(book, gate)


def _check_line(book: Book, line: Line) -> None:
    held, weight, queued, aside = 0, 0, 0, 0
    for flow in line.flows.values():
        tasks = [task for lane in flow.lanes.values() for task in lane.tasks.values()]
        size = sum(map(weigh, tasks))
        _require((flow.held, flow.weight) == (len(tasks), size), "a flow counts what it holds")
        _require(flow.queued >= flow.held, "what is in memory is part of its flow", line.name)
        held, weight, queued = held + flow.held, weight + flow.weight, queued + flow.queued
        horizon = flow.horizon
        if horizon is None:
            _require(flow.queued == flow.held, "without a horizon all is in memory", line.name)
        else:
            placed = (flow.place is not None) != (flow.flow in line.shut)
            _require(placed, "what is on disk has its place in the order", line.name, flow.flow)
        for task in tasks:
            _require(task.state is State.QUEUED, "only QUEUED tasks are in a line", task)
            _require(book.tasks.get(task.seq) is task, "what is in a line is in memory", task)
            _require(task.spec.flow == flow.flow, "a task waits in its own flow", task)
            within = horizon is None or task.key <= horizon
            _require(within, "a flow ends at its horizon", line.name, task.key, horizon)
        for lane in flow.lanes.values():
            placed = lane.place is not None or lane.barred
            _require(placed or not lane.tasks, "every lane has its place in the order", lane.key)
            size = sum(map(weigh, lane.tasks.values()))
            _require(lane.weight == size, "a lane counts what it holds", lane.key)
            if lane.barred:
                aside += size
                known = line.gate.aside.get(lane.key, {}).get(lane) is line
                _require(known, "what is set aside is known to its gate", lane.key)
    _require((line.held, line.weight) == (held, weight), "a line counts what it holds", line.name)
    _require(line.aside == aside, "a line counts what it set aside", line.name, line.aside)
    _require(line.queued == queued, "a line counts what its flows count", line.name, queued)


def _check_gate(book: Book, gate: Gate) -> None:
    """Limits hold, and whoever is held back by one is looked at again."""
    running: Counter[str] = Counter()
    for task in book.tasks.values():
        if task.state is State.RUNNING and task.spec.queue == gate.queue.name:
            running[""] += 1
            if task.spec.limit_key:
                running[task.spec.limit_key] += 1
    _require(gate.running == running.pop("", 0), "a queue counts what runs", gate.queue.name)
    _require(gate.running_by_key == dict(running), "a key counts what runs", gate.queue.name)
    now_ms = book.now.mono_ms
    for key, lanes in gate.aside.items():
        if any(lane.barred for lane in lanes):
            held_back = gate.key_room(key, now_ms) <= 0
            _require(held_back, "nothing is set aside without a reason", gate.queue.name, key)
            opens_ms = gate.key_opens_ms(key, now_ms)
            at_ms = gate.looked_at_ms(key)
            woken = running[key] > 0
            if opens_ms:
                woken = at_ms is not None and at_ms <= opens_ms
            _require(woken, "who waits for a token is woken", gate.queue.name, key)


def _check_nobody_waits_in_vain(book: Book, line: Line) -> None:
    """Whoever waits for a task is given it, unless a limit, a pause or its page is in between."""
    now_ms, gate = book.now.mono_ms, line.gate
    if not (line.queued and (line.parked or line.idle)) or gate.queue.paused:
        return
    if gate.room(now_ms) <= 0:
        opens_ms, at_ms = gate.opens_ms(now_ms), gate.looked_at_ms("")
        woken = gate.running > 0
        if opens_ms:
            woken = at_ms is not None and at_ms <= opens_ms
        _require(woken, "who waits for a token is woken", line.name)
        return
    ready = [
        lane
        for flow in line.flows.values()
        for lane in flow.lanes.values()
        if lane.tasks and not lane.barred and gate.key_room(lane.key, now_ms) > 0
    ]
    beyond = any(flow.place is not None for flow in line.flows.values())
    hungry = line.name in book.room.hungry
    told = not line.parked and any(
        each.hinted and _free(each) and line.name in each.lines for each in book.sessions.values()
    )
    _require(
        told or hungry or not (ready or beyond), "nobody waits for a task that is there", line.name
    )


def _free(session: Session) -> bool:
    """Whether a session can take a task now."""
    return session.contact is Contact.CONNECTED and not session.draining and session.credit > 0


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
    free = _free(session) and not session.ghost
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


def _check_services(book: Book) -> None:
    rows = book.services.values()
    revisions = {row.revision for row in rows}
    _require(len(revisions) == len(rows), "no two services have one revision")
    for name, row in book.services.items():
        _require(row.name == name, "a service is kept under its own name", name)
        given = 0 < row.version <= row.revision < book.next_service_revision
        _require(given, "a version is a revision, and both were given out", row)
