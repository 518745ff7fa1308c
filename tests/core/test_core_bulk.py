"""What operators and clients change afterwards: cancel, retry, purge, pause."""

from __future__ import annotations

from typing import Any

import pytest
from world import POLICY, Worker, World, failure, refused, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Available, Revoked
from pullwork_master.core.limits import PURGE_STEP
from pullwork_master.core.model import AttemptEnd, State
from pullwork_master.core.rejections import Reason


def submit(world: World, *which: int, **more: Any) -> None:
    world.submit(*(spec(number, **more) for number in which))


def chosen(answer: object) -> list[int]:
    assert isinstance(answer, c.Chosen), answer
    return [int(task_id[-12:]) for task_id in answer.task_ids]


def failed(world: World, *which: int) -> Worker:
    """Has tasks fail."""
    worker = world.join(slots=50)
    submit(world, *which)
    for _ in which:
        world.request(worker, 1, wait_ms=1_000)
    world.report(worker, *map(failure, worker.held))
    return worker


# --- cancel ---------------------------------------------------------------------------------


def test_a_cancelled_task_is_never_granted(world: World) -> None:
    submit(world, 1, 2)
    assert chosen(world.cancel(spec(1).id)) == [1]
    worker = world.join()
    world.request(worker, 2)
    assert [grant.spec.id for grant in worker.held.values()] == [spec(2).id]


def test_a_cancelled_delay_never_wakes(world: World) -> None:
    world.submit(spec(1), delay_ms=1_000)
    world.cancel(spec(1).id)
    world.pass_time(5_000)
    assert world.task(1).state is State.CANCELLED


def test_the_worker_of_a_cancelled_task_is_told_to_stop_and_its_result_is_refused(
    world: World,
) -> None:
    worker = world.join()
    submit(world, 1)
    world.request(worker, 1)
    token = worker.token
    world.cancel(spec(1).id)
    assert world.news_of(worker, Revoked) == [Revoked((token,), "the task was cancelled")]
    assert world.heartbeat(worker) == c.HeartbeatAnswer((token,), False, POLICY.heartbeat_ms)
    assert world.verdict(worker, success(token)) is c.Verdict.STALE_LEASE
    assert world.task(1).history[-1].end is AttemptEnd.CANCELLED


def test_a_cancellation_that_names_an_ended_task_cancels_none(world: World) -> None:
    submit(world, 1, 2)
    world.cancel(spec(1).id)
    rejection = refused(world.cancel(spec(2).id, spec(1).id), Reason.TASK_ENDED)
    assert rejection.metadata == {"task_id": spec(1).id, "state": "CANCELLED"}
    assert world.task(2).state is State.QUEUED


def test_ended_tasks_are_passed_over_on_request(world: World) -> None:
    submit(world, 1, 2)
    world.cancel(spec(1).id)
    answer = world.ask(c.Cancel((spec(1).id, spec(2).id), skip_ended=True))
    assert chosen(answer) == [2]


def test_a_cancellation_that_names_an_unknown_task_cancels_none(world: World) -> None:
    submit(world, 1)
    refused(world.cancel(spec(1).id, spec(9).id), Reason.TASK_NOT_FOUND)
    assert world.task(1).state is State.QUEUED


def test_a_task_named_twice_is_cancelled_once(world: World) -> None:
    submit(world, 1)
    assert chosen(world.cancel(spec(1).id, spec(1).id)) == [1]


def test_a_task_on_disk_alone_is_cancelled(world: World) -> None:
    submit(world, *range(1, 40))
    assert chosen(world.cancel(spec(39).id)) == [39]
    assert world.task(39).state is State.CANCELLED


def test_a_filter_cancels_up_to_its_limit_and_says_whether_more_match(world: World) -> None:
    submit(world, 1, 3, 5, owner="me")
    submit(world, 2, 4, owner="you")
    mine = Filter(owner="me")
    answer = world.ask(c.Cancel(filter=mine, limit=2))
    assert (chosen(answer), answer.more) == ([1, 3], True)  # type: ignore[attr-defined]
    answer = world.ask(c.Cancel(filter=mine, limit=2))
    assert (chosen(answer), answer.more) == ([5], False)  # type: ignore[attr-defined]
    answer = world.ask(c.Cancel(filter=mine, limit=2))
    assert (chosen(answer), answer.more) == ([], False)  # type: ignore[attr-defined]
    assert world.task(2).state is State.QUEUED


@pytest.mark.parametrize(
    ("filter_", "matching"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(queue="mail"), [2]),
        (Filter(type="b"), [3]),
        (Filter(states=(State.SCHEDULED,)), []),
        (Filter(queue="mail", type="b"), []),
    ],
)
def test_all_that_a_filter_sets_must_match(
    world: World, filter_: Filter, matching: list[int]
) -> None:
    world.submit(spec(1), spec(2, queue="mail"), spec(3, type="b"))
    assert chosen(world.ask(c.Cancel(filter=filter_))) == matching


# --- retry ----------------------------------------------------------------------------------


