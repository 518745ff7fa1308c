"""A node in the test's own process, for laws whose breach is planted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from node_workers import end_all_in, programs_in

from pullwork_worker.config import WorkerSettings
from pullwork_worker.services.node import Node


class LocalNode:
    """A node that can vanish without a word."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self._settings = WorkerSettings(
            address=address, offer=["process"], node="n1", state=folder, drain_grace=0.5
        )
        self.node = Node(self._settings)
        self._life = asyncio.create_task(self.node.run())

    async def vanish(self) -> None:
        """Ends it; its programs go on."""
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    def programs(self) -> list[psutil.Process]:
        """Returns what runs of its instances."""
        return programs_in(self.folder)


@contextlib.asynccontextmanager
async def local_node(address: str, folder: Path) -> AsyncIterator[LocalNode]:
    """Runs a node for a while; nothing of it is left."""
    node = LocalNode(address, folder)
    try:
        yield node
    finally:
        await node.vanish()
        end_all_in(folder)
