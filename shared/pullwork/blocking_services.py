"""The services of a master for programs without asyncio; `pullwork.blocking.Client.services`."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Sequence

from pullwork import services as asynchronous
from pullwork.loop_thread import LoopThread
from pullwork.service_info import (
    InstanceInfo,
    InstanceSet,
    InstanceState,
    NodeInfo,
    ServiceChange,
    ServiceInfo,
    ServiceLogLine,
    ServiceUpdate,
)
from pullwork.service_spec import ServiceSpec


class Services:
    """The services of a master; see `pullwork.Services`."""

    def __init__(self, thread: LoopThread, services: asynchronous.Services) -> None:
        self._thread = thread
        self._services = services

    def create(self, name: str, spec: ServiceSpec, *, dry_run: bool = False) -> ServiceInfo:
        """Makes a service; when it returns, it is on the master's disk, and begins to be so."""
        return self._thread.run(self._services.create(name, spec, dry_run=dry_run))

    def get(self, name: str) -> ServiceInfo:
        """Returns one service as it is now."""
        return self._thread.run(self._services.get(name))

    def list(self) -> builtins.list[ServiceInfo]:
        """Returns all services by name."""
        return self._thread.run(self._services.list())

    def scale(self, name: str, instances: int) -> ServiceInfo:
        """Changes how many instances a service has; 0 keeps the service."""
        return self._thread.run(self._services.scale(name, instances))

    def update(
        self,
        name: str,
        spec: ServiceSpec,
        *,
        replace: bool = False,
        expected_revision: int = 0,
        dry_run: bool = False,
    ) -> ServiceUpdate:
        """Changes those parts of a service that `spec` has, or, with `replace`, all."""
        work = self._services.update(
            name, spec, replace=replace, expected_revision=expected_revision, dry_run=dry_run
        )
        return self._thread.run(work)

    def delete(self, name: str) -> ServiceInfo:
        """Ends a service and returns what it was; its instances are stopped."""
        return self._thread.run(self._services.delete(name))

    def instances(
        self, service: str = "", *, node: str = "", states: Sequence[InstanceState] = ()
    ) -> builtins.list[InstanceInfo]:
        """Returns the instances by service and number; what is given must match."""
        return self._thread.run(self._services.instances(service, node=node, states=states))

    def nodes(self) -> builtins.list[NodeInfo]:
        """Returns the nodes that instances can be placed on, by name."""
        return self._thread.run(self._services.nodes())

    def watch(self) -> Generator[ServiceChange]:
        """Yields a snapshot of the services, then each change; after a break a snapshot again."""
        return self._thread.iterate(self._services.watch())

    def watch_instances(self, service: str = "") -> Generator[InstanceSet]:
        """Yields all instances of a service, or of all, as they are now and after each change."""
        return self._thread.iterate(self._services.watch_instances(service))

    def follow(self, name: str) -> Generator[ServiceInfo]:
        """Yields one service as it is now and after each change."""
        return self._thread.iterate(self._services.follow(name))

    def wait_healthy(self, changed: str | ServiceInfo, timeout: float | None = None) -> ServiceInfo:
        """Waits until a service is as it is wanted; raises RolloutFailedError, DeadlineError."""
        return self._thread.run(self._services.wait_healthy(changed, timeout))

    def logs(
        self,
        service: str,
        *,
        instance: str = "",
        follow: bool = False,
        tail_lines: int | None = None,
    ) -> Generator[ServiceLogLine]:
        """Yields what instances wrote to stdout and stderr; with `follow` until it is left."""
        return self._thread.iterate(
            self._services.logs(service, instance=instance, follow=follow, tail_lines=tail_lines)
        )
