"""Laws of the worker's machine, each by the shortest story that shows it."""

from __future__ import annotations

from typing import TypeVar

from pullwork_worker.machine import (
    Blame,
    Failure,
    Instruction,
    Kind,
    Machine,
    Note,
    Released,
    Success,
    Ticket,
)
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.invariants import validate_state
from pullwork_worker.machine.lanes import PATIENCE_S
from pullwork_worker.machine.ticket import NEXT, Event, State

I = TypeVar("I", bound=Instruction)  # noqa: E741
DONE = Success(b"1", "application/json")
DEATH = Failure(Blame.WORKER_LOST, "died", "the process died")


def made(slots: int = 2, look_ahead_max: int = 100, kind: Kind = Kind.CHILD) -> Machine:
    return Machine(
        {"job": kind, "other": kind},
        slots=slots,
        look_ahead_max=look_ahead_max,
        stop_grace_s=1.0,
        drain_grace_s=30.0,
    )


def only(kind: type[I], instructions: list[Instruction]) -> I:
    found = [it for it in instructions if isinstance(it, kind)]
    assert len(found) == 1, instructions
    return found[0]


def none(kind: type[Instruction], instructions: list[Instruction]) -> bool:
    return not any(isinstance(it, kind) for it in instructions)


def enter(machine: Machine, now: float = 0.0) -> list[Instruction]:
    """Registers, with every slot ready; returns what follows."""
    register = only(do.Register, machine.start(now))
    for slot in machine.desk.lanes.slots:
        machine.child_ready(slot.index, now)
    return machine.registered(register, session_id="s1", interval_s=5, lease_s=30, kept=(), now=now)


def tickets(*tokens: str, type: str = "job", timeout_s: float | None = None) -> list[Ticket]:
    return [Ticket(token, type, timeout_s, None) for token in tokens]


def end(machine: Machine, *tokens: str, now: float, run_s: float = 9.0) -> list[Instruction]:
    slots = {slot.lane[0].token: slot.index for slot in machine.desk.lanes.slots if slot.lane}
    return machine.finished([(slots[token], token, DONE, run_s) for token in tokens], now)


def flowing(machine: Machine) -> do.Report:
    """A worker of one slot that knows its work to be tiny; returns its report on the way."""
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0.0)
    return only(do.Report, machine.finished([(0, "a", DONE, 0.001)], 0.0))


def test_a_free_worker_parks_a_request_for_its_free_slots() -> None:
    assert only(do.RequestWork, enter(made(slots=3))).tickets_max == 3


def test_a_worker_whose_children_are_not_there_asks_for_nothing() -> None:
    machine = made()
    register = only(do.Register, machine.start(0))
    follows = machine.registered(
        register, session_id="s1", interval_s=5, lease_s=30, kept=(), now=0
    )
    assert none(do.RequestWork, follows)
    assert only(do.RequestWork, machine.child_ready(0, 0.1)).tickets_max == 1


def test_what_was_granted_is_not_asked_for_again() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    follows = machine.request_answered(request, tickets("a"), 0)
    assert only(do.Start, follows).tickets[0].token == "a"
    assert only(do.RequestWork, follows).tickets_max == 1


def test_the_report_carries_the_next_request() -> None:
    machine = made(slots=1, look_ahead_max=0)
    report = flowing(machine)
    assert report.outcomes == (("a", DONE),)
    assert report.tickets_max == 1


def test_outcomes_that_gather_during_a_report_go_into_the_next() -> None:
    machine = made(slots=3)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b", "c"), 0)
    first = only(do.Report, end(machine, "a", now=9))
    assert none(do.Report, end(machine, "b", now=9))
    assert none(do.Report, end(machine, "c", now=9))
    second = only(do.Report, machine.report_answered(first, [], 9))
    assert {token for token, _ in second.outcomes} == {"b", "c"}


def test_no_look_ahead_for_work_whose_time_is_unknown_or_long() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    assert request.tickets_max == 1
    machine.request_answered(request, tickets("a"), 0)
    report = only(do.Report, machine.finished([(0, "a", DONE, 0.5)], 0.5))
    assert report.tickets_max == 1


def test_the_look_ahead_is_20_ms_of_work() -> None:
    assert flowing(made(slots=1)).tickets_max == 1 + 20


def test_the_look_ahead_keeps_to_its_setting() -> None:
    assert flowing(made(slots=1, look_ahead_max=7)).tickets_max == 1 + 7


def test_tiny_work_goes_to_the_child_in_one_write() -> None:
    machine = made(slots=1)
    report = flowing(machine)
    names = [f"t{n}" for n in range(10)]
    start = only(do.Start, machine.report_answered(report, tickets(*names), 0))
    assert [ticket.token for ticket in start.tickets] == names


def test_followers_are_taken_back_when_the_head_runs_long() -> None:
    machine = made(slots=1)
    machine.report_answered(flowing(machine), tickets("slow", "b", "c"), 0)
    assert machine.next_at() == PATIENCE_S
    assert only(do.TakeBack, machine.tick(PATIENCE_S)).slot == 0
    machine.taken_back(0, ["b", "c"], PATIENCE_S)
    assert [ticket.token for ticket in machine.desk.lanes.waiting] == ["b", "c"]
    report = only(do.Report, machine.tick(3 * PATIENCE_S))
    assert report.outcomes == (("b", Released()), ("c", Released()))
    assert report.tickets_max == 0, "it looks no further than its slots now"


