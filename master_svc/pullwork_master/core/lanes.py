"""What a line is made of: flows, and lanes in them, which are the tasks of one limit key.

A flow holds only its next tasks in memory. The one rule: every waiting task of a flow whose key is
not after its `horizon` is in memory, every other is on disk alone. Without a horizon, all are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

from pullwork_master.core.model import Task
from pullwork_master.core.window import Key

# Entries of a heap that may be worth nothing before it is made anew.
STALE_MAX: Final = 64


class Lane:
    """The tasks of one flow and one limit key that are in memory."""

    __slots__ = ("barred", "flow", "heap", "key", "place", "tasks", "weight")

    def __init__(self, flow: int, key: str) -> None:
        self.flow = flow
        self.key = key
        self.tasks: dict[int, Task] = {}
        self.heap: list[Key] = []
        self.weight = 0
        # Its entry in the line's order; None: it has none.
        self.place: Entry | None = None
        # Set aside, because its limit key is at a limit.
        self.barred = False

    def __lt__(self, other: object) -> bool:
        return False  # two entries that are equal up to here: one of them is worth nothing

    def put(self, task: Task, key: Key, weight: int) -> None:
        """Takes a task in."""
        self.tasks[task.seq] = task
        self.weight += weight
        heapq.heappush(self.heap, key)
        if len(self.heap) > 2 * len(self.tasks) + STALE_MAX:
            # The keys of those that left are let go.
            self.heap = sorted(each.key for each in self.tasks.values())

    def first(self) -> Key:
        """Returns the key of its first task; it must have one."""
        heap, tasks = self.heap, self.tasks
        while heap[0][1] not in tasks:
            heapq.heappop(heap)
        return heap[0]


class Flow:
    """The tasks of one flow of a line, in memory and on disk alone."""

    __slots__ = ("flow", "held", "horizon", "lanes", "place", "queued", "weight")

    def __init__(self, flow: int) -> None:
        self.flow = flow
        self.lanes: dict[str, Lane] = {}
        self.queued = 0
        # What of it is in memory: tasks and bytes.
        self.held = 0
        self.weight = 0
        self.horizon: Key | None = None
        # The entry of its horizon in the line's order.
        self.place: Entry | None = None

    def __lt__(self, other: object) -> bool:
        return False

    def behind(self) -> Key:
        """Returns where its horizon stands in the order: after the last task before it."""
        assert self.horizon is not None, "all of it is in memory"
        return (self.horizon[0], self.horizon[1] + 1)

    def keys(self) -> list[tuple[Key, Lane]]:
        """Returns the keys of all that it holds in memory, in order."""
        pairs = [(task.key, lane) for lane in self.lanes.values() for task in lane.tasks.values()]
        return sorted(pairs, key=lambda pair: pair[0])


def first_place(flow: Flow) -> tuple[int, int, int]:
    """Returns the place of what is first of a flow in memory; the last, if all is set aside."""
    places = [lane.place[:3] for lane in flow.lanes.values() if lane.place is not None]
    return min(places, default=_LAST)


def order_of(flows: Iterable[Flow]) -> list[Entry]:
    """Returns the order of a line anew: the places of all that have one."""
    everyone: list[Lane | Flow] = []
    for flow in flows:
        everyone += (flow, *flow.lanes.values())
    return sorted(what.place for what in everyone if what.place is not None)


# A place in the order of a line: priority (less goes first), turn, seq; and whose it is.
Entry = tuple[int, int, int, Lane | Flow]
_LAST: Final = (1 << 62, 0, 0)
