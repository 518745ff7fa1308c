"""How often workers speak: by the size of the fleet, and judged by what each was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from world import POLICY, Worker, World, spec

from pullwork_master.core import commands as c
from pullwork_master.core import pacing
from pullwork_master.core.model import Contact, State

# Ten workers keep the interval of a second; each more makes it longer.
POLICY_OF_TEN = replace(POLICY, beat_gap_ms=100, silence_grace_ms=2_000)


def beats(world: World, worker: Worker) -> int:
    """Has a worker send a heartbeat; returns the interval in the answer."""
    answer = world.heartbeat(worker)
    assert isinstance(answer, c.HeartbeatAnswer)
    return answer.interval_ms


def told(world: World, worker: Worker, others: Sequence[Worker] = ()) -> int:
    """Has workers send a heartbeat when it is time; returns the interval that the first is told."""
    world.pass_time(world.session(worker).beat_within_ms)
    for other in others:
        beats(world, other)
    return beats(world, worker)


def crowd(world: World, count: int) -> list[Worker]:
    return [world.join(f"crowd{number}") for number in range(count)]


def leave(world: World, workers: list[Worker]) -> None:
    for worker in workers:
        world.ask(c.Deregister(worker.session))


def believed(world: World, worker: Worker, ms: int) -> bool:
    """Whether a worker that says nothing is still CONNECTED after a while."""
    world.pass_time(ms)
    return world.session(worker).contact is Contact.CONNECTED


@pytest.mark.parametrize("workers", [1, 10, 11, 2_000, 100_000])
def test_heartbeats_come_no_faster_than_their_gap_and_no_slower_than_need_be(workers: int) -> None:
    interval_ms = POLICY_OF_TEN.interval_ms(workers)
    assert interval_ms >= POLICY_OF_TEN.heartbeat_ms
    assert interval_ms >= workers * POLICY_OF_TEN.beat_gap_ms
    assert interval_ms in (POLICY_OF_TEN.heartbeat_ms, workers * POLICY_OF_TEN.beat_gap_ms)


def test_those_who_come_at_once_do_not_beat_at_once() -> None:
    workers, policy = 2_000, replace(POLICY, heartbeat_ms=5_000, beat_gap_ms=5)
    first = sorted(pacing.first_ms(policy, workers, number + 1) for number in range(workers))
    assert first[-1] == policy.interval_ms(workers)
    assert first[0] >= policy.interval_ms(workers) // 2
    # In no tenth of a second are there more than twice as many as if they were spread evenly.
    most = max(sum(at <= each < at + 100 for each in first) for at in first[::50])
    assert most <= 2 * workers * 100 / (policy.interval_ms(workers) // 2)


def test_an_interval_follows_the_fleet_by_a_factor_of_two_an_answer_at_the_most() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 79)
    assert [told(world, worker, others) for _ in range(5)] == [2_000, 4_000, 8_000, 8_000, 8_000]
    leave(world, others)
    assert [told(world, worker) for _ in range(5)] == [4_000, 2_000, 1_000, 1_000, 1_000]


def test_a_newcomer_to_a_large_fleet_is_told_its_interval_at_once() -> None:
    world = World(POLICY_OF_TEN)
    crowd(world, 79)
    session = world.session(world.join())
    assert 4_000 < session.interval_ms <= 8_000


def test_who_was_told_a_long_interval_is_judged_by_it_though_the_fleet_shrank() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 39)
    for _ in range(3):
        interval_ms = told(world, worker, others)
    leave(world, others)
    assert believed(world, worker, 3 * interval_ms - 1)
    assert not believed(world, worker, 1)


def test_two_answers_in_a_row_may_be_lost_while_the_interval_shrinks() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 79)
    for _ in range(4):
        interval_ms = told(world, worker, others)
    leave(world, others)
    for _ in range(3):  # of these answers two in a row are lost: it goes on as before
        assert believed(world, worker, interval_ms)
        beats(world, worker)


def test_two_answers_in_a_row_may_be_lost_while_the_interval_grows() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    interval_ms = told(world, worker)
    others = crowd(world, 79)
    for _ in range(2):  # these answers never reach the worker: it expects ticks as before
        told(world, worker, others)
        assert world.session(worker).tick_within_ms < 3 * interval_ms


def test_what_was_told_stands_for_an_interval_however_often_the_worker_beats() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 39)
    for _ in range(3):
        told(world, worker, others)
    leave(world, others)
    intervals = []
    for _ in range(9):  # with progress to tell, it beats each second
        world.pass_time(1_000)
        intervals.append(beats(world, worker))
    # The tick that was put off by 4 s comes before less than a third of that is waited for.
    assert intervals == [4_000] * 3 + [2_000] * 4 + [1_000] * 2


def test_the_shorter_interval_binds_once_two_answers_told_it() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 39)
    for _ in range(3):
        interval_ms = told(world, worker, others)
    # The look that is asked for from now on comes when three long intervals are over.
    world.pass_time(interval_ms)
    leave(world, others)
    assert [told(world, worker) for _ in range(3)] == [2_000, 1_000, 1_000]
    assert believed(world, worker, 2_999)
    assert not believed(world, worker, 1)


def test_a_worker_whose_kernel_says_that_it_died_is_found_at_once_in_any_fleet() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    others = crowd(world, 199)
    for _ in range(5):
        interval_ms = told(world, worker, others)
    world.submit(spec(1))
    world.request(worker, 1)
    world.pass_time(interval_ms - 1)
    world.break_stream(worker)
    world.pass_time(POLICY_OF_TEN.grace_ms)
    assert not world.alive(worker)
    assert world.task(1).state is State.QUEUED


def test_a_start_waits_longer_for_more_workers() -> None:
    world = World(POLICY_OF_TEN)
    workers = [world.join(f"w{number}") for number in range(20)]
    for number, worker in enumerate(workers):
        world.submit(spec(number))
        world.request(worker, 1)
    world.restart()
    window_ms = POLICY_OF_TEN.reconcile_ms(20)
    assert window_ms == 4_000
    world.pass_time(window_ms - 1)
    world.register(workers[0])
    assert workers[0].held
    world.pass_time(1)
    assert [world.task(number).state for number in (0, 1)] == [State.RUNNING, State.QUEUED]


def test_a_session_that_only_the_disk_knows_is_ticked_as_in_a_small_fleet() -> None:
    world = World(POLICY_OF_TEN)
    worker = world.join()
    world.submit(spec(1))
    world.request(worker, 1)
    world.restart()  # as after a disk that was full: streams outlast it
    session = world.core.book.sessions[worker.session]
    assert session.ghost
    assert session.tick_within_ms == POLICY_OF_TEN.heartbeat_ms
