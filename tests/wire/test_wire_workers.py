"""Register, Heartbeat and Deregister: a worker's session, from its first word to its last."""

from __future__ import annotations

import pytest
from wired_master import MASTER, WiredMaster, held, refusal, serving, succeeded, until

from pullwork.errors import SessionLostError, TooManyRequestsError
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import registry_service_pb2 as registry
from pullwork.v1 import task_pb2, worker_pb2
from pullwork_master.storage.memory import MemoryStorage

KEEP, ABANDON = pb.HELD_DECISION_KEEP, pb.HELD_DECISION_ABANDON


async def test_register_answers_with_the_session_and_the_rules(master: WiredMaster) -> None:
    told = (await master.worker()).registered
    policy = master.policy
    assert told.session_id
    assert told.term == master.engine.term >= 1
    assert told.heartbeat_interval.ToMilliseconds() == policy.heartbeat_ms
    assert told.grace.ToMilliseconds() == policy.grace_ms
    assert told.silence_grace.ToMilliseconds() == policy.silence_grace_ms
    assert told.lease_duration.ToMilliseconds() == policy.lease_ms(policy.heartbeat_ms)
    assert list(told.masters) == [MASTER]
    assert told.payload_bytes_max == policy.payload_bytes_max
    assert not told.held_verdicts


async def test_the_same_name_of_another_process_ends_the_former_session(
    master: WiredMaster,
) -> None:
    former = await master.worker("w", boot_id="one")
    (task_id,) = await master.submit()
    (ticket,) = await former.request()
    await former.heartbeat(held(ticket))
    after = await master.worker("w", boot_id="two")
    assert isinstance(await refusal(former.heartbeat()), SessionLostError)
    (again,) = await after.request()
    assert (again.task_id, again.attempt) == (task_id, 2)
    assert (await master.get(task_id)).worker_deaths == 1


async def test_the_same_process_takes_its_leases_along(master: WiredMaster) -> None:
    former = await master.worker("w", boot_id="one")
    kept_id, never_arrived_id = await master.submit_many(2)
    kept, _ = await former.request()
    garbage = worker_pb2.HeldLease(lease_token="no token at all")
    after = await master.worker("w", boot_id="one", held=[held(kept), garbage])
    verdicts = after.registered.held_verdicts
    assert [each.lease_token for each in verdicts] == [kept.lease_token, "no token at all"]
    assert [each.decision for each in verdicts] == [KEEP, ABANDON]
    assert (await after.report(succeeded(kept))).verdicts == [pb.VERDICT_ACCEPTED]
    assert (await master.get(kept_id)).state == task_pb2.TASK_STATE_SUCCEEDED
    back = await master.get(never_arrived_id)
    assert back.state == task_pb2.TASK_STATE_QUEUED
    assert back.attempts[0].end == task_pb2.ATTEMPT_END_UNDELIVERED
    assert back.worker_deaths == 0


async def test_a_lease_of_another_process_is_abandoned(master: WiredMaster) -> None:
    await master.submit()
    (ticket,) = await (await master.worker("a")).request()
    thief = await master.worker("b", held=[held(ticket)])
    assert [each.decision for each in thief.registered.held_verdicts] == [ABANDON]


async def test_progress_in_a_register_counts_as_in_a_heartbeat(master: WiredMaster) -> None:
    worker = await master.worker("w")
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    await master.worker("w", held=[held(ticket, fraction=0.25, message="a quarter")])
    progress = (await master.get(task_id)).progress
    assert (progress.fraction, progress.message) == (0.25, "a quarter")


