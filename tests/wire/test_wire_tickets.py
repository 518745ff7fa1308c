"""RequestTask and ReportResult: who gets what, once, and whose word on it stands."""

from __future__ import annotations

import asyncio

import pytest
from wired_master import (
    WiredMaster,
    failed,
    refusal,
    succeeded,
    until,
)

from pullwork.errors import SessionLostError
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import queue_service_pb2, registry_service_pb2, task_pb2, task_service_pb2

ACCEPTED, CONFLICT = pb.VERDICT_ACCEPTED, pb.VERDICT_CONFLICT
STALE, UNKNOWN = pb.VERDICT_STALE_LEASE, pb.VERDICT_UNKNOWN_TASK


async def test_a_ticket_says_all_that_a_worker_needs(stored: WiredMaster) -> None:
    worker = await stored.worker(queues=["q"])
    (task_id,) = await stored.submit(
        type="t",
        queue="q",
        payload=b"\x00\xff",
        content_type="text/plain",
        headers={"traceparent": "00-ab-cd-01", "ключ": "ценность"},
        owner="me",
        execution_timeout={"seconds": 9},
        progress_timeout={"nanos": 5_000_000},
    )
    (ticket,) = await worker.request()
    assert ticket.lease_token
    assert (ticket.task_id, ticket.attempt, ticket.type) == (task_id, 1, "t")
    assert (ticket.payload, ticket.content_type) == (b"\x00\xff", "text/plain")
    assert dict(ticket.headers) == {"traceparent": "00-ab-cd-01", "ключ": "ценность"}
    assert (ticket.owner, ticket.queue, ticket.checkpoint) == ("me", "q", b"")
    assert ticket.execution_timeout.ToMilliseconds() == 9_000
    assert ticket.progress_timeout.ToMilliseconds() == 5


async def test_absent_bounds_are_absent_on_the_ticket(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit()
    (ticket,) = await worker.request()
    assert not ticket.HasField("execution_timeout")
    assert not ticket.HasField("progress_timeout")


async def test_nothing_for_this_worker_is_an_empty_answer(master: WiredMaster) -> None:
    await master.submit(type="other")
    await master.submit(queue="other")
    assert await (await master.worker()).request() == []


async def test_higher_priority_first_then_older_first(stored: WiredMaster) -> None:
    low, high, also_high = [
        (await stored.submit(priority=priority))[0] for priority in (-100, 100, 100)
    ]
    tickets = await (await stored.worker()).request()
    assert [ticket.task_id for ticket in tickets] == [high, also_high, low]


async def test_never_more_than_slots_and_look_ahead_are_held(master: WiredMaster) -> None:
    worker = await master.worker(slots=2, look_ahead_max=1)
    await master.submit_many(5)
    assert len(await worker.request(max_tasks=2)) == 2
    assert len(await worker.request(max_tasks=2)) == 1
    assert await worker.request(max_tasks=1) == []


async def test_a_paused_queue_grants_nothing(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit()
    await master.queues.PauseQueue(queue_service_pb2.PauseQueueRequest(name="default"))
    assert await worker.request() == []
    await master.queues.ResumeQueue(queue_service_pb2.ResumeQueueRequest(name="default"))
    assert len(await worker.request()) == 1


async def test_a_parked_request_is_answered_by_the_first_task(stored: WiredMaster) -> None:
    worker = await stored.worker()
    asking = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: stored.parked() == 1, "the request is parked")
    (task_id,) = await stored.submit()
    assert [ticket.task_id for ticket in await asking] == [task_id]
    assert stored.parked() == 0


async def test_a_parked_request_is_answered_with_nothing_when_its_wait_ends(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    asking = asyncio.create_task(worker.request(wait={"seconds": 3}))
    await until(lambda: master.parked() == 1, "the request is parked")
    await master.advance(2_999)
    assert not asking.done()
    await master.advance(1)
    assert await asking == []


async def test_a_delayed_task_wakes_a_parked_request_when_its_moment_comes(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    await master.submit(delay={"seconds": 2})
    asking = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: master.parked() == 1, "the request is parked")
    await master.advance(1_999)
    assert not asking.done()
    await master.advance(1)
    assert len(await asking) == 1


async def test_a_second_request_takes_the_place_of_a_parked_one(master: WiredMaster) -> None:
    worker = await master.worker()
    first = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: master.parked() == 1, "the first is parked")
    second = asyncio.create_task(worker.request(wait={"seconds": 60}))
    assert await first == []
    await master.submit()
    assert len(await second) == 1


async def test_drain_answers_a_parked_request_with_nothing(master: WiredMaster) -> None:
    worker = await master.worker()
    asking = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: master.parked() == 1, "the request is parked")
    await master.registry.DrainWorker(registry_service_pb2.DrainWorkerRequest(worker="w"))
    assert await asking == []
    assert await worker.request(wait={"seconds": 60}) == []


async def test_evict_answers_a_parked_request_with_session_lost(master: WiredMaster) -> None:
    worker = await master.worker()
    asking = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: master.parked() == 1, "the request is parked")
    await master.registry.EvictWorker(registry_service_pb2.EvictWorkerRequest(worker="w"))
    assert isinstance(await refusal(asking), SessionLostError)


async def test_a_repeated_request_gets_the_same_tickets(stored: WiredMaster) -> None:
    worker = await stored.worker()
    await stored.submit_many(4)
    tickets = await worker.request(max_tasks=2, request_id="r1")
    assert await worker.request(max_tasks=2, request_id="r1") == tickets
    others = await worker.request(max_tasks=2, request_id="r2")
    assert {each.task_id for each in others}.isdisjoint(each.task_id for each in tickets)
    await worker.report(succeeded(tickets[0]))
    assert await worker.request(max_tasks=2, request_id="r1") == tickets[1:]


