"""Flows: who shares a line with whom.

Each task belongs to one of a fixed number of flows, by a hash of its owner and limit key. Flows of
a line take turns, so whoever floods it waits in a flow of his own (stochastic fairness
queueing: two that share a flow by chance share its turns).
"""

from __future__ import annotations

import zlib
from typing import Final

# Two owners share a flow with a chance of one in as many. A line counts and pages by flow, so
# its memory and a start grow with it.
FLOWS: Final = 1_024


def flow_of(owner: str, limit_key: str) -> int:
    """Returns the flow of a task; it is stored with it, so this must never change."""
    return zlib.crc32(f"{owner}\0{limit_key}".encode()) % FLOWS