async def test_get_shows_the_progress_that_heartbeats_bring_and_no_more_after_the_end(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    await worker.heartbeat(held(ticket, fraction=0.5))
    await worker.heartbeat(held(ticket, message="half"))
    await worker.heartbeat(held(ticket))
    shown = await master.get(task_id)
    assert (shown.progress.fraction, shown.progress.message) == (0.5, "half")
    assert (shown.worker, shown.session_id) == ("w", worker.session_id)
    await worker.report(succeeded(ticket))
    assert not (await master.get(task_id)).HasField("progress")


async def test_a_checkpoint_goes_to_the_next_attempt(stored: WiredMaster) -> None:
    worker = await stored.worker()
    await stored.submit()
    (ticket,) = await worker.request()
    assert ticket.checkpoint == b""
    await worker.heartbeat(held(ticket, checkpoint=b"got this far"))
    await worker.report(pb.Outcome(lease_token=ticket.lease_token, released={}))
    (again,) = await worker.request()
    assert (again.attempt, again.checkpoint) == (2, b"got this far")


async def test_heartbeat_names_the_leases_that_are_worth_nothing(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit_many(2)
    good, gone = await worker.request()
    await worker.report(succeeded(gone))
    answer = await worker.heartbeat(held(good), held(gone), worker_pb2.HeldLease(lease_token="?"))
    assert list(answer.abandon) == [gone.lease_token, "?"]
    assert not answer.drain
    assert answer.heartbeat_interval.ToMilliseconds() == master.policy.heartbeat_ms


async def test_a_lease_that_two_heartbeats_do_not_list_goes_back(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    await master.advance(master.policy.heartbeat_ms)
    await worker.heartbeat()
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_RUNNING
    await master.advance(master.policy.heartbeat_ms)
    await worker.heartbeat()
    back = await master.get(task_id)
    assert back.state == task_pb2.TASK_STATE_QUEUED
    assert (await worker.report(succeeded(ticket))).verdicts == [pb.VERDICT_STALE_LEASE]


async def test_a_heartbeat_brings_the_load_to_the_list_of_workers(master: WiredMaster) -> None:
    worker = await master.worker()
    load = worker_pb2.Load(cpu=0.5, memory=0.25, slots_busy=3)
    await worker.heartbeat(load=load)
    (shown,) = (await master.registry.ListWorkers(registry.ListWorkersRequest())).workers
    assert shown.load == load


async def test_deregister_gives_the_leases_back_at_no_cost(master: WiredMaster) -> None:
    worker = await master.worker()
    task_ids = await master.submit_many(2)
    await worker.request()
    assert await worker.leave("end of its shift") == 2
    assert await worker.leave() == 0
    for task_id in task_ids:
        back = await master.get(task_id)
        assert back.state == task_pb2.TASK_STATE_QUEUED
        assert (back.worker_deaths, back.failures) == (0, 0)
    lost = await refusal(worker.heartbeat())
    assert "end of its shift" in str(lost)


async def test_a_broken_stream_is_forgiven_within_the_grace(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    stream = await worker.listening()
    stream.cancel()
    await until(lambda: not master.listening(), "the broken stream is noticed")
    await worker.listening()
    await master.advance(master.policy.grace_ms)
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_RUNNING
    assert (await worker.report(succeeded(ticket))).verdicts == [pb.VERDICT_ACCEPTED]


async def test_after_the_grace_the_tasks_go_to_others_with_the_same_owner(
    master: WiredMaster,
) -> None:
    worker = await master.worker("a")
    await master.submit(owner="me")
    (ticket,) = await worker.request()
    stream = await worker.listening()
    stream.cancel()
    await until(lambda: not master.listening(), "the broken stream is noticed")
    await master.advance(master.policy.grace_ms)
    lost = await refusal(worker.report(succeeded(ticket)))
    assert isinstance(lost, SessionLostError)
    (again,) = await (await master.worker("b")).request()
    assert (again.task_id, again.attempt, again.owner) == (ticket.task_id, 2, "me")


@pytest.mark.parametrize("open_stream", [True, False])
async def test_a_silent_worker_is_given_up_after_the_silence_and_its_grace(
    master: WiredMaster, *, open_stream: bool
) -> None:
    worker = await master.worker()
    if open_stream:
        await worker.listening()
    await master.advance(
        master.policy.lease_ms(master.policy.heartbeat_ms) + master.policy.heartbeat_ms
    )
    assert isinstance(await refusal(worker.heartbeat()), SessionLostError)


async def test_no_more_workers_than_there_is_room_for_and_when_to_try_again() -> None:
    async with serving(MemoryStorage(), sessions_max=1) as master:
        first = await master.worker("a")
        full = await refusal(master.worker("b"))
        assert isinstance(full, TooManyRequestsError)
        assert full.retry_after_s
        await first.leave()
        await master.worker("b")
