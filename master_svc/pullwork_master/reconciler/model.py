"""What the reconciler knows and says. Plain data, no behaviour to speak of.

An instance is a task in the queue of its node. So what there is stands in the tasks, what is
wanted in the services, and nothing is written down twice: an instance without a place is the
difference between the two, and one that waits for its next start is a task with a delay.

Times are the wall clock's, in milliseconds, since they outlive the process; those of nodes
too, so that one clock rules all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

from pullwork_master.core import model

NODE_PREFIX: Final = model.NODE_PREFIX


class Runner(StrEnum):
    """What runs an instance; a type of task, too."""

    CONTAINER = "container"
    PROCESS = "process"

    @property
    def task_type(self) -> str:
        """The type of the tasks that are such instances."""
        return f"pullwork.{self.value}"


class Restart(NamedTuple):
    """How soon an instance that ended starts again."""

    initial_ms: int = 1_000
    max_ms: int = 60_000
    reset_ms: int = 60_000


class Update(NamedTuple):
    """How a change reaches the instances."""

    max_surge: int = 1
    max_unavailable: int = 0
    healthy_ms: int = 2_000
    deadline_ms: int = 120_000
    # False: a failed update is left as it is.
    returns: bool = True


RESTART: Final = Restart()
UPDATE: Final = Update()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What placement and restarts need of a version of a service.

    `template` is all that its instances are made of, as bytes (an InstanceSpec's `spec`): two
    that are equal need no new instances.
    """

    instances: int
    runner: Runner
    template: bytes
    cpus: float = 0.0
    memory_bytes: int = 0
    host_ports: tuple[int, ...] = ()
    restart: Restart = RESTART
    constraints: tuple[tuple[str, str], ...] = ()
    spread_by: str = ""
    max_per_node: int = 0
    # None: they are never replaced.
    replace_after_ms: int | None = 30_000
    update: Update = UPDATE


class Rolling(IntEnum):
    """How far the last change came; the numbers are the contract's."""

    ROLLING = 1
    DONE = 2
    RETURNING = 3
    RETURNED = 4
    PAUSED = 5


class Rollout(NamedTuple):
    """How far the last change came."""

    state: Rolling
    started_ms: int
    version: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """What is wanted: on disk."""

    name: str
    revision: int
    # The revision at which the template changed last.
    version: int
    wanted: Wanted
    rollout: Rollout
    # The last version whose instances were all well, and its template; 0: none was yet.
    good_version: int = 0
    good: Wanted | None = None


class Phase(IntEnum):
    """Where an instance is, as its node says; the numbers are the contract's."""

    PENDING = 1
    PULLING = 2
    STARTING = 3
    HEALTHY = 4
    UNHEALTHY = 5
    STOPPING = 6
    FAILED = 7


class Exit(NamedTuple):
    """How an instance ended."""

    reason: str
    code: int | None
    ended_ms: int
    log: str = ""
    # When its program had been started; 0: it did not run.
    started_ms: int = 0


@dataclass(frozen=True, slots=True)
class Instance:
    """A task that has not ended: an instance that is, or that is to start on its node."""

    task_id: str
    id: str
    service: str
    version: int
    node: str
    # As the node reported last; PENDING: it has not begun with it; FAILED: it waits for
    # `not_before_ms` after an exit.
    phase: Phase
    created_ms: int
    # Since when it has been HEALTHY without a break; 0: it is not.
    healthy_ms: int = 0
    not_before_ms: int = 0
    restarts: int = 0
    quick_restarts: int = 0
    last_exit: Exit | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A task of an instance that ended by itself: it is to be followed, or forgotten.

    It is seen until a plan says that it is done: one that finds no place waits so.
    """

    instance: Instance
    exit: Exit


@dataclass(frozen=True, slots=True)
class Remnant:
    """What a node still has of a task that has ended: it takes room and ports until it is gone."""

    task_id: str
    id: str
    service: str
    # It may be gone: then this is as it reported last.
    node: str


@dataclass(frozen=True, slots=True)
class Node:
    """A worker that instances can be placed on."""

    name: str
    runners: frozenset[Runner]
    labels: tuple[tuple[str, str], ...] = ()
    # Shares in use, 0 to 1, smoothed.
    cpu: float = 0.0
    memory: float = 0.0
    # What instances may take in all; 0: not known, no bound.
    cpus: float = 0.0
    memory_bytes: int = 0
    instances_max: int = 100
    draining: bool = False
    # Since when it can't be reached; 0: it can. One that has not reported since it registered
    # can't, since nobody knows what it has; one that was not heard since the master started is
    # gone since that.
    gone_since_ms: int = 0
    # Since when it can be reached.
    joined_ms: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is."""

    instances: tuple[Instance, ...] = ()
    ended: tuple[Ended, ...] = ()
    remnants: tuple[Remnant, ...] = ()
    nodes: tuple[Node, ...] = ()
    # By task: the ports of its node, and the room, that an instance, an ended one or a remnant
    # takes, whatever its service wants by now. What takes none may be left out.
    host_ports: dict[str, tuple[int, ...]] = field(default_factory=dict)
    room: dict[str, tuple[float, int]] = field(default_factory=dict)
    # False: some nodes have not reported since the master started and are not given up yet, so
    # that nobody knows how what they run is.
    settled: bool = True


# --- what to do -------------------------------------------------------------------------


class Start(NamedTuple):
    """Submit a task for an instance."""

    id: str
    service: str
    version: int
    node: str
    template: bytes
    runner: Runner
    not_before_ms: int = 0
    restarts: int = 0
    quick_restarts: int = 0
    last_exit: Exit | None = None


class Stop(NamedTuple):
    """Cancel an instance's task; its node stops and removes it."""

    task_id: str
    reason: str


class Roll(NamedTuple):
    """Store how far a service's change came.

    With `back`, `good_version` and what its instances were made of are wanted again: it becomes
    the service's `version`; numbers and policies stay as they are.
    """

    service: str
    # The service's revision at which this was decided: at another it is void.
    revision: int
    rollout: Rollout
    # The wanted version was well: it is the good one from now on.
    good: bool = False
    back: bool = False


class Lack(NamedTuple):
    """So many instances of a service have no place, and why, in one sentence.

    None are missing: a step of an update, or one that is to leave its node, waits for a place.
    """

    service: str
    missing: int
    reason: str


@dataclass(slots=True)
class Plan:
    """What to do now, in this order: stops, starts, rolls."""

    stops: list[Stop] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    rolls: list[Roll] = field(default_factory=list)
    lacks: list[Lack] = field(default_factory=list)
    # Ended tasks that need no more thought: followed by a start, or not wanted any more.
    done: list[str] = field(default_factory=list)
    # When to look again though nothing happened, in wall clock; 0: no such moment.
    next_ms: int = 0
