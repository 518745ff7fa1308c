"""The time of a cluster under test: it runs as everybody's does, and can be moved ahead.

Masters and workers read it through the event loop that they run on, so every timer of theirs
follows. Nothing else of the process sees it: the test's own loop keeps real time.
"""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")


class Clock:
    """The machine's clocks, plus all by which they were moved."""

    def __init__(self) -> None:
        self._moved_s = 0.0

    def move(self, seconds: float) -> None:
        """Moves both clocks ahead."""
        self._moved_s += seconds

    def mono_s(self) -> float:
        """Returns seconds that never go back."""
        return time.monotonic() + self._moved_s

    def wall_s(self) -> float:
        """Returns seconds since 1970."""
        return time.time() + self._moved_s

    def today(self) -> datetime.datetime:
        """Returns date and time, in UTC."""
        return datetime.datetime.fromtimestamp(self.wall_s(), datetime.UTC)


class ClockedLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go by a `Clock`."""

    def __init__(self, clock: Clock) -> None:
        self._of_cluster = clock
        super().__init__()

    def time(self) -> float:
        """Returns the clock's time, after which all timers of this loop are due."""
        return self._of_cluster.mono_s()

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Calls back on this loop; once it is closed, drops what comes late.

        gRPC tells a loop of its calls' ends from whichever loop hears of them first. Would that
        fail here, the other loop lost what it was to hear itself.
        """
        try:
            return super().call_soon_threadsafe(callback, *args, context=context)
        except RuntimeError:
            if not self.is_closed():
                raise
            return asyncio.Handle(callback, args, self, context)