def test_a_death_is_blamed_on_the_head_alone() -> None:
    machine = made(slots=1)
    machine.report_answered(flowing(machine), tickets("guilty", "b", "c"), 0)
    report = only(do.Report, machine.child_gone(0, ["b", "c"], DEATH, 0.01))
    assert report.outcomes == (("guilty", DEATH),)
    start = only(do.Start, machine.child_ready(0, 0.05))
    assert [ticket.token for ticket in start.tickets] == ["b", "c"]


def test_a_death_between_two_attempts_is_blamed_on_nobody() -> None:
    machine = made(slots=1)
    machine.report_answered(flowing(machine), tickets("a2"), 0)
    machine.child_gone(0, ["a2"], DEATH, 0.01)
    assert only(do.Start, machine.child_ready(0, 0.05)).tickets[0].token == "a2"


def test_time_that_is_over_is_a_timeout_whatever_the_attempt_returns() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", timeout_s=2.0), 0)
    assert machine.next_at() == 2.0
    assert only(do.Stop, machine.tick(2.0)).ticket.token == "a"
    ((_, outcome),) = only(do.Report, machine.finished([(0, "a", DONE, 2.1)], 2.1)).outcomes
    assert isinstance(outcome, Failure)
    assert outcome.blame is Blame.TIMEOUT
    assert "2 s" in outcome.message


def test_who_does_not_end_when_asked_is_killed() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", timeout_s=2.0), 0)
    machine.tick(2.0)
    assert only(do.Kill, machine.tick(3.0)).ticket.token == "a"
    ((_, outcome),) = only(do.Report, machine.child_gone(0, [], DEATH, 3.1)).outcomes
    assert isinstance(outcome, Failure)
    assert outcome.blame is Blame.TIMEOUT


def test_a_thread_that_never_ends_is_reported_and_keeps_its_slot() -> None:
    machine = made(slots=1, kind=Kind.THREAD)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", timeout_s=2.0), 0)
    machine.tick(2.0)
    follows = machine.tick(3.0)
    only(do.Stuck, follows)
    report = only(do.Report, follows)
    assert report.tickets_max == 0
    assert none(do.RequestWork, machine.report_answered(report, [], 3.1))
    request = only(do.RequestWork, machine.finished([(0, "a", DONE, 9)], 9))
    assert request.tickets_max == 1


def test_a_lost_session_is_followed_by_another_that_keeps_the_work() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    register = only(do.Register, machine.session_lost("s1", 1))
    assert {line.token for line in register.held} == {"a", "b"}
    follows = machine.registered(
        register, session_id="s2", interval_s=5, lease_s=30, kept={"a"}, now=1
    )
    assert only(do.Stop, follows).ticket.token == "b"
    assert set(machine.desk.held) == {"a"}
    validate_state(machine)


def test_a_report_without_an_answer_is_repeated_as_it_was() -> None:
    machine = made(slots=1)
    report = flowing(machine)
    machine.report_failed(report, 0, 1.0)
    due = machine.next_at()
    assert due is not None
    assert only(do.Report, machine.tick(due)) is report


def test_a_request_without_an_answer_is_repeated_as_it_was() -> None:
    machine = made()
    request = only(do.RequestWork, enter(machine))
    machine.request_failed(request, 0, 1.0)
    assert only(do.RequestWork, machine.hint(0.001)) is request


def test_waits_before_registering_again_grow_and_are_bounded() -> None:
    machine = made()
    register = only(do.Register, machine.start(0))
    now, waits = 0.0, []
    for _ in range(8):
        machine.register_failed(register, now, 0.0)
        due = machine.link.retry_at
        assert due is not None
        waits.append(due - now)
        register = only(do.Register, machine.tick(due))
        now = due
    assert [round(wait, 3) for wait in waits] == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0, 3.0]


def test_who_can_not_reach_the_master_for_the_lease_stops_what_it_runs() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    report = only(do.Report, end(machine, "a", now=1))
    machine.report_failed(report, 1, 0.5)
    assert none(do.Stop, machine.tick(29.9))
    assert only(do.Stop, machine.tick(30.0)).ticket.token == "b"
    assert set(machine.desk.held) == {"a"}, "a result that is there is kept"


def test_a_silent_stream_is_opened_again_after_three_intervals() -> None:
    machine = made()
    enter(machine)
    machine.stream_event(1.0)
    assert none(do.OpenStream, machine.tick(15.9))
    follows = machine.tick(16.0)
    only(do.CloseStream, follows)
    only(do.OpenStream, follows)


def test_heartbeats_list_everything_until_its_verdict() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    report = only(do.Report, end(machine, "a", now=1))
    beat = only(do.Heartbeat, machine.tick(5))
    assert {line.token for line in beat.held} == {"a", "b"}
    machine.heartbeat_answered(beat, [], False, 5, 5)
    machine.report_answered(report, [], 5)
    assert {line.token for line in only(do.Heartbeat, machine.tick(10)).held} == {"b"}


