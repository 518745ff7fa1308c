"""What must hold within a time: nobody forgotten, nobody idle beside work, nobody dead for long.

A look is taken every half heartbeat. Whoever was disturbed a moment ago is excused: the laws
bind once nothing went wrong for longer than every retry in the contract takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pullwork_master.core.model import Contact, State
from pullwork_worker.machine.link import Phase
from simulator.events import MS, SECOND, Events
from simulator.jobs import Deed, Jobs
from simulator.laws import Laws
from simulator.profile import Profile
from simulator.story import require

if TYPE_CHECKING:
    from simulator.master import Master
    from simulator.plain import PlainWorker
    from simulator.worker import Worker

# The longest waits between retries: register 3 s, stream and calls 2 s, a dial 1.3 s.
RETRIES: Final = 6 * SECOND


@dataclass(slots=True)
class Death:
    """A worker's process that is gone."""

    boot: str
    session: str
    at: int
    # It was in good contact, its stream stood, and its kernel hung up.
    told: bool
    wire: Any


class Liveness:
    """Remembers since when something is odd."""

    def __init__(
        self, events: Events, profile: Profile, laws: Laws, master: Master, jobs: Jobs
    ) -> None:
        self._events = events
        self._jobs = jobs
        self._profile = profile
        self._laws = laws
        self._master = master
        self.workers: list[Worker] = []
        self.plain_workers: list[PlainWorker] = []
        self._arrivals: dict[str, int] = {}
        self._odd: dict[tuple[str, ...], int] = {}
        self._deaths: list[Death] = []
        self._slack = 2 * (profile.latency[1] + profile.commit[1]) + SECOND
        self._patience = 4 * profile.slowest + RETRIES + self._slack
        # How long something may be odd between two that nothing disturbs.
        self._patience_odd = 3 * profile.slowest + self._slack
        # As the contract has it; reckoned here, so that the core may be wrong about it.
        self._silence_ms = 3 * profile.slowest // MS

    def died(self, worker: Any, told: bool, session: str) -> None:
        """A worker's process is gone."""
        death = Death(worker.boot, session, self._events.now, told, worker.wire)
        self._deaths.append(death)

    def doubted(self, session: str, why: str) -> None:
        """The master takes a session for SUSPECT."""
        kept = self._master.core.book.sessions.get(session)
        if kept is None or not why.startswith("silent for"):
            return
        ago = (self._master.now().mono_ms - kept.last_seen_ms) * MS
        for worker in (*self.workers, *self.plain_workers):
            if worker.up and worker.session == session:
                law = "a worker that obeys is not taken for silent"
                require(not self._undisturbed_for(worker, ago), law, worker.boot, why)

    def gives_up(self, worker: Worker) -> None:
        """A worker's machine closes its stream."""
        stream = worker.wire.stream
        if worker.machine.link.phase is Phase.IN and stream is not None and stream.last_at:
            ago = self._events.now - stream.last_at
            law = "a master that speaks is not taken for silent"
            require(not self._undisturbed_for(worker, ago), law, worker.boot, ago // MS)

    def look(self) -> None:
        """Checks all laws about time."""
        odd: dict[tuple[str, ...], str] = {}
        if self._master.up and not self._stands_still(self._master):
            for worker in (*self.workers, *self.plain_workers):
                if self.healthy(worker):
                    self._contact(worker, odd)
                    self._inventory(worker, odd)
            self._idle(odd)
            self._overdue(odd)
            self._dead()
        for worker in self.workers:
            self._out_of_contact(worker)
        now = self._events.now
        self._odd = {key: self._odd.get(key, now) for key in odd}
        for key, since in self._odd.items():
            require(now - since <= self._patience_odd, odd[key], *key, f"since {since / 1e6:.3f}")

    def at_peace(self) -> str:
        """Returns what is not yet as it should be in the end; empty: all is."""
        for worker in (*self.workers, *self.plain_workers):
            session = self._master.core.book.sessions.get(worker.session) if worker.up else None
            if session is None or session.contact is not Contact.CONNECTED or not session.stream:
                return f"{worker.name} is not CONNECTED"
        return ""

    # --- who is excused -----------------------------------------------------------------

    def _stands_still(self, node: Any) -> bool:
        return bool(node.frozen)

    def healthy(self, worker: Any) -> bool:
        """Whether nothing disturbed it for longer than every retry takes."""
        wire, master = worker.wire, self._master
        if not worker.up or self._stands_still(worker) or wire.up_cut or wire.down_cut:
            return False
        if master.disk.full or not master.up or self._stands_still(master):
            return False
        since = max(wire.disturbed_at, master.disturbed_at, worker.born_at)
        return bool(self._events.now - since > self._patience)

    def _undisturbed_for(self, worker: Any, ago: int) -> bool:
        """Whether nothing went wrong since then, nor just before."""
        wire, master = worker.wire, self._master
        if not worker.up or worker.frozen or wire.up_cut or wire.down_cut:
            return False
        if not master.up or master.frozen or master.disk.full:
            return False
        # What was sent just before may have been lost, or have come late.
        before = 2 * self._profile.heartbeat + self._slack
        troubles = (wire.disturbed_at, master.disturbed_at, worker.thaw_at, master.thaw_at)
        return bool(max(troubles) < self._events.now - ago - before)

    # --- laws ---------------------------------------------------------------------------

    def _contact(self, worker: Any, odd: dict[tuple[str, ...], str]) -> None:
        session = self._master.core.book.sessions.get(worker.session)
        if worker.leaving:
            return
        law = "an undisturbed worker is CONNECTED"
        if session is None or session.contact is not Contact.CONNECTED or not session.stream:
            odd[("contact", worker.boot)] = law

    def _inventory(self, worker: Any, odd: dict[tuple[str, ...], str]) -> None:
        session = self._master.core.book.sessions.get(worker.session)
        if session is None or worker.leaving:
            return
        held, standing = worker.holds(), {task.token for task in session.held.values()}
        for token in standing:
            if token not in held:
                law = "a lease that its worker does not hold is taken back"
                odd[("lease", worker.boot, token)] = law
        for token in held:
            if token not in standing:
                odd[("ticket", worker.boot, token)] = "a worker drops what is worth nothing"

    def _idle(self, odd: dict[tuple[str, ...], str]) -> None:
        idle = [
            worker
            for worker in (*self.workers, *self.plain_workers)
            if self.healthy(worker)
            and worker.idle()
            # Between two tiny tasks is not idle: the next ticket is on its way.
            and self._laws.arrivals[worker.boot] == self._arrivals.get(worker.boot, 0)
        ]
        self._arrivals = dict(self._laws.arrivals)
        if not idle:
            return
        book = self._master.core.book
        limits, now_ms = self._laws.limits, self._master.now().mono_ms
        for task in self._master.disk.tasks.values():
            if task.state is not State.QUEUED or book.paused(task.spec.queue):
                continue
            if not (self._profile.limits and limits.holds_back(task, now_ms)):
                odd[("task", task.spec.id, str(task.attempt))] = (
                    "no worker idles while a task that it can do waits"
                )

    def _overdue(self, odd: dict[tuple[str, ...], str]) -> None:
        now_ms, policy = self._master.now().mono_ms, self._profile.policy
        quiet_ms = (self._events.now - self._master.disturbed_at) // MS
        for task in self._master.core.book.tasks.values():
            lease, spec = task.lease, task.spec
            bound_ms = spec.execution_timeout_ms or spec.progress_timeout_ms
            if lease is None or not bound_ms or self._jobs.by_id[spec.id].deed is Deed.LONG:
                continue
            age_ms = now_ms - lease.granted_ms
            if age_ms < quiet_ms and age_ms > bound_ms + policy.overrun_ms:
                odd[("overdue", lease.token)] = "an overdue attempt is revoked"

    def _dead(self) -> None:
        policy, now = self._profile.policy, self._events.now
        sessions = {
            session.boot_id: session
            for session in self._master.core.book.sessions.values()
            if not session.ghost
        }
        kept = []
        for death in self._deaths:
            wire = death.wire
            session = sessions.get(death.boot)
            if session is None and now - death.at > self._patience:
                continue
            kept.append(death)
            if session is None or wire.up_cut or wire.down_cut:
                continue
            quick = death.told and self._master.disturbed_at < death.at - self._patience
            quick = quick and wire.mended_at <= death.at and session.id == death.session
            bound_ms = policy.grace_ms
            since = death.at
            if not quick:
                bound_ms = self._silence_ms + 2 * policy.silence_grace_ms
                bound_ms += self._profile.slowest // MS
                since = max(death.at, self._master.disturbed_at, wire.mended_at)
                began_ms = session.registered_ms - self._master.now().wall_ms
                # A late copy of its Register may have come when it was dead already.
                since = max(since, now + began_ms * MS)
            require(
                now - since <= bound_ms * MS + self._slack,
                "the session of a dead process ends in time",
                death.boot,
                session.id,
                f"dead since {death.at / 1e6:.3f}",
                f"told {death.told}",
            )
        self._deaths = kept

    def _out_of_contact(self, worker: Worker) -> None:
        """The lease's length after the last word of the master nothing runs any more."""
        if not worker.up or self._stands_still(worker):
            return
        now = self._events.now
        if now <= max(worker.heard_at + worker.lease, worker.thaw_at) + self._slack:
            return
        for room, ticket in worker.executors.running():
            require(
                room.told_to_stop or room.since <= worker.born_at,
                "a worker out of contact stops what it runs",
                worker.boot,
                ticket.token,
                f"heard at {worker.heard_at / 1e6:.3f}",
            )
