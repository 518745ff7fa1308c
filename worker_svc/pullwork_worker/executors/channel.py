"""How an attempt in the worker's own process speaks with the worker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from pullwork_worker.machine.ticket import Note


class LoopChannel:
    """A running attempt's way to the worker; may be used from any thread."""

    __slots__ = ("_cancelled", "_home", "_loop", "_noted", "_token")

    def __init__(
        self, token: str, noted: Callable[[str, Note], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._token = token
        self._noted = noted
        self._loop = loop
        self._home = threading.get_ident()
        self._cancelled = False

    def tell(self, fraction: float | None, message: str | None, checkpoint: bytes | None) -> None:
        """Passes on what the task says of itself."""
        note = Note(fraction, message, checkpoint)
        if threading.get_ident() == self._home:
            self._noted(self._token, note)
        else:
            self._loop.call_soon_threadsafe(self._noted, self._token, note)

    def cancel(self) -> None:
        """Sets the flag that the attempt may look at."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Returns whether the task is to end."""
        return self._cancelled
