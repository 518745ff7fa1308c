"""Deletes ended tasks whose retention is over, and remembers what watchers may have missed.

The memory is bounded: the names of the queues and owners last swept, and for all that were
forgotten one floor. What it says may be too high, never too low.
"""

from __future__ import annotations

from typing import Final

import apsw

from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.sqlite_rows import Row

# Queues, and owners, whose swept revision is known exactly: half a megabyte.
NAMES_MAX: Final = 10_000


def sweep(connection: apsw.Connection, before_ms: int, limit: int) -> int:
    """Deletes up to `limit` tasks, those that expired first; runs within a transaction."""
    due: list[Row] = connection.execute(sql.DUE, (before_ms, limit)).fetchall()
    if not due:
        return 0
    greatest: dict[tuple[str, str], int] = {}
    for _, revision, queue, owner in due:
        for name in (("queue", queue), ("owner", owner)):
            greatest[name] = max(greatest.get(name, 0), revision)
    connection.executemany(sql.NOTE_SWEPT, [(*name, rev) for name, rev in greatest.items()])
    connection.execute(sql.NOTE_SWEPT_ANY, (max(row[1] for row in due),))
    seqs = [row[:1] for row in due]
    connection.executemany(sql.DELETE_TASK, seqs)
    connection.executemany(sql.DELETE_SPEC, seqs)
    for kind in ("queue", "owner"):
        _forget(connection, kind)
    return len(due)


def _forget(connection: apsw.Connection, kind: str) -> None:
    count: int = connection.execute(sql.COUNT_SWEPT, (kind,)).get
    if count <= NAMES_MAX:
        return
    # A tenth more than needed, so that this is not done at every sweep.
    oldest: list[Row] = connection.execute(
        sql.OLDEST_SWEPT, (kind, count - NAMES_MAX + NAMES_MAX // 10)
    ).fetchall()
    connection.execute(sql.RAISE_SWEPT_FLOOR[kind], (oldest[-1][1],))
    connection.executemany(sql.FORGET_SWEPT, [(kind, name) for name, _ in oldest])
