"""Planted bugs: each breaks one promise of core, machine or engine, and a law must say so.

A mutant is a patch by name. It is found when some seed breaks any law while it is planted;
which law that was stands in the table, so that a law that catches nothing is seen too.
"""

from __future__ import annotations

from typing import Any, Final

from pullwork_master.core import commands as c
from pullwork_master.core import leases, sessions
from pullwork_master.core.book import Book
from pullwork_master.core.clients import Clients
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import Available, Effects, Opened, Writes
from pullwork_master.core.limits import Policy
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Now, Session, Task
from pullwork_master.core.sessions import Sessions
from pullwork_master.core.transitions import Event
from pullwork_master.storage.memory import MemoryStorage
from pullwork_worker.machine import Machine
from pullwork_worker.machine.lanes import Lanes
from pullwork_worker.machine.link import Link
from simulator.disk import Disk
from simulator.events import MS
from simulator.master import Box, Master
from simulator.mutants_of_limits import MUTANTS_OF_LIMITS
from simulator.planting import Mutant, Patch

# --- the core ---------------------------------------------------------------------------


def no_fence(patch: Patch) -> None:
    """Whoever reports about a task is believed."""
    right = leases.report

    def wrong(book: Book, session: Session, outcome: c.Outcome) -> c.Verdict:
        parsed = leases.parse_token(outcome.token)
        task = book.tasks.get(parsed[0]) if parsed else None
        if task is not None and task.lease is not None:
            holder = book.sessions[task.lease.session]
            return right(book, holder, outcome._replace(token=task.lease.token))
        return right(book, session, outcome)

    patch(leases, "report", wrong)


def lost_wake_up(patch: Patch) -> None:
    """A task that comes wakes nobody."""
    right = Book._enter

    def wrong(self: Book, task: Task) -> None:
        right(self, task)
        self.stirred.pop(task.line, None)

    patch(Book, "_enter", wrong)


def name_as_identity(patch: Patch) -> None:
    """A process that says the same name is taken for the one before."""
    right = sessions._same_process

    def wrong(session: Session, boot_id: str) -> bool:
        if session.ghost:
            return right(session, boot_id)
        return session.boot_id.split("-", maxsplit=1)[0] == boot_id.split("-", maxsplit=1)[0]

    patch(sessions, "_same_process", wrong)


def requeue_without_grace(patch: Patch) -> None:
    """A broken stream is death."""
    right = Sessions._doubt
    patch(Sessions, "_doubt", lambda self, session, why, grace_ms: right(self, session, why, 0))


def no_reconciliation(patch: Patch) -> None:
    """A restarted master waits for no worker that comes back."""
    patch(Policy, "reconcile_ms", lambda self, workers: 0)


def ghosts_for_ever(patch: Patch) -> None:
    """A restarted master waits for ever for a worker that does not come back."""
    right = Sessions._watch
    patch(Sessions, "_watch", lambda self, it: None if it.ghost else right(self, it))


def grants_are_not_stored(patch: Patch) -> None:
    """An attempt's number is known in memory alone, and given again after a restart."""
    right = Book.move

    def wrong(self: Book, task: Task, event: Event) -> None:
        right(self, task, event)
        if event is Event.GRANT:
            self.effects.writes.updated.pop(task.seq, None)

    patch(Book, "move", wrong)


def inventory_ignored(patch: Patch) -> None:
    """What a worker does not list stays leased."""
    patch(leases, "_missed", lambda book, task: None)


def nothing_abandoned(patch: Patch) -> None:
    """A worker is not told what is worth nothing, by heartbeat or by its stream."""
    right, put = leases.inventory, Master._put

    def wrong(book: Book, session: Session, held: tuple[c.Held, ...]) -> tuple[str, ...]:
        right(book, session, held)
        return ()

    def quiet(self: Master, box: Box, news: Any) -> None:
        if type(news).__name__ != "Revoked":
            put(self, box, news)

    patch(leases, "inventory", wrong)
    patch(Master, "_put", quiet)


def request_id_forgotten(patch: Patch) -> None:
    """A repeated request gets other tickets."""
    patch(Dispatch, "recall", lambda self, session, request_id: None)


