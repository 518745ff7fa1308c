"""A worker as somebody writes it from the contract alone, without our machine.

It never parks a request and names none: it asks when it is told that there is work, so it
lives by the hints, and what is lost on the way to it by the inventory.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pullwork_master.core import commands as c
from pullwork_master.core.model import Failure, FailureKind, Grant, Load
from pullwork_master.core.rejections import Reason, Rejection
from simulator.events import MS, Events, Node
from simulator.jobs import QUEUES, TYPES, Deed, Jobs
from simulator.profile import Profile
from simulator.story import Story
from simulator.wire import Wire

if TYPE_CHECKING:
    from simulator.laws import Laws
    from simulator.liveness import Liveness


class PlainWorker(Node):
    """A simple worker, through all its lives."""

    wire: Wire
    laws: Laws
    liveness: Liveness

    def __init__(
        self,
        name: str,
        events: Events,
        dice: random.Random,
        profile: Profile,
        jobs: Jobs,
        story: Story,
    ) -> None:
        super().__init__(name)
        self._dice = dice
        self._events = events
        self._profile = profile
        self._jobs = jobs
        self._story = story
        self.says = name
        self.boot = ""
        self.quiet = False
        self.born_at = 0
        self.session = ""
        self.leaving = False
        self.listens = False
        # Token → its outcome, once there is one.
        self._held: dict[str, c.Outcome | None] = {}
        # Those that say now and then that they are alive.
        self._long: set[str] = set()
        self._asking = False
        self._event_at = 0
        self._interval = profile.heartbeat
        self._beats = 0

    def start(self) -> None:
        """Starts a process."""
        self.up = True
        self.boot = f"{self.name}-{self.life}"
        self.born_at = self._event_at = self._events.now
        self.session = ""
        self.leaving = self.listens = self._asking = False
        self._held = {}
        self.wire.disturb()
        self._tell("starts", self.boot, f"as {self.says}")
        self._register()
        self._beats = 0
        self._interval = self._profile.heartbeat
        self._beat_later()

    def crash(self, why: str, *, power: bool = False) -> None:
        """Ends the process at once, with a word of its kernel or without."""
        self._events.thaw(self, early=True)
        self._tell("dies", why)
        healthy = self.liveness.healthy(self)
        self.die()
        stood = self.listens and self.wire.stream is not None
        self.liveness.died(self, stood and healthy and not power, self.session)
        if power:
            self.wire.vanish()
        else:
            self.wire.hang_up()
        if self._dice.random() < self._profile.renamed:
            self.says = f"{self.name}-as-{self.life}"
        self._events.after(self._dice.randint(100, 3_000) * MS, self, self.start)

    def freeze(self, until: int) -> None:
        """Stops the process for a while, as SIGSTOP does."""
        self._events.freeze(self, until)
        self.wire.peer_stands_still(self)

    def rest(self) -> None:
        """Lets what hangs come to its end."""
        self.quiet = True
        for token in list(self._held):
            self._end(token)

    def holds(self) -> Collection[str]:
        """Returns the tokens of what it holds."""
        return self._held.keys()

    def idle(self) -> bool:
        """Whether it could start a task now."""
        return not self.leaving and self._free() > 0

    # --- the session --------------------------------------------------------------------

    def _register(self) -> None:
        self.session = ""
        self.wire.close_stream()
        profile = self._profile
        held = tuple(c.Held(token, True) for token in self._held)
        command = c.Register(self.says, self.boot, QUEUES, TYPES, profile.slots, held=held)

        def done(answer: Any, error: str) -> None:
            if not isinstance(answer, c.Registered):
                self._later(self._register)
                return
            self.session = answer.session.id
            self._live_by(answer.session.interval_ms)
            for line, keep in zip(held, answer.kept, strict=True):
                if not keep:
                    self._held.pop(line.token, None)
            self._open()
            for token in list(self._held):
                self._report(token)
            self._ask()

        self.wire.call(command, profile.call_timeout, done)

    def _lost(self, session: str, answer: object) -> bool:
        if not (isinstance(answer, Rejection) and answer.reason is Reason.SESSION_LOST):
            return False
        if session == self.session:
            if answer.metadata.get("cause") == "NAME_TAKEN":
                self.says = self.boot
            self._register()
        return True

    def _open(self) -> None:
        session = self.session
        if session:
            self._event_at = self._events.now
            self.wire.open_stream(session, lambda *news: self._hear(session, *news))

    def _hear(self, session: str, event: str, about: Any) -> None:
        if session != self.session:
            return
        self._event_at = self._events.now
        self.listens = event not in ("broke", "over", "lost")
        if event == "lost":
            self._lost(session, about)
        elif event in ("broke", "over"):
            self._later(self._reopen, session)
        elif event == "available":
            self._ask()
        elif event == "cancel":
            for token in about:
                self._held.pop(token, None)
            self._ask()
        elif event == "drain":
            self._drain()

    def _reopen(self, session: str) -> None:
        if session == self.session and self.wire.stream is None:
            self._open()

    def _live_by(self, interval_ms: int) -> None:
        if interval_ms * MS != self._interval:
            self._interval = interval_ms * MS
            self._beat_later()

    def _beat_later(self) -> None:
        self._beats += 1
        # Who has progress to tell does not wait for the interval.
        wait = (
            min(self._interval, self._profile.heartbeat) if self._progresses() else self._interval
        )
        self._events.after(wait, self, self._beat, self._beats)

    def _progresses(self) -> bool:
        return not self._long.isdisjoint(self._held)

    def _beat(self, number: int) -> None:
        if number != self._beats:
            return
        self._beat_later()
        session = self.session
        if not session:
            return
        if self._events.now - self._event_at >= 3 * self._interval:
            self._open()
        held = tuple(self._line(token) for token in self._held)

        def done(answer: Any, error: str) -> None:
            if self._lost(session, answer) or not isinstance(answer, c.HeartbeatAnswer):
                return
            for token in answer.abandon:
                self._held.pop(token, None)
            if session == self.session:
                self._live_by(answer.interval_ms)
            if answer.drain:
                self._drain()
            elif answer.abandon:
                self._ask()

        self.wire.call(c.Heartbeat(session, held, Load()), self._profile.heartbeat, done)

    def _line(self, token: str) -> c.Held:
        return c.Held(token, True, fraction=0.5 if token in self._long else None)

    def _drain(self) -> None:
        self.leaving = True
        if not self._held and self.up:
            self.wire.call(c.Deregister(self.session, "drained"), 1, lambda *_: None)
            self.crash("drained")

    def _later(self, what: Any, *args: Any) -> None:
        self._events.after(self._dice.randint(100, 1_000) * MS, self, what, *args)

    # --- work ---------------------------------------------------------------------------

    def _free(self) -> int:
        return self._profile.slots - len(self._held)

    def _ask(self) -> None:
        session = self.session
        if self.leaving:
            self._drain()
            return
        if self._asking or not session or self._free() <= 0:
            return
        self._asking = True

        def done(answer: Any, error: str) -> None:
            self._asking = False
            if self._lost(session, answer):
                return
            if not isinstance(answer, tuple):
                self._later(self._ask)
            elif session == self.session:
                for grant in answer:
                    self._take(grant)
                if answer:
                    self._ask()

        self.wire.call(c.Request(session, self._free()), self._profile.call_timeout, done)

    def _take(self, grant: Grant) -> None:
        self.laws.arrived(self.boot, grant)
        self._held[grant.token] = None
        self.laws.began(self.boot, grant.token)
        job = self._jobs.by_id[grant.spec.id]
        wait = self._jobs.run_time(job)
        if job.deed is Deed.LONG:
            self._long.add(grant.token)
            self._beat_later()
        if job.deed in (Deed.DEADLY, Deed.KILLS_WORKER):
            self._events.after(wait, self, self._dies_of, grant.token)
        elif self.quiet or job.deed not in (Deed.HANGS, Deed.STUBBORN):
            fails = job.deed is Deed.FAILS and grant.attempt <= job.times
            self._events.after(wait, self, self._end, grant.token, fails)

    def _dies_of(self, token: str) -> None:
        if token in self._held:
            self.crash(f"killed by {token}")

    def _end(self, token: str, fails: bool = False) -> None:
        if token not in self._held or self._held[token] is not None:
            return
        result = c.Success(f"{token}/plain".encode(), "text/plain")
        outcome = c.Outcome(token, result, b"s" + result.payload)
        if fails:
            failure = Failure(FailureKind.APPLICATION, "Error", f"it broke in {token}")
            outcome = c.Outcome(token, failure, b"f" + failure.message.encode())
        self._held[token] = outcome
        self._report(token)

    def _report(self, token: str) -> None:
        session, outcome = self.session, self._held.get(token)
        if not session or outcome is None:
            return

        def done(answer: Any, error: str) -> None:
            if self._lost(session, answer):
                return
            if not isinstance(answer, c.Reported):
                if self._dice.random() < 0.1:
                    self._change_mind(token)
                self._later(self._report, token)
                return
            self._held.pop(token, None)
            self._ask()

        self.wire.call(c.Report(session, (outcome,)), self._profile.call_timeout, done)

    def _change_mind(self, token: str) -> None:
        """Reports something else than before, as a worker with a bug of its own would."""
        if self._held.get(token) is not None:
            result = c.Success(f"{token}/changed".encode(), "text/plain")
            self._held[token] = c.Outcome(token, result, b"s" + result.payload)

    def _tell(self, what: str, *facts: object) -> None:
        if self._story.told:
            self._story.tell(self._events.now, self.name, what, *facts)
