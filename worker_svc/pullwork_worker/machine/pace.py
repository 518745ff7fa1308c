"""How long types run, as measured, and how far ahead that lets a worker look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# Work that a worker may hold beyond what it runs: enough to hide one round trip to the master.
LOOK_AHEAD_S: Final = 0.020
# Below this the pipe costs more than the task. It also bounds how many may wait for one child,
# whose sockets hold that many claims.
_RUN_S_MIN: Final = 40e-6
# A slower measurement is believed sooner than a faster one: looking too far ahead hurts others.
_SHARE_SLOWER: Final = 0.5
_SHARE_FASTER: Final = 0.1
# A type that was seen within this time may be among the next tickets too.
_SEEN_S: Final = 1.0


class Pace:
    """The exponential moving average of each type's run time, in seconds."""

    def __init__(self) -> None:
        self._run_s: dict[str, float] = {}
        self._depth: dict[str, int] = {}
        self._seen_at: dict[str, float] = {}

    def observe(self, type: str, run_s: float) -> None:
        """Takes in how long one attempt ran, or has been running."""
        run_s = max(run_s, _RUN_S_MIN)
        known = self._run_s.get(type)
        if known == run_s:
            return
        if known is not None:
            share = _SHARE_SLOWER if run_s > known else _SHARE_FASTER
            run_s = known + share * (run_s - known)
        self._run_s[type] = run_s
        self._depth[type] = int(LOOK_AHEAD_S / run_s)

    def depth(self, type: str) -> int:
        """Returns how many attempts of a type fit into the look-ahead; 0 if unknown or long."""
        return self._depth.get(type, 0)

    def may_wait(self, type: str) -> bool:
        """Returns whether a ticket that finds no room may wait for it: tiny ones only.

        More patient than `depth`, or types at its edge would go back and forth.
        """
        return self._run_s.get(type, float("inf")) <= 2 * LOOK_AHEAD_S

    def seen(self, types: Iterable[str], now: float) -> None:
        """Takes note of types that arrived."""
        self._seen_at.update(dict.fromkeys(types, now))

    def likely(self, now: float) -> list[str]:
        """Returns the types that the next tickets may be of."""
        since = now - _SEEN_S
        self._seen_at = {type: at for type, at in self._seen_at.items() if at >= since}
        return list(self._seen_at)
