"""Moments at which something is due; cheap to set, and checked for sense when they ring."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Alarms:
    """A heap of calls and the time at which each is due.

    There is no cancelling: a call looks for itself whether it still means anything.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[Any, float], None], Any]] = []
        self._set = 0

    def set(self, at: float, call: Callable[[Any, float], None], about: Any) -> None:
        """Makes `call(about, now)` due at a time."""
        self._set += 1
        heapq.heappush(self._heap, (at, self._set, call, about))

    def next_at(self) -> float | None:
        """Returns when the next one is due."""
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """Makes all calls that are due."""
        while self._heap and self._heap[0][0] <= now:
            _, _, call, about = heapq.heappop(self._heap)
            call(about, now)
