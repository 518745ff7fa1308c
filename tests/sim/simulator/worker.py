"""A virtual worker process: the real machine, driven as the runner and the session drive it.

Beside it stands an account of its own: which tickets came, which ended, and which the master
has answered or taken back. The machine is held to it after each thing that happens.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

from pullwork_master.core import commands as c
from pullwork_master.core.model import Grant, Load
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_worker.machine import Machine
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.ticket import Outcome, State, Ticket
from simulator.events import MS, SECOND, Events, Node
from simulator.executors import Executors
from simulator.jobs import KINDS, QUEUES, TYPES, Jobs
from simulator.profile import Profile
from simulator.story import Story, require
from simulator.translate import held_of, outcome_of, pace_of, ticket_of
from simulator.wire import Call, Wire

if TYPE_CHECKING:
    from simulator.laws import Laws
    from simulator.liveness import Liveness

STOP_GRACE_S: Final = 0.5
DEREGISTER: Final = 3 * SECOND
# What has no outcome yet, and is let go when the worker is cut off.
ENDED_STATES: Final = (State.ENDED, State.SENT)


class Worker(Node):
    """One worker, through all its lives."""

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
        self.dice = dice
        self._events = events
        self._profile = profile
        self._jobs = jobs
        self._story = story
        self.says = name  # two processes may have one name
        self.boot = ""
        self.quiet = False  # tasks misbehave no more: the world is to come to rest
        self.machine: Machine
        self.executors: Executors
        self.born_at = 0
        self.heard_at = 0
        # How long it may be out of contact, as it was told last.
        self.lease = profile.lease_of(profile.policy.heartbeat_ms)
        # Whether its stream stands, as far as it knows.
        self.listens = False
        # Tokens that arrived and are neither answered nor worth nothing.
        self.owed: dict[str, None] = {}
        # What an attempt ended with, before anybody heard of it.
        self.finished: dict[str, Outcome] = {}
        self._calls: dict[str, Call] = {}
        self._todo: deque[do.Instruction] = deque()
        self._doing = False
        self._timer_at = 0

    def now(self) -> float:
        """Returns the machine's time."""
        return self._events.now / 1e6

    def start(self) -> None:
        """Starts a process."""
        self.up = True
        self.boot = f"{self.name}-{self.life}"
        profile = self._profile
        self.machine = Machine(
            KINDS,
            slots=profile.slots,
            look_ahead_max=profile.look_ahead_max,
            stop_grace_s=STOP_GRACE_S,
            drain_grace_s=4.0,
        )
        self.executors = Executors(self, self._events, self._jobs, profile.slots)
        self.born_at = self.heard_at = self._events.now
        self.owed, self.finished, self._calls = {}, {}, {}
        self._todo.clear()
        self._doing = False
        self._timer_at = 0
        self.listens = False
        self.wire.disturb()
        self._tell("starts", self.boot, f"as {self.says}")
        self.executors.open()
        self.carry_out(self.machine.start(self.now()))

    def crash(self, why: str, *, power: bool = False) -> None:
        """Ends the process at once, with a word of its kernel or without."""
        self._events.thaw(self, early=True)
        self._tell("dies", why)
        self._end(told=not power)

    def _end(self, told: bool) -> None:
        session = self.session
        healthy = self.liveness.healthy(self)
        if healthy and session:
            self.laws.deaths_due(session, [it.token for _, it in self.executors.running()])
        self.die()
        stood = self.listens and self.wire.stream is not None
        self.liveness.died(self, told and stood and healthy, session)
        if told:
            self.wire.hang_up()
        else:
            self.wire.vanish()
        if self.dice.random() < self._profile.renamed:
            self.says = f"{self.name}-as-{self.life}"
        self._events.after(self.dice.randint(100, 3_000) * MS, self, self.start)

    def freeze(self, until: int) -> None:
        """Stops the process for a while, as SIGSTOP does."""
        self._events.freeze(self, until)
        self.wire.peer_stands_still(self)

    def rest(self) -> None:
        """Lets what hangs come to its end: the world is to come to rest."""
        self.quiet = True
        if self.up:
            self.executors.release()

    # --- the runner ---------------------------------------------------------------------

    def carry_out(self, instructions: list[do.Instruction]) -> None:
        """Carries instructions out, in their order, and those that follow from them."""
        self._todo.extend(instructions)
        if self._doing:
            return
        self._doing = True
        while self._todo and self.up:
            self._do(self._todo.popleft())
        self._doing = False
        if self.up:
            self.laws.worker_acted(self)
            self._set_timer()

    def _do(self, instruction: do.Instruction) -> None:
        self._tell("does", instruction)
        match instruction:
            case do.Start(slot=slot, tickets=tickets):
                self.executors.start(slot, tickets)
            case do.TakeBack(slot=slot):
                tokens = self.executors.take_back(slot)
                if tokens:
                    self._todo.extend(self.machine.taken_back(slot, tokens, self.now()))
            case do.Stop(slot=slot, ticket=ticket):
                self.executors.stop(slot, ticket)
            case do.Kill(slot=slot, ticket=ticket):
                self.executors.kill(slot, ticket)
            case do.Exit():
                self._end(told=True)
            case do.OpenStream(session_id=session):
                self.wire.open_stream(session, lambda *news: self._heard_news(session, *news))
            case do.CloseStream():
                self.liveness.gives_up(self)
                self.wire.close_stream()
            case do.CancelCalls(only_request=only_request):
                for name in ("request",) if only_request else tuple(self._calls):
                    self._cancel(name)
            case _:
                self._make_call(instruction)  # `Stuck` is for the log alone

    def _set_timer(self) -> None:
        at = self.machine.next_at()
        if at is None:
            return
        # One microsecond more: what is due must not be a rounding ahead of us.
        due = int(at * 1e6) + 1
        now = self._events.now
        if self._timer_at > now and self._timer_at <= due:
            return  # it rings early, looks, and is set anew
        self._timer_at = max(due, now + 1)
        self._events.after(self._timer_at - now, self, self._ring, self._timer_at)

    def _ring(self, at: int) -> None:
        if at != self._timer_at:
            return
        self._timer_at = 0
        machine = self.machine
        before = {t.token for t in machine.desk.held.values() if t.state not in ENDED_STATES}
        silent = self._events.now >= self.heard_at + self.lease
        was_cut = machine.cut
        instructions = machine.tick(self.now())
        if silent or machine.cut != was_cut:
            # What can't be vouched for any more, or has to be cut off, is let go by the worker.
            for token in before - machine.desk.held.keys():
                self.owed.pop(token, None)
        self.carry_out(instructions)

    # --- the session --------------------------------------------------------------------

    def _begin(self, name: str, command: c.Command, timeout: int, done: Callable[..., Any]) -> None:
        self._cancel(name)
        self._calls[name] = self.wire.call(command, timeout, done)

    def _cancel(self, name: str) -> None:
        if (call := self._calls.pop(name, None)) is not None:
            self.wire.forget(call)

    def _make_call(self, call: do.Instruction) -> None:
        profile, machine = self._profile, self.machine
        match call:
            case do.Register():
                held = tuple(map(held_of, call.held))
                look_ahead = machine.desk.look_ahead_max
                command: c.Command = c.Register(
                    self.says, self.boot, QUEUES, TYPES, profile.slots, look_ahead, held=held
                )
                self._begin("register", command, profile.call_timeout, self._on_register(call))
            case do.Heartbeat():
                held = tuple(map(held_of, call.held))
                command = c.Heartbeat(call.session_id, held, Load(), call.draining)
                timeout = max(2 * SECOND, int(machine.link.interval_s * 1e6))
                self._begin("heartbeat", command, timeout, self._on_heartbeat(call))
            case do.RequestWork():
                park_ms = profile.park // MS
                command = c.Request(call.session_id, call.tickets_max, park_ms, call.request_id)
                timeout = profile.park + profile.call_timeout
                self._begin("request", command, timeout, self._on_request(call))
            case do.Report():
                outcomes = tuple(outcome_of(*each) for each in call.outcomes)
                self.laws.reports(self, call.outcomes)
                command = c.Report(call.session_id, outcomes, call.tickets_max, call.request_id)
                self._begin("report", command, profile.call_timeout, self._on_report(call))
            case do.Deregister():
                command = c.Deregister(call.session_id, call.reason)
                self._begin("deregister", command, DEREGISTER, self._deregistered)

    def _deregistered(self, *_: object) -> None:
        self.carry_out(self.machine.deregistered(self.now()))

    def _lost(self, session: str, answer: object) -> bool:
        """Takes SESSION_LOST in, if that is the answer."""
        if not (isinstance(answer, Rejection) and answer.reason is Reason.SESSION_LOST):
            return False
        self.heard_at = self._events.now
        mine = self.machine.link.session_id == session
        if mine and answer.metadata.get("cause") == "NAME_TAKEN":
            self.says = self.boot
        self.carry_out(self.machine.session_lost(session, self.now()))
        return True

    def _on_register(self, call: do.Register) -> Callable[[Any, str], None]:
        def done(answer: Any, error: str) -> None:
            if not isinstance(answer, c.Registered):
                roll = self.dice.random()
                self.carry_out(self.machine.register_failed(call, self.now(), roll))
                return
            self.heard_at = self._events.now
            tokens = [line.token for line in call.held]
            kept = [token for token, keep in zip(tokens, answer.kept, strict=True) if keep]
            for token in tokens:
                if token not in kept:
                    self.owed.pop(token, None)
            interval_ms = answer.session.interval_ms
            self.lease = self._profile.lease_of(interval_ms)
            instructions = self.machine.registered(
                call,
                session_id=answer.session.id,
                **pace_of(self._profile.policy, interval_ms),
                kept=frozenset(kept),
                now=self.now(),
            )
            self.carry_out(instructions)

        return done

    def _on_heartbeat(self, call: do.Heartbeat) -> Callable[[Any, str], None]:
        def done(answer: Any, error: str) -> None:
            if self._lost(call.session_id, answer):
                return
            if not isinstance(answer, c.HeartbeatAnswer):
                self.carry_out(self.machine.heartbeat_failed(call, self.now()))
                return
            self.heard_at = self._events.now
            for token in answer.abandon:
                self.owed.pop(token, None)
            self.lease = self._profile.lease_of(answer.interval_ms)
            pace = pace_of(self._profile.policy, answer.interval_ms)
            instructions = self.machine.heartbeat_answered(
                call, answer.abandon, answer.drain, now=self.now(), **pace
            )
            self.carry_out(instructions)

        return done

    def _on_request(self, call: do.RequestWork) -> Callable[[Any, str], None]:
        def done(answer: Any, error: str) -> None:
            if self._lost(call.session_id, answer):
                return
            if isinstance(answer, tuple):
                self.heard_at = self._events.now
                tickets = self._receive(answer, call is self.machine.link.request)
                self.carry_out(self.machine.request_answered(call, tickets, self.now()))
            else:
                roll = self.dice.random()
                self.carry_out(self.machine.request_failed(call, self.now(), roll))

        return done

    def _on_report(self, call: do.Report) -> Callable[[Any, str], None]:
        def done(answer: Any, error: str) -> None:
            if self._lost(call.session_id, answer):
                return
            if isinstance(answer, c.Reported):
                self.heard_at = self._events.now
                for token, _ in call.outcomes:
                    self.owed.pop(token, None)
                tickets = self._receive(answer.grants, call is self.machine.link.report)
                self.carry_out(self.machine.report_answered(call, tickets, self.now()))
            else:
                roll = self.dice.random()
                self.carry_out(self.machine.report_failed(call, self.now(), roll))

        return done

    def _receive(self, grants: tuple[Grant, ...], expected: bool) -> list[Ticket]:
        for grant in grants:
            self.laws.arrived(self.boot, grant)
            if expected:
                self.owed.setdefault(grant.token)
        return [ticket_of(grant) for grant in grants]

    def _heard_news(self, session: str, event: str, about: Any) -> None:
        machine, now = self.machine, self.now()
        if event == "lost":
            self._lost(session, about)
            return
        self.listens = event not in ("broke", "over")
        if not self.listens:
            self.carry_out(machine.stream_broke(session, now, self.dice.random()))
            return
        self.heard_at = self._events.now
        if event == "available":
            instructions = machine.hint(now)
        elif event == "cancel":
            for token in about:
                self.owed.pop(token, None)
            instructions = machine.cancelled(about, "cancelled", now)
        elif event == "drain":
            instructions = machine.drain("the master asked for it", now)
        else:
            instructions = machine.stream_event(now)
        self.carry_out(instructions)

    # --- the account --------------------------------------------------------------------

    def began(self, ticket: Ticket) -> None:
        """Hears from the executors that an attempt really began."""
        self._tell("begins", ticket.token)
        self.laws.began(self.boot, ticket.token)

    def ended(self, ticket: Ticket, outcome: Outcome) -> None:
        """Hears from the executors that an attempt really ended."""
        self._tell("ends", ticket.token, outcome)
        require(ticket.token not in self.finished, "an attempt ends once", ticket.token)
        self.finished[ticket.token] = outcome

    @property
    def session(self) -> str:
        """Its session, if it believes to have one."""
        link = self.machine.link
        return link.session_id if self.up and link.phase is Phase.IN else ""

    @property
    def leaving(self) -> bool:
        """Whether it takes no more work."""
        return self.up and (self.machine.draining or self.machine.link.phase >= Phase.LEAVING)

    def holds(self) -> Collection[str]:
        """Returns the tokens of what it holds."""
        return self.machine.desk.held.keys()

    def idle(self) -> bool:
        """Whether it could start a task now."""
        return not self.leaving and self.machine.desk.free_credit() > 0

    def _tell(self, what: str, *facts: object) -> None:
        if self._story.told:
            self._story.tell(self._events.now, self.name, what, *facts)
