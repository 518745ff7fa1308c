"""How an attempt goes: started, in progress, timed out, lost on its way, given up on."""

from __future__ import annotations

from typing import Any

import pytest
from world import POLICY, Worker, World, failure, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Revoked
from pullwork_master.core.limits import (
    HISTORY_DETAILS_CHARS_MAX,
    PROGRESS_MESSAGE_CHARS_MAX,
)
from pullwork_master.core.model import AttemptEnd, Failure, FailureKind, Retry, State

HEARTBEAT_MS = POLICY.heartbeat_ms


def holding(world: World, **more: Any) -> Worker:
    """Has a worker hold the first attempt of task 1."""
    worker = world.join("w1")
    world.submit(spec(1, **more))
    world.request(worker, 1)
    return worker


def beat(world: World, worker: Worker, times: int = 1, **said: Any) -> None:
    """Passes heartbeats in which the worker lists what it holds."""
    for _ in range(times):
        world.pass_time(HEARTBEAT_MS)
        world.tell_held(worker, *(c.Held(token, True, **said) for token in worker.held))


# --- what never arrived ---------------------------------------------------------------------


def test_a_lease_that_two_heartbeats_in_a_row_do_not_list_goes_back_at_no_cost(
    world: World,
) -> None:
    worker = holding(world)
    for state in (State.RUNNING, State.QUEUED):
        world.pass_time(HEARTBEAT_MS)
        world.heartbeat(worker, ())
        assert world.task(1).state is state
    task = world.task(1)
    assert (task.failures, task.deaths) == (0, 0)
    assert task.history[-1].end is AttemptEnd.UNDELIVERED


def test_a_lease_that_is_listed_now_and_then_stands(world: World) -> None:
    worker = holding(world)
    for _ in range(10):
        world.pass_time(HEARTBEAT_MS)
        world.heartbeat(worker, ())
        world.pass_time(HEARTBEAT_MS)
        world.heartbeat(worker)
    assert world.task(1).state is State.RUNNING


def test_a_ticket_that_may_still_be_on_its_way_is_not_missed(world: World) -> None:
    worker = holding(world)
    for _ in range(5):
        world.heartbeat(worker, ())
    world.pass_time(HEARTBEAT_MS - 1)
    world.heartbeat(worker, ())
    assert world.session(worker).held


def test_a_ticket_that_was_sent_again_is_on_its_way_anew(world: World) -> None:
    """Found by the simulator: heartbeats from before the repeat took back what it brought."""
    worker = world.join()
    world.submit(spec(1))
    world.request(worker, 1, request_id="r")
    world.pass_time(HEARTBEAT_MS)
    world.heartbeat(worker, ())
    world.request(worker, 1, request_id="r")
    world.heartbeat(worker, ())
    assert world.task(1).state is State.RUNNING


def test_a_worker_is_told_which_of_its_leases_are_worth_nothing(world: World) -> None:
    worker = holding(world)
    token = worker.token
    world.cancel(spec(1).id)
    assert world.heartbeat(worker, (token, "7.1.x")) == c.HeartbeatAnswer(
        (token, "7.1.x"), False, POLICY.heartbeat_ms
    )


def test_a_slot_that_was_taken_back_is_given_to_the_request_that_waits(world: World) -> None:
    worker = world.join("w1", slots=1, look_ahead_max=0)
    world.submit(spec(1))
    world.ask(c.Request(worker.session, 1))  # the answer is lost
    assert world.request(worker, 1, wait_ms=60_000) is None
    for _ in range(2):
        world.pass_time(HEARTBEAT_MS)
        world.heartbeat(worker, ())
    assert world.task(1).attempt == 2
    assert len(worker.held) == 1


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_slot_that_is_freed_from_outside_is_given_to_the_request_that_waits(
    world: World, how: str
) -> None:
    worker = world.join("w1", slots=1, look_ahead_max=0)
    world.submit(spec(1, execution_timeout_ms=500), spec(2))
    world.request(worker, 1)
    world.request(worker, 1, wait_ms=60_000)
    if how == "cancel":
        world.cancel(spec(1).id)
    else:
        world.pass_time(500 + POLICY.overrun_ms)
    assert world.task(2).state is State.RUNNING


