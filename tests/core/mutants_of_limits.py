"""Bugs planted in the gates: what holds tasks back, what wakes those who wait for it."""

from __future__ import annotations

from typing import Any

import pytest
import test_core_aside as aside_laws
import test_core_limits as limit_laws
import test_core_turns as turn_laws
from planting import Garden, nothing, walks

from pullwork_master.core import clients, gates
from pullwork_master.core.book import Book
from pullwork_master.core.gates import Gate
from pullwork_master.core.model import NO_LIMITS, Queue, Task
from pullwork_master.core.ready import Line
from pullwork_master.storage import memory

GARDEN = Garden()
caught_by = GARDEN.caught_by


# --- what is let through --------------------------------------------------------------------


@caught_by(walks, limit_laws.test_no_more_run_at_once_than_a_queue_allows)
def concurrency_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate._limit

    def limit(self: Gate, limits: Any) -> None:
        real(self, limits)
        self._limited = bool(limits.rate)

    monkeypatch.setattr(Gate, "_limit", limit)


@caught_by(walks, limit_laws.test_a_key_at_its_limit_holds_nobody_else_back)
def keys_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "bars", lambda *_: False)


@caught_by(walks, limit_laws.test_no_more_run_at_once_than_a_queue_allows)
def one_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate.room

    def room(self: Gate, now_ms: int) -> int:
        return real(self, now_ms) or int(self.running == self.queue.limits.concurrency > 0)

    monkeypatch.setattr(Gate, "room", room)


@caught_by(walks, limit_laws.test_what_runs_is_counted_again_after_a_restart)
def what_ran_before_a_restart_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def adopt(self: Book, task: Task) -> None:
        self.line(task.line).running += 1

    monkeypatch.setattr(Book, "adopt", adopt)


@caught_by(
    limit_laws.test_a_rate_starts_so_many_and_then_one_a_token_later,
    limit_laws.test_over_time_a_rate_is_met_and_not_exceeded,
)
def tokens_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "_take_tokens", nothing)


@caught_by(limit_laws.test_a_rate_starts_so_many_and_then_one_a_token_later)
def a_rest_saves_up_more_than_a_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    real = gates.tokens
    monkeypatch.setattr(
        gates,
        "tokens",
        lambda full_ms, rate, burst, now_ms: real(full_ms, rate, 2 * burst, now_ms),
    )


@caught_by(limit_laws.test_a_rate_of_a_key_is_its_own)
def one_bucket_for_all_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate._take_tokens

    def take(self: Gate, key: str, now_ms: int) -> None:
        real(self, key, now_ms)
        self._key_full_ms = dict.fromkeys(("k", "other"), max(self._key_full_ms.values()))

    monkeypatch.setattr(Gate, "_take_tokens", take)


@caught_by(limit_laws.test_keys_whose_buckets_are_full_are_forgotten)
def paces_of_keys_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "_forget_paces", nothing)


@caught_by(limit_laws.test_a_rate_that_is_raised_holds_at_once)
def debts_outlive_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate.set_limits
    monkeypatch.setattr(
        Gate, "set_limits", lambda self, limits, now_ms: real(self, limits, now_ms + 10**9)
    )


# --- who waits for it -----------------------------------------------------------------------


@caught_by(walks, limit_laws.test_a_rate_starts_so_many_and_then_one_a_token_later)
def clock_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "_look_at", nothing)


@caught_by(walks, limit_laws.test_a_key_at_its_limit_holds_nobody_else_back)
def what_was_set_aside_stays_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "_put_back", nothing)


@caught_by(walks, limit_laws.test_a_limit_that_is_lifted_lets_all_go)
def lifted_limit_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def set_limits(self: Gate, limits: Any, now_ms: int) -> None:
        self.queue.limits = limits
        self._limit(limits)

    monkeypatch.setattr(Gate, "set_limits", set_limits)


@caught_by(limit_laws.test_a_slot_that_a_leaving_worker_frees_goes_to_who_waits_for_it)
def freed_slot_of_a_limit_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(self: Gate, task: Task) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Gate, "stir", nothing)
            real(self, task)

    real = Gate.ended
    monkeypatch.setattr(Gate, "ended", ended)


@caught_by(limit_laws.test_a_queue_of_keys_at_their_limits_costs_no_look_at_all_of_them)
def every_flow_read_again_for_each_end(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Line._lighten

    def lighten(self: Line, flow: Any, weight: int) -> None:
        real(self, flow, weight)
        self._reopen(list(self.shut))

    monkeypatch.setattr(Line, "_lighten", lighten)


@caught_by(limit_laws.test_what_is_set_aside_leaves_no_busy_loop)
def reads_on_whatever_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "_sated", lambda *_: False)


@caught_by(aside_laws.test_whatever_is_set_aside_all_tasks_have_their_turn_at_last)
def heavy_tasks_are_read_whatever_room_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def sated(self: Line, flow: Any) -> bool:
        return flow.held > self._quota or flow.weight > self._part()

    monkeypatch.setattr(Line, "_sated", sated)


@caught_by(aside_laws.test_whatever_is_set_aside_all_tasks_have_their_turn_at_last)
def never_read_again_once_the_line_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "_look_around", nothing)


@caught_by(aside_laws.test_whatever_is_set_aside_all_tasks_have_their_turn_at_last)
def pages_are_as_large_as_what_a_line_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Line.pages

    def pages(self: Line) -> list[Any]:
        return [wanted._replace(bytes_max=self._room.share) for wanted in real(self)]

    monkeypatch.setattr(Line, "pages", pages)


@caught_by(aside_laws.test_a_page_of_small_tasks_is_no_larger_than_its_part)
def pages_are_measured_by_their_payloads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "weigh", lambda task: len(task.spec.payload))


@caught_by(aside_laws.test_a_page_is_left_out_if_its_flow_was_cut_while_it_was_read)
def pages_are_taken_wherever_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Line.page

    def page(self: Line, number: int, _: Any, tasks: list[Task], *, more: bool) -> list[Task]:
        horizon = self.flows[number].horizon
        assert horizon is not None
        return real(self, number, horizon, tasks, more=more)

    monkeypatch.setattr(Line, "page", page)


@caught_by(limit_laws.test_lanes_that_come_and_go_leave_nothing_aside)
def empty_lanes_kept_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "let_go", nothing)


# --- setting and keeping them ---------------------------------------------------------------


@caught_by(limit_laws.test_a_limit_that_is_not_named_stays)
def every_limit_set_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients._changed
    monkeypatch.setattr(clients, "_changed", lambda _limits, command: real(NO_LIMITS, command))


@caught_by(limit_laws.test_limits_survive_a_restart)
def limits_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients.Clients.set_limits

    def set_limits(self: clients.Clients, command: Any) -> Queue:
        queue = real(self, command)
        self._book.effects.writes.queues.clear()
        return queue

    monkeypatch.setattr(clients.Clients, "set_limits", set_limits)


# --- turns ----------------------------------------------------------------------------------


@caught_by(turn_laws.test_a_flood_delays_nobody_by_more_than_its_turn)
def turns_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "_took_turn", nothing)


@caught_by(limit_laws.test_queues_share_a_worker_by_their_weights)
def weights_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Gate.set_limits
    monkeypatch.setattr(
        Gate,
        "set_limits",
        lambda self, limits, now_ms: real(self, limits._replace(weight=1), now_ms),
    )