async def test_a_report_brings_the_next_tickets_and_repeated_the_same(
    stored: WiredMaster,
) -> None:
    worker = await stored.worker(slots=1)
    _, second_id = await stored.submit_many(2)
    (ticket,) = await worker.request(max_tasks=1)
    answer = await worker.report(succeeded(ticket), request_tasks=1, request_id="r")
    assert answer.verdicts == [ACCEPTED]
    assert [each.task_id for each in answer.tickets] == [second_id]
    again = await worker.report(succeeded(ticket), request_tasks=1, request_id="r")
    assert again == answer


async def test_a_report_without_outcomes_may_ask_for_tickets(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit()
    answer = await worker.report(request_tasks=2)
    assert (list(answer.verdicts), len(answer.tickets)) == ([], 1)


async def test_verdicts_stand_in_the_order_of_the_outcomes(stored: WiredMaster) -> None:
    worker, other = await stored.worker("a"), await stored.worker("b")
    await stored.submit_many(4)
    done, changed, fresh = await worker.request(max_tasks=3)
    (foreign,) = await other.request(max_tasks=1)
    await worker.report(succeeded(done), succeeded(changed))
    unknown = pb.Outcome(lease_token="987654.1.x", released={})
    answer = await worker.report(
        succeeded(done),
        succeeded(changed, b"another word"),
        succeeded(foreign),
        unknown,
        failed(fresh),
    )
    assert answer.verdicts == [ACCEPTED, CONFLICT, STALE, UNKNOWN, ACCEPTED]
    assert (await stored.get(changed.task_id)).result.data == b"42"
    assert (await stored.get(foreign.task_id)).state == task_pb2.TASK_STATE_RUNNING


async def test_success_is_kept_with_its_content_type(stored: WiredMaster) -> None:
    worker = await stored.worker()
    (task_id,) = await stored.submit()
    (ticket,) = await worker.request()
    await worker.report(succeeded(ticket, b"\x00\x01"))
    shown = await stored.get(task_id)
    assert shown.state == task_pb2.TASK_STATE_SUCCEEDED
    assert (shown.result.data, shown.result.content_type) == (b"\x00\x01", "application/json")
    assert shown.ended_at.ToMilliseconds() == stored.clock.wall_ms
    assert shown.expires_at.ToMilliseconds() == stored.clock.wall_ms + stored.policy.retention_ms
    assert shown.revision == 1


async def test_failure_is_kept_cut_to_its_bounds(stored: WiredMaster) -> None:
    worker = await stored.worker()
    (task_id,) = await stored.submit()
    (ticket,) = await worker.request()
    details = "begin" + "x" * 40_000 + "end"
    await worker.report(
        failed(ticket, type="T" * 300, message="m" * 5_000, details=details, retryable=False)
    )
    failure = (await stored.get(task_id)).failure
    assert failure.kind == task_pb2.FAILURE_KIND_APPLICATION
    assert (len(failure.type), len(failure.message)) == (256, 4_096)
    assert len(failure.details) == 32 * 1_024
    assert failure.details.endswith("end")


@pytest.mark.parametrize("by", ["cancelled", "timed out", "requeued"])
async def test_a_late_report_is_a_stale_lease(master: WiredMaster, by: str) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit(execution_timeout={"seconds": 1})
    (ticket,) = await worker.request()
    if by == "cancelled":
        await master.tasks.CancelTasks(task_service_pb2.CancelTasksRequest(task_ids=[task_id]))
    elif by == "timed out":
        await master.advance(1_000 + master.policy.overrun_ms)
    else:
        for _ in range(2):
            await master.advance(master.policy.heartbeat_ms // 10)
            await master.advance(master.policy.heartbeat_ms)
            await worker.heartbeat()
    before = await master.get(task_id)
    assert (await worker.report(succeeded(ticket))).verdicts == [STALE]
    assert await master.get(task_id) == before


async def test_released_costs_no_attempt_of_the_policy(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    released = pb.Outcome(lease_token=ticket.lease_token, released={})
    assert (await worker.report(released)).verdicts == [ACCEPTED]
    assert (await worker.report(released)).verdicts == [ACCEPTED]
    shown = await master.get(task_id)
    assert (shown.state, shown.failures) == (task_pb2.TASK_STATE_QUEUED, 0)
    assert shown.attempts[0].end == task_pb2.ATTEMPT_END_RELEASED


async def test_a_failed_attempt_backs_off_and_the_story_is_told(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit(retry={"max_attempts": 2, "initial_backoff": {"seconds": 2}})
    (ticket,) = await worker.request()
    await worker.report(failed(ticket, message="first"))
    shown = await master.get(task_id)
    assert shown.state == task_pb2.TASK_STATE_SCHEDULED
    assert 1_800 <= shown.ready_at.ToMilliseconds() - master.clock.wall_ms <= 2_000
    await master.advance(2_000)
    (ticket,) = await worker.request()
    await worker.report(failed(ticket, message="second"))
    shown = await master.get(task_id)
    assert (shown.state, shown.failures) == (task_pb2.TASK_STATE_FAILED, 2)
    assert [(each.number, each.failure.message) for each in shown.attempts] == [
        (1, "first"),
        (2, "second"),
    ]


async def test_tickets_with_large_headers_still_fit_into_one_answer(master: WiredMaster) -> None:
    worker = await master.worker(slots=1_000)
    for _ in range(3):
        await master.submit_many(350, headers={"h": "x" * 8_000})
    assert await worker.request(max_tasks=1_000)