# --- deaths ---------------------------------------------------------------------------------


def test_a_death_is_counted_apart_from_failures(world: World) -> None:
    worker = holding(world)
    world.report(worker, failure(worker.token, FailureKind.WORKER_LOST))
    task = world.task(1)
    assert (task.state, task.deaths, task.failures) == (State.QUEUED, 1, 0)
    assert task.history[-1].end is AttemptEnd.WORKER_LOST


def test_a_task_that_was_not_started_costs_no_death(world: World) -> None:
    worker = holding(world)
    world.heartbeat(worker, started=False)
    world.break_stream(worker)
    world.pass_time(POLICY.grace_ms)
    task = world.task(1)
    assert (task.state, task.deaths) == (State.QUEUED, 0)
    assert task.history[-1].end is AttemptEnd.RELEASED


def test_a_task_of_which_it_is_not_known_whether_it_was_started_counts_as_such(
    world: World,
) -> None:
    worker = holding(world)
    world.break_stream(worker)
    world.pass_time(POLICY.grace_ms)
    assert world.task(1).deaths == 1


def test_a_task_that_kills_its_workers_is_set_aside_with_evidence(world: World) -> None:
    world.submit(spec(1, max_worker_deaths=2, retry=Retry(max_attempts=10)))
    for number in (1, 2):
        worker = world.join("w1", boot=f"boot {number}")
        world.request(worker, 1)
        world.heartbeat(worker)
        world.break_stream(worker)
        world.pass_time(POLICY.grace_ms)
    task = world.task(1)
    assert (task.state, task.deaths, task.failures) == (State.FAILED, 2, 0)
    assert task.failure is not None
    assert task.failure.kind is FailureKind.WORKER_LOST
    assert task.failure.message == (
        f"worker 'w1' (session {worker.session}) was lost during attempt 2: its stream broke"
    )
    assert [(line.worker, line.end) for line in task.history] == [
        ("w1", AttemptEnd.WORKER_LOST),
        ("w1", AttemptEnd.WORKER_LOST),
    ]


# --- failures -------------------------------------------------------------------------------


def test_a_failure_is_followed_by_another_attempt_after_the_backoff(world: World) -> None:
    worker = holding(world, retry=Retry(2, initial_ms=1_000, max_ms=1_000))
    world.report(worker, failure(worker.token))
    task = world.task(1)
    assert (task.state, task.failures) == (State.SCHEDULED, 1)
    assert 900 <= task.ready_ms - world.wall_ms <= 1_000
    world.pass_time(1_000)
    assert world.task(1).state is State.QUEUED
    world.request(worker, 1)
    world.report(worker, failure(worker.token))
    assert world.task(1).state is State.FAILED


@pytest.mark.parametrize(
    "told",
    [
        Failure(FailureKind.APPLICATION, retryable=False),
        Failure(FailureKind.REJECTED),
    ],
    ids=["not retryable", "rejected"],
)
def test_a_failure_that_would_only_come_again_is_final(world: World, told: Failure) -> None:
    worker = holding(world, retry=Retry(max_attempts=5))
    world.report(worker, c.Outcome(worker.token, told, b"d"))
    assert world.task(1).state is State.FAILED


def test_a_ticket_that_comes_back_unstarted_costs_nothing(world: World) -> None:
    worker = holding(world)
    for attempt in range(1, 8):
        assert world.task(1).attempt == attempt
        world.report(worker, released(worker.token), tasks=1)
    assert (world.task(1).failures, world.task(1).deaths) == (0, 0)


def test_a_long_detail_is_kept_whole_for_the_last_failure_only(world: World) -> None:
    worker = holding(world)
    details = "x" * HISTORY_DETAILS_CHARS_MAX + "the end"
    told = Failure(FailureKind.APPLICATION, details=details)
    world.report(worker, c.Outcome(worker.token, told, b"d"))
    task = world.task(1)
    assert task.failure is not None
    assert task.failure.details == details
    kept = task.history[-1].failure
    assert kept is not None
    assert len(kept.details) == HISTORY_DETAILS_CHARS_MAX
    assert kept.details.endswith("the end"), "a traceback's end says most"


# --- timeouts -------------------------------------------------------------------------------


