"""The master of a cluster under test: the real one on a real port, with a clock that is moved.

Found by `pullwork.testing` through its entry point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from pullwork.settings import load_given
from pullwork.testing.parts import Contact, MasterOrder, Surroundings
from pullwork.v1 import worker_pb2
from pullwork_master.config import MasterSettings
from pullwork_master.core import model
from pullwork_master.core.effects import Effects
from pullwork_master.core.model import Now
from pullwork_master.engine import Engine
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.views import Views
from pullwork_master.wire.server import Server

# Of the bound from which on a master takes itself for paused.
_STRIDE_SHARE: Final = 0.9


class ClusterMaster:
    """A master that can be killed and started again; see `pullwork.testing.parts.MasterPart`."""

    def __init__(self, order: MasterOrder, around: Surroundings) -> None:
        self._around = around
        self._settings = load_given(
            MasterSettings, {"listen": "127.0.0.1:0"} | dict(order.settings)
        )
        self._policy = self._settings.policy()
        self._folder = order.data
        self._memory = MemoryStorage() if order.data is None else None
        self.address = self._settings.listen
        self._engine: Engine
        self._orchestrator: Orchestrator
        self._disk: Views
        self._server: Server
        self._writer: asyncio.Task[None]

    @property
    def stride_s(self) -> float:
        """A part of the pause bound, and short enough for every heartbeat to come in its time."""
        policy = self._policy
        return min(policy.pause_ms * _STRIDE_SHARE, policy.heartbeat_ms / 2) / 1000

    async def start(self) -> None:
        """Opens the store and serves, where it did before if it did."""
        storage = self._storage()
        self._engine = Engine(
            storage, self._policy, clock=self._now, reserve_bytes=self._settings.disk_reserve
        )
        await self._engine.start()
        self._orchestrator = Orchestrator(self._engine, self._policy)
        self._orchestrator.open(storage)
        self._disk = Views(storage.reader())
        self._server = Server(self._engine, self._policy, self._disk, self._orchestrator)
        port = self._server.bind(self.address)
        self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self._writer = asyncio.create_task(self._engine.run(), name="engine")
        self._engine.listen(self._heard)
        await self._server.start(
            worker_pb2.Member(
                id=self._engine.store_id,
                name=self._settings.name,
                role=worker_pb2.MEMBER_ROLE_MASTER,
                address=self.address,
                version=version("pullwork"),
            )
        )
        self._orchestrator.start()

    def _heard(self, effects: Effects) -> None:
        if effects.changed or effects.news or effects.members or effects.notes:
            self._around.stirred()

    def _storage(self) -> Storage:
        if self._memory is not None:
            return self._memory
        assert self._folder is not None
        return SqliteStorage(self._folder, self.address)

    def _now(self) -> Now:
        clock = self._around.clock
        return Now(int(clock.mono_s() * 1000), int(clock.wall_s() * 1000))

    async def look(self) -> Mapping[str, Contact]:
        """Does all that is due, and returns the sessions by id."""
        await self._engine.look()
        await self._orchestrator.look()
        return {
            session.id: Contact(bool(session.stream), session.parked is not None)
            for session in self._engine.core.book.sessions.values()
            if not session.ghost
        }

    async def under_way(self) -> str:
        """Returns what runs, or waits although a worker could take it."""
        book = self._engine.core.book
        able = [
            session
            for session in book.sessions.values()
            if session.contact is model.Contact.CONNECTED and not session.draining
        ]
        for line in book.lines.values():
            about = f"of type {line.type!r} in queue {line.queue!r}"
            if line.running:
                return f"{line.running} tasks {about} run"
            served = any((line.queue, line.type) in session.lines for session in able)
            if line.queued and served and not book.paused(line.queue):
                return f"{line.queued} tasks {about} wait for a free slot"
        return ""

    async def perish(self) -> None:
        """Breaks all connections, then drops all that was not committed."""
        await self._server.abort()
        # Both: on Python 3.11 a cancellation can be lost that comes together with a command.
        self._engine.stop()
        self._writer.cancel()
        await asyncio.wait({self._writer})
        await self._orchestrator.close()
        self._disk.close()
        await self._engine.close()
