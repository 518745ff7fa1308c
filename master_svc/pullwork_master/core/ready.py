"""What waits, in order: a window of the next tasks of a line, and of the schedule.

Only the window is in memory; what lies beyond it is on disk alone and is paged in.
The one rule: every waiting task whose key is not after the `horizon` is in the window,
every other is not. Without a horizon, all are.
"""

from __future__ import annotations

import heapq

from pullwork_master.core.model import Task

Key = tuple[int, int]


class Window:
    """The next waiting tasks by key, at most twice `limit` of them."""

    __slots__ = ("_heap", "_keys", "horizon", "limit", "tasks")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.tasks: dict[int, Task] = {}
        self.horizon: Key | None = None
        self._heap: list[Key] = []
        self._keys: dict[int, Key] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def add(self, task: Task, key: Key) -> list[Task]:
        """Takes a waiting task in if it belongs here; returns those that are now on disk alone."""
        if self.horizon is None and len(self.tasks) >= self.limit:
            self.horizon = max(self._keys.values())
        if self.horizon is not None and key > self.horizon:
            return [task]
        self._push(task, key)
        return self._spill() if len(self.tasks) > 2 * self.limit else []

    def page(self, tasks: list[tuple[Task, Key]], limit: int) -> None:
        """Takes in the next tasks from disk, which stand in order right behind the horizon."""
        for task, key in tasks:
            if task.seq not in self.tasks:
                self._push(task, key)
        self.horizon = tasks[-1][1] if len(tasks) >= limit else None

    def remove(self, seq: int) -> None:
        """Lets a task go that no longer waits, wherever it is."""
        if self.tasks.pop(seq, None) is not None:
            del self._keys[seq]

    def head(self) -> Key | None:
        """Returns the key of the first task; None: the window is empty."""
        while self._heap:
            key = self._heap[0]
            if self._keys.get(key[1]) == key:
                return key
            heapq.heappop(self._heap)
        return None

    def first(self) -> Task | None:
        """Returns the first task without taking it."""
        key = self.head()
        return None if key is None else self.tasks[key[1]]

    def low(self, waiting: int) -> bool:
        """Whether a page is due, if `waiting` tasks wait in all; forgets a horizon with
        nothing behind it."""
        if self.horizon is None:
            return False
        if waiting <= len(self.tasks):
            self.horizon = None
            return False
        return len(self.tasks) <= self.limit // 2

    def _push(self, task: Task, key: Key) -> None:
        self.tasks[task.seq] = task
        self._keys[task.seq] = key
        heapq.heappush(self._heap, key)
        if len(self._heap) > 2 * len(self._keys) + self.limit:
            self._heap = sorted(self._keys.values())  # the keys of those that left are let go

    def _spill(self) -> list[Task]:
        order = sorted(self._keys.values())
        kept, dropped = order[: self.limit], order[self.limit :]
        gone = [self.tasks.pop(seq) for _, seq in dropped]
        for _, seq in dropped:
            del self._keys[seq]
        self._heap = kept
        self.horizon = kept[-1]
        return gone


class Line:
    """The tasks of one queue that need one type, and the sessions that wait for them."""

    __slots__ = ("idle", "parked", "queue", "queued", "running", "scheduled", "type", "window")

    def __init__(self, queue: str, type_: str, limit: int) -> None:
        self.queue = queue
        self.type = type_
        self.window = Window(limit)
        # Counts of all tasks of the line, in memory or not.
        self.queued = 0
        self.scheduled = 0
        self.running = 0
        # Ordered sets of session ids: with a parked request; free and not yet told.
        self.parked: dict[str, None] = {}
        self.idle: dict[str, None] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known of it, so that it may be forgotten."""
        return not (self.queued or self.scheduled or self.running or self.parked or self.idle)
