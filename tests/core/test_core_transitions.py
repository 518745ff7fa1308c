"""The tables are whole: every state can be reached, and ends are left by RETRY alone."""

from __future__ import annotations

import itertools

import pytest
from world import spec

from pullwork_master.core.book import Book
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Contact, State, Task
from pullwork_master.core.transitions import CONTACT, NEXT, Event, Sign

BEGINNINGS = {State.QUEUED, State.SCHEDULED}


def test_every_state_of_a_task_can_be_reached() -> None:
    reached, before = set(BEGINNINGS), set()
    while reached != before:
        before = set(reached)
        reached |= {after for (state, _), after in NEXT.items() if state in before}
    assert reached == set(State)


def test_every_event_happens_somewhere() -> None:
    assert {event for _, event in NEXT} == set(Event)
    assert {sign for _, sign in CONTACT} == set(Sign)


def test_an_end_is_left_by_retry_alone() -> None:
    leaving = {(state, event) for state, event in NEXT if state.ended}
    assert leaving == {(State.FAILED, Event.RETRY), (State.CANCELLED, Event.RETRY)}


def test_what_succeeded_never_changes() -> None:
    assert not [event for state, event in NEXT if state is State.SUCCEEDED]


def test_a_task_that_has_not_ended_can_always_be_cancelled() -> None:
    for state in State:
        assert state.ended or NEXT[(state, Event.CANCEL)] is State.CANCELLED


def test_only_a_queued_task_is_granted_and_only_a_running_one_ends_by_a_report() -> None:
    assert [state for state, event in NEXT if event is Event.GRANT] == [State.QUEUED]
    for event in (Event.SUCCEED, Event.FAIL, Event.BACK_OFF, Event.LOSE):
        assert [state for state, each in NEXT if each is event] == [State.RUNNING]


@pytest.mark.parametrize(
    ("state", "event"),
    [pair for pair in itertools.product(State, Event) if pair not in NEXT],
    ids=lambda each: each.name,
)
def test_a_pair_outside_the_table_is_a_bug_and_changes_nothing(state: State, event: Event) -> None:
    book = Book(Policy(), term=1, next_seq=2, next_revision=1)
    task = Task(seq=1, spec=spec(1), state=state, created_ms=0)
    book.line(task.line)
    with pytest.raises(KeyError):
        book.move(task, event)
    assert task.state is state
    assert not book.effects.writes


def test_a_session_is_never_doubted_into_life_again() -> None:
    assert not [sign for contact, sign in CONTACT if contact is Contact.EXPIRED]
    assert {after for (_, sign), after in CONTACT.items() if sign is Sign.EXPIRE} == {
        Contact.EXPIRED
    }
    assert CONTACT[(Contact.SUSPECT, Sign.HEAR)] is Contact.CONNECTED
