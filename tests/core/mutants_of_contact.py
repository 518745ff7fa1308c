"""Bugs planted in sessions, in what clients ask, and in the engine."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
import test_core_bulk as bulk_laws
import test_core_contact as contact_laws
import test_core_engine as engine_laws
import test_core_restart as restart_laws
import test_core_submit as submit_laws
import test_core_timers as timer_laws
from planting import Garden, nothing, walks
from world import World

from pullwork_master import engine
from pullwork_master.core import clients, sessions
from pullwork_master.core.book import Book
from pullwork_master.core.clients import Clients
from pullwork_master.core.commands import NewTask, Submit
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import Effects
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Now, State
from pullwork_master.core.sessions import Sessions
from pullwork_master.core.transitions import NEXT, Event
from pullwork_master.engine import BATCH_MAX, Engine
from pullwork_master.storage.base import StorageError
from pullwork_master.storage.memory import MemoryStorage

GARDEN = Garden()
caught_by = GARDEN.caught_by


# --- sessions -------------------------------------------------------------------------------


@caught_by(walks)
def session_ended_without_requeue(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions.end

    def end(self: Sessions, session: Any, *more: Any) -> int:
        session.held.clear()
        return real(self, session, *more)

    monkeypatch.setattr(Sessions, "end", end)


@caught_by(
    walks, restart_laws.test_what_nobody_comes_back_for_is_queued_again_when_the_window_closes
)
def restart_forgets_running_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "haunt", nothing)


@caught_by(
    contact_laws.test_a_stream_that_comes_back_in_time_costs_nothing,
    contact_laws.test_after_a_clean_break_leases_stand_for_the_grace_and_no_longer,
)
def requeue_without_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions._doubt
    monkeypatch.setattr(
        Sessions, "_doubt", lambda self, session, why, _grace_ms: real(self, session, why, 0)
    )


@caught_by(contact_laws.test_another_process_of_the_same_name_replaces_the_first_at_once)
def name_as_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions.register

    def register(self: Sessions, command: Any) -> Any:
        for each in self._book.sessions.values():
            if each.name == command.name:
                command = replace(command, boot_id=each.boot_id)
        return real(self, command)

    monkeypatch.setattr(Sessions, "register", register)


@caught_by(
    restart_laws.test_a_worker_that_comes_back_keeps_what_it_holds,
    restart_laws.test_what_never_reached_the_worker_goes_back_at_once_and_at_no_cost,
)
def ghosts_not_known_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sessions, "_same_process", lambda session, boot_id: session.boot_id == boot_id
    )


@caught_by(
    contact_laws.test_a_lease_of_another_process_is_never_taken_over,
    restart_laws.test_another_process_cannot_take_what_a_ghost_holds,
)
def anybody_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions._take_over

    def take_over(self: Sessions, session: Any, item: Any) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(sessions, "_same_process", lambda *_: True)
            return real(self, session, item)

    monkeypatch.setattr(Sessions, "_take_over", take_over)


@caught_by(contact_laws.test_a_draining_process_stays_so_when_it_registers_anew)
def drain_forgotten_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions.register

    def register(self: Sessions, command: Any) -> Any:
        answer = real(self, command)
        answer.session.draining = False
        return answer

    monkeypatch.setattr(Sessions, "register", register)


@caught_by(contact_laws.test_a_draining_worker_gets_nothing_more_and_keeps_what_it_has)
def drained_worker_still_served(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Dispatch.take

    def take(self: Dispatch, session: Any, limit: int) -> Any:
        session.draining, draining = False, session.draining
        try:
            return real(self, session, limit)
        finally:
            session.draining = draining

    monkeypatch.setattr(Dispatch, "take", take)


@caught_by(contact_laws.test_a_pause_of_the_master_itself_excuses_everyone)
def pause_not_excused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "excuse", nothing)


@caught_by(
    contact_laws.test_silence_is_doubted_after_three_heartbeats_and_ends_after_its_longer_grace
)
def silent_session_never_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "check", nothing)


@caught_by(timer_laws.test_a_worker_that_comes_and_goes_does_not_fill_the_heap_of_moments)
def looks_that_never_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions._watch

    def watch(self: Sessions, session: Any) -> None:
        session.look_ms = 0
        real(self, session)
        session.look_ms = 0

    monkeypatch.setattr(Sessions, "_watch", watch)


def clocks_back(world: World) -> None:
    contact_laws.test_a_jump_of_the_wall_clock_moves_no_lease(world, -3_600_000)


@caught_by(clocks_back)
def leases_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    real_step, real_due = Core.step, Core.due_in_ms
    monkeypatch.setattr(
        Core,
        "step",
        lambda self, batch, now, *more: real_step(self, batch, Now(now[1], now[1]), *more),
    )
    monkeypatch.setattr(
        Core, "due_in_ms", lambda self, now: real_due(self, Now(now.wall_ms, now.wall_ms))
    )


# --- clients --------------------------------------------------------------------------------


def succeeded_is_not_retried(world: World) -> None:
    bulk_laws.test_what_waits_runs_or_succeeded_is_not_retried(world, State.SUCCEEDED)


@caught_by(walks, succeeded_is_not_retried)
def retry_resurrects_what_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "RETRYABLE", (*clients.RETRYABLE, State.SUCCEEDED))
    monkeypatch.setitem(NEXT, (State.SUCCEEDED, Event.RETRY), State.QUEUED)  # type: ignore[misc]


@caught_by(submit_laws.test_retention_deletes_only_what_has_ended)
def retention_deletes_a_live_task(monkeypatch: pytest.MonkeyPatch) -> None:
    def sweep(self: MemoryStorage, before_ms: int, limit: int) -> int:
        old = [t for t in self.tasks.values() if t.created_ms + t.spec.retention_ms <= before_ms]
        for task in old[:limit] if before_ms else ():
            self._drop(task)
        return len(old[:limit])

    monkeypatch.setattr(MemoryStorage, "_sweep", sweep)


@caught_by(walks)
def retention_comes_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Core._look

    def look(self: Core) -> None:
        real(self)
        if self.book.effects.writes.sweep_before_ms:
            self.book.effects.writes.sweep_before_ms += 3_600_000

    monkeypatch.setattr(Core, "_look", look)


@caught_by(submit_laws.test_a_list_with_a_conflict_stores_none_of_its_tasks)
def half_done_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Clients.submit

    def submit(self: Clients, command: Submit) -> Any:
        return tuple(real(self, Submit((new,), command.chosen))[0] for new in command.tasks)

    monkeypatch.setattr(Clients, "submit", submit)


@caught_by(
    submit_laws.test_a_full_queue_refuses_the_whole_list_and_says_when_to_try_again,
    submit_laws.test_a_retry_needs_room_as_well,
)
def queue_bound_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clients, "_check_room", nothing)


@caught_by(
    submit_laws.test_while_a_task_of_a_key_waits_or_runs_there_is_no_second,
    submit_laws.test_a_key_counts_also_for_a_task_that_is_on_disk_alone,
)
def unique_key_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Clients._duplicate

    def duplicate(self: Clients, new: NewTask, *more: Any) -> str | None:
        return real(self, new._replace(spec=new.spec._replace(unique_key="")), *more)

    monkeypatch.setattr(Clients, "_duplicate", duplicate)


@caught_by(submit_laws.test_a_retried_task_is_found_by_its_key_when_the_other_has_ended)
def unique_key_of_one_task_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Book.remember
    monkeypatch.setattr(
        Book, "remember", lambda self, task: self.tasks.get(task.seq) or real(self, task)
    )


# --- the engine -----------------------------------------------------------------------------


@caught_by(engine_laws.test_an_answer_comes_after_its_commit_and_not_before)
def answer_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def turn(self: Engine) -> None:
        batch, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
        self._bell.clear()
        wants = self.core.wants(batch)
        found = await self._in_thread(lambda: self._storage.find(wants))
        effects = self.core.step(batch, self._clock(), wants, found)
        self._speak(effects)
        await self._commit(effects)
        self.core.settle()

    monkeypatch.setattr(Engine, "_turn", turn)


@caught_by(engine_laws.test_the_loop_waits_for_a_quick_disk_itself_and_for_a_slow_one_in_a_thread)
def no_disk_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SLOW_DISK_MS", 0)
    monkeypatch.setattr(engine, "SLOW_TIMES", 0)


@caught_by(engine_laws.test_the_loop_waits_for_a_quick_disk_itself_and_for_a_slow_one_in_a_thread)
def the_slowest_disk_is_tried_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SLOW_TIMES", 0)


@caught_by(engine_laws.test_who_comes_while_commits_are_quick_is_heard)
def full_batches_keep_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine._rest

    async def rest(self: Engine) -> None:
        if not self._inbox:
            await real(self)

    monkeypatch.setattr(Engine, "_rest", rest)


@caught_by(engine_laws.test_news_are_told_after_their_commit)
def news_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine._commit

    async def commit(self: Engine, effects: Effects) -> None:
        for listener in self._listeners:
            listener(effects)
        await real(self, effects)

    monkeypatch.setattr(Engine, "_commit", commit)


@caught_by(engine_laws.test_a_failed_commit_ends_the_run_and_nobody_hears_of_it)
def failed_commit_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Engine._commit

    async def commit(self: Engine, effects: Effects) -> None:
        with contextlib.suppress(StorageError):
            await real(self, effects)

    monkeypatch.setattr(Engine, "_commit", commit)


@caught_by(engine_laws.test_a_full_disk_is_refused_by_name_and_work_goes_on_when_there_is_room)
def session_ids_repeat_after_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "follow", nothing)


@caught_by(engine_laws.test_a_parked_caller_that_goes_away_is_given_nothing)
def gone_caller_stays_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "tell", nothing)
    monkeypatch.setattr(engine_laws, "PATIENCE_S", 0.3)


@caught_by(engine_laws.test_the_last_room_of_a_disk_is_kept_for_what_is_under_way)
def reserve_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "_check_room", nothing)
