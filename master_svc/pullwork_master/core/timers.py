"""One heap of moments at which something must be looked at again, by the monotonic clock.

An entry never says what to do: whoever it names looks at the facts, and may ask for
a later moment. So moments that moved cost nothing but a look.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple


class SessionDue(NamedTuple):
    """Look whether a session is still there."""

    session: str


class LeaseDue(NamedTuple):
    """Look whether an attempt outlived its timeouts."""

    seq: int
    attempt: int


class ParkedDue(NamedTuple):
    """Look whether a parked request waited long enough."""

    session: str
    call: int


class GateDue(NamedTuple):
    """Look whether the rate of a queue, or of a limit key in it, lets the next task start."""

    queue: str
    key: str


class SweepDue(NamedTuple):
    """Look for ended tasks whose retention is over."""


Due = SessionDue | LeaseDue | ParkedDue | GateDue | SweepDue


class Timers:
    """A heap of (moment, what to look at)."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Due]] = []
        self._count = 0

    def add(self, at_ms: int, due: Due) -> None:
        """Asks for a look at a moment; several entries for one thing are allowed."""
        self._count += 1
        heapq.heappush(self._heap, (at_ms, self._count, due))

    def next_ms(self) -> int | None:
        """Returns the earliest moment; None: there is none."""
        return self._heap[0][0] if self._heap else None

    def pop(self, now_ms: int) -> Due | None:
        """Takes the earliest entry if its moment has come."""
        if self._heap and self._heap[0][0] <= now_ms:
            return heapq.heappop(self._heap)[2]
        return None

    def __len__(self) -> int:
        return len(self._heap)
