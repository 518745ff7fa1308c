"""TaskIncoming: what a worker hears, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from wired_master import MASTER, WiredMaster, ended, read, refusal, serving, until

from pullwork.errors import SessionLostError
from pullwork.v1 import (
    registry_service_pb2,
    task_service_pb2,
)
from pullwork_master.storage.memory import MemoryStorage


async def _next(stream: Any, kind: str) -> Any:
    event = await read(stream)
    assert event.WhichOneof("event") == kind
    return getattr(event, kind)


async def _after_ticks(stream: Any, kind: str) -> Any:
    while (event := await read(stream)).WhichOneof("event") == "tick":
        pass
    assert event.WhichOneof("event") == kind
    return getattr(event, kind)


async def test_the_first_event_is_the_members(master: WiredMaster) -> None:
    members = await _next((await master.worker()).listen(), "members")
    assert list(members.masters) == [MASTER]


async def test_a_stream_opened_while_tasks_wait_tells_so_at_once(master: WiredMaster) -> None:
    await master.submit(type="t")
    await master.submit(type="u")
    await master.submit(type="other")
    stream = await (await master.worker(task_types=["u", "t", "idle"])).listening()
    assert list((await _next(stream, "available")).task_types) == ["u", "t"]


async def test_an_idle_worker_is_told_of_a_task_that_comes(master: WiredMaster) -> None:
    stream = await (await master.worker()).listening()
    await master.submit(type="t")
    assert list((await _next(stream, "available")).task_types) == ["t"]


async def test_one_task_rouses_one_of_many_idle_workers(master: WiredMaster) -> None:
    workers = [await master.worker(f"w{number}") for number in range(5)]
    streams = [await worker.listening() for worker in workers]
    await master.submit(type="t")
    hinted = [each for each in master.engine.core.book.sessions.values() if each.hinted]
    assert len(hinted) == 1
    index = [worker.session_id for worker in workers].index(hinted[0].id)
    assert list((await _next(streams[index], "available")).task_types) == ["t"]


async def test_a_busy_worker_hears_nothing_of_new_tasks() -> None:
    async with serving(MemoryStorage(), heartbeat_ms=30) as master:
        worker = await master.worker(slots=1)
        await master.submit(type="t")
        assert await worker.request(max_tasks=1)
        stream = await worker.listening()
        await master.submit(type="t")
        for _ in range(3):
            await _next(stream, "tick")


async def test_ticks_come_with_the_time_and_the_term_while_nothing_happens() -> None:
    async with serving(MemoryStorage(), heartbeat_ms=20) as master:
        worker = await master.worker()
        stream = await worker.listening()
        for _ in range(3):
            tick = await _next(stream, "tick")
            assert tick.time.ToMilliseconds() == master.clock.wall_ms
            assert tick.term == worker.registered.term


async def test_the_hint_comes_again_with_every_tick_while_tasks_wait() -> None:
    async with serving(MemoryStorage(), heartbeat_ms=20) as master:
        stream = await (await master.worker()).listening()
        await master.submit(type="t")
        await _after_ticks(stream, "available")
        for _ in range(3):
            await _next(stream, "tick")
            assert list((await _next(stream, "available")).task_types) == ["t"]


async def test_a_cancelled_task_is_told_to_who_runs_it(master: WiredMaster) -> None:
    worker = await master.worker()
    task_ids = await master.submit_many(2)
    tickets = await worker.request()
    stream = await worker.listening()
    await master.tasks.CancelTasks(task_service_pb2.CancelTasksRequest(task_ids=task_ids))
    tokens: list[str] = []
    while len(tokens) < 2:
        cancel = await _next(stream, "cancel")
        assert "cancelled" in cancel.reason
        tokens += cancel.lease_tokens
    assert sorted(tokens) == sorted(ticket.lease_token for ticket in tickets)


async def test_a_task_that_outlived_its_time_is_told_to_who_runs_it(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit(type="t", execution_timeout={"seconds": 1})
    (ticket,) = await worker.request()
    stream = await worker.listening()
    await master.advance(1_000 + master.policy.overrun_ms)
    cancel = await _next(stream, "cancel")
    assert list(cancel.lease_tokens) == [ticket.lease_token]
    assert "1000 ms" in cancel.reason
    assert (await master.get(task_id)).failure.kind == 2  # TIMEOUT


async def test_a_worker_that_is_to_leave_hears_drain_and_no_more_hints(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    stream = await worker.listening()
    await master.registry.DrainWorker(registry_service_pb2.DrainWorkerRequest(worker="w"))
    await _next(stream, "drain")
    await master.submit(type="t")
    assert await worker.request() == []
    assert (await worker.heartbeat()).drain


async def test_a_second_stream_ends_the_first_and_hears_the_news(master: WiredMaster) -> None:
    worker = await master.worker()
    first = await worker.listening()
    second = await worker.listening()
    await ended(first)
    await master.submit(type="t")
    await _next(second, "available")
    assert master.listening() == 1


async def test_the_end_of_the_first_stream_does_not_make_the_second_suspect(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    first = await worker.listening()
    second = await worker.listening()
    await ended(first)
    await worker.heartbeat()
    (session,) = master.engine.core.book.sessions.values()
    assert session.contact.name == "CONNECTED"
    second.cancel()
    await until(lambda: session.contact.name == "SUSPECT", "the broken stream is noticed")


@pytest.mark.parametrize("how", ["evicted", "replaced by name", "left"])
async def test_the_end_of_the_session_ends_the_stream_with_session_lost(
    master: WiredMaster, how: str
) -> None:
    worker = await master.worker()
    stream = await worker.listening()
    if how == "evicted":
        await master.registry.EvictWorker(
            registry_service_pb2.EvictWorkerRequest(worker=worker.session_id)
        )
    elif how == "left":
        await worker.leave()
    else:
        await master.worker("w", boot_id="another process")
    lost = await refusal(stream.read())
    assert isinstance(lost, SessionLostError)
    assert lost.metadata["session_id"] == worker.session_id
    assert "register anew" in str(lost)
    assert lost.metadata["why"]


async def test_a_stream_of_an_unknown_session_is_refused(master: WiredMaster) -> None:
    worker = await master.worker()
    worker.session_id = "1-99-feedbeef"
    assert isinstance(await refusal(worker.listen().read()), SessionLostError)


async def test_a_parked_worker_gets_the_task_and_no_hint(master: WiredMaster) -> None:
    worker = await master.worker()
    stream = await worker.listening()
    asking = asyncio.create_task(worker.request(wait={"seconds": 30}))
    await until(lambda: master.parked() == 1, "the request is parked")
    await master.submit(type="t")
    assert len(await asking) == 1
    await master.registry.DrainWorker(registry_service_pb2.DrainWorkerRequest(worker="w"))
    await _next(stream, "drain")
