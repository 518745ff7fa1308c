"""Laws of a data folder: one master at a time, and plain words for whatever is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from storage_bench import Bench, a_task, seqs
from storage_engines import sqlite

from pullwork_master.core.effects import Wants
from pullwork_master.core.flows import flow_of
from pullwork_master.core.model import Limits
from pullwork_master.storage.base import StorageError, StorageInUseError
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.storage.sqlite_folder import DATABASE, LOCK
from pullwork_master.storage.sqlite_fsck import examine, open_snapshot
from pullwork_master.storage.sqlite_migrations import Migration, migrate, shipped, statements


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Bench]:
    """A SQLite store, open and empty."""
    made = Bench(sqlite(tmp_path))
    yield made
    made.close()


def refusal(folder: Path) -> str:
    """What a master is told that wants this folder; nothing may stay locked behind it."""
    storage = SqliteStorage(folder)
    with pytest.raises(StorageError) as caught:
        storage.open()
    assert not isinstance(caught.value, StorageInUseError)
    storage.close()
    return str(caught.value)


def test_a_folder_that_is_not_there_is_made_for_its_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    storage = SqliteStorage(folder)
    storage.open()
    storage.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_second_master_on_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    first = SqliteStorage(tmp_path / "data", "127.0.0.1:7733")
    first.open()
    second = SqliteStorage(tmp_path / "data")
    with pytest.raises(StorageInUseError) as caught:
        second.open()
    assert str(tmp_path / "data") in str(caught.value)
    assert f"pid {os.getpid()} at 127.0.0.1:7733" in str(caught.value)
    first.close()
    assert second.open().term == 2
    second.close()


def test_a_refused_master_takes_nothing_from_the_one_that_runs(open_store: Bench) -> None:
    open_store.insert(a_task(1))
    second = SqliteStorage(open_store.storage._folder.path)  # type: ignore[attr-defined]
    with pytest.raises(StorageInUseError):
        second.open()
    open_store.insert(a_task(2))
    assert seqs(open_store.by_seq(1, 2)) == [1, 2]
    assert open_store.storage.reload().term == 1


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pullwork_master.storage.sqlite import SqliteStorage;"
        " SqliteStorage(sys.argv[1]).open(); os._exit(9)"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path / "data"], check=False)
    assert run.returncode == 9
    assert (tmp_path / "data" / LOCK).read_text().startswith("pid ")
    storage = SqliteStorage(tmp_path / "data")
    assert storage.open().term == 2
    storage.close()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("hello")
    assert "is a file; name a folder with --data" in refusal(tmp_path / "data")


def test_a_folder_below_a_file_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    assert "Not a directory" in refusal(tmp_path / "file" / "data")


def test_a_folder_where_this_user_may_not_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    if os.geteuid() != 0:
        message = refusal(folder)
    else:
        # The superuser may write anywhere, so somebody else has to try.
        tmp_path.chmod(0o755)
        message = _refusal_as_nobody(folder)
    assert f"{folder} can't be used: Permission denied" in message
    assert "let this user (uid" in message


def _refusal_as_nobody(folder: Path) -> str:
    program = (
        "import os, sys; from pullwork_master.storage.sqlite import SqliteStorage;"
        " storage = SqliteStorage(sys.argv[1]);"
        " [parent.chmod(0o711) for parent in storage._folder.path.parents[:3]];"
        " os.setuid(65534);\n"
        "try: storage.open()\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, folder], check=True, capture_output=True, text=True
    )
    assert run.stdout.startswith("StorageError ")
    return run.stdout


def test_a_store_that_this_user_may_only_read_is_refused(tmp_path: Path) -> None:
    Bench(sqlite(tmp_path)).close()
    folder = tmp_path / "data"
    (folder / DATABASE).chmod(0o400)
    (folder / LOCK).chmod(0o666)
    folder.chmod(0o777)
    tmp_path.chmod(0o755)
    message = refusal(folder) if os.geteuid() != 0 else _refusal_as_nobody(folder)
    assert f"{folder} can't be used: Permission denied" in message


def test_a_master_that_could_not_start_leaves_the_folder_free(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / DATABASE).mkdir(parents=True)
    failed = SqliteStorage(folder)
    with pytest.raises(StorageError, match="Is a directory"):
        failed.open()
    (folder / DATABASE).rmdir()
    storage = SqliteStorage(folder)
    assert storage.open().term == 1
    storage.close()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / DATABASE).write_bytes(b"no database " * 999)
    message = refusal(folder)
    assert "is damaged or is no Pullwork store" in message
    assert "restore the folder from a backup" in message
    assert (folder / DATABASE).read_bytes() == b"no database " * 999


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(sqlite3.connect(folder / DATABASE)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    before = (folder / DATABASE).read_bytes()
    assert "belongs to another program" in refusal(folder)
    assert (folder / DATABASE).read_bytes() == before


def test_a_damaged_page_is_told_as_such(tmp_path: Path) -> None:
    bench = Bench(sqlite(tmp_path))
    bench.insert(*(a_task(seq, payload=b"x" * 900) for seq in range(1, 500)))
    bench.close()
    file = tmp_path / "data" / DATABASE
    content = bytearray(file.read_bytes())
    # All but the first pages, which hold the schema.
    content[40 * 4096 :] = b"\xff" * (len(content) - 40 * 4096)
    file.write_bytes(content)
    storage = SqliteStorage(tmp_path / "data")
    with pytest.raises(StorageError, match="is damaged"):
        use(storage)
    storage.close()


def use(storage: SqliteStorage) -> None:
    """Opens a store and reads what is in it."""
    storage.open()
    storage.find(Wants(seqs=list(range(1, 500))))


def test_a_newer_store_is_refused_with_the_remedy_and_left_as_it_is(tmp_path: Path) -> None:
    bench = Bench(sqlite(tmp_path))
    bench.insert(a_task(1))
    bench.close()
    newer = len(shipped()) + 1
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as future:
        future.execute(f"PRAGMA user_version = {newer}")
    message = refusal(tmp_path / "data")
    assert f"was written by a newer Pullwork (schema {newer}; this one knows up to" in message
    assert "start that version" in message
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE)) as future:
        assert future.execute("SELECT term FROM meta").fetchone() == (1,)


@pytest.mark.parametrize("version", range(len(shipped()) + 1))
def test_a_store_of_every_version_is_brought_to_this_one(tmp_path: Path, version: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(apsw.Connection(str(folder / DATABASE))) as old:
        migrate(old, shipped()[:version])
    made = Bench(sqlite(tmp_path))
    made.insert(a_task(1))
    made.restart()
    assert seqs(made.by_seq(1)) == [1]
    made.close()
    with closing(sqlite3.connect(folder / DATABASE)) as now:
        assert now.execute("PRAGMA user_version").fetchone() == (len(shipped()),)


def test_a_migration_that_fails_leaves_the_store_as_it_was() -> None:
    whole = Migration(1, "0001_a.sql", "CREATE TABLE a (x);")
    broken = Migration(2, "0002_b.sql", "CREATE TABLE b (x);\nALTER TABLE nothing ADD y;")
    with closing(apsw.Connection(":memory:")) as connection:
        with pytest.raises(apsw.SQLError):
            migrate(connection, [whole, broken])
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
        assert tables == [("a",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        migrate(connection, [whole, Migration(2, "0002_b.sql", "CREATE TABLE b (x);")])
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_migration_is_split_at_its_statements_and_nowhere_else() -> None:
    text = "-- why; not\nCREATE TABLE a (x); \n\nINSERT INTO a VALUES ('b;\nc');\n-- the end\n"
    assert [part.strip() for part in statements(text)] == [
        "-- why; not\nCREATE TABLE a (x);",
        "INSERT INTO a VALUES ('b;\nc');",
    ]


def test_a_person_reads_the_store_with_the_plain_shell(open_store: Bench) -> None:
    open_store.insert(a_task(1, id="0190aabb-ccdd-7eef-8123-456789abcdef"))
    database = open_store.storage._folder.database  # type: ignore[attr-defined]
    with closing(sqlite3.connect(database)) as shell:
        shown = shell.execute("SELECT task_id, state, created, ended FROM task_list").fetchall()
    assert shown == [
        ("0190aabb-ccdd-7eef-8123-456789abcdef", "QUEUED", "1970-01-01 00:00:01", None)
    ]


def test_a_commit_is_synced_before_it_returns(open_store: Bench) -> None:
    assert isinstance(open_store.storage, SqliteStorage)
    connection = open_store.storage._open_connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_reader_can_not_write(open_store: Bench) -> None:
    reader = open_store.reader()
    with pytest.raises(apsw.ReadOnlyError, match="readonly"):
        reader._connection.execute("DELETE FROM tasks")  # type: ignore[attr-defined]


def test_free_room_is_that_of_the_folders_file_system(open_store: Bench, tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    free = open_store.storage.free_bytes()
    assert free is not None
    assert abs(free - room.f_bavail * room.f_frsize) < room.f_blocks * room.f_frsize // 10


def test_tasks_of_a_store_without_flows_wait_in_those_of_their_owners(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(apsw.Connection(str(folder / DATABASE))) as old:
        migrate(old, shipped()[:1])
        _fill(old, "queues", name="q")
        _fill(old, "tasks", seq=1, id=bytes(16), queue="q", type="t", owner="me", state=2)
        _fill(old, "specs", seq=1)
    with closing(open_snapshot(folder)) as before:
        assert [it.law for it in examine(before) if "can't be judged" in str(it.examples)] == []
    storage = SqliteStorage(folder)
    opened = storage.open()
    storage.close()
    assert [(it.queue, it.type, it.flow, it.queued) for it in opened.queued] == [
        ("q", "t", flow_of("me", ""), 1)
    ]
    assert opened.queues[0].limits == Limits()


def _fill(connection: apsw.Connection, table: str, **given: object) -> None:
    """Adds a row of which only some columns matter."""
    row = {}
    for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
        row[name] = given.get(name, {"TEXT": "", "BLOB": b""}.get(kind, 0))
    marks = ", ".join("?" * len(row))
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
    connection.execute(sql, tuple(row.values()))
