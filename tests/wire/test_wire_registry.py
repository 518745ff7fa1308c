"""QueueService and RegistryService: what operators see and do."""

from __future__ import annotations

from typing import Any

import pytest
from wired_master import MASTER, WiredMaster, failed, read, refusal, until

from pullwork.errors import SessionLostError, WorkerNotFoundError
from pullwork.v1 import queue_pb2, task_pb2, task_service_pb2, worker_pb2
from pullwork.v1 import queue_service_pb2 as q
from pullwork.v1 import registry_service_pb2 as r
from pullwork_master.core.effects import MemberChange
from pullwork_master.wire import registry_service

# --- queues --------------------------------------------------------------------------------


async def _queue(master: WiredMaster, name: str) -> queue_pb2.Queue:
    return (await master.queues.GetQueue(q.GetQueueRequest(name=name))).queue


async def test_the_default_queue_is_always_there_and_others_come_with_their_first_task(
    stored: WiredMaster,
) -> None:
    names = [each.name for each in (await stored.queues.ListQueues(q.ListQueuesRequest())).queues]
    assert names == ["default"]
    await stored.submit(queue="b")
    await stored.submit(queue="a")
    listed = (await stored.queues.ListQueues(q.ListQueuesRequest())).queues
    assert [each.name for each in listed] == ["a", "b", "default"]
    assert listed[0].created_at.ToMilliseconds() == stored.clock.wall_ms


async def test_a_queue_counts_its_tasks_and_the_workers_of_each_type(stored: WiredMaster) -> None:
    worker = await stored.worker(task_types=["t", "u"], queues=["q"])
    await stored.worker("other", task_types=["t"], queues=["elsewhere"])
    await stored.submit_many(3, queue="q", type="t")
    await stored.submit_many(2, queue="q", type="v")
    await stored.submit(queue="q", type="t", delay={"seconds": 5})
    await worker.request(max_tasks=1)
    shown = await _queue(stored, "q")
    assert (shown.waiting, shown.scheduled, shown.running, shown.paused) == (4, 1, 1, False)
    lines = {line.type: (line.waiting, line.running, line.workers) for line in shown.lines}
    assert (lines["t"], lines["v"]) == ((2, 1, 1), (2, 0, 0))
    assert list(lines) == sorted(lines)


async def test_pause_and_resume_may_be_repeated_and_outlive_a_call(stored: WiredMaster) -> None:
    for _ in range(2):
        answer = await stored.queues.PauseQueue(q.PauseQueueRequest(name="default"))
        assert answer.queue.paused
    assert (await _queue(stored, "default")).paused
    await stored.submit()
    worker = await stored.worker()
    assert await worker.request() == []
    for _ in range(2):
        answer = await stored.queues.ResumeQueue(q.ResumeQueueRequest(name="default"))
        assert not answer.queue.paused
    assert len(await worker.request()) == 1


async def test_limits_are_changed_one_by_one_and_shown_with_what_is_used(
    stored: WiredMaster,
) -> None:
    async def change(**request: Any) -> queue_pb2.Queue:
        answer = await stored.queues.SetQueueLimits(q.SetQueueLimitsRequest(name="q", **request))
        return answer.queue

    shown = await change(limits={"concurrency": 3, "rate_per_key": 0.25})
    assert (shown.limits.concurrency, shown.limits.rate_per_key, shown.limits.weight) == (
        3,
        0.25,
        1,
    )
    assert not shown.use.HasField("tokens")
    await change(limits={"rate": 2.0})
    await stored.submit_many(3, queue="q", limit_key="k")
    worker = await stored.worker(queues=["q"], slots=3)
    assert len(await worker.request(max_tasks=3)) == 1
    assert await worker.request(max_tasks=2) == []
    shown = await _queue(stored, "q")
    assert shown.limits == queue_pb2.QueueLimits(
        tasks_max=0,
        concurrency=3,
        rate=2.0,
        burst=0,
        concurrency_per_key=0,
        rate_per_key=0.25,
        burst_per_key=0,
        weight=1,
    )
    assert (shown.running, shown.use.tokens, shown.use.keys_held_back) == (1, 1, 1)
    shown = await change(limits={"concurrency": 0})
    assert (shown.limits.concurrency, shown.limits.rate) == (0, 2.0)
    shown = await change(clear=True)
    assert (shown.limits.rate, shown.limits.rate_per_key) == (0.0, 0.0)
    assert len(await worker.request(max_tasks=2)) == 2


