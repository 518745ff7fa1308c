"""A worker made by hand that comes back with results after its leases were given to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc.aio
from by_hand import ByHand
from cluster import until

from fault_harness.bench import Bench
from fault_harness.executions import ExecutionLog
from fault_harness.work_by_hand import by_hand as call_by_hand
from pullwork.channel import client_options
from pullwork.ids import new_task_id
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1.master_service_pb2_grpc import MasterServiceStub

TYPE = call_by_hand.type


@asynccontextmanager
async def worker_by_hand(
    address: str, name: str, *, slots: int = 1, task_type: str = TYPE
) -> AsyncIterator[ByHand]:
    """Makes a worker with a connection of its own; it is registered and listens."""
    options = [*client_options(), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        worker = ByHand(MasterServiceStub(channel), name=name, types=(task_type,), slots=slots)
        await again(worker.register)
        await worker.listening()
        yield worker


async def again(call: Callable[[], Awaitable[object]]) -> None:
    """Repeats a call until it succeeds."""

    async def succeeds() -> bool:
        try:
            await call()
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(succeeds, "the master answers")


async def beating(worker: ByHand, every_s: float, held: Callable[[], list[str]]) -> None:
    """Sends the heartbeats of a healthy worker until it is cancelled."""
    while True:
        await worker.heartbeat(held())
        await until_cancelled(every_s)


async def until_cancelled(seconds: float) -> None:
    """Waits for the time of the next heartbeat."""
    await asyncio.sleep(seconds)


def said(data: str) -> bytes:
    """Packs a result as the harness's tasks do."""
    return f'"{data}"'.encode()


async def late_report(bench: Bench, harm: Callable[[], Awaitable[None]]) -> None:
    """Has one worker take a task and be away, another run it, and the first report too late.

    `harm` is done once the first has its ticket. The late word must be STALE_LEASE, the heir's
    ACCEPTED, and the heir's result must be the one that the client is told.
    """
    log = ExecutionLog(bench.folder)
    task_id = new_task_id()
    async with (
        worker_by_hand(bench.fleet.address, "late") as late,
        worker_by_hand(bench.fleet.address, "heir") as heir,
    ):
        await bench.submit(call_by_hand.with_args(), task_id)
        first = await _ticket(late)
        serial = log.start(task_id, first.attempt)
        heir_pulse = asyncio.create_task(_kept_alive(heir, bench.settings.heartbeat))
        await harm()
        late_result = log.end(serial, first.attempt)
        second = await _ticket(heir)
        heir_pulse.cancel()
        serial = log.start(task_id, second.attempt)
        await late.register()
        verdict = await late.report(first.lease_token, said(late_result))
        bench.require(
            verdict == pb.VERDICT_STALE_LEASE,
            f"a late report under an old lease got {pb.Verdict.Name(verdict)}, not STALE_LEASE",
        )
        result = log.end(serial, second.attempt)
        verdict = await heir.report(second.lease_token, said(result))
        bench.require(
            verdict == pb.VERDICT_ACCEPTED,
            f"the report of the attempt whose lease stands got {pb.Verdict.Name(verdict)}",
        )
        end = await bench.hear(task_id)
        bench.require(end.result == result, f"{end.result} was kept, not the heir's {result}")


async def _ticket(worker: ByHand) -> pb.Ticket:
    """Asks until there is a ticket, over whatever happens to the master."""
    found: list[pb.Ticket] = []

    async def granted() -> bool:
        try:
            found.extend((await worker.ticket()).tickets)
        except grpc.aio.AioRpcError:
            await again(worker.register)
        return bool(found)

    await until(granted, "a ticket", 60)
    return found[0]


async def _kept_alive(worker: ByHand, every_s: float) -> None:
    while True:
        try:
            await worker.heartbeat()
        except grpc.aio.AioRpcError:
            await again(worker.register)
        await until_cancelled(every_s)
