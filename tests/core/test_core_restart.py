"""What a master that was killed finds again, and how workers take up their work."""

from __future__ import annotations

from typing import Any

from world import POLICY, RECONCILE_MS, Worker, World, failure, refused, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.model import AttemptEnd, FailureKind, State
from pullwork_master.core.rejections import Reason


def restarted(world: World, **more: Any) -> Worker:
    """Has a worker hold task 1 when the master is killed and started."""
    worker = world.join("w1")
    world.submit(spec(1, **more))
    world.request(worker, 1)
    world.heartbeat(worker)
    world.restart()
    return worker


def test_a_worker_that_comes_back_keeps_what_it_holds(world: World) -> None:
    worker = restarted(world)
    refused(world.heartbeat(worker), Reason.SESSION_LOST)
    world.register(worker)
    assert len(worker.held) == 1
    assert world.task(1).attempt == 1
    assert world.verdict(worker, success(worker.token)) is c.Verdict.ACCEPTED


def test_what_nobody_comes_back_for_is_queued_again_when_the_window_closes(world: World) -> None:
    restarted(world)
    world.pass_time(RECONCILE_MS - 1)
    assert world.task(1).state is State.RUNNING
    world.pass_time(1)
    task = world.task(1)
    assert (task.state, task.deaths) == (State.QUEUED, 1)
    assert task.failure is not None
    assert "did not come back" in task.failure.message


def test_whoever_comes_back_after_the_window_is_refused_by_name(world: World) -> None:
    worker = restarted(world)
    token = worker.token
    world.pass_time(RECONCILE_MS)
    other = world.join("w2")
    world.request(other, 1)
    world.register(worker)
    assert worker.held == {}, "ABANDON"
    assert world.verdict(worker, success(token)) is c.Verdict.STALE_LEASE
    assert world.verdict(other, success(other.token)) is c.Verdict.ACCEPTED


def test_what_never_reached_the_worker_goes_back_at_once_and_at_no_cost(world: World) -> None:
    worker = restarted(world)
    worker.held.clear()
    world.register(worker)
    task = world.task(1)
    assert (task.state, task.deaths, task.failures) == (State.QUEUED, 0, 0)
    assert task.history[-1].end is AttemptEnd.UNDELIVERED


def test_another_process_of_the_same_name_says_that_the_first_is_dead(world: World) -> None:
    restarted(world)
    successor = world.join("w1", boot="another")
    assert world.task(1).state is State.QUEUED
    world.request(successor, 1)
    assert world.task(1).attempt == 2


def test_another_process_cannot_take_what_a_ghost_holds(world: World) -> None:
    worker = restarted(world)
    thief = Worker("w2", "another boot", held=dict(worker.held))
    world.workers.append(thief)
    world.register(thief)
    assert thief.held == {}
    assert world.task(1).state is State.RUNNING


def test_a_ghost_is_no_worker_for_anybody(world: World) -> None:
    worker = restarted(world)
    refused(world.ask(c.Drain("w1")), Reason.WORKER_NOT_FOUND)
    refused(world.ask(c.Evict(worker.session)), Reason.WORKER_NOT_FOUND)
    assert world.ask(c.Deregister(worker.session)) == 0
    assert world.task(1).state is State.RUNNING


def test_a_moved_lease_is_known_again_after_a_second_restart(world: World) -> None:
    worker = restarted(world)
    world.register(worker)
    world.restart()
    world.register(worker)
    assert len(worker.held) == 1
    world.restart()
    world.register(worker)
    assert world.verdict(worker, success(worker.token)) is c.Verdict.ACCEPTED


def test_session_ids_never_repeat_over_restarts(world: World) -> None:
    worker = world.join("w1")
    seen = {worker.session}
    for _ in range(5):
        world.restart()
        world.register(worker)
        assert worker.session not in seen
        seen.add(worker.session)


def test_timeouts_go_on_after_a_restart(world: World) -> None:
    worker = restarted(world, execution_timeout_ms=3_000)
    world.register(worker)
    for _ in range(6):
        world.pass_time(1_000)
        world.heartbeat(worker)
    assert world.task(1).state is State.FAILED


def test_the_time_of_the_restart_is_no_lack_of_progress(world: World) -> None:
    worker = restarted(world, progress_timeout_ms=500)
    world.pass_time(RECONCILE_MS - 1)
    world.register(worker)
    assert world.task(1).state is State.RUNNING
    world.pass_time(501)
    assert world.task(1).state is State.FAILED


def test_all_that_waits_is_found_again_in_its_order(world: World) -> None:
    numbers = list(range(1, 4 * POLICY.window_tasks))
    world.submit(*(spec(number, priority=number % 3) for number in numbers))
    world.submit(spec(100), delay_ms=5_000)
    world.restart()
    worker = world.join("w1", slots=100)
    order: list[int] = []
    while len(order) < len(numbers):
        world.request(worker, 1, wait_ms=1_000)
        (grant,) = worker.held.values()
        order.append(int(grant.spec.id[-12:]))
        world.report(worker, success(grant.token))
    assert order == sorted(numbers, key=lambda number: (-(number % 3), number))
    world.pass_time(5_000)
    assert world.task(100).state is State.QUEUED


def test_a_start_holds_no_more_in_memory_than_runs_until_somebody_asks(world: World) -> None:
    world.submit(*(spec(number) for number in range(1, 100)))
    world.restart()
    assert (world.core.book.tasks, world.core.hungry()) == ({}, False)
    worker = world.join("w1")
    assert world.core.hungry()
    world.request(worker, 1, wait_ms=1_000)
    assert [grant.spec.id for grant in worker.held.values()] == [spec(1).id]
    assert len(world.core.book.tasks) <= 2 * POLICY.window_tasks


def test_counts_of_failures_and_deaths_survive(world: World) -> None:
    worker = restarted(world, max_worker_deaths=3)
    world.register(worker)
    world.report(worker, failure(worker.token, FailureKind.WORKER_LOST))
    world.restart()
    assert world.task(1).deaths == 1


def test_a_pause_of_a_queue_survives(world: World) -> None:
    world.submit(spec(1))
    world.ask(c.SetPaused("default", True))
    world.restart()
    worker = world.join("w1")
    assert world.request(worker, 1) == ()
