"""What is seen of services: their tasks as committed, their nodes, and what these report.

One object, in memory alone; after a start it is made of the disk and of what nodes report then.
It hears each committed step at once, before anybody is answered who could act on it, so that
nobody finds it behind what he was told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from pullwork.v1 import node_service_pb2, orchestrator_service_pb2, service_pb2
from pullwork_master.core.effects import Effects, SessionEnded
from pullwork_master.core.model import Now, ServiceRow, Session, Task
from pullwork_master.core.rejections import Rejection
from pullwork_master.orchestrator import instances, records, showing
from pullwork_master.orchestrator.generations import ALL, Generations
from pullwork_master.orchestrator.instances import Live
from pullwork_master.orchestrator.nodes import Facts, Former, KnownNode, service_of
from pullwork_master.orchestrator.records import Kept
from pullwork_master.orchestrator.stock import Stock
from pullwork_master.reconciler.model import NODE_PREFIX, Lack, Phase, Seen, Service

# A node that can't be reached and has nothing is shown for so long, for people who look for it.
FORGET_NODE_MS: Final = 3_600_000


class Roster:
    """See the module's text. Every method belongs to the event loop's thread.

    Messages that it shows are for reading alone: they are shown to others, too.
    """

    def __init__(
        self,
        term: int,
        now: Callable[[], Now],
        lost: Callable[[str], Rejection],
        settle_ms: int,
        silence_ms: Callable[[int], int],
    ) -> None:
        """`lost` makes the refusal of a session that is no node's, or is over.

        `silence_ms` tells after how long a session is silent, by the interval of its heartbeats.
        """
        self._now = now
        self._lost = lost
        self._silence_ms = silence_ms
        self.generations = Generations(term)
        # Rung by whatever may be a reason to do something.
        self.woken = asyncio.Event()
        self.services: dict[str, Kept] = {}
        self.nodes: dict[str, KnownNode] = {}
        self.stock = Stock()
        self._sessions: dict[str, KnownNode] = {}
        self._lacks: dict[str, tuple[Lack, ...]] = {}
        self._shown: dict[str, service_pb2.Service] = {}
        # Nodes that have instances and did not report since the start, and until when that counts.
        self._awaited: set[str] = set()
        self._settle_due_ms = now().mono_ms + settle_ms

    # --- a start --------------------------------------------------------------------------

    def load(self, rows: Iterable[ServiceRow], tasks: Iterable[Task]) -> None:
        """Takes in what stands on the disk: services, and live tasks of node queues."""
        self.services = {row.name: records.read(row) for row in rows}
        for task in tasks:
            self.stock.enter(task)
        for name in self.stock.nodes:
            self._awaited.add(name)
            self.nodes[name] = KnownNode(name, gone_since_ms=self._now().wall_ms)
        # A service that there is has a greater number than one that there is not: its end is seen.
        for name in self.services:
            self._changed(name)
        self.woken.set()

    def reload(
        self, rows: Iterable[ServiceRow], tasks: Iterable[Task], sessions: Iterable[Session]
    ) -> None:
        """Takes in anew what is committed; what nodes reported stays as it is."""
        now_ms = self._now().wall_ms
        self.services = {row.name: records.read(row) for row in rows}
        self.stock = Stock()
        mine = {each.id: each for each in sessions if each.name.startswith(NODE_PREFIX)}
        for session_id in [each for each in self._sessions if each not in mine]:
            self._gone(session_id)
        for session in mine.values():
            if session.id not in self._sessions and not session.ghost:
                self._meet(session, joined=True)
        for task in tasks:
            live = self.stock.enter(task)
            node = self.nodes.setdefault(live.node, KnownNode(live.node, gone_since_ms=now_ms))
            live.report = node.reports.get(live.task_id)
            live.healthy_ms = now_ms if live.phase is Phase.HEALTHY else 0
        self._lacks.clear()
        self._shown.clear()
        for name in (*self.services, ALL):
            self.generations.grow(name)
        self.woken.set()

    @property
    def settled(self) -> bool:
        """Whether every node that had instances at the start has reported, or was given up."""
        return not self._awaited

    @property
    def idle(self) -> bool:
        """Whether there is nothing to decide."""
        return not (self.services or self.stock.lives or self.stock.over)

    # --- what is committed ----------------------------------------------------------------

    def heard(self, effects: Effects) -> None:
        """Takes in a committed step."""
        for name, row in effects.writes.services.items():
            self._put_service(name, row)
        for change in effects.members:
            if change.session.name.startswith(NODE_PREFIX):
                self._meet(change.session, joined=change.joined)
        if not self.nodes and not self.stock.lives:
            return  # nobody has put anything into the queue of a node
        for task in effects.changed.values():
            if task.spec.queue.startswith(NODE_PREFIX):
                self._task_changed(task)
        for session_id, news in effects.news:
            # A master that starts over from its disk tells it in this way alone.
            if type(news) is SessionEnded:
                self._gone(session_id)

    def _put_service(self, name: str, row: ServiceRow | None) -> None:
        if row is not None:
            self.services[name] = records.read(row)
            self._changed(name)
        elif self.services.pop(name, None) is not None:
            self._lacks.pop(name, None)
            self._shown.pop(name, None)
            self.generations.forget(name)
        self.woken.set()

    def _task_changed(self, task: Task) -> None:
        live = self.stock.lives.get(task.spec.id)
        if task.state.ended:
            self._ended(task)
        elif live is None:
            self._refresh(self.stock.enter(task))
        else:
            live.not_before_ms = instances.waits_until(task)
            self._refresh(live)
        self.woken.set()

    def _ended(self, task: Task) -> None:
        live = self.stock.leave(task)
        if live is None:
            return
        node = self.nodes.get(live.node)
        if node is not None and live.task_id in node.reports:
            former = Former(live.spec.service, live.host_ports, live.room)
            node.formers[live.task_id] = former
        self._changed(live.spec.service)

    def _meet(self, session: Session, *, joined: bool) -> None:
        if not joined:
            self._gone(session.id)
            return
        name = session.name.removeprefix(NODE_PREFIX)
        node = self.nodes.setdefault(name, KnownNode(name))
        if node.session is not None:
            self._sessions.pop(node.session.id, None)
        node.join(session, self._now())
        self._sessions[session.id] = node
        self._refresh_node(node)

    def _gone(self, session_id: str) -> None:
        node = self._sessions.pop(session_id, None)
        session = node.session if node is not None else None
        if node is not None and session is not None:
            now = self._now()
            unheard_ms = now.mono_ms - session.last_seen_ms
            node.leave(now, silent=unheard_ms >= self._silence_ms(session.beat_within_ms))
            self._refresh_node(node)

    # --- what nodes report ----------------------------------------------------------------

    def report(
        self,
        session_id: str,
        reports: Iterable[node_service_pb2.InstanceReport],
        facts: Facts,
    ) -> list[str]:
        """Takes in all that a node has; returns the tasks of these that don't stand any more.

        Errors: what `lost` makes.
        """
        node = self._sessions.get(session_id)
        if node is None:
            raise self._lost(session_id)
        before, node.reports = node.reports, {each.task_id: each for each in reports}
        for task_id in [each for each in node.formers if each not in node.reports]:
            del node.formers[task_id]
        changed = facts != node.facts or node.is_gone or node.look()
        node.facts = facts
        came_back = node.is_gone
        for task_id in {**before, **node.reports}:
            if before.get(task_id) != node.reports.get(task_id):
                self.stock.reported()
                self._report_changed(node, task_id, before)
                changed = True
        if came_back:
            node.back(self._now().wall_ms)
            self._refresh_node(node)
        if node.name in self._awaited:
            self._awaited.discard(node.name)
            self._settle()
        if changed:
            self.woken.set()
        mine = self.stock.on(node.name)
        return [task_id for task_id in node.reports if task_id not in mine]

    def _report_changed(
        self,
        node: KnownNode,
        task_id: str,
        before: dict[str, node_service_pb2.InstanceReport],
    ) -> None:
        report = node.reports.get(task_id)
        live = self.stock.on(node.name).get(task_id)
        if live is None:
            known = report or before[task_id]
            self._changed(service_of(known.instance_id))
            return
        live.report = report
        healthy = live.phase is Phase.HEALTHY
        live.healthy_ms = (live.healthy_ms or self._now().wall_ms) if healthy else 0
        self._refresh(live)

    # --- the passing of time --------------------------------------------------------------

    def look(self) -> int:
        """Takes in what changed without a word; to be called now and then, and before `seen`.

        Returns in how many ms at the latest it is to be called again; 0: that does not matter.
        """
        now = self._now()
        waits_ms = []
        for node in list(self.nodes.values()):
            node.look()
            if node.lingered(now):
                for service in {it.spec.service for it in self.stock.on(node.name).values()}:
                    self._changed(service)
            elif node.lingers:
                waits_ms.append(node.lingers_until_ms - now.mono_ms)
            gone_ms = now.wall_ms - node.gone_since_ms if node.gone_since_ms else 0
            if node.session is None and gone_ms > FORGET_NODE_MS and not self.stock.on(node.name):
                del self.nodes[node.name]
                self.stock.reported()
        if self._awaited:
            left_ms = self._settle_due_ms - now.mono_ms
            if left_ms > 0:
                waits_ms.append(left_ms)
            else:
                self._awaited.clear()
                self._settle()
        return min(waits_ms, default=0)

    def _settle(self) -> None:
        if not self._awaited:
            for name in self.services:
                self._changed(name)
            self.woken.set()

    # --- what the reconciler is told, and what it says ------------------------------------

    def wanted(self) -> list[Service]:
        """Returns all services."""
        return [kept.service for kept in self.services.values()]

    def seen(self) -> Seen:
        """Returns all that there is."""
        return self.stock.seen(self.nodes.values(), settled=self.settled)

    def followed(self, task_ids: Iterable[str]) -> None:
        """Forgets instances that ended: they are followed, or not wanted any more."""
        for task_id in task_ids:
            ended = self.stock.followed(task_id)
            if ended is not None:
                self._changed(ended.instance.service)

    def lacking(self, lacks: Iterable[Lack]) -> None:
        """Hears which services lack instances, and why."""
        told: dict[str, tuple[Lack, ...]] = {}
        for lack in lacks:
            if lack.service in self.services:
                told[lack.service] = (*told.get(lack.service, ()), lack)
        before, self._lacks = self._lacks, told
        for name in {**before, **told}:
            if before.get(name) != told.get(name):
                self._changed(name)

    # --- what people and programs are shown -----------------------------------------------

    def shown_service(self, name: str) -> service_pb2.Service | None:
        """Returns a service as it is now; None: there is none."""
        kept = self.services.get(name)
        if kept is None:
            return None
        shown = self._shown.get(name)
        if shown is None:
            lives = [self._show(live) for live in self.stock.of(name)]
            shown = showing.service(kept, lives, self._lacks.get(name, ()))
            self._shown[name] = shown
        return shown

    def shown_instances(self, service: str = ALL) -> list[service_pb2.Instance]:
        """Returns the instances of a service, or of all, by service and number.

        Also those that their nodes are to give up, of services that are gone, too. Those that
        wait for a place come last, without an id.
        """
        names = [service] if service else sorted({*self.services, *self.stock.services})
        found = [self._show(live) for name in names for live in self.stock.of(name)]
        rest = self.stock.rest(self.nodes.values())
        for name in [service] if service else rest.ends:
            found += [showing.ended(each) for each in rest.ends.get(name, ())]
        for name in [service] if service else rest.remnants:
            for node, each in rest.remnants.get(name, ()):
                report = node.reports[each.task_id]
                found.append(showing.remnant(each, report, disconnected=node.is_gone))
        for name in names:
            kept, lacks = self.services.get(name), self._lacks.get(name, ())
            if kept is not None:
                found += showing.placeless(name, kept.row.version, lacks)
        return showing.by_number(found)

    def shown_nodes(self) -> list[orchestrator_service_pb2.Node]:
        """Returns all nodes by name."""
        made = []
        for _, node in sorted(self.nodes.items()):
            mine = self.stock.on(node.name)
            had = sum(task_id not in mine for task_id in node.reports)
            made.append(showing.node(node, len(mine) + had))
        return made

    def _show(self, live: Live) -> service_pb2.Instance:
        if live.shown is None:
            node = self.nodes.get(live.node)
            live.shown = showing.instance(live, disconnected=node is None or node.is_gone)
        return live.shown

    def _refresh(self, live: Live) -> None:
        """Makes anew what is shown of an instance, and tells if that is not what it was."""
        before = live.shown
        live.shown = live.modelled = None
        if before != self._show(live):
            self._changed(live.spec.service)

    def _refresh_node(self, node: KnownNode) -> None:
        for live in self.stock.on(node.name).values():
            self._refresh(live)
        for service in {each.service for each in self.stock.remnants(node)}:
            self._changed(service)
        self.woken.set()

    def _changed(self, service: str) -> None:
        """Tells that what is shown of a service is not what it was; it may be gone itself."""
        self._shown.pop(service, None)
        self.generations.grow(service if service in self.services else ALL)
