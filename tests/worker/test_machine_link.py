"""Laws of how a worker speaks with its master, each by the shortest story that shows it."""

from __future__ import annotations

from machine_story import DEATH, DONE, end, enter, flowing, made, none, only, tickets

from pullwork_worker.machine import Blame, Failure, Instruction, Note, Released
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.invariants import validate_state
from pullwork_worker.machine.ticket import NEXT, Event, State


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


def test_a_worker_is_in_contact_until_three_intervals_passed_without_an_answer() -> None:
    machine = made()
    assert not machine.link.in_contact(0.0), "nobody answered yet"
    enter(machine)
    assert machine.link.in_contact(14.9)
    assert not machine.link.in_contact(15.0)
    machine.session_lost("s1", 1.0)
    assert not machine.link.in_contact(1.0), "there is no session"


def test_heartbeats_list_everything_until_its_verdict() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    report = only(do.Report, end(machine, "a", now=1))
    beat = only(do.Heartbeat, machine.tick(5))
    assert {line.token for line in beat.held} == {"a", "b"}
    machine.heartbeat_answered(beat, [], False, 5, 30, 5)
    machine.report_answered(report, [], 5)
    assert {line.token for line in only(do.Heartbeat, machine.tick(10)).held} == {"b"}


def test_the_interval_that_the_master_told_last_times_heartbeats_silence_and_the_lease() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    beat = only(do.Heartbeat, machine.tick(5))
    machine.heartbeat_answered(beat, [], False, 10, 45, 5.5)
    assert machine.next_at() == 15, "ten seconds after the last heartbeat was sent"
    beat = only(do.Heartbeat, machine.tick(15))
    machine.heartbeat_failed(beat, 15.1)
    machine.stream_event(16)
    assert none(do.OpenStream, machine.tick(45.9))
    only(do.OpenStream, machine.tick(46))
    assert none(do.Stop, machine.tick(60.9))
    assert only(do.Stop, machine.tick(61)).ticket.token == "a"


def test_a_shorter_interval_brings_the_next_heartbeat_forward() -> None:
    machine = made()
    enter(machine)
    beat = only(do.Heartbeat, machine.tick(5))
    machine.heartbeat_answered(beat, [], False, 2.5, 22.5, 5.5)
    assert machine.next_at() == 7.5


def test_what_is_noted_while_a_heartbeat_is_under_way_does_not_wait_for_an_interval() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    beat = only(do.Heartbeat, machine.tick(5))
    machine.noted("a", Note(fraction=0.1), 5.1)
    assert none(do.Heartbeat, machine.tick(6))
    machine.heartbeat_answered(beat, [], False, 10, 45, 6.5)
    due = machine.next_at()
    assert due == 7
    assert only(do.Heartbeat, machine.tick(due)).held[0].note == Note(0.1, None, None)


def test_progress_is_told_soon_but_not_more_than_once_a_second() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.noted("a", Note(fraction=0.1), 1.0)
    beat = only(do.Heartbeat, machine.tick(1.0))
    assert beat.held[0].note == Note(fraction=0.1)
    machine.noted("a", Note(fraction=0.2), 1.1)
    machine.noted("a", Note(message="more"), 1.2)
    machine.heartbeat_answered(beat, [], False, 5, 30, 1.3)
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
    report = only(do.Report, machine.heartbeat_answered(beat, [], False, 5, 30, 0.3))
    assert report.outcomes == (("a", failure),)


def test_what_the_master_gives_up_is_stopped_and_not_reported() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    beat = only(do.Heartbeat, machine.tick(5))
    only(do.Stop, machine.heartbeat_answered(beat, ["a"], False, 5, 30, 5))
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


def test_a_drain_is_told_to_the_master_at_once() -> None:
    machine = made(slots=1)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a"), 0)
    machine.drain("asked", 1)
    assert only(do.Heartbeat, machine.tick(1)).draining


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
