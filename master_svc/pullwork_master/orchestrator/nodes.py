"""One node, as its session, its heartbeats and its reports tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pullwork.v1 import node_service_pb2
from pullwork_master.core.model import Load, Now, Session
from pullwork_master.reconciler.model import Node, Remnant, Runner

# How much of what is remembered of a node's load each new heartbeat takes the place of: what
# counts is about the last five of them.
_NEW_SHARE: Final = 0.3
# A node that can't be reached, though a moment ago somebody answered there, is most often a worker
# that is started again, and what it ran goes on: for so long callers are still led to that.
LINGER_MS: Final = 10_000


class Former(NamedTuple):
    """What is remembered of a task that has ended while its node still has something of it."""

    service: str
    host_ports: tuple[int, ...]
    room: tuple[float, int]


class Facts(NamedTuple):
    """What a report says of the node itself."""

    runners: frozenset[Runner] = frozenset()
    problem: str = ""
    cpus: float = 0.0
    memory_bytes: int = 0


NO_FACTS: Final = Facts()


@dataclass(slots=True, eq=False)
class KnownNode:
    """A node that can be reached, or whose instances stand though it can't."""

    name: str
    # None: it has none.
    session: Session | None = None
    # Since when it can't be reached; 0: it can. While it has not reported in its session it can't,
    # since nobody knows what it has.
    gone_since_ms: int = 0
    # Until when callers are led to what it has though it can't be reached, on the steady clock; 0:
    # they are not.
    lingers_until_ms: int = 0
    joined_ms: int = 0
    # Of its last session, and of the last report.
    instances_max: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    offers: frozenset[Runner] = frozenset()
    facts: Facts = NO_FACTS
    cpu: float = 0.0
    memory: float = 0.0
    draining: bool = False
    # All that it had when it reported last, by task.
    reports: dict[str, node_service_pb2.InstanceReport] = field(default_factory=dict)
    # Of those, the tasks that have ended since.
    formers: dict[str, Former] = field(default_factory=dict)
    # What its last heartbeat brought, and whether one ever came.
    _load: Load | None = None
    _measured: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it can't be reached."""
        return self.gone_since_ms != 0

    @property
    def lingers(self) -> bool:
        """Whether callers are led to what it has though it can't be reached."""
        return self.lingers_until_ms != 0

    def join(self, session: Session, now: Now) -> None:
        """Takes note of a new session."""
        self.session = session
        self._lose(now, silent=False)
        self.instances_max = session.slots
        self.labels = session.labels
        self.offers = frozenset(each for each in Runner if each.task_type in session.types)
        self._load = session.load
        self.look()

    def back(self, now_ms: int) -> None:
        """Takes note of the first report of its session."""
        self.gone_since_ms = self.lingers_until_ms = 0
        self.joined_ms = now_ms

    def leave(self, now: Now, *, silent: bool) -> None:
        """Takes note that its session is over; `silent`: nobody has answered there for long."""
        self.session = None
        self._lose(now, silent=silent)

    def _lose(self, now: Now, *, silent: bool) -> None:
        # One that was away already gets no more time by coming and going without a report.
        if not self.is_gone:
            self.gone_since_ms = now.wall_ms
            self.lingers_until_ms = 0 if silent else now.mono_ms + LINGER_MS

    def lingered(self, now: Now) -> bool:
        """Takes note of the time; returns whether callers were led there until now."""
        if not self.lingers or now.mono_ms < self.lingers_until_ms:
            return False
        self.lingers_until_ms = 0
        return True

    def look(self) -> bool:
        """Takes in what heartbeats changed; returns whether it begins to drain, or ceases to."""
        session = self.session
        if session is None:
            return False
        load = session.load
        if load is not self._load:
            share = _NEW_SHARE if self._measured else 1.0
            self.cpu += share * (load.cpu - self.cpu)
            self.memory += share * (load.memory - self.memory)
            self._load, self._measured = load, True
        changed = self.draining != session.draining
        self.draining = session.draining
        return changed

    def model(self) -> Node:
        """Returns what the reconciler knows of it."""
        return Node(
            name=self.name,
            runners=self.facts.runners & self.offers,
            labels=self.labels,
            cpu=self.cpu,
            memory=self.memory,
            cpus=self.facts.cpus,
            memory_bytes=self.facts.memory_bytes,
            instances_max=self.instances_max,
            draining=self.draining,
            gone_since_ms=self.gone_since_ms,
            joined_ms=self.joined_ms,
        )

    def remnant(self, task_id: str) -> Remnant:
        """Returns what it still has of a task that has ended."""
        report, former = self.reports[task_id], self.formers.get(task_id)
        service = former.service if former else service_of(report.instance_id)
        return Remnant(task_id, report.instance_id, service, self.name)

    def ports_of(self, task_id: str) -> tuple[int, ...]:
        """Returns the ports that a remnant takes, as far as is known."""
        former = self.formers.get(task_id)
        if former is not None:
            return former.host_ports
        return tuple(address.port for address in self.reports[task_id].addresses)

    def room_of(self, task_id: str) -> tuple[float, int]:
        """Returns the cores and the memory that a remnant takes, as far as is known."""
        former = self.formers.get(task_id)
        return (0.0, 0) if former is None else former.room


def service_of(instance_id: str) -> str:
    """Returns whose an instance is, by its id."""
    return instance_id.rpartition("-")[0]
