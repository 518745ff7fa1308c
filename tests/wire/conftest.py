"""A master behind a real port for each test: in memory, or on disk where that matters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from wired_master import WiredMaster, serving

from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage


@pytest.fixture
async def master() -> AsyncIterator[WiredMaster]:
    """A master that keeps its tasks in memory."""
    async with serving(MemoryStorage()) as started:
        yield started


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A new storage of each kind."""
    return MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "data")


@pytest.fixture
async def stored(storage: Storage) -> AsyncIterator[WiredMaster]:
    """A master over each kind of storage."""
    async with serving(storage) as started:
        yield started
