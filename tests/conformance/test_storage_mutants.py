"""Every law is worth something: each bug planted here breaks the law that is named beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import test_storage_commit as commits
import test_storage_find as finds
import test_storage_services as services
import test_storage_views as views
from storage_bench import Bench, a_task, id_of
from storage_engines import memory, sqlite

from pullwork_master.core.effects import Writes
from pullwork_master.core.model import State
from pullwork_master.storage import memory as memory_engine
from pullwork_master.storage import sqlite as sqlite_engine
from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.base import Storage
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage

Patch = pytest.MonkeyPatch
Engine = Callable[[Path], Callable[[], Storage]]


class Mutant(NamedTuple):
    """A bug, the engine that gets it, and the law that must notice."""

    engine: Engine
    plant: Callable[[Patch], None]
    law: Callable[[Bench, Patch], None]


def lawful(law: Callable[[Bench], None]) -> Callable[[Bench, Patch], None]:
    """Calls a law that needs only the bench."""
    return lambda bench, patch: law(bench)


def in_sql(name: str, old: str, new: str) -> Callable[[Patch], None]:
    """Writes something else into a statement."""

    def plant(patch: Patch) -> None:
        statement = getattr(sql, name)
        assert old in statement
        patch.setattr(sql, name, statement.replace(old, new))

    return plant


def endless_pages(patch: Patch) -> None:
    """Cuts a page by its tasks alone, however heavy they are."""
    real = sqlite_engine._cut
    patch.setattr(sqlite_engine, "_cut", lambda rows, limit, _: real(rows, limit, 10**9))


def forget_no_floor(patch: Patch) -> None:
    """Forgets swept owners without raising the floor for them."""
    patch.setitem(sql.RAISE_SWEPT_FLOOR, "owner", "UPDATE meta SET one = one + 0 * ?")


def sweep_first(engine: type[SqliteStorage] | type[MemoryStorage]) -> Callable[[Patch], None]:
    """Sweeps before it updates."""
    real, end = engine.stage, engine.commit
    swept = []

    def stage(self: Any, writes: Writes) -> None:
        bounds = {
            "sweep_before_ms": writes.sweep_before_ms,
            "sweep_tasks": writes.sweep_tasks,
        }
        real(self, Writes(**bounds))
        swept.append(end(self))
        real(self, replace(writes, sweep_before_ms=0))

    def commit(self: Any) -> int:
        end(self)
        return swept.pop()

    def plant(patch: Patch) -> None:
        patch.setattr(engine, "stage", stage)
        patch.setattr(engine, "commit", commit)

    return plant


def commit_by_halves(patch: Patch) -> None:
    """Stores updates and queues in a transaction of their own."""
    real = SqliteStorage.stage

    def stage(self: SqliteStorage, writes: Writes) -> None:
        real(self, replace(writes, inserted={}))
        self.commit()
        real(self, Writes(inserted=writes.inserted))

    patch.setattr(SqliteStorage, "stage", stage)


def keep_the_cores_own(patch: Patch) -> None:
    """Keeps the core's tasks instead of copies."""
    patch.setattr(memory_engine, "_snapshot", lambda task: task)


def ends_of_all(bench: Bench, patch: Patch) -> None:
    """The law of ends, for all owners and queues, four looked at in a page."""
    views.test_ends_are_told_in_order_none_missed_none_twice(bench, patch, "", "", 4)


def ends_of_one(bench: Bench, patch: Patch) -> None:
    """The law of ends, for one owner, four looked at in a page."""
    views.test_ends_are_told_in_order_none_missed_none_twice(bench, patch, "x", "", 4)


