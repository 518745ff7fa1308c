"""The continuous contact of each worker: begun, doubted, taken up again, ended.

A broken stream makes a session SUSPECT, not dead: its leases stand until the grace
ends. Identity is the session, never the name.
"""

from __future__ import annotations

import zlib
from typing import Final

from pullwork_master.core import leases, pacing
from pullwork_master.core.book import Book
from pullwork_master.core.commands import Held, Register, Registered
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import DrainAsked, MemberChange, SessionEnded
from pullwork_master.core.model import (
    NODE_PREFIX,
    AttemptEnd,
    Cause,
    Contact,
    Failure,
    FailureKind,
    Lease,
    Session,
    Task,
)
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.core.timers import SessionDue
from pullwork_master.core.transitions import CONTACT, Sign

# How long gRPC waits for the answer to a ping before it breaks a connection off; a packet that is
# not acknowledged is waited for as long. `pullwork.channel` sets it.
PING_TIMEOUT_MS: Final = 5_000


class Sessions:
    """Keeps the book's sessions."""

    def __init__(self, book: Book, dispatch: Dispatch) -> None:
        self._book = book
        self._dispatch = dispatch
        self._excused_until_ms = 0

    def get(self, session_id: str) -> Session:
        """Returns a living session and takes note that it was heard.

        Errors: SESSION_LOST.
        """
        session = self._book.sessions.get(session_id)
        if session is None or session.ghost:
            raise self.lost(session_id)
        self._hear(session)
        return session

    def lost(self, session_id: str) -> Rejection:
        """Makes the refusal of a session that is no more, with the reason if it is known."""
        cause, why = self._book.ended_sessions.get(
            session_id, ("", "this master does not know it, perhaps since it was started anew")
        )
        return Rejection(
            Reason.SESSION_LOST,
            f"session {session_id!r} is over ({why}); register anew with the tickets still held",
            session_id=session_id,
            cause=cause,
            why=why,
        )

    # --- beginning ----------------------------------------------------------------------

    def register(self, command: Register) -> Registered:
        """Begins a session and gives it the leases that its worker still holds."""
        book = self._book
        former = [each for each in book.sessions.values() if _same_process(each, command.boot_id)]
        if not former and len(book.sessions) >= book.policy.sessions_max:
            raise Rejection(
                Reason.TOO_MANY_REQUESTS,
                f"the master keeps at most {book.policy.sessions_max} sessions",
                retry_after_ms=book.policy.heartbeat_ms,
            )
        session = Session(
            id=f"{book.term}-{book.next_session}-{boot_mark(command.boot_id)}",
            name=command.name,
            boot_id=command.boot_id,
            queues=command.queues,
            types=command.types,
            slots=command.slots,
            look_ahead_max=command.look_ahead_max,
            labels=command.labels,
            version=command.version,
            registered_ms=book.now.wall_ms,
            last_seen_ms=book.now.mono_ms,
        )
        book.sessions[session.id] = session
        interval_ms = pacing.first_ms(book.policy, len(book.sessions), book.next_session)
        session.interval_ms = session.former_interval_ms = interval_ms
        session.paced_ms = book.now.mono_ms
        book.next_session += 1
        kept = tuple(self._take_over(session, item) for item in command.held)
        session.draining = any(old.draining for old in former)
        for old in former:
            # What it does not say it holds never reached it.
            why = "its worker registered anew"
            self.end(old, Cause.REGISTERED_ANEW, why, AttemptEnd.UNDELIVERED)
        for old in [each for each in book.sessions.values() if each.name == command.name]:
            if old is not session:
                why = f"another worker registered as {old.name!r}"
                self.end(old, Cause.NAME_TAKEN, why, AttemptEnd.WORKER_LOST)
        self._watch(session)
        book.effects.members.append(MemberChange(session, joined=True))
        book.note(
            "worker registered",
            session=session.id,
            worker=session.name,
            slots=session.slots,
            types=len(session.types),
            kept=sum(kept),
        )
        return Registered(session, kept)

    def _take_over(self, session: Session, item: Held) -> bool:
        book = self._book
        parsed = leases.parse_token(item.token)
        task = None if parsed is None else book.tasks.get(parsed[0])
        if task is None or task.lease is None or task.lease.token != item.token:
            return False
        holder = book.sessions[task.lease.session]
        if not _same_process(holder, session.boot_id):
            return False
        del holder.held[task.seq]
        task.lease.session = session.id
        session.held[task.seq] = task
        leases.heard(book, task, item)
        return True

    def pace(self, session: Session) -> int:
        """Returns how far apart a session's heartbeats are to be from now on, as it is told now.

        What it was told last stands for an interval at least, though it may beat more often: a
        tick that was put off by the longer interval must come before it is missed by a shorter.
        """
        book, within_ms = self._book, session.beat_within_ms
        if book.now.mono_ms < session.paced_ms + within_ms:
            return session.interval_ms
        session.paced_ms = book.now.mono_ms
        session.former_interval_ms = session.interval_ms
        session.interval_ms = pacing.next_ms(book.policy, len(book.sessions), session.interval_ms)
        if session.beat_within_ms < within_ms:
            self._watch(session)
        return session.interval_ms

    def haunt(self, tasks: list[Task]) -> None:
        """Gives tasks that ran before a restart to ghosts of their sessions, for a while."""
        book = self._book
        # As far as is known from the disk; idle workers have nothing to lose.
        workers = len({task.session for task in tasks})
        reconcile_ms = book.policy.reconcile_ms(workers)
        for task in tasks:
            book.remember(task)
            ghost = book.sessions.get(task.session)
            if ghost is None:
                ghost = self._ghost(task, reconcile_ms)
            task.lease = Lease(task.token, ghost.id, book.now.mono_ms)
            if task.spec.execution_timeout_ms:
                task.lease.execution_due_ms = (
                    book.now.mono_ms + task.spec.execution_timeout_ms + book.policy.overrun_ms
                )
            if task.spec.progress_timeout_ms:
                task.lease.progress_due_ms = (
                    book.now.mono_ms + reconcile_ms + task.spec.progress_timeout_ms
                )
            leases.watch_timeouts(book, task)
            ghost.held[task.seq] = task
            book.adopt(task)

    def _ghost(self, task: Task, reconcile_ms: int) -> Session:
        book = self._book
        ghost = Session(
            id=task.session,
            name=task.worker,
            boot_id="",
            queues=(),
            types=(),
            slots=0,
            look_ahead_max=0,
            labels=(),
            version="",
            registered_ms=book.now.wall_ms,
            last_seen_ms=book.now.mono_ms,
            contact=Contact.SUSPECT,
            suspect_why="it did not come back after the master's restart",
            suspect_until_ms=book.now.mono_ms + reconcile_ms,
            # A disk that was full costs the sessions, not the streams: they go on with their ticks.
            interval_ms=book.policy.heartbeat_ms,
            former_interval_ms=book.policy.heartbeat_ms,
            ghost=True,
        )
        book.sessions[ghost.id] = ghost
        self._watch(ghost)
        return ghost

    # --- hearing and doubting -----------------------------------------------------------

    def _hear(self, session: Session) -> None:
        now_ms = self._book.now.mono_ms
        session.last_seen_ms = now_ms
        if session.contact is not Contact.SUSPECT:
            return
        if session.stream:
            session.contact = CONTACT[(session.contact, Sign.HEAR)]
            self._dispatch.place(session)
        else:
            # It calls, but its stream is not back: it gets a little longer to open it.
            until = now_ms + self._book.policy.grace_ms
            session.suspect_until_ms = max(session.suspect_until_ms, until)

    def open_stream(self, session_id: str) -> int:
        """Takes note that a TaskIncoming stream stands; returns its number."""
        book = self._book
        session = self.get(session_id)
        session.stream = book.next_stream
        book.next_stream += 1
        session.hinted = False
        session.contact = CONTACT[(session.contact, Sign.HEAR)]
        self._dispatch.place(session)
        return session.stream

    def stream_broke(self, session_id: str, stream: int) -> None:
        """Doubts a session whose stream ended; shortly if it was heard of a moment ago."""
        book, policy = self._book, self._book.policy
        session = book.sessions.get(session_id)
        if session is None or session.stream != stream:
            return
        session.stream = 0
        silent_ms = book.now.mono_ms - session.last_seen_ms
        # Whoever closes a connection was heard a moment ago, or a heartbeat ago. A connection
        # that was given up, by either side, has had a ping or a packet unanswered for longer.
        beat_ms = session.beat_within_ms
        longest_ms = max(beat_ms, PING_TIMEOUT_MS)
        why, grace_ms = "its stream broke", policy.grace_ms
        if book.now.mono_ms < self._excused_until_ms:
            # It was given up because nobody was there to answer.
            why, grace_ms = f"{why} while the master was paused", policy.silence_grace_ms
        elif silent_ms >= min(longest_ms, 2 * beat_ms):
            why, grace_ms = f"{why} after {silent_ms} ms of silence", policy.silence_grace_ms
        self._doubt(session, why, grace_ms)

    def _doubt(self, session: Session, why: str, grace_ms: int) -> None:
        until_ms = self._book.now.mono_ms + grace_ms
        if session.contact is Contact.SUSPECT:
            until_ms = min(until_ms, session.suspect_until_ms)
        session.contact = CONTACT[(session.contact, Sign.BREAK)]
        session.suspect_why = why
        session.suspect_until_ms = until_ms
        self._dispatch.place(session)
        self._watch(session)
        self._book.note(
            "worker suspect", session=session.id, worker=session.name, why=why, grace_ms=grace_ms
        )

    def _watch(self, session: Session) -> None:
        """Asks for a look at a session; an earlier one that is asked for leads to this one."""
        if session.contact is Contact.SUSPECT:
            due_ms = session.suspect_until_ms
        else:
            due_ms = session.last_seen_ms + self._silence_ms(session)
        if session.look_ms and session.look_ms <= due_ms:
            return
        session.look_ms = due_ms
        self._book.timers.add(due_ms, SessionDue(session.id))

    def _silence_ms(self, session: Session) -> int:
        return self._book.policy.silence_ms(session.beat_within_ms)

    def check(self, due: SessionDue) -> None:
        """Looks whether a session fell silent, or its grace ended."""
        session = self._book.sessions.get(due.session)
        now_ms, policy = self._book.now.mono_ms, self._book.policy
        if session is None or now_ms < session.look_ms:
            return
        session.look_ms = 0
        if session.contact is Contact.SUSPECT:
            if session.suspect_until_ms <= now_ms:
                why = session.suspect_why
                self.end(session, Cause.SILENT, why, AttemptEnd.WORKER_LOST)
            else:
                self._watch(session)
        elif session.last_seen_ms + self._silence_ms(session) <= now_ms:
            silent_ms = now_ms - session.last_seen_ms
            self._doubt(session, f"silent for {silent_ms} ms", policy.silence_grace_ms)
        else:
            self._watch(session)

    def excuse(self, late_ms: int) -> None:
        """Grants everybody new grace: the master itself was away, and heard nobody."""
        book, policy = self._book, self._book.policy
        now_ms = book.now.mono_ms
        self._excused_until_ms = now_ms + policy.silence_grace_ms
        for session in book.sessions.values():
            session.last_seen_ms = now_ms
            if session.contact is Contact.SUSPECT:
                session.suspect_until_ms = max(
                    session.suspect_until_ms, now_ms + policy.silence_grace_ms
                )
            for task in session.held.values():
                lease = task.lease
                assert lease is not None
                lease.execution_due_ms += late_ms if lease.execution_due_ms else 0
                lease.progress_due_ms += late_ms if lease.progress_due_ms else 0
        book.note("master was paused", late_ms=late_ms, sessions=len(book.sessions))

    # --- ending -------------------------------------------------------------------------

    def end(self, session: Session, cause: Cause, why: str, end: AttemptEnd) -> int:
        """Ends a session; its leases go back. Returns how many.

        `end`: UNDELIVERED or RELEASED cost the tasks nothing; WORKER_LOST counts a death for
        each that was started, or of which it is not known.
        """
        book = self._book
        held = list(session.held.values())
        for task in held:
            lease = task.lease
            assert lease is not None
            if end is AttemptEnd.WORKER_LOST and lease.started is not False:
                leases.lose(book, task, _worker_lost(session, task, why))
            else:
                free = AttemptEnd.RELEASED if end is AttemptEnd.WORKER_LOST else end
                leases.give_back(book, task, free)
        book.forget_session(session, cause, why)
        session.contact = CONTACT[(session.contact, Sign.EXPIRE)]
        if session.parked is not None:
            book.effects.refusals.append((session.parked.call, self.lost(session.id)))
            session.parked = None
        self._dispatch.place(session)
        if not session.ghost:
            book.effects.news.append((session.id, SessionEnded(why)))
            book.effects.members.append(MemberChange(session, joined=False))
        book.note(
            "worker gone", session=session.id, worker=session.name, why=why, requeued=len(held)
        )
        return len(held)

    def drain(self, worker: str) -> Session:
        """Asks a worker to take no more work."""
        session = self.named(worker)
        session.draining = True
        self._dispatch.unpark(session)
        self._dispatch.place(session)
        self._book.effects.news.append((session.id, DrainAsked()))
        return session

    def named(self, worker: str) -> Session:
        """Returns a session by its id, or by its name if only one has it.

        Errors: WORKER_NOT_FOUND, INVALID_FIELD.
        """
        living = [each for each in self._book.sessions.values() if not each.ghost]
        found = [each for each in living if each.id == worker]
        found = found or [each for each in living if each.name == worker]
        if not found:
            near = NODE_PREFIX + worker
            meant = any(each.name == near for each in living)
            remedy = f"; did you mean {near!r}?" if meant else ""
            raise Rejection(
                Reason.WORKER_NOT_FOUND,
                f"no connected worker has the session id or name {worker!r}{remedy}",
                worker=worker,
            )
        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            raise Rejection(
                Reason.INVALID_FIELD,
                f"several workers are called {worker!r}; name one by its session id: {ids}",
                field="worker",
            )
        return found[0]


def boot_mark(boot_id: str) -> str:
    """Returns a short mark of a worker process, to know it again in session ids on disk."""
    return f"{zlib.crc32(boot_id.encode()):08x}"


def _same_process(session: Session, boot_id: str) -> bool:
    """Whether a session, or the one that a ghost stands for, was of this worker process."""
    if session.ghost:
        return session.id.endswith(f"-{boot_mark(boot_id)}")
    return session.boot_id == boot_id


def _worker_lost(session: Session, task: Task, why: str) -> Failure:
    return Failure(
        FailureKind.WORKER_LOST,
        "pullwork.WorkerLost",
        f"worker {session.name!r} (session {session.id}) was lost during attempt "
        f"{task.attempt}: {why}",
    )
