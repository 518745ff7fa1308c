"""The instances that stand as tasks, found by service and by node; and those that just ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from pullwork_master.core.model import Task
from pullwork_master.orchestrator import instances
from pullwork_master.orchestrator.instances import Live
from pullwork_master.orchestrator.nodes import KnownNode
from pullwork_master.reconciler.model import Ended, Remnant, Seen


@dataclass(frozen=True, slots=True)
class Over:
    """An instance whose task has ended by itself, and what it took."""

    ended: Ended
    host_ports: tuple[int, ...]
    room: tuple[float, int]


class Rest(NamedTuple):
    """What is left of tasks that have ended, by service."""

    # Those that nothing has followed yet.
    ends: dict[str, list[Ended]]
    # What nodes still have.
    remnants: dict[str, list[tuple[KnownNode, Remnant]]]


class Stock:
    """Keeps the instances of all services."""

    def __init__(self) -> None:
        self.lives: dict[str, Live] = {}
        # Instances that ended, until they are followed or not wanted any more.
        self.over: dict[str, Over] = {}
        self._by_service: dict[str, dict[str, Live]] = {}
        self._by_node: dict[str, dict[str, Live]] = {}
        # Tasks that are being cancelled because the plan says so: their ends need no follower.
        self._stopping: set[str] = set()
        # Found once for all services, since it is sought on all nodes; None: something has changed.
        self._rest: Rest | None = None

    def enter(self, task: Task) -> Live:
        """Takes in a task that has not ended."""
        live = instances.live(task)
        self._rest = None
        self.over.pop(live.task_id, None)  # somebody has retried it
        self.lives[live.task_id] = live
        self._by_service.setdefault(live.spec.service, {})[live.task_id] = live
        self._by_node.setdefault(live.node, {})[live.task_id] = live
        return live

    def leave(self, task: Task) -> Live | None:
        """Takes note of a task's end; None: it was not among those that live."""
        live = self.lives.pop(task.spec.id, None)
        if live is None:
            return None
        self._rest = None
        for index, key in ((self._by_service, live.spec.service), (self._by_node, live.node)):
            del index[key][live.task_id]
            if not index[key]:
                del index[key]
        if live.task_id in self._stopping:
            self._stopping.discard(live.task_id)
        else:
            ended = Ended(live.model(), instances.exit_of(task, live.report))
            self.over[live.task_id] = Over(ended, live.host_ports, live.room)
        return live

    def of(self, service: str) -> Iterable[Live]:
        """Returns those of a service."""
        return self._by_service.get(service, {}).values()

    def on(self, node: str) -> dict[str, Live]:
        """Returns those of a node, by task."""
        return self._by_node.get(node, {})

    @property
    def services(self) -> Iterable[str]:
        """The names of services that have instances, wanted or not."""
        return self._by_service.keys()

    @property
    def nodes(self) -> Iterable[str]:
        """The names of nodes that have instances, whether they can be reached or not."""
        return self._by_node.keys()

    def stopping(self, task_ids: Iterable[str]) -> None:
        """Hears that these are being cancelled."""
        self._stopping.update(each for each in task_ids if each in self.lives)

    def not_stopped(self, task_ids: Iterable[str]) -> None:
        """Hears that these could not be cancelled."""
        self._stopping.difference_update(task_ids)

    def followed(self, task_id: str) -> Ended | None:
        """Forgets an instance that ended; None: there was none."""
        over = self.over.pop(task_id, None)
        if over is None:
            return None
        self._rest = None
        return over.ended

    def reported(self) -> None:
        """Hears that a node has told something new, or is forgotten."""
        self._rest = None

    def remnants(self, node: KnownNode) -> list[Remnant]:
        """Returns what a node still has of tasks that have ended."""
        lives, over = self.lives, self.over
        # Not by sets: to take all that there is from what one node has takes time for all of it.
        left = [task_id for task_id in node.reports if task_id not in lives and task_id not in over]
        return [node.remnant(task_id) for task_id in sorted(left)]

    def rest(self, nodes: Iterable[KnownNode]) -> Rest:
        """Returns what is left of tasks that have ended; `nodes` are all."""
        if self._rest is None:
            self._rest = Rest({}, {})
            for over in self.over.values():
                self._rest.ends.setdefault(over.ended.instance.service, []).append(over.ended)
            for node in nodes:
                for each in self.remnants(node):
                    self._rest.remnants.setdefault(each.service, []).append((node, each))
        return self._rest

    def seen(self, nodes: Iterable[KnownNode], *, settled: bool) -> Seen:
        """Returns all that there is, for the reconciler."""
        known = list(nodes)
        remnants = [(node, each) for node in known for each in self.remnants(node)]
        took: list[tuple[str, tuple[int, ...], tuple[float, int]]] = [
            *((each.task_id, each.host_ports, each.room) for each in self.lives.values()),
            *((task_id, it.host_ports, it.room) for task_id, it in self.over.items()),
        ]
        for node, it in remnants:
            took.append((it.task_id, node.ports_of(it.task_id), node.room_of(it.task_id)))
        return Seen(
            instances=tuple(live.model() for live in self.lives.values()),
            ended=tuple(over.ended for over in self.over.values()),
            remnants=tuple(each for _, each in remnants),
            nodes=tuple(node.model() for node in known),
            host_ports={task_id: ports for task_id, ports, _ in took if ports},
            room={task_id: room for task_id, _, room in took if any(room)},
            settled=settled,
        )