async def test_a_queue_says_when_its_rate_lets_the_next_start(stored: WiredMaster) -> None:
    limits = {"rate": 0.5}
    await stored.queues.SetQueueLimits(q.SetQueueLimitsRequest(name="default", limits=limits))
    _, second = await stored.submit_many(2)
    worker = await stored.worker()
    await worker.request()
    await stored.advance(500)
    shown = await _queue(stored, "default")
    assert (shown.use.tokens, shown.use.next_token.ToMilliseconds()) == (0, 1_500)
    told = await stored.tasks.ExplainTask(task_service_pb2.ExplainTaskRequest(task_id=second))
    assert told.reason == task_service_pb2.WAIT_REASON_QUEUE_RATE
    assert "30 tasks a minute; the next may start in 1.5 s" in told.sentence


async def test_purge_cancels_all_that_waits_and_leaves_what_runs(stored: WiredMaster) -> None:
    worker = await stored.worker(queues=["q", "other"])
    await stored.submit_many(2_500, queue="q")
    await stored.submit(queue="q", delay={"seconds": 5})
    (spared,) = await stored.submit(queue="other")
    (running,) = await worker.request(max_tasks=1)
    purged = 2_501 if running.queue == "other" else 2_500
    answer = await stored.queues.PurgeQueue(q.PurgeQueueRequest(name="q"))
    assert answer.cancelled == purged
    assert (await stored.queues.PurgeQueue(q.PurgeQueueRequest(name="q"))).cancelled == 0
    assert (await stored.get(running.task_id)).state == task_pb2.TASK_STATE_RUNNING
    assert (await stored.get(spared)).state != task_pb2.TASK_STATE_CANCELLED


# --- members and workers -------------------------------------------------------------------


async def test_members_are_the_master_with_all_types_and_then_the_workers_by_name(
    master: WiredMaster,
) -> None:
    second = await master.worker("b", task_types=["u", "t"], version="9")
    first = await master.worker("a", task_types=["t"])
    members = (await master.registry.ListMembers(r.ListMembersRequest())).members
    assert [each.id for each in members] == [MASTER.id, first.session_id, second.session_id]
    assert list(members[0].task_types) == ["t", "u"]
    assert members[0].address == MASTER.address
    assert members[2] == worker_pb2.Member(
        id=second.session_id,
        name="b",
        role=worker_pb2.MEMBER_ROLE_WORKER,
        task_types=["u", "t"],
        version="9",
        joined_at=members[2].joined_at,
    )
    assert members[2].joined_at.ToMilliseconds() == master.clock.wall_ms