def test_a_retried_task_starts_with_fresh_counts_and_goes_on_counting_attempts(
    world: World,
) -> None:
    worker = failed(world, 1)
    assert chosen(world.retry(spec(1).id)) == [1]
    task = world.task(1)
    assert (task.state, task.failures, task.deaths, task.failure) == (State.QUEUED, 0, 0, None)
    assert (task.ended_ms, task.expires_ms, task.revision) == (0, 0, 0)
    world.request(worker, 1)
    assert world.task(1).attempt == 2
    assert len(world.task(1).history) == 1, "the story goes on"


def test_a_cancelled_task_can_be_retried(world: World) -> None:
    submit(world, 1)
    world.cancel(spec(1).id)
    assert chosen(world.retry(spec(1).id)) == [1]


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED])
def test_what_waits_runs_or_succeeded_is_not_retried(world: World, state: State) -> None:
    worker = failed(world, 1)
    submit(world, 2)
    if state is not State.QUEUED:
        world.request(worker, 1)
    if state is State.SUCCEEDED:
        world.report(worker, success(worker.token))
    before = world.task(2)
    rejection = refused(world.retry(spec(1).id, spec(2).id), Reason.TASK_NOT_RETRYABLE)
    assert rejection.metadata == {"task_id": spec(2).id, "state": state.name}
    assert world.task(2) is before
    assert world.task(1).state is State.FAILED, "all or none"


def test_a_filter_retries_what_failed_and_the_cancelled_only_on_request(world: World) -> None:
    failed(world, 1, 2, 3)
    submit(world, 4)
    world.cancel(spec(4).id)
    answer = world.ask(c.Retry(filter=Filter(), limit=2))
    assert (chosen(answer), answer.more) == ([1, 2], True)  # type: ignore[attr-defined]
    answer = world.ask(c.Retry(filter=Filter(), limit=2))
    assert (chosen(answer), answer.more) == ([3], False)  # type: ignore[attr-defined]
    assert chosen(world.ask(c.Retry(filter=Filter(states=(State.CANCELLED,))))) == [4]


def test_an_end_that_was_taken_back_is_not_swept(world: World) -> None:
    worker = world.join()
    submit(world, 1, retention_ms=3_000)
    world.request(worker, 1)
    world.report(worker, failure(worker.token))
    world.retry(spec(1).id)
    for _ in range(10):
        world.pass_time(1_000)
        world.heartbeat(worker)
    assert world.task(1).state is State.QUEUED


# --- purge ----------------------------------------------------------------------------------


def test_a_purge_cancels_all_that_waits_and_leaves_what_runs(world: World) -> None:
    worker = world.join()
    submit(world, 1)
    world.request(worker, 1)
    submit(world, *range(2, 30))
    world.submit(spec(50), delay_ms=60_000)
    submit(world, 60, queue="mail")
    world.purge("default")
    states = {n: world.task(n).state for n in (1, 2, 29, 50, 60)}
    assert states == {
        1: State.RUNNING,
        2: State.CANCELLED,
        29: State.CANCELLED,
        50: State.CANCELLED,
        60: State.QUEUED,
    }


def test_a_purge_goes_in_steps_and_spares_what_comes_after_it_began(world: World) -> None:
    for first in range(1, PURGE_STEP + 2, 500):
        submit(world, *range(first, min(first + 500, PURGE_STEP + 2)))
    step = world.ask(c.PurgeStep("default"))
    assert isinstance(step, c.Purged)
    assert (step.cancelled, step.done) == (PURGE_STEP, False)
    submit(world, 5_000)
    step = world.ask(c.PurgeStep("default", step.before_seq))
    assert isinstance(step, c.Purged)
    assert (step.cancelled, step.done) == (1, True)
    assert world.task(5_000).state is State.QUEUED


def test_a_purge_of_an_unknown_queue_is_refused_and_does_not_shift_what_others_found(
    world: World,
) -> None:
    submit(world, 1)
    world.step([(9_001, c.PurgeStep("nowhere")), (9_002, c.Cancel(filter=Filter()))])
    refused(world.answers[9_001], Reason.QUEUE_NOT_FOUND)
    assert chosen(world.answers[9_002]) == [1]


# --- pause ----------------------------------------------------------------------------------


def test_nothing_is_granted_from_a_paused_queue_and_nobody_is_told_of_it(world: World) -> None:
    worker = world.join()
    submit(world, 1)
    world.request(worker, 1)
    world.ask(c.SetPaused("default", True))
    submit(world, 2)
    submit(world, 3, queue="mail")
    world.request(worker, 2)
    assert sorted(int(g.spec.id[-12:]) for g in worker.held.values()) == [1, 3]
    assert world.verdict(worker, success(next(iter(worker.held)))) is c.Verdict.ACCEPTED
    world.news.clear()
    submit(world, 4)
    assert world.news_of(worker, Available) == []


def test_a_resumed_queue_wakes_whoever_waits(world: World) -> None:
    parked, idle = world.join("w1"), world.join("w2")
    world.ask(c.SetPaused("default", True))
    submit(world, 1, 2, 3, 4)
    world.request(parked, 2, wait_ms=60_000)
    assert parked.held == {}
    world.ask(c.SetPaused("default", False))
    assert len(parked.held) == 2
    assert world.news_of(idle, Available)


def test_a_pause_is_safe_to_repeat(world: World) -> None:
    for paused in (True, True, False, False):
        queue = world.ask(c.SetPaused("default", paused))
        assert queue.paused is paused  # type: ignore[attr-defined]
