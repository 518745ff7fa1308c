"""Bugs planted in leases and dispatch: who gets what, and whose word counts."""

from __future__ import annotations

import heapq
from dataclasses import replace
from typing import Any

import pytest
import test_core_bulk as bulk_laws
import test_core_dispatch as dispatch_laws
import test_core_leases as lease_laws
import test_core_restart as restart_laws
import test_core_timers as timer_laws
import test_core_verdicts as verdict_laws
import test_core_window as window_laws
from planting import Garden, nothing, walks

from pullwork_master.core import dispatch, leases
from pullwork_master.core.book import Book
from pullwork_master.core.commands import Verdict
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import Available
from pullwork_master.core.gates import Gate
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Contact, Task
from pullwork_master.core.ready import Line
from pullwork_master.core.window import Window, weigh

GARDEN = Garden()
caught_by = GARDEN.caught_by


# --- leases ---------------------------------------------------------------------------------


@caught_by(walks, verdict_laws.test_a_report_after_a_timeout_is_stale_whatever_became_of_the_task)
def no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds a task may report it under any of its tokens."""
    real = leases.report

    def report(book: Book, session: Any, outcome: Any) -> Verdict:
        parsed = leases.parse_token(outcome.token)
        task = None if parsed is None else book.tasks.get(parsed[0])
        if task is not None and task.lease is not None:
            outcome = outcome._replace(token=task.lease.token)
        return real(book, session, outcome)

    monkeypatch.setattr(leases, "report", report)


@caught_by(
    verdict_laws.test_the_lease_of_another_session_is_never_accepted,
    verdict_laws.test_a_stale_lease_never_completes_a_task,
)
def lease_of_another_session_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.report

    def report(book: Book, session: Any, outcome: Any) -> Verdict:
        seq = int(outcome.token.split(".")[0])
        task = book.tasks.get(seq)
        if task is not None and task.lease is not None:
            outcome = outcome._replace(token=task.lease.token)
            session = book.sessions[task.lease.session]
        return real(book, session, outcome)

    monkeypatch.setattr(leases, "report", report)


@caught_by(walks, verdict_laws.test_a_result_is_accepted_once_whoever_reports_it)
def result_accepted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_repeated", lambda *_: Verdict.ACCEPTED)


@caught_by(verdict_laws.test_a_repeat_is_accepted_after_a_restart_of_the_master)
def repeat_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_repeated", lambda *_: Verdict.STALE_LEASE)


@caught_by(walks, verdict_laws.test_attempt_numbers_never_repeat)
def attempt_number_not_incremented(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.grant

    def grant(book: Book, task: Task, session: Any) -> Any:
        task.attempt = max(0, task.attempt - 1)
        return real(book, task, session)

    monkeypatch.setattr(leases, "grant", grant)


@caught_by(walks)
def grant_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.grant

    def grant(book: Book, task: Task, session: Any) -> Any:
        made = real(book, task, session)
        book.effects.writes.updated.pop(task.seq, None)
        return made

    monkeypatch.setattr(leases, "grant", grant)


@caught_by(lease_laws.test_a_lease_that_two_heartbeats_in_a_row_do_not_list_goes_back_at_no_cost)
def inventory_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_missed", nothing)


@caught_by(lease_laws.test_a_task_that_kills_its_workers_is_set_aside_with_evidence)
def quarantine_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.lose

    def lose(book: Book, task: Task, failure: Any, **more: Any) -> None:
        spec, task.spec = task.spec, task.spec._replace(max_worker_deaths=10**9)
        real(book, task, failure, **more)
        task.spec = spec

    monkeypatch.setattr(leases, "lose", lose)


@caught_by(lease_laws.test_a_ticket_that_comes_back_unstarted_costs_nothing)
def released_counted_as_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.give_back

    def give_back(book: Book, task: Task, *more: Any) -> None:
        task.failures += 1
        real(book, task, *more)

    monkeypatch.setattr(leases, "give_back", give_back)


@caught_by(lease_laws.test_a_checkpoint_is_durable_and_given_to_the_next_attempt)
def checkpoint_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.heard

    def heard(book: Book, task: Task, item: Any) -> None:
        real(book, task, item)
        book.effects.writes.updated.pop(task.seq, None)

    monkeypatch.setattr(leases, "heard", heard)


@caught_by(lease_laws.test_an_attempt_that_outlives_its_time_is_failed_and_its_worker_told)
def timeouts_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "watch_timeouts", nothing)


@caught_by(lease_laws.test_a_failure_is_followed_by_another_attempt_after_the_backoff)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "backoff_ms", lambda *_: 0)


@caught_by(lease_laws.test_a_task_that_was_not_started_costs_no_death)
def unstarted_counted_as_death(monkeypatch: pytest.MonkeyPatch) -> None:
    real = leases.heard
    monkeypatch.setattr(
        leases, "heard", lambda book, task, item: real(book, task, replace(item, started=True))
    )


@caught_by(timer_laws.test_attempts_that_ended_do_not_wait_for_their_timeouts_in_memory)
def moments_kept_until_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_LOOK_MS", 10**12)


@caught_by(verdict_laws.test_a_token_of_any_length_harms_nobody)
def numbers_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "NUMBER_CHARS_MAX", 10**9)


# --- who gets what --------------------------------------------------------------------------


@caught_by(walks, dispatch_laws.test_a_parked_request_is_answered_with_the_first_task_that_comes)
def lost_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatch, "run", nothing)


@caught_by(walks, dispatch_laws.test_a_parked_request_is_answered_with_the_first_task_that_comes)
def parked_session_not_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.park

    def park(self: Dispatch, session: Any, parked: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Dispatch, "place", nothing)
            real(self, session, parked)

    monkeypatch.setattr(Dispatch, "park", park)


@caught_by(lease_laws.test_a_slot_that_was_taken_back_is_given_to_the_request_that_waits)
def freed_slot_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.run

    def run(self: Dispatch) -> None:
        self._book.freed.clear()
        real(self)

    monkeypatch.setattr(Dispatch, "run", run)


@caught_by(window_laws.test_a_window_is_the_head_of_all_that_waits)
def window_ignores_its_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(self: Window, task: Task, key: tuple[int, int]) -> list[Task]:
        self._push(task, key)
        return self._spill()

    monkeypatch.setattr(Window, "add", add)


@caught_by(walks)
def flow_ignores_its_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Line.add

    def add(self: Line, task: Task) -> list[Task]:
        flow = self.flows.get(task.spec.flow)
        if flow is None or flow.horizon is None or not flow.held:
            return real(self, task)
        flow.queued += 1
        self.queued += 1
        self._push(flow, task, task.key)
        return self._spill()

    monkeypatch.setattr(Line, "add", add)


@caught_by(window_laws.test_tasks_that_come_and_go_behind_a_waiting_head_leave_nothing_in_memory)
def keys_never_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def push(self: Window, task: Task, key: tuple[int, int]) -> None:
        self.tasks[task.seq] = task
        self._keys[task.seq] = key
        self.weight += weigh(task)
        heapq.heappush(self._heap, key)

    monkeypatch.setattr(Window, "_push", push)


@caught_by(walks, restart_laws.test_all_that_waits_is_found_again_in_its_order)
def pages_never_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_want_pages", nothing)


@caught_by(
    dispatch_laws.test_higher_priority_goes_first_however_late_it_comes,
    restart_laws.test_all_that_waits_is_found_again_in_its_order,
)
def priority_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "key", property(lambda self: (0, self.seq)))


@caught_by(bulk_laws.test_nothing_is_granted_from_a_paused_queue_and_nobody_is_told_of_it)
def paused_queue_still_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate.room

    def room(self: Gate, now_ms: int) -> int:
        queue, self.queue = self.queue, replace(self.queue, paused=False)
        try:
            return real(self, now_ms)
        finally:
            self.queue = queue

    monkeypatch.setattr(Gate, "room", room)


@caught_by(walks, dispatch_laws.test_a_request_that_is_repeated_gets_the_same_tickets)
def request_id_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatch, "recall", nothing)


@caught_by(dispatch_laws.test_what_somebody_was_told_of_is_told_to_another_when_he_is_gone)
def hint_goes_with_who_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.place

    def place(self: Dispatch, session: Any) -> None:
        if session.id not in self._book.sessions or session.contact is not Contact.CONNECTED:
            session.hinted = False
        real(self, session)

    monkeypatch.setattr(Dispatch, "place", place)


@caught_by(dispatch_laws.test_what_somebody_was_told_of_is_told_to_another_when_he_is_full)
def hint_goes_with_who_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.place

    def place(self: Dispatch, session: Any) -> None:
        hinted = session.hinted
        if session.contact is Contact.CONNECTED and session.credit <= 0:
            session.hinted = False
        real(self, session)
        session.hinted = hinted

    monkeypatch.setattr(Dispatch, "place", place)


@caught_by(dispatch_laws.test_as_many_idle_workers_are_told_as_there_are_tasks)
def hint_storm(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell_idle(self: Dispatch, line: Any) -> None:
        for session_id in list(line.idle):
            session = self._book.sessions[session_id]
            session.hinted = True
            self._book.effects.news.append((session_id, Available(self.available(session))))
            self.place(session)

    monkeypatch.setattr(Dispatch, "_tell_idle", tell_idle)


@caught_by(walks, dispatch_laws.test_nobody_is_given_more_than_its_credit)
def credit_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.take

    def take(self: Dispatch, session: Any, limit: int) -> Any:
        slots, session.slots = session.slots, 1_000
        try:
            return real(self, session, limit)
        finally:
            session.slots = slots

    monkeypatch.setattr(Dispatch, "take", take)


@caught_by(dispatch_laws.test_a_request_waits_for_the_page_that_holds_its_task)
def page_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatch, "page_pending", lambda *_: False)


@caught_by(dispatch_laws.test_the_bytes_of_an_answer_are_bounded)
def bytes_of_an_answer_unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "TICKETS_BYTES_MAX", 2**60)


@caught_by(dispatch_laws.test_queues_take_turns_whatever_their_priorities)
def first_queue_first(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch._open_gates
    monkeypatch.setattr(Dispatch, "_open_gates", lambda self, session: real(self, session)[:1])


@caught_by(dispatch_laws.test_parked_requests_share_a_list_of_tasks_fairly)
def first_parked_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.take
    monkeypatch.setattr(
        Dispatch, "take", lambda self, session, _limit: real(self, session, session.credit)
    )
