"""What comes next of an order of which most is on disk alone: the schedule's head.

The one rule: every waiting task whose key is not after the `horizon` is in the window,
every other is not. Without a horizon, all are.
"""

from __future__ import annotations

import heapq

from pullwork_master.core.limits import TASK_BYTES
from pullwork_master.core.model import Task

Key = tuple[int, int]


def weigh(task: Task) -> int:
    """Returns what a waiting task takes of memory, roughly; it does not change while it waits."""
    return len(task.spec.payload) + len(task.checkpoint) + TASK_BYTES


class Window:
    """The next waiting tasks by key: at most twice `limit` of them, and twice `bytes_max` bytes."""

    __slots__ = ("_heap", "_keys", "bytes_max", "horizon", "limit", "tasks", "weight")

    def __init__(self, limit: int, bytes_max: int) -> None:
        self.limit = limit
        self.bytes_max = bytes_max
        self.tasks: dict[int, Task] = {}
        self.weight = 0
        self.horizon: Key | None = None
        self._heap: list[Key] = []
        self._keys: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def add(self, task: Task, key: Key) -> list[Task]:
        """Takes a waiting task in if it belongs here; returns those that are now on disk alone."""
        if self.horizon is None and (
            len(self.tasks) >= self.limit or self.weight >= self.bytes_max
        ):
            self.horizon = max(self._keys.values())
        if self.horizon is not None and key > self.horizon:
            return [task]
        self._push(task, key)
        return self._spill()

    def page(self, tasks: list[tuple[Task, Key]], *, more: bool) -> list[Task]:
        """Takes in the next tasks from disk, which stand in order right behind the horizon."""
        for task, key in tasks:
            if task.seq not in self.tasks:
                self._push(task, key)
        self.horizon = tasks[-1][1] if more else None
        return self._spill()

    def remove(self, task: Task) -> None:
        """Lets a task go that no longer waits, wherever it is."""
        if self.tasks.pop(task.seq, None) is not None:
            del self._keys[task.seq]
            self.weight -= weigh(task)

    def head(self) -> Key | None:
        """Returns the key of the first task; None: the window is empty."""
        while self._heap:
            key = self._heap[0]
            if self._keys.get(key[1]) == key:
                return key
            heapq.heappop(self._heap)
        return None

    def low(self, waiting: int) -> bool:
        """Whether a page is due, if `waiting` tasks wait in all; forgets a horizon with
        nothing behind it."""
        if self.horizon is None:
            return False
        if waiting <= len(self.tasks):
            self.horizon = None
            return False
        return len(self.tasks) <= self.limit // 2 and self.weight <= self.bytes_max // 2

    def _push(self, task: Task, key: Key) -> None:
        self.tasks[task.seq] = task
        self._keys[task.seq] = key
        self.weight += weigh(task)
        heapq.heappush(self._heap, key)
        if len(self._heap) > 2 * len(self._keys) + self.limit:
            self._heap = sorted(self._keys.values())  # the keys of those that left are let go

    def _spill(self) -> list[Task]:
        if len(self.tasks) <= 2 * self.limit and self.weight <= 2 * self.bytes_max:
            return []
        order = sorted(self._keys.values())
        gone = []
        while len(order) > 1 and (len(order) > self.limit or self.weight > self.bytes_max):
            task = self.tasks[order.pop()[1]]
            gone.append(task)
            self.remove(task)
        self._heap = order
        self.horizon = order[-1]
        return gone
