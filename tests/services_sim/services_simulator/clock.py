"""The virtual time of a world of services, in milliseconds."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

# Any time but zero, which means none.
BEGIN: Final = 1_000_000


class Clock:
    """What happens next. What is asked for at one moment happens in the order of asking."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._heap: list[tuple[int, int, Callable[..., None], Any]] = []
        self._asked = 0

    def at(self, moment: int, call: Callable[..., None], *args: Any) -> None:
        """Has something happen at a moment."""
        self._asked += 1
        heapq.heappush(self._heap, (max(moment, self.now), self._asked, call, args))

    def after(self, wait: int, call: Callable[..., None], *args: Any) -> None:
        """Has something happen after a while."""
        self.at(self.now + wait, call, *args)

    def run(self, until: int) -> None:
        """Lets everything happen up to a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, call, args = heapq.heappop(heap)
            call(*args)
        self.now = max(self.now, until)

    def run_out(self, until: int) -> bool:
        """Lets everything happen until nothing is left; False: there still is at that moment."""
        heap = self._heap
        while heap:
            if heap[0][0] > until:
                return False
            self.now, _, call, args = heapq.heappop(heap)
            call(*args)
        return True
