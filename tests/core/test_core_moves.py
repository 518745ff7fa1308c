"""What telemetry is told of: each change of a task's state, once, in order, with how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from planting import WALKS
from walk import Walk
from world import POLICY, World, failure, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.book import Book
from pullwork_master.core.effects import Effects, Move
from pullwork_master.core.model import AttemptEnd, FailureKind, Retry, State
from pullwork_master.core.transitions import NEXT, Event

TELLING = replace(POLICY, tell_moves=True)


class Told(World):
    """Follows each task by what is told alone, and compares."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {}
        self.moves: list[Move] = []
        super().__init__(TELLING)

    def step(self, batch: list[tuple[int, c.Command]]) -> Effects:
        effects = super().step(batch)
        first: dict[int, State] = {}
        for move in effects.moves:
            seq = move.task.seq
            before = self.states.get(seq, move.before)
            assert move.before is before, f"task {seq} was {before.name}, not {move.before.name}"
            first.setdefault(seq, move.before)
            self.states[seq] = NEXT[(move.before, move.event)]
            assert (move.end is not None) == (move.before is State.RUNNING)
        for seq, task in effects.changed.items():
            assert seq in first or seq in effects.writes.inserted
            assert self.states.setdefault(seq, task.state) is task.state
        self.moves += effects.moves
        return effects


def walk_told() -> None:
    for seed in range(WALKS):
        walk = Walk(seed, TELLING)
        told = Told()
        told.workers, walk.world = walk.world.workers, told
        walk.run(150)
        walk.finish()
        assert told.moves


def test_every_change_of_state_is_told_once_and_in_order() -> None:
    walk_told()


def test_nothing_is_told_to_nobody(world: World) -> None:
    worker = world.join("w1")
    world.submit(spec(1))
    world.request(worker, 1)
    assert world.core.book.tasks[1].state is State.RUNNING
    effects = world.step([(10_000, c.Evict("w1"))])
    assert effects.changed
    assert effects.moves == []


@pytest.mark.parametrize(
    ("make", "event", "end"),
    [
        (success, Event.SUCCEED, AttemptEnd.SUCCEEDED),
        (failure, Event.BACK_OFF, AttemptEnd.FAILED),
        (partial(failure, kind=FailureKind.REJECTED), Event.FAIL, AttemptEnd.FAILED),
        (partial(failure, kind=FailureKind.WORKER_LOST), Event.LOSE, AttemptEnd.WORKER_LOST),
        (released, Event.LOSE, AttemptEnd.RELEASED),
    ],
    ids=["succeeded", "failed", "rejected", "lost", "released"],
)
def test_an_end_is_told_with_how_the_attempt_ended(
    make: Callable[[str], c.Outcome], event: Event, end: AttemptEnd
) -> None:
    told = Told()
    worker = told.join("w1")
    told.submit(spec(1, retry=Retry(3)))
    told.request(worker, 1)
    told.report(worker, make(worker.token))
    move = told.moves[-1]
    assert (move.event, move.end, move.attempt, move.worker) == (event, end, 1, "w1")


def test_a_task_that_is_tried_again_by_hand_waits_from_then_on() -> None:
    told = Told()
    worker = told.join("w1")
    told.submit(spec(1, retry=Retry(1)))
    told.request(worker, 1)
    told.report(worker, failure(worker.token))
    told.pass_time(900)
    told.retry(spec(1).id)
    since_ms = told.wall_ms
    told.pass_time(700)
    told.request(worker, 1)
    grant = told.moves[-1]
    assert (grant.event, grant.started_ms - grant.waited_since_ms) == (Event.GRANT, 700)
    assert grant.waited_since_ms == since_ms


def test_a_grant_names_the_last_attempt_that_may_have_begun(world: World) -> None:
    worker = world.join("w1")
    world.submit(spec(1, retry=Retry(9, initial_ms=0, max_ms=0)))
    named = []
    for make in (
        released,
        failure,
        released,
        released,
        partial(failure, kind=FailureKind.WORKER_LOST),
    ):
        world.request(worker, 1)
        named.append(worker.held[worker.token].former)
        world.report(worker, make(worker.token))
        world.pass_time(1)
    world.request(worker, 1)
    named.append(worker.held[worker.token].former)
    assert named == [0, 0, 2, 2, 2, 5]


def _forgets_what_a_worker_lost(self: Book, task: object, event: Event) -> None:
    if event is not Event.LOSE:
        _tell_move(self, task, event)  # type: ignore[arg-type]


def _tells_afterwards_who_ran_it(self: Book, task: object, event: Event) -> None:
    _tell_move(self, task, event)  # type: ignore[arg-type]
    if self.effects.moves[-1].end is AttemptEnd.WORKER_LOST:
        self.effects.moves[-1] = self.effects.moves[-1]._replace(end=None)


_tell_move = Book._tell_move


@pytest.mark.parametrize("planted", [_forgets_what_a_worker_lost, _tells_afterwards_who_ran_it])
def test_a_planted_gap_in_what_is_told_is_caught(
    planted: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Book, "_tell_move", planted)
    with pytest.raises(AssertionError):
        walk_told()
