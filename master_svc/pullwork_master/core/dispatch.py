"""Who gets what: brings the tasks that wait together with the sessions that are free.

Tasks are only ever given to who asked: at once, or to a request that is parked. Who is
free and has not asked is told that there is work, as many as there are tasks.
"""

from __future__ import annotations

from pullwork_master.core import leases
from pullwork_master.core.book import Book
from pullwork_master.core.effects import Available
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
        self._turn = 0

    # --- asking -------------------------------------------------------------------------

    def take(self, session: Session, limit: int) -> tuple[Grant, ...]:
        """Grants up to `limit` tasks: queues in turn, within a queue the first in order."""
        limit = min(limit, session.credit, TICKETS_MAX)
        if limit <= 0 or session.draining:
            return ()
        queues = self._ready_queues(session)
        if not queues:
            return ()
        self._turn += 1
        grants: list[Grant] = []
        room = TICKETS_BYTES_MAX
        at = self._turn % len(queues)
        while queues and len(grants) < limit:
            at %= len(queues)
            line = min(
                (line for line in queues[at] if line.window.head() is not None),
                key=lambda line: line.window.head() or (0, 0),
                default=None,
            )
            if line is None:
                del queues[at]
                continue
            task = line.window.first()
            assert task is not None
            room -= _ticket_bytes(task)
            if room < 0 and grants:
                break
            grants.append(leases.grant(self._book, task, session))
            at += 1
        return tuple(grants)

    def _ready_queues(self, session: Session) -> list[list[Line]]:
        book = self._book
        queues = []
        for queue in session.queues:
            if book.paused(queue):
                continue
            found = []
            for type_ in session.types:
                line = book.lines.get((queue, type_))
                if line is not None and line.window.tasks:
                    found.append(line)
            if found:
                queues.append(found)
        return queues

    def page_pending(self, session: Session) -> bool:
        """Whether tasks wait for this session on disk alone, so that the next step has them."""
        book = self._book
        return not session.draining and any(
            (line := book.lines.get(key)) is not None
            and line.queued > len(line.window)
            and not line.window.tasks
            and not book.paused(key[0])
            for key in session.lines
        )

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
            if (parked or idle) and line.window.tasks:
                book.stirred[key] = None
            elif line.empty:
                del book.lines[key]

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
            if line is None or book.paused(line.queue) or not line.window.tasks:
                continue
            self._serve_parked(line)
            self._tell_idle(line)

    def _serve_parked(self, line: Line) -> None:
        """Shares a line's tasks out among the parked requests, each in turn an equal part."""
        book = self._book
        while line.parked and line.window.tasks:
            waiting = [book.sessions[each] for each in line.parked]
            share = max(1, len(line.window.tasks) // len(waiting))
            for session in waiting:
                parked = session.parked
                assert parked is not None
                session.parked = None
                grants = self.take(session, min(share, parked.credit))
                assert grants, "who is in line.parked has credit, and the line has tasks"
                self.answered(session, parked.request_id, grants)
                book.effects.answers.append((parked.call, grants))
                if not line.window.tasks:
                    return

    def _tell_idle(self, line: Line) -> None:
        book = self._book
        for session_id in list(line.idle)[: len(line.window.tasks)]:
            session = book.sessions[session_id]
            session.hinted = True
            book.effects.news.append((session_id, Available(self.available(session))))
            self.place(session)

    def available(self, session: Session) -> tuple[str, ...]:
        """Returns the types that wait and that the session could take now."""
        book = self._book
        if session.draining or session.credit <= 0:
            return ()
        return tuple(
            type_
            for type_ in session.types
            if any(
                (line := book.lines.get((queue, type_))) is not None
                and line.queued
                and not book.paused(queue)
                for queue in session.queues
            )
        )


def _ticket_bytes(task: Task) -> int:
    """Returns what a task weighs in an answer: one that is too large can't be sent at all."""
    spec = task.spec
    size = len(spec.payload) + len(task.checkpoint) + TICKET_BYTES
    for key, value in spec.headers:
        size += len(key.encode()) + len(value.encode()) + HEADER_BYTES
    return size
