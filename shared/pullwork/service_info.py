"""Services, their instances and their nodes as people see them."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pullwork.packing import unpack
from pullwork.service_spec import CLASSES, ServiceSpec
from pullwork.v1 import orchestrator_service_pb2 as calls
from pullwork.v1 import service_pb2 as pb


class RolloutState(enum.StrEnum):
    """How far the last change of a service came."""

    ROLLING = "ROLLING"
    DONE = "DONE"
    RETURNING = "RETURNING"
    RETURNED = "RETURNED"
    PAUSED = "PAUSED"
    UNKNOWN = "UNKNOWN"  # a newer master knows more than this client

    @property
    def failed(self) -> bool:
        """Whether the change was given up."""
        return self in (self.RETURNING, self.RETURNED, self.PAUSED)


class InstanceState(enum.StrEnum):
    """Where an instance is in its life."""

    PENDING = "PENDING"
    PULLING = "PULLING"
    STARTING = "STARTING"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    STOPPING = "STOPPING"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class ServiceEvent(enum.StrEnum):
    """What a report of services tells."""

    SNAPSHOT = "SNAPSHOT"
    CHANGED = "CHANGED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far the last change came; `reason` is why it failed, `version` what it brings."""

    state: RolloutState
    reason: str
    started_at: datetime.datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service at one moment: what is wanted, with every default, and how far it is so.

    `revision` grows with each change; instances of another `version` are replaced. `running` are
    those that are not STOPPING and have a place; `pending` says why instances are missing.
    """

    name: str
    spec: ServiceSpec
    revision: int
    version: int
    rollout: Rollout
    healthy: int
    running: int
    pending: tuple[str, ...]
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None

    @classmethod
    def from_proto(cls, service: pb.Service) -> ServiceInfo:
        """Reads what the master told."""
        service.spec.SetInParent()
        service.rollout.SetInParent()
        return unpack(service, cls, _INNER)

    @property
    def settled(self) -> bool:
        """Whether it is as it is wanted: the last change has come through, all are HEALTHY."""
        wanted = self.spec.instances or 0
        still = self.rollout.state not in (RolloutState.ROLLING, RolloutState.RETURNING)
        return still and self.healthy == self.running == wanted


@dataclass(frozen=True, slots=True)
class ServiceUpdate:
    """What an update did, or would do; `replaces_instances`: not only numbers and policies."""

    service: ServiceInfo
    changed: bool
    replaces_instances: bool

    @classmethod
    def from_proto(cls, answer: calls.UpdateServiceResponse) -> ServiceUpdate:
        """Reads what the master told."""
        service = ServiceInfo.from_proto(answer.service)
        return cls(service, answer.changed, answer.replaces_instances)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """All services (SNAPSHOT: forget what was told before), or the one that the change is of."""

    event: ServiceEvent
    services: tuple[ServiceInfo, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a port of an instance can be reached."""

    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class InstanceExit:
    """How an instance ended: a sentence, the exit code (None: it did not run), the last lines."""

    reason: str
    code: int | None
    time: datetime.datetime | None
    log: str


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """One instance of a service at one moment.

    `id` and `node` are empty while it has no place. `disconnected`: its node can't be reached, all
    else is as it was told last. `task_id` is the task that it is.
    """

    id: str
    service: str
    node: str
    state: InstanceState
    reason: str
    addresses: tuple[Address, ...]
    restarts: int
    last_exit: InstanceExit | None
    version: int
    task_id: str
    started_at: datetime.datetime | None
    disconnected: bool

    @classmethod
    def from_proto(cls, instance: pb.Instance) -> InstanceInfo:
        """Reads what the master told."""
        return unpack(instance, cls, _INNER)


@dataclass(frozen=True, slots=True)
class InstanceSet:
    """All instances that were asked for; `generation` grows with each change."""

    generation: int
    instances: tuple[InstanceInfo, ...]


@dataclass(frozen=True, slots=True)
class ServiceLogLine:
    """A line that an instance wrote."""

    instance: str
    time: datetime.datetime | None
    text: str
    stderr: bool


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A worker that instances can be placed on, with what placement knows of it.

    `cpu` and `memory` are busy shares, 0 to 1; `problem` is why it can't run what it offers.
    """

    name: str
    session_id: str
    draining: bool
    runners: tuple[str, ...]
    problem: str
    labels: Mapping[str, str]
    cpu: float
    memory: float
    cpus: float
    memory_bytes: int
    instances_max: int
    instances: int
    disconnected_since: datetime.datetime | None

    @classmethod
    def from_proto(cls, node: calls.Node) -> NodeInfo:
        """Reads what the master told."""
        return unpack(node, cls, _INNER)


_INNER: Final[Mapping[str, type]] = {
    **CLASSES,
    "Rollout": Rollout,
    "RolloutState": RolloutState,
    "InstanceState": InstanceState,
    "Address": Address,
    "Exit": InstanceExit,
}
