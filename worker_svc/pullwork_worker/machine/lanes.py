"""The slots of a worker: what runs where, what is asked to end, and what goes back.

A slot runs one attempt at a time, the head of its lane. Behind a head may stand followers:
tickets of types that were measured to be tiny, handed to the slot's child, or to the loop, at
once, so that neither is asked for each. A follower is taken back when the head takes longer
than thought; what begins in a child is only ever the head, so a death is blamed on it alone.

Lanes know nothing of reports and the master. Time is an argument, in seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from pullwork_worker.machine.alarms import Alarms
from pullwork_worker.machine.instructions import Instruction, Kill, Start, Stop, Stuck, TakeBack
from pullwork_worker.machine.pace import Pace
from pullwork_worker.machine.ticket import (
    KILLABLE,
    LINED_UP,
    Blame,
    Event,
    Failure,
    Kind,
    Outcome,
    Released,
    State,
    Ticket,
)

# A ticket that found no slot for this long goes back to the master, a follower whose head
# runs this long is taken back: longer than the look-ahead, so that it is rare in normal flow.
PATIENCE_S: Final = 0.025
# Lanes with followers are looked at this often: while another slot is free, a head that has
# run so long already loses its followers to it.
GLANCE_S: Final = 0.005


@dataclass(slots=True, eq=False)
class Slot:
    """Room for one attempt at a time.

    `ready` is false while there is no child process to run anything in. `stuck` is the token
    of an attempt that was given up but still occupies the slot; `killed` the ticket whose
    end by force is on its way.
    """

    index: int
    ready: bool
    lane: deque[Ticket] = field(default_factory=deque)
    stuck: str | None = None
    killed: Ticket | None = None
    watched: bool = False


class Lanes:
    """Says what to run where; `end` takes each ticket that is still wanted and its outcome."""

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        slots: int,
        stop_grace_s: float,
        end: Callable[[Ticket, Outcome], None],
    ) -> None:
        self.kinds = dict(kinds)
        self.stop_grace_s = stop_grace_s
        self.waiting: deque[Ticket] = deque()
        self.alarms = Alarms()
        self.out: list[Instruction] = []
        self.closed = False
        self.pace = Pace()
        ready = Kind.CHILD not in self.kinds.values()
        self.slots = [Slot(index, ready) for index in range(slots)]
        self.free: dict[int, None] = {}
        self.followers = 0
        self._end = end
        self._waiting_watched = False
        for slot in self.slots:
            self._refresh(slot)

    def close(self) -> None:
        """Starts nothing more: what has not begun is released, what runs goes on."""
        if self.closed:
            return
        self.closed = True
        while self.waiting:
            self.release(self.waiting.popleft())
        for slot in self.slots:
            if len(slot.lane) > 1:
                self.take_back(slot)

    def take_back(self, slot: Slot) -> None:
        """Asks for the followers of a slot's head."""
        self.out.append(TakeBack(slot.index, self.kinds[slot.lane[0].type]))

    def release(self, ticket: Ticket) -> None:
        """Gives a ticket that has no slot back to the master."""
        self._end(ticket, Released())

    def child_ready(self, index: int) -> None:
        """Opens a slot: its child process can take work."""
        slot = self.slots[index]
        slot.ready = True
        self._refresh(slot)

    def finished(self, index: int, token: str, outcome: Outcome, run_s: float, now: float) -> None:
        """Takes the end of an attempt in."""
        slot = self.slots[index]
        if slot.stuck is not None:
            if slot.stuck == token:
                slot.stuck = None
                self._refresh(slot)
            return
        if not slot.lane or slot.lane[0].token != token:
            return
        head = slot.lane.popleft()
        self.pace.observe(head.type, run_s)
        if slot.killed is head and self.kinds[head.type] is not Kind.CHILD:
            slot.killed = None
        self._end_head(head, outcome)
        if slot.lane:
            self.followers -= 1
            self._begin(slot, now)
        else:
            self._refresh(slot)

    def child_gone(
        self, index: int, unclaimed: Collection[str], evidence: Failure, now: float
    ) -> bool:
        """Takes the end of a child process in: the head is to blame if it had begun.

        `unclaimed` are the tokens of which the child surely began none. Returns whether the
        child had ever been ready.
        """
        slot = self.slots[index]
        was_ready = slot.ready or slot.killed is not None
        slot.ready = False
        if slot.lane and self.kinds[slot.lane[0].type] is Kind.CHILD:
            head = slot.lane[0]
            innocent = slot.killed is not None and slot.killed is not head
            blamed = head.token not in unclaimed and not innocent
            self.followers -= len(slot.lane) - 1
            rest = list(slot.lane)[1:] if blamed else list(slot.lane)
            slot.lane.clear()
            if blamed:
                self._end_head(head, evidence)
            self._wait_again(rest, now)
        slot.killed = None
        self._refresh(slot)
        return was_ready

    def taken_back(self, index: int, tokens: Collection[str], now: float) -> None:
        """Takes tickets back that surely did not begin in their slot."""
        slot = self.slots[index]
        back = [ticket for ticket in slot.lane if ticket.token in tokens]
        if not back:
            return
        before = max(0, len(slot.lane) - 1)
        slot.lane = deque(ticket for ticket in slot.lane if ticket.token not in tokens)
        self.followers -= before - max(0, len(slot.lane) - 1)
        self._wait_again(back, now)
        self._refresh(slot)

    def busy(self) -> int:
        """Returns how many slots run something."""
        return sum(1 for slot in self.slots if slot.lane or slot.stuck is not None)

    def give(self, now: float) -> None:
        """Gives waiting tickets to slots, as far as there is room."""
        if not self.waiting:
            return
        starts: dict[int, list[Ticket]] = {}
        while self.waiting and self.free:
            index, _ = self.free.popitem()
            self._put(self.slots[index], self.waiting.popleft(), starts, now)
        if self.waiting:
            self._deepen(starts, now)
        for index, tickets in starts.items():
            self.out.append(Start(index, tuple(tickets)))
        if self.waiting and not self._waiting_watched:
            self._waiting_watched = True
            self.alarms.set(self.waiting[0].arrived_at + PATIENCE_S, self._waited_long, None)

    def look_ahead(self, now: float, most: int) -> int:
        """Returns how many tickets beyond the free slots are 20 ms of work, `most` at most.

        Counted are slots that are free or run tiny work; the loop is one slot in this, however
        many attempts wait in it.
        """
        likely = self.pace.likely(now)
        depth = min(map(self.pace.depth, likely), default=0)
        if not depth:
            return 0
        slots_wanted = -(-most // depth)
        if any(self.kinds.get(type) is Kind.LOOP for type in likely):
            slots_wanted = 1
        width = len(self.free)
        for slot in self.slots:
            if width >= slots_wanted:
                break
            width += self._flows(slot, now)
        return min(most, depth * min(width, slots_wanted))

    def _deepen(self, starts: dict[int, list[Ticket]], now: float) -> None:
        lanes = [
            slot
            for slot in self.slots
            if self._flows(slot, now) and self.kinds[slot.lane[0].type] in LINED_UP
        ]
        while self.waiting and lanes:
            share = -(-len(self.waiting) // len(lanes))
            slot = lanes.pop()
            kind = self.kinds[slot.lane[0].type]
            for _ in range(share):
                follower = self.waiting[0]
                fits = len(slot.lane) < self.pace.depth(follower.type)
                if not fits or self.kinds[follower.type] is not kind:
                    break
                self._put(slot, self.waiting.popleft(), starts, now)

    def _flows(self, slot: Slot, now: float) -> bool:
        """Returns whether a slot runs something that will be over in a moment."""
        if not slot.lane or not slot.ready or slot.stuck is not None:
            return False
        head = slot.lane[0]
        return (
            head.state is State.RUNNING
            and now - head.started_at < PATIENCE_S
            and self.pace.depth(head.type) > 0
        )

    def _put(self, slot: Slot, ticket: Ticket, starts: dict[int, list[Ticket]], now: float) -> None:
        ticket.move(Event.GIVE)
        ticket.slot = slot.index
        slot.lane.append(ticket)
        starts.setdefault(slot.index, []).append(ticket)
        if len(slot.lane) == 1:
            self._begin(slot, now)
            return
        self.followers += 1
        if not slot.watched:
            slot.watched = True
            self.alarms.set(now + GLANCE_S, self._look_at_lane, slot)

    def _begin(self, slot: Slot, now: float) -> None:
        head = slot.lane[0]
        head.move(Event.BEGIN)
        head.begun = True
        head.started_at = now
        if head.timeout_s is not None:
            self.alarms.set(now + head.timeout_s, self._timed_out, (head, now))
        if not head.wanted:
            self.stop(head, now, "it was cancelled")

    def stop(self, head: Ticket, now: float, reason: str) -> None:
        """Asks a running attempt to end; by force after the grace."""
        slot = self.slots[head.slot]
        head.move(Event.STOP)
        self.out.append(Stop(slot.index, head, reason))
        if len(slot.lane) > 1:
            self.take_back(slot)
        self.alarms.set(now + self.stop_grace_s, self._grace_over, head)

    def _timed_out(self, about: tuple[Ticket, float], now: float) -> None:
        ticket, started_at = about
        if ticket.state is State.RUNNING and ticket.started_at == started_at:
            self.stop(ticket, now, "its execution timeout passed")

    def _grace_over(self, ticket: Ticket, _now: float) -> None:
        slot = self.slots[ticket.slot]
        if ticket.state is not State.STOPPING or slot.lane[0] is not ticket:
            return
        if self.kinds[ticket.type] in KILLABLE:
            if slot.killed is not ticket:
                slot.killed = ticket
                slot.ready = slot.ready and self.kinds[ticket.type] is not Kind.CHILD
                self.out.append(Kill(slot.index, ticket))
            return
        slot.lane.popleft()
        slot.stuck = ticket.token
        self.out.append(Stuck(slot.index, ticket))
        self._end_head(ticket, Released())  # replaced, if it is still wanted: its time was over

    def _look_at_lane(self, slot: Slot, now: float) -> None:
        slot.watched = len(slot.lane) > 1
        if not slot.watched:
            return
        head = slot.lane[0]
        long_at = head.started_at + PATIENCE_S
        if now >= long_at:
            self.pace.observe(head.type, now - head.started_at)
            self.take_back(slot)
        elif now >= head.started_at + GLANCE_S and self.free:
            self.take_back(slot)
        due_at = now + GLANCE_S
        self.alarms.set(min(due_at, long_at) if now < long_at else due_at, self._look_at_lane, slot)

    def _waited_long(self, _: None, now: float) -> None:
        self._waiting_watched = False
        while self.waiting and self.waiting[0].arrived_at + PATIENCE_S <= now:
            self.release(self.waiting.popleft())
        if self.waiting:
            self._waiting_watched = True
            self.alarms.set(self.waiting[0].arrived_at + PATIENCE_S, self._waited_long, None)

    def _wait_again(self, tickets: list[Ticket], now: float) -> None:
        for ticket in reversed(tickets):
            ticket.move(Event.TAKE_BACK)
            ticket.begun = False
            ticket.slot = -1
            ticket.arrived_at = now
            if not ticket.wanted:
                ticket.move(Event.DROP)
            elif self.closed:
                self.release(ticket)
            else:
                self.waiting.appendleft(ticket)

    def _end_head(self, head: Ticket, outcome: Outcome) -> None:
        if not head.wanted:
            head.move(Event.DROP)
        elif head.state is State.STOPPING and head.timeout_s is not None:
            self._end(head, _timeout(head.timeout_s))
        else:
            self._end(head, outcome)

    def _refresh(self, slot: Slot) -> None:
        if slot.ready and not slot.lane and slot.stuck is None:
            self.free[slot.index] = None
        else:
            self.free.pop(slot.index, None)


def _timeout(timeout_s: float) -> Failure:
    message = f"the attempt ran longer than its execution timeout of {timeout_s:g} s"
    return Failure(Blame.TIMEOUT, "pullwork.ExecutionTimeout", message)
