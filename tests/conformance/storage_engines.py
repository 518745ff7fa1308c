"""The engines that every law of storage is tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage


def memory(folder: Path) -> Callable[[], Storage]:
    """Every start finds the same memory."""
    storage = MemoryStorage()
    return lambda: storage


def sqlite(folder: Path) -> Callable[[], Storage]:
    """Every start is a new process's, on the same folder."""
    return lambda: SqliteStorage(folder / "data")
