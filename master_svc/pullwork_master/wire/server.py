"""The port: our six services, KEDA's, health, reflection and channelz on one grpc.aio server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc.aio
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pullwork.channel import server_options
from pullwork.listening import refusal
from pullwork.v1 import (
    master_service_pb2,
    master_service_pb2_grpc,
    node_service_pb2,
    node_service_pb2_grpc,
    orchestrator_service_pb2,
    orchestrator_service_pb2_grpc,
    queue_service_pb2,
    queue_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
    task_service_pb2,
    task_service_pb2_grpc,
    worker_pb2,
)
from pullwork_master.core.limits import Policy
from pullwork_master.engine import Engine
from pullwork_master.keda import externalscaler_pb2_grpc
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.views import Views
from pullwork_master.wire import scaler_service
from pullwork_master.wire.calls import Calls
from pullwork_master.wire.log_relay import LogRelay
from pullwork_master.wire.master_service import MasterService
from pullwork_master.wire.node_service import NodeService
from pullwork_master.wire.orchestrator_service import OrchestratorService
from pullwork_master.wire.queue_service import QueueService
from pullwork_master.wire.refusals import Refusals
from pullwork_master.wire.registry_service import Registry, RegistryService
from pullwork_master.wire.scaler_service import ScalerService
from pullwork_master.wire.service_watch import ServiceWatches
from pullwork_master.wire.streams import Streams
from pullwork_master.wire.task_service import TaskService
from pullwork_master.wire.watchers import Watchers

SERVICES: Final = (
    master_service_pb2.DESCRIPTOR.services_by_name["MasterService"].full_name,
    task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name,
    queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"].full_name,
    registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"].full_name,
    orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,
    node_service_pb2.DESCRIPTOR.services_by_name["NodeService"].full_name,
)


class ListenError(Exception):
    """The address can't be listened on; the message names it and the remedy."""


class Server:
    """A master's gRPC face. `bind`, then `start`; `stop` ends streams first."""

    def __init__(
        self, engine: Engine, policy: Policy, disk: Views, orchestrator: Orchestrator
    ) -> None:
        self._engine = engine
        self._orchestrator = orchestrator
        self._policy = policy
        self._disk = disk
        self._health = health.aio.HealthServicer()
        interceptors = [Refusals()]
        self._server = grpc.aio.server(interceptors=interceptors, options=server_options())
        self.calls = Calls(self._server, interceptors)
        self._stoppers: list[Callable[[], None]] = []

    def bind(self, listen: str) -> int:
        """Takes the port and returns its number. Errors: ListenError."""
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise ListenError(refusal(listen, by="master", flag="--listen")) from error
        if not port:
            raise ListenError(f"can't listen on {listen}; choose another address with --listen")
        return port

    async def start(self, master: worker_pb2.Member) -> None:
        """Adds the services, which tell `master` to whoever asks, and serves."""
        engine, policy, server = self._engine, self._policy, self._server
        streams = Streams()
        watchers = Watchers(engine.core.book.next_revision - 1)
        registry = Registry(engine, master)
        scaler = ScalerService(engine, self._disk)
        for listener in (streams.tell, watchers.tell, registry.tell):
            engine.listen(listener)
        relay = LogRelay(streams)
        watches = ServiceWatches(self._orchestrator)
        self._stoppers = [
            streams.stop,
            watchers.stop,
            registry.stop,
            scaler.stop,
            relay.stop,
            watches.stop,
        ]
        ours: Any = self.calls
        master_service_pb2_grpc.add_MasterServiceServicer_to_server(
            MasterService(engine, policy, streams, [master]), ours
        )
        task_service_pb2_grpc.add_TaskServiceServicer_to_server(
            TaskService(engine, policy, self._disk, watchers), ours
        )
        queue_service_pb2_grpc.add_QueueServiceServicer_to_server(QueueService(engine), ours)
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(
            RegistryService(engine, registry), ours
        )
        orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server(
            OrchestratorService(self._orchestrator, relay, watches), ours
        )
        node_service_pb2_grpc.add_NodeServiceServicer_to_server(
            NodeService(engine, self._orchestrator, relay), ours
        )
        externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server(scaler, ours)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        channelz.add_channelz_servicer(server)
        reflected = (
            *SERVICES,
            scaler_service.SERVICE,
            health.SERVICE_NAME,
            channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name,
            reflection.SERVICE_NAME,
        )
        reflection.enable_server_reflection(reflected, server)
        await server.start()
        for service in ("", *SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float) -> None:
        """Says that it no longer serves, lets calls under way end for a while, and closes."""
        with contextlib.suppress(Exception):
            await self._health.enter_graceful_shutdown()
        for stop in self._stoppers:
            stop()
        await self._server.stop(grace_s)

    async def abort(self) -> None:
        """Breaks every call and connection off without a word, as the death of a process does."""
        await self._server.stop(None)
