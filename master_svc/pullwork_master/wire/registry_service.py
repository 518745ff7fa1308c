"""RegistryService: what anybody calls about the nodes of the cluster."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Any, Final

import grpc.aio

from pullwork.v1 import registry_service_pb2 as pb
from pullwork.v1 import registry_service_pb2_grpc, worker_pb2
from pullwork_master.core.commands import Drain, Evict
from pullwork_master.core.effects import Effects, MemberChange
from pullwork_master.core.limits import NAME_CHARS_MAX, TYPES_SHOWN_MAX
from pullwork_master.core.model import Session
from pullwork_master.core.rejections import shutting_down
from pullwork_master.engine import Engine
from pullwork_master.wire import convert, fields, pages

Context = grpc.aio.ServicerContext[Any, Any]

CHANGES_MAX: Final = 1_000  # a reader further behind gets a snapshot instead

# Name and id of a session: where it stands in lists. All stand behind the start, and the master
# on it.
_Place = tuple[str, str]
_START: Final[_Place] = ("", "")


class Registry:
    """All members as they are now, and who wants to hear of changes."""

    def __init__(self, engine: Engine, master: worker_pb2.Member) -> None:
        self._engine = engine
        self._master = master
        self._readers: set[_Reader] = set()

    def sessions(self, after: _Place = _START) -> list[Session]:
        """Returns the living sessions behind a place, by name, then by id."""
        living = self._engine.core.book.sessions.values()
        behind = [each for each in living if not each.ghost and _place(each) > after]
        return sorted(behind, key=_place)

    def master(self) -> worker_pb2.Member:
        """Returns this master, with what its workers can do."""
        types = {type_ for each in self.sessions() for type_ in each.types}
        master = worker_pb2.Member()
        master.CopyFrom(self._master)
        master.task_types.extend(sorted(types)[:TYPES_SHOWN_MAX])
        return master

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
                for snapshot in self._snapshot():
                    yield pb.WatchRegistryResponse(snapshot=snapshot)
                while (changes := await reader.take()) is not None:
                    for change in changes:
                        yield _event(change)
        finally:
            self._readers.discard(reader)

    def _snapshot(self) -> Iterator[pb.WatchRegistryResponse.Snapshot]:
        """Yields all members in parts that each fit a message.

        Who they are is fixed with the first part, and what changes from there on waits with
        the reader. Each part is made when it is its turn: the whole may be large.
        """
        parts = pages.parts(chain([self.master()], map(convert.member, self.sessions())))
        part = next(parts)
        for following in parts:
            yield pb.WatchRegistryResponse.Snapshot(members=part, more=True)
            part = following
        yield pb.WatchRegistryResponse.Snapshot(members=part)


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
        size = pages.size(request.page_size)
        after = pages.place(request.page_token, "ListMembers")
        masters = [] if after else [self._registry.master()]
        behind = self._registry.sessions(_read_place(after))
        workers = map(convert.member, behind[: size - len(masters)])
        shown = pages.fit(chain(masters, workers))
        told = len(shown) - len(masters)
        token = ""
        if told < len(behind):
            token = pages.token(_write_place(behind[told - 1] if told else None), "ListMembers")
        return pb.ListMembersResponse(members=shown, next_page_token=token)

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: Context
    ) -> pb.ListWorkersResponse:
        """Shows sessions."""
        queue = fields.name(request.queue, "queue") if request.queue else ""
        type_ = fields.name(request.task_type, "task_type") if request.task_type else ""
        if request.state not in worker_pb2.WorkerState.values():
            fields.refuse("state", f"is {request.state}, which is no state of a worker")
        size = pages.size(request.page_size)
        query = (queue, type_, int(request.state))
        after = pages.place(request.page_token, "ListWorkers", query)
        found = [
            each
            for each in self._registry.sessions(_read_place(after))
            if (not queue or queue in each.queues)
            and (not type_ or type_ in each.types)
            and (not request.state or request.state == int(each.contact))
        ]
        book = self._engine.core.book
        shown = pages.fit(convert.worker(each, book) for each in found[:size])
        token = ""
        if len(shown) < len(found):
            token = pages.token(_write_place(found[len(shown) - 1]), "ListWorkers", query)
        return pb.ListWorkersResponse(workers=shown, next_page_token=token)

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


def _place(session: Session) -> _Place:
    return session.name, session.id


def _write_place(last: Session | None) -> str:
    """Returns how a token says what was shown last; None: the master."""
    name, id_ = _place(last) if last else _START
    return f"{id_} {name}"  # a name may hold anything, an id no space


def _read_place(written: str) -> _Place:
    id_, _, name = written.partition(" ")
    return name, id_


def _worker(value: str) -> str:
    return fields.text(value, "worker", NAME_CHARS_MAX, required=True)
