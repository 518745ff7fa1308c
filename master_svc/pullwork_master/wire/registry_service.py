"""RegistryService: what anybody calls about the nodes of the cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc.aio

from pullwork.v1 import registry_service_pb2 as pb
from pullwork.v1 import registry_service_pb2_grpc, worker_pb2
from pullwork_master.core.commands import Drain, Evict
from pullwork_master.core.effects import Effects, MemberChange
from pullwork_master.core.limits import NAME_CHARS_MAX
from pullwork_master.core.model import Session
from pullwork_master.core.rejections import shutting_down
from pullwork_master.engine import Engine
from pullwork_master.wire import convert, fields

Context = grpc.aio.ServicerContext[Any, Any]

CHANGES_MAX: Final = 1_000  # a reader further behind gets a snapshot instead


class Registry:
    """All members as they are now, and who wants to hear of changes."""

    def __init__(self, engine: Engine, master: worker_pb2.Member) -> None:
        self._engine = engine
        self._master = master
        self._readers: set[_Reader] = set()

    def sessions(self) -> list[Session]:
        """Returns the living sessions, by name, then by id."""
        living = [each for each in self._engine.core.book.sessions.values() if not each.ghost]
        return sorted(living, key=lambda each: (each.name, each.id))

    def members(self) -> list[worker_pb2.Member]:
        """Returns this master, with all that its workers can do, and its workers."""
        sessions = self.sessions()
        master = worker_pb2.Member()
        master.CopyFrom(self._master)
        master.task_types.extend(sorted({type_ for each in sessions for type_ in each.types}))
        return [master, *(convert.member(each) for each in sessions)]

    def tell(self, effects: Effects) -> None:
        """Leaves a committed step's changes with the readers."""
        for reader in self._readers:
            for change in effects.members:
                reader.put(change)

    def stop(self) -> None:
        """Ends every stream: a server that stops would wait for them."""
        for reader in self._readers:
            reader.stop()

    async def watch(self) -> AsyncIterator[pb.WatchRegistryResponse]:
        """Yields a snapshot, then changes, for ever."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            while True:
                snapshot = pb.WatchRegistryResponse.Snapshot(members=self.members())
                yield pb.WatchRegistryResponse(snapshot=snapshot)
                while (changes := await reader.take()) is not None:
                    for change in changes:
                        yield _event(change)
        finally:
            self._readers.discard(reader)


class _Reader:
    def __init__(self) -> None:
        self._changes: deque[MemberChange] = deque()
        self._behind = False
        self._stopped = False
        self._bell = asyncio.Event()

    def stop(self) -> None:
        self._stopped = True
        self._bell.set()

    def put(self, change: MemberChange) -> None:
        if len(self._changes) >= CHANGES_MAX:
            self._changes.clear()
            self._behind = True
        if not self._behind:
            self._changes.append(change)
        self._bell.set()

    async def take(self) -> list[MemberChange] | None:
        """Waits for changes; None: too many came, a snapshot is due."""
        await self._bell.wait()
        self._bell.clear()
        if self._stopped:
            raise shutting_down()
        if self._behind:
            self._behind = False
            return None
        changes, self._changes = self._changes, deque()
        return list(changes)


def _event(change: MemberChange) -> pb.WatchRegistryResponse:
    member = convert.member(change.session)
    if change.joined:
        return pb.WatchRegistryResponse(joined=member)
    return pb.WatchRegistryResponse(left=member)


class RegistryService(registry_service_pb2_grpc.RegistryServiceServicer):
    """Translates between operators and the engine."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Context
    ) -> pb.ListMembersResponse:
        """Shows masters and workers."""
        return pb.ListMembersResponse(members=self._registry.members())

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: Context
    ) -> pb.ListWorkersResponse:
        """Shows sessions."""
        queue = fields.name(request.queue, "queue") if request.queue else ""
        type_ = fields.name(request.task_type, "task_type") if request.task_type else ""
        if request.state not in worker_pb2.WorkerState.values():
            fields.refuse("state", f"is {request.state}, which is no state of a worker")
        book = self._engine.core.book
        return pb.ListWorkersResponse(
            workers=[
                convert.worker(each, book)
                for each in self._registry.sessions()
                if (not queue or queue in each.queues)
                and (not type_ or type_ in each.types)
                and (not request.state or request.state == int(each.contact))
            ]
        )

    async def WatchRegistry(
        self, request: pb.WatchRegistryRequest, context: Context
    ) -> AsyncIterator[pb.WatchRegistryResponse]:
        """Streams who comes and goes."""
        async for message in self._registry.watch():
            yield message

    async def DrainWorker(
        self, request: pb.DrainWorkerRequest, context: Context
    ) -> pb.DrainWorkerResponse:
        """Asks a worker to leave."""
        session: Session = await self._engine.ask(Drain(_worker(request.worker)))
        return pb.DrainWorkerResponse(worker=convert.worker(session, self._engine.core.book))

    async def EvictWorker(
        self, request: pb.EvictWorkerRequest, context: Context
    ) -> pb.EvictWorkerResponse:
        """Ends a worker's session."""
        requeued: int = await self._engine.ask(Evict(_worker(request.worker)))
        return pb.EvictWorkerResponse(requeued=requeued)


def _worker(value: str) -> str:
    return fields.text(value, "worker", NAME_CHARS_MAX, required=True)
