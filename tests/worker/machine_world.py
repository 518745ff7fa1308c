"""The worker's machine against a world that does anything in any order.

The world plays the master and the executors, and knows the truth: which attempts really began.
Its laws must also find the bugs that test_machine_any_order plants.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pullwork_worker.machine import (
    Blame,
    Failure,
    Kind,
    Machine,
    Note,
    Outcome,
    Released,
    Success,
    Ticket,
)
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.invariants import capacity, validate_state
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.ticket import LINED_UP, State

KINDS = {"child": Kind.CHILD, "loop": Kind.LOOP, "command": Kind.COMMAND, "instance": Kind.INSTANCE}
SLOTS = 3
LOOK_AHEAD = 6
DEATH = Failure(Blame.WORKER_LOST, "died", "the process died")


@dataclass
class Room:
    """What really goes on in a slot: the head runs; of the others none has begun."""

    ready: bool = False
    lane: deque[Ticket] = field(default_factory=deque)


class World(RuleBasedStateMachine):
    """Master, executors and clock around one machine."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.machine = Machine(
            KINDS, slots=SLOTS, look_ahead_max=LOOK_AHEAD, stop_grace_s=1.0, drain_grace_s=10.0
        )
        self.rooms = [Room() for _ in range(SLOTS)]
        self.calls: dict[str, Any] = {}
        self.serial = 0
        self.sessions = 0
        self.owed: set[str] = set()  # arrived, and neither answered nor dropped
        self.began: set[str] = set()
        self.deaths: set[str] = set()  # began in a child that then died
        self.outcomes: dict[str, object] = {}
        self.exited = False
        self.repeatable: do.Report | None = None  # what failed is sent again as it was

    # Instructions.

    def feed(self, instructions: list[do.Instruction]) -> None:
        queue = deque(instructions)
        while queue:
            queue.extend(self.obey(queue.popleft()))

    def obey(self, instruction: do.Instruction) -> list[do.Instruction]:
        match instruction:
            case do.Start(slot=slot, tickets=tickets):
                self.begin(self.rooms[slot], tickets)
            case do.TakeBack(slot=slot, kind=kind):
                assert self.kind_in(self.rooms[slot]) is kind, "who runs the head is asked"
                return self.take_back(slot)
            case do.Kill(slot=slot, ticket=ticket):
                return self.kill(slot, ticket)
            case do.Stop(slot=slot, ticket=ticket):
                assert self.rooms[slot].lane[0] is ticket, "only the head is stopped"
                if KINDS[ticket.type] is Kind.INSTANCE:  # it is let go of at once
                    self.rooms[slot].lane.clear()
                    return self.machine.finished([(slot, ticket.token, Released(), 1.0)], self.now)
            case do.Stuck(slot=slot):
                pass
            case do.CancelCalls(only_request=only_request):
                for name in ("request",) if only_request else tuple(self.calls):
                    self.calls.pop(name, None)
            case do.Exit():
                self.exited = True
            case do.OpenStream() | do.CloseStream() | do.Deregister():
                pass
            case _:
                self.check_call(instruction)
                self.calls[type(instruction).__name__.lower().removesuffix("work")] = instruction
        return []

    def begin(self, room: Room, tickets: tuple[Ticket, ...]) -> None:
        kind = KINDS[tickets[0].type]
        assert kind in LINED_UP or (len(tickets) == 1 and not room.lane), "one attempt at a time"
        assert self.kind_in(room) in (None, kind), "a lane is of one kind"
        assert room.ready or kind is not Kind.CHILD, "only a ready child is given work"
        room.lane.extend(tickets)
        self.head_begins(room)

    def kind_in(self, room: Room) -> Kind | None:
        return KINDS[room.lane[0].type] if room.lane else None

    def head_begins(self, room: Room) -> None:
        if room.lane:
            self.began.add(room.lane[0].token)

    def take_back(self, slot: int) -> list[do.Instruction]:
        room = self.rooms[slot]
        if self.kind_in(room) not in LINED_UP:
            return []
        back = [ticket.token for ticket in list(room.lane)[1:]]
        room.lane = deque(list(room.lane)[:1])
        return self.machine.taken_back(slot, back, self.now)

    def kill(self, slot: int, ticket: Ticket) -> list[do.Instruction]:
        room = self.rooms[slot]
        assert KINDS[ticket.type] in (Kind.CHILD, Kind.COMMAND)
        if KINDS[ticket.type] is Kind.COMMAND:
            room.lane.clear()
            self.deaths.add(ticket.token)
            return self.machine.finished([(slot, ticket.token, DEATH, 1.0)], self.now)
        return self.death(slot)

    def death(self, slot: int) -> list[do.Instruction]:
        room = self.rooms[slot]
        room.ready = False
        unclaimed: list[str] = []
        if room.lane and KINDS[room.lane[0].type] is Kind.CHILD:
            self.deaths.add(room.lane[0].token)
            unclaimed = [ticket.token for ticket in list(room.lane)[1:]]
            room.lane.clear()
        return self.machine.child_gone(slot, unclaimed, DEATH, self.now)

    def check_call(self, call: do.Instruction) -> None:
        if isinstance(call, do.Heartbeat | do.Register):
            listed = {line.token for line in call.held}
            assert listed == self.owed, "the inventory is what arrived and is not answered"
        if isinstance(call, do.RequestWork):
            assert 1 <= call.tickets_max <= SLOTS, "a parked request is for free slots only"
        if isinstance(call, do.Report) and call is not self.repeatable:
            self.repeatable = call
            for token, outcome in call.outcomes:
                self.check_outcome(token, outcome)

    def check_outcome(self, token: str, outcome: object) -> None:
        assert token in self.owed, "nothing is reported that nobody waits for"
        if isinstance(outcome, Released):
            assert token not in self.began, "what is released never began"
        if outcome == DEATH:
            assert token in self.deaths, "a death is blamed on what had begun"
        refused = isinstance(outcome, Failure) and outcome.type == "pullwork.OutcomeRefused"
        if token in self.outcomes and not refused:
            assert self.outcomes[token] == outcome, "an outcome does not change"
        self.outcomes[token] = outcome

    # The master.

    def tickets(self, types: list[str], most: int) -> list[Ticket]:
        made = []
        for type in types[:most]:
            self.serial += 1
            timeout = 2.0 if self.serial % 3 == 0 else None
            made.append(Ticket(f"lease-{self.serial}", type, timeout, None))
        self.owed.update(ticket.token for ticket in made)
        return made

    def forget(self, tokens: set[str]) -> None:
        self.owed -= tokens

    @initialize(ready=st.integers(0, SLOTS), known=st.booleans())
    def start(self, ready: int, known: bool) -> None:
        if known:
            for type in ("child", "loop"):
                self.machine.desk.lanes.pace.observe(type, 0.001)
        self.feed(self.machine.start(self.now))
        self.answer_register(set())
        for _ in range(ready):
            self.a_child_gets_ready()

    @precondition(lambda self: "register" in self.calls)
    @rule(data=st.data(), works=st.booleans())
    def register_is_answered(self, data: st.DataObject, works: bool) -> None:
        call = self.calls["register"]
        if works:
            held = sorted(line.token for line in call.held)
            self.answer_register(data.draw(st.sets(st.sampled_from(held))) if held else set())
        else:
            del self.calls["register"]
            self.feed(self.machine.register_failed(call, self.now, 0.5))

    def answer_register(self, lost: set[str]) -> None:
        call = self.calls.pop("register")
        self.sessions += 1
        self.forget(lost)
        kept = {line.token for line in call.held} - lost
        session_id = f"session-{self.sessions}"
        self.feed(
            self.machine.registered(
                call, session_id=session_id, interval_s=5, lease_s=30, kept=kept, now=self.now
            )
        )

    @precondition(lambda self: "request" in self.calls)
    @rule(types=st.lists(st.sampled_from(["child", *KINDS]), max_size=SLOTS), works=st.booleans())
    def request_is_answered(self, types: list[str], works: bool) -> None:
        call = self.calls.pop("request")
        if works or types:
            tickets = self.tickets(types, call.tickets_max)
            self.feed(self.machine.request_answered(call, tickets, self.now))
        else:
            self.feed(self.machine.request_failed(call, self.now, 0.5))

    @precondition(lambda self: "report" in self.calls)
    @rule(count=st.integers(0, SLOTS + LOOK_AHEAD), type=st.sampled_from(["child", *KINDS]))
    def report_is_answered(self, count: int, type: str) -> None:
        self.answer_report(count, type)

    def answer_report(self, count: int, type: str) -> None:
        call = self.calls.pop("report")
        self.forget({token for token, _ in call.outcomes})
        tickets = self.tickets([type] * count, call.tickets_max)
        self.feed(self.machine.report_answered(call, tickets, self.now))

    @rule(type=st.sampled_from(["child", "loop"]))
    def tiny_work_flows(self, type: str) -> None:
        """What it takes until a worker looks ahead: heads get followers."""
        if "request" in self.calls:
            call = self.calls.pop("request")
            tickets = self.tickets([type] * SLOTS, call.tickets_max)
            self.feed(self.machine.request_answered(call, tickets, self.now))
        busy = [index for index, room in enumerate(self.rooms) if room.lane]
        if busy:
            self.end(busy[0], 1, Success(b"1", ""))
        if "report" in self.calls:
            self.answer_report(SLOTS + LOOK_AHEAD, type)

    @precondition(lambda self: "report" in self.calls)
    @rule(refused=st.booleans())
    def report_fails(self, refused: bool) -> None:
        call = self.calls.pop("report")
        if refused:
            tokens = [token for token, _ in call.outcomes]
            ticket = self.machine.desk.held.get(tokens[0])
            if len(tokens) == 1 and ticket is not None and ticket.substituted:
                self.forget(set(tokens))
            self.feed(self.machine.report_refused(call, "no", self.now))
        else:
            self.feed(self.machine.report_failed(call, self.now, 0.5))

    @precondition(lambda self: "heartbeat" in self.calls)
    @rule(data=st.data(), works=st.booleans())
    def heartbeat_is_answered(self, data: st.DataObject, works: bool) -> None:
        call = self.calls.pop("heartbeat")
        if not works:
            self.feed(self.machine.heartbeat_failed(call, self.now))
            return
        held = sorted(line.token for line in call.held)
        abandon = data.draw(st.sets(st.sampled_from(held), max_size=2)) if held else set()
        self.forget(abandon)
        interval_s = data.draw(st.sampled_from([2.5, 5.0, 10.0]))
        pace = (interval_s, 3 * interval_s + 15.0)
        self.feed(self.machine.heartbeat_answered(call, abandon, False, *pace, self.now))

    @precondition(lambda self: self.machine.link.phase is Phase.IN and self.serial > 3)
    @rule()
    def session_is_lost(self) -> None:
        self.feed(self.machine.session_lost(self.machine.link.session_id, self.now))

    @precondition(lambda self: self.machine.link.phase is Phase.IN)
    @rule()
    def stream_breaks(self) -> None:
        session_id = self.machine.link.session_id
        self.feed(self.machine.stream_broke(session_id, self.now, 0.5))

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def master_cancels(self, data: st.DataObject) -> None:
        tokens = data.draw(st.sets(st.sampled_from(sorted(self.owed)), min_size=1, max_size=2))
        self.forget(tokens)
        self.feed(self.machine.cancelled(tokens, "cancelled", self.now))

    @precondition(lambda self: self.serial > 12)
    @rule()
    def master_drains(self) -> None:
        self.feed(self.machine.drain("asked", self.now))

    @rule()
    def master_hints(self) -> None:
        self.feed(self.machine.hint(self.now))

    # The executors.

    @precondition(lambda self: any(not room.ready for room in self.rooms))
    @rule()
    def a_child_gets_ready(self) -> None:
        slot = next(index for index, room in enumerate(self.rooms) if not room.ready)
        self.rooms[slot].ready = True
        self.feed(self.machine.child_ready(slot, self.now))

    @precondition(lambda self: any(room.lane for room in self.rooms))
    @rule(data=st.data(), count=st.integers(1, 3), works=st.booleans())
    def attempts_end(self, data: st.DataObject, count: int, works: bool) -> None:
        busy = [index for index, room in enumerate(self.rooms) if room.lane]
        outcome = Success(b"1", "") if works else Failure(Blame.APPLICATION, "x", "x")
        self.end(data.draw(st.sampled_from(busy)), count, outcome)

    def end(self, slot: int, count: int, outcome: Outcome) -> None:
        room = self.rooms[slot]
        ends = []
        for _ in range(min(count, len(room.lane))):
            ends.append((slot, room.lane.popleft().token, outcome, 0.001))
            self.head_begins(room)
        self.feed(self.machine.finished(ends, self.now))

    @precondition(lambda self: any(room.ready for room in self.rooms))
    @rule(data=st.data())
    def a_child_dies(self, data: st.DataObject) -> None:
        alive = [index for index, room in enumerate(self.rooms) if room.ready]
        self.feed(self.death(data.draw(st.sampled_from(alive))))

    @precondition(lambda self: any(room.lane for room in self.rooms))
    @rule(checkpoint=st.sampled_from([None, b"here"]))
    def an_attempt_says_something(self, checkpoint: bytes | None) -> None:
        room = next(room for room in self.rooms if room.lane)
        self.feed(self.machine.noted(room.lane[0].token, Note(0.5, None, checkpoint), self.now))

    # Time.

    @rule(seconds=st.sampled_from([0.05, 0.2, 1.1, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        rings = 0
        while (due := self.machine.next_at()) is not None and due <= end:
            self.now = max(self.now, due)
            self.ring()
            rings += 1
            assert rings < 1000, "what is due is done"
        self.now = end
        self.ring()

    def ring(self) -> None:
        machine, link = self.machine, self.machine.link
        silent = self.now >= link.contact_at + link.lease_s and not link.stopped_for_silence
        was_cut = machine.cut
        done = (State.ENDED, State.SENT)
        unfinished = {t.token for t in machine.desk.held.values() if t.state not in done}
        instructions = machine.tick(self.now)
        if silent or machine.cut != was_cut:
            # What can't be vouched for any more, or has to be cut off, is let go by the worker.
            self.forget(unfinished - set(machine.desk.held))
        self.feed(instructions)

    # Laws.

    @invariant()
    def state_is_valid(self) -> None:
        validate_state(self.machine)

    @invariant()
    def nothing_is_lost(self) -> None:
        if self.machine.link.phase < Phase.LEAVING:
            assert set(self.machine.desk.held) == self.owed, "what arrived is held until it is over"

    @invariant()
    def executors_run_what_the_machine_thinks(self) -> None:
        for room, slot in zip(self.rooms, self.machine.desk.lanes.slots, strict=True):
            if slot.stuck is None:
                assert list(room.lane) == list(slot.lane)

    @invariant()
    def asking_is_bounded(self) -> None:
        asked = sum(
            self.calls[name].tickets_max for name in ("request", "report") if name in self.calls
        )
        assert asked <= capacity(self.machine.desk), "never more is asked for than there is room"
