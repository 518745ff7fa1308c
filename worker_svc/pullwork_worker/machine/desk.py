"""The tickets of a worker, from their arrival until the verdict on their outcome.

What runs where is the affair of `Lanes`; when to speak with the master that of `Machine`.
Time is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pullwork_worker.machine.instructions import HeldLine
from pullwork_worker.machine.lanes import Lanes
from pullwork_worker.machine.ticket import (
    Blame,
    Event,
    Failure,
    Kind,
    Outcome,
    State,
    Success,
    Ticket,
)

# The contract's bound on a report, and what fits well below 4 MiB with all around it.
OUTCOMES_MAX: Final = 1000
REPORT_BYTES_MAX: Final = 3 * 1024 * 1024


class Desk:
    """Holds every ticket that the master may ask about."""

    def __init__(
        self, kinds: Mapping[str, Kind], slots: int, look_ahead_max: int, stop_grace_s: float
    ) -> None:
        self.look_ahead_max = look_ahead_max
        self.held: dict[str, Ticket] = {}
        self.ended: deque[Ticket] = deque()
        self.lanes = Lanes(kinds, slots, stop_grace_s, self._end)
        self._outcomes_max = OUTCOMES_MAX

    def free_credit(self) -> int:
        """Returns how many more tickets could start at once."""
        lanes = self.lanes
        return 0 if lanes.closed else max(0, len(lanes.free) - len(lanes.waiting))

    def credit(self, now: float) -> int:
        """Returns how many more tickets are welcome: for the free slots, and to look ahead."""
        lanes = self.lanes
        if lanes.closed:
            return 0
        ahead = lanes.look_ahead(now, self.look_ahead_max)
        return max(0, len(lanes.free) + ahead - len(lanes.waiting) - lanes.followers)

    def inventory(self, note_bytes_max: int = 0) -> tuple[HeldLine, ...]:
        """Returns a line for each ticket, with new notes as far as the bytes allow.

        Notes leave their tickets until `notes_arrived` or `notes_lost`.
        """
        lines = []
        room = note_bytes_max
        for ticket in self.held.values():
            note = None
            if room and ticket.note is not None and ticket.sending is None:
                size = len(ticket.note.checkpoint or b"") + 4 * len(ticket.note.message or "") + 16
                if size <= room:
                    room -= size
                    note = ticket.take_note()
            lines.append(HeldLine(ticket.token, ticket.begun, note))
        return tuple(lines)

    def notes_arrived(self, lines: Iterable[HeldLine]) -> None:
        """Lets go of the notes that a heartbeat carried."""
        for line in lines:
            if line.note is not None and (ticket := self.held.get(line.token)) is not None:
                ticket.note_arrived()

    def notes_lost(self, lines: Iterable[HeldLine]) -> None:
        """Keeps the notes of an unanswered heartbeat for the next one."""
        for line in lines:
            if line.note is not None and (ticket := self.held.get(line.token)) is not None:
                ticket.note_lost()

    def idle(self) -> bool:
        """Returns whether nothing is held and nothing runs."""
        return not self.held and not any(slot.lane for slot in self.lanes.slots)

    def waits_for_note(self) -> bool:
        """Returns whether an outcome is kept back until a heartbeat carried its checkpoint."""
        return any(not ticket.reportable and ticket.sending is None for ticket in self.ended)

    def arrive(self, tickets: Iterable[Ticket], now: float) -> None:
        """Takes tickets in; what is held already (an answer told twice) is passed over.

        What finds no free slot and may run long is given back: to wait here, while a slot may be
        free elsewhere, is for tiny work only.
        """
        lanes, types = self.lanes, set()
        room = len(lanes.free) - len(lanes.waiting)
        for ticket in tickets:
            if ticket.token in self.held:
                continue
            self.held[ticket.token] = ticket
            ticket.arrived_at = now
            types.add(ticket.type)
            if lanes.closed or (room <= 0 and not lanes.pace.may_wait(ticket.type)):
                lanes.release(ticket)
            elif ticket.type not in lanes.kinds:
                message = f"this worker has no function for the type {ticket.type!r}"
                self._end(ticket, Failure(Blame.APPLICATION, "pullwork.UnknownType", message))
            else:
                lanes.waiting.append(ticket)
                room -= 1
        lanes.pace.seen(types, now)

    def drop(self, token: str, now: float, reason: str) -> bool:
        """Forgets a ticket that is worth nothing any more, and ends its attempt."""
        ticket = self.held.pop(token, None)
        if ticket is None:
            return False
        ticket.wanted = False
        if ticket.state is State.WAITING:
            self.lanes.waiting.remove(ticket)
            ticket.move(Event.DROP)
        elif ticket.state is State.GIVEN:
            self.lanes.take_back(self.lanes.slots[ticket.slot])
        elif ticket.state is State.RUNNING:
            self.lanes.stop(ticket, now, reason)
        elif ticket.state is State.ENDED:
            self.ended.remove(ticket)
            ticket.move(Event.DROP)
        elif ticket.state is State.SENT:
            ticket.move(Event.DROP)
        return True

    def drop_unfinished(self, now: float, reason: str) -> int:
        """Drops all whose outcome is not there yet; returns how many."""
        tokens = [
            ticket.token
            for ticket in self.held.values()
            if ticket.state not in (State.ENDED, State.SENT)
        ]
        return sum(self.drop(token, now, reason) for token in tokens)

    def take_outcomes(self) -> list[Ticket]:
        """Moves outcomes into a report, oldest first; always one at least if there is any."""
        taken: list[Ticket] = []
        kept: list[Ticket] = []
        size = 0
        while self.ended and len(taken) < self._outcomes_max:
            ticket = self.ended.popleft()
            if not ticket.reportable:
                kept.append(ticket)
                continue
            size += _size(ticket)
            if taken and size > REPORT_BYTES_MAX:
                kept.append(ticket)
                break
            ticket.move(Event.SEND)
            taken.append(ticket)
        self.ended.extendleft(reversed(kept))
        return taken

    def answered(self, tokens: Iterable[str]) -> None:
        """Lets go of tickets whose outcomes got their verdicts."""
        self._outcomes_max = min(OUTCOMES_MAX, self._outcomes_max * 2)
        for token in tokens:
            ticket = self.held.get(token)
            if ticket is not None and ticket.state is State.SENT:
                del self.held[token]
                ticket.move(Event.ANSWER)

    def unsend(self, tokens: Iterable[str]) -> None:
        """Takes outcomes back from a report that got no verdicts, for another report."""
        back = []
        for token in tokens:
            ticket = self.held.get(token)
            if ticket is not None and ticket.state is State.SENT:
                ticket.move(Event.LOSE)
                back.append(ticket)
        self.ended.extendleft(reversed(back))

    def refused(self, tokens: Sequence[str], reason: str) -> None:
        """Finds the outcome that the master can't take: the next report has half as many.

        The one that is refused alone is replaced by a failure that says so; if that is refused
        too, the ticket is let go.
        """
        self.unsend(tokens)
        if len(tokens) > 1:
            self._outcomes_max = len(tokens) // 2
            return
        ticket = self.held.get(tokens[0])
        if ticket is None:
            return
        if ticket.substituted:
            self.ended.remove(ticket)
            ticket.move(Event.DROP)
            del self.held[ticket.token]
            return
        message = f"the master refused the outcome: {reason}"
        ticket.outcome = Failure(
            Blame.APPLICATION, "pullwork.OutcomeRefused", message, retryable=False
        )
        ticket.substituted = True

    def _end(self, ticket: Ticket, outcome: Outcome) -> None:
        ticket.outcome = outcome
        ticket.move(Event.END)
        self.ended.append(ticket)


def _size(ticket: Ticket) -> int:
    outcome = ticket.outcome
    if isinstance(outcome, Success):
        return len(outcome.data) + 200
    if isinstance(outcome, Failure):
        return 4 * (len(outcome.message) + len(outcome.details)) + 400
    return 100
