"""Every query walks along the index that was made for it, however much is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from storage_bench import Bench, a_task, ended, id_of, page_wanted
from storage_engines import sqlite

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import SchedulePageWanted, Search, Wants
from pullwork_master.core.model import State
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.storage.sqlite_folder import DATABASE
from pullwork_master.storage.sqlite_reader import SqliteReader

LIVE = (State.SCHEDULED, State.QUEUED)
DEAD = (State.FAILED, State.CANCELLED)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Bench]:
    """A SQLite store with some tasks of every state."""
    made = Bench(sqlite(tmp_path))
    made.insert(
        *(a_task(seq, State(1 + seq % 3), ready_ms=seq, unique_key="k") for seq in range(1, 60)),
        *(ended(seq, seq, State(4 + seq % 3), expires_ms=seq) for seq in range(60, 120)),
    )
    yield made
    made.close()


def plans(connection: apsw.Connection, folder: Path, call: Callable[[], object]) -> list[str]:
    """Returns how SQLite goes about each statement of a call, as EXPLAIN QUERY PLAN says it."""
    statements: list[tuple[str, Any]] = []
    connection.set_exec_trace(lambda _, text, values: statements.append((text, values)) or True)
    call()
    connection.set_exec_trace(None)
    with closing(apsw.Connection(str(folder / "data" / DATABASE))) as other:
        return [
            step[3]
            for text, values in statements
            if text.startswith(("SELECT", "WITH", "UPDATE", "DELETE"))
            for step in other.execute(f"EXPLAIN QUERY PLAN {text}", values)
        ]


def wanting(**wanted: object) -> Wants:
    """Wants one thing."""
    return Wants(**wanted)  # type: ignore[arg-type]


FINDS = {
    "known ids": (wanting(known_ids=[id_of(1)]), "tasks_id (id=?)"),
    "ids": (wanting(ids=[id_of(1)]), "tasks_id (id=?)"),
    "seqs": (wanting(seqs=[1, 2]), "t USING INTEGER PRIMARY KEY"),
    "unique keys": (wanting(unique_keys=[("default", "k")]), "(queue=? AND unique_key=?)"),
    "a flow's rest": (
        wanting(pages=[page_wanted(after=(0, 3), limit=50)]),
        "tasks_waiting (state=? AND queue=? AND type=? AND flow=? AND priority=? AND rowid>?)",
    ),
    "a flow's lower priorities": (
        wanting(pages=[page_wanted(after=(0, 3), limit=50)]),
        "tasks_waiting (state=? AND queue=? AND type=? AND flow=? AND priority<?)",
    ),
    "the schedule": (
        wanting(schedule_page=SchedulePageWanted((3, 4), 5, 1_000)),
        "tasks_scheduled (state=? AND ready_ms=? AND seq>?)",
    ),
    "a purge": (
        wanting(searches=[Search(Filter(queue="default", states=LIVE), 5, 50)]),
        "tasks_waiting_age (queue=? AND rowid<?)",
    ),
    "what waits anywhere": (
        wanting(searches=[Search(Filter(type="t", states=LIVE), 5)]),
        "tasks_waiting_age (queue=?)",
    ),
    "what runs": (
        wanting(searches=[Search(Filter(states=(State.RUNNING,)), 5)]),
        "USING INDEX tasks_running",
    ),
    "dead letters": (
        wanting(searches=[Search(Filter(states=DEAD), 5)]),
        "USING INDEX tasks_dead",
    ),
}


@pytest.mark.parametrize("name", FINDS)
def test_what_the_core_is_shown_is_found_by_its_index_without_sorting(
    filled: Bench, tmp_path: Path, name: str
) -> None:
    assert isinstance(filled.storage, SqliteStorage)
    connection = filled.storage._open_connection
    wants, expected = FINDS[name]
    seen = plans(connection, tmp_path, lambda: filled.storage.find(wants))
    assert any(expected in step for step in seen), seen
    assert not [step for step in seen if "TEMP B-TREE" in step or step == "SCAN t"]


VIEWS: dict[str, tuple[Callable[[SqliteReader], object], str]] = {
    "one": (lambda reader: reader.get(id_of(1)), "tasks_id (id=?)"),
    "many": (lambda reader: reader.get_many([id_of(1), id_of(2)]), "tasks_id (id=?)"),
    "ends": (
        lambda reader: reader.ends_after(5, "me", "", 9),
        "tasks_ends (revision>? AND revision<?)",
    ),
    "where a page of ends stops": (
        lambda reader: reader.ends_after(5, "me", "", 9),
        "COVERING INDEX tasks_ends (revision>?)",
    ),
    "an owner's": (
        lambda reader: reader.list(Filter(owner="me"), 50, 9),
        "tasks_by_owner (owner=? AND rowid<?)",
    ),
    "a queue's": (
        lambda reader: reader.list(Filter(queue="default"), 50, 9),
        "tasks_by_queue (queue=? AND rowid<?)",
    ),
    "all": (lambda reader: reader.list(Filter(), 50, 9), "INTEGER PRIMARY KEY (rowid<?)"),
    "who waits longest": (
        lambda reader: reader.waiting_since("default", ["t"]),
        "COVERING INDEX tasks_waiting (state=? AND queue=? AND type=? AND flow=? AND priority<?)",
    ),
    "the first of a priority": (
        lambda reader: reader.waiting_since("default", ["t"]),
        "COVERING INDEX tasks_waiting (state=? AND queue=? AND type=? AND flow=? AND priority=?)",
    ),
    "dead letters": (
        lambda reader: reader.list(Filter(states=(State.FAILED,)), 50, 9),
        "tasks_dead (seq<?)",
    ),
}


@pytest.mark.parametrize("index", ["tasks_waiting_age (queue>? AND queue<?)", "tasks_running"])
def test_what_is_live_in_some_queues_is_found_without_a_look_at_others(
    filled: Bench, tmp_path: Path, index: str
) -> None:
    reader = filled.reader()
    assert isinstance(reader, SqliteReader)
    seen = plans(reader._connection, tmp_path, lambda: reader.live("default"))
    assert [step for step in seen if step.startswith(("SEARCH t", "SCAN t")) and index in step]
    assert not [step for step in seen if "TEMP B-TREE" in step or step == "SCAN t"]


@pytest.mark.parametrize("name", VIEWS)
def test_what_views_show_is_found_by_its_index_without_sorting(
    filled: Bench, tmp_path: Path, name: str
) -> None:
    reader = filled.reader()
    assert isinstance(reader, SqliteReader)
    call, expected = VIEWS[name]
    seen = plans(reader._connection, tmp_path, lambda: call(reader))
    assert any(expected in step for step in seen), seen
    assert not [step for step in seen if "TEMP B-TREE" in step]


def test_a_start_counts_without_reading_tasks(filled: Bench, tmp_path: Path) -> None:
    assert isinstance(filled.storage, SqliteStorage)
    connection = filled.storage._open_connection
    seen = plans(connection, tmp_path, filled.storage.reload)
    assert "SEARCH tasks USING COVERING INDEX tasks_waiting (state=?)" in seen
    assert "SEARCH tasks USING COVERING INDEX tasks_scheduled (state=?)" in seen
    assert "SCAN t USING INDEX tasks_running" in seen


def test_a_commit_finds_its_rows_by_their_keys(filled: Bench, tmp_path: Path) -> None:
    assert isinstance(filled.storage, SqliteStorage)
    connection = filled.storage._open_connection
    seen = plans(connection, tmp_path, lambda: filled.update(a_task(1)))
    seen += plans(connection, tmp_path, lambda: filled.sweep(70, 3))
    assert "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)" in seen
    assert "SEARCH t USING INDEX tasks_expiring (expires_ms<?)" in seen
    assert not [step for step in seen if "TEMP B-TREE" in step]
