"""Between a service's record on the disk, its spec, and what the reconciler knows of it.

A spec has every default filled in. A row's record is a message of its own format, so that rows
of today can be read for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.v1 import service_pb2 as pb
from pullwork_master.core.model import ServiceRow
from pullwork_master.reconciler.model import (
    Restart,
    Rolling,
    Rollout,
    Runner,
    Service,
    Update,
    Wanted,
)
from pullwork_master.storage.base import StorageError
from pullwork_master.stored.service_record_pb2 import ServiceRecord

# What instances are made of; the rest of a spec says how many there are, where and when.
_TEMPLATE: Final = (
    "image",
    "command",
    "ports",
    "env",
    "resources",
    "health",
    "stop_grace",
    "stop_delay",
    "labels",
)


def wanted(spec: pb.ServiceSpec) -> Wanted:
    """Reads a spec that was filled in."""
    return Wanted(
        instances=spec.instances,
        runner=Runner.CONTAINER if spec.image else Runner.PROCESS,
        template=template(spec).SerializeToString(deterministic=True),
        cpus=spec.resources.cpus,
        memory_bytes=spec.resources.memory_bytes,
        host_ports=host_ports(spec),
        restart=Restart(
            spec.restart.initial_backoff.ToMilliseconds(),
            spec.restart.max_backoff.ToMilliseconds(),
            spec.restart.reset_after.ToMilliseconds(),
        ),
        constraints=tuple(sorted(spec.placement.constraints.items())),
        spread_by=spec.placement.spread_by,
        max_per_node=spec.placement.max_per_node,
        replace_after_ms=(
            None if spec.disconnect.wait else spec.disconnect.replace_after.ToMilliseconds()
        ),
        update=Update(
            spec.update.max_surge,
            spec.update.max_unavailable,
            spec.update.healthy_for.ToMilliseconds(),
            spec.update.deadline.ToMilliseconds(),
            returns=spec.update.on_failure != pb.UPDATE_FAILURE_ACTION_PAUSE,
        ),
    )


def template(spec: pb.ServiceSpec) -> pb.ServiceSpec:
    """Returns what the instances of a spec are made of, and no more."""
    made = pb.ServiceSpec()
    made.CopyFrom(spec)
    for field, _ in spec.ListFields():
        if field.name not in _TEMPLATE:
            made.ClearField(field.name)  # type: ignore[arg-type]
    return made


def host_ports(spec: pb.ServiceSpec) -> tuple[int, ...]:
    """Returns the ports of its node that each instance of a spec takes."""
    taken = (port.host_port or (0 if spec.image else port.port) for port in spec.ports)
    return tuple(sorted(filter(None, taken)))


@dataclass(frozen=True, slots=True)
class Kept:
    """A service as it is kept: its row, what its record says, and what that means."""

    row: ServiceRow
    record: ServiceRecord
    service: Service

    @property
    def spec(self) -> pb.ServiceSpec:
        """What is wanted."""
        return self.record.spec


def read(row: ServiceRow) -> Kept:
    """Reads a row. Errors: StorageError."""
    try:
        record = ServiceRecord.FromString(row.record)
    except DecodeError as error:
        raise StorageError(
            f"what is wanted of service {row.name!r} can't be read ({error}); restore a backup "
            "with `pullwork restore`"
        ) from error
    told = record.rollout
    rollout = Rollout(
        Rolling(told.state),
        milliseconds(told.started_at),
        told.version or row.version,
        told.reason,
    )
    service = Service(
        name=row.name,
        revision=row.revision,
        version=row.version,
        wanted=wanted(record.spec),
        rollout=rollout,
        good_version=record.good_version,
        good=wanted(record.good_spec) if record.good_version else None,
    )
    return Kept(row, record, service)


def first(spec: pb.ServiceSpec, now_ms: int) -> bytes:
    """Makes the record of a service that is to be."""
    record = ServiceRecord(spec=spec)
    _roll(record, Rollout(Rolling.ROLLING, now_ms, 0))
    return record.SerializeToString(deterministic=True)


def changed(kept: Kept, spec: pb.ServiceSpec, now_ms: int) -> tuple[bytes, int]:
    """Makes the record of a service of which something else is wanted, and its version.

    If its instances are to be made of something else, a rollout begins. The version is 0 if that
    is new: what was last well, and is wanted again, has its version.
    """
    record = ServiceRecord()
    record.CopyFrom(kept.record)
    record.spec.CopyFrom(spec)
    version = kept.row.version
    if replaces(kept.spec, spec):
        known = record.good_version and not replaces(record.good_spec, spec)
        version = record.good_version if known else 0
        _roll(record, Rollout(Rolling.ROLLING, now_ms, version))
    return record.SerializeToString(deterministic=True), version


def replaces(before: pb.ServiceSpec, after: pb.ServiceSpec) -> bool:
    """Whether the instances of one spec don't do for another."""
    return template(before) != template(after)


def rolled(kept: Kept, rollout: Rollout, *, good: bool, back: bool) -> tuple[bytes, int]:
    """Makes the record of a service whose rollout went on, and the version that it is at.

    `good`: what is wanted was well. `back`: its instances are to be what they were when they were
    last well; how many and where is as it is wanted now.
    """
    record = ServiceRecord()
    record.CopyFrom(kept.record)
    version = kept.row.version
    if good:
        record.good_version = version
        record.good_spec.CopyFrom(record.spec)
    if back and record.good_version:
        version = record.good_version
        for name in _TEMPLATE:
            record.spec.ClearField(name)
        record.spec.MergeFrom(template(record.good_spec))
    _roll(record, rollout)
    return record.SerializeToString(deterministic=True), version


def _roll(record: ServiceRecord, rollout: Rollout) -> None:
    record.rollout.CopyFrom(
        pb.Rollout(
            state=int(rollout.state),  # type: ignore[arg-type]
            reason=rollout.reason,
            started_at=moment(rollout.started_ms),
            version=rollout.version,
        )
    )


def moment(ms: int) -> Timestamp:
    """Makes a timestamp of milliseconds since 1970."""
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def milliseconds(moment: Timestamp) -> int:
    """Returns the milliseconds since 1970 of a timestamp; 0: it is absent."""
    return moment.seconds * 1000 + moment.nanos // 1_000_000
