"""The laws of the worker's machine in any order, and planted bugs that they have to find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Phases
from hypothesis.stateful import run_state_machine_as_test
from machine_world import World

from pullwork_worker.machine import Failure, Machine, Success
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.desk import Desk
from pullwork_worker.machine.lanes import Lanes
from pullwork_worker.machine.link import Link
from pullwork_worker.machine.ticket import State

BRIEF = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_the_laws_hold_whatever_happens() -> None:
    run_state_machine_as_test(World, settings=BRIEF)


def blames_followers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Lanes.child_gone

    def wrong(self: Lanes, index: int, unclaimed: Any, evidence: Failure, now: float) -> bool:
        slot = self.slots[index]
        if len(slot.lane) > 1:
            follower = slot.lane.pop()
            self.followers -= 1
            follower.state = State.RUNNING
            self._end_head(follower, evidence)
        return right(self, index, unclaimed, evidence, now)

    monkeypatch.setattr(Lanes, "child_gone", wrong)


def forgets_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Desk.inventory

    def wrong(self: Desk, note_bytes_max: int = 0) -> tuple[do.HeldLine, ...]:
        lines = right(self, note_bytes_max)
        return tuple(line for line in lines if self.held[line.token].state is not State.SENT)

    monkeypatch.setattr(Desk, "inventory", wrong)


def asks_twice_for_the_same_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "reserved", lambda self: 0)


def loses_reports_of_a_lost_session(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Machine.session_lost

    def wrong(self: Machine, session_id: str, now: float) -> list[do.Instruction]:
        self.link.report = None
        return right(self, session_id, now)

    monkeypatch.setattr(Machine, "session_lost", wrong)


def releases_what_began(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Lanes.child_gone

    def wrong(self: Lanes, index: int, unclaimed: Any, evidence: Failure, now: float) -> bool:
        tokens = [ticket.token for ticket in self.slots[index].lane]
        if self.closed:
            return right(self, index, tokens, evidence, now)
        known = right(self, index, tokens, evidence, now)
        while self.waiting:
            self.release(self.waiting.popleft())
        return known

    monkeypatch.setattr(Lanes, "child_gone", wrong)


def lets_a_cancelled_attempt_run(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Desk.drop

    def wrong(self: Desk, token: str, now: float, reason: str) -> bool:
        ticket = self.held.get(token)
        if ticket is not None and ticket.state is State.RUNNING:
            return True
        return right(self, token, now, reason)

    monkeypatch.setattr(Desk, "drop", wrong)


def loses_what_it_takes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lanes, "_wait_again", lambda self, tickets, now: None)


def gives_to_a_slot_without_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Lanes._refresh

    def wrong(self: Lanes, slot: Any) -> None:
        ready, slot.ready = slot.ready, True
        right(self, slot)
        slot.ready = ready

    monkeypatch.setattr(Lanes, "_refresh", wrong)


def takes_an_outcome_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Desk.unsend

    def wrong(self: Desk, tokens: Any) -> None:
        tokens = list(tokens)
        right(self, tokens)
        for token in tokens:
            if token in self.held:
                self.held[token].outcome = Success(b"2", "")

    monkeypatch.setattr(Desk, "unsend", wrong)


MUTANTS = [
    blames_followers_too,
    forgets_what_was_sent,
    asks_twice_for_the_same_slot,
    loses_reports_of_a_lost_session,
    releases_what_began,
    lets_a_cancelled_attempt_run,
    loses_what_it_takes_back,
    gives_to_a_slot_without_a_child,
    takes_an_outcome_for_another,
]


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    search = settings(
        BRIEF, max_examples=400, database=None, derandomize=True, phases=[Phases.generate]
    )
    with pytest.raises((AssertionError, KeyError, AttributeError, IndexError)):
        run_state_machine_as_test(World, settings=search)