def test_an_attempt_that_outlives_its_time_is_failed_and_its_worker_told(world: World) -> None:
    worker = holding(world, execution_timeout_ms=5_000)
    token = worker.token
    beat(world, worker, times=6)
    world.pass_time(POLICY.overrun_ms - HEARTBEAT_MS - 1)
    assert world.task(1).state is State.RUNNING, "the worker's own report has the first word"
    world.pass_time(1)
    task = world.task(1)
    assert (task.state, task.failures, task.deaths) == (State.FAILED, 1, 0)
    assert task.failure is not None
    assert task.failure.kind is FailureKind.TIMEOUT
    (revoked,) = world.news_of(worker, Revoked)
    assert revoked == Revoked((token,), "ran longer than its 5000 ms")


def test_an_attempt_without_progress_is_failed(world: World) -> None:
    worker = holding(world, progress_timeout_ms=2_500)
    beat(world, worker, times=2)
    assert world.task(1).state is State.RUNNING
    world.pass_time(500)
    assert world.task(1).state is State.FAILED, "to be listed is no progress"


@pytest.mark.parametrize(
    "said", [{"fraction": 0.5}, {"message": "half"}, {"checkpoint": b"half"}], ids=str
)
def test_each_kind_of_progress_extends_the_time(world: World, said: dict[str, Any]) -> None:
    worker = holding(world, progress_timeout_ms=1_500)
    beat(world, worker, times=10, **said)
    assert world.task(1).state is State.RUNNING
    world.pass_time(1_500)
    assert world.task(1).state is State.FAILED


def test_progress_does_not_extend_the_time_of_the_whole(world: World) -> None:
    worker = holding(world, progress_timeout_ms=1_500, execution_timeout_ms=4_000)
    beat(world, worker, times=10, fraction=0.5)
    assert world.task(1).state is State.FAILED


def test_a_timeout_longer_than_many_looks_comes_at_its_moment(world: World) -> None:
    worker = holding(world, execution_timeout_ms=60_000)
    beat(world, worker, times=61)
    assert world.task(1).state is State.RUNNING
    world.pass_time(1_000)
    assert world.task(1).state is State.FAILED


def test_the_timeout_of_an_earlier_attempt_does_not_end_a_later_one(world: World) -> None:
    worker = holding(world, execution_timeout_ms=5_000)
    beat(world, worker, times=6)
    world.report(worker, released(worker.token), tasks=1)
    beat(world, worker, times=4)
    assert world.task(1).state is State.RUNNING
    assert world.task(1).attempt == 2


# --- progress and checkpoints ---------------------------------------------------------------


def test_progress_is_kept_in_memory_and_never_written(world: World) -> None:
    worker = holding(world)
    before = world.task(1)
    beat(world, worker, fraction=0.25, message="m" * 5_000)
    assert world.task(1) is before
    (task,) = world.session(worker).held.values()
    assert task.lease is not None
    assert task.lease.fraction == 0.25
    assert len(task.lease.message) == PROGRESS_MESSAGE_CHARS_MAX


def test_a_checkpoint_is_durable_and_given_to_the_next_attempt(world: World) -> None:
    worker = holding(world)
    beat(world, worker, checkpoint=b"page 7")
    assert world.task(1).checkpoint == b"page 7"
    world.restart()
    next_worker = world.join("w1", boot="another")
    world.request(next_worker, 1)
    (grant,) = next_worker.held.values()
    assert (grant.attempt, grant.checkpoint) == (2, b"page 7")


def test_a_stale_lease_saves_no_checkpoint(world: World) -> None:
    worker = holding(world, retry=Retry(max_attempts=2, initial_ms=0, max_ms=0))
    stale = worker.token
    world.report(worker, failure(stale))
    world.pass_time(1)
    world.request(worker, 1)
    world.tell_held(worker, c.Held(worker.token, True), c.Held(stale, True, checkpoint=b"old"))
    assert world.task(1).checkpoint == b""


def test_a_result_ends_everything(world: World) -> None:
    worker = holding(world, execution_timeout_ms=1_000, progress_timeout_ms=1_000)
    world.report(worker, success(worker.token))
    beat(world, worker, times=10)
    task = world.task(1)
    assert (task.state, task.failures, task.failure) == (State.SUCCEEDED, 0, None)
