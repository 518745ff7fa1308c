"""Long tasks never wait in a worker while a slot is free in another; tiny ones travel together."""

from __future__ import annotations

from typing import Any

import pytest
from two_workers import ONE_WAY_S, SLOTS, Cluster, Job

from pullwork_worker.machine import Kind
from pullwork_worker.machine.desk import Desk
from pullwork_worker.machine.lanes import PATIENCE_S, Lanes
from pullwork_worker.machine.pace import Pace

LONG_S = 5.0
TINY_S = 0.0001
ROUND_TRIP_S = 2 * ONE_WAY_S
KINDS = pytest.mark.parametrize("kind", [Kind.CHILD, Kind.LOOP, Kind.THREAD])


def waited_s(jobs: list[Job]) -> float:
    """Returns how long the last of them waited."""
    return max((job.began_at or float("inf")) - job.submitted_at for job in jobs)


def shares(jobs: list[Job]) -> list[int]:
    return [sum(job.began_on == number for job in jobs) for number in range(2)]


def ten_long_tasks_at_first(kind: Kind) -> tuple[list[Job], float]:
    cluster = Cluster(kind)
    cluster.run(1.0)
    jobs = cluster.submit(2 * SLOTS, LONG_S)
    cluster.run(4.0)
    return jobs, 2 * ROUND_TRIP_S


def ten_long_tasks_after_tiny_ones(kind: Kind) -> tuple[list[Job], float]:
    cluster = Cluster(kind)
    cluster.submit(5000, TINY_S)
    cluster.run(3.0)
    jobs = cluster.submit(2 * SLOTS, LONG_S)
    cluster.run(6.0)
    return jobs, 2 * ROUND_TRIP_S


def ten_long_tasks_right_behind_tiny_ones(kind: Kind) -> tuple[list[Job], float]:
    """They come to a worker that looks ahead, since it thinks that they are tiny too.

    What it gives back may come to the other while that one thinks so, too; hence twice as long.
    """
    cluster = Cluster(kind)
    tiny = cluster.submit(3000, TINY_S)
    jobs = cluster.submit(2 * SLOTS, LONG_S)
    cluster.run(4.0)
    last_at = max(job.began_at or 0.0 for job in tiny)
    for job in jobs:
        job.submitted_at = last_at
    return jobs, 4 * PATIENCE_S + 6 * ROUND_TRIP_S


def ten_long_tasks_of_another_type_right_behind(kind: Kind) -> tuple[list[Job], float]:
    cluster = Cluster(kind)
    tiny = cluster.submit(3000, TINY_S)
    jobs = cluster.submit(2 * SLOTS, LONG_S, "other")
    cluster.run(4.0)
    last_at = max(job.began_at or 0.0 for job in tiny)
    for job in jobs:
        job.submitted_at = last_at
    return jobs, 2 * PATIENCE_S + 3 * ROUND_TRIP_S


STORIES = [
    ten_long_tasks_at_first,
    ten_long_tasks_after_tiny_ones,
    ten_long_tasks_right_behind_tiny_ones,
    ten_long_tasks_of_another_type_right_behind,
]


@KINDS
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_ten_long_tasks_find_the_ten_slots_of_two_workers(kind: Kind, story: Any) -> None:
    jobs, bound_s = story(kind)
    assert waited_s(jobs) <= bound_s
    assert shares(jobs) == [SLOTS, SLOTS]


@KINDS
def test_tiny_tasks_behind_long_ones_go_where_a_slot_is_free(kind: Kind) -> None:
    cluster = Cluster(kind)
    cluster.submit(3000, TINY_S)
    cluster.run(2.0)
    cluster.submit(2 * SLOTS - 1, LONG_S, "other")
    cluster.run(2.5)
    jobs = cluster.submit(500, TINY_S)
    cluster.run(4.0)
    assert waited_s(jobs) < 1.0


def test_tiny_tasks_travel_by_the_hundred_and_long_ones_one_by_one() -> None:
    cluster = Cluster()
    cluster.submit(20_000, TINY_S)
    cluster.run(5.0)
    assert all(job.began_at is not None for job in cluster.jobs.values())
    calls = sum(worker.reports + worker.requests for worker in cluster.workers)
    assert calls < 20_000 / 50, "each call brings many"
    cluster = Cluster()
    cluster.submit(100, 0.5)
    cluster.run(0.4)
    assert len(cluster.queue) == 100 - 2 * SLOTS, "the rest waits where anybody may have it"


def never_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "take_back", lambda self, slot: None)


def keeps_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "_waited_long", lambda self, about, now: None)
    monkeypatch.setattr(Pace, "may_wait", lambda self, type: True)


def asks_for_more_than_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Desk.credit

    def wrong(self: Desk, now: float) -> int:
        return right(self, now) + 100

    monkeypatch.setattr(Desk, "credit", wrong)


MUTANTS = [never_takes_back, keeps_what_waits, asks_for_more_than_it_has_room_for]


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        all_laws_hold()


def all_laws_hold() -> None:
    for story in STORIES:
        test_ten_long_tasks_find_the_ten_slots_of_two_workers(Kind.CHILD, story)
    test_tiny_tasks_travel_by_the_hundred_and_long_ones_one_by_one()
