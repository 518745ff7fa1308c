"""A worker from bare stubs that was away too long, and what its late words are worth."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from by_hand import ByHand
from cluster import Cluster, until
from jobs import square

from pullwork import Client
from pullwork.channel import open_channel
from pullwork.task_info import TaskState
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1.master_service_pb2_grpc import MasterServiceStub


@pytest.fixture
async def by_hand(cluster: Cluster, impatient: Client) -> AsyncIterator[ByHand]:
    """A registered worker with an open stream."""
    async with open_channel(cluster.address) as channel:
        worker = ByHand(MasterServiceStub(channel))
        await worker.register()
        await worker.listening()
        yield worker


async def test_a_late_report_is_a_stale_lease_and_changes_nothing(
    cluster: Cluster, impatient: Client, by_hand: ByHand
) -> None:
    client = impatient
    handle = await client.submit(square.with_args(3))
    (ticket,) = (await by_hand.ticket()).tickets
    # It says nothing more; the master takes the lease back, and another worker runs the task.
    cluster.worker("heir")
    ended = await handle.wait(30)
    assert (ended.state, ended.worker, ended.attempt) == (TaskState.SUCCEEDED, "heir", 2)
    before = await client.get(handle.id)
    await by_hand.register()
    assert await by_hand.report(ticket.lease_token, b"666") == pb.VERDICT_STALE_LEASE
    assert await client.get(handle.id) == before
    assert await handle.result() == 9


async def test_a_report_that_is_repeated_is_accepted_again_over_a_restart_of_the_master(
    cluster: Cluster,
) -> None:
    master = await cluster.master()
    async with Client(cluster.address) as client, open_channel(cluster.address) as channel:
        by_hand = ByHand(MasterServiceStub(channel))
        await by_hand.register()
        await by_hand.listening()
        handle = await client.submit(square.with_args(3))
        (ticket,) = (await by_hand.ticket()).tickets
        assert await by_hand.report(ticket.lease_token, b"9") == pb.VERDICT_ACCEPTED
        before = await client.get(handle.id)
        master.kill()
        await cluster.restart(master)
        await until(lambda: _registered(by_hand), "the worker is back")
        assert await by_hand.report(ticket.lease_token, b"9") == pb.VERDICT_ACCEPTED
        assert await by_hand.report(ticket.lease_token, b"10") == pb.VERDICT_CONFLICT
        assert await client.get(handle.id) == before


async def _registered(by_hand: ByHand) -> bool:
    try:
        await by_hand.register()
    except Exception:
        return False
    return True