def repeated_report_counted(patch: Patch) -> None:
    """A report that comes again costs again."""
    right = leases.report

    def wrong(book: Book, session: Session, outcome: c.Outcome) -> c.Verdict:
        parsed = leases.parse_token(outcome.token)
        task = book.tasks.get(parsed[0]) if parsed else None
        stood = task is not None and task.lease is not None and task.lease.token == outcome.token
        verdict = right(book, session, outcome)
        if verdict is c.Verdict.ACCEPTED and task is not None and not stood:
            task.failures += 1
            leases.tell_story(book, task, leases.AttemptEnd.FAILED, task.failure, outcome.digest)
            book.effects.changed[task.seq] = task
            book.dirty(task)
        return verdict

    patch(leases, "report", wrong)


def no_excuse(patch: Patch) -> None:
    """A master that was paused takes its own silence for the workers'."""
    patch(Sessions, "excuse", lambda self, late_ms: None)


def stream_break_ignored(patch: Patch) -> None:
    """Only silence tells that a worker is dead."""
    patch(Sessions, "stream_broke", lambda self, session_id, stream: None)


def silence_ignored(patch: Patch) -> None:
    """Only a broken stream tells that a worker is dead."""
    patch(Policy, "silence_ms", lambda self, interval_ms: 10**9)


def judges_by_the_new_interval_at_once(patch: Patch) -> None:
    """When a fleet shrinks everybody is to be quicker, told or not."""

    def wrong(self: Sessions, session: Session) -> int:
        policy = self._book.policy
        return policy.silence_ms(policy.interval_ms(len(self._book.sessions)))

    patch(Sessions, "_silence_ms", wrong)


def ticks_by_the_new_interval_at_once(patch: Patch) -> None:
    """When a fleet grows the master speaks less often, told or not."""

    def wrong(self: Master, box: Box) -> None:
        policy = self._profile.policy
        wait = policy.interval_ms(len(self.core.book.sessions)) * MS
        self._events.after(wait, self, self._tick, box, box.rings)

    patch(Master, "_tick_later", wrong)


def timeouts_ignored(patch: Patch) -> None:
    """Nobody looks whether an attempt is overdue."""
    patch(leases, "check_timeouts", lambda book, due: None)


def repeated_submission_stored_again(patch: Patch) -> None:
    """An id that is known is not known again."""
    patch(Clients, "_duplicate", lambda self, new, *rest: None)


def session_ids_repeat(patch: Patch) -> None:
    """A core that starts over counts its sessions from one."""
    patch(Core, "follow", lambda self, former: None)


# --- the engine, the streams and the disk -----------------------------------------------


def answer_before_commit(patch: Patch) -> None:
    """The master speaks, then stores."""
    right = Master._decide

    def wrong(self: Master, batch: Any, wants: Any) -> None:
        after, said = self._events.after, []

        def early(wait: int, node: Any, call: Any, *args: Any) -> None:
            if args and isinstance(args[0], Effects) and not said:
                said.append(self._speak(args[0]))
            after(wait, node, call, *args)

        self._events.after = early  # type: ignore[method-assign]
        try:
            right(self, batch, wants)
        finally:
            self._events.after = after  # type: ignore[method-assign]

    patch(Master, "_decide", wrong)


def hint_lost_and_not_repeated(patch: Patch) -> None:
    """A hint gets lost now and then, and no tick brings it again."""
    put = Master._put

    def lossy(self: Master, box: Box, news: Any) -> None:
        if not isinstance(news, Available) or self._dice.random() < 0.5:
            put(self, box, news)

    def silent(self: Master, box: Box, rings: int) -> None:
        if rings == box.rings and self.boxes.get(box.stream.session) is box:
            box.wire.tell(box.stream, "tick")
            self._tick_later(box)

    patch(Master, "_put", lossy)
    patch(Master, "_tick", silent)


def leases_by_the_wall_clock(patch: Patch) -> None:
    """Time is what the wall clock says."""
    right = Master.now
    patch(Master, "now", lambda self: Now(right(self).wall_ms, right(self).wall_ms))


def retention_of_the_living(patch: Patch) -> None:
    """A sweep takes what is old, ended or not."""
    right = MemoryStorage._sweep

    def wrong(self: MemoryStorage, before_ms: int, limit: int) -> int:
        if before_ms:
            for task in [it for it in self.tasks.values() if it.created_ms < before_ms - 5_000]:
                self._drop(task)
        return right(self, before_ms, limit)

    patch(MemoryStorage, "_sweep", wrong)


def torn_commit(patch: Patch) -> None:
    """Of a transaction with several tasks the last is torn off."""
    right = Disk.stage

    def wrong(self: Disk, writes: Writes) -> None:
        if len(writes.updated) > 1:
            writes.updated.popitem()
        right(self, writes)

    patch(Disk, "stage", wrong)


