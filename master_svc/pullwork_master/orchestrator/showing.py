"""What people and programs are shown: services, instances and nodes as messages of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pullwork.v1 import node_service_pb2, orchestrator_service_pb2, service_pb2
from pullwork_master.orchestrator.instances import Live
from pullwork_master.orchestrator.nodes import KnownNode
from pullwork_master.orchestrator.records import Kept, moment
from pullwork_master.reconciler.model import Ended, Lack, Phase, Remnant


def instance(live: Live, *, disconnected: bool) -> service_pb2.Instance:
    """Shows an instance as its node reported it last."""
    spec, phase = live.spec, live.phase
    made = service_pb2.Instance(
        id=spec.instance_id,
        service=spec.service,
        node=live.node,
        state=int(phase),  # type: ignore[arg-type]
        restarts=spec.restarts,
        version=spec.version,
        task_id=live.task_id,
        disconnected=disconnected,
        reason=_reason(live, disconnected=disconnected),
    )
    if live.report is not None:
        made.addresses.extend(live.report.addresses)
        if live.report.HasField("started_at"):
            made.started_at.CopyFrom(live.report.started_at)
    if spec.HasField("last_exit"):
        made.last_exit.CopyFrom(spec.last_exit)
    return made


def _reason(live: Live, *, disconnected: bool) -> str:
    if live.phase is Phase.FAILED:
        at = moment(live.not_before_ms).ToJsonString()
        return f"{live.spec.last_exit.reason}; it starts again at {at}"
    if live.report is not None and live.report.reason:
        return live.report.reason
    if live.phase is not Phase.PENDING:
        return ""
    if disconnected:
        return f"node {live.node!r} can't be reached"
    return f"node {live.node!r} has not begun with it"


def ended(each: Ended) -> service_pb2.Instance:
    """Shows an instance that has just ended, and is to be followed."""
    it = each.instance
    made = service_pb2.Instance(
        id=it.id,
        service=it.service,
        node=it.node,
        state=service_pb2.INSTANCE_STATE_FAILED,
        reason=each.exit.reason,
        restarts=it.restarts,
        version=it.version,
        task_id=it.task_id,
        last_exit=service_pb2.Exit(
            reason=each.exit.reason, time=moment(each.exit.ended_ms), log=each.exit.log
        ),
    )
    if each.exit.code is not None:
        made.last_exit.code = each.exit.code
    return made


def remnant(
    each: Remnant, report: node_service_pb2.InstanceReport, *, disconnected: bool
) -> service_pb2.Instance:
    """Shows an instance that its node is to give up."""
    return service_pb2.Instance(
        id=each.id,
        service=each.service,
        node=each.node,
        state=service_pb2.INSTANCE_STATE_STOPPING,
        addresses=report.addresses,
        task_id=each.task_id,
        started_at=report.started_at if report.HasField("started_at") else None,
        disconnected=disconnected,
    )


def placeless(service: str, version: int, lacks: Iterable[Lack]) -> list[service_pb2.Instance]:
    """Shows those that wait for a place."""
    return [
        service_pb2.Instance(
            service=service,
            state=service_pb2.INSTANCE_STATE_PENDING,
            reason=lack.reason,
            version=version,
        )
        for lack in lacks
        for _ in range(lack.missing)
    ]


def counted(lives: Iterable[service_pb2.Instance]) -> tuple[int, int]:
    """Returns how many of those that have a task are healthy, and how many run."""
    healthy = running = 0
    for each in lives:
        running += each.state != service_pb2.INSTANCE_STATE_STOPPING
        healthy += each.state == service_pb2.INSTANCE_STATE_HEALTHY and not each.disconnected
    return healthy, running


def service(
    kept: Kept, lives: Iterable[service_pb2.Instance], lacks: Iterable[Lack]
) -> service_pb2.Service:
    """Shows a service, and how far it is as it is wanted."""
    healthy, running = counted(lives)
    rollout = kept.service.rollout
    row = kept.row
    return service_pb2.Service(
        name=row.name,
        spec=kept.spec,
        revision=row.revision,
        version=row.version,
        rollout=service_pb2.Rollout(
            state=int(rollout.state),  # type: ignore[arg-type]
            reason=rollout.reason,
            started_at=moment(rollout.started_ms),
            version=rollout.version,
        ),
        healthy=healthy,
        running=running,
        pending=[lack.reason for lack in lacks],
        created_at=moment(row.created_ms),
        updated_at=moment(row.updated_ms),
    )


def node(known: KnownNode, instances: int) -> orchestrator_service_pb2.Node:
    """Shows a node with what placement knows of it."""
    made = orchestrator_service_pb2.Node(
        name=known.name,
        session_id="" if known.session is None else known.session.id,
        draining=known.draining,
        runners=sorted(runner.value for runner in known.facts.runners & known.offers),
        problem=known.facts.problem,
        labels=dict(known.labels),
        cpu=known.cpu,
        memory=known.memory,
        cpus=known.facts.cpus,
        memory_bytes=known.facts.memory_bytes,
        instances_max=known.instances_max,
        instances=instances,
    )
    if known.gone_since_ms:
        made.disconnected_since.CopyFrom(moment(known.gone_since_ms))
    return made


def number(id: str) -> int:
    """Returns the number in an instance's id."""
    tail = id.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 0


def by_number(instances: Sequence[service_pb2.Instance]) -> list[service_pb2.Instance]:
    """Sorts instances by service and number; those without a place come last."""
    return sorted(
        instances, key=lambda each: (not each.id, each.service, number(each.id), each.task_id)
    )
