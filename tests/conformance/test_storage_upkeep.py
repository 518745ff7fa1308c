"""A data folder is proved sound or its faults are named; a copy is whole and stands alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import apsw
import pytest
from storage_bench import Bench, a_queue, a_task, ended
from typer.testing import CliRunner

from pullwork.cli.main import make_app
from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import Writes
from pullwork_master.core.model import ServiceRow, State
from pullwork_master.storage.base import StorageError, store
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.storage.sqlite_backup import backup, restore
from pullwork_master.storage.sqlite_folder import DATABASE
from pullwork_master.storage.sqlite_fsck import LAWS, examine, open_snapshot

# For each law what breaks it.
BREACHES = {
    "every task has its spec": "DELETE FROM specs WHERE seq = 1",
    "every spec has its task": "DELETE FROM tasks WHERE seq = 1",
    "every task is in one state": (
        "PRAGMA ignore_check_constraints = 1; UPDATE tasks SET state = 0 WHERE seq = 1"
    ),
    "every task's queue is known": "DELETE FROM queues",
    "a SCHEDULED task has a moment to wake at": "UPDATE tasks SET state = 1 WHERE seq = 1",
    "a RUNNING task has an attempt and a session": "UPDATE tasks SET state = 3 WHERE seq = 1",
    "an ended task has its end, its place in the order and its retention": (
        "UPDATE tasks SET expires_ms = NULL WHERE seq = 2"
    ),
    "a task that has not ended has none of these": (
        "UPDATE tasks SET revision = 7 WHERE seq = 1; UPDATE meta SET last_revision = 7"
    ),
    "a task waits in the flow of its owner and limit key": "UPDATE tasks SET owner = 'x'",
    "no limit of a queue is less than none": "UPDATE queues SET rate = -1",
    "a SUCCEEDED task has a result": "UPDATE tasks SET result = NULL WHERE seq = 2",
    "a FAILED task says why": "UPDATE tasks SET state = 5, failure = NULL WHERE seq = 2",
    "nothing is counted without an attempt": "UPDATE tasks SET deaths = 4 WHERE seq = 2",
    "failure and story can be read": "UPDATE tasks SET history = '[oh' WHERE seq = 2",
    "headers can be read": "UPDATE specs SET headers = '{' WHERE seq = 2",
    "no two ends have one place in the order": "UPDATE tasks SET revision = 1 WHERE seq = 3",
    "the counters are not behind the tasks": "UPDATE meta SET last_seq = 2",
    "no two services have one revision, and none has one that was not given out": (
        "UPDATE meta SET last_service_revision = 0"
    ),
    "a service's version is one of its revisions": "UPDATE services SET version = 9",
    "there is one row of counters": "DELETE FROM meta",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a waiting task and two that ended."""
    bench = Bench(lambda: SqliteStorage(tmp_path / "data"))
    store(bench.storage, Writes(queues={"default": a_queue("default")}))
    facts = {"result": b"r", "attempt": 1, "ended_ms": 5, "expires_ms": 9}
    bench.insert(a_task(1), ended(2, 1, **facts), ended(3, 2, **facts))
    service = ServiceRow("web", 4, 3, b"r", 5, 6)
    store(bench.storage, Writes(services={"web": service}, service_revision=4))
    bench.close()
    return tmp_path / "data"


def broken_laws(folder: Path) -> list[str]:
    connection = open_snapshot(folder)
    try:
        return [finding.law for finding in examine(connection) if not finding.sound]
    finally:
        connection.close()


def test_a_folder_that_a_master_left_is_sound(folder: Path) -> None:
    assert broken_laws(folder) == []


def test_every_law_has_a_breach_here() -> None:
    assert set(BREACHES) == {law.name for law in LAWS}


@pytest.mark.parametrize("law", BREACHES)
def test_a_breach_of_a_law_is_found_and_named(folder: Path, law: str) -> None:
    connection = sqlite3.connect(folder / DATABASE)
    connection.executescript(BREACHES[law])
    connection.close()
    found = broken_laws(folder)
    assert law in found
    # A state that does not exist is caught by the file's own checks too.
    assert set(found) <= {law, "the file's pages and indexes agree"}


def test_a_damaged_page_is_found(folder: Path) -> None:
    file = folder / DATABASE
    connection = sqlite3.connect(file)
    page: int = connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'tasks_id'"
    ).fetchone()[0]
    size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    data = bytearray(file.read_bytes())
    data[(page - 1) * size + 100 : page * size] = bytes(size - 100)
    file.write_bytes(data)
    assert "the file's pages and indexes agree" in broken_laws(folder)


def test_a_copy_is_of_one_moment_while_the_master_commits(folder: Path, tmp_path: Path) -> None:
    bench = Bench(lambda: SqliteStorage(folder))
    bench.insert(*(a_task(seq) for seq in range(10, 4_000)))
    seqs = iter(range(4_000, 10_000))

    def commit_meanwhile(done: int, whole: int) -> None:
        bench.insert(a_task(next(seqs)))

    size = backup(folder, tmp_path / "copy", commit_meanwhile)
    written = next(seqs)
    bench.close()
    assert written > 4_000, "the master committed while the copy was made"
    assert size > 0
    assert broken_laws(tmp_path / "copy") == []
    copy = Bench(lambda: SqliteStorage(tmp_path / "copy"))
    assert [task.seq for task in copy.by_seq(3_999, 4_000)] == [3_999]
    copy.close()


def test_a_restored_folder_has_its_tasks_another_id_and_a_later_term(
    folder: Path, tmp_path: Path
) -> None:
    storage = SqliteStorage(folder)
    before = storage.open()
    storage.close()
    backup(folder, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    again = SqliteStorage(tmp_path / "again")
    opened = again.open()
    assert opened.store_id != before.store_id
    assert opened.cluster_id == before.cluster_id == before.store_id
    assert opened.term > before.term + 1_000_000
    assert opened.next_seq == before.next_seq
    assert opened.services == before.services
    assert opened.next_service_revision > before.next_service_revision + 1_000_000
    assert [task.state for task in again.reader().list(Filter(), 0, 10)] == [
        State.SUCCEEDED,
        State.SUCCEEDED,
        State.QUEUED,
    ]
    again.close()


def test_nothing_that_exists_is_overwritten(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(StorageError, match="exists already"):
        backup(folder, tmp_path / "copy")
    with pytest.raises(StorageError, match="exists already"):
        restore(folder, folder)
    assert broken_laws(folder) == []


def test_a_failed_copy_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def fail(done: int, whole: int) -> None:
        raise apsw.IOError("disk I/O error")

    with pytest.raises(StorageError, match="failed: disk I/O error"):
        backup(folder, tmp_path / "copy", fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_the_commands_say_in_one_line_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    run = CliRunner()
    sound = run.invoke(make_app(), ["fsck", str(folder)])
    assert sound.exit_code == 0, sound.output
    assert "is sound" in sound.output
    nothing = run.invoke(make_app(), ["fsck", str(tmp_path)])
    assert nothing.exit_code == 2
    assert "holds no pullwork.sqlite3" in nothing.output
    connection = sqlite3.connect(folder / DATABASE)
    connection.executescript("UPDATE tasks SET result = NULL WHERE seq = 2")
    connection.close()
    broken = run.invoke(make_app(), ["fsck", str(folder), "--json"])
    assert broken.exit_code == 1
    assert '"sound": false' in broken.output
    copied = run.invoke(make_app(), ["backup", str(folder), str(tmp_path / "copy")])
    assert copied.exit_code == 1
    assert "NOT SOUND" in copied.output
