"""The master's side of services as one object: what the wire asks, and what nodes tell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from pullwork.v1 import node_service_pb2, orchestrator_service_pb2, service_pb2
from pullwork_master.core.commands import DeleteService, PutService
from pullwork_master.core.effects import Effects
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import ServiceRow, Task
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.core.services import conflict, unknown
from pullwork_master.engine import Engine
from pullwork_master.orchestrator import records, showing
from pullwork_master.orchestrator.loop import Loop
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import NODE_PREFIX
from pullwork_master.storage.base import Storage

log = logging.getLogger("pullwork.master")

# After a start nodes have so long to report, or two heartbeats if that is longer.
SETTLE_MS: Final = 10_000
# Who changes a service looks at it again so often, if others keep changing it meanwhile.
TRIES: Final = 100

Change = Callable[[service_pb2.ServiceSpec], service_pb2.ServiceSpec]


class Updated(NamedTuple):
    """What a change of a service did, or would do."""

    service: service_pb2.Service
    changed: bool
    replaces_instances: bool


class Orchestrator:
    """Services: kept by the engine, seen by the roster.

    Specs are checked and filled in before they come here. What is returned is for reading alone.
    Errors of every call that stores something: what `Engine.ask` raises.
    """

    def __init__(self, engine: Engine, policy: Policy) -> None:
        """The engine has been started, and does not run yet."""
        self._engine = engine
        settle_ms = max(SETTLE_MS, 2 * policy.heartbeat_ms)
        self.roster = Roster(engine.term, engine.now, self._refusal, settle_ms, policy.silence_ms)
        self._loop = Loop(engine, self.roster)
        self._storage: Storage
        self._running: asyncio.Task[None] | None = None

    def open(self, storage: Storage) -> None:
        """Takes in what stands on the disk, and listens from now on."""
        self._storage = storage
        self.roster.load(self._engine.core.book.services.values(), self._live())
        self._engine.listen(self._heard)

    def _heard(self, effects: Effects) -> None:
        try:
            self.roster.heard(effects)
        except Exception:
            # Whoever listens to the engine must not end it: it serves tasks, too.
            log.critical(
                "A BUG IN THE MASTER: what there is of services is read again from the disk",
                exc_info=True,
            )
            book = self._engine.core.book
            self.roster.reload(book.services.values(), self._live(), book.sessions.values())

    def _live(self) -> list[Task]:
        reader = self._storage.reader()
        try:
            return reader.live(NODE_PREFIX)
        finally:
            reader.close()

    def start(self) -> None:
        """Makes what there is into what is wanted, from now on until `close`."""
        self._running = asyncio.create_task(self._loop.run(), name="services")

    async def look(self) -> None:
        """Does what is due now; for whoever moves the clock."""
        await self._loop.look()

    async def close(self) -> None:
        """Ends what `start` began; what is under way is decided, if the engine still runs."""
        self._loop.stop()
        if self._running is not None:
            await self._running

    # --- what is wanted -------------------------------------------------------------------

    async def create(
        self, name: str, spec: service_pb2.ServiceSpec, *, dry_run: bool = False
    ) -> service_pb2.Service:
        """Makes a service. Errors: SERVICE_EXISTS, TOO_MANY_REQUESTS."""
        now_ms = self._engine.now().wall_ms
        record = records.first(spec, now_ms)
        if dry_run:
            self._engine.core.services.check_new(name)
            row = ServiceRow(name, 0, 0, record, now_ms, now_ms)
            return showing.service(records.read(row), (), ())
        return self._after(await self._engine.ask(PutService(name, record, 0)))

    async def scale(self, name: str, instances: int) -> service_pb2.Service:
        """Changes how many instances a service has. Errors: SERVICE_NOT_FOUND."""

        def scaled(spec: service_pb2.ServiceSpec) -> service_pb2.ServiceSpec:
            made = service_pb2.ServiceSpec()
            made.CopyFrom(spec)
            made.instances = instances
            return made

        return (await self.update(name, scaled)).service

    async def update(
        self, name: str, change: Change, *, expected_revision: int = 0, dry_run: bool = False
    ) -> Updated:
        """Changes what is wanted of a service.

        `change` makes the new spec, whole, of the one that stands, which it leaves as it is. It
        may be called again if somebody else changes the service meanwhile, and what it raises is
        raised here. Errors: SERVICE_NOT_FOUND, REVISION_CONFLICT.
        """
        tries = TRIES
        while True:
            tries -= 1
            kept = self._known(name)
            if expected_revision not in (0, kept.row.revision):
                raise conflict(kept.row, expected_revision)
            spec = change(kept.spec)
            if spec == kept.spec:
                return Updated(self.get(name), changed=False, replaces_instances=False)
            replaces = records.replaces(kept.spec, spec)
            record, version = records.changed(kept, spec, self._engine.now().wall_ms)
            if dry_run:
                would_be = records.read(kept.row._replace(record=record))
                shown = self.get(name)
                made = showing.service(would_be, (), ())
                made.healthy, made.running = shown.healthy, shown.running
                return Updated(made, changed=True, replaces_instances=replaces)
            try:
                row = await self._engine.ask(PutService(name, record, kept.row.revision, version))
            except Rejection as rejection:
                if rejection.reason is not Reason.REVISION_CONFLICT or not tries:
                    raise
                continue
            return Updated(self._after(row), changed=True, replaces_instances=replaces)

    async def delete(self, name: str) -> service_pb2.Service:
        """Ends a service; returns it as it was. Errors: SERVICE_NOT_FOUND."""
        before = self.roster.shown_service(name)
        row = await self._engine.ask(DeleteService(name))
        if before is not None and before.revision == row.revision:
            return before
        return showing.service(records.read(row), (), ())

    # --- what there is --------------------------------------------------------------------

    def get(self, name: str) -> service_pb2.Service:
        """Returns a service. Errors: SERVICE_NOT_FOUND."""
        self._known(name)
        shown = self.roster.shown_service(name)
        assert shown is not None
        return shown

    def services(self) -> list[service_pb2.Service]:
        """Returns all services by name."""
        return [self.get(name) for name in sorted(self.roster.services)]

    def instances(self, service: str = "") -> list[service_pb2.Instance]:
        """Returns the instances of a service, or of all. Errors: SERVICE_NOT_FOUND."""
        if service:
            self._known(service)
        return self.roster.shown_instances(service)

    def nodes(self) -> list[orchestrator_service_pb2.Node]:
        """Returns all nodes by name."""
        return self.roster.shown_nodes()

    def generation(self, service: str = "") -> int:
        """Returns the number of the last change of a service, or of all.

        Errors: SERVICE_NOT_FOUND.
        """
        if service:
            self._known(service)
        return self.roster.generations.of(service)

    async def newer(self, than: int, service: str = "") -> int:
        """Waits until something of a service, or of all, is not as it was at a generation.

        Errors: SERVICE_NOT_FOUND, also if it is deleted meanwhile.
        """
        if service:
            self._known(service)
        await self.roster.generations.newer(than, service)
        return self.generation(service)

    # --- what nodes tell ------------------------------------------------------------------

    def report(
        self,
        session_id: str,
        reports: Iterable[node_service_pb2.InstanceReport],
        facts: Facts,
    ) -> list[str]:
        """Takes in all that a node has; returns the tasks of these that don't stand any more.

        Errors: SESSION_LOST; INVALID_FIELD if the session is no node's.
        """
        return self.roster.report(session_id, reports, facts)

    def _refusal(self, session_id: str) -> Rejection:
        core = self._engine.core
        session = core.book.sessions.get(session_id)
        if session is None or session.ghost:
            return core.sessions.lost(session_id)
        return Rejection(
            Reason.INVALID_FIELD,
            f"session_id is {session_id!r}, whose worker is no node; register as a worker called "
            f"{NODE_PREFIX}NAME",
            field="session_id",
        )

    def _known(self, name: str) -> records.Kept:
        kept = self.roster.services.get(name)
        if kept is None:
            raise unknown(name)
        return kept

    def _after(self, row: ServiceRow) -> service_pb2.Service:
        """Shows a service that was stored a moment ago; perhaps it is gone again."""
        shown = self.roster.shown_service(row.name)
        return shown if shown is not None else showing.service(records.read(row), (), ())
