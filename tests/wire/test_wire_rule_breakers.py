"""A worker from bare stubs that breaks the rules is refused by name, and harms nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest
from wired_master import PATIENCE_S, WiredMaster, WireWorker, held, refusal, succeeded

from pullwork.errors import InvalidFieldError, SessionLostError, TooManyRequestsError
from pullwork.status import from_rpc_error
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import task_pb2
from pullwork_master.wire import pace
from pullwork_master.wire.pace import EMPTY_ANSWERS_MAX

TOO_LARGE = b"x" * (1024 * 1024 + 1)


async def _told_off(asking: Callable[[], Awaitable[object]]) -> tuple[int, TooManyRequestsError]:
    """Asks again and again until it is refused; returns how often it was answered, and that."""
    for answered in range(10 * EMPTY_ANSWERS_MAX):
        try:
            await asking()
        except grpc.aio.AioRpcError as error:
            refused = from_rpc_error(error)
            assert isinstance(refused, TooManyRequestsError), refused
            return answered, refused
    raise AssertionError("asked without end, and was never refused")


ASKING: dict[str, Callable[[WireWorker], Awaitable[object]]] = {
    "requests": lambda worker: worker.request(),
    "reports of nothing": lambda worker: worker.report(request_tasks=1),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
async def test_a_busy_loop_of_requests_is_held_back_and_refused_by_name(
    master: WiredMaster, ask: Callable[[WireWorker], Awaitable[object]]
) -> None:
    looping = await master.worker("looping")
    began_at = asyncio.get_running_loop().time()
    answered, refused = await _told_off(lambda: ask(looping))
    assert answered >= EMPTY_ANSWERS_MAX
    # It was told late, so that its loop turns slowly from here on.
    assert asyncio.get_running_loop().time() - began_at > 0.9
    assert refused.metadata["session_id"] == looping.session_id
    assert "`wait`" in str(refused)
    assert refused.retry_after_s == 1.0


async def test_calls_that_push_each_other_out_of_their_place_are_a_busy_loop(
    master: WiredMaster,
) -> None:
    looping = await master.worker("looping")

    async def call() -> None:
        while True:
            await looping.request(max_tasks=1, wait={"seconds": 30})

    calls = [asyncio.create_task(call()) for _ in range(2)]
    async with asyncio.timeout(PATIENCE_S):
        (first, *_), _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for each in calls:
        each.cancel()
    error = first.exception()
    assert isinstance(error, grpc.aio.AioRpcError)
    assert isinstance(from_rpc_error(error), TooManyRequestsError)


async def test_one_worker_s_busy_loop_is_not_held_against_another(master: WiredMaster) -> None:
    looping = await master.worker("looping", task_types=["other"])
    decent = await master.worker("decent", slots=200)

    async def loop() -> None:
        while True:
            try:
                await looping.request()
            except grpc.aio.AioRpcError:
                continue

    running = asyncio.create_task(loop())
    await _told_off(looping.request)
    await master.submit_many(200)
    async with asyncio.timeout(PATIENCE_S):
        await master.run_all(decent, 200)
    assert await decent.request() == []
    running.cancel()


async def test_who_was_refused_works_on_when_the_second_is_over(master: WiredMaster) -> None:
    worker = await master.worker()
    await _told_off(worker.request)
    await master.submit()
    (ticket,) = await worker.request()
    assert (await worker.report(succeeded(ticket))).verdicts == [pb.VERDICT_ACCEPTED]


async def test_without_a_pace_the_busy_loop_would_be_missed(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: nobody counts."""
    monkeypatch.setattr(pace.Pace, "empty", lambda self, session_id: None)
    looping = await master.worker("looping")
    with pytest.raises(AssertionError, match="never refused"):
        await _told_off(looping.request)


async def test_nothing_of_a_rule_breaker_harms_its_neighbour(stored: WiredMaster) -> None:
    decent, breaker = await stored.worker("decent"), await stored.worker("breaker")
    mine, his = await stored.submit(), await stored.submit()
    (kept,) = await decent.request(max_tasks=1)
    (taken,) = await breaker.request(max_tasks=1)
    assert ([kept.task_id], [taken.task_id]) == (mine, his)

    # Another's lease, a made-up one, and garbage.
    stolen = pb.Outcome(lease_token=kept.lease_token, released={})
    made_up = pb.Outcome(lease_token=f"{kept.lease_token}x", released={})
    assert (await breaker.report(stolen)).verdicts == [pb.VERDICT_STALE_LEASE]
    assert (await breaker.report(made_up)).verdicts[0] in (
        pb.VERDICT_STALE_LEASE,
        pb.VERDICT_UNKNOWN_TASK,
    )
    garbage = pb.Outcome(lease_token="garbage", released={})
    refused = await refusal(breaker.report(succeeded(taken), garbage))
    assert isinstance(refused, InvalidFieldError)
    assert refused.field == "outcomes[1].lease_token"

    # A result that is too large, alone and in a message that gRPC itself refuses.
    refused = await refusal(breaker.report(succeeded(taken, TOO_LARGE)))
    assert isinstance(refused, InvalidFieldError)
    assert "report a failure" in str(refused)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await breaker.report(succeeded(taken, TOO_LARGE * 5))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    # A session that never was, and an inventory of what others hold.
    breaker.session_id, session_id = f"{breaker.session_id}x", breaker.session_id
    assert isinstance(await refusal(breaker.heartbeat()), SessionLostError)
    breaker.session_id = session_id
    assert list((await breaker.heartbeat(held(taken), held(kept))).abandon) == [kept.lease_token]

    for worker, ticket in ((decent, kept), (breaker, taken)):
        assert (await worker.report(succeeded(ticket))).verdicts == [pb.VERDICT_ACCEPTED]
    for task_id in (*mine, *his):
        task = await stored.get(task_id)
        assert (task.state, task.attempt) == (task_pb2.TASK_STATE_SUCCEEDED, 1)
