"""The worker's whole behaviour as a machine: stimuli and the time in, instructions out.

It knows no asyncio, clock, socket or process. Each public method is a stimulus: what the
master answered, what an executor met, or that time passed (`tick`). Each returns what the
runner has to do, in order. At most one call of each kind is on its way; a stimulus that
answers a call carries that call back, and one for a call that is not the present one is
ignored.

How work flows: free slots are filled by a RequestTask that is parked at the master; once
attempts end, ReportResult brings their outcomes and asks for the next tickets in the same
call. Outcomes that gather while one report is on its way go into the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pullwork_worker.machine.desk import Desk
from pullwork_worker.machine.instructions import (
    CancelCalls,
    CloseStream,
    Deregister,
    Exit,
    Heartbeat,
    Instruction,
    Register,
    Report,
    RequestWork,
)
from pullwork_worker.machine.link import Link, Phase
from pullwork_worker.machine.ticket import Failure, Kind, Note, Outcome, State, Ticket

# What fits into a heartbeat, well below 4 MiB with all around it.
NOTE_BYTES_MAX: Final = 3 * 1024 * 1024
# What has ended when the drain grace passes gets this long to be reported.
LAST_REPORT_S: Final = 2.0
# This many child processes in a row that die before they are ready: nothing will ever run.
BOOT_FAILURES_MAX: Final = 5


class Machine:
    """One worker."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        slots: int,
        look_ahead_max: int,
        stop_grace_s: float,
        drain_grace_s: float,
    ) -> None:
        self.desk = Desk(kinds, slots, look_ahead_max, stop_grace_s)
        self.link = Link()
        self.draining = False
        self.cut = False
        self.exit_code = 0
        self.exit_reason = ""
        self._drain_grace_s = drain_grace_s
        self._request_serial = 0
        self._boot_failures = 0
        self._out: list[Instruction] = []

    def next_at(self) -> float | None:
        """Returns when `tick` is due."""
        times = (self.link.next_at(), self.desk.lanes.alarms.next_at())
        return min((at for at in times if at is not None), default=None)

    # Stimuli: the session.

    def start(self, now: float) -> list[Instruction]:
        """Begins: the worker wants a session."""
        self.link.contact_at = self.link.retry_at = now
        return self.tick(now)

    def registered(
        self,
        call: Register,
        *,
        session_id: str,
        interval_s: float,
        lease_s: float,
        kept: Collection[str],
        now: float,
    ) -> list[Instruction]:
        """Takes a new session up; what was held and is not kept is worth nothing any more."""
        if call is self.link.register:
            self.link.register = None
            for line in call.held:
                if line.token not in kept:
                    self.desk.drop(line.token, now, "its lease did not outlast the old session")
            self._out.append(self.link.enter(session_id, interval_s, lease_s, now))
        return self._flush(now)

    def register_failed(self, call: Register, now: float, roll: float) -> list[Instruction]:
        """Waits before the next try."""
        link = self.link
        if call is link.register:
            link.register = None
            link.phase = Phase.OUT
            link.retry_at = now + link.register_backoff.next(roll)
        return self._flush(now)

    def session_lost(self, session_id: str, now: float) -> list[Instruction]:
        """Registers anew with what is held: the master does not know this session any more."""
        link = self.link
        if link.phase is Phase.IN and session_id == link.session_id:
            link.heard(now)
            if link.report is not None:
                self.desk.unsend(token for token, _ in link.report.outcomes)
            if link.heartbeat is not None:
                self.desk.notes_lost(link.heartbeat.held)
            link.leave(Phase.OUT)
            link.retry_at = now
            self._out += [CancelCalls(), CloseStream()]
        return self.tick(now)

    def stream_event(self, now: float) -> list[Instruction]:
        """Notes a sign of life on the stream."""
        self._heard_stream(now)
        return self._flush(now)

    def hint(self, now: float) -> list[Instruction]:
        """Repeats an unanswered request at once: the master is there and has work."""
        if self.link.request_again_at is not None:
            self.link.request_again_at = now
        self._heard_stream(now)
        return self.tick(now)

    def stream_broke(self, session_id: str, now: float, roll: float) -> list[Instruction]:
        """Opens another stream after a wait."""
        link = self.link
        if link.phase is Phase.IN and session_id == link.session_id and link.reopen_at is None:
            link.reopen_at = now + link.stream_backoff.next(roll)
        return self._flush(now)

    def cancelled(self, tokens: Iterable[str], reason: str, now: float) -> list[Instruction]:
        """Stops attempts that the master does not want any more."""
        for token in tokens:
            self.desk.drop(token, now, reason)
        self._heard_stream(now)
        return self._flush(now)

    def drain(self, reason: str, now: float) -> list[Instruction]:
        """Takes no more work, finishes what runs, and leaves."""
        self._begin_drain(reason, now)
        return self._flush(now)

    def leave(self, reason: str, code: int, now: float) -> list[Instruction]:
        """Leaves at once; what still runs is cut off and goes back to its queue."""
        self._leave(reason, code, now)
        return self._flush(now)

    def deregistered(self, now: float) -> list[Instruction]:
        """Ends, whether the master heard it or not."""
        if self.link.phase is Phase.LEAVING:
            self._out.append(CloseStream())
            self._exit()
        return self._flush(now)

    # Stimuli: answers to calls.

    def request_answered(
        self, call: RequestWork, tickets: Iterable[Ticket], now: float
    ) -> list[Instruction]:
        """Takes tickets in."""
        if call is self.link.request:
            self.link.heard(now)
            self.link.request = None
            self.link.request_backoff.reset()
            self.desk.arrive(tickets, now)
        return self._flush(now)

    def request_failed(self, call: RequestWork, now: float, roll: float) -> list[Instruction]:
        """Repeats the request after a wait: tickets may have left for it."""
        if call is self.link.request:
            self.link.request_again_at = now + self.link.request_backoff.next(roll)
        return self._flush(now)

    def report_answered(
        self, call: Report, tickets: Iterable[Ticket], now: float
    ) -> list[Instruction]:
        """Lets go of what got its verdict, and takes the next tickets in."""
        if call is self.link.report:
            self.link.heard(now)
            self.link.report = None
            self.link.report_backoff.reset()
            self.desk.answered(token for token, _ in call.outcomes)
            self.desk.arrive(tickets, now)
        return self._flush(now)

    def report_failed(self, call: Report, now: float, roll: float) -> list[Instruction]:
        """Repeats the report after a wait: nobody knows whether it arrived."""
        if call is self.link.report:
            self.link.report_again_at = now + self.link.report_backoff.next(roll)
        return self._flush(now)

    def report_refused(self, call: Report, reason: str, now: float) -> list[Instruction]:
        """Finds the outcome that the master can't take: smaller reports, then a substitute."""
        if call is not self.link.report:
            return []
        self.link.heard(now)
        self.link.report = None
        self.desk.refused([token for token, _ in call.outcomes], reason)
        return self._flush(now)

    def heartbeat_answered(
        self,
        call: Heartbeat,
        abandon: Iterable[str],
        drain: bool,
        interval_s: float,
        lease_s: float,
        now: float,
    ) -> list[Instruction]:
        """Does what the master says about the inventory."""
        link = self.link
        if call is link.heartbeat:
            link.heard(now)
            link.heartbeat = None
            link.pace(interval_s, lease_s)
            self.desk.notes_arrived(call.held)
            for token in abandon:
                self.desk.drop(token, now, "the master took its lease back")
            if drain:
                self._begin_drain("the master asked for it", now)
        return self._flush(now)

    def heartbeat_failed(self, call: Heartbeat, now: float) -> list[Instruction]:
        """Keeps the notes for the next heartbeat, which comes in its time."""
        if call is self.link.heartbeat:
            self.link.heartbeat = None
            self.desk.notes_lost(call.held)
            self.link.heartbeat_sent_at = now
        return self._flush(now)

    # Stimuli: the executors.

    def finished(
        self, ends: Iterable[tuple[int, str, Outcome, float]], now: float
    ) -> list[Instruction]:
        """Takes ends in: slot, token, outcome, and the seconds it ran."""
        for slot, token, outcome, run_s in ends:
            self.desk.lanes.finished(slot, token, outcome, run_s, now)
        return self._flush(now)

    def noted(self, token: str, note: Note, now: float) -> list[Instruction]:
        """Keeps what an attempt said of itself; a heartbeat carries it soon."""
        ticket = self.desk.held.get(token)
        if ticket is not None and ticket.state in (State.RUNNING, State.STOPPING):
            ticket.say(note)
            self.link.heartbeat_soon(now)
        return self._flush(now)

    def child_ready(self, slot: int, now: float) -> list[Instruction]:
        """Opens a slot."""
        self._boot_failures = 0
        self.desk.lanes.child_ready(slot)
        return self._flush(now)

    def child_gone(
        self, slot: int, unclaimed: Collection[str], evidence: Failure, now: float
    ) -> list[Instruction]:
        """Blames the attempt that ran in a child which ended; the others start elsewhere."""
        was_ready = self.desk.lanes.child_gone(slot, unclaimed, evidence, now)
        self._boot_failures += not was_ready
        if self._boot_failures >= BOOT_FAILURES_MAX:
            self._leave(f"no child process starts: {evidence.message}", 1, now)
        return self._flush(now)

    def taken_back(self, slot: int, tokens: Collection[str], now: float) -> list[Instruction]:
        """Takes in what surely did not begin in a slot."""
        self.desk.lanes.taken_back(slot, tokens, now)
        return self._flush(now)

    # Time.

    def tick(self, now: float) -> list[Instruction]:
        """Does all that is due."""
        link = self.link
        self.desk.lanes.alarms.ring(now)
        lost_s = link.lost_for(now)
        if lost_s is not None:
            self.desk.drop_unfinished(now, f"the master has not answered for {lost_s:.0f} s")
        if link.register_due(now):
            link.register = Register(self.desk.inventory())
            self._out.append(link.register)
        self._out += link.repeats_due(now)
        self._heartbeat(now)
        return self._flush(now)

    def _heard_stream(self, now: float) -> None:
        self.link.heard(now)
        self.link.event_at = now
        self.link.stream_backoff.reset()

    # Leaving.

    def _begin_drain(self, reason: str, now: float) -> None:
        if self.draining:
            return
        self.draining = True
        self.exit_reason = reason
        # The master is to know, so that it can say why nothing goes to this worker.
        self.link.heartbeat_at = now if self.link.phase is Phase.IN else None
        self.desk.lanes.close()
        self.desk.lanes.alarms.set(now + self._drain_grace_s, self._cut, "the drain grace passed")
        if self.link.request is not None:
            # Tickets that are just leaving for it go back to their queues with Deregister.
            self.link.request = None
            self._out.append(CancelCalls(only_request=True))

    def _leave(self, reason: str, code: int, now: float) -> None:
        if self.link.phase < Phase.LEAVING:
            self.exit_code = code
            self._begin_drain(reason, now)
            self.exit_reason = reason
            self._cut(reason, now)
            self._depart()

    def _cut(self, reason: str, now: float) -> None:
        if self.link.phase < Phase.LEAVING:
            self.cut = True
            self.desk.drop_unfinished(now, reason)
            self.desk.lanes.alarms.set(now + LAST_REPORT_S, self._give_up, None)

    def _give_up(self, _: None, _now: float) -> None:
        if self.link.phase < Phase.LEAVING:
            self._depart()

    def _depart(self) -> None:
        session_id, phase = self.link.session_id, self.link.phase
        self._out.append(CancelCalls())
        self.link.leave(Phase.LEAVING)
        if phase is Phase.IN:
            # The stream stays until the answer: its end before would look like a death.
            self._out.append(Deregister(session_id, self.exit_reason))
        else:
            self._exit()

    def _exit(self) -> None:
        self.link.phase = Phase.GONE
        self._out.append(Exit(self.exit_code, self.exit_reason))

    # What follows from any stimulus.

    def _flush(self, now: float) -> list[Instruction]:
        self.desk.lanes.give(now)
        if self.link.phase is Phase.IN:
            self._report(now)
            self._request(now)
        over = self.desk.idle() or (self.cut and not self.desk.held)
        if self.draining and self.link.phase < Phase.LEAVING and over:
            self._depart()
        out = [*self.desk.lanes.out, *self._out]
        self.desk.lanes.out.clear()
        self._out.clear()
        return out

    def _heartbeat(self, now: float) -> None:
        if self.link.heartbeat_due(now):
            held = self.desk.inventory(NOTE_BYTES_MAX)
            busy = self.desk.lanes.busy()
            self.link.heartbeat = Heartbeat(self.link.session_id, held, busy, self.draining)
            self._out.append(self.link.heartbeat)

    def _report(self, now: float) -> None:
        link = self.link
        if link.report is not None or not self.desk.ended:
            return
        taken = self.desk.take_outcomes()
        if taken:
            credit = max(0, self.desk.credit(now) - link.reserved())
            outcomes = tuple((t.token, t.outcome) for t in taken if t.outcome is not None)
            link.report = Report(link.session_id, outcomes, credit, self._next_id())
            self._out.append(link.report)
        elif self.desk.waits_for_note() and link.heartbeat is None and not self._note_held(now):
            link.heartbeat_at = now
            self._heartbeat(now)

    def _note_held(self, now: float) -> bool:
        # After a failed heartbeat the next one keeps its time, or the two would chase each other.
        return now - self.link.heartbeat_sent_at < 0.05

    def _request(self, now: float) -> None:
        link = self.link
        if link.request is None:
            credit = self.desk.free_credit() - link.reserved()
            if credit > 0:
                link.request = RequestWork(link.session_id, credit, self._next_id())
                self._out.append(link.request)

    def _next_id(self) -> str:
        self._request_serial += 1
        return str(self._request_serial)
