"""Proves a data folder sound, or says exactly what is wrong; reads only.

Laws are SQL queries that find what breaks them, so that the whole store is judged by the
engine that holds it, in a snapshot: a master may go on working meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from pullwork_master.storage.base import StorageError
from pullwork_master.storage.sqlite_folder import DATABASE
from pullwork_master.storage.sqlite_migrations import (
    know_flows,
    refuse_foreign,
    shipped,
    version_of,
)

# Of each law at most this many breaches are named; all are counted.
NAMED_MAX: Final = 5


class Law(NamedTuple):
    """What must hold, and a query for the keys of what breaks it.

    Older files than of the schema `since` know nothing of it.
    """

    name: str
    breaches: str
    since: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """A law and what breaks it; nothing, if it holds."""

    law: str
    count: int
    examples: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether the law holds."""
        return self.count == 0


# As people and other tools write ids.
_UUID: Final = (
    "lower("
    + " || '-' || ".join(
        f"substr(hex(t.id), {start}, {length})"
        for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    )
    + ")"
)
_NAME: Final = f"'task ' || {_UUID} || ' (seq ' || t.seq || ')'"


def _task_law(name: str, breach: str) -> Law:
    return Law(name, f"SELECT {_NAME} FROM tasks t NOT INDEXED WHERE {breach}")


LAWS: Final = (
    Law(
        "every task has its spec",
        f"SELECT {_NAME} FROM tasks t WHERE t.seq NOT IN (SELECT seq FROM specs)",
    ),
    Law(
        "every spec has its task",
        "SELECT 'seq ' || seq FROM specs WHERE seq NOT IN (SELECT seq FROM tasks)",
    ),
    _task_law("every task is in one state", "t.state NOT BETWEEN 1 AND 6"),
    _task_law("every task's queue is known", "t.queue NOT IN (SELECT name FROM queues)"),
    _task_law("a SCHEDULED task has a moment to wake at", "t.state = 1 AND t.ready_ms <= 0"),
    _task_law(
        "a RUNNING task has an attempt and a session",
        "t.state = 3 AND (t.attempt < 1 OR t.session = '' OR t.started_ms <= 0)",
    ),
    _task_law(
        "an ended task has its end, its place in the order and its retention",
        "t.state >= 4 AND (t.ended_ms <= 0 OR t.revision IS NULL OR t.expires_ms IS NULL)",
    ),
    _task_law(
        "a task that has not ended has none of these",
        "t.state < 4 AND (t.revision IS NOT NULL OR t.expires_ms IS NOT NULL)",
    ),
    Law(
        "a task waits in the flow of its owner and limit key",
        f"SELECT {_NAME} FROM tasks t NOT INDEXED JOIN specs s ON s.seq = t.seq "
        "WHERE t.flow <> flow_of(t.owner, s.limit_key)",
        since=2,
    ),
    _task_law("a SUCCEEDED task has a result", "t.state = 4 AND t.result IS NULL"),
    _task_law("a FAILED task says why", "t.state = 5 AND t.failure IS NULL"),
    _task_law("nothing is counted without an attempt", "t.failures + t.deaths > t.attempt"),
    _task_law(
        "failure and story can be read",
        "(t.failure IS NOT NULL AND NOT json_valid(t.failure)) "
        "OR (t.history IS NOT NULL AND NOT json_valid(t.history))",
    ),
    Law(
        "no limit of a queue is less than none",
        "SELECT 'queue ' || name FROM queues WHERE weight < 1 OR min(tasks_max, concurrency, rate, "
        "burst, concurrency_per_key, rate_per_key, burst_per_key) < 0",
        since=2,
    ),
    Law(
        "headers can be read",
        "SELECT 'seq ' || seq FROM specs WHERE headers IS NOT NULL AND NOT json_valid(headers)",
    ),
    Law(
        "no two ends have one place in the order",
        "SELECT 'revision ' || revision FROM tasks WHERE revision IS NOT NULL "
        "GROUP BY revision HAVING count(*) > 1",
    ),
    Law(
        "the counters are not behind the tasks",
        "SELECT 'last_seq ' || last_seq || ', last_revision ' || last_revision FROM meta "
        "WHERE last_seq < (SELECT coalesce(max(seq), 0) FROM tasks) "
        "OR last_revision < (SELECT coalesce(max(revision), 0) FROM tasks)",
    ),
    Law(
        "no two services have one revision, and none has one that was not given out",
        "SELECT 'service ' || name FROM services WHERE revision < 1 "
        "OR revision > (SELECT last_service_revision FROM meta) "
        "OR revision IN (SELECT revision FROM services GROUP BY revision HAVING count(*) > 1)",
        since=3,
    ),
    Law(
        "a service's version is one of its revisions",
        "SELECT 'service ' || name FROM services WHERE version < 1 OR version > revision",
        since=3,
    ),
    Law(
        "there is one row of counters",
        "SELECT 'meta has ' || n || ' rows' FROM (SELECT count(*) AS n FROM meta) WHERE n <> 1",
    ),
)


def open_snapshot(folder: Path) -> apsw.Connection:
    """Opens a folder's store for reading, at one moment of it.

    Errors: StorageError for a folder without a store, or one of another program or version.
    """
    database = folder / DATABASE
    if not database.is_file():
        raise StorageError(f"{folder} holds no {DATABASE}; name a master's data folder")
    try:
        connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
        refuse_foreign(connection, str(database), shipped())
        know_flows(connection)
        connection.execute("BEGIN")
        # The snapshot is taken by the first read.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except apsw.Error as error:
        raise StorageError(
            f"{database} is damaged or is no Pullwork store ({error}); restore a backup with "
            "`pullwork restore`"
        ) from error
    return connection


def examine(connection: apsw.Connection) -> Iterator[Finding]:
    """Yields a finding for each law, the file's own structure first; it may take minutes."""
    rows = [row[0] for row in connection.execute("PRAGMA integrity_check(100)")]
    broken = [] if rows == ["ok"] else rows
    yield Finding("the file's pages and indexes agree", len(broken), tuple(broken[:NAMED_MAX]))
    version = version_of(connection)
    for law in LAWS:
        if law.since <= version:
            yield _judge(connection, law)


def _judge(connection: apsw.Connection, law: Law) -> Finding:
    try:
        found = [row[0] for row in connection.execute(law.breaches)]
    except apsw.Error as error:
        return Finding(law.name, 1, (f"can't be judged: {error}",))
    return Finding(law.name, len(found), tuple(str(each) for each in found[:NAMED_MAX]))
