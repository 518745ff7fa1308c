"""How often a session may hear that there is nothing for it.

A worker that asks in a busy loop, or with several calls that push each other out of their
place, would take the master's processor from everybody. Its calls are held back, and then it is
told what to do instead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from pullwork_master.core.rejections import Reason, Rejection

# Within a second. A worker that has its request parked hears it a few times in a minute; this
# many cost the master a fortieth of a processor.
EMPTY_ANSWERS_MAX: Final = 100


class Pace:
    """Counts empty answers by session, a second at a time."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._over_at = 0.0

    def empty(self, session_id: str) -> None:
        """Notes that a session was told that there is nothing."""
        now = asyncio.get_running_loop().time()
        if now >= self._over_at:
            self._counts.clear()
            self._over_at = now + 1.0
        self._counts[session_id] += 1

    async def admit(self, session_id: str) -> None:
        """Returns at once, or holds a call back and refuses it. Errors: TOO_MANY_REQUESTS."""
        if self._counts[session_id] < EMPTY_ANSWERS_MAX:
            return
        left_s = self._over_at - asyncio.get_running_loop().time()
        if left_s <= 0:
            return
        # Who waits for this answer asks for nothing meanwhile.
        await asyncio.sleep(left_s)
        raise Rejection(
            Reason.TOO_MANY_REQUESTS,
            f"session {session_id!r} asked for work {EMPTY_ANSWERS_MAX} times in a second while "
            "there was none; ask with `wait`, with one call at a time",
            retry_after_ms=1_000,
            session_id=session_id,
        )
