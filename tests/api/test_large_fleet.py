"""A fleet that no single message holds: clients show it whole all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
from cable import Cable
from task_cluster import TaskCluster

from pullwork import Change, Client, WorkerState, blocking
from pullwork.channel import MESSAGE_BYTES_MAX, client_options
from pullwork.v1 import master_service_pb2, master_service_pb2_grpc

NAMES = [f"worker {n:02}" for n in range(60)]
TYPES = [f"{f't{n}-':x<100}" for n in range(1_000)]
ALL = ["master", *NAMES]


def _registration(name: str) -> master_service_pb2.RegisterRequest:
    return master_service_pb2.RegisterRequest(
        worker_name=name, boot_id=name, task_types=TYPES, slots=1
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a master whose workers registered and are patiently waited for."""
    cluster = TaskCluster(tmp_path_factory.mktemp("large"), HEARTBEAT="300")
    asyncio.run(cluster.master())
    with grpc.insecure_channel(cluster.address, options=client_options()) as channel:
        stub = master_service_pb2_grpc.MasterServiceStub(channel)
        sent = 0
        for name in reversed(NAMES):
            request = _registration(name)
            stub.Register(request, timeout=10)
            sent += request.ByteSize()
    assert sent > MESSAGE_BYTES_MAX
    yield cluster.address
    cluster.close()


async def test_workers_and_members_of_all_pages_are_one_list(large: str) -> None:
    async with Client(large, deadline=10) as client:
        workers = await client.workers()
        assert [it.name for it in workers] == NAMES
        assert all(it.task_types == tuple(TYPES) for it in workers)
        chosen = await client.workers(task_type=TYPES[0], state=WorkerState.CONNECTED)
        assert [it.session_id for it in chosen] == [it.session_id for it in workers]
        assert [it.name for it in await client.members()] == ALL


async def test_a_snapshot_in_parts_is_one_change(large: str) -> None:
    async with Client(large, deadline=10) as client:
        changes = client.watch_registry()
        snapshot = await anext(changes)
        assert snapshot.change is Change.SNAPSHOT
        assert [it.name for it in snapshot.members] == ALL
        await client.evict(NAMES[0])
        left = await anext(changes)
        assert (left.change, [it.name for it in left.members]) == (Change.LEFT, NAMES[:1])
        await changes.aclose()
        await _back(large, NAMES[0])


async def _back(address: str, name: str) -> None:
    async with grpc.aio.insecure_channel(address, options=client_options()) as channel:
        stub = master_service_pb2_grpc.MasterServiceStub(channel)
        await stub.Register(_registration(name))


@pytest.fixture
async def cable(large: str) -> AsyncIterator[Cable]:
    """A cable to that master."""
    cable = Cable(large)
    await cable.mend()
    yield cable
    await cable.cut()


async def test_a_snapshot_that_broke_off_is_told_whole_and_once(cable: Cable) -> None:
    # Behind the first part, and before the end of the second.
    cable.break_once_after(MESSAGE_BYTES_MAX)
    async with Client(cable.address, deadline=10) as client:
        changes = client.watch_registry()
        snapshot = await anext(changes)
        assert cable.broken, "the first snapshot broke off"
        assert [it.name for it in snapshot.members] == ALL
        await changes.aclose()


def test_the_blocking_client_shows_it_whole_too(large: str) -> None:
    with blocking.Client(large, deadline=10) as client:
        assert [it.name for it in client.workers()] == NAMES
        assert [it.name for it in client.members()] == ALL
        changes = client.watch_registry()
        assert [it.name for it in next(changes).members] == ALL
        changes.close()
