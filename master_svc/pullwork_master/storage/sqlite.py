"""Keeps tasks in one SQLite file of a locked data folder: the default, with nothing to run.

One connection writes, in WAL mode with `synchronous=FULL`: when a commit returns, it is on the
disk. It belongs to one thread at a time, the engine's writer. Readers have connections of
their own and see what was committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from uuid import uuid4

import apsw

from pullwork_master.core.effects import (
    FlowCount,
    Found,
    Opened,
    Page,
    PageWanted,
    ScheduledCount,
    SchedulePageWanted,
    Wants,
    Writes,
)
from pullwork_master.core.model import ServiceRow, Task
from pullwork_master.core.window import weigh
from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.sqlite_damage import refuse_damaged_database, refuse_damaged_log
from pullwork_master.storage.sqlite_folder import Folder
from pullwork_master.storage.sqlite_migrations import migrate, refuse_foreign, shipped
from pullwork_master.storage.sqlite_reader import SqliteReader
from pullwork_master.storage.sqlite_rows import (
    Row,
    changes,
    id_lists,
    id_text,
    queue_row,
    read,
    read_queue,
    spec_row,
    task_row,
)
from pullwork_master.storage.sqlite_search import search
from pullwork_master.storage.sqlite_sweep import sweep

# For an operator with the sqlite3 shell, who may hold a write lock for a moment.
_BUSY_MS = 30_000

_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # 16 MiB between checkpoints: each page of a hot index is then copied once for many commits.
    "PRAGMA wal_autocheckpoint = 4000",
    # What a burst or a slow reader made the log grow to is given back at the next checkpoint.
    "PRAGMA journal_size_limit = 67108864",
    # The hot end of every index fits; the window of the core holds the rest.
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
)


class SqliteStorage:
    """A `Storage` in a folder; `address` is told to a second master that wants it too."""

    def __init__(self, folder: str | Path, address: str = "") -> None:
        self._folder = Folder(Path(folder), address)
        self._connection: apsw.Connection | None = None
        self._last_seq = 0
        self._last_revision = 0
        # Of the transaction under way: the counters after it, and how many tasks it deletes.
        self._staged_counters = (0, 0)
        self._swept = 0

    def open(self) -> Opened:
        """Locks the folder, migrates, begins a new term and returns what a start needs.

        Errors: StorageInUseError, StorageError.
        """
        assert self._connection is None, "open already"
        try:
            self._folder.lock()
            with self._folder.explaining():
                return self._start()
        except BaseException:
            self.close()
            raise

    def reload(self) -> Opened:
        """Returns what is on disk now, in the same term. Errors: StorageError."""
        with self._folder.explaining():
            return self._opened(self._open_connection)

    def stage(self, writes: Writes) -> None:
        """Begins a transaction and does all of it but the last.

        Errors: StorageFullError, StorageError.
        """
        new = writes.inserted.values()
        last_seq = max((task.seq for task in new), default=0)
        last_revision = max((t.revision for t in (*new, *writes.updated.values())), default=0)
        last_seq = max(last_seq, self._last_seq)
        last_revision = max(last_revision, self._last_revision)
        connection = self._open_connection
        with self._undoing():
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql.INSERT_TASK, map(task_row, new))
            connection.executemany(sql.INSERT_SPEC, map(spec_row, new))
            connection.executemany(sql.UPDATE_TASK, map(changes, writes.updated.values()))
            if writes.queues:
                _put_queues(connection, writes)
            if writes.services:
                _put_services(connection, writes)
            if (last_seq, last_revision) != (self._last_seq, self._last_revision):
                connection.execute(sql.RAISE_COUNTERS, (last_seq, last_revision))
            self._swept = 0
            if writes.sweep_before_ms:
                self._swept = sweep(connection, writes.sweep_before_ms, writes.sweep_tasks)
        self._staged_counters = (last_seq, last_revision)

    def commit(self) -> int:
        """Ends the transaction that `stage` began: what is in it is on the disk now.

        Errors: StorageFullError, StorageError.
        """
        with self._undoing():
            self._open_connection.execute("COMMIT")
        self._last_seq, self._last_revision = self._staged_counters
        return self._swept

    def find(self, wants: Wants) -> Found:
        """Shows committed tasks; errors: StorageError."""
        with self._folder.explaining():
            connection = self._open_connection
            return Found(
                known={
                    id_text(packed): digest
                    for ids in id_lists(wants.known_ids)
                    for packed, digest in connection.execute(
                        sql.KNOWN.format(marks=sql.marks(len(ids))), ids
                    )
                },
                tasks=self._named(connection, wants),
                searches=[
                    search(
                        connection,
                        wanted.filter,
                        wanted.before_seq,
                        wanted.limit,
                        sql.WHOLE,
                        newest_first=False,
                    )
                    for wanted in wants.searches
                ],
                pages=[self._page(connection, page) for page in wants.pages],
                schedule_page=self._schedule_page(connection, wants.schedule_page),
            )

    def reader(self) -> SqliteReader:
        """Opens a read-only connection, usable by one thread at a time."""
        assert self._connection is not None, "not open"
        return SqliteReader(self._folder)

    def free_bytes(self) -> int | None:
        """How much room the file system has left for this user."""
        return self._folder.free_bytes()

    def close(self) -> None:
        """Closes the file and unlocks the folder; may be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._folder.unlock()

    @property
    def _open_connection(self) -> apsw.Connection:
        assert self._connection is not None, "not open"
        return self._connection

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """Rolls back what fails, and says in plain words why."""
        connection = self._open_connection
        with self._folder.explaining():
            try:
                yield
            except BaseException:
                # A full disk rolls back by itself.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _start(self) -> Opened:
        database = self._folder.database
        refuse_damaged_log(database)
        connection = self._connection = apsw.Connection(str(database))
        connection.set_busy_timeout(_BUSY_MS)
        migrations = shipped()
        refuse_foreign(connection, str(database), migrations)
        refuse_damaged_database(connection, database)
        for setting in _SETTINGS:
            connection.execute(setting)
        migrate(connection, migrations)
        with self._undoing():
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(sql.FOUND_STORE, (str(uuid4()),))
            connection.execute(sql.BUMP_TERM)
            connection.execute("COMMIT")
        return self._opened(connection)

    def _opened(self, connection: apsw.Connection) -> Opened:
        meta = connection.execute(sql.META).get
        term, store_id, self._last_seq, self._last_revision, last_service_revision, cluster = meta
        return Opened(
            term=term,
            store_id=store_id,
            cluster_id=cluster,
            next_seq=self._last_seq + 1,
            next_revision=self._last_revision + 1,
            queues=[read_queue(row) for row in connection.execute(sql.QUEUES)],
            queued=[FlowCount(*row) for row in connection.execute(sql.COUNT_QUEUED)],
            scheduled=[ScheduledCount(*row) for row in connection.execute(sql.COUNT_SCHEDULED)],
            running=[read(row) for row in connection.execute(sql.RUNNING)],
            services=[ServiceRow(*row) for row in connection.execute(sql.SERVICES)],
            next_service_revision=last_service_revision + 1,
        )

    def _named(self, connection: apsw.Connection, wants: Wants) -> list[Task]:
        rows = []
        for ids in id_lists(wants.ids):
            query = sql.BY_IDS.format(columns=sql.WHOLE, marks=sql.marks(len(ids)))
            rows += connection.execute(query, ids).fetchall()
        if wants.seqs:
            rows += connection.execute(sql.BY_SEQS, (str(wants.seqs),)).fetchall()
        for key in wants.unique_keys:
            rows += connection.execute(sql.BY_UNIQUE_KEY, key).fetchall()
        # Found under two names it is shown once: the core must not see two objects of one task.
        return [read(row) for row in {row[0]: row for row in rows}.values()]

    def _page(self, connection: apsw.Connection, page: PageWanted) -> Page:
        flow = (page.queue, page.type, page.flow)
        priority, seq, most = -page.after[0], page.after[1], page.limit + 1
        # The second is not begun before the first is at its end.
        rows = chain.from_iterable(
            connection.execute(query, (*flow, *after, most))
            for query, after in ((sql.PAGE_SAME, (priority, seq)), (sql.PAGE_LOWER, (priority,)))
        )
        return _cut(rows, page.limit, page.bytes_max)

    def _schedule_page(
        self, connection: apsw.Connection, page: SchedulePageWanted | None
    ) -> Page | None:
        if page is None:
            return None
        ready_ms, seq = page.after
        rows = chain.from_iterable(
            connection.execute(query, (*after, page.limit + 1))
            for query, after in (
                (sql.SCHEDULE_SAME, (ready_ms, seq)),
                (sql.SCHEDULE_LATER, (ready_ms,)),
            )
        )
        return _cut(rows, page.limit, page.bytes_max)


def _put_queues(connection: apsw.Connection, writes: Writes) -> None:
    """Stores what queues became, within a transaction."""
    kept = filter(None, writes.queues.values())
    connection.executemany(sql.PUT_QUEUE, map(queue_row, kept))
    gone = [(name,) for name, queue in writes.queues.items() if queue is None]
    connection.executemany(sql.DELETE_QUEUE, gone)


def _put_services(connection: apsw.Connection, writes: Writes) -> None:
    """Stores what services became, within a transaction."""
    gone = [(name,) for name, row in writes.services.items() if row is None]
    connection.executemany(sql.DELETE_SERVICE, gone)
    connection.executemany(sql.PUT_SERVICE, filter(None, writes.services.values()))
    connection.execute(sql.RAISE_SERVICE_REVISION, (writes.service_revision,))


def _cut(rows: Iterator[Row], limit: int, bytes_max: int) -> Page:
    """Reads one row at least, within both bounds, and one more to know whether more follow."""
    tasks: list[Task] = []
    size = 0
    for row in rows:
        if len(tasks) >= limit:
            return Page(tasks, True)
        task = read(row)
        size += weigh(task)
        if tasks and size > bytes_max:
            return Page(tasks, True)
        tasks.append(task)
    return Page(tasks, False)
