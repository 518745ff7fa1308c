"""OrchestratorService: what anybody calls about services, their instances and the nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import count
from typing import Any, Final

import grpc.aio

from pullwork.v1 import orchestrator_service_pb2 as pb
from pullwork.v1 import orchestrator_service_pb2_grpc, service_pb2
from pullwork_master.core.limits import NAME_CHARS_MAX
from pullwork_master.orchestrator import showing
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.wire import fields, pages, service_specs
from pullwork_master.wire.log_relay import LogRelay
from pullwork_master.wire.service_logs import TAIL_DEFAULT, TAIL_MAX, Asked, Reading
from pullwork_master.wire.service_watch import ServiceWatches

Context = grpc.aio.ServicerContext[Any, Any]

REVISION_MAX: Final = 2**63 - 1


class OrchestratorService(orchestrator_service_pb2_grpc.OrchestratorServiceServicer):
    """Translates between clients and the orchestrator."""

    def __init__(
        self, orchestrator: Orchestrator, relay: LogRelay, watches: ServiceWatches
    ) -> None:
        self._orchestrator = orchestrator
        self._relay = relay
        self._watches = watches

    async def CreateService(
        self, request: pb.CreateServiceRequest, context: Context
    ) -> pb.CreateServiceResponse:
        """Makes a service."""
        name = service_specs.new_name(request.name, "name")
        if not request.HasField("spec"):
            fields.refuse("spec", "is required: what to keep running")
        spec = service_specs.filled(request.spec)
        made = await self._orchestrator.create(name, spec, dry_run=request.dry_run)
        return pb.CreateServiceResponse(service=made)

    async def GetService(
        self, request: pb.GetServiceRequest, context: Context
    ) -> pb.GetServiceResponse:
        """Shows one service."""
        name = service_specs.name(request.name, "name")
        return pb.GetServiceResponse(service=self._orchestrator.get(name))

    async def ListServices(
        self, request: pb.ListServicesRequest, context: Context
    ) -> pb.ListServicesResponse:
        """Shows a page of services, by name."""
        size = pages.size(request.page_size)
        after = pages.place(request.page_token, "ListServices")
        found = [each for each in self._orchestrator.services() if each.name > after]
        shown = pages.fit(found[:size])
        token = pages.token(shown[-1].name, "ListServices") if len(shown) < len(found) else ""
        return pb.ListServicesResponse(services=shown, next_page_token=token)

    async def ScaleService(
        self, request: pb.ScaleServiceRequest, context: Context
    ) -> pb.ScaleServiceResponse:
        """Changes how many instances a service has."""
        name = service_specs.name(request.name, "name")
        if not request.HasField("instances"):
            fields.refuse("instances", "is required; 0 keeps the service without any")
        instances = service_specs.instances(request.instances, "instances")
        return pb.ScaleServiceResponse(service=await self._orchestrator.scale(name, instances))

    async def UpdateService(
        self, request: pb.UpdateServiceRequest, context: Context
    ) -> pb.UpdateServiceResponse:
        """Changes what is wanted."""
        name = service_specs.name(request.name, "name")
        if not request.HasField("spec"):
            fields.refuse("spec", "is required: what to change")
        expected = fields.number(request.expected_revision, "expected_revision", 0, REVISION_MAX)

        def changed(current: service_pb2.ServiceSpec) -> service_pb2.ServiceSpec:
            before = service_pb2.ServiceSpec() if request.replace else current
            return service_specs.filled(service_specs.merged(before, request.spec))

        done = await self._orchestrator.update(
            name, changed, expected_revision=expected, dry_run=request.dry_run
        )
        return pb.UpdateServiceResponse(
            service=done.service, changed=done.changed, replaces_instances=done.replaces_instances
        )

    async def DeleteService(
        self, request: pb.DeleteServiceRequest, context: Context
    ) -> pb.DeleteServiceResponse:
        """Ends a service."""
        name = service_specs.name(request.name, "name")
        return pb.DeleteServiceResponse(service=await self._orchestrator.delete(name))

    async def ListInstances(
        self, request: pb.ListInstancesRequest, context: Context
    ) -> pb.ListInstancesResponse:
        """Shows a page of instances."""
        service = service_specs.name(request.service, "service") if request.service else ""
        node = fields.text(request.node, "node", NAME_CHARS_MAX)
        states = frozenset(request.states)
        for index, state in enumerate(request.states):
            if state not in _STATES:
                fields.refuse(f"states[{index}]", f"is {state}, which is no state of an instance")
        query = (service, node, tuple(sorted(states)))
        size = pages.size(request.page_size)
        after = _read_place(pages.place(request.page_token, "ListInstances", query))
        found = [
            (place, each)
            for place, each in _placed(self._orchestrator.instances(service))
            if place > after
            and (not node or each.node == node)
            and (not states or each.state in states)
        ]
        shown = pages.fit(each for _, each in found[:size])
        token = ""
        if len(shown) < len(found):
            token = pages.token(_write_place(found[len(shown) - 1][0]), "ListInstances", query)
        return pb.ListInstancesResponse(instances=shown, next_page_token=token)

    async def WatchServices(
        self, request: pb.WatchServicesRequest, context: Context
    ) -> AsyncIterator[pb.WatchServicesResponse]:
        """Streams services."""
        async with aclosing(self._watches.services()) as stream:
            async for message in stream:
                yield message

    async def WatchInstances(
        self, request: pb.WatchInstancesRequest, context: Context
    ) -> AsyncIterator[pb.WatchInstancesResponse]:
        """Streams instances."""
        service = service_specs.name(request.service, "service") if request.service else ""
        async with aclosing(self._watches.instances(service)) as stream:
            async for message in stream:
                yield message

    async def WatchLogs(
        self, request: pb.WatchLogsRequest, context: Context
    ) -> AsyncIterator[pb.WatchLogsResponse]:
        """Streams what instances write."""
        tail = request.tail_lines if request.HasField("tail_lines") else TAIL_DEFAULT
        asked = Asked(
            service_specs.name(request.service, "service"),
            fields.text(request.instance, "instance", NAME_CHARS_MAX),
            fields.number(tail, "tail_lines", 0, TAIL_MAX),
            request.follow,
        )
        reading = Reading(self._orchestrator.roster, self._relay, asked)
        async with aclosing(reading.messages()) as stream:
            async for message in stream:
                yield message

    async def ListNodes(
        self, request: pb.ListNodesRequest, context: Context
    ) -> pb.ListNodesResponse:
        """Shows a page of nodes, by name."""
        size = pages.size(request.page_size)
        after = pages.place(request.page_token, "ListNodes")
        found = [each for each in self._orchestrator.nodes() if each.name > after]
        shown = pages.fit(found[:size])
        token = pages.token(shown[-1].name, "ListNodes") if len(shown) < len(found) else ""
        return pb.ListNodesResponse(nodes=shown, next_page_token=token)


_STATES: Final = frozenset(service_pb2.InstanceState.values()) - {
    service_pb2.INSTANCE_STATE_UNSPECIFIED
}

# Where an instance stands in lists: those without a place behind all others, in any order; then by
# service, number and task.
_Place = tuple[bool, str, int, str]
_START: Final[_Place] = (False, "", -1, "")


def _placed(
    instances: list[service_pb2.Instance],
) -> list[tuple[_Place, service_pb2.Instance]]:
    """Sorts instances, each with its place."""
    nth = count()
    placed = []
    for each in instances:
        number = showing.number(each.id) if each.id else next(nth)
        placed.append(((not each.id, each.service, number, each.task_id), each))
    return sorted(placed, key=lambda it: it[0])


def _write_place(place: _Place) -> str:
    is_placeless, service, number, task_id = place
    return f"{int(is_placeless)} {service} {number} {task_id}"


def _read_place(written: str) -> _Place:
    if not written:
        return _START
    try:
        is_placeless, service, number, task_id = written.split(" ")
        return bool(int(is_placeless)), service, int(number), task_id
    except ValueError:
        pages.stranger("ListInstances")