PAGED = lawful(finds.test_a_line_is_paged_in_order_strictly_after_the_key)
MUTANTS = {
    "a page begins with its key": Mutant(
        sqlite, in_sql("PAGE_SAME", "t.seq > ?", "t.seq >= ?"), PAGED
    ),
    "a page repeats a priority": Mutant(
        sqlite, in_sql("PAGE_LOWER", "t.priority < ?", "t.priority <= ?"), PAGED
    ),
    "a page mixes flows": Mutant(
        sqlite,
        in_sql("PAGE_LOWER", "t.flow = ?", "t.flow >= 0 * ?"),
        lawful(finds.test_a_page_holds_one_flow_alone),
    ),
    "a heavy page goes on": Mutant(
        sqlite,
        endless_pages,
        lawful(finds.test_a_page_ends_when_it_is_heavy_but_shows_one_at_least),
    ),
    "low priorities come first": Mutant(
        sqlite, in_sql("PAGE_LOWER", "priority DESC", "priority ASC"), PAGED
    ),
    "the schedule forgets equal times": Mutant(
        sqlite,
        in_sql("SCHEDULE_SAME", "t.seq > ?", "t.seq > ? AND FALSE"),
        lawful(finds.test_the_schedule_is_paged_by_time_then_age_strictly_after),
    ),
    "the term stands still": Mutant(
        sqlite,
        in_sql("BUMP_TERM", "term + 1", "1"),
        lawful(commits.test_every_start_is_a_new_term_of_the_same_store),
    ),
    "an update keeps the old failure": Mutant(
        sqlite,
        in_sql("UPDATE_TASK", "failure = ?", "failure = coalesce(?, failure)"),
        lawful(commits.test_every_step_of_a_life_leaves_no_trace_of_the_one_before),
    ),
    "revisions go back": Mutant(
        sqlite,
        in_sql("RAISE_COUNTERS", "last_revision = ?", "last_revision = 0 * ?"),
        lawful(commits.test_a_revision_is_never_given_out_again_after_a_retry),
    ),
    "seqs go back": Mutant(
        sqlite,
        in_sql("RAISE_COUNTERS", "last_seq = ?", "last_seq = min(?, 1)"),
        lawful(commits.test_a_seq_is_never_given_out_again_even_if_its_task_is_gone),
    ),
    "a sweep takes what waits": Mutant(
        sqlite,
        in_sql("DUE", " AND t.state >= 4", ""),
        lawful(commits.test_a_sweep_never_takes_a_task_that_has_not_ended),
    ),
    "a sweep leaves payloads behind": Mutant(
        sqlite,
        in_sql("DELETE_SPEC", "seq = ?", "seq = -?"),
        lawful(commits.test_a_swept_task_leaves_nothing_behind),
    ),
    "a sweep comes before the updates": Mutant(
        sqlite,
        sweep_first(SqliteStorage),
        lawful(commits.test_updates_come_before_the_sweep_of_the_same_commit),
    ),
    "a sweep comes before the updates, in memory": Mutant(
        memory,
        sweep_first(MemoryStorage),
        lawful(commits.test_updates_come_before_the_sweep_of_the_same_commit),
    ),
    "a commit is stored by halves": Mutant(
        sqlite,
        commit_by_halves,
        lambda bench, patch: commits.test_a_commit_stores_all_or_nothing(
            bench, a_task(2, id=id_of(1))
        ),
    ),
    "what is stored is the core's own": Mutant(
        memory,
        keep_the_cores_own,
        lawful(commits.test_the_core_may_change_its_task_without_the_store_noticing),
    ),
    "what is shown is the store's own": Mutant(
        memory,
        keep_the_cores_own,
        lawful(commits.test_the_core_may_change_what_it_was_shown_without_the_store_noticing),
    ),
    "an end is told twice": Mutant(
        sqlite, in_sql("ENDS", "t.revision > ?", "t.revision >= ?"), ends_of_all
    ),
    "a page of ends stops too early": Mutant(
        sqlite, in_sql("ENDS", "t.revision <= ?", "t.revision < ?"), ends_of_one
    ),
    "forgotten owners missed nothing": Mutant(
        sqlite,
        forget_no_floor,
        views.test_what_was_swept_is_never_too_low_however_many_owners_there_were,
    ),
    "a queue that was dropped is kept": Mutant(
        sqlite,
        in_sql("DELETE_QUEUE", "name = ?", "name = '-' || ?"),
        lawful(commits.test_a_queue_that_was_dropped_is_gone),
    ),
    "a service that is gone is kept": Mutant(
        sqlite,
        in_sql("DELETE_SERVICE", "name = ?", "name = '-' || ?"),
        lawful(services.test_a_deleted_service_is_gone_and_its_revision_with_it),
    ),
    "a revision of a service is given out again": Mutant(
        sqlite,
        in_sql("RAISE_SERVICE_REVISION", ", ?", ", 0 * ?"),
        lawful(services.test_a_deleted_service_is_gone_and_its_revision_with_it),
    ),
    "a key is free while its task runs": Mutant(
        sqlite,
        in_sql("BY_UNIQUE_KEY", "t.state < 4", "t.state < 3"),
        lambda bench, patch: finds.test_a_unique_key_is_held_while_its_task_has_not_ended(
            bench, State.RUNNING
        ),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_is_noticed(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    mutant = MUTANTS[name]
    healthy = Bench(mutant.engine(tmp_path / "healthy"))
    mutant.law(healthy, monkeypatch)
    healthy.close()
    mutant.plant(monkeypatch)
    sick = Bench(mutant.engine(tmp_path / "sick"))
    with pytest.raises(Exception, match=r".") as noticed:
        mutant.law(sick, monkeypatch)
    sick.close()
    assert not isinstance(noticed.value, TypeError | AttributeError), noticed.value
