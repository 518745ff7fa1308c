"""What a client can ask and do about services, their instances and their nodes."""

from __future__ import annotations

import asyncio
import builtins
import datetime
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import grpc.aio

from pullwork.connection import Connection
from pullwork.errors import DeadlineError, RolloutFailedError, ServiceNotFoundError
from pullwork.moments import moment
from pullwork.service_info import (
    InstanceInfo,
    InstanceSet,
    InstanceState,
    NodeInfo,
    RolloutState,
    ServiceChange,
    ServiceEvent,
    ServiceInfo,
    ServiceLogLine,
    ServiceUpdate,
)
from pullwork.service_spec import ServiceSpec
from pullwork.v1 import orchestrator_service_pb2 as pb
from pullwork.v1 import service_pb2

PAGE: Final = 500
# How many lines are asked for again after a break, to go on where it was.
RESUMED_LINES: Final = 1000
_GIVEN_UP: Final = (RolloutState.RETURNED, RolloutState.PAUSED)


class Services:
    """The services of a master; `Client.services`.

    Whatever names a service that is not there raises ServiceNotFoundError.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # --- what is wanted

    async def create(self, name: str, spec: ServiceSpec, *, dry_run: bool = False) -> ServiceInfo:
        """Makes a service; when it returns, it is on the master's disk, and begins to be so.

        Raises ServiceExistsError, InvalidFieldError, TooManyRequestsError, DiskFullError. With
        `dry_run` nothing is made.
        """
        request = pb.CreateServiceRequest(name=name, spec=spec.to_proto(), dry_run=dry_run)
        call = self._connection.call if dry_run else self._connection.call_once
        answer = await call(self._connection.services.CreateService, request)
        return ServiceInfo.from_proto(answer.service)

    async def get(self, name: str) -> ServiceInfo:
        """Returns one service as it is now."""
        answer = await self._connection.call(
            self._connection.services.GetService, pb.GetServiceRequest(name=name)
        )
        return ServiceInfo.from_proto(answer.service)

    async def list(self) -> builtins.list[ServiceInfo]:
        """Returns all services by name."""
        request = pb.ListServicesRequest(page_size=PAGE)
        pages = self._connection.pages(self._connection.services.ListServices, request)
        return [ServiceInfo.from_proto(it) async for page in pages for it in page.services]

    async def scale(self, name: str, instances: int) -> ServiceInfo:
        """Changes how many instances a service has; 0 keeps the service."""
        spec = ServiceSpec(instances=instances).to_proto()
        answer = await self._connection.call(
            self._connection.services.ScaleService,
            pb.ScaleServiceRequest(name=name, instances=spec.instances),
        )
        return ServiceInfo.from_proto(answer.service)

    async def update(
        self,
        name: str,
        spec: ServiceSpec,
        *,
        replace: bool = False,
        expected_revision: int = 0,
        dry_run: bool = False,
    ) -> ServiceUpdate:
        """Changes those parts of a service that `spec` has; with `replace` all others, too, which
        take their defaults.

        With `expected_revision` it raises RevisionConflictError if somebody changed it meanwhile;
        with `dry_run` nothing is changed.
        """
        request = pb.UpdateServiceRequest(
            name=name,
            spec=spec.to_proto(),
            replace=replace,
            expected_revision=expected_revision,
            dry_run=dry_run,
        )
        # Repeated it would find the revision that it made itself.
        once = expected_revision and not dry_run
        call = self._connection.call_once if once else self._connection.call
        answer = await call(self._connection.services.UpdateService, request)
        return ServiceUpdate.from_proto(answer)

    async def delete(self, name: str) -> ServiceInfo:
        """Ends a service and returns what it was; its instances are stopped."""
        answer = await self._connection.call_once(
            self._connection.services.DeleteService, pb.DeleteServiceRequest(name=name)
        )
        return ServiceInfo.from_proto(answer.service)

    # --- what there is

    async def instances(
        self, service: str = "", *, node: str = "", states: Sequence[InstanceState] = ()
    ) -> builtins.list[InstanceInfo]:
        """Returns the instances by service and number; what is given must match."""
        request = pb.ListInstancesRequest(
            service=service,
            node=node,
            states=[service_pb2.InstanceState.Value(f"INSTANCE_STATE_{it}") for it in states],
            page_size=PAGE,
        )
        pages = self._connection.pages(self._connection.services.ListInstances, request)
        return [InstanceInfo.from_proto(it) async for page in pages for it in page.instances]

    async def nodes(self) -> builtins.list[NodeInfo]:
        """Returns the nodes that instances can be placed on, by name."""
        request = pb.ListNodesRequest(page_size=PAGE)
        pages = self._connection.pages(self._connection.services.ListNodes, request)
        return [NodeInfo.from_proto(it) async for page in pages for it in page.nodes]

    async def watch(self) -> AsyncGenerator[ServiceChange]:
        """Yields a snapshot of the services, then each change; after a break a snapshot again."""
        parts: builtins.list[ServiceInfo] = []

        def open_stream() -> grpc.aio.UnaryStreamCall[Any, pb.WatchServicesResponse]:
            parts.clear()  # of a snapshot that broke off
            return self._connection.services.WatchServices(pb.WatchServicesRequest())

        async for event in self._connection.resumed(open_stream, endless=True):
            if event.HasField("changed"):
                yield ServiceChange(ServiceEvent.CHANGED, (ServiceInfo.from_proto(event.changed),))
            elif event.HasField("deleted"):
                yield ServiceChange(ServiceEvent.DELETED, (ServiceInfo.from_proto(event.deleted),))
            elif event.HasField("snapshot"):
                parts += map(ServiceInfo.from_proto, event.snapshot.services)
                if not event.snapshot.more:
                    yield ServiceChange(ServiceEvent.SNAPSHOT, tuple(parts))
                    parts.clear()

    async def watch_instances(self, service: str = "") -> AsyncGenerator[InstanceSet]:
        """Yields all instances of a service, or of all, as they are now and after each change.

        Ends with ServiceNotFoundError when the service is deleted.
        """
        parts: builtins.list[InstanceInfo] = []

        def open_stream() -> grpc.aio.UnaryStreamCall[Any, pb.WatchInstancesResponse]:
            parts.clear()
            request = pb.WatchInstancesRequest(service=service)
            return self._connection.services.WatchInstances(request)

        async for event in self._connection.resumed(open_stream, endless=True):
            parts += map(InstanceInfo.from_proto, event.instances)
            if not event.more:
                yield InstanceSet(event.generation, tuple(parts))
                parts.clear()

    async def follow(self, name: str) -> AsyncGenerator[ServiceInfo]:
        """Yields one service as it is now and after each change."""
        async for change in self.watch():
            found = [it for it in change.services if it.name == name]
            if change.event is ServiceEvent.DELETED and found:
                raise ServiceNotFoundError(f"the service {name!r} was deleted")
            if change.event is ServiceEvent.SNAPSHOT and not found:
                raise ServiceNotFoundError(f"there is no service {name!r}")
            for service in found:
                yield service

    async def wait_healthy(
        self,
        changed: str | ServiceInfo,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> ServiceInfo:
        """Waits until a service is as it is wanted, and returns it.

        Raises RolloutFailedError if its last change was given up (it goes on as the update policy
        says), and DeadlineError after `timeout` seconds (it goes on). Given what a call answered
        instead of a name, only what fails after that call counts.
        """
        name = changed if isinstance(changed, str) else changed.name
        before = None if isinstance(changed, str) else changed.rollout
        service: ServiceInfo | None = None
        try:
            async with asyncio.timeout(timeout), aclosing(self.follow(name)) as news:
                async for service in news:
                    if service.rollout.state in _GIVEN_UP and service.rollout != before:
                        raise RolloutFailedError(
                            f"the last change of {name} failed: {service.rollout.reason}",
                            service=service,
                        )
                    if service.settled:
                        return service
        except TimeoutError:
            raise DeadlineError(
                f"{name} was not as wanted within {timeout:g} s ({_lack(service)}); it goes on"
            ) from None
        raise AssertionError("a report of services has no end")

    async def logs(
        self,
        service: str,
        *,
        instance: str = "",
        follow: bool = False,
        tail_lines: int | None = None,
    ) -> AsyncGenerator[ServiceLogLine]:
        """Yields what instances wrote to stdout and stderr: the last lines of each, 100 if not
        said; with `follow` also those that come, until it is left.

        Raises InstanceNotFoundError, NodeUnreachableError.
        """
        last: dict[str, datetime.datetime] = {}
        before_break: dict[str, datetime.datetime] = {}

        def open_stream() -> grpc.aio.UnaryStreamCall[Any, pb.WatchLogsResponse]:
            before_break.update(last)
            request = pb.WatchLogsRequest(service=service, instance=instance, follow=follow)
            if last:
                request.tail_lines = RESUMED_LINES
            elif tail_lines is not None:
                request.tail_lines = tail_lines
            return self._connection.services.WatchLogs(request)

        async for part in self._connection.resumed(open_stream, endless=follow):
            known = before_break.get(part.instance)
            for line in part.lines:
                time = moment(line, "time")
                if time is not None:
                    if known is not None and time <= known:
                        continue
                    last[part.instance] = time
                yield ServiceLogLine(part.instance, time, line.text, line.stderr)


def _lack(service: ServiceInfo | None) -> str:
    if service is None:
        return "nothing was heard of it"
    words = f"{service.healthy} of {service.spec.instances} are healthy"
    return "; ".join([words, *service.pending])
