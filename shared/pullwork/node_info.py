"""The nodes of a cluster as people see them: workers, members, and changes of the registry."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pullwork.moments import moment, seconds
from pullwork.v1 import registry_service_pb2, worker_pb2


class WorkerState(enum.StrEnum):
    """Where a worker's session is in its life."""

    CONNECTED = "CONNECTED"
    SUSPECT = "SUSPECT"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"  # a newer master knows more than this client


class MemberRole(enum.StrEnum):
    """What a member does for the cluster."""

    MASTER = "MASTER"
    WORKER = "WORKER"
    UNKNOWN = "UNKNOWN"


class Change(enum.StrEnum):
    """What happened in the registry."""

    SNAPSHOT = "SNAPSHOT"
    JOINED = "JOINED"
    LEFT = "LEFT"


_STATES: Final = {
    number: WorkerState(name.removeprefix("WORKER_STATE_"))
    for name, number in worker_pb2.WorkerState.items()
    if number
}
_ROLES: Final = {
    number: MemberRole(name.removeprefix("MEMBER_ROLE_"))
    for name, number in worker_pb2.MemberRole.items()
    if number
}


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One session of a worker as the master sees it.

    `cpu` and `memory` are busy shares of the node, 0 to 1, as it last measured them; `held` counts
    leases; `silent_s` is how long nothing was heard of it; `parked` says that it waits for work.
    """

    session_id: str
    name: str
    boot_id: str
    queues: tuple[str, ...]
    task_types: tuple[str, ...]
    slots: int
    look_ahead_max: int
    labels: Mapping[str, str]
    version: str
    state: WorkerState
    draining: bool
    held: int
    slots_busy: int
    cpu: float
    memory: float
    registered_at: datetime.datetime | None
    silent_s: float
    listening: bool
    parked: bool

    @classmethod
    def from_proto(cls, worker: worker_pb2.Worker) -> WorkerInfo:
        """Reads what the master told."""
        return cls(
            session_id=worker.session_id,
            name=worker.name,
            boot_id=worker.boot_id,
            queues=tuple(worker.queues),
            task_types=tuple(worker.task_types),
            slots=worker.slots,
            look_ahead_max=worker.look_ahead_max,
            labels=MappingProxyType(dict(worker.labels)),
            version=worker.version,
            state=_STATES.get(worker.state, WorkerState.UNKNOWN),
            draining=worker.draining,
            held=worker.held,
            slots_busy=worker.load.slots_busy,
            cpu=worker.load.cpu,
            memory=worker.load.memory,
            registered_at=moment(worker, "registered_at"),
            silent_s=seconds(worker, "silent_for") or 0.0,
            listening=worker.listening,
            parked=worker.parked,
        )


def worker_state_number(state: WorkerState | None) -> worker_pb2.WorkerState.ValueType:
    """Returns the contract's number of a state; None is any."""
    name = "UNSPECIFIED" if state is None else state
    return worker_pb2.WorkerState.Value(f"WORKER_STATE_{name}")


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A node of the cluster; workers only dial out, so their `address` is empty."""

    id: str
    name: str
    role: MemberRole
    address: str
    task_types: tuple[str, ...]
    version: str
    joined_at: datetime.datetime | None

    @classmethod
    def from_proto(cls, member: worker_pb2.Member) -> MemberInfo:
        """Reads what the master told."""
        return cls(
            id=member.id,
            name=member.name,
            role=_ROLES.get(member.role, MemberRole.UNKNOWN),
            address=member.address,
            task_types=tuple(member.task_types),
            version=member.version,
            joined_at=moment(member, "joined_at"),
        )


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """The whole registry (SNAPSHOT: forget what was told before), or the one member concerned."""

    change: Change
    members: tuple[MemberInfo, ...]

    @classmethod
    def from_proto(cls, event: registry_service_pb2.WatchRegistryResponse) -> RegistryChange:
        """Reads what the master told."""
        which = event.WhichOneof("event")
        if which == "joined":
            return cls(Change.JOINED, (MemberInfo.from_proto(event.joined),))
        if which == "left":
            return cls(Change.LEFT, (MemberInfo.from_proto(event.left),))
        return cls(Change.SNAPSHOT, tuple(map(MemberInfo.from_proto, event.snapshot.members)))
