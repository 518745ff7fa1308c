"""Builds of the master and of the worker with a bug planted, to see that the harness finds it.

python -m fault_harness.services.planted nothing-is-gone pullwork_master --listen ...
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Final
from uuid import uuid4

import typer

import pullwork_master.main
import pullwork_worker.main
from pullwork.v1.node_service_pb2 import InstanceReport
from pullwork_master.orchestrator.loop import Loop
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import Plan, Seen, Service, Stop
from pullwork_master.reconciler.reconcile import reconcile
from pullwork_worker.executors.work import Work
from pullwork_worker.machine.ticket import Ticket
from pullwork_worker.services.folder import scope_folder
from pullwork_worker.services.keeper import Keeper
from pullwork_worker.services.process import ProcessRunner
from pullwork_worker.services.runner import EXITED, Scope


def _see(twisted: Callable[[Seen], Seen]) -> None:
    """Has the master's reconciler see the world in another way."""

    def decide(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
        return reconcile(services, twisted(seen), now_ms)

    Loop.__init__.__defaults__ = (decide,)  # type: ignore[misc]


def _nothing_is_gone() -> None:
    """Every node is taken for one that can be reached."""

    def twisted(seen: Seen) -> Seen:
        return replace(seen, nodes=tuple(replace(it, gone_since_ms=0) for it in seen.nodes))

    _see(twisted)


def _new_master_gives_up() -> None:
    """A master that has just started gives up what nobody has reported yet."""
    first = iter([True])

    def decide(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
        if next(first, False) and (unheard := [it for it in seen.instances if not it.healthy_ms]):
            return Plan(stops=[Stop(it.task_id, "nobody reported it") for it in unheard])
        return reconcile(services, seen, now_ms)

    Loop.__init__.__defaults__ = (decide,)  # type: ignore[misc]


def _live_is_unwanted() -> None:
    """A node's first report is answered before its tasks are looked for."""

    right = Roster.report

    def report(
        self: Roster, session_id: str, reports: Iterable[InstanceReport], facts: Facts
    ) -> list[str]:
        node, there = self._sessions.get(session_id), list(reports)
        first = node is not None and node.is_gone
        unwanted = right(self, session_id, there, facts)
        return [it.task_id for it in there] if first else unwanted

    Roster.report = report  # type: ignore[method-assign]


def _adoption_makes_anew() -> None:
    """A worker that starts again overlooks what runs, and starts it once more."""

    async def keep(self: ProcessRunner, scope: Scope, *_: object) -> None:
        self._folder = scope_folder(self._state / uuid4().hex, scope)
        self.looked.set()
        await asyncio.Event().wait()

    ProcessRunner.keep = keep  # type: ignore[method-assign]


def _unwanted_stays() -> None:
    """A node does not hear what it has too much."""

    def unwanted(self: Keeper, task_ids: Collection[str]) -> None:
        pass

    Keeper.unwanted = unwanted  # type: ignore[method-assign]


def _lease_takes_program() -> None:
    """A program ends with its ticket, as that of a task does."""

    right = Keeper.stop

    def stop(self: Keeper, slot: int, ticket: Ticket) -> None:
        work = ticket.work
        assert isinstance(work, Work)
        instance = self.instances.get(work.task_id)
        right(self, slot, ticket)
        if instance is not None:
            instance.stop(EXITED, "its lease ended")

    Keeper.stop = stop  # type: ignore[method-assign]


BUGS: Final[dict[str, Callable[[], None]]] = {
    "nothing-is-gone": _nothing_is_gone,
    "new-master-gives-up": _new_master_gives_up,
    "live-is-unwanted": _live_is_unwanted,
    "adoption-makes-anew": _adoption_makes_anew,
    "unwanted-stays": _unwanted_stays,
    "lease-takes-program": _lease_takes_program,
}
# Where each is at home; the other half of the cluster is as it should be.
IN_THE_MASTER: Final = {"nothing-is-gone", "new-master-gives-up", "live-is-unwanted"}


def main() -> None:
    """Plants the bug and runs the service as its own module would."""
    bug, service = sys.argv.pop(1), sys.argv.pop(1)
    if (service == "pullwork_master") == (bug in IN_THE_MASTER):
        BUGS[bug]()
    module = pullwork_master.main if service == "pullwork_master" else pullwork_worker.main
    typer.run(module.command)


if __name__ == "__main__":
    main()
