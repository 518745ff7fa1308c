"""The virtual executors of a worker: what really runs in each slot, which is the truth that
the machine's belief is compared with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pullwork_worker.machine.instructions import Instruction
from pullwork_worker.machine.ticket import (
    LINED_UP,
    Blame,
    Failure,
    Kind,
    Note,
    Outcome,
    Success,
    Ticket,
)
from simulator.events import MS, Events
from simulator.jobs import KINDS, Deed, Jobs
from simulator.story import require

if TYPE_CHECKING:
    from simulator.worker import Worker

DEATH: Final = Failure(Blame.WORKER_LOST, "pullwork.WorkerLost", "the child process died")
STOPPED: Final = Failure(Blame.APPLICATION, "Stopped", "it was asked to end")


class Room:
    """What goes on in one slot: the head of the lane runs, the others have not begun."""

    __slots__ = ("child", "lane", "ready", "runs", "since", "told_to_stop")

    def __init__(self) -> None:
        self.lane: deque[Ticket] = deque()
        # Whether there is a child process, and the how manieth it is.
        self.ready = False
        self.child = 0
        # Counts what began here, so that an end knows whether it is still the present one's.
        self.runs = 0
        self.since = 0
        self.told_to_stop = False


class Executors:
    """The slots of one worker process."""

    def __init__(self, worker: Worker, events: Events, jobs: Jobs, slots: int) -> None:
        self._worker = worker
        self._events = events
        self._jobs = jobs
        self.rooms = [Room() for _ in range(slots)]

    def open(self) -> None:
        """Starts the child processes."""
        for slot in range(len(self.rooms)):
            self._boot(slot)

    def running(self) -> Iterable[tuple[Room, Ticket]]:
        """Yields what runs now."""
        return ((room, room.lane[0]) for room in self.rooms if room.lane)

    # --- instructions -------------------------------------------------------------------

    def start(self, slot: int, tickets: tuple[Ticket, ...]) -> None:
        """Runs these one after the other."""
        room = self.rooms[slot]
        kind = KINDS[tickets[0].type]
        lined_up = kind in LINED_UP and all(KINDS[ticket.type] is kind for ticket in room.lane)
        require(lined_up or not room.lane, "one attempt runs in a slot", slot)
        require(room.ready or kind is not Kind.CHILD, "only a ready child is given work", slot)
        idle = not room.lane
        room.lane.extend(tickets)
        if idle:
            self._begin(slot)

    def take_back(self, slot: int) -> list[str]:
        """Takes out what has not begun, and says what that is."""
        room = self.rooms[slot]
        if not room.lane or KINDS[room.lane[0].type] not in LINED_UP:
            return []
        back = [ticket.token for ticket in list(room.lane)[1:]]
        room.lane = deque([room.lane[0]])
        return back

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Asks an attempt to end; most do."""
        room = self.rooms[slot]
        require(bool(room.lane) and room.lane[0] is ticket, "only what runs is stopped", slot)
        room.told_to_stop = True
        if self._jobs.by_id[_task_of(ticket)].deed is not Deed.STUBBORN:
            wait = self._worker.dice.randint(1, 200) * MS
            self._events.after(wait, self._worker, self._end, slot, room.runs, STOPPED)

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Ends an attempt by force."""
        room = self.rooms[slot]
        require(bool(room.lane) and room.lane[0] is ticket, "only what runs is killed", slot)
        if KINDS[ticket.type] is Kind.CHILD:
            self._events.after(5 * MS, self._worker, self._killed, slot, room.child)
        else:
            self._events.after(5 * MS, self._worker, self._end, slot, room.runs, DEATH)

    def release(self) -> None:
        """Lets everything that hangs end."""
        for slot, room in enumerate(self.rooms):
            if room.lane:
                self._events.after(MS, self._worker, self._end, slot, room.runs, STOPPED)

    # --- what goes on -------------------------------------------------------------------

    def _boot(self, slot: int) -> None:
        wait = self._worker.dice.randint(5, 200) * MS
        self._events.after(wait, self._worker, self._child_ready, slot)

    def _child_ready(self, slot: int) -> None:
        self.rooms[slot].ready = True
        self.rooms[slot].child += 1
        self._worker.carry_out(self._worker.machine.child_ready(slot, self._worker.now()))

    def _begin(self, slot: int) -> None:
        room = self.rooms[slot]
        ticket = room.lane[0]
        room.runs += 1
        room.since = self._events.now
        room.told_to_stop = False
        self._worker.began(ticket)
        job = self._jobs.by_id[_task_of(ticket)]
        if job.deed in (Deed.HANGS, Deed.STUBBORN) and not self._worker.quiet:
            return
        after = self._events.after
        wait = self._jobs.run_time(job)
        if job.deed is Deed.DEADLY:
            after(wait, self._worker, self._dies_of, slot, room.runs)
        elif job.deed is Deed.KILLS_WORKER:
            after(wait, self._worker, self._worker_dies, slot, room.runs)
        else:
            if job.deed is Deed.LONG:
                after(wait // 4, self._worker, self._note, slot, room.runs, wait // 4)
            failed = job.deed is Deed.FAILS and _attempt_of(ticket) <= job.times
            outcome: Outcome = Success(f"{ticket.token}/{room.runs}".encode(), "text/plain")
            if failed:
                outcome = Failure(Blame.APPLICATION, "Error", f"it broke in {ticket.token}")
            after(wait, self._worker, self._end, slot, room.runs, outcome)

    def _note(self, slot: int, runs: int, gap: int) -> None:
        room = self.rooms[slot]
        if room.runs != runs or not room.lane:
            return
        token = room.lane[0].token
        saved = str(self._events.now).encode()
        note = Note(0.5, None, saved if self._worker.dice.random() < 0.5 else None)
        self._events.after(gap, self._worker, self._note, slot, runs, gap)
        self._worker.carry_out(self._worker.machine.noted(token, note, self._worker.now()))

    def _end(self, slot: int, runs: int, outcome: Outcome) -> None:
        room, worker = self.rooms[slot], self._worker
        if room.runs != runs or not room.lane:
            return
        ticket = room.lane.popleft()
        room.runs += 1
        took_s = (self._events.now - room.since) / 1e6
        if room.lane:
            self._begin(slot)
        worker.ended(ticket, outcome)
        worker.carry_out(
            worker.machine.finished([(slot, ticket.token, outcome, took_s)], worker.now())
        )

    def _killed(self, slot: int, child: int) -> None:
        """SIGKILL takes the child with whatever runs in it by now."""
        if self.rooms[slot].child == child and self.rooms[slot].ready:
            self._child_dies(slot)

    def _dies_of(self, slot: int, runs: int) -> None:
        if self.rooms[slot].runs == runs:
            self._child_dies(slot)

    def _child_dies(self, slot: int) -> None:
        room, worker = self.rooms[slot], self._worker
        room.ready = False
        room.runs += 1
        unclaimed: list[str] = []
        if room.lane and KINDS[room.lane[0].type] is Kind.CHILD:
            unclaimed = [ticket.token for ticket in list(room.lane)[1:]]
            worker.ended(room.lane[0], DEATH)
            room.lane.clear()
        self._boot(slot)
        instructions: list[Instruction] = worker.machine.child_gone(
            slot, unclaimed, DEATH, worker.now()
        )
        worker.carry_out(instructions)

    def _worker_dies(self, slot: int, runs: int) -> None:
        room = self.rooms[slot]
        if room.runs == runs and room.lane:
            self._worker.crash(f"killed by {room.lane[0].token}")


def _task_of(ticket: Ticket) -> str:
    work = ticket.work
    assert isinstance(work, tuple)
    return str(work[0])


def _attempt_of(ticket: Ticket) -> int:
    work = ticket.work
    assert isinstance(work, tuple)
    return int(work[1])