def test_progress_is_told_soon_but_not_more_than_once_a_second() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.noted("a", Note(fraction=0.1), 1.0)
    beat = only(do.Heartbeat, machine.tick(1.0))
    assert beat.held[0].note == Note(fraction=0.1)
    machine.noted("a", Note(fraction=0.2), 1.1)
    machine.noted("a", Note(message="more"), 1.2)
    machine.heartbeat_answered(beat, [], False, 5, 1.3)
    assert machine.next_at() == 2.0
    assert only(do.Heartbeat, machine.tick(2.0)).held[0].note == Note(0.2, "more")


def test_a_note_of_a_lost_heartbeat_is_told_again_unless_there_is_a_newer() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.noted("a", Note(fraction=0.1, checkpoint=b"1"), 1.0)
    beat = only(do.Heartbeat, machine.tick(1.0))
    machine.noted("a", Note(fraction=0.2), 1.1)
    machine.heartbeat_failed(beat, 1.2)
    due = machine.next_at()
    assert due is not None
    assert only(do.Heartbeat, machine.tick(due)).held[0].note == Note(0.2, None, b"1")


def test_a_failed_attempt_is_reported_after_its_last_checkpoint() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.noted("a", Note(checkpoint=b"here"), 0.1)
    failure = Failure(Blame.APPLICATION, "x", "x")
    follows = machine.finished([(0, "a", failure, 0.1)], 0.2)
    assert none(do.Report, follows)
    beat = only(do.Heartbeat, follows)
    assert beat.held[0].note == Note(checkpoint=b"here")
    report = only(do.Report, machine.heartbeat_answered(beat, [], False, 5, 0.3))
    assert report.outcomes == (("a", failure),)


def test_what_the_master_gives_up_is_stopped_and_not_reported() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    beat = only(do.Heartbeat, machine.tick(5))
    only(do.Stop, machine.heartbeat_answered(beat, ["a"], False, 5, 5))
    assert none(do.Report, machine.finished([(0, "a", DONE, 5)], 5.1))


def test_draining_releases_what_has_not_begun_finishes_the_rest_and_leaves() -> None:
    machine = made(slots=1)
    machine.report_answered(flowing(machine), tickets("head", "b"), 0)
    follows = machine.drain("asked", 0.01)
    only(do.TakeBack, follows)
    report = only(do.Report, machine.taken_back(0, ["b"], 0.01))
    assert report.outcomes == (("b", Released()),)
    assert report.tickets_max == 0
    machine.report_answered(report, [], 0.02)
    report = only(do.Report, machine.finished([(0, "head", DONE, 1)], 1))
    follows = machine.report_answered(report, [], 1)
    assert only(do.Deregister, follows).session_id == "s1"
    assert only(do.Exit, machine.deregistered(1.1)).code == 0


def test_the_drain_grace_cuts_off_what_still_runs() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.drain("asked", 1)
    machine.tick(20)
    assert none(do.Deregister, machine.tick(30.9))
    only(do.Deregister, machine.tick(31.0))


def test_an_idle_worker_that_drains_leaves_at_once_and_unparks() -> None:
    machine = made(slots=1)
    enter(machine)
    follows = machine.drain("asked", 1)
    assert follows.index(only(do.Deregister, follows)) > 0
    assert any(isinstance(it, do.CancelCalls) for it in follows)


def test_a_refused_report_is_halved_until_the_culprit_is_found() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    report = only(do.Report, end(machine, "a", "b", now=1))
    assert len(report.outcomes) == 2
    report = only(do.Report, machine.report_refused(report, "too odd", 1))
    assert len(report.outcomes) == 1
    report = only(do.Report, machine.report_refused(report, "too odd", 1))
    ((_, outcome),) = report.outcomes
    assert isinstance(outcome, Failure)
    assert "too odd" in outcome.message
    assert not outcome.retryable


def test_an_answer_told_twice_gives_no_second_ticket() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    follows = machine.request_answered(request, tickets("a"), 0)
    again = only(do.RequestWork, follows)
    assert none(do.Start, machine.request_answered(again, tickets("a"), 0))


def test_children_that_never_start_end_the_worker() -> None:
    machine = made(slots=1)
    register = only(do.Register, machine.start(0))
    machine.registered(register, session_id="s1", interval_s=5, lease_s=30, kept=(), now=0)
    follows: list[Instruction] = []
    for attempt in range(5):
        follows = machine.child_gone(0, [], DEATH, attempt)
    only(do.Deregister, follows)
    over = only(do.Exit, machine.deregistered(9))
    assert over.code == 1
    assert "the process died" in over.reason


def test_every_step_of_a_ticket_s_life_leads_to_its_end() -> None:
    reachable = {State.GONE}
    for _ in State:
        reachable |= {before for (before, _), after in NEXT.items() if after in reachable}
    assert reachable == set(State)
    assert {event for _, event in NEXT} == set(Event)
