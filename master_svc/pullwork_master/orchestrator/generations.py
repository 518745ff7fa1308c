"""Numbers that grow with each visible change, and waiting for the next one."""

from __future__ import annotations

import asyncio
from typing import Final

# Of a number, what counts the changes since the master's start; above it stands the term, which
# grows with each start. It is enough for a hundred changes a second over eight months.
_CHANGES_BITS: Final = 31
# Whoever waits for a change of anything.
ALL: Final = ""


class Generations:
    """Counts the changes of all services, and remembers for each when it changed last."""

    def __init__(self, term: int) -> None:
        self._first = self._last = term << _CHANGES_BITS
        self._of: dict[str, int] = {}
        self._bells: dict[str, _Bell] = {}

    def of(self, service: str = ALL) -> int:
        """Returns the number of a service, or of all; it never goes back."""
        return self._of.get(service, self._first) if service else self._last

    def grow(self, service: str) -> None:
        """Takes note of a change of a service, or of what is none's; who waits for it wakes up."""
        self._last += 1
        if service:
            self._of[service] = self._last
            self._ring(service)
        self._ring(ALL)

    def forget(self, service: str) -> None:
        """Takes note that a service is gone: that is a change, too."""
        self.grow(service)
        del self._of[service]

    async def newer(self, than: int, service: str = ALL) -> int:
        """Waits until the number of a service, or of all, is not `than`, and returns it.

        It returns as well when the service is deleted: look whether it is there.
        """
        while self.of(service) == than:
            bell = self._bells.setdefault(service, _Bell())
            bell.waiting += 1
            try:
                await bell.rung.wait()
            finally:
                bell.waiting -= 1
                if not bell.waiting and self._bells.get(service) is bell:
                    del self._bells[service]
        return self.of(service)

    def _ring(self, service: str) -> None:
        bell = self._bells.pop(service, None)
        if bell is not None:
            bell.rung.set()


class _Bell:
    """One change that somebody waits for."""

    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self.waiting = 0
