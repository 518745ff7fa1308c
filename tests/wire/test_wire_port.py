"""The port itself: health, reflection, channelz, and who else listens there."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from wired_master import WiredMaster, read

from pullwork.listening import refusal
from pullwork_master.wire.server import SERVICES, ListenError, Server

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_each_service_is_serving_and_on_stop_is_not(master: WiredMaster) -> None:
    health = health_pb2_grpc.HealthStub(master.channel)
    requests = [health_pb2.HealthCheckRequest(service=each) for each in ("", *SERVICES)]
    watching = [health.Watch(request) for request in requests]
    for request, stream in zip(requests, watching, strict=True):
        assert (await health.Check(request)).status == SERVING
        assert (await read(stream)).status == SERVING
    stopping = asyncio.create_task(master.stop(grace_s=0.5))
    for stream in watching:
        assert (await read(stream)).status == NOT_SERVING
    await stopping


async def test_the_health_of_an_unknown_service_is_not_found(master: WiredMaster) -> None:
    health = health_pb2_grpc.HealthStub(master.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service="pullwork.v1.Nonsense"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_every_service_and_describes_it_whole(master: WiredMaster) -> None:
    def reflected() -> dict[str, list[str]]:
        with grpc.insecure_channel(master.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            methods = {
                name: [each.name for each in pool.FindServiceByName(name).methods]
                for name in database.get_services()
            }
            spec = pool.FindMessageTypeByName("pullwork.v1.TaskSpec")
            assert spec.fields_by_name["retry"].message_type.full_name == "pullwork.v1.RetryPolicy"
            return methods

    methods = await asyncio.to_thread(reflected)
    assert set(SERVICES) < methods.keys()
    assert {
        "grpc.health.v1.Health",
        "grpc.channelz.v1.Channelz",
        "externalscaler.ExternalScaler",
        "grpc.reflection.v1alpha.ServerReflection",
    } <= methods.keys()
    assert "SubmitTasks" in methods["pullwork.v1.TaskService"]
    assert "TaskIncoming" in methods["pullwork.v1.MasterService"]


async def test_channelz_answers(master: WiredMaster) -> None:
    await master.submit()
    channelz = channelz_pb2_grpc.ChannelzStub(master.channel)
    servers = await channelz.GetServers(channelz_pb2.GetServersRequest())
    assert sum(each.data.calls_started for each in servers.server) > 0


async def test_a_port_in_use_is_named_with_the_remedy(master: WiredMaster) -> None:
    """(guard) Without `so_reuseport` off, both would bind it and share the calls."""
    second = Server(master.engine, master.policy, master.disk, master.orchestrator)
    with pytest.raises(ListenError) as caught:
        second.bind(master.address)
    message = str(caught.value)
    assert master.address in message
    assert "another master" in message
    assert "--listen" in message


async def test_an_address_that_is_not_of_this_machine_is_named(master: WiredMaster) -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:7733: .*assign requested.*--listen") as it:
        Server(master.engine, master.policy, master.disk, master.orchestrator).bind(
            "192.0.2.1:7733"
        )
    assert "another master" not in str(it.value)


async def test_a_port_that_is_free_again_was_in_use() -> None:
    assert "127.0.0.1:0: the port is in use" in refusal("127.0.0.1:0", by="master", flag="--listen")
