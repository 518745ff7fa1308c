"""The views' side of the SQLite storage: a read-only connection that never blocks the writer.

Every call is one short read: a read left open would keep the write-ahead log from ending.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from operator import itemgetter

import apsw

from pullwork_master.core.commands import Filter
from pullwork_master.core.model import Task
from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.base import EndsPage
from pullwork_master.storage.sqlite_folder import Folder
from pullwork_master.storage.sqlite_rows import id_lists, read
from pullwork_master.storage.sqlite_search import search

# For a checkpoint that starts the log over just when a read begins.
_BUSY_MS = 5_000
_SETTINGS = (
    "PRAGMA query_only = ON",
    "PRAGMA cache_size = -8192",
    "PRAGMA temp_store = MEMORY",
)


class SqliteReader:
    """A `Reader` of an open folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        with folder.explaining():
            self._connection = apsw.Connection(
                str(folder.database), flags=apsw.SQLITE_OPEN_READONLY
            )
            self._connection.set_busy_timeout(_BUSY_MS)
            for setting in _SETTINGS:
                self._connection.execute(setting)

    def get(self, task_id: str) -> Task | None:
        """Returns one task whole."""
        found = self._by_ids([task_id], sql.WHOLE)
        return found[0] if found else None

    def get_many(self, task_ids: builtins.list[str]) -> builtins.list[Task]:
        """Returns those that exist, in no particular order, without payloads."""
        return self._by_ids(list(dict.fromkeys(task_ids)), sql.WITHOUT_PAYLOAD)

    def list(self, filter: Filter, before_seq: int, limit: int) -> builtins.list[Task]:
        """Returns newest first, without payload and result."""
        with self._folder.explaining():
            return search(
                self._connection, filter, before_seq, limit, sql.OUTLINE, newest_first=True
            )

    def ends_after(self, revision: int, owner: str, queue: str, limit: int) -> EndsPage:
        """Returns ends in order of revision, without payloads."""
        chosen = "".join(
            text
            for text, value in ((" AND t.owner = ?", owner), (" AND t.queue = ?", queue))
            if value
        )
        query = sql.ENDS.format(columns=sql.WITHOUT_PAYLOAD, chosen=chosen)
        values = [value for value in (owner, queue) if value]
        with self._folder.explaining():
            # One moment for all three questions.
            self._connection.execute("BEGIN")
            try:
                last = self._last_revision()
                stop = self._connection.execute(
                    sql.ENDS_BOUND, (revision, sql.ENDS_SCANNED_MAX - 1)
                ).fetchone()
                upto = stop[0] if stop else max(last, revision)
                rows = self._connection.execute(
                    query, (revision, upto, *values, limit + 1)
                ).fetchall()
            finally:
                self._connection.execute("COMMIT")
        tasks = [read(row) for row in rows[:limit]]
        if len(rows) > limit:
            return EndsPage(tasks, tasks[-1].revision, True)
        return EndsPage(tasks, upto, upto < last)

    def swept_revision(self, owner: str, queue: str) -> int:
        """Returns the highest revision that retention deleted, of this owner or queue."""
        names = [(kind, name) for kind, name in (("owner", owner), ("queue", queue)) if name]
        with self._folder.explaining():
            if not names:
                return int(self._connection.execute(sql.SWEPT_ANY).get)
            return min(
                int(self._connection.execute(sql.SWEPT[kind], (name,)).get) for kind, name in names
            )

    def waiting_since(self, queue: str, types: Iterable[str]) -> int:
        """Returns since when the next task of these lines waits that waits longest; 0: none."""
        with self._folder.explaining():
            found = [
                self._connection.execute(sql.WAITING_SINCE, (queue, type)).get for type in types
            ]
        return min((int(since_ms) for since_ms in found if since_ms), default=0)

    def live(self, prefix: str) -> builtins.list[Task]:
        """Returns whole what has not ended, of queues whose names begin so."""
        bounds = (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))
        with self._folder.explaining():
            self._connection.execute("BEGIN")  # one moment for both questions
            try:
                rows = [
                    row for query in sql.LIVE for row in self._connection.execute(query, bounds)
                ]
            finally:
                self._connection.execute("COMMIT")
        return [read(row) for row in sorted(rows, key=itemgetter(0))]

    def last_revision(self) -> int:
        """Returns the revision of the last committed end, also if it was swept or retried since."""
        with self._folder.explaining():
            return self._last_revision()

    def close(self) -> None:
        """Releases the connection; may be called twice."""
        self._connection.close()

    def _last_revision(self) -> int:
        return int(self._connection.execute(sql.LAST_REVISION).get)

    def _by_ids(self, task_ids: builtins.list[str], columns: str) -> builtins.list[Task]:
        rows = []
        with self._folder.explaining():
            for ids in id_lists(task_ids):
                query = sql.BY_IDS.format(columns=columns, marks=sql.marks(len(ids)))
                rows += self._connection.execute(query, ids).fetchall()
        return [read(row) for row in rows]
