"""What a simulated world is made of: programs, tasks, containers and machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pullwork_master.reconciler.model import Exit, Instance, Phase, Runner, Start

ALL: Final = frozenset({Runner.CONTAINER, Runner.PROCESS})
GOOD: Final = "good"
# What may be wrong with what somebody wants to run.
BAD: Final = ("crashes", "never well", "refused")


@dataclass(frozen=True, slots=True)
class Program:
    """How what a version is made of behaves, once a node has it."""

    kind: str
    # Until it is well, or ends.
    takes_ms: int
    # The only node that refuses it; empty: none does.
    refused_by: str = ""


@dataclass(slots=True)
class Task:
    """An instance as it stands on disk."""

    task_id: str
    start: Start
    created_ms: int
    ports: tuple[int, ...]
    room: tuple[float, int]
    live: bool = True


@dataclass(slots=True)
class Container:
    """What really runs on a machine."""

    task: Task
    phase: Phase
    began_ms: int
    healthy_ms: int = 0
    exit: Exit | None = None
    # It was told to end, or has ended, and is being removed.
    going: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """How a machine said that a container is."""

    phase: Phase
    healthy_ms: int
    task: Task


@dataclass(slots=True)
class Machine:
    """A node with what really is on it. Containers go on while nobody can reach it."""

    name: str
    labels: tuple[tuple[str, str], ...]
    cpus: float
    memory_bytes: int
    instances_max: int
    joined_ms: int = 0
    # It can reach the master; and the master that is has heard of it.
    linked: bool = True
    heard: bool = True
    gone_since_ms: int = 0
    # Since when the master that is knows what it has.
    known_since_ms: int = 0
    draining: bool = False
    runners: frozenset[Runner] = ALL
    cpu: float = 0.1
    containers: dict[str, Container] = field(default_factory=dict)
    # What the master knows of it while it can't be reached.
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """Whether the master that is can do something with it."""
        return self.linked and self.heard

    def _healthy_ms(self, container: Container) -> int:
        return container.healthy_ms and max(container.healthy_ms, self.known_since_ms)

    def tell(self) -> None:
        """Says all that it has."""
        self.told = {
            task_id: Told(each.phase, self._healthy_ms(each), each.task)
            for task_id, each in self.containers.items()
        }


def instance_of(task: Task, phase: Phase, healthy_ms: int) -> Instance:
    """Returns a task as the reconciler sees it."""
    start = task.start
    return Instance(
        task_id=task.task_id,
        id=start.id,
        service=start.service,
        version=start.version,
        node=start.node,
        phase=phase,
        created_ms=task.created_ms,
        healthy_ms=healthy_ms,
        not_before_ms=start.not_before_ms,
        restarts=start.restarts,
        quick_restarts=start.quick_restarts,
        last_exit=start.last_exit,
    )
