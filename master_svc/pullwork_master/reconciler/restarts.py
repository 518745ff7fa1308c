"""How soon an instance that ended starts again."""

from __future__ import annotations

from typing import Final, NamedTuple

from pullwork_master.reconciler.model import Ended, Restart

# After so many quick ends in a row another node is tried, if one suits.
ENDS_ON_A_NODE: Final = 3
# Beyond this the longest wait has long been reached.
EXPONENT_MAX: Final = 40


class Next(NamedTuple):
    """The next start of an instance."""

    not_before_ms: int
    quick_restarts: int


def ended_quickly(ended: Ended, restart: Restart) -> bool:
    """Says whether an instance ended soon after its start, or never ran."""
    started_ms = ended.exit.started_ms
    return not started_ms or ended.exit.ended_ms - started_ms < restart.reset_ms


def wait_ms(quick_restarts: int, restart: Restart) -> int:
    """Returns the wait after an end, by how many quick restarts in a row there were before."""
    if not quick_restarts:
        return 0
    exponent = min(quick_restarts - 1, EXPONENT_MAX)
    return min(restart.max_ms, restart.initial_ms << exponent)


def next_start(ended: Ended, restart: Restart, now_ms: int) -> Next:
    """Returns when an instance that ended is to start again; 0: at once."""
    if not ended_quickly(ended, restart):
        return Next(0, 0)
    before = ended.instance.quick_restarts
    wait = wait_ms(before, restart)
    # Not since it ended: that was told by another machine's clock.
    return Next(now_ms + wait if wait else 0, before + 1)
