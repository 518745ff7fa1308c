"""The seam between the engine and a disk: what a storage must do, and what it may say no to.

A `Storage` belongs to one thread, the engine's writer; `Reader`s answer views from
what was committed, in threads of their own.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Found, Opened, Wants, Writes
from pullwork_master.core.model import Task


class StorageError(Exception):
    """The storage can't be used; the message names the place and the remedy."""


class StorageInUseError(StorageError):
    """Another master has this data folder."""


class StorageFullError(StorageError):
    """No room: nothing of the transaction was stored."""


class EndsPage(NamedTuple):
    """Ends in their order, and where to go on."""

    tasks: list[Task]
    # The revision up to which this page tells all that matches.
    revision: int
    more: bool


class Storage(Protocol):
    """The writer's side."""

    def open(self) -> Opened:
        """Locks, migrates, bumps the term on disk, and returns what a start needs.

        Errors: StorageInUseError, StorageError.
        """

    def reload(self) -> Opened:
        """Returns what `open` did, as it is on disk now, in the same term; writes nothing."""

    def stage(self, writes: Writes) -> None:
        """Puts all of it into a transaction, for `commit`, or raises and stores nothing.

        Updates are applied before the sweep. This is work of the processor, as `commit` is of the
        disk. Errors: StorageFullError, StorageError.
        """

    def commit(self) -> int:
        """Stores what was staged durably, or raises and stores nothing; returns how many tasks it
        swept. Errors: StorageFullError, StorageError.
        """

    def find(self, wants: Wants) -> Found:
        """Shows committed tasks; those not found are left out of `tasks`."""

    def reader(self) -> Reader:
        """Opens a read-only view, usable by another thread."""

    def free_bytes(self) -> int | None:
        """How much room is left; None: unknown or unbounded."""

    def close(self) -> None:
        """Releases files and locks; may be called twice."""


class Reader(Protocol):
    """The views' side: sees only what was committed."""

    def get(self, task_id: str) -> Task | None:
        """Returns one task whole."""

    def get_many(self, task_ids: list[str]) -> list[Task]:
        """Returns those that exist, in no particular order, without payload and checkpoint."""

    def list(self, filter: Filter, before_seq: int, limit: int) -> list[Task]:
        """Returns newest first, without payload, checkpoint and result; `before_seq` 0: all."""

    def ends_after(self, revision: int, owner: str, queue: str, limit: int) -> EndsPage:
        """Returns ends in order of revision, of an owner or a queue (empty: of all).

        They come without payload and checkpoint. A page may be short, even empty, with more to
        come: it says up to which revision it looked.
        """

    def swept_revision(self, owner: str, queue: str) -> int:
        """Returns the highest revision that retention deleted, of this owner or queue as far as
        known; never too low."""

    def waiting_since(self, queue: str, types: Iterable[str]) -> int:
        """Returns since when the oldest QUEUED task waits, in milliseconds since 1970; 0: none.

        Looked at are the next tasks of each type, flow and priority. A task waits since it was
        submitted, or since it became ready if that was later.
        """

    def live(self, prefix: str) -> builtins.list[Task]:
        """Returns, by age and whole, the tasks that have not ended of queues whose names begin so.

        However many tasks wait in other queues, it looks at none of them.
        """

    def last_revision(self) -> int:
        """Returns the revision of the last committed end."""

    def close(self) -> None:
        """Releases the view; may be called twice."""


def store(storage: Storage, writes: Writes) -> int:
    """Stages and commits in one go; returns how many tasks it swept."""
    storage.stage(writes)
    return storage.commit()
