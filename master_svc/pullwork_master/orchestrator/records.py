"""From a service's spec, every default filled in, to what the reconciler knows of it."""

from __future__ import annotations

from typing import Final

from pullwork.v1 import service_pb2 as pb
from pullwork_master.reconciler.model import Restart, Runner, Update, Wanted

# What instances are made of; the rest of a spec says how many there are, where and when.
_TEMPLATE: Final = (
    "image",
    "command",
    "ports",
    "env",
    "resources",
    "health",
    "stop_grace",
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
        host_ports=_host_ports(spec),
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


def _host_ports(spec: pb.ServiceSpec) -> tuple[int, ...]:
    """Returns the ports of its node that each instance takes."""
    taken = (port.host_port or (0 if spec.image else port.port) for port in spec.ports)
    return tuple(sorted(filter(None, taken)))
