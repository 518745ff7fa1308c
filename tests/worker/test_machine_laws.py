"""Laws of how a worker takes and runs work, each by the shortest story that shows it."""

from __future__ import annotations

from machine_story import DEATH, DONE, end, enter, flowing, made, none, only, tickets

from pullwork_worker.machine import Blame, Failure, Kind, Released
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.lanes import GLANCE_S, PATIENCE_S


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
    assert none(do.TakeBack, machine.tick(0.9 * PATIENCE_S))
    assert only(do.TakeBack, machine.tick(PATIENCE_S)).slot == 0
    machine.taken_back(0, ["b", "c"], PATIENCE_S)
    assert [ticket.token for ticket in machine.desk.lanes.waiting] == ["b", "c"]
    report = only(do.Report, machine.tick(2 * PATIENCE_S))
    assert report.outcomes == (("b", Released()), ("c", Released()))
    assert report.tickets_max == 0, "it looks no further than its slots now"


def test_followers_go_to_a_slot_that_is_free_when_the_head_runs_on() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b"), 0)
    report = only(do.Report, end(machine, "a", "b", now=0.001, run_s=0.001))
    machine.report_answered(report, tickets("runs on", "over soon", "c"), 0.002)
    follower = machine.desk.held["c"]
    head = machine.desk.lanes.slots[follower.slot].lane[0].token
    end(machine, *{"runs on", "over soon"} - {head}, now=0.003, run_s=0.001)
    slot = only(do.TakeBack, machine.tick(0.002 + GLANCE_S)).slot
    start = only(do.Start, machine.taken_back(slot, ["c"], 0.002 + GLANCE_S))
    assert (start.slot, start.tickets) == (1 - slot, (follower,))


def test_a_ticket_that_may_run_long_and_finds_no_slot_is_given_back_at_once() -> None:
    machine = made(slots=1)
    surprise = tickets("b", "c", type="other")
    report = machine.report_answered(flowing(machine), [*tickets("a"), *surprise], 0)
    assert only(do.Report, report).outcomes == (("b", Released()), ("c", Released()))


def test_the_look_ahead_is_for_each_slot_that_flows() -> None:
    machine = made(slots=3, look_ahead_max=1000)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b", "c"), 0)
    report = only(do.Report, end(machine, "a", now=0.001, run_s=0.002))
    assert report.tickets_max == 1 + 3 * 10
    assert machine.desk.credit(PATIENCE_S) == 1 + 10, "two of them run longer than was thought"


def test_the_loop_is_one_slot_whatever_waits_in_it() -> None:
    machine = made(slots=3, look_ahead_max=1000, kind=Kind.LOOP)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, tickets("a", "b", "c"), 0)
    report = only(do.Report, end(machine, "a", now=0.001, run_s=0.002))
    assert report.tickets_max == 1 + 10


def test_no_look_ahead_while_long_work_is_among_what_comes() -> None:
    machine = made(slots=2)
    request = only(do.RequestWork, enter(machine))
    machine.request_answered(request, [*tickets("a"), *tickets("b", type="other")], 0)
    assert only(do.Report, end(machine, "a", now=0.001, run_s=0.001)).tickets_max == 1
    assert machine.desk.credit(1.0) == 1


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
