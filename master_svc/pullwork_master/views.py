"""Read-only questions to the disk, answered off the event loop's thread."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pullwork_master.core.commands import Filter
from pullwork_master.core.model import Task
from pullwork_master.storage.base import EndsPage, Reader

T = TypeVar("T")


class Views:
    """A reader in a thread of its own; sees what is committed, which is all that was told."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="views")

    async def get(self, task_id: str) -> Task | None:
        """Returns one task whole."""
        return await self._in_thread(lambda: self._reader.get(task_id))

    async def get_many(self, task_ids: list[str]) -> list[Task]:
        """Returns those that exist, without payloads."""
        return await self._in_thread(lambda: self._reader.get_many(task_ids))

    async def list(self, chosen: Filter, before_seq: int, limit: int) -> list[Task]:
        """Returns newest first, without payloads and results."""
        return await self._in_thread(lambda: self._reader.list(chosen, before_seq, limit))

    async def ends_after(self, revision: int, owner: str, queue: str, limit: int) -> EndsPage:
        """Returns ends in their order, without payloads."""
        return await self._in_thread(lambda: self._reader.ends_after(revision, owner, queue, limit))

    async def swept_revision(self, owner: str, queue: str) -> int:
        """Returns the highest revision that retention deleted, perhaps too high."""
        return await self._in_thread(lambda: self._reader.swept_revision(owner, queue))

    async def waiting_since(self, queue: str, types: builtins.list[str]) -> int:
        """Returns since when the oldest QUEUED task of these lines waits; 0: none does."""
        return await self._in_thread(lambda: self._reader.waiting_since(queue, types))

    def close(self) -> None:
        """Waits for the question under way and closes the reader."""
        self._thread.shutdown()
        self._reader.close()

    def _in_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)
