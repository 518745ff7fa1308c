"""Who gets what: brings the tasks that wait together with the sessions that are free.

Tasks are only ever given to who asked: at once, or to a request that is parked. Who is
free and has not asked is told that there is work, as many as there are tasks.
"""

from __future__ import annotations

from itertools import islice

from pullwork_master.core import leases
from pullwork_master.core.book import Book
from pullwork_master.core.effects import Available
from pullwork_master.core.gates import TURN, Gate
from pullwork_master.core.limits import (
    REQUESTS_REMEMBERED,
    TICKETS_BYTES_MAX,
    TICKETS_MAX,
)
from pullwork_master.core.model import Contact, Grant, Parked, Session, Task
from pullwork_master.core.ready import Line
from pullwork_master.core.timers import ParkedDue

# What a ticket weighs beside its payload, checkpoint and headers, roughly: for the bound on
# an answer's bytes.
TICKET_BYTES = 512
HEADER_BYTES = 8  # tags and lengths of one entry


class Dispatch:
    """Matches lines and sessions."""

    def __init__(self, book: Book) -> None:
        self._book = book

    # --- asking -------------------------------------------------------------------------

    def take(self, session: Session, limit: int) -> tuple[Grant, ...]:
        """Grants up to `limit` tasks: queues in turn by their weights, in a queue the first."""
        limit = min(limit, session.credit, TICKETS_MAX)
        if limit <= 0 or session.draining:
            return ()
        open_ = self._open_gates(session)
        if len(open_) > 1:
            _catch_up([gate for gate, _ in open_])
        book, now_ms = self._book, self._book.now.mono_ms
        grants: list[Grant] = []
        room = TICKETS_BYTES_MAX
        while open_ and len(grants) < limit:
            at = 0 if len(open_) == 1 else min(range(len(open_)), key=lambda at: open_[at][0].turn)
            gate, lines = open_[at]
            task = _next(gate, lines, now_ms)
            if task is None:
                del open_[at]
                continue
            room -= _ticket_bytes(task)
            if room < 0 and grants:
                break
            grants.append(leases.grant(book, task, session))
            if len(open_) > 1:
                gate.turn += TURN // gate.queue.limits.weight
        return tuple(grants)

    def _open_gates(self, session: Session) -> list[tuple[Gate, list[Line]]]:
        """Returns the queues that a session serves and in which tasks for it wait."""
        gates = self._book.gates
        found = []
        for queue in session.queues:
            gate = gates.get(queue)
            if gate is None or not gate.waiting:
                continue
            lines = [
                line
                for type_ in session.types
                if (line := gate.lines.get(type_)) is not None and line.queued
            ]
            if lines:
                found.append((gate, lines))
        return found

    def page_pending(self, session: Session) -> bool:
        """Whether tasks wait for this session on disk alone, so that the next step has them."""
        hungry = self._book.room.hungry
        return bool(hungry) and not session.draining and any(key in hungry for key in session.lines)

    def park(self, session: Session, parked: Parked) -> None:
        """Lets a request wait for its first task; an earlier one is answered with nothing."""
        self.unpark(session)
        session.parked = parked
        self._book.timers.add(parked.due_ms, ParkedDue(session.id, parked.call))
        self.place(session)

    def unpark(self, session: Session, call: int | None = None) -> None:
        """Answers a parked request with nothing; `call`: only if it is that one."""
        parked = session.parked
        if parked is None or (call is not None and parked.call != call):
            return
        session.parked = None
        self._book.effects.answers.append((parked.call, ()))
        self.answered(session, "", ())

    def answered(self, session: Session, request_id: str, grants: tuple[Grant, ...]) -> None:
        """Takes note of the answer to a request, so that it can be repeated.

        Who got tasks knows that there is work, and asks again when free; who got none sleeps,
        and must be told.
        """
        session.hinted = bool(grants)
        if request_id and grants:
            session.answered[request_id] = grants
            if len(session.answered) > REQUESTS_REMEMBERED:
                session.answered.popitem(last=False)
        self.place(session)

    def recall(self, session: Session, request_id: str) -> tuple[Grant, ...] | None:
        """Returns what a request was answered with before, less what has ended since.

        One that is still parked is answered with nothing: its caller came back with another call,
        and the tickets must not go to both.
        """
        if request_id and session.parked is not None and session.parked.request_id == request_id:
            self.unpark(session)
        grants = session.answered.get(request_id) if request_id else None
        if grants is None:
            return None
        standing = []
        for each in grants:
            task = leases.standing(self._book, each.token, session)
            if task is not None:
                leases.repeat(self._book, task)
                standing.append(each)
        return tuple(standing)

    # --- telling ------------------------------------------------------------------------

    def place(self, session: Session) -> None:
        """Puts a session where its lines look for someone: parked, idle, or neither."""
        book = self._book
        book.freed.pop(session.id, None)
        alive = session.contact is Contact.CONNECTED and session.id in book.sessions
        free = alive and not session.draining and session.credit > 0
        parked = free and session.parked is not None
        idle = free and not parked and session.stream != 0 and not session.hinted
        for key in session.lines:
            line = book.lines.get(key)
            if line is None:
                if not (parked or idle):
                    continue
                line = book.line(key)
            for wanted, members in ((parked, line.parked), (idle, line.idle)):
                if wanted:
                    members.setdefault(session.id)
                else:
                    members.pop(session.id, None)
            # Who was told of a task and can't take it, or not now, leaves it to another.
            if (parked or idle or (session.hinted and not free)) and line.queued:
                book.stirred[key] = None
            elif line.empty:
                book.drop(line)

    def run(self) -> None:
        """Serves, at the end of a step, every line in which something stirred."""
        book = self._book
        for session_id in list(book.freed):
            if session_id in book.sessions:
                self.place(book.sessions[session_id])
        book.freed.clear()
        while book.stirred:
            key = next(iter(book.stirred))
            del book.stirred[key]
            line = book.lines.get(key)
            if line is not None and line.queued and (line.parked or line.idle):
                self._serve_parked(line)
                self._tell_idle(line)

    def _serve_parked(self, line: Line) -> None:
        """Shares a line's tasks out among the parked requests, each in turn an equal part."""
        book, now_ms = self._book, self._book.now.mono_ms
        while line.parked and _ready(line, now_ms):
            share = max(1, line.held // len(line.parked))
            # No more of them than there are tasks: thousands may be parked, and one task come.
            for session in [book.sessions[each] for each in islice(line.parked, line.held)]:
                parked = session.parked
                assert parked is not None
                session.parked = None
                grants = self.take(session, min(share, parked.credit))
                assert grants, "who is in line.parked has credit, and the line has tasks"
                self.answered(session, parked.request_id, grants)
                book.effects.answers.append((parked.call, grants))
                if not _ready(line, now_ms):
                    return

    def _tell_idle(self, line: Line) -> None:
        book, now_ms = self._book, self._book.now.mono_ms
        if not (line.idle and self._hopeful(line)):
            return
        most = min(len(line.idle), line.gate.room(now_ms))
        for session_id in list(islice(line.idle, line.startable(most, now_ms))):
            session = book.sessions[session_id]
            session.hinted = True
            book.effects.news.append((session_id, Available(self.available(session))))
            self.place(session)

    def _hopeful(self, line: Line) -> bool:
        """Whether a task of a line may start now, as far as is known without reading its page."""
        now_ms = self._book.now.mono_ms
        return line.queued > 0 and (_ready(line, now_ms) or line.name in self._book.room.hungry)

    def available(self, session: Session) -> tuple[str, ...]:
        """Returns the types that wait and that the session could take now."""
        book = self._book
        if session.draining or session.credit <= 0:
            return ()
        return tuple(
            type_
            for type_ in session.types
            if any(
                (line := book.lines.get((queue, type_))) is not None and self._hopeful(line)
                for queue in session.queues
            )
        )


def _ready(line: Line, now_ms: int) -> bool:
    """Whether a task of a line can be granted now; has the clock watched, if it is held back."""
    gate = line.gate
    if gate.room(now_ms) > 0:
        return line.first(now_ms) is not None
    gate.watch(now_ms)
    return False


def _next(gate: Gate, lines: list[Line], now_ms: int) -> Task | None:
    """Returns the task whose turn it is in a queue, of the lines that a session serves."""
    if gate.room(now_ms) <= 0:
        return None
    if len(lines) == 1:
        return lines[0].first(now_ms)
    first, place = None, None
    for line in lines:
        task = line.first(now_ms)
        if task is not None and (place is None or line.place() < place):
            first, place = task, line.place()
    return first


def _catch_up(gates: list[Gate]) -> None:
    """Lets no queue be further behind than a turn, however long nobody took from it."""
    latest = max(gate.turn for gate in gates)
    for gate in gates:
        gate.turn = max(gate.turn, latest - TURN)


def _ticket_bytes(task: Task) -> int:
    """Returns what a task weighs in an answer: one that is too large can't be sent at all."""
    spec = task.spec
    size = len(spec.payload) + len(task.checkpoint) + TICKET_BYTES
    for key, value in spec.headers:
        size += len(key.encode()) + len(value.encode()) + HEADER_BYTES
    return size