def ends_counted_anew(patch: Patch) -> None:
    """A restarted master numbers the ends from one."""
    right = MemoryStorage.reload

    def wrong(self: MemoryStorage) -> Opened:
        opened = right(self)
        opened.next_revision = 1
        return opened

    patch(MemoryStorage, "reload", wrong)


# --- the worker -------------------------------------------------------------------------


def runs_on_beyond_the_lease(patch: Patch) -> None:
    """A worker that can't reach the master goes on as if nothing were."""
    right = Link.lost_for

    def wrong(self: Link, now: float) -> None:
        right(self, now)

    patch(Link, "lost_for", wrong)


def forgets_outcomes_with_the_session(patch: Patch) -> None:
    """What had ended when the session was lost is never reported."""
    right = Machine.session_lost

    def wrong(self: Machine, session_id: str, now: float) -> Any:
        mine = self.link.session_id == session_id
        instructions = right(self, session_id, now)
        if mine:
            for ticket in list(self.desk.ended):
                self.desk.drop(ticket.token, now, "forgotten")
        return instructions

    patch(Machine, "session_lost", wrong)


def keeps_what_is_not_kept(patch: Patch) -> None:
    """A worker goes on with what the master told it to abandon when it registered."""
    right = Machine.registered

    def wrong(self: Machine, call: Any, *, kept: Any, **rest: Any) -> Any:
        return right(self, call, kept=frozenset(line.token for line in call.held), **rest)

    patch(Machine, "registered", wrong)


def never_opens_its_stream_again(patch: Patch) -> None:
    """A worker whose stream broke does without."""
    patch(Machine, "stream_broke", lambda self, session_id, now, roll: self._flush(now))


def never_asks_again(patch: Patch) -> None:
    """A worker whose request failed waits for an answer that can't come."""
    patch(Machine, "request_failed", lambda self, call, now, roll: self._flush(now))


def a_death_is_nobodys(patch: Patch) -> None:
    """What killed its child process is started again in the next."""
    right = Lanes.child_gone

    def wrong(self: Lanes, index: int, unclaimed: Any, evidence: Any, now: float) -> bool:
        tokens = [ticket.token for ticket in self.slots[index].lane]
        return right(self, index, tokens, evidence, now)

    patch(Lanes, "child_gone", wrong)


_ALL: Final = (
    Mutant(no_fence, ("hostile", "worker freezes")),
    Mutant(answer_before_commit),
    Mutant(lost_wake_up),
    Mutant(name_as_identity, ("hostile", "worker dies")),
    Mutant(requeue_without_grace, ("gentle", "link resets")),
    Mutant(no_reconciliation, ("gentle", "master dies")),
    Mutant(ghosts_for_ever, ("master dies",)),
    Mutant(grants_are_not_stored),
    Mutant(inventory_ignored, ("hostile", "request twice")),
    Mutant(nothing_abandoned, ("hostile", "hangs")),
    Mutant(request_id_forgotten, ("reply lost",)),
    Mutant(repeated_report_counted),
    Mutant(no_excuse, ("gentle", "master freezes")),
    Mutant(stream_break_ignored, ("worker dies",)),
    Mutant(silence_ignored),
    Mutant(judges_by_the_new_interval_at_once, ("crowd comes",)),
    Mutant(ticks_by_the_new_interval_at_once, ("crowd comes",)),
    Mutant(timeouts_ignored, ("hangs",)),
    Mutant(repeated_submission_stored_again),
    Mutant(session_ids_repeat, ("disk is full",)),
    Mutant(hint_lost_and_not_repeated, ("plain",)),
    Mutant(leases_by_the_wall_clock, ("wall clock jumps", "worker dies")),
    Mutant(retention_of_the_living),
    Mutant(torn_commit),
    Mutant(ends_counted_anew),
    Mutant(runs_on_beyond_the_lease, ("hostile", "link is cut")),
    Mutant(forgets_outcomes_with_the_session),
    Mutant(keeps_what_is_not_kept),
    Mutant(never_opens_its_stream_again, ("link resets",)),
    Mutant(never_asks_again),
    Mutant(a_death_is_nobodys, ("deadly",)),
    *MUTANTS_OF_LIMITS,
)
MUTANTS: Final = {mutant.plant.__name__: mutant for mutant in _ALL}
