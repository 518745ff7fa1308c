"""What waits in a line, in order: the higher priority first, then each flow in its turn.

Within a flow the older goes first. A line holds the next tasks of each flow; what lies
beyond is on disk alone and is paged in.

The order is one heap of lanes, in which the horizon of a flow stands as a lane of its own: when
that is first, the line waits for its page. An entry is never later than what it stands
for, so it is enough to look at the first one again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pullwork_master.core.effects import PageWanted
from pullwork_master.core.lanes import STALE_MAX, Entry, Flow, Lane, first_place, order_of
from pullwork_master.core.limits import FLOW_TASKS_MIN, PAGES_STEP
from pullwork_master.core.model import Task
from pullwork_master.core.window import Key, weigh

if TYPE_CHECKING:
    from pullwork_master.core.gates import Gate
    from pullwork_master.core.room import Room


class Line:
    """The tasks of one queue that need one type, and the sessions that wait for them."""

    def __init__(self, type_: str, gate: Gate, room: Room) -> None:
        self.queue = gate.queue.name
        self.type = type_
        self.name = (self.queue, type_)
        self.gate = gate
        self._room = room
        self.flows: dict[int, Flow] = {}
        # Counts of all tasks of the line, in memory or not.
        self.queued = 0
        self.scheduled = 0
        self.running = 0
        # What of it is in memory: tasks and bytes.
        self.held = 0
        self.weight = 0
        # Flows of which a page is due, and those of which none is read, since enough is set aside
        # in memory of them, or of all (bytes).
        self.low: dict[int, None] = {}
        self.shut: dict[int, None] = {}
        self.aside = 0
        self._crowded = False
        self._largest = 0  # of the tasks that it held
        self._shut_quota = 0  # when a flow was last shut
        # Flows in which tasks wait, and how many of a flow's tasks may be in memory.
        self._active = 0
        self._quota = room.line_tasks
        self._order: list[Entry] = []
        self._order_max = STALE_MAX
        # Ordered sets of session ids: with a parked request; free and not yet told.
        self.parked: dict[str, None] = {}
        self.idle: dict[str, None] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known of it, so that it may be forgotten."""
        return not (self.queued or self.scheduled or self.running or self.parked or self.idle)

    def holds(self, task: Task) -> bool:
        """Whether a waiting task is in memory."""
        flow = self.flows.get(task.spec.flow)
        lane = None if flow is None else flow.lanes.get(task.spec.limit_key)
        return lane is not None and task.seq in lane.tasks

    def tasks(self) -> Iterator[Task]:
        """Yields all that waits in memory, in no particular order."""
        for flow in self.flows.values():
            for lane in flow.lanes.values():
                yield from lane.tasks.values()

    # --- coming and going ---------------------------------------------------------------

    def load(self, number: int, queued: int, priority: int) -> None:
        """Takes note at a start of a flow that waits on disk, and of its highest priority."""
        flow = self._wake(number)
        flow.queued = queued
        self.queued += queued
        self._close(flow, (-priority, 0))
        self.low[number] = None

    def add(self, task: Task) -> list[Task]:
        """Takes in a task that waits; returns those that are now on disk alone."""
        number = task.spec.flow
        flow = self.flows.get(number)
        if flow is None or not flow.queued:
            flow = self._wake(number)
        flow.queued += 1
        self.queued += 1
        key = task.key
        if flow.horizon is None and self._filled(flow):
            self._close(flow, flow.keys()[-1][0])
        if flow.horizon is not None and key > flow.horizon:
            return [task]
        self._push(flow, task, key)
        return self._spill()

    def remove(self, task: Task) -> None:
        """Lets a task go that no longer waits, wherever it is."""
        spec = task.spec
        flow = self.flows[spec.flow]
        flow.queued -= 1
        self.queued -= 1
        lane = flow.lanes.get(spec.limit_key)
        if lane is not None and task.seq in lane.tasks:
            self._drop(flow, lane, task)
        if flow.horizon is not None:
            self._lookbehind(flow)
        if not flow.queued:
            self._rest(flow)

    def page(self, number: int, after: Key, tasks: list[Task], *, more: bool) -> list[Task]:
        """Takes in the next tasks of a flow, which stand right behind its horizon on disk.

        Returns those that are now on disk alone: all, if another page of the step moved that.
        """
        flow = self.flows.get(number)
        self.low.pop(number, None)
        if flow is None or flow.horizon != after:
            return tasks
        for task in tasks:
            if not self.holds(task):
                self._push(flow, task, task.key)
        if more:
            self._close(flow, tasks[-1].key)
        else:
            self._open(flow)
        return self._spill()

    def _wake(self, number: int) -> Flow:
        flow = self.flows.get(number)
        if flow is None:
            flow = self.flows[number] = Flow(number)
        self._active += 1
        self.gate.flow_came(number)
        self._divide()
        return flow

    def _rest(self, flow: Flow) -> None:
        self._active -= 1
        self.gate.flow_left(flow.flow)
        self._divide()
        if len(self.flows) > 1:  # the only one is kept: it may come again at once
            del self.flows[flow.flow]

    def _divide(self) -> None:
        whole = self._room.line_tasks
        self._quota = max(whole // max(1, self._active), min(whole, FLOW_TASKS_MIN))
        if self.shut and self._quota >= 2 * self._shut_quota:
            self._reopen(list(self.shut))

    def _part(self) -> int:
        """Returns how many bytes of a flow may be in memory."""
        return max(1, self._room.share // max(1, self._active))

    def _push(self, flow: Flow, task: Task, key: Key) -> None:
        lane = flow.lanes.get(task.spec.limit_key)
        if lane is None:
            lane = flow.lanes[task.spec.limit_key] = Lane(flow.flow, task.spec.limit_key)
        weight = weigh(task)
        self._largest = max(self._largest, weight)
        lane.put(task, key, weight)
        flow.held += 1
        flow.weight += weight
        self.held += 1
        self.weight += weight
        self._room.weight += weight
        if self.held == 1:
            self._room.enter(self)
        place = lane.place
        if place is None:
            if lane.barred:
                self.aside += weight
            else:
                self._enter(lane, key)
        elif key < (place[0], place[2]):
            self._enter(lane, key)

    def _drop(self, flow: Flow, lane: Lane, task: Task) -> None:
        del lane.tasks[task.seq]
        weight = weigh(task)
        lane.weight -= weight
        flow.held -= 1
        flow.weight -= weight
        self.held -= 1
        self.weight -= weight
        self._room.weight -= weight
        if lane.barred:
            self._lighten(flow, weight)
        elif self._crowded:
            self._look_around()
        if not lane.tasks:
            lane.place = None
            if lane.barred:
                lane.barred = False
                self.gate.let_go(lane)
            lane.heap.clear()
            if len(flow.lanes) > 1:
                del flow.lanes[lane.key]
            if not self.held:
                self._room.leave(self)

    # --- what is on disk alone ----------------------------------------------------------

    def _filled(self, flow: Flow) -> bool:
        return flow.held >= self._quota or (
            flow.held > 0 and flow.weight * self._active >= self._room.share
        )

    def _close(self, flow: Flow, horizon: Key) -> None:
        flow.horizon = horizon
        self.shut.pop(flow.flow, None)
        self._enter(flow, flow.behind())

    def _open(self, flow: Flow) -> None:
        flow.horizon = flow.place = None
        self.low.pop(flow.flow, None)
        self.shut.pop(flow.flow, None)

    def _lookbehind(self, flow: Flow) -> None:
        """Has the next page read when little is left; forgets a horizon with nothing behind it."""
        if flow.queued == flow.held:
            self._open(flow)
        elif (
            2 * flow.held <= self._quota
            and 2 * flow.weight * self._active <= self._room.share
            and flow.place is not None
        ):
            self._want(flow)

    def _want(self, flow: Flow) -> None:
        self.low[flow.flow] = None
        self._room.hungry[self.name] = None

    def _sated(self, flow: Flow) -> bool:
        """Whether no more is read of a flow that is first: all that it holds is set aside.

        It holds its part and a page at the most, as others do: more, and all would be cut down, and
        read again, for ever. Where tasks are larger than parts, the line itself must have room.
        """
        share, part = self._room.share, self._part()
        if flow.held > self._quota or flow.weight > part:
            return True
        if self.weight + max(part, self._largest) <= 2 * share or not self.aside:
            return False
        full = 2 * max(self.aside, self._largest) >= share
        self._crowded |= full
        return full

    def _lighten(self, flow: Flow, weight: int) -> None:
        """Takes note that less of a flow is set aside: what was shut for it is read again."""
        self.aside -= weight
        if self._crowded:
            self._look_around()
        if flow.flow in self.shut:
            self._reopen([flow.flow])

    def _look_around(self) -> None:
        """Has what was shut for all of the line read again, once it has room for a while."""
        share = self._room.share
        if self.weight <= share or 4 * self.aside <= share:
            self._crowded = False
            self._reopen(list(self.shut))

    def _reopen(self, numbers: list[int]) -> None:
        for number in numbers:
            del self.shut[number]
            flow = self.flows[number]
            if flow.horizon is not None:
                self._enter(flow, flow.behind())

    def pages(self) -> list[PageWanted]:
        """Returns what must be read of it: of the flows that are low, those whose turn is next."""
        turns = self.gate.turns
        flows = [
            (flow.horizon[0], turns.get(number, 0), number, flow.horizon)
            for number in self.low
            if (flow := self.flows[number]).horizon is not None
        ]
        part = self._part()
        return [
            PageWanted(self.queue, self.type, number, horizon, self._quota, part)
            for *_, number, horizon in heapq.nsmallest(PAGES_STEP, flows)
        ]

    def _spill(self) -> list[Task]:
        room = self._room
        if self.held > 2 * max(room.line_tasks, self._active * self._quota) or (
            self.weight > 2 * room.share and self.held > 1
        ):
            return self.shrink()
        return room.shrink() if room.weight > room.bytes_max else []

    def shrink(self) -> list[Task]:
        """Cuts every flow down to its part, then those whose turn is last down to nothing."""
        gone: list[Task] = []
        part = self._part()
        held = [flow for flow in self.flows.values() if flow.held]
        for flow in held:
            gone += self._cut(flow, self._quota, part)
        held.sort(key=first_place)
        # One task at least stays for who waits for it.
        least = 1 if self.parked or self.idle else 0
        while self.weight > self._room.share and len(held) > least:
            gone += self._cut(held.pop(), 0, 0)
        return gone

    def _cut(self, flow: Flow, count: int, size: int) -> list[Task]:
        """Leaves a flow so many tasks and bytes in memory: one task at least, or none."""
        if flow.held <= count and flow.weight <= size:
            return []
        keys, gone = flow.keys(), []
        first, least = keys[0][0], min(1, count)
        while len(keys) > least and (len(keys) > count or flow.weight > size):
            key, lane = keys.pop()
            task = lane.tasks[key[1]]
            gone.append(task)
            self._drop(flow, lane, task)
        if gone:
            self._close(flow, keys[-1][0] if keys else (first[0], first[1] - 1))
        return gone

    # --- the order ----------------------------------------------------------------------

    def _enter(self, what: Lane | Flow, key: Key) -> None:
        turn = self.gate.turns.get(what.flow, 0)
        what.place = entry = (key[0], turn, key[1], what)
        heapq.heappush(self._order, entry)
        if len(self._order) > self._order_max:
            self._order = order_of(self.flows.values())
            self._order_max = 2 * len(self._order) + STALE_MAX

    def admit(self, lane: Lane) -> None:
        """Puts a lane back that was set aside."""
        if lane.barred:
            lane.barred = False
            self._enter(lane, lane.first())
            self._lighten(self.flows[lane.flow], lane.weight)

    def first(self, now_ms: int) -> Task | None:
        """Returns whose turn it is, without taking it.

        None: nothing waits, all that waits is set aside, or its page must be read first.
        """
        order, gate = self._order, self.gate
        while order:
            entry = order[0]
            what = entry[3]
            if what.place is not entry:
                heapq.heappop(order)
                continue
            turn = gate.turns.get(what.flow, 0)
            if isinstance(what, Flow):
                if turn == entry[1]:
                    if not self._sated(what):
                        self._want(what)
                        return None
                    what.place = None
                    self.low.pop(what.flow, None)
                    self.shut[what.flow] = None
                    self._shut_quota = self._quota
                    continue
                priority, seq = entry[0], entry[2]
            else:
                priority, seq = what.first()
                if seq == entry[2] and turn == entry[1]:
                    if what.key and gate.bars(what.key, now_ms):
                        what.place = None
                        what.barred = True
                        self.aside += what.weight
                        gate.set_aside(self, what, now_ms)
                        continue
                    return what.tasks[seq]
            what.place = entry = (priority, turn, seq, what)
            heapq.heapreplace(order, entry)
        return None

    def place(self) -> tuple[int, int, int]:
        """Returns the place of `first`, to compare with that of other lines of the queue."""
        return self._order[0][:3]

    def startable(self, most: int, now_ms: int) -> int:
        """Counts what may start now, up to a bound; what is on disk alone counts in full."""
        count = 0
        for entry in self._order:
            what = entry[3]
            if isinstance(what, Flow):
                count += what.queued - what.held if what.place is entry else 0
            elif what.place is entry:
                count += min(len(what.tasks), self.gate.key_room(what.key, now_ms))
            if count >= most:
                return most
        return count
