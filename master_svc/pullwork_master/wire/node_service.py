"""NodeService: what nodes call about the instances that they have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from math import isfinite
from typing import Any, Final

import grpc.aio

from pullwork.v1 import node_service_pb2 as pb
from pullwork.v1 import node_service_pb2_grpc
from pullwork_master.engine import Engine
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.reconciler.model import Phase, Runner
from pullwork_master.wire import fields
from pullwork_master.wire.log_relay import LogRelay
from pullwork_master.wire.service_parts import CPUS_MAX, MEMORY_MAX, PORT_MAX, PORTS_MAX

Context = grpc.aio.ServicerContext[Any, Any]

INSTANCES_MAX: Final = 10_000  # as many as a node may have slots
ID_CHARS_MAX: Final = 64  # a service's name, and a number
HOST_CHARS_MAX: Final = 255
# Sentences of a node are cut, not refused: what else it tells must be known.
SENTENCE_CHARS_MAX: Final = 400
_NODE_CPUS_MAX: Final = 16 * CPUS_MAX
_STATES: Final[frozenset[int]] = frozenset(
    {Phase.PULLING, Phase.STARTING, Phase.HEALTHY, Phase.UNHEALTHY, Phase.STOPPING}
)


class NodeService(node_service_pb2_grpc.NodeServiceServicer):
    """Translates between nodes and the orchestrator."""

    def __init__(self, engine: Engine, orchestrator: Orchestrator, relay: LogRelay) -> None:
        self._engine = engine
        self._orchestrator = orchestrator
        self._relay = relay

    async def ReportInstances(
        self, request: pb.ReportInstancesRequest, context: Context
    ) -> pb.ReportInstancesResponse:
        """Takes all that a node has, and says what of it is too much."""
        session_id = fields.text(request.session_id, "session_id", 128, required=True)
        facts = _check(request)
        unwanted = self._orchestrator.report(session_id, request.instances, facts)
        return pb.ReportInstancesResponse(unwanted_task_ids=unwanted)

    async def SendLogs(
        self, messages: AsyncIterator[pb.SendLogsRequest], context: Context
    ) -> pb.SendLogsResponse:
        """Takes the lines that somebody reads."""
        first = await anext(aiter(messages), None) or pb.SendLogsRequest()
        self._check_session(first.session_id)
        fields.text(first.log_id, "log_id", ID_CHARS_MAX, required=True)
        await self._relay.bring(first, aiter(messages))
        return pb.SendLogsResponse()

    def _check_session(self, session_id: str) -> None:
        fields.text(session_id, "session_id", 128, required=True)
        core = self._engine.core
        session = core.book.sessions.get(session_id)
        if session is None or session.ghost:
            raise core.sessions.lost(session_id)


def _check(request: pb.ReportInstancesRequest) -> Facts:
    """Refuses what is no report, puts its ids and sentences into their form, and returns the rest.

    Errors: INVALID_FIELD.
    """
    fields.count(len(request.instances), "instances", 0, INSTANCES_MAX)
    known: set[str] = set()
    for index, each in enumerate(request.instances):
        place = f"instances[{index}]"
        each.task_id = fields.task_id(each.task_id, f"{place}.task_id")
        if each.task_id in known:
            fields.refuse(f"{place}.task_id", "stands twice in the report; tell each task once")
        known.add(each.task_id)
        _check_instance(each, place)
    runners = [runner.value for runner in Runner]
    for index, runner in enumerate(request.runners):
        if runner not in runners:
            fields.refuse(
                f"runners[{index}]", f"is {runner[:80]!r}; there are {', '.join(runners)}"
            )
    if not (isfinite(request.cpus) and 0 <= request.cpus <= _NODE_CPUS_MAX):
        fields.refuse("cpus", f"is {request.cpus:g}; it must be from 0 to {_NODE_CPUS_MAX:g}")
    fields.number(request.memory_bytes, "memory_bytes", 0, MEMORY_MAX)
    return Facts(
        runners=frozenset(map(Runner, request.runners)),
        problem=request.problem[:SENTENCE_CHARS_MAX],
        cpus=request.cpus,
        memory_bytes=request.memory_bytes,
    )


def _check_instance(each: pb.InstanceReport, place: str) -> None:
    fields.text(each.instance_id, f"{place}.instance_id", ID_CHARS_MAX, required=True)
    if int(each.state) not in _STATES:
        names = ", ".join(Phase(state).name for state in sorted(_STATES))
        fields.refuse(f"{place}.state", f"is {each.state}; of a node's instance it is {names}")
    fields.count(len(each.addresses), f"{place}.addresses", 0, PORTS_MAX)
    for nth, address in enumerate(each.addresses):
        at = f"{place}.addresses[{nth}]"
        fields.text(address.name, f"{at}.name", ID_CHARS_MAX)
        fields.text(address.host, f"{at}.host", HOST_CHARS_MAX, required=True)
        fields.number(address.port, f"{at}.port", 1, PORT_MAX)
    if each.HasField("started_at"):
        fields.moment_ms(each.started_at, f"{place}.started_at")
    each.reason = each.reason[:SENTENCE_CHARS_MAX]
