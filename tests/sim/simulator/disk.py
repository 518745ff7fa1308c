"""The virtual disk: the memory storage, which keeps what was committed when its master dies.

What a death tears off is the transaction under way: it is applied wholly or not at all.
"""

from __future__ import annotations

from pullwork_master.core.effects import Writes
from pullwork_master.core.model import Queue
from pullwork_master.engine import RESERVE_BYTES
from pullwork_master.storage.base import StorageFullError
from pullwork_master.storage.memory import MemoryStorage


class Disk(MemoryStorage):
    """A disk that may be full."""

    def __init__(self) -> None:
        super().__init__(store_id="simulated")
        # How far it is filled: nothing new is taken, or nothing at all can be written; and
        # whether the latter shows before a commit is tried (a quota does not).
        self.low = False
        self.full = False
        self.shows_full = False
        self.commits = 0

    def queue(self, name: str) -> Queue:
        """Returns a queue as it was committed last; one that is not there has no limits."""
        return self._queues.get(name) or Queue(name, 0)

    def stage(self, writes: Writes) -> None:
        """Stores all of it, or nothing of it when the disk is full."""
        if self.full:
            raise StorageFullError("no room on the virtual disk")
        self.commits += 1
        super().stage(writes)

    def free_bytes(self) -> int | None:
        """Returns what the master sees: less than its reserve, or nothing; None: enough."""
        if self.full and self.shows_full:
            return 0
        return RESERVE_BYTES - 1 if self.low else None
