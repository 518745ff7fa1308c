"""How long types run, as measured, and how far ahead that lets a worker look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Work that a worker may hold beyond its slots: enough to hide one round trip to the master.
LOOK_AHEAD_S: Final = 0.020
# Below this the pipe costs more than the task. It also bounds how many may wait for one child,
# whose sockets hold that many claims.
_RUN_S_MIN: Final = 40e-6
# A slower measurement is believed sooner than a faster one: looking too far ahead hurts others.
_SHARE_SLOWER: Final = 0.5
_SHARE_FASTER: Final = 0.1


class Pace:
    """The exponential moving average of each type's run time, in seconds."""

    def __init__(self) -> None:
        self._run_s: dict[str, float] = {}

    def observe(self, type: str, run_s: float) -> None:
        """Takes in how long one attempt ran."""
        run_s = max(run_s, _RUN_S_MIN)
        known = self._run_s.get(type)
        if known is None:
            self._run_s[type] = run_s
        else:
            share = _SHARE_SLOWER if run_s > known else _SHARE_FASTER
            self._run_s[type] = known + share * (run_s - known)

    def depth(self, type: str) -> int:
        """Returns how many attempts of a type fit into the look-ahead; 0 if unknown or long."""
        run_s = self._run_s.get(type)
        return 0 if run_s is None else int(LOOK_AHEAD_S / run_s)

    def look_ahead(self, types: Iterable[str]) -> int:
        """Returns how many tickets may wait when they may be of any of these types."""
        return min((self.depth(type) for type in types), default=0)