async def test_a_worker_is_shown_as_it_stands(master: WiredMaster) -> None:
    worker = await master.worker(
        "w", slots=3, look_ahead_max=2, labels={"zone": "a"}, version="1", queues=["q"]
    )
    await worker.listening()
    await master.submit(queue="q")
    await worker.request(max_tasks=1)
    await master.advance(700)
    (shown,) = (await master.registry.ListWorkers(r.ListWorkersRequest())).workers
    assert (shown.session_id, shown.name, shown.boot_id) == (worker.session_id, "w", "boot-w")
    assert (list(shown.queues), list(shown.task_types)) == (["q"], ["t"])
    assert (shown.slots, shown.look_ahead_max, shown.held) == (3, 2, 1)
    assert (dict(shown.labels), shown.version) == ({"zone": "a"}, "1")
    assert shown.state == worker_pb2.WORKER_STATE_CONNECTED
    assert (shown.listening, shown.parked, shown.draining) == (True, False, False)
    assert shown.silent_for.ToMilliseconds() == 700


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"queue": "q"}, ["b", "c"]),
        ({"task_type": "u"}, ["a", "c"]),
        ({"queue": "q", "task_type": "u"}, ["c"]),
        ({"state": worker_pb2.WORKER_STATE_SUSPECT}, ["a"]),
        ({"state": worker_pb2.WORKER_STATE_CONNECTED, "queue": "q"}, ["b", "c"]),
        ({"state": worker_pb2.WORKER_STATE_EXPIRED}, []),
    ],
)
async def test_workers_are_chosen_by_queue_type_and_state(
    master: WiredMaster, chosen: dict[str, Any], names: list[str]
) -> None:
    await master.worker("c", queues=["q"], task_types=["u"])
    await master.worker("b", queues=["q"], task_types=["t"])
    suspect = await master.worker("a", task_types=["u"])
    stream = await suspect.listening()
    stream.cancel()
    await until(lambda: not master.listening(), "the broken stream is noticed")
    found = (await master.registry.ListWorkers(r.ListWorkersRequest(**chosen))).workers
    assert [each.name for each in found] == names


async def test_drain_may_be_repeated_by_name_or_session(master: WiredMaster) -> None:
    worker = await master.worker()
    for who in ("w", worker.session_id):
        answer = await master.registry.DrainWorker(r.DrainWorkerRequest(worker=who))
        assert (answer.worker.session_id, answer.worker.draining) == (worker.session_id, True)


async def test_evict_ends_the_session_once_and_its_tasks_go_back(master: WiredMaster) -> None:
    worker = await master.worker()
    (task_id,) = await master.submit()
    (ticket,) = await worker.request()
    request = r.EvictWorkerRequest(worker=worker.session_id)
    assert (await master.registry.EvictWorker(request)).requeued == 1
    assert isinstance(await refusal(master.registry.EvictWorker(request)), WorkerNotFoundError)
    assert isinstance(await refusal(worker.report(failed(ticket))), SessionLostError)
    back = await master.get(task_id)
    assert (back.state, back.worker_deaths) == (task_pb2.TASK_STATE_QUEUED, 0)


# --- watch ---------------------------------------------------------------------------------


async def test_watch_begins_with_a_snapshot_and_goes_on_with_each_change(
    master: WiredMaster,
) -> None:
    first = await master.worker("a")
    stream = master.registry.WatchRegistry(r.WatchRegistryRequest())
    snapshot = (await read(stream)).snapshot
    assert [each.id for each in snapshot.members] == [MASTER.id, first.session_id]
    second = await master.worker("b")
    joined = await read(stream)
    assert (joined.WhichOneof("event"), joined.joined.id) == ("joined", second.session_id)
    await first.leave()
    left = await read(stream)
    assert (left.WhichOneof("event"), left.left.id) == ("left", first.session_id)


async def test_a_reader_that_fell_behind_gets_a_snapshot_again(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_service, "CHANGES_MAX", 3)
    stream = master.registry.WatchRegistry(r.WatchRegistryRequest())
    await read(stream)
    (reader,) = master.registry_readers()
    workers = [await master.worker(f"w{n}") for n in range(3)]
    seen = [await read(stream) for _ in workers]
    assert {each.WhichOneof("event") for each in seen} == {"joined"}
    (session, *_) = master.engine.core.book.sessions.values()
    for _ in range(9):  # in one breath, so that the stream can't run in between
        reader.put(MemberChange(session, joined=True))
    again = await read(stream)
    assert [each.name for each in again.snapshot.members] == ["master", "w0", "w1", "w2"]
    await master.worker("w3")
    assert (await read(stream)).joined.name == "w3"


async def test_a_task_that_ended_leaves_no_line_behind(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit(queue="once", type="rare")
    request = task_service_pb2.CancelTasksRequest(filter={"queue": "once"})
    await master.tasks.CancelTasks(request)
    assert list((await _queue(master, "once")).lines) == []
    await worker.leave()
